// Take or choose a photo, read the answer.

import PhotosUI
import SwiftUI
import WigglyKit

struct PictureScreen: View {
    let model: AppModel
    @State private var chosen: PhotosPickerItem?
    @State private var photo: UIImage?
    @State private var showsCamera = false
    @State private var showsSettings = false

    var body: some View {
        NavigationStack {
            ScrollView {
                VStack(spacing: 20) {
                    photoArea
                    buttons
                    ResultView(model: model)
                    examples
                }
                .padding()
            }
            .navigationTitle(model.manifest.title)
            .toolbar {
                Button("Settings", systemImage: "gearshape") { showsSettings = true }
            }
        }
        .sheet(isPresented: $showsSettings) { SettingsScreen(model: model) }
        .fullScreenCover(isPresented: $showsCamera) {
            Camera { taken in
                showsCamera = false
                if let taken, let file = taken.jpegData(compressionQuality: 0.95) { ask(file) }
            }
            .ignoresSafeArea()
        }
        .onChange(of: chosen) { _, item in
            Task {
                if let file = try? await item?.loadTransferable(type: Data.self) { ask(file) }
            }
        }
    }

    private var photoArea: some View {
        Group {
            if let photo {
                Image(uiImage: photo)
                    .resizable()
                    .scaledToFit()
                    .overlay { AnswerOverlay(answers: model.answers, size: photo.size, scale: photo.scale) }
                    .clipShape(RoundedRectangle(cornerRadius: 16))
                    .accessibilityLabel("Your photo")
            } else {
                ContentUnavailableView(
                    "No photo yet", systemImage: "photo", description: Text("Take one, or choose one you have."))
            }
        }
        .frame(maxWidth: .infinity, minHeight: 240, maxHeight: 420)
    }

    private var buttons: some View {
        HStack(spacing: 12) {
            if UIImagePickerController.isSourceTypeAvailable(.camera) {
                Button {
                    showsCamera = true
                } label: {
                    Label("Camera", systemImage: "camera").frame(maxWidth: .infinity)
                }
                .buttonStyle(.borderedProminent)
                .accessibilityHint("Takes a photo and says what is in it")
            }
            PhotosPicker(selection: $chosen, matching: .images) {
                Label("Photos", systemImage: "photo.on.rectangle").frame(maxWidth: .infinity)
            }
            .buttonStyle(.bordered)
            .accessibilityHint("Chooses one of your photos")
        }
        .controlSize(.large)
    }

    @ViewBuilder private var examples: some View {
        let files = (model.manifest.examples ?? []).map(\.file)
        if !files.isEmpty {
            VStack(alignment: .leading) {
                Text("Examples").font(.headline)
                ScrollView(.horizontal) {
                    HStack {
                        ForEach(Array(files.enumerated()), id: \.element) { place, file in
                            exampleButton(file, number: place + 1)
                        }
                    }
                }
            }
            .frame(maxWidth: .infinity, alignment: .leading)
        }
    }

    @ViewBuilder private func exampleButton(_ file: String, number: Int) -> some View {
        if let content = try? Data(contentsOf: model.folder.appendingPathComponent(file)),
            let image = UIImage(data: content)
        {
            Button {
                ask(content)
            } label: {
                Image(uiImage: image)
                    .resizable()
                    .scaledToFill()
                    .frame(width: 72, height: 72)
                    .clipShape(RoundedRectangle(cornerRadius: 10))
            }
            .accessibilityLabel("Example \(number)")
        }
    }

    private func ask(_ file: Data) {
        photo = UIImage(data: file)
        model.answers = []
        Task { await model.ask(file: file) }
    }
}
