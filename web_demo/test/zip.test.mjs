// Zips, good and bad: only what is asked for is inflated, and no more of it than the zip says.

import assert from "node:assert/strict";
import { register } from "node:module";
import { test } from "node:test";
import { pathToFileURL } from "node:url";
import zlib from "node:zlib";
import { CORE } from "../assemble.mjs";

// What the page's import map does in a browser.
register(`data:text/javascript,${encodeURIComponent(`export const resolve = (name, context, next) =>
  next(name === "@kzoo/core" ? "${pathToFileURL(CORE)}" : name, context);`)}`);
const { Bundle } = await import("../src/bundle.js");
const { KzooError } = await import("../src/errors.js");
const { ChosenFiles } = await import("../src/files.js");
const { unzip } = await import("../src/zip.js");

/** A zip of {path: {content, size = its length, stored = false}} as a File. */
function zipped(files) {
  const [parts, directory] = [[], []];
  let place = 0;
  for (const [path, { content, size = content.length, stored = false }] of Object.entries(files)) {
    const name = Buffer.from(path);
    const packed = stored ? content : zlib.deflateRawSync(content);
    const common = Buffer.alloc(26); // From "version needed" to "extra field length", alike in both headers.
    common.writeUInt16LE(stored ? 0 : 8, 4);
    common.writeUInt32LE(packed.length, 14);
    common.writeUInt32LE(size, 18);
    common.writeUInt16LE(name.length, 22);
    const local = Buffer.concat([Buffer.from("PK\x03\x04"), common, name, packed]);
    const offset = Buffer.alloc(14);
    offset.writeUInt32LE(place, 10);
    directory.push(Buffer.from("PK\x01\x02\0\0"), common, offset, name);
    parts.push(local);
    place += local.length;
  }
  const list = Buffer.concat(directory);
  const end = Buffer.alloc(22);
  end.write("PK\x05\x06", "latin1");
  end.writeUInt16LE(Object.keys(files).length, 8);
  end.writeUInt16LE(Object.keys(files).length, 10);
  end.writeUInt32LE(list.length, 12);
  end.writeUInt32LE(place, 16);
  return new File([...parts, list, end], "some.zip");
}

const text = Buffer.from("Much of this repeats. ".repeat(5000));
const zeros = Buffer.alloc(512 * 2 ** 20);
const sentence = (words) => (error) => error instanceof KzooError && words.test(error.message) && /^[^\n]+\.$/.test(error.message);

/** The most that the process grows by meanwhile, in MB. */
async function growth(act) {
  const before = process.memoryUsage.rss();
  let most = before;
  const watch = setInterval(() => (most = Math.max(most, process.memoryUsage.rss())), 1);
  try {
    await act();
  } finally {
    clearInterval(watch);
  }
  return (Math.max(most, process.memoryUsage.rss()) - before) / 2 ** 20;
}

test("deflated and stored files come out as they went in", async () => {
  const found = await unzip(zipped({ "a/deflated": { content: text }, "a/stored": { content: text, stored: true }, "a/": { content: Buffer.alloc(0) } }));
  assert.deepEqual([...found.keys()], ["a/deflated", "a/stored"]);
  for (const entry of found.values()) {
    assert.equal(entry.size, text.length);
    assert.deepEqual(Buffer.from(await entry.arrayBuffer()), text);
  }
});

test("a file that is larger or smaller than the zip says is no whole zip", async () => {
  for (const stored of [false, true]) {
    for (const size of [0, 1, text.length - 1, text.length + 1]) {
      const found = await unzip(zipped({ a: { content: text, size, stored } }));
      await assert.rejects(found.get("a").arrayBuffer(), sentence(/^some\.zip is no whole zip/));
    }
  }
});

test("half a gigabyte behind the size of a few bytes is not inflated", async () => {
  const file = zipped({ "kzoo.json": { content: zeros, size: 1000 } });
  const grown = await growth(() => assert.rejects(async () => Bundle.open(await ChosenFiles.of([file])), sentence(/no whole zip/)));
  assert.ok(grown < 100, `grew by ${grown} MB`);
});

test("half a gigabyte that kzoo.json doesn't list, or lists as less, is not inflated", async () => {
  const file = zipped({ "kzoo.json": { content: Buffer.from("{}") }, other: { content: zeros } });
  const grown = await growth(() => assert.rejects(async () => Bundle.open(await ChosenFiles.of([file])), sentence(/names no format/)));
  assert.ok(grown < 100, `grew by ${grown} MB`);
  const large = zipped({ "kzoo.json": { content: zeros } });
  await assert.rejects(async () => Bundle.open(await ChosenFiles.of([large])), sentence(/kzoo\.json has 536870912 bytes/));
});

test("the sum of what one zip gives has a limit", async () => {
  const content = Buffer.from("a");
  const found = await unzip(zipped({ a: { content, size: 2 ** 31 + 1 }, b: { content } }));
  await assert.rejects(found.get("a").arrayBuffer(), sentence(/more than 2 GB/));
});

const small = Buffer.from("{}");
const chosen = (names) => ChosenFiles.of([zipped(Object.fromEntries(names.map((name) => [name, { content: small }])))]);

test("what macOS adds to a zip or leaves in a folder is no part of the bundle", async () => {
  for (const prefix of ["", "b/", "a b/"]) {
    const names = [`${prefix}kzoo.json`, `${prefix}model.tflite`];
    const added = ["__MACOSX/._b", `__MACOSX/${prefix}._kzoo.json`, "__MACOSX/kzoo.json", `${prefix}.DS_Store`, `${prefix}._model.tflite`, "._b"];
    for (const order of [[...names, ...added], [...added, ...names]]) {
      const found = await chosen(order);
      assert.deepEqual([...found.files.keys()].sort(), ["kzoo.json", "model.tflite"]);
    }
  }
  const folder = ["kzoo.json", ".DS_Store", "._kzoo.json", "__MACOSX/kzoo.json"].map((name) => new File([small], name));
  assert.deepEqual([...(await ChosenFiles.of(folder)).files.keys()], ["kzoo.json"]);
});

test("a zip that reaches outside of its folder is refused", async () => {
  for (const name of ["../evil", "/evil", "b/../evil", "b/..\\evil", "b/inner/evil", "other/evil", "b/..", "c", "C:/evil", "b/C:evil"]) {
    await assert.rejects(chosen(["b/kzoo.json", name]), sentence(/outside of the bundle/), name);
  }
  for (const prefix of ["../", "/", "C:/", "c:x/", "a\\b/", "a/b/"]) {
    await assert.rejects(chosen([`${prefix}kzoo.json`]), sentence(/outside of the bundle/), prefix);
  }
  await assert.rejects(chosen(["\\kzoo.json"]), sentence(/No kzoo\.json came/));
});
