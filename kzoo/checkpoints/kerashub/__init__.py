"""Presets of KerasHub, and of KerasNLP before it, as models of kzoo and back, without either."""

from .preset_reading import from_kerashub, read, sign
from .preset_writing import to_kerashub

__all__ = ["from_kerashub", "read", "sign", "to_kerashub"]
