// Sets and mappings of code points, as `tools/unicode_tables.py` read them off the `tokenizers`
// library. The browser's own tables are not asked: they differ from it, and from browser to browser.

const LAST = 0x110000;
export const REMOVED = 1, BLANK = 2, IDEOGRAPH = 4, ACCENT = 8, WHITE = 16, PUNCTUATION = 32;
const FLAGS = { removed: REMOVED, blank: BLANK, ideograph: IDEOGRAPH, accent: ACCENT, white: WHITE,
  punctuation: PUNCTUATION };

// Hangul syllables are composed by arithmetic (The Unicode Standard, section 3.12).
const SYLLABLE = 0xac00, SYLLABLES = 11172, LEAD = 0x1100, VOWEL = 0x1161, TAIL = 0x11a7;

export class Unicode {
  /** @param tables the contents of unicode.json */
  constructor(tables) {
    this.flags = new Uint8Array(LAST);
    for (const [name, flag] of Object.entries(FLAGS)) {
      each(tables[name], (code) => (this.flags[code] |= flag));
    }
    this.order = new Uint8Array(LAST); // Zero: stays where it is.
    tables.order.forEach((set, i) => each(set, (code) => (this.order[code] = i + 1)));
    this.decomposed = mapping(tables.decomposed);
    this.lowered = mapping(tables.lower);
  }

  /** The code points in Normalization Form D: taken apart, and marks in their order. */
  decompose(codes) {
    const found = [];
    for (const code of codes) {
      const index = code - SYLLABLE;
      if (index >= 0 && index < SYLLABLES) {
        found.push(LEAD + Math.trunc(index / 588), VOWEL + Math.trunc((index % 588) / 28));
        if (index % 28) found.push(TAIL + (index % 28));
        continue;
      }
      const parts = this.decomposed.get(code);
      if (parts) found.push(...parts);
      else found.push(code);
    }
    for (let start = 0; start < found.length; start++) {
      let end = start;
      while (end < found.length && this.order[found[end]]) end++;
      if (end - start > 1) {
        const marks = found.slice(start, end).sort((a, b) => this.order[a] - this.order[b]);
        for (let i = start; i < end; i++) found[i] = marks[i - start];
      }
      start = Math.max(start, end - 1);
    }
    return found;
  }

  /** The code points in lower case, each for itself. */
  lower(codes) {
    return codes.flatMap((code) => this.lowered.get(code) ?? code);
  }
}

function each(pairs, act) {
  let code = 0;
  for (let i = 0; i < pairs.length; i += 2) {
    code += pairs[i];
    for (const end = code + pairs[i + 1]; code < end; code++) act(code);
  }
}

function mapping(entries) {
  return new Map(entries.map((entry) => {
    const [from, ...to] = Array.from(entry, (character) => character.codePointAt(0));
    return [from, to];
  }));
}
