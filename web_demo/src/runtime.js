// LiteRT.js, on the processor (WebAssembly, XNNPACK): files are loaded, and what goes wrong is a sentence.

import { getGlobalLiteRt, loadAndCompile, loadLiteRt } from "@litertjs/core";
import { KzooError } from "./errors.js";

const WASM = new URL("../litert/wasm/", import.meta.url);
const NO_MEMORY = "There is not enough memory for this model: close other pages, or take a smaller bundle.";
let runtime = null;

/** A model that LiteRT.js has compiled. */
export async function compiled(bytes) {
  runtime ??= loadLiteRt(WASM.href);
  try {
    await runtime;
  } catch (error) {
    runtime = null;
    throw new KzooError(`LiteRT's WebAssembly doesn't start in this browser (${reason(error)}): a recent Chrome, Edge, Firefox or Safari was expected.`);
  }
  try {
    return await loadAndCompile(bytes(), { accelerator: "wasm" });
  } catch (error) {
    throw memoryOr(error, `model.tflite can't be loaded (${reason(error)}): a file that LiteRT.js reads was expected.`);
  }
}

/** The error to show: where WebAssembly gets no memory, LiteRT.js writes past its end. */
export function memoryOr(error, sentence) {
  return new KzooError(error instanceof RangeError ? NO_MEMORY : sentence);
}

/** The numbers of a tensor buffer where they lie, until WebAssembly's memory grows. */
export function memory(buffer) {
  const { HEAPU8, LiteRtTensorBufferLockMode } = getGlobalLiteRt().liteRtWasm;
  const place = buffer.lock(LiteRtTensorBufferLockMode.READ_WRITE);
  buffer.unlock();
  return new Int8Array(HEAPU8.buffer, place, buffer.packedSize());
}

export function reason(error) {
  const [line] = String(error?.message ?? error ?? "").trim().split("\n");
  return line.replace(/\.$/, "") || "no reason given";
}
