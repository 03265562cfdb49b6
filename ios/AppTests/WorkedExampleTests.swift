// The worked examples of the bundle through the whole app: file, decoding, preparation, Core ML, answer.

import WigglyKit
import XCTest

@testable import WigglyApp

@MainActor
final class WorkedExampleTests: XCTestCase {
    /// Half precision and another decoder: the labels must be the same, the numbers nearly.
    private let tolerance = 1e-2

    func testTheDeviceAnswersAsTheBundleSays() async throws {
        let model = try AppModel()
        try XCTSkipUnless(model.settings.onDevice, "the app asks a server")
        let device = try OnDeviceModel(model.manifest)
        var compared = 0
        for example in model.manifest.examples ?? [] {
            let content = try Data(contentsOf: model.folder.appendingPathComponent(example.file))
            let answers: [Answer]
            if let input = model.manifest.picture {
                answers = try await device.answers(file: content, input: input)
            } else {
                let table = try XCTUnwrap(model.manifest.table)
                let row = try JSONDecoder().decode([String: JSONValue].self, from: content)
                answers = try await device.answers(row: row, input: table)
            }
            if case .mask(let wanted) = example, case .mask(let found)? = answers.first {
                let recorded = try Data(contentsOf: model.folder.appendingPathComponent(wanted.mask))
                let first = try decodePicture(recorded, channels: 1)
                let second = try decodePicture(try XCTUnwrap(Data(base64Encoded: found.png)), channels: 1)
                XCTAssertEqual(first.pixels.count, second.pixels.count)
                let apart = zip(first.pixels, second.pixels).filter { $0 != $1 }.count
                XCTAssertLessThan(Double(apart) / Double(first.pixels.count), tolerance, example.file)
            } else {
                let apart = try XCTUnwrap(example.difference(from: answers, in: model.manifest))
                XCTAssertLessThan(apart, tolerance, example.file)
            }
            compared += 1
        }
        XCTAssertGreaterThan(compared, 0)
    }
}
