"""Checkpoints of other libraries as models of kzoo, and back.

KerasHub's tables are loaded on first use: they stand on the families, and so on Keras.
"""

from .formats import recognised
from .hub import to_hub
from .huggingface import from_huggingface, to_huggingface
from .peft import from_peft, save_adapter, to_peft

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
    if name not in ("from_kerashub", "to_kerashub"):
        raise AttributeError(f"{__name__} has no {name!r}.")
    from . import kerashub

    return getattr(kerashub, name)
