"""mBART: Liu et al. 2020, arXiv:2001.08210. BART for many languages, with the norms in front.

Also mBART-50 (arXiv:2008.00401), of the same shape with more languages. Which language a text is
of says a token of it: behind a source and before all that is written, or before both.
"""

import keras

from ..graphs import Stack
from .bart import DECODER, ENCODER, IS_PAIR, LOOKS_BACK, TOWER, BartShaped, keys, required

TOWER = {**TOWER, "block": "pre_norm", "norms": ["embedding", "final"]}


@keras.saving.register_keras_serializable("kzoo")
class MBartEncoder(Stack):
    """mBART's encoder."""

    family = "mbart_encoder"

    FIXED = TOWER
    ROWS = f"""
        encoder.embed_positions      position
        encoder.layernorm_embedding  embedding_norm
        {ENCODER}
        encoder.layer_norm           final_norm
    """
    CONFIG = keys("encoder")
    REQUIRED = IS_PAIR


@keras.saving.register_keras_serializable("kzoo")
class MBartDecoder(Stack):
    """mBART's decoder."""

    family = "mbart_decoder"

    FIXED = {**TOWER, **LOOKS_BACK}
    ROWS = f"""
        decoder.embed_positions      position
        decoder.layernorm_embedding  embedding_norm
        {DECODER}
        decoder.layer_norm           final_norm
    """
    CONFIG = keys("decoder")
    REQUIRED = IS_PAIR


@keras.saving.register_keras_serializable("kzoo")
class MBart(BartShaped):
    """mBART and mBART-50."""

    family = "mbart"
    TOWERS = {"encoder": MBartEncoder, "decoder": MBartDecoder}
    MODEL_TYPES = {"mbart": "MBart"}
    REQUIRED = required(in_front=True, embedding_norm=True)
