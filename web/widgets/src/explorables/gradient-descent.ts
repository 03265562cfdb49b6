// Gradient descent: a ball on a loss of two parameters, its gradient as an arrow, rates too low, good and too high.
import {
  type Ball,
  curvature,
  type Grid,
  LINE_X,
  LINE_Y,
  lowest,
  measured,
  sgdStep,
  type Surface,
  SURFACES,
} from "../core/descent.ts";
import { lossChart } from "../kit/chart.ts";
import { button, choice, slider } from "../kit/controls.ts";
import { h, nice, s, short } from "../kit/dom.ts";
import type { Code } from "../kit/frame.ts";
import { contour, heatImage, sample, type Sampled } from "../kit/heat.ts";
import { explorable, type Home } from "../kit/host.ts";
import { Player } from "../kit/player.ts";
import { type Axes, axesOf, path, pointer, scales } from "../kit/plot.ts";

interface Own {
  grid: Grid;
  names: [string, string];
  start: [number, number];
  about: string;
}
interface Data {
  code?: Code | null;
  own?: Own | null;
}
interface Step extends Ball {
  loss: number;
}
type Name = keyof typeof SURFACES | "own";

const SAMPLES = 72;
const LEVELS = 11;

function build({ frame, data, report }: Home<Data>) {
  const all: Partial<Record<Name, Surface>> = { ...SURFACES };
  if (data.own) all.own = measured(data.own.grid, data.own.names, data.own.start);
  let name: Name = data.own ? "own" : "valley";
  let surface = all[name]!;
  let start = surface.start;
  let bottom = lowest(surface);
  let limit = 2 / Math.max(curvature(surface, ...bottom), 1e-9);
  let sampled: Sampled | null = null;
  let image = "";
  let momentum = 0;
  let lr = 0.4 * limit;
  let perSecond = 6;

  const ballAt = (at: [number, number]): Step => ({ at, velocity: [0, 0], loss: surface.loss(...at) });
  const tooFar = ({ at, loss }: Step) => {
    const wide = surface.first[1] - surface.first[0];
    return !Number.isFinite(loss) || Math.hypot(at[0] - bottom[0], at[1] - bottom[1]) > 20 * wide;
  };
  const player = new Player<Step>(frame, {
    first: () => ballAt(start),
    next: (step) => {
      if (tooFar(step)) return null;
      const moved = sgdStep(step, surface.gradient(...step.at), lr, momentum);
      return { ...moved, loss: surface.loss(...moved.at) };
    },
    show: () => draw(),
    perSecond: () => perSecond,
  });

  // ---- controls
  const surfaces = choice<Name>(
    "The loss",
    [
      ...(data.own ? [["own", "Your model"] as [Name, string]] : []),
      ["bowl", "Bowl"],
      ["valley", "Narrow valley"],
      ["line", "Fit of a line"],
      ["hills", "Two valleys"],
    ],
    name,
    (value) => {
      name = value;
      surface = all[name]!;
      start = surface.start;
      bottom = lowest(surface);
      limit = 2 / Math.max(curvature(surface, ...bottom), 1e-9);
      sampled = null;
      rateSlider = makeRate();
      rateHolder.replaceChildren(rateSlider.element);
      setRate(0.4 * limit);
      player.reset();
    },
  );
  const trimmed = (value: number) => String(Number(value.toPrecision(2)));
  const makeRate = () =>
    slider({
      label: "Learning rate",
      min: limit / 100,
      max: limit * 2,
      step: 0.01,
      value: lr,
      log: true,
      format: trimmed,
      change: (value) => {
        lr = value;
        draw();
      },
    });
  let rateSlider = makeRate();
  const rateHolder = h("div", {}, rateSlider.element);
  const setRate = (value: number) => {
    lr = value;
    rateSlider.set(value);
  };
  const preset = (label: string, share: number, title: string) =>
    button(
      label,
      () => {
        setRate(share * limit * (share > 1 ? 1 + momentum : 1));
        player.reset();
      },
      { title },
    );
  const presets = h(
    "div",
    { class: "row" },
    preset("Too low", 0.02, "A fiftieth of the rate at which steps stop shrinking"),
    preset("Good", 0.4, "Well below that rate"),
    preset("Too high", 1.06, "Just above it"),
  );
  const momentumSlider = slider({
    label: "Momentum",
    min: 0,
    max: 0.95,
    step: 0.05,
    value: 0,
    format: (value) => value.toFixed(2),
    change: (value) => {
      momentum = value;
      draw();
    },
  });
  const speed = slider({
    label: "Steps a second",
    min: 1,
    max: 60,
    step: 0.02,
    value: perSecond,
    log: true,
    format: (value) => String(Math.round(value)),
    change: (value) => {
      perSecond = value;
    },
  });
  const big = h("div", { class: "big", "data-part": "loss" });
  const numbers = h("div", { class: "small", "data-part": "numbers" });
  const line = s("svg", { role: "img", "aria-label": "The data and the line that the two parameters make" });
  const chart = h("div");
  frame.side.append(
    player.element,
    h("div", { class: "box" }, big, numbers),
    rateHolder,
    presets,
    momentumSlider.element,
    speed.element,
    surfaces.element,
  );
  frame.under.append(chart, line);

  // ---- the picture
  const svg = s("svg", { class: "grabs", role: "group", "aria-label": "The loss seen from above" });
  const back = s("g");
  const trail = s("g", { "pointer-events": "none" });
  const knob = s("circle", {
    class: "handle",
    r: 9,
    tabindex: 0,
    role: "button",
    fill: "var(--model)",
    stroke: "var(--paper)",
    "stroke-width": 3,
    keydown: (event: KeyboardEvent) => knobKey(event),
  });
  svg.append(back, trail, knob);
  frame.stage.append(svg);
  let axes: Axes = scales({ left: 0, top: 0, width: 1, height: 1 }, surface.first, surface.second);
  let drawnFor = "";
  let dragging = false;

  function moveTo(at: [number, number]): void {
    const inside = ([low, high]: [number, number], value: number) => Math.min(Math.max(value, low), high);
    start = [inside(surface.first, at[0]), inside(surface.second, at[1])];
    player.reset();
  }
  svg.addEventListener("pointerdown", (event) => {
    dragging = true;
    svg.setPointerCapture(event.pointerId);
    knob.focus({ preventScroll: true });
    drag(event);
    event.preventDefault();
  });
  svg.addEventListener("pointermove", (event) => dragging && drag(event));
  for (const end of ["pointerup", "pointercancel"])
    svg.addEventListener(end, () => {
      dragging = false;
    });
  function drag(event: PointerEvent): void {
    const [px, py] = pointer(event, svg);
    moveTo([axes.invertX(px), axes.invertY(py)]);
  }
  function knobKey(event: KeyboardEvent): void {
    if (!event.shiftKey) return; // without it the arrows are steps
    const size = (surface.first[1] - surface.first[0]) / 40;
    const by: Record<string, [number, number]> = {
      ArrowLeft: [-size, 0],
      ArrowRight: [size, 0],
      ArrowUp: [0, size],
      ArrowDown: [0, -size],
    };
    const move = by[event.key];
    if (!move) return;
    event.preventDefault();
    event.stopPropagation();
    const { at } = player.state;
    moveTo([at[0] + move[0], at[1] + move[1]]);
  }

  function drawSurface(width: number, height: number): void {
    const dark = frame.root.hasAttribute("data-dark");
    const key = `${name} ${width} ${height} ${dark}`;
    if (key === drawnFor && sampled) return;
    drawnFor = key;
    sampled ??= sample(surface.loss, surface.first, surface.second, SAMPLES);
    image = heatImage(sampled, dark);
    const { left, top, width: w, height: t } = axes.box;
    const lines = s("g", {
      stroke: dark ? "#fff" : "#0b2440",
      "stroke-opacity": 0.28,
      fill: "none",
    });
    const { low, high } = sampled;
    for (let i = 1; i <= LEVELS; i++) {
      const value = low + (high - low) * (i / (LEVELS + 1)) ** 2;
      const d = contour(sampled.values, value)
        .map(([x0, y0, x1, y1]) => {
          const px = (x: number) => (left + (x / (SAMPLES - 1)) * w).toFixed(1);
          const py = (y: number) => (top + t - (y / (SAMPLES - 1)) * t).toFixed(1);
          return `M${px(x0)} ${py(y0)}L${px(x1)} ${py(y1)}`;
        })
        .join("");
      lines.append(s("path", { d }));
    }
    back.replaceChildren(
      axesOf(axes, surface.first, surface.second),
      s("image", { href: image, x: left, y: top, width: w, height: t, preserveAspectRatio: "none" }),
      lines,
      s("text", { class: "label", x: left + w, y: top + t + 33, "text-anchor": "end" }, surface.names[0]),
      s("text", { class: "label", x: left, y: top - 8 }, surface.names[1]),
    );
  }

  function draw(): void {
    const width = Math.max(frame.stage.clientWidth, 260);
    // As wide as high, so that the way down is seen to be at a right angle to the lines of equal loss.
    const size = Math.min(width - 48, 480);
    const height = size + 64;
    svg.setAttribute("height", String(height));
    svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    const left = Math.max(36, (width - size) / 2);
    axes = scales({ left, top: 24, width: size, height: size }, surface.first, surface.second);
    drawSurface(width, height);
    drawTrail();
    tell();
  }

  function drawTrail(): void {
    const { at } = player.state;
    const clamp = (value: number) => Math.min(Math.max(value, -4000), 4000);
    const spot = (p: [number, number]): [number, number] => [clamp(axes.x(p[0])), clamp(axes.y(p[1]))];
    const done = player.states.slice(0, player.index + 1).map((step) => spot(step.at));
    const { left, top, width, height } = axes.box;
    const id = `in-${Math.round(width)}`;
    const inside = s("g", { "clip-path": `url(#${id})` });
    trail.replaceChildren(s("clipPath", { id }, s("rect", { x: left, y: top, width, height })), inside);
    inside.append(
      s("path", { d: path(done), fill: "none", stroke: "var(--paper)", "stroke-width": 5, opacity: 0.5 }),
      s("path", { d: path(done), fill: "none", stroke: "var(--model)", "stroke-width": 2.5 }),
    );
    const shown = done.slice(-200);
    for (const [cx, cy] of shown.slice(0, -1))
      inside.append(s("circle", { cx, cy, r: 3.5, fill: "var(--model)", stroke: "var(--paper)" }));
    const gradient = surface.gradient(...at);
    const next = sgdStep(player.state, gradient, lr, momentum);
    const [x, y] = spot(at);
    const [nx, ny] = spot(next.at);
    inside.append(
      s("line", {
        x1: x,
        y1: y,
        x2: nx,
        y2: ny,
        stroke: "var(--model)",
        "stroke-width": 2,
        "stroke-dasharray": "4 4",
      }),
      s("circle", { cx: nx, cy: ny, r: 7, fill: "none", stroke: "var(--model)", "stroke-width": 2 }),
    );
    drawArrow(inside, gradient, x, y);
    knob.setAttribute("cx", String(Math.min(Math.max(x, left), left + width)));
    knob.setAttribute("cy", String(Math.min(Math.max(y, top), top + height)));
    knob.setAttribute(
      "aria-label",
      `The parameters: ${surface.names[0]} ${nice(at[0])}, ${surface.names[1]} ${nice(at[1])}. Shift and arrows move them.`,
    );
  }

  /** The gradient turned round: the way down, as long as the slope is steep; the steepest fills a third. */
  function drawArrow(inside: SVGGElement, gradient: [number, number], x: number, y: number): void {
    const { width, height } = axes.box;
    const perA = width / (surface.first[1] - surface.first[0]);
    const perB = height / (surface.second[1] - surface.second[0]);
    const [dx, dy] = [-gradient[0] * perA, gradient[1] * perB];
    const steep = Math.hypot(...surface.gradient(...start)) * Math.max(perA, perB);
    const scale = Math.min((0.3 * width) / Math.max(steep, 1e-12), (0.4 * width) / Math.hypot(dx, dy));
    const [tx, ty] = [x + dx * scale, y + dy * scale];
    const length = Math.hypot(tx - x, ty - y);
    if (!(length > 6)) return;
    const [ux, uy] = [(tx - x) / length, (ty - y) / length];
    const head = path([
      [tx + 4 * ux, ty + 4 * uy],
      [tx - 9 * ux - 6 * uy, ty - 9 * uy + 6 * ux],
      [tx - 9 * ux + 6 * uy, ty - 9 * uy - 6 * ux],
    ]);
    inside.append(
      s("line", { x1: x, y1: y, x2: tx, y2: ty, stroke: "var(--paper)", "stroke-width": 7, opacity: 0.55 }),
      s("line", { x1: x, y1: y, x2: tx, y2: ty, stroke: "var(--ink)", "stroke-width": 3 }),
      s("path", { d: `${head}Z`, fill: "var(--ink)", "data-part": "arrow" }),
    );
  }

  function tell(): void {
    const { at, loss } = player.state;
    const gradient = surface.gradient(...at);
    big.textContent = `loss ${short(loss)}`;
    numbers.replaceChildren(
      `step ${player.count} · ${surface.names[0]} ${nice(at[0], 3)}, ${surface.names[1]} ${nice(at[1], 3)}`,
      h("br"),
      `gradient ${nice(gradient[0], 3)}, ${nice(gradient[1], 3)}`,
    );
    chart.replaceChildren(
      lossChart(
        player.states.map((step) => step.loss),
        player.index,
        Math.max(frame.stage.clientWidth, 180),
      ),
    );
    drawLine();
    const bound = limit * (1 + momentum);
    frame.notice(noticed(bound));
    report({ surface: name, at, loss, gradient, lr, momentum, steps: player.count, limit: bound });
  }

  function noticed(bound: number): string {
    const steps = player.count;
    const first = player.states[0].loss;
    const { loss } = player.state;
    const least = surface.loss(...bottom);
    const left = (loss - least) / Math.max(first - least, 1e-12);
    if (steps === 0) {
      const own = name === "own" && data.own ? `${data.own.about} ` : "";
      return `${own}The arrow is the gradient turned round: the way down from here. The ring is where the next step lands: learning rate × gradient. Drag the ball, then step.`;
    }
    if (tooFar(player.state) || (loss > first && steps > 3 && lr > 0.5 * bound))
      return `Too high: each step lands further up the other side than it began. Here that happens above ${short(bound)}, which is ${momentum ? "2 (1 + momentum)" : "2"} ÷ the curvature of the valley.`;
    if (lr < 0.06 * limit && left > 0.03)
      return momentum > 0.5
        ? `The rate is low, but momentum adds up the steps that agree: the ball still gets going.`
        : `Too low: every step goes the right way, and after ${steps} ${Math.round(100 * left)} % of the loss is still there.`;
    if (momentum > 0 && left > 0.02)
      return "Momentum keeps part of the last step: zigzags across the valley cancel out, steps along it add up. Too much, and the ball swings past the bottom.";
    if (name === "hills" && Math.hypot(...surface.gradient(...player.state.at)) < 0.02)
      return at0Sign() > 0
        ? "At rest, in the shallower of the two valleys: the gradient only knows what is downhill from here. Start elsewhere, or give it momentum, to reach the deeper one."
        : "At rest, in the deeper valley. From the other side it would have stopped in the shallower one.";
    if (left < 0.02)
      return "Nearly at the bottom: the gradient has almost vanished, so the steps have shrunk by themselves.";
    if (lr > 0.5 * limit)
      return "A little high: each step crosses the valley and lands on the other side, but lower, so it still arrives.";
    return "The gradient points across the valley, where it is steepest, not along it to the bottom. That is why a narrow valley takes many steps.";
  }
  const at0Sign = () => Math.sign(player.state.at[0]);

  /** For the fit of a line: what the two parameters mean. */
  function drawLine(): void {
    line.style.display = name === "line" ? "block" : "none";
    if (name !== "line") return;
    const width = Math.max(frame.stage.clientWidth, 260);
    const height = 190;
    line.setAttribute("height", String(height));
    line.setAttribute("width", String(width));
    line.setAttribute("viewBox", `0 0 ${width} ${height}`);
    const ax = scales({ left: 34, top: 14, width: width - 46, height: height - 40 }, [-2, 2], [-3, 3]);
    const [a, b] = player.state.at;
    const at = (x: number): [number, number] => [ax.x(x), ax.y(Math.min(Math.max(a * x + b, -3), 3))];
    line.replaceChildren(
      axesOf(ax, [-2, 2], [-3, 3]),
      s("text", { x: 40, y: 11 }, "the same two numbers as a line"),
      ...LINE_X.map((x, i) =>
        s("line", {
          x1: ax.x(x),
          x2: ax.x(x),
          y1: ax.y(LINE_Y[i]),
          y2: at(x)[1],
          stroke: "var(--bad)",
          opacity: 0.6,
        }),
      ),
      s("path", {
        d: path([-2, -1, 0, 1, 2].map(at)),
        stroke: "var(--model)",
        "stroke-width": 3,
        fill: "none",
      }),
      ...LINE_X.map((x, i) => s("circle", { cx: ax.x(x), cy: ax.y(LINE_Y[i]), r: 4, fill: "var(--data)" })),
    );
  }

  draw();
  return { redraw: draw, stop: () => player.pause() };
}

export default explorable<Data>(
  {
    name: "gradient-descent",
    title: "Gradient descent",
    idea: "Two parameters, and the loss for every pair of them: the bluer, the lower. The gradient says which way is up and how steeply; a step goes the other way. Nobody sees the whole map, only the slope under the ball.",
    keys: [
      ["space", "play or pause"],
      ["←", "back"],
      ["→", "step"],
      ["r", "start again"],
      ["shift + arrows", "move the ball"],
    ],
  },
  build,
);
