// The part of the page where a model writes on from a text, until it ends, is stopped, or has no room.

import { $, element, examples, milliseconds, problem, quiet, sentence } from "./view.js";

/** What is the same of a golden example that passes. */
export const SAME = "same tokens, same text within the tolerance";
export { reads, sizes } from "./reader.js";

let client = null; // The bundle that writes.
let writing = null; // What is under way: {stopped}.

/** Nobody writes until the next bundle. */
export function rest() {
  client = null;
  writing = null;
  $("write").hidden = true;
}

/** Shows the screen, and writes with this bundle from now on. */
export function use(opened) {
  client = opened;
  const texts = opened.manifest.golden.map(({ text }) => [text].flat());
  const [first] = examples($("prompts"), texts, ([text]) => {
    $("prompt").value = text;
    write();
  });
  if (!$("prompt").value) $("prompt").value = first?.[0] ?? "";
  $("title").textContent = "Write on from a text";
  show("Write");
  clear();
  $("write").hidden = false;
}

function show(label) {
  $("go").textContent = label;
}

function clear() {
  $("written").hidden = true;
  $("written").replaceChildren();
  for (const line of ["pace", "told"]) $(line).textContent = "";
}

/** Writes behind the prompt; what was under way is left. */
async function write() {
  const [asking, mine] = [client, { stopped: false }];
  if (writing) writing.stopped = true;
  writing = mine;
  const here = () => asking === client && mine === writing;
  const prompt = $("prompt").value;
  const behind = element("span");
  clear();
  quiet();
  $("written").append(element("b", {}, prompt), behind);
  show("Stop");
  try {
    const found = await asking.write(prompt, (piece, now) => {
      if (!here() || mine.stopped) return false;
      $("written").hidden = false;
      behind.append(piece);
      $("pace").textContent = figures(now);
      return true;
    });
    if (!here() || !found) return;
    $("told").textContent = `${found.ended ? (found.whole ? "The model ended the text." : "There is no room for more.") : "Stopped."} ${behind.textContent}`;
    $("pace").textContent = `${figures(found)} · ${found.ended ? (found.whole ? "ended by the model" : "no room for more") : "stopped"}`;
  } catch (error) {
    if (!here()) return;
    clear();
    problem(sentence(error), true);
  } finally {
    if (here()) {
      writing = null;
      show("Write");
    }
  }
}

function figures({ tokens, firstMilliseconds, tokensPerSecond }) {
  const count = `${tokens} ${tokens === 1 ? "token" : "tokens"}`;
  const speed = tokensPerSecond ? ` · ${tokensPerSecond < 100 ? tokensPerSecond.toPrecision(3) : tokensPerSecond.toFixed(0)} tokens a second` : "";
  return `${count} · the first after ${milliseconds(firstMilliseconds)}${speed} here`;
}

$("go").addEventListener("click", () => {
  if (writing) writing.stopped = true;
  else write();
});
