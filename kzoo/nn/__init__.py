"""The parts that slots hold; importing this package files them all."""

from . import attention, block, embedding, feedforward, head, norm, pooler, position

__all__ = ["attention", "block", "embedding", "feedforward", "head", "norm", "pooler", "position"]
