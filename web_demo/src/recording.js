// What a microphone gives, part by part. Nothing in it needs a browser.

/** Samples in the order in which they come. */
export class Recording {
  #parts = [];

  /** How many samples are kept. */
  count = 0;

  add(part) {
    this.#parts.push(part);
    this.count += part.length;
  }

  /** Forgets whole parts that the newest `most` samples don't need. */
  forget(most) {
    while (this.#parts.length && this.count - this.#parts[0].length >= most) this.count -= this.#parts.shift().length;
  }

  /** The newest `most` samples, or all where there are fewer, in memory of their own. */
  newest(most) {
    const samples = new Float32Array(this.count);
    let place = 0;
    for (const part of this.#parts) {
      samples.set(part, place);
      place += part.length;
    }
    return samples.slice(Math.max(0, this.count - most));
  }
}
