"""The parts that slots hold; importing this package files them all."""

from . import (
    attention,
    block,
    bottleneck,
    embedding,
    feedforward,
    head,
    mobile,
    norm,
    patches,
    pooler,
    position,
)  # fmt: skip

__all__ = [
    "attention", "block", "bottleneck", "embedding", "feedforward", "head", "mobile", "norm",
    "patches", "pooler", "position",
]  # fmt: skip
