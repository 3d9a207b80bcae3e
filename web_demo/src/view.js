// Small pieces of the page.

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

export const percent = (share) => `${(100 * share).toFixed(1)} %`;

export function megabytes(bytes) {
  if (bytes < 1000) return `${bytes} bytes`;
  return bytes < 1e6 ? `${(bytes / 1000).toFixed(0)} kB` : `${(bytes / 1e6).toFixed(1)} MB`;
}

export const milliseconds = (value) => `${value < 10 ? value.toFixed(1) : value.toFixed(0)} ms`;
