"""Sounds: reading them, and the numbers that networks know them by."""
