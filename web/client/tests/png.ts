/** Reads the PNG files of the fixtures: 8 bits, grey or colour. */
import { unzlibSync } from "fflate";
import type { Pixels } from "../src/pictures/resample.ts";

export function readPng(bytes: Uint8Array): Pixels {
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  const [width, height] = [view.getUint32(16), view.getUint32(20)];
  const channels = bytes[25] === 2 ? 3 : 1;
  const parts: number[] = [];
  for (let at = 8; at < bytes.length;) {
    const length = view.getUint32(at);
    const name = String.fromCharCode(...bytes.subarray(at + 4, at + 8));
    if (name === "IDAT") parts.push(...bytes.subarray(at + 8, at + 8 + length));
    at += length + 12;
  }
  const raw = unzlibSync(Uint8Array.from(parts));
  const data = new Uint8Array(width * height * channels);
  const size = width * channels;
  for (let y = 0; y < height; y++) {
    const filter = raw[y * (size + 1)]!;
    for (let i = 0; i < size; i++) {
      const left = i >= channels ? data[y * size + i - channels]! : 0;
      const up = y ? data[(y - 1) * size + i]! : 0;
      const corner = y && i >= channels ? data[(y - 1) * size + i - channels]! : 0;
      const guess = [0, left, up, (left + up) >> 1, paeth(left, up, corner)][filter]!;
      data[y * size + i] = raw[y * (size + 1) + 1 + i]! + guess;
    }
  }
  return { data, width, height, channels };
}

function paeth(left: number, up: number, corner: number): number {
  const near = [left, up, corner].map((value) => Math.abs(left + up - corner - value));
  return [left, up, corner][near.indexOf(Math.min(...near))]!;
}
