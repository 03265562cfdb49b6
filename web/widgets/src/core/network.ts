// Twin of wiggly/teach/network.py: a network of two layers by hand, and the small pictures it learns.

export type Matrix = number[][];

export interface Network {
  first: Matrix; // (pixels, hidden)
  firstBias: number[];
  second: Matrix; // (hidden, classes)
  secondBias: number[];
}

export interface Pass {
  sums: Matrix; // outputs of the first layer, (n, hidden)
  hidden: Matrix; // after the ReLU
  logits: Matrix; // outputs of the second layer, (n, classes)
  probabilities: Matrix;
  losses: number[]; // of each item
  loss: number; // their mean
}

export interface Gradients {
  weights: Network;
  sums: Matrix;
  hidden: Matrix;
  logits: Matrix;
}

export interface Batch {
  x: Matrix;
  labels: number[];
}

export const SIDE = 4; // pixels of a picture
export const KINDS = ["across", "upright", "slanted"];
const FACTOR = 16807;
const MODULUS = 2 ** 31 - 1;

const times = (a: Matrix, b: Matrix): Matrix =>
  a.map((row) => b[0].map((_, j) => row.reduce((sum, value, p) => sum + value * b[p][j], 0)));
const turned = (a: Matrix): Matrix => a[0].map((_, j) => a.map((row) => row[j]));
const added = (a: Matrix, bias: number[]): Matrix => a.map((row) => row.map((value, j) => value + bias[j]));
const columnSums = (a: Matrix): number[] => a[0].map((_, j) => a.reduce((sum, row) => sum + row[j], 0));
const mean = (values: number[]): number => values.reduce((a, b) => a + b, 0) / values.length;

/** Inputs times weights, ReLU, times weights, softmax, −ln of the true class's probability. */
export function forward(network: Network, { x, labels }: Batch): Pass {
  const sums = added(times(x, network.first), network.firstBias);
  const hidden = sums.map((row) => row.map((value) => Math.max(value, 0)));
  const logits = added(times(hidden, network.second), network.secondBias);
  const shifted = logits.map((row) => row.map((z) => z - Math.max(...row)));
  const totals = shifted.map((row) => row.reduce((sum, z) => sum + Math.exp(z), 0));
  const probabilities = shifted.map((row, i) => row.map((z) => Math.exp(z) / totals[i]));
  const losses = shifted.map((row, i) => Math.log(totals[i]) - row[labels[i]]);
  return { sums, hidden, logits, probabilities, losses, loss: mean(losses) };
}

/** The chain rule, from the loss back to the first weights. */
export function backward(network: Network, { x, labels }: Batch, made: Pass): Gradients {
  const logits = made.probabilities.map((row, i) =>
    row.map((p, j) => (p - (j === labels[i] ? 1 : 0)) / x.length),
  );
  const hidden = times(logits, turned(network.second));
  const sums = hidden.map((row, i) => row.map((value, j) => (made.sums[i][j] > 0 ? value : 0)));
  const weights = {
    first: times(turned(x), sums),
    firstBias: columnSums(sums),
    second: times(turned(made.hidden), logits),
    secondBias: columnSums(logits),
  };
  return { weights, sums, hidden, logits };
}

/** One step: every weight minus learning rate times its gradient. */
export function sgd(network: Network, gradient: Network, lr: number): Network {
  const moved = (a: number[], b: number[]) => a.map((value, i) => value - lr * b[i]);
  return {
    first: network.first.map((row, i) => moved(row, gradient.first[i])),
    firstBias: moved(network.firstBias, gradient.firstBias),
    second: network.second.map((row, i) => moved(row, gradient.second[i])),
    secondBias: moved(network.secondBias, gradient.secondBias),
  };
}

/** Numbers from 0 to 1 that Python draws alike (Park and Miller, Communications of the ACM 31, 1988). */
export function uniform(n: number, seed: number): number[] {
  let state = seed;
  return Array.from({ length: n }, () => {
    state = (state * FACTOR) % MODULUS;
    return state / MODULUS;
  });
}

/** Weights as torch's linear layers begin: even between ±1/√(inputs), here with biases of zero. */
export function toyNetwork(hidden = 4, seed = 21): Network {
  const [pixels, classes] = [SIDE * SIDE, KINDS.length];
  const drawn = uniform((pixels + classes) * hidden, seed).map((value) => 2 * value - 1);
  const matrix = (rows: number, columns: number, from: number) =>
    Array.from({ length: rows }, (_, i) =>
      Array.from({ length: columns }, (_, j) => drawn[from + i * columns + j] / Math.sqrt(rows)),
    );
  return {
    first: matrix(pixels, hidden, 0),
    firstBias: new Array<number>(hidden).fill(0),
    second: matrix(hidden, classes, pixels * hidden),
    secondBias: new Array<number>(classes).fill(0),
  };
}

/** Small noisy pictures of a bar that lies across, stands upright, or is slanted; the kinds take turns. */
export function toyPictures(n: number, noise = 0.3, seed = 5): Batch {
  const size = SIDE * SIDE;
  const drawn = uniform(n * (1 + size), seed);
  const labels = Array.from({ length: n }, (_, i) => i % KINDS.length);
  const x = labels.map((label, i) => {
    const at = i * (1 + size);
    const place = 1 + Math.floor(2 * drawn[at]);
    return Array.from({ length: size }, (_, k) => {
      const [row, column] = [Math.floor(k / SIDE), k % SIDE];
      const bar = [row === place, column === place, row === column][label];
      return noise * drawn[at + 1 + k] + (bar ? 1 - noise : 0);
    });
  });
  return { x, labels };
}
