"""BERT: Devlin et al. 2018, arXiv:1810.04805."""

import keras

from ..graphs import Encoder


@keras.saving.register_keras_serializable("kzoo")
class Bert(Encoder):
    """BERT in every published size; also the body of MiniLM and other Sentence-BERT models."""

    family = "bert"
    HEADS = {"TextClassifier": "pooled", "MultipleChoice": "pooled"}
