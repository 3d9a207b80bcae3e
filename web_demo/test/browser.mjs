// The page in a headless Chromium: a server for it on a free port, and the browser.

import fs from "node:fs";
import http from "node:http";
import os from "node:os";
import path from "node:path";
import { chromium } from "playwright-core";
import { assemble } from "../assemble.mjs";

const TYPES = { ".html": "text/html", ".js": "text/javascript", ".css": "text/css", ".json": "application/json",
  ".svg": "image/svg+xml", ".wasm": "application/wasm" };
const PROGRAMS = ["chromium", "chromium-browser", "google-chrome", "chrome"];

/** Serves the page, and each folder of `bundles` under its name. */
export async function serve(bundles) {
  const root = fs.mkdtempSync(path.join(os.tmpdir(), "kzoo-web-"));
  assemble(root);
  const server = http.createServer((request, response) => {
    const [, first, ...rest] = decodeURIComponent(new URL(request.url, "http://localhost").pathname).split("/");
    const inside = Object.hasOwn(bundles, first);
    const base = path.resolve(inside ? bundles[first] : root);
    const file = path.join(base, ...(inside ? rest : [first || "index.html", ...rest]));
    if (!file.startsWith(base + path.sep) || !fs.existsSync(file) || !fs.statSync(file).isFile()) {
      response.writeHead(404).end();
      return;
    }
    response.writeHead(200, { "Content-Type": TYPES[path.extname(file)] ?? "application/octet-stream" });
    fs.createReadStream(file).pipe(response);
  });
  await new Promise((resolve) => server.listen(0, "localhost", resolve));
  const close = async () => {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
    fs.rmSync(root, { recursive: true, force: true });
  };
  return { address: `http://localhost:${server.address().port}/`, close };
}

/** The path of Chromium: CHROMIUM, or the first that is on the PATH; null without one. */
export function browserPath() {
  if (process.env.CHROMIUM) return process.env.CHROMIUM;
  const folders = (process.env.PATH ?? "").split(path.delimiter);
  const places = PROGRAMS.flatMap((name) => folders.map((folder) => path.join(folder, name)));
  return places.find((place) => fs.existsSync(place)) ?? null;
}

/**
 * A page on which a bundle was opened, or refused; in `failures` is what its scripts threw, and what
 * its Content-Security-Policy kept from being loaded.
 */
export async function opened(browser, server, name = "bundle", options = {}) {
  const page = await browser.newPage(options);
  page.failures = [];
  page.on("pageerror", (error) => page.failures.push(error.message));
  page.on("console", (message) => /content security policy/i.test(message.text()) && page.failures.push(message.text()));
  await page.goto(`${server.address}?bundle=${encodeURIComponent(name)}`);
  await page.waitForSelector("body[data-state]");
  return page;
}

/** A headless browser, with more switches. */
export async function launch(switches = []) {
  const executablePath = browserPath();
  if (!executablePath) throw new Error("Chromium is not there: install it, or name one in the variable CHROMIUM.");
  // Root has no sandbox in a container.
  return chromium.launch({ executablePath, args: [...switches, ...(process.getuid?.() === 0 ? ["--no-sandbox"] : [])] });
}
