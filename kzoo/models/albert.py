"""ALBERT: Lan et al. 2019, arXiv:1909.11942. One block at every step, a narrow embedding."""

import keras

from ..graphs import Encoder


@keras.saving.register_keras_serializable("kzoo")
class Albert(Encoder):
    """ALBERT; its schedule names the same block at every step."""

    family = "albert"
    HEADS = {"TextClassifier": "pooled", "MultipleChoice": "pooled"}
