"""BLIP: Li et al. 2022, arXiv:2201.12086. A ViT, and a BERT that looks at it, in three mixtures.

The same stack reads texts, alone or looking at a picture, and writes them: captions, answers to
questions, and whether a text fits a picture.
"""

import keras

from ..graphs import JointEncoder, PictureReader, QuestionReader, Stack
from ..nn.patches import places
from .bert import Bert
from .vit import SIDES

DECODES = 30522  # [DEC], the token of released models that a decoder is given first


@keras.saving.register_keras_serializable("kzoo")
class BlipVision(Stack):
    """BLIP's tower of pictures."""

    family = "blip_vision"
    HEADS = {}

    # Hugging Face, as in bert.py.
    KEY, PREFIX = "vision_config", "vision_model."
    FIXED = {
        "embedding": {"kind": "patch"},
        "max_sequence_length": lambda fields: places(fields["embedding"]),
        "block": "pre_norm",
        "norms": ["final"],
        "dropout": 0.0,
    }
    BLOCK = "encoder.layers.{step}"
    ROWS = f"""
        embeddings.patch_embedding        patch_embedding
        embeddings.class_embedding:1,1    patch_embedding/class_token
        embeddings.position_embedding:1   position/embeddings
        {BLOCK}.layer_norm1               block_{{step}}/attention_norm
        {BLOCK}.self_attn.qkv             block_{{step}}/attention/{{query,key,value}}
        {BLOCK}.self_attn.projection      block_{{step}}/attention/output
        {BLOCK}.layer_norm2               block_{{step}}/feedforward_norm
        {BLOCK}.mlp.{{fc1|fc2}}             block_{{step}}/feedforward/{{up|down}}
        post_layernorm                    final_norm
    """
    CONFIG = {
        "hidden_size": ("hidden_dim", 768),
        "num_hidden_layers": ("num_layers", 12),
        "num_attention_heads": ("num_heads", 12),
        "intermediate_size": ("intermediate_dim", 3072),
        "image_size": ("embedding.image_size", 384, SIDES),
        "patch_size": ("embedding.patch_size", 16, SIDES),
        "hidden_act": ("feedforward.activation", "gelu"),
        "layer_norm_eps": ("norm.epsilon", 1e-5),
        "attention_dropout": ("attention_dropout", 0.0),
        "initializer_range": ("initializer_range", 1e-10),
    }
    REQUIRED = {
        "model_type": (("blip_vision_model",), "blip_vision_model"),
        "num_channels": ((3,), 3),
    }
    HARMLESS = "dropout initializer_factor projection_dim"


class BlipWords(Stack):
    """What the stacks of texts have in common: BERT's blocks, with attention to a memory."""

    HEADS = {}

    # Hugging Face, as in bert.py.
    KEY = "text_config"
    FIXED = {"cross_attention": "full"}
    THERE, HERE = f"{Bert.BLOCK}.crossattention", "block_{step}/cross_attention"
    ROWS = f"""
        embeddings.word_embeddings            token_embedding
        embeddings.position_embeddings        position
        embeddings.LayerNorm                  embedding_norm
        {Bert.BLOCKS}
        {THERE}.self.{{query|key|value}}        {HERE}/{{query|key|value}}
        {THERE}.output.dense                  {HERE}/output
        {THERE}.output.LayerNorm              {HERE}_norm
        embeddings.position_ids               -
    """
    CONFIG = {
        "vocab_size": ("embedding.vocabulary_size", 30524),
        "hidden_size": ("hidden_dim", 768),
        "encoder_hidden_size": ("cross_attention.memory_dim", 768),
        "num_hidden_layers": ("num_layers", 12),
        "num_attention_heads": ("num_heads", 8),
        "intermediate_size": ("intermediate_dim", 3072),
        "hidden_act": ("feedforward.activation", "gelu"),
        "hidden_dropout_prob": ("dropout", 0.0),
        "attention_probs_dropout_prob": ("attention_dropout", 0.0),
        "max_position_embeddings": ("position_rows", 512),
        "initializer_range": ("initializer_range", 0.02),
        "layer_norm_eps": ("norm.epsilon", 1e-12),
        "pad_token_id": ("embedding.padding_id", 0),
    }
    REQUIRED = {
        "model_type": (("blip_text_model",), "blip_text_model"),
        "is_decoder": ((True,), True),
    }
    HARMLESS = "initializer_factor label_smoothing projection_dim"


@keras.saving.register_keras_serializable("kzoo")
class BlipDecoder(BlipWords):
    """BLIP's writer of texts, which looks at a picture or a question."""

    family = "blip_decoder"
    PREFIX = "text_decoder.bert."
    FIXED = {**BlipWords.FIXED, "attention": "causal"}


@keras.saving.register_keras_serializable("kzoo")
class BlipText(BlipWords):
    """BLIP's reader of texts, which looks at a picture."""

    family = "blip_text"
    PREFIX = "text_encoder."


@keras.saving.register_keras_serializable("kzoo")
class BlipImageTower(BlipVision):
    """BLIP's tower of pictures, with a vector for each in the space that texts share."""

    family = "blip_image_tower"
    FIXED = {**BlipVision.FIXED, "pooler": "first_mapped"}


@keras.saving.register_keras_serializable("kzoo")
class BlipTextTower(BlipText):
    """BLIP's reader of texts, with a vector for each in the space that pictures share."""

    family = "blip_text_tower"
    FIXED = {**BlipText.FIXED, "pooler": "first_mapped"}


def scoring(spec):
    """The head that scores tokens: BERT's, with the activation of the decoder's nets."""
    return {"kind": "masked_lm", "activation": spec.head.activation}


class BlipWrites:
    """What the mixtures that write have in common elsewhere."""

    # Hugging Face, as in bert.py.
    PREFIX, WORDS = "", "text_config"
    MODEL_TYPES = {"blip": "Blip"}
    FIXED, ROWS = {}, ""
    TASK_ROWS = """
        text_decoder.cls.predictions.transform.dense      head/transform
        text_decoder.cls.predictions.transform.LayerNorm  head/norm
        text_decoder.cls.predictions.bias                 head/bias
        text_decoder.cls.predictions.decoder.bias         =head/bias
        text_decoder.cls.predictions.decoder.weight  =backbone/decoder/token_embedding/embeddings
    """
    CONFIG = {"text_config.bos_token_id": ("options.start_id", DECODES)}
    ENDS = "text_config.sep_token_id", 102  # where a text ends, and which token that usually is
    HARMLESS = """
        image_text_hidden_size initializer_factor initializer_range label_smoothing
        logit_scale_init_value projection_dim
    """


@keras.saving.register_keras_serializable("kzoo")
class BlipCaptioner(BlipWrites, PictureReader):
    """BLIP that writes what a picture shows."""

    family = "blip_captioner"
    TOWERS = {"encoder": BlipVision, "decoder": BlipDecoder}
    HEADS = {"ImageCaptioner": scoring}
    CLASSES = {"ForConditionalGeneration": "ImageCaptioner"}


@keras.saving.register_keras_serializable("kzoo")
class BlipAnswerer(BlipWrites, QuestionReader):
    """BLIP that answers questions about a picture."""

    family = "blip_answerer"
    TOWERS = {"encoder": BlipVision, "question": BlipText, "decoder": BlipDecoder}
    HEADS = {"VisualQuestionAnswerer": scoring}
    CLASSES = {"ForQuestionAnswering": "VisualQuestionAnswerer"}


@keras.saving.register_keras_serializable("kzoo")
class BlipMatcher(JointEncoder):
    """BLIP that says how well a text fits a picture."""

    family = "blip_matcher"
    TOWERS = {"image": BlipImageTower, "text": BlipTextTower}
    HEADS = {"ImageTextMatcher": {"kind": "first", "dropout": 0.0}}

    # Hugging Face, as in bert.py.
    MODEL_TYPES = BlipWrites.MODEL_TYPES
    CLASSES = {"ForImageTextRetrieval": "ImageTextMatcher"}
    FIXED = {}
    ROWS = """
        vision_proj  image/pooler/projection
        text_proj    text/pooler/projection
    """
    TASK_ROWS = "itm_head  head/logits  ImageTextMatcher"
    CONFIG = {
        "image_text_hidden_size": (["towers.image.pooler.dim", "towers.text.pooler.dim"], 256),
    }
    HARMLESS = """
        initializer_factor initializer_range label_smoothing logit_scale_init_value projection_dim
    """
