/** Which way up a PNG or WebP file is. Browsers turn JPEG files; of these, some do not (WebKit does not). */
import type { Pixels } from "./resample.ts";

/** EXIF's orientation, 1 to 8 (CIPA DC-008, tag 0x0112); 1 where there is none, or it is another kind of file. */
export function orientationOf(bytes: Uint8Array): number {
  const exif =
    ascii(bytes, 1, 3) === "PNG" ? ofPng(bytes) : ascii(bytes, 8, 4) === "WEBP" ? ofWebp(bytes) : null;
  return exif ? (ofTiff(exif) ?? 1) : 1;
}

const ascii = (bytes: Uint8Array, at: number, length: number): string =>
  String.fromCharCode(...bytes.subarray(at, at + length));
const viewOf = (bytes: Uint8Array): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.length);

function ofPng(bytes: Uint8Array): Uint8Array | null {
  const view = viewOf(bytes);
  for (let at = 8; at + 12 <= bytes.length;) {
    const length = view.getUint32(at);
    if (ascii(bytes, at + 4, 4) === "eXIf") return bytes.subarray(at + 8, at + 8 + length);
    at += length + 12;
  }
  return null;
}

function ofWebp(bytes: Uint8Array): Uint8Array | null {
  const view = viewOf(bytes);
  for (let at = 12; at + 8 <= bytes.length;) {
    const length = view.getUint32(at + 4, true);
    if (ascii(bytes, at, 4) === "EXIF") return bytes.subarray(at + 8, at + 8 + length);
    at += 8 + length + (length % 2);
  }
  return null;
}

function ofTiff(exif: Uint8Array): number | null {
  const start = ascii(exif, 0, 4) === "Exif" ? 6 : 0;
  const view = viewOf(exif.subarray(start));
  if (view.byteLength < 8) return null;
  const little = view.getUint16(0) === 0x4949;
  const table = view.getUint32(4, little);
  if (table + 2 > view.byteLength) return null;
  for (let k = 0; k < view.getUint16(table, little); k++) {
    const at = table + 2 + 12 * k;
    if (at + 12 > view.byteLength) return null;
    if (view.getUint16(at, little) !== 0x0112) continue;
    const found = view.getUint16(at + 8, little);
    return found >= 1 && found <= 8 ? found : null;
  }
  return null;
}

/** Pixels turned upright. */
export function turned(pixels: Pixels, orientation: number): Pixels {
  if (orientation === 1) return pixels;
  const { data, channels } = pixels;
  const across = orientation >= 5; // rows become columns
  const [width, height] = across ? [pixels.height, pixels.width] : [pixels.width, pixels.height];
  const fromRight = [2, 3, 7, 8].includes(orientation);
  const fromBelow = [3, 4, 6, 7].includes(orientation);
  const made = new Uint8Array(data.length);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const [left, top] = across ? [y, x] : [x, y];
      const column = fromRight ? pixels.width - 1 - left : left;
      const row = fromBelow ? pixels.height - 1 - top : top;
      const from = (row * pixels.width + column) * channels;
      for (let c = 0; c < channels; c++) made[(y * width + x) * channels + c] = data[from + c]!;
    }
  }
  return { data: made, width, height, channels };
}
