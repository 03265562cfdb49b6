// Twin of wiggly/teach/descent.py: losses of two parameters, and gradient descent with momentum on them.

export interface Grid {
  first: number[]; // values of the first parameter, ascending, at equal distances
  second: number[];
  loss: number[][]; // loss[i][k] at first[i], second[k]
  slopeFirst: number[][];
  slopeSecond: number[][];
}

export interface Surface {
  loss: (a: number, b: number) => number;
  gradient: (a: number, b: number) => [number, number];
  first: [number, number];
  second: [number, number];
  names: [string, string];
  start: [number, number];
}

export interface Ball {
  at: [number, number];
  velocity: [number, number];
}

/** Points that a line is fitted to. */
export const LINE_X = [-1.6, -1.2, -0.9, -0.5, -0.2, 0.1, 0.4, 0.8, 1.1, 1.5];
export const LINE_Y = [-1.9, -0.7, -0.8, -0.1, 0.5, 0.3, 1.2, 1.3, 2.1, 2.0];

const mean = (values: number[]) => values.reduce((a, b) => a + b, 0) / values.length;

export const SURFACES: Record<"bowl" | "valley" | "line" | "hills", Surface> = {
  bowl: {
    loss: (a, b) => a * a + b * b,
    gradient: (a, b) => [2 * a, 2 * b],
    first: [-2, 2],
    second: [-2, 2],
    names: ["a", "b"],
    start: [-1.6, 1.2],
  },
  valley: {
    // Twenty times steeper across than along; turned, so that neither parameter is alone to blame.
    loss: (a, b) => 2 * (0.6 * a + 0.8 * b) ** 2 + 0.1 * (0.8 * a - 0.6 * b) ** 2,
    gradient: (a, b) => {
      const across = 4 * (0.6 * a + 0.8 * b);
      const along = 0.2 * (0.8 * a - 0.6 * b);
      return [0.6 * across + 0.8 * along, 0.8 * across - 0.6 * along];
    },
    first: [-2, 2],
    second: [-2, 2],
    names: ["a", "b"],
    start: [-1.7, 0.4],
  },
  line: {
    loss: (a, b) => mean(LINE_X.map((x, i) => (a * x + b - LINE_Y[i]) ** 2)),
    gradient: (a, b) => {
      const errors = LINE_X.map((x, i) => a * x + b - LINE_Y[i]);
      return [2 * mean(errors.map((e, i) => e * LINE_X[i])), 2 * mean(errors)];
    },
    first: [-1, 3],
    second: [-2, 2],
    names: ["slope", "height"],
    start: [-0.6, -1.5],
  },
  hills: {
    loss: (a, b) => 0.6 * (a * a - 1) ** 2 + 0.5 * (b - 0.5 * a) ** 2 + 0.3 * a + 0.5,
    gradient: (a, b) => [2.4 * a * (a * a - 1) - 0.5 * (b - 0.5 * a) + 0.3, b - 0.5 * a],
    first: [-2, 2],
    second: [-2, 2],
    names: ["a", "b"],
    start: [1.7, -1.5],
  },
};

/** One step of SGD with momentum, as torch.optim.SGD takes it: v ← m·v + g, p ← p − lr·v. */
export function sgdStep(ball: Ball, gradient: [number, number], lr: number, momentum: number): Ball {
  const velocity = [0, 1].map((i) => momentum * ball.velocity[i] + gradient[i]) as [number, number];
  return { at: [0, 1].map((i) => ball.at[i] - lr * velocity[i]) as [number, number], velocity };
}

/** The largest curvature at a point: the largest eigenvalue of the matrix of second derivatives, measured. */
export function curvature(surface: Surface, a: number, b: number): number {
  const e = (surface.first[1] - surface.first[0]) * 1e-4;
  const [right, left] = [surface.gradient(a + e, b), surface.gradient(a - e, b)];
  const [up, down] = [surface.gradient(a, b + e), surface.gradient(a, b - e)];
  const aa = (right[0] - left[0]) / (2 * e);
  const bb = (up[1] - down[1]) / (2 * e);
  const ab = (right[1] - left[1] + up[0] - down[0]) / (4 * e);
  return (aa + bb) / 2 + Math.hypot((aa - bb) / 2, ab);
}

/** The lowest point of a surface, of those on a grid. */
export function lowest(surface: Surface, size = 61): [number, number] {
  let best: [number, number] = surface.start;
  let least = Infinity;
  for (let i = 0; i < size; i++)
    for (let k = 0; k < size; k++) {
      const a = surface.first[0] + ((surface.first[1] - surface.first[0]) * i) / (size - 1);
      const b = surface.second[0] + ((surface.second[1] - surface.second[0]) * k) / (size - 1);
      const loss = surface.loss(a, b);
      if (loss < least) [best, least] = [[a, b], loss];
    }
  return best;
}

/** Of measured losses and slopes a surface: between grid points the four nearest tangent planes are blended. */
export function measured(grid: Grid, names: [string, string], start: [number, number]): Surface {
  const ends = (values: number[]): [number, number] => [values[0], values[values.length - 1]];
  const place = (values: number[], value: number): [number, number] => {
    const position = ((value - values[0]) / (values[values.length - 1] - values[0])) * (values.length - 1);
    const i = Math.min(Math.max(Math.floor(position), 0), values.length - 2);
    return [i, Math.min(Math.max(position - i, 0), 1)];
  };
  const blend = (a: number, b: number, value: (i: number, k: number) => number): number => {
    const [i, s] = place(grid.first, a);
    const [k, t] = place(grid.second, b);
    const low = (1 - t) * value(i, k) + t * value(i, k + 1);
    const high = (1 - t) * value(i + 1, k) + t * value(i + 1, k + 1);
    return (1 - s) * low + s * high;
  };
  return {
    loss: (a, b) =>
      blend(
        a,
        b,
        (i, k) =>
          grid.loss[i][k] +
          grid.slopeFirst[i][k] * (a - grid.first[i]) +
          grid.slopeSecond[i][k] * (b - grid.second[k]),
      ),
    gradient: (a, b) => [
      blend(a, b, (i, k) => grid.slopeFirst[i][k]),
      blend(a, b, (i, k) => grid.slopeSecond[i][k]),
    ],
    first: ends(grid.first),
    second: ends(grid.second),
    names,
    start,
  };
}
