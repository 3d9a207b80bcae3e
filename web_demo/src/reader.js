// The core of the Android client as JavaScript (android_demo/web): texts become a model's rows, and its
// outputs answers.

import * as core from "@kzoo/core";
import { KzooError } from "./errors.js";

/** What the core gives; where it throws a sentence for the user, a KzooError with that. */
export function asked(what) {
  try {
    return what();
  } catch (error) {
    const sentence = core.sentence(error);
    throw sentence === null ? error : new KzooError(sentence);
  }
}

/** Bytes as Kotlin's, where they lie. */
export const signed = ({ buffer, byteOffset, length }) => new Int8Array(buffer, byteOffset, length);

/** The tokenizer of a tokenizer.json's bytes. */
export class Tokenizer {
  constructor(bytes) {
    this.inner = asked(() => core.tokenizer(signed(bytes)));
  }

  /** The ids of a text with its special tokens. */
  ids(text) {
    return Array.from(asked(() => this.inner.ids(text, true)));
  }
}

/** What a manifest has of its task, without what its format lacks. */
const declared = ({ task, task_options, reads, rule }) => JSON.stringify({ task: task ?? "backbone", task_options, reads, rule });

/** What a bundle reads by its manifest: "text", "image" or "sound". */
export const senseOf = (manifest) => asked(() => core.sense(declared(manifest)));

/** What outputs become by it: "labels", "embedding", "entities", "span", "late_interaction", "continuation" or "rewriting". */
export const kindOf = (manifest) => asked(() => core.kind(declared(manifest)));

/** How a bundle's task reads texts and answers. */
export class Reader {
  constructor(tokenizer, manifest) {
    const { labels, max_length: longest, length } = manifest;
    this.kind = kindOf(manifest);
    this.inner = asked(() => core.reader(tokenizer.inner, labels, longest, length ?? 0, declared(manifest)));
  }

  /** What an input is: "text", "pair", "either" or "marked". */
  get reads() {
    return this.inner.reads;
  }

  /** What entities can be called, in the order of the labels. */
  get kinds() {
    return Array.from(this.inner.kinds);
  }

  /** How near two vectors are, as the bundle's model has learnt it. */
  similarity(one, other) {
    return this.inner.similarity(Float32Array.from(one), Float32Array.from(other));
  }

  /** A similarity as the length of a bar, 0 to 1. */
  share(similarity) {
    return this.inner.share(similarity);
  }

  /** Whether other labels answer by some logits than by those of a golden example. */
  differs(logits, written) {
    return this.inner.differs(Float32Array.from(logits), Float32Array.from(written));
  }

  /**
   * The answer to a text or a pair.
   *
   * @param run gives a row's outputs, {name: Float32Array}, for `input(name)`, the row's numbers; it
   *     is told which of how many rows it is
   * @returns what `kzoo predict --json` has, the scores of labels as [[label, score]]; `json`, a
   *     function that gives all that as text, as it stands there; and `empty`: whether nothing of the
   *     text reached the model
   */
  async answer(text, run) {
    const [first, second] = parts(text);
    const rows = asked(() => this.inner.read(first, second));
    for (let row = 0; row < rows.count; row++) {
      const outputs = await run((name) => rows.input(row, name), row, rows.count);
      for (const [name, values] of Object.entries(outputs)) asked(() => rows.give(row, name, values));
    }
    return { ...asked(() => rows.answer()), json: () => asked(() => rows.json()), empty: rows.empty };
  }

  /** A golden example's row: its ids, and its outputs. */
  async row({ text, reading }, run) {
    const rows = asked(() => this.inner.row(...parts(text), reading ?? null));
    return { ids: Array.from(rows.input(0, "token_ids")), outputs: await run((name) => rows.input(0, name)) };
  }
}

/** A text or a pair as two, of which the second may be null. */
export const parts = (text) => (typeof text === "string" ? [text, null] : text);

const LENGTHS = [16, 32, 64, 128];

/** How many tokens of a text a model reads; of one that writes of sources, of a source. */
const most = ({ max_length: longest, task_options: options }) => options?.source_length ?? longest;

/** What the facts say of them. */
export const reads = ({ manifest }) => `${most(manifest)} tokens`;

/** Numbers of tokens that a model is timed on, [[name, tokens]]. */
export function sizes({ manifest }) {
  const counts = manifest.length ? [manifest.length] : LENGTHS.filter((count) => count <= most(manifest));
  return counts.map((count) => [`${count} tokens`, count]);
}
