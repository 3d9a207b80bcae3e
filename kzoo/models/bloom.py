"""BLOOM: BigScience 2022, arXiv:2211.05100. Scores that fall with distance tell of places."""

import keras

from ..graphs import Stack
from .gpt2 import Gpt2


@keras.saving.register_keras_serializable("kzoo")
class Bloom(Stack):
    """BLOOM and BLOOMZ in every published size."""

    family = "bloom"
    HEADS = Gpt2.HEADS

    # Hugging Face, as in bert.py.
    MODEL_TYPES = {"bloom": "Bloom"}
    PREFIX = "transformer."
    CLASSES = {
        "Model": None,
        "ForCausalLM": "CausalLM",
        "ForSequenceClassification": "TextClassifier",
        "ForTokenClassification": "TokenClassifier",
        "ForQuestionAnswering": "QuestionAnswering",
    }
    FIXED = {
        "attention": "causal",
        "block": "pre_norm",
        "feedforward": {"kind": "mlp", "activation": "gelu_tanh"},
        "norms": ["embedding", "final"],
        "pooler": "none",
        "position": "alibi",
    }
    BLOCK = "h.{step}"
    ROWS = f"""
        word_embeddings                                 token_embedding
        word_embeddings_layernorm                       embedding_norm
        {BLOCK}.input_layernorm                         block_{{step}}/attention_norm
        {BLOCK}.self_attention.query_key_value:by_head  block_{{step}}/attention/{{query,key,value}}
        {BLOCK}.self_attention.dense                    block_{{step}}/attention/output
        {BLOCK}.post_attention_layernorm                block_{{step}}/feedforward_norm
        {BLOCK}.mlp.dense_h_to_4h                       block_{{step}}/feedforward/up
        {BLOCK}.mlp.dense_4h_to_h                       block_{{step}}/feedforward/down
        ln_f                                            final_norm
    """
    TASK_ROWS = Gpt2.TASK_ROWS
    # Published files have some sizes under older names; where both stand, these hold there.
    WIDTH = ["hidden_dim", "quarter_of_inner"]
    CONFIG = {
        "vocab_size": ("embedding.vocabulary_size", 250880),
        "hidden_size": (WIDTH, lambda config: config.get("n_embed", 64)),
        "n_embed": (WIDTH, lambda config: config.get("hidden_size", 64)),
        "n_layer": ("num_layers", lambda config: config.get("num_hidden_layers", 2)),
        "num_hidden_layers": ("num_layers", lambda config: config.get("n_layer", 2)),
        "n_head": ("num_heads", lambda config: config.get("num_attention_heads", 8)),
        "num_attention_heads": ("num_heads", lambda config: config.get("n_head", 8)),
        "seq_length": ("max_sequence_length", lambda config: 2048),
        "layer_norm_epsilon": ("norm.epsilon", 1e-5),
        "hidden_dropout": ("dropout", 0.0),
        "attention_dropout": ("attention_dropout", 0.0),
        "initializer_range": ("initializer_range", 0.02),
        "pad_token_id": ("embedding.padding_id", lambda config: 0),
    }
    REQUIRED = {
        "apply_residual_connection_post_layernorm": ((False,), False),
        # Of several slices the reference adds up the products and leaves out the bias.
        "slow_but_exact": ((False,), False, ("pretraining_tp", 1)),
    }
    HARMLESS = """
        attention_softmax_in_fp32 bias_dropout_fusion masked_softmax_fusion n_inner offset_alibi
        pretraining_tp skip_bias_add skip_bias_add_qkv
    """
    HEAD_DROPOUT = {"TokenClassifier": ("classifier_dropout", None)}
