// What the model says, as bars, labels and numbers.

import SwiftUI
import WigglyKit

struct ResultView: View {
    let model: AppModel

    var body: some View {
        VStack(alignment: .leading, spacing: 16) {
            if model.isAsking {
                ProgressView("Looking").frame(maxWidth: .infinity)
            }
            if let failure = model.failure {
                Label(failure, systemImage: "exclamationmark.triangle")
                    .foregroundStyle(.red)
                    .accessibilityLabel("Error: \(failure)")
            }
            ForEach(Array(model.answers.enumerated()), id: \.offset) { _, answer in
                AnswerView(answer: answer)
            }
        }
        .frame(maxWidth: .infinity, alignment: .leading)
    }
}

struct AnswerView: View {
    let answer: Answer

    var body: some View {
        switch answer {
        case .category(let reply):
            VStack(alignment: .leading, spacing: 8) {
                if reply.unsure {
                    Label("Unsure", systemImage: "questionmark.circle").font(.title2.bold())
                    Text("It may be: \(reply.label.description). Try another photo, nearer or in better light.")
                        .foregroundStyle(.secondary)
                } else {
                    Text(reply.label.description).font(.title2.bold())
                }
                Bars(chances: reply.probabilities)
            }
        case .labels(let reply):
            let names = reply.labels.map(\.description)
            VStack(alignment: .leading, spacing: 8) {
                Text(names.isEmpty ? "None of the labels" : names.joined(separator: ", ")).font(.title2.bold())
                Bars(chances: reply.probabilities)
            }
        case .numbers(let reply):
            ForEach(Array(reply.values.enumerated()), id: \.offset) { _, number in
                LabeledContent(number.name, value: number.value.formatted(.number.precision(.significantDigits(4))))
                    .font(.title3)
            }
        case .points(let reply):
            Text("^[\(reply.points.count) point](inflect: true)").font(.title2.bold())
        case .boxes(let reply):
            Text(reply.boxes.isEmpty ? "Nothing found" : "Found").font(.title2.bold())
            Bars(chances: reply.boxes.map { Chance(label: $0.label, probability: $0.score) })
        case .mask(let reply):
            Text("Areas").font(.title2.bold())
            Bars(chances: reply.classes.map { Chance(label: $0.label, probability: $0.share) })
        }
    }
}

/// The likeliest classes, each with a bar.
struct Bars: View {
    let chances: [Chance]

    var body: some View {
        VStack(spacing: 10) {
            ForEach(Array(chances.prefix(5).enumerated()), id: \.offset) { place, chance in
                let percent = chance.probability.formatted(.percent.precision(.fractionLength(0)))
                VStack(spacing: 4) {
                    HStack {
                        Text(chance.label.description)
                        Spacer()
                        Text(percent).monospacedDigit().foregroundStyle(.secondary)
                    }
                    ProgressView(value: min(max(chance.probability, 0), 1))
                        .tint(place == 0 ? Color.accentColor : Color.secondary)
                }
                .accessibilityElement(children: .ignore)
                .accessibilityLabel(chance.label.description)
                .accessibilityValue(percent)
            }
        }
    }
}
