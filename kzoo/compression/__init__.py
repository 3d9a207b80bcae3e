"""From a model to a smaller model: what comes out is again a model that every door accepts."""

from .affinity import AffinityLoss, affinity_targets
from .cache import Cache, cached
from .distill import DistillationLoss, DistilledAccuracy, cut, distillation_targets
from .lessons import (
    AttentionMaps,
    AttentionScores,
    Embeddings,
    HardLabels,
    HiddenStates,
    Lesson,
    Logits,
    ValueRelations,
)
from .narrow import narrowed
from .teacher import Teacher

__all__ = [
    "AffinityLoss",
    "AttentionMaps",
    "AttentionScores",
    "Cache",
    "DistillationLoss",
    "DistilledAccuracy",
    "Embeddings",
    "HardLabels",
    "HiddenStates",
    "Lesson",
    "Logits",
    "Teacher",
    "ValueRelations",
    "affinity_targets",
    "cached",
    "cut",
    "distillation_targets",
    "narrowed",
]
