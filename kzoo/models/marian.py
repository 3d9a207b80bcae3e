"""Marian: Junczys-Dowmunt et al. 2018, arXiv:1804.00344. The Transformer of 2017, fast.

Those of OPUS-MT (Tiedemann and Thottingal 2020) translate between over a thousand pairs of
languages. Of a wave all sines stand before all cosines.
"""

import keras

from ..graphs import Stack
from .bart import DECODER, ENCODER, IS_PAIR, LOOKS_BACK, TOWER, BartShaped, keys, required, words

TOWER = {**TOWER, "position": {"kind": "sinusoidal", "interleaved": False}, "norms": []}


@keras.saving.register_keras_serializable("kzoo")
class MarianEncoder(Stack):
    """Marian's encoder."""

    family = "marian_encoder"

    FIXED = TOWER
    ROWS = f"""
        encoder.embed_positions  -
        {ENCODER}
    """
    CONFIG = keys("encoder")
    REQUIRED = IS_PAIR


@keras.saving.register_keras_serializable("kzoo")
class MarianDecoder(Stack):
    """Marian's decoder."""

    family = "marian_decoder"

    FIXED = {**TOWER, **LOOKS_BACK}
    ROWS = f"""
        decoder.embed_positions  -
        {DECODER}
    """
    CONFIG = keys("decoder")
    REQUIRED = IS_PAIR


@keras.saving.register_keras_serializable("kzoo")
class Marian(BartShaped):
    """Marian in the shape of every OPUS-MT model."""

    family = "marian"
    TOWERS = {"encoder": MarianEncoder, "decoder": MarianDecoder}
    MODEL_TYPES = {"marian": "Marian"}
    CLASSES = {"Model": None, "MTModel": "Seq2SeqLM"}
    CONFIG = words(58101, 58100, 58100)
    REQUIRED = {
        **required(in_front=False, embedding_norm=False, waves=True),
        "share_encoder_decoder_embeddings": ((True,), True),
    }
