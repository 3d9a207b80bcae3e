// The part of the page where a sound is listened to: a WAV file, or what the microphone hears.

import { streamOf, refused } from "./look.js";
import { SCREENS } from "./screens.js";
import { $, element, milliseconds, percent, problem, quiet, sentence } from "./view.js";

const SHOWN = 5; // Sounds that can be chosen.
const HOP = 0.25; // Of what the model reads at once, after which the newest of it is answered.
const KEPT = 12; // Of what was heard while one listens on.

export const SAME = "same samples, same labels";

let client = null; // The bundle that answers.
let turn = 0; // Numbers what is given: of two answers the later one is shown.
let hearing = null; // What is recorded: {context, stream, goesOn, parts, count, rate, ...}.

const seconds = ({ shape: [, samples], rate }) => samples / rate;
const said = (value) => `${Number(value.toFixed(2))} ${value === 1 ? "second" : "seconds"}`;

export const reads = (opened) => said(seconds(opened));
export const sizes = (opened) => [[`a sound of ${reads(opened)}`, 1]];

/** Nobody answers until the next bundle. */
export function rest() {
  client = null;
  turn++;
  deafen();
  $("listen").hidden = true;
  clear();
  for (const list of ["sounds", "heard"]) $(list).replaceChildren();
}

function clear() {
  $("sound-bars").replaceChildren();
  for (const line of ["sound-figures", "sound-told"]) $(line).textContent = "";
  $("sound-note").hidden = true;
}

/** Shows the screen, with some of the golden sounds to choose from, and answers from now on. */
export async function use(opened) {
  client = opened;
  $("title").textContent = "Classify a sound";
  $("listen").hidden = false;
  for (const sound of opened.examples.slice(0, SHOWN)) {
    const button = element("button", { type: "button" }, element("span", {}, sound.name));
    button.addEventListener("click", () => show(async () => sound));
    $("sounds").append(button);
  }
  await show(async () => opened.examples[0]);
}

export const takes = (file) => file.type.startsWith("audio/") || /\.wav$/i.test(file.name);

/** Answers a file. */
export function take(file) {
  return show(async () => ({ name: file.name, bytes: new Uint8Array(await file.arrayBuffer()) }));
}

/** Shows the answer to a sound; gives it, or null where it was overtaken or refused. */
async function show(make) {
  const [asking, mine] = [client, ++turn];
  const here = () => asking === client && mine === turn;
  try {
    const sound = await make();
    if (!here()) return null;
    const found = await asking.answer(sound);
    if (!here()) return null;
    const shown = SCREENS.labels.shows(found);
    $("sound-note").textContent = `The sound is longer than the model reads: this is its first ${said(found.seconds)}.`;
    $("sound-note").hidden = !found.truncated;
    $("sound-bars").replaceChildren(...shown.bars);
    $("sound-figures").textContent = `${sound.name} · ${said(found.seconds)} · ${milliseconds(found.milliseconds)} here`;
    if (!hearing?.goesOn) $("sound-told").textContent = shown.said;
    quiet();
    return found;
  } catch (error) {
    if (!here()) return null;
    clear();
    problem(sentence(error), true);
    return null;
  }
}

/** Records as much as the model reads, or until it is stopped, and answers that; or the newest, again and again. */
async function hear(goesOn) {
  const asking = client;
  const mine = { goesOn, parts: [], count: 0, since: 0, rested: 0 };
  hearing = mine;
  labels();
  $("heard").replaceChildren();
  try {
    // As it sounds: what makes speech clearer for people is not what models have learned from.
    mine.stream = await streamOf({ audio: { echoCancellation: false, noiseSuppression: false, autoGainControl: false } }, "microphone");
    if (hearing !== mine) return close(mine);
    mine.context = new AudioContext();
    mine.rate = mine.context.sampleRate;
    await mine.context.audioWorklet.addModule(new URL("./tap.js", import.meta.url));
    await mine.context.resume();
    if (hearing !== mine) return close(mine);
    const tap = new AudioWorkletNode(mine.context, "tap");
    tap.port.onmessage = ({ data }) => hearing === mine && more(mine, data, asking);
    mine.context.createMediaStreamSource(mine.stream).connect(tap);
    quiet();
  } catch (error) {
    close(mine);
    if (hearing !== mine) return;
    deafen();
    problem(sentence(refused(error, "microphone")), true);
  }
}

function more(mine, part, asking) {
  mine.parts.push(part);
  mine.count += part.length;
  mine.since += part.length;
  const whole = Math.round(seconds(asking) * mine.rate);
  if (!mine.goesOn) {
    $("sound-figures").textContent = `Recording: ${said(mine.count / mine.rate)} of ${reads(asking)} …`;
    if (mine.count >= whole) stop();
    return;
  }
  while (mine.count - mine.parts[0].length >= whole) mine.count -= mine.parts.shift().length;
  const now = performance.now();
  if (mine.count < whole || mine.since < HOP * whole || now < mine.rested) return;
  mine.since = 0;
  mine.rested = Infinity;
  show(async () => recorded(mine, whole)).then((found) => {
    const done = performance.now();
    mine.rested = done + (done - now); // A slow device has as long for all else.
    if (found?.label && hearing === mine) note(found);
  });
}

/** Adds a label to those that were heard, where it is another one than just before. */
function note({ label, score }) {
  if ($("heard").lastChild?.dataset.label === label) return;
  const made = element("li", {}, `${label} ${percent(score)}`);
  made.dataset.label = label;
  $("heard").append(made);
  if ($("heard").childElementCount > KEPT) $("heard").firstChild.remove();
}

/** The last so many samples of what was recorded. */
function recorded({ parts, count, rate }, most) {
  const samples = new Float32Array(count);
  let place = 0;
  for (const part of parts) {
    samples.set(part, place);
    place += part.length;
  }
  return { name: "what the microphone hears", samples: samples.subarray(Math.max(0, count - most)).slice(), rate };
}

/** Ends what is recorded, and answers it where nothing of it was answered yet. */
function stop() {
  const done = hearing;
  deafen();
  if (!done.goesOn && done.count) show(async () => recorded(done, Math.round(seconds(client) * done.rate)));
}

function deafen() {
  if (hearing) close(hearing);
  hearing = null;
  labels();
}

function close({ stream, context }) {
  for (const track of stream?.getTracks() ?? []) track.stop();
  if (context && context.state !== "closed") context.close();
}

function labels() {
  $("record").textContent = hearing && !hearing.goesOn ? "Stop" : "Record";
  $("keep").textContent = hearing?.goesOn ? "Stop listening" : "Keep listening";
  $("record").disabled = Boolean(hearing?.goesOn);
  $("keep").disabled = Boolean(hearing && !hearing.goesOn);
}

$("sound-file").addEventListener("change", () => {
  const [file] = $("sound-file").files;
  if (file) take(file);
  $("sound-file").value = "";
});
$("record").addEventListener("click", () => (hearing ? stop() : hear(false)));
$("keep").addEventListener("click", () => (hearing ? stop() : hear(true)));
