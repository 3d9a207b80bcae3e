// A .tflite file that reads rows of tokens.

import { Tensor } from "@litertjs/core";
import { KzooError } from "./errors.js";
import { fixed } from "./flatbuffer.js";
import { compiled, memoryOr, reason } from "./runtime.js";

const COLUMNS = ["token_ids", "padding_mask", "segment_ids"]; // What a row of a text has.
// LiteRT.js makes room for outputs before it knows a row's length. Where they are as long as the row,
// the file is loaded once for each of these lengths that is asked for, and rows are padded.
const STEPS = [32, 128];

export class Model {
  #bytes;
  #loaded = new Map(); // By length; 0 is the file as it is.
  #lengths = [0];
  #growing; // The outputs that are as long as a row.

  /**
   * @param bytes of model.tflite
   * @param manifest kzoo.json
   */
  static async load(bytes, manifest) {
    const model = new Model();
    const [signature] = Object.values(manifest.signature);
    model.#growing = Object.keys(signature.outputs).filter((name) => signature.outputs[name].shape[1] < 0);
    if (model.#growing.length) {
      const readings = manifest.task_options?.readings ?? []; // Of which one may be longer than the others' most.
      const most = Math.max(manifest.max_length, ...readings.map(({ length }) => length));
      model.#lengths = [...STEPS.filter((step) => step < most), most];
      model.#bytes = bytes;
    }
    const first = await model.#compiled(bytes, model.#lengths[0]);
    model.inputs = first.getInputDetails().map(({ name }) => name);
    model.outputs = first.getOutputDetails().map(({ name }) => name);
    for (const [what, found, written] of [["inputs", model.inputs, signature.inputs], ["outputs", model.outputs, signature.outputs]]) {
      const expected = Object.keys(written).sort();
      if (JSON.stringify([...found].sort()) !== JSON.stringify(expected)) {
        model.delete();
        throw new KzooError(`model.tflite has the ${what} ${found.join(", ")}; kzoo.json says ${expected.join(", ")}: export anew.`);
      }
    }
    const other = model.inputs.find((name) => !COLUMNS.includes(name));
    if (other) {
      model.delete();
      throw new KzooError(`model.tflite wants the input ${other}; a text gives ${COLUMNS.join(", ")}: export anew.`);
    }
    return model;
  }

  async #compiled(bytes, length) {
    if (!this.#loaded.has(length)) this.#loaded.set(length, await compiled(() => (length ? fixed(bytes, length) : bytes)));
    return this.#loaded.get(length);
  }

  /**
   * @param input an Int32Array for each name of an input, all of one length
   * @returns {output: Float32Array}, flat; without what padding got
   */
  async run(input) {
    const tensors = [];
    const { length: tokens } = input(COLUMNS[0]);
    const length = this.#lengths.find((each) => each >= tokens) ?? this.#lengths.at(-1);
    const model = await this.#compiled(this.#bytes, length);
    try {
      for (const name of this.inputs) tensors.push(new Tensor(padded(input(name), length), [1, Math.max(tokens, length)]));
      // CompiledModel.run refuses any length for a file of dynamic length; the runtime beneath it
      // takes each input's own.
      const buffers = tensors.map((tensor) => tensor.liteRtTensorBuffer);
      const found = await model.liteRtCompiledModel.run(0, buffers);
      for (const buffer of found) tensors.push(new Tensor(buffer));
      return Object.fromEntries(tensors.slice(this.inputs.length).map((tensor, i) => {
        const [name, values] = [this.outputs[i], tensor.toTypedArray()];
        // Of what is as long as the row, the part before its padding.
        return [name, this.#growing.includes(name) ? values.subarray(0, values.length * tokens / length) : values];
      }));
    } catch (error) {
      throw memoryOr(error, `The model can't read these ${tokens} tokens (${reason(error)}): ids of its vocabulary, and no more than it has places, were expected.`);
    } finally {
      for (const tensor of tensors) tensor.delete();
    }
  }

  /** Frees the model's memory. */
  delete() {
    for (const each of this.#loaded.values()) each.delete();
    this.#loaded.clear();
    this.#bytes = null; // Nothing is loaded any more.
  }
}

/** A row with zeros behind it: the mask has them too, so the model doesn't look there. */
function padded(values, length) {
  if (values.length >= length) return values;
  const found = new Int32Array(length);
  found.set(values);
  return found;
}
