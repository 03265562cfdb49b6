// Where the model runs: on the device, or at an address.

import SwiftUI
import WigglyKit

struct SettingsScreen: View {
    let model: AppModel
    @AppStorage(AppModel.remoteKey) private var asksEndpoint = false
    @AppStorage(AppModel.endpointKey) private var endpoint = ""
    @State private var state = ""
    @Environment(\.dismiss) private var dismiss

    var body: some View {
        NavigationStack {
            Form {
                Section("Where the model runs") {
                    if model.settings.onDevice {
                        Toggle("Ask a server", isOn: $asksEndpoint)
                        if !asksEndpoint {
                            Text("Your data stays on this device.").foregroundStyle(.secondary)
                        }
                    }
                    if asksEndpoint || !model.settings.onDevice {
                        TextField(model.settings.endpoint ?? "https://example.org", text: $endpoint)
                            .keyboardType(.URL)
                            .textInputAutocapitalization(.never)
                            .autocorrectionDisabled()
                            .accessibilityLabel("Address of the server")
                        Button("Try it") { Task { await tryIt() } }
                        if !state.isEmpty { Text(state) }
                        Text("What you ask is sent to this address.").foregroundStyle(.secondary)
                    }
                }
                Section("The model") {
                    LabeledContent("Made", value: String(model.manifest.created.prefix(10)))
                    LabeledContent("Licence", value: model.manifest.licence ?? "not stated")
                    if let score = model.manifest.score {
                        LabeledContent(score.name, value: score.value.formatted(.number.precision(.significantDigits(3))))
                    }
                    if let words = model.manifest.description, !words.isEmpty { Text(words) }
                }
            }
            .navigationTitle("Settings")
            .toolbar { Button("Done") { dismiss() } }
        }
    }

    private func tryIt() async {
        state = "Asking …"
        do {
            let address = endpoint.isEmpty ? model.settings.endpoint ?? "" : endpoint
            _ = try await Client(address, timeout: 10).model()
            state = "The server answers."
        } catch {
            state = error.localizedDescription
        }
    }
}
