"""GPT-3: Brown et al. 2020, arXiv:2005.14165. GPT-2 with dense and banded layers in turn."""

import keras

from .gpt2 import Gpt2


@keras.saving.register_keras_serializable("kzoo")
class Gpt3(Gpt2):
    """GPT-3 in the sizes of the paper's table 2.1; no weights were published.

    The paper has its banded layers from Sparse Transformer (arXiv:1904.10509) and doesn't say how
    wide the band is: 128 places here, as there.
    """

    family = "gpt3"

    # No class there: GPT-2's has no banded layers, and GPT-Neo's neither GPT-2's scale nor its
    # biases. A config means what it does to GPT-2, with GPT-Neo's key for the band.
    MODEL_TYPES = {}
    FIXED = {**Gpt2.FIXED, "attention": ["causal", {"kind": "local", "window": 128}]}
    CONFIG = {
        **Gpt2.CONFIG,
        "n_positions": ("position_rows", 2048),
        "window_size": ("attention.1.window", 128),
    }
