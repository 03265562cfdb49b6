// Why GPUs: one matrix product, from loops in Python to a GPU, timed where the reader is.
import {
  expected,
  gflops,
  multiplyFlat,
  multiplyInLoops,
  operations,
  type Speed,
  spoken,
} from "../core/gpus.ts";
import { button, slider } from "../kit/controls.ts";
import { h, s, short } from "../kit/dom.ts";
import type { Code } from "../kit/frame.ts";
import { explorable, type Home } from "../kit/host.ts";
import { Player } from "../kit/player.ts";
import { path } from "../kit/plot.ts";
import { timed } from "../kit/timing.ts";
import { openGpu } from "../kit/webgpu.ts";

interface Data {
  code?: Code | null;
  speeds?: Speed[] | null;
}

const SMALLEST = 2; // exponents of two
const LARGEST = 14;
const COLORS = ["var(--bad)", "var(--data)", "var(--third)", "var(--model)", "var(--good)"];

// Data sheets, numbers of 32 bits: shown where no GPU could be timed.
const SHEETS = [
  { name: "T4 (data sheet)", gflops: 8_100 },
  { name: "H100 SXM (data sheet)", gflops: 67_000 },
];

function build({ frame, data, report }: Home<Data>) {
  const speeds: Speed[] = [...(data.speeds ?? [])];
  let hidden = new Set<string>();
  let busy = "";

  const player = new Player<number>(frame, {
    first: () => SMALLEST,
    next: (power) => (power < LARGEST ? power + 1 : null),
    show: () => draw(),
    perSecond: () => 1.3,
  });
  const size = slider({
    label: "Rows and columns",
    min: SMALLEST,
    max: LARGEST,
    step: 1,
    value: SMALLEST,
    format: (power) => (2 ** power).toLocaleString("en"),
    change: (power) => {
      player.pause();
      player.restart(power);
    },
  });
  const measure = button("Time this browser", () => void measureHere(), { primary: speeds.length === 0 });
  const status = h("div", { class: "small", "aria-live": "polite", "data-part": "status" });
  const work = h("div", { class: "box" });
  frame.side.append(work, player.element, size.element, h("div", { class: "row" }, measure), status);
  frame.onKey({ m: () => measure.click() });

  const svg = s("svg", { role: "img" });
  frame.stage.append(svg);
  const table = h("table", { class: "small", style: "width:100%;border-collapse:collapse" });
  frame.under.append(h("div", { style: "overflow-x:auto" }, table));

  async function measureHere(): Promise<void> {
    if (busy) return;
    measure.disabled = true;
    for (let i = speeds.length - 1; i >= 0; i--)
      if (speeds[i].name.startsWith("Your browser")) speeds.splice(i, 1);
    for await (const way of browserWays()) {
      speeds.push(way.speed);
      for await (const timing of timed(way.times, way.first)) {
        way.speed.timings.push(timing);
        busy = `${way.speed.name}: ${timing.n} rows`;
        draw();
      }
    }
    busy = "";
    measure.disabled = false;
    draw();
  }

  function draw(): void {
    const n = 2 ** player.state;
    size.set(player.state);
    status.textContent = busy && `Timing ${busy} …`;
    work.replaceChildren(
      h("div", { class: "big" }, `${n.toLocaleString("en")} × ${n.toLocaleString("en")}`),
      h("div", { class: "small" }, `times as many: ${count(operations(n))} additions and multiplications`),
    );
    const shown = speeds.filter((speed) => !hidden.has(speed.name));
    drawChart(svg, frame.stage.clientWidth, shown, colorOf, n);
    drawTable(n);
    frame.notice(noticed(n));
    report({ n, speeds, busy });
  }

  const colorOf = (speed: Speed) => COLORS[speeds.indexOf(speed) % COLORS.length];

  function drawTable(n: number): void {
    const loops = speeds.find((speed) => speed.kind === "loops");
    const base = loops && expected(loops.timings, n);
    const cell = (text: string, style = "") =>
      h("td", { style: `padding:3px 8px 3px 0;text-align:right;white-space:nowrap;${style}` }, text);
    const head = ["", "one product", "GFLOP/s", base ? "× loops" : "", "of its limit"];
    const rows = speeds.map((speed) => {
      const found = expected(speed.timings, n);
      const rate = found && gflops(n, found.seconds);
      const about = [
        speed.about,
        speed.limit && `Limit: ${short(speed.limit.gflops)} GFLOP/s = ${speed.limit.how}.`,
      ];
      const toggle = h("input", {
        type: "checkbox",
        "aria-label": `Show ${speed.name}`,
        change: () => {
          hidden = new Set([...hidden].filter((name) => name !== speed.name));
          if (!toggle.checked) hidden.add(speed.name);
          draw();
        },
      });
      toggle.checked = !hidden.has(speed.name);
      const name = h(
        "td",
        { style: "padding:3px 8px 3px 0;min-width:11em", title: about.filter(Boolean).join(". ") },
        h(
          "label",
          { style: `display:flex;gap:6px;align-items:center;color:${colorOf(speed)};font-weight:600` },
          toggle,
          speed.name,
        ),
      );
      const mark = found && !found.timed ? "≈ " : "";
      return h(
        "tr",
        { "data-way": speed.name },
        name,
        cell(found ? mark + spoken(found.seconds) : "–"),
        cell(rate && found.timed ? short(rate) : "–"),
        cell(
          base && found && speed !== loops
            ? `${mark || (base.timed ? "" : "≈ ")}${short(base.seconds / found.seconds)}`
            : "",
        ),
        cell(
          rate && found.timed && speed.limit
            ? `${((100 * rate) / speed.limit.gflops).toFixed(0)} %`
            : speed.limit
              ? "–"
              : "not known",
        ),
      );
    });
    table.replaceChildren(
      h(
        "tr",
        {},
        ...head.map((text) => h("th", { style: "text-align:right;padding-right:8px;font-weight:400" }, text)),
      ),
      ...rows,
    );
  }

  function noticed(n: number): string {
    if (!speeds.length)
      return 'Nothing is timed yet. “Time this browser” multiplies matrices here, with plain lists, with numbers packed side by side, and on the GPU if pages may use it; in a notebook, explore("why gpus") times Python, NumPy, torch and your GPUs.';
    const loops = speeds.find((speed) => speed.kind === "loops");
    const slow = loops && expected(loops.timings, n);
    const others = speeds.flatMap((speed) => {
      const found = speed !== loops && expected(speed.timings, n);
      return found && found.timed ? [{ speed, seconds: found.seconds }] : [];
    });
    if (!others.length || !slow)
      return `${count(operations(n))} operations: twice as many rows are eight times the work.`;
    const best = others.reduce((a, b) => (b.seconds < a.seconds ? b : a));
    const gpu = others.find(({ speed }) => speed.kind === "gpu");
    const factor = `${best.speed.name} is ${short(slow.seconds / best.seconds)} times as quick as ${loops.name.toLowerCase()}`;
    if (n <= 32)
      return `A small product is over before its call is: ${factor}, and still ${gpu ? `a GPU only waits for orders (${spoken(gpu.seconds)} per call)` : "nobody is near a limit"}. That is why data go through a model in batches.`;
    if (!slow.timed)
      return `Loops would take about ${spoken(slow.seconds)} for this one; ${best.speed.name} takes ${spoken(best.seconds)}. Training does thousands of such products in a step.`;
    return `Same numbers, same sums: ${factor}. Compiled code does many numbers in an instruction, on all cores, and reads each from memory once for many uses. ${gpu ? "A GPU has thousands of such units." : "A GPU has thousands of units instead of a few dozen: the dotted lines."}`;
  }

  draw();
  return { redraw: draw, stop: () => player.pause() };
}

const count = (value: number): string => {
  const [size, word] =
    value >= 1e12
      ? [1e12, " trillion"]
      : value >= 1e9
        ? [1e9, " billion"]
        : value >= 1e6
          ? [1e6, " million"]
          : [1, ""];
  return size === 1 ? value.toLocaleString("en") : `${(value / size).toFixed(1)}${word}`;
};

interface BrowserWay {
  speed: Speed;
  first: number; // exponent of the smallest size
  times: (n: number) => (repeats: number) => Promise<void> | void;
}

/** What a page can multiply with. */
async function* browserWays(): AsyncGenerator<BrowserWay> {
  const speed = (name: string, kind: Speed["kind"], about: string): Speed => ({
    name,
    kind,
    about,
    timings: [],
    limit: null,
  });
  yield {
    speed: speed(
      "Your browser, lists of rows",
      "loops",
      "JavaScript, one number after the other, compiled as it runs",
    ),
    first: SMALLEST,
    times: (n) => {
      const a = Array.from({ length: n }, () => Array.from({ length: n }, Math.random));
      return (repeats) => {
        for (let i = 0; i < repeats; i++) multiplyInLoops(a, a);
      };
    },
  };
  yield {
    speed: speed(
      "Your browser, packed numbers",
      "cpu",
      "JavaScript on 32-bit numbers side by side in memory, one core",
    ),
    first: SMALLEST,
    times: (n) => {
      const a = Float32Array.from({ length: n * n }, Math.random);
      return (repeats) => {
        for (let i = 0; i < repeats; i++) multiplyFlat(a, a, n);
      };
    },
  };
  const gpu = await openGpu().catch(() => null);
  if (gpu)
    yield {
      speed: speed(gpu.name, "gpu", "WebGPU, a plain kernel with tiles of 16 × 16"),
      first: 4,
      times: (n) => (repeats) => gpu.multiply(n, repeats),
    };
}

function drawChart(
  svg: SVGSVGElement,
  stageWidth: number,
  speeds: Speed[],
  colorOf: (speed: Speed) => string,
  n: number,
): void {
  const width = Math.max(stageWidth, 260);
  const height = width < 480 ? 320 : 440;
  svg.setAttribute("height", String(height));
  svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
  svg.setAttribute(
    "aria-label",
    `GFLOP/s over the size of the matrices, for ${speeds.map((speed) => speed.name).join(", ") || "nothing yet"}`,
  );
  const limits = new Map(speeds.flatMap(({ limit }) => (limit ? [[limit.gflops, limit] as const] : [])));
  const sheets = speeds.some((speed) => speed.kind === "gpu") ? [] : SHEETS;
  const rates = speeds.flatMap(({ timings }) => timings.map((timing) => gflops(timing.n, timing.usual)));
  const low = Math.floor(Math.log10(Math.min(0.05, ...rates)));
  const high = Math.ceil(
    Math.log10(Math.max(10, ...rates, ...limits.keys(), ...sheets.map((sheet) => sheet.gflops))),
  );
  const box = { left: 58, top: 16, right: width - 26, bottom: height - 40 };
  const x = (size: number) =>
    box.left + ((Math.log2(size) - SMALLEST) / (LARGEST - SMALLEST)) * (box.right - box.left);
  const y = (rate: number) => box.bottom - ((Math.log10(rate) - low) / (high - low)) * (box.bottom - box.top);
  const parts: SVGElement[] = [];
  for (let power = low; power <= high; power++) {
    const at = y(10 ** power);
    parts.push(
      s("line", { class: "grid", x1: box.left, x2: box.right, y1: at, y2: at }),
      s(
        "text",
        { x: box.left - 7, y: at + 4, "text-anchor": "end" },
        (10 ** power).toLocaleString("en", { maximumFractionDigits: 6 }),
      ),
    );
  }
  for (let power = SMALLEST; power <= LARGEST; power += width < 480 ? 4 : 2)
    parts.push(
      s(
        "text",
        { x: x(2 ** power), y: box.bottom + 17, "text-anchor": "middle" },
        (2 ** power).toLocaleString("en"),
      ),
    );
  parts.push(
    s("text", { x: box.right, y: height - 4, "text-anchor": "end" }, "rows and columns"),
    s("text", { x: box.left, y: 10 }, "GFLOP/s"),
    s("line", { x1: x(n), x2: x(n), y1: box.top, y2: box.bottom, stroke: "var(--ink)", opacity: 0.35 }),
  );
  const across = (rate: number, text: string, dash: string) => [
    s("line", {
      x1: box.left,
      x2: box.right,
      y1: y(rate),
      y2: y(rate),
      stroke: "var(--soft)",
      "stroke-dasharray": dash,
    }),
    s(
      "text",
      { class: "label", x: box.left + 6, y: y(rate) - 4, style: "font-weight:400;fill:var(--soft)" },
      text,
    ),
  ];
  for (const limit of limits.values())
    parts.push(
      ...across(limit.gflops, `limit of ${limit.how.split(" ×")[0]}: ${short(limit.gflops)}`, "6 4"),
    );
  for (const sheet of sheets)
    parts.push(...across(sheet.gflops, `${sheet.name}: ${sheet.gflops.toLocaleString("en")}`, "1 4"));
  for (const speed of speeds) {
    const color = colorOf(speed);
    const points = speed.timings.map((timing): [number, number] => [
      x(timing.n),
      y(gflops(timing.n, timing.seconds)),
    ]);
    parts.push(
      s("path", {
        d: path(points),
        fill: "none",
        stroke: color,
        "stroke-width": 2.5,
        "stroke-dasharray": speed.name.startsWith("Your browser") ? "7 4" : null,
        "data-way": speed.name,
      }),
    );
    speed.timings.forEach((timing, i) => {
      const [px, py] = points[i];
      parts.push(
        s("line", {
          x1: px,
          x2: px,
          y1: py,
          y2: y(gflops(timing.n, timing.usual)),
          stroke: color,
          "stroke-width": 1.5,
        }),
        s("circle", { cx: px, cy: py, r: timing.n === n ? 6 : 3.5, fill: color }),
      );
    });
  }
  svg.replaceChildren(...parts);
}

export default explorable<Data>(
  {
    name: "why-gpus",
    title: "Why GPUs",
    idea: "A network is little else than matrix products. Here is one and the same product, from loops to all that the machine has; each point is the quickest of many, the line below it ends at the usual one. Broken lines are this browser.",
    keys: [
      ["space", "play through the sizes"],
      ["← →", "one size"],
      ["m", "time this browser"],
    ],
  },
  build,
);
