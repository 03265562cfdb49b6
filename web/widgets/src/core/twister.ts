// Python's random.Random(seed), number for number: the Mersenne Twister MT19937 (Matsumoto & Nishimura, 1998).

const N = 624;

export class Twister {
  private readonly state = new Uint32Array(N);
  private index = N;

  constructor(seed: number) {
    const { state } = this;
    state[0] = 19650218;
    for (let i = 1; i < N; i++) state[i] = Math.imul(1812433253, state[i - 1] ^ (state[i - 1] >>> 30)) + i;
    let i = 1;
    const next = () => {
      i += 1;
      if (i >= N) [state[0], i] = [state[N - 1], 1];
    };
    for (let k = 0; k < N; k++) {
      state[i] = (state[i] ^ Math.imul(state[i - 1] ^ (state[i - 1] >>> 30), 1664525)) + seed;
      next();
    }
    for (let k = 0; k < N - 1; k++) {
      state[i] = (state[i] ^ Math.imul(state[i - 1] ^ (state[i - 1] >>> 30), 1566083941)) - i;
      next();
    }
    state[0] = 0x80000000;
  }

  private word(): number {
    const { state } = this;
    if (this.index >= N) {
      for (let k = 0; k < N; k++) {
        const y = (state[k] & 0x80000000) | (state[(k + 1) % N] & 0x7fffffff);
        state[k] = state[(k + 397) % N] ^ (y >>> 1) ^ (y & 1 ? 0x9908b0df : 0);
      }
      this.index = 0;
    }
    let y = state[this.index++];
    y ^= y >>> 11;
    y ^= (y << 7) & 0x9d2c5680;
    y ^= (y << 15) & 0xefc60000;
    return (y ^ (y >>> 18)) >>> 0;
  }

  /** From 0 up to, but not, 1. */
  random(): number {
    const high = this.word() >>> 5;
    return (high * 67108864 + (this.word() >>> 6)) / 9007199254740992;
  }

  uniform(low: number, high: number): number {
    return low + (high - low) * this.random();
  }

  /** A whole number from `low` to `high`, both possible. */
  whole(low: number, high: number): number {
    const width = high - low + 1;
    const unused = Math.clz32(width);
    let drawn = this.word() >>> unused;
    while (drawn >= width) drawn = this.word() >>> unused;
    return low + drawn;
  }
}
