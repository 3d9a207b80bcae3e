"""Checkpoints of other libraries as models of kzoo, and back."""

from .formats import recognised
from .hub import to_hub
from .huggingface import from_huggingface, to_huggingface
from .kerashub import from_kerashub, to_kerashub

__all__ = [
    "from_huggingface",
    "from_kerashub",
    "recognised",
    "to_hub",
    "to_huggingface",
    "to_kerashub",
]
