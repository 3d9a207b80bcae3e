"""RoFormer: Su et al. 2021, arXiv:2104.09864. BERT whose queries and keys are turned by place."""

import keras

from ..graphs import Stack
from ..nn.position import sinusoids
from .bert import Bert


def waves(spec):
    """The sines and cosines that a file there holds, (places, head_dim): nothing learns them."""
    dim = spec.head_dim or spec.hidden_dim // spec.num_heads
    return sinusoids(spec.max_sequence_length, dim, interleaved=False)


def own_width(width, config):
    """The width of a table of tokens; 0 where it is the model's."""
    return 0 if width == config.get("hidden_size", 768) else width


@keras.saving.register_keras_serializable("kzoo")
class RoFormer(Stack):
    """RoFormer."""

    family = "roformer"
    HEADS = {
        "TextClassifier": lambda spec: {"kind": "first", "activation": spec.activation},
        # transformers reads the last place itself, be it padding; here it is the last token's.
        "MultipleChoice": {"kind": "last", "dropout": 0.0},
    }

    # Hugging Face, as in bert.py.
    MODEL_TYPES = {"roformer": "RoFormer"}
    PREFIX = "roformer."
    CLASSES = Bert.READERS
    FIXED = {"position": "rotary", "pooler": "none"}
    COMPUTED = {"encoder.embed_positions.weight": waves}
    ROWS = f"""
        embeddings.word_embeddings        token_embedding
        embeddings.token_type_embeddings  segment_embedding
        embeddings.LayerNorm              embedding_norm
        embeddings_project                embedding_projection
        {Bert.BLOCKS}
        encoder.embed_positions           -
        embeddings.position_ids           -
    """
    TASK_ROWS = """
        classifier.dense                     head/hidden     TextClassifier
        classifier.out_proj                  head/logits     TextClassifier
        classifier                           head/logits     TokenClassifier MultipleChoice
        qa_outputs                           head/logits     QuestionAnswering
        cls.predictions.transform.dense      head/transform  MaskedLM
        cls.predictions.transform.LayerNorm  head/norm       MaskedLM
        cls.predictions.bias                 head/bias       MaskedLM
        cls.predictions.decoder.bias         =head/bias      MaskedLM
        cls.predictions.decoder.weight  =backbone/token_embedding/embeddings  MaskedLM
    """
    CONFIG = {
        **Bert.CONFIG,
        "vocab_size": ("embedding.vocabulary_size", 50000),
        "embedding_size": (
            "embedding.dim",
            lambda config: config.get("hidden_size", 768),
            (own_width, lambda width, config: width),
        ),
        "max_position_embeddings": ("position_rows", 1536),
    }
    REQUIRED = {
        "rotary_value": ((False,), False),
        # What a choice among several answers is scored by there.
        "summary_type": (("last",), "last"),
        "summary_use_proj": ((False,), False),
        "summary_activation": ((None,), None),
    }
