// Fit by hand: three sliders, points, and a loss; then the gradient says which way to turn each of them.
import { type Abc, best, distance, type LossName, quadratic, slopes } from "../core/quadratic.ts";
import { button, choice, slider } from "../kit/controls.ts";
import { h, nice, s, short } from "../kit/dom.ts";
import type { Code } from "../kit/frame.ts";
import { explorable, type Home } from "../kit/host.ts";
import { Player } from "../kit/player.ts";
import { type Axes, axesOf, path, type Range, scales } from "../kit/plot.ts";

interface Data {
  code?: Code | null;
  points?: { x: number[]; y: number[] } | null;
}
interface Fit {
  abc: Abc;
  loss: number;
}

// Of 3x² + 2x + 1 with a little noise, drawn once.
const TOY_X = Array.from({ length: 20 }, (_, i) => -2 + (4 * i) / 19);
const NOISE = [
  0.9, -1.2, 0.4, 1.6, -0.3, -1.4, 0.7, 0.2, -0.8, 1.1, -0.5, 0.6, -1.0, 1.3, -0.2, 0.8, -1.5, 0.3, 1.0, -0.6,
];
const TOY_Y = TOY_X.map((x, i) => 3 * x * x + 2 * x + 1 + NOISE[i]);
const NAMES = ["a", "b", "c"] as const;

function build({ frame, data, report }: Home<Data>) {
  const x = data.points?.x ?? TOY_X;
  const y = data.points?.y ?? TOY_Y;
  const answer = best(x, y);
  const reach = [0, 1, 2].map((k) => {
    const size = Math.max(2 * Math.abs(answer[k]), 2);
    return Number(size.toPrecision(1));
  });
  const start = reach.map((size, k) => [0.1, -0.5, -0.6][k] * size) as Abc;
  // Below 2 ÷ the largest curvature, so that steps shrink; the trace of the second derivatives bounds it.
  const rate = 1 / (x.reduce((sum, v) => sum + v ** 4 + v ** 2 + 1, 0) * (2 / x.length));
  let kind: LossName = "square";
  let helped = false;
  let lowest = Infinity;

  const fitted = (abc: Abc): Fit => ({ abc, loss: distance(abc, x, y, kind) });
  const player = new Player<Fit>(frame, {
    first: () => fitted(start),
    next: ({ abc, loss }) => {
      const slope = slopes(abc, x, y, kind);
      // Absolute errors have slopes of one size: the step shrinks with the loss instead.
      const step = kind === "square" ? 1.2 * rate : (rate * loss) / 2;
      const moved = abc.map((value, k) => value - step * slope[k]) as Abc;
      return Math.hypot(...slope) < 1e-4 ? null : fitted(moved);
    },
    show: () => draw(),
    perSecond: () => 20,
  });

  const sliders = NAMES.map((name, k) =>
    slider({
      label: name,
      min: -reach[k],
      max: reach[k],
      step: reach[k] / 200,
      value: start[k],
      format: (value) => nice(value),
      change: (value) => {
        player.pause();
        const abc = [...player.state.abc] as Abc;
        abc[k] = value;
        player.restart(fitted(abc));
      },
    }),
  );
  const slices = NAMES.map((name) =>
    s("svg", { role: "img", height: 54, "aria-label": `The loss for every ${name}` }),
  );
  const hints = NAMES.map((name) => h("span", { class: "small", "data-part": `slope-${name}` }));
  const help = button("Show the slopes", () => {
    helped = !helped;
    draw();
  });
  const kinds = choice<LossName>(
    "The loss",
    [
      ["square", "Mean square"],
      ["absolute", "Mean absolute"],
    ],
    kind,
    (value) => {
      kind = value;
      lowest = Infinity;
      player.pause();
      player.restart(fitted(player.state.abc));
    },
  );
  const big = h("div", { class: "big", "data-part": "loss" });
  const record = h("div", { class: "small", "data-part": "lowest" });
  frame.side.append(
    h("div", { class: "box" }, big, record),
    ...sliders.flatMap((each, k) => [h("div", {}, each.element, slices[k], hints[k])]),
    h("div", { class: "row" }, help),
    player.element,
    kinds.element,
  );
  frame.onKey({ s: () => help.click() });

  const svg = s("svg", { role: "img", "aria-label": "The points and the quadratic" });
  frame.stage.append(svg);
  const pad = (values: number[], part: number): Range => {
    const [low, high] = [Math.min(...values), Math.max(...values)];
    return [low - part * (high - low || 1), high + part * (high - low || 1)];
  };
  const xs = pad(x, 0.08);
  const ys = pad(y, 0.25);

  function draw(): void {
    const { abc, loss } = player.state;
    const width = Math.max(frame.stage.clientWidth, 260);
    const height = width < 480 ? 300 : 430;
    svg.setAttribute("height", String(height));
    svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    const axes = scales({ left: 40, top: 10, width: width - 52, height: height - 40 }, xs, ys);
    drawCurve(axes, abc, width, height);
    sliders.forEach((each, k) => each.set(abc[k]));
    slices.forEach((slice, k) => drawSlice(slice, k));
    const slope = slopes(abc, x, y, kind);
    hints.forEach((hint, k) => {
      hint.textContent = helped ? hintFor(k, slope[k]) : "";
    });
    help.setAttribute("aria-pressed", String(helped));
    lowest = Math.min(lowest, loss);
    big.textContent = `loss ${short(loss)}`;
    const bound = distance(answer, x, y, kind);
    record.textContent =
      `lowest so far ${short(lowest)}` +
      (kind === "square" ? `; no quadratic gets below ${short(bound)}` : "");
    frame.notice(noticed(loss, bound));
    report({ abc, loss, slopes: slope, kind, lowest, steps: player.count, x, y });
  }

  function hintFor(k: number, slope: number): string {
    if (Math.abs(slope) < 0.02) return `slope ${nice(slope)}: leave ${NAMES[k]} as it is`;
    return `slope ${nice(slope)}: ${slope > 0 ? "less" : "more"} ${NAMES[k]} lowers the loss`;
  }

  function drawCurve(axes: Axes, abc: Abc, width: number, height: number): void {
    const far = (value: number) =>
      Math.min(Math.max(value, ys[0] - (ys[1] - ys[0])), ys[1] + (ys[1] - ys[0]));
    const at = (value: number): [number, number] => [axes.x(value), axes.y(far(quadratic(value, abc)))];
    const fine = Array.from({ length: 121 }, (_, i) => xs[0] + ((xs[1] - xs[0]) * i) / 120);
    const clip = `fit-${Math.round(width)}`;
    const inside = s("g", { "clip-path": `url(#${clip})` });
    for (let i = 0; i < x.length; i++)
      inside.append(
        s("line", {
          x1: axes.x(x[i]),
          x2: axes.x(x[i]),
          y1: axes.y(y[i]),
          y2: at(x[i])[1],
          stroke: "var(--bad)",
          "stroke-width": 1.5,
          opacity: 0.7,
        }),
      );
    inside.append(
      s("path", {
        d: path(fine.map(at)),
        fill: "none",
        stroke: "var(--model)",
        "stroke-width": 3,
        "data-part": "curve",
      }),
    );
    for (let i = 0; i < x.length; i++)
      inside.append(
        s("circle", {
          cx: axes.x(x[i]),
          cy: axes.y(y[i]),
          r: 5,
          fill: "var(--data)",
          stroke: "var(--paper)",
        }),
      );
    svg.replaceChildren(
      s("clipPath", { id: clip }, s("rect", { x: 36, y: 2, width: width - 40, height: height - 30 })),
      axesOf(axes, xs, ys),
      inside,
      s("text", { x: 52, y: 26, class: "label", style: "fill:var(--model)" }, formula(abc)),
    );
  }

  const formula = ([a, b, c]: Abc) =>
    `${nice(a)} x² ${b < 0 ? "−" : "+"} ${nice(Math.abs(b))} x ${c < 0 ? "−" : "+"} ${nice(Math.abs(c))}`;

  /** The loss for every value of one slider, the others left alone. */
  function drawSlice(slice: SVGSVGElement, k: number): void {
    const width = Math.max(frame.side.clientWidth, 200);
    const height = 54;
    const { abc, loss } = player.state;
    slice.setAttribute("width", String(width));
    slice.setAttribute("viewBox", `0 0 ${width} ${height}`);
    const values = Array.from({ length: 61 }, (_, i) => -reach[k] + (2 * reach[k] * i) / 60);
    const losses = values.map((value) =>
      distance(abc.map((old, n) => (n === k ? value : old)) as Abc, x, y, kind),
    );
    const low = Math.min(...losses);
    const high = Math.max(...losses, low + 1e-9);
    const px = (value: number) => 8 + ((value + reach[k]) / (2 * reach[k])) * (width - 16);
    const py = (value: number) => 6 + ((high - value) / (high - low)) * (height - 12);
    slice.replaceChildren(
      s("path", {
        d: path(values.map((v, i) => [px(v), py(losses[i])])),
        fill: "none",
        stroke: "var(--soft)",
        "stroke-width": 1.5,
      }),
      s("circle", {
        cx: px(Math.min(Math.max(abc[k], -reach[k]), reach[k])),
        cy: py(Math.min(Math.max(loss, low), high)),
        r: 5,
        fill: "var(--model)",
      }),
    );
  }

  function noticed(loss: number, bound: number): string {
    const first = distance(start, x, y, kind);
    if (loss < 1.05 * bound)
      return "As low as it goes: what is left is noise, which no curve of this shape can follow. A loss of zero is not the aim.";
    if (player.count > 0)
      return "Each step turns all three sliders at once, each by its slope. A hand can only turn one at a time, and a network has millions.";
    if (helped)
      return "A slope says which way to turn its slider and how much that one matters just now. All slopes change as soon as one slider moves.";
    if (loss > 0.7 * first)
      return `Turn a, b and c until the curve runs through the points. The red gaps are the errors; the loss is the mean of ${kind === "square" ? "their squares" : "their lengths"}. Below each slider: the loss for every value of it.`;
    return "When one slider has reached the bottom of its curve, turn the others, and come back: its bottom has moved. That is why fitting by hand takes so long.";
  }

  draw();
  return { redraw: draw, stop: () => player.pause() };
}

export default explorable<Data>(
  {
    name: "fit-by-hand",
    title: "Fit by hand",
    idea: "A quadratic has three parameters. Turn them until it fits the points, with nothing but the loss to tell you whether you are getting warmer: that is all that training does.",
    keys: [
      ["tab", "to a slider, then arrows"],
      ["s", "show the slopes"],
      ["space", "let gradient descent do it"],
      ["← →", "one step"],
    ],
  },
  build,
);
