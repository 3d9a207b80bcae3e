"""MPNet: Song et al. 2020, arXiv:2004.09297. RoBERTa with buckets of distance, and no segments."""

import keras

from ..graphs import Stack
from .bert import Bert
from .roberta import Roberta


@keras.saving.register_keras_serializable("kzoo")
class MPNet(Stack):
    """MPNet; also the body of all-mpnet-base-v2."""

    family = "mpnet"
    HEADS = Roberta.HEADS

    # Hugging Face, as in bert.py.
    MODEL_TYPES = {"mpnet": "MPNet"}
    PREFIX = "mpnet."
    CLASSES = Bert.READERS
    FIXED = {"position": "counted_bucketed"}
    LM_ACTIVATION = "gelu"  # whatever the feed-forward nets have
    BLOCK = "encoder.layer.{step}"
    ROWS = f"""
        embeddings.word_embeddings          token_embedding
        embeddings.position_embeddings      position
        embeddings.LayerNorm                embedding_norm
        encoder.relative_attention_bias     position/distances
        {BLOCK}.attention.attn.{{q|k|v|o}}  block_{{step}}/attention/{{query|key|value|output}}
        {BLOCK}.attention.LayerNorm         block_{{step}}/attention_norm
        {BLOCK}.intermediate.dense          block_{{step}}/feedforward/up
        {BLOCK}.output.dense                block_{{step}}/feedforward/down
        {BLOCK}.output.LayerNorm            block_{{step}}/feedforward_norm
        pooler.dense                        pooler?
        embeddings.position_ids             -
    """
    TASK_ROWS = Roberta.TASK_ROWS
    CONFIG = {
        **{key: entry for key, entry in Bert.CONFIG.items() if key != "type_vocab_size"},
        "vocab_size": ("embedding.vocabulary_size", 30527),
        "pad_token_id": ("embedding.padding_id", 1, {1: 1}),  # The class there knows no other.
    }
    REQUIRED = {"relative_attention_num_buckets": ((32,), 32)}
