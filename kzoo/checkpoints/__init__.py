"""Checkpoints of other libraries as models of kzoo, and back."""

from .hub import to_hub
from .huggingface import from_huggingface, to_huggingface

__all__ = ["from_huggingface", "to_hub", "to_huggingface"]
