// The web client on the command line: the page's own modules in a headless Chromium.
//     node web_demo/client.mjs predict BUNDLE [--pairs] < lines    as `kzoo predict --json`, one object a line
//                                                                  (paths of pictures or sounds where it reads those)
//                            [--label TEXT]... | --search TEXT [--top N]    of two towers, as Python has them
//     node web_demo/client.mjs encode TOKENIZER.json < lines       {"ids": [...]} with special tokens
// With --pairs a line is two texts; lines.mjs reads them. Bad input is one sentence and exit code 2.

import fs from "node:fs";
import path from "node:path";
import { asPair, BadInput, readLines } from "./lines.mjs";

const TOP = 5; // Pictures that are found where nobody says how many.

/** What was asked for: {pairs, labels, query, top}, each null where it wasn't. */
function parsed(options) {
  const found = { pairs: false, labels: null, query: null, top: null };
  const rest = [...options];
  while (rest.length) {
    const option = rest.shift();
    if (option === "--pairs") {
      found.pairs = true;
      continue;
    }
    if (!["--label", "--search", "--top"].includes(option)) return null;
    if (!rest.length) throw new BadInput(`Got ${option} and nothing behind it; expected its value there.`);
    const value = rest.shift();
    if (option === "--label") found.labels = [...(found.labels ?? []), value];
    else if (option === "--search") found.query = value;
    else if (!/^[1-9]\d*$/.test(value)) throw new BadInput(`Got --top ${value}; expected a whole number of at least 1.`);
    else found.top = Number(value);
  }
  if (found.labels && found.query !== null) throw new BadInput("Got --search and --label; expected one of the two.");
  return found;
}

async function main([command, place, ...options]) {
  const wanted = parsed(options);
  if (!["predict", "encode"].includes(command) || !place || !wanted) {
    throw new BadInput("`predict BUNDLE [--pairs]`, of two towers with --label, --search and --top, or `encode TOKENIZER.json` is expected, with lines on standard input.");
  }
  const { pairs } = wanted;
  const kind = command === "predict" ? "isDirectory" : "isFile";
  if (!fs.existsSync(place) || !fs.statSync(place)[kind]()) {
    throw new BadInput(`${place} is no ${kind === "isFile" ? "file" : "folder"}: ${command === "predict" ? "a bundle" : "a tokenizer.json"} was expected.`);
  }
  let lines = readLines(fs.readFileSync(0), "standard input");
  if (!lines.length) throw new BadInput("No text came: lines on standard input were expected.");
  if (pairs) lines = lines.map((line, i) => asPair(line, `Line ${i + 1} of standard input`));
  let tools;
  try {
    tools = await import("./test/browser.mjs");
  } catch {
    throw new BadInput("playwright-core is not installed: run `npm ci --prefix web_demo` first.");
  }
  const folder = command === "predict" ? place : path.dirname(path.resolve(place));
  const server = await tools.serve({ given: folder });
  let browser;
  try {
    browser = await tools.launch();
    const page = await browser.newPage();
    page.on("console", () => {});
    // A page of the same address that only has the import map.
    await page.route("**/bare.html", async (route) => {
      const html = await (await fetch(`${server.address}index.html`)).text();
      await route.fulfill({ contentType: "text/html", body: html.replace(/<script type="module".*<\/script>/, "") });
    });
    await page.goto(`${server.address}bare.html`);
    await page.route("**/line/*", (route) => route.fulfill({ body: fs.readFileSync(lines[Number(path.basename(route.request().url()))]) }));
    await page.exposeFunction("lacking", (path) => (fs.existsSync(path) && fs.statSync(path).isFile() ? null : `${path} is no file; expected a picture or a sound.`));
    await page.exposeFunction("write", (line) => process.stdout.write(`${line}\n`));
    const problem = await page.evaluate(inPage, { command, lines, place, file: path.basename(place), ...wanted, top: wanted.top ?? TOP });
    if (problem) throw new BadInput(problem);
  } finally {
    await browser?.close();
    await server.close();
  }
}

/** Runs in the browser; returns a sentence where something is wrong. */
async function inPage({ command, lines, place, file, pairs, labels, query, top }) {
  const { Client } = await import("/src/client.js");
  const { Tokenizer } = await import("/src/reader.js");
  const { ServedFiles } = await import("/src/files.js");
  const { KzooError } = await import("/src/errors.js");
  try {
    if (command === "encode") {
      const answer = await fetch(`/given/${encodeURIComponent(file)}`);
      const tokenizer = new Tokenizer(new Uint8Array(await answer.arrayBuffer()));
      for (const line of lines) await window.write(JSON.stringify({ ids: tokenizer.ids(line) }));
      return null;
    }
    const client = await Client.open(await ServedFiles.of("/given", place));
    const foreign = labels ? "--label" : query === null ? null : "--search";
    if (foreign && !client.names) {
      throw new KzooError(`Got ${foreign} for ${place}; expected a bundle of pictures and texts, of an ImageTextEmbedder or ZeroShotImageClassifier: leave it out.`);
    }
    if (pairs && client.sense !== "text") throw new KzooError(`${place} reads no texts, and so no --pairs: leave it out.`);
    const given = async (line, place) => {
      if (client.sense === "text") return line;
      const lacking = await window.lacking(line);
      if (lacking) throw new KzooError(lacking);
      return { name: line, bytes: new Uint8Array(await (await fetch(`/line/${place}`)).arrayBuffer()) };
    };
    if (client.names) { // Two towers.
      const asked = query === null ? await client.names(labels) : await client.read(query);
      const pictures = [];
      for (const [place, line] of lines.entries()) {
        const { embedding } = await client.answer(await given(line, place));
        if (query === null) await window.write(asked.json(line, embedding));
        else pictures.push({ name: line, embedding });
      }
      if (query !== null) for (const hit of client.nearest(asked.embedding, pictures, top)) await window.write(JSON.stringify(hit));
      return null;
    }
    for (const [place, line] of lines.entries()) {
      const { json } = await client.answer(await given(line, place));
      await window.write(json());
    }
    return null;
  } catch (error) {
    return error instanceof KzooError ? error.message : `The browser failed: ${error?.message ?? error}.`;
  }
}

main(process.argv.slice(2)).catch((error) => {
  console.error(`error: ${error.message.split("\n")[0]}`);
  process.exitCode = 2;
});
