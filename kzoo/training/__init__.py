"""Learning: optimizers and their schedule; trainings and compressions written down as recipes."""

import os

# TensorFlow leaves oneDNN off on AMD processors, where a training step with it takes 17 in place
# of 23 ms an example (benchmarks/fine_tune); without effect where TensorFlow is loaded already.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")

from .optimizer import Adafactor, AdamW, Lamb, Lion, Muon  # noqa: E402
from .recipe import train  # noqa: E402
from .resume import Checkpoints  # noqa: E402
from .schedule import WarmupDecay  # noqa: E402
from .steps import compress  # noqa: E402
from .strategy import Strategy, strategy  # noqa: E402
from .tune import tune  # noqa: E402

__all__ = [
    "Adafactor",
    "AdamW",
    "Checkpoints",
    "Lamb",
    "Lion",
    "Muon",
    "Strategy",
    "WarmupDecay",
    "compress",
    "strategy",
    "train",
    "tune",
]
