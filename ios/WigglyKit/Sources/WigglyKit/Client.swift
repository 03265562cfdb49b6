// An endpoint that speaks `/v1`: a server, or a Space.

import Foundation

#if canImport(FoundationNetworking)
    import FoundationNetworking
#endif

/// What may go wrong when an endpoint is asked.
public enum ClientError: Error, Sendable, Equatable {
    /// It is no address that can be called.
    case badAddress(String)
    /// Nothing answered: no network, a name that is not known, a refused connection.
    case unreachable(String)
    /// It took longer than the time-out.
    case timedOut(seconds: Double)
    /// The endpoint refused, and says why.
    case refused(status: Int, code: String, failure: Failure)
    /// Something answered that does not speak `/v1`.
    case unexpected(status: Int, String)
}

extension ClientError: LocalizedError {
    public var errorDescription: String? {
        switch self {
        case .badAddress(let text):
            return "An endpoint must be an http or https address; '\(text)' is none."
        case .unreachable(let text):
            return "The endpoint cannot be reached: \(text)"
        case .timedOut(let seconds):
            return "The endpoint did not answer within \(Int(seconds)) seconds."
        case .refused(_, _, let failure):
            return failure.errorDescription
        case .unexpected(let status, let text):
            return "The endpoint answered \(status), but not as a wiggly server does: \(text)"
        }
    }
}

/// Asks a model over HTTP.
public struct Client: Sendable {
    /// Where `/v1` is, e.g. https://example.org or http://192.168.1.5:7860.
    public let address: URL
    /// Seconds that one request may take.
    public let timeout: Double
    private let session: URLSession

    public init(_ address: String, timeout: Double = 30) throws {
        let trimmed = address.trimmingCharacters(in: .whitespacesAndNewlines)
        guard let url = URL(string: trimmed), let scheme = url.scheme?.lowercased(), url.host != nil,
            scheme == "http" || scheme == "https"
        else { throw ClientError.badAddress(address) }
        self.address = url
        self.timeout = timeout
        let settings = URLSessionConfiguration.ephemeral
        settings.timeoutIntervalForRequest = timeout
        settings.timeoutIntervalForResource = timeout
        session = URLSession(configuration: settings)
    }

    /// Whether the endpoint is well.
    public func isHealthy() async -> Bool {
        (try? await send(request("healthz", "GET"))) != nil
    }

    /// What the endpoint says about its model, as JSON.
    public func model() async throws -> JSONValue {
        try await decoded(JSONValue.self, request("v1/model", "GET"))
    }

    /// Asks about a picture.
    ///
    /// - Parameters:
    ///   - file: Content of a JPEG, PNG or other picture file.
    ///   - name: What to call it.
    ///   - type: Its media type.
    public func predict(file: Data, name: String = "photo.jpg", type: String = "image/jpeg") async throws -> Reply {
        let boundary = "wiggly-\(UUID().uuidString)"
        var asked = request("v1/predict", "POST")
        asked.setValue("multipart/form-data; boundary=\(boundary)", forHTTPHeaderField: "Content-Type")
        asked.httpBody = Client.form(file, name: name, type: type, boundary: boundary)
        return try await decoded(Reply.self, asked)
    }

    /// Asks about a row of a table.
    public func predict(row: [String: JSONValue]) async throws -> Reply {
        try await decoded(Reply.self, request("v1/predict", "POST", json: ["row": JSONValue.object(row)]))
    }

    /// Asks about several rows.
    public func predict(rows: [[String: JSONValue]]) async throws -> Replies {
        let all = JSONValue.array(rows.map { JSONValue.object($0) })
        return try await decoded(Replies.self, request("v1/predict/batch", "POST", json: ["rows": all]))
    }

    /// The body of a form with one file.
    static func form(_ file: Data, name: String, type: String, boundary: String) -> Data {
        let safe = name.filter { $0 != "\"" && $0 != "\\" && !$0.isNewline }
        var body = Data("--\(boundary)\r\n".utf8)
        body += Data("Content-Disposition: form-data; name=\"file\"; filename=\"\(safe)\"\r\n".utf8)
        body += Data("Content-Type: \(type)\r\n\r\n".utf8)
        body += file
        body += Data("\r\n--\(boundary)--\r\n".utf8)
        return body
    }

    private func request(_ path: String, _ method: String) -> URLRequest {
        var made = URLRequest(url: address.appendingPathComponent(path))
        made.httpMethod = method
        made.timeoutInterval = timeout
        made.setValue("application/json", forHTTPHeaderField: "Accept")
        return made
    }

    private func request(_ path: String, _ method: String, json: [String: JSONValue]) throws -> URLRequest {
        var made = request(path, method)
        made.setValue("application/json", forHTTPHeaderField: "Content-Type")
        made.httpBody = try JSONEncoder().encode(json)
        return made
    }

    private func decoded<Content: Decodable>(_ kind: Content.Type, _ asked: URLRequest) async throws -> Content {
        let (content, status) = try await send(asked)
        do {
            return try JSONDecoder().decode(kind, from: content)
        } catch {
            throw ClientError.unexpected(status: status, String(describing: error))
        }
    }

    private func send(_ asked: URLRequest) async throws -> (Data, Int) {
        let content: Data
        let answered: URLResponse
        do {
            (content, answered) = try await session.data(for: asked)
        } catch let error as URLError {
            if error.code == .timedOut { throw ClientError.timedOut(seconds: timeout) }
            if error.code == .cancelled { throw CancellationError() }
            throw ClientError.unreachable(error.localizedDescription)
        }
        let status = (answered as? HTTPURLResponse)?.statusCode ?? 0
        guard (200..<300).contains(status) else { throw Client.refusal(content, status) }
        return (content, status)
    }

    private static func refusal(_ content: Data, _ status: Int) -> ClientError {
        struct Body: Decodable {
            struct Told: Decodable {
                var code: String
                var rule: String
                var received: String
                var fix: String
            }
            var error: Told
        }
        guard let told = try? JSONDecoder().decode(Body.self, from: content).error else {
            return .unexpected(status: status, String(decoding: content.prefix(200), as: UTF8.self))
        }
        return .refused(status: status, code: told.code, failure: Failure(told.rule, told.received, told.fix))
    }
}
