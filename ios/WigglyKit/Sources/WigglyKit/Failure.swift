// Every error says three things: the rule, what was received, and how to mend it.

import Foundation

/// What went wrong, in words for people.
public struct Failure: Error, Sendable, Equatable, LocalizedError {
    /// What must hold.
    public var rule: String
    /// What was found instead.
    public var received: String
    /// What to do.
    public var fix: String

    public init(_ rule: String, _ received: String, _ fix: String) {
        self.rule = rule
        self.received = received
        self.fix = fix
    }

    public var errorDescription: String? { "\(rule); \(received).\n\(fix)" }
}
