// Convolution: a small window of weights slides over a picture; under it numbers are multiplied and added up.
import {
  convolve,
  KERNELS,
  type Matrix,
  outShape,
  type Pair,
  type Settings,
  taps,
  windowAt,
} from "../core/convolution.ts";
import { brief, cells, frameOf, greys, type Shade, type Spot, twoSided } from "../kit/cells.ts";
import { choice, slider } from "../kit/controls.ts";
import { h, nice, s, short } from "../kit/dom.ts";
import type { Code } from "../kit/frame.ts";
import { explorable, type Home } from "../kit/host.ts";
import { greyLevels, loadPicture, photoButton, scene, shrunk, takesDrops } from "../kit/picture.ts";
import { Player } from "../kit/player.ts";
import { pointer } from "../kit/plot.ts";

interface OwnOutput {
  name: string;
  kernels: Matrix[]; // one per shown input channel
  bias: number;
  rest: Matrix | null; // what channels that are not shown add
}
interface Own extends Settings {
  inputs: Matrix[];
  channels: string[];
  outputs: OwnOutput[];
  about: string;
}
interface Data {
  code?: Code | null;
  own?: Own | null;
  photo?: string | null;
}
type Scene = "own" | "small" | "photo";

const SIDE = 96;
const SMALL: Matrix = [
  [0, 0, 0, 0, 0, 0, 0, 0, 0],
  [0, 0, 0, 0, 0, 0, 0, 0, 0],
  [0, 0, 9, 9, 9, 9, 9, 0, 0],
  [0, 0, 9, 9, 9, 9, 9, 0, 0],
  [0, 0, 9, 9, 0, 0, 0, 0, 0],
  [0, 0, 9, 9, 9, 9, 0, 0, 0],
  [0, 0, 9, 9, 0, 0, 0, 0, 0],
  [0, 0, 9, 9, 0, 0, 0, 0, 0],
  [0, 0, 0, 0, 0, 0, 0, 0, 0],
];
const FEW = 150; // places up to which the result fills as the window slides
const ROWS_SHOWN = 7; // of the matrix of windows

const largest = (values: Matrix) =>
  values.reduce((m, row) => row.reduce((n, v) => Math.max(n, Math.abs(v)), m), 0);

function build({ frame, data, report }: Home<Data>) {
  let where: Scene = data.own ? "own" : "small";
  let photo: Matrix = greyLevels(shrunk(scene(640, 480).canvas, 640, 480, SIDE));
  let kernel: Matrix = KERNELS["upright edges"].map((row) => [...row]);
  let preset = "upright edges";
  let free: Settings = { stride: [1, 1], padding: [0, 0], dilation: [1, 1] };
  let relu = false;
  let output = 0;
  let channel = 0;
  let perSecond = 6;
  let whole = false; // a place was chosen by hand: all of the result stays in sight

  // ---- what is shown
  const own = () => (where === "own" && data.own ? data.own : null);
  const image = (): Matrix => own()?.inputs[channel] ?? (where === "photo" ? photo : SMALL);
  const weights = (): Matrix => own()?.outputs[output].kernels[channel] ?? kernel;
  const settings = (): Settings => own() ?? free;
  let sums: Matrix = [[0]]; // before ReLU
  let result: Matrix = [[0]];
  function compute(): void {
    const layer = own();
    if (!layer) sums = convolve(image(), kernel, free);
    else {
      const { kernels, bias, rest } = layer.outputs[output];
      const each = layer.inputs.map((input, c) => convolve(input, kernels[c], layer));
      sums = each[0].map((row, y) =>
        row.map((_, x) => each.reduce((sum, one) => sum + one[y][x], bias + (rest?.[y][x] ?? 0))),
      );
    }
    result = relu ? sums.map((row) => row.map((value) => Math.max(value, 0))) : sums;
  }
  const shape = (): Pair => outShape(image(), weights(), settings());
  const places = () => shape()[0] * shape()[1];

  const player: Player<number> = new Player<number>(frame, {
    first: () => {
      whole = false;
      return -1;
    },
    next: (place) => (place < places() - 1 ? Math.min(place + stepSize(), places() - 1) : null),
    show: () => draw(),
    perSecond: () => perSecond,
  });
  // Playing over a photo takes a row of it at a time: there are thousands of places.
  const stepSize = (): number => (player.playing && places() > 400 ? Math.ceil(shape()[1] / 3) : 1);
  const at = (): Pair | null =>
    player.state < 0 ? null : [Math.floor(player.state / shape()[1]), player.state % shape()[1]];

  // ---- controls
  function changed(): void {
    compute();
    player.reset();
  }
  const tabs = choice<Scene>(
    "Look at",
    [
      ...(data.own ? [["own", "Your layer"] as [Scene, string]] : []),
      ["small", "A small picture"],
      ["photo", "A photo"],
    ],
    where,
    (value) => {
      where = value;
      changed();
    },
  );
  const ask = photoButton("Your photo…", (file) => void open(file));
  async function open(source: string | Blob): Promise<void> {
    photo = greyLevels(await loadPicture(source, SIDE));
    where = "photo";
    tabs.set(where);
    changed();
  }
  takesDrops(frame.root, (file) => void open(file));
  const presets = choice<string>(
    "Kernel",
    Object.keys(KERNELS).map((name) => [name, name[0].toUpperCase() + name.slice(1)]),
    preset,
    (name) => {
      preset = name;
      kernel = KERNELS[name].map((row) => [...row]);
      fillInputs();
      recompute();
    },
  );
  /** Another result, the window where it was. */
  function recompute(): void {
    compute();
    if (player.state >= places()) player.reset();
    else draw();
  }
  const inputs = kernel.map((row, i) =>
    row.map((_, j) =>
      h("input", {
        type: "text",
        inputmode: "decimal",
        "aria-label": `Weight in row ${i + 1}, column ${j + 1}`,
        style: "text-align:center;padding:2px;min-height:38px",
        input: (event: Event) => {
          const value = Number((event.target as HTMLInputElement).value.replace("−", "-").replace(",", "."));
          if (!Number.isFinite(value)) return;
          kernel[i][j] = value;
          preset = "";
          presets.set("");
          recompute();
        },
      }),
    ),
  );
  function fillInputs(): void {
    inputs.forEach((row, i) =>
      row.forEach((input, j) => {
        input.value = Number.isInteger(kernel[i][j]) ? nice(kernel[i][j], 0) : nice(kernel[i][j], 2);
      }),
    );
  }
  const grid = h(
    "div",
    { style: "display:grid;grid-template-columns:repeat(3,56px);gap:4px", "data-part": "kernel" },
    ...inputs.flat(),
  );
  const setting = (label: string, low: number, high: number, name: keyof Settings) =>
    slider({
      label,
      min: low,
      max: high,
      step: 1,
      value: free[name][0],
      format: String,
      change: (value) => {
        free = { ...free, [name]: [value, value] };
        recompute();
      },
    }).element;
  const freely = h(
    "div",
    { class: "side" },
    presets.element,
    grid,
    setting("Stride", 1, 4, "stride"),
    setting("Padding", 0, 3, "padding"),
    setting("Dilation", 1, 3, "dilation"),
  );
  const layerSide = h("div", { class: "side" });
  if (data.own)
    layerSide.append(
      choice<string>(
        "Output",
        data.own.outputs.map((each, i) => [String(i), each.name.replace("output ", "")]),
        "0",
        (value) => {
          output = Number(value);
          recompute();
        },
      ).element,
      choice<string>(
        "Input channel",
        data.own.channels.map((name, i) => [String(i), name]),
        "0",
        (value) => {
          channel = Number(value);
          recompute();
        },
      ).element,
    );
  const reluBox = h("input", {
    type: "checkbox",
    change: () => {
      relu = reluBox.checked;
      recompute();
    },
  });
  const speed = slider({
    label: "Steps a second",
    min: 1,
    max: 60,
    step: 0.02,
    value: perSecond,
    log: true,
    format: (value) => value.toFixed(0),
    change: (value) => {
      perSecond = value;
    },
  });
  const sizes = h("div", { class: "box" });
  frame.side.append(
    tabs.element,
    ask,
    player.element,
    freely,
    layerSide,
    h("label", { class: "check" }, reluBox, "then ReLU: below 0 becomes 0"),
    sizes,
    speed.element,
  );
  const formula = h("div", {
    class: "box formula",
    tabindex: 0,
    "data-part": "formula",
    "aria-live": "polite",
  });
  const product = s("svg", { role: "img", "aria-label": "The same sum as one row of a matrix product" });
  const productBox = h(
    "div",
    {},
    h("div", { class: "small" }, "The same as a matrix product: every window is a row, the kernel a column"),
    product,
  );
  frame.under.append(formula, productBox);
  const svg = s("svg", { role: "group", "aria-label": "The picture, the window on it, and the result" });
  frame.stage.append(svg);
  frame.onKey({
    ArrowDown: () => go(1, 0),
    ArrowUp: () => go(-1, 0),
  });

  function go(down: number, across: number): void {
    const here = at() ?? [0, 0];
    choose([here[0] + down, here[1] + across]);
  }
  function choose([y, x]: Pair): void {
    const [high, wide] = shape();
    const inside = (value: number, n: number) => Math.min(Math.max(Math.round(value), 0), n - 1);
    player.pause();
    whole = true;
    player.restart(inside(y, high) * wide + inside(x, wide));
  }

  // ---- the picture
  interface Layout {
    width: number;
    input: Spot; // of the picture with its padding
    out: Spot;
    below: number;
  }
  function layout(): Layout {
    const width = Math.max(frame.stage.clientWidth, 260);
    const [py, px] = settings().padding;
    const [ih, iw] = [image().length + 2 * py, image()[0].length + 2 * px];
    const [oh, ow] = shape();
    const gap = 24;
    const cell = Math.min((width - gap - 4) / 2 / Math.max(iw, ow), 340 / Math.max(ih, oh), 40);
    const left = Math.max(2, (width - gap - cell * (iw + ow)) / 2);
    const top = 26;
    const high = cell * Math.max(ih, oh);
    return {
      width,
      input: { left, top, cell },
      out: { left: left + cell * iw + gap, top: top + (cell * (ih - oh)) / 2, cell },
      below: top + high + 34,
    };
  }
  const dark = () => frame.root.hasAttribute("data-dark");
  function shades(): { input: Shade; out: Shade; weights: Shade } {
    const values = image().flat();
    const low = where === "own" ? Math.min(...values) : 0;
    const high = where === "own" ? Math.max(...values) : where === "photo" ? 255 : 9;
    const signed = result.some((row) => row.some((value) => value < -1e-9)) || where === "own";
    const limit = Math.max(largest(sums), 1e-9);
    return {
      input: greys(low, high),
      out: signed || limit > 1.01 * high ? twoSided(limit, dark()) : greys(low, high),
      weights: twoSided(Math.max(largest(weights()), 1e-9), dark()),
    };
  }

  function draw(): void {
    const { width, input, out, below } = layout();
    const shade = shades();
    const spot = at();
    const parts: SVGElement[] = [];
    const [py, px] = settings().padding;
    const [ih, iw] = [image().length + 2 * py, image()[0].length + 2 * px];
    const inner: Spot = {
      left: input.left + px * input.cell,
      top: input.top + py * input.cell,
      cell: input.cell,
    };
    if (py || px)
      parts.push(
        s("rect", {
          x: input.left,
          y: input.top,
          width: iw * input.cell,
          height: ih * input.cell,
          fill: "var(--panel)",
          stroke: "var(--line)",
          "stroke-dasharray": "4 3",
        }),
      );
    parts.push(
      cells(image(), inner, shade.input),
      s("text", { class: "label", x: input.left, y: 16 }, `picture ${image().length}×${image()[0].length}`),
    );
    const [oh, ow] = shape();
    if (oh < 1 || ow < 1) {
      parts.push(
        s(
          "text",
          { x: width / 2, y: below, "text-anchor": "middle" },
          "The window is larger than the picture.",
        ),
      );
      svg.replaceChildren(...parts);
      svg.setAttribute("height", String(below + 20));
      return;
    }
    const place = player.state;
    const shown = result.map((row, y) =>
      row.map((v, x) => (!whole && place >= 0 && oh * ow <= FEW && y * ow + x > place ? null : v)),
    );
    parts.push(
      s("rect", {
        x: out.left,
        y: out.top,
        width: ow * out.cell,
        height: oh * out.cell,
        fill: "var(--panel)",
        stroke: "var(--line)",
      }),
      cells(shown, out, shade.out, largest(sums) < 10 ? 2 : 0),
      s("text", { class: "label", x: out.left, y: 16 }, `result ${oh}×${ow}`),
    );
    if (spot) {
      for (const [y, x] of taps(weights(), settings(), ...spot))
        parts.push(
          s("rect", {
            x: inner.left + x * input.cell,
            y: inner.top + y * input.cell,
            width: input.cell,
            height: input.cell,
            fill: "var(--model)",
            "fill-opacity": input.cell < 15 ? 0.35 : 0.16,
            stroke: "var(--model)",
            "stroke-width": input.cell < 15 ? 1 : 2,
            "pointer-events": "none",
          }),
        );
      parts.push(frameOf(out, spot[0], spot[1], 1, 1, "var(--model)"));
    }
    const height = drawWork(parts, width, below, shade, spot);
    svg.setAttribute("height", String(height));
    svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    svg.replaceChildren(...parts);
    drawProduct(shade, spot);
    tell(spot);
  }

  /** The window at work: pixels × weights = products, and their sum. */
  function drawWork(
    parts: SVGElement[],
    width: number,
    top: number,
    shade: ReturnType<typeof shades>,
    spot: Pair | null,
  ): number {
    const k = weights();
    const [high, wide] = [k.length, k[0].length];
    const cell = Math.max(6, Math.min(38, (width - 128) / (3 * wide), 130 / high));
    const flat = spot ? windowAt(image(), k, settings(), ...spot) : null;
    const square = (values: number[]): Matrix => k.map((_, i) => values.slice(i * wide, (i + 1) * wide));
    const none: null[][] = k.map((row) => row.map(() => null));
    const products = flat ? square(flat.map((value, i) => value * k.flat()[i])) : none;
    const limit = Math.max(largest(image()) * largest(k), 1e-9) / 2;
    const boxes: [string, (number | null)[][], Shade][] = [
      ["pixels", flat ? square(flat) : none, shade.input],
      ["kernel", k, shade.weights],
      ["products", products, twoSided(limit, dark())],
    ];
    let left = Math.max(2, (width - 3 * wide * cell - 122) / 2);
    const middle = top + (high * cell) / 2 + 6;
    boxes.forEach(([name, values, colours], i) => {
      const spotOf = { left, top, cell };
      parts.push(
        s("rect", {
          x: left,
          y: top,
          width: wide * cell,
          height: high * cell,
          fill: "var(--panel)",
          stroke: i === 1 ? "var(--model)" : "var(--line)",
        }),
        cells(values, spotOf, colours, 2),
        s("text", { x: left + (wide * cell) / 2, y: top - 7, "text-anchor": "middle" }, name),
      );
      left += wide * cell;
      parts.push(sign(left + 15, middle, ["×", "=", "Σ"][i]));
      left += 30;
    });
    const sum = flat ? flat.reduce((total, value, i) => total + value * k.flat()[i], 0) : null;
    const text = sum === null ? "?" : brief(Math.abs(sum) < 1e-9 ? 0 : sum, 2);
    parts.push(
      s(
        "text",
        { x: left, y: middle, "data-part": "sum", style: "fill:var(--ink);font-size:19px;font-weight:700" },
        text,
      ),
    );
    return top + high * cell + 12;
  }
  const sign = (x: number, y: number, text: string) =>
    s("text", { x, y, "text-anchor": "middle", style: "fill:var(--ink);font-size:18px" }, text);

  /** A few rows of the matrix of windows, the kernel as a column, and the column of results. */
  function drawProduct(shade: ReturnType<typeof shades>, spot: Pair | null): void {
    const k = weights().flat();
    productBox.style.display = k.length > 25 ? "none" : "";
    if (k.length > 25) return;
    const [, ow] = shape();
    const rows = Math.min(ROWS_SHOWN, places());
    const now = Math.max(player.state, 0);
    const first = Math.min(Math.max(now - Math.floor(rows / 2), 0), places() - rows);
    const numbers = Array.from({ length: rows }, (_, i) => first + i);
    const width = Math.max(frame.under.clientWidth, 260);
    const cell = Math.min(26, (width - 70) / (k.length + 3.4));
    const top = 8;
    const high = Math.max(rows, k.length) * cell;
    const wins = numbers.map((n) => windowAt(image(), weights(), settings(), Math.floor(n / ow), n % ow));
    const spots: Spot[] = [0, k.length * cell + 26, (k.length + 1) * cell + 52].map((left) => ({
      left: 2 + left,
      top,
      cell,
    }));
    const column = wins.map((row) => [row.reduce((sum, value, i) => sum + value * k[i], 0)]);
    product.setAttribute("width", String(width));
    product.setAttribute("height", String(high + 34));
    product.setAttribute("viewBox", `0 0 ${width} ${high + 34}`);
    product.replaceChildren(
      cells(wins, spots[0], shade.input, 2),
      cells(
        k.map((value) => [value]),
        spots[1],
        shade.weights,
        2,
      ),
      cells(column, spots[2], twoSided(Math.max(largest(sums), 1e-9), dark()), largest(sums) < 10 ? 2 : 0),
      sign(spots[1].left - 13, top + (rows * cell) / 2 + 5, "@"),
      sign(spots[2].left - 13, top + (rows * cell) / 2 + 5, "="),
      s(
        "text",
        { x: 2, y: high + 26 },
        `${places()}×${k.length} @ ${k.length}×1 → ${places()}×1${rows < places() ? `, rows ${first + 1} to ${first + rows}` : ""}`,
      ),
    );
    if (!spot) return;
    product.append(
      frameOf(spots[0], now - first, 0, 1, k.length, "var(--model)"),
      frameOf(spots[2], now - first, 0, 1, 1, "var(--model)"),
    );
  }

  function tell(spot: Pair | null): void {
    freely.style.display = where === "own" ? "none" : "";
    layerSide.style.display = where === "own" ? "" : "none";
    ask.style.display = where === "photo" ? "" : "none";
    const { stride, padding, dilation } = settings();
    const [ih, iw] = [image().length, image()[0].length];
    const [oh, ow] = shape();
    const k = weights();
    const reach = dilation[0] * (k.length - 1) + 1;
    sizes.replaceChildren(
      h("div", { class: "big" }, `${ih}×${iw} → ${oh}×${ow}`),
      h(
        "div",
        { class: "small" },
        `(${ih}${padding[0] ? ` + 2·${padding[0]}` : ""} − ${reach}) ÷ ${stride[0]} + 1 = ${oh} · ${oh * ow * k.length * k[0].length} multiplications${own() ? " a channel" : ""}`,
      ),
    );
    formula.textContent = spot ? spelled(spot) : "Press Step, or choose a place on either picture.";
    frame.notice(noticed(spot));
    report({
      scene: where,
      at: spot,
      image: ih * iw <= 400 ? image() : null,
      kernel: k,
      settings: { stride, padding, dilation },
      size: [oh, ow],
      out: oh * ow <= 400 ? result : null,
      value: spot ? result[spot[0]][spot[1]] : null,
      total: result.flat().reduce((sum, value) => sum + value, 0),
      output: own()?.outputs[output].name ?? null,
    });
  }
  function spelled(spot: Pair): string {
    const name = `row ${spot[0] + 1} · column ${spot[1] + 1}: `;
    const layer = own();
    const value = result[spot[0]][spot[1]];
    if (layer) {
      const { kernels, bias, rest } = layer.outputs[output];
      const each = layer.inputs.map((input, c) => {
        const sum = windowAt(input, kernels[c], layer, ...spot).reduce(
          (t, v, i) => t + v * kernels[c].flat()[i],
          0,
        );
        return `${layer.channels[c]} ${short(sum)}`;
      });
      const more = rest ? ` + ${short(rest[spot[0]][spot[1]])} (other channels)` : "";
      return `${name}${each.join(" + ")}${more} + ${short(bias)} (bias)${relu ? " → ReLU" : ""} = ${short(value)}`;
    }
    const flat = kernel.flat();
    const under = windowAt(image(), kernel, free, ...spot);
    const terms = under.flatMap((v, i) =>
      flat[i] === 0 ? [] : [`${brief(v)}×${flat[i] < 0 ? `(${brief(flat[i], 2)})` : brief(flat[i], 2)}`],
    );
    return `${name}${terms.join(" + ") || "nothing"}${relu ? " → ReLU" : ""} = ${brief(value, 2)}`;
  }

  function noticed(spot: Pair | null): string {
    const layer = own();
    const { stride, padding, dilation } = settings();
    if (layer)
      return `${layer.about} ${spot ? "" : "Nobody chose these weights: training found them. Bright and dark, orange and blue say what each one answers to."}`.trim();
    if (places() < 1)
      return "The window is larger than the picture: it has no place to stand. Padding gives it some.";
    if (relu)
      return "ReLU keeps what answered “yes” and drops the rest: what is left is a map of where the pattern was found. That is one channel of a network's layer.";
    if (stride[0] > 1)
      return `A stride of ${stride[0]}: the window skips places, so the result is about ${stride[0]} times smaller each way, and ${stride[0] ** 2} times less work.`;
    if (dilation[0] > 1)
      return `Dilation ${dilation[0]}: still ${kernel.flat().length} weights, but they look at every ${dilation[0] === 2 ? "second" : "third"} pixel, so the window sees further without more work.`;
    if (padding[0] > 0)
      return padding[0] === 1
        ? "One ring of zeros around the picture: the window may stand at the very edge, and the result is as large as the picture. In a photo the rim of the result lights up: the edge of the zeros is an edge, too."
        : "More zeros than the window needs: the result grows larger than the picture, and its rim is made of nothing.";
    const notes: Record<string, string> = {
      "upright edges":
        "Left column minus, right column plus: where both sides are alike they cancel to 0. Only a change from left to right gives an answer: orange from dark to bright, blue from bright to dark.",
      "level edges":
        "The same kernel lying on its side: now only changes from top to bottom answer. Each kernel looks for one thing, everywhere.",
      outline:
        "Eight times the middle minus its eight neighbours: 0 wherever all are alike, so only outlines are left.",
      blur: "All nine weights are one ninth: the result is the mean of the neighbourhood, so sharp steps become soft ones.",
      sharpen:
        "Five times the middle minus its four neighbours: differences grow, and the weights add up to 1, so plain areas keep their value.",
      nothing:
        "A single 1 in the middle: the picture comes out as it went in. From here, change one weight at a time and see what it does.",
      "": "Your own kernel. If its weights add up to 0, plain areas vanish; if they add up to 1, they keep their brightness.",
    };
    if (spot && preset === "upright edges" && where === "small")
      return "Nine products, one sum, then the window moves on and the same nine weights are used again. That is all a convolution does. Change the kernel while the window stands still.";
    return notes[preset];
  }

  // ---- choosing a place with the pointer
  let dragging = false;
  svg.addEventListener("pointerdown", (event) => {
    const spot = placeOf(event);
    if (!spot) return;
    dragging = true;
    svg.setPointerCapture(event.pointerId);
    choose(spot);
  });
  svg.addEventListener("pointermove", (event) => {
    const spot = dragging && placeOf(event);
    if (spot) choose(spot);
  });
  for (const end of ["pointerup", "pointercancel"])
    svg.addEventListener(end, () => {
      dragging = false;
    });
  function placeOf(event: PointerEvent): Pair | null {
    const { input, out, below } = layout();
    const [x, y] = pointer(event, svg);
    const [oh, ow] = shape();
    if (y > below - 24 || oh < 1 || ow < 1) return null;
    if (x >= out.left - 8) return [(y - out.top) / out.cell - 0.5, (x - out.left) / out.cell - 0.5];
    const { stride, dilation } = settings();
    const k = weights();
    const centre = (pixel: number, start: number, i: 0 | 1, n: number) =>
      ((pixel - start) / input.cell - 0.5 - (dilation[i] * (n - 1)) / 2) / stride[i];
    return [centre(y, input.top, 0, k.length), centre(x, input.left, 1, k[0].length)];
  }

  fillInputs();
  compute();
  draw();
  if (data.photo) void open(data.photo).then(() => data.own && back());
  function back(): void {
    where = "own";
    tabs.set(where);
    changed();
  }
  return { redraw: draw, stop: () => player.pause() };
}

export default explorable<Data>(
  {
    name: "convolution",
    title: "Convolution",
    idea: "A small window of weights slides over a picture. At each place every pixel under it is multiplied by its weight, and the products are added up to one number. The same few weights are used everywhere.",
    keys: [
      ["space", "play or pause"],
      ["← →", "back and step"],
      ["↑ ↓", "a row up or down"],
      ["r", "start again"],
    ],
  },
  build,
);
