"""DistilBERT: Sanh et al. 2019, arXiv:1910.01108. BERT without segments and pooler."""

import keras

from ..graphs import Encoder


@keras.saving.register_keras_serializable("kzoo")
class DistilBert(Encoder):
    """DistilBERT."""

    family = "distilbert"
    HEADS = {
        "TextClassifier": {"kind": "first", "activation": "relu"},
        "MultipleChoice": {"kind": "first", "activation": "relu"},
    }
