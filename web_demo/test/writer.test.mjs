// The screen that writes, with small bundles and, where it is there, the one that WRITER names
// (build/shakespeare by default).

import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import { describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { resealed, SMALL, written } from "./bundles.mjs";
import { site } from "./site.mjs";

const REAL = path.resolve(process.env.INIT_CWD ?? ".", process.env.WRITER ?? fileURLToPath(new URL("../../build/shakespeare", import.meta.url)));
const NAMES = ["writer", "writer_fixed"];
const bundles = Object.fromEntries([...NAMES, "classifier"].map((name) => [name, path.join(SMALL, name)]));
const there = fs.existsSync(path.join(REAL, "kzoo.json"));
if (there) bundles.real = REAL;
const { scratch, opened } = site(bundles);

const manifestOf = (name) => JSON.parse(fs.readFileSync(path.join(bundles[name], "kzoo.json"), "utf8"));

/** What the page has written behind a prompt, once it stopped. */
async function wrote(page, prompt) {
  await page.fill("#prompt", prompt);
  await page.click("#go");
  await page.waitForFunction(() => document.getElementById("go").textContent === "Write");
  return page.evaluate(() => ({
    prompt: document.querySelector("#written b")?.textContent,
    text: document.querySelector("#written span")?.textContent,
    pace: document.getElementById("pace").textContent,
    told: document.getElementById("told").textContent,
    problem: document.getElementById("problem").hidden ? "" : document.getElementById("problem").textContent,
  }));
}

describe("the tokens are those that Python wrote down", () => {
  for (const name of [...NAMES, ...(there ? ["real"] : [])]) {
    test(name, async () => {
      const { golden } = manifestOf(name);
      const page = await opened(name);
      assert.match(await page.textContent("#golden-summary"), new RegExp(`^${golden.length} of ${golden.length} pass`));
      const found = await page.evaluate(async ([address, prompts]) => {
        const [{ Client }, { ServedFiles }] = await Promise.all([import("/src/client.js"), import("/src/files.js")]);
        const client = await Client.open(await ServedFiles.of(address));
        const ids = [];
        for (const [prompt, count] of prompts) {
          const writing = await client.write(prompt, (_, now) => now.tokenIds.length < count);
          ids.push(Array.from(writing.tokenIds));
        }
        client.close();
        return ids;
      }, [`/${name}/`, golden.map(({ text, outputs }) => [text, outputs.token_ids.length])]);
      golden.forEach(({ text, outputs: { token_ids: ids } }, i) => {
        assert.ok(found[i].length);
        assert.deepEqual(found[i], ids.slice(0, found[i].length), text); // A text may end before.
      });
      assert.ok(found.some((ids, i) => ids.length === golden[i].outputs.token_ids.length));
      assert.deepEqual(page.failures, []);
      await page.close();
    });
  }
});

describe("the screen that writes", () => {
  test("text streams in behind its prompt, and how fast is told", async () => {
    const page = await opened("writer");
    assert.equal(await page.textContent("#title"), "Write on from a text");
    assert.equal(await page.locator("#ask:visible").count(), 0);
    await page.evaluate(() => {
      window.pieces = [];
      new MutationObserver((records) => window.pieces.push(...records.flatMap(({ addedNodes }) =>
        Array.from(addedNodes).filter((node) => node.nodeType === Node.TEXT_NODE && node.data).map((node) => node.data))))
        .observe(document.getElementById("written"), { childList: true, subtree: true });
    });
    const { text: prompt, continuation } = written("writer")[0];
    const found = await wrote(page, prompt);
    assert.deepEqual([found.prompt, found.text, found.problem], [prompt, continuation, ""]);
    assert.match(found.pace, /^\d+ tokens · the first after [\d.]+ ms · [\d.]+ tokens a second here · ended by the model$/);
    assert.equal(found.told, `The model ended the text. ${continuation}`);
    const pieces = await page.evaluate(() => window.pieces);
    assert.ok(pieces.length > 20 && pieces.includes("😀"), JSON.stringify(pieces));
    assert.equal(pieces.join(""), continuation);
    assert.deepEqual(page.failures, []);
    await page.close();
  });

  test("the button stops it, what was written stays, and it can be written anew", async () => {
    const page = await opened("writer_fixed");
    const whole = await wrote(page, "A");
    assert.match(whole.pace, /no room for more$/);
    await page.evaluate(() => {
      const watch = new MutationObserver(() => {
        if (!document.querySelector("#written span")?.textContent) return;
        watch.disconnect();
        window.label = document.getElementById("go").textContent;
        document.getElementById("go").click();
      });
      watch.observe(document.getElementById("written"), { childList: true, subtree: true });
    });
    const stopped = await wrote(page, "A");
    assert.equal(await page.evaluate(() => window.label), "Stop");
    assert.match(stopped.pace, /stopped$/);
    assert.ok(stopped.text && stopped.text.length < whole.text.length && whole.text.startsWith(stopped.text), stopped.text);
    assert.equal((await wrote(page, "A")).text, whole.text);
    assert.deepEqual(page.failures, []);
    await page.close();
  });

  test("a prompt that is too long, or has no token, is one sentence, and the next is written", async () => {
    const page = await opened("writer");
    for (const [prompt, words] of [["a".repeat(2000), /Got 2000 tokens to write on from .* has a cache of \d+: shorten/], ["", /no token that the model could read/]]) {
      const { problem, text, pace } = await wrote(page, prompt);
      assert.match(problem, words);
      assert.ok(problem.endsWith(".") && !text && !pace, problem);
    }
    const { problem, text } = await wrote(page, "A");
    assert.equal(problem, "");
    assert.ok(text);
    await page.close();
  });

  test("examples are written on from, and golden ones that run again meanwhile change nothing", async () => {
    const page = await opened("writer_fixed");
    const example = page.locator("#prompts button").last();
    const { prompt, text } = await wrote(page, await example.textContent());
    await example.evaluate((button) => {
      button.click();
      document.getElementById("again").click();
    });
    await page.waitForFunction(() => document.getElementById("go").textContent === "Write" && !document.getElementById("again").disabled);
    assert.match(await page.textContent("#golden-summary"), /12 of 12 pass/);
    assert.deepEqual([await page.textContent("#written b"), await page.textContent("#written span")], [prompt, text]);
    assert.deepEqual(page.failures, []);
    await page.close();
  });

  test("another bundle that is opened meanwhile shows nothing of it", async () => {
    const page = await opened("writer_fixed");
    await page.evaluate(() => document.getElementById("go").click());
    await page.setInputFiles("#folder", bundles.classifier);
    await page.waitForSelector("body[data-state=done]");
    assert.equal(await page.locator("#write:visible").count(), 0);
    assert.equal(await page.textContent("#title"), "Classify a text");
    assert.deepEqual(page.failures, []);
    await page.close();
  });

  test("it fits a phone with letters of double size", async () => {
    const page = await opened("writer", { viewport: { width: 320, height: 640 } });
    await page.evaluate(() => (document.documentElement.style.fontSize = "200%"));
    await wrote(page, "A");
    assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth));
    await page.close();
  });
});

test("a file without the functions that its manifest names is one sentence", async () => {
  bundles.other = resealed(bundles.writer, path.join(scratch, "other"), (folder) =>
    fs.copyFileSync(path.join(bundles.classifier, "model.tflite"), path.join(folder, "model.tflite")));
  const page = await opened("other");
  assert.equal(await page.textContent("#problem"), "The model of The bundle has not the function decode that its manifest says: export anew.");
  await page.close();
});
