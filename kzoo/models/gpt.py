"""GPT: Radford et al. 2018. Causal blocks with the norm behind each branch, and none elsewhere."""

import keras

from ..graphs import Stack
from .gpt2 import Gpt2


@keras.saving.register_keras_serializable("kzoo")
class Gpt(Stack):
    """GPT in its one published size."""

    family = "gpt"
    HEADS = Gpt2.HEADS

    # Hugging Face, as in bert.py.
    MODEL_TYPES = {"openai-gpt": "OpenAIGPT"}
    PREFIX = "transformer."
    CLASSES = {
        "Model": None,
        "LMHeadModel": "CausalLM",
        "ForSequenceClassification": "TextClassifier",
    }
    FIXED = {
        "attention": "causal",
        "block": "post_norm",
        "norms": [],
        "pooler": "none",
    }
    BLOCK = "h.{step}"
    ROWS = f"""
        tokens_embed            token_embedding
        positions_embed         position
        {BLOCK}.attn.c_attn:io  block_{{step}}/attention/{{query,key,value}}
        {BLOCK}.attn.c_proj:io  block_{{step}}/attention/output
        {BLOCK}.ln_1            block_{{step}}/attention_norm
        {BLOCK}.mlp.c_fc:io     block_{{step}}/feedforward/up
        {BLOCK}.mlp.c_proj:io   block_{{step}}/feedforward/down
        {BLOCK}.ln_2            block_{{step}}/feedforward_norm
        {BLOCK}.attn.bias       -
        position_ids            -
    """
    TASK_ROWS = """
        lm_head.weight  =backbone/token_embedding/embeddings  CausalLM
        score           head/logits                           TextClassifier
    """
    # What is called gelu there is the tanh form, whatever other classes mean by it.
    ACTIVATIONS = {"gelu": "gelu_tanh", "relu": "relu", "silu": "silu", "swish": "silu"}
    CONFIG = {
        "vocab_size": ("embedding.vocabulary_size", 40478),
        "n_embd": (["hidden_dim", "quarter_of_inner"], 768),
        "n_layer": ("num_layers", 12),
        "n_head": ("num_heads", 12),
        "n_positions": ("position_rows", 512),
        "afn": ("feedforward.activation", "gelu", ACTIVATIONS),
        "layer_norm_epsilon": ("norm.epsilon", 1e-5),
        "resid_pdrop": ("dropout", 0.1),
        "attn_pdrop": ("attention_dropout", 0.1),
        "initializer_range": ("initializer_range", 0.02),
        "pad_token_id": ("embedding.padding_id", lambda config: 0),
    }
    HARMLESS = "embd_pdrop n_ctx n_special predict_special_tokens"
