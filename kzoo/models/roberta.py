"""RoBERTa: Liu et al. 2019, arXiv:1907.11692. BERT with counted places and one segment."""

import keras

from ..graphs import Encoder


@keras.saving.register_keras_serializable("kzoo")
class Roberta(Encoder):
    """RoBERTa; its places are counted over the tokens that are not padding."""

    family = "roberta"
    HEADS = {
        "TextClassifier": {"kind": "first", "activation": "tanh"},
        "MultipleChoice": "pooled",
    }
