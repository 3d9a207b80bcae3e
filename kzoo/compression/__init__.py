"""From a model to a smaller model: what comes out is again a model that every door accepts."""

from .affinity import AffinityLoss, affinity_targets
from .cache import Cache, cached
from .distill import cut
from .factorize import factorize, multiplied_out
from .four_bits import four_bits
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
from .prune import Pruning, prune, shrink
from .quantize_aware import quantize_aware
from .rounded import as_floats
from .sensitivity import mixed, sensitivity
from .sparsity import Sparsity, sparsify
from .teacher import Teacher
from .trim import trim

__all__ = [
    "AffinityLoss",
    "AttentionMaps",
    "AttentionScores",
    "Cache",
    "Embeddings",
    "HardLabels",
    "HiddenStates",
    "Lesson",
    "Logits",
    "Pruning",
    "Sparsity",
    "Teacher",
    "ValueRelations",
    "affinity_targets",
    "as_floats",
    "cached",
    "cut",
    "factorize",
    "four_bits",
    "mixed",
    "multiplied_out",
    "narrowed",
    "prune",
    "quantize_aware",
    "sensitivity",
    "shrink",
    "sparsify",
    "trim",
]
