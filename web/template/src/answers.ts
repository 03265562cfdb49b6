/** What the model says, as elements. Text goes in as text, never as HTML: labels come from a file. */
import type { Answer, Reply } from "@wiggly/client";

const percent = (share: number): string => `${(100 * share).toFixed(1)} %`;

/** One element for each output of the model. */
export function answersAsHtml(reply: Reply): HTMLElement[] {
  return reply.answers.map((answer) => {
    const title = element("h2", titleOf(answer));
    const list = document.createElement("ul");
    list.append(...linesOf(answer).map((line) => element("li", line)));
    const section = document.createElement("section");
    section.append(title, list);
    return section;
  });
}

function titleOf(answer: Answer): string {
  switch (answer.kind) {
    case "category":
      return answer.unsure ? `Not sure: maybe ${answer.label}` : String(answer.label);
    case "labels":
      return answer.labels.join(", ") || "None of its classes";
    default:
      return { numbers: "Numbers", points: "Points", boxes: "Found", mask: "Shares of the photo" }[
        answer.kind
      ];
  }
}

function linesOf(answer: Answer): string[] {
  switch (answer.kind) {
    case "category":
    case "labels":
      return answer.probabilities.slice(0, 5).map((one) => `${one.label}: ${percent(one.probability)}`);
    case "numbers":
      return answer.values.map(({ name, value }) => `${name}: ${value}`);
    case "points":
      return answer.points.map(([x, y]) => `${x.toFixed(0)}, ${y.toFixed(0)}`);
    case "boxes":
      return answer.boxes.map(
        ({ label, score, box }) => `${label} (${percent(score)}) at ${box.map(Math.round).join(", ")}`,
      );
    case "mask":
      return answer.classes.map(({ label, share }) => `${label}: ${percent(share)}`);
  }
}

function element(name: string, text: string): HTMLElement {
  const made = document.createElement(name);
  made.textContent = text;
  return made;
}
