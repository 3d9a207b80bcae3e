// An open bundle that writes: the core's writer (android_demo/web) over the functions of its model.

import * as core from "@kzoo/core";
import { Functions } from "./functions.js";
import { asked, parts, Tokenizer } from "./reader.js";
import { breath } from "./view.js";

const STEADY = 12; // Milliseconds of work between two looks at what the user does.

export class Writer {
  sense = "text";
  members = [this];
  kind = "continuation";
  reads = "prompt";
  #writer;
  #turn = Promise.resolve();
  #closed = false;

  /** @param bundle what `Bundle.open` gives */
  static async load(bundle) {
    const writer = new Writer();
    writer.manifest = bundle.manifest;
    const tokenizer = new Tokenizer(bundle.tokenizer);
    writer.functions = await Functions.load(bundle.model);
    try {
      writer.#writer = asked(() => core.writer(tokenizer.inner, writer.functions.all, JSON.stringify(bundle.manifest), bundle.special));
    } catch (error) {
      writer.close();
      throw error;
    }
    return writer;
  }

  /**
   * Writes behind a text until the model ends it or has no more room; where `usual` is set as much as
   * `kzoo predict` does.
   *
   * @param each called with the pieces and the writing (see WebWriting) as it goes on; false ends it
   * @returns the writing, or null where the bundle was closed
   */
  write(text, each = () => true, usual = false) {
    return this.#inTurn(async () => {
      const writing = asked(() => this.#writer.begin(...parts(text), !usual));
      await this.#steps(writing, (piece) => each(piece, writing));
      return this.#closed ? null : writing;
    });
  }

  /** As `kzoo predict` answers: `json` gives the text of that. */
  async answer(text) {
    const writing = await this.write(text, undefined, true);
    return { ...JSON.parse(writing.json()), json: () => writing.json() };
  }

  /** Goes through a golden example again, as `Answerer.check` does. */
  check(example) {
    return this.#inTurn(async () => {
      const again = asked(() => this.#writer.again(this.manifest.golden.indexOf(example)));
      await this.#steps(again);
      return this.#closed ? null : { passed: again.reason === null, why: again.reason === null ? "" : `It is ${again.reason}.`, off: again.difference };
    });
  }

  /** Reads so many tokens. */
  measure(count) {
    return this.#inTurn(async () => asked(() => this.#writer.runOn(count)));
  }

  /** One at a time: all are read into one cache. */
  #inTurn(work) {
    const turn = this.#turn.then(() => (this.#closed ? null : work()));
    this.#turn = turn.catch(() => {});
    return turn;
  }

  async #steps(work, each = () => true) {
    let since = performance.now();
    while (!work.ended && !this.#closed) {
      if (each(asked(() => work.next())) === false) return;
      if (performance.now() - since < STEADY) continue;
      await breath();
      since = performance.now();
    }
  }

  /** Frees the model's memory. */
  close() {
    this.#closed = true;
    this.functions.delete();
  }
}
