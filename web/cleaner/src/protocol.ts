/** What the component asks and is answered, in JSON; `wiggly/clean/review/protocol.py` answers. */

export type Label = string | number | boolean;
export type Labels = Label | Label[] | null;
export type Verdict = "keep" | "relabel" | "delete" | "unsure";
export type Action = Verdict | "clear";

export interface Finding {
  kind: string;
  said: string;
  score: number;
  reason: string;
  predicted: Labels;
  others: number[];
}

export interface Mark {
  action: Verdict;
  label: Labels;
  author: string;
  /** It is not on the disk yet. */
  saving?: boolean;
}

export interface Item {
  position: number;
  name: string;
  given: Labels;
  predicted: Labels;
  split: string;
  score: number;
  loss: number | null;
  findings: Finding[];
  mark: Mark | null;
}

export interface Counts {
  classes: { label: Label; before: number; after: number }[];
  items: number;
  suspects: number;
  done: number;
  keep: number;
  relabel: number;
  delete: number;
  unsure: number;
  damaged: number;
  aside: string[];
}

export interface Opened {
  data: string;
  title: string;
  n: number;
  vocab: Label[];
  several: boolean;
  journal: string;
  author: string;
  kinds: { kind: string; said: string; n: number }[];
  splits: { name: string; n: number }[];
  note: string;
  counts: Counts;
}

export type Order = "score" | "loss" | "name" | "class";

export interface Filter {
  given?: Label;
  split?: string;
  kind?: string;
  state?: string;
  text?: string;
  suspects?: boolean;
  order?: Order;
}

export interface Found {
  positions: number[];
  suspects: number;
  open: number;
}

export interface Done {
  positions: number[];
  items: Item[];
  said: string;
  refused: { position: number; reason: string }[];
  vocab: Label[];
  counts: Counts;
}

export interface Refusal {
  error: string;
  code?: string;
}

export interface MarkRequest {
  do: "mark";
  data: string;
  positions: number[];
  action: Action;
  label?: Labels;
  new_class?: boolean;
}

export type Asked =
  | { do: "open" | "undo" | "redo" | "counts" }
  | ({ do: "query"; limit?: number } & Filter)
  | { do: "page"; positions: number[] }
  | MarkRequest;

/** Who answers: the page's server, or a notebook's kernel. */
export interface Host {
  /** Rejects where nobody answers. */
  ask(request: Asked): Promise<unknown>;
  /** The address of a picture; size 0 is the picture itself. */
  pictureUrl(position: number, size: number): string | Promise<string>;
  /** Keeps what could not be saved yet over a reload. */
  keep?: { load(): string | null; save(text: string | null): void };
}

export interface Options {
  /** Fixed height and no panel of counts: in a notebook. */
  compact?: boolean;
  /** "Category" and "Train/Valid" instead of all filters. */
  choosers?: boolean;
  order?: Order;
  limit?: number;
  /** Labels offered beside those that there are. */
  labels?: Label[];
  /** Pixels of a picture in the grid. */
  tile?: { width: number; height: number };
}
