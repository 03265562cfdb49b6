// Times something at growing sizes without freezing the page for long.
import type { Timing } from "../core/gpus.ts";

const BLOCK = 0.02; // seconds timed at once: browsers round their clock to as much as 0.1 ms
const BLOCKS = 5;
const LONGEST = 0.12; // seconds; the next size would take eight times as long
const LARGEST = 4096;

/** For each size 2 ** first, and so on: the quickest and the median of several blocks, per product. */
export async function* timed(
  make: (n: number) => (repeats: number) => Promise<void> | void,
  first: number,
): AsyncGenerator<Timing> {
  for (let n = 2 ** first; n <= LARGEST; n *= 2) {
    const run = make(n);
    const time = async (repeats: number) => {
      const start = performance.now();
      await run(repeats);
      return (performance.now() - start) / 1000;
    };
    await time(1); // compiles
    let repeats = 1;
    while ((await time(repeats)) < BLOCK / 2) repeats *= 2;
    const taken: number[] = [];
    for (let i = 0; i < BLOCKS; i++) {
      taken.push((await time(repeats)) / repeats);
      await new Promise((resume) => setTimeout(resume));
    }
    taken.sort((a, b) => a - b);
    yield { n, seconds: taken[0], usual: taken[BLOCKS >> 1], repeats: BLOCKS * repeats };
    if (taken[0] > LONGEST) return;
  }
}
