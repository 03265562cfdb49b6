// Twin of wiggly/teach/rates.py and of the rules of wiggly/train/lr_find.py: which learning rate a search suggests.
import { backward, type Batch, forward, type Network, sgd, toyNetwork, toyPictures } from "./network.ts";

export type Rule = "valley" | "slide" | "steep" | "minimum";

export interface Search {
  rates: number[];
  losses: number[];
  smooth: number[];
  nSteps: number; // that it would have taken had the loss not run away
}

const BETA = 0.98; // weight of the past in the moving average
const DIVERGED = 4; // a search ends where the smoothed loss is this many times its lowest
const FEWEST = 5; // points that a rule needs
const [HIDDEN, SIZE, PICTURES, NOISE] = [8, 12, 120, 0.5]; // of the toy
const pictures = toyPictures(PICTURES, NOISE);

/** The pictures of a step: twelve after twelve, then from the start again. */
function batchOf(step: number): Batch {
  const rows = Array.from({ length: SIZE }, (_, i) => (step * SIZE + i) % PICTURES);
  return { x: rows.map((row) => pictures.x[row]), labels: rows.map((row) => pictures.labels[row]) };
}

function stepped(network: Network, number: number, rate: number): [Network, number] {
  const batch = batchOf(number);
  const made = forward(network, batch);
  return [sgd(network, backward(network, batch, made).weights, rate), made.loss];
}

/** A debiased moving average of all values so far. */
export function smoothed(losses: number[]): number[] {
  let total = 0;
  return losses.map((loss, i) => {
    total = BETA * total + (1 - BETA) * loss;
    return total / (1 - BETA ** (i + 1));
  });
}

/** The losses that such an average was made of. */
export function unsmoothed(smooth: number[]): number[] {
  const totals = smooth.map((value, i) => value * (1 - BETA ** (i + 1)));
  return totals.map((total, i) => (total - BETA * (i ? totals[i - 1] : 0)) / (1 - BETA));
}

/** Trains the toy with a rate that grows by the same factor at every step, until the loss runs away. */
export function search(start = 1e-3, end = 100, nSteps = 150): Search {
  let network = toyNetwork(HIDDEN);
  const rates: number[] = [];
  const losses: number[] = [];
  let [total, lowest] = [0, Infinity];
  const smooth: number[] = [];
  for (let step = 0; step < nSteps; step++) {
    const rate = start * (end / start) ** (step / (nSteps - 1));
    const [moved, loss] = stepped(network, step, rate);
    network = moved;
    total = BETA * total + (1 - BETA) * loss;
    const now = total / (1 - BETA ** (step + 1));
    rates.push(rate);
    losses.push(loss);
    smooth.push(now);
    lowest = Math.min(lowest, now);
    if (now > DIVERGED * lowest) break;
  }
  return { rates, losses, smooth, nSteps };
}

/** The part that rules read: without the start, where nothing moves yet, and the end, where it diverges. */
export function usable(n: number, nSteps: number, diverged: boolean): [number, number] {
  const first = Math.floor(nSteps / 10);
  return n - 5 - first < FEWEST ? [0, n - (diverged ? 1 : 0)] : [first, n - 5];
}

/** Positions of the longest strictly falling part of a sequence, found by patience sorting. */
export function longestDecrease(values: number[]): number[] {
  const lowest: number[] = []; // negated, so that it ascends
  const last: number[] = [];
  const before: number[] = [];
  values.forEach((value, position) => {
    let k = lowest.findIndex((each) => each >= -value);
    if (k < 0) k = lowest.length;
    lowest[k] = -value;
    last[k] = position;
    before.push(k ? last[k - 1] : -1);
  });
  const members = [last[last.length - 1]];
  while (before[members[members.length - 1]] >= 0) members.push(before[members[members.length - 1]]);
  return members.reverse();
}

/** Slopes as NumPy's `gradient` has them: differences to both sides, at the ends to one. */
function slopes(values: number[]): number[] {
  const n = values.length - 1;
  return values.map((value, i) =>
    i === 0 ? values[1] - value : i === n ? value - values[n - 1] : (values[i + 1] - values[i - 1]) / 2,
  );
}

const least = (values: number[]) => values.reduce((best, value, i) => (value < values[best] ? i : best), 0);

export const RULES: Record<Rule, (rates: number[], smooth: number[]) => number> = {
  /** The middle of the longest stretch over which the loss falls. */
  valley: (rates, smooth) => {
    const members = longestDecrease(smooth);
    return rates[members[Math.floor(members.length / 2)]];
  },
  /** The highest rate below which the slope has settled. */
  slide: (rates, smooth) => {
    const steepness = slopes(smooth);
    let low = Math.max(smooth.length - 16, 0);
    let high = smooth.length - 1;
    let found = low;
    while (low >= 0 && Math.abs(steepness[high] - steepness[low]) > 0.005) {
      found = low;
      low -= 1;
      high -= 1;
    }
    return rates[found];
  },
  /** Where the loss falls fastest. */
  steep: (rates, smooth) =>
    rates[
      least(
        smooth
          .slice(1)
          .map((value, i) => (value - smooth[i]) / (Math.log(rates[i + 1]) - Math.log(rates[i]))),
      )
    ],
  /** A tenth of the rate with the lowest loss. */
  minimum: (rates, smooth) => rates[least(smooth)] / 10,
};

/** What the four rules read off a search. */
export function suggestions({ rates, smooth, nSteps }: Pick<Search, "rates" | "smooth" | "nSteps">) {
  const [from, to] = usable(rates.length, nSteps, rates.length < nSteps);
  const [read, losses] = [rates.slice(from, to), smooth.slice(from, to)];
  const found: Record<string, number> = {};
  for (const [name, rule] of Object.entries(RULES)) found[name] = rule(read, losses);
  return found as Record<Rule, number>;
}

/** The toy trained anew at one rate: the loss of each step, then of one more batch. */
export function train(rate: number, nSteps = 60): number[] {
  let network = toyNetwork(HIDDEN);
  return Array.from({ length: nSteps + 1 }, (_, step) => {
    const [moved, loss] = stepped(network, step, rate);
    network = moved;
    return loss;
  });
}
