"""The parts that slots hold; importing this package files them all."""

from . import (
    attention,
    block,
    bottleneck,
    embedding,
    feedforward,
    head,
    linear,
    mobile,
    norm,
    patches,
    pooler,
    position,
    sparse,
)  # fmt: skip

__all__ = [
    "attention", "block", "bottleneck", "embedding", "feedforward", "head", "linear", "mobile",
    "norm", "patches", "pooler", "position", "sparse",
]  # fmt: skip
