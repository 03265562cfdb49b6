// One training step as a page shows it: each tensor with its shape, ends and mean, and a part of its numbers.
import { backward, type Batch, forward, KINDS, type Network, sgd } from "./network.ts";

/** What is shown of a tensor; the same as `View` of wiggly/teach/tensors.py. */
export interface View {
  shape: number[];
  min: number | null; // null: not known
  max: number | null;
  mean: number;
  tiles: number[][][]; // a heat map each
  note: string; // which part is shown; empty for all
}
export interface Parameter {
  name: string;
  value: View;
  gradient: View | null; // null: frozen
}
export interface Layer {
  name: string;
  kind: string;
  output: View;
  gradient: View | null;
  parameters: Parameter[];
}
export interface Item {
  picture: string | null; // an image's address; null: none, or pixels of the toy
  pixels?: number[];
  label: string;
  answer: string;
  loss: number;
}
export interface Step {
  items: Item[];
  inputs: View;
  layers: Layer[];
  loss: number;
  scores: { name: string; view: View }[]; // what the loss is made of
  n_moved: number;
}

/** A whole matrix, or a list as a matrix of one row. */
export function viewOf(values: number[][] | number[]): View {
  const listed = typeof values[0] === "number";
  const rows = (listed ? [values] : values) as number[][];
  const all = rows.flat();
  return {
    shape: listed ? [all.length] : [rows.length, rows[0].length],
    min: Math.min(...all),
    max: Math.max(...all),
    mean: all.reduce((sum, value) => sum + value, 0) / all.length,
    tiles: [rows],
    note: "",
  };
}

/** The toy's step: everything that is computed for a batch. */
export function toyStep(network: Network, batch: Batch): Step {
  const made = forward(network, batch);
  const slopes = backward(network, batch, made);
  const linear = (
    name: string,
    weights: "first" | "second",
    output: number[][],
    gradient: number[][],
  ): Layer => ({
    name,
    kind: `Linear ${network[weights].length} → ${network[weights][0].length}`,
    output: viewOf(output),
    gradient: viewOf(gradient),
    parameters: [
      { name: "weight", value: viewOf(network[weights]), gradient: viewOf(slopes.weights[weights]) },
      {
        name: "bias",
        value: viewOf(network[`${weights}Bias`]),
        gradient: viewOf(slopes.weights[`${weights}Bias`]),
      },
    ],
  });
  const likeliest = (row: number[]) => row.indexOf(Math.max(...row));
  const numbers = Object.values(network).flat(2).length;
  return {
    items: batch.x.map((pixels, i) => ({
      picture: null,
      pixels,
      label: KINDS[batch.labels[i]],
      answer: KINDS[likeliest(made.logits[i])],
      loss: made.losses[i],
    })),
    inputs: viewOf(batch.x),
    layers: [
      linear("first layer", "first", made.sums, slopes.sums),
      {
        name: "ReLU",
        kind: "below 0 becomes 0",
        output: viewOf(made.hidden),
        gradient: viewOf(slopes.hidden),
        parameters: [],
      },
      linear("second layer", "second", made.logits, slopes.logits),
    ],
    loss: made.loss,
    scores: [
      { name: "probabilities: softmax of the last output", view: viewOf(made.probabilities) },
      { name: "loss of each item: −ln of its label's probability", view: viewOf(made.losses) },
    ],
    n_moved: numbers,
  };
}

/** Each item's loss after the toy's step at a rate. */
export function lossesAfter(network: Network, batch: Batch, rate: number): number[] {
  const { weights } = backward(network, batch, forward(network, batch));
  return forward(sgd(network, weights, rate), batch).losses;
}

/** The step itself: minus learning rate times gradient. */
export function update(gradient: View, rate: number): View {
  const turned = (value: number | null) => (value === null ? null : -rate * value);
  return {
    ...gradient,
    min: turned(gradient.max),
    max: turned(gradient.min),
    mean: -rate * gradient.mean,
    tiles: gradient.tiles.map((tile) => tile.map((row) => row.map((value) => -rate * value))),
  };
}

/** Where the step leads; of numbers that are not shown only the mean is known. */
export function moved({ value, gradient }: Parameter, rate: number): View {
  if (!gradient) return value;
  return {
    ...value,
    min: null,
    max: null,
    mean: value.mean - rate * gradient.mean,
    tiles: value.tiles.map((tile, t) =>
      tile.map((row, i) => row.map((number, j) => number - rate * gradient.tiles[t][i][j])),
    ),
  };
}
