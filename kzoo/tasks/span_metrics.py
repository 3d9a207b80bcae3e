"""Metrics of places and spans that stream: they stand in the progress line of `fit`.

What `kzoo.metrics` counts in whole texts these count batch by batch, within `max_length`.
"""

import keras
import numpy as np
from keras import ops

from ..answers import label_parts
from ..data.batches import IGNORED


@keras.saving.register_keras_serializable("kzoo")
class EntityF1(keras.metrics.Metric):
    """F1 of entities: spans with the same words and the same kind, as CoNLL's script counts.

    Targets (batch, length) are classes, or -100 where a place is no word's first token; logits
    (batch, length, labels).

    Args:
        labels: the names of the classes, such as "O", "B-PER", "I-PER".
    """

    def __init__(self, labels, name="f1", dtype=None):
        super().__init__(name=name, dtype=dtype)
        self.labels = list(labels)
        parts = [*label_parts(self.labels), (False, "O")]  # The last is of what is no word.
        kinds = ["O", *sorted({kind for _, kind in parts} - {"O"})]
        self._kinds = np.array([kinds.index(kind) for _, kind in parts], "int32")
        self._begins = np.array([begins for begins, _ in parts], "bool")
        self._correct, self._counted = (
            self.add_variable(shape=(), initializer="zeros", name=part)
            for part in ("correct", "counted")
        )

    def update_state(self, y_true, y_pred, sample_weight=None):
        """Count a batch; an entity has the weight of its first place."""
        y_true = ops.cast(y_true, "int32")
        word = ops.not_equal(y_true, IGNORED)
        length, none = ops.shape(y_true)[1], len(self.labels)
        # The words move together, in their order, and the places without one behind them.
        places = ops.arange(length, dtype="int32")[None]
        order = ops.argsort(ops.where(word, places, places + length), axis=1)
        predicted = ops.cast(ops.argmax(y_pred, axis=-1), "int32")
        true, predicted = (
            self._spans(ops.take_along_axis(ops.where(word, tags, none), order, axis=1))
            for tags in (y_true, predicted)
        )
        same = [ops.equal(*pair) for pair in zip(true, predicted, strict=True)]
        right = ops.logical_and(true[0], ops.logical_and(same[0], ops.logical_and(*same[1:])))
        weight = ops.ones_like(word, dtype=self.dtype)
        if sample_weight is not None:
            weight = ops.cast(ops.broadcast_to(sample_weight, ops.shape(y_true)), self.dtype)
            weight = ops.take_along_axis(weight, order, axis=1)
        count = [
            ops.sum(weight * ops.cast(starts, self.dtype)) for starts in (true[0], predicted[0])
        ]
        self._correct.assign_add(ops.sum(weight * ops.cast(right, self.dtype)))
        self._counted.assign_add(sum(count))

    def _spans(self, tags):
        """Whether a span starts at each place, its kind, and its length in words."""
        kind = ops.take(self._kinds, tags)
        before = ops.pad(kind[:, :-1], [[0, 0], [1, 0]])
        changed = ops.logical_or(ops.take(self._begins, tags), ops.not_equal(kind, before))
        within = ops.greater(kind, 0)
        starts = ops.logical_and(within, changed)
        goes_on = ops.logical_and(within, ops.logical_not(changed))
        number = ops.cumsum(ops.cast(ops.logical_not(goes_on), "int32"), axis=1)
        same = ops.equal(number[:, :, None], number[:, None, :])
        return starts, kind, ops.sum(ops.cast(same, "int32"), axis=-1)

    def result(self):
        """Twice the right ones over those that were found and those that are there."""
        return ops.divide_no_nan(2 * self._correct, self._counted)

    def get_config(self):
        """The labels."""
        return {**super().get_config(), "labels": self.labels}


@keras.saving.register_keras_serializable("kzoo")
class SpanExact(keras.metrics.Mean):
    """The share of spans that are found: targets (batch, 2), logits (batch, 2, length)."""

    def __init__(self, name="exact_match", dtype=None):
        super().__init__(name=name, dtype=dtype)

    def update_state(self, y_true, y_pred, sample_weight=None):
        """Add a batch."""
        true, predicted = _ends(y_true, y_pred)
        exact = ops.all(ops.equal(true, predicted), axis=-1)
        return super().update_state(ops.cast(exact, self.dtype), sample_weight)


@keras.saving.register_keras_serializable("kzoo")
class SpanF1(keras.metrics.Mean):
    """Mean F1 of the tokens of spans: targets (batch, 2), logits (batch, 2, length)."""

    def __init__(self, name="f1", dtype=None):
        super().__init__(name=name, dtype=dtype)

    def update_state(self, y_true, y_pred, sample_weight=None):
        """Add a batch."""
        true, predicted = _ends(y_true, y_pred)
        first, last = (
            ops.maximum(true[:, 0], predicted[:, 0]),
            ops.minimum(true[:, 1], predicted[:, 1]),
        )
        shared = ops.maximum(last - first + 1, 0)
        lengths = [ops.maximum(ends[:, 1] - ends[:, 0] + 1, 0) for ends in (true, predicted)]
        f1 = 2 * ops.cast(shared, self.dtype) / ops.cast(sum(lengths), self.dtype)
        return super().update_state(f1, sample_weight)


def _ends(y_true, y_pred):
    return ops.cast(y_true, "int32"), ops.cast(ops.argmax(y_pred, axis=-1), "int32")
