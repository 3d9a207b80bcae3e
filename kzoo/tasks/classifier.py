"""What tasks share whose outputs are labels: problems, targets, losses and their metrics."""

from dataclasses import replace

import keras
import numpy as np

from ..answers import PROBLEMS, class_scores
from ..data.labels import class_names, unknown_label
from ..errors import KzooError
from ..values import an, is_number
from .classes import (
    BINARY_LOSSES,
    INDEX_LOSSES,
    NAMELESS,
    ROW_LOSSES,
    ClassAccuracy,
    class_index,
    class_weights,
    rows_of_classes,
)
from .task import Task

VALUE_LOSSES = (
    keras.losses.MeanSquaredError,
    keras.losses.MeanAbsoluteError,
    keras.losses.MeanAbsolutePercentageError,
    keras.losses.MeanSquaredLogarithmicError,
    keras.losses.Huber,
    keras.losses.LogCosh,
)
VALUE_FUNCTIONS = (
    keras.losses.mean_squared_error,
    keras.losses.mean_absolute_error,
    keras.losses.mean_absolute_percentage_error,
    keras.losses.mean_squared_logarithmic_error,
    keras.losses.huber,
    keras.losses.log_cosh,
)
# Keras' losses of probabilities or margins, which can't be told to read logits.
SHARE_LOSSES = (
    keras.losses.KLDivergence,
    keras.losses.Poisson,
    keras.losses.Hinge,
    keras.losses.SquaredHinge,
    keras.losses.CategoricalHinge,
    keras.losses.Dice,
    keras.losses.Tversky,
)
SHARE_FUNCTIONS = (
    keras.losses.kl_divergence,
    keras.losses.poisson,
    keras.losses.hinge,
    keras.losses.squared_hinge,
    keras.losses.categorical_hinge,
    keras.losses.dice,
    keras.losses.tversky,
)


class Classifier(Task):
    """Which of several labels an example has; or any number of them; or values.

    On the inputs of the backbone it returns {"logits": (batch, labels)}; `predict` gives an array
    (examples, labels): of probabilities, or of values for regression.

    What the labels are to an example is the problem, as in transformers' `problem_type`:

    * `"single_label"`: an example has one of them. A target is a label's name or, where no label
      reads as a whole number itself, its index; the same in a file and in Python. With a single
      label the probability is a sigmoid's, and a target is the label's name or 1 where an example
      has it, 0 where it hasn't. A loss of rows, such as `keras.losses.CategoricalCrossentropy(
      label_smoothing=0.1)`, takes the same targets, or rows of shares.
    * `"multi_label"`: an example has any number of them. A target is a list or set of names, or a
      row of a number from 0 to 1 for each label.
    * `"regression"`: each label names a value. A target is a number, or a row of them.

    A subclass says what is read. Before it makes a `Task` of itself it calls `ask`.
    """

    names_labels = True

    def ask(self, problem, threshold):
        """Keep which problem is to be solved; see `TextClassifier` for both."""
        if problem not in (None, *PROBLEMS):
            raise KzooError(f"Got problem={problem!r:.40}; expected one of {', '.join(PROBLEMS)}.")
        self._problem = problem
        self.threshold = None if threshold is None else _checked_threshold(threshold)

    def settle_sizes(self, backbone):
        """Settle the threshold as well."""
        self.threshold = 0.5 if self.threshold is None else self.threshold
        super().settle_sizes(backbone)

    @property
    def activation(self):
        """What makes probabilities of logits; None where they are values."""
        one_of = self.problem == "single_label" and len(self.labels) > 1
        return None if self.problem == "regression" else "softmax" if one_of else "sigmoid"

    @property
    def problem(self):
        """What the labels are to an example: single_label, multi_label or regression."""
        return self._problem or "single_label"

    @property
    def rule(self):
        """By which rule logits become an answer: the problem has one of its name."""
        return self.problem

    def continues(self, before):
        """Whether a classifier has the same labels, to which the same is asked."""
        return super().continues(before) and self._problem in (None, before.problem)

    def inherit(self, before):
        """Solve the problem that the classifier solved which this one goes on from."""
        if self.continues(before):
            self._problem = self._problem or before._problem
            self.threshold = before.threshold if self.threshold is None else self.threshold
        return super().inherit(before)

    def task_options(self):
        """Which problem it solves, and for several labels at once the threshold."""
        options = {**super().task_options(), "problem": self.problem}
        if self.problem == "multi_label":
            options["threshold"] = self.threshold
        return options

    def get_config(self):
        """The arguments."""
        return {
            **super().get_config(),
            "problem": self._problem,
            "threshold": self.threshold,
        }

    # -- targets --------------------------------------------------------------------------------

    @classmethod
    def understand(cls, examples, problem=None, labels=None, learning=True):
        """The problem and the labels, and examples with targets of that kind."""
        problem, names, examples = class_names(examples, problem, labels, learning)
        if problem == "single_label":
            # An example has a single label or hasn't: its index is 1, and that of no name 0.
            known = names if len(names) > 1 else ["0", *names]
            targets = [class_index(target, known) for target in examples.y]
            if None in targets:
                number = targets.index(None)
                raise unknown_label(examples.where(number), examples.y[number], names)
            examples = replace(examples, y=[known[index] for index in targets])
        return {"labels": names, "problem": problem}, examples

    def encode_targets(self, y, x=None):
        """Targets as the loss takes them: class indices, or rows of a number for each label."""
        y = y.tolist() if hasattr(y, "tolist") else list(y)
        if self.problem == "regression":
            return self._values(y)
        if self.problem == "multi_label":
            return np.stack([self._any_of(i, target) for i, target in enumerate(y)])
        if any(np.ndim(target) for target in y):
            return self._shares(y)
        targets = self.class_indices(y)
        wants_rows = isinstance(getattr(self, "loss", None), ROW_LOSSES)
        return rows_of_classes(targets, len(self.labels)) if wants_rows else targets

    def _values(self, y):
        """Numbers, or rows of them, as (examples, labels)."""
        try:
            values = np.asarray(y, "float32")
        except (TypeError, ValueError):
            values = np.full(1, np.nan)
        values = values[:, None] if values.ndim == 1 else values
        if values.shape != (len(y), len(self.labels)) or not np.isfinite(values).all():
            wrong = next((t for t in y if not _is_row_of_numbers(t, len(self.labels))), y)
            one = "a number" if len(self.labels) == 1 else f"a row of {len(self.labels)} numbers"
            raise KzooError(f"Got the target {wrong!r:.60}; expected {one} for each example.")
        return values

    def _any_of(self, i, target):
        """The labels of one example as a row of a number from 0 to 1 for each."""
        target = [target] if isinstance(target, str) else target
        names = list(target) if isinstance(target, (list, tuple, set, frozenset)) else []
        row = np.zeros(len(self.labels), "float32")
        if all(isinstance(name, str) for name in names) and hasattr(target, "__len__"):
            unknown = [name for name in names if name not in self.labels]
            row[[self.labels.index(name) for name in names if not unknown]] = 1
        else:
            unknown = [] if _is_row_of_numbers(target, len(row)) else [target]
            row[:] = 0 if unknown else target
            unknown = unknown or [value for value in row if not 0 <= value <= 1]
        if unknown:
            raise KzooError(
                f"Target {i} is {target!r:.60}; expected a list of labels of {self.labels}, or a "
                f"row of {len(self.labels)} numbers from 0 to 1, one for each."
            )
        return row

    def _shares(self, y):
        """Rows of numbers, for losses that take them."""
        try:
            rows = np.asarray(y, "float32")
        except (TypeError, ValueError):  # Rows of other things, or of different lengths.
            raise KzooError(
                f"The targets are {y!r:.60}; a label of {self.labels} or its index for each, "
                "or rows of numbers, are expected."
            ) from None
        alone = isinstance(getattr(self, "loss", None), tuple(INDEX_LOSSES.values()))
        if alone and rows.shape[1] != 1:
            raise KzooError(
                f"The targets are rows of {rows.shape[1]} numbers, and the loss that this task "
                "has by default takes one label an example: give labels; or problem="
                '"multi_label" to the task where there may be several; or compile(loss='
                "keras.losses.CategoricalCrossentropy()), which takes a share for each label."
            )
        return rows

    def class_indices(self, y):
        """Names or indices of the one label of each example, as indices."""
        # An example has a single label or hasn't: its index is 1, and that of no name 0.
        names = self._class_names()
        targets = [class_index(value, names) for value in y]
        if None in targets:
            i = targets.index(None)
            raise KzooError(
                f"Target {i} is {y[i]!r}; a label of {self.labels} or its index is expected, or "
                'make the task with problem="regression" to learn numbers.'
            )
        return np.asarray(targets, "int32")

    def _class_names(self):
        return self.labels if len(self.labels) > 1 else [NAMELESS, *self.labels]

    def class_weights(self, class_weight, x):
        """The weights of the labels, of which an example has one."""
        if self.problem != "single_label":
            raise KzooError(
                f"Got class_weight, and the problem is {self.problem}, where nothing has a class "
                "of its own: leave it out, and weight examples by sample_weight."
            )
        return class_weights(class_weight, self._class_names())

    # -- learning -------------------------------------------------------------------------------

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        """Keras' hook: beside a teacher, labels are learnt by a class token that has logits."""
        if self.teacher is not None and training:
            y_pred = {**y_pred, "logits": y_pred.get("class_logits", y_pred["logits"])}
        return super().compute_loss(x, y, y_pred, sample_weight, training)

    def suited_loss(self, loss):
        """The loss, once the problem that it is for is settled."""
        if type(loss) in SHARE_LOSSES or any(loss is known for known in SHARE_FUNCTIONS):
            raise KzooError(
                f"Got the loss {getattr(loss, '__name__', type(loss).__name__)}, which takes "
                f"probabilities or margins, and {an(self.task_name)} gives logits: take "
                "keras.losses.CategoricalCrossentropy()."
            )
        asked = self._problem_of(loss)
        if asked is None:
            return loss
        if self._problem is None and asked != "single_label":
            self._problem = asked
        if asked != self.problem:
            name = getattr(loss, "__name__", type(loss).__name__)
            raise KzooError(
                f"Got the loss {name}, which is for the problem {asked}, and the problem here "
                f"is {self.problem}: take another loss, or make it with problem={asked!r}."
            )
        if len(self.labels) == 1 and isinstance(loss, ROW_LOSSES):
            raise KzooError(
                f"Got the loss {type(loss).__name__} for the one label {self.labels[0]!r}; it "
                "is for several: take keras.losses.BinaryCrossentropy()."
            )
        return loss

    def _problem_of(self, loss):
        """The problem that a loss is for, or None of one that isn't known."""
        if isinstance(loss, VALUE_LOSSES) or any(loss is known for known in VALUE_FUNCTIONS):
            return "regression"
        if isinstance(loss, BINARY_LOSSES):
            one = len(self.labels) == 1 and self._problem != "multi_label"
            return "single_label" if one else "multi_label"
        known = isinstance(loss, (*ROW_LOSSES, *INDEX_LOSSES.values()))
        return "single_label" if known else None

    def default_loss(self):
        """Cross-entropy of the logits; the squared error of values."""
        if self.problem == "regression":
            return keras.losses.MeanSquaredError()
        if self.problem == "multi_label" or len(self.labels) == 1:
            return keras.losses.BinaryCrossentropy(from_logits=True)
        return keras.losses.SparseCategoricalCrossentropy(from_logits=True)

    def default_metrics(self):
        """Accuracy: of examples, or where they may have several labels of each label of each.

        For values, how far they lie off.
        """
        if self.problem == "regression":
            return [keras.metrics.MeanAbsoluteError(name="mean_absolute_error")]
        if self.problem == "multi_label" or len(self.labels) == 1:
            share = self.threshold if self.problem == "multi_label" else 0.5
            logit = np.log(max(share, 1e-9) / max(1 - share, 1e-9))
            return [keras.metrics.BinaryAccuracy(name="accuracy", threshold=float(logit))]
        return [ClassAccuracy()]

    def monitored(self):
        """See `Task`."""
        return "accuracy" if self.problem == "single_label" else "loss"

    def answer(self, outputs):
        """Logits to probabilities, or to values."""
        return class_scores(outputs["logits"], self.problem)


def _checked_threshold(threshold):
    if not is_number(threshold, 0, 1):
        raise KzooError(f"Got threshold={threshold!r:.40}; expected a probability, 0 to 1.")
    return float(threshold)


def _is_row_of_numbers(target, count):
    """Whether a target is `count` finite numbers; of one, also the number itself."""
    values = list(target) if np.ndim(target) == 1 else [target]
    try:
        values = [float(value) for value in values if np.ndim(value) == 0]
    except (TypeError, ValueError):
        return False
    return len(values) == count and bool(np.isfinite(values).all())
