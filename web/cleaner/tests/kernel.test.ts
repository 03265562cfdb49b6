import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { Kernel, type Model } from "../src/kernel.ts";

type Handler = Parameters<Model["on"]>[1];

/** A widget's model that keeps what is sent, and replies when told to. */
class Stage implements Model {
  sent: { id: string; ask?: unknown; pictures?: number[]; size?: number }[] = [];
  handlers = new Set<Handler>();
  closed = false;
  get = () => null;
  on = (_: "msg:custom", handler: Handler) => void this.handlers.add(handler);
  off = (_: "msg:custom", handler?: Handler) => void this.handlers.delete(handler!);
  send = (content: unknown) => {
    if (this.closed) throw new Error("closed");
    this.sent.push(content as (typeof this.sent)[number]);
  };
  reply(content: object, buffers: DataView[] = []) {
    for (const handler of this.handlers) handler(content, buffers);
  }
}

const bytes = (text: string) => new DataView(new TextEncoder().encode(text).buffer);

describe("the kernel as a host", () => {
  let stage: Stage;
  let told: boolean[];
  let kernel: Kernel;

  beforeEach(() => {
    vi.useFakeTimers();
    stage = new Stage();
    told = [];
    kernel = new Kernel(stage, (waiting) => told.push(waiting));
  });
  afterEach(() => {
    kernel.stop();
    vi.useRealTimers();
  });

  it("gives every request its own reply, in whatever order they come", async () => {
    const [first, second] = [kernel.ask({ do: "open" }), kernel.ask({ do: "counts" })];
    expect(stage.sent.map((message) => message.ask)).toEqual([{ do: "open" }, { do: "counts" }]);
    stage.reply({ id: stage.sent[1].id, answer: "two" });
    stage.reply({ id: "of another view", answer: "no" });
    stage.reply({ id: stage.sent[0].id, answer: "one" });
    expect(await Promise.all([first, second])).toEqual(["one", "two"]);
  });

  it("hears only its own replies where a widget is shown twice", async () => {
    const twin = new Kernel(stage, () => {});
    const [here, there] = [kernel.ask({ do: "open" }), twin.ask({ do: "open" })];
    expect(stage.sent[0].id).not.toBe(stage.sent[1].id);
    stage.reply({ id: stage.sent[1].id, answer: "there" });
    stage.reply({ id: stage.sent[0].id, answer: "here" });
    expect(await Promise.all([here, there])).toEqual(["here", "there"]);
    twin.stop();
  });

  it("fetches pictures together, a few in a message, and each once", async () => {
    const urls = Array.from({ length: 10 }, (_, i) => kernel.pictureUrl(i, 200));
    expect(kernel.pictureUrl(0, 200)).toBe(urls[0]);
    await Promise.resolve();
    expect(stage.sent.map((message) => message.pictures)).toEqual([
      [0, 1, 2, 3, 4, 5, 6, 7],
      [8, 9],
    ]);
    for (const message of stage.sent) {
      const types = message.pictures!.map(() => "image/jpeg");
      const buffers = message.pictures!.map((i) => bytes(`picture ${i}`));
      stage.reply({ id: message.id, types }, buffers);
    }
    const found = await Promise.all(urls);
    expect(new Set(found).size).toBe(10);
    expect(found[9]).toMatch(/^blob:/);
    expect(kernel.pictureUrl(9, 200)).toBe(urls[9]);
    expect(stage.sent.length).toBe(2);
  });

  it("says that there is no picture, and asks again the next time", async () => {
    const url = kernel.pictureUrl(3, 0);
    await Promise.resolve();
    stage.reply({ id: stage.sent[0].id, types: [""] }, [bytes("")]);
    await expect(url).rejects.toThrow("no picture");
    kernel.pictureUrl(3, 0).catch(() => {});
    await Promise.resolve();
    expect(stage.sent.length).toBe(2);
  });

  it("tells that it waits, keeps the request, and tells when it goes on", async () => {
    const answer = kernel.ask({ do: "mark" });
    vi.advanceTimersByTime(2000);
    expect(told).toEqual([]);
    vi.advanceTimersByTime(2000);
    expect(told).toEqual([true]);
    vi.advanceTimersByTime(600_000); // the kernel trains
    stage.reply({ id: stage.sent[0].id, answer: "marked" });
    expect(await answer).toBe("marked");
    expect(told).toEqual([true, false]);
  });

  it("tells at once when the channel is closed", () => {
    stage.closed = true;
    void kernel.ask({ do: "open" });
    expect(told).toEqual([true]);
  });
});
