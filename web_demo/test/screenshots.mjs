// Pictures of the page in light and dark, at a phone's width and a desktop's.
//     node web_demo/test/screenshots.mjs BUNDLE FOLDER [TEXT [SECOND TEXT]]

import path from "node:path";
import { launch, opened, serve } from "./browser.mjs";

const SIZES = { phone: { width: 390, height: 844 }, desktop: { width: 1280, height: 900 } };
const [bundle, folder, ...texts] = process.argv.slice(2);
const server = await serve({ bundle });
const browser = await launch();
try {
  for (const colorScheme of ["light", "dark"]) {
    for (const [name, viewport] of Object.entries(SIZES)) {
      const page = await opened(browser, server, "bundle", { viewport, colorScheme, deviceScaleFactor: 2 });
      for (const [i, text] of texts.entries()) await page.fill(["#text", "#second"][i], text);
      await page.waitForTimeout(400); // The bars move.
      await page.screenshot({ path: path.join(folder, `${name}_${colorScheme}.png`), fullPage: true });
      await page.close();
    }
  }
} finally {
  await browser.close();
  await server.close();
}
