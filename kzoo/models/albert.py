"""ALBERT: Lan et al. 2019, arXiv:1909.11942. One block at every step, a narrow embedding."""

import keras

from ..graphs import Stack
from .bert import Bert


@keras.saving.register_keras_serializable("kzoo")
class Albert(Stack):
    """ALBERT; its schedule names the same block at every step."""

    family = "albert"
    PAIRS = "sentence_order"
    HEADS = {"TextClassifier": "pooled", "MultipleChoice": "pooled"}

    # Hugging Face, as in bert.py.
    MODEL_TYPES = {"albert": "Albert"}
    PREFIX = "albert."
    CLASSES = Bert.PRETRAINED
    FIXED = {}
    BLOCK = "encoder.albert_layer_groups.{group}.albert_layers.0"
    ROWS = f"""
        embeddings.word_embeddings              token_embedding
        embeddings.token_type_embeddings        segment_embedding
        embeddings.position_embeddings          position
        embeddings.LayerNorm                    embedding_norm
        encoder.embedding_hidden_mapping_in     embedding_projection
        {BLOCK}.attention.{{query|key|value}}   block_{{group}}/attention/{{query|key|value}}
        {BLOCK}.attention.dense                 block_{{group}}/attention/output
        {BLOCK}.attention.LayerNorm             block_{{group}}/attention_norm
        {BLOCK}.{{ffn|ffn_output}}              block_{{group}}/feedforward/{{up|down}}
        {BLOCK}.full_layer_layer_norm           block_{{group}}/feedforward_norm
        pooler                                  pooler?
        embeddings.position_ids                 -
        embeddings.token_type_ids               -
    """
    TASK_ROWS = """
        classifier                  head/logits       TextClassifier TokenClassifier MultipleChoice
        qa_outputs                  head/logits       QuestionAnswering
        predictions.dense           head/transform    MaskedLM PreTraining
        predictions.LayerNorm       head/norm         MaskedLM PreTraining
        predictions.bias            head/bias         MaskedLM PreTraining
        predictions.decoder.bias    =head/bias        MaskedLM PreTraining
        predictions.decoder.weight  =backbone/token_embedding/embeddings  MaskedLM PreTraining
        sop_classifier.classifier   -                 MaskedLM
        sop_classifier.classifier   head/pair_logits  PreTraining
    """
    CONFIG = {
        **Bert.CONFIG,
        "vocab_size": ("embedding.vocabulary_size", 30000),
        "embedding_size": ("embedding_width", 128),
        "hidden_size": ("hidden_dim", 4096),
        "num_hidden_groups": ("num_groups", 1),
        "num_attention_heads": ("num_heads", 64),
        "intermediate_size": ("intermediate_dim", 16384),
        "hidden_act": ("feedforward.activation", "gelu_new"),
        "hidden_dropout_prob": ("dropout", 0.0),
        "attention_probs_dropout_prob": ("attention_dropout", 0.0),
    }
    HEAD_DROPOUT = {
        "TextClassifier": ("classifier_dropout_prob", 0.1),
        "TokenClassifier": ("classifier_dropout_prob", 0.1),
        "MultipleChoice": ("classifier_dropout_prob", 0.1),
        "PreTraining": ("classifier_dropout_prob", 0.1),
    }
