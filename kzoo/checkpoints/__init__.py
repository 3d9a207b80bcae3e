"""Checkpoints of other libraries as models of kzoo, and back."""

from .huggingface import from_huggingface, to_huggingface

__all__ = ["from_huggingface", "to_huggingface"]
