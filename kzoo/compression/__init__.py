"""From a model to a smaller model: what comes out is again a model that every door accepts."""

from .affinity import AffinityLoss, affinity_targets
from .distill import DistillationLoss, DistilledAccuracy, cut, distillation_targets
from .quantize_aware import quantize_aware
from .sensitivity import sensitivity
from .teacher import Teacher

__all__ = [
    "AffinityLoss",
    "DistillationLoss",
    "DistilledAccuracy",
    "Teacher",
    "affinity_targets",
    "cut",
    "distillation_targets",
    "quantize_aware",
    "sensitivity",
]
