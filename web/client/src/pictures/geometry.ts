/** From the steps that model.json lists to where the model's pixels lie in a picture. */
import type { Step } from "../generated/manifest.ts";
import type { Axis, Border, Placement } from "./resample.ts";

interface Box {
  top: number;
  left: number;
  height: number;
  width: number;
}

type Size = Pick<Box, "height" | "width">;

/**
 * Where a prepared picture looks into a picture of this size. Steps that are not named here wait for what training
 * draws at random, and change nothing.
 *
 * @param steps - `preprocessing` of the input.
 * @param height - Of the upright picture, in pixels.
 * @param width - The same.
 */
export function place(steps: readonly Step[], height: number, width: number): Placement {
  let y: Axis = { start: 0, step: 1, length: height };
  let x: Axis = { start: 0, step: 1, length: width };
  let border: Border | null = null;
  for (const { name, args } of steps) {
    if (name !== "Resize" && name !== "RandomResizedCrop") continue;
    const target = pair(args["size"]);
    const now = { height: y.length, width: x.length };
    const method = name === "RandomResizedCrop" ? "middle" : (args["method"] ?? "crop");
    if (method === "pad") border ??= (args["pad_mode"] as Border | undefined) ?? "reflection";
    const extra = (args["val_xtra"] as number | undefined) ?? 0.14;
    const box =
      method === "squish"
        ? { top: 0, left: 0, ...now }
        : method === "crop"
          ? crop(now, target)
          : method === "pad"
            ? around(now, target)
            : middle(now, target, extra);
    y = part(y, box.top, box.height, target.height);
    x = part(x, box.left, box.width, target.width);
  }
  return { y, x, border: border ?? "reflection" };
}

/** A part of an axis on so many pixels. */
function part(axis: Axis, first: number, extent: number, length: number): Axis {
  return { start: axis.start + axis.step * first, step: (axis.step * extent) / length, length };
}

/** The largest box of the target's proportions, in the middle, at whole pixels. */
function crop(now: Size, target: Size): Box {
  const scale = Math.min(now.height / target.height, now.width / target.width);
  const height = Math.min(Math.max(roundHalfEven(target.height * scale), 1), now.height);
  const width = Math.min(Math.max(roundHalfEven(target.width * scale), 1), now.width);
  return {
    top: Math.floor((now.height - height) / 2),
    left: Math.floor((now.width - width) / 2),
    height,
    width,
  };
}

/** All of it in the middle of the target: a box that is larger than the picture. */
function around(now: Size, target: Size): Box {
  const scale = Math.min(target.height / now.height, target.width / now.width);
  return {
    top: -(target.height - now.height * scale) / 2 / scale,
    left: -(target.width - now.width * scale) / 2 / scale,
    height: target.height / scale,
    width: target.width / scale,
  };
}

/** The middle of what a crop with a margin would show. */
function middle(now: Size, target: Size, extra: number): Box {
  const margin = Math.ceil((Math.max(target.height, target.width) * extra) / 8) * 8;
  const larger = { height: target.height + margin, width: target.width + margin };
  const box = crop(now, larger);
  const keep = { height: target.height / larger.height, width: target.width / larger.width };
  return {
    top: box.top + (box.height * (1 - keep.height)) / 2,
    left: box.left + (box.width * (1 - keep.width)) / 2,
    height: box.height * keep.height,
    width: box.width * keep.width,
  };
}

/** Python's `round`: a half goes to the even neighbour. */
export function roundHalfEven(value: number): number {
  const low = Math.floor(value);
  if (value - low !== 0.5) return Math.round(value);
  return low % 2 === 0 ? low : low + 1;
}

/** One number for a square, or height and width. */
function pair(size: unknown): Size {
  if (typeof size === "number") return { height: size, width: size };
  const [height, width] = size as [number, number];
  return { height, width };
}
