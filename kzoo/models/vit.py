"""ViT: Dosovitskiy et al. 2020, arXiv:2010.11929. Squares of a picture as tokens."""

import keras

from ..graphs import Stack
from ..nn.patches import places
from ..values import is_whole

# A size there is a number for both sides, or a list of height and width; so it is here.
SIDES = (
    lambda size, _config: size if is_whole(size, 1) else [int(side) for side in size],
    lambda size, _config: size,
)


@keras.saving.register_keras_serializable("kzoo")
class Vit(Stack):
    """ViT in every published size; `DeiT` has one more token."""

    family = "vit"
    HEADS = {"ImageClassifier": {"kind": "first", "dropout": 0.0}}

    # Hugging Face, as in bert.py.
    MODEL_TYPES = {"vit": "ViT"}
    PREFIX = "vit."
    CLASSES = {"Model": None, "ForImageClassification": "ImageClassifier"}
    FIXED = {
        "embedding": {"kind": "patch"},
        "max_sequence_length": lambda fields: places(fields["embedding"]),
        "block": "pre_norm",
        "norms": ["final"],
    }
    BLOCK, SELF = "encoder.layer.{step}", "attention.attention"
    LAYERS = f"""
        {BLOCK}.layernorm_before                  block_{{step}}/attention_norm
        {BLOCK}.{SELF}.{{query|key|value}}        block_{{step}}/attention/{{query|key|value}}
        {BLOCK}.attention.output.dense            block_{{step}}/attention/output
        {BLOCK}.layernorm_after                   block_{{step}}/feedforward_norm
        {BLOCK}.intermediate.dense                block_{{step}}/feedforward/up
        {BLOCK}.output.dense                      block_{{step}}/feedforward/down
    """
    RENAMED = {
        "encoder.layer.": "layers.",
        "attention.attention.query": "attention.q_proj",
        "attention.attention.key": "attention.k_proj",
        "attention.attention.value": "attention.v_proj",
        "attention.output.dense": "attention.o_proj",
        "intermediate.dense": "mlp.fc1",
        "output.dense": "mlp.fc2",
    }
    ROWS = f"""
        embeddings.patch_embeddings.projection    patch_embedding
        embeddings.cls_token:1,1                  patch_embedding/class_token
        embeddings.position_embeddings:1          position/embeddings
        {LAYERS}
        layernorm                                 final_norm
        pooler.dense                              pooler?
    """
    TASK_ROWS = "classifier  head/logits  ImageClassifier"
    CONFIG = {
        "hidden_size": ("hidden_dim", 768),
        "num_hidden_layers": ("num_layers", 12),
        "num_attention_heads": ("num_heads", 12),
        "intermediate_size": ("intermediate_dim", 3072),
        "image_size": ("embedding.image_size", 224, SIDES),
        "patch_size": ("embedding.patch_size", 16, SIDES),
        "num_channels": ("embedding.channels", 3),
        "qkv_bias": (
            "attention",
            True,
            {True: "full", False: {"kind": "full", "bias": ["output"]}},
        ),
        "hidden_act": ("feedforward.activation", "gelu"),
        "layer_norm_eps": ("norm.epsilon", 1e-12),
        "hidden_dropout_prob": ("dropout", 0.0),
        "attention_probs_dropout_prob": ("attention_dropout", 0.0),
        "initializer_range": ("initializer_range", 0.02),
    }
    REQUIRED = {"pooler_act": (("tanh",), "tanh")}
    HARMLESS = "encoder_stride pooler_output_size"
