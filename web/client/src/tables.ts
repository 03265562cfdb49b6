/** From a row to the numbers a model of tables takes: places in vocabularies, and standardised values. */
import { InputError } from "./errors.ts";
import type { CategoryField, NumberField, PairInput, TableInput } from "./generated/manifest.ts";

/** A value of a row as JSON has it, or a date; undefined and null say that it is not known. */
export type Cell = string | number | boolean | bigint | Date | null | undefined | { [kind: string]: unknown };

/** From column to value. */
export type Row = Record<string, Cell>;

/** Of float32, in which models compute; what is beyond would be infinite there. */
const LARGEST = 3.4028234663852886e38;
const FIX = "Mend the value, or leave it out (null).";

/** The inputs of the graph. */
export interface Encoded {
  categories: BigInt64Array;
  numbers: Float32Array;
}

/** Encodes rows by what model.json says of their columns. */
export class TableEncoder {
  readonly #categories: readonly CategoryField[];
  readonly #numbers: readonly NumberField[];
  readonly #places: Map<string, number>[];

  constructor(input: TableInput | PairInput) {
    const pairs = input.kind === "pairs";
    this.#categories = pairs ? [input.user, input.item] : input.categories;
    this.#numbers = pairs ? [] : input.numbers;
    this.#places = this.#categories.map((field) => {
      return new Map(field.vocab.map((value, place) => [keyOf(value as Cell) ?? "", place + 1]));
    });
  }

  /** One row; it must have every column, whose value may be null. */
  encode(row: Row): Encoded {
    this.#check(row);
    const values = this.#numbers.map((field) => numberOf(field, row[field.name]));
    const missing = new Map(this.#numbers.map((field, i) => [field.name, values[i] === null]));
    const categories = this.#categories.map((field, i) => {
      if (field.flag_of) return missing.get(field.flag_of) ? 2 : 1;
      const key = keyOf(row[field.name]);
      return key === null ? 0 : (this.#places[i]!.get(key) ?? 0);
    });
    return {
      categories: BigInt64Array.from(categories, BigInt),
      numbers: Float32Array.from(this.#numbers, (field, i) => standardised(field, values[i] ?? null)),
    };
  }

  #check(row: Row): void {
    const wanted = [...this.#categories.filter((field) => !field.flag_of), ...this.#numbers];
    const absent = wanted.find((field) => !(field.name in row));
    if (typeof row !== "object" || absent) {
      throw new InputError(
        "a row must have the columns of training",
        `there is no '${absent?.name}'`,
        "Pass null for a value that is not known.",
      );
    }
  }
}

/** What makes two values of a category the same, as in Python: 1, 1.0 and true are one value. */
export function keyOf(value: Cell): string | null {
  if (value === null || value === undefined || value === "#na#") return null;
  if (typeof value === "string") return `text ${value}`;
  if (typeof value === "boolean" || typeof value === "bigint") return `number ${BigInt(value)}`;
  if (typeof value === "number") return Number.isNaN(value) ? null : numberKey(value);
  if (value instanceof Date) return `date ${value.getTime()}`;
  return packedKey(value as Record<string, unknown>);
}

function numberKey(value: number): string {
  return `number ${Number.isInteger(value) ? BigInt(value) : value}`;
}

/** Of a value that JSON cannot say, written as an object that names its type. */
function packedKey(value: Record<string, unknown>): string {
  const [[kind, said] = ["", ""]] = Object.entries(value);
  if (kind === "integer") return `number ${BigInt(said as string)}`;
  if (kind === "date") return `date ${secondsOf(said as string) * 1000}`;
  if (kind === "float") return `number ${said === "inf" ? Infinity : -Infinity}`;
  if (kind === "decimal") return numberKey(Number(said));
  return `${kind} ${JSON.stringify(said)}`;
}

/** A number in the column's unit less its centre; null where there is none. */
function numberOf(field: NumberField, value: Cell): number | null {
  if (value === null || value === undefined || Number.isNaN(value)) return null;
  const center = exact(field.center as Cell);
  if (typeof value === "bigint") return Number(value - center);
  if (typeof value === "boolean") return Number(value) - Number(center);
  if (typeof value === "number") return Math.abs(value) > LARGEST ? null : minus(value, center);
  if (value instanceof Date) return value.getTime() / 1000 - Number(center);
  if (typeof value === "string" && field.kind === "date") return secondsOf(value) - Number(center);
  if (typeof value === "object") {
    const packed = value as Record<string, unknown>;
    if ("integer" in packed) return Number(BigInt(packed["integer"] as string) - center);
    if ("date" in packed) return secondsOf(packed["date"] as string) - Number(center);
    if ("decimal" in packed) return minus(Number(packed["decimal"]), center);
    if ("float" in packed) return null; // infinite
    if ("duration" in packed) {
      const [days, seconds, micros] = packed["duration"] as [number, number, number];
      return days * 86_400 + seconds + micros / 1e6 - Number(center);
    }
  }
  throw new InputError(
    `column '${field.name}' must hold numbers`,
    `it holds '${String(value).slice(0, 60)}'`,
    FIX,
  );
}

function exact(value: Cell): bigint {
  if (typeof value === "object" && value) return BigInt((value as { integer: string }).integer);
  return BigInt(Math.trunc(Number(value ?? 0)));
}

function minus(value: number, center: bigint): number {
  return Number.isInteger(value) ? Number(BigInt(value) - center) : value - Number(center);
}

function standardised(field: NumberField, value: number | null): number {
  const shifted = value ?? field.fill - Number(exact(field.center as Cell));
  return Math.min(LARGEST, Math.max(-LARGEST, (shifted - field.mean) / field.std));
}

/** Seconds since 1970; a time without a zone is taken as UTC. */
export function secondsOf(text: string): number {
  const day = /^\d{4}-\d\d-\d\d$/;
  const zoned = /(Z|[+-]\d\d:?\d\d)$/;
  const trimmed = text.trim().replace(" ", "T");
  const micros = /\.\d{3}(\d{1,3})/.exec(trimmed)?.[1] ?? ""; // Date knows milliseconds only
  const whole = day.test(trimmed) ? `${trimmed}T00:00:00Z` : zoned.test(trimmed) ? trimmed : `${trimmed}Z`;
  const time = Date.parse(whole);
  if (Number.isNaN(time)) {
    throw new InputError(
      "a date must be written as 2024-02-29 or 2024-02-29T12:30:00",
      `it is '${text.slice(0, 60)}'`,
      FIX,
    );
  }
  return time / 1000 + Number(`0.000${micros || 0}`);
}
