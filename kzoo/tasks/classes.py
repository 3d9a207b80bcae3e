"""Targets that are classes: their names and indices, their weights, their losses and accuracy."""

from numbers import Number

import keras
import numpy as np
from keras import ops

from ..data.batches import IGNORED
from ..errors import KzooError
from ..keras_hooks import with_options

NAMELESS = "\0"  # In the place of a class without a name: no target is called so.

# Keras' losses of probabilities or logits: each as a function and as a class. Those of the second
# kind take targets as rows.
INDEX_LOSSES = {
    keras.losses.sparse_categorical_crossentropy: keras.losses.SparseCategoricalCrossentropy,
}

ROWS = {
    keras.losses.categorical_crossentropy: keras.losses.CategoricalCrossentropy,
    keras.losses.categorical_focal_crossentropy: keras.losses.CategoricalFocalCrossentropy,
}

BINARY = {
    keras.losses.binary_crossentropy: keras.losses.BinaryCrossentropy,
    keras.losses.binary_focal_crossentropy: keras.losses.BinaryFocalCrossentropy,
}

ROW_LOSSES, BINARY_LOSSES = tuple(ROWS.values()), tuple(BINARY.values())


def on_logits(loss):
    """A loss as `compile` takes it; one of Keras' cross-entropies as a class that reads logits."""
    if isinstance(loss, str):
        try:
            loss = keras.losses.get(loss)
        except ValueError:
            raise KzooError(
                f"Got loss={loss!r:.40}; expected one of Keras' losses or its name, such as "
                '"sparse_categorical_crossentropy".'
            ) from None
    classes = {**INDEX_LOSSES, **ROWS, **BINARY}
    for function, kind in classes.items():
        if loss is function or loss is kind:
            return kind(from_logits=True)
    if isinstance(loss, tuple(classes.values())) and not loss.from_logits:
        return with_options(loss, from_logits=True)
    return loss


def rows_of_classes(targets, count):
    """Class indices (examples,) as rows (examples, count) with a one at the class."""
    return np.eye(count, dtype="float32")[targets]


def class_weights(given, labels):
    """{label or index: weight} as an array by index, 1 for those not named."""
    if not isinstance(given, dict):
        raise KzooError(
            f"Got class_weight={given!r:.40}; expected a dict of labels or their indices and "
            "weights, such as {0: 1.0, 1: 2.5}."
        )
    weights = np.ones(len(labels), "float32")
    for key, weight in given.items():
        index = class_index(key, labels)
        if index is None:
            known = [label for label in labels if label != NAMELESS]
            raise KzooError(
                f"class_weight names the class {key!r:.40}; expected "
                f"{f'a label of {known} or ' if known else ''}an index up to {len(labels) - 1}."
            )
        if not isinstance(weight, Number) or not 0 <= weight < np.inf:
            raise KzooError(
                f"class_weight gives {key!r:.40} the weight {weight!r:.40}; expected a number from "
                "0 on."
            )
        weights[index] = weight
    if not weights.any():
        raise KzooError(
            f"Got class_weight={given!r:.60}, by which no example counts; expected a weight above "
            "0 for at least one class."
        )
    return weights


def weighted_by_class(targets, sample_weight, weights):
    """The weights of examples, or of their places, times those of their classes."""
    examples = np.ones(len(targets)) if sample_weight is None else sample_weight
    if isinstance(targets, list):
        return [
            [0.0 if target == IGNORED else float(weights[target]) * weight for target in row]
            for row, weight in zip(targets, examples, strict=True)
        ]
    of_class = targets @ weights if targets.ndim == 2 else weights[targets]
    return np.asarray(examples, "float32") * of_class


def class_index(value, labels):
    """The index of a target in `labels`, or None where it is none of them.

    A target is the name of a label. Where no label reads as a whole number itself, a target may
    also be the label's index, as a number or (from a file) as text.
    """
    if isinstance(value, Number) and np.isfinite(value) and value == int(value):
        value = str(int(value))
    if not isinstance(value, str):
        return None
    if value in labels:
        return labels.index(value)
    if any(_whole(label) for label in labels) or not _whole(value):
        return None
    return int(value) if int(value) < len(labels) else None


def _whole(text):
    return text.isascii() and text.isdigit()


@keras.saving.register_keras_serializable("kzoo")
class ClassAccuracy(keras.metrics.Mean):
    """How many examples have their class as the likeliest; targets are classes or rows of them."""

    def __init__(self, name="accuracy", dtype=None):
        super().__init__(name=name, dtype=dtype)

    def update_state(self, y_true, y_pred, sample_weight=None):
        """Count a batch: targets (batch,) or (batch, classes), scores (batch, classes)."""
        if len(y_true.shape) == 2 and y_true.shape[-1] == y_pred.shape[-1]:
            y_true = ops.argmax(y_true, -1)
        y_true = ops.cast(ops.reshape(y_true, (-1,)), "int32")
        right = ops.equal(y_true, ops.cast(ops.argmax(y_pred, -1), "int32"))
        return super().update_state(ops.cast(right, "float32"), sample_weight)
