"""DistilBERT: Sanh et al. 2019, arXiv:1910.01108. BERT without segments and pooler."""

import keras

from ..graphs import Stack
from .bert import Bert


@keras.saving.register_keras_serializable("kzoo")
class DistilBert(Stack):
    """DistilBERT."""

    family = "distilbert"
    HEADS = {
        "TextClassifier": {"kind": "first", "activation": "relu"},
        "MultipleChoice": {"kind": "first", "activation": "relu"},
    }

    # Hugging Face, as in bert.py.
    MODEL_TYPES = {"distilbert": "DistilBert"}
    PREFIX = "distilbert."
    CLASSES = Bert.READERS
    FIXED = {"pooler": "none", "norm": {"kind": "layer_norm", "epsilon": 1e-12}}
    BLOCK = "transformer.layer.{step}"
    ROWS = f"""
        embeddings.word_embeddings                  token_embedding
        embeddings.position_embeddings              position
        embeddings.LayerNorm                        embedding_norm
        {BLOCK}.attention.{{q_lin|k_lin|v_lin}}     block_{{step}}/attention/{{query|key|value}}
        {BLOCK}.attention.out_lin                   block_{{step}}/attention/output
        {BLOCK}.sa_layer_norm                       block_{{step}}/attention_norm
        {BLOCK}.ffn.{{lin1|lin2}}                   block_{{step}}/feedforward/{{up|down}}
        {BLOCK}.output_layer_norm                   block_{{step}}/feedforward_norm
        embeddings.position_ids                     -
    """
    TASK_ROWS = """
        pre_classifier          head/hidden       TextClassifier MultipleChoice
        classifier              head/logits       TextClassifier TokenClassifier MultipleChoice
        qa_outputs              head/logits       QuestionAnswering
        vocab_transform         head/transform    MaskedLM
        vocab_layer_norm        head/norm         MaskedLM
        vocab_projector.bias    head/bias         MaskedLM
        vocab_projector.weight  =backbone/token_embedding/embeddings  MaskedLM
    """
    CONFIG = {
        "vocab_size": ("embedding.vocabulary_size", 30522),
        "dim": ("hidden_dim", 768),
        "n_layers": ("num_layers", 6),
        "n_heads": ("num_heads", 12),
        "hidden_dim": ("intermediate_dim", 3072),
        "activation": ("feedforward.activation", "gelu"),
        "dropout": ("dropout", 0.1),
        "attention_dropout": ("attention_dropout", 0.1),
        "max_position_embeddings": ("position_rows", 512),
        "initializer_range": ("initializer_range", 0.02),
        "pad_token_id": ("embedding.padding_id", 0),
    }
    HEAD_DROPOUT = {
        "TextClassifier": ("seq_classif_dropout", 0.2),
        "MultipleChoice": ("seq_classif_dropout", 0.2),
        "QuestionAnswering": ("qa_dropout", 0.1),
    }
