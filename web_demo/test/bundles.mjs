// The small bundles that SMALL names (build/small by default), and bundles that something is wrong with,
// made from a good one.

import { createHash } from "node:crypto";
import fs from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";

const BUILD = fileURLToPath(new URL("../../build", import.meta.url));
export const SMALL = path.resolve(process.env.INIT_CWD ?? ".", process.env.SMALL ?? path.join(BUILD, "small"));

/** What Python answers with a small bundle, a line for each text. */
export const writtenLines = (name) => fs.readFileSync(path.join(SMALL, `${name}.jsonl`), "utf8").trim().split("\n");
export const written = (name) => writtenLines(name).map((line) => JSON.parse(line));

const UNSEALED = "0".repeat(64);
const sha256 = (data) => createHash("sha256").update(data).digest("hex");

/** A copy of a bundle in `target`, with `change(folder)` made to it. */
export function changed(bundle, target, change) {
  fs.cpSync(bundle, target, { recursive: true });
  change(target);
  return target;
}

/** The same, with checksums and a seal that fit again: what a careless exporter could have written. */
export function resealed(bundle, target, change) {
  return changed(bundle, target, (folder) => {
    const place = path.join(folder, "kzoo.json");
    const manifest = JSON.parse(fs.readFileSync(place, "utf8"));
    change(folder, manifest);
    for (const name of Object.keys(manifest.files)) {
      const bytes = fs.readFileSync(path.join(folder, name));
      manifest.files[name] = { bytes: bytes.length, sha256: sha256(bytes) };
    }
    const text = JSON.stringify({ ...manifest, seal: UNSEALED }, null, 1);
    fs.writeFileSync(place, text.replace(UNSEALED, sha256(text)));
  });
}

/** Turns one bit in the middle of a file. */
export function changeByte(file) {
  const bytes = fs.readFileSync(file);
  bytes[bytes.length >> 1] ^= 1;
  fs.writeFileSync(file, bytes);
}
