// The part of the page where a user types: the newest text is answered, and told to a screen reader.

import { SCREENS } from "./screens.js";
import { $, breath, examples, milliseconds, problem, quiet, sentence } from "./view.js";

const PAUSE = 700; // Milliseconds without a key, after which a screen reader is told the answer.
const FIELDS = ["text", "second", "list"];

/** What is the same of a golden example that passes. */
export const SAME = "same tokens, same labels";
export { reads, sizes } from "./reader.js";

let client = null; // The bundle that answers.
let screen = null;
let pairs = false;
let vectors = new Map(); // What is made of the list's texts, as far as they were asked for.

/** Nobody answers until the next bundle. */
export function rest() {
  client = null;
  for (const part of ["ask", "marked"]) $(part).hidden = true;
  for (const list of ["bars", "legend", "marked"]) $(list).replaceChildren();
}

/** Shows the screen of a bundle's task, and answers with it from now on. */
export async function use(opened) {
  const { golden } = opened.manifest;
  client = opened;
  const { reads, kind } = opened;
  screen = SCREENS[kind];
  vectors = new Map();
  pairs = reads === "pair" || (reads === "either" && golden.some(({ text }) => typeof text !== "string"));
  $("title").textContent = screen.title;
  $(screen.below ? "bars" : "legend")[screen.below ? "after" : "before"]($("marked"));
  $("second-part").hidden = !pairs;
  $("list-part").hidden = !screen.near;
  const [first, second] = screen.asks;
  $("text-label").textContent = pairs && !second ? "The first text" : first;
  $("second-label").textContent = second ?? "The second text";
  const texts = golden.map(({ text }) => [text].flat());
  const chosen = examples($("examples"), texts, (example) => {
    fill(example);
    answer();
    $("text").focus();
  });
  $("list").value = texts.filter((parts) => parts.length === 1 && parts[0].trim()).map(([text]) => line(text)).join("\n");
  if (!$("text").value || (pairs && !$("second").value)) fill(chosen[0] ?? [""]);
  $("ask").hidden = false;
  await answer();
}

const line = (text) => text.replace(/\s+/g, " ").trim();

function fill([first, second]) {
  [$("text").value, $("second").value] = [first, second ?? ""];
}

let [running, asked] = [false, false];

/** Answers what stands in the fields now; while one answer is made, only the newest text waits. */
export async function answer() {
  asked = true;
  if (running) return;
  running = true;
  while (asked && client) {
    asked = false;
    const asking = client; // Another bundle may be opened meanwhile: its page shows nothing of this one.
    const newest = async () => {
      await breath();
      return asking === client && !asked;
    };
    try {
      const found = await asking.answer(pairs ? [$("text").value, $("second").value] : $("text").value, async (read, all) => {
        if (!(await newest())) return false;
        $("working").textContent = `Read ${read} of ${all} parts of the text …`;
        return true;
      });
      if (found && screen.near && !found.empty) found.nearest = await nearest(asking, found, newest);
      if (asking !== client) continue;
      $("working").textContent = "";
      if (!found || found.nearest === null) continue;
      present(found);
      quiet();
    } catch (error) {
      if (asking !== client) continue;
      clear();
      problem(sentence(error), true);
    }
    await breath();
  }
  running = false;
}

/** The texts of the list, the nearest first, [[text, similarity]]; null where a newer text came. */
async function nearest(asking, answered, newest) {
  const { kept, near } = screen;
  const texts = [...new Set($("list").value.split("\n").map(line))].filter(Boolean);
  for (const text of texts) {
    if (vectors.has(text)) continue;
    const made = await kept(asking, text);
    if (asking !== client) return null;
    vectors.set(text, made);
    if (!(await newest())) return null;
  }
  const ranked = [];
  for (const text of texts) {
    const score = near(asking, answered, vectors.get(text));
    ranked.push([text, await score]);
    if (score instanceof Promise && !(await newest())) return null; // A model ran for it.
  }
  return ranked.sort((a, b) => b[1] - a[1]);
}

function present(found) {
  const notes = [];
  const fields = [$("text"), ...(pairs ? [$("second")] : [])];
  if (found.empty) notes.push(fields.every(({ value }) => value) ? "Nothing in this text is a character that the model reads." : "Type a text.");
  if (found.truncated) notes.push(screen.cut ?? `The text is longer than the model reads: these are its first ${found.tokens} tokens.`);
  // Browsers lay out much longer text in minutes; a model reads a few hundred words.
  const full = fields.find((field) => field.value.length >= field.maxLength);
  if (full) notes.push(`The field takes ${full.maxLength.toLocaleString("en")} characters: what came after them was left out.`);
  if (found.empty) {
    clear();
    note(notes);
    speak(notes.join(" "));
    return;
  }
  const shown = screen.shows(found, client.reader);
  if (!shown.bars.length) notes.unshift(shown.said);
  note(notes);
  $("marked").replaceChildren(...(shown.marked ?? []));
  $("marked").hidden = !shown.marked;
  $("legend").replaceChildren(...(shown.legend ?? []));
  $("bars").replaceChildren(...shown.bars);
  $("bars").classList.toggle("texts", "nearest" in found);
  $("figures").textContent = `${found.tokens} tokens · ${milliseconds(found.milliseconds)} here`;
  speak([shown.said, ...notes.filter((each) => each !== shown.said)].join(" "));
}

function note(notes) {
  $("note").textContent = notes.join(" ");
  $("note").hidden = !notes.length;
}

function clear() {
  for (const list of ["bars", "legend", "marked"]) $(list).replaceChildren();
  $("marked").hidden = true;
  $("figures").textContent = "";
  speak("");
}

let speaking = 0;

/** Tells a screen reader the newest answer, once nobody types: not one answer for each key. */
function speak(text) {
  clearTimeout(speaking);
  speaking = setTimeout(() => ($("spoken").textContent = text), PAUSE);
}

for (const field of FIELDS) $(field).addEventListener("input", answer);
