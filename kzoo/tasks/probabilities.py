"""Keras' metrics that read probabilities, on the logits that a task gives."""

import keras
from keras import ops

from ..data.batches import IGNORED
from ..errors import KzooError

# Keras' metrics of one class an example: targets are its index, or rows of a number a class.
OF_INDICES = (
    keras.metrics.SparseCategoricalCrossentropy,
    keras.metrics.SparseCategoricalAccuracy,
    keras.metrics.SparseTopKCategoricalAccuracy,
)
OF_ROWS = (
    keras.metrics.CategoricalCrossentropy,
    keras.metrics.CategoricalAccuracy,
    keras.metrics.TopKCategoricalAccuracy,
)
# Those of a number for each of any number of labels.
OF_LABELS = (
    keras.metrics.AUC,
    keras.metrics.BinaryAccuracy,
    keras.metrics.BinaryCrossentropy,
    keras.metrics.FBetaScore,
    keras.metrics.FalseNegatives,
    keras.metrics.FalsePositives,
    keras.metrics.KLDivergence,
    keras.metrics.Poisson,
    keras.metrics.Precision,
    keras.metrics.PrecisionAtRecall,
    keras.metrics.Recall,
    keras.metrics.RecallAtPrecision,
    keras.metrics.SensitivityAtSpecificity,
    keras.metrics.SpecificityAtSensitivity,
    keras.metrics.TrueNegatives,
    keras.metrics.TruePositives,
)
FUNCTIONS = {
    keras.metrics.binary_accuracy: keras.metrics.BinaryAccuracy,
    keras.metrics.categorical_accuracy: keras.metrics.CategoricalAccuracy,
    keras.metrics.sparse_categorical_accuracy: keras.metrics.SparseCategoricalAccuracy,
    keras.metrics.top_k_categorical_accuracy: keras.metrics.TopKCategoricalAccuracy,
    keras.metrics.sparse_top_k_categorical_accuracy: keras.metrics.SparseTopKCategoricalAccuracy,
    keras.losses.binary_crossentropy: keras.metrics.BinaryCrossentropy,
    keras.losses.categorical_crossentropy: keras.metrics.CategoricalCrossentropy,
    keras.losses.sparse_categorical_crossentropy: keras.metrics.SparseCategoricalCrossentropy,
    keras.losses.kl_divergence: keras.metrics.KLDivergence,
    keras.losses.poisson: keras.metrics.Poisson,
}


def on_probabilities(metric, activation):
    """A metric as `compile` takes it; one of Keras' that reads probabilities is given them.

    `activation` makes probabilities of a task's logits: "softmax" where an example has one class,
    "sigmoid" where it has any number of labels; None for what is neither.
    """
    found, name = metric, None
    if isinstance(metric, str):
        try:
            found, name = keras.metrics.get(metric), metric
        except ValueError:
            raise KzooError(
                f"Got the metric {metric!r:.40}; expected one of Keras' metrics or its name, such "
                'as "accuracy".'
            ) from None
    for function, kind in FUNCTIONS.items():
        if found is function:
            found, name = kind(), name or function.__name__
    # A metric that counts a batch in a way of its own is taken as it is.
    own = not getattr(type(found), "update_state", on_probabilities).__module__.startswith("keras")
    if activation is None or own or not isinstance(found, OF_INDICES + OF_ROWS + OF_LABELS):
        return metric
    if activation == "sigmoid" and isinstance(found, OF_INDICES + OF_ROWS):
        raise KzooError(
            f"Got the metric {name or type(found).__name__}, which is for one class of several, "
            "and here each label has a probability of its own: take "
            "keras.metrics.BinaryAccuracy(), or AUC or F1Score."
        )
    return ProbabilityMetric(found, None if _reads_logits(found) else activation, name)


def _reads_logits(metric):
    """Whether a metric says so; or has a threshold that no probability is compared to."""
    config = metric.get_config()
    threshold = config.get("threshold", config.get("thresholds"))
    given = [] if threshold is None else keras.tree.flatten(threshold)
    above = bool(given) and not any(0 < value < 1 for value in given)
    return config.get("from_logits", False) or above


@keras.saving.register_keras_serializable("kzoo")
class ProbabilityMetric(keras.metrics.Metric):
    """A metric of Keras' on logits, and on targets as a task has them.

    Args:
        metric: such as `keras.metrics.AUC()`; classes come to it as rows, but to a sparse one as
            indices; places without a target don't.
        activation: what makes probabilities of logits; None where the metric reads logits.
    """

    def __init__(self, metric, activation, name=None, dtype=None):
        super().__init__(name=name or metric.name, dtype=dtype)
        self.metric, self.activation = metric, activation

    def update_state(self, y_true, y_pred, sample_weight=None):
        """Count a batch: scores (..., labels), targets of the same shape or classes (...)."""
        y_pred = ops.cast(y_pred, "float32")
        count = ops.shape(y_pred)[-1]
        if len(y_pred.shape) > 2:  # One class a place.
            counted = ops.cast(ops.not_equal(y_true, IGNORED), "float32")
            if sample_weight is not None:
                extra = (1,) * (len(y_true.shape) - len(sample_weight.shape))
                counted *= ops.reshape(sample_weight, (*ops.shape(sample_weight), *extra))
            sample_weight = ops.reshape(counted, (-1,))
            y_true = ops.reshape(ops.maximum(y_true, 0), (-1,))
            y_pred = ops.reshape(y_pred, (-1, count))
        if self.activation is not None:
            y_pred = getattr(ops, self.activation)(y_pred)
        if self.activation == "softmax" and isinstance(self.metric, OF_LABELS):
            y_pred *= 1.0  # Else Keras' binary cross-entropy finds the logits, and takes sigmoids.
        is_row = len(y_true.shape) == len(y_pred.shape)
        if isinstance(self.metric, OF_INDICES):
            y_true = ops.argmax(y_true, -1) if is_row else y_true
        elif y_pred.shape[-1] == 1:
            y_true = ops.reshape(y_true, ops.shape(y_pred))
        elif not is_row:
            y_true = ops.cast(ops.expand_dims(y_true, -1), "int32")
            y_true = ops.cast(ops.equal(y_true, ops.arange(count, dtype="int32")), "float32")
        return self.metric.update_state(y_true, y_pred, sample_weight)

    def result(self):
        """The metric's."""
        return self.metric.result()

    def reset_state(self):
        """The metric's."""
        self.metric.reset_state()

    def get_config(self):
        """The metric and the activation."""
        metric = keras.saving.serialize_keras_object(self.metric)
        return {**super().get_config(), "metric": metric, "activation": self.activation}

    @classmethod
    def from_config(cls, config):
        """Rebuild from `get_config`."""
        return cls(**{**config, "metric": keras.saving.deserialize_keras_object(config["metric"])})
