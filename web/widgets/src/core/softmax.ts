// Twin of wiggly/teach/softmax.py: scores, the probabilities they make, the loss, and its gradient.

export interface Scored {
  powers: number[]; // e to each score
  probabilities: number[];
  target: number[]; // what is aimed at
  loss: number;
  gradient: number[]; // of the loss, by each score
}

/** e^(z/T), divided by the sum of all of them; the largest is taken off first, so that no power grows without end. */
export function softmax(logits: number[], temperature = 1): number[] {
  const scaled = logits.map((z) => z / temperature);
  const most = Math.max(...scaled);
  const powers = scaled.map((z) => Math.exp(z - most));
  const sum = powers.reduce((a, b) => a + b, 0);
  return powers.map((power) => power / sum);
}

/** The loss of one item: −Σ target · ln(probability). */
export function crossEntropy(logits: number[], truth: number, temperature = 1, smoothing = 0): Scored {
  const probabilities = softmax(logits, temperature);
  const n = logits.length;
  const target = logits.map((_, i) => smoothing / n + (i === truth ? 1 - smoothing : 0));
  const scaled = logits.map((z) => z / temperature);
  const most = Math.max(...scaled);
  const sum = scaled.reduce((all, z) => all + Math.exp(z - most), 0);
  const logs = scaled.map((z) => z - most - Math.log(sum));
  return {
    powers: scaled.map(Math.exp),
    probabilities,
    target,
    loss: -target.reduce((all, share, i) => all + (share ? share * logs[i] : 0), 0),
    gradient: probabilities.map((p, i) => (p - target[i]) / temperature),
  };
}
