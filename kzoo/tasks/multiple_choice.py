"""Which of several continuations fits a text: SWAG, arXiv:1808.05326."""

import keras
import numpy as np

from ..answers import probabilities
from ..errors import KzooError
from .classes import (
    NAMELESS,
    ROW_LOSSES,
    ClassAccuracy,
    class_index,
    class_weights,
    rows_of_classes,
)
from .text_task import TextTask


@keras.saving.register_keras_serializable("kzoo")
class MultipleChoice(TextTask):
    """Choose among texts.

    On token arrays (batch, choices, length) it returns {"logits": (batch, choices)}. `predict`
    and `fit` take (text, [choice, ...]) tuples; `predict` gives probabilities (texts, choices),
    `fit` wants the index of the right choice as target.
    """

    task_name = "MultipleChoice"

    reads = "choices"
    default_head = "pooled"
    rule = "choice"
    several = True

    @property
    def num_outputs(self):
        """One score a choice."""
        return 1

    def call(self, inputs, training=None, seen=None):
        """Scores of the choices, (batch, choices)."""
        logits = super().call(inputs, training=training, seen=seen)["logits"]
        return {"logits": logits[..., 0]}

    def encode_examples(self, x):
        """Each choice as a pair with its text: ragged rows of several sequences."""
        return self.columns_of_lists(x)

    def encode_targets(self, y, x):
        """The indices of the right choices."""
        y, count = list(y), len(x[0][1])
        targets = [class_index(value, [NAMELESS] * count) for value in y]  # A choice has no name.
        if None in targets:
            place = targets.index(None)
            raise KzooError(
                f"Target {place} is {y[place]!r:.40}; the index of a choice, 0 to {count - 1}, is "
                "expected."
            )
        targets = np.asarray(targets, "int32")
        wants_rows = isinstance(getattr(self, "loss", None), ROW_LOSSES)
        return rows_of_classes(targets, count) if wants_rows else targets

    def class_weights(self, class_weight, x):
        """The weights of the places that the right choice may have."""
        return class_weights(class_weight, [NAMELESS] * len(x[0][1]))

    def default_loss(self):
        """Cross-entropy over the choices."""
        return keras.losses.SparseCategoricalCrossentropy(from_logits=True)

    def default_metrics(self):
        """Accuracy."""
        return [ClassAccuracy()]

    def answer(self, outputs):
        """Scores to probabilities."""
        return probabilities(outputs["logits"])
