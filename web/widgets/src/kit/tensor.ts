// A tensor to look into: shape, ends, mean, and heat maps with the numbers in them.
import type { View } from "../core/step.ts";
import { h, s, short } from "./dom.ts";

export const TENSOR_CSS = `
.wx .tensors { display:flex; flex-wrap:wrap; gap:10px 14px; align-items:flex-start; }
.wx .tensor { margin:0; width:min-content; min-width:150px; max-width:100%; } .wx .tensor .tiles { width:max-content; max-width:calc(100cqw - 40px); } .wx .tensor .tiles { display:flex; flex-wrap:wrap; gap:6px; margin-top:4px; }
.wx .tensor .tiles svg { width:auto; max-width:100%; touch-action:manipulation; }
.wx .tensor figcaption { font-size:13.5px; } .wx .tensor figcaption b { font-weight:650; }
.wx .tensor .at { min-height:1.4em; }
`;

const NUMBERS_FROM = 31; // pixels of a square that has room for its number
const [LARGEST, SMALLEST, TALLEST] = [38, 9, 23];

/** Writes numbers up to `most` with two digits that count; very small or large ones as parts of a power of ten. */
function writer(most: number): { write: (value: number) => string; power: number } {
  const size = most > 0 ? Math.floor(Math.log10(most)) : 0;
  const power = size < -2 || size > 2 ? size : 0;
  const digits = Math.max(0, Math.min(3, 1 - (size - power)));
  const write = (value: number) => {
    const text = (value / 10 ** power).toFixed(digits);
    return Number(text) === 0 ? "0" : text.replace("-", "−").replace(/^(−?)0\./, "$1.");
  };
  return { write, power };
}

/** A square's colour: blue above 0, orange below, stronger the further from it. */
export function paint(value: number, most: number): { fill: string; "fill-opacity": string } {
  const share = most > 0 ? Math.min(Math.abs(value) / most, 1) : 0;
  return {
    fill: value < 0 ? "var(--model)" : "var(--data)",
    "fill-opacity": value === 0 ? "0.03" : (0.07 + 0.6 * share).toFixed(3),
  };
}

/** A figure of it, `room` pixels wide at most. */
export function tensor(name: string, view: View, room: number): HTMLElement {
  const ends =
    view.min === null || view.max === null ? "" : ` · min ${short(view.min)} · max ${short(view.max)}`;
  const count = view.shape.reduce((a, b) => a * b, 1);
  const most = Math.max(...view.tiles.flat(2).map(Math.abs));
  const { write, power } = writer(most);
  const mean = Math.abs(view.mean) < 1e-9 * most ? 0 : view.mean; // what rounding has left of nothing
  const wide = Math.max(...view.tiles.map((rows) => rows[0]?.length ?? 0));
  const note = [
    view.note,
    power && squareOf(view, wide, room) >= NUMBERS_FROM ? `in units of ${unit(power)}` : "",
  ];
  const rest = note.filter(Boolean).join("; ");
  const at = h("div", { class: "small at", "aria-live": "polite" }, rest);
  const tiles = h("div", { class: "tiles" });
  view.tiles.forEach((rows, number) => tiles.append(tile(rows, view, number, most, room, write, at, rest)));
  return h(
    "figure",
    { class: "tensor", "data-tensor": name },
    h(
      "figcaption",
      {},
      h("b", {}, name),
      ` ${view.shape.length ? view.shape.join("×") : "one number"}`,
      h("span", { class: "small" }, count > 1 ? `${ends} · mean ${short(mean)}` : ""),
    ),
    tiles,
    at,
  );
}

const unit = (power: number) => short(10 ** power).replace(/^1\.0+·|(?<=\.0*1)0+$/, "");

/** How wide a square of a heat map is. */
function squareOf(view: View, wide: number, room: number): number {
  const share = view.tiles.length > 1 ? Math.min(room, Math.max(90, room / view.tiles.length - 6)) : room;
  return Math.max(SMALLEST, Math.min(LARGEST, Math.floor(share / Math.max(wide, 1))));
}

function tile(
  rows: number[][],
  view: View,
  number: number,
  most: number,
  room: number,
  write: (value: number) => string,
  at: HTMLElement,
  note: string,
): SVGSVGElement {
  const [high, wide] = [rows.length, rows[0]?.length ?? 0];
  const cell = squareOf(view, wide, room);
  const tall = Math.min(cell, TALLEST);
  const svg = s("svg", {
    width: wide * cell,
    height: high * tall,
    viewBox: `0 0 ${wide * cell} ${high * tall}`,
    role: "img",
    "aria-label": `${high} by ${wide} numbers from ${short(Math.min(...rows.flat()))} to ${short(Math.max(...rows.flat()))}`,
  });
  rows.forEach((row, i) =>
    row.forEach((value, j) => {
      const place = { x: j * cell, y: i * tall, width: cell - 1, height: tall - 1 };
      svg.append(s("rect", { ...place, rx: 3, ...paint(value, most) }));
      if (cell >= NUMBERS_FROM && tall >= 18)
        svg.append(
          s(
            "text",
            {
              x: (j + 0.5) * cell,
              y: i * tall + tall / 2 + 4,
              "text-anchor": "middle",
              style: `fill:var(--ink);font-size:${write(value).length > 4 ? 10.5 : 12}px`,
            },
            write(value),
          ),
        );
    }),
  );
  const tell = (event: PointerEvent) => {
    const box = svg.getBoundingClientRect();
    const j = Math.floor(((event.clientX - box.left) / box.width) * wide);
    const i = Math.floor(((event.clientY - box.top) / box.height) * high);
    const value = rows[i]?.[j];
    if (value === undefined) return;
    const which = view.tiles.length > 1 ? `picture ${number + 1}, ` : "";
    at.textContent = `${which}row ${i + 1}, column ${j + 1}: ${short(value)}`;
  };
  svg.addEventListener("pointermove", tell);
  svg.addEventListener("pointerdown", tell);
  svg.addEventListener("pointerleave", () => {
    at.textContent = note;
  });
  return svg;
}
