/** Which rows of a long grid are shown: only those in view, and a few around. */

export interface Grid {
  columns: number;
  rows: number;
  /** Pixels from one row to the next. */
  step: number;
  width: number;
}

export const GAP = 10;

/** As many columns as fit, at least two on a phone. */
export function arrange(n: number, width: number, tile: number, height: number): Grid {
  const columns = Math.max(width < 480 ? 2 : 1, Math.floor((width + GAP) / (tile + GAP)));
  return {
    columns,
    rows: Math.ceil(n / columns),
    step: height + GAP,
    width: (width - GAP * (columns - 1)) / columns,
  };
}

/** First item in view and the one behind the last, with spare rows above and below. */
export function inView(grid: Grid, n: number, top: number, height: number, spare = 2): [number, number] {
  const first = Math.max(0, Math.floor(top / grid.step) - spare);
  const last = Math.min(grid.rows, Math.ceil((top + height) / grid.step) + spare);
  return [Math.min(n, first * grid.columns), Math.min(n, last * grid.columns)];
}

/** Where to scroll so that an item is in view; unchanged if it is. */
export function scrolled(grid: Grid, k: number, top: number, height: number): number {
  const start = Math.floor(k / grid.columns) * grid.step;
  if (start < top) return start;
  const end = start + grid.step;
  return end > top + height ? end - height : top;
}
