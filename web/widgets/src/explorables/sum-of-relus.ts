// Sum of ReLUs: hinges that a hand or gradient descent places until they match a curve; and depth against width.
import {
  adamStep,
  type Curve,
  evenly,
  fold,
  type Hinges,
  lossAndGradient,
  type Moments,
  noMoments,
  oneLayer,
  readCurve,
  reluSum,
  stretched,
} from "../core/relus.ts";
import { lossChart } from "../kit/chart.ts";
import { button, choice, slider } from "../kit/controls.ts";
import { h, nice, s, short } from "../kit/dom.ts";
import type { Code } from "../kit/frame.ts";
import { explorable, type Home } from "../kit/host.ts";
import { Player } from "../kit/player.ts";
import { type Axes, axesOf, path, pointer, type Range, scales } from "../kit/plot.ts";

interface Data {
  code?: Code | null;
  curve?: Curve | null;
}
interface Fit {
  hinges: Hinges;
  moments: Moments;
  loss: number;
}
type Target = "wave" | "hill" | "stair" | "wiggle" | "own";

const WIDTH = 10; // of the x axis
const HEIGHT = 2.5; // of a curve that is loaded
const XS = Array.from({ length: 101 }, (_, i) => i / 10);
const X_RANGE: Range = [0, WIDTH];
const Y_RANGE: Range = [-3.2, 3.2];
const MOST = 24;
const CURVES: Record<Exclude<Target, "own">, (x: number) => number> = {
  wave: (x) => 1.8 * Math.sin(1.3 * x),
  hill: (x) => 3.4 * Math.exp(-(((x - 5) / 1.7) ** 2)) - 1.4,
  stair: (x) => (x < 3.5 ? -1.6 : x < 7 ? 0.4 : 1.8),
  wiggle: (x) => 1.2 * Math.sin(1.1 * x) + 0.8 * Math.sin(3.1 * x + 1),
};
const BY_HAND: Hinges = { bias: -0.6, positions: [0, 2.4, 5.6], bends: [1.1, -2, 1.7] };

function build({ frame, data, report }: Home<Data>) {
  let target: Target = data.curve ? "own" : "wave";
  let own = data.curve ? stretched(data.curve, WIDTH, HEIGHT, XS.length) : null;
  let start = BY_HAND; // as a hand last left it
  let lr = 0.05;
  let perSecond = 40;
  let tab: "sum" | "depth" = "sum";
  let depth = 3;
  let drawing = false;
  let shownTab = "";

  const curve = (): Curve =>
    target === "own" ? (own ?? { x: XS, y: XS.map(() => 0) }) : { x: XS, y: XS.map(CURVES[target]) };
  const fitted = (hinges: Hinges, moments = noMoments(hinges.positions.length)): Fit => ({
    hinges,
    moments,
    loss: lossAndGradient(hinges, curve()).loss,
  });

  // ---- controls
  const player = new Player<Fit>(frame, {
    first: () => fitted(start),
    next: ({ hinges, moments }) =>
      tab === "depth" ? null : fitted(...adamStep(hinges, moments, curve(), lr)),
    show: () => draw(),
    perSecond: () => perSecond,
  });
  const number = slider({
    label: "Hinges",
    min: 1,
    max: MOST,
    step: 1,
    value: BY_HAND.positions.length,
    format: (n) => String(n),
    change: (n) => arrange(evenly(n, WIDTH)),
  });
  const rate = slider({
    label: "Learning rate",
    min: 0.005,
    max: 0.5,
    step: 0.05,
    value: lr,
    log: true,
    format: (value) => String(Number(value.toPrecision(2))),
    change: (value) => {
      lr = value;
    },
  });
  const speed = slider({
    label: "Steps a second",
    min: 2,
    max: 240,
    step: 0.02,
    value: perSecond,
    log: true,
    format: (value) => String(Math.round(value)),
    change: (value) => {
      perSecond = value;
    },
  });
  const targets = choice<Target>(
    "The curve to match",
    [
      ["wave", "Wave"],
      ["hill", "Hill"],
      ["stair", "Stairs"],
      ["wiggle", "Wiggle"],
      ["own", "Yours"],
    ],
    target,
    (value) => {
      target = value;
      drawing = value === "own";
      if (value === "own") own ??= { x: XS, y: XS.map(() => 0) };
      player.pause();
      player.restart(fitted(player.state.hinges));
    },
  );
  const file = h("input", { type: "file", accept: ".csv,.txt,.tsv", hidden: true, change: () => loadFile() });
  const pencil = button("Draw it", () => {
    drawing = !drawing;
    draw();
  });
  const ownTools = h(
    "div",
    { class: "row" },
    pencil,
    button("Load a CSV", () => file.click()),
    file,
  );
  const big = h("div", { class: "big", "data-part": "loss" });
  const steps = h("div", { class: "small", "data-part": "steps" });
  const chart = h("div");
  const formula = h("div", { class: "formula", tabindex: 0, "aria-label": "The function as a formula" });
  const levels = slider({
    label: "Layers",
    min: 1,
    max: 6,
    step: 1,
    value: depth,
    format: (n) => String(n),
    change: (value) => {
      depth = value;
      draw();
    },
  });
  const sumSide = [
    player.element,
    h(
      "div",
      { class: "row" },
      button("+ Hinge", () => addHinge(), { title: "One more hinge, in the widest gap (+)" }),
      button("− Hinge", () => removeHinge(), { title: "Take the last one away (−)" }),
      button("Flatten", () => arrange(evenly(player.state.hinges.positions.length, WIDTH)), {
        title: "All hinges at equal distances, none bent",
      }),
    ),
    h("div", { class: "box" }, big, steps),
    number.element,
    rate.element,
    speed.element,
    targets.element,
    ownTools,
  ];
  const depthNumbers = h("div", { class: "box", "data-part": "depth" });
  const depthSide = [levels.element, depthNumbers];
  const tabs = choice<"sum" | "depth">(
    "Look at",
    [
      ["sum", "Adding hinges"],
      ["depth", "Deep against wide"],
    ],
    tab,
    (value) => {
      tab = value;
      player.pause();
      draw();
    },
  );
  const panel = h("div", { class: "side", style: "display:flex" });
  const sumUnder = [chart, h("div", { class: "box" }, formula)];
  frame.side.append(tabs.element, panel);
  frame.onKey({ "+": () => addHinge(), "-": () => removeHinge() });

  // ---- the picture
  const svg = s("svg", { class: "grabs", role: "group", "aria-label": "The curve and the sum of hinges" });
  const back = s("g");
  const handles = s("g");
  svg.append(back, handles);
  frame.stage.append(svg);
  let axes: Axes = scales({ left: 0, top: 0, width: 1, height: 1 }, X_RANGE, Y_RANGE);
  let held = -1;
  let penAt: [number, number] | null = null;

  const hue = (i: number) =>
    `hsl(${(i * 137.5 + 20) % 360} 62% ${frame.root.hasAttribute("data-dark") ? 66 : 42}%)`;
  const clampX = (x: number) => Math.min(Math.max(x, 0), WIDTH);

  /** A new arrangement by hand; the steps begin again from here. */
  function arrange(hinges: Hinges): void {
    player.pause();
    start = hinges;
    player.restart(fitted(hinges));
  }
  function addHinge(at?: number): void {
    const { bias, positions, bends } = player.state.hinges;
    if (tab === "depth" || positions.length >= MOST) return;
    const sorted = [...positions.map(clampX), WIDTH].sort((a, b) => a - b);
    const gaps = sorted.map((x, i) => x - (i ? sorted[i - 1] : 0));
    const widest = gaps.indexOf(Math.max(...gaps));
    const place = at ?? sorted[widest] - gaps[widest] / 2;
    arrange({ bias, positions: [...positions, place], bends: [...bends, 0] });
  }
  function removeHinge(which = player.state.hinges.positions.length - 1): void {
    const { bias, positions, bends } = player.state.hinges;
    if (tab === "depth" || positions.length <= 1) return;
    const rest = (values: number[]) => values.filter((_, i) => i !== which);
    arrange({ bias, positions: rest(positions), bends: rest(bends) });
  }
  function moveHinge(which: number, position: number, bend: number): void {
    const { bias, positions, bends } = player.state.hinges;
    const put = (values: number[], value: number) => values.map((v, i) => (i === which ? value : v));
    arrange({ bias, positions: put(positions, clampX(position)), bends: put(bends, bend) });
  }
  /** The bend with which the function, one unit to the right of hinge `which`, is at `y`: what dragging sets. */
  function drag(event: PointerEvent): void {
    const [px, py] = pointer(event, svg);
    const { hinges } = player.state;
    const x = axes.invertX(px);
    const alone: Hinges = { ...hinges, bends: hinges.bends.map((b, i) => (i === held ? 0 : b)) };
    const reach = Math.max(LEVER, 1e-6);
    const bend = (axes.invertY(py) - reluSum(x, alone)) / reach;
    moveHinge(held, x - LEVER, Math.min(Math.max(bend, -12), 12));
  }

  svg.addEventListener("pointerdown", (event) => {
    if (tab !== "sum") return;
    const [px, py] = pointer(event, svg);
    if (drawing && target === "own") {
      penAt = null;
      held = -2;
      svg.setPointerCapture(event.pointerId);
      drawWith(px, py);
      event.preventDefault();
      return;
    }
    held = nearest(px, py, event.pointerType === "mouse" ? 16 : 28);
    if (held < 0) return;
    svg.setPointerCapture(event.pointerId);
    (handles.children[held] as SVGElement).focus({ preventScroll: true });
    event.preventDefault();
  });
  svg.addEventListener("pointermove", (event) => {
    if (held >= 0) drag(event);
    else if (held === -2) drawWith(...pointer(event, svg));
  });
  const release = () => {
    held = -1;
    penAt = null;
  };
  svg.addEventListener("pointerup", release);
  svg.addEventListener("pointercancel", release);
  svg.addEventListener("dblclick", (event) => {
    const [px, py] = pointer(event, svg);
    if (tab === "sum" && !drawing && nearest(px, py, 12) < 0) addHinge(clampX(axes.invertX(px)));
  });

  function nearest(px: number, py: number, within: number): number {
    let best = -1;
    let closest = within;
    player.state.hinges.positions.forEach((_, i) => {
      const [x, y] = knob(i);
      const distance = Math.hypot(x - px, y - py);
      if (distance < closest) [best, closest] = [i, distance];
    });
    return best;
  }
  /** Where the knob of a hinge is: a little to the right of where it bends, on the function. */
  function knob(i: number): [number, number] {
    const { hinges } = player.state;
    const x = hinges.positions[i] + LEVER;
    return [axes.x(x), axes.y(Math.min(Math.max(reluSum(x, hinges), Y_RANGE[0]), Y_RANGE[1]))];
  }
  function drawWith(px: number, py: number): void {
    const at: [number, number] = [clampX(axes.invertX(px)), Math.min(Math.max(axes.invertY(py), -3), 3)];
    const from = penAt ?? at;
    penAt = at;
    const y = [...(own?.y ?? XS.map(() => 0))];
    const [low, high] = from[0] <= at[0] ? [from, at] : [at, from];
    XS.forEach((x, k) => {
      if (x < low[0] - 0.05 || x > high[0] + 0.05) return;
      const gap = high[0] - low[0];
      y[k] = gap > 0 ? low[1] + Math.min(Math.max((x - low[0]) / gap, 0), 1) * (high[1] - low[1]) : at[1];
    });
    own = { x: XS, y };
    arrange(player.state.hinges);
  }
  async function loadFile(): Promise<void> {
    const chosen = file.files?.[0];
    if (!chosen) return;
    const read = stretched(readCurve(await chosen.text()), WIDTH, HEIGHT, XS.length);
    if (!read) {
      frame.notice(
        `${chosen.name} holds no curve: it needs two numbers a line, x and y, on two lines or more.`,
      );
      return;
    }
    own = read;
    drawing = false;
    target = "own";
    targets.set("own");
    arrange(player.state.hinges);
  }

  function syncHandles(): void {
    const n = tab === "sum" && !(drawing && target === "own") ? player.state.hinges.positions.length : 0;
    while (handles.children.length > n) handles.lastChild?.remove();
    while (handles.children.length < n) {
      const i = handles.children.length;
      handles.append(
        s("circle", {
          class: "handle",
          r: 8,
          tabindex: 0,
          role: "button",
          "stroke-width": 2.5,
          keydown: (event: KeyboardEvent) => handleKey(event, i),
        }),
      );
    }
    const { positions, bends } = player.state.hinges;
    for (let i = 0; i < n; i++) {
      const [x, y] = knob(i);
      const circle = handles.children[i];
      circle.setAttribute("cx", x.toFixed(1));
      circle.setAttribute("cy", y.toFixed(1));
      circle.setAttribute("fill", hue(i));
      circle.setAttribute("stroke", "var(--paper)");
      circle.setAttribute(
        "aria-label",
        `Hinge ${i + 1}: at ${nice(positions[i], 1)}, bends by ${nice(bends[i], 1)}. Arrows move and bend it.`,
      );
    }
  }
  function handleKey(event: KeyboardEvent, i: number): void {
    const { positions, bends } = player.state.hinges;
    const size = event.shiftKey ? 0.5 : 0.1;
    const by: Record<string, [number, number]> = {
      ArrowLeft: [-size, 0],
      ArrowRight: [size, 0],
      ArrowUp: [0, size],
      ArrowDown: [0, -size],
    };
    if (event.key === "Delete" || event.key === "Backspace") removeHinge(i);
    else if (by[event.key]) moveHinge(i, positions[i] + by[event.key][0], bends[i] + by[event.key][1]);
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  function draw(): void {
    if (shownTab !== tab) panel.replaceChildren(...(tab === "sum" ? sumSide : depthSide));
    if (shownTab !== tab) frame.under.replaceChildren(...(tab === "sum" ? sumUnder : []));
    shownTab = tab;
    if (tab === "sum") drawSum();
    else drawDepth();
  }

  function drawSum(): void {
    const { hinges, loss } = player.state;
    const width = Math.max(frame.stage.clientWidth, 260);
    const height = width < 480 ? 290 : 380;
    const strip = 92;
    svg.setAttribute("height", String(height + strip));
    svg.setAttribute("viewBox", `0 0 ${width} ${height + strip}`);
    axes = scales({ left: 34, top: 8, width: width - 46, height: height - 40 }, X_RANGE, Y_RANGE);
    const now = curve();
    const fine = finely(hinges);
    const line = path(fine.map((x) => [axes.x(x), axes.y(reluSum(x, hinges))]));
    const goal = path(now.x.map((x, k) => [axes.x(x), axes.y(now.y[k])]));
    const clip = `clip-${Math.round(width)}-${frame.root.dataset.name}`;
    const inside = s("g", { "clip-path": `url(#${clip})` });
    back.replaceChildren(
      s("clipPath", { id: clip }, s("rect", { x: 34, y: 2, width: width - 40, height: height - 30 })),
      axesOf(axes, X_RANGE, Y_RANGE),
      inside,
    );
    inside.append(
      s("path", {
        d: goal,
        fill: "none",
        stroke: "var(--data)",
        "stroke-width": 9,
        opacity: 0.28,
        "stroke-linejoin": "round",
      }),
      s("path", {
        d: goal,
        fill: "none",
        stroke: "var(--data)",
        "stroke-width": 1.5,
        "stroke-dasharray": "5 5",
      }),
      s("path", {
        d: line,
        fill: "none",
        stroke: "var(--model)",
        "stroke-width": 3,
        "stroke-linejoin": "round",
        "data-part": "sum",
      }),
    );
    hinges.positions.forEach((p, i) => {
      if (p < 0 || p > WIDTH) return;
      const x = axes.x(p);
      const y = axes.y(reluSum(p, hinges));
      inside.append(
        s("line", { x1: x, x2: x, y1: y, y2: height - 32, stroke: hue(i), "stroke-dasharray": "2 3" }),
        s("circle", { cx: x, cy: y, r: 3.5, fill: hue(i) }),
      );
    });
    back.append(
      s("text", { x: 44, y: 22, class: "label", style: "fill:var(--data)" }, "the curve to match"),
      s("text", { x: 44, y: 39, class: "label", style: "fill:var(--model)" }, "the sum of the hinges"),
    );
    drawStrip(width, height, strip);
    syncHandles();
    tell(loss, now);
  }

  /** All places where the function is drawn: each pixel or so, and each hinge exactly. */
  function finely(hinges: Hinges): number[] {
    return [0, ...hinges.positions.filter((p) => p > 0 && p < WIDTH), WIDTH].sort((a, b) => a - b);
  }

  /** Below: each hinge alone. */
  function drawStrip(width: number, top: number, height: number): void {
    const { positions, bends } = player.state.hinges;
    const most = Math.max(2, ...bends.map((b, i) => Math.abs(b * (WIDTH - positions[i]))));
    const own = scales({ left: 34, top: top + 18, width: width - 46, height: height - 26 }, X_RANGE, [
      -most,
      most,
    ]);
    back.append(
      s("text", { x: 34, y: top + 8 }, "each hinge alone: bend × relu(x − position)"),
      s("line", { class: "axis", x1: 34, x2: width - 12, y1: own.y(0), y2: own.y(0) }),
    );
    positions.forEach((p, i) => {
      const bent = clampX(p);
      const points: [number, number][] = [
        [own.x(0), own.y(bends[i] * Math.max(-p, 0))],
        [own.x(bent), own.y(bends[i] * Math.max(bent - p, 0))],
        [own.x(WIDTH), own.y(bends[i] * Math.max(WIDTH - p, 0))],
      ];
      back.append(s("path", { d: path(points), fill: "none", stroke: hue(i), "stroke-width": 2 }));
    });
  }

  function tell(loss: number, now: Curve): void {
    const { hinges } = player.state;
    const n = hinges.positions.length;
    number.set(n);
    big.textContent = `loss ${short(loss)}`;
    steps.textContent = player.count
      ? `after ${player.count} ${player.count === 1 ? "step" : "steps"} of gradient descent (Adam) on ${1 + 2 * n} numbers`
      : `${1 + 2 * n} numbers: where ${n === 1 ? "the hinge is" : `${n} hinges are`}, how far each bends, and a height`;
    chart.replaceChildren(
      lossChart(
        player.states.map((each) => each.loss),
        player.index,
        Math.max(frame.stage.clientWidth, 180),
      ),
    );
    formula.textContent = `f(x) = ${nice(hinges.bias)}${hinges.positions
      .map(
        (p, i) =>
          ` ${hinges.bends[i] < 0 ? "−" : "+"} ${nice(Math.abs(hinges.bends[i]))}·relu(x ${p < 0 ? "+" : "−"} ${nice(Math.abs(p))})`,
      )
      .join("")}`;
    ownTools.hidden = target !== "own";
    ownTools.style.display = target === "own" ? "" : "none";
    pencil.setAttribute("aria-pressed", String(drawing));
    frame.notice(noticed(loss, now));
    report({ tab, target, hinges, loss, steps: player.count, curve: now, lr });
  }

  function noticed(loss: number, now: Curve): string {
    const { hinges } = player.state;
    const n = hinges.positions.length;
    if (drawing && target === "own")
      return "Draw a curve with the mouse or a finger, then press Play. Press “Draw it” again to move hinges.";
    const mean = now.y.reduce((a, b) => a + b, 0) / now.y.length;
    const flat = now.y.reduce((a, y) => a + (y - mean) ** 2, 0) / now.y.length;
    const share = flat > 0 ? Math.max(0, 1 - loss / flat) : 0;
    if (player.playing || player.count > 0) {
      if (!Number.isFinite(loss) || loss > 30 * Math.max(flat, 0.1))
        return "Every step overshoots: the learning rate is far too high. Start again with a smaller one.";
      if (player.count < 40)
        return "Nobody says where the hinges belong: the gradient tells each one which way to move to lower the loss.";
      const percent = `${Math.floor(100 * share)} %`;
      if (share < 0.9)
        return `The sum explains ${percent} of the curve. If it stops improving, this many hinges cannot do better from here: add some.`;
      return `${n} straight bends now explain ${percent} of the curve. With more of them, no smooth curve is out of reach.`;
    }
    if (hinges.bends.every((bend) => bend === 0))
      return "Unbent hinges add up to a flat line. Drag a knob up or down to bend it, or press Play and let the gradient do it.";
    return "Drag a knob: sideways moves its hinge, up and down bends it. Everything to its right tilts, nothing to its left moves.";
  }

  function drawDepth(): void {
    const width = Math.max(frame.stage.clientWidth, 260);
    const part = width < 480 ? 190 : 225;
    const units = 2 * depth;
    const wide = oneLayer(units, depth);
    svg.setAttribute("height", String(2 * part));
    svg.setAttribute("viewBox", `0 0 ${width} ${2 * part}`);
    back.replaceChildren();
    handles.replaceChildren();
    const folds = Array.from({ length: 2 ** depth + 1 }, (_, i) => i / 2 ** depth);
    const corners = [...wide.positions, 1];
    const rows: [string, string, number[], (x: number) => number][] = [
      [
        `deep: ${depth} ${depth === 1 ? "layer" : "layers"} of 2 ReLUs`,
        "var(--model)",
        folds,
        (x) => fold(x, depth),
      ],
      [`wide: 1 layer of ${units} ReLUs`, "var(--third)", corners, (x) => reluSum(x, wide)],
    ];
    rows.forEach(([name, color, xs, f], row) => {
      const ax = scales(
        { left: 34, top: row * part + 26, width: width - 46, height: part - 62 },
        [0, 1],
        [0, 1],
      );
      back.append(
        axesOf(ax, [0, 1], [0, 1]),
        s("path", {
          d: path(folds.map((x) => [ax.x(x), ax.y(fold(x, depth))])),
          fill: "none",
          stroke: "var(--data)",
          "stroke-width": 7,
          opacity: row ? 0.2 : 0,
        }),
        s("path", {
          d: path(xs.map((x) => [ax.x(x), ax.y(f(x))])),
          fill: "none",
          stroke: color,
          "stroke-width": 2.5,
          "stroke-linejoin": "round",
        }),
        s("text", { x: 34, y: row * part + 16, class: "label", style: `fill:${color}` }, name),
      );
    });
    const deepPieces = 2 ** depth;
    const widePieces = Math.min(units + 1, deepPieces); // n ReLUs bend a line in n places at most
    depthNumbers.replaceChildren(
      h("div", { class: "big" }, `${deepPieces} against ${widePieces} pieces`),
      h(
        "div",
        { class: "small" },
        `from ${units} ReLUs each. Every layer folds the line below it once more, which doubles the pieces; one more ReLU in a single layer adds one piece.`,
      ),
    );
    frame.notice(
      depth === 1
        ? "With one layer there is no difference yet: two ReLUs, one fold, two straight pieces. Move the slider to add layers."
        : `${depth} folds make ${deepPieces} straight pieces; one layer with the same ${units} ReLUs can make ${widePieces < deepPieces ? `at most ${widePieces}, so it cannot follow them all` : "as many"}.`,
    );
    report({ tab, depth, deepPieces, widePieces });
  }

  draw();
  return { redraw: draw, stop: () => player.pause() };
}

/** How far right of its bend a hinge's knob sits, in units of x: there, bending moves it. */
const LEVER = 0.8;

export default explorable<Data>(
  {
    name: "sum-of-relus",
    title: "Sum of ReLUs",
    idea: "A ReLU is a hinge: flat up to a point, then a straight slope. Add a few, bend each by its own amount, and the sum can follow any curve. That is a neural network with one layer.",
    keys: [
      ["space", "play or pause"],
      ["←", "back"],
      ["→", "step"],
      ["r", "start again"],
      ["+ −", "hinges"],
      ["tab", "to a knob, then arrows"],
    ],
  },
  build,
);
