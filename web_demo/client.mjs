// The web client on the command line: the page's own modules in a headless Chromium.
//     node web_demo/client.mjs predict BUNDLE [--pairs] < lines    as `kzoo predict --json`, one object a line
//                                                                  (paths of pictures or sounds where it reads those)
//     node web_demo/client.mjs encode TOKENIZER.json < lines       {"ids": [...]} with special tokens
// With --pairs a line is two texts; lines.mjs reads them. Bad input is one sentence and exit code 2.

import fs from "node:fs";
import path from "node:path";
import { asPair, BadInput, readLines } from "./lines.mjs";

async function main([command, place, ...options]) {
  const pairs = options.includes("--pairs");
  const unknown = options.find((option) => option !== "--pairs");
  if (!["predict", "encode"].includes(command) || !place || unknown) {
    throw new BadInput("`predict BUNDLE [--pairs]` or `encode TOKENIZER.json` is expected, with lines on standard input.");
  }
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
    const problem = await page.evaluate(inPage, { command, lines, place, file: path.basename(place), pairs });
    if (problem) throw new BadInput(problem);
  } finally {
    await browser?.close();
    await server.close();
  }
}

/** Runs in the browser; returns a sentence where something is wrong. */
async function inPage({ command, lines, place, file, pairs }) {
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
    if (pairs && client.sense !== "text") throw new KzooError(`${place} reads no texts, and so no --pairs: leave it out.`);
    const given = async (line, place) => {
      if (client.sense === "text") return line;
      const lacking = await window.lacking(line);
      if (lacking) throw new KzooError(lacking);
      return { name: line, bytes: new Uint8Array(await (await fetch(`/line/${place}`)).arrayBuffer()) };
    };
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
