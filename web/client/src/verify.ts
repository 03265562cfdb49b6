/** Whether a model answers here what it answered where it was made. */
import { answersOf, type Named } from "./answers.ts";
import type { Example, Manifest, Output } from "./manifest.ts";
import type { Answer, Reply } from "./replies.ts";

/** One worked example. */
export interface Checked {
  file: string;
  /** Largest difference: of a probability or score, a number as a share of its range, a mask's pixels. */
  difference: number;
  /** Whether the decoded answer (label, labels) is the recorded one. */
  same: boolean;
}

/** What `verify` found. */
export interface Verified {
  ok: boolean;
  /** The largest difference of all. */
  difference: number;
  examples: Checked[];
}

/** Allowed for files that every decoder reads to the same pixels, and for JPEG, where decoders differ a little. */
export const EXACT = 1e-4;
export const LOSSY = 1e-2;
const PLACES = 1e-3; // of points, boxes and masks, as in Python

/** What is allowed for an example. */
export function allowed(example: Example, outputs: readonly Output[]): number {
  if (/\.jpe?g$/i.test(example.file)) return LOSSY;
  return outputs.some((output) => ["points", "boxes", "mask"].includes(output.kind)) ? PLACES : EXACT;
}

/**
 * Compares a reply with a worked example.
 *
 * @param mask - Class indices of a recorded mask, and of the reply's, where there are some.
 */
export function compare(
  manifest: Manifest,
  example: Example,
  reply: Reply,
  mask: [ArrayLike<number>, ArrayLike<number>] | null,
): Checked {
  const parts = "answers" in example ? example.answers : [example];
  const found = parts.map((part, i) => apart(manifest.outputs[i]!, part as Example, reply.answers[i]!, mask));
  return {
    file: example.file,
    difference: Math.max(...found.map(([difference]) => difference)),
    same: found.every(([, same]) => same),
  };
}

type Apart = [difference: number, same: boolean];

function apart(output: Output, wanted: Example, answer: Answer, mask: Parameters<typeof compare>[3]): Apart {
  const recorded = answersIn(output, wanted);
  if (answer.kind === "mask") {
    if (!mask || mask[0].length !== mask[1].length) return [Infinity, false];
    const different = Array.from(mask[0]).filter((index, i) => index !== mask[1][i]).length;
    return [different / mask[0].length, true];
  }
  if (answer.kind === "boxes" && "boxes" in wanted) return boxesApart(wanted.boxes, answer.boxes);
  if (answer.kind === "points" && "points" in wanted) {
    const flat = wanted.points.flat();
    const far = Math.max(100, ...flat.map(Math.abs));
    return [largest(flat, answer.points.flat()) / far, true];
  }
  if (answer.kind === "numbers" && "values" in wanted && output.kind === "numbers") {
    const spread = output.high.map((high, i) => (high > output.low[i]! ? high - output.low[i]! : 1));
    const scaled = (values: number[]) => values.map((value, i) => value / spread[i]!);
    return [largest(scaled(wanted.values), scaled(answer.values.map(({ value }) => value))), true];
  }
  if (!recorded || !("probabilities" in answer)) return [Infinity, false];
  const chances = new Map(answer.probabilities.map(({ label, probability }) => [label, probability]));
  const worst = Math.max(
    ...recorded.probabilities.map(({ label, probability }) =>
      Math.abs(probability - (chances.get(label) ?? NaN)),
    ),
  );
  return [Number.isNaN(worst) ? Infinity : worst, labelsOf(recorded) === labelsOf(answer)];
}

/** What was recorded as an answer. */
function answersIn(output: Output, wanted: Example): Extract<Answer, { probabilities: unknown }> | null {
  if (!("probabilities" in wanted)) return null;
  const probabilities: Named = { data: wanted.probabilities, dims: [1, wanted.probabilities.length] };
  const [answer] = answersOf([output], { probabilities }, null);
  return answer as Extract<Answer, { probabilities: unknown }>;
}

const labelsOf = (answer: Extract<Answer, { probabilities: unknown }>): string =>
  JSON.stringify(answer.kind === "category" ? answer.label : answer.labels);

function largest(a: readonly number[], b: readonly number[]): number {
  if (a.length !== b.length) return Infinity;
  return Math.max(0, ...a.map((value, i) => Math.abs(value - b[i]!)));
}

type Boxes = Extract<Answer, { kind: "boxes" }>["boxes"];

/** The largest difference of scores of boxes that are the same; infinite if one has no counterpart. */
function boxesApart(wanted: Boxes, found: Boxes): Apart {
  let worst = 0;
  for (const [given, others] of [
    [wanted, found],
    [found, wanted],
  ] as const) {
    for (const one of given) {
      const near = others.filter((other) => {
        const far = Math.max(1, 0.01 * Math.max(...one.box));
        return other.label === one.label && largest(one.box, other.box) <= far;
      });
      if (!near.length) return [Infinity, false];
      worst = Math.max(worst, Math.min(...near.map((other) => Math.abs(other.score - one.score))));
    }
  }
  return [worst, true];
}
