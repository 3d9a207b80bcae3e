// The core as JavaScript, by itself: what the `tokenizers` library gave for the tokenizers of its own
// tests, hard files and texts, and what Python made of the golden pictures and sounds of the small bundles.

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import fs from "node:fs";
import path from "node:path";
import { describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import zlib from "node:zlib";
import { CORE } from "../assemble.mjs";
import { SMALL } from "./bundles.mjs";

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

describe("texts are marked and compared as Python does", () => {
  const near = (found, expected) => assert.ok(Math.abs(found - expected) < 1e-5, `${found}, not ${expected}`);
  const counted = (rows) => rows.filter((row) => row.some((value) => value !== 0));
  const product = (one, other) => one.reduce((sum, value, i) => sum + value * other[i], 0);
  for (const name of ["tokens", "tokens_fixed"]) {
    test(name, () => {
      const folder = path.join(SMALL, name);
      const { golden, task, task_options, reads, rule, max_length: longest, length } = JSON.parse(fs.readFileSync(path.join(folder, "kzoo.json"), "utf8"));
      const declared = JSON.stringify({ task, task_options, reads, rule });
      assert.deepEqual([core.kind(declared), core.sense(declared)], ["late_interaction", "text"]);
      const reader = core.reader(opened(fs.readFileSync(path.join(folder, "tokenizer.json"), "utf8")), null, longest, length ?? 0, declared);
      assert.deepEqual([...new Set(golden.map(({ reading }) => reading))].sort(), ["document", "query"]);
      for (const { text, reading, token_ids: ids } of golden) {
        assert.deepEqual(Array.from(reader.row(text, null, reading).input(0, "token_ids")), ids, text);
      }
      assert.throws(() => reader.row("a", null, "title"), (thrown) => /read as title; expected query or document/.test(core.sentence(thrown)));
      const given = (asked, row, { outputs }) => asked.give(row, "vectors", Float32Array.from(outputs.vectors.flat(Infinity)));
      const [query, document] = ["query", "document"].map((way) => golden.findLast(({ reading }) => reading === way));
      const alone = reader.read(document.text, null);
      given(alone, 0, document);
      const { vectors } = JSON.parse(alone.json());
      const [asked, kept] = [query, document].map(({ outputs }) => counted(outputs.vectors[0]));
      assert.equal(vectors.length, kept.length);
      vectors.forEach((row, i) => row.forEach((value, j) => near(value, kept[i][j])));
      const pair = reader.read(query.text, document.text);
      assert.equal(pair.count, 2);
      [query, document].forEach((side, row) => given(pair, row, side));
      const score = asked.reduce((sum, one) => sum + Math.max(...kept.map((other) => product(one, other))), 0);
      near(JSON.parse(pair.json()).score, score);
      near(reader.share(score), score / task_options.readings[0].length);
    });
  }
});

describe("a bundle is read by what it declares", () => {
  const kind = (declared) => core.kind(JSON.stringify(declared));
  const reader = (declared, labels = ["later", "now"]) => core.reader(opened(described(wordPiece(["a"]))), labels, 8, 0, JSON.stringify(declared));

  test("format 3 by its rule, whatever its task is called", () => {
    const declared = { task: "Urgency", rule: "single_label", reads: "text", task_options: { problem: "single_label" } };
    assert.deepEqual([kind(declared), reader(declared).reads], ["labels", "text"]);
    assert.equal(kind({ ...declared, rule: "entities", task_options: {} }), "entities");
    assert.equal(kind({ ...declared, rule: "continuation", reads: "prompt", task_options: {} }), "continuation");
    assert.throws(() => kind({ ...declared, rule: "boxes" }), (thrown) => /holds a Urgency; this page/.test(core.sentence(thrown)));
  });

  test("formats 1 and 2 by their tasks", () => {
    assert.deepEqual([kind({ task: "TokenClassifier" }), reader({ task: "TokenClassifier" }).reads], ["entities", "text"]);
    const pairs = { task: "QuestionAnswering", task_options: { reads: "pair" } };
    assert.deepEqual([kind(pairs), reader(pairs, null).reads], ["span", "pair"]);
    assert.equal(kind({ task: "TextClassifier", task_options: { reads: "either", problem: "regression" } }), "labels");
  });
});

/** A model of which every number is known: its next token is the sum of all ids that it read, and its keys must come back. */
class Sums {
  static VOCABULARY = 50;
  static CACHE = 16;
  static HEADS = 2;
  static SIZE = 3;

  constructor(name, length, stated = length) {
    const { CACHE, HEADS, SIZE, VOCABULARY } = Sums;
    const keys = (places) => [1, HEADS, places, SIZE];
    const shapes = (tokens) => ({
      inputs: { token_ids: [1, tokens], places: [1, tokens], past_places: [1, CACHE], past_key_0: keys(CACHE) },
      outputs: { ...(name === "decode" && { logits: [1, VOCABULARY] }), past_key_0: keys(tokens) },
    });
    this.name = name;
    this.stated = shapes(stated);
    this.shapes = JSON.stringify(shapes(length));
    // As in WebAssembly, all lies in one memory, and nothing at its beginning.
    let place = 64;
    this.memory = new ArrayBuffer(8192);
    this.at = Object.fromEntries(Object.entries(shapes(length)).flatMap(([side, tensors]) => Object.entries(tensors).map(([tensor, shape]) => {
      const size = shape.reduce((a, b) => a * b);
      const Numbers = tensor.startsWith("past_key") || tensor === "logits" ? Float32Array : Int32Array;
      const numbers = new Numbers(this.memory, place, size);
      place += 4 * size;
      return [`${side} ${tensor}`, numbers];
    })));
  }

  bytes(numbers) {
    return new Int8Array(numbers.buffer, numbers.byteOffset, numbers.byteLength);
  }

  input(tensor) {
    return this.bytes(this.at[`inputs ${tensor}`]);
  }

  output(tensor) {
    return this.bytes(this.at[`outputs ${tensor}`]);
  }

  /** What the key of a token is, which its id can be read from. */
  static key(id, place, head, i) {
    return 1000 * id + 10 * place + head + i / 8;
  }

  run() {
    const { CACHE, HEADS, SIZE } = Sums;
    const { "inputs token_ids": ids, "inputs places": places, "inputs past_places": past, "inputs past_key_0": known, "outputs past_key_0": made } = this.at;
    let sum = 0;
    past.forEach((place, slot) => {
      if (place >= CACHE) return;
      const id = Math.floor(known[slot * SIZE] / 1000);
      for (let head = 0; head < HEADS; head++) {
        for (let i = 0; i < SIZE; i++) assert.equal(known[(head * CACHE + slot) * SIZE + i], Sums.key(id, place, head, i));
      }
      sum += id;
    });
    ids.forEach((id, n) => {
      for (let head = 0; head < HEADS; head++) {
        for (let i = 0; i < SIZE; i++) made[(head * ids.length + n) * SIZE + i] = Sums.key(id, places[n], head, i);
      }
    });
    const logits = this.at["outputs logits"];
    logits?.fill(0);
    if (logits) logits[(sum + ids[0]) % logits.length] = 1;
  }
}

describe("a writer over functions that JavaScript runs", () => {
  const words = Array.from({ length: Sums.VOCABULARY - 1 }, (_, i) => `w${i + 1}`);
  const tokenizer = opened(described(wordPiece(words), { pre_tokenizer: { type: "WhitespaceSplit" }, decoder: { type: "WordPiece", prefix: "##", cleanup: false } }));
  const signature = (functions) => Object.fromEntries(functions.map(({ name, stated }) => [name, Object.fromEntries(
    Object.entries(stated).map(([side, tensors]) => [side, Object.fromEntries(Object.entries(tensors).map(([tensor, shape]) => [tensor, { shape }]))]))]));
  const manifest = (functions, golden = []) => JSON.stringify({
    task: "CausalLM", rule: "continuation", reads: "prompt", task_options: {}, labels: null, max_length: Sums.CACHE, length: null,
    quantization: "float32", kzoo: "0", tolerance: 0.01, limits: {}, minimum_runtime: {}, files: {}, signature: signature(functions), golden,
  });
  const functions = () => [new Sums("decode", 1), new Sums("prefill", 4, -1)];
  const writer = (golden, special = null, all = functions()) => core.writer(tokenizer, all, manifest(all, golden), special);
  const text = (ids) => ids.map((id) => `w${id}`).join(" ");

  /** What the sums are behind a prompt. */
  function sums(prompt, count) {
    const all = [...prompt];
    while (all.length < prompt.length + count) all.push(all.reduce((a, b) => a + b) % Sums.VOCABULARY);
    return all.slice(prompt.length);
  }

  function toEnd(writing) {
    const pieces = [];
    while (!writing.ended) pieces.push(writing.next());
    return pieces.join("");
  }

  test("prompts of any number of parts are read, and as much is written as there is room for", () => {
    const one = writer();
    for (const length of [1, 2, 5, 6, 9, 16, 1]) {
      const prompt = Array.from({ length }, (_, i) => 3 * i + 1);
      const expected = sums(prompt, Sums.CACHE + 1 - length);
      const writing = one.begin(text(prompt), null, true);
      const written = toEnd(writing);
      assert.deepEqual(Array.from(writing.tokenIds), expected);
      assert.ok(expected.every((id) => id > 0), "[UNK] would have other text");
      assert.equal(written.trim(), text(expected));
      assert.deepEqual(JSON.parse(writing.json()), { text: text(prompt), tokens: length, truncated: false, continuation: written });
      assert.ok(!writing.whole && writing.firstMilliseconds >= 0);
    }
  });

  test("the token that special_tokens_map.json names ends the text", () => {
    const writing = writer([], JSON.stringify({ eos_token: "w16" })).begin("w1 w3", null, true);
    toEnd(writing);
    assert.deepEqual([Array.from(writing.tokenIds), writing.whole], [[4, 8, 16], true]);
  });

  test("a golden example passes with what it has, and fails with another token", () => {
    const example = (ids) => ({ text: "w1 w3 w7", token_ids: [1, 3, 7], outputs: { token_ids: ids, logits: [0, 0, 0] } });
    const all = writer([example(sums([1, 3, 7], 5)), example([11, 22, 45, 1]), { ...example([11]), token_ids: [1, 3] }]);
    const reasons = [0, 1, 2].map((place) => {
      const again = all.again(place);
      while (!again.ended) again.next();
      return again.reason;
    });
    assert.deepEqual(reasons, [null, "written otherwise from token 2 on", "tokenized otherwise from token 2 on"]);
  });

  test("what can't be written on from, and a model that doesn't fit, is one sentence", () => {
    const long = text(Array.from({ length: Sums.CACHE + 1 }, () => 1));
    const [decode, prefill] = functions();
    for (const [what, words] of [
      [() => writer().begin(long, null, true), /Got 17 tokens to write on from and 1 new ones; expected 17 together at most/],
      [() => writer().begin("", null, true), /no token that the model could read/],
      [() => writer().begin("w1", "w2", true), /reads one text at a time; got a pair/],
      [() => writer([], null, [decode]), /has the functions decode; expected decode and prefill/],
      [() => core.writer(tokenizer, [decode, new Sums("prefill", 4)], manifest([decode, new Sums("prefill", 4, 8)]), null), /has not the function prefill/],
      [() => (decode.at["outputs logits"].fill(NaN), decode.run = () => {}, writer([], null, [decode, prefill]).begin("w1", null, true).next()), /gives logits that is no number/],
    ]) {
      assert.throws(what, (error) => words.test(core.sentence(error) ?? error.stack), String(words));
    }
  });

  test("what a function throws comes through", () => {
    const [decode, prefill] = functions();
    decode.run = () => { throw new RangeError("no memory"); };
    assert.throws(() => writer([], null, [decode, prefill]).begin("w1", null, true).next(), RangeError);
  });
});

/** The pixels of a PNG file of 8 bits in grey or RGB, as a canvas has them. */
function png(file) {
  const [width, height, channels] = [file.readUInt32BE(16), file.readUInt32BE(20), { 0: 1, 2: 3 }[file[25]]];
  assert.ok(file[24] === 8 && channels && !file[28], "a golden picture of 8 bits in grey or RGB");
  const parts = [];
  for (let place = 8; place < file.length; place += 12 + file.readUInt32BE(place)) {
    if (file.toString("latin1", place + 4, place + 8) === "IDAT") parts.push(file.subarray(place + 8, place + 8 + file.readUInt32BE(place)));
  }
  const [raw, size] = [zlib.inflateSync(Buffer.concat(parts)), width * channels];
  const levels = new Uint8Array(size * height);
  for (let place = 0; place < levels.length; place++) {
    const [row, column] = [Math.floor(place / size), place % size];
    const left = column < channels ? 0 : levels[place - channels];
    const [above, corner] = row ? [levels[place - size], column < channels ? 0 : levels[place - size - channels]] : [0, 0];
    const far = [left, above, corner].map((each) => Math.abs(left + above - corner - each));
    const nearest = [left, above, corner][far.indexOf(Math.min(...far))];
    const guessed = [0, left, above, (left + above) >> 1, nearest][raw[row * (size + 1)]];
    levels[place] = raw[row * (size + 1) + 1 + column] + guessed;
  }
  const colours = Int8Array.from({ length: 4 * width * height }, (_, i) => (i % 4 === 3 ? 255 : levels[(i >> 2) * channels + (i % 4) * (channels >> 1)]));
  return { width, height, colours };
}

describe("of a golden example the model reads what it read at the export", { skip: !fs.existsSync(path.join(SMALL, "words")) && "no small bundles" }, () => {
  const readers = {
    image: (manifest, config) => {
      const reader = core.pictures(manifest, config);
      return (name, file) => {
        const { width, height, colours } = png(file);
        return [false, true].map((older) => reader.read(name, width, height, colours, older).levels());
      };
    },
    sound: (manifest, config) => {
      const reader = core.sounds(manifest, config);
      return (name, file) => [reader.read(name, new Int8Array(file)).samples()];
    },
  };
  for (const name of ["pictures", "pictures_grey", "sounds", "words"]) {
    test(name, () => {
      const read = (file, encoding) => fs.readFileSync(path.join(SMALL, name, file), encoding);
      const manifest = read("kzoo.json", "utf8");
      const { golden, reads } = JSON.parse(manifest);
      const reader = readers[reads](manifest, read("preprocessor_config.json", "utf8"));
      assert.ok(golden.length >= 6);
      for (const example of golden) {
        const digests = reader(example[reads], read(example[reads])).map((values) =>
          createHash("sha256").update(new Uint8Array(values.buffer, values.byteOffset, values.byteLength)).digest("hex"));
        assert.ok(digests.includes(example.sha256), example[reads]);
      }
    });
  }

  test("what is no sound, and a picture without pixels, is one sentence that names it", () => {
    const of = (name, open) => open(...["kzoo.json", "preprocessor_config.json"].map((file) => fs.readFileSync(path.join(SMALL, name, file), "utf8")));
    for (const [what, words] of [
      [() => of("words", core.sounds).read("a.wav", bytes("This is text.")), /^a\.wav can't be read as sound/],
      [() => of("words", core.sounds).hear("a.wav", new Float32Array(0), 16000), /^a\.wav has no samples/],
      [() => of("pictures", core.pictures).read("a.png", 0, 3, new Int8Array(0), false), /^a\.png has no pixels/],
      [() => of("words", core.pictures), /reads samples; this program gives it images/],
    ]) {
      assert.throws(what, (error) => words.test(core.sentence(error) ?? error.stack), String(words));
    }
  });
});
