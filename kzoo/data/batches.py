"""Ragged token columns to padded batches of examples of similar length."""

import keras
import numpy as np

from ..errors import KzooError
from ..values import is_whole

IGNORED = -100  # The target of a place that is padding or has no target of its own.
# Where each new shape costs a compilation, lengths are rounded up to one of these, or to the
# longest that may come.
LENGTHS = (8, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512)
# Batches are cut from this many batches' worth of shuffled examples, sorted by length: enough
# for little padding, few enough that an example meets others in every epoch.
CHUNK = 64


def bucketed_batches(
    token_lists,
    labels=None,
    sample_weight=None,
    batch_size=32,
    shuffle=False,
    seed=0,
    padding_id=0,
    initial_epoch=0,
    max_length=None,
):
    """Padded batches of examples of similar length, in the form that Keras' `fit` takes.

    Args:
        token_lists: ragged rows of token ids, or a dict of ragged columns with `token_ids`; a
            `padding_mask` is made where none came. A row may hold several sequences.
        labels: one target an example; lists of integers that differ in length are targets by
            place and padded with -100.
        sample_weight: one weight an example, or a list of one for each place.
        batch_size: examples a batch; the last may be smaller.
        shuffle: a new order every epoch, that (seed, epoch) decides.
        seed: of the order.
        padding_id: the token id that fills rows up.
        initial_epoch: the epoch to begin with.
        max_length: tokens that a row may be padded to; the longest row's by default.

    Returns:
        On TensorFlow a `tf.data.Dataset` of known cardinality, with shapes (None, None); on
        other backends a `keras.utils.PyDataset` with lengths rounded up to those in `LENGTHS`,
        and a smaller batch padded to the longest of all: a shape for each length, and one more.
        Its attribute `plan` is the `BatchPlan`, whose `restore` brings outputs back in order.
    """
    plan = BatchPlan(
        token_lists,
        labels,
        sample_weight,
        batch_size,
        shuffle,
        seed,
        padding_id,
        initial_epoch,
        max_length,
    )
    return _tf_dataset(plan) if keras.backend.backend() == "tensorflow" else _PyDataset(plan)


class BatchPlan:
    """Which examples make up which batch of which epoch; see `bucketed_batches`.

    `epoch` is the epoch that the next iteration shows; a callback sets it (see `callback`), and
    without one it counts iterations that reached their last batch.
    """

    def __init__(
        self,
        token_lists,
        labels,
        sample_weight,
        batch_size,
        shuffle=False,
        seed=0,
        padding_id=0,
        epoch=0,
        max_length=None,
    ):
        columns = token_lists if isinstance(token_lists, dict) else {"token_ids": token_lists}
        columns = {name: list(rows) for name, rows in columns.items()}
        size = len(columns["token_ids"])
        if not size:
            raise KzooError("No examples came; at least one is expected.")
        batch_size = 32 if batch_size is None else batch_size  # None is Keras' default.
        if not is_whole(batch_size, 1):
            raise KzooError(f"batch_size is {batch_size!r}; a number of at least 1 is expected.")
        if not is_whole(seed, 0):
            raise KzooError(f"seed is {seed!r:.40}; a whole number of at least 0 is expected.")
        if "padding_mask" not in columns:
            columns["padding_mask"] = [_ones(row) for row in columns["token_ids"]]
        counts = {name: len(rows) for name, rows in columns.items()}
        counts |= {"labels": size if labels is None else len(labels)}
        counts |= {"sample_weight": size if sample_weight is None else len(sample_weight)}
        if set(counts.values()) != {size}:
            raise KzooError(f"The columns differ in their numbers of examples: {counts}.")
        self.columns, self.size, self.batch_size = columns, size, int(batch_size)
        self.ragged_labels = labels is not None and _is_ragged(labels)
        self.labels = labels if labels is None or self.ragged_labels else np.asarray(labels)
        self.sample_weight = None
        if sample_weight is not None:
            by_place = self.ragged_labels and _is_ragged(sample_weight)
            self.sample_weight = (
                [_weights(row) for row in sample_weight] if by_place else _weights(sample_weight)
            )
        self.shuffle, self.seed, self.padding_id = shuffle, seed, padding_id
        self.epoch, self.epoch_is_set = epoch, False
        self.lengths = None if keras.backend.backend() == "tensorflow" else LENGTHS
        self.row_lengths = np.array([_length(row) for row in columns["token_ids"]])
        longest = int(self.row_lengths.max())
        self.max_length = longest if max_length is None else max(max_length, longest)

    def __len__(self):
        """How many batches an epoch has."""
        return -(-self.size // self.batch_size)

    def order(self, epoch=0):
        """The batches of an epoch, as a list of arrays of example numbers."""
        if not self.shuffle:
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

    def restore(self, outputs, epoch=0):
        """Rows that were made batch by batch, in the examples' own order."""
        order = np.concatenate(self.order(epoch))
        outputs = np.asarray(outputs)
        restored = np.empty_like(outputs)
        restored[order] = outputs
        return restored

    def batch(self, rows):
        """The examples `rows` as (inputs[, labels[, sample_weight]]), padded NumPy arrays."""
        length = self._padded_length(rows)
        fills = {"token_ids": self.padding_id}
        inputs = {
            name: _padded([column[i] for i in rows], length, fills.get(name, 0))
            for name, column in self.columns.items()
        }
        if self.labels is None and self.sample_weight is None:
            return (inputs,)
        labels = None
        if self.ragged_labels:
            labels = _padded([self.labels[i] for i in rows], length, IGNORED)
        elif self.labels is not None:
            labels = self.labels[rows]
        if self.sample_weight is None:
            return (inputs, labels)
        if isinstance(self.sample_weight, list):
            weight = _padded([self.sample_weight[i] for i in rows], length, 0, "float32")
        else:
            weight = self.sample_weight[rows]
        return (inputs, labels, weight)

    def rounded(self, rows):
        """The examples `rows`; where a new shape costs a compilation, filled up to a power of two.

        The last one is repeated, for whoever drops its outputs again.
        """
        if not self.lengths:
            return rows
        size = min(1 << (len(rows) - 1).bit_length(), self.batch_size)
        return np.pad(rows, (0, size - len(rows)), mode="edge")

    def _padded_length(self, rows):
        """Tokens that the examples `rows` are padded to."""
        length = int(self.row_lengths[rows].max())
        if not self.lengths:
            return length
        if len(rows) < self.batch_size:  # One shape for it, whatever an epoch leaves over.
            length = int(self.row_lengths.max())
        # Not beyond `max_length`: a model's positions may end there.
        fitting = [size for size in self.lengths if length <= size <= self.max_length]
        return fitting[0] if fitting else self.max_length

    def batches(self):
        """The padded batches of the current epoch, one after the other."""
        order = self.order(self.epoch)
        for number, rows in enumerate(order, 1):
            if number == len(order) and not self.epoch_is_set:
                self.epoch += 1
            yield self.batch(rows)

    def callback(self):
        """A Keras callback that tells the plan at its beginning which epoch it is.

        Keras asks for an iterator more often than it has epochs, so counting them won't do.
        """
        return _TellEpoch(self)


class _TellEpoch(keras.callbacks.Callback):
    def __init__(self, plan):
        super().__init__()
        self.plan_to_set = plan

    def on_epoch_begin(self, epoch, logs=None):
        self.plan_to_set.epoch, self.plan_to_set.epoch_is_set = epoch, True


class _PyDataset(keras.utils.PyDataset):
    def __init__(self, plan):
        super().__init__()
        self.plan = plan
        self._shown = None, None

    def __len__(self):
        return len(self.plan)

    def __getitem__(self, index):
        epoch, order = self._shown
        if epoch != self.plan.epoch or order is None:
            order = self.plan.order(self.plan.epoch)
            self._shown = self.plan.epoch, order
        if index == len(order) - 1 and not self.plan.epoch_is_set:
            self.plan.epoch += 1
        return self.plan.batch(order[index])


def _tf_dataset(plan):
    import tensorflow as tf

    def spec(value):
        # Batches differ in both; the axis of a row with several sequences is the same in all, and
        # so is that of a row of scores.
        by_place = value.dtype == np.int32 or value is sample[-1] and len(sample) == 3
        free = {0, value.ndim - 1} if by_place and value.ndim > 1 else {0}
        shape = [None if axis in free else size for axis, size in enumerate(value.shape)]
        return tf.TensorSpec(shape, value.dtype)

    sample = plan.batch(np.arange(1))
    signature = keras.tree.map_structure(lambda v: v if v is None else spec(v), sample)
    dataset = tf.data.Dataset.from_generator(plan.batches, output_signature=signature)
    dataset = dataset.apply(tf.data.experimental.assert_cardinality(len(plan))).prefetch(2)
    # There is nothing to tune here, and the end of an epoch would wait for the tuner to wake, at
    # 1.3 s, 2.6 s, 5.1 s and so on.
    options = tf.data.Options()
    options.autotune.enabled = False
    dataset = dataset.with_options(options)
    dataset.plan = plan
    return dataset


def _length(row):
    """Tokens in a row, or in the longest of its sequences."""
    return max((len(part) for part in row), default=0) if _nested(row) else len(row)


def _nested(row):
    return len(row) > 0 and np.ndim(row[0]) > 0


def _ones(row):
    return [_ones(part) for part in row] if _nested(row) else [1] * len(row)


def _is_ragged(labels):
    return not hasattr(labels, "shape") and np.ndim(labels[0]) == 1


def _weights(sample_weight):
    """Weights of examples as float32, or an error that shows one that is none."""
    try:
        weights = np.asarray(sample_weight, "float32")
    except (TypeError, ValueError):
        weights = None
    if weights is None or weights.ndim != 1 or not np.isfinite(weights).all():
        values = list(sample_weight)
        wrong = next((i for i, value in enumerate(values) if not _is_weight(value)), 0)
        raise KzooError(
            f"The sample weight {wrong} is {values[wrong]!r:.40}; a number is expected, one for "
            "each example."
        )
    return weights


def _is_weight(value):
    try:
        return np.ndim(value) == 0 and np.isfinite(np.float32(value))
    except (TypeError, ValueError):
        return False


def _padded(rows, length, fill, dtype="int32"):
    """Ragged rows to (rows, length), or (rows, sequences, length)."""
    if _nested(rows[0]):
        return np.stack([_padded(row, length, fill, dtype) for row in rows])
    padded = np.full((len(rows), length), fill, dtype)
    for row, values in zip(padded, rows, strict=True):
        row[: len(values)] = values
    return padded
