// An open bundle that writes, on from a text or of it: the core's writer (android_demo/web) over the functions of its model.

import * as core from "@kzoo/core";
import { Functions } from "./functions.js";
import { asked, parts, Tokenizer } from "./reader.js";
import { breath } from "./view.js";

// LiteRT.js makes room for outputs before it knows how many tokens come: so many are read at once, and the
// last part of a prompt is padded, or the source.
const PROMPT = 32;
const SOURCE = 128;
const STEADY = 12; // Milliseconds of work between two looks at what the user does.

/** What writes on from a text. */
export class Writer {
  sense = "text";
  members = [this];
  kind = "continuation";
  reads = "prompt";
  inner; // The core's.
  #turn = Promise.resolve();
  #closed = false;

  /** @param bundle what `Bundle.open` gives */
  static async load(bundle) {
    const writer = new this();
    writer.manifest = bundle.manifest;
    const tokenizer = new Tokenizer(bundle.tokenizer);
    writer.functions = await Functions.load(bundle.model, this.length(bundle.manifest));
    try {
      writer.inner = asked(() => this.made(tokenizer.inner, writer.functions.all, JSON.stringify(bundle.manifest), bundle.special));
    } catch (error) {
      writer.close();
      throw error;
    }
    return writer;
  }

  /** What makes the core's. */
  static made = core.writer;

  /** How many tokens a prompt is read at a time. */
  static length = () => PROMPT;

  /** Begins to write; `usual` as for `write`. */
  begin(text, usual) {
    return this.inner.begin(...parts(text), !usual);
  }

  /**
   * Writes behind a text until the model ends it or has no more room; where `usual` is set as much as
   * `kzoo predict` does.
   *
   * @param each called with the pieces and the writing (see WebWriting) as it goes on; false ends it
   * @param how else, see `Rewriter.begin`
   * @returns the writing, or null where the bundle was closed
   */
  write(text, each = () => true, usual = false, how = {}) {
    return this.#inTurn(async () => {
      const writing = asked(() => this.begin(text, usual, how));
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
      const again = asked(() => this.inner.again(this.manifest.golden.indexOf(example)));
      await this.#steps(again);
      return this.#closed ? null : { passed: again.reason === null, why: again.reason === null ? "" : `It is ${again.reason}.`, off: again.difference };
    });
  }

  /** Reads so many tokens. */
  measure(count) {
    return this.#inTurn(async () => asked(() => this.inner.runOn(count)));
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

/** What writes of a text: it has `languages`, `language`, `beams` and `longest`, see the core's WebRewriter. */
export class Rewriter extends Writer {
  kind = "rewriting";
  static made = core.rewriter;
  static length = ({ task_options: { source_length: longest }, length }) => length ?? Math.min(longest, SOURCE);

  /** @param how in which `language`, by its code, and by how many `beams`; the bundle's own where none is said */
  begin(text, usual, { language = null, beams = 0 } = {}) {
    return this.inner.begin(...parts(text), language, beams);
  }
}
