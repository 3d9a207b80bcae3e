"""BART: Lewis et al. 2019, arXiv:1910.13461. BERT's encoder, and a decoder that attends to it."""

import keras

from ..graphs import BothRead, EncoderDecoder, Stack

# What the towers of BART, mBART and Marian have in common there: rows, keys, keys without effect.
BLOCK = "layers.{step}"


def attention(tower, there, here):
    """The rows of attention and of its norm."""
    layer = f"{tower}.{BLOCK}"
    return f"""
        {layer}.{there}.{{q_proj|k_proj|v_proj}}  block_{{step}}/{here}/{{query|key|value}}
        {layer}.{there}.out_proj                block_{{step}}/{here}/output
        {layer}.{there}_layer_norm              block_{{step}}/{here}_norm
    """


def blocks(tower, crossed=""):
    """The rows of a tower's blocks; `crossed` are those of attention to the other tower."""
    return f"""
        {attention(tower, "self_attn", "attention")}
        {crossed}
        {tower}.{BLOCK}.{{fc1|fc2}}         block_{{step}}/feedforward/{{up|down}}
        {tower}.{BLOCK}.final_layer_norm  block_{{step}}/feedforward_norm
    """


ENCODER = blocks("encoder")
DECODER = blocks("decoder", attention("decoder", "encoder_attn", "cross_attention"))


def keys(tower):
    """The keys that a tower has, with their defaults there."""
    return {
        "d_model": ("hidden_dim", 1024),
        f"{tower}_layers": ("num_layers", 12),
        f"{tower}_attention_heads": ("num_heads", 16),
        f"{tower}_ffn_dim": ("intermediate_dim", 4096),
        "activation_function": ("feedforward.activation", "gelu"),
        "max_position_embeddings": ("max_sequence_length", 1024),
        "dropout": ("dropout", 0.1),
        "attention_dropout": ("attention_dropout", 0.0),
        "init_std": ("initializer_range", 0.02),
    }


def words(vocabulary_size=50265, padding=1, start=2):
    """The keys of tokens, with their defaults there."""
    return {
        "vocab_size": ("options.embedding.vocabulary_size", vocabulary_size),
        "pad_token_id": ("options.embedding.padding_id", padding),
        "scale_embedding": ("options.embedding.scaled", False),
        "decoder_start_token_id": ("options.start_id", lambda config: start),
    }


IS_PAIR = {"is_encoder_decoder": ((True,), True)}
TOWER = {
    "embedding": "vectors",
    "position": {"kind": "learned", "before": 2},
    "norm": {"kind": "layer_norm", "epsilon": 1e-5},
    "pooler": "none",
}
LOOKS_BACK = {"attention": "causal", "cross_attention": "full"}


@keras.saving.register_keras_serializable("kzoo")
class BartEncoder(Stack):
    """BART's encoder."""

    family = "bart_encoder"

    FIXED = TOWER
    ROWS = f"""
        encoder.embed_positions      position
        encoder.layernorm_embedding  embedding_norm
        {ENCODER}
    """
    CONFIG = keys("encoder")
    REQUIRED = IS_PAIR


@keras.saving.register_keras_serializable("kzoo")
class BartDecoder(Stack):
    """BART's decoder."""

    family = "bart_decoder"

    FIXED = {**TOWER, **LOOKS_BACK}
    ROWS = f"""
        decoder.embed_positions      position
        decoder.layernorm_embedding  embedding_norm
        {DECODER}
    """
    CONFIG = keys("decoder")
    REQUIRED = IS_PAIR


class BartShaped(EncoderDecoder):
    """What BART, mBART and Marian have in common elsewhere."""

    HEADS = {"Seq2SeqLM": {"kind": "tied_lm", "bias": True}}

    # Hugging Face, as in bert.py.
    PREFIX = "model."
    CLASSES = {"Model": None, "ForConditionalGeneration": "Seq2SeqLM"}
    FIXED = {"options.embedding.kind": lambda fields: "token"}
    ROWS = """
        shared                token_embedding
        encoder.embed_tokens  =token_embedding
        decoder.embed_tokens  =token_embedding
    """
    TASK_ROWS = """
        final_logits_bias:1  head/bias                                Seq2SeqLM
        lm_head.weight       =backbone/token_embedding/embeddings     Seq2SeqLM
    """
    ZERO_IF_MISSING = ("final_logits_bias",)  # TensorFlow's classes kept it out of files once.
    CONFIG = words()
    HARMLESS = """
        _num_labels activation_dropout add_bias_logits classif_dropout classifier_dropout
        decoder_layerdrop decoder_vocab_size encoder_layerdrop extra_pos_embeddings
        num_hidden_layers
    """


def required(in_front, embedding_norm, waves=False):
    """What keys of the whole say of norms and places, which the towers have."""
    return {
        **IS_PAIR,
        "normalize_before": ((in_front,), in_front),
        "add_final_layer_norm": ((in_front,), in_front),
        "normalize_embedding": ((embedding_norm,), embedding_norm),
        "static_position_embeddings": ((waves,), waves),
    }


@keras.saving.register_keras_serializable("kzoo")
class BartReader(BothRead, BartShaped):
    """BART where it reads with both towers, to classify a text or to find an answer in it."""

    family = "bart_reader"
    TOWERS = {"encoder": BartEncoder, "decoder": BartDecoder}
    HEADS = {"TextClassifier": {"kind": "last", "activation": "tanh"}}
    MODEL_TYPES = {"bart": "Bart"}
    CLASSES = {
        "Model": None,
        "ForSequenceClassification": "TextClassifier",
        "ForQuestionAnswering": "QuestionAnswering",
    }
    TASK_ROWS = """
        classification_head.dense     head/hidden  TextClassifier
        classification_head.out_proj  head/logits  TextClassifier
        qa_outputs                    head/logits  QuestionAnswering
    """
    REQUIRED = required(in_front=False, embedding_norm=True)
    HARMLESS = BartShaped.HARMLESS.replace("classifier_dropout", "")
    HEAD_DROPOUT = {"TextClassifier": ("classifier_dropout", 0.0)}


@keras.saving.register_keras_serializable("kzoo")
class Bart(BartShaped):
    """BART in every published size."""

    family = "bart"
    reader = BartReader
    TOWERS = BartReader.TOWERS
    MODEL_TYPES = {"bart": "Bart"}
    REQUIRED = BartReader.REQUIRED
