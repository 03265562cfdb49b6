// A form for one row of a table.

import SwiftUI
import WigglyKit

struct RowScreen: View {
    let model: AppModel
    @State private var texts: [String: String] = [:]
    @State private var codes: [String: Int] = [:]
    @State private var showsSettings = false

    var body: some View {
        NavigationStack {
            Form {
                if let table = model.manifest.table {
                    Section("What is known") {
                        ForEach(table.categories.filter { $0.flagOf == nil }, id: \.name) { field in
                            Picker(field.name, selection: code(field.name)) {
                                Text("Unknown").tag(0)
                                ForEach(Array(field.vocab.enumerated()), id: \.offset) { place, value in
                                    Text(value.description).tag(place + 1)
                                }
                            }
                        }
                        ForEach(table.numbers, id: \.name) { field in
                            TextField(field.name, text: text(field.name))
                                .keyboardType(field.kind == "date" ? .default : .numbersAndPunctuation)
                                .accessibilityLabel(field.name)
                        }
                    }
                    Section {
                        Button("Predict") { Task { await model.ask(row: row(table)) } }
                    }
                }
                Section { ResultView(model: model) }
            }
            .navigationTitle(model.manifest.title)
            .toolbar {
                Button("Settings", systemImage: "gearshape") { showsSettings = true }
            }
        }
        .sheet(isPresented: $showsSettings) { SettingsScreen(model: model) }
    }

    private func code(_ name: String) -> Binding<Int> {
        Binding(get: { codes[name] ?? 0 }, set: { codes[name] = $0 })
    }

    private func text(_ name: String) -> Binding<String> {
        Binding(get: { texts[name] ?? "" }, set: { texts[name] = $0 })
    }

    private func row(_ table: TableInput) -> [String: JSONValue] {
        var made: [String: JSONValue] = [:]
        for field in table.categories where field.flagOf == nil {
            let code = codes[field.name] ?? 0
            made[field.name] = code > 0 ? field.vocab[code - 1] : .null
        }
        for field in table.numbers {
            let written = (texts[field.name] ?? "").trimmingCharacters(in: .whitespaces)
            if written.isEmpty {
                made[field.name] = .null
            } else if let whole = Int(written) {
                made[field.name] = .integer(whole)
            } else if let number = Double(written.replacingOccurrences(of: ",", with: ".")) {
                made[field.name] = .number(number)
            } else {
                made[field.name] = .string(written)
            }
        }
        return made
    }
}
