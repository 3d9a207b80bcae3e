"""LaMDA: Thoppilan et al. 2022, arXiv:2201.08239. T5's parts (arXiv:1910.10683) as a decoder."""

import keras

from ..graphs import Stack


@keras.saving.register_keras_serializable("kzoo")
class Lamda(Stack):
    """LaMDA's shape in every published size."""

    family = "lamda"
    HEADS = {"TextClassifier": {"kind": "last", "bias": False, "dropout": 0.0}}
    MODEL_TYPES = {}  # Hugging Face has none.
