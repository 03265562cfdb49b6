/**
 * A graph without its choice whether to resample: ONNX Runtime's WebGPU build cannot run graphs with an `If`, and
 * pictures come resampled from here. Reads and writes just enough of ONNX's protocol buffers (onnx.proto, protobuf's
 * encoding guide): fields are kept as they are, but a top-level `If` gives way to the nodes of its `then_branch`.
 */
import { joined } from "./png.ts";

/** A field: its number, its bytes with key and length, and its content where it has a length. */
interface Field {
  number: number;
  whole: Uint8Array;
  content: Uint8Array;
}

const MODEL_GRAPH = 7;
const GRAPH = { node: 1, initializer: 5, output: 12 };
const NODE = { input: 1, output: 2, type: 4, attribute: 5 };
const ATTRIBUTE = { name: 1, graph: 6 };
const VALUE_NAME = 1;
const WITH_LENGTH = 2;

/** The same model with each `If` replaced by what it does for a picture of the model's size. */
export function withoutIf(model: Uint8Array): Uint8Array {
  return joined(
    fieldsOf(model).map(({ number, whole, content }) =>
      number === MODEL_GRAPH ? field(MODEL_GRAPH, joined(fieldsOf(content).flatMap(inlined))) : whole,
    ),
  );
}

/** A field of a graph, or what stands in its place. */
function inlined({ number, whole, content }: Field): Uint8Array[] {
  if (number !== GRAPH.node) return [whole];
  const node = fieldsOf(content);
  if (!node.some((one) => one.number === NODE.type && textOf(one) === "If")) return [whole];
  const attributes = node.filter((one) => one.number === NODE.attribute).map((one) => fieldsOf(one.content));
  const then = attributes.find((one) =>
    one.some((f) => f.number === ATTRIBUTE.name && textOf(f) === "then_branch"),
  );
  const branch = then?.find((one) => one.number === ATTRIBUTE.graph);
  if (!branch) return [whole];
  const inside = fieldsOf(branch.content);
  const found = inside.filter((one) => one.number === GRAPH.output).map(nameOf);
  const wanted = node.filter((one) => one.number === NODE.output).map(textOf);
  const kept = inside.filter((one) => one.number === GRAPH.node || one.number === GRAPH.initializer);
  return [...kept.map((one) => one.whole), ...wanted.map((name, i) => identity(found[i]!, name))];
}

function nameOf(value: Field): string {
  return textOf(fieldsOf(value.content).find((one) => one.number === VALUE_NAME)!);
}

function identity(from: string, to: string): Uint8Array {
  const parts = [text(NODE.input, from), text(NODE.output, to), text(NODE.type, "Identity")];
  return field(GRAPH.node, joined(parts));
}

const textOf = ({ content }: Field): string => new TextDecoder().decode(content);
const text = (number: number, value: string): Uint8Array => field(number, new TextEncoder().encode(value));

function field(number: number, content: Uint8Array): Uint8Array {
  return joined([varint(number * 8 + WITH_LENGTH), varint(content.length), content]);
}

function varint(value: number): Uint8Array {
  const bytes: number[] = [];
  for (let rest = value; ; rest = Math.floor(rest / 128)) {
    if (rest < 128) return Uint8Array.from([...bytes, rest]);
    bytes.push((rest % 128) + 128);
  }
}

function fieldsOf(bytes: Uint8Array): Field[] {
  const found: Field[] = [];
  let at = 0;
  const read = (): number => {
    let value = 0;
    for (let scale = 1; ; scale *= 128) {
      const byte = bytes[at++]!;
      value += (byte & 127) * scale;
      if (byte < 128) return value;
    }
  };
  while (at < bytes.length) {
    const start = at;
    const key = read();
    const kind = key % 8;
    let content = at;
    if (kind === 0) read();
    else if (kind === 1) at += 8;
    else if (kind === 5) at += 4;
    else {
      const length = read();
      content = at;
      at += length;
    }
    found.push({
      number: Math.floor(key / 8),
      whole: bytes.subarray(start, at),
      content: bytes.subarray(content, at),
    });
  }
  return found;
}
