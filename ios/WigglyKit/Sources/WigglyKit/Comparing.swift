// A worked example against an answer: how far they are apart.

import Foundation

extension WorkedExample {
    /// The largest difference between what the bundle recorded and what was answered; infinite where the labels
    /// differ. Of numbers it is a share of the range in training, of points of a hundred pixels or the picture.
    ///
    /// Nil where the kinds do not go together, or cannot be compared here (masks, boxes).
    public func difference(from answers: [Answer], in manifest: Manifest) -> Double? {
        if case .several(let example) = self {
            guard example.answers.count == answers.count, manifest.outputs.count == answers.count else { return nil }
            var worst = 0.0
            for (i, one) in example.answers.enumerated() {
                guard let found = one.single(answers[i], manifest.outputs[i]) else { return nil }
                worst = max(worst, found)
            }
            return worst
        }
        guard answers.count == 1, let output = manifest.outputs.first else { return nil }
        return single(answers[0], output)
    }

    private func single(_ answer: Answer, _ output: Output) -> Double? {
        switch (self, answer, output) {
        case (.category(let example), .category(let reply), .category(let described)):
            if !example.label.isSame(as: reply.label) { return .infinity }
            return apart(example.probabilities, reply.probabilities, described.vocabulary)
        case (.labels(let example), .labels(let reply), .labels(let described)):
            return apart(example.probabilities, reply.probabilities, described.vocabulary)
        case (.numbers(let example), .numbers(let reply), .numbers(let described)):
            guard example.values.count == reply.values.count else { return nil }
            var worst = 0.0
            for (i, value) in example.values.enumerated() {
                let range = described.high[i] - described.low[i]
                worst = max(worst, abs(value - reply.values[i].value) / (range > 0 ? range : 1))
            }
            return worst
        case (.points(let example), .points(let reply), _):
            guard example.points.count == reply.points.count else { return nil }
            let apart = zip(example.points.joined(), reply.points.joined()).map { abs($0 - $1) }
            return (apart.max() ?? 0) / max(100, example.points.joined().map(abs).max() ?? 0)
        default:
            return nil
        }
    }
}

private func apart(_ wanted: [Double], _ found: [Chance], _ vocabulary: [JSONValue]) -> Double? {
    guard wanted.count == vocabulary.count, found.count == vocabulary.count else { return nil }
    var worst = 0.0
    for (label, probability) in zip(vocabulary, wanted) {
        guard let chance = found.first(where: { $0.label == label }) else { return nil }
        worst = max(worst, abs(chance.probability - probability))
    }
    return worst
}
