// A question, and whether an answer is right: the rules of `wiggly/teach/quiz/question.py`, on the same inputs.
import { type Memory, recall } from "./fsrs.ts";

export type Kind = "choice" | "several" | "number" | "text" | "order";

export interface Question {
  id: string;
  kind: Kind;
  question: string;
  why: string;
  lesson: number;
  anchor: string;
  difficulty: number;
  code: string;
  choices?: string[];
  right?: number[];
  items?: string[];
  answer?: number;
  tolerance?: number;
  unit?: string;
  accept?: string[];
}
/** Positions among choices or items, or what was typed. */
export type Given = number[] | string;

const ROUNDING = 1e-9;
const THOUSANDS = /^[+-]?[1-9]\d{0,2}(,\d{3})+(\.\d+)?$/;
const PLAIN = /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/;

export function judge(question: Question, given: Given): boolean {
  if (typeof given === "string") {
    if (question.kind === "text")
      return (question.accept ?? []).some((each) => sameText(each) === sameText(given));
    const value = numberOf(given, question.unit);
    const answer = question.answer ?? NaN;
    return (
      value !== null && Math.abs(value - answer) <= (question.tolerance ?? 0) + ROUNDING * Math.abs(answer)
    );
  }
  if (question.kind === "order") return given.every((item, place) => item === place);
  const sorted = (values: number[]) => [...new Set(values)].sort((a, b) => a - b).join();
  return sorted(given) === sorted(question.right ?? []);
}

/** The number somebody typed; null where it is none. */
export function numberOf(text: string, unit = ""): number | null {
  const bare = text
    .normalize("NFKC")
    .toLowerCase()
    .replace(/[\s_]/g, "")
    .replaceAll("−", "-")
    .replaceAll("⁄", "/");
  const own = unit.toLowerCase().replace(/\s/g, "");
  const percent = bare.endsWith("%");
  const rest = percent ? bare.slice(0, -1) : own && bare.endsWith(own) ? bare.slice(0, -own.length) : bare;
  const parts = rest.split("/").map(oneNumber);
  if (parts.length > 2 || parts.some((part) => part === null)) return null;
  const [first, second] = parts as number[];
  if (second === 0) return null;
  const value = second === undefined ? first : first / second;
  return percent && own !== "%" ? value / 100 : value;
}

function oneNumber(text: string): number | null {
  const plain = (THOUSANDS.test(text) ? text.replaceAll(",", "") : text).replaceAll(",", ".");
  return PLAIN.test(plain) ? Number(plain) : null;
}

/** What two wordings of the same answer have in common. */
export function sameText(text: string): string {
  return text
    .normalize("NFKC")
    .toLowerCase()
    .replace(/[`'"‘’“”]/g, "")
    .replaceAll("()", "")
    .replace(/[\s_\-‐-―]+/g, " ")
    .replace(/^[ .!?,;:]+|[ .!?,;:]+$/g, "")
    .replace(/^(a|an|the) /, "");
}

/** What is asked now: what is due, the most nearly forgotten first, then new ones in their order. */
export function plan(
  questions: Question[],
  memories: Record<string, Memory>,
  now: number,
  fresh: number,
): Question[] {
  const due = questions.filter(({ id }) => memories[id] && memories[id].due <= now);
  due.sort((a, b) => recall(memories[a.id], now) - recall(memories[b.id], now));
  return [...due.slice(0, 50), ...questions.filter(({ id }) => !memories[id]).slice(0, fresh)];
}

/** Positions in a new order; items to be ordered never come in the right one. */
export function shuffled(n: number, neverSorted: boolean, random: () => number): number[] {
  const order = Array.from({ length: n }, (_, i) => i);
  for (let i = n - 1; i > 0; i--) {
    const k = Math.floor(random() * (i + 1));
    [order[i], order[k]] = [order[k], order[i]];
  }
  if (neverSorted && order.every((item, place) => item === place)) order.push(order.shift()!);
  return order;
}

/** A time to wait in words. */
export function spokenWait(milliseconds: number): string {
  const minutes = milliseconds / 60_000;
  const sizes: [number, string][] = [
    [60 * 24 * 30.4, "month"],
    [60 * 24, "day"],
    [60, "hour"],
    [1, "minute"],
  ];
  for (const [size, name] of sizes) {
    const n = Math.round(minutes / size);
    if (minutes >= 0.95 * size && n) return `in ${n} ${name}${n === 1 ? "" : "s"}`;
  }
  return minutes <= 0 ? "now" : "in a minute";
}
