/** What a key means. */

export type Command =
  | { name: "mark"; action: "keep" | "delete" | "unsure" | "clear" }
  | {
      name:
        | "relabel"
        | "accept"
        | "undo"
        | "redo"
        | "next"
        | "zoom"
        | "select"
        | "all"
        | "close"
        | "help"
        | "other";
    }
  | {
      name: "move";
      by: "left" | "right" | "up" | "down" | "home" | "end" | "pageup" | "pagedown";
      extend: boolean;
    };

export interface Key {
  key: string;
  ctrlKey: boolean;
  metaKey: boolean;
  altKey: boolean;
  shiftKey: boolean;
}

const MOVES: Record<string, (Command & { name: "move" })["by"]> = {
  arrowleft: "left",
  arrowright: "right",
  arrowup: "up",
  arrowdown: "down",
  home: "home",
  end: "end",
  pageup: "pageup",
  pagedown: "pagedown",
};

const PLAIN: Record<string, Command> = {
  k: { name: "mark", action: "keep" },
  d: { name: "mark", action: "delete" },
  delete: { name: "mark", action: "delete" },
  u: { name: "mark", action: "unsure" },
  c: { name: "mark", action: "clear" },
  backspace: { name: "mark", action: "clear" },
  r: { name: "relabel" },
  a: { name: "accept" },
  z: { name: "undo" },
  y: { name: "redo" },
  n: { name: "next" },
  enter: { name: "zoom" },
  " ": { name: "select" },
  o: { name: "other" },
  escape: { name: "close" },
  "?": { name: "help" },
};

/** What to do on a key; null leaves it to the browser. */
export function command(pressed: Key): Command | null {
  const key = pressed.key.toLowerCase();
  if (pressed.altKey) return null;
  if (pressed.ctrlKey || pressed.metaKey) {
    if (key === "z") return { name: pressed.shiftKey ? "redo" : "undo" };
    if (key === "y") return { name: "redo" };
    return key === "a" ? { name: "all" } : null;
  }
  const by = MOVES[key];
  if (by) return { name: "move", by, extend: pressed.shiftKey };
  if (pressed.shiftKey && key === "z") return { name: "redo" };
  return PLAIN[key] ?? null;
}

/** Where the focus goes. */
export function moved(
  k: number,
  by: (Command & { name: "move" })["by"],
  columns: number,
  n: number,
  page: number,
): number {
  const steps = {
    left: -1,
    right: 1,
    up: -columns,
    down: columns,
    pageup: -columns * page,
    pagedown: columns * page,
  };
  if (by === "home") return 0;
  if (by === "end") return Math.max(0, n - 1);
  const to = k + steps[by];
  if ((by === "up" && to < 0) || (by === "down" && to >= n)) return k;
  return Math.min(Math.max(0, to), Math.max(0, n - 1));
}

export const HELP: [string, string][] = [
  ["← → ↑ ↓", "move"],
  ["K", "keep: the label is right"],
  ["R", "relabel: type, then Enter"],
  ["A", "accept the likelier label"],
  ["D", "delete"],
  ["U", "unsure"],
  ["C", "clear the decision"],
  ["Z, Shift+Z", "undo, redo"],
  ["N", "next without a decision"],
  ["Enter", "zoom, copies side by side"],
  ["O", "the other copy, when zoomed"],
  ["Space", "select; Shift+arrows select several"],
  ["Ctrl+A", "select all"],
  ["Esc", "close, or select nothing"],
];
