import { readFile } from "node:fs/promises";
import { unzipSync } from "fflate";
import * as ort from "onnxruntime-web/wasm";
import { expect, test } from "vitest";
import { withoutIf } from "../src/inlined.ts";

const fixture = async (name: string) =>
  new Uint8Array(await readFile(new URL(`fixtures/${name}`, import.meta.url)));

test("a graph without an If stays as it is", async () => {
  const graph = unzipSync(await fixture("category.wiggly"))["model.onnx"]!;
  expect([...withoutIf(graph)]).toEqual([...graph]);
});

test("an If gives way to its first branch", async () => {
  const graph = await fixture("if.onnx"); // x if all of x is positive, else -x
  const run = async (model: Uint8Array, values: number[]) => {
    const session = await ort.InferenceSession.create(model);
    const { y } = await session.run({ x: new ort.Tensor("float32", values, [values.length]) });
    return Array.from(y!.data as Float32Array);
  };
  expect(await run(graph, [-1, 2])).toEqual([1, -2]);
  expect(await run(withoutIf(graph), [-1, 2])).toEqual([-0.5, 2.5]); // the branch adds a half
  expect(await run(withoutIf(graph), [1, 2])).toEqual(await run(graph, [1, 2]));
  expect(new TextDecoder("latin1").decode(withoutIf(graph))).not.toContain("then_branch");
});
