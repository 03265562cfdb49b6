// Twin of wiggly/teach/products.py: a matrix product cell by cell, and a convolution written as one.

export type Matrix = number[][];

/** (n, k) times (k, m): each cell is a row of the first times a column of the second, added up. */
export function product(a: Matrix, b: Matrix): Matrix {
  return a.map((row) => (b[0] ?? []).map((_, j) => row.reduce((sum, value, p) => sum + value * b[p][j], 0)));
}

/** Every window of an image as a row, left to right, top to bottom; times a flattened kernel that is a convolution. */
export function patches(image: Matrix, high: number, wide: number): Matrix {
  const rows: Matrix = [];
  for (let y = 0; y + high <= image.length; y++)
    for (let x = 0; x + wide <= image[0].length; x++)
      rows.push(image.slice(y, y + high).flatMap((line) => line.slice(x, x + wide)));
  return rows;
}
