// Odd lines, by the cases that every client's tests read.

import assert from "node:assert/strict";
import fs from "node:fs";
import { test } from "node:test";
import { asPair, BadInput, readLines } from "../lines.mjs";

const CASES = JSON.parse(fs.readFileSync(new URL("../../tests/golden/lines.json", import.meta.url), "utf8"));

function read({ text = "", hex = null, times = 1, pairs }) {
  const bytes = hex === null ? Buffer.from(text.repeat(times)) : Buffer.from(hex, "hex");
  const lines = readLines(bytes, "standard input");
  return pairs ? lines.map((line, i) => asPair(line, `Line ${i + 1} of standard input`)) : lines;
}

for (const each of CASES) {
  test(each.about, () => {
    if ("lines" in each) return assert.deepEqual(read(each), each.lines);
    const sentence = (error) => error instanceof BadInput && error.message.startsWith(`Line ${each.error_in_line} of standard input`) && /^[^\n]{1,250}$/.test(error.message);
    assert.throws(() => read(each), sentence);
  });
}
