// When a question is asked again: FSRS-6 in the page, with the numbers of the Python package `fsrs` (tests compare).
// The formulas and the 21 parameters are those of github.com/open-spaced-repetition, "The Algorithm".

/** What is remembered of a question; times in milliseconds. */
export interface Memory {
  state: 1 | 2 | 3; // learning, known, forgotten and learning again
  step: number | null;
  stability: number; // days until it is recalled nine times of ten
  difficulty: number; // 1 to 10
  due: number;
  last: number;
}
export type Rating = 1 | 3 | 4; // wrong, good, easy

const W = [
  0.212, 1.2931, 2.3065, 8.2956, 6.4133, 0.8334, 3.0194, 0.001, 1.8722, 0.1666, 0.796, 1.4835, 0.0614, 0.2629,
  1.6483, 0.6014, 1.8729, 0.5425, 0.0912, 0.0658, 0.1542,
];
const DECAY = -W[20];
const FACTOR = 0.9 ** (1 / DECAY) - 1;
const WANTED = 0.9; // share that should be recalled when it is due
const LONGEST = 36500; // days
const MINUTE = 60_000;
const DAY = 24 * 60 * MINUTE;
const STEPS = { 1: [1 * MINUTE, 10 * MINUTE], 3: [10 * MINUTE] };

const between = (low: number, value: number, high: number) => Math.min(Math.max(value, low), high);
const firstDifficulty = (rating: number) => W[4] - Math.exp(W[5] * (rating - 1)) + 1;

/** The chance that it would be known at a moment. */
export function recall(memory: Memory, now: number): number {
  const days = Math.max(0, Math.floor((now - memory.last) / DAY));
  return (1 + (FACTOR * days) / memory.stability) ** DECAY;
}

/** What is remembered after an answer. */
export function after(memory: Memory | null, rating: Rating, at: number): Memory {
  const stability = Math.max(memory ? nextStability(memory, rating, at) : W[rating - 1], 0.001);
  const difficulty = memory
    ? nextDifficulty(memory.difficulty, rating)
    : between(1, firstDifficulty(rating), 10);
  const told = { stability, difficulty, last: at };
  const known = memory?.state === 2;
  if (known && rating === 1) return { ...told, state: 3, step: 0, due: at + STEPS[3][0] };
  const learning = memory?.state === 3 ? 3 : 1;
  const steps = STEPS[learning];
  const step = memory?.step ?? 0;
  if (!known && rating === 1) return { ...told, state: learning, step: 0, due: at + steps[0] };
  if (!known && rating === 3 && step + 1 < steps.length)
    return { ...told, state: learning, step: step + 1, due: at + steps[step + 1] };
  return { ...told, state: 2, step: null, due: at + interval(stability) * DAY };
}

function interval(stability: number): number {
  return between(1, evenRound((stability / FACTOR) * (WANTED ** (1 / DECAY) - 1)), LONGEST);
}

/** As Python rounds: a half goes to the even number. */
function evenRound(value: number): number {
  const low = Math.floor(value);
  if (value - low !== 0.5) return Math.round(value);
  return low % 2 ? low + 1 : low;
}

function nextDifficulty(before: number, rating: Rating): number {
  const change = -W[6] * (rating - 3);
  const damped = before + ((10 - before) * change) / 9;
  return between(1, W[7] * firstDifficulty(4) + (1 - W[7]) * damped, 10);
}

function nextStability(memory: Memory, rating: Rating, at: number): number {
  const { stability: s, difficulty: d } = memory;
  if (Math.floor((at - memory.last) / DAY) < 1) {
    const growth = Math.exp(W[17] * (rating - 3 + W[18])) * s ** -W[19];
    return s * (rating === 1 ? growth : Math.max(growth, 1));
  }
  const r = recall(memory, at);
  if (rating === 1) {
    const lost = W[11] * d ** -W[12] * ((s + 1) ** W[13] - 1) * Math.exp((1 - r) * W[14]);
    return Math.min(lost, s / Math.exp(W[17] * W[18]));
  }
  const bonus = rating === 4 ? W[16] : 1;
  return s * (1 + Math.exp(W[8]) * (11 - d) * s ** -W[9] * (Math.exp((1 - r) * W[10]) - 1) * bonus);
}
