/** From a picture file to upright pixels: EXIF turns it, what is transparent becomes white. */
import { DeviceError, InputError } from "../errors.ts";
import { orientationOf, turned } from "./exif.ts";
import type { Pixels } from "./resample.ts";

/** Larger pictures are refused: their pixels would not fit into a phone's memory. */
export const MOST_PIXELS = 100e6;

const STRIP = 4e6; // pixels read at once; canvases have limits of their own
const FILES = "Choose a JPEG, PNG or WebP file.";

/** What pixels can be made from. */
export type Picture = Blob | ImageBitmap | Pixels;

/**
 * Pixels of a picture.
 *
 * @param picture - A file, a decoded picture, or pixels.
 * @param channels - 3 for colour, 1 for grey.
 */
export async function decode(picture: Picture, channels: number): Promise<Pixels> {
  if ("data" in picture) return withChannels(picture, channels);
  if (typeof OffscreenCanvas === "undefined" || typeof createImageBitmap === "undefined") {
    throw new DeviceError(
      "pictures are decoded by the browser",
      "this one has no OffscreenCanvas or createImageBitmap",
      "Use a browser of 2023 or later, or pass pixels.",
    );
  }
  if (!(picture instanceof Blob)) return read(picture, channels);
  const bitmap = await bitmapOf(picture);
  const missing = await missingTurn(picture);
  try {
    return turned(read(bitmap, channels), missing);
  } finally {
    bitmap.close();
  }
}

/** Two pixels side by side that EXIF puts one above the other: does the browser do so? */
const PROBES: Record<string, string> = {
  png:
    "iVBORw0KGgoAAAANSUhEUgAAAAIAAAABCAIAAAB7QOjdAAAAGmVYSWZNTQAqAAAACAABARIAAwAAAAEABgAAAAAAANZnS2kAAAAPSURBVHic" +
    "Y2BgYGBgYAAAAAcAAVchYhkAAAAASUVORK5CYII=",
  webp:
    "UklGRkoAAABXRUJQVlA4WAoAAAAIAAAAAQAAAAAAVlA4TAkAAAAvAQAAAIiI/gcARVhJRhoAAABNTQAqAAAACAABARIAAwAAAAEABgAAAAAA" +
    "AA==",
};

/** The orientation of a file that the browser leaves to us; 1 for none. */
async function missingTurn(file: Blob): Promise<number> {
  const start = new Uint8Array(await file.slice(0, 16).arrayBuffer());
  const kind =
    start[1] === 0x50 && start[2] === 0x4e ? "png" : start[8] === 0x57 && start[9] === 0x45 ? "webp" : "";
  if (!kind) return 1;
  const orientation = orientationOf(new Uint8Array(await file.arrayBuffer()));
  if (orientation === 1) return 1;
  const probe = Uint8Array.from(atob(PROBES[kind]!), (letter) => letter.charCodeAt(0));
  const bitmap = await bitmapOf(new Blob([probe], { type: `image/${kind}` }));
  return bitmap.height === 2 ? 1 : orientation;
}

async function bitmapOf(file: Blob): Promise<ImageBitmap> {
  const name = "name" in file && file.name ? `'${String(file.name)}'` : "the file";
  if (file.size === 0) throw new InputError("a picture must not be empty", `${name} is`, FILES);
  try {
    return await createImageBitmap(file, {
      imageOrientation: "from-image",
      colorSpaceConversion: "none",
      premultiplyAlpha: "none",
    });
  } catch (cause) {
    const what = file.type && !file.type.startsWith("image/") ? ` (${file.type})` : "";
    throw new InputError(
      "a picture must be an image file that this browser can read",
      `${name}${what} is not`,
      FILES,
      { cause },
    );
  }
}

function read(bitmap: ImageBitmap, channels: number): Pixels {
  const { width, height } = bitmap;
  if (width * height > MOST_PIXELS) {
    throw new InputError(
      `a picture must have at most ${MOST_PIXELS / 1e6} million pixels`,
      `this one has ${Math.round((width * height) / 1e6)} million`,
      "Make it smaller first.",
    );
  }
  const data = new Uint8Array(width * height * channels);
  const rows = Math.max(1, Math.min(height, Math.floor(STRIP / width)));
  const canvas = new OffscreenCanvas(width, rows);
  const context = canvas.getContext("2d", { willReadFrequently: true, alpha: true, colorSpace: "srgb" });
  if (!context)
    throw new DeviceError("a canvas is needed", "there is none", "Close other tabs and try again.");
  for (let top = 0; top < height; top += rows) {
    const count = Math.min(rows, height - top);
    context.fillStyle = "white";
    context.fillRect(0, 0, width, rows);
    context.drawImage(bitmap, 0, top, width, count, 0, 0, width, count);
    copy(context.getImageData(0, 0, width, count).data, data, top * width, channels);
  }
  return { data, width, height, channels };
}

function copy(rgba: Uint8ClampedArray, out: Uint8Array, first: number, channels: number): void {
  for (let i = 0; i < rgba.length / 4; i++) {
    const [r, g, b] = [rgba[4 * i]!, rgba[4 * i + 1]!, rgba[4 * i + 2]!];
    const at = (first + i) * channels;
    if (channels === 1) out[at] = grey(r, g, b);
    else {
      out[at] = r;
      out[at + 1] = g;
      out[at + 2] = b;
    }
  }
}

/** ITU-R 601 luma in 16-bit fixed point, rounded: what Pillow's mode "L" is. */
export function grey(r: number, g: number, b: number): number {
  return (r * 19595 + g * 38470 + b * 7471 + 0x8000) >> 16;
}

/** Pixels with so many channels: colour from grey, grey from colour. */
function withChannels(pixels: Pixels, channels: number): Pixels {
  const n = pixels.width * pixels.height;
  if (![1, 3].includes(pixels.channels) || pixels.data.length !== n * pixels.channels) {
    throw new InputError(
      "pixels must have 1 or 3 channels and a byte for each",
      `there are ${pixels.data.length} bytes for ${pixels.width}×${pixels.height}×${pixels.channels}`,
      "Pass { data, width, height, channels }.",
    );
  }
  if (pixels.channels === channels) return pixels;
  const data = new Uint8Array(n * channels);
  for (let i = 0; i < n; i++) {
    if (channels === 3) data.fill(pixels.data[i]!, 3 * i, 3 * i + 3);
    else data[i] = grey(pixels.data[3 * i]!, pixels.data[3 * i + 1]!, pixels.data[3 * i + 2]!);
  }
  return { ...pixels, data, channels };
}
