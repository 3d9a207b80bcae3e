// The page: opens a bundle, answers while the user types, and checks the bundle on this browser.

import { Client } from "./client.js";
import { KzooError } from "./errors.js";
import { ChosenFiles, ServedFiles } from "./files.js";
import { bar, element, megabytes, milliseconds, percent, row } from "./view.js";

const TITLES = { TextClassifier: "Classify a text", TextEmbedder: "Find the nearest text" };
const SHOWN = 6; // Labels or neighbours.
const LENGTHS = [16, 32, 64, 128];
const ROUNDS = 7;
const PAUSE = 700; // Milliseconds without a key, after which a screen reader is told the answer.

const $ = (id) => document.getElementById(id);
const breath = () => new Promise((resolve) => setTimeout(resolve)); // The page stays alive between.

let client = null;
let opening = 0; // Numbers the bundles: what belongs to an earlier one is dropped.

async function open(files) {
  const turn = ++opening;
  const here = () => turn === opening;
  client?.close();
  client = null;
  for (const part of ["ask", "golden-part", "latency-part", "bundle-part", "problem"]) $(part).hidden = true;
  for (const list of ["bars", "files", "golden", "latency"]) $(list).replaceChildren();
  document.body.removeAttribute("data-state");
  $("title").textContent = "Opening the bundle";
  try {
    const source = await files;
    const opened = await Client.open(source, (name, bytes) => {
      if (!here()) return;
      $("working").textContent = `Checked ${name} …`;
      $("files").append(row(true, name, megabytes(bytes)));
    });
    if (!here()) return opened.close();
    client = opened;
    show(source);
    $("working").textContent = "";
    await answer();
    await runGolden(opened);
    await measure(opened);
    if (here()) document.body.dataset.state = "done";
  } catch (error) {
    if (!here()) return;
    $("title").textContent = "No bundle is open";
    $("open-title").textContent = "Open a bundle";
    problem(sentence(error), false);
    document.body.dataset.state = "failed";
  } finally {
    if (here()) $("working").textContent = "";
  }
}

function show(source) {
  const { manifest } = client;
  const sizes = Object.values(manifest.files).map((entry) => entry.bytes);
  const pairs = manifest.golden.some(({ text }) => typeof text !== "string");
  $("title").textContent = TITLES[manifest.task];
  $("open-title").textContent = "Open another";
  $("bundle-title").textContent = source instanceof ChosenFiles ? source.name : "This bundle";
  $("second-part").hidden = !pairs;
  $("text-label").textContent = pairs ? "The first text" : "A text";
  const facts = {
    Family: manifest.spec.family,
    Files: megabytes(sizes.reduce((sum, bytes) => sum + bytes, 0)),
    Model: megabytes(manifest.files["model.tflite"].bytes),
    Numbers: manifest.quantization,
    "Reads at most": `${manifest.max_length} tokens`,
    "Needs LiteRT": manifest.minimum_runtime.litert,
  };
  if (manifest.labels) facts.Labels = String(manifest.labels.length);
  $("facts").replaceChildren(...Object.entries(facts).map(([term, value]) =>
    element("div", {}, element("dt", {}, term), element("dd", {}, value))));
  const chosen = manifest.golden.filter(({ token_ids: ids }) => ids.length < 30).slice(0, 5);
  $("examples").replaceChildren(...chosen.map(({ text }) => {
    const [first, second] = [text].flat();
    const button = element("button", { type: "button" }, element("span", {}, first));
    button.addEventListener("click", () => {
      [$("text").value, $("second").value] = [first, second ?? ""];
      answer();
      $("text").focus();
    });
    return button;
  }));
  if (!$("text").value) [$("text").value, $("second").value = ""] = [chosen[0]?.text ?? ""].flat();
  for (const part of ["ask", "bundle-part"]) $(part).hidden = false;
}

let [running, asked] = [false, false];

/** Answers what stands in the text field now; while one answer is made, only the newest text waits. */
async function answer() {
  asked = true;
  if (running) return;
  running = true;
  while (asked && client) {
    asked = false;
    const asking = client; // Another bundle may be opened meanwhile: its page shows nothing of this one.
    const pair = !$("second-part").hidden;
    const text = pair ? [$("text").value, $("second").value] : $("text").value;
    try {
      const found = await asking.answer(text);
      if (asking !== client) continue;
      present(found, asking.manifest);
      if ($("problem").classList.contains("inside")) $("problem").hidden = true;
    } catch (error) {
      if (asking !== client) continue;
      clear();
      problem(sentence(error), true);
    }
    await breath();
  }
  running = false;
}

function present(found, { golden }) {
  const notes = [];
  if (found.empty) notes.push($("text").value ? "Nothing in this text is a character that the model reads." : "Type a text.");
  if (found.truncated) notes.push(`The text is longer than the model reads: these are its first ${found.tokens} tokens.`);
  // Browsers lay out much longer text in minutes; a model reads a few hundred words.
  const full = [$("text"), $("second")].find((field) => field.value.length >= field.maxLength);
  if (full) notes.push(`The field takes ${full.maxLength.toLocaleString("en")} characters: what came after them was left out.`);
  const note = notes.join(" ");
  $("note").textContent = note;
  $("note").hidden = !notes.length;
  if (found.empty) {
    clear();
    speak(note);
    return;
  }
  const ranked = found.scores ? Object.entries(found.scores) : neighbours(found.embedding, golden);
  if (found.scores ? ranked.length > 2 : true) ranked.sort((a, b) => b[1] - a[1]);
  const best = Math.max(...ranked.map(([, score]) => score));
  const format = found.scores ? percent : (cosine) => cosine.toFixed(3);
  $("bars").replaceChildren(...ranked.slice(0, SHOWN).map(([name, score]) => bar(name, format(score), score, score === best)));
  $("figures").textContent = `${found.tokens} tokens · ${milliseconds(found.milliseconds)} here`;
  $("bars").classList.toggle("texts", !found.scores);
  const said = found.scores ? `${found.label}, ${percent(found.score)}.` : `Nearest, ${format(best)}: ${ranked[0][0]}`;
  speak(`${said} ${note}`.trim());
}

function clear() {
  $("bars").replaceChildren();
  $("figures").textContent = "";
  speak("");
}

let speaking = 0;

/** Tells a screen reader the newest answer, once nobody types: not one answer for each key. */
function speak(text) {
  clearTimeout(speaking);
  speaking = setTimeout(() => ($("spoken").textContent = text), PAUSE);
}

/** The golden texts by cosine; their vectors are in the manifest. */
function neighbours(vector, golden) {
  const dot = (a, b) => a.reduce((sum, value, i) => sum + value * b[i], 0);
  return golden.map(({ text, outputs }) => {
    const other = outputs.embedding.flat();
    return [[text].flat().join(" / "), dot(vector, other) / Math.sqrt(dot(vector, vector) * dot(other, other))];
  });
}

/** Runs the golden examples of a bundle for as long as it is the open one. */
async function runGolden(asking) {
  if (asking !== client) return;
  const { golden } = asking.manifest;
  let [passed, worst] = [0, 0];
  $("golden-part").hidden = false;
  $("again").disabled = true;
  $("golden").replaceChildren();
  for (const example of golden) {
    const start = performance.now();
    const found = await asking.check(example).catch((error) => {
      if (asking === client) throw error; // Of a closed bundle nobody wants to know.
    });
    if (asking !== client) return;
    const took = performance.now() - start;
    passed += Number(found.passed);
    worst = Math.max(worst, found.off ?? 0);
    $("golden").append(row(found.passed, [example.text].flat().join(" / "), milliseconds(took), found.why));
    await breath();
    if (asking !== client) return;
  }
  const distance = worst < 1e-6 ? "equal to the digit" : `off by at most ${(100 * worst).toPrecision(2)} %`;
  $("golden-summary").replaceChildren(
    element("span", { class: passed === golden.length ? "pass" : "fail" }, `${passed} of ${golden.length} pass`),
    ` on this browser: same tokens, same labels, outputs ${distance}.`);
  if (passed < golden.length) $("golden-summary").lastChild.remove();
  $("again").disabled = false;
}

async function measure(asking) {
  if (asking !== client) return;
  const { max_length: longest, length } = asking.manifest;
  const lengths = length ? [length] : LENGTHS.filter((count) => count <= longest);
  const found = [];
  for (const count of lengths) {
    const times = [];
    for (let i = 0; i <= ROUNDS; i++) {
      const ones = Array(count).fill(1);
      const start = performance.now();
      await asking.model.run({ token_ids: ones, padding_mask: ones, segment_ids: Array(count).fill(0) });
      if (i) times.push(performance.now() - start); // The first run of a length allocates.
      await breath();
      if (asking !== client) return;
    }
    found.push([count, times.sort((a, b) => a - b)[Math.floor(ROUNDS / 2)]]);
  }
  const slowest = Math.max(...found.map(([, time]) => time));
  $("latency").replaceChildren(...found.map(([count, time]) => bar(`${count} tokens`, milliseconds(time), time / slowest)));
  $("latency-part").hidden = !found.length;
}

function problem(text, inside) {
  const parts = text.split("`"); // What stands between two is a command.
  $("problem").replaceChildren(...parts.map((part, i) => (i % 2 ? element("code", {}, part) : part)));
  $("problem").classList.toggle("inside", inside);
  $("problem").hidden = false;
}

function sentence(error) {
  if (error instanceof KzooError) return error.message;
  console.error(error);
  return `Something unexpected happened (${error?.message ?? error}): load the page again.`;
}

/** Files of a dropped folder, or the dropped files themselves. */
async function dropped(transfer) {
  const entries = Array.from(transfer.items, (item) => item.webkitGetAsEntry?.()).filter(Boolean);
  const folder = entries.find((entry) => entry.isDirectory);
  if (!folder) return ChosenFiles.of(transfer.files);
  const reader = folder.createReader();
  const found = [];
  for (;;) {
    const some = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
    if (!some.length) break;
    found.push(...some.filter((entry) => entry.isFile));
  }
  return ChosenFiles.of(await Promise.all(found.map((entry) => new Promise((resolve, reject) => entry.file(resolve, reject)))));
}

for (const field of [$("text"), $("second")]) field.addEventListener("input", answer);
$("again").addEventListener("click", () => runGolden(client).catch((error) => problem(sentence(error), true)));
for (const chooser of [$("folder"), $("zip")]) {
  chooser.addEventListener("change", () => {
    if (chooser.files.length || chooser.id === "folder") open(ChosenFiles.of(chooser.files));
    chooser.value = "";
  });
}
document.addEventListener("dragover", (event) => {
  event.preventDefault();
  document.body.classList.add("dropping");
});
document.addEventListener("dragleave", (event) => {
  if (!event.relatedTarget) document.body.classList.remove("dropping");
});
document.addEventListener("drop", (event) => {
  event.preventDefault();
  document.body.classList.remove("dropping");
  open(dropped(event.dataTransfer));
});

open(new ServedFiles(new URLSearchParams(location.search).get("bundle") ?? "bundle/"));
