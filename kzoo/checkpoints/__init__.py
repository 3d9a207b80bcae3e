"""Checkpoints of other libraries as models of kzoo, and back."""

from .formats import recognised
from .hub import to_hub
from .huggingface import from_huggingface, to_huggingface

__all__ = ["from_huggingface", "recognised", "to_hub", "to_huggingface"]
