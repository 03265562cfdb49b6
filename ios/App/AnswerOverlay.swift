// Points, boxes and masks, drawn over the photo.

import SwiftUI
import WigglyKit

struct AnswerOverlay: View {
    let answers: [Answer]
    /// Of the photo, in points.
    let size: CGSize
    /// Pixels per point of the photo.
    let scale: CGFloat

    var body: some View {
        Canvas { context, canvas in
            let x = canvas.width / max(size.width * scale, 1)
            let y = canvas.height / max(size.height * scale, 1)
            for answer in answers { draw(answer, in: &context, canvas: canvas, x: x, y: y) }
        }
        .allowsHitTesting(false)
        .accessibilityHidden(true)
    }

    private func draw(_ answer: Answer, in context: inout GraphicsContext, canvas: CGSize, x: CGFloat, y: CGFloat) {
        switch answer {
        case .points(let reply):
            for point in reply.points where point.count == 2 {
                let place = CGRect(x: point[0] * x - 5, y: point[1] * y - 5, width: 10, height: 10)
                context.fill(Path(ellipseIn: place), with: .color(.accentColor))
                context.stroke(Path(ellipseIn: place), with: .color(.white), lineWidth: 2)
            }
        case .boxes(let reply):
            for found in reply.boxes where found.box.count == 4 {
                let box = found.box
                let place = CGRect(
                    x: box[0] * x, y: box[1] * y, width: (box[2] - box[0]) * x, height: (box[3] - box[1]) * y)
                context.stroke(Path(place), with: .color(.accentColor), lineWidth: 3)
                let words = Text(found.label.description).font(.caption.bold()).foregroundStyle(Color.accentColor)
                context.draw(words, at: CGPoint(x: place.minX + 4, y: place.minY + 4), anchor: .topLeading)
            }
        case .mask(let reply):
            if let image = colouredMask(reply) {
                context.opacity = 0.5
                context.draw(Image(decorative: image, scale: 1), in: CGRect(origin: .zero, size: canvas))
            }
        default:
            break
        }
    }
}

/// A mask in colours, one for each class; the first class stays clear.
private func colouredMask(_ reply: MaskReply) -> CGImage? {
    guard let file = Data(base64Encoded: reply.png), let grey = UIImage(data: file)?.cgImage,
        let provided = grey.dataProvider?.data as Data?
    else { return nil }
    let wide = grey.bitsPerPixel / 8
    guard wide == 1, provided.count >= grey.bytesPerRow * grey.height else { return nil }
    var bytes = [UInt8](repeating: 0, count: grey.width * grey.height * 4)
    for y in 0..<grey.height {
        for x in 0..<grey.width {
            let index = Int(provided[y * grey.bytesPerRow + x])
            if index == 0 { continue }
            let place = 4 * (y * grey.width + x)
            bytes[place] = UInt8(index * 97 % 256)
            bytes[place + 1] = UInt8(index * 57 % 256)
            bytes[place + 2] = UInt8(255 - index * 37 % 256)
            bytes[place + 3] = 255
        }
    }
    guard let provider = CGDataProvider(data: Data(bytes) as CFData) else { return nil }
    return CGImage(
        width: grey.width, height: grey.height, bitsPerComponent: 8, bitsPerPixel: 32, bytesPerRow: grey.width * 4,
        space: CGColorSpaceCreateDeviceRGB(), bitmapInfo: CGBitmapInfo(rawValue: CGImageAlphaInfo.last.rawValue),
        provider: provider, decode: nil, shouldInterpolate: false, intent: .defaultIntent)
}
