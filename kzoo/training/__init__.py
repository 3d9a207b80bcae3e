"""Learning: the optimizer, its schedule, and trainings written down as recipes."""

from .optimizer import AdamW
from .recipe import train
from .schedule import WarmupDecay

__all__ = ["AdamW", "WarmupDecay", "train"]
