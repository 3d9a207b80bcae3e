// The core as JavaScript, by itself: what the `tokenizers` library gave for the tokenizers of its own
// tests, and hard files and texts.

import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import { describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { CORE } from "../assemble.mjs";

const core = await import(CORE);
const FIXTURES = fileURLToPath(new URL("../../android_demo/core/src/test/resources/kzoo/core/tokenizer", import.meta.url));
const bytes = (text) => new Int8Array(new TextEncoder().encode(text));
const opened = (description) => core.tokenizer(bytes(typeof description === "string" ? description : JSON.stringify(description)));

describe("ids, tokens and offsets are the library's", () => {
  const names = fs.readdirSync(FIXTURES).filter((name) => name.endsWith(".cases.jsonl")).map((name) => name.split(".")[0]);
  assert.ok(names.length > 15);
  for (const name of names) {
    test(name, () => {
      const tokenizer = opened(fs.readFileSync(path.join(FIXTURES, `${name}.json`), "utf8"));
      const cases = fs.readFileSync(path.join(FIXTURES, `${name}.cases.jsonl`), "utf8").trim().split("\n").map((line) => JSON.parse(line));
      const single = cases.filter(({ pair }) => pair === null);
      assert.ok(single.length > 10);
      for (const { text, special, error, ids, tokens, offsets } of single) {
        if (error) {
          assert.throws(() => tokenizer.encode(text, special), (thrown) => core.sentence(thrown) !== null);
          continue;
        }
        const found = tokenizer.encode(text, special);
        assert.deepEqual(Array.from(found.ids), ids, text);
        assert.deepEqual(found.tokens, tokens, text);
        assert.deepEqual(Array.from(found.starts, (start, i) => [start, found.ends[i]]), offsets, text);
      }
    });
  }
});

function described(model, changes = {}) {
  return { normalizer: null, pre_tokenizer: null, added_tokens: [], model, ...changes };
}

const wordPiece = (pieces, longest = 100) => ({ type: "WordPiece", unk_token: "[UNK]", continuing_subword_prefix: "##",
  max_input_chars_per_word: longest, vocab: Object.fromEntries(["[UNK]", ...pieces].map((piece, id) => [piece, id])) });

describe("hard texts and files", () => {
  const numbered = Array.from({ length: 250_000 }, (_, i) => `p${i}`);

  test("250,000 pieces are read: multilingual models have them", () => {
    const words = opened(described(wordPiece(numbered), { pre_tokenizer: { type: "WhitespaceSplit" } }));
    assert.deepEqual(Array.from(words.ids("p0 p249999 none", false)), [1, 250_000, 0]);
    const vocab = [["<unk>", 0], ...numbered.map((piece, i) => [piece, -i / 1000])];
    const unigram = opened(described({ type: "Unigram", unk_id: 0, vocab, byte_fallback: false }));
    assert.deepEqual(Array.from(unigram.ids("p7p249999", false)), [8, 250_000]);
  });

  test("a word of a million characters is read, whatever the model", () => {
    const letters = ["a", "##a"];
    const merges = [["a", "a"], ["aa", "aa"]];
    for (const [model, count] of [
      [wordPiece(letters, 10 ** 6), 10 ** 6],
      [{ type: "BPE", vocab: { a: 0, aa: 1, aaaa: 2 }, merges }, 250_000],
      [{ type: "Unigram", unk_id: 0, vocab: [["<unk>", 0], ["a", -2], ["aa", -3]], byte_fallback: false }, 500_000],
    ]) {
      const tokenizer = opened(described(model));
      const start = process.cpuUsage();
      assert.equal(tokenizer.ids("a".repeat(10 ** 6), false).length, count);
      // Quadratic time would take hours.
      assert.ok(process.cpuUsage(start).user < 30e6, model.type);
    }
  });

  test("an unpaired surrogate is U+FFFD", () => {
    const tokenizer = opened(described(wordPiece(["a", "##\ufffd"])));
    assert.deepEqual(Array.from(tokenizer.ids("a\ud800", false)), [1, 2]);
  });

  test("what isn't read is one sentence that names it", () => {
    const plain = wordPiece(["a"]);
    for (const [description, words] of [
      ["nonsense", /line 1, column 1/],
      ["[]", /an object was expected/],
      ["{}", /no "model"/],
      [described({ ...plain, vocab: undefined }), /vocab/],
      [described({ type: "Syllables", vocab: {} }), /Syllables/],
      [described(plain, { normalizer: { type: "Fancy" } }), /Fancy/],
      [described(plain, { added_tokens: {} }), /a list was expected/],
      [described(plain, { truncation: { max_length: 9, strategy: "LongestFirst", stride: 3 } }), /stride of 3/],
    ]) {
      assert.throws(() => opened(description), (error) => {
        const said = core.sentence(error);
        assert.match(said ?? error.stack, words);
        return /^[^\n]+\.$/.test(said);
      });
    }
  });

  test("an error that is no sentence of the core's has none", () => {
    for (const error of [new Error("a"), new RangeError("b")]) assert.equal(core.sentence(error), null);
  });
});

describe("a bundle is read by what it declares", () => {
  const reader = (declared, labels = ["later", "now"]) => core.reader(opened(described(wordPiece(["a"]))), labels, 8, 0, JSON.stringify(declared));

  test("format 3 by its rule, whatever its task is called", () => {
    const declared = { task: "Urgency", rule: "single_label", reads: "text", task_options: { problem: "single_label" } };
    assert.deepEqual([reader(declared).kind, reader(declared).reads], ["labels", "text"]);
    assert.equal(reader({ ...declared, rule: "entities", task_options: {} }).kind, "entities");
    assert.throws(() => reader({ ...declared, rule: "boxes" }), (thrown) => /holds a Urgency; this page/.test(core.sentence(thrown)));
  });

  test("formats 1 and 2 by their tasks", () => {
    assert.deepEqual([reader({ task: "TokenClassifier" }).kind, reader({ task: "TokenClassifier" }).reads], ["entities", "text"]);
    const pairs = reader({ task: "QuestionAnswering", task_options: { reads: "pair" } }, null);
    assert.deepEqual([pairs.kind, pairs.reads], ["span", "pair"]);
    assert.equal(reader({ task: "TextClassifier", task_options: { reads: "either", problem: "regression" } }).kind, "labels");
  });
});
