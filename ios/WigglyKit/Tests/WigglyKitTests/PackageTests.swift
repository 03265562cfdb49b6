// What the vectors do not cover: JSON that is wrong, dates, the client's requests and errors.

import Foundation
import XCTest

@testable import WigglyKit

final class PackageTests: XCTestCase {
    func testLabelsKeepTheirType() throws {
        let values = try JSONDecoder().decode([JSONValue].self, from: Data(#"[1, 1.5, true, "1", null]"#.utf8))
        XCTAssertEqual(values, [.integer(1), .number(1.5), .bool(true), .string("1"), .null])
        XCTAssertTrue(values[0].isSame(as: .number(1)))
        XCTAssertFalse(values[0].isSame(as: values[3]))
        let back = try JSONDecoder().decode([JSONValue].self, from: JSONEncoder().encode(values))
        XCTAssertEqual(back, values)
    }

    func testANewerBundleIsRefused() {
        let text = #"{"format": "wiggly-bundle", "version": 99}"#
        XCTAssertThrowsError(try Manifest.read(Data(text.utf8))) { error in
            XCTAssertTrue((error as? Failure)?.received.contains("99") ?? false)
        }
        XCTAssertThrowsError(try Manifest.read(Data("[]".utf8)))
    }

    func testAPictureMustHaveItsBytes() {
        XCTAssertThrowsError(try Picture(width: 2, height: 2, channels: 3, pixels: [1, 2, 3]))
    }

    func testDates() {
        XCTAssertEqual(TableInput.secondsSince1970(.string("1970-01-02")), 86_400)
        XCTAssertEqual(TableInput.secondsSince1970(.object(["date": .string("1970-01-01T00:00:01.5")])), 1.5)
        XCTAssertNil(TableInput.secondsSince1970(.string("soon")))
    }

    func testAnAddressMustBeOne() throws {
        for text in ["", "ftp://example.org", "not an address", "file:///etc/passwd"] {
            XCTAssertThrowsError(try Client(text)) { XCTAssertEqual($0 as? ClientError, .badAddress(text)) }
        }
        XCTAssertNoThrow(try Client(" https://example.org "))
    }

    func testAFormCarriesTheFile() throws {
        let body = Client.form(Data([1, 2, 255]), name: "a\"\r\nb.jpg", type: "image/jpeg", boundary: "XX")
        let wanted = "--XX\r\nContent-Disposition: form-data; name=\"file\"; filename=\"ab.jpg\"\r\n"
        XCTAssertTrue(body.starts(with: Data(wanted.utf8)))
        XCTAssertNotNil(body.range(of: Data([1, 2, 255])))
    }

    func testAClosedPortIsUnreachable() async throws {
        let client = try Client("http://127.0.0.1:9", timeout: 5)
        do {
            _ = try await client.predict(file: Data())
            XCTFail("nothing listens there")
        } catch let error as ClientError {
            guard case .unreachable = error else { return XCTFail("\(error)") }
        }
    }

    /// Asks a real server where one was started: WIGGLY_ENDPOINT, WIGGLY_FILE and WIGGLY_MODEL name it, a picture
    /// of a worked example and the model.json.
    func testARealServerAnswers() async throws {
        let environment = ProcessInfo.processInfo.environment
        guard let address = environment["WIGGLY_ENDPOINT"], let folder = environment["WIGGLY_FOLDER"] else {
            throw XCTSkip("WIGGLY_ENDPOINT and WIGGLY_FOLDER are not set")
        }
        let client = try Client(address)
        let place = URL(fileURLWithPath: folder)
        let manifest = try Manifest.read(Data(contentsOf: place.appendingPathComponent("model.json")))
        for example in manifest.examples ?? [] {
            let content = try Data(contentsOf: place.appendingPathComponent(example.file))
            let reply: Reply
            if manifest.picture == nil {
                reply = try await client.predict(row: JSONDecoder().decode([String: JSONValue].self, from: content))
            } else {
                reply = try await client.predict(file: content, name: "example.png", type: "image/png")
            }
            let apart = try XCTUnwrap(example.difference(from: reply.answers, in: manifest))
            XCTAssertLessThan(apart, 1e-3)
        }
    }

    /// Reads a real model.json where WIGGLY_FOLDER names a bundle's unpacked folder.
    func testARealManifestIsReadAndWritten() throws {
        guard let folder = ProcessInfo.processInfo.environment["WIGGLY_FOLDER"] else {
            throw XCTSkip("WIGGLY_FOLDER is not set")
        }
        let place = URL(fileURLWithPath: folder).appendingPathComponent("model.json")
        let manifest = try Manifest.read(Data(contentsOf: place))
        XCTAssertFalse(manifest.outputs.isEmpty)
        XCTAssertEqual(try Manifest.read(JSONEncoder().encode(manifest)), manifest)
    }
}
