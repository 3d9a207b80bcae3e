"""Sparse Transformer: Child et al. 2019, arXiv:1904.10509. GPT-2 that looks at some places."""

import keras

from .gpt2 import Gpt2


@keras.saving.register_keras_serializable("kzoo")
class SparseTransformer(Gpt2):
    """Sparse Transformer, over bytes of text, pictures or sound; no weights were published.

    Its attention is strided for what has rows, and fixed for what has none: `nn.sparse`.
    """

    family = "sparse_transformer"
    MODEL_TYPES = {}  # Hugging Face has none.
    FIXED = {}
