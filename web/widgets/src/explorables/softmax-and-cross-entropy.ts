// Softmax and cross-entropy: scores to drag, the probabilities they make, the loss, and where its gradient pulls.
import { crossEntropy, type Scored } from "../core/softmax.ts";
import { button, choice, slider } from "../kit/controls.ts";
import { h, nice, s, short } from "../kit/dom.ts";
import type { Code } from "../kit/frame.ts";
import { explorable, type Home } from "../kit/host.ts";
import { Player } from "../kit/player.ts";
import { axesOf, path, pointer, scales } from "../kit/plot.ts";

interface Own {
  logits: number[];
  names: string[];
  true: number | null;
  smoothing: number;
  picture: string | null;
  about: string;
}
interface Data {
  code?: Code | null;
  logits?: number[] | null;
  names?: string[] | null;
  own?: Own | null;
}

const NAMES = ["cat", "dog", "fox", "owl"];
const LOGITS = [2, 1, 0.2, -1];
const MOST_ROWS = 7; // classes with a row of their own; the others share one
const RATE = 0.5; // of the steps that the gradient takes with the scores

const cut = (text: string, most: number) => (text.length > most ? `${text.slice(0, most - 1)}…` : text);

function build({ frame, data, report }: Home<Data>) {
  const { own } = data;
  const first = own?.logits ?? data.logits ?? LOGITS;
  const names = own?.names ?? data.names ?? NAMES.slice(0, first.length);
  const likeliest = first.indexOf(Math.max(...first));
  let truth = own ? (own.true ?? likeliest) : Math.min(1, first.length - 1);
  let temperature = 1;
  let smoothing = own?.smoothing ?? 0;
  let done: "" | "shifted" = ""; // what was just done, where that is worth a word
  const reach = Math.max(6, Math.ceil(Math.max(...first.map(Math.abs)) + 1));
  // The likeliest classes and the true one, in their own order.
  const ranked = [...first.keys()].sort((a, b) => first[b] - first[a]);
  const kept =
    first.length <= MOST_ROWS
      ? ranked
      : [truth, ...ranked.filter((i) => i !== truth)].slice(0, MOST_ROWS - 1);
  const shown = [...kept].sort((a, b) => a - b);
  const hidden = ranked.filter((i) => !kept.includes(i));

  const scoredNow = (): Scored => crossEntropy(player.state, truth, temperature, smoothing);
  const player = new Player<number[]>(frame, {
    first: () => [...first],
    next: (logits) => {
      const { gradient } = crossEntropy(logits, truth, temperature, smoothing);
      if (Math.max(...gradient.map(Math.abs)) < 1e-4) return null;
      return logits.map((z, i) => z - RATE * gradient[i]);
    },
    show: () => {
      done = "";
      draw();
    },
    perSecond: () => 6,
  });
  const put = (logits: number[]) => {
    player.pause();
    player.restart(logits);
  };
  const setScore = (i: number, value: number) => {
    const logits = [...player.state];
    logits[i] = Math.min(Math.max(value, -reach), reach);
    put(logits);
  };

  // ---- controls
  const big = h("div", { class: "big", "data-part": "loss" });
  const small = h("div", { class: "small", "data-part": "how" });
  const classes = choice<string>(
    "The true class",
    shown.map((i) => [String(i), cut(names[i], 18)] as [string, string]),
    String(truth),
    (value) => {
      truth = Number(value);
      draw();
    },
  );
  const heat = slider({
    label: "Temperature",
    min: 0.1,
    max: 10,
    step: 0.02,
    value: 1,
    log: true,
    format: (value) => String(Number(value.toPrecision(2))),
    change: (value) => {
      temperature = Math.abs(value - 1) < 0.03 ? 1 : value;
      draw();
    },
  });
  const smooth = slider({
    label: "Label smoothing",
    min: 0,
    max: 0.5,
    step: 0.01,
    value: smoothing,
    format: (value) => nice(value),
    change: (value) => {
      smoothing = value;
      draw();
    },
  });
  const sure = (right: boolean) => {
    const wrong = shown.find((i) => i !== truth)!;
    put(player.state.map((_, i) => (i === (right ? truth : wrong) ? 5 : 0)));
  };
  const shift = () => {
    put(player.state.map((z) => z + 1));
    done = "shifted";
    draw();
  };
  const equal = () => put(player.state.map(() => 0));
  frame.side.append(
    h("div", { class: "box" }, big, small),
    player.element,
    h(
      "div",
      { class: "row" },
      button("All equal", equal, { title: "All scores 0 (e)" }),
      button("All +1", shift, { title: "Adds 1 to every score (a)" }),
      button("Sure and right", () => sure(true)),
      button("Sure and wrong", () => sure(false)),
    ),
    classes.element,
    heat.element,
    smooth.element,
  );
  frame.onKey({ e: equal, a: shift });

  // ---- the picture
  if (own?.picture)
    frame.stage.append(
      h("img", {
        src: own.picture,
        alt: own.about,
        style: "max-height:112px;border-radius:8px;display:block",
      }),
    );
  const svg = s("svg", {
    role: "group",
    "aria-label": "Scores, their powers, probabilities and the gradient",
  });
  const back = s("g");
  const handles = s("g");
  svg.append(back, handles);
  const formula = h("div", { class: "box formula", tabindex: 0, "data-part": "formula" });
  frame.stage.append(svg);
  const lossCurve = s("svg", {
    role: "img",
    "aria-label": "The loss for every probability of the true class",
  });
  frame.under.append(formula, lossCurve);
  let track: [number, number] = [0, 1];
  let dragged: number | null = null;
  const knobs = shown.map((i) =>
    s("circle", {
      class: "handle",
      r: 9,
      tabindex: 0,
      role: "slider",
      fill: "var(--data)",
      stroke: "var(--paper)",
      "stroke-width": 2.5,
      "aria-label": `Score of ${names[i]}`,
      "aria-valuemin": -reach,
      "aria-valuemax": reach,
      pointerdown: (event: PointerEvent) => {
        dragged = i;
        svg.setPointerCapture(event.pointerId);
        (event.target as SVGElement).focus({ preventScroll: true });
        event.preventDefault();
      },
      keydown: (event: KeyboardEvent) => {
        const way = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1 }[event.key];
        if (!way) return;
        event.preventDefault();
        event.stopPropagation();
        setScore(i, Math.round((player.state[i] + way * (event.shiftKey ? 1 : 0.1)) * 1e6) / 1e6);
      },
    }),
  );
  handles.append(...knobs);
  svg.addEventListener("pointermove", (event) => {
    if (dragged === null) return;
    const [px] = pointer(event, svg);
    const value = -reach + ((px - track[0]) / (track[1] - track[0])) * 2 * reach;
    setScore(dragged, Math.round(value * 20) / 20);
  });
  for (const end of ["pointerup", "pointercancel"])
    svg.addEventListener(end, () => {
      dragged = null;
    });

  interface Columns {
    narrow: boolean;
    high: number; // of a row
    top: number;
    name: number; // letters that fit
    score: [number, number];
    power: [number, number];
    share: [number, number];
    pull: [number, number];
  }
  function columnsOf(width: number): Columns {
    if (width < 560) {
      const third = (width - 24) / 3;
      const at = (k: number): [number, number] => [4 + k * (third + 8), 4 + k * (third + 8) + third];
      return {
        narrow: true,
        high: 88,
        top: 30,
        name: 10,
        score: [92, width - 14],
        power: at(0),
        share: at(1),
        pull: at(2),
      };
    }
    const left = 104;
    const part = (width - left - 66) / 4.3;
    return {
      narrow: false,
      high: 50,
      top: 40,
      name: 14,
      score: [left, left + 1.3 * part],
      power: [left + 1.3 * part + 28, left + 2.3 * part + 18],
      share: [left + 2.3 * part + 40, left + 3.3 * part + 30],
      pull: [left + 3.3 * part + 52, left + 4.3 * part + 52],
    };
  }

  function draw(): void {
    const width = Math.max(frame.stage.clientWidth, 260);
    const columns = columnsOf(width);
    track = columns.score;
    const rows = shown.length + (hidden.length ? 1 : 0);
    const height = columns.top + rows * columns.high + 4;
    svg.setAttribute("height", String(height));
    svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    const scored = scoredNow();
    back.replaceChildren();
    drawHeads(columns, width, scored.loss);
    const most = Math.max(...shown.map((i) => scored.powers[i]), 1e-12);
    shown.forEach((i, row) => drawRow(columns, row, i, scored, most));
    if (hidden.length) drawRest(columns, shown.length, scored, most);
    drawCurve(width, scored);
    tell(scored);
  }

  const words = () => ({
    score: "score z: drag",
    power: temperature === 1 ? "e to the z" : "e to the z ÷ T",
    share: "p, its share ┆ target",
    pull: temperature === 1 ? "gradient: p − target" : "(p − target) ÷ T",
  });
  function label(x: number, y: number, text: string, color = "var(--ink)", anchor = "start"): SVGTextElement {
    return s("text", { x, y, "text-anchor": anchor, style: `fill:${color};font-weight:600` }, text);
  }
  function drawHeads(columns: Columns, width: number, loss: number): void {
    const named = words();
    if (columns.narrow) {
      back.append(label(columns.score[0], 16, named.score, "var(--data)"));
      back.append(label(width, 16, `loss ${short(loss)}`, "var(--ink)", "end"));
      return;
    }
    for (const key of ["score", "power", "share", "pull"] as const)
      back.append(label(columns[key][0], 18, named[key], key === "score" ? "var(--data)" : "var(--soft)"));
  }

  function drawRow(columns: Columns, row: number, i: number, scored: Scored, most: number): void {
    const y = columns.top + row * columns.high + 12;
    const below = columns.narrow ? y + 32 : y;
    const [x0, x1] = columns.score;
    const at = (z: number) => x0 + ((z + reach) / (2 * reach)) * (x1 - x0);
    const z = player.state[i];
    const isTrue = i === truth;
    back.append(
      label(
        0,
        y + 5,
        `${isTrue ? "✓ " : ""}${cut(names[i], columns.name)}`,
        isTrue ? "var(--good)" : "var(--ink)",
      ),
      s("line", {
        x1: x0,
        x2: x1,
        y1: y,
        y2: y,
        stroke: "var(--line)",
        "stroke-width": 4,
        "stroke-linecap": "round",
      }),
      s("line", { x1: at(0), x2: at(0), y1: y - 8, y2: y + 8, stroke: "var(--line)", "stroke-width": 2 }),
      label(Math.min(Math.max(at(z), x0 + 14), x1 - 14), y - 13, nice(z), "var(--data)", "middle"),
    );
    const knob = knobs[row];
    knob.setAttribute("cx", at(Math.min(Math.max(z, -reach), reach)).toFixed(1));
    knob.setAttribute("cy", String(y));
    knob.setAttribute("aria-valuenow", z.toFixed(2));
    drawNumbers(columns, below, names[i], most, [
      scored.powers[i],
      scored.probabilities[i],
      scored.target[i],
      scored.gradient[i],
    ]);
  }

  function drawRest(columns: Columns, row: number, scored: Scored, most: number): void {
    const y = columns.top + row * columns.high + 12;
    const sum = (values: number[]) => hidden.reduce((all, i) => all + values[i], 0);
    back.append(
      label(0, y + 5, `${hidden.length} others`, "var(--soft)"),
      s("text", { x: columns.score[0], y: y + 5 }, "not shown; they count"),
    );
    const numbers = [scored.powers, scored.probabilities, scored.target, scored.gradient].map(sum);
    drawNumbers(columns, columns.narrow ? y + 32 : y, "the others", most, numbers);
  }

  /** The three bars of a row: power, share with its target, gradient. */
  function drawNumbers(columns: Columns, y: number, name: string, most: number, numbers: number[]): void {
    const [power, share, target, pull] = numbers;
    const bar = (x: number, width: number, fill: string) =>
      s("rect", { x, y: y - 6, width: Math.max(width, 0), height: 13, rx: 3, fill, "fill-opacity": 0.75 });
    const heads = columns.narrow ? words() : null;
    const said = (x: number, text: string, head: string | undefined) =>
      s("text", { x, y: y - 11, style: "fill:var(--ink)" }, head ? `${head} ${text}` : text);
    const [px0, px1] = columns.power;
    back.append(
      said(px0, short(power), heads ? "e^z" : undefined),
      bar(px0, Math.min(power / most, 1) * (px1 - px0), "var(--model)"),
    );
    const [sx0, sx1] = columns.share;
    back.append(
      s("rect", {
        x: sx0,
        y: y - 6,
        width: sx1 - sx0,
        height: 13,
        rx: 3,
        fill: "none",
        stroke: "var(--line)",
      }),
      bar(sx0, share * (sx1 - sx0), "var(--third)"),
      s("line", {
        x1: sx0 + target * (sx1 - sx0),
        x2: sx0 + target * (sx1 - sx0),
        y1: y - 10,
        y2: y + 11,
        stroke: "var(--good)",
        "stroke-width": 2.5,
        "stroke-dasharray": "4 2",
      }),
      said(sx0, percent(share), heads ? "p" : undefined),
    );
    const [gx0, gx1] = columns.pull;
    const zero = (gx0 + gx1) / 2;
    const size = (Math.min(Math.abs(pull), 1) * (gx1 - gx0)) / 2;
    back.append(
      s("line", { x1: zero, x2: zero, y1: y - 8, y2: y + 9, stroke: "var(--line)", "stroke-width": 2 }),
      bar(pull < 0 ? zero - size : zero, size, pull < 0 ? "var(--good)" : "var(--bad)"),
      said(
        gx0,
        `${nice(pull)} ${Math.abs(pull) < 0.005 ? "" : pull < 0 ? "raise it" : "lower it"}`,
        undefined,
      ),
    );
    back.lastElementChild!.setAttribute("aria-label", `Gradient of ${name}: ${nice(pull)}`);
  }

  const percent = (p: number) => (p > 0 && p < 0.001 ? "< 0.1 %" : `${nice(100 * p, 1)} %`);

  /** −ln p for every p, and where the true class is. */
  function drawCurve(width: number, { probabilities }: Scored): void {
    const height = 170;
    lossCurve.setAttribute("height", String(height));
    lossCurve.setAttribute("width", String(width));
    lossCurve.setAttribute("viewBox", `0 0 ${width} ${height}`);
    const most = 6;
    const axes = scales({ left: 34, top: 22, width: width - 46, height: height - 44 }, [0, 1], [0, most]);
    const fine = Array.from({ length: 120 }, (_, i) => Math.exp((-most * (119 - i)) / 119));
    const p = probabilities[truth];
    const loss = -Math.log(p);
    const [x, y] = [axes.x(p), axes.y(Math.min(loss, most))];
    lossCurve.replaceChildren(
      axesOf(axes, [0, 1], [0, most]),
      s("text", { x: 34, y: 12 }, "−ln p, for every probability p of the true class"),
      s("path", {
        d: path(fine.map((v) => [axes.x(v), axes.y(-Math.log(v))])),
        fill: "none",
        stroke: "var(--soft)",
        "stroke-width": 2,
      }),
      s("line", { x1: x, x2: x, y1: y, y2: axes.y(0), stroke: "var(--third)", "stroke-dasharray": "3 3" }),
      s("circle", { cx: x, cy: y, r: 6, fill: "var(--third)" }),
      s(
        "text",
        {
          class: "label",
          x: p > 0.6 ? x - 10 : x + 10,
          y: Math.max(p > 0.6 ? y - 20 : y - 8, 34),
          "text-anchor": p > 0.6 ? "end" : "start",
        },
        `${cut(names[truth], 18)}: p ${percent(p)}, −ln p = ${nice(loss)}`,
      ),
    );
  }

  function tell(scored: Scored): void {
    const p = scored.probabilities[truth];
    big.textContent = `loss ${short(scored.loss)}`;
    small.textContent =
      smoothing === 0
        ? `−ln ${short(p)}: how surprised the model is by “${names[truth]}”`
        : `−Σ target × ln p; target ${percent(scored.target[truth])} for “${names[truth]}”`;
    const over = temperature === 1 ? "" : `/${short(temperature)}`;
    const terms = shown.map((i) => `e^(${nice(player.state[i])}${over})`);
    const sum = scored.powers.reduce((a, b) => a + b, 0);
    formula.textContent =
      `p(${names[truth]}) = e^(${nice(player.state[truth])}${over}) ÷ (${terms.join(" + ")}` +
      `${hidden.length ? ` + ${hidden.length} others` : ""}) = ${short(scored.powers[truth])} ÷ ${short(sum)} = ${short(p)}`;
    classes.set(String(truth));
    frame.notice(noticed(scored));
    report({
      logits: player.state,
      truth,
      temperature,
      smoothing,
      steps: player.count,
      loss: scored.loss,
      probabilities: scored.probabilities,
      gradient: scored.gradient,
    });
  }

  function noticed({ probabilities, target, gradient, loss }: Scored): string {
    const p = probabilities[truth];
    const name = names[truth];
    if (done === "shifted")
      return "Every score rose by 1, and no probability changed: only the differences between scores count.";
    if (player.count > 0) {
      const calm = Math.max(...gradient.map(Math.abs)) < 0.01;
      if (calm && smoothing > 0)
        return "At rest: every p has met its target, so the gradient is gone. With smoothed labels there is such a place; without, scores would grow for ever.";
      if (p > 0.95 && smoothing === 0)
        return "Nearly sure, so the gradient is nearly gone. But p never reaches 1: the scores go on growing, ever more slowly. Try some label smoothing.";
      return `Each step moves every score against its gradient: “${name}” up, the others down, those with the largest p the most. In training, the weights below are moved so that this happens.`;
    }
    if (temperature !== 1)
      return temperature > 1
        ? `A temperature of ${short(temperature)} divides all scores first: their differences shrink, the probabilities come closer to each other, the order stays.`
        : `A temperature of ${short(temperature)} makes differences larger: the largest score takes nearly all. The order stays.`;
    if (smoothing > 0)
      return `The dashed green marks are what is aimed at: ${percent(target[truth])} for “${name}”, a little for all others. Being too sure now costs, too; the loss cannot reach 0.`;
    if (p < 0.05)
      return `Sure and wrong is what costs most: the loss is ${nice(loss)}, and the gradient takes from the wrong class nearly as much as it gives to “${name}”.`;
    if (p > 0.95)
      return `Sure and right: hardly any loss, and hardly any gradient. There is nothing left to learn from this item.`;
    const said = own
      ? `Your model's scores for ${own.about}${own.true === null ? ", which has no label: choose its true class" : ""}. `
      : "";
    return `${said}Drag a score. e to the z makes every score positive, large ones much larger; each one's share of the sum is its probability. The loss looks only at that of “${name}”, the true class; the gradient is what p has too much or too little.`;
  }

  draw();
  return { redraw: draw, stop: () => player.pause() };
}

export default explorable<Data>(
  {
    name: "softmax-and-cross-entropy",
    title: "Softmax and cross-entropy",
    idea: "A model gives each class a score. Softmax makes probabilities of them, cross-entropy a loss, and the gradient of that loss turns out to be a plain subtraction. Move the scores and see all of it at once.",
    keys: [
      ["tab", "to a score, then arrows"],
      ["space", "let the gradient pull"],
      ["← →", "one step"],
      ["a", "all +1"],
      ["e", "all equal"],
      ["r", "start again"],
    ],
  },
  build,
);
