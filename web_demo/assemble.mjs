// Lays the page, the compiled core, LiteRT.js and a bundle into one folder that any web server can serve.
//     node web_demo/assemble.mjs BUNDLE TARGET

import fs from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";

const HERE = path.dirname(fileURLToPath(import.meta.url));
const LITERT = path.join(HERE, "node_modules", "@litertjs");
export const CORE = path.join(HERE, "..", "android_demo", "web", "target", "javascript", "core.mjs");
const PAGE = ["index.html", "style.css", "icon.svg", "src"];
// The second is for browsers without relaxed SIMD; LiteRT.js chooses.
const WASM = ["litert_wasm_internal", "litert_wasm_compat_internal"];

/** Writes everything but the bundle. */
export function assemble(target) {
  if (!fs.existsSync(LITERT)) throw new Error("LiteRT.js is not installed: run `npm ci --prefix web_demo` first.");
  if (!fs.existsSync(CORE)) throw new Error("The core is not compiled: run `mvn -q -f android_demo -Pweb -pl web -am process-classes` first.");
  fs.mkdirSync(path.join(target, "litert", "wasm"), { recursive: true });
  const copy = (from, to) => fs.cpSync(from, path.join(target, to), { recursive: true });
  for (const name of PAGE) copy(path.join(HERE, name), name);
  copy(CORE, "core.js");
  copy(path.join(LITERT, "core", "dist", "index.js"), "litert/core.js");
  copy(path.join(LITERT, "wasm-utils", "dist", "index.js"), "litert/wasm-utils.js");
  for (const name of WASM.flatMap((name) => [`${name}.js`, `${name}.wasm`])) {
    copy(path.join(LITERT, "core", "wasm", name), `litert/wasm/${name}`);
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [bundle, target] = process.argv.slice(2);
  try {
    if (!target) throw new Error("Two folders are expected: a bundle and where to write.");
    if (!["kzoo.json", "towers.json"].some((name) => fs.existsSync(path.join(bundle, name)))) throw new Error(`${bundle} holds no kzoo.json: a bundle that \`kzoo export\` wrote was expected.`);
    fs.rmSync(path.join(target, "bundle"), { recursive: true, force: true });
    assemble(target);
    fs.cpSync(bundle, path.join(target, "bundle"), { recursive: true });
  } catch (error) {
    console.error(`error: ${error.message}`);
    process.exit(2);
  }
}
