// The package against what the Python package computes: vectors.json, written by scripts/swift_vectors.py.

import Foundation
import XCTest

@testable import WigglyKit

struct Vectors: Decodable {
    struct Pixels: Decodable {
        var height: Int
        var width: Int
        var pixels: [UInt8]
    }
    struct PictureCase: Decodable {
        var input: ImageInput
        var height: Int
        var width: Int
        var pixels: [UInt8]
        var prepared: Pixels
    }
    struct RowCase: Decodable {
        var row: [String: JSONValue]
        var categories: [Int]
        var numbers: [Float]
    }
    struct Table: Decodable {
        var input: TableInput
        var rows: [RowCase]
    }
    struct AnswerCase: Decodable {
        var output: Output
        var probabilities: [Double]
        var reply: Reply
    }
    struct MaskCase: Decodable {
        var output: MaskOutput
        var steps: [Step]
        var height: Int
        var width: Int
        var classes: [Int]
        var mask: [UInt8]
    }
    var pictures: [PictureCase]
    var table: Table
    var answers: [AnswerCase]
    var masks: [MaskCase]

    static func load() throws -> Vectors {
        let place = try XCTUnwrap(Bundle.module.url(forResource: "vectors", withExtension: "json"))
        return try JSONDecoder().decode(Vectors.self, from: Data(contentsOf: place))
    }
}

final class VectorTests: XCTestCase {
    func testPicturesArePreparedAsInPython() throws {
        let cases = try Vectors.load().pictures
        XCTAssertGreaterThan(cases.count, 5)
        for (i, one) in cases.enumerated() {
            let picture = try Picture(
                width: one.width, height: one.height, channels: one.input.channels, pixels: one.pixels)
            let made = try picture.prepared(for: one.input)
            XCTAssertEqual(made.height, one.prepared.height, "picture \(i)")
            XCTAssertEqual(made.width, one.prepared.width, "picture \(i)")
            let worst = zip(made.pixels, one.prepared.pixels).map { abs(Int($0) - Int($1)) }.max() ?? 0
            XCTAssertLessThanOrEqual(worst, 1, "picture \(i)")
            XCTAssertEqual(made.pixels.count, one.prepared.pixels.count)
            XCTAssertEqual(try made.resampled(Placement(
                y: Axis(start: 0, step: 1, length: made.height), x: Axis(start: 0, step: 1, length: made.width))), made)
        }
    }

    /// tests/bundle/vectors/vectors.json of the repository, where WIGGLY_VECTORS names it.
    func testTheSharedVectors() throws {
        guard let place = ProcessInfo.processInfo.environment["WIGGLY_VECTORS"] else {
            throw XCTSkip("WIGGLY_VECTORS is not set")
        }
        struct Shared: Decodable {
            struct Content: Decodable {
                var height: Int
                var width: Int
                var pixels: Data
            }
            struct Resampling: Decodable {
                var name: String
                var steps: [Step]
                var height: Int
                var width: Int
                var channels: Int
                var pixels: Data
                var prepared: Content
            }
            var tolerance: Int
            var resampling: [Resampling]
        }
        let shared = try JSONDecoder().decode(Shared.self, from: Data(contentsOf: URL(fileURLWithPath: place)))
        XCTAssertGreaterThan(shared.resampling.count, 10)
        for one in shared.resampling {
            let picture = try Picture(
                width: one.width, height: one.height, channels: one.channels, pixels: Array(one.pixels))
            let made = try picture.resampled(Placement(steps: one.steps, height: one.height, width: one.width))
            XCTAssertEqual(made.height, one.prepared.height, one.name)
            XCTAssertEqual(made.width, one.prepared.width, one.name)
            let apart = zip(made.pixels, one.prepared.pixels).map { abs(Int($0) - Int($1)) }
            XCTAssertLessThanOrEqual(apart.max() ?? 0, shared.tolerance, one.name)
            XCTAssertLessThan(Double(apart.filter { $0 != 0 }.count) / Double(apart.count), 0.01, one.name)
        }
    }

    func testRowsAreEncodedAsInPython() throws {
        let table = try Vectors.load().table
        for (i, one) in table.rows.enumerated() {
            let found = try table.input.encode(one.row)
            XCTAssertEqual(found.categories, one.categories, "row \(i)")
            XCTAssertEqual(found.numbers.count, one.numbers.count)
            for (number, wanted) in zip(found.numbers, one.numbers) {
                XCTAssertEqual(number, wanted, accuracy: max(1e-5, abs(wanted) * 1e-6), "row \(i)")
            }
        }
    }

    func testAnswersAreThoseOfTheServer() throws {
        for one in try Vectors.load().answers {
            let wanted = one.reply.answers[0]
            switch one.output {
            case .category(let output):
                XCTAssertEqual(Answer.category(try output.answer(one.probabilities)), wanted)
            case .labels(let output):
                XCTAssertEqual(Answer.labels(try output.answer(one.probabilities)), wanted)
            default:
                XCTFail("no other kind is there")
            }
        }
    }

    func testMasksAreLaidOverTheWholePicture() throws {
        for one in try Vectors.load().masks {
            let placement = try Placement(steps: one.steps, height: one.height, width: one.width)
            let found = try one.output.answer(one.classes, placement, width: one.width, height: one.height)
            let file = try greyPNG(one.mask, width: one.width, height: one.height)
            XCTAssertEqual(found.png, file.base64EncodedString())
        }
    }
}
