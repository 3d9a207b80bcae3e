"""The parts that slots hold; importing this package files them all."""

from . import (
    adaptive,
    attention,
    axial,
    block,
    block_sparse,
    bottleneck,
    boxes,
    disentangled,
    embedding,
    feedforward,
    head,
    linear,
    lsh,
    mobile,
    norm,
    patches,
    pooler,
    position,
    relative,
    resnet,
    reversible,
    sparse,
    stacked,
)  # fmt: skip

__all__ = [
    "adaptive", "attention", "axial", "block", "block_sparse", "bottleneck", "boxes",
    "disentangled", "embedding", "feedforward", "head", "linear", "lsh", "mobile", "norm",
    "patches", "pooler", "position", "relative", "resnet", "reversible", "sparse", "stacked",
]  # fmt: skip
