// Any JSON value: labels, cells of a table, arguments of a transform.

import Foundation

/// Any JSON value.
public enum JSONValue: Codable, Sendable, Hashable {
    case null
    case bool(Bool)
    case integer(Int)
    case number(Double)
    case string(String)
    case array([JSONValue])
    case object([String: JSONValue])

    public init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        if container.decodeNil() {
            self = .null
        } else if let value = try? container.decode(Bool.self) {
            self = .bool(value)
        } else if let value = try? container.decode(Int.self) {
            self = .integer(value)
        } else if let value = try? container.decode(Double.self) {
            self = .number(value)
        } else if let value = try? container.decode(String.self) {
            self = .string(value)
        } else if let value = try? container.decode([JSONValue].self) {
            self = .array(value)
        } else {
            self = .object(try container.decode([String: JSONValue].self))
        }
    }

    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        switch self {
        case .null: try container.encodeNil()
        case .bool(let value): try container.encode(value)
        case .integer(let value): try container.encode(value)
        case .number(let value): try container.encode(value)
        case .string(let value): try container.encode(value)
        case .array(let value): try container.encode(value)
        case .object(let value): try container.encode(value)
        }
    }

    /// The value as a number, if it is one; true counts as 1, as in Python.
    public var double: Double? {
        switch self {
        case .bool(let value): return value ? 1 : 0
        case .integer(let value): return Double(value)
        case .number(let value): return value
        default: return nil
        }
    }

    /// The value as text, if it is one.
    public var text: String? {
        if case .string(let value) = self { return value }
        return nil
    }

    /// Whether two values are the same label: 1, 1.0 and true are, "1" is another.
    public func isSame(as other: JSONValue) -> Bool {
        if let first = double, let second = other.double { return first == second }
        return self == other
    }
}

extension JSONValue: CustomStringConvertible {
    /// As a person writes it.
    public var description: String {
        switch self {
        case .null: return ""
        case .bool(let value): return value ? "True" : "False"
        case .integer(let value): return String(value)
        case .number(let value): return String(value)
        case .string(let value): return value
        case .array(let values): return values.map(\.description).joined(separator: ", ")
        case .object(let values):
            return values.sorted { $0.key < $1.key }.map { "\($0.value)" }.joined(separator: ", ")
        }
    }
}
