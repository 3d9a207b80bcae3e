"""GPT-2: Radford et al. 2019. Causal blocks with the norm in front, and one behind the last."""

import keras

from ..graphs import Stack


@keras.saving.register_keras_serializable("kzoo")
class Gpt2(Stack):
    """GPT-2 in every published size; also DialoGPT (arXiv:1911.00536)."""

    family = "gpt2"
    HEADS = {"TextClassifier": {"kind": "last", "bias": False, "dropout": 0.0}}

    # Hugging Face, as in bert.py.
    MODEL_TYPES = {"gpt2": "GPT2"}
    PREFIX = "transformer."
    CLASSES = {
        "Model": None,
        "LMHeadModel": "CausalLM",
        "ForSequenceClassification": "TextClassifier",
        "ForTokenClassification": "TokenClassifier",
        "ForQuestionAnswering": "QuestionAnswering",
    }
    FIXED = {
        "attention": "causal",
        "block": "pre_norm",
        "norms": ["final"],
        "pooler": "none",
    }
    BLOCK = "h.{step}"
    ROWS = f"""
        wte                       token_embedding
        wpe                       position
        {BLOCK}.ln_1              block_{{step}}/attention_norm
        {BLOCK}.attn.c_attn:io    block_{{step}}/attention/{{query,key,value}}
        {BLOCK}.attn.c_proj:io    block_{{step}}/attention/output
        {BLOCK}.ln_2              block_{{step}}/feedforward_norm
        {BLOCK}.mlp.c_fc:io       block_{{step}}/feedforward/up
        {BLOCK}.mlp.c_proj:io     block_{{step}}/feedforward/down
        {BLOCK}.attn.bias         -
        {BLOCK}.attn.masked_bias  -
        {BLOCK}.ln_cross_attn                block_{{step}}/cross_attention_norm
        {BLOCK}.crossattention.q_attn:io     block_{{step}}/cross_attention/query
        {BLOCK}.crossattention.c_attn:io     block_{{step}}/cross_attention/{{key,value}}
        {BLOCK}.crossattention.c_proj:io     block_{{step}}/cross_attention/output
        {BLOCK}.crossattention.bias          -
        {BLOCK}.crossattention.masked_bias   -
        ln_f                      final_norm
    """
    TASK_ROWS = """
        lm_head.weight  =backbone/token_embedding/embeddings  CausalLM
        score           head/logits                           TextClassifier
        classifier      head/logits                           TokenClassifier
        qa_outputs      head/logits                           QuestionAnswering
    """
    CONFIG = {
        "vocab_size": ("embedding.vocabulary_size", 50257),
        "n_embd": ("hidden_dim", 768),
        "n_layer": ("num_layers", 12),
        "n_head": ("num_heads", 12),
        "n_inner": ("intermediate_dim", lambda config: 4 * config.get("n_embd", 768)),
        "n_positions": ("position_rows", 1024),
        "activation_function": ("feedforward.activation", "gelu_new"),
        "layer_norm_epsilon": ("norm.epsilon", 1e-5),
        "resid_pdrop": ("dropout", 0.1),
        "attn_pdrop": ("attention_dropout", 0.1),
        "initializer_range": ("initializer_range", 0.02),
        "pad_token_id": ("embedding.padding_id", lambda config: 0),
    }
    REQUIRED = {
        "scale_attn_weights": ((True,), True),
        "scale_attn_by_inverse_layer_idx": ((False,), False),
    }
    HARMLESS = """
        embd_pdrop n_ctx reorder_and_upcast_attn summary_activation summary_first_dropout
        summary_proj_to_labels summary_type summary_use_proj
    """
    HEAD_DROPOUT = {"TokenClassifier": ("classifier_dropout", None)}
