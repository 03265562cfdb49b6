// Axes in SVG at the size they have on the screen, so that letters are never scaled.
import { nice, s } from "./dom.ts";

export type Range = [number, number];

export interface Box {
  left: number;
  top: number;
  width: number;
  height: number;
}

export interface Axes {
  x: (value: number) => number;
  y: (value: number) => number;
  invertX: (pixel: number) => number;
  invertY: (pixel: number) => number;
  box: Box;
}

/** Round numbers that cover a range, about `count` of them. */
export function ticks([low, high]: Range, count: number): number[] {
  const rough = (high - low) / Math.max(count, 1);
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((m) => m * power).find((size) => size >= rough * 0.999) ?? rough;
  const found: number[] = [];
  for (let i = Math.ceil(low / step - 1e-9); i * step <= high + step * 1e-9; i++)
    found.push(Number((i * step).toPrecision(12)));
  return found;
}

/** Scales between a rectangle of the screen and ranges of numbers. */
export function scales(box: Box, xs: Range, ys: Range): Axes {
  const { left, top, width, height } = box;
  return {
    box,
    x: (value) => left + ((value - xs[0]) / (xs[1] - xs[0])) * width,
    y: (value) => top + height - ((value - ys[0]) / (ys[1] - ys[0])) * height,
    invertX: (pixel) => xs[0] + ((pixel - left) / width) * (xs[1] - xs[0]),
    invertY: (pixel) => ys[0] + ((top + height - pixel) / height) * (ys[1] - ys[0]),
  };
}

/** Grid lines, numbers and the names of the axes. */
export function axesOf(
  axes: Axes,
  xs: Range,
  ys: Range,
  names: { x?: string; y?: string } = {},
): SVGGElement {
  const { left, top, width, height } = axes.box;
  const group = s("g", { "aria-hidden": "true" });
  const labels = (values: number[]) => {
    const step = values.length > 1 ? Math.abs(values[1] - values[0]) : Math.abs(values[0] ?? 1);
    return Math.max(0, Math.min(6, -Math.floor(Math.log10(step || 1) + 1e-9)));
  };
  const across = ticks(xs, width / 70);
  const up = ticks(ys, height / 45);
  for (const value of across) {
    const x = axes.x(value);
    group.append(
      s("line", { class: "grid", x1: x, x2: x, y1: top, y2: top + height }),
      s("text", { x, y: top + height + 16, "text-anchor": "middle" }, nice(value, labels(across))),
    );
  }
  for (const value of up) {
    const y = axes.y(value);
    group.append(
      s("line", { class: value === 0 ? "axis" : "grid", x1: left, x2: left + width, y1: y, y2: y }),
      s("text", { x: left - 7, y: y + 4, "text-anchor": "end" }, nice(value, labels(up))),
    );
  }
  if (names.x)
    group.append(s("text", { x: left + width, y: top + height + 32, "text-anchor": "end" }, names.x));
  if (names.y) group.append(s("text", { x: left - 30, y: top - 8 }, names.y));
  return group;
}

/** The `d` of a path through points. */
export function path(points: [number, number][]): string {
  return points.map(([x, y], i) => `${i ? "L" : "M"}${x.toFixed(1)} ${y.toFixed(1)}`).join("");
}

/** Where a pointer is, in the pixels of an SVG that is drawn at its size on the screen. */
export function pointer(event: PointerEvent | MouseEvent, svg: SVGSVGElement): [number, number] {
  const box = svg.getBoundingClientRect();
  return [event.clientX - box.left, event.clientY - box.top];
}
