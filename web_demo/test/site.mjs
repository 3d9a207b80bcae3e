// What the tests of a file share.

import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { after, before } from "node:test";
import { launch, opened, serve } from "./browser.mjs";

/** A browser, the page with these bundles, and a folder to write into. */
export function site(bundles) {
  const scratch = fs.mkdtempSync(path.join(os.tmpdir(), "kzoo-test-"));
  const made = {
    scratch,
    opened: async (name, options) => {
      await ready;
      return opened(made.browser, made.server, name, options);
    },
  };
  const ready = (async () => {
    made.server = await serve(bundles);
    made.browser = await launch();
  })();
  before(() => ready);
  after(async () => {
    await made.browser?.close();
    await made.server?.close();
    fs.rmSync(scratch, { recursive: true, force: true });
  });
  return made;
}
