// Texts on lines, by the one rule that kzoo/lines.py writes down: how `client.mjs` reads them.

export class BadInput extends Error {}

/** The texts in the bytes of a stream; `name` says in an error what it is. */
export function readLines(bytes, name) {
  const lines = [];
  const decode = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
  for (let start = 0, end; start <= bytes.length; start = end + 1) {
    end = bytes.indexOf(10, start);
    if (end < 0) end = bytes.length;
    try {
      lines.push(decode.decode(bytes.subarray(start, end)).replace(/\r$/, ""));
    } catch {
      throw new BadInput(`Line ${lines.length + 1} of ${name} is not UTF-8: convert it first.`);
    }
  }
  lines[0] = lines[0].replace(/^\uFEFF/, "");
  while (lines.length && /^[ \t\r]*$/.test(lines.at(-1))) lines.pop();
  return lines;
}

/** The two texts of a line; `name` says in an error which it is. */
export function asPair(line, name) {
  const both = (line.startsWith("[") && twoStrings(line)) || line.split("\t");
  const shown = JSON.stringify(line.slice(0, 60));
  if (both.length !== 2) {
    throw new BadInput(`${name} is ${shown}, with ${both.length - 1 || "no"} tabs; expected two texts with one tab between them, or a JSON array of two strings.`);
  }
  if (!both.every((text) => text.isWellFormed())) {
    throw new BadInput(`${name} is ${shown}, with an unpaired surrogate; expected text that UTF-8 can write: take it out.`);
  }
  return both;
}

/** The strings of a JSON array of two; null of anything else. */
function twoStrings(line) {
  let value;
  try {
    value = JSON.parse(line);
  } catch {
    return null; // It is no JSON, or nested without end.
  }
  return value.length === 2 && value.every((part) => typeof part === "string") ? value : null;
}
