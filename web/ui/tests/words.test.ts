import type { ModelInfo } from "@wiggly/client";
import { NetworkError } from "@wiggly/client";
import { expect, test } from "vitest";
import { fieldsOf, readRow, shownRow } from "../src/fields.ts";
import { percent, plain, scoreLine, spoken, told } from "../src/words.ts";

test("shares and numbers as people read them", () => {
  expect([0.938, 0.999, 1, 0.004, 0].map((share) => percent(share))).toEqual([
    "94\u00a0%",
    "> 99\u00a0%",
    "100\u00a0%",
    "< 1\u00a0%",
    "0\u00a0%",
  ]);
  expect([53412.5, 0.04999, -3, 1e-7].map((value) => plain(value))).toEqual([
    "53,410",
    "0.04999",
    "-3",
    "1.000e-7",
  ]);
});

test("the score in one sentence, as the Gradio page says it", () => {
  const score = {
    name: "accuracy",
    value: 0.938,
    n: 210,
    interval: [0.897, 0.964] as [number, number],
    baseline: 0.19,
    baseline_label: "Abyssinian",
  };
  const info = {
    title: "",
    task: "classification",
    outputs: [],
    inputs: [{ kind: "image" }],
    score,
  } as unknown;
  expect(scoreLine(info as ModelInfo).replaceAll("\u00a0", " ")).toBe(
    "Right on 93.8 % of 210 photos it had not trained on (95 % interval 89.7 to 96.4 %); " +
      "always answering “Abyssinian” would get 19.0 %.",
  );
});

test("what a screen reader says", () => {
  const answer = { kind: "category", name: "", label: "beagle", confidence: 0.41, unsure: true } as const;
  expect(spoken([{ ...answer, probabilities: [] }])).toBe("Not sure: maybe beagle, 41\u00a0%.");
});

test("errors for visitors", () => {
  const error = new NetworkError("the server must be reachable", "it is not", "Check it.");
  expect(told(error)).toEqual({
    title: navigator.onLine === false ? "You are offline" : "The server cannot be reached",
    text: "The server must be reachable; it is not.",
    fix: "Check it.",
  });
});

test("a form and back", () => {
  const number = { fill: 0, flagged: false, center: 0, mean: 0, std: 1, low: 0, high: 9 };
  const fields = fieldsOf({
    kind: "table",
    categories: [
      { name: "city", vocab: ["Bern", "Rome"] },
      { name: "paid", vocab: [false, true] },
      { name: "age_na", vocab: [false, true], flag_of: "age" },
    ],
    numbers: [
      { ...number, name: "age", kind: "number" },
      { ...number, name: "id", kind: "integer", high: 1e17 },
      { ...number, name: "day", kind: "date", high: 1.7e9 },
    ],
  });
  const row = {
    city: "Rome",
    paid: true,
    age: null,
    id: { integer: "90071992547409931" },
    day: { date: "2019-05-06T00:00:00" },
  };
  expect(fields.map(({ name }) => name)).toEqual(["city", "paid", "age", "id", "day"]);
  const texts = shownRow(fields, row);
  expect(texts).toEqual({
    city: "Rome",
    paid: "yes",
    age: "",
    id: "90071992547409931",
    day: "2019-05-06T00:00",
  });
  expect(readRow(fields, texts)).toEqual(row);
  expect(fields[2]!.note("12")).toContain("outside");
  expect(fields[2]!.note("")).toBe("");
  expect(fields[4]!.note("2031-01-01T00:00")).toContain("outside");
});
