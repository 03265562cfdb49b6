/** "People who liked this": items whose factors point the same way, read from the weights of a recommender. */
import { BundleError, InputError } from "./errors.ts";
import { COPY } from "./manifest.ts";
import type { Label } from "./replies.ts";

/** An item and the cosine of its angle to what was chosen, -1 to 1. */
export interface Near {
  label: Label;
  cosine: number;
}

/** Factors of all items, each of length 1, and how often each was rated in training. */
export class Factors {
  readonly #items: readonly Label[];
  readonly #directions: Float64Array[];
  /** Training ratings of each item. */
  readonly counts: number[];

  /**
   * @param weights - The weights.safetensors of a recommender.
   * @param items - The items, without the unknown one.
   */
  constructor(weights: Uint8Array<ArrayBuffer>, items: readonly Label[]) {
    const read = tensorsOf(weights);
    const [rows, width] = read("i_weight.weight", "F32").shape as [number, number];
    const factors = new Float32Array(read("i_weight.weight", "F32").buffer);
    const counts = Array.from(new BigInt64Array(read("i_count", "I64").buffer), Number);
    if (rows !== items.length + 1) {
      throw new BundleError("there must be factors for each item", `there are ${rows} rows`, COPY);
    }
    this.#items = items;
    this.counts = counts.slice(1);
    this.#directions = items.map((_, i) => unit(factors.subarray((i + 1) * width, (i + 2) * width)));
  }

  /** The nearest to the mean of the directions of what was chosen, without it. */
  nearest(chosen: readonly Label[], n: number, least: number): Near[] {
    const places = chosen.map((label) => {
      const place = this.#items.indexOf(label);
      if (place >= 0) return place;
      throw new InputError(
        "an item must be one of training",
        `there is no '${String(label)}'`,
        "Choose another.",
      );
    });
    const mean = new Float64Array(this.#directions[0]?.length ?? 0);
    for (const place of places) this.#directions[place]!.forEach((value, k) => (mean[k]! += value));
    const wanted = unit(mean);
    return this.#items
      .map((label, i) => ({ label, cosine: dot(wanted, this.#directions[i]!), i }))
      .filter(({ i }) => this.counts[i]! >= least && !places.includes(i))
      .sort((a, b) => b.cosine - a.cosine)
      .slice(0, n)
      .map(({ label, cosine }) => ({ label, cosine }));
  }
}

function dot(a: Float64Array, b: Float64Array): number {
  let sum = 0;
  for (let k = 0; k < a.length; k++) sum += a[k]! * b[k]!;
  return sum;
}

function unit(vector: ArrayLike<number>): Float64Array {
  const made = Float64Array.from(vector);
  const length = Math.max(1e-12, Math.sqrt(dot(made, made)));
  return made.map((value) => value / length);
}

/** Tensors of a safetensors file by name. */
function tensorsOf(bytes: Uint8Array<ArrayBuffer>) {
  const length = Number(new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0, true));
  const text = new TextDecoder().decode(bytes.subarray(8, 8 + length));
  const header = JSON.parse(text) as Record<
    string,
    { dtype: string; shape: number[]; data_offsets: [number, number] }
  >;
  return (name: string, dtype: string) => {
    const entry = header[name];
    if (entry?.dtype !== dtype) {
      throw new BundleError(`the weights must have '${name}' as ${dtype}`, "they have not", COPY);
    }
    const [from, to] = entry.data_offsets.map((offset) => 8 + length + offset) as [number, number];
    return { shape: entry.shape, buffer: bytes.slice(from, to).buffer };
  };
}
