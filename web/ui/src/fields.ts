/** The fields of a form: for each column what is shown, what is read, and what a visitor should know. */
import { secondsOf, type Cell, type Input, type Row } from "@wiggly/client";
import { plain } from "./words.ts";

type Table = Extract<Input, { kind: "table" }>;
type NumberField = Table["numbers"][number];
type CategoryField = Table["categories"][number];

/** One field. */
export interface Field {
  name: string;
  kind: "choice" | "text" | "number" | "date";
  /** Texts to choose among, in the order of `values`. */
  options: string[];
  /** What stands beside the name. */
  hint: string;
  /** What a value of the column is in the field. */
  shown(value: Cell): string;
  /** And back; null for nothing. */
  read(text: string): Cell;
  /** What to know of what was entered; empty for nothing. */
  note(text: string): string;
}

const MOST_CHOICES = 200; // more are typed in
const EXACT = 2 ** 53;

/** A field for each column that the model looks at. */
export function fieldsOf(input: Input): Field[] {
  if (input.kind === "image") return [];
  const categories = input.kind === "table" ? input.categories : [input.user, input.item];
  const numbers = input.kind === "table" ? input.numbers : [];
  return [...categories.filter((field) => !field.flag_of).map(categoryField), ...numbers.map(numberField)];
}

function categoryField(column: CategoryField): Field {
  const values = column.vocab as Cell[];
  const options = values.map(textOf);
  const few = values.length <= MOST_CHOICES;
  return {
    name: column.name,
    kind: few ? "choice" : "text",
    options,
    hint: few ? "" : `one of ${values.length.toLocaleString("en")} values`,
    shown: (value) => (value === null || value === undefined ? "" : textOf(value)),
    read: (text) => (text === "" ? null : (values[options.indexOf(text)] ?? text)),
    note: (text) => (text !== "" && !options.includes(text) ? `“${text}” was not in training` : ""),
  };
}

/** A value for people; those that JSON cannot say are written as objects. */
function textOf(value: Cell): string {
  if (value === true) return "yes";
  if (value === false) return "no";
  if (typeof value !== "object" || value === null || value instanceof Date) return String(value);
  const [said] = Object.values(value);
  return String(said).replace(/T00:00:00$/, "");
}

function numberField(column: NumberField): Field {
  if (column.kind === "boolean") return truth(column);
  if (column.kind === "date") return date(column);
  const whole = column.kind === "integer";
  const huge = whole && Math.max(Math.abs(column.low), Math.abs(column.high)) > EXACT;
  const range = `${plain(column.low, 10)} to ${plain(column.high, 10)}`;
  const unit = column.kind === "duration" ? " seconds" : "";
  return {
    name: column.name,
    kind: huge ? "text" : "number",
    options: [],
    hint: `${range}${unit} in training`,
    shown: (value) => numberText(value),
    read: (text) =>
      text.trim() === "" ? null : huge ? { integer: text.replaceAll(",", "").trim() } : Number(text),
    note: (text) => {
      const value = Number(text);
      if (text.trim() === "" || (value >= column.low && value <= column.high)) return "";
      return `outside what it has seen, ${range}`;
    },
  };
}

function numberText(value: Cell): string {
  if (value === null || value === undefined) return "";
  if (typeof value === "object" && "duration" in value) {
    const [days, seconds, micros] = value["duration"] as [number, number, number];
    return String(days * 86_400 + seconds + micros / 1e6);
  }
  if (typeof value === "object" && !(value instanceof Date)) return String(Object.values(value)[0]);
  return String(value);
}

function truth(column: NumberField): Field {
  return {
    name: column.name,
    kind: "choice",
    options: ["yes", "no"],
    hint: "",
    shown: (value) => (value === null || value === undefined ? "" : value ? "yes" : "no"),
    read: (text) => (text === "" ? null : text === "yes"),
    note: () => "",
  };
}

function date(column: NumberField): Field {
  const day = (seconds: number) => new Date(seconds * 1000).toISOString().slice(0, 10);
  return {
    name: column.name,
    kind: "date",
    options: [],
    hint: `${day(column.low)} to ${day(column.high)} in training`,
    shown: (value) => {
      if (value === null || value === undefined) return "";
      const text = typeof value === "object" ? String(Object.values(value)[0]) : String(value);
      return text.slice(0, 16);
    },
    read: (text) => (text === "" ? null : { date: text.length === 16 ? `${text}:00` : text }),
    note: (text) => {
      const seconds = text === "" ? null : secondsOf(text.length === 16 ? `${text}:00` : text);
      const inside = seconds === null || (seconds >= column.low && seconds <= column.high);
      return inside ? "" : `outside what it has seen, ${day(column.low)} to ${day(column.high)}`;
    },
  };
}

/** What every field shows for a row. */
export function shownRow(fields: readonly Field[], row: Row): Record<string, string> {
  return Object.fromEntries(fields.map((field) => [field.name, field.shown(row[field.name])]));
}

/** The row that the fields say. */
export function readRow(fields: readonly Field[], texts: Record<string, string>): Row {
  return Object.fromEntries(fields.map((field) => [field.name, field.read(texts[field.name] ?? "")]));
}
