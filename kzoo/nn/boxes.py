"""Boxes round things in a picture: the head that gives them, and how far two of them overlap.

A box is (centre x, centre y, width, height), each as a share of the picture's width or height; by
its corners it is (left, top, right, bottom).
"""

from keras import ops

from ..parts import part
from . import dense
from .composed import Composed

SIZE = 4  # numbers of a box
LAYERS = 3  # of the net that gives them, arXiv:2005.12872, section 3.2


@part("head", "boxes")
class BoxHead(Composed):
    """What each query found, one of the labels or nothing, and where (arXiv:2005.12872).

    Args:
        spec: the spec of what gives the queries' vectors.
        units: how many labels there are; nothing is one more, the last.
    """

    needs_pooler, tied, places = False, None, None

    def __init__(self, spec, units, name="head"):
        super().__init__(name=name)
        self.logits = dense.Dense(units + 1, spec, "logits")
        widths = [spec.hidden_dim] * (LAYERS - 1) + [SIZE]
        self.box_layers = [
            dense.Dense(width, spec, f"box_{place}") for place, width in enumerate(widths)
        ]

    def call(self, outputs, padding_mask=None, training=None):
        """Outputs of the backbone to {"logits": (batch, queries, labels + 1), "boxes": (.., 4)}."""
        x = outputs["sequence_output"]
        *inner, last = self.box_layers
        y = x
        for layer in inner:
            y = ops.relu(layer(y))
        return {"logits": self.logits(x), "boxes": ops.sigmoid(last(y))}


def corners(boxes):
    """Boxes (..., 4) by their corners."""
    centre, size = boxes[..., :2], boxes[..., 2:]
    return ops.concatenate([centre - size / 2, centre + size / 2], axis=-1)


def generalized_overlap(one, other):
    """How far boxes by their corners, both (..., 4), overlap, and how far they are apart: -1 to 1.

    The share of both that they have in common, less the share of the least box round them that is
    neither's (arXiv:1902.09630, algorithm 1); 1 of a box with itself, below 0 without overlap.
    """
    least = ops.maximum(one[..., :2], other[..., :2]), ops.minimum(one[..., 2:], other[..., 2:])
    round_both = (
        ops.minimum(one[..., :2], other[..., :2]),
        ops.maximum(one[..., 2:], other[..., 2:]),
    )
    common = _area(*least)
    union = _area(one[..., :2], one[..., 2:]) + _area(other[..., :2], other[..., 2:]) - common
    whole = _area(*round_both)
    return common / ops.maximum(union, 1e-12) - (whole - union) / ops.maximum(whole, 1e-12)


def _area(first, last):
    """Of boxes from one corner (..., 2) to the other; 0 where there is nothing between them."""
    sides = ops.maximum(last - first, 0.0)
    return sides[..., 0] * sides[..., 1]
