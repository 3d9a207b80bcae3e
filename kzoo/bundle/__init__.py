"""The folder round a LiteRT file, and who reads it; names load on first use."""

import importlib

from ..logs import hidden

_HOME = {
    "export_litert": "single_file",
    "export_bundle": "export",
    "export_recipe": "export",
    "verify_bundle": "verify",
    "predict_bundle": "predict",
    "predict_table": "predict",
    "search_bundle": "predict",
}
__all__ = sorted(_HOME)


def __getattr__(name):
    if name not in _HOME:
        raise AttributeError(f"kzoo.bundle has no {name!r}; it has {', '.join(__all__)}.")
    with hidden():
        return getattr(importlib.import_module(f".{_HOME[name]}", __name__), name)


def __dir__():
    return __all__
