"""Which examples make up which batch of which epoch, and how Keras' loops take them."""

import weakref

import keras
import numpy as np

from ..errors import KzooError
from ..values import is_whole


class Plan:
    """Base of plans: batches in an order that (seed, epoch) decides, made when they are asked for.

    `epoch` is the epoch that the next iteration shows; a callback sets it (see `callback`), and
    without one it counts iterations that reached their last batch. `error` is the KzooError that
    an example raised while `batches` made a batch, of which TensorFlow makes one of its own.
    `rest` is an epoch and how many of its batches aren't made, for a training that goes on there.

    Args:
        size: how many examples there are.
        batch_size: examples a batch; the last may be smaller. None is Keras' default.
        shuffle: a new order every epoch.
        seed: of the order.
        epoch: the epoch to begin with.
        beside: what batches hold beside their inputs, such as a teacher's answers: it makes a dict
            of arrays, a row an example, of an array of example numbers. Nothing by default.
    """

    def __init__(self, size, batch_size, shuffle=False, seed=0, epoch=0, beside=None):
        if not size:
            raise KzooError("No examples came; at least one is expected.")
        batch_size = 32 if batch_size is None else batch_size
        if not is_whole(batch_size, 1):
            raise KzooError(f"batch_size is {batch_size!r}; a number of at least 1 is expected.")
        if not is_whole(seed, 0):
            raise KzooError(f"seed is {seed!r:.40}; a whole number of at least 0 is expected.")
        self.size, self.batch_size, self.shuffle, self.seed = size, int(batch_size), shuffle, seed
        self.epoch, self.epoch_is_set, self.error = epoch, False, None
        self.rest = epoch, 0
        self.beside = beside or (lambda rows: {})
        self.shapes_cost = keras.backend.backend() != "tensorflow"  # Each is compiled anew.

    tokens = None  # How many tokens an epoch has, without padding; None of what has none.

    def __len__(self):
        """How many batches an epoch has."""
        return -(-self.size // self.batch_size)

    def facts(self):
        """What decides the batches, as pairs of a name and a JSON value or arrays."""
        yield "examples", self.size
        yield "batch_size", self.batch_size
        yield "shuffle", self.shuffle
        yield "seed", self.seed
        labels = getattr(self, "labels", None)
        yield "targets", getattr(labels, "texts", labels)
        yield "sample_weight", getattr(self, "sample_weight", None)

    def skipped(self, epoch):
        """How many of the batches of an epoch aren't made."""
        return self.rest[1] if epoch == self.rest[0] else 0

    def order(self, epoch=0):
        """The batches of an epoch, as a list of arrays of example numbers."""
        rows = np.arange(self.size)
        if self.shuffle:
            rows = np.random.default_rng([self.seed, epoch]).permutation(self.size)
        return [rows[i : i + self.batch_size] for i in range(0, self.size, self.batch_size)]

    def batch(self, rows):
        """The examples `rows` as (inputs[, labels[, sample_weight]]), NumPy arrays."""
        raise NotImplementedError

    def learned(self, rows, epoch, number):
        """A batch to learn from, the `number`-th of an epoch from 1 on."""
        return self.batch(rows)

    def made(self, rows, epoch, number):
        """A batch as a loop takes it: of what has no epochs, a validation, the same each time."""
        if self.shuffle or self.epoch_is_set:
            return self.learned(rows, epoch, number)
        return self.batch(rows)

    def open_axes(self, value, is_weight):
        """The axes of an array of a batch that differ from batch to batch."""
        return {0}

    def restore(self, outputs, epoch=0):
        """Rows that were made batch by batch, in the examples' own order."""
        order = np.concatenate(self.order(epoch))
        outputs = np.asarray(outputs)
        restored = np.empty_like(outputs)
        restored[order] = outputs
        return restored

    def rounded(self, rows):
        """The examples `rows`; where a new shape costs a compilation, filled up to a power of two.

        The last one is repeated, for whoever drops its outputs again.
        """
        if not self.shapes_cost:
            return rows
        size = min(1 << (len(rows) - 1).bit_length(), self.batch_size)
        return np.pad(rows, (0, size - len(rows)), mode="edge")

    def batches(self):
        """The batches of the current epoch, one after the other."""
        order, skipped = self.order(self.epoch), self.skipped(self.epoch)
        for number, rows in enumerate(order[skipped:], 1 + skipped):
            epoch = self.epoch
            if number == len(order) and not self.epoch_is_set:
                self.epoch += 1
            try:
                batch = self.made(rows, epoch, number)
            except KzooError as error:
                self.error = error
                raise
            yield batch

    def callback(self):
        """A Keras callback that tells the plan at its beginning which epoch it is.

        Keras asks for an iterator more often than it has epochs, so counting them won't do.
        """
        return _TellEpoch(self)

    def dataset(self):
        """What Keras' loops take, with the plan as its attribute `plan`.

        On TensorFlow a `tf.data.Dataset` of known cardinality, on other backends a
        `keras.utils.PyDataset`.
        """
        return _PyDataset(self) if self.shapes_cost else _tf_dataset(self)


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
        epoch = self.plan.epoch
        # Keras may ask for one beyond the end of an epoch that it goes on with.
        index = min(index + self.plan.skipped(epoch), len(order) - 1)
        if index == len(order) - 1 and not self.plan.epoch_is_set:
            self.plan.epoch += 1
        return self.plan.made(order[index], epoch, index + 1)


def _tf_dataset(plan):
    import tensorflow as tf

    def spec(value):
        axes = plan.open_axes(value, len(sample) == 3 and value is sample[-1])
        shape = [None if axis in axes else size for axis, size in enumerate(value.shape)]
        return tf.TensorSpec(shape, value.dtype)

    # TensorFlow keeps what makes batches to the end of the process, with all that it holds.
    held = weakref.ref(plan)
    sample = plan.batch(np.arange(1))
    signature = keras.tree.map_structure(lambda v: v if v is None else spec(v), sample)
    dataset = tf.data.Dataset.from_generator(lambda: held().batches(), output_signature=signature)
    # Keras asks for no batch beyond the last, so that an epoch that is gone on with may be shorter.
    cardinality = tf.data.experimental.assert_cardinality(len(plan))
    dataset = dataset.prefetch(2).apply(cardinality)
    # There is nothing to tune here, and the end of an epoch would wait for the tuner to wake, at
    # 1.3 s, 2.6 s, 5.1 s and so on.
    options = tf.data.Options()
    options.autotune.enabled = False
    # Of several workers each makes every batch, and takes its own part of it.
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.DATA
    dataset = dataset.with_options(options)
    dataset.plan = plan
    return dataset


def weights_of(sample_weight):
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
