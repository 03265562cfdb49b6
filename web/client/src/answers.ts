/** From what the graph gives to what a person reads: one function for each kind of output. */
import { BundleError } from "./errors.ts";
import type { FoundBox, Output } from "./manifest.ts";
import type { Axis, Placement } from "./pictures/resample.ts";
import { base64, encodePng } from "./png.ts";
import type { Answer, Chance, Label } from "./replies.ts";

/** A tensor that came out. */
export interface Named {
  data: ArrayLike<number | bigint>;
  dims: readonly number[];
}

/** The picture an answer lies on. */
export interface Seen {
  width: number;
  height: number;
  placement: Placement;
}

type Outputs = Readonly<Record<string, Named>>;

/**
 * An answer for each output that model.json describes.
 *
 * @param outputs - Of model.json.
 * @param found - What the graph gave for one item, by name.
 * @param seen - The picture, where there is one.
 */
export function answersOf(outputs: readonly Output[], found: Outputs, seen: Seen | null): Answer[] {
  return outputs.map((output, i) => {
    const get = (name: string): Named => {
      const tensor = found[outputs.length === 1 ? name : `${name}_${i}`];
      if (tensor) return tensor;
      throw new BundleError(
        "a graph must have the outputs that the format names",
        `there is no '${name}'; it has ${Object.keys(found).join(", ")}`,
        "Export the model again.",
      );
    };
    return answerOf(output, get, seen);
  });
}

function answerOf(output: Output, get: (name: string) => Named, seen: Seen | null): Answer {
  switch (output.kind) {
    case "category":
    case "labels":
      return classes(output, numbers(get("probabilities")));
    case "numbers": {
      const values = numbers(get("values"));
      const named = output.names.map((name, i) => ({ name, value: Number(values[i]!.toPrecision(9)) }));
      return { kind: "numbers", values: named };
    }
    case "points":
      return { kind: "points", points: points(numbers(get("points")), seen!) };
    case "boxes":
      return { kind: "boxes", boxes: boxes(output, get, seen!) };
    case "mask":
      return mask(output, get("classes"), seen!);
  }
}

const numbers = (tensor: Named): number[] => Array.from(tensor.data, Number);
const rounded = (value: number, digits: number): number => Number(value.toFixed(digits));

function classes(output: Extract<Output, { vocabulary: Label[] }>, probabilities: number[]): Answer {
  const best = probabilities.map((_, i) => i).sort((a, b) => probabilities[b]! - probabilities[a]! || a - b);
  const chances: Chance[] = best.map((i) => {
    return { label: output.vocabulary[i]!, probability: rounded(probabilities[i]!, 6) };
  });
  const name = "name" in output ? (output.name ?? "") : "";
  if (output.kind === "labels") {
    const labels = output.vocabulary.filter((_, i) => probabilities[i]! > output.threshold);
    return { kind: "labels", name, labels, probabilities: chances };
  }
  const [{ label, probability: confidence } = { label: "", probability: 0 }] = chances;
  const least = output.kind === "category" ? output.unsure?.threshold : undefined;
  const unsure = least !== undefined && !(probabilities[best[0]!]! >= least);
  return { kind: "category", name, label, confidence, unsure, probabilities: chances };
}

/** From -1..1 of the model's picture to pixels of the one that was given. */
function back(unit: number, axis: Axis): number {
  return axis.start + ((unit + 1) / 2) * axis.length * axis.step;
}

function points(units: number[], { placement }: Seen): [number, number][] {
  const found: [number, number][] = [];
  for (let k = 0; k + 1 < units.length; k += 2) {
    const [x, y] = [back(units[k]!, placement.x), back(units[k + 1]!, placement.y)];
    found.push([rounded(x, 3), rounded(y, 3)]);
  }
  return found;
}

function boxes(
  output: Extract<Output, { kind: "boxes" }>,
  get: (name: string) => Named,
  { width, height, placement }: Seen,
): FoundBox[] {
  const [sides, scores, kinds] = [numbers(get("boxes")), numbers(get("scores")), numbers(get("classes"))];
  const inside = (value: number, most: number) => rounded(Math.min(most, Math.max(0, value)), 3);
  return scores.flatMap((score, k) => {
    if (!(score >= output.min_score && score > 0)) return [];
    const [x1, y1, x2, y2] = sides.slice(4 * k, 4 * k + 4) as [number, number, number, number];
    const across = [back(x1, placement.x), back(x2, placement.x)].map((x) => inside(x, width));
    const down = [back(y1, placement.y), back(y2, placement.y)].map((y) => inside(y, height));
    const label = output.vocabulary[kinds[k]!]!;
    return [{ label, score: rounded(score, 6), box: [across[0]!, down[0]!, across[1]!, down[1]!] }];
  });
}

function mask(output: Extract<Output, { kind: "mask" }>, tensor: Named, seen: Seen): Answer {
  const indices = onPicture(tensor, seen, output.void ?? null);
  const counts = new Map<number, number>();
  for (const index of indices) counts.set(index, (counts.get(index) ?? 0) + 1);
  const shares = [...counts]
    .filter(([index]) => index !== output.void && index < output.vocabulary.length)
    .sort((a, b) => b[1] - a[1] || a[0] - b[0])
    .map(([index, n]) => ({ label: output.vocabulary[index]!, share: rounded(n / indices.length, 6) }));
  const png = base64(encodePng(indices, seen.width, seen.height));
  return { kind: "mask", width: seen.width, height: seen.height, classes: shares, png };
}

/** Each pixel of the picture takes the nearest of the mask; beyond it is void, or what its edge says. */
function onPicture(tensor: Named, { width, height, placement }: Seen, empty: number | null): Uint16Array {
  const [maskHeight, maskWidth] = tensor.dims.slice(-2) as [number, number];
  const columns = nearest(width, placement.x, maskWidth, empty !== null);
  const rows = nearest(height, placement.y, maskHeight, empty !== null);
  const found = new Uint16Array(width * height);
  for (let y = 0; y < height; y++) {
    const row = rows[y]! * maskWidth;
    for (let x = 0; x < width; x++) {
      const there = row >= 0 && columns[x]! >= 0;
      found[y * width + x] = there ? Number(tensor.data[row + columns[x]!]) : empty!;
    }
  }
  return found;
}

/** A centre exactly between two pixels of the mask takes the first; ties must not depend on the last digit. */
const TIE = 1e-6;

/** For each source pixel the target pixel that its centre falls into; -1 for none. */
function nearest(source: number, axis: Axis, length: number, cut: boolean): Int32Array {
  return Int32Array.from({ length: source }, (_, i) => {
    const at = Math.floor((i + 0.5 - axis.start) / axis.step - TIE);
    return at >= 0 && at < length ? at : cut ? -1 : Math.min(length - 1, Math.max(0, at));
  });
}
