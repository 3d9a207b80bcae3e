"""The parts that slots hold; importing this package files them all."""

from . import attention, block, embedding, feedforward, head, norm, patches, pooler, position

__all__ = [
    "attention", "block", "embedding", "feedforward", "head", "norm", "patches", "pooler",
    "position",
]  # fmt: skip
