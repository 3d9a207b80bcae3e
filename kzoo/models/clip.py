"""CLIP: Radford et al. 2021, arXiv:2103.00020. Pictures and texts in one space."""

import keras

from ..graphs import Stack, TwoTower
from ..nn.patches import places
from ..values import is_whole
from .vit import SIDES

# What both towers have in common there: rows, keys with their defaults, keys without effect.
BLOCK = "encoder.layers.{step}"


def blocks(tower):
    """The rows of a tower's blocks."""
    here, there = "block_{step}", f"{tower}.{BLOCK}"
    return f"""
        {there}.layer_norm1                        {here}/attention_norm
        {there}.self_attn.{{q_proj|k_proj|v_proj}}   {here}/attention/{{query|key|value}}
        {there}.self_attn.out_proj                 {here}/attention/output
        {there}.layer_norm2                        {here}/feedforward_norm
        {there}.mlp.{{fc1|fc2}}                      {here}/feedforward/{{up|down}}
        {tower}.embeddings.position_ids            -
    """


def keys(width, heads):
    """The keys that both towers have, those with the same defaults and those that differ."""
    return {
        "hidden_size": ("hidden_dim", width),
        "num_hidden_layers": ("num_layers", 12),
        "num_attention_heads": ("num_heads", heads),
        "intermediate_size": ("intermediate_dim", 4 * width),
        "hidden_act": ("feedforward.activation", "quick_gelu"),
        "layer_norm_eps": ("norm.epsilon", 1e-5),
        "attention_dropout": ("attention_dropout", 0.0),
        "initializer_range": ("initializer_range", 0.02),
        "projection_dim": ("pooler.dim", 512),
    }


HARMLESS = "initializer_factor dropout"

# A text ends at the first place of this token there; 2 stands for that of the largest id.
END = (
    lambda token, _config: "largest" if token == 2 else token if is_whole(token, 0) else None,
    lambda token, _config: 2 if token == "largest" else token,
)


@keras.saving.register_keras_serializable("kzoo")
class ClipImage(Stack):
    """CLIP's tower of pictures."""

    family = "clip_image"
    HEADS = {}

    # Hugging Face, as in bert.py.
    KEY, PREFIX = "vision_config", ""
    MODEL_TYPES = {"clip_vision_model": "CLIPVision"}
    CLASSES = {"ModelWithProjection": None}
    FIXED = {
        "embedding": {"kind": "patch", "bias": False},
        "max_sequence_length": lambda fields: places(fields["embedding"]),
        "block": "pre_norm",
        "norms": ["embedding"],
        "dropout": 0.0,
        "pooler": "first",
    }
    ROWS = f"""
        vision_model.embeddings.patch_embedding     patch_embedding
        vision_model.embeddings.class_embedding     patch_embedding/class_token
        vision_model.embeddings.position_embedding  position
        vision_model.pre_layrnorm                   embedding_norm
        {blocks("vision_model")}
        vision_model.post_layernorm                 pooler/norm
    """
    TASK_ROWS = "visual_projection  backbone/pooler/projection"
    CONFIG = keys(768, 12) | {
        "image_size": ("embedding.image_size", 224, SIDES),
        "patch_size": ("embedding.patch_size", 32, SIDES),
        "num_channels": ("embedding.channels", 3),
    }
    HARMLESS = HARMLESS


@keras.saving.register_keras_serializable("kzoo")
class ClipText(Stack):
    """CLIP's tower of texts."""

    family = "clip_text"
    HEADS = {}

    # Hugging Face, as in bert.py.
    KEY, PREFIX = "text_config", ""
    MODEL_TYPES = {"clip_text_model": "CLIPText"}
    CLASSES = {"ModelWithProjection": None}
    FIXED = {
        "embedding": {"kind": "token", "padding_learns": True},
        "attention": "causal",
        "block": "pre_norm",
        "norms": ["final"],
        "dropout": 0.0,
        "pooler": "end",
    }
    ROWS = f"""
        text_model.embeddings.token_embedding       token_embedding
        text_model.embeddings.position_embedding    position
        {blocks("text_model")}
        text_model.final_layer_norm                 final_norm
    """
    TASK_ROWS = "text_projection  backbone/pooler/projection"
    CONFIG = keys(512, 8) | {
        "vocab_size": ("embedding.vocabulary_size", 49408),
        "max_position_embeddings": ("position_rows", 77),
        "pad_token_id": ("embedding.padding_id", 1),
        "eos_token_id": ("pooler.token", 49407, END),
    }
    HARMLESS = HARMLESS


@keras.saving.register_keras_serializable("kzoo")
class Clip(TwoTower):
    """CLIP in every published size, and TinyCLIP (arXiv:2309.12314).

    Inputs: float32 `images` (images, height, width, channels), normalised, int32 `token_ids` and
    `padding_mask` (texts, length); or the former or the latter alone.

    Outputs: `image_embedding` (images, dim) and `text_embedding` (texts, dim), of length 1, and
    of both `logits_per_image` (images, texts): how well each text fits each picture.
    """

    family = "clip"
    TOWERS = {"image": ClipImage, "text": ClipText}
    HEADS = {}

    # Hugging Face, as in bert.py.
    PREFIX = ""
    MODEL_TYPES = {"clip": "CLIP"}
    CLASSES = {"Model": None}
    FIXED = {}
    ROWS = """
        visual_projection  image/pooler/projection
        text_projection    text/pooler/projection
        logit_scale        logit_scale
    """
    TASK_ROWS = ""
    CONFIG = {
        "projection_dim": (["towers.image.pooler.dim", "towers.text.pooler.dim"], 512),
    }
    HARMLESS = """
        initializer_factor logit_scale_init_value text_config_dict vision_config_dict
    """
