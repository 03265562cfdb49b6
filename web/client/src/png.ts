/** A mask as a PNG of class indices: grey, 8 bits per pixel, or 16 where there are more than 256 classes. */
import { zlibSync } from "fflate";

const SIGNATURE = [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a];

/**
 * The file.
 *
 * @param indices - Row by row.
 * @param width - In pixels.
 * @param height - In pixels.
 */
export function encodePng(indices: Uint8Array | Uint16Array, width: number, height: number): Uint8Array {
  const bytes = indices.some((index) => index > 255) ? 2 : 1;
  const raw = new Uint8Array(height * (1 + width * bytes));
  for (let y = 0; y < height; y++) {
    const at = y * (1 + width * bytes) + 1; // before each row stands its filter: none
    for (let x = 0; x < width; x++) {
      const index = indices[y * width + x]!;
      if (bytes === 2) raw[at + 2 * x] = index >> 8;
      raw[at + x * bytes + bytes - 1] = index & 255;
    }
  }
  const header = new Uint8Array(13);
  const view = new DataView(header.buffer);
  view.setUint32(0, width);
  view.setUint32(4, height);
  header[8] = 8 * bytes;
  const chunks = [chunk("IHDR", header), chunk("IDAT", zlibSync(raw)), chunk("IEND", new Uint8Array())];
  return joined([Uint8Array.from(SIGNATURE), ...chunks]);
}

function chunk(kind: string, content: Uint8Array): Uint8Array {
  const name = Uint8Array.from(kind, (letter) => letter.charCodeAt(0));
  const checked = joined([name, content]);
  const made = new Uint8Array(checked.length + 8);
  const view = new DataView(made.buffer);
  view.setUint32(0, content.length);
  made.set(checked, 4);
  view.setUint32(made.length - 4, crc32(checked));
  return made;
}

/** One array after the other. */
export function joined(parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

/** ISO 3309, as PNG has it. */
function crc32(bytes: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (0xedb88320 & -(crc & 1));
  }
  return ~crc >>> 0;
}

/** Base64 of bytes. */
export function base64(bytes: Uint8Array): string {
  let text = "";
  for (let at = 0; at < bytes.length; at += 0x8000) {
    text += String.fromCharCode(...bytes.subarray(at, at + 0x8000));
  }
  return btoa(text);
}
