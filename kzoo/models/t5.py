"""T5: Raffel et al. 2019, arXiv:1910.10683. Distances in buckets; norms scale and shift nothing.

Also T5 1.1 and mT5 (arXiv:2010.11934), whose feed-forward nets are gated and whose scores have a
map of their own, and FLAN-T5 (arXiv:2210.11416), of the shape of T5 1.1.
"""

import keras

from ..graphs import EncoderDecoder, Stack

FULL = {"kind": "full", "bias": [], "scale": 1.0}
CAUSAL = {**FULL, "kind": "causal"}

# What both towers have in common here; rows, and keys with their defaults, there.
COMMON = {
    "block": "pre_norm",
    "norm": {"kind": "rms_norm"},
    "norms": ["final"],
    "position": {"kind": "bucketed"},
    "pooler": "none",
}
FEEDFORWARD = {
    "relu": {"kind": "mlp", "activation": "relu", "bias": False},
    "gated-gelu": {"kind": "gated", "activation": "gelu_tanh", "bias": False},
    "gated-silu": {"kind": "gated", "activation": "silu", "bias": False},
}
KEYS = {
    "d_model": ("hidden_dim", 512),
    "d_kv": ("head_dim", 64),
    "d_ff": ("intermediate_dim", 2048),
    "num_heads": ("num_heads", 8),
    "relative_attention_num_buckets": ("position.buckets", 32),
    "relative_attention_max_distance": ("position.longest", 128),
    "feed_forward_proj": ("feedforward", "relu", FEEDFORWARD),
    "dropout_rate": (["dropout", "attention_dropout"], 0.1),
    "layer_norm_epsilon": ("norm.epsilon", 1e-6),
    "n_positions": ("max_sequence_length", lambda config: 512),
}
WORDS = {
    "vocab_size": ("embedding.vocabulary_size", 32128),
    "pad_token_id": ("embedding.padding_id", 0),
}
HARMLESS = """
    classifier_dropout dense_act_fn initializer_factor is_gated_act num_decoder_layers num_layers
    scale_decoder_outputs
"""


def attention(tower, place, there, here):
    """The rows of attention, which stands at a place of each block there."""
    layer = f"{tower}.block.{{step}}.layer.{place}"
    return f"""
        {layer}.layer_norm            block_{{step}}/{here}_norm
        {layer}.{there}.{{q|k|v|o}}     block_{{step}}/{here}/{{query|key|value|output}}
    """


def feedforward(tower, place):
    """The rows of the feed-forward net, and of the norm behind the last block."""
    layer = f"{tower}.block.{{step}}.layer.{place}"
    return f"""
        {layer}.layer_norm                  block_{{step}}/feedforward_norm
        {layer}.DenseReluDense.wi           block_{{step}}/feedforward/up    feedforward=mlp
        {layer}.DenseReluDense.wi_0         block_{{step}}/feedforward/gate  feedforward=gated
        {layer}.DenseReluDense.wi_1         block_{{step}}/feedforward/up    feedforward=gated
        {layer}.DenseReluDense.wo           block_{{step}}/feedforward/down
        {tower}.final_layer_norm            final_norm
    """


@keras.saving.register_keras_serializable("kzoo")
class T5Encoder(Stack):
    """T5's encoder, alone and as a tower."""

    family = "t5_encoder"

    # Hugging Face, as in bert.py.
    MODEL_TYPES = {"t5": "T5", "mt5": "MT5"}
    CLASSES = {"EncoderModel": None}
    FIXED = {**COMMON, "attention": FULL}
    ROWS = f"""
        shared                token_embedding   embedding=token
        encoder.embed_tokens  =token_embedding  embedding=token
        {attention("encoder", 0, "SelfAttention", "attention")}
        encoder.block.0.layer.0.SelfAttention.relative_attention_bias  position?
        {feedforward("encoder", 1)}
    """
    CONFIG = {**KEYS, **WORDS, "num_layers": ("num_layers", 6)}
    REQUIRED = {"is_encoder_decoder": ((True, False), True)}
    HARMLESS = HARMLESS


@keras.saving.register_keras_serializable("kzoo")
class T5Decoder(Stack):
    """T5's decoder."""

    family = "t5_decoder"

    FIXED = {**COMMON, "embedding": "vectors", "attention": CAUSAL, "cross_attention": FULL}
    ROWS = f"""
        {attention("decoder", 0, "SelfAttention", "attention")}
        decoder.block.0.layer.0.SelfAttention.relative_attention_bias    position?
        {attention("decoder", 1, "EncDecAttention", "cross_attention")}
        decoder.block.0.layer.1.EncDecAttention.relative_attention_bias  -
        {feedforward("decoder", 2)}
    """
    CONFIG = {
        **KEYS,
        "num_decoder_layers": ("num_layers", lambda config: config.get("num_layers", 6)),
    }
    REQUIRED = T5Encoder.REQUIRED
    HARMLESS = HARMLESS


def scales(config):
    """Whether scores are scaled where config.json doesn't say: those against the table are."""
    return config.get("model_type") != "mt5" and config.get("tie_word_embeddings") is not False


@keras.saving.register_keras_serializable("kzoo")
class T5(EncoderDecoder):
    """T5, T5 1.1, FLAN-T5 and mT5 in every published size."""

    family = "t5"
    TOWERS = {"encoder": T5Encoder, "decoder": T5Decoder}
    HEADS = {"Seq2SeqLM": ["tied_lm", "lm"]}

    # Hugging Face, as in bert.py.
    MODEL_TYPES = T5Encoder.MODEL_TYPES
    CLASSES = {"Model": None, "ForConditionalGeneration": "Seq2SeqLM"}
    FIXED = {
        "options.embedding.kind": lambda fields: "token",
        # The decoder begins with it, and torch's T5 has no padding_idx.
        "options.embedding.padding_learns": lambda fields: True,
        "towers.encoder.embedding": lambda fields: "vectors",
    }
    ROWS = """
        shared                token_embedding
        encoder.embed_tokens  =token_embedding
        decoder.embed_tokens  =token_embedding
    """
    TASK_ROWS = """
        lm_head.weight  =backbone/token_embedding/embeddings  Seq2SeqLM
        lm_head         head/logits                           Seq2SeqLM
    """
    CONFIG = {
        **{key: (f"options.{path}", default) for key, (path, default) in WORDS.items()},
        "decoder_start_token_id": (
            "options.start_id",
            lambda config: config.get("pad_token_id", 0),
        ),
        "scale_decoder_outputs": (
            "options.embedding.logit_scale",
            scales,
            (
                lambda value, config: config.get("d_model", 512) ** -0.5 if value else 1.0,
                lambda scale, config: scale != 1.0,
            ),
        ),
    }
    REQUIRED = {"is_encoder_decoder": ((True,), True)}
    HARMLESS = HARMLESS
