"""MobileBERT: Sun et al. 2020, arXiv:2004.02984. Deep, and narrow inside its blocks."""

import keras

from ..graphs import Stack
from .bert import Bert

MOST = 16  # feed-forward nets of a block that have names elsewhere; the paper's have up to 4


def block(config):
    """What a config says of the blocks; None for what transformers itself can't compute."""
    count = config.get("num_feedforward_networks", 4)
    if not config.get("use_bottleneck", True):
        return {"kind": "stacked", "feedforwards": count}
    kind = "bottleneck" if config.get("use_bottleneck_attention", False) else "shared_bottleneck"
    if kind == "shared_bottleneck" and not config.get("key_query_shared_bottleneck", True):
        return None
    return {"kind": kind, "feedforwards": count, "dim": config.get("intra_bottleneck_size", 128)}


def of_block(key, usual, there):
    """What `CONFIG` says of a key about blocks: its usual value, and how it is had from here."""

    def here(value, config):
        return block({**config, key: value})

    return "block", lambda config: usual, (here, there)


def norm(config):
    """The norm of a config; None where norms there differ, whose epsilon is 1e-5 in some places."""
    given = config.get("normalization_type", "no_norm"), config.get("layer_norm_eps", 1e-12)
    return {
        ("no_norm", 1e-12): {"kind": "no_norm"},
        ("layer_norm", 1e-5): {"kind": "layer_norm", "epsilon": 1e-5},
    }.get(given)


def of_norm(key, usual, there):
    """What `CONFIG` says of a key about norms."""

    def here(value, config):
        return norm({**config, key: value})

    return "norm", lambda config: usual, (here, lambda held, config: there[held["kind"]])


def trigrams(value, config):
    """How many tokens stand side by side; None where vectors go without the map behind them."""
    narrow = config.get("embedding_size", 128) != config.get("hidden_size", 512)
    return 3 if value else 1 if narrow else None


def nets(there, here):
    """The rows of the feed-forward nets before the last of a block."""
    return "".join(
        f"""
        {there}.ffn.{n}.intermediate.dense    {here}/feedforward_{n}/up
        {there}.ffn.{n}.output.dense          {here}/feedforward_{n}/down
        {there}.ffn.{n}.output.LayerNorm      {here}/feedforward_{n}_norm
    """
        for n in range(MOST)
    )


@keras.saving.register_keras_serializable("kzoo")
class MobileBert(Stack):
    """MobileBERT: trigrams of narrow token vectors, bottlenecks, several nets a block, no norms."""

    family = "mobilebert"
    HEADS = {"TextClassifier": "pooled", "MultipleChoice": "pooled"}
    LM_HEADS = {"MaskedLM": "widened_masked_lm", "PreTraining": "widened_pretraining"}

    # Hugging Face, as in bert.py.
    MODEL_TYPES = {"mobilebert": "MobileBert"}
    PREFIX = "mobilebert."
    CLASSES = Bert.CLASSES
    FIXED = {
        "embedding": {"kind": "ngram"},
        "head_dim": lambda fields: (
            fields["block"].get("dim", fields["hidden_dim"]) // max(1, fields["num_heads"])
        ),
    }
    BLOCK = Bert.BLOCK
    ROWS = (
        Bert.ROWS
        + nets(BLOCK, "block_{step}")
        + f"""
        embeddings.embedding_transformation      token_embedding/transform
        {BLOCK}.bottleneck.input.dense           block_{{step}}/narrow/dense
        {BLOCK}.bottleneck.input.LayerNorm       block_{{step}}/narrow/norm
        {BLOCK}.bottleneck.attention.dense       block_{{step}}/shared/dense  block=shared_bottleneck
        {BLOCK}.bottleneck.attention.LayerNorm   block_{{step}}/shared/norm   block=shared_bottleneck
        {BLOCK}.bottleneck.attention             -                            block=bottleneck
        {BLOCK}.output.bottleneck.dense          block_{{step}}/widen/dense
        {BLOCK}.output.bottleneck.LayerNorm      block_{{step}}/widen/norm
    """  # noqa: E501
    )
    TASK_ROWS = f"""
        {Bert.TASK_ROWS}
        cls.predictions.dense:io  head/others  MaskedLM PreTraining
    """
    CONFIG = {
        **Bert.CONFIG,
        "hidden_size": ("hidden_dim", 512),
        "embedding_size": ("embedding.token_dim", 128),
        "trigram_input": ("embedding.size", True, (trigrams, lambda size, config: size == 3)),
        "num_hidden_layers": ("num_layers", 24),
        "num_attention_heads": ("num_heads", 4),
        "intermediate_size": ("intermediate_dim", 512),
        "hidden_act": ("feedforward.activation", "relu"),
        "hidden_dropout_prob": ("dropout", 0.0),
        "classifier_activation": ("activates_pooler", True),
        "use_bottleneck": of_block(
            "use_bottleneck", True, lambda held, config: held["kind"] != "stacked"
        ),
        "use_bottleneck_attention": of_block(
            "use_bottleneck_attention", False, lambda held, config: held["kind"] == "bottleneck"
        ),
        # Beside the one before it has no effect there, but a map that nothing reads.
        "key_query_shared_bottleneck": of_block(
            "key_query_shared_bottleneck",
            True,
            lambda held, config: (
                held["kind"] == "shared_bottleneck"
                or config.get("key_query_shared_bottleneck", False)
            ),
        ),
        "intra_bottleneck_size": of_block(
            "intra_bottleneck_size",
            128,
            lambda held, config: held.get("dim", config.get("intra_bottleneck_size", 128)),
        ),
        "num_feedforward_networks": of_block(
            "num_feedforward_networks", 4, lambda held, config: held["feedforwards"]
        ),
        "normalization_type": of_norm(
            "normalization_type", "no_norm", {"no_norm": "no_norm", "layer_norm": "layer_norm"}
        ),
        "layer_norm_eps": of_norm(
            "layer_norm_eps", 1e-12, {"no_norm": 1e-12, "layer_norm": 1e-5}
        ),
    }  # fmt: skip
    HARMLESS = "true_hidden_size"
    HEAD_DROPOUT = Bert.HEAD_DROPOUT
