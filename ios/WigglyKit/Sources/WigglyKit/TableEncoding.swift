// A row of a table as the numbers the model takes.

import Foundation

/// The inputs of a model of a table, for one row.
public struct EncodedRow: Sendable, Equatable {
    /// Codes: the place of the value in the vocabulary, from 1; 0 for one that is missing or not in it.
    public var categories: [Int]
    /// Standardised numbers.
    public var numbers: [Float]
}

extension TableInput {
    /// Largest number that is taken as it is: the largest of 32 bits.
    private static let largest = Double(Float.greatestFiniteMagnitude)

    /// The columns that a row must have.
    public var columns: [String] {
        categories.filter { $0.flagOf == nil }.map(\.name) + numbers.map(\.name)
    }

    /// A row as numbers; a column that is left out counts as missing.
    public func encode(_ row: [String: JSONValue]) throws -> EncodedRow {
        var missing: [String: Bool] = [:]
        var encoded: [Float] = []
        for field in numbers {
            let cell = row[field.name] ?? .null
            let value = try TableInput.number(cell, field)
            missing[field.name] = value == nil
            let filled = value == nil ? JSONValue.number(field.fill) : TableInput.plain(cell) ?? .null
            let scaled = (TableInput.less(filled, field.center, value ?? field.fill) - field.mean) / field.std
            encoded.append(Float(min(max(scaled, -TableInput.largest), TableInput.largest)))
        }
        let codes = categories.map { field -> Int in
            if let flagged = field.flagOf { return missing[flagged] == true ? 2 : 1 }
            return field.code(row[field.name] ?? .null)
        }
        return EncodedRow(categories: codes, numbers: encoded)
    }

    /// A cell as a number; nil where there is none.
    private static func number(_ value: JSONValue, _ field: NumberField) throws -> Double? {
        if value == .null { return nil }
        if let number = plain(value)?.double { return number.isFinite && abs(number) <= largest ? number : nil }
        if field.kind == "date", let seconds = secondsSince1970(value) { return seconds }
        if field.kind == "duration", let seconds = duration(value) { return seconds }
        throw Failure(
            "column '\(field.name)' must hold numbers", "it holds '\(value)'", "Mend the value or leave it out.")
    }

    /// A number without the whole number `center`; of two whole numbers only the difference is rounded.
    private static func less(_ value: JSONValue, _ center: JSONValue, _ number: Double) -> Double {
        let middle = plain(center)
        if case .integer(let first) = value, case .integer(let second)? = middle {
            let (difference, tooLarge) = first.subtractingReportingOverflow(second)
            if !tooLarge { return Double(difference) }
        }
        return number - (middle?.double ?? 0)
    }

    /// Numbers that JSON cannot write as such.
    private static func plain(_ value: JSONValue) -> JSONValue? {
        guard case .object(let fields) = value, fields.count == 1, let (kind, packed) = fields.first else {
            return value
        }
        guard kind == "integer" || kind == "float" || kind == "decimal", let text = packed.text else { return nil }
        if kind == "integer", let whole = Int(text) { return .integer(whole) }
        return Double(text).map { JSONValue.number($0) }
    }

    private static func duration(_ value: JSONValue) -> Double? {
        guard case .object(let fields) = value, case .array(let parts)? = fields["duration"], parts.count == 3,
            let days = parts[0].double, let seconds = parts[1].double, let micros = parts[2].double
        else { return nil }
        return days * 86_400 + seconds + micros / 1e6
    }

    /// Seconds of 2024-02-29 or 2024-02-29T12:30:00.5; without a zone it is UTC.
    static func secondsSince1970(_ value: JSONValue) -> Double? {
        var text = value.text
        if case .object(let fields) = value { text = fields["date"]?.text }
        guard let written = text, written.count >= 10 else { return nil }
        let formatter = DateFormatter()
        formatter.locale = Locale(identifier: "en_US_POSIX")
        formatter.timeZone = TimeZone(identifier: "UTC")
        formatter.calendar = Calendar(identifier: .gregorian)
        formatter.dateFormat = "yyyy-MM-dd'T'HH:mm:ss"
        let time = written.count == 10 ? written + "T00:00:00" : written.replacingOccurrences(of: " ", with: "T")
        guard let date = formatter.date(from: String(time.prefix(19))) else { return nil }
        let rest = String(time.dropFirst(19))
        if rest.isEmpty { return date.timeIntervalSince1970 }
        return rest.hasPrefix(".") ? Double("0" + rest).map { date.timeIntervalSince1970 + $0 } : nil
    }
}

extension CategoryField {
    /// The place of a value in the vocabulary, from 1; 0 for one that is missing or not in it.
    public func code(_ value: JSONValue) -> Int {
        if value == .null || value == .string("#na#") { return 0 }
        return (vocab.firstIndex { $0.isSame(as: value) } ?? -1) + 1
    }
}
