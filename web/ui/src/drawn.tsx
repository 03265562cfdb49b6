/** The photo with what was found on it: boxes, points, a mask. */
import type { Answer, Output, Reply } from "@wiggly/client";
import { useEffect, useRef } from "preact/hooks";
import { placeOf } from "./answers.tsx";
import { colourOf } from "./words.ts";

interface DrawnProps {
  /** Address of the photo. */
  url: string;
  name: string;
  reply: Reply | null;
  outputs: readonly Output[];
}

export function Drawn({ url, name, reply, outputs }: DrawnProps) {
  const image = useRef<HTMLImageElement>(null);
  const canvas = useRef<HTMLCanvasElement>(null);
  const answer = reply?.answers[0];
  useEffect(() => {
    const [photo, place] = [image.current, canvas.current];
    if (!photo || !place) return;
    let gone = false;
    const draw = () => {
      place.width = photo.naturalWidth;
      place.height = photo.naturalHeight;
      const context = place.getContext("2d");
      if (answer && context) void drawn(context, answer, outputs[0]!, () => gone);
    };
    if (photo.complete) draw();
    else photo.addEventListener("load", draw, { once: true });
    return () => {
      gone = true;
      photo.removeEventListener("load", draw);
    };
  }, [answer, outputs, url]);
  return (
    <div class="drawn">
      <img ref={image} src={url} alt={`Your photo${name ? `, ${name}` : ""}`} />
      <canvas ref={canvas} aria-hidden="true" />
    </div>
  );
}

type Context = CanvasRenderingContext2D;

async function drawn(context: Context, answer: Answer, output: Output, gone: () => boolean): Promise<void> {
  const unit = Math.max(context.canvas.width, context.canvas.height) / 100;
  if (answer.kind === "points") drawPoints(context, answer.points, unit);
  if (answer.kind === "boxes") {
    for (const box of [...answer.boxes].reverse())
      drawBox(context, box, colourOf(placeOf(output, box.label)), unit);
  }
  if (answer.kind === "mask" && output.kind === "mask") {
    const layer = await layerOf(answer, output);
    if (!gone()) context.drawImage(layer, 0, 0);
  }
}

function drawPoints(context: Context, points: readonly [number, number][], unit: number): void {
  context.lineWidth = unit * 0.4;
  context.strokeStyle = "white";
  context.fillStyle = "#d55e00";
  for (const [x, y] of points) {
    context.beginPath();
    context.arc(x, y, Math.max(2, unit), 0, 2 * Math.PI);
    context.fill();
    context.stroke();
  }
}

type Box = Extract<Answer, { kind: "boxes" }>["boxes"][number];

function drawBox(context: Context, { box, label, score }: Box, colour: string, unit: number): void {
  const [x1, y1, x2, y2] = box;
  context.lineWidth = Math.max(2, unit * 0.7);
  context.strokeStyle = colour;
  context.strokeRect(x1, y1, x2 - x1, y2 - y1);
  const text = `${label} ${Math.round(100 * score)} %`;
  const size = Math.max(10, unit * 3.4);
  context.font = `600 ${size}px system-ui, sans-serif`;
  const width = context.measureText(text).width + size;
  const top = y1 >= size * 1.5 ? y1 - size * 1.5 : y1;
  context.fillStyle = colour;
  context.fillRect(x1 - context.lineWidth / 2, top, width, size * 1.5);
  context.fillStyle = isDark(colour) ? "#fff" : "#000";
  context.fillText(text, x1 + size / 2 - context.lineWidth / 2, top + size * 1.1);
}

/** By relative luminance, roughly (WCAG 2.2). */
function isDark(colour: string): boolean {
  const [r, g, b] = rgb(colour);
  return 0.2126 * r + 0.7152 * g + 0.0722 * b < 110;
}

const STRENGTH = 150; // of 255: the photo still shows

/** The classes of a mask in their colours, void left clear. */
async function layerOf(
  answer: Extract<Answer, { kind: "mask" }>,
  output: Extract<Output, { kind: "mask" }>,
): Promise<HTMLCanvasElement> {
  const bytes = Uint8Array.from(atob(answer.png), (letter) => letter.charCodeAt(0));
  const bitmap = await createImageBitmap(new Blob([bytes], { type: "image/png" }), {
    colorSpaceConversion: "none",
  });
  const layer = document.createElement("canvas");
  layer.width = answer.width;
  layer.height = answer.height;
  const context = layer.getContext("2d", { willReadFrequently: true })!;
  context.drawImage(bitmap, 0, 0);
  const pixels = context.getImageData(0, 0, layer.width, layer.height);
  const colours = output.vocabulary.map((_, i) => rgb(colourOf(i)));
  for (let i = 0; i < pixels.data.length; i += 4) {
    const index = pixels.data[i]!;
    const colour = index === output.void ? null : colours[index];
    pixels.data.set(colour ? [...colour, STRENGTH] : [0, 0, 0, 0], i);
  }
  context.putImageData(pixels, 0, 0);
  return layer;
}

/** A colour's parts, by way of a canvas, which knows all spellings. */
function rgb(colour: string): [number, number, number] {
  const context = document.createElement("canvas").getContext("2d")!;
  context.fillStyle = colour;
  context.fillRect(0, 0, 1, 1);
  const [r, g, b] = context.getImageData(0, 0, 1, 1).data;
  return [r!, g!, b!];
}
