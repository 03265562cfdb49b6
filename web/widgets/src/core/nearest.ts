// Which of the states that were computed beforehand is nearest to where the controls are.

export type Value = number | string | boolean;

export interface Control {
  name: string;
  kind: "slider" | "check" | "choice" | "text";
  value: Value;
  min?: number;
  max?: number;
  step?: number;
  whole?: boolean;
  options?: string[]; // of a choice; its value is a position among them
}

export interface State {
  values: Value[];
  output: number;
}

/** How far two settings are from each other: a whole slider is as far as another check, choice or text. */
export function apart(controls: Control[], a: Value[], b: Value[]): number {
  return controls.reduce((sum, control, i) => {
    if (control.kind !== "slider") return sum + (a[i] === b[i] ? 0 : 4);
    const range = (control.max ?? 1) - (control.min ?? 0) || 1;
    return sum + ((Number(a[i]) - Number(b[i])) / range) ** 2;
  }, 0);
}

/** The nearest state, and whether it is the very one. */
export function nearest(
  controls: Control[],
  states: State[],
  values: Value[],
): { state: State; exact: boolean } {
  let best = states[0];
  let least = Infinity;
  for (const state of states) {
    const distance = apart(controls, state.values, values);
    if (distance < least) [best, least] = [state, distance];
  }
  return { state: best, exact: least < 1e-12 };
}
