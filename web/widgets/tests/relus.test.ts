import { describe, expect, it } from "vitest";
import {
  adamStep,
  evenly,
  fold,
  lossAndGradient,
  noMoments,
  oneLayer,
  readCurve,
  reluSum,
  stretched,
} from "../src/core/relus.ts";

const curve = {
  x: Array.from({ length: 101 }, (_, i) => i / 10),
  y: Array.from({ length: 101 }, (_, i) => 1.8 * Math.sin(0.13 * i)),
};

describe("hinges", () => {
  it("are flat to their left and straight to their right", () => {
    const hinges = { bias: 1, positions: [2], bends: [3] };
    expect([0, 2, 3, 4].map((x) => reluSum(x, hinges))).toEqual([1, 1, 4, 7]);
  });

  it("have the gradient that small changes measure", () => {
    const hinges = { bias: 0.3, positions: [0.55, 3.33, 7.21], bends: [1.2, -2, 0.7] };
    const { gradient } = lossAndGradient(hinges, curve);
    const flat = [hinges.bias, ...hinges.positions, ...hinges.bends];
    const at = (values: number[]) =>
      lossAndGradient({ bias: values[0], positions: values.slice(1, 4), bends: values.slice(4) }, curve).loss;
    flat.forEach((_, i) => {
      const moved = (by: number) => at(flat.map((v, k) => (k === i ? v + by : v)));
      expect(gradient[i]).toBeCloseTo((moved(1e-6) - moved(-1e-6)) / 2e-6, 4);
    });
  });

  it("come to explain nearly all of a wave", () => {
    let hinges = evenly(12, 10);
    let moments = noMoments(12);
    const before = lossAndGradient(hinges, curve).loss;
    for (let step = 0; step < 1000; step++) [hinges, moments] = adamStep(hinges, moments, curve, 0.05);
    expect(lossAndGradient(hinges, curve).loss).toBeLessThan(0.02 * before);
  });
});

describe("folds", () => {
  it("double the pieces with every layer", () => {
    const turns = (f: (x: number) => number) => {
      const ys = Array.from({ length: 1025 }, (_, i) => f(i / 1024));
      return ys.slice(2).filter((y, i) => Math.abs(y - 2 * ys[i + 1] + ys[i]) > 1e-9).length + 1;
    };
    for (const depth of [1, 2, 3, 4, 5]) expect(turns((x) => fold(x, depth))).toBe(2 ** depth);
    expect(turns((x) => reluSum(x, oneLayer(8, 5)))).toBeLessThanOrEqual(9);
  });
});

describe("a curve from a file", () => {
  it("is read with or without a head, sorted, and stretched to the axes", () => {
    const read = readCurve("x;y\n4; 10\n0; -10\n2; 0\n");
    expect(read).toEqual({ x: [0, 2, 4], y: [-10, 0, 10] });
    const fitted = stretched(read, 10, 2.5, 5);
    expect(fitted?.x).toEqual([0, 2.5, 5, 7.5, 10]);
    expect(fitted?.y).toEqual([-2.5, -1.25, 0, 1.25, 2.5]);
  });

  it("may be one number a line, and nothing is no curve", () => {
    expect(readCurve("3\n5\n")).toEqual({ x: [0, 1], y: [3, 5] });
    expect(stretched(readCurve("hello"), 10, 1, 5)).toBeNull();
  });
});
