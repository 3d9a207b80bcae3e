// The part of the page where pictures are found by words, or by one of them.

import { decoded, small } from "./pictures.js";
import { $, bar, breath, element, milliseconds, percent, problem, quiet, sentence } from "./view.js";
import { KzooError } from "./errors.js";

const MOST = 1000; // Pictures that are looked at.
const SHOWN = 12;
const SIDE = 96; // Pixels of a small picture, at most.

export const SAME = "same pixels and tokens, same vectors";

let client = null; // The bundle that answers.
let pictures = []; // Those that were looked at: [{name, image (small), embedding}].
let names = { asked: null, of: null }; // What was asked for, and the labels to tell pictures apart by.
let like = null; // The one among them that the others are to be like.
let left = []; // Why others were not.
let turn = 0; // Numbers what is given: what belongs to an earlier one is dropped.

/** Nobody answers until the next bundle. */
export function rest() {
  client = null;
  turn++;
  [pictures, like, left] = [[], null, []];
  names = { asked: null, of: null };
  $("find").hidden = true;
  clear();
}

function clear() {
  $("found").replaceChildren();
  $("find-note").hidden = true;
  for (const line of ["find-figures", "find-told"]) $(line).textContent = "";
}

/** Shows the screen, with the golden pictures to search in, and answers from now on. */
export async function use(opened) {
  client = opened;
  $("title").textContent = "Find pictures by words";
  $("labels").value = (opened.together.labels ?? []).join("\n");
  $("find").hidden = false;
  await look(opened.image.examples.map(({ name, bytes }) => async () => decoded(bytes, name)), false);
}

export const takes = (file) => file.type.startsWith("image/");

/** Looks at files beside those that are there. */
export const take = (...files) => chosen(files, true);

/** What a picture is called: in a chosen folder its path there. */
const nameOf = (file) => file.webkitRelativePath.split("/").slice(1).join("/") || file.name;

const chosen = (files, beside) => look(files.map((file) => async () => {
  const name = nameOf(file);
  let bytes;
  try {
    bytes = new Uint8Array(await file.arrayBuffer());
  } catch {
    throw new KzooError(`${name} can't be read: it was moved or changed since it was chosen; choose it again.`);
  }
  return decoded(bytes, name);
}), beside);

/** Makes vectors of pictures, which are searched from then on, beside the others or in their place. */
async function look(makers, beside) {
  const [asking, mine] = [client, ++turn];
  const here = () => asking === client && mine === turn;
  const [seen, problems] = [beside ? [...pictures] : [], []];
  const room = MOST - seen.length;
  for (const [place, make] of makers.slice(0, room).entries()) {
    try {
      const picture = await make();
      const { embedding } = await asking.answer(picture);
      if (!here()) return;
      seen.push({ name: picture.name, image: small(picture.canvas, SIDE), embedding });
    } catch (error) {
      if (!here()) return;
      problems.push(sentence(error));
    }
    $("working").textContent = `Looked at ${place + 1} of ${Math.min(makers.length, room)} pictures …`;
    await breath();
    if (!here()) return;
  }
  $("working").textContent = "";
  if (!seen.length) {
    problem(problems[0] ?? "There are no pictures in this folder: choose another.", true);
    return;
  }
  if (makers.length > room) problems.push(`Only the first ${MOST.toLocaleString("en")} are looked at.`);
  [pictures, left] = [seen, problems];
  like = beside ? like : null;
  await answer();
}

let [running, asked] = [false, false];

/** Answers what stands in the field now; while one answer is made, only the newest text waits. */
async function answer() {
  asked = true;
  if (running) return;
  running = true;
  while (asked && client) {
    asked = false;
    const asking = client;
    const words = $("words").value;
    if (words.trim()) like = null;
    try {
      const found = words.trim() ? await asking.read(words) : null;
      await named(asking);
      if (asking !== client) continue;
      if (found?.empty) throw new KzooError("Nothing in this text is a character that the model reads.");
      present(asking, found);
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

/** Makes the labels that are asked for now what pictures are told apart by. */
async function named(asking) {
  const lines = $("labels").value.split("\n").map((line) => line.trim()).filter(Boolean);
  const key = lines.join("\n");
  if (names.asked === key) return;
  const own = asking.together.labels ?? [];
  const of = lines.length ? (await asking.names(key === own.join("\n") ? null : lines)).of : null;
  if (asking === client) names = { asked: key, of };
}

/** Shows the pictures: ranked, where something is looked for. `found` is the answer to words. */
function present(asking, found) {
  const vector = found?.embedding ?? like?.embedding;
  const shown = vector ? asking.nearest(vector, pictures, SHOWN) : pictures.slice(0, SHOWN).map(({ name }, index) => ({ index, image: name }));
  $("found").replaceChildren(...shown.map(({ index, score, image }, place) => {
    const made = vector ? bar(image, score.toFixed(3), asking.image.share(score), place === 0) : element("li", {}, element("span", { class: "name", dir: "auto" }, image));
    const button = element("button", { type: "button", "aria-label": `Most like ${image}` }, pictures[index].image);
    button.addEventListener("click", () => {
      like = pictures[index];
      $("words").value = "";
      answer();
    });
    made.querySelector(".name").prepend(button);
    const label = names.of?.(pictures[index].embedding);
    if (label) made.querySelector(".value, .name:only-child").after(element("span", { class: "faint label", dir: "auto" }, `${label.label} · ${percent(label.score)}`));
    return made;
  }));
  const count = `${pictures.length} ${pictures.length === 1 ? "picture" : "pictures"}`;
  const cost = found ? ` · ${found.tokens} tokens · ${milliseconds(found.milliseconds)} here` : "";
  $("find-figures").textContent = `${count}${cost}${vector ? "" : " · type what you look for, or press one to see which are most like it"}`;
  $("find-note").textContent = left.length > 1 ? `${left.length} could not be read. The first: ${left[0]}` : left.join("");
  $("find-note").hidden = !left.length;
  $("find-told").textContent = vector ? `Nearest, ${shown[0].score.toFixed(3)}: ${shown[0].image}` : count;
}

for (const chooser of [$("photos"), $("album")]) {
  chooser.addEventListener("change", () => {
    const all = Array.from(chooser.files);
    const shown = (file) => takes(file) && !nameOf(file).split("/").some((part) => part.startsWith("."));
    const byName = (a, b) => (nameOf(a) < nameOf(b) ? -1 : 1);
    if (chooser.id === "album") chosen(all.filter(shown).sort(byName), false);
    else if (all.length) chosen(all, false);
    chooser.value = "";
  });
}
for (const field of ["words", "labels"]) $(field).addEventListener("input", answer);
