// Pictures and sounds on the page: files, the camera and the microphone, which Chromium feeds from files.

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { after, describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import zlib from "node:zlib";
import { SMALL, written } from "./bundles.mjs";
import { launch, opened, serve } from "./browser.mjs";

const HERE = path.dirname(fileURLToPath(import.meta.url));
const FILES = path.join(SMALL, "files");
const scratch = fs.mkdtempSync(path.join(os.tmpdir(), "kzoo-senses-"));
const SIDES = [64, 48];

/** A film of one grey level, as YUV4MPEG2 of 4:2:0. */
function film(file, level) {
  const [width, height] = SIDES;
  const frame = Buffer.concat([Buffer.from("FRAME\n"), Buffer.alloc(width * height, level), Buffer.alloc(width * height / 2, 128)]);
  fs.writeFileSync(file, Buffer.concat([Buffer.from(`YUV4MPEG2 W${width} H${height} F10:1 Ip A1:1 C420\n`), ...Array(5).fill(frame)]));
  return file;
}

const FAKE = ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream",
  `--use-file-for-fake-audio-capture=${path.join(FILES, "long.wav")}`, `--use-file-for-fake-video-capture=${film(path.join(scratch, "grey.y4m"), 126)}`];
const names = ["pictures", "pictures_grey", "sounds", "words", "classifier"];
const server = await serve(Object.fromEntries(names.map((name) => [name, path.join(SMALL, name)])));
const browser = await launch(FAKE);
const without = await launch(); // It has neither camera nor microphone.
after(async () => {
  await browser.close();
  await without.close();
  await server.close();
  fs.rmSync(scratch, { recursive: true, force: true });
});

const answerTo = (name, file) => written(name).find((row) => Object.values(row).includes(`files/${file}`));
const best = (page, bars) => page.textContent(`#${bars} .best .name`);
const problem = async (page) => (await page.waitForSelector("#problem:visible")).textContent();

/** Gives the page a file as a drop or as what is pasted. */
const given = (page, kind, file, type) => page.evaluate(([event, name, text, mime]) => {
  const data = new DataTransfer();
  data.items.add(new File([Uint8Array.from(atob(text), (each) => each.charCodeAt(0))], name, { type: mime }));
  const [Event, key] = event === "drop" ? [DragEvent, "dataTransfer"] : [ClipboardEvent, "clipboardData"];
  document.dispatchEvent(new Event(event, { [key]: data, cancelable: true }));
}, [kind, path.basename(file), fs.readFileSync(file, "base64"), type]);

describe("pictures", () => {
  test("one that is chosen, dropped or pasted gets Python's label, and is shown upright", async () => {
    const page = await opened(browser, server, "pictures");
    const file = path.join(FILES, "held_sideways.jpg");
    const { label, score } = answerTo("pictures", "held_sideways.jpg");
    for (const give of [() => page.setInputFiles("#picture-file", file), () => given(page, "drop", file, "image/jpeg"), () => given(page, "paste", file, "image/jpeg")]) {
      await page.evaluate(() => (document.getElementById("picture-figures").textContent = ""));
      await give();
      await page.waitForFunction(() => document.getElementById("picture-figures").textContent.startsWith("250 × 200 pixels"));
      assert.equal(await best(page, "picture-bars"), label);
      assert.ok(Math.abs(parseFloat(await page.textContent("#picture-bars .best .value")) - 100 * score) < 0.1);
      assert.equal(await page.getAttribute("#seen canvas", "width"), "250");
    }
    assert.deepEqual(page.failures, []);
    await page.close();
  });

  test("what the camera sees is answered, and the camera is let go", async () => {
    const page = await opened(browser, server, "pictures");
    await page.click("#camera");
    await page.waitForFunction(() => document.getElementById("video").videoWidth);
    await page.click("#shoot");
    await page.waitForFunction(() => document.querySelector("#seen canvas")?.getAttribute("aria-label") === "what the camera sees");
    const grey = await page.evaluate(() => {
      const canvas = document.querySelector("#seen canvas");
      return [...canvas.getContext("2d").getImageData(canvas.width >> 1, canvas.height >> 1, 1, 1).data];
    });
    assert.ok(grey.slice(0, 3).every((level) => Math.abs(level - 128) < 6), String(grey));
    assert.equal(await page.locator("#picture-bars .best").count(), 1);
    await page.evaluate(() => (window.track = document.getElementById("video").srcObject.getTracks()[0]));
    await page.click("#camera");
    assert.equal(await page.evaluate(() => window.track.readyState), "ended");
    assert.deepEqual(page.failures, []);
    await page.close();
  });

  test("vectors find the nearest of the pictures", async () => {
    const page = await opened(browser, server, "pictures_grey");
    await page.setInputFiles("#picture-file", path.join(FILES, "grey.png"));
    await page.waitForFunction(() => document.getElementById("picture-figures").textContent.startsWith("200 × 250"));
    await page.setInputFiles("#picture-file", path.join(FILES, "transparent.png"));
    await page.waitForFunction(() => [...document.querySelectorAll("#picture-bars .name")].some((each) => each.textContent === "grey.png"));
    await page.close();
  });

  test("what is no picture is one sentence, and the next one is answered", async () => {
    const page = await opened(browser, server, "pictures");
    const cut = path.join(scratch, "cut.png");
    fs.writeFileSync(cut, fs.readFileSync(path.join(FILES, "whole.png")).subarray(0, 50_000));
    fs.writeFileSync(path.join(scratch, "none.png"), "");
    fs.writeFileSync(path.join(scratch, "bomb.png"), black(16_000));
    await page.evaluate(() => {
      const make = window.createImageBitmap;
      window.unpacked = 0;
      window.createImageBitmap = (...given) => (window.unpacked++, make(...given));
    });
    for (const [file, words] of [
      [cut, /^cut\.png is no picture that this browser reads, or a damaged one/],
      [path.join(scratch, "none.png"), /^none\.png is empty/],
      [path.join(scratch, "bomb.png"), /^bomb\.png is 16000 by 16000 pixels, more than a browser holds/],
    ]) {
      await page.setInputFiles("#picture-file", file);
      await page.waitForFunction((name) => document.getElementById("problem").textContent.startsWith(name), path.basename(file));
      assert.match(await problem(page), words);
      assert.equal(await page.locator("#picture-bars li").count(), 0);
    }
    const unpacked = await page.evaluate(() => window.unpacked);
    await page.setInputFiles("#picture-file", path.join(FILES, "grey.png"));
    await page.waitForSelector("#picture-bars .best");
    // The bomb's sizes were looked at before there were pixels of it; each other file is asked for once at most.
    assert.deepEqual([unpacked, await page.evaluate(() => window.unpacked)], [1, 2]);
    assert.equal(await page.locator("#problem:visible").count(), 0);
    await page.close();
  });
});

/** A small PNG file of many pixels. */
function black(side) {
  const chunk = (name, data) => {
    const body = Buffer.concat([Buffer.from(name), data]);
    const [size, sum] = [Buffer.alloc(4), Buffer.alloc(4)];
    size.writeUInt32BE(data.length);
    sum.writeUInt32BE(zlib.crc32(body));
    return Buffer.concat([size, body, sum]);
  };
  const head = Buffer.from([0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0]); // One bit of grey.
  head.writeUInt32BE(side, 0);
  head.writeUInt32BE(side, 4);
  const rows = zlib.deflateSync(Buffer.alloc(side * (1 + Math.ceil(side / 8))));
  return Buffer.concat([Buffer.from("\x89PNG\r\n\x1a\n", "latin1"), chunk("IHDR", head), chunk("IDAT", rows), chunk("IEND", Buffer.alloc(0))]);
}

describe("sounds", () => {
  test("a WAV file gets Python's label, and it is said where it is longer than the model reads", async () => {
    const page = await opened(browser, server, "words");
    await page.setInputFiles("#sound-file", path.join(FILES, "long.wav"));
    await page.waitForFunction(() => document.getElementById("sound-figures").textContent.startsWith("long.wav · 1 second"));
    assert.equal(await best(page, "sound-bars"), answerTo("words", "long.wav").label);
    assert.match(await page.textContent("#sound-note:visible"), /longer than the model reads/);
    assert.deepEqual(page.failures, []);
    await page.close();
  });

  test("what the microphone hears is recorded for a second, and answered", async () => {
    const page = await opened(browser, server, "words");
    await page.click("#record");
    await page.waitForFunction(() => document.getElementById("sound-figures").textContent.startsWith("what the microphone hears · 1 second"));
    assert.equal(await page.textContent("#record"), "Record");
    assert.ok(await best(page, "sound-bars"));
    assert.deepEqual(page.failures, []);
    await page.close();
  });

  test("while it keeps listening, the newest second is answered until it is stopped", async () => {
    const page = await opened(browser, server, "words");
    await page.click("#keep");
    await page.waitForSelector("#heard li");
    assert.match(await page.textContent("#sound-figures"), /^what the microphone hears/);
    await page.click("#keep");
    assert.equal(await page.textContent("#keep"), "Keep listening");
    assert.equal(await page.isDisabled("#record"), false);
    assert.deepEqual(page.failures, []);
    await page.close();
  });

  test("what is no sound is one sentence", async () => {
    const page = await opened(browser, server, "words");
    fs.writeFileSync(path.join(scratch, "none.wav"), "This is text.");
    await page.setInputFiles("#sound-file", path.join(scratch, "none.wav"));
    assert.match(await problem(page), /^none\.wav can't be read as sound \(no WAV file\)/);
    assert.equal(await page.locator("#sound-bars li").count(), 0);
    await page.close();
  });
});

test("no camera or microphone is one sentence, and files are read all the same", async () => {
  for (const [name, button, words] of [["pictures", "#camera", /camera.*choose a file\.$/], ["words", "#record", /microphone.*choose a file\.$/]]) {
    const page = await opened(without, server, name);
    await page.click(button);
    assert.match(await problem(page), words);
    assert.equal(await page.textContent(button), button === "#camera" ? "Use the camera" : "Record");
    assert.deepEqual(page.failures, []);
    await page.close();
  }
});

test("the command line answers paths as Python does", () => {
  const run = (args, input) => spawnSync("node", [path.join(HERE, "..", "client.mjs"), ...args], { input, encoding: "utf8" });
  const file = path.join(FILES, "whole.png");
  const { stdout, stderr } = run(["predict", path.join(SMALL, "pictures")], `${file}\n`);
  assert.equal(stderr, "");
  const { image, label } = JSON.parse(stdout);
  assert.deepEqual([image, label], [file, answerTo("pictures", "whole.png").label]);
  for (const [args, input, words] of [[[], `${file}x\n`, /is no file; expected a picture or a sound/], [["--pairs"], "a\tb\n", /reads no texts, and so no --pairs/]]) {
    const refused = run(["predict", path.join(SMALL, "pictures"), ...args], input);
    assert.deepEqual([refused.status, refused.stdout], [2, ""]);
    assert.match(refused.stderr, words);
  }
});
