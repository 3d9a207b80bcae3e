// An open bundle: texts in, answers out.

import { ANSWERS, likeliest, probabilities } from "./answers.js";
import { Bundle } from "./bundle.js";
import { KzooError } from "./errors.js";
import { Model } from "./model.js";
import { WordPiece } from "./tokenizer.js";

const TABLES = new URL("unicode.json", import.meta.url);
let tables = null;

/** The tokenizer of a tokenizer.json's contents. */
export async function tokenizerOf(description) {
  tables ??= await (await fetch(TABLES)).json();
  return new WordPiece(description, tables);
}

export class Client {
  /** Opens and checks a bundle; `passed` as for `Bundle.open`. */
  static async open(files, passed) {
    const client = new Client();
    const bundle = await Bundle.open(files, passed);
    client.bundle = bundle;
    client.manifest = bundle.manifest;
    const { task } = bundle.manifest;
    if (!ANSWERS[task]) {
      throw new KzooError(`${bundle.name} holds a ${task ?? "backbone"}; this page answers for ${Object.keys(ANSWERS).join(" and ")}.`);
    }
    client.tokenizer = await tokenizerOf(bundle.tokenizer);
    client.model = await Model.load(bundle.model, bundle.manifest);
    bundle.model = null; // The runtime has its own copy.
    return client;
  }

  /**
   * @param text a string, or a pair of strings
   * @returns `text`, `tokens`, `truncated`, the answer's fields, and what a page shows beside them:
   *     `milliseconds` of the model alone, `empty` where nothing of the text reached it
   */
  async answer(text) {
    const { row, outputs, milliseconds } = await this.run(text);
    return {
      text,
      tokens: row.ids.length,
      truncated: row.truncated,
      ...ANSWERS[this.manifest.task](outputs, this.manifest.labels),
      milliseconds,
      empty: row.ids.length === this.tokenizer.encode("").ids.length,
    };
  }

  /** The ids of a text or pair and the model's outputs. */
  async run(text) {
    const [first, second] = typeof text === "string" ? [text, null] : text;
    const { max_length: longest, length, spec } = this.manifest;
    const row = this.tokenizer.encode(first, second, Math.min(longest ?? Infinity, length ?? Infinity));
    const padding = Math.max(0, (length ?? 0) - row.ids.length);
    const padded = (values, value) => values.concat(Array(padding).fill(value));
    const columns = {
      token_ids: padded(row.ids, spec.padding_id),
      padding_mask: padded(row.ids.map(() => 1), 0),
      segment_ids: padded(row.segments, 0),
    };
    const start = performance.now();
    const outputs = await this.model.run(columns);
    return { row, outputs, milliseconds: performance.now() - start };
  }

  /**
   * Runs a golden example again.
   *
   * @returns {passed, why, off}: `why` is a sentence where it failed, `off` the largest distance of
   *     an output as a share of the largest number in it
   */
  async check(example) {
    const { row, outputs } = await this.run(example.text);
    if (JSON.stringify(row.ids) !== JSON.stringify(example.token_ids)) {
      return { passed: false, why: "It is tokenized otherwise than at the export.", off: null };
    }
    let off = 0;
    for (const [name, written] of Object.entries(example.outputs)) {
      const there = written.flat(Infinity);
      if (there.length !== outputs[name].length) {
        return { passed: false, why: `Its ${name} has ${outputs[name].length} numbers; ${there.length} were written.`, off: null };
      }
      const scale = Math.max(...there.map(Math.abs), 1e-6);
      there.forEach((value, i) => (off = Math.max(off, Math.abs(value - outputs[name][i]) / scale)));
    }
    if (!(off <= this.manifest.tolerance)) {
      return { passed: false, why: `Its output lies ${(100 * off).toPrecision(3)} % off.`, off };
    }
    if (this.manifest.task === "TextClassifier" && this.#otherLabel(outputs, example)) {
      return { passed: false, why: "It gets another label than at the export.", off };
    }
    return { passed: true, why: "", off };
  }

  // Two labels that are as good as equal may change places.
  #otherLabel(outputs, example) {
    const [here, there] = [outputs.logits, example.outputs.logits.flat()].map(probabilities);
    const [first, second] = [...there].sort((a, b) => b - a);
    const clear = there.length === 1 || first - second > 0.05;
    return clear && likeliest(here) !== likeliest(there);
  }

  /** Frees the model's memory. */
  close() {
    this.model.delete();
  }
}
