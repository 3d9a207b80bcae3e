"""ELECTRA: Clark et al. 2020, arXiv:2003.10555. BERT that learns which tokens were replaced."""

import keras

from ..errors import KzooError
from ..graphs import Stack
from ..parts import completed
from ..values import is_number
from .bert import Bert

RATIO = 0.25  # how wide a generator is beside its discriminator: a quarter to a half, section 3.2


def generator_of(spec, ratio=RATIO):
    """The spec of the generator that a discriminator of a spec learns from.

    It reads the same tokens by a table as wide, in as many layers; its width, that of its
    feed-forward nets and its heads are fewer, each head as wide as there (section 3.2 and
    appendix A: 1/4 for the small and the large model, 1/3 for the base one).

    Args:
        spec: the discriminator's `Spec`, of any family that reads tokens.
        ratio: the generator's width as a share of the discriminator's.

    Raises:
        KzooError: for what is no share.
    """
    if not is_number(ratio, 0, 1) or not ratio:
        raise KzooError(
            f"Got the ratio {ratio!r:.40} for a generator; expected its share of the "
            "discriminator's width, above 0 and up to 1, such as 0.25."
        )
    head_dim = spec.head_dim or spec.hidden_dim // spec.num_heads
    width = max(2, round(spec.hidden_dim * ratio))
    heads = max(1, width // head_dim)
    slot = completed("embedding", spec.embedding)
    return spec.replace(
        embedding={**slot, "dim": slot["dim"] or spec.hidden_dim},
        hidden_dim=width - width % heads,
        num_heads=heads,
        num_key_value_heads=0,
        intermediate_dim=max(1, round(spec.intermediate_dim * ratio)),
        pooler="none",
    )


@keras.saving.register_keras_serializable("kzoo")
class Electra(Stack):
    """ELECTRA, discriminator and generator; `kzoo.ReplacedTokenDetection` trains both."""

    family = "electra"
    HEADS = {
        "TextClassifier": {"kind": "first", "activation": "gelu"},
        "MultipleChoice": {"kind": "first", "activation": "gelu"},
    }

    # Hugging Face, as in bert.py.
    MODEL_TYPES = {"electra": "Electra"}
    PREFIX = "electra."
    CLASSES = {**Bert.READERS, "ForPreTraining": "ReplacedTokenDetection"}
    FIXED = {"pooler": "none"}
    LM_ACTIVATION = "gelu"  # whatever the feed-forward nets have
    ROWS = f"""
        embeddings.word_embeddings        token_embedding
        embeddings.token_type_embeddings  segment_embedding
        embeddings.position_embeddings    position
        embeddings.LayerNorm              embedding_norm
        embeddings_project                embedding_projection
        {Bert.BLOCKS}
        embeddings.position_ids           -
        embeddings.token_type_ids         -
    """
    TASK_ROWS = """
        classifier.dense                            head/hidden     TextClassifier
        classifier.out_proj                         head/logits     TextClassifier
        sequence_summary.summary                    head/hidden     MultipleChoice
        classifier                                  head/logits     TokenClassifier MultipleChoice
        qa_outputs                                  head/logits     QuestionAnswering
        generator_predictions.dense                 head/transform  MaskedLM
        generator_predictions.LayerNorm             head/norm       MaskedLM
        generator_lm_head.bias                      head/bias       MaskedLM
        generator_lm_head.weight  =backbone/token_embedding/embeddings  MaskedLM
        discriminator_predictions.dense             head/hidden     ReplacedTokenDetection
        discriminator_predictions.dense_prediction  head/logits     ReplacedTokenDetection
    """
    CONFIG = {
        **Bert.CONFIG,
        "embedding_size": ("embedding.dim", 128),
        "hidden_size": ("hidden_dim", 256),
        "num_attention_heads": ("num_heads", 4),
        "intermediate_size": ("intermediate_dim", 1024),
    }
    # What a choice among several answers is scored by there.
    REQUIRED = {
        "summary_type": (("first",), "first"),
        "summary_use_proj": ((True,), True),
        "summary_activation": (("gelu",), "gelu"),
    }
    HEAD_DROPOUT = {
        "TextClassifier": ("classifier_dropout", None),
        "TokenClassifier": ("classifier_dropout", None),
        "MultipleChoice": ("summary_last_dropout", 0.1),
    }
