// Ids of texts against reference ids; `measure.py` runs it and says what for.
//     node measure.mjs FOLDER TOKENIZER_JSON SOURCE...
// FOLDER holds SOURCE.jsonl (texts), SOURCE.counts and SOURCE.ids (int32) for each source. Prints one
// JSON object: versions, and by candidate and source how many texts differ, and three that do.

import fs from "node:fs";
import path from "node:path";
import { Tokenizer as HuggingFace } from "@huggingface/tokenizers";
import { WordPiece } from "../../web_demo/src/tokenizer.js";

const [folder, file, ...sources] = process.argv.slice(2);
const description = JSON.parse(fs.readFileSync(file, "utf8"));
const read = (name) => JSON.parse(fs.readFileSync(new URL(name, import.meta.url), "utf8"));

const theirs = new HuggingFace(description, {});
const candidates = {
  "@huggingface/tokenizers": (text) => theirs.encode(text, { add_special_tokens: false }).ids,
};
if (description.model.type === "WordPiece") {
  const ours = new WordPiece(description, read("../../web_demo/src/unicode.json"));
  candidates["web_demo"] = (text) => ours.split(text);
}

const numbers = (name) => {
  const bytes = fs.readFileSync(path.join(folder, name));
  return new Int32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 4);
};

function* rows(source) {
  const lines = fs.readFileSync(path.join(folder, `${source}.jsonl`), "utf8").split("\n");
  const [counts, ids] = [numbers(`${source}.counts`), numbers(`${source}.ids`)];
  let start = 0;
  for (let i = 0; i < lines.length; i++) {
    yield [JSON.parse(lines[i]), ids.subarray(start, start + counts[i])];
    start += counts[i];
  }
}

const same = (a, b) => a.length === b.length && a.every((value, i) => value === b[i]);

function measure(encode, source) {
  const found = { different: 0, errors: 0, megabytes_per_second: 0, examples: [] };
  let [bytes, nanoseconds] = [0, 0n];
  for (const [text, expected] of rows(source)) {
    bytes += Buffer.byteLength(text);
    const start = process.hrtime.bigint();
    let ids = null;
    try {
      ids = encode(text);
    } catch {
      found.errors++;
    }
    nanoseconds += process.hrtime.bigint() - start;
    if (ids && same(Array.from(ids), Array.from(expected))) continue;
    found.different++;
    if (found.examples.length < 3) {
      found.examples.push({ text: text.slice(0, 80), expected: Array.from(expected).slice(0, 16),
        found: ids && Array.from(ids).slice(0, 16) });
    }
  }
  found.megabytes_per_second = Number((bytes / 1e6 / (Number(nanoseconds) / 1e9)).toFixed(2));
  if (!found.errors) delete found.errors;
  return found;
}

const answer = {};
for (const [name, encode] of Object.entries(candidates)) {
  answer[name] = Object.fromEntries(sources.map((source) => [source, measure(encode, source)]));
}
console.log(JSON.stringify({
  versions: {
    node: process.versions.node,
    node_unicode: process.versions.unicode,
    "@huggingface/tokenizers": read("node_modules/@huggingface/tokenizers/package.json").version,
  },
  candidates: answer,
}));
