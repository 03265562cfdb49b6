// What the screens share: the manifest, where to ask, and the answer.

import Foundation
import Observation
import WigglyKit

/// What `wiggly ios` was told when it wrote the project.
struct AppSettings: Decodable {
    var endpoint: String?
    var onDevice: Bool
}

@MainActor
@Observable
final class AppModel {
    /// Keys of the user's settings.
    static let endpointKey = "endpoint"
    static let remoteKey = "askEndpoint"

    let manifest: Manifest
    let folder: URL
    let settings: AppSettings
    var answers: [Answer] = []
    var isAsking = false
    var failure: String?

    private let device: OnDeviceModel?

    init() throws {
        guard let folder = Bundle.main.url(forResource: "Bundle", withExtension: nil) else {
            throw Failure("the app must hold the folder Bundle", "it does not", "Write the project again.")
        }
        self.folder = folder
        manifest = try Manifest.read(Data(contentsOf: folder.appendingPathComponent("model.json")))
        let written = try Data(contentsOf: folder.appendingPathComponent("app.json"))
        settings = try JSONDecoder().decode(AppSettings.self, from: written)
        device = settings.onDevice ? try OnDeviceModel(manifest) : nil
    }

    /// Whether the endpoint is asked rather than the device.
    var asksEndpoint: Bool {
        device == nil || UserDefaults.standard.bool(forKey: AppModel.remoteKey)
    }

    /// The address that is asked.
    var endpoint: String {
        let own = UserDefaults.standard.string(forKey: AppModel.endpointKey) ?? ""
        return own.isEmpty ? settings.endpoint ?? "" : own
    }

    /// Asks about a picture file.
    func ask(file: Data) async {
        await answer {
            if self.asksEndpoint {
                let type = file.starts(with: [0x89, 0x50]) ? "image/png" : "image/jpeg"
                return try await Client(self.endpoint).predict(file: file, name: "photo", type: type).answers
            }
            guard let device = self.device, let input = self.manifest.picture else { return [] }
            return try await device.answers(file: file, input: input)
        }
    }

    /// Asks about a row of a table.
    func ask(row: [String: JSONValue]) async {
        await answer {
            if self.asksEndpoint { return try await Client(self.endpoint).predict(row: row).answers }
            guard let device = self.device, let input = self.manifest.table else { return [] }
            return try await device.answers(row: row, input: input)
        }
    }

    private func answer(_ work: () async throws -> [Answer]) async {
        isAsking = true
        failure = nil
        defer { isAsking = false }
        do {
            answers = try await work()
        } catch {
            answers = []
            failure = error.localizedDescription
        }
    }
}
