import { createHash } from "node:crypto";
import { expect, test } from "vitest";
import { DeviceError, InputError, packError, unpackError, WigglyError } from "../src/errors.ts";
import { grey } from "../src/pictures/decode.ts";
import { encodePng } from "../src/png.ts";
import { computed, sha256 } from "../src/sha256.ts";
import { keyOf, secondsOf, TableEncoder } from "../src/tables.ts";
import { readPng } from "./png.ts";

test("SHA-256 is that of Node", async () => {
  for (const length of [0, 1, 55, 56, 63, 64, 65, 1000]) {
    const bytes = Uint8Array.from({ length }, (_, i) => i * 7);
    const wanted = createHash("sha256").update(bytes).digest("hex");
    expect(await sha256(bytes)).toBe(wanted);
    expect(Buffer.from(computed(bytes)).toString("hex")).toBe(wanted);
  }
});

test("a mask comes back from its PNG", () => {
  const indices = Uint8Array.from({ length: 35 }, (_, i) => (i * 11) % 256);
  expect([...readPng(encodePng(indices, 7, 5)).data]).toEqual([...indices]);
});

test("errors survive the way out of a worker", () => {
  const error = new InputError("a rule", "something", "A fix.");
  const back = unpackError(structuredClone(packError(error)));
  expect(back).toBeInstanceOf(InputError);
  expect(back).toBeInstanceOf(WigglyError);
  expect(back.message).toBe("a rule; something.\nA fix.");
  expect(unpackError(packError(new DeviceError("a", "b", "c")))).toBeInstanceOf(DeviceError);
  expect(unpackError(packError(new TypeError("oh")))).toMatchObject({ name: "TypeError", message: "oh" });
});

test("values of categories are the same when Python says so", () => {
  expect(keyOf(1)).toBe(keyOf(true));
  expect(keyOf(1n)).toBe(keyOf({ integer: "1" }));
  expect(keyOf("1")).not.toBe(keyOf(1));
  expect(keyOf({ date: "2024-02-29T00:00:00" })).toBe(keyOf(new Date("2024-02-29T00:00:00Z")));
  expect([null, undefined, NaN, "#na#"].map((value) => keyOf(value))).toEqual([null, null, null, null]);
  expect(keyOf({ decimal: "1.50" })).toBe(keyOf(1.5));
});

test("times without a zone are UTC; microseconds count", () => {
  expect(secondsOf("1970-01-02")).toBe(86_400);
  expect(secondsOf("1970-01-01T00:00:01")).toBe(1);
  expect(secondsOf("1970-01-01 00:00:01.250750")).toBeCloseTo(1.25075, 6);
  expect(secondsOf("1970-01-01T01:00:00+01:00")).toBe(0);
  expect(() => secondsOf("yesterday")).toThrow(InputError);
});

test("huge whole numbers lose nothing before their centre is taken off", () => {
  const field = {
    name: "id",
    kind: "integer",
    fill: 0,
    flagged: false,
    center: { integer: "9007199254740993" },
    mean: 0,
    std: 1,
    low: 0,
    high: 0,
  } as const;
  const encoder = new TableEncoder({ kind: "table", categories: [], numbers: [{ ...field }] });
  expect([...encoder.encode({ id: 9007199254740995n }).numbers]).toEqual([2]);
  expect([...encoder.encode({ id: { integer: "9007199254740990" } }).numbers]).toEqual([-3]);
});

test("grey is Pillow's", () => {
  expect([grey(255, 255, 255), grey(255, 0, 0), grey(0, 255, 0), grey(10, 20, 30)]).toEqual([
    255, 76, 150, 18,
  ]);
});
