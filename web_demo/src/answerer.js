// An open bundle whose model reads rows of tokens: texts in, answers out.

import { compared } from "./golden.js";
import { Model } from "./model.js";
import { Reader, Tokenizer } from "./reader.js";

const STOPPED = Symbol("stopped");

export class Answerer {
  /** @param bundle what `Bundle.open` gives */
  static async load(bundle) {
    const answerer = new Answerer();
    answerer.manifest = bundle.manifest;
    answerer.reader = new Reader(new Tokenizer(bundle.tokenizer), bundle.manifest);
    answerer.model = await Model.load(bundle.model, bundle.manifest);
    return answerer;
  }

  sense = "text";
  members = [this];

  get kind() {
    return this.reader.kind;
  }

  get reads() {
    return this.reader.reads;
  }

  /**
   * @param text a string, or a pair of strings
   * @param goesOn asked before every window over a text but the first, with how many were read and
   *     how many there are: whether anybody still waits for the answer
   * @returns what `Reader.answer` gives, and `milliseconds` of the model alone; null where nobody waits
   */
  async answer(text, goesOn = () => true) {
    let milliseconds = 0;
    const run = async (input, row, rows) => {
      if (row && !(await goesOn(row, rows))) throw STOPPED;
      const start = performance.now();
      const outputs = await this.model.run(input);
      milliseconds += performance.now() - start;
      return outputs;
    };
    try {
      return { ...(await this.reader.answer(text, run)), milliseconds };
    } catch (error) {
      if (error === STOPPED) return null;
      throw error;
    }
  }

  /**
   * Runs a golden example again.
   *
   * @returns {passed, why, off}: `why` is a sentence where it failed, `off` the largest distance of
   *     an output as a share of the largest number in it
   */
  async check(example) {
    const { ids, outputs } = await this.reader.row(example, (input) => this.model.run(input));
    if (JSON.stringify(ids) !== JSON.stringify(example.token_ids)) {
      return { passed: false, why: "It is tokenized otherwise than at the export.", off: null };
    }
    return compared(outputs, example.outputs, this.manifest, this.reader);
  }

  /** Runs the model on so many tokens. */
  async measure(count) {
    const [ones, zeros] = [new Int32Array(count).fill(1), new Int32Array(count)];
    await this.model.run((name) => (name === "segment_ids" ? zeros : ones));
  }

  /** Frees the model's memory. */
  close() {
    this.model.delete();
  }
}
