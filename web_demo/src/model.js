// A .tflite file on LiteRT.js, on the processor (WebAssembly, XNNPACK).

import { loadAndCompile, loadLiteRt, Tensor } from "@litertjs/core";
import { KzooError } from "./errors.js";

const WASM = new URL("../litert/wasm/", import.meta.url);
const NO_MEMORY = "There is not enough memory for this model: close other pages, or take a smaller bundle.";
const COLUMNS = ["token_ids", "padding_mask", "segment_ids"]; // What a text becomes.
let runtime = null;

export class Model {
  /**
   * @param bytes of model.tflite
   * @param manifest kzoo.json
   */
  static async load(bytes, manifest) {
    runtime ??= loadLiteRt(WASM.href);
    try {
      await runtime;
    } catch (error) {
      runtime = null;
      throw new KzooError(`LiteRT's WebAssembly doesn't start in this browser (${reason(error)}): a recent Chrome, Edge, Firefox or Safari was expected.`);
    }
    const model = new Model();
    try {
      model.compiled = await loadAndCompile(bytes, { accelerator: "wasm" });
    } catch (error) {
      // Where WebAssembly gets no memory, LiteRT.js writes past its end.
      if (error instanceof RangeError) throw new KzooError(NO_MEMORY);
      throw new KzooError(`model.tflite can't be loaded (${reason(error)}): a file that LiteRT.js reads was expected.`);
    }
    const [signature] = Object.values(manifest.signature);
    model.inputs = model.compiled.getInputDetails().map(({ name }) => name);
    model.outputs = model.compiled.getOutputDetails().map(({ name }) => name);
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

  /**
   * @param columns {input: array of whole numbers}, all of one length
   * @returns {output: Float32Array}, flat
   */
  async run(columns) {
    const tensors = [];
    try {
      for (const name of this.inputs) {
        tensors.push(new Tensor(Int32Array.from(columns[name]), [1, columns[name].length]));
      }
      // CompiledModel.run refuses any length for a file of dynamic length; the runtime beneath it
      // takes each input's own.
      const buffers = tensors.map((tensor) => tensor.liteRtTensorBuffer);
      const found = await this.compiled.liteRtCompiledModel.run(0, buffers);
      for (const buffer of found) tensors.push(new Tensor(buffer));
      const results = tensors.slice(this.inputs.length);
      return Object.fromEntries(results.map((tensor, i) => [this.outputs[i], tensor.toTypedArray().slice()]));
    } catch (error) {
      if (error instanceof RangeError) throw new KzooError(NO_MEMORY);
      throw new KzooError(`The model can't read these ${Object.values(columns)[0].length} tokens (${reason(error)}): ids of its vocabulary, and no more than it has places, were expected.`);
    } finally {
      for (const tensor of tensors) tensor.delete();
    }
  }

  /** Frees the model's memory. */
  delete() {
    this.compiled?.delete();
    this.compiled = null;
  }
}

function reason(error) {
  const [line] = String(error?.message ?? error ?? "").trim().split("\n");
  return line.replace(/\.$/, "") || "no reason given";
}
