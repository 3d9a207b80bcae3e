"""Checkpoints of other libraries as models of kzoo, and back."""

from .convert import convert
from .huggingface import from_huggingface, to_huggingface

__all__ = ["convert", "from_huggingface", "to_huggingface"]
