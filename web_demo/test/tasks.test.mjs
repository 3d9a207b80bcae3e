// Every task and kind of tokenizer, with the small bundles that SMALL names (build/small by default):
// android_demo/tools/make_small.py writes them, and what Python answers.

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import fs from "node:fs";
import path from "node:path";
import { describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { resealed, SMALL, written, writtenLines } from "./bundles.mjs";
import { site } from "./site.mjs";

const HERE = path.dirname(fileURLToPath(import.meta.url));
const NAMES = ["classifier", "one_label", "embedder", "entities", "entities_fixed", "questions", "questions_fixed", "byte_pairs", "unigram",
  "several", "values", "pairs", "unanswered", "marks", "tokens", "tokens_fixed", "reranker", "writer", "writer_fixed", "pictures", "pictures_grey", "sounds", "words"];
const NEAR = 1e-4;
const NEAR_RESAMPLED = 1e-3; // Of a sound of another rate, which Python resamples by other means.
const RESAMPLED = ["files/fast.wav", "files/slow.wav"];

const bundles = { files: path.join(SMALL, "files"), ...Object.fromEntries(NAMES.map((name) => [name, path.join(SMALL, name)])) };
const { scratch, opened } = site(bundles);

function same(found, expected, place, near = RESAMPLED.includes(expected?.sound) ? NEAR_RESAMPLED : NEAR) {
  if (typeof expected === "number" && !Number.isInteger(expected)) {
    assert.ok(Math.abs(found - expected) < near, `${place}: ${found}, not ${expected}`);
  } else if (expected !== null && typeof expected === "object") {
    assert.deepEqual(Object.keys(found), Object.keys(expected), place);
    for (const key of Object.keys(expected)) same(found[key], expected[key], `${place}/${key}`, Array.isArray(expected) ? undefined : near);
  } else {
    assert.equal(found, expected, place);
  }
}

describe("answers are Python's, and golden examples pass", () => {
  for (const name of NAMES) {
    test(name, async () => {
      const page = await opened(name);
      const rows = written(name);
      const found = await page.evaluate(async ([address, all]) => {
        const [{ Client }, { ServedFiles }] = await Promise.all([import("/src/client.js"), import("/src/files.js")]);
        const client = await Client.open(await ServedFiles.of(address));
        const answers = [];
        for (const { text, ...answer } of all) {
          const file = answer[client.sense]; // Its path, where it is no text.
          const { json } = await client.answer(text ?? { name: file, bytes: new Uint8Array(await (await fetch(`/${file}`)).arrayBuffer()) });
          answers.push(JSON.parse(json()));
        }
        return answers;
      }, [`/${name}/`, rows]);
      same(found, rows, name);
      const { golden } = JSON.parse(fs.readFileSync(path.join(SMALL, name, "kzoo.json"), "utf8"));
      assert.match(await page.textContent("#golden-summary"), new RegExp(`${golden.length} of ${golden.length} pass`));
      assert.deepEqual(page.failures, []);
      await page.close();
    });
  }
});

/** Fills fields at once, and waits for what the page says then. */
async function typed(page, fields) {
  await page.evaluate((all) => {
    document.getElementById("figures").textContent = "";
    for (const [field, text] of Object.entries(all)) document.querySelector(field).value = text;
    document.querySelector(Object.keys(all)[0]).dispatchEvent(new Event("input"));
  }, fields);
  await page.waitForFunction(() => document.getElementById("figures").textContent);
}

const spoken = async (page, words) => page.waitForFunction((all) => all.every((each) => document.getElementById("spoken").textContent.includes(each)), words);

describe("the screens", () => {
  test("entities are coloured where they stand, each kind in its colour, and told", async () => {
    const [answer] = written("entities");
    assert.ok(answer.entities.length > 3);
    const backgrounds = {};
    for (const colorScheme of ["light", "dark"]) {
      const page = await opened("entities", { colorScheme });
      await typed(page, { "#text": answer.text });
      const shown = await page.evaluate(() => {
        const colour = (node) => getComputedStyle(node).backgroundColor;
        const places = (node) => {
          const before = document.createRange();
          before.setStart(document.getElementById("marked"), 0);
          before.setEndBefore(node);
          return Array.from(before.toString()).length;
        };
        return {
          text: document.getElementById("marked").textContent,
          marks: Array.from(document.querySelectorAll("#marked mark"), (node) => ({ text: node.textContent, start: places(node), colour: colour(node) })),
          legend: Object.fromEntries(Array.from(document.querySelectorAll("#legend li"), (node) => [node.textContent, colour(node)])),
          rows: document.querySelectorAll("#bars li").length,
        };
      });
      assert.equal(shown.text, answer.text);
      assert.equal(shown.rows, answer.entities.length);
      assert.deepEqual(shown.marks, answer.entities.map(({ text, start, label }) => ({ text, start, colour: shown.legend[label] })));
      assert.equal(new Set(Object.values(shown.legend)).size, Object.keys(shown.legend).length);
      await spoken(page, answer.entities.map(({ label, text }) => `${label}: ${text}`));
      backgrounds[colorScheme] = Object.values(shown.legend);
      assert.deepEqual(page.failures, []);
      await page.close();
    }
    for (const colour of backgrounds.light) assert.ok(!backgrounds.dark.includes(colour));
  });

  test("places are right beside characters outside of the first plane", async () => {
    const answer = written("entities").find(({ text }) => text.includes("😀"));
    const page = await opened("entities");
    await typed(page, { "#text": answer.text });
    assert.deepEqual(await page.locator("#marked mark").allTextContents(), answer.entities.map(({ text }) => text));
    await page.close();
  });

  test("labels that reach the threshold, none, and values are told", async () => {
    const page = await opened("several");
    const shown = await page.evaluate(async () => {
      const { SCREENS } = await import("/src/screens.js");
      const said = (answer) => {
        const { bars, said } = SCREENS.labels.shows(answer);
        return [said, bars.map((bar) => [bar.querySelector(".name").textContent, bar.querySelector(".value").textContent, bar.className])];
      };
      const scores = [["x", 0.4], ["__proto__", 0.9], ["10", 0.7]];
      return [said({ labels: ["__proto__", "10"], scores }), said({ labels: [], scores }), said({ values: [["warm", -1.25], ["new", 7]] })];
    });
    const bars = [["__proto__", "90.0 %"], ["10", "70.0 %"], ["x", "40.0 %"]];
    assert.deepEqual(shown, [
      ["__proto__, 90.0 %; 10, 70.0 %.", bars.map((bar, i) => [...bar, i < 2 ? "best" : ""])],
      ["No label is likely enough.", bars.map((bar) => [...bar, ""])],
      ["warm -1.250, new 7.000.", [["warm", "-1.250", ""], ["new", "7.000", ""]]],
    ]);
    await page.close();
  });

  test("a bundle of pairs asks for two texts, one of texts for one", async () => {
    for (const [name, fields] of [["pairs", 2], ["several", 1], ["embedder", 1]]) {
      const page = await opened(name);
      assert.equal(await page.locator("#text:visible, #second:visible").count(), fields, name);
      const refused = await page.evaluate(async ([address, text]) => {
        const [{ Client }, { ServedFiles }] = await Promise.all([import("/src/client.js"), import("/src/files.js")]);
        const client = await Client.open(await ServedFiles.of(address));
        return client.answer(text).then(() => null, (error) => error.message);
      }, [`/${name}/`, name === "pairs" ? "one" : ["one", "two"]]);
      assert.match(String(refused), name === "pairs" ? /reads a pair of texts/ : name === "several" ? /^null$/ : /reads one text at a time/);
      await page.close();
    }
  });

  test("a text without a name says so", async () => {
    const page = await opened("entities");
    const nothing = await page.evaluate(async () => {
      const { SCREENS } = await import("/src/screens.js");
      return SCREENS.entities.shows({ text: "It rains.", entities: [] }, { kinds: ["PER"] });
    });
    assert.deepEqual(nothing.bars, []);
    assert.equal(nothing.said, "Nothing was found in this text.");
    await page.fill("#text", "");
    await page.waitForFunction(() => document.getElementById("note").textContent === "Type a text.");
    assert.equal(await page.locator("#marked:visible").count(), 0);
    await page.close();
  });

  test("an answer is marked in its text, and told", async () => {
    const page = await opened("questions");
    for (const { text: [question, text], answer, start } of written("questions").filter(({ answer, truncated }) => answer && !truncated)) {
      await typed(page, { "#text": question, "#second": text });
      assert.equal(await page.textContent("#marked mark"), answer);
      assert.equal(await page.textContent("#bars .best .name"), answer);
      const shown = (await page.textContent("#marked")).replace(/^… | …$/g, "");
      assert.ok(text.includes(shown), shown);
      const inside = await page.evaluate(() => document.querySelector("#marked mark").previousSibling?.textContent.replace(/^… /, "") ?? "");
      assert.ok(Array.from(text).slice(0, start).join("").endsWith(inside), inside);
      await spoken(page, [answer]);
    }
    assert.equal(await page.textContent("#text-label"), "A question");
    assert.equal(await page.textContent("#second-label"), "The text that answers it");
    assert.deepEqual(page.failures, []);
    await page.close();
  });

  test("a long text is read in parts, and a newer one is answered soon", async () => {
    const page = await opened("questions");
    const { text: [question, text], answer } = written("questions").find(({ answer }) => answer === "March 1889") ?? written("questions").at(-1);
    await page.fill("#text", question);
    await page.fill("#second", `${text} `.repeat(200).slice(0, 50_000));
    await page.waitForFunction(() => /^Read \d+ of \d+ parts/.test(document.getElementById("working").textContent));
    await typed(page, { "#second": text });
    assert.equal(await page.textContent("#bars .best .name"), answer);
    assert.equal(await page.textContent("#working"), "");
    await page.close();
  });

  test("the list that is searched can be written anew", async () => {
    const page = await opened("embedder");
    const text = "Two lines and a question.";
    await typed(page, { "#list": `one\n${text}\n\n  one \nanother`, "#text": text });
    assert.equal(await page.textContent("#bars .best .name"), text);
    assert.equal(await page.textContent("#bars .best .value"), "1.000");
    assert.equal(await page.locator("#bars li").count(), 3);
    await page.fill("#list", "");
    await page.waitForFunction(() => document.getElementById("note").textContent === "The list is empty.");
    assert.deepEqual(page.failures, []);
    await page.close();
  });

  test("every screen fits a phone with letters of double size, and every control has a name", async () => {
    for (const name of ["entities", "questions", "embedder"]) {
      const page = await opened(name, { viewport: { width: 320, height: 640 } });
      await page.evaluate(() => (document.documentElement.style.fontSize = "200%"));
      assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), name);
      for (const control of await page.locator("button:visible, textarea:visible, input").all()) {
        assert.ok(await control.evaluate((node) => node.textContent.trim() || node.labels?.[0]?.textContent.trim()));
      }
      await page.close();
    }
  });
});

const run = (args, input) => spawnSync("node", [path.join(HERE, "..", "client.mjs"), ...args], { input, encoding: "utf8", maxBuffer: 2 ** 26 });

describe("labels can have any name", () => {
  const SHOWN = 6; // Labels on the page.
  const ODD = ["10", "2", "__proto__", "constructor", "toString", "-1", '"', "a b", "é", "0", "1e3", "length"];
  const named = (target, order) => resealed(path.join(SMALL, "classifier"), path.join(scratch, target), (folder, manifest) => {
    manifest.labels = order;
    fs.writeFileSync(path.join(folder, "labels.txt"), `${order.join("\n")}\n`);
  });
  // Each of the odd ones is the answer to a text once, and of another place in the bundle.
  const orders = ODD.slice(0, 4).map((_, i) => [...ODD.slice(i), ...ODD.slice(0, i)]);
  // Python writes what is not ASCII in another way.
  const lines = writtenLines("classifier").filter((line) => !line.includes("\\u") && typeof JSON.parse(line).text === "string" && JSON.parse(line).text);

  test("the command line writes Python's text, character by character but for the digits of numbers", () => {
    assert.ok(lines.length >= 2);
    const number = /(?<=: )-?\d[\d.eE+-]*/g;
    for (const [i, order] of orders.entries()) {
      const input = lines.map((line) => `${JSON.parse(line).text}\n`).join("");
      const { stdout, stderr } = run(["predict", named(`written-${i}`, order)], input);
      assert.equal(stderr, "");
      const expected = lines.map((line) => line.replace(/"label (\d+)"/g, (_, place) => JSON.stringify(order[place])));
      const found = stdout.trimEnd().split("\n");
      assert.deepEqual(found.map((line) => line.replace(number, "N")), expected.map((line) => line.replace(number, "N")));
      found.forEach((line, j) => same(line.match(number).map(Number), expected[j].match(number).map(Number), order[0]));
    }
  });

  test("the page shows the same labels, the likeliest first", async () => {
    const percent = (share) => `${(100 * share).toFixed(1)} %`;
    for (const [i, order] of orders.entries()) {
      const id = `shown-${i}`;
      bundles[id] = named(id, order);
      const page = await opened(id);
      for (const line of lines) {
        const { text, scores } = JSON.parse(line);
        const ranked = Object.values(scores).map((score, place) => [order[place], score]).sort((a, b) => b[1] - a[1]).slice(0, SHOWN);
        await typed(page, { "#text": text });
        assert.deepEqual(await page.locator("#bars .name").allTextContents(), ranked.map(([label]) => label));
        assert.deepEqual(await page.locator("#bars .value").allTextContents(), ranked.map(([, score]) => percent(score)));
        assert.equal(await page.textContent("#bars .best .name"), ranked[0][0]);
        await spoken(page, [`${ranked[0][0]}, ${percent(ranked[0][1])}.`]);
      }
      assert.deepEqual(page.failures, []);
      await page.close();
    }
  });
});

describe("the command line", () => {
  test("pairs are answered, and a Unigram tokenizer encodes", () => {
    const rows = written("questions");
    const found = run(["predict", path.join(SMALL, "questions"), "--pairs"], rows.map(({ text }) => `${JSON.stringify(text)}\n`).join(""));
    assert.equal(found.stderr, "");
    same(found.stdout.trim().split("\n").map((line) => JSON.parse(line)), rows, "questions");
    const folder = path.join(SMALL, "unigram");
    const { golden } = JSON.parse(fs.readFileSync(path.join(folder, "kzoo.json"), "utf8"));
    const [example] = golden.filter(({ text, token_ids: ids }) => text.trim() && ids.length < 60);
    assert.deepEqual(JSON.parse(run(["encode", path.join(folder, "tokenizer.json")], `${example.text}\n`).stdout).ids, example.token_ids);
  });

  test("texts that a task doesn't take are one sentence", () => {
    for (const [name, options, input, words] of [
      ["questions", [], "only one\n", /reads a pair of texts, such as a question and its context/],
      ["entities", ["--pairs"], '["a", "b"]\n', /one text at a time/],
    ]) {
      const { status, stdout, stderr } = run(["predict", path.join(SMALL, name), ...options], input);
      assert.deepEqual([status, stdout], [2, ""]);
      assert.match(stderr, /^error: [^\n]+\.\n$/);
      assert.match(stderr, words);
    }
  });
});
