// From raw outputs to what a user asked for, by the rules of kzoo/answers.py.

/** Softmax, or a sigmoid where there is one logit. */
export function probabilities(logits) {
  const values = Array.from(logits);
  if (values.length === 1) return [1 / (1 + Math.exp(-values[0]))];
  const largest = Math.max(...values);
  const raised = values.map((value) => Math.exp(value - largest));
  const whole = raised.reduce((sum, value) => sum + value, 0);
  return raised.map((value) => value / whole);
}

/** The index of the label that a row of probabilities stands for. */
export function likeliest(row) {
  return row.length === 1 ? Number(row[0] >= 0.5) : row.indexOf(Math.max(...row));
}

/** What a task answers: the same fields as `kzoo predict --json` has for it. */
export const ANSWERS = {
  TextClassifier({ logits }, labels) {
    const row = probabilities(logits);
    const best = labels.length === 1 ? 0 : likeliest(row);
    const scores = Object.fromEntries(labels.map((label, i) => [label, row[i]]));
    return { label: labels[best], score: row[best], scores };
  },
  TextEmbedder({ embedding }) {
    return { embedding: Array.from(embedding) };
  },
};
