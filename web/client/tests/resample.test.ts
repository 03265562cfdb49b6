import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { orientationOf, turned } from "../src/pictures/exif.ts";
import { place, roundHalfEven } from "../src/pictures/geometry.ts";
import { resample, type Pixels } from "../src/pictures/resample.ts";
import { readPng } from "./png.ts";

const noise = (width: number, height: number, channels = 3): Pixels => {
  let seed = 1;
  const data = Uint8Array.from({ length: width * height * channels }, () => {
    seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
    return seed >>> 24;
  });
  return { data, width, height, channels };
};
const resize = (size: unknown, args = {}) => [{ name: "Resize", args: { size, ...args } }];

test("a picture of the right size stays as it is", () => {
  const source = noise(32, 20);
  expect(resample(source, place(resize([20, 32]), 20, 32))).toBe(source);
});

test("half as large is the mean of a triangle", () => {
  const source: Pixels = { data: Uint8Array.from([0, 0, 200, 200]), width: 4, height: 1, channels: 1 };
  const { data } = resample(source, place(resize([1, 2], { method: "squish" }), 1, 4));
  // weights 1/4, 3/4, 3/4, 1/4 around the centre, cut off at the edge: 200 / 7 and 1200 / 7
  expect([...data]).toEqual([29, 171]);
});

test("one value stays one value, whatever the sizes and the border", () => {
  const source: Pixels = { data: new Uint8Array(7 * 311 * 3).fill(77), width: 311, height: 7, channels: 3 };
  for (const method of ["crop", "squish", "pad"]) {
    for (const pad_mode of ["reflection", "border"]) {
      const made = resample(source, place(resize(29, { method, pad_mode }), 7, 311));
      expect(new Set(made.data)).toEqual(new Set([77]));
    }
  }
});

test("zeros stand outside", () => {
  const source: Pixels = { data: new Uint8Array(10 * 20).fill(100), width: 20, height: 10, channels: 1 };
  const { data } = resample(source, place(resize(20, { method: "pad", pad_mode: "zeros" }), 10, 20));
  expect(data[0]).toBe(0);
  expect(data[10 * 20 + 10]).toBe(100);
});

test("a chain is one map", () => {
  const { x, y } = place([...resize(460), ...resize([224, 224])], 375, 500);
  expect(x).toEqual({ start: 62, step: 375 / 224, length: 224 });
  expect(y.start).toBe(0);
  expect([0.5, 1.5, 2.5, 2.4].map(roundHalfEven)).toEqual([0, 2, 2, 2]);
});

test("twelve megapixels take little time", () => {
  const source: Pixels = { data: new Uint8Array(36e6).fill(9), width: 4000, height: 3000, channels: 3 };
  const started = performance.now();
  const made = resample(source, place(resize(224), 3000, 4000));
  expect(made.data.length).toBe(224 * 224 * 3);
  expect(performance.now() - started).toBeLessThan(5000);
});

// The vectors on which the readers of every language are tested.
interface Vector extends Omit<Pixels, "data"> {
  name: string;
  steps: { name: string; args: Record<string, unknown> }[];
  pixels: string;
  placement: Record<"x" | "y", [number, number, number]> & { border: string };
  prepared: { width: number; height: number; pixels: string };
}
const file = new URL("../../../tests/bundle/vectors/vectors.json", import.meta.url);
const { resampling } = JSON.parse(readFileSync(file, "utf8")) as { resampling: Vector[] };
const bytes = (text: string) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));

describe("shared vectors", () => {
  test.each(resampling)("$name", ({ steps, placement, prepared, ...source }) => {
    const found = place(steps, source.height, source.width);
    for (const side of ["x", "y"] as const) {
      const { start, step, length } = found[side];
      placement[side].forEach((value, i) => expect([start, step, length][i]).toBeCloseTo(value, 9));
    }
    expect(found.border).toBe(placement.border);
    const made = resample({ ...source, data: bytes(source.pixels) }, found);
    expect([made.width, made.height]).toEqual([prepared.width, prepared.height]);
    const apart = Array.from(bytes(prepared.pixels), (value, i) => Math.abs(value - made.data[i]!));
    expect(Math.max(...apart)).toBeLessThanOrEqual(1);
    expect(apart.filter(Boolean).length).toBeLessThanOrEqual(apart.length / 100);
  });
});

interface File extends Omit<Pixels, "data"> {
  file: string;
  pixels: string;
}
const { files } = JSON.parse(readFileSync(file, "utf8")) as { files: File[] };
const sides = files.filter(({ file }) => file.startsWith("orientation"));
test.each(sides)("$file is turned upright", ({ file: name, pixels, width, height }) => {
  const content = readFileSync(new URL(name, file));
  const made = turned(readPng(content), orientationOf(content));
  expect([made.width, made.height]).toEqual([width, height]);
  expect([...made.data]).toEqual([...bytes(pixels)]);
});
