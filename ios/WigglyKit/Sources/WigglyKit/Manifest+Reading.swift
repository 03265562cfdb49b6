// `model.json` as a `Manifest`.

import Foundation

extension Manifest {
    /// Reads the content of a `model.json`.
    ///
    /// Throws a `Failure` if it is not one, or of a newer version than this package knows.
    public static func read(_ content: Data) throws -> Manifest {
        struct Head: Decodable {
            var format: String?
            var version: Int?
        }
        guard let head = try? JSONDecoder().decode(Head.self, from: content), head.format == "wiggly-bundle",
            let version = head.version
        else {
            throw Failure("model.json must describe a wiggly bundle", "it does not", "Export the model again.")
        }
        guard version <= bundleVersion else {
            throw Failure(
                "a bundle must be of format version \(bundleVersion) or older", "it is of version \(version)",
                "Write the project again with the wiggly that wrote the bundle.")
        }
        do {
            return try JSONDecoder().decode(Manifest.self, from: content)
        } catch {
            throw Failure(
                "model.json must fit its schema", String(describing: error), "Get an unchanged copy of the bundle.")
        }
    }

    /// The picture the model takes; nil for a table.
    public var picture: ImageInput? {
        if case .image(let input)? = inputs.first { return input }
        return nil
    }

    /// The columns the model takes, user and item included; nil for a picture.
    public var table: TableInput? {
        switch inputs.first {
        case .table(let input)?:
            return input
        case .pairs(let input)?:
            return TableInput(kind: "table", categories: [input.user, input.item], numbers: [])
        default:
            return nil
        }
    }
}

extension WorkedExample {
    /// Name of the input file in the bundle.
    public var file: String {
        switch self {
        case .category(let example): return example.file
        case .labels(let example): return example.file
        case .numbers(let example): return example.file
        case .points(let example): return example.file
        case .boxes(let example): return example.file
        case .mask(let example): return example.file
        case .several(let example): return example.file
        }
    }
}
