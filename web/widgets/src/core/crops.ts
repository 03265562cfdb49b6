// Twin of wiggly/teach/crops.py: the parts that RandomResizedCrop and Resize keep, and what is lost of an object.
import { Twister } from "./twister.ts";

export type Box = [number, number, number, number]; // left, top, width, height, in pixels of the photo
export type Size = [number, number]; // height, width

export interface CropSettings {
  minScale: number;
  maxScale: number;
  ratio: [number, number];
}

/** To the nearest whole number; halves go to the even one, as in Python. */
function round(value: number): number {
  const low = Math.floor(value);
  const half = value - low === 0.5;
  return half ? (low % 2 ? low + 1 : low) : Math.round(value);
}

/** One draw of wiggly.RandomResizedCrop. */
export function randomBox(random: Twister, [h, w]: Size, { minScale, maxScale, ratio }: CropSettings): Box {
  const [low, high] = ratio.map(Math.log);
  for (let i = 0; i < 10; i++) {
    const area = h * w * random.uniform(minScale, maxScale);
    const aspect = Math.exp(random.uniform(low, high));
    const [boxW, boxH] = [round(Math.sqrt(area * aspect)), round(Math.sqrt(area / aspect))];
    if (boxW > 0 && boxW <= w && boxH > 0 && boxH <= h)
      return [random.whole(0, w - boxW), random.whole(0, h - boxH), boxW, boxH];
  }
  const aspect = Math.min(Math.max(w / h, ratio[0]), ratio[1]);
  const boxW = Math.max(1, Math.min(w, round(h * aspect)));
  const boxH = Math.max(1, Math.min(h, round(w / aspect)));
  return [Math.floor((w - boxW) / 2), Math.floor((h - boxH) / 2), boxW, boxH];
}

/** One draw of wiggly.Resize(target, "crop"): the largest part of the target's proportions. */
export function largestBox(random: Twister, [h, w]: Size, target: Size): Box {
  const scale = Math.min(h / target[0], w / target[1]);
  const boxH = Math.min(Math.max(1, round(target[0] * scale)), h);
  const boxW = Math.min(Math.max(1, round(target[1] * scale)), w);
  return [random.whole(0, w - boxW), random.whole(0, h - boxH), boxW, boxH];
}

/** `n` draws with the random numbers that Python draws from this seed. */
export function crops(size: Size, n: number, settings: CropSettings, seed: number): Box[] {
  const random = new Twister(seed);
  return Array.from({ length: n }, () => randomBox(random, size, settings));
}

export function largestCrops(size: Size, n: number, target: Size, seed: number): Box[] {
  const random = new Twister(seed);
  return Array.from({ length: n }, () => largestBox(random, size, target));
}

/** The share of the boxes that contain each square of a grid laid over the photo: at the square's centre. */
export function seen(boxes: Box[], size: Size, grid: Size): number[][] {
  const counts = Array.from({ length: grid[0] + 1 }, () => new Array<number>(grid[1] + 1).fill(0));
  const edge = (pixel: number, n: number, squares: number) =>
    Math.min(Math.max(Math.ceil((pixel * squares) / n - 0.5), 0), squares);
  for (const [x, y, w, h] of boxes) {
    const [left, right] = [edge(x, size[1], grid[1]), edge(x + w, size[1], grid[1])];
    const [top, bottom] = [edge(y, size[0], grid[0]), edge(y + h, size[0], grid[0])];
    counts[top][left] += 1;
    counts[top][right] -= 1;
    counts[bottom][left] -= 1;
    counts[bottom][right] += 1;
  }
  const sums = table(counts.slice(0, grid[0]).map((row) => row.slice(0, grid[1])));
  return sums.slice(1).map((row) => row.slice(1).map((sum) => sum / Math.max(boxes.length, 1)));
}

/** Sums of everything above and to the left; one more row and column than the values have. */
function table(values: number[][]): number[][] {
  const sums = [new Array<number>(values[0].length + 1).fill(0)];
  values.forEach((row, y) => {
    const line = [0];
    row.forEach((value, x) => line.push(line[x] + sums[y][x + 1] - sums[y][x] + value));
    sums.push(line);
  });
  return sums;
}

/** Of an object, the share inside each box: a mask's pixels are squares, which a box may cut. */
export function kept(boxes: Box[], mask: boolean[][], size: Size): number[] {
  const sums = table(mask.map((row) => row.map(Number)));
  const [rows, columns] = [mask.length, mask[0].length];
  const at = (y: number, x: number): number => {
    const [top, left] = [Math.min(Math.floor(y), rows - 1), Math.min(Math.floor(x), columns - 1)];
    const [s, t] = [y - top, x - left];
    const low = (1 - t) * sums[top][left] + t * sums[top][left + 1];
    const high = (1 - t) * sums[top + 1][left] + t * sums[top + 1][left + 1];
    return (1 - s) * low + s * high;
  };
  const [sy, sx] = [rows / size[0], columns / size[1]];
  return boxes.map(([x, y, w, h]) => {
    const [top, bottom, left, right] = [y * sy, (y + h) * sy, x * sx, (x + w) * sx];
    const inside = at(bottom, right) - at(top, right) - at(bottom, left) + at(top, left);
    return inside / Math.max(sums[rows][columns], 1e-12);
  });
}

/** The same for an object that is only known by a box around it. */
export function keptOfBox(boxes: Box[], [ox, oy, ow, oh]: Box): number[] {
  const overlap = (a: number, n: number, b: number, m: number) =>
    Math.max(0, Math.min(a + n, b + m) - Math.max(a, b));
  return boxes.map(
    ([x, y, w, h]) => (overlap(x, w, ox, ow) * overlap(y, h, oy, oh)) / Math.max(ow * oh, 1e-12),
  );
}
