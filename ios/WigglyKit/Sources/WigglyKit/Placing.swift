// Where the pixels of a prepared picture lie in the picture of the file: docs/format.md, "From a file to pixels".

import Foundation

/// One axis of a prepared picture: the place v, in its pixels, shows `start + v * step` of the file's.
public struct Axis: Sendable, Equatable {
    public var start: Double
    public var step: Double
    public var length: Int

    public init(start: Double, step: Double, length: Int) {
        self.start = start
        self.step = step
        self.length = length
    }

    /// A part of it, from `first` on and so long, on `pixels` pixels.
    func box(_ first: Double, _ extent: Double, _ pixels: Int) -> Axis {
        Axis(start: start + step * first, step: step * extent / Double(pixels), length: pixels)
    }

    func isSame(_ count: Int) -> Bool { start == 0 && step == 1 && length == count }
}

/// Both axes, and what lies outside the picture: "reflection", "border" or "zeros".
public struct Placement: Sendable, Equatable {
    public var y: Axis
    public var x: Axis
    public var border: String

    public init(y: Axis, x: Axis, border: String = "reflection") {
        self.y = y
        self.x = x
        self.border = border
    }

    /// Where a picture prepared by these steps looks into one of this size.
    public init(steps: [Step], height: Int, width: Int) throws {
        self.init(
            y: Axis(start: 0, step: 1, length: height), x: Axis(start: 0, step: 1, length: width))
        var found: String?
        for step in steps {
            if step.name == "RandomResizedCrop" {
                try middle(Placement.target(step), extra: step.args["val_xtra"]?.double ?? 0.14)
            } else if step.name == "Resize" {
                if let border = try resize(step) { found = found ?? border }
            }
        }
        border = found ?? "reflection"
    }

    /// Applies a `Resize`; says what lies outside where it pads.
    private mutating func resize(_ step: Step) throws -> String? {
        let target = try Placement.target(step)
        switch step.args["method"]?.text ?? "crop" {
        case "squish":
            y = y.box(0, Double(y.length), target.height)
            x = x.box(0, Double(x.length), target.width)
        case "crop":
            let crop = Placement.crop(y.length, x.length, target.height, target.width)
            y = y.box(crop.top, crop.high, target.height)
            x = x.box(crop.left, crop.wide, target.width)
        default:
            pad(target.height, target.width)
            return step.args["pad_mode"]?.text ?? "reflection"
        }
        return nil
    }

    private mutating func pad(_ height: Int, _ width: Int) {
        let scale = min(Double(height) / Double(y.length), Double(width) / Double(x.length))
        let above = (Double(height) - Double(y.length) * scale) / 2
        let left = (Double(width) - Double(x.length) * scale) / 2
        y = y.box(-above / scale, Double(height) / scale, height)
        x = x.box(-left / scale, Double(width) / scale, width)
    }

    /// The middle of what a crop with a margin would show; the margin is a multiple of 8 pixels.
    private mutating func middle(_ target: (height: Int, width: Int), extra: Double) throws {
        let margin = Int((Double(max(target.height, target.width)) * extra / 8).rounded(.up)) * 8
        let crop = Placement.crop(y.length, x.length, target.height + margin, target.width + margin)
        let keptY = Double(target.height) / Double(target.height + margin)
        let keptX = Double(target.width) / Double(target.width + margin)
        y = y.box(crop.top + crop.high * (1 - keptY) / 2, crop.high * keptY, target.height)
        x = x.box(crop.left + crop.wide * (1 - keptX) / 2, crop.wide * keptX, target.width)
    }

    /// The largest box of the target's proportions, in the middle, at whole pixels.
    private static func crop(
        _ height: Int, _ width: Int, _ targetHeight: Int, _ targetWidth: Int
    ) -> (top: Double, left: Double, high: Double, wide: Double) {
        let scale = min(Double(height) / Double(targetHeight), Double(width) / Double(targetWidth))
        let high = min(max((Double(targetHeight) * scale).rounded(.toNearestOrEven), 1), Double(height))
        let wide = min(max((Double(targetWidth) * scale).rounded(.toNearestOrEven), 1), Double(width))
        let top = ((Double(height) - high) / 2).rounded(.down)
        let left = ((Double(width) - wide) / 2).rounded(.down)
        return (top, left, high, wide)
    }

    private static func target(_ step: Step) throws -> (height: Int, width: Int) {
        switch step.args["size"] {
        case .integer(let side)? where side > 0:
            return (side, side)
        case .array(let sides)?:
            if sides.count == 2, case .integer(let height) = sides[0], case .integer(let width) = sides[1],
                height > 0, width > 0
            {
                return (height, width)
            }
        default:
            break
        }
        throw Failure("\(step.name) must have a size", "it has \(step.args)", "Export the model again.")
    }
}
