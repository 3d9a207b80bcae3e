// The tokenizer by itself, on tokenizer.json files that no bundle of the tests has.

import assert from "node:assert/strict";
import fs from "node:fs";
import { test } from "node:test";
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
