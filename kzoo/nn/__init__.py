"""The parts that slots hold; importing this package files them all."""

from . import (
    attention,
    axial,
    block,
    embedding,
    feedforward,
    head,
    lsh,
    mobile,
    norm,
    patches,
    pooler,
    position,
    reversible,
    sparse,
)  # fmt: skip

__all__ = [
    "attention", "axial", "block", "embedding", "feedforward", "head", "lsh", "mobile", "norm",
    "patches", "pooler", "position", "reversible", "sparse",
]  # fmt: skip
