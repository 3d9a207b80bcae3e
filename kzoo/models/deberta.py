"""DeBERTa: He et al. 2020, arXiv:2006.03654. Scores of what a place holds and where it stands."""

import keras

from ..graphs import Stack
from ..values import is_whole
from .bert import Bert


def span(value, config):
    """The distance from which all are alike; below 1 there stands for the longest text."""
    longest = value if value >= 1 else config.get("max_position_embeddings", 512)
    return longest if is_whole(longest, 1) else None


def spelled_span(longest, config):
    """The same there, as it was spelled."""
    value = config.get("max_relative_positions") or -1
    return value if span(value, config) == longest else longest


def of_width(width):
    """What `CONFIG` says of a key that must follow from the width: `width(value, config)`.

    The class there makes no sense of others.
    """

    def hidden(config):
        return config.get("hidden_size", 768)

    def usual(config):
        return hidden(config) // width(1, config)

    def here(value, config):
        return hidden(config) if width(value, config) == hidden(config) else None

    return "hidden_dim", usual, (here, lambda held, config: usual(config))


@keras.saving.register_keras_serializable("kzoo")
class Deberta(Stack):
    """DeBERTa, version 1."""

    family = "deberta"
    HEADS = {"TextClassifier": {"kind": "first", "activation": "gelu"}}

    # Hugging Face, as in bert.py.
    MODEL_TYPES = {"deberta": "Deberta"}
    PREFIX = "deberta."
    CLASSES = {name: task for name, task in Bert.READERS.items() if task != "MultipleChoice"}
    FIXED = {
        "position": "disentangled",
        "attention": {
            "kind": "disentangled_apart", "bias": ["query", "value", "place_query", "output"],
        },
        "pooler": "none",
    }  # fmt: skip
    COMMON = f"""
        embeddings.word_embeddings        token_embedding
        embeddings.token_type_embeddings  segment_embedding
        embeddings.LayerNorm              embedding_norm
        encoder.rel_embeddings            position
        {Bert.BODY}
        embeddings.position_embeddings    -
        embeddings.position_ids           -
    """
    SELF = f"{Bert.BLOCK}.attention.self"
    ROWS = f"""
        {COMMON}
        {SELF}.in_proj.weight:by_head  block_{{step}}/attention/{{query,key,value}}/kernel
        {SELF}.{{q_bias|v_bias}}       block_{{step}}/attention/{{query|value}}/bias
        {SELF}.pos_proj                block_{{step}}/attention/place_key
        {SELF}.pos_q_proj              block_{{step}}/attention/place_query
    """
    # The first head for hidden tokens is that of the classes' `legacy`, the second that of the
    # released files. `mask_predictions` says which tokens were replaced (version 3).
    TASK_ROWS = """
        pooler.dense                         head/hidden      TextClassifier MultipleChoice
        classifier                           head/logits      TextClassifier MultipleChoice
        classifier                           head/logits      TokenClassifier
        qa_outputs                           head/logits      QuestionAnswering
        cls.predictions.transform.dense      head/transform   MaskedLM
        cls.predictions.transform.LayerNorm  head/norm        MaskedLM
        cls.predictions.bias                 head/bias        MaskedLM
        cls.predictions.decoder.bias         =head/bias       MaskedLM
        cls.predictions.decoder.weight       =backbone/token_embedding/embeddings  MaskedLM
        lm_predictions.lm_head.dense         =head/transform  MaskedLM
        lm_predictions.lm_head.LayerNorm     =head/norm       MaskedLM
        lm_predictions.lm_head.bias          =head/bias       MaskedLM
        mask_predictions                     -
    """
    CONFIG = {
        **Bert.CONFIG,
        "vocab_size": ("embedding.vocabulary_size", 50265),
        "type_vocab_size": ("embedding.num_segments", 0),
        "layer_norm_eps": ("norm.epsilon", 1e-7),
        "max_relative_positions": ("position.longest", lambda config: -1, (span, spelled_span)),
        "pooler_hidden_size": of_width(lambda value, config: value),
        "embedding_size": of_width(lambda value, config: value),
    }
    REQUIRED = {
        "relative_attention": ((True,), False),
        "pos_att_type": ((["p2c", "c2p"], ["c2p", "p2c"], "p2c|c2p", "c2p|p2c"), None),
        "position_biased_input": ((False,), True),
        "pooler_hidden_act": (("gelu",), "gelu"),
        "talking_head": ((False,), False),
    }
    HARMLESS = "legacy padding_idx pooler_dropout"
    HEAD_DROPOUT = {"TextClassifier": ("cls_dropout", None)}
