// A .tflite file that writes: its functions by their names, each run where its numbers lie.

import { Tensor } from "@litertjs/core";
import { fixed } from "./flatbuffer.js";
import { compiled, memory, memoryOr, reason } from "./runtime.js";

const NUMBERS = { float32: Float32Array, int32: Int32Array };

export class Functions {
  #model;

  /**
   * @param bytes of model.tflite
   * @param length that its open axes have: LiteRT.js makes room for outputs before it knows what comes
   */
  static async load(bytes, length) {
    const functions = new Functions();
    functions.#model = await compiled(() => fixed(bytes, length));
    try {
      functions.all = Object.values(functions.#model.signatures).map((each) => new InPlace(each, functions.#model, length));
    } catch (error) {
      functions.delete();
      throw memoryOr(error, `model.tflite can't be run (${reason(error)}): a file that LiteRT.js reads was expected.`);
    }
    return functions;
  }

  /** Frees the model's memory. */
  delete() {
    for (const each of this.all ?? []) each.delete();
    this.#model.delete();
  }
}

/** What the core's `WebFunction` is. */
class InPlace {
  #model;
  #index;
  #given = new Map(); // Tensors by the names of inputs.
  #names; // Of outputs.
  #found = [];

  constructor(signature, model, length) {
    this.name = signature.key;
    this.#model = model.liteRtCompiledModel;
    this.#index = signature.signatureIndex;
    const settled = (tensors) => Object.fromEntries(tensors.map(({ name, shape }) =>
      [name, Array.from(shape, (size, axis) => (size >= 0 ? size : axis ? length : 1))]));
    const [inputs, outputs] = [signature.getInputDetails(), signature.getOutputDetails()];
    const shapes = { inputs: settled(inputs), outputs: settled(outputs) };
    this.shapes = JSON.stringify(shapes);
    this.#names = outputs.map(({ name }) => name);
    for (const { name, dtype } of inputs) {
      const shape = shapes.inputs[name];
      this.#given.set(name, new Tensor(new NUMBERS[dtype](shape.reduce((a, b) => a * b, 1)), shape));
    }
  }

  input(name) {
    return memory(this.#given.get(name).liteRtTensorBuffer);
  }

  run() {
    this.#forget();
    try {
      this.#found = this.#model.run(this.#index, Array.from(this.#given.values(), (tensor) => tensor.liteRtTensorBuffer));
    } catch (error) {
      throw memoryOr(error, `The model can't read these tokens (${reason(error)}): ids of its vocabulary were expected.`);
    }
  }

  output(name) {
    return memory(this.#found[this.#names.indexOf(name)]);
  }

  #forget() {
    for (const buffer of this.#found) buffer.delete();
    this.#found = [];
  }

  delete() {
    this.#forget();
    for (const tensor of this.#given.values()) tensor.delete();
  }
}
