"""The Transformer: Vaswani et al. 2017, arXiv:1706.03762. Where the field began."""

import keras

from ..graphs import EncoderDecoder, Stack


@keras.saving.register_keras_serializable("kzoo")
class TransformerEncoder(Stack):
    """The encoder: attention to all of a source."""

    family = "transformer_encoder"


@keras.saving.register_keras_serializable("kzoo")
class TransformerDecoder(Stack):
    """The decoder: attention to what is written, and to the encoder's output."""

    family = "transformer_decoder"


@keras.saving.register_keras_serializable("kzoo")
class Transformer(EncoderDecoder):
    """The Transformer in both published sizes."""

    family = "transformer"
    TOWERS = {"encoder": TransformerEncoder, "decoder": TransformerDecoder}
    HEADS = {"Seq2SeqLM": "tied_lm"}
    # Hugging Face has none: Marian's waves lie in another order.
