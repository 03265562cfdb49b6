// From the numbers of a model to answers: the same types that a server sends.

import Foundation

extension CategoryOutput {
    /// The answer that these probabilities, in the order of the vocabulary, make.
    public func answer(_ probabilities: [Double]) throws -> CategoryReply {
        let chances = try ranked(probabilities, vocabulary)
        let best = chances[0]
        let limit = unsure.map(\.threshold) ?? 0
        return CategoryReply(
            kind: "category", name: name ?? "", label: best.label, confidence: best.probability,
            unsure: !(best.probability >= limit), probabilities: chances)
    }
}

extension LabelsOutput {
    /// The answer that these probabilities, in the order of the vocabulary, make.
    public func answer(_ probabilities: [Double]) throws -> LabelsReply {
        let chances = try ranked(probabilities, vocabulary)
        let named = zip(vocabulary, probabilities).filter { $0.1 > threshold }.map(\.0)
        return LabelsReply(kind: "labels", name: name ?? "", labels: named, probabilities: chances)
    }
}

extension NumbersOutput {
    /// The answer that these numbers make.
    public func answer(_ values: [Double]) throws -> NumbersReply {
        guard values.count == names.count else { throw wrongCount(values.count, names.count) }
        let named = zip(names, values).map { NamedNumber(name: $0, value: $1) }
        return NumbersReply(kind: "numbers", values: named)
    }
}

extension PointsOutput {
    /// Places in the upright picture, from x1, y1, x2, ... in -1 ... 1 of the prepared one.
    public func answer(_ values: [Double], _ placement: Placement) throws -> PointsReply {
        guard values.count == 2 * n else { throw wrongCount(values.count, 2 * n) }
        var points: [[Double]] = []
        for i in 0..<n {
            let x = (values[2 * i] + 1) / 2 * Double(placement.x.length)
            let y = (values[2 * i + 1] + 1) / 2 * Double(placement.y.length)
            points.append([
                placement.x.start + x * placement.x.step, placement.y.start + y * placement.y.step,
            ])
        }
        return PointsReply(kind: "points", points: points)
    }
}

extension MaskOutput {
    /// A class for every pixel of the upright picture, from those of the prepared one, row by row.
    public func answer(_ classes: [Int], _ placement: Placement, width: Int, height: Int) throws -> MaskReply {
        let rows = placement.y.length
        let columns = placement.x.length
        guard classes.count == rows * columns else { throw wrongCount(classes.count, rows * columns) }
        let across = (0..<width).map { MaskOutput.nearest($0, placement.x) }
        var indices = [UInt8](repeating: 0, count: width * height)
        for row in 0..<height {
            let source = MaskOutput.nearest(row, placement.y)
            for column in 0..<width {
                let inside = source.inside && across[column].inside
                let seen = classes[source.place * columns + across[column].place]
                indices[row * width + column] = UInt8(clamping: inside ? seen : void ?? seen)
            }
        }
        return MaskReply(
            kind: "mask", width: width, height: height, classes: shares(indices),
            png: try greyPNG(indices, width: width, height: height).base64EncodedString())
    }

    private static func nearest(_ pixel: Int, _ axis: Axis) -> (place: Int, inside: Bool) {
        // A place on the border of two pixels, to within rounding, is the first one's.
        let place = Int(((Double(pixel) + 0.5 - axis.start) / axis.step - 1e-6).rounded(.down))
        let inside = place >= 0 && place < axis.length
        return (min(max(place, 0), axis.length - 1), inside)
    }

    /// The classes that are there, largest first; void is left out.
    private func shares(_ indices: [UInt8]) -> [Share] {
        var counts = [Int](repeating: 0, count: 256)
        for index in indices { counts[Int(index)] += 1 }
        let there = (0..<min(vocabulary.count, 256)).filter { counts[$0] > 0 && $0 != void }
        return there.sorted { (counts[$0], $1) > (counts[$1], $0) }.map {
            Share(label: vocabulary[$0], share: Double(counts[$0]) / Double(indices.count))
        }
    }
}

/// Classes with their probabilities, likeliest first; equal ones in the order of the vocabulary.
func ranked(_ probabilities: [Double], _ vocabulary: [JSONValue]) throws -> [Chance] {
    guard probabilities.count == vocabulary.count, !vocabulary.isEmpty else {
        throw wrongCount(probabilities.count, vocabulary.count)
    }
    let order = vocabulary.indices.sorted { (probabilities[$0], $1) > (probabilities[$1], $0) }
    return order.map { Chance(label: vocabulary[$0], probability: probabilities[$0]) }
}

private func wrongCount(_ found: Int, _ wanted: Int) -> Failure {
    Failure("the model must give \(wanted) numbers", "it gave \(found)", "Use the model that belongs to model.json.")
}
