import { expect, test } from "vitest";
import { after } from "../src/core/fsrs.ts";
import { Keeper, type Kept } from "../src/kit/keep.ts";

const AT = "2030-01-01T12:00:00.000Z";
const answer = (token: string, at = AT): Kept => ({
  question: "a-b",
  right: true,
  rating: 3,
  given: "1",
  at,
  seconds: 1,
  token,
});
const plain = (memory: ReturnType<typeof after>) => ({
  ...memory,
  due: new Date(memory.due).toISOString(),
  last: new Date(memory.last).toISOString(),
});

test("what Python has counted is not counted again", () => {
  const keeper = new Keeper(false);
  keeper.add(answer("one"));
  const counted = after(null, 3, Date.parse(AT));
  keeper.take({ "a-b": plain(counted) });
  expect(keeper.memories["a-b"]).toEqual(counted);
});

test("what Python has not heard of yet is counted", () => {
  const keeper = new Keeper(false);
  keeper.add(answer("one"));
  keeper.take({});
  expect(keeper.memories["a-b"]).toEqual(after(null, 3, Date.parse(AT)));
});

test("a guess is as if it had been wrong from the start", () => {
  const keeper = new Keeper(false);
  keeper.add(answer("one"));
  keeper.add(answer("two", "2030-01-05T12:00:00.000Z"));
  keeper.amend(1);
  const first = after(null, 3, Date.parse(AT));
  expect(keeper.memories["a-b"]).toEqual(after(first, 1, Date.parse("2030-01-05T12:00:00.000Z")));
  expect(keeper.session.at(-1)?.rating).toBe(1);
});
