"""BigBird: Zaheer et al. 2020, arXiv:2007.14062. BERT that sees some blocks."""

import keras

from ..graphs import Stack
from ..parts import completed
from .bert import Bert

# A key there, the option here, its usual value.
OPTIONS = {"block_size": ("block", 64), "num_random_blocks": ("random", 3)}
SPARSE = "block_sparse"
KINDS = {SPARSE: "block_sparse", "original_full": "full"}
KINDS_THERE = {here: there for there, here in KINDS.items()}


def attention(config):
    """The attention that a config says; None where it says none that there is."""
    slot = {"kind": KINDS[config.get("attention_type", SPARSE)]}
    if not config.get("use_bias", True):
        slot["bias"] = ["output"]
    if slot["kind"] == "block_sparse":
        slot |= {here: config.get(key, usual) for key, (here, usual) in OPTIONS.items()}
    return slot


def option(key, usual, there):
    """What `CONFIG` says of a key about attention: its usual value, and how it is had from here."""

    def here(value, config):
        return attention({**config, key: value})

    return "attention", lambda config: usual, (here, there)


def head(kind):
    """A head whose activation is that of the nets, of a spec."""

    def of(spec):
        activation = completed("feedforward", spec.slot("feedforward", 0))["activation"]
        return {"kind": kind, "activation": activation}

    return of


@keras.saving.register_keras_serializable("kzoo")
class BigBird(Stack):
    """BigBird, an encoder of long texts; the released ones have RoBERTa's data and BERT's net.

    transformers takes 1e6 off the scores of a question's places where an answer is looked for;
    here an answer is of the context in any case.
    """

    family = "bigbird"
    HEADS = {
        "TextClassifier": head("first"),
        "MultipleChoice": "pooled",
        "QuestionAnswering": head("deep_span"),
    }

    # Hugging Face, as in bert.py.
    MODEL_TYPES = {"big_bird": "BigBird"}
    PREFIX = "bert."
    CLASSES = Bert.PRETRAINED
    FIXED = {}
    ROWS = f"""
        embeddings.word_embeddings        token_embedding
        embeddings.token_type_embeddings  segment_embedding
        embeddings.position_embeddings    position
        embeddings.LayerNorm              embedding_norm
        {Bert.BLOCKS}
        pooler                            pooler?
        embeddings.position_ids           -
        embeddings.token_type_ids         -
    """
    TASK_ROWS = f"""
        {Bert.PRETRAINED_ROWS}
        classifier.dense                    head/hidden  TextClassifier
        classifier.out_proj                 head/logits  TextClassifier
        classifier                          head/logits  TokenClassifier MultipleChoice
        qa_classifier.intermediate.dense    head/up      QuestionAnswering
        qa_classifier.output.dense          head/down    QuestionAnswering
        qa_classifier.output.LayerNorm      head/norm    QuestionAnswering
        qa_classifier.qa_outputs            head/logits  QuestionAnswering
    """
    CONFIG = {
        **Bert.CONFIG,
        "vocab_size": ("embedding.vocabulary_size", 50358),
        "hidden_act": ("feedforward.activation", "gelu_new"),
        "max_position_embeddings": ("position_rows", 4096),
        "rescale_embeddings": ("embedding.scaled", False),
        "attention_type": option(
            "attention_type", SPARSE, lambda held, config: KINDS_THERE.get(held["kind"])
        ),
        "use_bias": option("use_bias", True, lambda held, config: "query" in held["bias"]),
        **{
            key: option(key, usual, lambda held, config, here=here, key=key, usual=usual: held.get(
                here, config.get(key, usual)
            ))
            for key, (here, usual) in OPTIONS.items()
        },
    }  # fmt: skip
    HEAD_DROPOUT = {
        "TextClassifier": ("classifier_dropout", None),
        "TokenClassifier": ("classifier_dropout", None),
    }
