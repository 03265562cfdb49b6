// A loss over two parameters, seen from above: colours on a canvas, and lines of equal loss.

export interface Sampled {
  values: number[][]; // [column][row], rows from the bottom
  low: number;
  high: number;
}

/** The height of a colour, 0 for the lowest loss to 1 for the highest; the bottom gets most of the room. */
export function level({ low, high }: Sampled, value: number): number {
  return Math.sqrt(Math.min(Math.max((value - low) / (high - low || 1), 0), 1));
}

export function sample(
  f: (a: number, b: number) => number,
  xs: [number, number],
  ys: [number, number],
  size: number,
): Sampled {
  const at = ([low, high]: [number, number], i: number) => low + ((high - low) * i) / (size - 1);
  const values = Array.from({ length: size }, (_, i) =>
    Array.from({ length: size }, (_, k) => f(at(xs, i), at(ys, k))),
  );
  const finite = values.flat().filter(Number.isFinite);
  return { values, low: Math.min(...finite), high: Math.max(...finite) };
}

const LIGHT = [
  [24, 78, 140],
  [94, 158, 205],
  [186, 214, 228],
  [247, 245, 240],
];
const DARK = [
  [98, 172, 240],
  [44, 104, 168],
  [29, 58, 96],
  [22, 28, 38],
];

function color(t: number, dark: boolean): number[] {
  const ramp = dark ? DARK : LIGHT;
  const position = t * (ramp.length - 1);
  const i = Math.min(Math.floor(position), ramp.length - 2);
  return ramp[i].map((c, k) => c + (position - i) * (ramp[i + 1][k] - c));
}

/** An image of a sampled surface as a data URL, one pixel a sample; the browser smooths it. */
export function heatImage(sampled: Sampled, dark: boolean): string {
  const size = sampled.values.length;
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = size;
  const context = canvas.getContext("2d");
  if (!context) return "";
  const image = context.createImageData(size, size);
  for (let i = 0; i < size; i++)
    for (let k = 0; k < size; k++) {
      const [r, g, b] = color(level(sampled, sampled.values[i][k]), dark);
      image.data.set([r, g, b, 255], 4 * ((size - 1 - k) * size + i));
    }
  context.putImageData(image, 0, 0);
  return canvas.toDataURL();
}

/** Segments of the line on which a sampled surface has a value, in units of samples (marching squares). */
export function contour(values: number[][], value: number): [number, number, number, number][] {
  const found: [number, number, number, number][] = [];
  for (let i = 0; i + 1 < values.length; i++)
    for (let k = 0; k + 1 < values[i].length; k++) {
      const corners: [number, number, number][] = [
        [i, k, values[i][k]],
        [i + 1, k, values[i + 1][k]],
        [i + 1, k + 1, values[i + 1][k + 1]],
        [i, k + 1, values[i][k + 1]],
      ];
      const crossings: [number, number][] = [];
      corners.forEach(([x0, y0, v0], c) => {
        const [x1, y1, v1] = corners[(c + 1) % 4];
        if (v0 < value === v1 < value) return;
        const part = (value - v0) / (v1 - v0);
        crossings.push([x0 + part * (x1 - x0), y0 + part * (y1 - y0)]);
      });
      for (let c = 0; c + 1 < crossings.length; c += 2)
        found.push([...crossings[c], ...crossings[c + 1]] as [number, number, number, number]);
    }
  return found;
}
