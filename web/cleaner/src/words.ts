/** How things are said, and how labels are found by typing. */
import type { Action, Finding, Item, Label, Labels } from "./protocol.ts";

export const VERBS: Record<Action, string> = {
  keep: "kept",
  relabel: "relabelled",
  delete: "deleted",
  unsure: "unsure",
  clear: "cleared",
};

export function said(labels: Labels): string {
  if (labels === null) return "–";
  return Array.isArray(labels) ? labels.join(", ") || "no label" : String(labels);
}

export function same(a: Labels, b: Labels): boolean {
  return (
    JSON.stringify(Array.isArray(a) ? [...a].sort() : a) ===
    JSON.stringify(Array.isArray(b) ? [...b].sort() : b)
  );
}

export function count(n: number, noun: string): string {
  return `${n.toLocaleString("en")} ${noun}${n === 1 ? "" : "s"}`;
}

/** What a screen reader says of an item. */
export function told(item: Item): string {
  const parts = [item.name, `labelled ${said(item.given)}`];
  if (item.predicted !== null && !same(item.predicted, item.given))
    parts.push(`likelier ${said(item.predicted)}`);
  if (item.findings[0]) parts.push(item.findings[0].reason);
  if (item.mark) parts.push(markWords(item.mark));
  return parts.join(", ");
}

export function markWords(mark: { action: Action; label: Labels }): string {
  return mark.action === "relabel" ? `→ ${said(mark.label)}` : VERBS[mark.action];
}

/** Positions of all copies that the findings name, each once. */
export function copies(findings: Finding[]): number[] {
  return [...new Set(findings.flatMap((finding) => finding.others))];
}

/** The labels that fit what was typed: those that begin with it first, then those that contain it. */
export function fitting(vocab: Label[], typed: string): Label[] {
  const wanted = typed.trim().toLocaleLowerCase();
  if (!wanted) return vocab;
  const place = (label: Label) => {
    const name = String(label).toLocaleLowerCase();
    if (name === wanted) return 0;
    if (name.startsWith(wanted)) return 1;
    if (name.split(/[\s_\-.]+/).some((word) => word.startsWith(wanted))) return 2;
    return name.includes(wanted) ? 3 : 4;
  };
  return vocab
    .map((label, k) => ({ label, rank: place(label), k }))
    .filter((one) => one.rank < 4)
    .sort((a, b) => a.rank - b.rank || a.k - b.k)
    .map((one) => one.label);
}
