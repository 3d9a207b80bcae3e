"""mBART: Liu et al. 2020, arXiv:2001.08210. BART for many languages, with the norms in front.

Also mBART-50 (arXiv:2008.00401), of the same shape with more languages. Which language a text is
of says a token of it: behind a source and before all that is written, or before both.
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

TOWER = {**TOWER, "block": "pre_norm", "norms": ["embedding", "final"]}


@keras.saving.register_keras_serializable("kzoo")
class MBartEncoder(Stack):
    """mBART's encoder."""

    family = "mbart_encoder"
    HEADS, MODEL_TYPES, CLASSES, PREFIX, TASK_ROWS = {}, {}, {}, "", ""

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
    HEADS, MODEL_TYPES, CLASSES, PREFIX, TASK_ROWS = {}, {}, {}, "", ""

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
class MBart(EncoderDecoder):
    """mBART and mBART-50."""

    family = "mbart"
    TOWERS = {"encoder": MBartEncoder, "decoder": MBartDecoder}
    HEADS = {"Seq2SeqLM": WRITER}

    # Hugging Face, as in bert.py.
    MODEL_TYPES = {"mbart": "MBart"}
    PREFIX = "model."
    CLASSES = {"Model": None, "ForConditionalGeneration": "Seq2SeqLM"}
    FIXED = {"options.embedding.kind": lambda fields: "token"}
    ROWS = TABLE
    TASK_ROWS = TASK_ROWS
    CONFIG = words()
    REQUIRED = {
        **IS_PAIR,
        "normalize_before": ((True,), True),
        "add_final_layer_norm": ((True,), True),
        "normalize_embedding": ((True,), True),
        "static_position_embeddings": ((False,), False),
    }
    HARMLESS = HARMLESS
