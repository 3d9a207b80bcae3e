// The page in headless Chromium, with the bundle that BUNDLE names (build/sentiment by default).
//     BUNDLE=build/sentiment npm test --prefix web_demo

import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import fs from "node:fs";
import path from "node:path";
import { describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { changeByte, changed, resealed } from "./bundles.mjs";
import { site } from "./site.mjs";

const HERE = path.dirname(fileURLToPath(import.meta.url));
const BUNDLE = path.resolve(process.env.INIT_CWD ?? ".", process.env.BUNDLE ?? path.join(HERE, "../../build/sentiment"));
const FILES = ["labels.txt", "model.tflite", "report.html", "report.json", "tokenizer.json"];
const manifest = JSON.parse(fs.readFileSync(path.join(BUNDLE, "kzoo.json"), "utf8"));
const golden = manifest.golden;
const bundles = { bundle: BUNDLE };
const served = site(bundles);
const { scratch, opened } = served;

/** What the page says of a text: its label and probability as they stand there. */
async function typed(page, text) {
  await page.evaluate(() => (document.getElementById("figures").textContent = ""));
  await page.fill("#text", text);
  await page.waitForFunction(() => document.getElementById("figures").textContent || !document.getElementById("note").hidden);
  return page.evaluate(() => ({
    label: document.querySelector("#bars .best .name")?.textContent ?? null,
    value: document.querySelector("#bars .best .value")?.textContent ?? null,
    labels: document.querySelectorAll("#bars li").length,
    note: document.getElementById("note").hidden ? "" : document.getElementById("note").textContent,
    problem: document.getElementById("problem").hidden ? "" : document.getElementById("problem").textContent,
  }));
}

function expected({ outputs }) {
  const [row] = outputs.logits;
  const raised = row.map((value) => Math.exp(value - Math.max(...row)));
  const best = row.indexOf(Math.max(...row));
  return { label: manifest.labels[best], probability: raised[best] / raised.reduce((a, b) => a + b) };
}

describe("a good bundle", () => {
  test("golden texts get their labels and probabilities when typed", async () => {
    const page = await opened();
    for (const example of golden) {
      const [found, written] = [await typed(page, example.text), expected(example)];
      assert.equal(found.label, written.label, example.text);
      assert.ok(Math.abs(parseFloat(found.value) - 100 * written.probability) < 3, `${example.text}: ${found.value}`);
      assert.equal(found.labels, manifest.labels.length);
    }
    assert.deepEqual(page.failures, []);
    await page.close();
  });

  test("golden examples are run again with a pass for each, and every file is checked", async () => {
    const page = await opened();
    assert.match(await page.textContent("#golden-summary"), new RegExp(`${golden.length} of ${golden.length} pass`));
    assert.equal(await page.locator("#golden li:not(.failed)").count(), golden.length);
    assert.deepEqual(await page.locator("#files .text").allTextContents(), ["kzoo.json", ...FILES]);
    assert.ok((await page.locator("#latency li").count()) >= 3);
    await page.close();
  });

  test("the last of many quick texts is the one that is answered", async () => {
    const page = await opened();
    for (const { text } of [...golden, ...golden]) await page.fill("#text", text);
    const { label, value } = await typed(page, golden[0].text);
    await page.waitForTimeout(500);
    assert.equal(await page.textContent("#bars .best .name"), label);
    assert.equal(await page.textContent("#bars .best .value"), value);
    await page.close();
  });

  test("texts of every kind are answered, or it is said why not", async () => {
    const page = await opened();
    const long = await typed(page, "I loved it. ".repeat(420_000)); // 5 MB
    assert.equal(long.label, "positive");
    assert.match(long.note, /first 128 tokens.*takes 50,000 characters/);
    for (const nothing of ["", "   ", "\u0001\u0002\u200b\u0007"]) {
      const found = await typed(page, nothing);
      assert.equal(found.label, null);
      assert.ok(found.note, JSON.stringify(nothing));
    }
    const plain = await typed(page, "I loved it.");
    // U+FFFD, which stands for the surrogate, is removed from the text.
    assert.deepEqual(await typed(page, "I lo\ud800ved it."), plain);
    assert.equal(plain.note + plain.problem, "");
    assert.deepEqual(page.failures, []);
    await page.close();
  });

  test("it opens from a folder and from a zip that the user chooses", async () => {
    const page = await opened();
    const zip = path.join(scratch, "packed.zip");
    execFileSync("python3", ["-m", "zipfile", "-c", zip, BUNDLE]);
    for (const [chooser, file] of [["#folder", BUNDLE], ["#zip", zip]]) {
      await page.setInputFiles(chooser, file);
      await page.waitForFunction(() => !document.body.dataset.state);
      await page.waitForSelector("body[data-state]");
      assert.equal(await page.getAttribute("body", "data-state"), "done");
      assert.equal(await page.textContent("#bundle-title"), path.basename(file));
      assert.match(await page.textContent("#golden-summary"), new RegExp(`${golden.length} of ${golden.length} pass`));
    }
    assert.deepEqual(page.failures, []);
    await page.close();
  });

  test("it opens from a zip that is dropped on the page", async () => {
    const page = await opened();
    bundles.zips = path.join(scratch, "zips");
    fs.mkdirSync(bundles.zips);
    execFileSync("python3", ["-m", "zipfile", "-c", path.join(bundles.zips, "dropped.zip"), BUNDLE]);
    await page.evaluate(async () => {
      const dataTransfer = new DataTransfer();
      dataTransfer.items.add(new File([await (await fetch("zips/dropped.zip")).blob()], "dropped.zip"));
      document.dispatchEvent(new DragEvent("drop", { dataTransfer, cancelable: true }));
    });
    await page.waitForFunction(() => document.getElementById("bundle-title").textContent === "dropped.zip");
    await page.waitForSelector("body[data-state=done]");
    assert.match(await page.textContent("#golden-summary"), new RegExp(`${golden.length} of ${golden.length} pass`));
    assert.deepEqual(page.failures, []);
    await page.close();
  });

  test("two labels stand in the bundle's order, also where they are numbers", { skip: manifest.labels.length !== 2 }, async () => {
    const labels = ["10", "2"];
    bundles.numbers = resealed(BUNDLE, path.join(scratch, "numbers"), (folder, kzoo) => {
      kzoo.labels = labels;
      fs.writeFileSync(path.join(folder, "labels.txt"), `${labels.join("\n")}\n`);
    });
    const page = await opened("numbers");
    await typed(page, golden[0].text);
    assert.deepEqual(await page.locator("#bars .name").allTextContents(), labels);
    await page.close();
  });

  test("of two bundles chosen at once the last is open", async () => {
    const page = await opened();
    const copy = changed(BUNDLE, path.join(scratch, "second"), () => {});
    await page.setInputFiles("#folder", BUNDLE);
    await page.setInputFiles("#folder", copy);
    await page.waitForSelector("body[data-state=done]");
    await page.waitForTimeout(500);
    assert.equal(await page.textContent("#bundle-title"), "second");
    assert.equal(await page.locator("#golden li").count(), golden.length);
    assert.equal(await page.locator("#files li").count(), FILES.length + 1);
    assert.deepEqual(page.failures, []);
    await page.close();
  });

  test("an answer that another bundle overtakes is not shown, nor what went wrong with it", async () => {
    const page = await opened();
    const shown = await page.evaluate(async (names) => {
      const chosen = new DataTransfer();
      for (const name of names) chosen.items.add(new File([await (await fetch(`bundle/${name}`)).blob()], name));
      const [bars, problem, folder, text] = ["bars", "problem", "folder", "text"].map((id) => document.getElementById(id));
      const found = [];
      new MutationObserver(() => {
        if (document.getElementById("title").textContent !== "Opening the bundle") return;
        if (bars.children.length) found.push(bars.textContent);
        if (!problem.hidden) found.push(problem.textContent);
      }).observe(document.body, { childList: true, subtree: true, attributes: true });
      text.value = "It was slow, and then it broke.";
      text.dispatchEvent(new Event("input"));
      folder.files = chosen.files;
      folder.dispatchEvent(new Event("change"));
      return new Promise((resolve) => setInterval(() => document.body.dataset.state && resolve(found), 50));
    }, ["kzoo.json", ...FILES]);
    assert.deepEqual(shown, []);
    assert.equal(await page.getAttribute("body", "data-state"), "done");
    assert.equal(await page.locator("#bars .best").count(), 1);
    assert.equal(await page.locator("#golden li").count(), golden.length);
    assert.deepEqual(page.failures, []);
    await page.close();
  });

  test("a screen reader hears one answer after a pause, and why there is none", async () => {
    const page = await opened();
    await page.waitForFunction(() => document.getElementById("spoken").textContent);
    await page.evaluate(() => {
      window.heard = [];
      const spoken = document.getElementById("spoken");
      new MutationObserver(() => window.heard.push(spoken.textContent)).observe(spoken, { childList: true });
    });
    await page.focus("#text");
    await page.keyboard.type(" And I loved it.", { delay: 20 });
    await page.waitForFunction(() => window.heard.length);
    const { label, value } = await page.evaluate(() => ({
      label: document.querySelector("#bars .best .name").textContent, value: document.querySelector("#bars .best .value").textContent }));
    assert.deepEqual(await page.evaluate(() => window.heard), [`${label}, ${value}.`]);
    await page.fill("#text", "");
    await page.waitForFunction(() => window.heard.length === 2);
    assert.equal((await page.evaluate(() => window.heard))[1], "Type a text.");
    assert.deepEqual(page.failures, []);
    await page.close();
  });

  test("everything can be reached and used by keyboard", async () => {
    const page = await opened();
    await page.focus("#text");
    await page.keyboard.press("Tab");
    const example = await page.evaluate(() => document.activeElement.textContent);
    await page.keyboard.press("Enter");
    assert.equal(await page.inputValue("#text"), example);
    assert.equal(await page.evaluate(() => document.activeElement.id), "text");
    const reached = new Set();
    for (let i = 0; i < 20; i++) {
      await page.keyboard.press("Tab");
      reached.add(await page.evaluate(() => document.activeElement.id));
    }
    for (const id of ["again", "folder", "zip"]) assert.ok(reached.has(id), id);
    await page.close();
  });

  test("nothing is wider than a phone, and every control has a name", async () => {
    for (const colorScheme of ["light", "dark"]) {
      const page = await opened("bundle", { viewport: { width: 320, height: 640 }, colorScheme });
      assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth));
      for (const control of await page.locator("button:visible, textarea:visible, input").all()) {
        assert.ok(await control.evaluate((node) => node.textContent.trim() || node.labels?.[0]?.textContent.trim()));
      }
      await page.close();
    }
  });
});

describe("a bad bundle is one sentence, and no label is shown", () => {
  const cases = [];
  const bad = (name, make, sentence) => cases.push([name, make, sentence]);
  const at = (folder, name) => path.join(folder, name);

  for (const name of [...FILES, "kzoo.json"]) {
    const seal = name === "kzoo.json";
    bad(`changed byte in ${name}`, (target) => changed(BUNDLE, target, (folder) => changeByte(at(folder, name))),
      seal ? /^kzoo\.json .*export anew\.$/ : new RegExp(`^${name} was changed after the export: its SHA-256`));
    bad(`no ${name}`, (target) => changed(BUNDLE, target, (folder) => fs.rmSync(at(folder, name))),
      seal ? /holds no kzoo\.json/ : new RegExp(`^${name} is missing`));
  }
  bad("an empty folder", (target) => (fs.mkdirSync(target), target), /holds no kzoo\.json/);
  bad("an empty manifest", (target) => changed(BUNDLE, target, (folder) => fs.writeFileSync(at(folder, "kzoo.json"), "")), /kzoo\.json is empty/);
  bad("a foreign manifest", (target) => changed(BUNDLE, target, (folder) => fs.writeFileSync(at(folder, "kzoo.json"), "{}")), /names no format/);
  bad("a later format", (target) => resealed(BUNDLE, target, (_, kzoo) => (kzoo.format = 4)), /format 4; this page reads formats 1 to 3/);
  bad("another task", (target) => resealed(BUNDLE, target, (_, kzoo) => Object.assign(kzoo, { task: "CausalLM", rule: "text" })), /holds a CausalLM/);
  bad("another tokenizer", (target) => resealed(BUNDLE, target, (folder) => {
    const file = at(folder, "tokenizer.json");
    const tokenizer = JSON.parse(fs.readFileSync(file, "utf8"));
    fs.writeFileSync(file, JSON.stringify({ ...tokenizer, model: { type: "Syllables", vocab: {} } }));
  }), /Syllables/);
  bad("no tokenizer", (target) => resealed(BUNDLE, target, (folder) => fs.writeFileSync(at(folder, "tokenizer.json"), "[]")), /an object was expected/);
  bad("fewer labels than outputs", (target) => resealed(BUNDLE, target, (folder, kzoo) => {
    kzoo.labels = ["positive"];
    fs.writeFileSync(at(folder, "labels.txt"), "positive\n");
  }), /gives 2 numbers, and there are 1 labels/);
  bad("two labels of one name", (target) => resealed(BUNDLE, target, (folder, kzoo) => {
    kzoo.labels = ["positive", "positive"];
    fs.writeFileSync(at(folder, "labels.txt"), "positive\npositive\n");
  }), /has the label positive twice/);
  bad("too few golden examples", (target) => resealed(BUNDLE, target, (_, kzoo) => kzoo.golden.splice(5)), /holds 5 golden examples; at least 6 are expected/);
  bad("no golden examples", (target) => resealed(BUNDLE, target, (_, kzoo) => (kzoo.golden = [])), /holds 0 golden examples; at least 6 are expected/);
  bad("a golden example of another output", (target) => resealed(BUNDLE, target, (_, kzoo) => (kzoo.golden[3].outputs = { numbers: [[1, 2]] })),
    /^Golden example 3 in kzoo\.json has the outputs numbers; expected logits/);
  bad("a golden example without outputs", (target) => resealed(BUNDLE, target, (_, kzoo) => delete kzoo.golden[0].outputs), /has no outputs; expected logits/);
  bad("a golden example without token ids", (target) => resealed(BUNDLE, target, (_, kzoo) => delete kzoo.golden[1].token_ids), /^Golden example 1 .* lacks its text or its token ids/);
  bad("other inputs", (target) => resealed(BUNDLE, target, (_, kzoo) => {
    kzoo.signature.serve.inputs = { pixels: kzoo.signature.serve.inputs.token_ids };
  }), /has the inputs .*; kzoo\.json says pixels/);
  bad("no model", (target) => resealed(BUNDLE, target, (folder) => fs.writeFileSync(at(folder, "model.tflite"), "not a model")), /model\.tflite can't be loaded/);

  for (const [name, make, sentence] of cases) {
    test(name, async () => {
      const id = `bad-${cases.findIndex((entry) => entry[0] === name)}`;
      bundles[id] = make(path.join(scratch, id));
      const page = await opened(id);
      const text = await page.textContent("#problem");
      assert.match(text, sentence);
      assert.ok(text.endsWith(".") && !text.includes("\n"), text);
      assert.equal(await page.locator("#problem:visible").count(), 1);
      assert.equal(await page.locator("#bars:visible").count(), 0);
      assert.deepEqual(page.failures, []);
      await page.close();
      fs.rmSync(bundles[id], { recursive: true });
    });
  }

  test("a broken zip, and files that are no bundle", async () => {
    const page = await opened();
    const zip = path.join(scratch, "broken.zip");
    fs.writeFileSync(zip, fs.readFileSync(path.join(BUNDLE, "model.tflite")).subarray(0, 1000));
    const empty = path.join(scratch, "other");
    fs.mkdirSync(empty);
    fs.writeFileSync(path.join(empty, "a.txt"), "a");
    for (const [chooser, file, sentence] of [["#zip", zip, /no whole zip/], ["#folder", empty, /No kzoo\.json came among 1 files/]]) {
      await page.setInputFiles(chooser, file);
      await page.waitForSelector("body[data-state=failed]");
      assert.match(await page.textContent("#problem"), sentence);
      await page.setInputFiles("#folder", BUNDLE); // A good one afterwards opens as ever.
      await page.waitForSelector("body[data-state=done]");
      assert.equal(await page.locator("#problem:visible").count(), 0);
    }
    await page.close();
  });
});

test("no memory is one sentence, and no label is shown", async () => {
  const page = await served.browser.newPage();
  await page.addInitScript(() => {
    WebAssembly.Memory.prototype.grow = () => {
      throw new RangeError("WebAssembly.Memory.grow(): Maximum memory size exceeded");
    };
  });
  await page.goto(`${served.server.address}?bundle=bundle`);
  await page.waitForSelector("body[data-state=failed]");
  assert.match(await page.textContent("#problem"), /^There is not enough memory for this model: /);
  assert.equal(await page.locator("#bars:visible").count(), 0);
  await page.close();
});

describe("the command line", () => {
  const run = (args, input) => spawnSync("node", [path.join(HERE, "..", "client.mjs"), ...args], { input, encoding: "utf8", maxBuffer: 2 ** 26 });

  test("predict has the labels of the golden examples, and encode their ids", () => {
    const lines = golden.map(({ text }) => `${text}\n`).join("");
    const answers = run(["predict", BUNDLE], lines);
    assert.equal(answers.stderr, "");
    const rows = answers.stdout.trim().split("\n").map((line) => JSON.parse(line));
    assert.deepEqual(rows.map(({ text, label, tokens }) => ({ text, label, tokens })), golden.map((example) => (
      { text: example.text, label: expected(example).label, tokens: example.token_ids.length })));
    const encoded = run(["encode", path.join(BUNDLE, "tokenizer.json")], lines).stdout.trim().split("\n");
    encoded.forEach((line, i) => { // What is cut to the model's length loses its end, but not the last token.
      const [whole, cut] = [JSON.parse(line).ids, golden[i].token_ids];
      assert.deepEqual([...whole.slice(0, cut.length - 1), whole.at(-1)], cut);
    });
  });

  test("texts of any length and of any characters are read as in Python", () => {
    const lines = ["I loved it. ".repeat(420_000), "x".repeat(1_000_000), "\u0001\u0002\u200b", ""];
    const rows = run(["predict", BUNDLE], `${lines.join("\n")}\nYes.\n`).stdout.trim().split("\n").map((line) => JSON.parse(line));
    assert.deepEqual(rows.map(({ tokens, truncated }) => [tokens, truncated]), [[128, true], [3, false], [2, false], [2, false], [4, false]]);
    assert.equal(rows[0].label, "positive");
  });

  test("bad input is one sentence and exit code 2", () => {
    const cases = [[["predict", scratch], "a\n"], [["predict", "nowhere"], "a\n"], [["predict", BUNDLE], ""],
      [["predict", BUNDLE], Buffer.from([0xff, 0xfe, 0x0a])], [["predict", BUNDLE, "--pairs"], "no pair\n"],
      [["encode", path.join(BUNDLE, "labels.txt")], "a\n"], [["look"], ""], [[], ""]];
    for (const [args, input] of cases) {
      const { status, stdout, stderr } = run(args, input);
      assert.equal(status, 2, args.join(" "));
      assert.equal(stdout, "");
      assert.match(stderr, /^error: [^\n]+\.\n$/);
    }
  });
});
