// A small line chart of the loss so far, on a log scale, with the present step marked.
import { s, short } from "./dom.ts";
import { path } from "./plot.ts";

export function lossChart(
  losses: number[],
  index: number,
  width: number,
  color = "var(--model)",
): SVGSVGElement {
  const height = 80;
  const svg = s("svg", { width, height, viewBox: `0 0 ${width} ${height}`, role: "img" });
  svg.setAttribute("aria-label", `Loss over ${losses.length - 1} steps, now ${short(losses[index])}`);
  const usable = losses.filter((loss) => Number.isFinite(loss) && loss > 0).map(Math.log10);
  if (usable.length < 2) {
    svg.append(s("text", { x: 0, y: height / 2 }, "The loss at each step will be drawn here."));
    return svg;
  }
  const low = Math.min(...usable);
  const high = Math.max(...usable, low + 0.05);
  const x = (i: number) => 4 + (i / Math.max(losses.length - 1, 1)) * (width - 8);
  const y = (loss: number) => 16 + ((high - Math.log10(loss)) / (high - low)) * (height - 36);
  const every = Math.max(1, Math.floor(losses.length / 400));
  const points: [number, number][] = [];
  losses.forEach((loss, i) => {
    if ((i % every === 0 || i === losses.length - 1) && Number.isFinite(loss) && loss > 0)
      points.push([x(i), y(loss)]);
  });
  svg.append(
    s("line", { class: "axis", x1: 0, x2: width, y1: height - 18, y2: height - 18 }),
    s("path", { d: path(points), fill: "none", stroke: color, "stroke-width": 2 }),
    s("text", { x: width, y: 11, "text-anchor": "end" }, `loss at the start ${short(losses[0])}`),
    s("text", { x: width, y: height - 5, "text-anchor": "end" }, `${losses.length - 1} steps, log scale`),
  );
  const now = losses[index];
  if (Number.isFinite(now) && now > 0)
    svg.append(s("circle", { cx: x(index), cy: y(now), r: 4, fill: color }));
  return svg;
}
