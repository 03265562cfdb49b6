// Matrices as squares: a picture made of them, numbers on top where there is room, a window drawn around some.
import { nice, s } from "./dom.ts";
import { canvasOf } from "./picture.ts";

export type Colour = [number, number, number];
export type Shade = (value: number) => Colour;

/** From black to white. */
export function greys(low: number, high: number): Shade {
  return (value) => {
    const level = Math.round((255 * (Math.min(Math.max(value, low), high) - low)) / (high - low || 1));
    return [level, level, level];
  };
}

/** Orange above nought, blue below it, as strong as the number is large. */
export function twoSided(limit: number, dark: boolean): Shade {
  const paper = dark ? [32, 37, 45] : [250, 250, 248];
  const [above, below] = dark
    ? [
        [255, 143, 97],
        [112, 181, 255],
      ]
    : [
        [217, 72, 15],
        [28, 109, 208],
      ];
  return (value) => {
    const part = Math.min(Math.abs(value) / (limit || 1), 1) ** 0.8;
    const end = value < 0 ? below : above;
    return paper.map((c, i) => Math.round(c + part * (end[i] - c))) as Colour;
  };
}

const inkOn = ([r, g, b]: Colour) => (0.3 * r + 0.59 * g + 0.11 * b > 140 ? "#14171c" : "#fff");

/** A matrix as a picture of one pixel a number; what is `null` stays clear. */
export function cellsUrl(values: (number | null)[][], shade: Shade): string {
  const canvas = canvasOf(values[0].length, values.length);
  const pen = canvas.getContext("2d");
  if (!pen) return "";
  const image = pen.createImageData(canvas.width, canvas.height);
  values.forEach((line, y) =>
    line.forEach((value, x) => {
      if (value !== null) image.data.set([...shade(value), 255], 4 * (y * canvas.width + x));
    }),
  );
  pen.putImageData(image, 0, 0);
  return canvas.toDataURL();
}

export interface Spot {
  left: number;
  top: number;
  cell: number;
}

const ROOM = 15; // pixels a square needs to carry a number

/** A number as short as a square allows. */
export function brief(value: number, digits = 1): string {
  if (Number.isInteger(value)) return nice(value, 0);
  return nice(value, digits).replace(/^(−?)0\./, "$1.");
}

/** Squares, with numbers where they fit. */
export function cells(values: (number | null)[][], spot: Spot, shade: Shade, digits = 1): SVGGElement {
  const { left, top, cell } = spot;
  const group = s("g", { "pointer-events": "none" });
  group.append(
    s("image", {
      href: cellsUrl(values, shade),
      x: left,
      y: top,
      width: cell * values[0].length,
      height: cell * values.length,
      preserveAspectRatio: "none",
      style: "image-rendering:pixelated",
    }),
  );
  if (cell < ROOM) return group;
  values.forEach((line, y) =>
    line.forEach((value, x) => {
      if (value === null) return;
      const text = brief(value, digits);
      const size = Math.min(15, 0.5 * cell, (1.35 * cell) / text.length);
      group.append(
        s("rect", {
          x: left + x * cell,
          y: top + y * cell,
          width: cell,
          height: cell,
          fill: "none",
          stroke: "var(--line)",
          "stroke-width": 0.6,
        }),
        s(
          "text",
          {
            x: left + (x + 0.5) * cell,
            y: top + (y + 0.5) * cell + 0.36 * size,
            "text-anchor": "middle",
            style: `fill:${inkOn(shade(value))};font-size:${size}px;font-weight:600`,
          },
          text,
        ),
      );
    }),
  );
  return group;
}

/** A frame around squares. */
export function frameOf(
  spot: Spot,
  row: number,
  column: number,
  high: number,
  wide: number,
  stroke: string,
): SVGRectElement {
  return s("rect", {
    x: spot.left + column * spot.cell,
    y: spot.top + row * spot.cell,
    width: wide * spot.cell,
    height: high * spot.cell,
    fill: "none",
    stroke,
    "stroke-width": 2.5,
    rx: 2,
    "pointer-events": "none",
  });
}
