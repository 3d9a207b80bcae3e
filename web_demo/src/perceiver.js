// An open bundle of pictures or of sounds: one in, an answer out.

import * as core from "@kzoo/core";
import { ArrayModel } from "./arrays.js";
import { sha256 } from "./bundle.js";
import { compared } from "./golden.js";
import { decoded } from "./pictures.js";
import { asked, kindOf, signed } from "./reader.js";

/**
 * By what a bundle reads: the core's reader; `read`, what that makes of something given; and, as `variants`,
 * what it may have made of that at the export, by the libraries that there were.
 */
const SENSES = {
  image: {
    open: core.pictures,
    async read(reader, given, older = false) {
      const { name, width, height, colours } = given.colours ? given : await decoded(given.bytes, given.name);
      return asked(() => reader.read(name, width, height, signed(colours), older));
    },
    variants: [false, true],
  },
  sound: {
    open: core.sounds,
    async read(reader, { name, bytes, samples, rate }) {
      return asked(() => (samples ? reader.hear(name, samples, rate) : reader.read(name, signed(bytes))));
    },
    variants: [false],
  },
};

export class Perceiver {
  members = [this];
  #reader;
  #model;
  #inputs;

  /** @param bundle what `Bundle.open` gives */
  static async load({ manifest, sense, preprocessor, model, inputs }) {
    const perceiver = new Perceiver();
    Object.assign(perceiver, { manifest, sense, kind: kindOf(manifest) });
    perceiver.#reader = asked(() => SENSES[sense].open(JSON.stringify(manifest), preprocessor));
    perceiver.#model = await ArrayModel.load(model, manifest);
    perceiver.#inputs = inputs;
    return perceiver;
  }

  /** Of what the model reads: (1, height, width, channels), or (1, samples). */
  get shape() {
    return this.#model.shape;
  }

  /** How many samples of a sound are a second. */
  get rate() {
    return this.#reader.rate;
  }

  /** The golden examples as what `answer` takes, in their order. */
  get examples() {
    return Array.from(this.#inputs, ([name, bytes]) => ({ name, bytes }));
  }

  /**
   * @param given a file, {name, bytes}; or a picture, {name, width, height, colours}; or a sound, {name, samples, rate}
   * @returns what `kzoo predict --json` has, the scores of labels as [[label, score]]; `json`, a function that
   *     gives all that as text, as it stands there; and `milliseconds` of the model alone
   */
  async answer(given) {
    const array = await SENSES[this.sense].read(this.#reader, given);
    const start = performance.now();
    const outputs = this.#model.run(numbers(array));
    const milliseconds = performance.now() - start;
    for (const [name, values] of Object.entries(outputs)) asked(() => array.give(name, values));
    return { ...asked(() => array.answer()), json: () => asked(() => array.json()), milliseconds };
  }

  /** How near two vectors are, as the bundle's model has learnt it. */
  similarity(one, other) {
    return this.#reader.similarity(Float32Array.from(one), Float32Array.from(other));
  }

  /** A similarity as the length of a bar, 0 to 1. */
  share(similarity) {
    return this.#reader.share(similarity);
  }

  /** Whether other labels answer by some logits than by those of a golden example. */
  differs(logits, written) {
    return this.#reader.differs(Float32Array.from(logits), Float32Array.from(written));
  }

  /** Runs a golden example again, as `Answerer.check` does. */
  async check(example) {
    const name = example[this.sense];
    for (const variant of SENSES[this.sense].variants) {
      const array = numbers(await SENSES[this.sense].read(this.#reader, { name, bytes: this.#inputs.get(name) }, variant));
      if ((await sha256(array)) === example.sha256) return compared(this.#model.run(array), example.outputs, this.manifest, this);
    }
    return { passed: false, why: "The model reads other numbers of it than at the export.", off: null };
  }

  /** Runs the model once. */
  async measure() {
    this.#model.runBlank();
  }

  /** Frees the model's memory. */
  close() {
    this.#model.delete();
  }
}

/** What the model reads of a picture or a sound. */
const numbers = (array) => array.levels() ?? array.samples();
