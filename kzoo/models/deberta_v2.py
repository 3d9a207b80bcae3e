"""DeBERTa version 2 (arXiv:2006.03654) and version 3 (He et al. 2021, arXiv:2111.09543)."""

import keras

from ..graphs import Stack
from ..values import is_whole
from .bert import Bert
from .deberta import Deberta, of_width


def buckets(value, config=None):
    """How many rows distances share to each side; none there is -1."""
    return max(value, 0) if is_whole(value) else None


def block(size, name="tanh"):
    """The blocks, of which the first may have a convolution; None for one that kzoo lacks."""
    if not is_whole(size):
        return None
    if size <= 0:
        return "post_norm"
    known = name in ("gelu", "relu", "tanh")
    return {"kind": "convolved", "kernel": size, "activation": name} if known else None


@keras.saving.register_keras_serializable("kzoo")
class DebertaV2(Stack):
    """DeBERTa, version 2 (distances in buckets, a convolution) and version 3; also mDeBERTa."""

    family = "deberta_v2"
    HEADS = {task: Deberta.HEADS["TextClassifier"] for task in ("TextClassifier", "MultipleChoice")}

    # Hugging Face, as in bert.py.
    MODEL_TYPES = {"deberta-v2": "DebertaV2"}
    PREFIX = "deberta."
    CLASSES = Bert.READERS
    FIXED = {"position": "disentangled", "attention": "disentangled", "pooler": "none"}
    SELF = "encoder.layer.{step}.attention.self"
    ROWS = f"""
        {Deberta.COMMON}
        {SELF}.{{query_proj|key_proj}}          block_{{step}}/attention/{{query|key}}
        {SELF}.value_proj                       block_{{step}}/attention/value
        {SELF}.{{pos_key_proj|pos_query_proj}}  block_{{step}}/attention/{{place_key|place_query}}
        encoder.LayerNorm                       position/norm
        encoder.conv.conv                       block_0/convolution
        encoder.conv.LayerNorm                  block_0/convolution_norm
    """
    TASK_ROWS = Deberta.TASK_ROWS
    CONFIG = {
        **Deberta.CONFIG,
        "vocab_size": ("embedding.vocabulary_size", 128100),
        "position_buckets": ("position.buckets", -1, (buckets, lambda held, config: held or -1)),
        "norm_rel_ebd": ("position.norm", "none", {"none": False, "layer_norm": True}),
        "share_att_key": (
            "attention.kind", False, {False: "disentangled_apart", True: "disentangled"},
        ),
        "attention_head_size": of_width(
            lambda value, config: value * config.get("num_attention_heads", 12)
        ),
        "conv_kernel_size": (
            "block",
            lambda config: 0,
            (lambda value, config: block(value), lambda held, config: held.get("kernel", 0)),
        ),
        "conv_act": (
            "block",
            lambda config: "tanh",
            (
                lambda value, config: block(config.get("conv_kernel_size", 0), value),
                lambda held, config: held.get("activation", config.get("conv_act", "tanh")),
            ),
        ),
    }  # fmt: skip
    REQUIRED = {
        **{key: held for key, held in Deberta.REQUIRED.items() if key != "talking_head"},
        "conv_groups": ((1,), 1),
    }
    HARMLESS = Deberta.HARMLESS
    HEAD_DROPOUT = dict.fromkeys(HEADS, ("cls_dropout", None))
