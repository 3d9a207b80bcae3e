"""Sounds: reading them, and the numbers that networks know them by."""

from .spec_augment import SpecAugment

__all__ = ["SpecAugment"]
