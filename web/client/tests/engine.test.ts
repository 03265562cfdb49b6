import { readFile } from "node:fs/promises";
import { afterAll, describe, expect, test } from "vitest";
import { BundleError, InputError, load, type LocalModel } from "../src/index.ts";
import type { Item, Manifest, Row } from "../src/index.ts";
import { compare } from "../src/verify.ts";
import { readPng } from "./png.ts";

const fixture = async (kind: string) =>
  new Uint8Array(await readFile(new URL(`fixtures/${kind}.wiggly`, import.meta.url)));

const opened: LocalModel[] = [];
async function open(kind: string): Promise<LocalModel> {
  const model = await load(await fixture(kind), { worker: false });
  opened.push(model);
  return model;
}
afterAll(() => opened.forEach((model) => model.close()));

async function input(model: LocalModel, index: number): Promise<Item> {
  const found = await model.example(index);
  return found instanceof Blob ? readPng(new Uint8Array(await found.arrayBuffer())) : found;
}

async function checked(model: LocalModel, index: number) {
  const manifest: Manifest = model.info;
  const reply = await model.predict(await input(model, index));
  return compare(manifest, manifest.examples![index]!, reply, null);
}

describe("worked examples come out as in Python", () => {
  test.each(["category", "labels", "points", "boxes", "table", "pairs"])("%s", async (kind) => {
    const model = await open(kind);
    expect(model.examples).toBeGreaterThan(0);
    for (let i = 0; i < model.examples; i++) {
      const { difference, same } = await checked(model, i);
      expect(difference).toBeLessThan(kind === "points" ? 1e-3 : 1e-4);
      expect(same).toBe(true);
    }
  });

  test("a mask", async () => {
    const model = await open("mask");
    const reply = await model.predict(await input(model, 0));
    const answer = reply.answers[0]!;
    if (answer.kind !== "mask") throw new Error(answer.kind);
    const { data } = readPng(Uint8Array.from(atob(answer.png), (letter) => letter.charCodeAt(0)));
    const wanted = new Map(Object.entries(await unzipped("mask")));
    const recorded = readPng(wanted.get("examples/1.mask.png")!).data;
    expect(data.filter((index, i) => index !== recorded[i]).length / data.length).toBeLessThan(1e-3);
    expect(answer.classes.map(({ label }) => label)).not.toContain("nothing");
    expect(answer.classes[0]!.share).toBeGreaterThan(0.2);
  });
});

async function unzipped(kind: string): Promise<Record<string, Uint8Array>> {
  const { unzipSync } = await import("fflate");
  return unzipSync(await fixture(kind));
}

test("what a table is asked, and what it refuses", async () => {
  const model = await open("table");
  const row = (await model.example(0)) as Row;
  const reply = await model.predict(row);
  expect(reply.answers.map(({ kind }) => kind)).toEqual(["category", "numbers"]);
  expect(reply.model).toMatch(/^[0-9a-f]{64}$/);
  expect(await model.predict({ ...row, city: "Atlantis" })).toEqual(
    await model.predict({ ...row, city: null }),
  );
  const { city, ...without } = row;
  expect(city).toBe("Rome");
  await expect(model.predict(without)).rejects.toThrow(/no 'city'/);
  await expect(model.predict({ ...row, age: "old" })).rejects.toThrow(InputError);
  await expect(model.verify()).resolves.toMatchObject({ ok: true });
  expect((await model.verify()).difference).toBeLessThan(1e-4);
});

test("what people liked who liked this", async () => {
  const model = await open("pairs");
  const near = await model.nearest(["Alien"], { n: 3, least: 20 });
  expect(near).toHaveLength(3);
  expect(near.map(({ label }) => label)).not.toContain("Alien");
  expect(near.map(({ label }) => label)).not.toContain("Dracula"); // 2 ratings
  expect(near[0]!.cosine).toBeGreaterThanOrEqual(near[1]!.cosine);
  expect((await model.ratings())[3]).toBe(2);
  await expect(model.nearest(["Zorro"])).rejects.toThrow(/no 'Zorro'/);
});

describe("bundles that are refused", () => {
  test("changed, cut short, of another kind", async () => {
    const whole = await fixture("table");
    await expect(load(whole.slice(0, 900), { worker: false })).rejects.toThrow(/cut short or damaged/);
    await expect(load(new Uint8Array([1, 2, 3]), { worker: false })).rejects.toThrow(BundleError);
    const { zipSync } = await import("fflate");
    const files = await unzipped("table");
    const changed = zipSync({ ...files, "model.onnx": new Uint8Array(files["model.onnx"]!.length) });
    await expect(load(changed, { worker: false })).rejects.toThrow(/'model.onnx' was changed/);
    const renamed = new TextDecoder().decode(files["model.json"]).replace("People", "Peoples");
    const forged = zipSync({ ...files, "model.json": new TextEncoder().encode(renamed) });
    await expect(load(forged, { worker: false })).rejects.toThrow(/'model.json' was changed/);
  });
});
