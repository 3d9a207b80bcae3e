// The tokenizer by itself, on tokenizer.json files that no bundle of the tests has.

import assert from "node:assert/strict";
import fs from "node:fs";
import { test } from "node:test";
import { KzooError } from "../src/errors.js";
import { WordPiece } from "../src/tokenizer.js";

const tables = JSON.parse(fs.readFileSync(new URL("../src/unicode.json", import.meta.url), "utf8"));

function described(pieces, changes = {}) {
  const vocab = Object.fromEntries(["[UNK]", "[CLS]", "[SEP]", ...pieces].map((piece, id) => [piece, id]));
  const special = (content, id) => ({ id, content, single_word: false, lstrip: false, rstrip: false, normalized: false, special: true });
  return {
    truncation: null, padding: null,
    added_tokens: ["[UNK]", "[CLS]", "[SEP]"].map(special),
    normalizer: { type: "BertNormalizer", clean_text: true, handle_chinese_chars: true, strip_accents: null, lowercase: true },
    pre_tokenizer: { type: "BertPreTokenizer" },
    post_processor: { type: "BertProcessing", sep: ["[SEP]", 2], cls: ["[CLS]", 1] },
    model: { type: "WordPiece", unk_token: "[UNK]", continuing_subword_prefix: "##", max_input_chars_per_word: 100, vocab },
    ...changes,
  };
}

const opened = (pieces, changes) => new WordPiece(described(pieces, changes), tables);

test("200,000 pieces are read: multilingual models have more", () => {
  const pieces = Array.from({ length: 200_000 }, (_, i) => `p${i}`);
  assert.deepEqual(opened(pieces).encode("p0 p199999 none").ids, [1, 3, 200_002, 0, 2]);
});

test("a word of a million characters is read where the file allows that", () => {
  const { model } = described(["a", "##a"]);
  const { ids } = opened([], { model: { ...model, max_input_chars_per_word: 10 ** 6 } }).encode("a".repeat(10 ** 6));
  assert.equal(ids.length, 10 ** 6 + 2);
  assert.deepEqual(ids.slice(0, 4), [1, 3, 4, 4]);
});

test("no added tokens, or one without content, are read as the library reads them", () => {
  const pieces = ["sep", "[", "]"];
  assert.deepEqual(opened(pieces, { added_tokens: undefined }).encode("[SEP]").ids, [1, 4, 3, 5, 2]);
  const { added_tokens: tokens } = described([]);
  assert.deepEqual(opened(pieces, { added_tokens: [...tokens, { ...tokens[0], content: "", id: 9 }] }).encode("sep [SEP]").ids, [1, 3, 2, 2]);
});

test("what this reader doesn't do is one sentence that names it", () => {
  const template = {
    type: "TemplateProcessing",
    single: [{ SpecialToken: { id: "[CLS]", type_id: 0 } }, { Sequence: { id: "A", type_id: 0 } }],
    pair: [{ Sequence: { id: "A", type_id: 0 } }, { Sequence: { id: "B", type_id: 1 } }],
    special_tokens: { "[CLS]": { id: "[CLS]", ids: [1], tokens: ["[CLS]"] } },
  };
  assert.deepEqual(opened(["a"], { post_processor: template }).encode("a").ids, [1, 3]);
  for (const [changes, words] of [
    [{ truncation: { max_length: 128, strategy: "LongestFirst", stride: 0, direction: "Right" } }, /a truncation of its own/],
    [{ padding: { strategy: { Fixed: 128 }, pad_id: 0, pad_type_id: 0, pad_token: "[PAD]", direction: "Right" } }, /a padding of its own/],
    [{ added_tokens: {} }, /added_tokens that are no list/],
    [{ added_tokens: [{ content: "[A]" }] }, /added_tokens that are no list/],
    [{ post_processor: { ...template, special_tokens: {} } }, /names the special token \[CLS\]/],
    [{ post_processor: { ...template, special_tokens: undefined } }, /names the special token \[CLS\]/],
    [{ post_processor: { ...template, pair: undefined } }, /without its part pair/],
    [{ post_processor: { type: "BertProcessing", cls: ["[CLS]", 1] } }, /without a sep/],
  ]) {
    assert.throws(() => opened(["a"], changes), (error) => {
      assert.ok(error instanceof KzooError, error.stack);
      assert.match(error.message, words);
      return error.message.startsWith("tokenizer.json has ") && /^[^\n]+\.$/.test(error.message);
    });
  }
});
