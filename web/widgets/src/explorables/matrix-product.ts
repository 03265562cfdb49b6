// Matrix product: the columns of the second matrix fall, as rows, over the rows of the first, and leave sums behind.
import { type Matrix, patches, product } from "../core/products.ts";
import { choice, slider } from "../kit/controls.ts";
import { h, nice, s } from "../kit/dom.ts";
import type { Code } from "../kit/frame.ts";
import { explorable, type Home } from "../kit/host.ts";
import { Player } from "../kit/player.ts";

interface Own {
  a: Matrix; // inputs, (n, k), the k that matter most
  b: Matrix; // weights, (k, m)
  rest: Matrix; // what the inputs that are not shown add, (n, m)
  bias: number[]; // (m,)
  hidden: number; // how many inputs are not shown
  rows: string[];
  columns: string[];
  about: string;
}
interface Data {
  code?: Code | null;
  own?: Own | null;
  a?: Matrix | null;
  b?: Matrix | null;
}
type Scene = "own" | "free" | "layer" | "batch" | "image";

const MOST = 8;
const IMAGE: Matrix = [
  [0, 0, 5, 5],
  [0, 0, 5, 5],
  [0, 5, 5, 5],
];
const KERNELS: Matrix = [
  [-1, 1],
  [1, 1],
  [-1, -1],
  [1, -1],
];
const BIAS = [10, -3];

function build({ frame, data, report }: Home<Data>) {
  let scene: Scene = data.own ? "own" : "free";
  let seed = 7;
  const draw1 = () => {
    seed = (seed * 1103515245 + 12345) % 2147483648;
    return (Math.floor(seed / 65536) % 10) - 3;
  };
  const matrix = (rows: number, columns: number): Matrix =>
    Array.from({ length: rows }, () => Array.from({ length: columns }, draw1));
  let a: Matrix = data.a ?? matrix(3, 4);
  let b: Matrix = data.b ?? matrix(4, 2);
  const layerA = matrix(4, 3);
  const layerB = matrix(3, 2);
  const batchA = matrix(6, 3);
  let chosen: [number, number] | null = null;

  interface View {
    a: Matrix;
    b: Matrix;
    bias: number[] | null;
    rest: Matrix | null;
  }
  const view = (): View => {
    if (scene === "own" && data.own)
      return { a: data.own.a, b: data.own.b, bias: data.own.bias, rest: data.own.rest };
    if (scene === "layer") return { a: layerA, b: layerB, bias: BIAS, rest: null };
    if (scene === "batch") return { a: batchA, b: layerB, bias: null, rest: null };
    if (scene === "image") return { a: patches(IMAGE, 2, 2), b: KERNELS, bias: null, rest: null };
    return { a, b, bias: null, rest: null };
  };
  const sizes = () => {
    const shown = view();
    return { n: shown.a.length, k: shown.b.length, m: shown.b[0].length };
  };
  const last = () => sizes().n + sizes().m - 2;

  const player = new Player<number>(frame, {
    first: () => -1,
    next: (tick) => (tick < last() ? tick + 1 : null),
    show: () => draw(),
    perSecond: () => perSecond,
  });
  let perSecond = 1.2;

  const tabs = choice<Scene>(
    "Look at",
    [
      ...(data.own ? [["own", "Your layer"] as [Scene, string]] : []),
      ["free", "Two matrices"],
      ["layer", "A layer, with bias"],
      ["batch", "A batch"],
      ["image", "A convolution"],
    ],
    scene,
    (value) => {
      scene = value;
      chosen = null;
      player.reset();
    },
  );
  const sizeSlider = (label: string, value: number, change: (size: number) => void) =>
    slider({
      label,
      min: 1,
      max: MOST,
      step: 1,
      value,
      format: String,
      change: (size) => {
        change(size);
        chosen = null;
        player.reset();
      },
    });
  const grown = (old: Matrix, rows: number, columns: number): Matrix =>
    Array.from({ length: rows }, (_, i) => Array.from({ length: columns }, (_, j) => old[i]?.[j] ?? draw1()));
  const sliders = [
    sizeSlider("Rows of A", a.length, (n) => {
      a = grown(a, n, b.length);
    }),
    sizeSlider("Columns of A = rows of B", b.length, (k) => {
      a = grown(a, a.length, k);
      b = grown(b, k, b[0].length);
    }),
    sizeSlider("Columns of B", b[0].length, (m) => {
      b = grown(b, b.length, m);
    }),
  ];
  const free = h("div", { class: "side" }, ...sliders.map((each) => each.element));
  const speed = slider({
    label: "Steps a second",
    min: 0.5,
    max: 8,
    step: 0.02,
    value: perSecond,
    log: true,
    format: (value) => value.toFixed(1),
    change: (value) => {
      perSecond = value;
    },
  });
  const shape = h("div", { class: "box" });
  const formula = h("div", {
    class: "box formula",
    tabindex: 0,
    "data-part": "formula",
    "aria-live": "polite",
  });
  frame.side.append(tabs.element, player.element, shape, speed.element, free);
  const picture = s("svg", {
    width: 156,
    height: 118,
    role: "img",
    "aria-label": "The picture and the window at work",
  });
  frame.under.append(formula, picture);

  const svg = s("svg", { role: "group", "aria-label": "The two matrices and their product" });
  frame.stage.append(svg);
  const falling = s("g", { "data-part": "falling", "pointer-events": "none" });
  const editor = h("input", {
    type: "text",
    inputmode: "numeric",
    style: "position:absolute;display:none;text-align:center;padding:0;min-height:0",
  });
  frame.stage.append(editor);
  let builtFor = "";

  const digits = () => (scene === "own" ? 2 : 0);
  const write = (value: number) => (Number.isInteger(value) ? nice(value, 0) : nice(value, digits() || 1));

  function geometry() {
    const { n, k, m } = sizes();
    const width = Math.max(frame.stage.clientWidth, 260);
    const above = Math.max(k, m);
    const gap = 0.7;
    const extra = view().bias ? 1.3 : 0; // a row for the bias
    const cell = Math.min(54, (width - 8) / (k + m + gap + 0.2), 640 / (above + n + gap + extra));
    const left = (width - cell * (k + m + gap)) / 2;
    return {
      n,
      k,
      m,
      width,
      cell,
      left,
      top: 20 + (above + gap) * cell,
      gap,
      height: 20 + (above + n + gap + extra + 0.3) * cell,
    };
  }

  function rebuild(): void {
    const { n, k, m, width, cell, left, top, gap, height } = geometry();
    const shown = view();
    const key = JSON.stringify([scene, width, shown.a, shown.b]);
    if (key === builtFor) return;
    builtFor = key;
    svg.setAttribute("height", String(height));
    svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    falling.replaceChildren();
    const quiet = matchMedia("(prefers-reduced-motion: reduce)").matches;
    const right = left + (k + gap) * cell;
    const back = s("g");
    const font = Math.max(9, Math.min(16, cell * (scene === "own" ? 0.26 : 0.34)));
    const tight = cell < 45; // no room for the nought before the point
    const number = (x: number, y: number, value: number, color: string, anchor = "middle") =>
      s(
        "text",
        { x, y, "text-anchor": anchor, style: `fill:${color};font-size:${font}px;font-weight:600` },
        tight ? write(value).replace(/^(−?)0\./, "$1.") : write(value),
      );
    const box = (x: number, y: number, more: Record<string, string | number> = {}) =>
      s("rect", {
        x: x + 1,
        y: y + 1,
        width: cell - 2,
        height: cell - 2,
        rx: 5,
        fill: "var(--panel)",
        stroke: "var(--line)",
        ...more,
      });
    for (let i = 0; i < n; i++)
      for (let p = 0; p < k; p++) {
        const [x, y] = [left + p * cell, top + i * cell];
        const g = s(
          "g",
          { "data-cell": `a${i},${p}`, style: editable() ? "cursor:text" : "" },
          box(x, y),
          number(x + 5, y + cell * 0.42, shown.a[i][p], "var(--data)", "start"),
        );
        if (editable()) g.addEventListener("click", () => edit(a, i, p, x, y, cell));
        back.append(g);
      }
    const fromTop = top - gap * cell - k * cell;
    for (let p = 0; p < k; p++)
      for (let j = 0; j < m; j++) {
        const [x, y] = [right + j * cell, fromTop + p * cell];
        const g = s(
          "g",
          { "data-cell": `b${p},${j}`, style: editable() ? "cursor:text" : "" },
          box(x, y),
          number(x + cell / 2, y + cell * 0.6, shown.b[p][j], "var(--model)"),
        );
        if (editable()) g.addEventListener("click", () => edit(b, p, j, x, y, cell));
        back.append(g);
      }
    const out = outputs();
    for (let i = 0; i < n; i++)
      for (let j = 0; j < m; j++) {
        const [x, y] = [right + j * cell, top + i * cell];
        const g = s(
          "g",
          {
            "data-cell": `c${i},${j}`,
            tabindex: 0,
            role: "button",
            style: "cursor:pointer",
            "aria-label": `Row ${i + 1}, column ${j + 1}`,
            click: () => pick(i, j),
            keydown: (event: KeyboardEvent) => {
              if (event.key !== "Enter") return;
              event.preventDefault();
              pick(i, j);
            },
          },
          box(x, y),
          number(x + cell / 2, y + cell * 0.6, out[i][j], "var(--ink)"),
        );
        back.append(g);
      }
    if (shown.bias)
      shown.bias.forEach((value, j) => {
        const [x, y] = [right + j * cell, top + (n + 0.3) * cell];
        back.append(
          box(x, y, { "stroke-dasharray": "4 3" }),
          number(x + cell / 2, y + cell * 0.6, value, "var(--third)"),
        );
      });
    if (shown.bias)
      back.append(
        s(
          "text",
          { x: right - 8, y: top + (n + 0.9) * cell, "text-anchor": "end" },
          "+ bias, the same for every row",
        ),
      );
    if (scene === "batch")
      for (const i of [2, 4])
        back.append(
          s("line", {
            x1: left - 6,
            x2: right + m * cell + 6,
            y1: top + i * cell,
            y2: top + i * cell,
            stroke: "var(--ink)",
            "stroke-width": 2,
          }),
        );
    back.append(
      s(
        "text",
        { class: "label", x: left, y: top + n * cell + 16, style: "fill:var(--data)" },
        scene === "image" ? "patches" : "A",
      ),
      s(
        "text",
        {
          class: "label",
          x: right + m * cell,
          y: fromTop - 6,
          "text-anchor": "end",
          style: "fill:var(--model)",
        },
        scene === "image" ? "kernels" : "B",
      ),
    );
    for (let j = 0; j < m; j++) {
      const row = s("g", { "data-column": j, style: quiet ? "" : "transition:opacity .3s" });
      for (let p = 0; p < k; p++) {
        const [x, y] = [left + p * cell, top - j * cell];
        row.append(
          s("rect", {
            x: x + 2,
            y: y + 2,
            width: cell - 4,
            height: cell - 4,
            rx: 5,
            fill: "var(--model)",
            "fill-opacity": 0.17,
            stroke: "var(--model)",
            "stroke-opacity": 0.5,
          }),
          number(x + cell - 5, y + cell * 0.84, shown.b[p][j], "var(--model)", "end"),
        );
      }
      falling.append(row);
    }
    falling.style.transition = quiet ? "" : "transform .4s cubic-bezier(.5,0,.2,1)";
    svg.replaceChildren(back, falling);
  }

  const editable = () => scene === "free";
  function outputs(): Matrix {
    const shown = view();
    return product(shown.a, shown.b).map((row, i) =>
      row.map((value, j) => value + (shown.bias?.[j] ?? 0) + (shown.rest?.[i][j] ?? 0)),
    );
  }
  function pick(i: number, j: number): void {
    chosen = chosen && chosen[0] === i && chosen[1] === j ? null : [i, j];
    player.pause();
    if (chosen) {
      while (player.state < i + j) player.step();
      while (player.state > i + j) player.back();
    }
    draw();
  }
  function edit(into: Matrix, i: number, j: number, x: number, y: number, cell: number): void {
    player.pause();
    Object.assign(editor.style, {
      display: "block",
      left: `${x}px`,
      top: `${y}px`,
      width: `${cell}px`,
      height: `${cell}px`,
    });
    editor.value = String(into[i][j]);
    const keep = () => {
      const value = Number(editor.value.replace("−", "-").replace(",", "."));
      editor.style.display = "none";
      if (editor.value.trim() && Number.isFinite(value)) into[i][j] = value;
      draw();
    };
    editor.onblur = keep;
    editor.onkeydown = (event) => {
      if (event.key === "Enter") editor.blur();
    };
    editor.focus();
    editor.select();
  }

  function draw(): void {
    rebuild();
    const { cell, n, m } = geometry();
    const tick = player.state;
    falling.style.transform = `translateY(${tick * cell}px)`;
    for (const row of falling.querySelectorAll<SVGGElement>("g")) {
      const place = tick - Number(row.dataset.column);
      row.style.opacity = place >= n ? "0" : place < -1 ? "0.45" : "1";
    }
    for (const g of svg.querySelectorAll<SVGGElement>("[data-cell^=c]")) {
      const [i, j] = g.dataset.cell!.slice(1).split(",").map(Number);
      const done = i + j <= tick;
      const now = i + j === tick;
      const rect = g.querySelector("rect")!;
      rect.setAttribute("fill", now ? "var(--good)" : "var(--panel)");
      rect.setAttribute("fill-opacity", now ? "0.22" : "1");
      rect.setAttribute(
        "stroke",
        chosen?.[0] === i && chosen[1] === j ? "var(--ink)" : now ? "var(--good)" : "var(--line)",
      );
      rect.setAttribute("stroke-width", chosen?.[0] === i && chosen[1] === j ? "3" : "1");
      g.querySelector("text")!.style.opacity = done ? "1" : "0";
    }
    free.style.display = editable() ? "" : "none";
    const at: [number, number] | null = chosen ?? (tick >= 0 ? firstActive(tick, n, m) : null);
    outline(at);
    tell(at);
  }

  const firstActive = (tick: number, n: number, m: number): [number, number] => {
    const j = Math.min(Math.max(0, tick - n + 1), m - 1);
    return [Math.min(tick - j, n - 1), j];
  };

  function outline(at: [number, number] | null): void {
    for (const g of svg.querySelectorAll<SVGGElement>("[data-cell^=a],[data-cell^=b]")) {
      const kind = g.dataset.cell![0];
      const [i, j] = g.dataset.cell!.slice(1).split(",").map(Number);
      const on = at && (kind === "a" ? i === at[0] : j === at[1]);
      const rect = g.querySelector("rect")!;
      rect.setAttribute("stroke", on ? (kind === "a" ? "var(--data)" : "var(--model)") : "var(--line)");
      rect.setAttribute("stroke-width", on ? "2.5" : "1");
    }
  }

  function tell(at: [number, number] | null): void {
    const { n, k, m } = sizes();
    const shown = view();
    const out = outputs();
    shape.replaceChildren(
      h("div", { class: "big" }, `${n}×${k} @ ${k}×${m} → ${n}×${m}`),
      h("div", { class: "small" }, `${n * m} sums of ${k} products: ${n * m * k} multiplications`),
    );
    if (!at) formula.textContent = "Press Step, or choose a cell of the result.";
    else {
      const [i, j] = at;
      const terms = shown.a[i].map(
        (value, p) =>
          `${write(value)}×${shown.b[p][j] < 0 ? `(${write(shown.b[p][j])})` : write(shown.b[p][j])}`,
      );
      const rest = shown.rest
        ? ` + ${write(shown.rest[i][j])} from ${data.own!.hidden} inputs not shown`
        : "";
      const bias = shown.bias ? ` + ${write(shown.bias[j])} (bias)` : "";
      const name =
        scene === "own" && data.own
          ? `${data.own.rows[i]}, ${data.own.columns[j]}: `
          : `row ${i + 1} · column ${j + 1}: `;
      formula.textContent = `${name}${terms.join(" + ")}${rest}${bias} = ${write(out[i][j])}`;
    }
    drawPicture(at);
    frame.notice(noticed(n, k, m));
    report({ scene, tick: player.state, at, a: shown.a, b: shown.b, c: out, last: last() });
  }

  /** For the convolution: the picture, and the window that is the row at work. */
  function drawPicture(at: [number, number] | null): void {
    picture.style.display = scene === "image" ? "block" : "none";
    if (scene !== "image") return;
    const size = 36;
    picture.replaceChildren();
    IMAGE.forEach((line, y) =>
      line.forEach((value, x) => {
        const [left, top] = [4 + x * size, 4 + y * size];
        picture.append(
          s("rect", {
            x: left,
            y: top,
            width: size - 2,
            height: size - 2,
            fill: "var(--data)",
            "fill-opacity": 0.08 + value / 8,
          }),
          s(
            "text",
            {
              x: left + size / 2,
              y: top + size / 2 + 4,
              "text-anchor": "middle",
              style: "fill:var(--ink);font-weight:600",
            },
            value.toString(),
          ),
        );
      }),
    );
    if (!at) return;
    const across = IMAGE[0].length - 1;
    picture.append(
      s("rect", {
        x: 3 + (at[0] % across) * size,
        y: 3 + Math.floor(at[0] / across) * size,
        width: 2 * size,
        height: 2 * size,
        fill: "none",
        stroke: "var(--model)",
        "stroke-width": 3,
        rx: 4,
      }),
    );
  }

  function noticed(n: number, k: number, m: number): string {
    const tick = player.state;
    const notes: Record<Scene, string> = {
      own: data.own?.about ?? "",
      free: "Each column of B is turned on its side and falls over the rows of A. Where they meet, numbers are multiplied; each row then adds up to one number of the result.",
      layer:
        "A layer of a network is this: one row of A per item, one column of B per output, and a bias that is added to every row alike. That last step is broadcasting.",
      batch:
        "Three items of two rows each, one below the other, times the same B: a batch needs no new rule. The lines only say which rows belong together.",
      image:
        "Every 2×2 window of a 3×4 picture is one row, every kernel one column: a convolution is a matrix product, which is why chips that are good at one are good at both.",
    };
    if (tick < 0) return notes[scene];
    if (tick >= last()) {
      if (scene === "image")
        return "The first kernel answers where the picture turns from dark to bright from left to right, and stays at 0 where nothing changes.";
      return `All ${n * m} cells are there. None of them needed another one: ${n * m} workers could have done it at once, which is what a GPU is for.`;
    }
    if (n > 1 && m > 1 && tick === 1)
      return "Two rows are at work at once: the first column has fallen on while the second one follows. Every cell of one diagonal is made in the same moment.";
    return k === 1
      ? "With one column in A there is nothing to add up: a row times a column is a table of products."
      : notes[scene];
  }

  draw();
  return { redraw: draw, stop: () => player.pause() };
}

export default explorable<Data>(
  {
    name: "matrix-product",
    title: "Matrix product",
    idea: "Nearly all the time a network spends goes into this one operation: rows times columns, added up. Watch where every number of the result comes from.",
    keys: [
      ["space", "play or pause"],
      ["←", "back"],
      ["→", "step"],
      ["r", "start again"],
      ["tab, enter", "choose a cell"],
    ],
  },
  build,
);
