"""From a model to a smaller model: what comes out is again a model that every door accepts."""

from .affinity import AffinityLoss, affinity_targets
from .distill import DistillationLoss, DistilledAccuracy, cut, distillation_targets
from .factorize import factorize, multiplied_out
from .prune import Pruning, prune, shrink
from .sparsity import Sparsity, sparsify
from .teacher import Teacher
from .trim import trim

__all__ = [
    "AffinityLoss",
    "DistillationLoss",
    "DistilledAccuracy",
    "Pruning",
    "Sparsity",
    "Teacher",
    "affinity_targets",
    "cut",
    "distillation_targets",
    "factorize",
    "multiplied_out",
    "prune",
    "shrink",
    "sparsify",
    "trim",
]
