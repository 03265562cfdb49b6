// Twin of wiggly/teach/gpus.py: the product of two matrices by loops, what it costs, and how long others would take.

export interface Timing {
  n: number; // rows and columns
  seconds: number; // the quickest
  usual: number; // the median
  repeats: number;
}

export interface Speed {
  name: string;
  kind: "loops" | "cpu" | "gpu";
  about: string;
  timings: Timing[];
  limit: { gflops: number; how: string } | null;
}

/** Additions and multiplications in a product. */
export const operations = (n: number): number => 2 * n ** 3;

/** Billions of them in a second. */
export const gflops = (n: number, seconds: number): number => operations(n) / seconds / 1e9;

/** Lists of rows, one number after the other. */
export function multiplyInLoops(a: number[][], b: number[][]): number[][] {
  return a.map((row) =>
    b[0].map((_, j) => {
      let total = 0;
      for (let k = 0; k < row.length; k++) total += row[k] * b[k][j];
      return total;
    }),
  );
}

/** The same with all numbers of a matrix side by side in memory, read in the order in which they lie there, four sums at a time. */
export function multiplyFlat(a: Float32Array, b: Float32Array, n: number): Float32Array {
  const columns = new Float32Array(n * n);
  for (let k = 0; k < n; k++) for (let j = 0; j < n; j++) columns[j * n + k] = b[k * n + j];
  const product = new Float32Array(n * n);
  const most = n - (n % 4);
  for (let i = 0; i < n; i++)
    for (let j = 0; j < n; j++) {
      const [left, right] = [i * n, j * n];
      let s0 = 0;
      let s1 = 0;
      let s2 = 0;
      let s3 = 0;
      let k = 0;
      for (; k < most; k += 4) {
        s0 += a[left + k] * columns[right + k];
        s1 += a[left + k + 1] * columns[right + k + 1];
        s2 += a[left + k + 2] * columns[right + k + 2];
        s3 += a[left + k + 3] * columns[right + k + 3];
      }
      for (; k < n; k++) s0 += a[left + k] * columns[right + k];
      product[left + j] = s0 + s1 + s2 + s3;
    }
  return product;
}

/** How long a product takes: as timed, or beyond the largest size timed, with eight times the work per doubling. */
export function expected(timings: Timing[], n: number): { seconds: number; timed: boolean } | null {
  const found = timings.find((timing) => timing.n === n);
  if (found) return { seconds: found.seconds, timed: true };
  const last = timings.at(-1);
  if (!last || n < last.n) return null;
  return { seconds: last.seconds * (n / last.n) ** 3, timed: false };
}

/** Seconds as a person says them. */
export function spoken(seconds: number): string {
  const units: [number, string][] = [
    [86400, "days"],
    [3600, "h"],
    [60, "min"],
    [1, "s"],
    [1e-3, "ms"],
    [1e-6, "µs"],
  ];
  const [size, unit] = units.find(([least]) => seconds >= least) ?? [1e-9, "ns"];
  const value = seconds / size;
  return `${value.toFixed(value < 9.95 ? 1 : 0)} ${unit}`;
}
