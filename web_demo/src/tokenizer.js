// WordPiece as BERT's models have it (Devlin et al. 2018), from a tokenizer.json: the same ids as the
// `tokenizers` library. What this reader doesn't know is an error that names it.

import { KzooError } from "./errors.js";
import { ACCENT, BLANK, IDEOGRAPH, PUNCTUATION, REMOVED, Unicode, WHITE } from "./unicode.js";

const SPACE = 0x20;
const CACHED = 50_000; // Pieces of text whose ids are kept.

export class WordPiece {
  /**
   * @param description the contents of a tokenizer.json
   * @param tables the contents of unicode.json
   */
  constructor(description, tables) {
    const { model, normalizer } = checked(description);
    this.unicode = new Unicode(tables);
    this.vocabulary = new Map(Object.entries(model.vocab));
    this.prefix = model.continuing_subword_prefix ?? "##";
    this.longestWord = model.max_input_chars_per_word ?? 100;
    this.longestPiece = 0;
    for (const piece of this.vocabulary.keys()) this.longestPiece = Math.max(this.longestPiece, piece.length);
    this.unknown = this.vocabulary.get(model.unk_token);
    if (this.unknown === undefined) {
      throw new KzooError(`tokenizer.json has no ${model.unk_token} in its vocabulary, which it names for unknown words.`);
    }
    this.clean = Boolean(normalizer?.clean_text);
    this.ideographs = Boolean(normalizer?.handle_chinese_chars);
    this.lowercase = Boolean(normalizer?.lowercase);
    this.strip = normalizer?.strip_accents ?? this.lowercase;
    this.special = new Map((description.added_tokens ?? [])
      .filter(({ content }) => content) // The library leaves empty ones out as well.
      .map(({ content, id }) => [content, id]));
    this.specials = alternatives([...this.special.keys()]);
    this.frames = frames(description.post_processor);
    this.cache = new Map();
  }

  /** The ids of a text without special tokens around it, at most `limit` of them. */
  split(text, limit = Infinity) {
    const ids = [];
    let start = 0;
    // An unpaired surrogate stands for no character; as in UTF-8 it becomes U+FFFD.
    const whole = text.toWellFormed?.() ?? text.replace(/\p{Surrogate}/gu, "\ufffd");
    if (this.specials) {
      for (const match of whole.matchAll(this.specials)) {
        this.#pieces(whole, start, match.index, ids, limit);
        ids.push(this.special.get(match[0]));
        start = match.index + match[0].length;
        if (ids.length >= limit) break;
      }
    }
    this.#pieces(whole, start, whole.length, ids, limit);
    return ids.length > limit ? ids.slice(0, limit) : ids;
  }

  /**
   * The ids of a text or a pair with special tokens, cut to `longest`; of a pair the longer text
   * loses tokens first. A single text is read only as far as it matters.
   *
   * @returns {ids, segments, truncated}
   */
  encode(text, pair = null, longest = Infinity) {
    const frame = this.frames[pair === null ? "single" : "pair"];
    const room = longest - frame.reduce((sum, part) => sum + (part.ids?.length ?? 0), 0);
    if (room < (pair === null ? 1 : 2)) {
      throw new KzooError(`This bundle reads ${longest} tokens, which leaves no room for a text beside the special ones: export with a larger max_length.`);
    }
    const texts = pair === null ? [this.split(text, room + 1)] : [this.split(text), this.split(pair)];
    const lengths = fitting(texts.map((ids) => ids.length), room);
    const found = { ids: [], segments: [], truncated: false };
    for (const part of frame) {
      const ids = part.ids ?? texts[part.text].slice(0, lengths[part.text]);
      found.truncated ||= !part.ids && ids.length < texts[part.text].length;
      for (const id of ids) {
        found.ids.push(id);
        found.segments.push(part.segment);
      }
    }
    return found;
  }

  // A space ends what the normalizer looks at, so a text is read from space to space: memory stays
  // small, words that come again cost a look-up, and reading stops at the limit.
  #pieces(text, start, end, ids, limit) {
    while (start < end && ids.length < limit) {
      const space = text.indexOf(" ", start);
      const stop = space < 0 || space > end ? end : space;
      if (stop > start) append(ids, this.#known(text.slice(start, stop), limit - ids.length));
      start = stop + 1;
    }
  }

  #known(piece, limit) {
    const cached = this.cache.get(piece);
    if (cached) return cached;
    const { ids, whole } = this.#encoded(piece, limit);
    if (whole && piece.length <= 64) {
      if (this.cache.size >= CACHED) this.cache.clear();
      this.cache.set(piece, ids);
    }
    return ids;
  }

  #encoded(piece, limit) {
    const ids = [];
    const codes = this.#normalized(piece);
    let word = [];
    const flush = () => {
      if (word.length) this.#word(word, ids);
      word = [];
    };
    for (const code of codes) {
      const flags = this.unicode.flags[code];
      if (flags & WHITE) flush();
      else if (flags & PUNCTUATION) {
        flush();
        this.#word([code], ids);
      } else word.push(code);
      if (ids.length >= limit) return { ids: ids.slice(0, limit), whole: false };
    }
    flush();
    return { ids, whole: true };
  }

  #normalized(piece) {
    const { flags } = this.unicode;
    let codes = [];
    for (const character of piece) {
      const code = character.codePointAt(0);
      const found = flags[code];
      if (this.clean && found & (REMOVED | BLANK)) {
        if (found & BLANK) codes.push(SPACE);
      } else if (this.ideographs && found & IDEOGRAPH) codes.push(SPACE, code, SPACE);
      else codes.push(code);
    }
    if (this.strip) codes = this.unicode.decompose(codes).filter((code) => !(flags[code] & ACCENT));
    return this.lowercase ? this.unicode.lower(codes) : codes;
  }

  // The longest piece of the vocabulary that the rest of the word begins with, again and again.
  #word(codes, ids) {
    if (codes.length > this.longestWord) {
      ids.push(this.unknown);
      return;
    }
    const word = codes.map((code) => String.fromCodePoint(code)).join("");
    const found = [];
    for (let start = 0; start < word.length; ) {
      const prefix = start ? this.prefix : "";
      let end = Math.min(word.length, start + this.longestPiece - prefix.length);
      let id;
      for (; end > start; end--) {
        id = this.vocabulary.get(prefix + word.slice(start, end));
        if (id !== undefined) break;
      }
      if (id === undefined) {
        ids.push(this.unknown);
        return;
      }
      found.push(id);
      start = end;
    }
    append(ids, found);
  }
}

function append(ids, more) {
  for (const id of more) ids.push(id); // Too many for the arguments of one call.
}

/** What stays of each text when `room` tokens do: the longer text is cut first. */
function fitting(lengths, room) {
  const whole = lengths.reduce((sum, length) => sum + length, 0);
  if (whole <= room) return lengths;
  if (lengths.length === 1) return [room];
  let short = Math.min(...lengths);
  if (short + Math.max(short, room - short) > room) short = Math.floor(room / 2);
  return lengths[0] <= lengths[1] ? [short, room - short] : [room - short, short];
}

function checked(description) {
  const expected = "BERT's WordPiece is what this page reads; for other tokenizers use `kzoo predict` or the Android client";
  const kind = (part) => part?.type ?? "none";
  const known = [
    ["model", ["WordPiece"]],
    ["normalizer", ["BertNormalizer", "none"]],
    ["pre_tokenizer", ["BertPreTokenizer"]],
    ["post_processor", ["TemplateProcessing", "BertProcessing", "none"]],
  ];
  if (!description || typeof description !== "object" || !("model" in description)) {
    throw new KzooError("tokenizer.json has no model: a file of the tokenizers library was expected; export anew.");
  }
  for (const [part, kinds] of known) {
    if (!kinds.includes(kind(description[part]))) {
      throw new KzooError(`tokenizer.json has the ${part} ${kind(description[part])}; ${expected}.`);
    }
  }
  const { vocab } = description.model;
  if (!vocab || typeof vocab !== "object" || !Object.keys(vocab).length) {
    throw new KzooError("tokenizer.json has an empty vocabulary: pieces were expected; export anew.");
  }
  const cutting = ["truncation", "padding"].find((name) => description[name] ?? null);
  if (cutting) {
    throw new KzooError(`tokenizer.json has a ${cutting} of its own, which this page doesn't follow, and kzoo writes none: export anew.`);
  }
  const tokens = description.added_tokens ?? [];
  if (!Array.isArray(tokens) || tokens.some((token) => typeof token?.content !== "string" || !Number.isInteger(token.id))) {
    throw new KzooError("tokenizer.json has added_tokens that are no list of contents with ids: a file of the tokenizers library was expected; export anew.");
  }
  for (const token of tokens) {
    const way = ["normalized", "single_word", "lstrip", "rstrip"].find((name) => token[name]);
    if (way) {
      throw new KzooError(`tokenizer.json has the added token ${token.content} with ${way}; ${expected}.`);
    }
  }
  return description;
}

/** The special tokens around one text and around a pair: [{ids, segment} or {text, segment}]. */
function frames(processor) {
  if (processor?.type === "BertProcessing") {
    for (const name of ["cls", "sep"]) {
      if (!Number.isInteger(processor[name]?.[1])) {
        throw new KzooError(`tokenizer.json has a post_processor without a ${name}: a token with its id was expected; export anew.`);
      }
    }
    const [start, end] = [[processor.cls[1]], [processor.sep[1]]];
    const single = [{ ids: start, segment: 0 }, { text: 0, segment: 0 }, { ids: end, segment: 0 }];
    return { single, pair: [...single, { text: 1, segment: 1 }, { ids: end, segment: 1 }] };
  }
  if (!processor) {
    return { single: [{ text: 0, segment: 0 }], pair: [{ text: 0, segment: 0 }, { text: 1, segment: 0 }] };
  }
  const part = (piece) => {
    const { Sequence: text, SpecialToken: special } = piece ?? {};
    if (text) return { text: text.id === "A" ? 0 : 1, segment: text.type_id };
    const ids = processor.special_tokens?.[special?.id]?.ids;
    if (!Array.isArray(ids)) {
      throw new KzooError(`tokenizer.json has a template that names the special token ${special?.id}, whose ids it doesn't tell: export anew.`);
    }
    return { ids, segment: special.type_id };
  };
  for (const name of ["single", "pair"]) {
    if (!Array.isArray(processor[name])) {
      throw new KzooError(`tokenizer.json has a template without its part ${name}: special tokens and texts were expected; export anew.`);
    }
  }
  return { single: processor.single.map(part), pair: processor.pair.map(part) };
}

function alternatives(tokens) {
  if (!tokens.length) return null;
  const escaped = tokens
    .sort((a, b) => b.length - a.length)
    .map((token) => token.replace(/[\\^$.*+?()[\]{}|/]/g, "\\$&"));
  return new RegExp(escaped.join("|"), "gu");
}
