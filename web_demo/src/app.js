// The page: opens a bundle, answers while the user types, and checks the bundle on this browser.

import * as ask from "./ask.js";
import { Client } from "./client.js";
import * as find from "./find.js";
import { ChosenFiles, ServedFiles } from "./files.js";
import * as listen from "./listen.js";
import * as look from "./look.js";
import { $, bar, breath, element, megabytes, milliseconds, problem, row, sentence } from "./view.js";
import * as write from "./write.js";

/** The parts of the page that use a bundle; each has what `partOf` says. */
const PARTS = { ask, write, look, find, listen };

/** By what a bundle reads and how it answers, the part for it. */
const PART_OF = {
  text: { labels: ask, embedding: ask, entities: ask, span: ask, late_interaction: ask, continuation: write, rewriting: write },
  image: { labels: look, embedding: look, towers: find },
  sound: { labels: listen },
};

/**
 * The part for an open bundle. It has `use` and `rest`; SAME, what is the same of a golden example that passes;
 * `reads`, what the facts say of the most that a model reads; `sizes`, those that it is timed on, [[name, size]]; and
 * where it answers files, `takes`, which says whether one is such a file, and `take`, which is given several.
 */
const partOf = ({ sense, kind }) => PART_OF[sense][kind];

const ROUNDS = 7;

let client = null;
let opening = 0; // Numbers the bundles: what belongs to an earlier one is dropped.

async function open(files) {
  const turn = ++opening;
  const here = () => turn === opening;
  client?.close();
  client = null;
  for (const { rest } of Object.values(PARTS)) rest();
  for (const part of ["golden-part", "latency-part", "bundle-part", "problem"]) $(part).hidden = true;
  for (const list of ["files", "golden", "latency"]) $(list).replaceChildren();
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
    await partOf(opened).use(opened);
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
  const { members } = client;
  const manifests = members.map(({ manifest }) => manifest);
  const all = (of) => [...new Set(manifests.map(of))].join(", ");
  const sizes = manifests.flatMap(({ files }) => Object.values(files)).map((entry) => entry.bytes);
  $("open-title").textContent = "Open another";
  $("bundle-title").textContent = source instanceof ChosenFiles ? source.name : "This bundle";
  const facts = {
    Family: all(({ spec }) => spec.family),
    Files: megabytes(sizes.reduce((sum, bytes) => sum + bytes, 0)),
    Model: all(({ files }) => megabytes(files["model.tflite"].bytes)),
    Numbers: all(({ quantization }) => quantization),
    "Reads at most": members.map((each) => partOf(each).reads(each)).join(", "),
    "Needs LiteRT": all(({ minimum_runtime: minimum }) => minimum.litert),
  };
  const labels = manifests.flatMap((manifest) => manifest.labels ?? []);
  if (labels.length) facts.Labels = String(labels.length);
  $("facts").replaceChildren(...Object.entries(facts).map(([term, value]) =>
    element("div", {}, element("dt", {}, term), element("dd", {}, value))));
  $("bundle-part").hidden = false;
}

/** Runs the golden examples of a bundle for as long as it is the open one. */
async function runGolden(asking) {
  if (asking !== client) return;
  const golden = asking.members.flatMap((member) => member.manifest.golden.map((example) => [member, example]));
  let [passed, worst] = [0, 0];
  $("golden-part").hidden = false;
  $("again").disabled = true;
  $("golden").replaceChildren();
  for (const [member, example] of golden) {
    const start = performance.now();
    const found = await member.check(example).catch((error) => {
      if (asking === client) throw error; // Of a closed bundle nobody wants to know.
    });
    if (asking !== client) return;
    const took = performance.now() - start;
    passed += Number(found.passed);
    worst = Math.max(worst, found.off ?? 0);
    $("golden").append(row(found.passed, [example[member.sense]].flat().join(" / "), milliseconds(took), found.why));
    await breath();
    if (asking !== client) return;
  }
  const distance = worst < 1e-6 ? "equal to the digit" : `off by at most ${(100 * worst).toPrecision(2)} %`;
  $("golden-summary").replaceChildren(
    element("span", { class: passed === golden.length ? "pass" : "fail" }, `${passed} of ${golden.length} pass`),
    ` on this browser: ${partOf(asking).SAME}, outputs ${distance}.`);
  if (passed < golden.length) $("golden-summary").lastChild.remove();
  $("again").disabled = false;
}

async function measure(asking) {
  if (asking !== client) return;
  const found = [];
  for (const [member, name, size] of asking.members.flatMap((each) => partOf(each).sizes(each).map((size) => [each, ...size]))) {
    const times = [];
    for (let i = 0; i <= ROUNDS; i++) {
      const start = performance.now();
      await member.measure(size);
      if (i) times.push(performance.now() - start); // The first run of a length allocates.
      await breath();
      if (asking !== client) return;
    }
    found.push([name, times.sort((a, b) => a - b)[Math.floor(ROUNDS / 2)]]);
  }
  const slowest = Math.max(...found.map(([, time]) => time));
  $("latency").replaceChildren(...found.map(([name, time]) => bar(name, milliseconds(time), time / slowest)));
  $("latency-part").hidden = !found.length;
}

/** Whether files came for the open bundle, which answers them now. */
function taken([...files]) {
  const part = client && partOf(client);
  if (!files.length || !files.every((file) => part.takes?.(file))) return false;
  part.take(...files);
  return true;
}

/** Files of a dropped folder, or the dropped files themselves. */
async function dropped(transfer) {
  const entries = Array.from(transfer.items, (item) => item.webkitGetAsEntry?.()).filter(Boolean);
  const folder = entries.find((entry) => entry.isDirectory);
  if (!folder) return ChosenFiles.of(transfer.files);
  const paths = new Map();
  for (const entry of await filesIn(folder)) {
    paths.set(await new Promise((resolve, reject) => entry.file(resolve, reject)), entry.fullPath.slice(1));
  }
  return ChosenFiles.of(paths.keys(), (file) => paths.get(file));
}

/** The files in a dropped folder and in those within it. */
async function filesIn(folder) {
  const reader = folder.createReader();
  const found = [];
  for (;;) {
    const some = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
    if (!some.length) return found;
    for (const entry of some) found.push(...(entry.isFile ? [entry] : await filesIn(entry)));
  }
}

$("again").addEventListener("click", () => runGolden(client).catch((error) => problem(sentence(error), true)));
for (const chooser of [$("folder"), $("zip")]) {
  chooser.addEventListener("change", () => {
    if (chooser.files.length || chooser.id === "folder") open(ChosenFiles.of(chooser.files));
    chooser.value = "";
  });
}
document.addEventListener("paste", (event) => {
  if (taken(event.clipboardData.files)) event.preventDefault();
});
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
  if (!taken(event.dataTransfer.files)) open(dropped(event.dataTransfer));
});

open(ServedFiles.of(new URLSearchParams(location.search).get("bundle") ?? "bundle"));
