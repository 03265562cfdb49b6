// A picture of class indices as a PNG, stored without compression (RFC 2083, RFC 1950, RFC 1951).

import Foundation

/// One byte a pixel, row by row, as a PNG file.
func greyPNG(_ pixels: [UInt8], width: Int, height: Int) throws -> Data {
    var lines: [UInt8] = []
    lines.reserveCapacity((width + 1) * height)
    for row in 0..<height {
        lines.append(0)  // no filter
        lines += pixels[(row * width)..<((row + 1) * width)]
    }
    var file = Data([0x89, 0x50, 0x4E, 0x47, 0x0D, 0x0A, 0x1A, 0x0A])
    file += chunk("IHDR", bigEndian(UInt32(width)) + bigEndian(UInt32(height)) + [8, 0, 0, 0, 0])
    file += chunk("IDAT", stored(lines))
    file += chunk("IEND", [])
    return file
}

private func chunk(_ name: String, _ content: [UInt8]) -> Data {
    let body = Array(name.utf8) + content
    return Data(bigEndian(UInt32(content.count)) + body + bigEndian(crc(body)))
}

/// A zlib stream of stored blocks.
private func stored(_ content: [UInt8]) -> [UInt8] {
    var stream: [UInt8] = [0x78, 0x01]
    var start = 0
    repeat {
        let end = min(start + 65_535, content.count)
        let count = UInt16(end - start)
        stream.append(end == content.count ? 1 : 0)
        stream += [UInt8(count & 255), UInt8(count >> 8), UInt8(~count & 255), UInt8(~count >> 8)]
        stream += content[start..<end]
        start = end
    } while start < content.count
    return stream + bigEndian(adler(content))
}

private func bigEndian(_ value: UInt32) -> [UInt8] {
    [24, 16, 8, 0].map { UInt8((value >> UInt32($0)) & 255) }
}

private func adler(_ bytes: [UInt8]) -> UInt32 {
    var low: UInt32 = 1
    var high: UInt32 = 0
    for byte in bytes {
        low = (low + UInt32(byte)) % 65_521
        high = (high + low) % 65_521
    }
    return high << 16 | low
}

private func crc(_ bytes: [UInt8]) -> UInt32 {
    var value: UInt32 = 0xFFFF_FFFF
    for byte in bytes {
        value ^= UInt32(byte)
        for _ in 0..<8 { value = value & 1 == 1 ? value >> 1 ^ 0xEDB8_8320 : value >> 1 }
    }
    return ~value
}
