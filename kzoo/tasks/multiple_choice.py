"""Which of several continuations fits a text: SWAG, arXiv:1808.05326."""

import keras
import numpy as np
from keras import ops

from ..answers import softmax
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
    `fit` wants the index of the right choice as target. Texts may have different numbers of
    choices: what has no token is no choice, its logit is `ABSENT` and its probability 0, and the
    others are as they are for the text alone.
    """

    ABSENT = -1e4  # a logit that no softmax sees, and that half precision holds

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
        logits = super().call(inputs, training=training, seen=seen)["logits"][..., 0]
        mask = inputs.get("padding_mask")
        if mask is not None and len(mask.shape) == 3:  # A file scores one choice at a time.
            logits = ops.where(ops.max(mask, axis=-1) > 0, logits, self.ABSENT)
        return {"logits": logits}

    def encode_examples(self, x):
        """Each choice as a pair with its text: ragged rows of several sequences."""
        return self.columns_of_lists(x)

    def encode_targets(self, y, x):
        """The indices of the right choices."""
        y, counts = list(y), [len(choices) for _, choices in x]
        counts += [max(counts)] * (len(y) - len(x))  # Too many targets are told where they meet.
        targets = [  # A choice has no name.
            class_index(value, [NAMELESS] * count) for value, count in zip(y, counts, strict=False)
        ]
        if None in targets:
            place = targets.index(None)
            raise KzooError(
                f"Target {place} is {y[place]!r:.40}; the index of a choice, 0 to "
                f"{counts[place] - 1}, is expected."
            )
        targets = np.asarray(targets, "int32")
        wants_rows = isinstance(getattr(self, "loss", None), ROW_LOSSES)
        return rows_of_classes(targets, max(counts)) if wants_rows else targets

    def class_weights(self, class_weight, x):
        """The weights of the places that the right choice may have."""
        most = max(len(choices) for _, choices in x)
        return class_weights(class_weight, [NAMELESS] * most)

    def default_loss(self):
        """Cross-entropy over the choices."""
        return keras.losses.SparseCategoricalCrossentropy(from_logits=True)

    def default_metrics(self):
        """Accuracy."""
        return [ClassAccuracy()]

    def answer(self, outputs):
        """Scores to probabilities."""
        return softmax(outputs["logits"])
