"""BERT: Devlin et al. 2018, arXiv:1810.04805."""

import keras

from ..graphs import Stack


@keras.saving.register_keras_serializable("kzoo")
class Bert(Stack):
    """BERT in every published size; also the body of MiniLM and other Sentence-BERT models."""

    family = "bert"
    HEADS = {"TextClassifier": "pooled", "MultipleChoice": "pooled"}

    # Hugging Face: names and prefix of the family; classes there by what follows the name, and the
    # task of each here (of two for one task, the first is what an export is called); what no
    # config says; rows (`checkpoints/rows.py`) and config keys (`checkpoints/config.py`); where a
    # head has a dropout of its own.
    MODEL_TYPES = {"bert": "Bert"}
    PREFIX = "bert."
    READERS = {
        "Model": None,
        "ForSequenceClassification": "TextClassifier",
        "ForTokenClassification": "TokenClassifier",
        "ForQuestionAnswering": "QuestionAnswering",
        "ForMaskedLM": "MaskedLM",
        "ForMultipleChoice": "MultipleChoice",
    }
    PRETRAINED = {**READERS, "ForPreTraining": "PreTraining"}
    CLASSES = {**PRETRAINED, "ForNextSentencePrediction": "NextSentence"}
    FIXED = {}
    BLOCK = "encoder.layer.{step}"
    BODY = f"""
        {BLOCK}.attention.output.dense      block_{{step}}/attention/output
        {BLOCK}.attention.output.LayerNorm  block_{{step}}/attention_norm
        {BLOCK}.intermediate.dense          block_{{step}}/feedforward/up
        {BLOCK}.output.dense                block_{{step}}/feedforward/down
        {BLOCK}.output.LayerNorm            block_{{step}}/feedforward_norm
    """
    BLOCKS = f"""
        {BLOCK}.attention.self.{{query|key|value}}  block_{{step}}/attention/{{query|key|value}}
        {BODY}
    """
    ROWS = f"""
        embeddings.word_embeddings        token_embedding
        embeddings.token_type_embeddings  segment_embedding
        embeddings.position_embeddings    position
        embeddings.LayerNorm              embedding_norm
        {BLOCKS}
        pooler.dense                      pooler?
        embeddings.position_ids           -
        embeddings.token_type_ids         -
    """
    PRETRAINED_ROWS = """
        cls.predictions.transform.dense      head/transform    MaskedLM PreTraining
        cls.predictions.transform.LayerNorm  head/norm         MaskedLM PreTraining
        cls.predictions.bias                 head/bias         MaskedLM PreTraining
        cls.predictions.decoder.bias         =head/bias        MaskedLM PreTraining
        cls.predictions.decoder.weight       =backbone/token_embedding/embeddings  MaskedLM
        cls.predictions.decoder.weight       =backbone/token_embedding/embeddings  PreTraining
        cls.seq_relationship                 -                 MaskedLM
        cls.seq_relationship                 head/pair_logits  PreTraining
        cls.seq_relationship                 head/logits       NextSentence
    """
    TASK_ROWS = f"""
        classifier                           head/logits       TextClassifier
        classifier                           head/logits       TokenClassifier MultipleChoice
        qa_outputs                           head/logits       QuestionAnswering
        {PRETRAINED_ROWS}
    """
    CONFIG = {
        "vocab_size": ("embedding.vocabulary_size", 30522),
        "hidden_size": ("hidden_dim", 768),
        "num_hidden_layers": ("num_layers", 12),
        "num_attention_heads": ("num_heads", 12),
        "intermediate_size": ("intermediate_dim", 3072),
        "hidden_act": ("feedforward.activation", "gelu"),
        "hidden_dropout_prob": ("dropout", 0.1),
        "attention_probs_dropout_prob": ("attention_dropout", 0.1),
        "max_position_embeddings": ("position_rows", 512),
        "type_vocab_size": ("embedding.num_segments", 2),
        "initializer_range": ("initializer_range", 0.02),
        "layer_norm_eps": ("norm.epsilon", 1e-12),
        "pad_token_id": ("embedding.padding_id", 0),
    }
    HEAD_DROPOUT = {
        "TextClassifier": ("classifier_dropout", None),
        "TokenClassifier": ("classifier_dropout", None),
        "MultipleChoice": ("classifier_dropout", None),
    }
