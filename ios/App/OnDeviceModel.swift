// The model on the device: prepared inputs into Core ML, its outputs into answers.

import CoreML
import CoreVideo
import Foundation
import WigglyKit

actor OnDeviceModel {
    private let model: MLModel
    private let manifest: Manifest

    init(_ manifest: Manifest) throws {
        guard let place = Bundle.main.url(forResource: "Model", withExtension: "mlmodelc") else {
            throw Failure("the app must hold Model.mlpackage", "it does not", "Write the project again.")
        }
        self.manifest = manifest
        model = try MLModel(contentsOf: place)
    }

    /// Answers about the content of a picture file.
    func answers(file: Data, input: ImageInput) throws -> [Answer] {
        let picture = try decodePicture(file, channels: input.channels)
        let prepared = try picture.prepared(for: input)
        let value = MLFeatureValue(pixelBuffer: try pixelBuffer(prepared))
        let found = try model.prediction(from: MLDictionaryFeatureProvider(dictionary: ["image": value]))
        let placement = try Placement(steps: input.preprocessing, height: picture.height, width: picture.width)
        return try manifest.outputs.enumerated().map { place, output in
            try answer(output, place, found, placement, picture)
        }
    }

    /// Answers about a row of a table.
    func answers(row: [String: JSONValue], input: TableInput) throws -> [Answer] {
        let encoded = try input.encode(row)
        var values: [String: MLFeatureValue] = [:]
        var codes = "categories"
        if case .pairs? = manifest.inputs.first { codes = "pairs" }
        if !encoded.categories.isEmpty {
            let array = try MLMultiArray(shape: [1, NSNumber(value: encoded.categories.count)], dataType: .int32)
            for (i, code) in encoded.categories.enumerated() { array[i] = NSNumber(value: code) }
            values[codes] = MLFeatureValue(multiArray: array)
        }
        if !encoded.numbers.isEmpty {
            let array = try MLMultiArray(shape: [1, NSNumber(value: encoded.numbers.count)], dataType: .float32)
            for (i, number) in encoded.numbers.enumerated() { array[i] = NSNumber(value: number) }
            values["numbers"] = MLFeatureValue(multiArray: array)
        }
        let found = try model.prediction(from: MLDictionaryFeatureProvider(dictionary: values))
        return try manifest.outputs.enumerated().map { place, output in
            try answer(output, place, found, nil, nil)
        }
    }

    private func answer(
        _ output: Output, _ place: Int, _ found: any MLFeatureProvider, _ placement: Placement?, _ picture: Picture?
    ) throws -> Answer {
        let suffix = manifest.outputs.count > 1 ? "_\(place)" : ""
        switch output {
        case .category(let described):
            return .category(try described.answer(try probabilities(described.vocabulary, suffix, found)))
        case .labels(let described):
            return .labels(try described.answer(try numbers("probabilities" + suffix, found)))
        case .numbers(let described):
            return .numbers(try described.answer(try numbers("values" + suffix, found)))
        case .points(let described):
            guard let placement else { break }
            return .points(try described.answer(try numbers("points" + suffix, found), placement))
        case .mask(let described):
            guard let placement, let picture else { break }
            let classes = try numbers("classes" + suffix, found).map { Int($0) }
            let width = picture.width
            return .mask(try described.answer(classes, placement, width: width, height: picture.height))
        case .boxes:
            break
        }
        throw Failure("the device must be able to answer", "it cannot for this kind of output", "Use an endpoint.")
    }

    /// In the order of the vocabulary; a classifier of Core ML gives them by the text of the label.
    private func probabilities(
        _ vocabulary: [JSONValue], _ suffix: String, _ found: any MLFeatureProvider
    ) throws -> [Double] {
        guard let named = found.featureValue(for: "classLabel_probs")?.dictionaryValue else {
            return try numbers("probabilities" + suffix, found)
        }
        return vocabulary.map { named[AnyHashable($0.description)]?.doubleValue ?? 0 }
    }

    private func numbers(_ name: String, _ found: any MLFeatureProvider) throws -> [Double] {
        guard let array = found.featureValue(for: name)?.multiArrayValue else {
            throw Failure("the model must give '\(name)'", "it does not", "Write the project again.")
        }
        return (0..<array.count).map { array[$0].doubleValue }
    }
}
