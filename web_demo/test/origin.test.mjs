// Nothing is loaded from anywhere but the page's own server, whatever a link to the page or a script asks.

import assert from "node:assert/strict";
import path from "node:path";
import { after, before, test } from "node:test";
import { launch, opened, serve } from "./browser.mjs";
import { SMALL } from "./bundles.mjs";

let server, other, browser;

before(async () => {
  const bundles = { bundle: path.join(SMALL, "classifier") };
  [server, other] = [await serve(bundles), await serve(bundles)];
  browser = await launch();
});

after(async () => {
  await browser?.close();
  await server?.close();
  await other?.close();
});

test("a folder that is not of the page's own server is one sentence", async () => {
  const { host } = new URL(server.address);
  const own = `${server.address}bundle/`;
  const good = await opened(browser, server, own); // With its whole address.
  assert.equal(await good.getAttribute("body", "data-state"), "done");
  await good.close();
  for (const folder of [`${other.address}bundle`, `//${new URL(other.address).host}/bundle`, `blob:${own}`, "data:,",
    `http://me@${host}/bundle`, "http://[", `${own}?of=`, "bundle#"]) {
    const page = await opened(browser, server, folder);
    assert.equal(await page.textContent("#problem"),
      `${folder} is no folder of this page's own server: a bundle is opened from there, or chosen below.`);
    assert.deepEqual(page.failures, []);
    await page.close();
  }
});

test("what a script would load from there is kept out, and text isn't run", async () => {
  const page = await opened(browser, server);
  assert.deepEqual(page.failures, []);
  const kept = await page.evaluate(async (address) => {
    const seen = [];
    document.addEventListener("securitypolicyviolation", ({ effectiveDirective }) => seen.push(effectiveDirective));
    await fetch(`${address}bundle/kzoo.json`, { mode: "no-cors" }).catch(() => {});
    const made = (tag, attributes) => document.head.append(Object.assign(document.createElement(tag), attributes));
    made("img", { src: `${address}icon.svg` });
    made("script", { src: `${address}src/errors.js` });
    made("script", { textContent: "window.ran = true;" });
    made("link", { rel: "stylesheet", href: `${address}style.css` });
    made("iframe", { src: address });
    await new Promise((resolve) => setTimeout(resolve, 500));
    return [window.ran, ...new Set(seen)];
  }, other.address);
  assert.deepEqual(kept.sort(), ["connect-src", "frame-src", "img-src", "script-src-elem", "style-src-elem", undefined]);
  await page.close();
});
