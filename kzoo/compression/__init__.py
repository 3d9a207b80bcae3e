"""From a model to a smaller model: what comes out is again a model that every door accepts."""

from .distill import DistillationLoss, DistilledAccuracy, cut, distillation_targets

__all__ = ["DistillationLoss", "DistilledAccuracy", "cut", "distillation_targets"]
