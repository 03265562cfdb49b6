// Pictures in a page: one that is drawn here, one from a file that never leaves the page, and pixels out of it.
import { h } from "./dom.ts";

export interface Picture {
  canvas: HTMLCanvasElement;
  object: HTMLCanvasElement | null; // the same picture with nothing but the object on it
}

export function canvasOf(width: number, height: number): HTMLCanvasElement {
  return h("canvas", { width: Math.round(width), height: Math.round(height) });
}

function context(canvas: HTMLCanvasElement): CanvasRenderingContext2D {
  const found = canvas.getContext("2d", { willReadFrequently: true });
  if (!found) throw new Error("this browser draws no canvas");
  return found;
}

/** A picture from a URL, a data URL or a file, its longer side at most `side` pixels. */
export async function loadPicture(source: string | Blob, side: number): Promise<HTMLCanvasElement> {
  const url = typeof source === "string" ? source : URL.createObjectURL(source);
  const image = new Image();
  image.setAttribute("src", url);
  try {
    await image.decode();
  } finally {
    if (typeof source !== "string") URL.revokeObjectURL(url);
  }
  return shrunk(image, image.naturalWidth, image.naturalHeight, side);
}

/** A copy whose longer side is at most `side` pixels. */
export function shrunk(
  image: CanvasImageSource,
  width: number,
  height: number,
  side: number,
): HTMLCanvasElement {
  const scale = Math.min(1, side / Math.max(width, height));
  const canvas = canvasOf(Math.max(1, width * scale), Math.max(1, height * scale));
  const pen = context(canvas);
  pen.imageSmoothingQuality = "high";
  pen.drawImage(image, 0, 0, canvas.width, canvas.height);
  return canvas;
}

/** Grey levels from 0 to 255, whole numbers (ITU-R BT.601, as Pillow's "L"). */
export function greyLevels(canvas: HTMLCanvasElement): number[][] {
  const { width, height } = canvas;
  const { data } = context(canvas).getImageData(0, 0, width, height);
  return Array.from({ length: height }, (_, y) =>
    Array.from({ length: width }, (_, x) => {
      const i = 4 * (y * width + x);
      return Math.round(0.299 * data[i] + 0.587 * data[i + 1] + 0.114 * data[i + 2]);
    }),
  );
}

/** Which pixels of a canvas something is drawn on: where it is opaque and bright. */
export function maskOf(canvas: HTMLCanvasElement): boolean[][] {
  const { width, height } = canvas;
  const { data } = context(canvas).getImageData(0, 0, width, height);
  return Array.from({ length: height }, (_, y) =>
    Array.from({ length: width }, (_, x) => {
      const i = 4 * (y * width + x);
      return data[i + 3] > 127 && data[i] > 127;
    }),
  );
}

/** A button that asks for a picture of the person's own; it stays in the page. */
export function photoButton(label: string, chosen: (file: File) => void): HTMLElement {
  const input = h("input", {
    type: "file",
    accept: "image/*",
    style: "display:none",
    "aria-label": label,
    change: () => {
      const file = input.files?.[0];
      if (file) chosen(file);
      input.value = "";
    },
  });
  const button = h("button", { type: "button", click: () => input.click() }, label);
  return h("span", {}, button, input);
}

/** Lets a picture be dropped on an element. */
export function takesDrops(element: HTMLElement, chosen: (file: File) => void): void {
  element.addEventListener("dragover", (event) => event.preventDefault());
  element.addEventListener("drop", (event) => {
    const file = [...(event.dataTransfer?.files ?? [])].find((each) => each.type.startsWith("image/"));
    if (!file) return;
    event.preventDefault();
    chosen(file);
  });
}

/** A cat on a meadow, drawn here so that the page needs no file; what is cat and what is not is known. */
export function scene(width: number, height: number): Picture {
  const canvas = canvasOf(width, height);
  const object = canvasOf(width, height);
  const pen = context(canvas);
  pen.scale(width / 640, height / 480);
  meadow(pen);
  cat(pen, null);
  const only = context(object);
  only.scale(width / 640, height / 480);
  cat(only, "#fff");
  return { canvas, object };
}

type Pen = CanvasRenderingContext2D;

function disc(pen: Pen, x: number, y: number, rx: number, ry: number, fill: string, turn = 0): void {
  pen.fillStyle = fill;
  pen.beginPath();
  pen.ellipse(x, y, rx, ry, turn, 0, 2 * Math.PI);
  pen.fill();
}

function shape(pen: Pen, points: [number, number][], fill: string): void {
  pen.fillStyle = fill;
  pen.beginPath();
  for (const [x, y] of points) pen.lineTo(x, y);
  pen.fill();
}

function meadow(pen: Pen): void {
  const sky = pen.createLinearGradient(0, 0, 0, 300);
  sky.addColorStop(0, "#6fb3e8");
  sky.addColorStop(1, "#dbeefa");
  pen.fillStyle = sky;
  pen.fillRect(0, 0, 640, 480);
  disc(pen, 90, 80, 38, 38, "#ffe9a0");
  for (const [x, y, r] of [
    [255, 85, 30],
    [290, 74, 38],
    [330, 88, 28],
    [520, 60, 24],
    [552, 54, 30],
  ])
    disc(pen, x, y, 1.3 * r, 0.8 * r, "#ffffff");
  disc(pen, 130, 400, 330, 150, "#7fa86a");
  disc(pen, 560, 420, 340, 160, "#6b9659");
  const grass = pen.createLinearGradient(0, 320, 0, 480);
  grass.addColorStop(0, "#6aa84f");
  grass.addColorStop(1, "#3f7d33");
  pen.fillStyle = grass;
  pen.fillRect(0, 340, 640, 140);
  pen.strokeStyle = "#8a5a33";
  pen.lineWidth = 9;
  for (let x = 20; x < 300; x += 52) {
    pen.beginPath();
    pen.moveTo(x, 268);
    pen.lineTo(x, 372);
    pen.stroke();
  }
  for (const y of [296, 340]) {
    pen.beginPath();
    pen.moveTo(0, y);
    pen.lineTo(288, y);
    pen.stroke();
  }
  for (let i = 0; i < 60; i++) {
    const [x, y] = [(i * 97) % 640, 372 + ((i * 53) % 104)];
    shape(
      pen,
      [
        [x, y],
        [x + 3, y - 14],
        [x + 6, y],
      ],
      i % 3 ? "#2f6a28" : "#86c06a",
    );
    if (i % 9 === 0) disc(pen, x + 18, y - 4, 5, 5, "#f6d34a");
  }
}

/** A sitting cat, in colours or all in one. */
function cat(pen: Pen, one: string | null): void {
  const fur = one ?? "#d98a3d";
  const dark = one ?? "#a85f22";
  const pale = one ?? "#f5dcb8";
  pen.strokeStyle = fur;
  pen.lineCap = "round";
  pen.lineWidth = 24;
  pen.beginPath();
  pen.moveTo(486, 392);
  pen.bezierCurveTo(570, 410, 588, 330, 552, 286);
  pen.stroke();
  disc(pen, 428, 338, 74, 92, fur);
  disc(pen, 414, 356, 38, 64, pale);
  for (const x of [388, 440]) disc(pen, x, 414, 27, 19, fur);
  for (const turn of [-1, 1])
    shape(
      pen,
      [
        [408 + turn * 18, 184],
        [408 + turn * 66, 140],
        [408 + turn * 62, 218],
      ],
      fur,
    );
  disc(pen, 408, 226, 68, 58, fur);
  for (const y of [182, 190, 198]) disc(pen, 408, y, 4 + (198 - y), 5, dark);
  for (const [x, y] of [
    [478, 300],
    [490, 330],
    [486, 360],
  ])
    disc(pen, x, y, 17, 5, dark, 0.5);
  for (const x of [382, 434]) {
    disc(pen, x, 220, 13, 14, one ?? "#e9f3b8");
    disc(pen, x, 221, 5, 12, one ?? "#20301a");
  }
  disc(pen, 408, 256, 26, 17, pale);
  shape(
    pen,
    [
      [399, 244],
      [417, 244],
      [408, 255],
    ],
    one ?? "#b4485a",
  );
  pen.strokeStyle = one ?? "#fff6e6";
  pen.lineWidth = 2;
  if (one) return;
  for (const turn of [-1, 1])
    for (const dy of [-8, 0, 8]) {
      pen.beginPath();
      pen.moveTo(408 + turn * 24, 256 + dy / 2);
      pen.lineTo(408 + turn * 84, 252 + 1.6 * dy);
      pen.stroke();
    }
}
