/**
 * From a picture's pixels to the model's: one resampling by the antialiased triangle filter, as the bundle format
 * specifies it. Centres of pixels are at halves, the filter reaches max(1, source pixels per target pixel) to both
 * sides, its weights within the picture add up to 1, and the sum is rounded once.
 */

/** 8-bit pixels, row by row. */
export interface Pixels {
  data: Uint8Array | Uint8ClampedArray;
  width: number;
  height: number;
  /** 1 (grey) or 3 (red, green, blue). */
  channels: number;
}

/** What lies outside a picture. */
export type Border = "reflection" | "border" | "zeros";

/** One axis of the prepared picture: the place `v` in it shows `start + v * step` of the source. */
export interface Axis {
  /** Where its edge lies, in source pixels. */
  start: number;
  /** Source pixels per prepared pixel. */
  step: number;
  /** Prepared pixels. */
  length: number;
}

/** Where every prepared pixel comes from. */
export interface Placement {
  x: Axis;
  y: Axis;
  border: Border;
}

/** For each prepared pixel the first source pixel it sees, and the weights of those from there on. */
export interface Taps {
  first: Int32Array;
  weights: Float64Array;
  /** Weights for each prepared pixel. */
  most: number;
}

/** A little more than a half: sums in another order must not fall to another side of an exact half. */
const HALF = 0.5 + 2 ** -10;

/** A centre on the picture's edge is inside, however its place was rounded. */
const EDGE = 2 ** -20;

/** A picture as the model takes it; the picture itself where it fits already. */
export function resample(source: Pixels, { x, y, border }: Placement): Pixels {
  if (isSame(x, source.width) && isSame(y, source.height)) return source;
  const across = taps(x, source.width, border);
  const down = taps(y, source.height, border);
  const size = x.length * source.channels;
  const [top, bottom] = seen(down, source.height);
  const rows = new Float32Array(Math.max(0, bottom - top) * size);
  for (let row = top; row < bottom; row++) alongRow(source, row, across, rows, (row - top) * size);
  const data = new Uint8Array(y.length * size);
  const sums = new Float64Array(size);
  for (let row = 0; row < y.length; row++) {
    sums.fill(0);
    for (let k = 0; k < down.most; k++) {
      const weight = down.weights[row * down.most + k]!;
      if (weight === 0) continue;
      const at = (down.first[row]! + k - top) * size;
      for (let i = 0; i < size; i++) sums[i]! += weight * rows[at + i]!;
    }
    for (let i = 0; i < size; i++)
      data[row * size + i] = Math.min(255, Math.max(0, Math.floor(sums[i]! + HALF)));
  }
  return { data, width: x.length, height: y.length, channels: source.channels };
}

function isSame(axis: Axis, length: number): boolean {
  return axis.start === 0 && axis.step === 1 && axis.length === length;
}

/** The weights along one axis of `n` source pixels. */
export function taps(axis: Axis, n: number, border: Border): Taps {
  const reach = Math.max(1, axis.step);
  const most = Math.floor(2 * reach) + 2;
  const first = new Int32Array(axis.length);
  const weights = new Float64Array(axis.length * most);
  for (let i = 0; i < axis.length; i++) {
    const centre = axis.start + (i + 0.5) * axis.step;
    const outside = centre < -EDGE || centre > n + EDGE;
    const place = outside ? folded(centre - 0.5, n, border) : centre - 0.5;
    first[i] = Math.ceil(place - reach);
    if (outside && border === "zeros") continue;
    let sum = 0;
    for (let k = 0; k < most; k++) {
      const at = first[i]! + k;
      if (at < 0 || at >= n) continue;
      const weight = Math.max(0, 1 - Math.abs(at - place) / reach);
      weights[i * most + k] = weight;
      sum += weight;
    }
    for (let k = 0; k < most; k++) weights[i * most + k]! /= sum;
  }
  return { first, weights, most };
}

/** A place outside the picture brought into it; places count from the centre of the first pixel. */
function folded(place: number, n: number, border: Border): number {
  if (border !== "reflection" || n === 1) return Math.min(n - 1, Math.max(0, place));
  const period = 2 * (n - 1);
  const back = Math.abs(place) % period;
  return Math.min(back, period - back);
}

/** The source pixels that are looked at: the first, and the first that is not any more. */
function seen({ first, most }: Taps, n: number): [number, number] {
  let low = n;
  let high = 0;
  for (const at of first) {
    low = Math.min(low, Math.max(0, at));
    high = Math.max(high, Math.min(n, at + most));
  }
  return [low, high];
}

function alongRow(source: Pixels, row: number, across: Taps, out: Float32Array, at: number): void {
  const { data, channels, width } = source;
  const { first, weights, most } = across;
  const start = row * width * channels;
  for (let x = 0; x < first.length; x++) {
    const low = Math.max(0, -first[x]!);
    const high = Math.min(most, width - first[x]!);
    for (let c = 0; c < channels; c++) {
      let sum = 0;
      for (let k = low; k < high; k++) {
        sum += weights[x * most + k]! * data[start + (first[x]! + k) * channels + c]!;
      }
      out[at + x * channels + c] = sum;
    }
  }
}
