"""RoBERTa: Liu et al. 2019, arXiv:1907.11692. BERT with counted places and one segment."""

import keras

from ..graphs import Stack
from .bert import Bert


@keras.saving.register_keras_serializable("kzoo")
class Roberta(Stack):
    """RoBERTa, XLM-RoBERTa and DistilRoBERTa; places are counted over tokens, not padding."""

    family = "roberta"
    HEADS = {
        "TextClassifier": {"kind": "first", "activation": "tanh"},
        "MultipleChoice": "pooled",
    }

    # Hugging Face, as in bert.py.
    MODEL_TYPES = {"roberta": "Roberta", "xlm-roberta": "XLMRoberta"}
    PREFIX = "roberta."
    CLASSES = Bert.READERS
    FIXED = {"position": "counted"}
    LM_ACTIVATION = "gelu"  # whatever the feed-forward nets have
    ROWS = Bert.ROWS
    TASK_ROWS = """
        classifier.dense        head/hidden       TextClassifier
        classifier.out_proj     head/logits       TextClassifier
        classifier              head/logits       TokenClassifier MultipleChoice
        qa_outputs              head/logits       QuestionAnswering
        lm_head.dense           head/transform    MaskedLM
        lm_head.layer_norm      head/norm         MaskedLM
        lm_head.bias            head/bias         MaskedLM
        lm_head.decoder.bias    =head/bias        MaskedLM
        lm_head.decoder.weight  =backbone/token_embedding/embeddings  MaskedLM
    """
    CONFIG = {
        **Bert.CONFIG,
        "vocab_size": ("embedding.vocabulary_size", 50265),
        "pad_token_id": ("embedding.padding_id", 1),
    }
    HEAD_DROPOUT = {
        "TextClassifier": ("classifier_dropout", None),
        "TokenClassifier": ("classifier_dropout", None),
    }
