"""XLNet: Yang et al. 2019, arXiv:1906.08237. Places foretold in any order, by two streams."""

import keras

from ..graphs import TwoStream
from ..values import is_whole


def remembered(length, config=None):
    """How many places are remembered; none there may be null."""
    return 0 if length is None else length if is_whole(length, 0) else None


SUMMARY = {"kind": "last", "activation": "tanh"}


@keras.saving.register_keras_serializable("kzoo")
class XlNet(TwoStream):
    """XLNet in both published sizes; the class token stands last, and padding where it likes."""

    family = "xlnet"
    HEADS = {
        "PermutationLM": {"kind": "tied_lm", "bias": True},
        "TextClassifier": SUMMARY,
        "MultipleChoice": SUMMARY,
    }

    # Hugging Face, as in bert.py.
    MODEL_TYPES = {"xlnet": "XLNet"}
    PREFIX = "transformer."
    CLASSES = {
        "Model": None,
        "LMHeadModel": "PermutationLM",
        "ForSequenceClassification": "TextClassifier",
        "ForTokenClassification": "TokenClassifier",
        "ForQuestionAnsweringSimple": "QuestionAnswering",
        "ForMultipleChoice": "MultipleChoice",
    }
    FIXED = {
        "embedding": {"kind": "token_alone", "num_segments": 4},  # texts, class token and padding
        "position": "relative",
        "attention": "segment_relative",
        "norms": [],
        "pooler": "none",
    }
    ATTENTION = "layer.{step}.rel_attn"
    ROWS = f"""
        word_embedding                  token_embedding
        mask_emb:1,1                    target_embedding/vector
        {ATTENTION}.q:io,heads          block_{{step}}/attention/query/kernel
        {ATTENTION}.k:io,heads          block_{{step}}/attention/key/kernel
        {ATTENTION}.v:io,heads          block_{{step}}/attention/value/kernel
        {ATTENTION}.r:io,heads          block_{{step}}/attention/relative/kernel
        {ATTENTION}.o:heads             block_{{step}}/attention/output/kernel
        {ATTENTION}.r_w_bias            block_{{step}}/attention/biases/content
        {ATTENTION}.r_r_bias            block_{{step}}/attention/biases/distance
        {ATTENTION}.r_s_bias            block_{{step}}/attention/segments/bias
        {ATTENTION}.seg_embed           block_{{step}}/attention/segments/vectors
        {ATTENTION}.layer_norm          block_{{step}}/attention_norm
        layer.{{step}}.ff.layer_1       block_{{step}}/feedforward/up
        layer.{{step}}.ff.layer_2       block_{{step}}/feedforward/down
        layer.{{step}}.ff.layer_norm    block_{{step}}/feedforward_norm
    """
    TASK_ROWS = """
        lm_loss.weight            =backbone/token_embedding/embeddings  PermutationLM
        lm_loss.bias              head/bias     PermutationLM
        sequence_summary.summary  head/hidden   TextClassifier MultipleChoice
        logits_proj               head/logits   TextClassifier MultipleChoice
        classifier                head/logits   TokenClassifier
        qa_outputs                head/logits   QuestionAnswering
    """
    CONFIG = {
        "vocab_size": ("embedding.vocabulary_size", 32000),
        "d_model": ("hidden_dim", 1024),
        "n_layer": ("num_layers", 24),
        "n_head": ("num_heads", 16),
        "d_inner": ("intermediate_dim", 4096),
        "ff_activation": ("feedforward.activation", "gelu"),
        "mem_len": ("attention.memory_length", 512, (remembered, remembered)),
        "dropout": (["dropout", "attention_dropout"], 0.1),
        "initializer_range": ("initializer_range", 0.02),
        "layer_norm_eps": ("norm.epsilon", 1e-12),
        "pad_token_id": ("embedding.padding_id", 5),
    }
    REQUIRED = {
        "attn_type": (("bi",), "bi"),
        "bi_data": ((False,), False),
        "clamp_len": ((-1, 0), -1),
        "same_length": ((False,), False),
        "reuse_len": ((None, 0), None),
        "untie_r": ((True,), True),
        "summary_type": (("last",), "last"),
        "summary_use_proj": ((True,), True),
        "summary_activation": (("tanh",), "tanh"),
    }
    HARMLESS = "d_head end_n_top start_n_top use_mems_eval use_mems_train"
    HEAD_DROPOUT = {
        "TextClassifier": ("summary_last_dropout", 0.1),
        "MultipleChoice": ("summary_last_dropout", 0.1),
    }
