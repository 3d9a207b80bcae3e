"""Ragged token columns to padded batches of examples of similar length."""

from functools import cached_property

import numpy as np

from ..errors import KzooError
from .plan import Plan, weights_of
from .ragged import Ragged, ones

IGNORED = -100  # The target of a place that is padding or has no target of its own.
# Where each new shape costs a compilation, lengths are rounded up to one of these, or to the
# longest that may come.
LENGTHS = (8, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512)
TOKENS = "token_ids"  # how the names of token columns end
# Batches are cut from this many batches' worth of shuffled examples, sorted by length: enough
# for little padding, few enough that an example meets others in every epoch.
CHUNK = 64


def bucketed_batches(
    token_lists,
    labels=None,
    sample_weight=None,
    batch_size=32,
    shuffle=None,
    seed=0,
    padding_id=0,
    initial_epoch=0,
    max_length=None,
    beside=None,
):
    """Padded batches of examples of similar length, in the form that Keras' `fit` takes.

    Args:
        token_lists: ragged rows of token ids, or a dict of ragged columns with `token_ids`, or
            several of them as long as they like, such as `encoder_token_ids` and
            `decoder_token_ids`; a `padding_mask` of each is made where none came. A row may hold
            several sequences.
        labels: one target an example; lists of integers that differ in length are targets by
            place, of the last of several token columns, and padded with -100.
        sample_weight: one weight an example, or a list of one for each place.
        batch_size: examples a batch; the last may be smaller.
        shuffle: a new order every epoch, that (seed, epoch) decides; False for the order in which
            they come, None for what no order matters to: the shortest come first.
        seed: of the order.
        padding_id: the token id that fills rows up.
        initial_epoch: the epoch to begin with.
        max_length: tokens that a row may be padded to; the longest row's by default.
        beside: what batches hold beside it, see `Plan`.

    Returns:
        On TensorFlow a `tf.data.Dataset` of known cardinality, with shapes (None, None); on
        other backends a `keras.utils.PyDataset` with lengths rounded up to those in `LENGTHS`,
        and a smaller batch padded to the longest of all: a shape for each length, and one more.
        Its attribute `plan` is the `BatchPlan`, whose `restore` brings outputs back in order.
    """
    return BatchPlan(
        token_lists,
        labels,
        sample_weight,
        batch_size,
        shuffle,
        seed,
        padding_id,
        initial_epoch,
        max_length,
        beside,
    ).dataset()


class BatchPlan(Plan):
    """Ragged examples, of similar length in a batch; see `bucketed_batches`."""

    def __init__(
        self,
        token_lists,
        labels=None,
        sample_weight=None,
        batch_size=32,
        shuffle=None,
        seed=0,
        padding_id=0,
        epoch=0,
        max_length=None,
        beside=None,
    ):
        columns = token_lists if isinstance(token_lists, dict) else {"token_ids": token_lists}
        columns = {n: r if isinstance(r, Ragged) else list(r) for n, r in columns.items()}
        tokens = {n.removesuffix(TOKENS): n for n in columns if n.endswith(TOKENS)}
        size = len(next(iter(columns.values())))
        super().__init__(size, batch_size, shuffle, seed, epoch, beside)
        for which, name in tokens.items():
            if f"{which}padding_mask" not in columns:
                rows = columns[name]
                held = isinstance(rows, Ragged)
                columns[f"{which}padding_mask"] = (
                    ones(rows.lengths) if held else [_ones(row) for row in rows]
                )
        counts = {name: len(rows) for name, rows in columns.items()}
        counts |= {"labels": size if labels is None else len(labels)}
        counts |= {"sample_weight": size if sample_weight is None else len(sample_weight)}
        if set(counts.values()) != {size}:
            raise KzooError(f"The columns differ in their numbers of examples: {counts}.")
        self.columns, self.padding_id = columns, padding_id
        self.ragged_labels = labels is not None and _is_ragged(labels)
        self.labels = labels if labels is None or self.ragged_labels else np.asarray(labels)
        self.sample_weight = None
        if sample_weight is not None:
            by_place = self.ragged_labels and _is_ragged(sample_weight)
            self.sample_weight = (
                [weights_of(row) for row in sample_weight]
                if by_place
                else weights_of(sample_weight)
            )
        self.lengths = {which: lengths_of(columns[name]) for which, name in tokens.items()}
        self.row_lengths = sum(self.lengths.values())  # by which rows are alike
        self.max_length = max_length

    @cached_property
    def tokens(self):
        """See `Plan`."""
        names = [name for name in self.columns if name.endswith(TOKENS)]
        columns = [self.columns[name] for name in names]
        return sum(
            int(column.lengths.sum()) if isinstance(column, Ragged) else sum(map(_count, column))
            for column in columns
        )

    def facts(self):
        """See `Plan`."""
        yield from super().facts()
        yield "lengths", self.row_lengths
        on_disk = [rows.texts for rows in self.columns.values() if isinstance(rows, Ragged)]
        yield from (("set of texts", texts) for texts in on_disk if texts is not None)
        held = {n: rows for n, rows in self.columns.items() if not isinstance(rows, Ragged)}
        parts = [part for n in sorted(held) if n.endswith(TOKENS) for part in _parts(held[n])]
        yield "set of tokens", parts

    def order(self, epoch=0):
        """The batches of an epoch, as a list of arrays of example numbers."""
        if not self.shuffle:
            rows = np.arange(self.size)
            if self.shuffle is None:
                rows = np.argsort(self.row_lengths, kind="stable")
            return [rows[i : i + self.batch_size] for i in range(0, self.size, self.batch_size)]
        draw = np.random.default_rng([self.seed, epoch])
        rows = draw.permutation(self.size)
        chunk = CHUNK * self.batch_size
        batches = []
        for start in range(0, self.size, chunk):
            part = rows[start : start + chunk]
            part = part[np.argsort(self.row_lengths[part], kind="stable")]
            batches += [part[i : i + self.batch_size] for i in range(0, len(part), self.batch_size)]
        return [batches[i] for i in draw.permutation(len(batches))]

    def batch(self, rows):
        """The examples `rows` as (inputs[, labels[, sample_weight]]), padded NumPy arrays."""
        lengths = {
            which: self.padded_length(each[rows], which) for which, each in self.lengths.items()
        }
        length = list(lengths.values())[-1]
        columns = {name: [column[i] for i in rows] for name, column in self.columns.items()}
        inputs = self.padded_columns(columns, lengths) | self.beside(rows)
        if self.labels is None and self.sample_weight is None:
            return (inputs,)
        labels = None
        if self.ragged_labels:
            labels = padded([self.labels[i] for i in rows], length, IGNORED)
        elif self.labels is not None:
            labels = self.labels[rows]
        weight = self.weights(rows, length)
        return (inputs, labels) if weight is None else (inputs, labels, weight)

    def padded_columns(self, columns, lengths):
        """Columns of a batch's rows as arrays, each as long as its token column is to be."""
        arrays = {}
        for name, rows in columns.items():
            which = max((each for each in lengths if name.startswith(each)), key=len)
            fill = self.padding_id if name.endswith(TOKENS) else 0
            arrays[name] = padded(rows, lengths[which], fill)
        return arrays

    def weights(self, rows, length):
        """The weights of a batch, of examples or of so many places; None where there are none."""
        if isinstance(self.sample_weight, list):
            return padded([self.sample_weight[i] for i in rows], length, 0, "float32")
        return None if self.sample_weight is None else self.sample_weight[rows]

    def open_axes(self, value, is_weight):
        """See `Plan`; the axis of a row with several sequences is the same in all.

        So is that of a row of scores.
        """
        by_place = value.dtype == np.int32 or is_weight
        return {0, value.ndim - 1} if by_place and value.ndim > 1 else {0}

    def padded_length(self, lengths, which):
        """Tokens that one of the token columns is padded to, of a batch with these lengths."""
        length, longest = int(max(lengths)), int(self.lengths[which].max())
        if not self.shapes_cost:
            return length
        if len(lengths) < self.batch_size:  # One shape for it, whatever an epoch leaves over.
            length = longest
        # Not beyond `max_length`: a model's positions may end there.
        most = max(longest, self.max_length or 0)
        return next((size for size in LENGTHS if length <= size <= most), most)


def lengths_of(rows):
    """How many tokens each of some rows has, an array."""
    if isinstance(rows, Ragged):
        return rows.lengths
    return np.array([_length(row) for row in rows])


def _length(row):
    """Tokens in a row, or in the longest of its sequences."""
    return max((len(part) for part in row), default=0) if _nested(row) else len(row)


def _count(row):
    """Tokens in a row, in all of its sequences."""
    return sum(map(len, row)) if _nested(row) else len(row)


def _parts(rows):
    """The sequences of rows, of which one may hold several."""
    return [part for row in rows for part in (row if _nested(row) else [row])]


def _nested(row):
    return len(row) > 0 and np.ndim(row[0]) > 0


def _ones(row):
    return [_ones(part) for part in row] if _nested(row) else [1] * len(row)


def _is_ragged(labels):
    return not hasattr(labels, "shape") and np.ndim(labels[0]) == 1  # A `Ragged` is, too.


def padded(rows, length, fill, dtype="int32"):
    """Ragged rows to (rows, length), or (rows, sequences, length)."""
    if _nested(rows[0]):
        return np.stack([padded(row, length, fill, dtype) for row in rows])
    filled = np.full((len(rows), length), fill, dtype)
    for row, values in zip(filled, rows, strict=True):
        row[: len(values)] = values
    return filled
