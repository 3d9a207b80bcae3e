// The screen that writes of a text, with small bundles.

import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import { describe, test } from "node:test";
import { resealed, SMALL } from "./bundles.mjs";
import { site } from "./site.mjs";

const NAMES = ["rewriter", "translator", "translator_behind"];
const bundles = Object.fromEntries([...NAMES, "writer"].map((name) => [name, path.join(SMALL, name)]));
const { scratch, opened } = site(bundles);
const rows = JSON.parse(fs.readFileSync(path.join(SMALL, "sources.json"), "utf8"));
const MOST = 24; // Sources of each bundle: the JVM writes of all of them.

/** What the page has made of a text, once it stopped. */
async function rewrote(page, text) {
  await page.fill("#prompt", text);
  await page.click("#go");
  await page.waitForFunction(() => document.getElementById("go").textContent === "Rewrite");
  return page.evaluate(() => ({
    text: document.getElementById("written").textContent,
    pace: document.getElementById("pace").textContent,
    problem: document.getElementById("problem").hidden ? "" : document.getElementById("problem").textContent,
  }));
}

describe("tokens are Python's, greedily and by beams, in every language", () => {
  for (const name of NAMES) {
    test(name, async () => {
      const page = await opened(name);
      assert.match(await page.textContent("#golden-summary"), /^12 of 12 pass/);
      const own = rows.filter(({ bundle }) => bundle === name);
      const some = own.filter((_, i) => i % Math.ceil(own.length / MOST) === 0);
      const found = await page.evaluate(async ([address, some]) => {
        const [{ Client }, { ServedFiles }] = await Promise.all([import("/src/client.js"), import("/src/files.js")]);
        const client = await Client.open(await ServedFiles.of(address));
        const ids = [];
        for (const { text, order } of some) {
          const how = { language: order.target_language ?? null, beams: order.num_beams };
          const more = (_, now) => now.ended || now.tokens < (order.max_new_tokens ?? 64);
          ids.push(Array.from((await client.write(text, more, false, how)).tokenIds));
        }
        client.close();
        return ids;
      }, [`/${name}/`, some]);
      some.forEach(({ text, token_ids: ids, order }, i) => {
        // The page writes as much as the bundle says, and so may go on where Python was told to end.
        if (ids.length < (order.max_new_tokens ?? 64)) assert.deepEqual(found[i], ids, `${text} ${JSON.stringify(order)}`);
      });
      assert.deepEqual(page.failures, []);
      await page.close();
    });
  }
});

test("a language and beams are chosen, and a text that is too long is one sentence", async () => {
  const page = await opened("translator_behind");
  assert.equal(await page.textContent("#title"), "Translate, summarize or rewrite a text");
  assert.deepEqual(await page.locator("#language option").allTextContents(), ["English", "German", "French"]);
  assert.equal(await page.locator("#language option:checked").textContent(), "German");
  for (const beams of ["1", "4"]) {
    await page.selectOption("#beams", beams);
    const { text, pace } = await rewrote(page, "Who met Tim in New York? Angela, in the café.");
    assert.equal(text, "Wer hat Tim in New York getroffen? Angela, im Café.");
    assert.match(pace, /^\d+ tokens · the first after [\d.]+ ms · [\d.]+ tokens a second here · ended by the model$/);
  }
  const { text, problem } = await rewrote(page, "word ".repeat(99));
  assert.match(problem, /tokens in the source; expected 1 to \d+, the places that the encoder has: shorten it\.$/);
  assert.equal(text, "");
  assert.deepEqual(page.failures, []);
  await page.close();
});

test("a file without one of the two functions is one sentence", async () => {
  bundles.other = resealed(bundles.rewriter, path.join(scratch, "other"), (_, manifest) => delete manifest.signature.encode);
  const page = await opened("other");
  assert.equal(await page.textContent("#problem"), "The model of The bundle has the functions decode; expected decode and encode, those of a model that writes: export anew.");
  await page.close();
});
