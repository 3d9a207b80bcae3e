"""Entities, and answers to questions, inside a TensorFlow graph: `kzoo.answers` as operations.

Strings go in and spans of their characters come out. Texts longer than a row are read in windows,
as the tasks read them. The tokenizer is BERT's, see `in_graph`, whose words are those of its
pre-tokenizer; that is all of `answers.words_of` that is left here.
"""

import numpy as np
import tensorflow as tf

from ..answers import BLANK, INVISIBLE, JOINERS, LONGEST_ANSWER, label_parts
from .tokenizer import default_stride

FARTHEST = 1 << 20  # More than a row has tokens.


class SpanGraph:
    """What reads texts in windows and finds spans in them.

    Args:
        in_graph: the `InGraphTokenizer`, with the task's max_length.
        tokenizer: the task's own.
        run: the outputs by name of the model for the token dict.
    """

    def __init__(self, in_graph, tokenizer, run):
        self.in_graph, self.tokenizer, self.run = in_graph, tokenizer, run
        self.max_length = in_graph.max_length

    def entities(self, texts, labels):
        """The entities of (batch,) texts, by the rules of `answers.entities` and `stitched`.

        Returns {"entity", "label", "start", "end", "score"}, each (batch, entities): texts,
        kinds, first characters and those behind the last in code points, and probabilities.
        Rows with fewer entities end in "", "", -1, -1 and 0.
        """
        ids, starts, ends, numbers = self.in_graph.split_with_places(texts)
        room = self.max_length - self.tokenizer.count_special_tokens()
        step = room - min(default_stride(self.max_length), room - 1)
        windows = _Windows(ids.row_lengths(), room, step)
        parts = windows.cut(ids)
        logits = self.run(self.in_graph.framed([parts]))["logits"]
        scores = _probabilities(logits)
        front = len(self.tokenizer.frame()[0][0])
        rows = tf.gather_nd(scores, tf.stack(self._deepest(ids, windows, parts, front), -1))

        characters = _Characters(texts)
        text = ids.value_rowids()
        starts, ends = characters.trimmed(text, starts, ends)
        seen = tf.where(starts < ends)[:, 0]
        text, starts, ends, numbers, rows = (
            tf.gather(each, seen) for each in (text, starts, ends, numbers, rows)
        )
        joins = characters.joins(text, starts, ends, numbers)
        first = tf.where(~joins)[:, 0]
        words = tf.cumsum(tf.cast(~joins, "int64")) - 1
        count = tf.size(first, out_type=tf.int64)
        text, rows, starts = (tf.gather(each, first) for each in (text, rows, starts))
        ends = tf.math.unsorted_segment_max(ends, words, count)

        kinds, begins, kind_of = _kinds(labels)
        best = tf.argmax(rows, -1)
        kind = tf.gather(kind_of, best)
        before = tf.concat([[-1], kind[:-1]], 0)[: tf.size(kind)]
        same = tf.concat([[False], text[1:] == text[:-1]], 0)[: tf.size(kind)]
        opens = (kind >= 0) & (~same | (kind != before) | tf.gather(begins, best))
        spans = tf.cumsum(tf.cast(opens, "int64")) - 1
        inside, opening = tf.where(kind >= 0)[:, 0], tf.where(opens)[:, 0]
        number = tf.size(opening, out_type=tf.int64)
        owner = tf.gather(spans, inside)
        score = tf.gather(tf.reduce_max(rows, -1), inside)
        text, start, kind = (tf.gather(each, opening) for each in (text, starts, kind))
        end = tf.math.unsorted_segment_max(tf.gather(ends, inside), owner, number)
        columns = {
            "entity": (characters.texts_of(text, start, end), ""),
            "label": (tf.gather(kinds, kind), ""),
            "start": (tf.cast(start, "int32"), -1),
            "end": (tf.cast(end, "int32"), -1),
            "score": (
                tf.cast(tf.math.unsorted_segment_mean(score, owner, number), "float32"),
                0.0,
            ),
        }
        total = tf.size(texts, out_type=tf.int64)
        return {
            name: tf.RaggedTensor.from_value_rowids(values, text, total).to_tensor(filler)
            for name, (values, filler) in columns.items()
        }

    def _deepest(self, ids, windows, parts, front):
        """For each token the window, and the place in it, where it stands farthest from an end."""
        window = parts.value_rowids()
        within = tf.range(tf.size(window, out_type=tf.int64)) - tf.gather(
            parts.row_starts(), window
        )
        depth = tf.minimum(within, tf.gather(parts.row_lengths(), window) - 1 - within)
        token = within + tf.gather(
            windows.starts + tf.gather(ids.row_starts(), windows.samples), window
        )
        order = tf.argsort(token * FARTHEST - depth, stable=True)  # Of equals the earlier window.
        token = tf.gather(token, order)
        is_first = tf.concat([[True], token[1:] != token[:-1]], 0)[: tf.size(token)]
        chosen = tf.gather(order, tf.where(is_first)[:, 0])
        return tf.gather(window, chosen), tf.gather(within, chosen) + front

    def answers(self, questions, contexts, no_answer=None):
        """The answers to (batch,) questions in contexts, by the rules of `answers.answer`.

        Returns {"answer", "score", "start", "end"}, each (batch,).
        """
        front, _, _, _ = self.in_graph.split_with_places(questions)
        ids, starts, ends, _ = self.in_graph.split_with_places(contexts)
        room = self.max_length - self.tokenizer.count_special_tokens(pair=True)
        from_left = self.tokenizer.truncation_side == "left"
        half = room // 2
        front = front[:, -half:] if from_left else front[:, :half]
        left = room - front.row_lengths()
        step = left - tf.minimum(tf.constant(default_stride(self.max_length), "int64"), left - 1)
        windows = _Windows(ids.row_lengths(), left, step)
        parts = windows.cut(ids)
        inputs = self.in_graph.framed([tf.gather(front, windows.samples), parts])
        outputs = self.run(inputs)
        characters = _Characters(contexts)
        starts, ends = characters.trimmed(ids.value_rowids(), starts, ends)
        # The context's characters at each place of a row, (0, 0) where there are none.
        special = [len(part) for part, _ in self.tokenizer.frame(pair=True)[::2]]
        before = special[0] + special[1] + tf.gather(front.row_lengths(), windows.samples)
        size = tf.shape(inputs["token_ids"], out_type=tf.int64)[1]
        place = tf.range(size)[None] - before[:, None]
        real = (place >= 0) & (place < parts.row_lengths()[:, None])
        count = tf.size(parts.values, out_type=tf.int64)
        token = tf.where(real, parts.row_starts()[:, None] + place, count)
        at = [
            tf.gather(tf.concat([windows.cut(ids.with_values(each)).values, [0]], 0), token)
            for each in (starts, ends)
        ]
        real &= at[0] < at[1]
        padding = inputs["padding_mask"] == 0
        logits = [tf.cast(outputs[f"{end}_logits"], "float64") for end in ("start", "end")]
        hidden = tf.where(padding, tf.constant(-np.inf, "float64"), 0.0)
        shares = [tf.nn.softmax(each + hidden) for each in logits]
        scores = shares[0][:, :, None] * shares[1][:, None, :]
        tokens = tf.range(size)[None] - tf.range(size)[:, None]
        allowed = ((tokens >= 0) & (tokens < LONGEST_ANSWER))[None]
        allowed &= real[:, :, None] & real[:, None, :]
        flat = tf.reshape(tf.where(allowed, scores, -1.0), [-1, size * size])
        best = tf.argmax(flat, -1)
        score = tf.reduce_max(flat, -1)
        first, last = best // size, best % size
        batch = tf.size(questions, out_type=tf.int64)
        chosen = _best_rows(score, windows.samples, batch)
        rows = tf.range(tf.size(first, out_type=tf.int64))
        start = tf.gather(tf.gather_nd(at[0], tf.stack([rows, first], -1)), chosen)
        end = tf.gather(tf.gather_nd(at[1], tf.stack([rows, last], -1)), chosen)
        score = tf.gather(score, chosen)
        given = score > 0
        if no_answer is not None:
            nulls = logits[0][:, 0] + logits[1][:, 0]
            sums = tf.gather_nd(logits[0], tf.stack([rows, first], -1)) + tf.gather_nd(
                logits[1], tf.stack([rows, last], -1)
            )
            sums = tf.where(tf.gather(flat, best, batch_dims=1) >= 0, sums, -np.inf)
            least = _best_rows(-nulls, windows.samples, batch)
            margin = tf.gather(nulls, least) - tf.math.unsorted_segment_max(
                sums, windows.samples, batch
            )
            empty = margin > no_answer
            null_share = tf.gather(shares[0][:, 0] * shares[1][:, 0], least)
            score = tf.where(empty, null_share, score)
            given &= ~empty
        start, end = (tf.where(given, each, 0) for each in (start, end))
        return {
            "answer": characters.texts_of(tf.range(batch), start, end),
            "score": tf.cast(tf.maximum(score, 0.0), "float32"),
            "start": tf.cast(start, "int32"),
            "end": tf.cast(end, "int32"),
        }


class _Windows:
    """Where the windows over texts of some numbers of tokens begin and end, as one row of them.

    Args:
        lengths: tokens of each text.
        room: how many a window has at most; a number, or one for each text.
        step: by how much each begins behind the one before it; likewise.
    """

    def __init__(self, lengths, room, step):
        room, step = (
            tf.broadcast_to(tf.cast(each, "int64"), tf.shape(lengths)) for each in (room, step)
        )
        more = tf.maximum(lengths - room, 0)
        counts = 1 + (more + step - 1) // step
        turns = tf.ragged.range(counts)
        self.samples = turns.value_rowids()
        self.starts = turns.values * tf.gather(step, self.samples)
        self.stops = tf.minimum(
            self.starts + tf.gather(room, self.samples), tf.gather(lengths, self.samples)
        )

    def cut(self, rows):
        """The windows of ragged rows."""
        base = tf.gather(rows.row_starts(), self.samples)
        places = tf.ragged.range(base + self.starts, base + self.stops)
        return places.with_values(tf.gather(rows.values, places.values))


class _Characters:
    """The code points of (batch,) texts in a row, and which of them are seen."""

    def __init__(self, texts):
        self.codes = tf.strings.unicode_decode(texts, "UTF-8", errors="replace")
        values = self.codes.values
        self._blanks = _counted(_among(values, BLANK))
        self._others = _counted(~_any_of(values, [ord(joiner) for joiner in JOINERS]))
        seen = ~_among(values, BLANK + INVISIBLE)
        count = tf.size(values, out_type=tf.int64)
        places = tf.range(count)
        # The next character that is seen, and the last one before a place.
        ahead = tf.where(seen, places, count)[::-1]
        self._ahead = tf.concat([_running(tf.minimum, ahead)[::-1], count[None]], 0)
        behind = tf.where(seen, places, -1)
        self._behind = tf.concat([[tf.constant(-1, "int64")], _running(tf.maximum, behind)], 0)

    def _base(self, text):
        return tf.gather(self.codes.row_starts(), text)

    def trimmed(self, text, starts, ends):
        """Spans of the texts without blanks and invisible characters at their ends."""
        base = self._base(text)
        first = tf.gather(self._ahead, base + starts) - base
        last = tf.gather(self._behind, base + ends) - base + 1
        return tf.minimum(first, ends), tf.where(first < ends, last, ends)

    def joins(self, text, starts, ends, numbers):
        """Whether each token, of the word `numbers`, goes on with the word of the one before."""
        base = self._base(text)
        behind, start = (base + ends)[:-1], (base + starts)[1:]
        stop = tf.maximum(behind, start)
        blanks = tf.gather(self._blanks, stop) - tf.gather(self._blanks, behind)
        others = tf.gather(self._others, stop) - tf.gather(self._others, behind)
        near = (start < behind) | (numbers[1:] == numbers[:-1])
        near |= (start > behind) & (others == 0)
        near &= (blanks == 0) & (text[1:] == text[:-1])
        return tf.concat([[False], near], 0)[: tf.size(text)]

    def texts_of(self, text, starts, ends):
        """Spans of the texts as strings."""
        base = self._base(text)
        places = tf.ragged.range(base + starts, base + ends)
        codes = places.with_values(tf.gather(self.codes.values, places.values))
        return tf.strings.unicode_encode(codes, "UTF-8", errors="replace")


def _running(function, values):
    """The minimum or maximum of all values up to each place, in log2 of their number steps."""
    count = tf.size(values)

    def step(width, values):
        shifted = tf.concat([values[:width], function(values[width:], values[:-width])], 0)
        return width * 2, shifted

    return tf.while_loop(
        lambda width, _: width < count,
        step,
        (tf.constant(1), values),
        shape_invariants=(tf.TensorShape([]), tf.TensorShape([None])),
    )[1]


def _counted(marked):
    """How many are marked before each place, and in all."""
    counts = tf.cumsum(tf.cast(marked, "int64"))
    return tf.concat([[tf.constant(0, "int64")], counts], 0)


def _among(codes, ranges):
    return tf.reduce_any([(codes >= first) & (codes <= last) for first, last in ranges], 0)


def _any_of(codes, known):
    return tf.reduce_any([codes == code for code in known], 0)


def _kinds(labels):
    """The kinds of labels as strings; for each label whether a span begins, and its kind or -1."""
    parts = label_parts(labels)
    kinds = sorted({kind for _, kind in parts if kind != "O"}) or [""]
    numbers = [-1 if kind == "O" else kinds.index(kind) for _, kind in parts]
    return tf.constant(kinds), tf.constant([begins for begins, _ in parts]), tf.constant(numbers)


def _best_rows(scores, samples, batch):
    """The first row of each sample that has its largest score."""
    best = tf.math.unsorted_segment_max(scores, samples, batch)
    rows = tf.range(tf.size(scores, out_type=tf.int64))
    far = tf.size(scores, out_type=tf.int64)
    return tf.math.unsorted_segment_min(
        tf.where(scores == tf.gather(best, samples), rows, far), samples, batch
    )


def _probabilities(logits):
    """Softmax over the last axis in float64; a sigmoid where there is one logit."""
    logits = tf.cast(logits, "float64")
    return tf.sigmoid(logits) if logits.shape[-1] == 1 else tf.nn.softmax(logits)
