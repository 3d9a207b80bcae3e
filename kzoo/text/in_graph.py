"""BERT's WordPiece inside a TensorFlow graph, with the ids of Hugging Face's tokenizer.

tensorflow-text's own BERT tokenizers normalize with other Unicode rules (case folding and
compatibility forms in place of lower-casing and canonical decomposition, other control and space
characters, words limited by bytes). Here the rules are not written down at all: they are probed,
code point by code point, from the `tokenizers` object that is to be matched, and become two
lookup tables. What is left for the graph is vector arithmetic on code points:

    UTF-8 -> code points -> table -> canonical order -> words -> FastWordpieceTokenizer (C++)

The last step gets finished words, where tensorflow-text and Hugging Face agree.

Song et al. 2020, Fast WordPiece Tokenization, https://arxiv.org/abs/2012.15524
"""

import functools
import json
import re
import unicodedata
from dataclasses import dataclass

import numpy as np
import tensorflow as tf
import tokenizers

from ..errors import KzooError

# A symbol is a code point shifted left by two with these bits; -1 is no symbol.
ALONE = 1  # A word of its own: punctuation, a Chinese character, a special token.
SPACE = 2
# An entry of the table is a number shifted left by eight with the two bits above and these. The
# number is what to add to the code point, so that blocks of unchanged characters are one block.
NOTHING = 4  # The character goes.
SEVERAL = 8  # The number is a row of `Normalization.several`.
STARTER = 16  # Ends a run of combining marks.
MARK = 32  # Leaves a combining mark in the text, whose place among others may change.

BLOCK = 256
SURROGATES = range(0xD800, 0xE000)
BETWEEN = "\u4dc0"  # A symbol that no normalizer of BERT's changes, joins or splits off.
HIGH_MARK = "\u0345"  # The only mark of class 240: any other of a known class goes before it.
# Private characters stand for the special tokens of the text; a text's own are renamed first.
# All of them mean nothing to the normalizer, which deletes private characters.
SENTINELS, RENAMED = 0x10FF00, "\ue000"
SENTINEL_COUNT = 0xF0


@dataclass(frozen=True)
class Normalization:
    """What a normalizer and a pre-tokenizer do to each code point, as arrays.

    blocks: (4352,) the block of entries of each 256 code points. entries: (blocks * 256,) as
    described above. several: (rows, symbols) for characters that become more than one symbol,
    padded with -1. classes: (marks, 2) code point and combining class of marks that remain.
    """

    blocks: np.ndarray
    entries: np.ndarray
    several: np.ndarray
    classes: np.ndarray


def probe(normalizer, pre_tokenizer, alone=()):
    """The `Normalization` of a `tokenizers` normalizer and pre-tokenizer, in about a second.

    alone: code points that stay as they are, each a word of its own.
    """
    classes = _combining_classes(normalizer)
    blocks, unique, several = [], {}, {}
    for start in range(0, 0x110000, BLOCK):
        codes = [code for code in range(start, start + BLOCK) if code not in SURROGATES]
        characters = [chr(code) for code in codes]
        texts = _normalized(normalizer, characters)
        kinds = _kinds(pre_tokenizer, sorted(set("".join(texts))))
        passed = _passed(normalizer, classes, characters, texts)
        entries = []
        for code, text in zip(codes, texts, strict=True):
            symbols = tuple(ord(c) << 2 | kinds[c] for c in text)
            if len(symbols) == 3 and symbols[0] == symbols[2] == (32 << 2 | SPACE):
                symbols = (symbols[1] | ALONE,)  # A Chinese character between two spaces.
            if code in alone:
                symbols = (code << 2 | ALONE,)
            flags = 0 if chr(code) in passed and code not in alone else STARTER
            if not classes.keys().isdisjoint(text):
                flags |= MARK
            if not symbols:
                entries.append(flags | NOTHING)
            elif len(symbols) == 1:
                entries.append(((symbols[0] >> 2) - code) << 8 | symbols[0] & 3 | flags)
            else:
                row = several.setdefault(symbols, len(several))
                entries.append(row << 8 | SEVERAL | flags)
        entries += [NOTHING] * (BLOCK - len(entries))  # Surrogates: text never holds one.
        blocks.append(unique.setdefault(tuple(entries), len(unique)))
    width = max([2, *map(len, several)])
    rows = [[*row, *[-1] * (width - len(row))] for row in several or [()]]
    marks = [[ord(mark), value] for mark, value in classes.items()]
    return Normalization(
        np.array(blocks, "int32"),
        np.concatenate([np.array(entries, "int32") for entries in unique]),
        np.array(rows, "int32"),
        np.array(marks, "int32").reshape(-1, 2),
    )


def _normalized(normalizer, characters):
    """What each of the characters becomes when it stands alone."""
    joined = BETWEEN + "".join(character + BETWEEN for character in characters)
    parts = normalizer.normalize_str(joined).split(BETWEEN)
    if BETWEEN in characters or len(parts) != len(characters) + 2:
        return [normalizer.normalize_str(character) for character in characters]
    return parts[1:-1]


def _kinds(pre_tokenizer, characters):
    """Character to ALONE, SPACE or 0, from how the pre-tokenizer cuts it out of a word."""
    text = "a" + "".join(character + "a" for character in characters)
    inside = {}
    for _, (start, end) in pre_tokenizer.pre_tokenize_str(text):
        inside.update(dict.fromkeys(range(start, end), ALONE if end - start == 1 else 0))
    return {c: inside.get(1 + 2 * place, SPACE) for place, c in enumerate(characters)}


def _combining_classes(normalizer):
    """{mark that the normalizer leaves: its combining class}, empty if it orders none.

    A mark that the library's Unicode tables don't know has no class there, whatever Python's
    newer tables say.
    """
    decompose = tokenizers.normalizers.NFD().normalize_str
    marks = (chr(code) for code in range(0x110000) if unicodedata.combining(chr(code)))
    classes = {
        mark: unicodedata.combining(mark)
        for mark in marks
        if normalizer.normalize_str(mark) and decompose(HIGH_MARK + mark)[0] == mark
    }
    low, high = _extremes(classes)
    return classes if normalizer.normalize_str(high + low) == low + high else {}


def _extremes(classes):
    return min(classes, key=classes.get), max(classes, key=classes.get)


def _passed(normalizer, classes, characters, texts):
    """The characters that a run of marks goes past: deleted before the ordering, or marks."""
    if not classes:
        return set()
    low, high = _extremes(classes)

    def goes_past(text):
        return normalizer.normalize_str(high + text + low).startswith(low)

    gone = [c for c, text in zip(characters, texts, strict=True) if not text]
    marks = {c for c, text in zip(characters, texts, strict=True) if set(text) & classes.keys()}
    passed = set(gone) if goes_past("".join(gone)) else set(filter(goes_past, gone))
    return passed | {mark for mark in marks if mark in (low, high) or goes_past(mark)}


@functools.lru_cache
def _rules(settings, special_count):
    """`probe` for the parts of a tokenizer.json; tokenizers of one kind share the second it takes.

    Also leaves the characters that stand for special tokens alone.
    """
    normalizer, pre_tokenizer = json.loads(settings)
    backend = tokenizers.Tokenizer(tokenizers.models.WordPiece())
    parts = {
        **json.loads(backend.to_str()),
        "normalizer": normalizer,
        "pre_tokenizer": pre_tokenizer,
    }
    backend = tokenizers.Tokenizer.from_str(json.dumps(parts))
    alone = range(SENTINELS, SENTINELS + special_count)
    return probe(backend.normalizer, backend.pre_tokenizer, alone)


class InGraphTokenizer:
    """`Tokenizer.encode` for string tensors, as TensorFlow operations.

    tokenizer: a `Tokenizer` with BERT's normalizer, pre-tokenizer and WordPiece.
    max_length: tokens in a row at most, special tokens included; None for no limit.

    Raises KzooError for another kind of tokenizer, and when tensorflow-text is not installed.
    """

    def __init__(self, tokenizer, max_length=None):
        parts = json.loads(tokenizer.to_json())
        check_is_bert(parts)
        self.max_length = max_length
        self._tokenizer = tokenizer
        self._special = _special_characters(parts["added_tokens"])
        rules = _rules(
            json.dumps([parts["normalizer"], parts["pre_tokenizer"]]), len(self._special)
        )
        self._blocks, self._entries = tf.constant(rules.blocks), tf.constant(rules.entries)
        self._several, self._classes = tf.constant(rules.several), rules.classes
        model = parts["model"]
        self._longest_word = model["max_input_chars_per_word"]
        vocabulary = _vocabulary(tokenizer, self._special)
        self._unknown = vocabulary[tokenizer.token_to_id(model["unk_token"])]
        self._word_piece = _tensorflow_text().FastWordpieceTokenizer(
            vocab=vocabulary,
            suffix_indicator=model["continuing_subword_prefix"],
            max_bytes_per_word=4 * self._longest_word,
            token_out_type=tf.int32,
            unknown_token=self._unknown,
            no_pretokenization=True,
            support_detokenization=False,
        )

    def __call__(self, texts, pairs=None):
        """Token ids of a (batch,) string tensor, or of pairs, as `Tokenizer.encode` gives them.

        Returns {"token_ids", "padding_mask", "segment_ids"}, int32 (batch, longest row).
        """
        contents = [self.split(texts)] + ([] if pairs is None else [self.split(pairs)])
        if self.max_length is not None:
            special = self._tokenizer.count_special_tokens(pairs is not None)
            from_left = self._tokenizer.truncation_side == "left"
            contents = _fitting(contents, self.max_length - special, from_left)
        return self.framed(contents)

    def framed(self, contents):
        """The rows of ragged ids of one text each, or of two, with special tokens around them."""
        ids, segments = [], []
        for place, (special, segment) in enumerate(self._tokenizer.frame(len(contents) == 2)):
            if place % 2:
                part = contents[place // 2]
                ids.append(part)
                segments.append(part.with_values(tf.fill(tf.shape(part.values), segment[0])))
            elif special:
                rows = tf.stack([tf.cast(contents[0].nrows(), "int32"), 1])
                ids.append(_ragged(tf.tile([special], rows)))
                segments.append(_ragged(tf.tile([segment], rows)))
        ids, segments = tf.concat(ids, 1), tf.concat(segments, 1)
        return {
            "token_ids": ids.to_tensor(self._tokenizer.padding_id or 0),
            "padding_mask": tf.ones_like(ids).to_tensor(0),
            "segment_ids": segments.to_tensor(0),
        }

    def split(self, texts):
        """The ids of a (batch,) string tensor without special tokens: int32 (batch, None)."""
        words, rows = self.words(texts)
        pieces = self._word_piece.tokenize(words)
        return _ragged_of(pieces.values, tf.gather(rows, _row_ids(pieces)), texts)

    def split_with_places(self, texts):
        """`split`, and where each token stands.

        Returns:
            The ragged ids; and for all tokens in a row the first character of the text that a
            token stands for, the one behind its last, both in code points, and the number of its
            word, which counts on from text to text.
        """
        words = self._words(texts)
        pieces, begins, ends = self._word_piece.tokenize_with_offsets(words["texts"])
        number = _row_ids(pieces)
        # The library counts the bytes of a word's UTF-8.
        sizes = [tf.cast(words["codes"] >= least, "int64") for least in (0x80, 0x800, 0x10000)]
        after = tf.cumsum(1 + tf.add_n(sizes))
        before = tf.concat([[tf.constant(0, "int64")], after], 0)
        start_of_word = tf.gather(before, tf.gather(words["starts"], number))

        def symbol_at(offsets, side):
            return tf.searchsorted(before, start_of_word + offsets.values, side, "int64")

        # An unknown word is one token, whatever stands in its place; and tokens fill a word.
        is_last = tf.concat([number[1:] != number[:-1], [True]], 0)[: tf.size(number)]
        last = tf.where(is_last, tf.gather(words["stops"], number), symbol_at(ends, "left")) - 1
        first = symbol_at(begins, "left")
        return (
            _ragged_of(pieces.values, tf.gather(words["rows"], number), texts),
            tf.gather(words["first_characters"], first),
            tf.gather(words["last_characters"], last) + 1,
            number,
        )

    def words(self, texts):
        """The normalized words of all texts in a row, and for each the index of its text."""
        words = self._words(texts)
        return words["texts"], words["rows"]

    def _words(self, texts):
        """All about the words of all texts in a row.

        Of each word `texts`, `rows` (its text's index), `starts` and `stops` (its symbols); of
        each symbol within words `codes`, and the first and last character that it stands for.
        """
        codes = tf.strings.unicode_decode(self._mark_special(texts), "UTF-8", errors="replace")
        symbols, rows, places = self._normalize(codes.values, _row_ids(codes))
        alone, space = symbols & ALONE > 0, symbols & SPACE > 0
        # A word starts wherever the character before it does not belong to it.
        ends = alone | space
        starts = tf.concat([[True], ends[:-1] | (rows[1:] != rows[:-1])], 0)[: tf.size(rows)]
        starts |= alone
        kept = tf.where(~space)[:, 0]
        own_codes = tf.gather(tf.bitwise.right_shift(symbols, 2), kept)
        starts = tf.where(tf.gather(starts, kept))[:, 0]
        words = tf.RaggedTensor.from_row_starts(own_codes, starts, validate=False)
        texts = tf.strings.unicode_encode(words, "UTF-8", errors="replace")
        first, last = self._characters(codes)
        places = tf.gather(places, kept)
        return {
            "texts": tf.where(words.row_lengths() > self._longest_word, self._unknown, texts),
            "rows": tf.gather(rows, tf.gather(kept, starts)),
            "starts": starts,
            "stops": starts + words.row_lengths(),
            "codes": own_codes,
            "first_characters": tf.gather(first, places),
            "last_characters": tf.gather(last, places),
        }

    def _characters(self, codes):
        """The first and the last character of the text that each marked code point stands for.

        A special token in it was longer than the character that marks it.
        """
        widths = tf.constant([*map(len, self._special), *[1] * (SENTINEL_COUNT + 1)], "int64")
        marks = tf.clip_by_value(codes.values - SENTINELS, -1, SENTINEL_COUNT)
        marked = tf.gather(widths, tf.maximum(marks, 0))
        widths = tf.where(marks < 0, tf.ones_like(marked), marked)
        ends = tf.cumsum(widths)
        before = tf.concat([[tf.constant(0, "int64")], ends], 0)
        ends -= tf.gather(before, tf.gather(codes.row_starts(), _row_ids(codes)))
        return ends - widths, ends - 1

    def _mark_special(self, texts):
        """The texts with each special token written in them as one private character."""
        own = f"[{chr(SENTINELS)}-{chr(SENTINELS + SENTINEL_COUNT)}]"

        def marked():
            changed = tf.strings.regex_replace(texts, own, RENAMED)
            for token, character in self._special.items():
                changed = tf.strings.regex_replace(changed, re.escape(token), character)
            return changed

        # Here \C is any byte: a text need not be valid UTF-8.
        any_of = "|".join([own, *map(re.escape, self._special)])
        has_special = tf.strings.regex_full_match(texts, rf"\C*(?:{any_of})\C*")
        return tf.cond(tf.reduce_any(has_special), marked, lambda: tf.identity(texts))

    def _normalize(self, codes, rows):
        """Code points to symbols, the row of each, and which of the code points it comes from.

        Marks that change their order take the places of each other, as in the `tokenizers`
        library.
        """
        places = tf.range(tf.size(codes))
        block = tf.gather(self._blocks, tf.bitwise.right_shift(codes, 8))
        entries = tf.gather(self._entries, block * BLOCK + (codes & (BLOCK - 1)))
        numbers = tf.bitwise.right_shift(entries, 8)
        symbols = (codes + numbers) * 4 + (entries & (ALONE | SPACE))
        symbols = tf.where(entries & NOTHING > 0, -1, symbols)
        several = entries & SEVERAL > 0

        def expanded():
            width = self._several.shape[1]
            rest = [[0, 0], [0, width - 1]]
            single = tf.pad(symbols[:, None], rest, constant_values=-1)
            table = tf.gather(self._several, tf.where(several, numbers, 0))
            return (
                tf.reshape(tf.where(several[:, None], table, single), [-1]),
                tf.reshape(tf.tile(rows[:, None], [1, width]), [-1]),
                tf.reshape(tf.pad(entries[:, None], rest), [-1]),
                tf.reshape(tf.tile(places[:, None], [1, width]), [-1]),
            )

        symbols, rows, entries, places = tf.cond(
            tf.reduce_any(several), expanded, lambda: (symbols, rows, entries, places)
        )
        if len(self._classes):
            symbols = tf.cond(
                tf.reduce_any(entries & MARK > 0),
                lambda: self._ordered(symbols, rows, entries),
                lambda: symbols,
            )
        kept = tf.where(symbols >= 0)[:, 0]
        return tf.gather(symbols, kept), tf.gather(rows, kept), tf.gather(places, kept)

    def _ordered(self, symbols, rows, entries):
        """The symbols with each run of combining marks in Unicode's canonical order."""
        marks, classes = map(tf.constant, self._classes.T)
        codes = tf.bitwise.right_shift(symbols, 2)
        place = tf.minimum(tf.searchsorted(marks, codes), len(self._classes) - 1)
        values = tf.where(tf.gather(marks, place) == codes, tf.gather(classes, place), 0)
        runs = tf.cumsum(tf.cast(entries & STARTER > 0, "int64")) + rows
        count = tf.size(symbols, out_type=tf.int64)
        keys = (runs * 256 + tf.cast(values, "int64")) * count + tf.range(count)
        return tf.gather(symbols, tf.argsort(keys))


def check_is_bert(parts):
    """Raise KzooError unless a parsed tokenizer.json is a WordPiece tokenizer as BERT's."""
    actual = [
        (parts.get(name) or {}).get("type") for name in ("model", "normalizer", "pre_tokenizer")
    ]
    if actual != ["WordPiece", "BertNormalizer", "BertPreTokenizer"]:
        raise KzooError(
            f"A tokenizer of {', '.join(str(part) for part in actual)} can't run in the graph, "
            "only WordPiece, BertNormalizer, BertPreTokenizer: export token ids alone (text=False, "
            "--no-text)."
        )
    for token in parts["added_tokens"]:
        if token["normalized"] or token["single_word"] or token["lstrip"] or token["rstrip"]:
            raise KzooError(
                f"The added token {token['content']!r} is found by rules (normalized, single_word, "
                "lstrip, rstrip) that can't run in the graph: export token ids alone (text=False, "
                "--no-text)."
            )
    if len(parts["added_tokens"]) > SENTINEL_COUNT:
        raise KzooError(
            f"{len(parts['added_tokens'])} added tokens are more than the {SENTINEL_COUNT} that "
            "can be found in the graph: export token ids alone (text=False, --no-text)."
        )


def _special_characters(added_tokens):
    """{special token: the character that stands for it}."""
    return {token["content"]: chr(SENTINELS + n) for n, token in enumerate(added_tokens)}


def _vocabulary(tokenizer, special):
    """The vocabulary by id, in which special tokens go by their characters.

    Brackets are words of their own, so the text of a special token is never one.
    """
    pieces = [f"{chr(SENTINELS + SENTINEL_COUNT)}{n}" for n in range(tokenizer.vocabulary_size)]
    for token, number in tokenizer.vocabulary.items():
        pieces[number] = special.get(token, token)
    return pieces


def _fitting(contents, room, from_left=False):
    """Ragged ids cut to `room` tokens a row; of two, the longer row is cut first."""
    if len(contents) == 1:
        return [contents[0][:, -room:] if from_left else contents[0][:, :room]]
    lengths = [part.row_lengths() for part in contents]
    short = tf.minimum(*lengths)
    half = tf.constant(room // 2, "int64")
    short = tf.where(short + tf.maximum(short, room - short) > room, half, short)
    fits = lengths[0] + lengths[1] <= room
    first_is_short = lengths[0] <= lengths[1]
    kept = []
    for part, length, is_short in zip(
        contents, lengths, (first_is_short, ~first_is_short), strict=True
    ):
        whole, starts = length, part.row_starts()
        length = tf.where(fits, length, tf.where(is_short, short, room - short))
        starts = starts + whole - length if from_left else starts
        kept.append(tf.gather(part.values, tf.ragged.range(starts, starts + length)))
    return kept


def _row_ids(ragged):
    """`ragged.value_rowids()`, which takes most of the time where rows are many."""
    ends = ragged.row_splits[1:-1]
    count = tf.size(ragged.values, out_type=tf.int64)
    return tf.cumsum(tf.math.unsorted_segment_sum(tf.ones_like(ends), ends, count + 1))[:-1]


def _ragged_of(values, rows, texts):
    """Values with the index of each one's text, as ragged rows."""
    count = tf.size(texts, out_type=tf.int64)
    return tf.RaggedTensor.from_value_rowids(values, rows, nrows=count, validate=False)


def _ragged(rows):
    return tf.RaggedTensor.from_tensor(rows)


def _tensorflow_text():
    try:
        import tensorflow_text
    except ImportError as error:
        raise KzooError(
            f"Tokenization in the graph needs tensorflow-text ({error}): pip install kzoo[serving]."
        ) from None
    return tensorflow_text
