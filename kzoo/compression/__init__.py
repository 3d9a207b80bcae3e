"""From a model to a smaller model: what comes out is again a model that every door accepts."""

from .distill import DistillationLoss, DistilledAccuracy, cut, distillation_targets
from .teacher import Teacher

__all__ = ["DistillationLoss", "DistilledAccuracy", "Teacher", "cut", "distillation_targets"]
