"""A pair of towers that learns how near a larger one's lie: TinyCLIP, arXiv:2309.12314."""

import keras
import numpy as np
from keras import ops

from ..errors import KzooError
from ..tasks.contrastive import ContrastiveLoss, affinities


def affinity_targets(teacher, pairs, batch_size=64, verbose=0):
    """The teacher's vectors of pairs, (pairs, 2, dim), as targets for `AffinityLoss`.

    Args:
        teacher: an `ImageTextEmbedder`.
        pairs: what `fit` of the student takes: a list of (picture, text).
    """
    # Pairs are read in their own order, however long their texts are.
    _, outputs = teacher.run_batches(teacher.encode_examples(list(pairs)), batch_size, verbose)
    return np.concatenate([batch["pairs"] for batch in outputs])


@keras.saving.register_keras_serializable("kzoo")
class AffinityLoss(keras.losses.Loss):
    """Affinity mimicking: KL divergence of a student's affinities from its teacher's.

    Section 3.1 of the paper. For each picture the softmax over all texts of the batch, for each
    text that over all pictures; the mean of both. The teacher's vectors may be of another width.
    Under `tf.distribute` all are those of all replicas.

    Args:
        label_share: the weight of `ContrastiveLoss`; the teacher has the rest.
    """

    def __init__(self, label_share=0.0, reduction="sum_over_batch_size", name=None):
        super().__init__(reduction=reduction, name=name)
        if not 0 <= label_share <= 1:
            raise KzooError(f"Got label_share = {label_share!r:.40}; expected a share, 0 to 1.")
        self.label_share = label_share

    def call(self, y_true, y_pred):
        """Targets of `affinity_targets` and pairs (batch, 2, dim) to one loss each."""
        taught = affinities(ops.cast(y_true, y_pred.dtype))
        sides = zip(taught, affinities(y_pred), strict=True)
        losses = [_divergence(there, here) for there, here in sides]
        loss = (losses[0] + losses[1]) / 2
        if not self.label_share:
            return loss
        own = ContrastiveLoss().call(None, y_pred)
        return (1 - self.label_share) * loss + self.label_share * own

    def get_config(self):
        """The share."""
        return {**super().get_config(), "label_share": self.label_share}


def _divergence(there, here):
    """KL divergence of softmaxes of logits (batch, all), (batch,)."""
    gap = ops.log_softmax(there, axis=-1) - ops.log_softmax(here, axis=-1)
    return ops.sum(ops.softmax(there, axis=-1) * gap, axis=-1)
