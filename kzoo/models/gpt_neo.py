"""GPT-Neo: EleutherAI 2021. GPT-2 with dense and banded layers, and scores that are not scaled."""

import keras

from ..graphs import Stack
from ..values import is_whole
from .gpt2 import Gpt2

KINDS = {"global": "causal", "local": "local"}
WINDOW = 256
USUAL = [[["global", "local"], 12]]


def by_layer(types):
    """What [[["global", "local"], 6]] says of each layer."""
    return [kind for kinds, times in types for _ in range(times) for kind in kinds]


def attention(layers, config):
    """The attention of each layer that "global" or "local" names."""
    window = config.get("window_size", WINDOW)
    common = {"bias": ["output"], "scale": 1.0}
    held = {
        "global": {"kind": "causal", **common},
        "local": {"kind": "local", "window": window, **common},
    }
    return [held[kind] for kind in layers] if is_whole(window, 1) else None


def layers(held, config):
    """The names there of attention, layer by layer; None where one has none."""
    names = [name for each in held for name, kind in KINDS.items() if each["kind"] == kind]
    return names if len(names) == len(held) else None


def types(held, config):
    """The same as lists of names, each with how often it comes in turn; as it was if that fits."""
    names, kept = layers(held, config), config.get("attention_types") or USUAL
    return kept if by_layer(kept) == names else names and [[names, 1]]


def window(held, config):
    """Over how many places the banded layers look."""
    return next((each["window"] for each in held if each["kind"] == "local"), WINDOW)


@keras.saving.register_keras_serializable("kzoo")
class GptNeo(Stack):
    """GPT-Neo in every published size."""

    family = "gpt_neo"
    HEADS = Gpt2.HEADS

    # Hugging Face, as in bert.py.
    MODEL_TYPES = {"gpt_neo": "GPTNeo"}
    PREFIX = "transformer."
    CLASSES = {
        "Model": None,
        "ForCausalLM": "CausalLM",
        "ForSequenceClassification": "TextClassifier",
        "ForTokenClassification": "TokenClassifier",
        "ForQuestionAnswering": "QuestionAnswering",
    }
    FIXED = {
        "block": "pre_norm",
        "norms": ["final"],
        "pooler": "none",
    }
    BLOCK = "h.{step}"
    ROWS = f"""
        wte                                       token_embedding
        wpe                                       position
        {BLOCK}.ln_1                              block_{{step}}/attention_norm
        {BLOCK}.attn.attention.q_proj             block_{{step}}/attention/query
        {BLOCK}.attn.attention.k_proj             block_{{step}}/attention/key
        {BLOCK}.attn.attention.v_proj             block_{{step}}/attention/value
        {BLOCK}.attn.attention.out_proj           block_{{step}}/attention/output
        {BLOCK}.ln_2                              block_{{step}}/feedforward_norm
        {BLOCK}.mlp.c_fc                          block_{{step}}/feedforward/up
        {BLOCK}.mlp.c_proj                        block_{{step}}/feedforward/down
        {BLOCK}.attn.attention.bias               -
        {BLOCK}.attn.attention.masked_bias        -
        ln_f                                      final_norm
    """
    TASK_ROWS = Gpt2.TASK_ROWS
    CONFIG = {
        "vocab_size": ("embedding.vocabulary_size", 50257),
        "hidden_size": ("hidden_dim", 2048),
        "num_layers": ("num_layers", 24),
        "num_heads": ("num_heads", 16),
        "intermediate_size": (
            "intermediate_dim",
            lambda config: 4 * config.get("hidden_size", 2048),
        ),
        "max_position_embeddings": ("position_rows", 2048),
        "activation_function": ("feedforward.activation", "gelu_new"),
        "layer_norm_epsilon": ("norm.epsilon", 1e-5),
        "resid_dropout": ("dropout", 0.0),
        "attention_dropout": ("attention_dropout", 0.0),
        "initializer_range": ("initializer_range", 0.02),
        "pad_token_id": ("embedding.padding_id", lambda config: 0),
        # The band's width has a key of its own; where both others stand, the last one holds there.
        "window_size": (
            "attention_by_layer",
            WINDOW,
            (lambda value, config: attention(["local"], {"window_size": value}), window),
        ),
        "attention_types": (
            "attention_by_layer",
            lambda config: USUAL,
            (lambda value, config: attention(by_layer(value), config), types),
        ),
        "attention_layers": (
            "attention_by_layer",
            lambda config: by_layer(config.get("attention_types") or USUAL),
            (attention, layers),
        ),
    }
    HARMLESS = "embed_dropout"
    HEAD_DROPOUT = {"TokenClassifier": ("classifier_dropout", 0.1)}
