// A .tflite file that reads one array of its own size, which stands for a picture or a sound.

import { Tensor } from "@litertjs/core";
import { KzooError } from "./errors.js";
import { compiled, memoryOr, reason } from "./runtime.js";

const NUMBERS = { uint8: Uint8Array, float32: Float32Array };

export class ArrayModel {
  #model;
  #input;
  #outputs;

  /**
   * @param bytes of model.tflite
   * @param manifest kzoo.json
   */
  static async load(bytes, manifest) {
    const made = new ArrayModel();
    const [signature] = Object.values(manifest.signature);
    made.#model = await compiled(() => bytes);
    const inputs = made.#model.getInputDetails();
    made.#outputs = made.#model.getOutputDetails().map(({ name }) => name);
    const said = ({ name, dtype, shape }) => `${name} (${Array.from(shape).join(" x ")}, ${dtype})`;
    const [found, written] = [inputs.map(said), Object.entries(signature.inputs).map(([name, { type, shape }]) => said({ name, dtype: type, shape }))];
    if (String(found) !== String(written) || found.length !== 1 || !NUMBERS[inputs[0].dtype]) {
      made.delete();
      throw new KzooError(`model.tflite reads ${found.join(", ")}; kzoo.json says ${written.join(", ")}, one array of uint8 or float32 was expected: export anew.`);
    }
    [made.#input] = inputs;
    return made;
  }

  /** Of the array that it reads: (1, height, width, channels), or (1, samples). */
  get shape() {
    return Array.from(this.#input.shape);
  }

  /**
   * @param values in row-major order, as many as the shape has
   * @returns {output: Float32Array}, flat
   */
  run(values) {
    const tensors = [];
    try {
      tensors.push(new Tensor(new NUMBERS[this.#input.dtype](values.buffer, values.byteOffset, values.length), this.shape));
      const found = this.#model.liteRtCompiledModel.run(0, [tensors[0].liteRtTensorBuffer]);
      for (const buffer of found) tensors.push(new Tensor(buffer));
      return Object.fromEntries(this.#outputs.map((name, i) => [name, tensors[i + 1].toTypedArray()]));
    } catch (error) {
      throw memoryOr(error, `The model can't be run on ${this.#input.name} (${reason(error)}): export anew.`);
    } finally {
      for (const tensor of tensors) tensor.delete();
    }
  }

  /** Runs on nothing, to be timed. */
  runBlank() {
    return this.run(new NUMBERS[this.#input.dtype](this.shape.reduce((a, b) => a * b)));
  }

  /** Frees the model's memory. */
  delete() {
    this.#model.delete();
  }
}
