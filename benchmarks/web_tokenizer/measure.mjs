// Ids of texts against reference ids; `measure.py` runs it and says what for.
//     node measure.mjs FOLDER TOKENIZER_JSON SOURCE...
//     node measure.mjs --speed FOLDER TOKENIZER_JSON SOURCE
// FOLDER holds SOURCE.jsonl (texts), SOURCE.counts and SOURCE.ids (int32) for each source. Prints one
// JSON object: versions, and by candidate and source how many texts differ, and three that do; or
// megabytes a second of processor time by candidate, the median of rounds in turn, each with a
// tokenizer that has seen no text.

import fs from "node:fs";
import path from "node:path";
import { Tokenizer as HuggingFace } from "@huggingface/tokenizers";
import { WordPiece } from "../../web_demo/src/tokenizer.js";

const ROUNDS = 7;
const given = process.argv.slice(2);
const speed = given[0] === "--speed";
const [folder, file, ...sources] = speed ? given.slice(1) : given;
const description = JSON.parse(fs.readFileSync(file, "utf8"));
const read = (name) => JSON.parse(fs.readFileSync(new URL(name, import.meta.url), "utf8"));

const makers = {
  "@huggingface/tokenizers": () => {
    const theirs = new HuggingFace(description, {});
    return (text) => theirs.encode(text, { add_special_tokens: false }).ids;
  },
};
if (description.model.type === "WordPiece") {
  const tables = read("../../web_demo/src/unicode.json");
  makers["web_demo"] = () => {
    const ours = new WordPiece(description, tables);
    return (text) => ours.split(text);
  };
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
  const found = { different: 0, errors: 0, examples: [] };
  for (const [text, expected] of rows(source)) {
    let ids = null;
    try {
      ids = encode(text);
    } catch {
      found.errors++;
    }
    if (ids && same(Array.from(ids), Array.from(expected))) continue;
    found.different++;
    if (found.examples.length < 3) {
      found.examples.push({ text: text.slice(0, 80), expected: Array.from(expected).slice(0, 16),
        found: ids && Array.from(ids).slice(0, 16) });
    }
  }
  if (!found.errors) delete found.errors;
  return found;
}

function race(source) {
  const texts = fs.readFileSync(path.join(folder, `${source}.jsonl`), "utf8").split("\n").map((line) => JSON.parse(line));
  const bytes = texts.reduce((sum, text) => sum + Buffer.byteLength(text), 0);
  const times = Object.fromEntries(Object.keys(makers).map((name) => [name, []]));
  for (let round = 0; round <= ROUNDS; round++) {
    for (const [name, make] of Object.entries(makers)) {
      const encode = make();
      const start = process.cpuUsage();
      for (const text of texts) encode(text);
      const { user, system } = process.cpuUsage(start);
      if (round) times[name].push(user + system); // The first round warms the engine up.
    }
  }
  const median = (values) => values.sort((a, b) => a - b)[ROUNDS >> 1];
  return Object.fromEntries(Object.entries(times).map(([name, all]) => [name, Number((bytes / median(all)).toFixed(2))]));
}

if (speed) {
  console.log(JSON.stringify(race(sources[0])));
  process.exit();
}
const answer = {};
for (const [name, make] of Object.entries(makers)) {
  const encode = make();
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
