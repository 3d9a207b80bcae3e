"""A student cut from its teacher that learns the teacher's scores: Hinton 2015, arXiv:1503.02531.

The cut keeps some steps of the teacher's schedule, as DistilBERT does (arXiv:1910.01108).
"""

import keras
import numpy as np
from keras import ops

from ..errors import KzooError


def cut(task, schedule):
    """A copy of a task whose backbone runs only the steps of `schedule`.

    `cut(teacher, (0, 2, 4))` keeps the blocks 0, 2 and 4 of six, with their weights. What stands
    still in the teacher stands still in the student, unless that is its whole backbone.
    """
    if not schedule or not set(schedule) <= set(task.spec.schedule):
        raise KzooError(
            f"The schedule {tuple(schedule)} names blocks that the teacher lacks: its own is "
            f"{task.spec.schedule}."
        )
    backbone = task.backbone.with_spec(schedule=tuple(schedule))
    if not backbone.trainable_weights:  # A teacher stands still; a student of it is to learn.
        backbone.trainable = True
    backbone.processors = dict(task.processors)
    return task.on(backbone)


def distillation_targets(teacher, texts, labels, batch_size=64, verbose=0):
    """Targets (texts, 1 + labels): the class index, then the teacher's logits."""
    logits = answers(teacher, list(texts), batch_size, verbose)
    indices = teacher.class_indices(labels)[:, None]
    return np.concatenate([indices.astype("float32"), logits], axis=1)


def answers(teacher, x, batch_size=64, verbose=0):
    """The output that a teacher's loss looks at, (examples, ...), for a list of examples."""
    order, outputs = teacher.run_batches(teacher.encode_examples(x), batch_size, verbose)
    values = np.concatenate([out[teacher.scored_output] for out in outputs])
    restored = np.empty_like(values)
    restored[order] = values
    return restored


def soft_cross_entropy(there, here, temperature):
    """Cross-entropy of a teacher's and a student's logits (batch, labels), both at a temperature.

    It is multiplied by the temperature's square, so that gradients keep their scale.
    """
    taught = ops.softmax(there / temperature)
    loss = keras.losses.categorical_crossentropy(taught, here / temperature, from_logits=True)
    return loss * temperature**2


@keras.saving.register_keras_serializable("kzoo")
class DistillationLoss(keras.losses.Loss):
    """Soft cross-entropy to the teacher at a temperature, mixed with the labels' own.

    Args:
        temperature: what both sides' logits are divided by.
        label_share: the weight of the labels' cross-entropy; the teacher has the rest.
    """

    def __init__(
        self, temperature=2.0, label_share=0.1, reduction="sum_over_batch_size", name=None
    ):
        super().__init__(reduction=reduction, name=name)
        self.temperature, self.label_share = temperature, label_share

    def call(self, y_true, y_pred):
        """Targets of `distillation_targets` and logits (batch, labels) to one loss each."""
        soft = soft_cross_entropy(y_true[:, 1:], y_pred, self.temperature)
        hard = keras.losses.sparse_categorical_crossentropy(y_true[:, 0], y_pred, from_logits=True)
        return (1 - self.label_share) * soft + self.label_share * hard

    def get_config(self):
        """The arguments."""
        config = super().get_config()
        return {**config, "temperature": self.temperature, "label_share": self.label_share}


@keras.saving.register_keras_serializable("kzoo")
class DistilledAccuracy(keras.metrics.SparseCategoricalAccuracy):
    """Accuracy against the labels inside `distillation_targets`."""

    def __init__(self, name="accuracy", dtype=None):
        super().__init__(name=name, dtype=dtype)

    def update_state(self, y_true, y_pred, sample_weight=None):
        """Compare the first column with the largest logit."""
        super().update_state(y_true[:, 0], y_pred, sample_weight)
