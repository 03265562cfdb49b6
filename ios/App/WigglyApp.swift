// The app: one screen for pictures, or a form for a row of a table.

import SwiftUI

@main
struct WigglyApp: App {
    var body: some Scene {
        WindowGroup {
            RootView()
        }
    }
}

/// Loads the model once, and says so if that fails.
struct RootView: View {
    @State private var model: AppModel?
    @State private var failure: String?

    var body: some View {
        Group {
            if let model {
                if model.manifest.picture != nil {
                    PictureScreen(model: model)
                } else {
                    RowScreen(model: model)
                }
            } else if let failure {
                ContentUnavailableView(
                    "The model cannot be used", systemImage: "exclamationmark.triangle", description: Text(failure))
            } else {
                ProgressView("Loading the model")
            }
        }
        .task {
            do {
                model = try AppModel()
            } catch {
                failure = error.localizedDescription
            }
        }
    }
}
