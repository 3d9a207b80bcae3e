"""Which of several labels a text, or a pair of texts, has."""

import keras
import numpy as np

from ..answers import probabilities
from ..errors import KzooError
from .task import TextTask


@keras.saving.register_keras_serializable("kzoo")
class TextClassifier(TextTask):
    """Classify texts, or pairs of texts.

    `TextClassifier("bert_tiny_en_uncased", labels=["negative", "positive"])`. On the token dict
    it returns {"logits": (batch, labels)}; `predict` gives probabilities (texts, labels). With a
    single label the probability is a sigmoid's.
    """

    default_head = "mean"

    def __init__(
        self, backbone, labels=None, head=None, max_length=None, tokenizer=None, name=None
    ):
        if isinstance(labels, str) or not labels or len(set(labels)) != len(labels):
            raise KzooError(
                f"labels is {labels!r}; a list of different names is expected, such as "
                '["negative", "positive"].'
            )
        super().__init__(backbone, labels, head, max_length, tokenizer, name)

    def encode_targets(self, y, x=None):
        """Class indices, from indices or names; rows of numbers stay, for a loss of their own."""
        if np.ndim(y) == 2:
            return np.asarray(y, "float32")
        y = y.tolist() if hasattr(y, "tolist") else list(y)
        index = {label: i for i, label in enumerate(self.labels)}
        limit = max(len(self.labels), 2)
        targets = []
        for i, value in enumerate(y):
            if isinstance(value, str) and value not in index and value.lstrip("-").isdigit():
                value = int(value)
            number = index.get(value, value)
            if isinstance(number, str) or not 0 <= number < limit or number != int(number):
                raise KzooError(
                    f"Target {i} is {value!r}; a label of {self.labels} or its index is expected."
                )
            targets.append(int(number))
        return np.asarray(targets, "int32")

    def default_loss(self):
        """Cross-entropy of the logits."""
        if len(self.labels) == 1:
            return keras.losses.BinaryCrossentropy(from_logits=True)
        return keras.losses.SparseCategoricalCrossentropy(from_logits=True)

    def default_metrics(self):
        """Accuracy."""
        if len(self.labels) == 1:
            return [keras.metrics.BinaryAccuracy(name="accuracy", threshold=0.0)]
        return [keras.metrics.SparseCategoricalAccuracy(name="accuracy")]

    def answer(self, outputs):
        """Logits to probabilities."""
        return probabilities(outputs["logits"])
