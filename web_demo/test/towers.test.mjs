// Two towers on the page: pictures that are chosen or dropped, found by words as Python finds them.

import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import fs from "node:fs";
import path from "node:path";
import { describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { changed, SMALL } from "./bundles.mjs";
import { site } from "./site.mjs";

const HERE = path.dirname(fileURLToPath(import.meta.url));
const TOWERS = path.join(SMALL, "towers");
const FILES = path.join(SMALL, "files");
const WRITTEN = JSON.parse(fs.readFileSync(path.join(SMALL, "towers.json"), "utf8"));
const NEAR = 1e-4;
const PICTURES = WRITTEN.pictures.map((each) => path.join(SMALL, each));

const bundles = { towers: TOWERS, files: FILES };
const { scratch, opened } = site(bundles);

const problem = async (page) => (await page.waitForSelector("#problem:visible")).textContent();
const names = (page) => page.locator("#found .name").allTextContents();

/** Gives files to one of the page's choosers, and waits until so many were looked at. */
async function choose(page, chooser, files, count) {
  await page.evaluate(() => (document.getElementById("find-figures").textContent = ""));
  await page.setInputFiles(chooser, files);
  await page.waitForFunction((words) => document.getElementById("find-figures").textContent.startsWith(words), `${count} picture`);
}

/** Types what is looked for, and waits for what is said then. */
async function look(page, words) {
  await page.evaluate(() => (document.getElementById("find-told").textContent = ""));
  await page.fill("#words", words);
  await page.waitForFunction(() => document.getElementById("find-told").textContent || !document.getElementById("problem").hidden);
}

describe("pictures are found", () => {
  test("by words, as Python finds them, and the golden examples of both towers pass", async () => {
    const page = await opened("towers");
    assert.equal(await page.textContent("#title"), "Find pictures by words");
    assert.match(await page.textContent("#golden-summary"), /^24 of 24 pass/);
    assert.equal(await page.locator("#latency li").count(), 2); // A picture, and 16 tokens.
    assert.match(await page.textContent("#facts"), /clip_image, clip_text.*32 × 32 pixels, 24 tokens/);
    await choose(page, "#photos", PICTURES, PICTURES.length);
    assert.deepEqual(await names(page), PICTURES.map((each) => path.basename(each)));
    for (const { query, found } of WRITTEN.searches.filter(({ query }) => query)) {
      await look(page, query);
      assert.deepEqual((await names(page)).slice(0, found.length), found.map(({ image }) => path.basename(image)), query);
      const scores = await page.locator("#found .value").allTextContents();
      found.forEach(({ score }, place) => assert.ok(Math.abs(parseFloat(scores[place]) - score) < NEAR + 5e-4, `${query}: ${scores[place]}, not ${score}`));
      assert.match(await page.textContent("#find-told"), new RegExp(`^Nearest, .*: ${path.basename(found[0].image)}$`));
    }
    assert.deepEqual(page.failures, []);
    await page.close();
  });

  test("with the labels that Python gives them, the bundle's and others", async () => {
    const page = await opened("towers");
    const answers = await page.evaluate(async ({ pictures, asked }) => {
      const [{ Client }, { ServedFiles }] = await Promise.all([import("/src/client.js"), import("/src/files.js")]);
      const client = await Client.open(await ServedFiles.of("/towers/"));
      const seen = [];
      for (const name of pictures) {
        const bytes = new Uint8Array(await (await fetch(`/${name}`)).arrayBuffer());
        seen.push([name, (await client.answer({ name, bytes })).embedding]);
      }
      const found = [];
      for (const { labels, templates } of asked) {
        const names = await client.names(labels, templates);
        found.push(seen.map(([name, embedding]) => JSON.parse(names.json(name, embedding))));
      }
      return found;
    }, WRITTEN);
    for (const [place, { answers: expected }] of WRITTEN.asked.entries()) {
      for (const [i, { scores, score, ...rest }] of expected.entries()) {
        const { scores: here, score: best, ...others } = answers[place][i];
        assert.deepEqual(others, rest);
        assert.deepEqual(Object.keys(here), Object.keys(scores));
        for (const [label, value] of [...Object.entries(scores)]) assert.ok(Math.abs(here[label] - value) < NEAR, `${rest.image} ${label}`);
        assert.ok(Math.abs(best - score) < NEAR);
      }
    }
    await choose(page, "#photos", PICTURES.slice(3, 5), 2);
    const shown = () => page.locator("#found .label").allTextContents();
    assert.equal(await page.inputValue("#labels"), "four\nseven");
    assert.deepEqual((await shown()).map((each) => each.split(" · ")[0]), ["four", "seven"]);
    await page.fill("#labels", "the digit seven\n the digit seven");
    assert.match(await problem(page), /Got the labels the digit seven, the digit seven; expected each once/);
    await page.fill("#labels", "a woman");
    await page.waitForFunction(() => document.querySelectorAll("#found .label").length === 2 && document.getElementById("problem").hidden);
    assert.deepEqual(await shown(), ["a woman · 100.0 %", "a woman · 100.0 %"]);
    await page.fill("#labels", "");
    await page.waitForFunction(() => !document.querySelectorAll("#found .label").length);
    assert.deepEqual(page.failures, []);
    await page.close();
  });

  test("like the one that is pressed, and what is dropped stands beside the others", async () => {
    const page = await opened("towers");
    await choose(page, "#photos", PICTURES, PICTURES.length);
    await look(page, "the digit four");
    await page.click('#found button[aria-label="Most like logo.png"]');
    await page.waitForFunction(() => document.getElementById("find-told").textContent === "Nearest, 1.000: logo.png");
    assert.equal(await page.inputValue("#words"), "");
    await page.evaluate(async () => {
      const data = new DataTransfer();
      for (const name of ["grey.png", "column.png"]) data.items.add(new File([await (await fetch(`/files/${name}`)).blob()], name, { type: "image/png" }));
      document.dispatchEvent(new DragEvent("drop", { dataTransfer: data, cancelable: true }));
    });
    await page.waitForFunction(() => document.getElementById("find-figures").textContent.startsWith("12 pictures"));
    assert.deepEqual((await names(page)).slice(0, 1), ["logo.png"]);
    await page.close();
  });

  test("in a folder, where other files don't count and what can't be read is told", async () => {
    const page = await opened("towers");
    const album = path.join(scratch, "album");
    for (const [name, from] of [["b/seven.png", "seven.png"], ["four.png", "four.png"], [".thumbs/x.png", "four.png"]]) {
      fs.cpSync(path.join(FILES, from), path.join(album, name));
    }
    for (const name of ["broken.png", "notes.txt"]) fs.writeFileSync(path.join(album, name), "none");
    await choose(page, "#album", album, 2);
    assert.deepEqual(await names(page), ["b/seven.png", "four.png"]);
    assert.match(await page.textContent("#find-note:visible"), /^broken\.png is no picture that this browser reads/);
    const empty = path.join(scratch, "empty");
    fs.mkdirSync(empty);
    fs.writeFileSync(path.join(empty, "notes.txt"), "none");
    await page.setInputFiles("#album", empty);
    assert.match(await problem(page), /There are no pictures in this folder/);
    await look(page, "the digit seven");
    assert.deepEqual(await names(page), ["b/seven.png", "four.png"]); // Those from before.
    assert.equal(await page.locator("#problem:visible").count(), 0);
    await page.close();
  });

  test("not by what a tower would cut, or what holds nothing", async () => {
    const page = await opened("towers");
    for (const [words, said] of [["dog ".repeat(99), /Got the text "dog .*longer than the 24 tokens that are read; expected a shorter one\.$/], ["\u0001", /Nothing in this text/]]) {
      await look(page, words);
      assert.match(await problem(page), said);
      assert.equal(await page.locator("#found li").count(), 0);
    }
    await look(page, "a round chart");
    assert.equal(await page.locator("#problem:visible").count(), 0);
    assert.deepEqual(page.failures, []);
    await page.close();
  });

  test("on a phone with letters of double size, and every control has a name", async () => {
    const page = await opened("towers", { viewport: { width: 320, height: 640 } });
    await page.evaluate(() => (document.documentElement.style.fontSize = "200%"));
    await look(page, "the digit four");
    assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth));
    for (const control of await page.locator("button:visible, textarea:visible, input").all()) {
      assert.ok(await control.evaluate((node) => node.ariaLabel || node.textContent.trim() || node.labels?.[0]?.textContent.trim()));
    }
    await page.close();
  });
});

test("a folder, a zip and a dropped zip of both towers are opened", async () => {
  const page = await opened("towers");
  const zip = path.join(scratch, "two.zip");
  execFileSync("python3", ["-m", "zipfile", "-c", zip, TOWERS]);
  const flat = path.join(scratch, "flat.zip");
  execFileSync("python3", ["-m", "zipfile", "-c", flat, ...fs.readdirSync(TOWERS).map((name) => path.join(TOWERS, name))]);
  for (const [chooser, file, title] of [["#folder", TOWERS, "towers"], ["#zip", zip, "two.zip"], ["#zip", flat, "flat.zip"]]) {
    await page.setInputFiles(chooser, file);
    await page.waitForFunction((name) => document.getElementById("bundle-title").textContent === name && document.body.dataset.state === "done", title);
    assert.equal(await page.locator("#find:visible").count(), 1);
  }
  for (const [outside, words] of [["image/more/x", /image\/more\/x outside of the bundle/], ["other/x", /other\/x outside of the bundle/]]) {
    const folder = changed(TOWERS, path.join(scratch, "outside"), (target) => {
      fs.mkdirSync(path.dirname(path.join(target, outside)), { recursive: true });
      fs.writeFileSync(path.join(target, outside), "x");
    });
    execFileSync("python3", ["-m", "zipfile", "-c", zip, folder]);
    fs.rmSync(folder, { recursive: true });
    await page.setInputFiles("#zip", zip);
    await page.waitForFunction(() => document.body.dataset.state === "failed");
    assert.match(await problem(page), words);
    await page.evaluate(() => delete document.body.dataset.state);
  }
  assert.deepEqual(page.failures, []);
  await page.close();
});

test("the command line searches and labels as Python does", () => {
  const run = (input, ...options) => spawnSync("node", [path.join(HERE, "..", "client.mjs"), "predict", ...options], { input, encoding: "utf8" });
  const paths = `${PICTURES.join("\n")}\n`;
  const [{ query, top, found }] = WRITTEN.searches;
  const searched = run(paths, TOWERS, "--search", query, "--top", String(top));
  assert.equal(searched.stderr, "");
  const hits = searched.stdout.trim().split("\n").map((line) => JSON.parse(line));
  assert.deepEqual(hits.map(({ index, image }) => [index, image]), found.map(({ index, image }) => [index, path.join(SMALL, image)]));
  const [, { labels, answers }] = WRITTEN.asked;
  const labelled = run(paths, TOWERS, ...labels.flatMap((label) => ["--label", label])).stdout.trim().split("\n").map((line) => JSON.parse(line));
  assert.deepEqual(labelled.map(({ label, image }) => [label, image]), answers.map(({ label, image }) => [label, path.join(SMALL, image)]));
  for (const [options, words] of [
    [[TOWERS, "--search", "a", "--label", "a"], /Got --search and --label; expected one of the two/],
    [[TOWERS, "--search", "a", "--top", "0"], /Got --top 0; expected a whole number/],
    [[TOWERS, "--search"], /Got --search and nothing behind it/],
    [[TOWERS, "--pairs"], /tab/],
    [[path.join(SMALL, "pictures"), "--label", "a"], /expected a bundle of pictures and texts/],
  ]) {
    const { status, stdout, stderr } = run(paths, ...options);
    assert.deepEqual([status, stdout], [2, ""]);
    assert.match(stderr, /^error: [^\n]+\.\n$/);
    assert.match(stderr, words);
  }
});

describe("what was changed is one sentence", () => {
  const UNSEALED = "0".repeat(64);
  const together = (change, sealed) => (folder) => {
    const file = path.join(folder, "towers.json");
    const fields = change(JSON.parse(fs.readFileSync(file, "utf8")));
    const text = JSON.stringify(sealed ? { ...fields, seal: UNSEALED } : fields, null, 1);
    fs.writeFileSync(file, sealed ? text.replace(UNSEALED, createHash("sha256").update(text).digest("hex")) : text);
  };
  const swapped = ({ towers: { image, text }, ...fields }) => ({ ...fields, towers: { image: text, text: image } });
  for (const [name, change, words] of [
    ["scale", together((fields) => ({ ...fields, scale: 1 })), /towers\.json was changed after the export: its seal doesn't fit/],
    ["more", together((fields) => ({ ...fields, more: 1 }), true), /its seal doesn't fit/],
    ["label", together((fields) => ({ ...fields, labels: [1] }), true), /its seal doesn't fit/],
    ["negative", together((fields) => ({ ...fields, scale: -1 }), true), /its seal doesn't fit/],
    ["format", together((fields) => ({ ...fields, format: 2 }), true), /towers\.json is of format 2; this page reads 1/],
    ["list", (folder) => fs.writeFileSync(path.join(folder, "towers.json"), "[1]"), /towers\.json holds \[1\]; what holds two towers together, a JSON object, was expected there/],
    ["report", (folder) => fs.writeFileSync(path.join(folder, "report.json"), "{}"), /report\.json was changed after the export: its SHA-256 is another/],
    ["tower", together(swapped, true), /image\/kzoo\.json isn't the one that towers\.json was written for/],
    ["exchanged", (folder) => {
      for (const [from, to] of [["image", "other"], ["text", "image"], ["other", "text"]]) fs.renameSync(path.join(folder, from), path.join(folder, to));
      together(swapped, true)(folder);
    }, /image\/kzoo\.json isn't the one that towers\.json was written for/],
    ["model", (folder) => fs.appendFileSync(path.join(folder, "image", "model.tflite"), " "), /model\.tflite was changed after the export/],
    ["missing", (folder) => fs.rmSync(path.join(folder, "text"), { recursive: true }), /text holds no kzoo\.json/],
  ]) {
    test(name, async () => {
      bundles[name] = changed(TOWERS, path.join(scratch, name), change);
      const page = await opened(name);
      const said = await problem(page);
      assert.match(said, words);
      assert.match(said, /^[^\n]+\.$/);
      assert.deepEqual(page.failures, []);
      await page.close();
    });
  }
});
