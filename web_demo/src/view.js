// Small pieces of the page.

import { KzooError } from "./errors.js";

export const $ = (id) => document.getElementById(id);

/** The page stays alive between two pieces of work. */
export const breath = () => new Promise((resolve) => setTimeout(resolve));

/** A new element: `element("p", {class: "faint"}, "text", child)`. */
export function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

/** A named value with a bar of `share`, 0 to 1. */
export function bar(name, value, share, best = false) {
  const filled = element("i");
  filled.style.setProperty("--share", Math.max(0, Math.min(1, share)));
  return element("li", best ? { class: "best" } : {},
    element("span", { class: "name", dir: "auto" }, name),
    element("span", { class: "value" }, value),
    element("span", { class: "bar", "aria-hidden": "true" }, filled));
}

/** A line with a mark for pass or fail, what it is about, and a figure at its end. */
export function row(passed, text, side, why = "") {
  const shown = element("span", { class: "text", dir: "auto" }, text);
  const line = element("li", passed ? {} : { class: "failed" },
    element("span", { class: "mark" }, element("span", { "aria-hidden": "true" }, passed ? "✓" : "✕"),
      element("span", { class: "hidden" }, passed ? "passed" : "failed")),
    shown, element("span", { class: "side" }, side));
  if (why) line.append(element("small", {}, why));
  return line;
}

const EXAMPLES = 5, SHORT = 200; // How many, and characters of one.

/** Shows golden texts, [text] or [text, text], that can be chosen; gives those that are shown. */
export function examples(into, texts, choose) {
  const chosen = texts.filter(([text]) => text.trim() && text.length < SHORT).slice(0, EXAMPLES);
  into.replaceChildren(...chosen.map((example) => {
    const button = element("button", { type: "button" }, element("span", {}, example[0]));
    button.addEventListener("click", () => choose(example));
    return button;
  }));
  return chosen;
}

export const percent = (share) => `${(100 * share).toFixed(1)} %`;

export function megabytes(bytes) {
  if (bytes < 1000) return `${bytes} bytes`;
  return bytes < 1e6 ? `${(bytes / 1000).toFixed(0)} kB` : `${(bytes / 1e6).toFixed(1)} MB`;
}

export const milliseconds = (value) => `${value < 10 ? value.toFixed(1) : value.toFixed(0)} ms`;

/** Shows a sentence on what went wrong: with the open bundle, or while one was opened. */
export function problem(text, inside) {
  const parts = text.split("`"); // What stands between two is a command.
  $("problem").replaceChildren(...parts.map((part, i) => (i % 2 ? element("code", {}, part) : part)));
  $("problem").classList.toggle("inside", inside);
  $("problem").hidden = false;
}

/** Takes away what went wrong with the open bundle, for it answers again. */
export function quiet() {
  if ($("problem").classList.contains("inside")) $("problem").hidden = true;
}

/** What a user is told of an error. */
export function sentence(error) {
  if (error instanceof KzooError) return error.message;
  console.error(error);
  return `Something unexpected happened (${error?.message ?? error}): load the page again.`;
}
