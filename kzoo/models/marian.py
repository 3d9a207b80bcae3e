"""Marian: Junczys-Dowmunt et al. 2018, arXiv:1804.00344. The Transformer of 2017, fast.

Those of OPUS-MT (Tiedemann and Thottingal 2020) translate between over a thousand pairs of
languages. Of a wave all sines stand before all cosines.
"""

import keras

from ..graphs import EncoderDecoder, Stack
from .bart import (
    DECODER,
    ENCODER,
    HARMLESS,
    IS_PAIR,
    LOOKS_BACK,
    TABLE,
    TASK_ROWS,
    TOWER,
    WRITER,
    keys,
    words,
)

TOWER = {**TOWER, "position": {"kind": "sinusoidal", "interleaved": False}, "norms": []}


@keras.saving.register_keras_serializable("kzoo")
class MarianEncoder(Stack):
    """Marian's encoder."""

    family = "marian_encoder"
    HEADS, MODEL_TYPES, CLASSES, PREFIX, TASK_ROWS = {}, {}, {}, "", ""

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
    HEADS, MODEL_TYPES, CLASSES, PREFIX, TASK_ROWS = {}, {}, {}, "", ""

    FIXED = {**TOWER, **LOOKS_BACK}
    ROWS = f"""
        decoder.embed_positions  -
        {DECODER}
    """
    CONFIG = keys("decoder")
    REQUIRED = IS_PAIR


@keras.saving.register_keras_serializable("kzoo")
class Marian(EncoderDecoder):
    """Marian in the shape of every OPUS-MT model."""

    family = "marian"
    TOWERS = {"encoder": MarianEncoder, "decoder": MarianDecoder}
    HEADS = {"Seq2SeqLM": WRITER}

    # Hugging Face, as in bert.py.
    MODEL_TYPES = {"marian": "Marian"}
    PREFIX = "model."
    CLASSES = {"Model": None, "MTModel": "Seq2SeqLM"}
    FIXED = {"options.embedding.kind": lambda fields: "token"}
    ROWS = TABLE
    TASK_ROWS = TASK_ROWS
    CONFIG = words(58101, 58100, 58100)
    REQUIRED = {
        **IS_PAIR,
        "normalize_before": ((False,), False),
        "add_final_layer_norm": ((False,), False),
        "normalize_embedding": ((False,), False),
        "static_position_embeddings": ((True,), True),
        "share_encoder_decoder_embeddings": ((True,), True),
    }
    HARMLESS = f"{HARMLESS} decoder_vocab_size"
