// RandomResizedCrop: what a random part of a photo keeps, draw by draw, and what many draws see together.
import {
  type Box,
  crops,
  type CropSettings,
  kept,
  keptOfBox,
  largestCrops,
  seen,
  type Size,
} from "../core/crops.ts";
import { choice, slider } from "../kit/controls.ts";
import { h, s } from "../kit/dom.ts";
import type { Code } from "../kit/frame.ts";
import { explorable, type Home } from "../kit/host.ts";
import { canvasOf, loadPicture, maskOf, photoButton, scene, shrunk, takesDrops } from "../kit/picture.ts";
import { Player } from "../kit/player.ts";
import { pointer } from "../kit/plot.ts";

interface Data {
  code?: Code | null;
  photo?: string | null;
  size?: Size | null; // of the photo as it is on the disk
  mask?: string | null;
  box?: Box | null;
  target?: Size | null;
  minScale?: number;
  maxScale?: number;
  ratio?: [number, number];
}
type View = "one" | "many";

const MANY = 400; // draws that statistics are made of
const GRID = 64; // squares along the longer side of the map of what is seen
const BINS = 20;
const SIDE = 480;

const mean = (values: number[]) => values.reduce((a, b) => a + b, 0) / Math.max(values.length, 1);
const percent = (share: number) => `${Math.round(100 * share)} %`;
/** "3:4" and the like for the proportions of a part, width to height. */
const proportions = (ratio: number) => (Math.abs(ratio - 4 / 3) < 0.004 ? "4:3" : `${ratio.toFixed(2)}:1`);

function build({ frame, data, report }: Home<Data>) {
  const toy = scene(640, 480);
  let photo = toy.canvas;
  let size: Size = [480, 640];
  let mask: boolean[][] | null = toy.object && maskOf(shrunk(toy.object, 640, 480, 160));
  let tint: string | null = mask && tintOf(mask);
  let object: Box | null = null;
  const target: Size = data.target ?? [224, 224];
  const settings: CropSettings = {
    minScale: data.minScale ?? 0.08,
    maxScale: data.maxScale ?? 1,
    ratio: data.ratio ?? [3 / 4, 4 / 3],
  };
  let seed = 0;
  let view: View = "one";
  let perSecond = 3;
  let boxes: Box[] = [];
  let shares: number[] = [];
  let resized: number[] = [];

  /** Of the object, the share in each box; null where nobody said what the object is. */
  const inside = (parts: Box[]): number[] | null =>
    object ? keptOfBox(parts, object) : mask ? kept(parts, mask, size) : null;
  function compute(): void {
    boxes = crops(size, MANY, settings, seed);
    shares = inside(boxes) ?? [];
    resized = inside(largestCrops(size, MANY, target, seed)) ?? [];
  }

  const player: Player<number> = new Player<number>(frame, {
    first: () => 0,
    next: (draw) => (draw < MANY - 1 ? draw + 1 : null),
    show: () => draw(),
    perSecond: () => perSecond * (view === "many" ? 5 : 1),
  });

  // ---- controls
  const views = choice<View>(
    "Look at",
    [
      ["one", "One draw"],
      ["many", "What many draws see"],
    ],
    view,
    (value) => {
      view = value;
      draw();
    },
  );
  const again = h(
    "button",
    {
      type: "button",
      click: () => {
        seed += 1;
        changed();
      },
    },
    "Other random numbers",
  );
  function changed(): void {
    compute();
    draw();
  }
  const smallest = slider({
    label: "min_scale: least share of the area",
    min: 0.02,
    max: settings.maxScale,
    step: 0.01,
    value: settings.minScale,
    format: percent,
    change: (value) => {
      settings.minScale = Math.min(value, settings.maxScale);
      changed();
    },
  });
  const widest = slider({
    label: "ratio: longest proportions",
    min: 1,
    max: 3,
    step: 0.01,
    value: settings.ratio[1],
    format: proportions,
    change: (value) => {
      settings.ratio = [1 / value, value];
      changed();
    },
  });
  const speed = slider({
    label: "Draws a second",
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
  const numbers = h("div", { class: "box", "data-part": "numbers" });
  const ask = photoButton("Your photo…", (file) => void open(file));
  async function open(source: string | Blob, known: Size | null = null): Promise<void> {
    const opened = await loadPicture(source, SIDE);
    photo = opened;
    size = known ?? [opened.height, opened.width];
    mask = null;
    tint = null;
    object = null;
    if (known && data.mask) {
      mask = maskOf(await loadPicture(data.mask, SIDE));
      tint = tintOf(mask);
    }
    if (known && data.box) object = data.box;
    compute();
    player.reset();
  }
  takesDrops(frame.root, (file) => void open(file));
  frame.side.append(
    player.element,
    views.element,
    numbers,
    smallest.element,
    widest.element,
    h("div", { class: "row" }, again, ask),
    speed.element,
  );

  const svg = s("svg", { class: "grabs", role: "img", "aria-label": "The photo and the part that is kept" });
  const views4 = h("div", { style: "display:flex;flex-wrap:wrap;gap:12px", "data-part": "views" });
  frame.stage.append(svg, h("div", { style: "height:10px" }), views4);
  const chart = s("svg", { role: "img", "aria-label": "How much of the object is lost in many draws" });
  frame.under.append(chart);

  function tintOf(found: boolean[][]): string {
    const canvas = canvasOf(found[0].length, found.length);
    const pen = canvas.getContext("2d");
    if (!pen) return "";
    pen.fillStyle = "#ff5a1f";
    found.forEach((row, y) => row.forEach((on, x) => on && pen.fillRect(x, y, 1, 1)));
    return canvas.toDataURL();
  }
  const urls = new Map<HTMLCanvasElement, string>();
  const urlOf = (canvas: HTMLCanvasElement): string => {
    if (!urls.has(canvas)) urls.set(canvas, canvas.toDataURL("image/jpeg", 0.85));
    return urls.get(canvas) ?? "";
  };

  // ---- the photo
  let scale = 1;
  let left = 0;
  function draw(): void {
    const width = Math.max(frame.stage.clientWidth, 260);
    scale = Math.min((width - 4) / size[1], 400 / size[0]);
    left = (width - size[1] * scale) / 2;
    const height = size[0] * scale;
    svg.setAttribute("height", String(height + 4));
    svg.setAttribute("viewBox", `0 0 ${width} ${height + 4}`);
    const place = { x: left, y: 2, width: size[1] * scale, height };
    const picture = s("image", { href: urlOf(photo), ...place, preserveAspectRatio: "none" });
    const parts: SVGElement[] = [picture];
    if (tint && !object)
      parts.push(s("image", { href: tint, ...place, preserveAspectRatio: "none", opacity: 0.22 }));
    if (view === "one") drawOne(parts, place);
    else drawMany(parts, place);
    if (object) parts.push(outline(object, "var(--model)", "6 4"));
    svg.replaceChildren(...parts);
    drawViews(width);
    drawChart();
    tell();
  }
  const outline = ([x, y, w, t]: Box, stroke: string, dashes = "") =>
    s("rect", {
      x: left + x * scale,
      y: 2 + y * scale,
      width: w * scale,
      height: t * scale,
      fill: "none",
      stroke,
      "stroke-width": 3,
      "stroke-dasharray": dashes,
      "pointer-events": "none",
    });
  type Place = { x: number; y: number; width: number; height: number };

  function drawOne(parts: SVGElement[], place: Place): void {
    const [x, y, w, t] = boxes[player.state].map((value) => value * scale);
    const [x0, y0] = [place.x + x, place.y + y];
    const hole = `M${place.x} ${place.y}h${place.width}v${place.height}h${-place.width}Z`;
    parts.push(
      s("path", {
        d: `${hole}M${x0} ${y0}v${t}h${w}v${-t}Z`,
        fill: "#000",
        "fill-opacity": 0.66,
        "fill-rule": "evenodd",
      }),
      outline(boxes[player.state], "#fff"),
    );
  }

  /** As bright as often seen: what no draw contains is black. */
  function drawMany(parts: SVGElement[], place: Place): void {
    const longer = Math.max(...size);
    const grid: Size = [Math.ceil((GRID * size[0]) / longer), Math.ceil((GRID * size[1]) / longer)];
    const map = seen(boxes.slice(0, player.state + 1), size, grid);
    const canvas = canvasOf(grid[1], grid[0]);
    const pen = canvas.getContext("2d");
    if (!pen) return;
    const shade = pen.createImageData(grid[1], grid[0]);
    map.forEach((row, y) =>
      row.forEach((share, x) => {
        shade.data[4 * (y * grid[1] + x) + 3] = Math.round(255 * (1 - share) ** 0.8);
      }),
    );
    pen.putImageData(shade, 0, 0);
    parts.push(s("image", { href: canvas.toDataURL(), ...place, preserveAspectRatio: "none" }));
    for (const box of boxes.slice(Math.max(0, player.state - 5), player.state + 1)) {
      const rect = outline(box, "#fff");
      rect.setAttribute("stroke-width", "1");
      rect.setAttribute("stroke-opacity", "0.6");
      parts.push(rect);
    }
    const middle = map.flat();
    const [low, high] = [Math.min(...middle), Math.max(...middle)];
    const label = `seen by ${percent(low)} to ${percent(high)} of ${player.state + 1} draws`;
    parts.push(
      s("rect", {
        x: place.x + 6,
        y: place.y + place.height - 26,
        width: 7 * label.length,
        height: 20,
        rx: 4,
        fill: "#000",
        opacity: 0.6,
      }),
      s("text", { x: place.x + 12, y: place.y + place.height - 12, style: "fill:#fff" }, label),
    );
  }

  // ---- what the network gets
  function drawViews(width: number): void {
    const narrow = width < 560;
    const side = Math.floor(Math.min(150, (width - (narrow ? 12 : 36)) / (narrow ? 2 : 4)));
    const resize = largestCrops(size, player.state + 1, target, seed)[player.state];
    const whole: Box = [0, 0, size[1], size[0]];
    const items: [string, Box, boolean][] = [
      ["RandomResizedCrop", boxes[player.state], false],
      ["Resize, crop", resize, false],
      ["Resize, squish", whole, false],
      ["Resize, pad", whole, true],
    ];
    views4.replaceChildren(
      ...items.map(([name, box, pad]) => {
        const share = inside([box]);
        return h(
          "figure",
          { style: `margin:0;width:${side}px` },
          view4(box, pad, side),
          h("figcaption", { class: "small" }, name),
          h("div", { class: "small" }, pad ? "whole, smaller" : stretch(box)),
          share ? h("div", { class: "small" }, `${percent(share[0])} of the object`) : null,
        );
      }),
    );
  }
  function view4(box: Box, pad: boolean, side: number): HTMLCanvasElement {
    const canvas = canvasOf(side, (side * target[0]) / target[1]);
    canvas.style.borderRadius = "6px";
    canvas.setAttribute("role", "img");
    const pen = canvas.getContext("2d");
    if (!pen) return canvas;
    const k = photo.width / size[1]; // pixels of the canvas per pixel of the photo
    const fit = Math.min(canvas.width / size[1], canvas.height / size[0]);
    const [w, t] = pad ? [size[1] * fit, size[0] * fit] : [canvas.width, canvas.height];
    const [x, y] = [(canvas.width - w) / 2, (canvas.height - t) / 2];
    const from = [box[0] * k, box[1] * k, box[2] * k, box[3] * k] as const;
    if (pad)
      for (const [flipX, flipY] of [[x > 0 ? -1 : 1, y > 0 ? -1 : 1]])
        for (const end of [0, 1]) {
          pen.save(); // mirrored at both ends, as Resize(method="pad") fills by default
          if (flipX < 0) pen.translate(end ? 2 * (x + w) : 2 * x, 0);
          if (flipY < 0) pen.translate(0, end ? 2 * (y + t) : 2 * y);
          pen.scale(flipX, flipY);
          pen.drawImage(photo, x, y, w, t);
          pen.restore();
        }
    pen.drawImage(photo, ...from, x, y, w, t);
    return canvas;
  }
  function stretch([, , w, t]: Box): string {
    const ratio = w / t / (target[1] / target[0]);
    if (Math.abs(ratio - 1) < 0.02) return "true to shape";
    return ratio > 1 ? `${ratio.toFixed(2)} times too tall` : `${(1 / ratio).toFixed(2)} times too wide`;
  }

  // ---- how much is lost
  function drawChart(): void {
    const width = Math.max(frame.under.clientWidth, 260);
    chart.style.display = shares.length ? "block" : "none";
    if (!shares.length) return;
    const height = 188;
    chart.setAttribute("width", String(width));
    chart.setAttribute("height", String(height));
    chart.setAttribute("viewBox", `0 0 ${width} ${height}`);
    const bins = new Array<number>(BINS).fill(0);
    for (const share of shares) bins[Math.min(Math.floor((1 - share) * BINS), BINS - 1)] += 1;
    const most = Math.max(...bins);
    const bar = (width - 20) / BINS;
    const ground = height - 60;
    const x = (lost: number) => 10 + lost * (width - 20);
    const now = 1 - shares[player.state];
    chart.replaceChildren(
      s("text", { class: "label", x: 10, y: 13 }, `Of the object, lost in ${MANY} draws`),
      ...bins.map((count, i) =>
        s("rect", {
          x: x(i / BINS) + 1,
          y: ground - (count / most) * (ground - 24),
          width: bar - 2,
          height: (count / most) * (ground - 24),
          fill: i < BINS / 2 ? "var(--data)" : "var(--bad)",
          opacity: Math.min(Math.floor(now * BINS), BINS - 1) === i ? 1 : 0.6,
        }),
      ),
      s("line", { class: "axis", x1: 10, x2: width - 10, y1: ground, y2: ground }),
      ...[0, 0.25, 0.5, 0.75, 1].map((lost) =>
        s(
          "text",
          { x: x(lost), y: ground + 15, "text-anchor": lost ? (lost < 1 ? "middle" : "end") : "start" },
          percent(lost),
        ),
      ),
      s(
        "text",
        { x: 10, y: height - 24, "data-part": "summary" },
        `on average ${percent(1 - mean(shares))}, more than half in ${percent(mean(shares.map((v) => Number(v < 0.5))))} of draws`,
      ),
      s("text", { x: 10, y: height - 6 }, `Resize, crop: on average ${percent(1 - mean(resized))}`),
      s("line", { x1: x(now), x2: x(now), y1: 20, y2: ground, stroke: "var(--ink)", "stroke-width": 2 }),
    );
  }

  function tell(): void {
    const [x, y, w, t] = boxes[player.state];
    const area = (w * t) / (size[0] * size[1]);
    const share = shares.length ? shares[player.state] : null;
    numbers.replaceChildren(
      h(
        "div",
        { class: "big" },
        share === null ? `${percent(area)} of the area` : `${percent(1 - share)} lost`,
      ),
      h(
        "div",
        { class: "small" },
        `draw ${player.state + 1}: ${w}×${t} pixels at ${x}, ${y} · ${percent(area)} of the area, ${(w / t).toFixed(2)}:1`,
      ),
    );
    frame.notice(noticed(share));
    report({
      draw: player.state,
      box: boxes[player.state],
      seed,
      size,
      minScale: settings.minScale,
      maxScale: settings.maxScale,
      ratio: settings.ratio,
      view,
      kept: share,
      meanKept: shares.length ? mean(shares) : null,
      resizeKept: resized.length ? mean(resized) : null,
      object,
    });
  }

  function noticed(share: number | null): string {
    const half = mean(shares.map((value) => Number(value < 0.5)));
    if (share === null)
      return "Where is the object? Drag a box around it, and the page counts what each draw loses of it.";
    if (view === "many")
      return player.state < 30
        ? "The brighter, the more often seen. Press Play, and watch the map settle."
        : `The middle is seen most, the corners seldom: a part must lie inside the photo, so few reach the edge. An object at the rim is lost more often than one in the middle.`;
    if (settings.minScale > 0.8)
      return "Nearly the whole photo is kept: hardly anything is lost, and the network sees nearly the same picture in every epoch. That is safe, and teaches little.";
    if (settings.ratio[1] > 2)
      return "Long parts are stretched into the network's square: look how the object's shape suffers. Proportions up to 4:3 are usual.";
    if (settings.minScale < 0.15 && half > 0.3)
      return `With parts as small as ${percent(settings.minScale)} of the area, ${percent(half)} of the draws lose more than half of the object; the label stays the same. A model learns to live with it, given many epochs; for a few, raise min_scale.`;
    if (share < 0.2)
      return "Here the label still names the object, but it is hardly in the picture. A few such draws do no harm; many do. Raise min_scale and compare.";
    return "Each epoch draws another part of the same photo, and stretches it to the same size: the network never sees quite the same picture twice. Step on, and watch what is lost.";
  }

  // ---- a box around the object, drawn by hand
  let from: [number, number] | null = null;
  const spot = (event: PointerEvent): [number, number] => {
    const [px, py] = pointer(event, svg);
    const within = (value: number, n: number) => Math.min(Math.max(Math.round(value), 0), n);
    return [within((px - left) / scale, size[1]), within((py - 2) / scale, size[0])];
  };
  svg.addEventListener("pointerdown", (event) => {
    from = spot(event);
    svg.setPointerCapture(event.pointerId);
  });
  svg.addEventListener("pointermove", (event) => {
    if (!from) return;
    const to = spot(event);
    const [w, t] = [Math.abs(to[0] - from[0]), Math.abs(to[1] - from[1])];
    if (w < 4 || t < 4) return;
    object = [Math.min(from[0], to[0]), Math.min(from[1], to[1]), w, t];
    changed();
  });
  for (const end of ["pointerup", "pointercancel"])
    svg.addEventListener(end, () => {
      from = null;
    });

  compute();
  draw();
  if (data.photo) void open(data.photo, data.size ?? null);
  return { redraw: draw, stop: () => player.pause() };
}

export default explorable<Data>(
  {
    name: "random-resized-crop",
    title: "Random resized crop",
    idea: "In training each photo is cut anew: a part of random size and proportions at a random place, stretched to the size that the network wants. What is outside is never seen in that epoch.",
    keys: [
      ["space", "play or pause"],
      ["←", "back"],
      ["→", "next draw"],
      ["r", "first draw"],
      ["drag", "a box around the object"],
    ],
  },
  build,
);
