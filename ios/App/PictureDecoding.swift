// From a picture file to pixels, and from pixels to what Core ML takes.

import CoreGraphics
import CoreVideo
import Foundation
import UIKit
import WigglyKit

/// Decodes a file: upright, on white, its own colours unchanged.
func decodePicture(_ file: Data, channels: Int) throws -> Picture {
    guard let image = UIImage(data: file), let decoded = image.cgImage else {
        throw Failure("a picture must be a file that this device can read", "this one is not", "Choose another one.")
    }
    let turned = [.left, .right, .leftMirrored, .rightMirrored].contains(image.imageOrientation)
    let width = turned ? decoded.height : decoded.width
    let height = turned ? decoded.width : decoded.height
    // In the file's own colour space nothing is converted: the numbers stay those that training read.
    let standard = CGColorSpace(name: CGColorSpace.sRGB) ?? CGColorSpaceCreateDeviceRGB()
    let own = decoded.colorSpace.flatMap { $0.model == .rgb && $0.supportsOutput ? $0 : nil }
    var bytes = [UInt8](repeating: 255, count: width * height * 4)
    let drawn = bytes.withUnsafeMutableBytes { buffer -> Bool in
        guard
            let context = CGContext(
                data: buffer.baseAddress, width: width, height: height, bitsPerComponent: 8, bytesPerRow: width * 4,
                space: own ?? standard, bitmapInfo: CGImageAlphaInfo.premultipliedLast.rawValue)
        else { return false }
        context.setFillColor(red: 1, green: 1, blue: 1, alpha: 1)
        context.fill(CGRect(x: 0, y: 0, width: width, height: height))
        context.translateBy(x: 0, y: CGFloat(height))
        context.scaleBy(x: 1, y: -1)
        UIGraphicsPushContext(context)
        image.draw(in: CGRect(x: 0, y: 0, width: width, height: height))
        UIGraphicsPopContext()
        return true
    }
    guard drawn else {
        throw Failure("a picture must fit into memory", "\(width) × \(height) does not", "Choose a smaller one.")
    }
    var pixels = [UInt8](repeating: 0, count: width * height * 3)
    for i in 0..<(width * height) {
        pixels[3 * i] = bytes[4 * i]
        pixels[3 * i + 1] = bytes[4 * i + 1]
        pixels[3 * i + 2] = bytes[4 * i + 2]
    }
    let picture = try Picture(width: width, height: height, channels: 3, pixels: pixels)
    return channels == 1 ? try picture.grey() : picture
}

/// A prepared picture as Core ML takes it.
func pixelBuffer(_ picture: Picture) throws -> CVPixelBuffer {
    let format = picture.channels == 1 ? kCVPixelFormatType_OneComponent8 : kCVPixelFormatType_32BGRA
    var made: CVPixelBuffer?
    CVPixelBufferCreate(kCFAllocatorDefault, picture.width, picture.height, format, nil, &made)
    guard let buffer = made else {
        throw Failure("a picture must fit into memory", "it does not", "Close other apps.")
    }
    CVPixelBufferLockBaseAddress(buffer, [])
    defer { CVPixelBufferUnlockBaseAddress(buffer, []) }
    guard let start = CVPixelBufferGetBaseAddress(buffer) else {
        throw Failure("a picture must fit into memory", "it does not", "Close other apps.")
    }
    let stride = CVPixelBufferGetBytesPerRow(buffer)
    let bytes = start.assumingMemoryBound(to: UInt8.self)
    for y in 0..<picture.height {
        for x in 0..<picture.width {
            let i = (y * picture.width + x) * picture.channels
            if picture.channels == 1 {
                bytes[y * stride + x] = picture.pixels[i]
            } else {
                let place = y * stride + 4 * x
                bytes[place] = picture.pixels[i + 2]
                bytes[place + 1] = picture.pixels[i + 1]
                bytes[place + 2] = picture.pixels[i]
                bytes[place + 3] = 255
            }
        }
    }
    return buffer
}
