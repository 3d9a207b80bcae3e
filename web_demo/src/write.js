// The part of the page where a model writes, on from a text or of it, until it ends, is stopped, or has no room.

import { $, element, examples, milliseconds, problem, quiet, sentence } from "./view.js";

/** What is the same of a golden example that passes. */
export const SAME = "same tokens, same text within the tolerance";
export { reads, sizes } from "./reader.js";

/** What the screen says, by how a bundle writes. */
const SAYS = {
  continuation: { title: "Write on from a text", label: "A text to write on from", go: "Write" },
  rewriting: { title: "Translate, summarize or rewrite a text", label: "A text to write of", go: "Rewrite" },
};
const BEAMS = 4; // As many as translations are usually searched with.

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
  $("title").textContent = SAYS[client.kind].title;
  $("prompt-label").textContent = SAYS[client.kind].label;
  offer();
  show();
  clear();
  $("write").hidden = false;
}

function show(label = SAYS[client.kind].go) {
  $("go").textContent = label;
}

/** Languages to write in and beams to search with, of a bundle that writes of a text. */
function offer() {
  const of = client.kind === "rewriting" ? client.inner : null;
  $("how").hidden = !of;
  if (!of) return;
  const names = new Intl.DisplayNames(undefined, { type: "language", fallback: "none" });
  const named = (code) => names.of(code.split("_")[0]) ?? code;
  $("language-part").hidden = !of.languages.length;
  $("language").replaceChildren(...Array.from(of.languages, (code) => element("option", { value: code }, named(code))));
  if (of.language) $("language").value = of.language;
  const counts = [...new Set([1, BEAMS, of.beams])].sort((a, b) => a - b);
  $("beams").replaceChildren(...counts.map((count) => element("option", { value: count }, count === 1 ? "1, greedy" : String(count))));
  $("beams").value = String(of.beams);
}

/** What of these was chosen. */
const how = () => ({ language: $("language").value || null, beams: Number($("beams").value) });

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
  $("written").append(...(client.kind === "rewriting" ? [] : [element("b", {}, prompt)]), behind);
  show("Stop");
  try {
    const found = await asking.write(prompt, (piece, now) => {
      if (!here() || mine.stopped) return false;
      $("written").hidden = false;
      if (now.growing) behind.append(piece);
      else behind.textContent = now.text; // Of another of the texts that are followed.
      $("pace").textContent = figures(now);
      return true;
    }, false, asking.kind === "rewriting" ? how() : {});
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
      show();
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
