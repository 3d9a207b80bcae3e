"""PaLM: Chowdhery et al. 2022, arXiv:2204.02311. Both branches of a block start from one norm."""

import keras

from ..graphs import Stack
from ..values import is_number

THETA = 500000.0  # of a file that doesn't say


def theta(config):
    """What an absent `rope_theta` is: what transformers 5 keeps below `rope_parameters`."""
    held = config.get("rope_parameters")
    held = held.get("rope_theta") if isinstance(held, dict) else None
    return float(held) if is_number(held) else THETA


def plain_theta(parameters, config):
    """The base that `rope_parameters` names; None where they stretch the waves as well."""
    stretched = parameters.keys() - {"rope_theta", "rope_type"}
    if stretched or parameters.get("rope_type", "default") != "default":
        return None
    return float(parameters.get("rope_theta", config.get("rope_theta", THETA)))


def rope_parameters(base, config=None):
    """How transformers 5 writes the base."""
    return {"rope_theta": base, "rope_type": "default"}


@keras.saving.register_keras_serializable("kzoo")
class Palm(Stack):
    """PaLM's shape, and Cohere's Command, which adds heads for keys and values."""

    family = "palm"
    HEADS = {"TextClassifier": {"kind": "last", "bias": False, "dropout": 0.0}}

    # Hugging Face, as in bert.py: there it is Cohere's class that computes it.
    MODEL_TYPES = {"cohere": "Cohere"}
    PREFIX = "model."
    CLASSES = {"Model": None, "ForCausalLM": "CausalLM"}
    FIXED = {
        "dropout": 0.0,
        "position": {"kind": "rotary", "interleaved": True},
        "attention": "causal",
        "block": "parallel",
        "feedforward": {"kind": "gated", "bias": False},
        "norm": {"kind": "layer_norm", "bias": False},
        "norms": ["final"],
        "pooler": "none",
    }
    ATTENTION = "layers.{step}.self_attn"
    ROWS = f"""
        embed_tokens                        token_embedding
        layers.{{step}}.input_layernorm     block_{{step}}/norm
        {ATTENTION}.{{q_proj|k_proj}}       block_{{step}}/attention/{{query|key}}
        {ATTENTION}.{{v_proj|o_proj}}       block_{{step}}/attention/{{value|output}}
        layers.{{step}}.mlp.gate_proj       block_{{step}}/feedforward/gate
        layers.{{step}}.mlp.up_proj         block_{{step}}/feedforward/up
        layers.{{step}}.mlp.down_proj       block_{{step}}/feedforward/down
        {ATTENTION}.rotary_emb.inv_freq     -
        norm                                final_norm
    """
    TASK_ROWS = """
        lm_head.weight  =backbone/token_embedding/embeddings  CausalLM
    """
    CONFIG = {
        "vocab_size": ("embedding.vocabulary_size", 256000),
        "hidden_size": ("hidden_dim", 8192),
        "intermediate_size": ("intermediate_dim", 22528),
        "num_hidden_layers": ("num_layers", 40),
        "num_attention_heads": ("num_heads", 64),
        "num_key_value_heads": (
            "num_key_value_heads",
            lambda config: config.get("num_attention_heads", 64),
        ),
        "head_dim": (
            "head_dim",
            lambda config: config.get("hidden_size", 8192) // config.get("num_attention_heads", 64),
        ),
        "hidden_act": ("feedforward.activation", "silu"),
        "attention_bias": (
            "attention.bias",
            False,
            {False: [], True: ["query", "key", "value", "output"]},
        ),
        "attention_dropout": ("attention_dropout", 0.0),
        "layer_norm_eps": ("norm.epsilon", 1e-5),
        "logit_scale": ("embedding.logit_scale", 0.0625),
        "max_position_embeddings": ("max_sequence_length", 8192),
        "rope_theta": ("position.base", theta),
        "rope_parameters": (
            "position.base",
            lambda config: rope_parameters(config.get("rope_theta", THETA)),
            (plain_theta, rope_parameters),
        ),
        "initializer_range": ("initializer_range", 0.02),
        "pad_token_id": ("embedding.padding_id", lambda config: 0),
    }
    REQUIRED = {"use_qk_norm": ((False,), False), "rope_scaling": ((None,), None)}
