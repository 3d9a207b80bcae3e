"""Linformer: Wang et al. 2020, arXiv:2006.04768. RoBERTa that looks at sums over places."""

import keras

from .roberta import Roberta


@keras.saving.register_keras_serializable("kzoo")
class Linformer(Roberta):
    """Linformer: an encoder in time that grows with the length alone.

    The authors published no weights; their code is RoBERTa's with `nn.linear.Linformer` for
    attention (fairseq, examples/linformer).
    """

    family = "linformer"
    MODEL_TYPES = {}  # Hugging Face has none.
    FIXED = {}
