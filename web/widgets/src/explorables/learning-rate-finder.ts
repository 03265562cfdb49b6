// The learning-rate finder: watch the rate rise, see what four rules read off the curve, and train with it.
import { type Rule, search, suggestions, train, unsmoothed, usable } from "../core/rates.ts";
import { button, slider } from "../kit/controls.ts";
import { h, s, short } from "../kit/dom.ts";
import type { Code } from "../kit/frame.ts";
import { explorable, type Home } from "../kit/host.ts";
import { Player } from "../kit/player.ts";
import { type Axes, axesOf, path, pointer, type Range, scales } from "../kit/plot.ts";

interface Own {
  rates: number[];
  smooth: number[];
  nSteps: number;
  suggestions: Record<string, number>;
}
interface Data {
  code?: Code | null;
  own?: Own | null;
}
interface Shown extends Own {
  losses: number[];
}
interface Trained {
  rate: number;
  losses: number[];
  color: string;
}

const COLORS: Record<string, string> = {
  valley: "var(--good)",
  slide: "var(--third)",
  steep: "var(--model)",
  minimum: "var(--data)",
};
const SAID: Record<Rule, string> = {
  valley:
    "Valley: the middle of the longest stretch over which the loss falls. Careful, and wiggly's choice.",
  slide:
    "Slide: comes down from the highest rates until the slope no longer changes much. A shallow curve misleads it.",
  steep: "Steep: where the loss falls fastest. Quick, and often close to the edge.",
  minimum:
    "Minimum: a tenth of the rate with the lowest loss, because at the lowest point itself it is about to run away.",
};
const CURVES = ["var(--data)", "var(--model)", "var(--third)", "var(--good)", "var(--bad)"];
const MOST_CURVES = 5;
const TRAIN_STEPS = 60;

const trimmed = (rate: number) =>
  rate >= 1e-3 && rate < 1e4 ? String(Number(rate.toPrecision(2))) : short(rate);

function build({ frame, data, report }: Home<Data>) {
  let steps = 150;
  const toy = (): Shown => {
    const found = search(1e-3, 100, steps);
    return { ...found, suggestions: suggestions(found) };
  };
  let shown: Shown = data.own ? { ...data.own, losses: unsmoothed(data.own.smooth) } : toy();
  let rate = data.own?.suggestions.valley ?? Math.sqrt(shown.rates[0] * shown.rates[shown.rates.length - 1]);
  let rule: string | null = null; // whose suggestion the rate is
  let trained: Trained[] = [];
  let perSecond = 25;

  const player = new Player<number>(frame, {
    first: () => 0,
    next: (n) => (n < shown.rates.length ? n + 1 : null),
    show: () => draw(),
    perSecond: () => perSecond,
  });
  const finished = () => player.state === shown.rates.length;
  const begin = () => {
    trained = [];
    rule = null;
    player.reset();
  };

  // ---- controls
  const big = h("div", { class: "big", "data-part": "rate" });
  const small = h("div", { class: "small", "data-part": "loss" });
  const rules = h("div", { class: "row", role: "group", "aria-label": "Suggestions" });
  const ruleButtons = Object.keys(shown.suggestions).map((name, i) =>
    button(name, () => suggest(name), { title: `Take what ${name} suggests (${i + 1})` }),
  );
  rules.append(...ruleButtons);
  const trainButton = button(`Train ${TRAIN_STEPS} steps at it`, () => tryIt(), {
    title: "With weights from the start (t)",
  });
  const clear = button("Clear", () => {
    trained = [];
    draw();
  });
  const stepsSlider = slider({
    label: "Steps of the search",
    min: 30,
    max: 400,
    step: 10,
    value: steps,
    format: String,
    change: (value) => {
      steps = value;
      shown = toy();
      begin();
    },
  });
  const speed = slider({
    label: "Steps a second",
    min: 2,
    max: 120,
    step: 0.02,
    value: perSecond,
    log: true,
    format: (value) => String(Math.round(value)),
    change: (value) => {
      perSecond = value;
    },
  });
  const line = h("div", { class: "box formula", tabindex: 0, "data-part": "line" });
  const end = button("To the end", () => toEnd(), { title: "All steps at once (e)" });
  frame.side.append(
    player.element,
    h("div", { class: "row" }, end),
    h("div", { class: "box" }, big, small),
    h("div", {}, h("div", { class: "small" }, "What the rules suggest, once the search is over"), rules),
    ...(data.own ? [line] : [h("div", { class: "row" }, trainButton, clear), stepsSlider.element]),
    speed.element,
  );
  const keys: Record<string, () => void> = { t: () => tryIt(), e: () => toEnd() };
  Object.keys(shown.suggestions).forEach((name, i) => {
    keys[String(i + 1)] = () => suggest(name);
  });
  frame.onKey(keys);

  function toEnd(): void {
    player.pause();
    while (!finished()) player.step();
  }
  function suggest(name: string): void {
    if (!finished()) toEnd();
    setRate(shown.suggestions[name], name);
  }
  function setRate(value: number, by: string | null = null): void {
    rate = Math.min(Math.max(value, shown.rates[0]), shown.rates[shown.rates.length - 1]);
    if (by) rate = value; // a tenth of the lowest rate lies outside
    rule = by;
    draw();
  }
  function tryIt(): void {
    if (data.own) return;
    const wanted = rule ? COLORS[rule] : undefined;
    const unused = trained.every((each) => each.color !== wanted) ? wanted : undefined;
    const free =
      unused ?? CURVES.find((color) => !trained.some((each) => each.color === color)) ?? trained[0].color;
    const made = { rate, losses: train(rate, TRAIN_STEPS), color: free };
    trained = [...trained.filter((each) => each.color !== free && each.rate !== rate), made].slice(
      -MOST_CURVES,
    );
    draw();
  }

  // ---- the picture
  const svg = s("svg", { role: "group", "aria-label": "The loss at every learning rate" });
  const back = s("g");
  const handle = s("circle", {
    class: "handle",
    r: 9,
    tabindex: 0,
    role: "slider",
    fill: "var(--ink)",
    stroke: "var(--paper)",
    "stroke-width": 2.5,
    "aria-label": "Your learning rate",
    keydown: (event: KeyboardEvent) => {
      const way = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1 }[event.key];
      if (!way) return;
      event.preventDefault();
      event.stopPropagation();
      setRate(rate * 1.1 ** (way * (event.shiftKey ? 10 : 1)));
    },
  });
  svg.append(back, handle);
  const runs = s("svg", { role: "img", "aria-label": "Trainings at the rates that were tried" });
  frame.stage.append(svg);
  frame.under.append(runs);
  let axes: Axes = scales({ left: 0, top: 0, width: 1, height: 1 }, [0, 1], [0, 1]);
  let dragging = false;
  handle.addEventListener("pointerdown", (event) => {
    dragging = true;
    handle.setPointerCapture(event.pointerId);
    handle.focus({ preventScroll: true });
    event.preventDefault();
  });
  handle.addEventListener(
    "pointermove",
    (event) => dragging && setRate(10 ** axes.invertX(pointer(event, svg)[0])),
  );
  for (const over of ["pointerup", "pointercancel"])
    handle.addEventListener(over, () => {
      dragging = false;
    });
  svg.addEventListener("click", (event) => {
    if (event.target !== handle) setRate(10 ** axes.invertX(pointer(event, svg)[0]));
  });

  function ranges(): [Range, Range] {
    const { rates, smooth } = shown;
    const low = Math.min(...smooth);
    // The last points shoot up; an axis that held them would flatten everything else.
    const start = smooth[Math.floor(smooth.length / 10)];
    const high = start + Math.max(1.2 * (start - low), 0.1 * Math.abs(start));
    const first = Math.min(rates[0], ...Object.values(shown.suggestions));
    return [
      [Math.log10(first), Math.log10(rates[rates.length - 1])],
      [low - 0.15 * (high - low), high],
    ];
  }

  function draw(): void {
    const width = Math.max(frame.stage.clientWidth, 260);
    const height = width < 480 ? 300 : 360;
    svg.setAttribute("height", String(height));
    svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    const [xs, ys] = ranges();
    axes = scales({ left: 44, top: 12, width: width - 58, height: height - 58 }, xs, ys);
    const id = `rates-${Math.round(width)}`;
    const { left, top, width: wide, height: high } = axes.box;
    const inside = s("g", { "clip-path": `url(#${id})` });
    back.replaceChildren(
      s("clipPath", { id }, s("rect", { x: left, y: top - 8, width: wide, height: high + 8 })),
      ...unread(),
      axisX(xs, width),
      inside,
    );
    drawSearch(inside);
    if (finished()) drawSuggestions(inside);
    drawRate(inside, top, high);
    drawRuns(width);
    tell();
  }

  /** Axes with powers of ten below. */
  function axisX(xs: Range, width: number): SVGGElement {
    const [, ys] = ranges();
    const { left, top, width: wide, height: high } = axes.box;
    const group = axesOf({ ...axes, box: { ...axes.box, width: wide } }, [0, 0], ys);
    for (let power = Math.ceil(xs[0] - 1e-9); power <= xs[1] + 1e-9; power++) {
      const x = axes.x(power);
      const name =
        power >= -4 && power <= 3
          ? String(Number((10 ** power).toPrecision(1)))
          : short(10 ** power).replace("1.0·", "");
      group.append(
        s("line", { class: "grid", x1: x, x2: x, y1: top, y2: top + high }),
        s("text", { x, y: top + high + 16, "text-anchor": "middle" }, name),
      );
    }
    group.append(
      s("text", { x: left + wide, y: top + high + 34, "text-anchor": "end" }, "learning rate, log scale"),
      s(
        "text",
        { x: 4, y: top + high + 34 },
        width < 480 ? "loss ↑" : "loss ↑ of each step's batch, and smoothed",
      ),
    );
    return group;
  }

  /** Where the rules do not read: the start and the end. */
  function unread(): SVGElement[] {
    if (!finished()) return [];
    const { rates, nSteps } = shown;
    const [from, to] = usable(rates.length, nSteps, rates.length < nSteps);
    const { top, height } = axes.box;
    return [
      [rates[0], rates[from]],
      [rates[to - 1], rates[rates.length - 1]],
    ].flatMap(([a, b]) => {
      const [x0, x1] = [axes.x(Math.log10(a)), axes.x(Math.log10(b))];
      const box = s("rect", { x: x0, y: top, width: Math.max(x1 - x0, 0), height, fill: "var(--panel)" });
      if (x1 - x0 < 44) return [box];
      return [box, s("text", { x: (x0 + x1) / 2, y: top + 14, "text-anchor": "middle" }, "not read")];
    });
  }

  function drawSearch(inside: SVGGElement): void {
    const n = player.state;
    const place = (i: number, loss: number): [number, number] => [
      axes.x(Math.log10(shown.rates[i])),
      axes.y(loss),
    ];
    for (let i = 0; i < n; i++) {
      const [cx, cy] = place(i, shown.losses[i]);
      inside.append(s("circle", { cx, cy, r: 2.2, fill: "var(--soft)", opacity: 0.4 }));
    }
    const points = shown.smooth.slice(0, n).map((loss, i) => place(i, loss));
    inside.append(
      s("path", {
        d: path(points),
        fill: "none",
        stroke: "var(--ink)",
        "stroke-width": 2.5,
        "data-part": "smooth",
      }),
    );
    const now = points[n - 1];
    if (now && !finished()) inside.append(s("circle", { cx: now[0], cy: now[1], r: 5, fill: "var(--ink)" }));
  }

  function lossAt(value: number): number {
    const { rates, smooth } = shown;
    const above = rates.findIndex((each) => each >= value);
    if (above <= 0) return above === 0 ? smooth[0] : smooth[smooth.length - 1];
    const part = Math.log(value / rates[above - 1]) / Math.log(rates[above] / rates[above - 1]);
    return smooth[above - 1] + part * (smooth[above] - smooth[above - 1]);
  }

  function drawSuggestions(inside: SVGGElement): void {
    const placed: [number, number][] = [];
    const { top, height } = axes.box;
    for (const [name, value] of Object.entries(shown.suggestions)) {
      const [x, y] = [axes.x(Math.log10(value)), Math.max(axes.y(lossAt(value)), top)];
      const color = COLORS[name] ?? "var(--bad)";
      const close = placed.filter(([px, py]) => Math.abs(px - x) < 70 && Math.abs(py - y) < 40).length;
      placed.push([x, y]);
      const under = y + 40 + 18 * close < top + height; // else there is no room below
      const [end, base] = under ? [y + 22 + 18 * close, y + 34 + 18 * close] : [y - 16, y - 20];
      inside.append(
        s("line", { x1: x, x2: x, y1: y, y2: end, stroke: color }),
        s("circle", {
          cx: x,
          cy: y,
          r: 7,
          fill: color,
          stroke: "var(--paper)",
          "stroke-width": 2,
          "data-rule": name,
        }),
        s("text", { class: "label", x, y: base, "text-anchor": "middle", style: `fill:${color}` }, name),
      );
    }
  }

  function drawRate(inside: SVGGElement, top: number, high: number): void {
    const x = axes.x(Math.log10(rate));
    inside.append(
      s("line", {
        x1: x,
        x2: x,
        y1: top,
        y2: top + high,
        stroke: "var(--ink)",
        "stroke-dasharray": "5 4",
        "stroke-width": 1.5,
      }),
    );
    handle.setAttribute("cx", x.toFixed(1));
    handle.setAttribute("cy", String(top + high));
    handle.setAttribute("aria-valuenow", String(rate));
    handle.setAttribute("aria-valuetext", trimmed(rate));
  }

  /** Below: what training at the tried rates came to. */
  function drawRuns(width: number): void {
    runs.style.display = data.own ? "none" : "block";
    if (data.own) return;
    const height = 190;
    runs.setAttribute("height", String(height));
    runs.setAttribute("width", String(width));
    runs.setAttribute("viewBox", `0 0 ${width} ${height}`);
    const ax = scales(
      { left: 34, top: 26, width: width - 100, height: height - 52 },
      [0, TRAIN_STEPS],
      [0, 2],
    );
    runs.replaceChildren(
      axesOf(ax, [0, TRAIN_STEPS], [0, 2]),
      s(
        "text",
        { x: 34, y: 13 },
        trained.length
          ? `loss over ${TRAIN_STEPS} steps of training`
          : "Train at a rate, and its loss is drawn here.",
      ),
    );
    let lowest = -Infinity;
    const ends = trained
      .map((each) => ({ ...each, last: settled(each.losses) }))
      .sort((a, b) => b.last - a.last);
    for (const { rate: at, losses, color, last } of ends) {
      const points = losses.map((loss, i): [number, number] => [
        ax.x(i),
        ax.y(Math.min(Number.isFinite(loss) ? loss : 2, 2)),
      ]);
      const y = Math.max(ax.y(Math.min(Number.isFinite(last) ? last : 2, 2)) + 4, lowest + 14);
      lowest = y;
      runs.append(
        s("path", { d: path(points), fill: "none", stroke: color, "stroke-width": 2 }),
        s("text", { class: "label", x: width - 62, y, style: `fill:${color}` }, trimmed(at)),
      );
    }
  }

  /** The mean loss of the last ten steps. */
  const settled = (losses: number[]) => losses.slice(-10).reduce((a, b) => a + b, 0) / 10;

  function tell(): void {
    const n = player.state;
    const at = n ? shown.rates[n - 1] : shown.rates[0];
    big.textContent = finished() ? `your rate ${trimmed(rate)}` : `rate ${trimmed(at)}`;
    small.textContent = n
      ? `step ${n} of ${shown.nSteps}: loss ${short(shown.losses[n - 1])}, smoothed ${short(shown.smooth[n - 1])}`
      : `${shown.nSteps} steps at most, from ${trimmed(shown.rates[0])} upwards`;
    Object.entries(shown.suggestions).forEach(([name, value], i) => {
      ruleButtons[i].textContent = finished() ? `${name} ${trimmed(value)}` : name;
      ruleButtons[i].setAttribute("aria-pressed", String(rule === name));
    });
    line.textContent = `learn.fine_tune(4, base_lr=${Number(rate.toPrecision(2))})`;
    frame.notice(noticed());
    report({
      step: n,
      taken: shown.rates.length,
      nSteps: shown.nSteps,
      finished: finished(),
      rate,
      rule,
      suggestions: shown.suggestions,
      rates: shown.rates,
      smooth: shown.smooth,
      losses: shown.losses,
      trained,
    });
  }

  function noticed(): string {
    const { smooth, rates, nSteps } = shown;
    const n = player.state;
    if (n === 0)
      return `${data.own ? "Your own search, step by step. " : "A small network, and a mock training: "}each step takes one batch, at a rate a little higher than the last. Press Play and watch where the loss begins to fall, and where it runs away.`;
    if (finished()) return finishedNote();
    const low = Math.min(...smooth.slice(0, n));
    const at = trimmed(rates[n - 1]);
    if (smooth[n - 1] > 1.05 * low && smooth[n - 1] > smooth[0])
      return `At ${at} steps overshoot: each lands higher than it began. The search ends once the smoothed loss is four times its lowest.`;
    if (low < 0.97 * smooth[0])
      return `At ${at} the loss falls from step to step: rates from here on do something.`;
    return `At ${at} steps are still so short that the loss hardly changes. ${n < nSteps / 3 ? "The dots are single batches; the line smooths them, as they jump by chance." : ""}`;
  }

  function finishedNote(): string {
    const { rates, nSteps } = shown;
    if (trained.length) return trainedNote(trained[trained.length - 1]);
    if (rule && rule in SAID) return `${SAID[rule as Rule]} ${data.own ? "" : "Train at it, and see."}`;
    const why =
      rates.length < nSteps
        ? "The loss was four times its lowest, so the search ended."
        : "The search went to its last rate.";
    return data.own
      ? `${why} The model was put back as it was. The rules read the line between the grey parts; they are hints: a rate within a factor of three of them is usually as good.`
      : `${why} Nothing of this training is kept: it was only to find a rate. Choose a rule, or drag the dashed line, and train with it from the start.`;
  }

  const tooHigh = (at: number) =>
    at > shown.rates[shown.smooth.indexOf(Math.min(...shown.smooth))]
      ? "Too high: in the search, too, the loss had stopped falling before it came to this rate."
      : "Too high, although in the search the loss still fell there: a few steps at a rate tell less than many.";
  function trainedNote({ rate: at, losses }: Trained): string {
    const [start, last] = [losses[0], settled(losses)];
    const best = trained.reduce((a, b) => (settled(a.losses) <= settled(b.losses) ? a : b));
    if (!(last < start))
      return `At ${trimmed(at)} training goes nowhere: the loss ends at ${short(last)}, having begun at ${short(start)}. ${tooHigh(at)}`;
    if (last > 0.85 * start)
      return `At ${trimmed(at)} the loss has hardly fallen, ${short(start)} → ${short(last)}: the right way, too slowly. Try a rate where the line falls.`;
    if (trained.length > 1)
      return `Of the rates tried, ${trimmed(best.rate)} got furthest, to ${short(settled(best.losses))}. The best is found where the line falls, well before its lowest point; somewhat less is safer in a long training.`;
    return `At ${trimmed(at)} the loss fell from ${short(start)} to ${short(last)} in ${TRAIN_STEPS} steps. Compare: a tenth of it, ten times it, and what the other rules say.`;
  }

  draw();
  return { redraw: draw, stop: () => player.pause() };
}

export default explorable<Data>(
  {
    name: "learning-rate-finder",
    title: "The learning-rate finder",
    idea: "Which learning rate? Instead of trying many trainings, try many rates in one short training: start far too low, raise the rate at every step, and watch what the loss does.",
    keys: [
      ["space", "play or pause"],
      ["← →", "one step"],
      ["e", "to the end"],
      ["1–4", "take a suggestion"],
      ["t", "train at it"],
      ["tab", "to the dashed line, then arrows"],
      ["r", "start again"],
    ],
  },
  build,
);
