// The part of the page where a picture is looked at: a file, what is dropped or pasted, or what the camera sees.

import { decoded, pixels, small } from "./pictures.js";
import { SCREENS } from "./screens.js";
import { $, bar, milliseconds, problem, quiet, sentence } from "./view.js";
import { KzooError } from "./errors.js";

const SHOWN = 6; // Pictures that can be chosen, or neighbours.
const SIDE = 160; // Pixels of a small picture, at most.

export const SAME = "same pixels, same answers";

let client = null; // The bundle that answers.
let gallery = []; // Where it answers with vectors, what was shown: [{name, image (small), embedding}].
const shownAs = new WeakMap(); // Of a picture's canvas, its entry there.
let turn = 0; // Numbers what is given: of two answers the later one is shown.
let stream = null; // Of the camera.

export function reads({ shape: [, height, width] }) {
  return `${width} × ${height} pixels`;
}

export const sizes = (opened) => [[`a picture of ${reads(opened)}`, 1]];

/** Nobody answers until the next bundle. */
export function rest() {
  client = null;
  turn++;
  darken();
  gallery = [];
  $("look").hidden = true;
  for (const list of ["pictures", "seen", "picture-bars"]) $(list).replaceChildren();
  for (const line of ["picture-figures", "picture-told"]) $(line).textContent = "";
}

/** Shows the screen, with some of the golden pictures to choose from, and answers from now on. */
export async function use(opened) {
  client = opened;
  $("title").textContent = opened.kind === "embedding" ? "Find the nearest picture" : "Classify a picture";
  $("look").hidden = false;
  for (const { name, bytes } of opened.examples.slice(0, SHOWN)) {
    const picture = await decoded(bytes, name);
    if (opened !== client) return;
    if (opened.kind === "embedding") enter(name, picture.canvas, (await opened.answer(picture)).embedding);
    const button = Object.assign(document.createElement("button"), { type: "button" });
    button.setAttribute("aria-label", `The golden picture ${name}`);
    button.append(small(picture.canvas, SIDE));
    button.addEventListener("click", () => show(async () => picture));
    $("pictures").append(button);
    if ($("pictures").childElementCount === 1) await show(async () => picture);
  }
}

export const takes = (file) => file.type.startsWith("image/");

/** Answers a file. */
export function take(file) {
  return show(async () => decoded(new Uint8Array(await file.arrayBuffer()), file.name));
}

/** Shows a picture and the answer to it. */
async function show(make) {
  const [asking, mine] = [client, ++turn];
  const here = () => asking === client && mine === turn;
  try {
    const picture = await make();
    if (!here()) return;
    const found = await asking.answer(picture);
    if (!here()) return;
    const { canvas } = picture;
    canvas.setAttribute("role", "img");
    canvas.setAttribute("aria-label", picture.name);
    $("seen").replaceChildren(canvas);
    const shown = found.embedding ? nearest(asking, picture, found.embedding) : SCREENS.labels.shows(found);
    $("picture-bars").replaceChildren(...shown.bars);
    $("picture-figures").textContent = `${picture.width} × ${picture.height} pixels, of which the model reads ${reads(asking)} · ${milliseconds(found.milliseconds)} here`;
    $("picture-told").textContent = shown.said;
    quiet();
  } catch (error) {
    if (!here()) return;
    for (const list of ["seen", "picture-bars"]) $(list).replaceChildren();
    for (const line of ["picture-figures", "picture-told"]) $(line).textContent = "";
    problem(sentence(error), true);
  }
}

function enter(name, canvas, embedding) {
  const entry = { name, image: small(canvas, SIDE), embedding };
  shownAs.set(canvas, entry);
  gallery.push(entry);
}

/** The other pictures, the nearest first; this one is among them from now on. */
function nearest(asking, { name, canvas }, embedding) {
  const others = gallery.filter((each) => each !== shownAs.get(canvas))
    .map((each) => ({ ...each, near: asking.similarity(embedding, each.embedding) })).sort((a, b) => b.near - a.near).slice(0, SHOWN);
  if (!gallery.includes(shownAs.get(canvas))) enter(name, canvas, embedding);
  const bars = others.map((each, i) => {
    const made = bar(each.name, each.near.toFixed(3), asking.share(each.near), i === 0);
    made.querySelector(".name").prepend(each.image);
    return made;
  });
  return { bars, said: others.length ? `Nearest, ${others[0].near.toFixed(3)}: ${others[0].name}` : "There is no other picture yet." };
}

/** Why there is no camera or microphone, as a sentence for a user. */
export function refused(error, device) {
  if (error instanceof KzooError) return error;
  if (error?.name === "NotAllowedError") return new KzooError(`This page may not use the ${device}: allow it in the browser, or choose a file.`);
  if (error?.name === "NotFoundError") return new KzooError(`There is no ${device} on this device: choose a file.`);
  return new KzooError(`The ${device} can't be used (${String(error?.message ?? error).replace(/\.$/, "")}): close what else uses it, or choose a file.`);
}

/** The stream of a camera or a microphone. */
export async function streamOf(constraints, device) {
  try {
    if (!navigator.mediaDevices) throw new KzooError(`Browsers give the ${device} only to a safe address: open the page over HTTPS or from localhost.`);
    return await navigator.mediaDevices.getUserMedia(constraints);
  } catch (error) {
    throw refused(error, device);
  }
}

async function light() {
  const asking = client;
  let opened = null;
  try {
    opened = await streamOf({ video: { facingMode: "environment" } }, "camera");
    if (asking !== client || stream) {
      for (const track of opened.getTracks()) track.stop();
      return;
    }
    stream = opened;
    quiet();
    $("video").srcObject = stream;
    $("camera-part").hidden = false;
    $("camera").textContent = "Close the camera";
    await $("video").play();
    $("shoot").focus();
  } catch (error) {
    // Closed while it began to play, it is missed by nobody.
    if (asking === client && stream === opened) problem(sentence(error instanceof KzooError ? error : refused(error, "camera")), true);
  }
}

function darken() {
  for (const track of stream?.getTracks() ?? []) track.stop();
  stream = null;
  $("video").srcObject = null;
  $("camera-part").hidden = true;
  $("camera").textContent = "Use the camera";
}

$("picture-file").addEventListener("change", () => {
  const [file] = $("picture-file").files;
  if (file) take(file);
  $("picture-file").value = "";
});
$("camera").addEventListener("click", () => (stream ? darken() : light()));
$("shoot").addEventListener("click", () => {
  const video = $("video");
  const name = "what the camera sees";
  if (video.videoWidth) show(async () => ({ ...pixels(video, video.videoWidth, video.videoHeight, name), name }));
});
