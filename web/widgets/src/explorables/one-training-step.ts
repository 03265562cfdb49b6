// One training step: a batch walks through the layers to the loss, gradients walk back, and all weights move at once.
import {
  type Batch,
  type Network,
  sgd,
  backward,
  forward,
  SIDE,
  toyNetwork,
  toyPictures,
} from "../core/network.ts";
import {
  type Item,
  type Layer,
  lossesAfter,
  moved,
  type Step,
  toyStep,
  update,
  type View,
} from "../core/step.ts";
import { button, slider } from "../kit/controls.ts";
import { h, nice, s, short } from "../kit/dom.ts";
import type { Code } from "../kit/frame.ts";
import { explorable, type Home } from "../kit/host.ts";
import { Player } from "../kit/player.ts";
import { path } from "../kit/plot.ts";
import { tensor, TENSOR_CSS } from "../kit/tensor.ts";

interface Own extends Step {
  rates: number[];
  after: number[];
  after_items: number[][];
  about: string;
}
interface Data {
  code?: Code | null;
  own?: Own | null;
}
/** A place in the walk: which step it is, and how far within it. */
interface Place {
  number: number;
  phase: number;
  network: Network;
  step: Step;
}
type Key = number | "inputs" | "loss";
type Part = "batch" | "forward" | "loss" | "backward" | "update" | "again";

const CSS = `${TENSOR_CSS}
.wx .items { display:flex; flex-wrap:wrap; gap:8px; margin-bottom:10px; }
.wx .item { width:92px; font-size:12.5px; line-height:1.3; overflow-wrap:anywhere; margin:0; }
.wx .item img, .wx .stage .item svg { width:56px; height:56px; object-fit:contain; border-radius:6px; display:block; }
.wx .item .wrong { color:var(--bad); } .wx .item .right { color:var(--good); }
.wx .layers { display:flex; flex-wrap:wrap; gap:6px; max-height:190px; overflow:auto; padding:3px; }
.wx .layers button { display:grid; grid-template-columns:minmax(0,1fr) auto; gap:0 10px; text-align:left; align-items:baseline;
  border-left:5px solid var(--line); flex:1 1 auto; max-width:232px; min-width:120px; }
.wx .layers button span { overflow:hidden; text-overflow:ellipsis; white-space:nowrap; min-width:0; }
.wx .layers button .small { font-size:12px; } .wx .layers button[aria-pressed=true] .small { color:inherit; }
.wx .layers button.there { border-left-color:var(--data); }
.wx .layers button.back { border-left-color:var(--third); } .wx .layers button.moved { border-left-color:var(--good); }
.wx .layers button.now { box-shadow:0 0 0 2px var(--data); }
.wx .open h3 { margin:0 0 4px; font-size:15px; } .wx .open .small { max-width:70ch; }
.wx .legend { margin-top:6px; } .wx .legend i { display:inline-block; width:10px; height:10px; border-radius:3px; margin:0 3px 0 8px; }
.wx .track { margin-bottom:10px; display:flex; flex-wrap:wrap; gap:3px; font-size:12.5px; }
.wx .track span { padding:2px 8px; border-radius:9px; background:var(--panel); color:var(--soft); }
.wx .track span[aria-current] { background:var(--data); color:var(--paper); font-weight:600; }
`;
const PARTS: [Part, string][] = [
  ["batch", "batch"],
  ["forward", "forward"],
  ["loss", "loss"],
  ["backward", "backward"],
  ["update", "update"],
  ["again", "same batch again"],
];
const TOY_RATES = Array.from({ length: 41 }, (_, i) => 10 ** (-2 + i / 10));
const FEWEST_STOPS = 12; // a long model is walked through several layers at a time

function build({ frame, data, report }: Home<Data>) {
  frame.root.append(h("style", {}, CSS));
  const { own } = data;
  const batch: Batch = toyPictures(6);
  const layersOf = own ? own.layers : toyStep(toyNetwork(), batch).layers;
  const stride = Math.max(1, Math.ceil(layersOf.length / FEWEST_STOPS));
  const stops = Math.ceil(layersOf.length / stride);
  const last = 2 * stops + 3;
  // To begin with a step that helps: of the usual rates the largest one after which the loss is lower.
  let rateAt = own
    ? Math.max(
        own.rates.findLastIndex((rate, i) => rate <= 0.1 && own.after[i] < own.loss),
        0,
      )
    : 20;
  let perSecond = 1;
  let chosen: Key | null = null; // opened by hand; null follows the walk
  const rates = own ? own.rates : TOY_RATES;
  const rate = () => rates[rateAt];

  const begin = (number: number, network: Network): Place => ({
    number,
    phase: 0,
    network,
    step: own ?? toyStep(network, batch),
  });
  const player = new Player<Place>(frame, {
    first: () => begin(1, toyNetwork()),
    next: (place) => {
      if (place.phase < last) return { ...place, phase: place.phase + 1 };
      if (own) return null;
      const { weights } = backward(place.network, batch, forward(place.network, batch));
      const after = sgd(place.network, weights, rate());
      return Object.values(after).flat(2).every(Number.isFinite) ? begin(place.number + 1, after) : null;
    },
    show: () => draw(),
    perSecond: () => perSecond,
  });

  const part = (phase = player.state.phase): Part => {
    if (phase === 0) return "batch";
    if (phase <= stops) return "forward";
    if (phase === stops + 1) return "loss";
    if (phase <= 2 * stops + 1) return "backward";
    return phase === 2 * stops + 2 ? "update" : "again";
  };
  /** How many layers the walk has reached: forwards from the first, backwards down to one. */
  const reached = (): { there: number; backTo: number } => {
    const { phase } = player.state;
    const there = Math.min(phase * stride, layersOf.length);
    const back = Math.max(0, Math.min(phase - stops - 1, stops));
    return { there, backTo: Math.max(layersOf.length - back * stride, 0) };
  };
  const active = (): Key => {
    const { there, backTo } = reached();
    const now = part();
    if (now === "batch") return "inputs";
    if (now === "forward") return there - 1;
    if (now === "loss" || now === "again") return "loss";
    return now === "backward" ? backTo : layersOf.length - 1;
  };
  const open = () => chosen ?? active();
  const after = (at = rateAt): { loss: number; items: number[] } => {
    if (own) return { loss: own.after[at], items: own.after_items[at] };
    const items = lossesAfter(player.state.network, batch, rates[at]);
    return { loss: items.reduce((a, b) => a + b, 0) / items.length, items };
  };

  // ---- controls
  const rateSlider = slider({
    label: "Learning rate",
    min: 0,
    max: rates.length - 1,
    step: 1,
    value: rateAt,
    format: (value) => String(Number(rates[Math.round(value)].toPrecision(2))),
    change: (value) => {
      rateAt = Math.round(value);
      draw();
    },
  });
  const whole = button("Whole step", () => jump(), {
    title: "To the end of this step, or of the next one (w)",
  });
  function jump(): void {
    player.pause();
    if (player.state.phase === last) player.step();
    while (player.state.phase < last) {
      const { phase, number } = player.state;
      player.step();
      if (player.state.phase === phase && player.state.number === number) break;
    }
  }
  const big = h("div", { class: "big", "data-part": "loss" });
  const small = h("div", { class: "small", "data-part": "after" });
  const curve = s("svg", {
    role: "img",
    height: 96,
    "aria-label": "The loss after the step, for every learning rate",
  });
  const speed = slider({
    label: "Steps a second",
    min: 0.5,
    max: 20,
    step: 0.02,
    value: perSecond,
    log: true,
    format: (value) => value.toFixed(1),
    change: (value) => {
      perSecond = value;
    },
  });
  frame.side.append(
    player.element,
    h("div", { class: "row" }, whole),
    h("div", { class: "box" }, big, small),
    h("div", {}, rateSlider.element, curve),
    speed.element,
  );
  const move = (by: number) => {
    const keys = [...rows.keys()];
    choose(keys[Math.min(Math.max(keys.indexOf(open()) + by, 0), keys.length - 1)]);
  };
  frame.onKey({ w: jump, ArrowUp: () => move(-1), ArrowDown: () => move(1), f: () => choose(null) });

  // ---- the picture
  const track = h("div", { class: "track" });
  const strip = h("div", { class: "items" });
  const list = h("div", { class: "layers", role: "group", "aria-label": "Layers" });
  const panel = h("div", { class: "open", "data-part": "open" });
  const legend = h("div", { class: "small legend" }, "Numbers:");
  for (const [color, name] of [
    ["--data", "above 0"],
    ["--model", "below 0"],
  ])
    legend.append(h("i", { style: `background:var(${color})` }), name);
  legend.append(". Edge of a layer:");
  for (const [color, name] of [
    ["--data", "went through"],
    ["--third", "has its gradient"],
    ["--good", "moved"],
  ])
    legend.append(h("i", { style: `background:var(${color})` }), name);
  frame.stage.append(track, strip, list, legend);
  frame.under.append(panel);
  const row = (name: string, kind: string, shape: string, key: Key) =>
    h(
      "button",
      {
        type: "button",
        click: () => choose(chosen === key ? null : key),
        "data-layer": String(key),
        title: name,
      },
      h("span", {}, name),
      h("span", { class: "small" }, shape),
      h("span", { class: "small" }, kind),
    );
  const rows = new Map<Key, HTMLButtonElement>();
  const written = (view: View) => view.shape.join("×");
  rows.set(
    "inputs",
    row(own ? "inputs" : "pixels", "the batch", written(player.state.step.inputs), "inputs"),
  );
  layersOf.forEach((layer, i) => rows.set(i, row(layer.name, layer.kind, written(layer.output), i)));
  rows.set("loss", row("loss", own ? "mean of the items'" : "softmax, −ln p", "1", "loss"));
  list.append(...rows.values());

  function choose(key: Key | null): void {
    chosen = key;
    player.pause();
    draw();
  }

  function draw(): void {
    drawTrack();
    drawItems();
    drawRows();
    drawOpen();
    drawCurve();
    tell();
  }

  function drawTrack(): void {
    const now = part();
    track.replaceChildren(
      ...PARTS.map(([key, name]) => h("span", { "aria-current": key === now ? "step" : null }, name)),
    );
  }

  function drawItems(): void {
    const now = part();
    const scored = now !== "batch" && now !== "forward";
    const later = after().items;
    strip.replaceChildren(
      ...player.state.step.items.map((item, i) => {
        const right = item.answer === item.label;
        return h(
          "figure",
          { class: "item" },
          pictureOf(item, i),
          h("div", {}, item.label),
          scored
            ? h("div", { class: right ? "right" : "wrong" }, `${right ? "✓" : "✗"} ${item.answer}`)
            : null,
          scored
            ? h(
                "div",
                { class: "small" },
                short(item.loss) + (now === "again" ? ` → ${short(later[i])}` : ""),
              )
            : null,
        );
      }),
    );
  }

  function pictureOf(item: Item, i: number): Element {
    if (item.picture) return h("img", { src: item.picture, alt: `Item ${i + 1}` });
    const { pixels } = item;
    if (!pixels) return h("b", {}, `item ${i + 1}`);
    const svg = s("svg", { viewBox: `0 0 ${SIDE} ${SIDE}`, role: "img", "aria-label": `Item ${i + 1}` });
    pixels.forEach((value, k) =>
      svg.append(
        s("rect", {
          x: k % SIDE,
          y: Math.floor(k / SIDE),
          width: 0.96,
          height: 0.96,
          fill: "var(--ink)",
          "fill-opacity": (0.06 + 0.9 * value).toFixed(2),
        }),
      ),
    );
    return svg;
  }

  function drawRows(): void {
    const { there, backTo } = reached();
    const [now, opened] = [part(), open()];
    for (const [key, element] of rows) {
      const at = key === "inputs" ? -1 : key === "loss" ? layersOf.length : key;
      const scored = now !== "batch" && now !== "forward";
      const layer = player.state.step.layers[at];
      const back = scored && layer !== undefined && at >= backTo && layer.gradient !== null;
      const learns = layer?.parameters.some((each) => each.gradient);
      element.classList.toggle("there", at < there || (key === "loss" && scored));
      element.classList.toggle("back", back);
      element.classList.toggle("moved", Boolean(learns) && (now === "update" || now === "again"));
      element.classList.toggle("now", now !== "update" && key === active());
      element.setAttribute("aria-pressed", String(key === opened));
    }
    const shown = rows.get(opened)!;
    const from = shown.offsetTop - list.offsetTop;
    if (from < list.scrollTop || from + shown.offsetHeight > list.scrollTop + list.clientHeight)
      list.scrollTop = from - list.clientHeight / 2;
  }

  /** All tensors of one layer, as far as the walk has come. */
  function drawOpen(): void {
    drawTensors();
    if (chosen !== null) panel.append(button("Follow the walk again", () => choose(null), { title: "f" }));
  }

  function drawTensors(): void {
    const room = Math.max(220, frame.stage.clientWidth);
    const key = open();
    const { inputs, layers, scores, loss } = player.state.step;
    if (key === "loss") {
      const known = part() !== "batch" && part() !== "forward";
      panel.replaceChildren(h("h3", {}, known ? `loss · the mean of all items': ${short(loss)}` : "loss"));
      if (known)
        panel.append(
          h("div", { class: "tensors" }, ...scores.map(({ name, view }) => tensor(name, view, room))),
        );
      else panel.append(h("div", { class: "small" }, "The batch has not come here yet."));
      return;
    }
    if (key === "inputs") {
      const about = own
        ? "What the model is given."
        : "One row per picture, one column per pixel, line after line.";
      panel.replaceChildren(h("h3", {}, own ? "inputs" : "pixels"), h("div", { class: "small" }, about));
      panel.append(tensor("inputs", inputs, room));
      return;
    }
    const layer = layers[key];
    const { there, backTo } = reached();
    const seen = there > key;
    const back = part() !== "forward" && part() !== "batch" && key >= backTo;
    panel.replaceChildren(h("h3", {}, `${layer.name} · ${layer.kind}`));
    const group = (...figures: Element[]) => panel.append(h("div", { class: "tensors" }, ...figures));
    if (!seen) panel.append(h("div", { class: "small" }, "The batch has not come here yet."));
    else if (back && layer.gradient)
      group(tensor("output", layer.output, room), tensor("gradient by the output", layer.gradient, room));
    else group(tensor("output", layer.output, room));
    if (seen && back && !layer.gradient)
      panel.append(
        h("div", { class: "small" }, "No gradient was needed here: nothing up to this layer learns."),
      );
    for (const each of layer.parameters) group(...parameterOf(each, back, room));
  }

  function parameterOf(each: Layer["parameters"][number], back: boolean, room: number): Element[] {
    const changed = part() === "update" || part() === "again";
    const shown = [tensor(each.name, each.value, room)] as Element[];
    if (!each.gradient) {
      if (back) shown.push(h("div", { class: "small" }, `${each.name} is frozen: no gradient, no step.`));
      return shown;
    }
    if (back) shown.push(tensor(`gradient by ${each.name}`, each.gradient, room));
    if (changed) {
      const lr = String(Number(rate().toPrecision(2)));
      shown.push(tensor(`update = −${lr} × gradient`, update(each.gradient, rate()), room));
      shown.push(tensor(`${each.name} after the step`, moved(each, rate()), room));
    }
    return shown;
  }

  /** The loss after the step for every rate. */
  function drawCurve(): void {
    const width = Math.max(frame.side.clientWidth, 200);
    const height = 96;
    curve.setAttribute("width", String(width));
    curve.setAttribute("viewBox", `0 0 ${width} ${height}`);
    const before = player.state.step.loss;
    const losses = rates.map((_, i) => after(i).loss);
    const low = Math.min(...losses.filter(Number.isFinite), before);
    const high = before + Math.max(before - low, 0.04 * before); // rates that are far too high go over the top
    const x = (i: number) => 8 + (i / (rates.length - 1)) * (width - 16);
    const y = (loss: number) => 20 + ((high - Math.min(loss, high)) / (high - low || 1)) * (height - 40);
    const points = losses.map((loss, i): [number, number] => [
      x(i),
      Number.isFinite(loss) ? y(loss) : y(high),
    ]);
    curve.replaceChildren(
      s("line", {
        x1: 8,
        x2: width - 8,
        y1: y(before),
        y2: y(before),
        stroke: "var(--soft)",
        "stroke-dasharray": "3 4",
      }),
      s("text", { x: 8, y: 11 }, "loss after this step, for every rate"),
      s("path", { d: path(points), fill: "none", stroke: "var(--third)", "stroke-width": 2 }),
      s("circle", {
        cx: points[rateAt][0],
        cy: points[rateAt][1],
        r: 5,
        fill: losses[rateAt] > before ? "var(--bad)" : "var(--good)",
      }),
      s("text", { x: 8, y: height - 3 }, "- - - loss before"),
    );
  }

  function tell(): void {
    const { step, number } = player.state;
    const now = part();
    const later = after();
    const scored = now !== "batch" && now !== "forward";
    big.textContent = scored ? `loss ${short(step.loss)}` : "loss: not yet known";
    small.textContent =
      now === "again"
        ? `after the step ${short(later.loss)}: ${later.loss > step.loss ? "higher" : "lower"} by ${short(Math.abs(later.loss - step.loss))}`
        : `step ${number}`;
    rateSlider.set(rateAt);
    frame.notice(noticed(now, later.loss));
    const key = open();
    report({
      part: now,
      phase: player.state.phase,
      last,
      step: number,
      open: key,
      lr: rate(),
      loss: step.loss,
      after: later.loss,
      items: step.items.map((item) => item.loss),
      layer: typeof key === "number" ? step.layers[key] : null,
    });
  }

  function noticed(now: Part, later: number): string {
    const { step, number } = player.state;
    const key = active();
    const layer = typeof key === "number" ? step.layers[key] : null;
    if (now === "batch")
      return number > 1
        ? `Step ${number} begins with the weights that the last one left. The same pictures, so that the loss can be compared.`
        : `${own ? own.about : "Six small pictures, each with a label: which way does the bar lie?"} Press Step: the batch goes through the layers one by one. Choose a layer to see its numbers.`;
    if (now === "forward" && layer) return forwardNote(layer);
    if (now === "loss")
      return own
        ? `Each item has a loss of its own, below its picture; the batch's loss is their mean, ${short(step.loss)}.`
        : `Each picture's loss is −ln of the probability that its label got; the batch's is their mean. Guessing among three would cost ln 3 = ${nice(Math.log(3))}.`;
    if (now === "backward" && layer)
      return layer.gradient || layer.parameters.some((each) => each.gradient)
        ? "Backwards now. A gradient says how the loss would change if that number were a little larger: blue, it would rise; orange, it would fall. Each layer's comes from that of the layer after it."
        : "Here nothing learns, so no gradient was computed: the step will leave this part as it is.";
    if (now === "update")
      return `Every weight takes a step against its gradient, all ${step.n_moved.toLocaleString("en")} at once: update = −learning rate × gradient. Turn the rate: only the size of the step changes.`;
    if (later > step.loss)
      return `The loss of the same batch rose from ${short(step.loss)} to ${short(later)}: the step went the right way, but too far. The curve under the learning rate shows which steps are short enough.`;
    return `The same batch, with the moved weights: ${short(step.loss)} → ${short(later)}. ${own ? "Training is this, over and over, each time with other items." : "Press Step for the next one, or Whole step several times: that is all that training is."}`;
  }

  function forwardNote(layer: Layer): string {
    const weight = layer.parameters.find((each) => each.name === "weight");
    const [n, ...rest] = layer.output.shape;
    if (layer.kind.startsWith("Linear") && weight)
      return own
        ? `A linear layer: each of the ${n} items' inputs, times the weights, plus the bias, makes ${rest.join("×")} numbers.`
        : `Inputs × weights + bias. Each picture is one row of the output, each column one sum over all its inputs, weighted: ${n}×${weight.value.shape[0]} @ ${weight.value.shape.join("×")} → ${layer.output.shape.join("×")}.`;
    if (/relu/i.test(layer.name + layer.kind))
      return "ReLU keeps what is above 0 and makes the rest 0. Without it, two layers in a row would be no more than one.";
    return `${layer.kind}: ${layer.output.shape.join("×")} numbers came out${weight ? `, with ${weight.value.shape.join("×")} weights` : "; it has nothing to learn"}.`;
  }

  draw();
  return { redraw: draw, stop: () => player.pause() };
}

export default explorable<Data>(
  {
    name: "one-training-step",
    title: "One training step",
    idea: "Inputs, weights, loss, gradients, update: everything that happens when a network learns from one batch. Walk through it and open every tensor on the way.",
    keys: [
      ["space", "play or pause"],
      ["←", "back"],
      ["→", "step"],
      ["w", "whole step"],
      ["↑ ↓", "open a layer"],
      ["f", "follow the walk"],
      ["r", "start again"],
    ],
  },
  build,
);
