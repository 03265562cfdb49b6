/** What the page says: numbers, scores, errors. */
import { WigglyError, type Answer, type Label, type ModelInfo, type Output } from "@wiggly/client";

/** A share as people read it. */
export function percent(share: number, digits = 0): string {
  const text = (100 * share).toFixed(digits);
  if (digits === 0 && share < 1 && text === "100") return "> 99\u00a0%";
  if (digits === 0 && share > 0 && text === "0") return "< 1\u00a0%";
  return `${text}\u00a0%`;
}

/** A number rounded to so many digits, written out. */
export function plain(value: number, digits = 4): string {
  if (value !== 0 && (Math.abs(value) < 1e-4 || Math.abs(value) >= 1e15)) return value.toPrecision(digits);
  return new Intl.NumberFormat("en", { maximumSignificantDigits: digits }).format(value);
}

/** Millions of bytes. */
export const megabytes = (bytes: number): string => `${(bytes / 1e6).toFixed(1)}\u00a0MB`;

/** How good the model is, in one honest sentence. */
export function scoreLine(info: ModelInfo): string {
  const { score, metrics } = info;
  const items = { image: "photos", table: "rows", pairs: "ratings" }[info.inputs[0]!.kind];
  if (!score) {
    const told = Object.entries(metrics ?? {}).filter(([name]) => !name.endsWith("loss"));
    if (!told.length) return "Nobody has measured how often it is right.";
    const listed = told.slice(0, 3).map(([name, value]) => `${name} ${plain(value, 3)}`);
    return `On ${items} it had not trained on: ${listed.join(", ")}.`;
  }
  const [low, high] = score.interval;
  const n = score.n.toLocaleString("en");
  if (score.name !== "accuracy") {
    return (
      `Off by ${plain(score.value)} (root mean square) on ${n} ${items} it had not trained on ` +
      `(95\u00a0% interval ${plain(low)} to ${plain(high)}); always answering the mean would be off by ` +
      `${plain(score.baseline)}.`
    );
  }
  return (
    `Right on ${percent(score.value, 1)} of ${n} ${items} it had not trained on (95\u00a0% interval ` +
    `${(100 * low).toFixed(1)} to ${percent(high, 1)}); always answering “${score.baseline_label}” would get ` +
    `${percent(score.baseline, 1)}.`
  );
}

/** Classes a model knows. */
export function classesOf(outputs: readonly Output[]): Label[] {
  return outputs.flatMap((output) => ("vocabulary" in output ? output.vocabulary : []));
}

/** An error for a visitor. */
export function told(error: unknown): { title: string; text: string; fix: string } {
  const name = error instanceof Error ? error.name : "";
  const titles: Record<string, string> = {
    NetworkError: navigator.onLine === false ? "You are offline" : "The server cannot be reached",
    TimeoutError: "No answer in time",
    ServerError: "The server refused",
    InputError: "That cannot be used",
    BundleError: "The model cannot be opened",
    DeviceError: "This browser cannot run it",
  };
  const title = titles[name] ?? "Something went wrong";
  if (!(error instanceof WigglyError)) return { title, text: String(error), fix: "Reload the page." };
  return { title, text: `${capital(error.rule)}; ${error.received}.`, fix: error.fix };
}

const capital = (text: string): string => text.charAt(0).toUpperCase() + text.slice(1);

/** What a screen reader says when an answer is there. */
export function spoken(answers: readonly Answer[]): string {
  return answers.map(sentence).join(" ");
}

function sentence(answer: Answer): string {
  switch (answer.kind) {
    case "category": {
      const what = answer.name ? `${answer.name}: ` : "";
      const sure = percent(answer.confidence);
      return answer.unsure
        ? `${what}Not sure: maybe ${answer.label}, ${sure}.`
        : `${what}${answer.label}, ${sure}.`;
    }
    case "labels":
      return answer.labels.length ? `${answer.labels.join(", ")}.` : "None of its classes.";
    case "numbers":
      return answer.values.map(({ name, value }) => `${name}: ${plain(value, 5)}.`).join(" ");
    case "points":
      return `${answer.points.length} points found.`;
    case "boxes":
      return answer.boxes.length
        ? `Found: ${answer.boxes.map(({ label }) => label).join(", ")}.`
        : "Nothing found.";
    case "mask":
      return answer.classes.map(({ label, share }) => `${label} ${percent(share)}`).join(", ");
  }
}

/** A colour of its own for each class, told apart also by those who see fewer. */
export function colourOf(index: number): string {
  const first = ["#0072b2", "#e69f00", "#009e73", "#cc79a7", "#d55e00", "#56b4e9", "#f0e442"]; // Okabe & Ito 2008
  return first[index] ?? `hsl(${(index * 137.508) % 360} 65% ${index % 2 ? 45 : 60}%)`;
}
