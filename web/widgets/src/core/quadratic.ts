// Twin of wiggly/teach/quadratic.py: a quadratic, how far it is from points, and the slope of that distance.

export type Abc = [number, number, number];
export type LossName = "square" | "absolute";

export const quadratic = (x: number, [a, b, c]: Abc): number => a * x * x + b * x + c;

/** The mean of the squared, or of the absolute, distances. */
export function distance(abc: Abc, x: number[], y: number[], kind: LossName): number {
  let sum = 0;
  for (let i = 0; i < x.length; i++) {
    const error = quadratic(x[i], abc) - y[i];
    sum += kind === "square" ? error * error : Math.abs(error);
  }
  return sum / x.length;
}

/** By how much the loss changes for each of a, b, c. */
export function slopes(abc: Abc, x: number[], y: number[], kind: LossName): Abc {
  const found: Abc = [0, 0, 0];
  for (let i = 0; i < x.length; i++) {
    const error = quadratic(x[i], abc) - y[i];
    const outer = (kind === "square" ? 2 * error : Math.sign(error)) / x.length;
    [x[i] * x[i], x[i], 1].forEach((inner, k) => {
      found[k] += outer * inner;
    });
  }
  return found;
}

/** The least squares answer, by the normal equations: what the best a, b, c are. */
export function best(x: number[], y: number[]): Abc {
  const basis = x.map((value) => [value * value, value, 1]);
  const rows = [0, 1, 2].map((i) => [
    ...[0, 1, 2].map((k) => basis.reduce((sum, row) => sum + row[i] * row[k], 0)),
    basis.reduce((sum, row, n) => sum + row[i] * y[n], 0),
  ]);
  for (let i = 0; i < 3; i++) {
    const pivot = [0, 1, 2]
      .slice(i)
      .reduce((p, k) => (Math.abs(rows[k][i]) > Math.abs(rows[p][i]) ? k : p), i);
    [rows[i], rows[pivot]] = [rows[pivot], rows[i]];
    for (let k = 0; k < 3; k++) {
      if (k === i) continue;
      const factor = rows[k][i] / rows[i][i];
      rows[k] = rows[k].map((value, n) => value - factor * rows[i][n]);
    }
  }
  return [0, 1, 2].map((i) => rows[i][3] / rows[i][i]) as Abc;
}
