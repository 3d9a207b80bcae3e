// Ids, tokens and offsets of texts against reference ones; `measure.py` runs it and says what for.
//     node measure.mjs FOLDER TOKENIZER_JSON SOURCE...
//     node measure.mjs --speed FOLDER TOKENIZER_JSON SOURCE [FOLDER_OF_THE_OLD_TOKENIZER]
// FOLDER holds SOURCE.jsonl (texts), SOURCE.counts, .ids, .starts and .ends (int32), and for some
// SOURCE.tokens (JSON lines). Prints one JSON object: versions, and by candidate and source how many
// texts differ, and three that do; or megabytes a second of processor time by candidate, the median of
// rounds in turn, each with a tokenizer that has seen no text, and seconds for one word of 1 MB.

import fs from "node:fs";
import path from "node:path";
import { pathToFileURL } from "node:url";
import { Tokenizer as HuggingFace } from "@huggingface/tokenizers";
import * as core from "../../android_demo/web/target/javascript/core.mjs";

const ROUNDS = 3;
const given = process.argv.slice(2);
const speed = given[0] === "--speed";
const [folder, file, ...sources] = speed ? given.slice(1) : given;
const bytes = fs.readFileSync(file);
const description = JSON.parse(bytes.toString());
const read = (name) => JSON.parse(fs.readFileSync(new URL(name, import.meta.url), "utf8"));

const ours = () => core.tokenizer(new Int8Array(bytes.buffer, bytes.byteOffset, bytes.length));

/** By candidate what makes a function from a text to its ids. */
const makers = {
  "web_demo": () => {
    const tokenizer = ours();
    return (text) => tokenizer.ids(text, false);
  },
  "@huggingface/tokenizers": () => {
    const theirs = new HuggingFace(description, {});
    return (text) => theirs.encode(text, { add_special_tokens: false }).ids;
  },
};

const numbers = (name) => {
  const content = fs.readFileSync(path.join(folder, name));
  return new Int32Array(content.buffer, content.byteOffset, content.byteLength / 4);
};

const lines = (name) => fs.readFileSync(path.join(folder, name), "utf8").split("\n");

function* rows(source) {
  const texts = lines(`${source}.jsonl`);
  const tokens = fs.existsSync(path.join(folder, `${source}.tokens`)) ? lines(`${source}.tokens`) : null;
  const [counts, ids, starts, ends] = ["counts", "ids", "starts", "ends"].map((column) => numbers(`${source}.${column}`));
  let start = 0;
  for (let i = 0; i < texts.length; i++) {
    const part = (column) => column.subarray(start, start + counts[i]);
    yield { text: JSON.parse(texts[i]), ids: part(ids), starts: part(starts), ends: part(ends), tokens: tokens && JSON.parse(tokens[i]) };
    start += counts[i];
  }
}

const same = (a, b) => a.length === b.length && a.every((value, i) => value === b[i]);

/** The page's tokenizer with tokens and offsets; it says whether these are the expected ones. */
function checking() {
  const tokenizer = ours();
  return (text, { starts, ends, tokens }) => {
    const found = tokenizer.encode(text, false);
    const placed = same(found.starts, starts) && same(found.ends, ends) && (!tokens || same(found.tokens, tokens));
    return [found.ids, placed];
  };
}

/** How many texts get other ids, and where `encode` tells, other tokens or offsets. */
function measure(encode, source) {
  const found = { different: 0, errors: 0, examples: [] };
  for (const { text, ids: expected, ...places } of rows(source)) {
    let ids = null;
    try {
      let placed;
      [ids, placed] = encode(text, places);
      if (placed !== undefined) found.other_tokens_or_offsets = (found.other_tokens_or_offsets ?? 0) + !placed;
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

/** Seconds of the processor. */
function spent(work) {
  const start = process.cpuUsage();
  work();
  const { user, system } = process.cpuUsage(start);
  return (user + system) / 1e6;
}

async function race(source, old) {
  if (old && description.model.type === "WordPiece") {
    const { WordPiece } = await import(pathToFileURL(path.resolve(old, "tokenizer.js")));
    const tables = JSON.parse(fs.readFileSync(path.join(old, "unicode.json"), "utf8"));
    makers["web_demo before"] = () => {
      const theirs = new WordPiece(description, tables);
      return (text) => theirs.split(text);
    };
  }
  const texts = lines(`${source}.jsonl`).map((line) => JSON.parse(line));
  const size = texts.reduce((sum, text) => sum + Buffer.byteLength(text), 0);
  const times = Object.fromEntries(Object.keys(makers).map((name) => [name, []]));
  for (let round = 0; round <= ROUNDS; round++) {
    for (const [name, make] of Object.entries(makers)) {
      const encode = make();
      const seconds = spent(() => texts.forEach((text) => encode(text)));
      if (round) times[name].push(seconds); // The first round warms the engine up.
    }
  }
  const median = (values) => values.sort((a, b) => a - b)[ROUNDS >> 1];
  const rounded = (value) => Number(value.toPrecision(3));
  const tokenizer = ours();
  return {
    megabytes_a_second: Object.fromEntries(Object.entries(times).map(([name, all]) => [name, rounded(size / 1e6 / median(all))])),
    seconds_to_read_the_file: rounded(spent(ours)),
    seconds_for_a_word_of_1_MB: rounded(spent(() => tokenizer.ids("x".repeat(1e6), false))),
  };
}

if (speed) {
  console.log(JSON.stringify(await race(...sources)));
} else {
  const answer = {};
  for (const [name, make] of Object.entries(makers)) {
    const ids = make();
    const encode = name === "web_demo" ? checking() : (text) => [ids(text)];
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
}
