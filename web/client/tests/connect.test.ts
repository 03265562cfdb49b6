import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { afterEach, expect, test } from "vitest";
import { connect, NetworkError, ServerError, TimeoutError } from "../src/index.ts";

type Handler = (request: IncomingMessage, response: ServerResponse, body: string) => void;
let stop: () => void = () => undefined;
afterEach(() => stop());

async function serve(handler: Handler): Promise<string> {
  const server = createServer((request, response) => {
    let body = "";
    request.setEncoding("latin1").on("data", (part: string) => (body += part));
    request.on("end", () => handler(request, response, body));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  stop = () => {
    server.closeAllConnections();
    server.close();
  };
  return `http://127.0.0.1:${(server.address() as { port: number }).port}/`;
}

const json = (response: ServerResponse, content: unknown, status = 200) =>
  response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(content));
const model = {
  title: "Pets",
  task: "classification",
  inputs: [{ kind: "image" }],
  outputs: [],
  examples: [{}],
};
const reply = { answers: [{ kind: "numbers", values: [] }], model: "0".repeat(64) };

test("a file goes out as multipart, with its name", async () => {
  const seen: string[] = [];
  const url = await serve((request, response, body) => {
    seen.push(`${request.method} ${request.url}`);
    if (request.url === "/v1/model") return json(response, model);
    expect(request.headers["content-type"]).toMatch(/^multipart\/form-data; boundary=/);
    expect(request.headers["authorization"]).toBe("Bearer me");
    expect(body).toContain('name="file"; filename="cat.jpg"');
    return json(response, reply);
  });
  const remote = await connect(`${url}v1/`, { headers: { authorization: "Bearer me" } });
  expect(remote.info.title).toBe("Pets");
  expect(remote.examples).toBe(1);
  expect(await remote.predict(new File(["x"], "cat.jpg", { type: "image/jpeg" }))).toEqual(reply);
  expect(seen).toEqual(["GET /v1/model", "POST /v1/predict"]);
});

test("a row goes out as JSON, large numbers too", async () => {
  const url = await serve((request, response, body) => {
    if (request.url === "/v1/model") return json(response, { ...model, inputs: [{ kind: "table" }] });
    if (request.url === "/v1/predict/batch") return json(response, { items: [reply, reply] });
    expect(JSON.parse(body)).toEqual({ row: { age: 3, id: { integer: "9007199254740993" } } });
    return json(response, reply);
  });
  const remote = await connect(url);
  expect(await remote.predict({ age: 3, id: 9007199254740993n })).toEqual(reply);
  expect(await remote.predictRows([{ age: 1 }, { age: 2 }])).toHaveLength(2);
});

test("a Space that sleeps is asked again until it is awake", async () => {
  const waits: number[] = [];
  let asked = 0;
  const url = await serve((_, response) => {
    if (++asked < 3) return response.writeHead(503, { "retry-after": "0" }).end("starting");
    return json(response, model);
  });
  const remote = await connect(url, { backoff: 1, onWaiting: (ms) => waits.push(ms) });
  expect(remote.info.title).toBe("Pets");
  expect(waits).toEqual([0, 0]);
});

test("waits grow, and end", async () => {
  const waits: number[] = [];
  const url = await serve((_, response) => response.writeHead(503).end());
  const refused = connect(url, { retries: 3, backoff: 2, onWaiting: (ms) => waits.push(ms) });
  await expect(refused).rejects.toMatchObject({ name: "ServerError", status: 503, code: "starting" });
  expect(waits).toEqual([2, 4, 8]);
});

test("a refusal has the server's three parts", async () => {
  const error = { code: "too_large", rule: "a file must be small", received: "it is not", fix: "Shrink it." };
  const url = await serve((request, response) =>
    request.url === "/v1/model" ? json(response, model) : json(response, { error }, 413),
  );
  const remote = await connect(url);
  const failed: unknown = await remote.predict(new Blob(["x"])).catch((caught: unknown) => caught);
  expect(failed).toBeInstanceOf(ServerError);
  expect(failed).toMatchObject({ status: 413, ...error });
  expect(String(failed)).toContain("a file must be small; it is not.\nShrink it.");
});

test("nobody there, nobody answering, and giving up", async () => {
  await expect(connect("http://127.0.0.1:9/", { retries: 1, backoff: 1 })).rejects.toThrow(NetworkError);
  const url = await serve(() => undefined);
  await expect(connect(url, { timeout: 50 })).rejects.toThrow(TimeoutError);
  const controller = new AbortController();
  setTimeout(() => controller.abort(), 20);
  await expect(connect(url, { signal: controller.signal })).rejects.toMatchObject({ name: "AbortError" });
  const asleep = await serve((_, response) => response.writeHead(503).end());
  const later = new AbortController();
  setTimeout(() => later.abort(), 20);
  await expect(connect(asleep, { signal: later.signal })).rejects.toMatchObject({ name: "AbortError" });
});
