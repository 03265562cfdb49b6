// Where a quiz keeps its answers: in the browser, or with the Python that shows it. Plain values, no drawing.
import { after, type Memory, type Rating } from "../core/fsrs.ts";
import type { Given } from "../core/quiz.ts";

/** One answer, as `wiggly quiz export` writes it. */
export interface Kept {
  question: string;
  right: boolean;
  rating: Rating;
  given: Given;
  at: string;
  seconds: number | null;
  token: string;
}
interface Saved {
  format: string;
  version: number;
  answers: Kept[];
}
/** Memories as Python writes them: times are texts. */
export type PlainMemory = Omit<Memory, "due" | "last"> & { due: string; last: string };

const KEY = "wiggly-quiz";
const FORMAT = "wiggly-quiz-progress";

/** Keeps answers; all tabs of a browser share them. */
export class Keeper {
  memories: Record<string, Memory> = {};
  answers: Kept[] = [];
  readonly session: Kept[] = []; // answers given here and now
  lasting: boolean;

  constructor(readonly inBrowser: boolean) {
    this.lasting = inBrowser;
    this.load();
  }

  /** Takes what Python remembers in place of what the browser has. */
  take(memories: Record<string, PlainMemory>): void {
    this.memories = {};
    for (const [id, each] of Object.entries(memories))
      this.memories[id] = { ...each, due: Date.parse(each.due), last: Date.parse(each.last) };
    for (const each of this.session) {
      const memory = this.memories[each.question];
      if (!memory || memory.last < Date.parse(each.at)) this.remember(each); // or Python has counted it
    }
  }

  /** Reads what the browser has; another tab may have answered meanwhile. */
  load(): void {
    if (!this.inBrowser) return;
    try {
      const saved = JSON.parse(localStorage.getItem(KEY) ?? "null") as Saved | null;
      this.answers = saved?.format === FORMAT ? saved.answers : [];
    } catch {
      this.lasting = false; // a frame or a file without storage: this visit only
      this.answers = [...this.session];
    }
    this.memories = {};
    for (const each of [...this.answers].sort((a, b) => Date.parse(a.at) - Date.parse(b.at)))
      this.remember(each);
  }

  add(answer: Kept): void {
    this.load();
    this.session.push(answer);
    this.answers.push(answer);
    this.remember(answer);
    this.save();
  }

  /** Gives the last answer another rating. */
  amend(rating: Rating): void {
    const last = this.session.at(-1);
    if (!last) return;
    const before = this.before;
    this.load();
    const kept = this.answers.find(({ token }) => token === last.token);
    last.rating = rating;
    if (kept) kept.rating = rating;
    this.memories[last.question] = after(before, rating, Date.parse(last.at));
    this.save();
  }

  forget(ids: Set<string>): void {
    this.load();
    this.answers = this.answers.filter(({ question }) => !ids.has(question));
    this.session.length = 0;
    this.save();
    this.load();
    for (const id of ids) delete this.memories[id];
  }

  /** All answers as a file that `wiggly quiz import` reads. */
  exported(): string {
    return JSON.stringify({ format: FORMAT, version: 1, answers: this.answers } satisfies Saved, null, 1);
  }

  private before: Memory | null = null; // what was remembered before the last answer

  private remember({ question, rating, at }: Kept): void {
    this.before = this.memories[question] ?? null;
    this.memories[question] = after(this.before, rating, Date.parse(at));
  }

  private save(): void {
    if (!this.inBrowser) return;
    try {
      localStorage.setItem(KEY, this.exported());
    } catch {
      this.lasting = false;
    }
  }
}
