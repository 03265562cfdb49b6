// Twin of wiggly/teach/convolution.py: a small window of weights that slides over a picture.

export type Matrix = number[][];
export type Pair = [number, number]; // down, across

export interface Settings {
  stride: Pair;
  padding: Pair;
  dilation: Pair;
}

export const PLAIN: Settings = { stride: [1, 1], padding: [0, 0], dilation: [1, 1] };

const NINTH = 1 / 9;
export const KERNELS: Record<string, Matrix> = {
  "upright edges": [
    [-1, 0, 1],
    [-2, 0, 2],
    [-1, 0, 1],
  ],
  "level edges": [
    [-1, -2, -1],
    [0, 0, 0],
    [1, 2, 1],
  ],
  outline: [
    [-1, -1, -1],
    [-1, 8, -1],
    [-1, -1, -1],
  ],
  blur: [
    [NINTH, NINTH, NINTH],
    [NINTH, NINTH, NINTH],
    [NINTH, NINTH, NINTH],
  ],
  sharpen: [
    [0, -1, 0],
    [-1, 5, -1],
    [0, -1, 0],
  ],
  nothing: [
    [0, 0, 0],
    [0, 1, 0],
    [0, 0, 0],
  ],
};

/** How many places a window has along one side of a picture; below 1 it does not fit. */
export function outSize(n: number, kernel: number, stride = 1, padding = 0, dilation = 1): number {
  return Math.floor((n + 2 * padding - dilation * (kernel - 1) - 1) / stride) + 1;
}

/** Height and width of the result. */
export function outShape(image: Matrix, kernel: Matrix, { stride, padding, dilation }: Settings): Pair {
  const sizes: Pair = [image.length, image[0].length];
  const window: Pair = [kernel.length, kernel[0].length];
  return sizes.map((n, i) => outSize(n, window[i], stride[i], padding[i], dilation[i])) as Pair;
}

/** Where the weights of a window lie, for the place at row `y`, column `x` of the result; outside is padding. */
export function taps(kernel: Matrix, { stride, padding, dilation }: Settings, y: number, x: number): Pair[] {
  return kernel.flatMap((line, i) =>
    line.map((_, j): Pair => [
      y * stride[0] - padding[0] + i * dilation[0],
      x * stride[1] - padding[1] + j * dilation[1],
    ]),
  );
}

/** What a picture has under one window, zeros outside: one row of the matrix that makes it a product. */
export function windowAt(image: Matrix, kernel: Matrix, settings: Settings, y: number, x: number): number[] {
  return taps(kernel, settings, y, x).map(([row, column]) => image[row]?.[column] ?? 0);
}

/** Every window as a row, left to right, top to bottom. */
export function windows(image: Matrix, kernel: Matrix, settings: Settings): Matrix {
  const [high, wide] = outShape(image, kernel, settings);
  const rows: Matrix = [];
  for (let y = 0; y < high; y++)
    for (let x = 0; x < wide; x++) rows.push(windowAt(image, kernel, settings, y, x));
  return rows;
}

/** The kernel times each window, added up. */
export function convolve(image: Matrix, kernel: Matrix, settings: Settings = PLAIN): Matrix {
  const [high, wide] = outShape(image, kernel, settings);
  const { stride, padding, dilation } = settings;
  return Array.from({ length: Math.max(high, 0) }, (_, y) =>
    Array.from({ length: Math.max(wide, 0) }, (_, x) => {
      let sum = 0;
      for (let i = 0; i < kernel.length; i++) {
        const line = image[y * stride[0] - padding[0] + i * dilation[0]];
        if (!line) continue;
        const left = x * stride[1] - padding[1];
        for (let j = 0; j < kernel[i].length; j++) sum += kernel[i][j] * (line[left + j * dilation[1]] ?? 0);
      }
      return sum;
    }),
  );
}
