// Twin of wiggly/teach/relus.py: hinges that add up to a wiggly function, and how gradient descent places them.

export interface Hinges {
  bias: number;
  positions: number[];
  bends: number[];
}

export interface Curve {
  x: number[];
  y: number[];
}

/** Adam's memory: one mean and one mean square per number, in the order bias, positions, bends. */
export interface Moments {
  steps: number;
  mean: number[];
  square: number[];
}

// A hinge's position may move this much less in a step than its bend: moved as fast, hinges run into each other
// before they are bent, and stay together.
export const POSITION_SHARE = 0.05;

/** bias + Σ bend · max(x − position, 0). */
export function reluSum(x: number, { bias, positions, bends }: Hinges): number {
  let sum = bias;
  for (let i = 0; i < positions.length; i++) sum += bends[i] * Math.max(x - positions[i], 0);
  return sum;
}

/** The mean square of the distances to the curve, and its gradient. */
export function lossAndGradient(hinges: Hinges, curve: Curve): { loss: number; gradient: number[] } {
  const n = hinges.positions.length;
  const gradient = new Array<number>(1 + 2 * n).fill(0);
  let loss = 0;
  for (let k = 0; k < curve.x.length; k++) {
    const error = reluSum(curve.x[k], hinges) - curve.y[k];
    loss += error * error;
    gradient[0] += 2 * error;
    for (let i = 0; i < n; i++) {
      const right = curve.x[k] - hinges.positions[i];
      if (right <= 0) continue;
      gradient[1 + i] -= 2 * error * hinges.bends[i];
      gradient[1 + n + i] += 2 * error * right;
    }
  }
  const count = curve.x.length;
  return { loss: loss / count, gradient: gradient.map((g) => g / count) };
}

export const noMoments = (n: number): Moments => ({
  steps: 0,
  mean: new Array<number>(1 + 2 * n).fill(0),
  square: new Array<number>(1 + 2 * n).fill(0),
});

/** One step of Adam (Kingma & Ba, arXiv:1412.6980) with its usual settings, positions at a rate of their own. */
export function adamStep(hinges: Hinges, moments: Moments, curve: Curve, lr: number): [Hinges, Moments] {
  const { gradient } = lossAndGradient(hinges, curve);
  const steps = moments.steps + 1;
  const mean = moments.mean.map((m, i) => 0.9 * m + 0.1 * gradient[i]);
  const square = moments.square.map((v, i) => 0.999 * v + 0.001 * gradient[i] ** 2);
  const n = hinges.positions.length;
  const before = [hinges.bias, ...hinges.positions, ...hinges.bends];
  const after = before.map((value, i) => {
    const size = Math.sqrt(square[i] / (1 - 0.999 ** steps)) + 1e-8;
    const rate = i >= 1 && i <= n ? lr * POSITION_SHARE : lr;
    return value - (rate * (mean[i] / (1 - 0.9 ** steps))) / size;
  });
  return [
    { bias: after[0], positions: after.slice(1, 1 + n), bends: after.slice(1 + n) },
    { steps, mean, square },
  ];
}

/** `n` hinges at equal distances, none of them bent: a flat line. */
export function evenly(n: number, width: number): Hinges {
  const positions = Array.from({ length: n }, (_, i) => (i * width) / n);
  return { bias: 0, positions, bends: positions.map(() => 0) };
}

/** A line folded `depth` times: each layer has two ReLUs, and doubles the number of straight pieces. */
export function fold(x: number, depth: number): number {
  let y = x;
  for (let layer = 0; layer < depth; layer++) y = 2 * Math.max(y, 0) - 4 * Math.max(y - 0.5, 0);
  return y;
}

/** One layer of `units` ReLUs laid through the folded line: it meets it at equal distances. */
export function oneLayer(units: number, depth: number): Hinges {
  const positions = Array.from({ length: units }, (_, i) => i / units);
  const at = [...positions, 1].map((x) => fold(x, depth));
  const slopes = positions.map((_, i) => (at[i + 1] - at[i]) * units);
  return { bias: at[0], positions, bends: slopes.map((slope, i) => slope - (i ? slopes[i - 1] : 0)) };
}

/** A curve out of a text: two numbers a line, or one; anything else in it is passed over. */
export function readCurve(text: string): Curve {
  const rows = text
    .split(/\r?\n/)
    .map((line) =>
      line
        .split(/[\s,;]+/)
        .filter(Boolean)
        .map(Number),
    )
    .filter((row) => row.length > 0 && row.every(Number.isFinite));
  const pairs: [number, number][] = rows.map((row, i) => (row.length > 1 ? [row[0], row[1]] : [i, row[0]]));
  pairs.sort((a, b) => a[0] - b[0]);
  return { x: pairs.map((p) => p[0]), y: pairs.map((p) => p[1]) };
}

/** The curve stretched to x from 0 to `width` and y from −`height` to `height`, at `count` equal distances. */
export function stretched(curve: Curve, width: number, height: number, count: number): Curve | null {
  const n = curve.x.length;
  const [low, high] = [Math.min(...curve.y), Math.max(...curve.y)];
  if (n < 2 || curve.x[n - 1] <= curve.x[0]) return null;
  const x = Array.from({ length: count }, (_, i) => (i * width) / (count - 1));
  const scale = (curve.x[n - 1] - curve.x[0]) / width;
  let k = 0;
  const y = x.map((value) => {
    const at = curve.x[0] + value * scale;
    while (k < n - 2 && curve.x[k + 1] < at) k++;
    const gap = curve.x[k + 1] - curve.x[k];
    const part = gap > 0 ? Math.min(Math.max((at - curve.x[k]) / gap, 0), 1) : 0;
    const here = curve.y[k] + part * (curve.y[k + 1] - curve.y[k]);
    return high > low ? ((here - low) / (high - low) - 0.5) * 2 * height : 0;
  });
  return { x, y };
}
