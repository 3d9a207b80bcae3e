"""How far a set of boxes is from the right ones: each right one is held against one that is given.

Carion et al. 2020, arXiv:2005.12872, section 3.1 and appendix A.2.
"""

import keras
import numpy as np
from keras import ops

from ..errors import KzooError
from ..keras_hooks import mean_of_all, on_host
from ..nn.boxes import corners, generalized_overlap
from ..values import is_number

WORST = 1e9  # The cost of what is no number, which a training that diverges gives.


@keras.saving.register_keras_serializable("kzoo")
class SetLoss(keras.losses.Loss):
    """The loss of labels and boxes under the cheapest matching of both sets (Kuhn 1955).

    Of every step of the decoder: cross-entropy of the labels, where a query without a partner is to
    say that nothing is there; the distance of the boxes' numbers; and 1 less their generalized
    overlap (arXiv:1902.09630), both over the number of boxes in the whole batch. The matching
    minimises the sum of what a pair would cost; nothing is learned through it.

    Args:
        label: what the probability of a label counts in the matching; in the loss it counts 1.
        box: what the distance of boxes counts, in both.
        overlap: what their overlap counts, in both.
        nothing: the weight of a query without a partner, of which there are many more.
    """

    def __init__(self, label=1.0, box=5.0, overlap=2.0, nothing=0.1, name="set_loss"):
        super().__init__(name=name)
        self.weights = {"label": label, "box": box, "overlap": overlap, "nothing": nothing}
        for key, value in self.weights.items():
            if not is_number(value, 0):
                raise KzooError(f"Got {key} = {value!r:.40} for the loss; expected 0 or more.")

    def get_config(self):
        """The arguments."""
        return {**self.weights, "name": self.name}

    def call(self, y_true, y_pred):
        """See `of_batch`."""
        return self.of_batch(y_true, *y_pred)

    def of_batch(self, targets, logits, boxes, sample_weight=None):
        """The loss of a batch; on replicas what this one adds to that of the whole.

        Args:
            targets: (batch, most, 5), see `data.annotations.target_rows`.
            logits: (batch, steps, queries, labels + 1).
            boxes: (batch, steps, queries, 4).
            sample_weight: a number for each picture, or None.
        """
        targets, logits, boxes = (ops.cast(t, "float32") for t in (targets, logits, boxes))
        real = ops.cast(targets[:, :, 0] >= 0, "float32")  # (batch, most)
        labels = ops.cast(ops.maximum(targets[:, :, 0], 0), "int32")
        classes, queries = logits.shape[-1], ops.cast(ops.shape(logits)[2], "float32")
        wanted = ops.one_hot(labels, classes) * ops.expand_dims(real, -1)
        # Of what fills up a box that overlaps nothing badly: its costs are never looked at.
        right = ops.where(ops.expand_dims(real, -1) > 0, targets[:, :, 1:], 0.5)
        # (batch, steps, queries, most), of each query with each box.
        shares = ops.einsum("bsqc,bmc->bsqm", ops.softmax(logits), wanted)
        one, other = ops.expand_dims(boxes, 3), ops.expand_dims(ops.expand_dims(right, 1), 1)
        distances = ops.sum(ops.abs(one - other), axis=-1)
        apart = 1.0 - generalized_overlap(corners(one), corners(other))
        weights = self.weights
        costs = weights["box"] * distances + weights["overlap"] * apart - weights["label"] * shares
        partners = on_host(matching, [costs, real], ops.shape(costs), "float32")
        has = ops.sum(partners, axis=-1)  # 1 for a query with a partner, (batch, steps, queries)
        expected = ops.einsum("bsqm,bmc->bsqc", partners, wanted)
        nothing = ops.expand_dims(1.0 - has, -1) * ops.one_hot([classes - 1], classes)
        entropy = -ops.sum((expected + nothing) * ops.log_softmax(logits), axis=-1)
        counted = has + weights["nothing"] * (1.0 - has)
        of_labels = ops.sum(counted * entropy, axis=(1, 2))
        of_boxes = weights["box"] * distances + weights["overlap"] * apart
        of_boxes = ops.sum(partners * of_boxes, axis=(1, 2, 3))
        if sample_weight is not None:
            sample_weight = ops.cast(sample_weight, "float32")
            of_labels, of_boxes = of_labels * sample_weight, of_boxes * sample_weight
        # Every step has as many partners, so that the weights of labels follow from the targets.
        matched = ops.minimum(ops.sum(real, axis=1), queries)
        total = ops.sum(matched + weights["nothing"] * (queries - matched))
        return mean_of_all(ops.sum(of_labels), total) + mean_of_all(
            ops.sum(of_boxes), ops.sum(real)
        )


def matching(costs, real):
    """The cheapest pairs: float32, 1 where a query and a box are one (batch, steps, queries, most).

    Args:
        costs: the same shape.
        real: 1 for a box that is one, (batch, most).
    """
    from scipy.optimize import linear_sum_assignment

    partners = np.zeros(costs.shape, "float32")
    costs = np.nan_to_num(costs, nan=WORST, posinf=WORST, neginf=-WORST)
    for picture, own in enumerate(real > 0):
        places = np.flatnonzero(own)
        for step in range(costs.shape[1] if len(places) else 0):
            rows, columns = linear_sum_assignment(costs[picture, step][:, places])
            partners[picture, step, rows, places[columns]] = 1
    return partners
