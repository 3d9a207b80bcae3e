// The part of the page where a sound is listened to: a WAV file, or what the microphone hears.

import { streamOf, refused } from "./look.js";
import { Recording } from "./recording.js";
import { SCREENS } from "./screens.js";
import { $, element, milliseconds, percent, problem, quiet, sentence } from "./view.js";

const SHOWN = 5; // Sounds that can be chosen.
const HOP = 0.25; // Of what the model reads at once, after which the newest of it is answered.
const KEPT = 12; // Of what was heard while one listens on.

export const SAME = "same samples, same labels";

let client = null; // The bundle that answers.
let turn = 0; // Numbers what is given: of two answers the later one is shown.
let hearing = null; // What is recorded: {way, recording, context, stream, rate, ...}.

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
    (hearing?.way ?? ONCE).shows(shown.said);
    quiet();
    return found;
  } catch (error) {
    if (!here()) return null;
    clear();
    problem(sentence(error), true);
    return null;
  }
}

/** Records as much as the model reads, or until it is stopped, and answers that. */
const ONCE = {
  button: "record",
  offers: "Record",
  ends: "Stop",
  heard(mine, asking) {
    $("sound-figures").textContent = `Recording: ${said(mine.recording.count / mine.rate)} of ${reads(asking)} …`;
    if (mine.recording.count >= samples(mine, asking)) stop();
  },
  stopped(mine) {
    if (mine.recording.count) show(async () => newest(mine, client));
  },
  shows(words) {
    $("sound-told").textContent = words;
  },
};

/** Listens until it is stopped, and answers the newest of it again and again. */
const ON = {
  button: "keep",
  offers: "Keep listening",
  ends: "Stop listening",
  heard(mine, asking, part) {
    const whole = samples(mine, asking);
    mine.recording.forget(whole);
    mine.since += part.length;
    const now = performance.now();
    if (mine.recording.count < whole || mine.since < HOP * whole || now < mine.rested) return;
    mine.since = 0;
    mine.rested = Infinity;
    show(async () => newest(mine, asking)).then((found) => {
      const done = performance.now();
      mine.rested = done + (done - now); // A slow device has as long for all else.
      if (found?.label && hearing === mine) note(found);
    });
  },
  stopped() {}, // All of it was answered.
  shows() {}, // A screen reader would never end; what was heard is told as a list.
};

async function hear(way) {
  const asking = client;
  const mine = { way, recording: new Recording(), since: 0, rested: 0 };
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
    tap.port.onmessage = ({ data }) => {
      if (hearing !== mine) return;
      mine.recording.add(data);
      way.heard(mine, asking, data);
    };
    mine.context.createMediaStreamSource(mine.stream).connect(tap);
    quiet();
  } catch (error) {
    close(mine);
    if (hearing !== mine) return;
    deafen();
    problem(sentence(refused(error, "microphone")), true);
  }
}

/** Of how many samples of a recording's rate the model reads at once. */
const samples = ({ rate }, asking) => Math.round(seconds(asking) * rate);

/** The newest of a recording, as a sound for a model. */
function newest(mine, asking) {
  return { name: "what the microphone hears", samples: mine.recording.newest(samples(mine, asking)), rate: mine.rate };
}

/** Adds a label to those that were heard, where it is another one than just before. */
function note({ label, score }) {
  if ($("heard").lastChild?.dataset.label === label) return;
  const made = element("li", {}, `${label} ${percent(score)}`);
  made.dataset.label = label;
  $("heard").append(made);
  if ($("heard").childElementCount > KEPT) $("heard").firstChild.remove();
}

/** Ends what is recorded. */
function stop() {
  const done = hearing;
  deafen();
  done.way.stopped(done);
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
  for (const way of [ONCE, ON]) {
    $(way.button).textContent = hearing?.way === way ? way.ends : way.offers;
    $(way.button).disabled = Boolean(hearing && hearing.way !== way);
  }
}

$("sound-file").addEventListener("change", () => {
  const [file] = $("sound-file").files;
  if (file) take(file);
  $("sound-file").value = "";
});
for (const way of [ONCE, ON]) $(way.button).addEventListener("click", () => (hearing ? stop() : hear(way)));
