"""From a model to a smaller model: what comes out is again a model that every door accepts."""

from .affinity import AffinityLoss, affinity_targets
from .distill import DistillationLoss, DistilledAccuracy, cut, distillation_targets
from .teacher import Teacher
from .trim import trim

__all__ = [
    "AffinityLoss",
    "DistillationLoss",
    "DistilledAccuracy",
    "Teacher",
    "affinity_targets",
    "cut",
    "distillation_targets",
    "trim",
]
