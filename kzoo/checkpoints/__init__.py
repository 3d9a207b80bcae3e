"""Checkpoints of other libraries as models of kzoo, and back.

KerasHub's tables and PEFT's adapters are loaded on first use: they stand on Keras.
"""

from .formats import recognised
from .hub import to_hub
from .huggingface import from_huggingface, to_huggingface

__all__ = [
    "from_huggingface",
    "from_kerashub",
    "from_peft",
    "recognised",
    "save_adapter",
    "to_hub",
    "to_huggingface",
    "to_kerashub",
    "to_peft",
]


def __getattr__(name):
    if name in ("from_kerashub", "to_kerashub"):
        from . import kerashub as home
    elif name in ("from_peft", "save_adapter", "to_peft"):
        from . import peft as home
    else:
        raise AttributeError(f"{__name__} has no {name!r}.")
    return getattr(home, name)
