"""Tasks with a target for each place of a text, their loss and accuracy."""

import keras
from keras import ops

from ..data.batches import IGNORED
from ..keras_hooks import with_options
from ..parts import make
from .classes import ROW_LOSSES
from .text_task import TextTask


class ByPlace:
    """Of a task that has a target for each place of a text, or none where that is `IGNORED`.

    It stands before the task that says what is read.
    """

    def suited_loss(self, loss):
        """A loss of classes that leaves out the places without a target."""
        if isinstance(loss, ROW_LOSSES):
            return PlaceLoss(loss)
        by_index = isinstance(loss, keras.losses.SparseCategoricalCrossentropy)
        if by_index and loss.ignore_class is None:
            return with_options(loss, ignore_class=IGNORED)
        return loss

    def default_loss(self):
        """Cross-entropy over the places that have a target."""
        return keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=IGNORED)

    def default_metrics(self):
        """Accuracy over the places that have a target."""
        return [PlaceAccuracy()]

    def loss_count(self, y):
        """The places that have a target: the loss is their mean."""
        return ops.sum(ops.cast(ops.not_equal(y, IGNORED), "int32"))

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        """Keras' hook: the weight of an example is that of each of its places."""
        return super().compute_loss(x, y, y_pred, by_place(sample_weight, y), training)

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        """Keras' hook: the weight of an example is that of each of its places."""
        return super().compute_metrics(x, y, y_pred, by_place(sample_weight, y))


class PlaceTask(ByPlace, TextTask):
    """A task on texts with a target for each place."""


class Vocabulary(ByPlace):
    """Of a task that scores the vocabulary at every place."""

    @property
    def num_outputs(self):
        """The vocabulary."""
        return self.backbone.vocabulary_size

    def make_head(self, backbone):
        """The head layer, as wide as the vocabulary."""
        units = backbone.vocabulary_size
        return make("head", self.head_slot, spec=backbone.head_spec, units=units, name="head")


class Tied(Vocabulary):
    """Of a task that scores the vocabulary at every place, against the token embeddings."""

    def run_head(self, outputs, inputs, training):
        """Logits against the backbone's own token table."""
        table = [ops.cast(f, self.compute_dtype) for f in self.backbone.embedding.factors]
        return self.head(outputs, inputs.get("padding_mask"), table=table, training=training)


class TiedTask(Tied, PlaceTask):
    """A task on texts that scores the vocabulary at every place."""


@keras.saving.register_keras_serializable("kzoo")
class PlaceLoss(keras.losses.Loss):
    """A loss of rows of probabilities, such as one with label smoothing, on classes by place.

    Args:
        loss: such as `keras.losses.CategoricalCrossentropy(from_logits=True)`; it is given the
            classes of (batch, length) as rows, and the mean is over places with a target.
    """

    def __init__(self, loss, reduction="sum_over_batch_size", name=None):
        super().__init__(reduction=reduction, name=name)
        self.loss = loss

    def call(self, y_true, y_pred):
        """One loss a place, none where there is no target."""
        counted = ops.not_equal(y_true, IGNORED)
        rows = ops.one_hot(ops.where(counted, y_true, 0), y_pred.shape[-1])
        counted = ops.cast(counted, y_pred.dtype)
        # The mean that follows is over all places.
        share = ops.sum(counted) / ops.cast(ops.size(counted), y_pred.dtype)
        return self.loss.call(rows, y_pred) * counted / ops.maximum(share, 1e-9)

    def get_config(self):
        """The loss."""
        return {**super().get_config(), "loss": keras.saving.serialize_keras_object(self.loss)}

    @classmethod
    def from_config(cls, config):
        """Rebuild from `get_config`."""
        return cls(**{**config, "loss": keras.saving.deserialize_keras_object(config["loss"])})


@keras.saving.register_keras_serializable("kzoo")
class PlaceAccuracy(keras.metrics.Mean):
    """How many places are right of those that have a target, however batches were cut."""

    def __init__(self, name="accuracy", dtype=None):
        super().__init__(name=name, dtype=dtype)

    def update_state(self, y_true, y_pred, sample_weight=None):
        """Count a batch: targets (batch, length), scores (batch, length, classes)."""
        right = ops.equal(ops.cast(y_true, "int32"), ops.cast(ops.argmax(y_pred, -1), "int32"))
        counted = ops.cast(ops.not_equal(y_true, IGNORED), "float32")
        weight = counted if sample_weight is None else counted * by_place(sample_weight, y_true)
        # Flat: of rows Keras would take the mean of each row's mean.
        right = ops.reshape(ops.cast(right, "float32"), (-1,))
        return super().update_state(right, ops.reshape(weight, (-1,)))


def by_place(sample_weight, y):
    """The weights of examples as those of their places."""
    if sample_weight is None or len(sample_weight.shape) == len(y.shape):
        return sample_weight
    return ops.broadcast_to(ops.expand_dims(sample_weight, -1), ops.shape(y))
