// What each kind of answer shows: {marked, legend, bars, said}, pieces of the page and a sentence; of
// the answer, and of the reader that gave it.

import { bar, element, percent } from "./view.js";

const SHOWN = 6; // Labels or neighbours.
const COLOURS = 8; // As style.css has them.
const AROUND = 240; // Characters beside an answer.

/** A text in which spans, {start, end, ...} in code points, are what `made` makes of them. */
function marked(text, spans, made) {
  const points = Array.from(text);
  const parts = [];
  let at = 0;
  for (const span of spans) {
    parts.push(points.slice(at, span.start).join(""), made(span, points.slice(span.start, span.end).join("")));
    at = span.end;
  }
  return [...parts, points.slice(at).join("")];
}

/** The answer in its text, and what stands round it, up to whole words. */
function excerpt(text, { start, end }) {
  const points = Array.from(text);
  const blank = (place) => !points[place].trim();
  let [from, to] = [Math.max(0, start - AROUND), Math.min(points.length, end + AROUND)];
  while (from > 0 && from < start && !blank(from - 1)) from++;
  while (to < points.length && to > end && !blank(to)) to--;
  const shown = points.slice(from, to).join("");
  const parts = marked(shown, [{ start: start - from, end: end - from }], (_, words) => element("mark", {}, words));
  return [from > 0 ? "… " : "", ...parts, to < points.length ? " …" : ""];
}

/** The labels of what was given and how likely each is, the likeliest first where there are many. */
function labelled({ scores, labels }) {
  const ranked = scores.length > 2 ? [...scores].sort((a, b) => b[1] - a[1]) : scores;
  return ranked.slice(0, SHOWN).map(([name, share]) => bar(name, percent(share), share, labels.includes(name)));
}

/** The texts of a list, the nearest first, as bars. */
function listed({ nearest }, reader) {
  if (!nearest.length) return { bars: [], said: "The list is empty." };
  const [[text, best]] = nearest;
  return {
    bars: nearest.slice(0, SHOWN).map(([name, near], i) => bar(name, near.toFixed(3), reader.share(near), i === 0)),
    said: `Nearest, ${best.toFixed(3)}: ${text}`,
  };
}

/**
 * One that looks in a list has `kept`, what is made of each text of it once, and `near`, how near that is to an answer to
 * what is typed.
 */
export const SCREENS = {
  labels: {
    title: "Classify a text",
    asks: ["A text"],
    shows(answer) {
      if (answer.values) {
        const shown = answer.values.map(([name, value]) => [name, value.toPrecision(4)]);
        return { bars: shown.slice(0, SHOWN).map(([name, value]) => bar(name, value, 0)), said: `${shown.map((each) => each.join(" ")).join(", ")}.` };
      }
      if (!answer.labels) return { bars: labelled({ ...answer, labels: [answer.label] }), said: `${answer.label}, ${percent(answer.score)}.` };
      const shares = new Map(answer.scores);
      const said = answer.labels.map((name) => `${name}, ${percent(shares.get(name))}`).join("; ");
      return { bars: labelled(answer), said: said ? `${said}.` : "No label is likely enough." };
    },
  },
  embedding: {
    title: "Find the nearest text",
    asks: ["A text"],
    kept: async (asking, text) => (await asking.answer(text)).embedding,
    near: (asking, { embedding }, vector) => asking.reader.similarity(embedding, vector),
    shows: listed,
  },
  late_interaction: {
    title: "Find the text that answers best",
    asks: ["A question, or what is looked for"],
    kept: (asking, text) => text,
    near: async (asking, { text: query }, text) => (await asking.answer([query, text])).score,
    shows: listed,
  },
  entities: {
    title: "Find names in a text",
    asks: ["A text"],
    shows({ text, entities }, { kinds }) {
      const coloured = (kind, tag, words) => {
        const made = element(tag, {}, words);
        made.style.setProperty("--kind", `var(--kind-${kinds.indexOf(kind) % COLOURS})`);
        return made;
      };
      const found = kinds.filter((kind) => entities.some(({ label }) => label === kind));
      const words = entities.map(({ text: name, label, score }) => `${label}: ${name}, ${percent(score)}`);
      return {
        marked: marked(text, entities, ({ label }, name) => coloured(label, "mark", name)),
        legend: found.map((kind) => coloured(kind, "li", kind)),
        bars: entities.map(({ text: name, label, score }) => bar(name, `${label} · ${percent(score)}`, score)),
        said: words.length ? `${words.length} found. ${words.join(". ")}.` : "Nothing was found in this text.",
      };
    },
  },
  span: {
    title: "Find the answer in a text",
    asks: ["A question", "The text that answers it"],
    below: true, // The marked text, which may be long, stands below the answer.
    cut: "The question is too long: its beginning was read.",
    shows({ text: [, text], answer, score, start, end }) {
      if (!answer) return { bars: [], said: "The text gives no answer to this." };
      return {
        marked: excerpt(text, { start, end }),
        bars: [bar(answer, percent(score), score, true)],
        said: `${answer}, ${percent(score)}.`,
      };
    },
  },
};
