"""The parts that slots hold; importing this package files them all."""

from . import (
    adaptive,
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
    relative,
    sparse,
)  # fmt: skip

__all__ = [
    "adaptive", "attention", "block", "bottleneck", "embedding", "feedforward", "head", "linear",
    "mobile", "norm", "patches", "pooler", "position", "relative", "sparse",
]  # fmt: skip
