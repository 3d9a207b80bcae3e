"""Which of several labels a text, or a pair of texts, has."""

from numbers import Real

import keras
import numpy as np

from ..answers import check_labels, probabilities
from ..errors import KzooError
from .task import TextTask, class_index, split_pairs

PROBLEMS = ("single_label", "multi_label", "regression")


@keras.saving.register_keras_serializable("kzoo")
class TextClassifier(TextTask):
    """Classify texts, or pairs of texts.

    `TextClassifier("bert_minilm_l3_en_uncased.sst2", labels=["dull", "fair", "great"])` starts
    from weights that ship. On the token dict it returns {"logits": (batch, labels)}; `predict`
    gives probabilities (texts, labels).

    A target is a label's name or, where no label reads as a whole number itself, its index; the
    same in a file and in Python. With a single label the probability is a sigmoid's, and a target
    is the label's name or 1 where a text has it, 0 where it hasn't.
    """

    task_name = "TextClassifier"

    default_head = "mean"
    output_axes = {"logits": 2}

    def __init__(
        self,
        backbone,
        labels=None,
        head=None,
        max_length=None,
        tokenizer=None,
        name=None,
        problem=None,
        threshold=0.5,
        reads=None,
    ):
        check_labels(labels)
        if reads not in (None, "text", "pair", "either"):
            raise KzooError(f'Got reads={reads!r:.40}; expected "text", "pair", "either" or None.')
        self.problem = _checked_problem(problem)
        self.threshold, self.reads = _checked_threshold(threshold), reads
        super().__init__(backbone, labels, head, max_length, tokenizer, name)

    def settle(self, x):
        """What the first `fit` shows: whether an input is a text or a pair of texts."""
        if self.reads is None:
            self.reads = "text" if split_pairs(x)[1] is None else "pair"

    def task_options(self):
        """Whether it reads pairs, which problem it solves, and for labels at once the threshold."""
        options = {**super().task_options(), "problem": self.problem}
        if self.problem == "multi_label":
            options["threshold"] = self.threshold
        return options

    def get_config(self):
        """The arguments."""
        return {
            **super().get_config(),
            "problem": self.problem,
            "threshold": self.threshold,
            "reads": self.reads,
        }

    def encode_targets(self, y, x=None):
        """Class indices, from names or indices; rows of numbers stay, for a loss of their own."""
        try:
            rows = np.asarray(y, "float32") if np.ndim(y) == 2 else None
        except (TypeError, ValueError):  # Rows of other things, or of different lengths.
            raise KzooError(
                f"The targets are {y!r:.60}; a label of {self.labels} or its index for each text, "
                "or rows of numbers, are expected."
            ) from None
        if rows is not None:
            alone = isinstance(
                getattr(self, "loss", None), keras.losses.SparseCategoricalCrossentropy
            )
            if alone and rows.shape[1] != 1:
                raise KzooError(
                    f"The targets are rows of {rows.shape[1]} numbers, and the loss that this task "
                    "has by default takes one label a text: give labels, or compile(loss=, "
                    "metrics=) with those that take rows."
                )
            return rows
        y = y.tolist() if hasattr(y, "tolist") else list(y)
        # A text has a single label or hasn't: its index is 1, and that of no name 0.
        names = self.labels if len(self.labels) > 1 else ["\0", *self.labels]
        targets = []
        for i, value in enumerate(y):
            index = class_index(value, names)
            if index is None:
                raise KzooError(
                    f"Target {i} is {value!r}; a label of {self.labels} or its index is expected."
                )
            targets.append(index)
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


def _checked_problem(problem):
    """The problem, single_label where none was named."""
    problem = "single_label" if problem is None else problem
    if problem not in PROBLEMS:
        raise KzooError(f"Got problem={problem!r:.40}; expected one of {', '.join(PROBLEMS)}.")
    return problem


def _checked_threshold(threshold):
    number = isinstance(threshold, Real) and not isinstance(threshold, bool)
    if not number or not 0 <= threshold <= 1:
        raise KzooError(f"Got threshold={threshold!r:.40}; expected a probability, 0 to 1.")
    return float(threshold)
