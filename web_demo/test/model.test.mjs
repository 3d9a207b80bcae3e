// A model's file in the browser: the lengths it is loaded for, and what is said of a damaged one.

import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import { after, before, describe, test } from "node:test";
import { fixed } from "../src/flatbuffer.js";
import { resealed, SMALL, written } from "./bundles.mjs";
import { site } from "./site.mjs";

const SUBGRAPHS = 2, TENSORS = 0, INPUTS = 1, SHAPE = 0; // Fields in a .tflite file.
const bundles = { entities: path.join(SMALL, "entities"), questions: path.join(SMALL, "questions") };
const manifest = JSON.parse(fs.readFileSync(path.join(bundles.entities, "kzoo.json"), "utf8"));
const whole = fs.readFileSync(path.join(bundles.entities, "model.tflite"));
const { scratch, opened } = site(bundles);
let page;

before(async () => (page = await opened("entities")));
after(() => assert.deepEqual(page?.failures, []));

describe("lengths", () => {
  const most = manifest.max_length;

  test("there are texts of every length that the file is loaded for, and of the most tokens or more", () => {
    const read = written("entities").map(({ tokens }) => tokens);
    for (const [least, longest] of [[1, 32], [33, 128], [129, most - 1], [most, Infinity]]) {
      assert.ok(read.some((tokens) => tokens >= least && tokens <= longest), `${least} to ${longest} among ${read}`);
    }
  });

  test("a row has the same outputs as in a file of just its length", async () => {
    const { text } = written("entities").find(({ tokens }) => tokens >= most);
    const found = await page.evaluate(async ([line, longest]) => {
      const names = ["bundle", "files", "model", "reader"];
      const [{ Bundle }, { ServedFiles }, { Model }, { Tokenizer }] = await Promise.all(names.map((name) => import(`/src/${name}.js`)));
      const bundle = await Bundle.open(await ServedFiles.of("/entities"));
      const ids = new Tokenizer(bundle.tokenizer).ids(line);
      const outputs = async (model, length) => Array.from((await model.run((name) =>
        Int32Array.from({ length }, (_, i) => ({ token_ids: ids[i], padding_mask: 1, segment_ids: 0 })[name]))).logits);
      const model = await Model.load(bundle.model, bundle.manifest);
      const rows = [];
      for (const length of [1, 31, 32, 33, 127, 128, 129, longest - 1, longest]) {
        const exact = await Model.load(bundle.model, { ...bundle.manifest, max_length: length });
        rows.push([length, await outputs(model, length), await outputs(exact, length)]);
        exact.delete();
      }
      model.delete();
      return rows;
    }, [text, most]);
    for (const [length, padded, exact] of found) {
      assert.equal(padded.length, length * manifest.labels.length);
      assert.equal(exact.length, padded.length);
      padded.forEach((value, i) => assert.ok(Math.abs(value - exact[i]) < 1e-4, `${length} tokens, number ${i}: ${value}, not ${exact[i]}`));
    }
  });

  test("an output that is not as long as the row comes whole", async () => {
    const sizes = await page.evaluate(async () => {
      const names = ["bundle", "files", "model"];
      const [{ Bundle }, { ServedFiles }, { Model }] = await Promise.all(names.map((name) => import(`/src/${name}.js`)));
      const bundle = await Bundle.open(await ServedFiles.of("/questions"));
      const [{ outputs }] = Object.values(bundle.manifest.signature);
      outputs.end_logits.shape = [1, 32]; // As if it had no places.
      const model = await Model.load(bundle.model, bundle.manifest);
      const found = await model.run(() => new Int32Array(7).fill(1));
      model.delete();
      return Object.fromEntries(Object.entries(found).map(([name, values]) => [name, values.length]));
    });
    assert.deepEqual(sizes, { start_logits: 7, end_logits: 32 });
  });
});

/** A copy of the model in which the vector that `find(field)` gives is said to have `count` items. */
function counted(find, count) {
  const copy = Buffer.from(whole);
  const follow = (place) => place + copy.readUInt32LE(place);
  const field = (table, number) => follow(table + copy.readUInt16LE(table - copy.readInt32LE(table) + 4 + 2 * number));
  const item = (vector, i) => follow(vector + 4 + 4 * i);
  copy.writeUInt32LE(count, find(field, item, follow(0), copy));
  return copy;
}

describe("a damaged model is one sentence within a second, and not about memory", () => {
  const graphs = (field, _, model) => field(model, SUBGRAPHS);
  const graph = (field, item, model) => item(graphs(field, item, model), 0);
  const tensors = (...read) => read[0](graph(...read), TENSORS);
  const shape = (field, item, model, bytes) => {
    const input = bytes.readInt32LE(field(graph(field, item, model), INPUTS) + 4);
    return field(item(tensors(field, item, model), input), SHAPE);
  };
  const damaged = {
    "cut in half": whole.subarray(0, whole.length >> 1),
    "its first 8 bytes": whole.subarray(0, 8),
    "TFL3 and nothing sensible": Buffer.concat([Buffer.from("\x10\0\0\0TFL3", "latin1"), Buffer.alloc(5000, 0xff)]),
    "four billion graphs": counted(graphs, 0xfffffff0),
    "four billion tensors": counted(tensors, 0xfffffff0),
    "no tensors": counted(tensors, 0),
  };

  for (const base of ["entities", "classifier"]) { // Loaded for a length, and as it is.
    for (const [name, bytes] of Object.entries(damaged)) {
      test(`${name}, for ${base}`, async () => {
        const id = `${base}-${Object.keys(damaged).indexOf(name)}`;
        bundles[id] = resealed(path.join(SMALL, base), path.join(scratch, id), (folder) => fs.writeFileSync(path.join(folder, "model.tflite"), bytes));
        const { said, took } = await page.evaluate(async (folder) => {
          const [{ Client }, { ServedFiles }, { KzooError }] = await Promise.all(["client", "files", "errors"].map((each) => import(`/src/${each}.js`)));
          const start = performance.now();
          const error = await ServedFiles.of(folder).then((files) => Client.open(files)).catch((thrown) => thrown);
          return { said: error instanceof KzooError ? error.message : String(error), took: performance.now() - start };
        }, `/${id}`);
        assert.match(said, /^model\.tflite can't be loaded \([^\n]+\): a file that LiteRT\.js reads was expected\.$/);
        assert.ok(took < 1000, `${took} ms`);
      });
    }
  }

  test("a shape of fewer numbers than its signature", () => {
    assert.throws(() => fixed(counted(shape, 1), 32), { message: "an offset in it leads out of the file" });
  });

  test("wherever the file ends", () => {
    for (let part = 0; part < 100; part++) {
      const bytes = new Uint8Array(whole.subarray(0, whole.length * part / 100));
      try {
        fixed(bytes, 32);
      } catch (error) {
        assert.ok(!(error instanceof RangeError) && error.message, `${part} %: ${error}`);
      }
    }
  });
});
