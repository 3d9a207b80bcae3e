"""Keyword Transformer: Berg, O'Connor, Cruz 2021, arXiv:2104.00769. Frames of MFCC as tokens."""

import keras

from ..graphs import Stack


@keras.saving.register_keras_serializable("kzoo")
class Kwt(Stack):
    """KWT in every published size: a post-norm ViT on frames, for words that are commands."""

    family = "kwt"
    HEADS = {"AudioClassifier": ["first", "mean"]}
    MODEL_TYPES = {}  # Hugging Face has none.
