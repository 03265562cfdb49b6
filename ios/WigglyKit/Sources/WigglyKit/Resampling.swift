// From a file's pixels to the model's: one resampling by an antialiased triangle filter.

import Foundation

/// Pixels of a picture, upright, row by row.
public struct Picture: Sendable, Equatable {
    public var width: Int
    public var height: Int
    /// 3 for colour (RGB), 1 for grey.
    public var channels: Int
    /// `height * width * channels` bytes.
    public var pixels: [UInt8]

    public init(width: Int, height: Int, channels: Int, pixels: [UInt8]) throws {
        guard width > 0, height > 0, channels > 0, pixels.count == width * height * channels else {
            throw Failure(
                "a picture must have width × height × channels bytes",
                "it has \(pixels.count) for \(width) × \(height) × \(channels)", "Decode the file again.")
        }
        self.width = width
        self.height = height
        self.channels = channels
        self.pixels = pixels
    }

    /// The picture as the model takes it.
    public func prepared(for input: ImageInput) throws -> Picture {
        guard channels == input.channels else {
            throw Failure(
                "the model takes pictures of \(input.channels) channels", "this one has \(channels)",
                "Convert it first.")
        }
        return try resampled(Placement(steps: input.preprocessing, height: height, width: width))
    }

    /// Pixels of the target, each a weighted mean of this picture's.
    public func resampled(_ placement: Placement) throws -> Picture {
        if placement.y.isSame(height) && placement.x.isSame(width) { return self }
        // Half and a little more is added before rounding down, as docs/format.md says.
        let half: Float = 0.5 + 1.0 / 1024
        let rows = Taps(placement.y, height, placement.border)
        let columns = Taps(placement.x, width, placement.border)
        var made = [UInt8](repeating: 0, count: rows.count * columns.count * channels)
        var line = [Float](repeating: 0, count: width * channels)
        for row in 0..<rows.count {
            sum(rows, row, into: &line)
            for column in 0..<columns.count {
                let first = columns.first[column]
                for channel in 0..<channels {
                    var total: Float = 0
                    for k in 0..<columns.width {
                        let weight = columns.weights[column * columns.width + k]
                        if weight != 0 { total += weight * line[(first + k) * channels + channel] }
                    }
                    let level = min(max((total + half).rounded(.down), 0), 255)
                    made[(row * columns.count + column) * channels + channel] = UInt8(level)
                }
            }
        }
        return try Picture(width: columns.count, height: rows.count, channels: channels, pixels: made)
    }

    /// A weighted mean of rows.
    private func sum(_ rows: Taps, _ row: Int, into line: inout [Float]) {
        for i in 0..<line.count { line[i] = 0 }
        for k in 0..<rows.width {
            let weight = rows.weights[row * rows.width + k]
            if weight == 0 { continue }
            let start = (rows.first[row] + k) * width * channels
            for i in 0..<line.count { line[i] += weight * Float(pixels[start + i]) }
        }
    }
}

/// How near to the edge of a picture is on it: docs/format.md.
private let edge = 1.0 / 1_048_576

/// For each target pixel the first source pixel that it may see, and weights of those from there on.
struct Taps {
    let count: Int
    let width: Int
    let first: [Int]
    let weights: [Float]

    init(_ axis: Axis, _ n: Int, _ border: String) {
        let reach = max(1, axis.step)
        let width = Int(2 * reach) + 2
        var first = [Int](repeating: 0, count: axis.length)
        var weights = [Float](repeating: 0, count: axis.length * width)
        for target in 0..<axis.length {
            let centre = axis.start + (Double(target) + 0.5) * axis.step
            // A centre on the edge is inside, however its place was rounded.
            let outside = centre < -edge || centre > Double(n) + edge
            let place = outside ? Taps.folded(centre - 0.5, n, border) : centre - 0.5
            first[target] = Int((place - reach).rounded(.up))
            if outside && border == "zeros" { continue }
            var seen = [Double](repeating: 0, count: width)
            for k in 0..<width {
                let source = first[target] + k
                if source >= 0 && source < n { seen[k] = max(0, 1 - abs(Double(source) - place) / reach) }
            }
            let total = seen.reduce(0, +)
            for k in 0..<width { weights[target * width + k] = Float(seen[k] / total) }
        }
        self.count = axis.length
        self.width = width
        self.first = first
        self.weights = weights
    }

    /// A place outside the picture, brought into it; counted from the centre of the first pixel.
    private static func folded(_ place: Double, _ n: Int, _ border: String) -> Double {
        let last = Double(n - 1)
        guard border == "reflection" && n > 1 else { return min(max(place, 0), last) }
        let period = 2 * last
        var back = abs(place)
        back -= period * (back / period).rounded(.down)
        return min(back, period - back)
    }
}

extension Picture {
    /// The picture in grey: ITU-R 601-2 weights in 16 bits, as Pillow's mode L has them.
    public func grey() throws -> Picture {
        if channels == 1 { return self }
        var levels = [UInt8](repeating: 0, count: width * height)
        for i in 0..<levels.count {
            let red = Int(pixels[i * channels])
            let green = Int(pixels[i * channels + 1])
            let blue = Int(pixels[i * channels + 2])
            levels[i] = UInt8((red * 19_595 + green * 38_470 + blue * 7_471 + 0x8000) >> 16)
        }
        return try Picture(width: width, height: height, channels: 1, pixels: levels)
    }
}
