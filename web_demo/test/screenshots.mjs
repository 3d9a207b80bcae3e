// Pictures of the page in light and dark, at a phone's width and a desktop's.
//     node web_demo/test/screenshots.mjs BUNDLE FOLDER

import path from "node:path";
import { launch, serve } from "./browser.mjs";

const SIZES = { phone: { width: 390, height: 844 }, desktop: { width: 1280, height: 900 } };
const [bundle, folder] = process.argv.slice(2);
const server = await serve({ bundle });
const browser = await launch();
try {
  for (const colorScheme of ["light", "dark"]) {
    for (const [name, viewport] of Object.entries(SIZES)) {
      const page = await browser.newPage({ viewport, colorScheme, deviceScaleFactor: 2 });
      await page.goto(server.address);
      await page.waitForSelector("body[data-state]");
      await page.fill("#text", "The hinge broke in March, but they sent me a new one the same day.");
      await page.waitForFunction(() => document.getElementById("figures").textContent.includes("tokens"));
      await page.waitForTimeout(400); // The bars move.
      await page.screenshot({ path: path.join(folder, `${name}_${colorScheme}.png`), fullPage: true });
      await page.close();
    }
  }
} finally {
  await browser.close();
  await server.close();
}
