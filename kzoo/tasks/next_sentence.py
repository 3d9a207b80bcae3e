"""Whether a text follows another: BERT's next sentence, ALBERT's order of two."""

import keras

from .pretraining import PreTraining
from .task import loaded
from .text_classifier import TextClassifier

FOLLOWS = ("follows", "does not follow")  # as in `PreTraining`, and in the checkpoints of both


@keras.saving.register_keras_serializable("kzoo")
class NextSentence(TextClassifier):
    """Say whether the second text of a pair follows the first (arXiv:1810.04805).

    A `TextClassifier` of pairs with the labels of `FOLLOWS`, the head of
    BertForNextSentencePrediction; of an ALBERT it says which of two stretches stood first
    (arXiv:1909.11942). Made of a `PreTraining` it has what that learnt of pairs, and no scores of
    tokens.

    Args:
        backbone, labels, head, max_length, tokenizer, name, problem, threshold, reads: as for
            `TextClassifier`, of which labels and reads are known.
    """

    task_name = "NextSentence"

    default_head = {"kind": "pooled", "dropout": 0.0}
    both_may_read = False

    def __init__(
        self,
        backbone,
        labels=None,
        head=None,
        max_length=None,
        tokenizer=None,
        name=None,
        problem=None,
        threshold=None,
        reads="pair",
    ):
        source = loaded(backbone)
        if labels is None and not isinstance(source, NextSentence):
            labels = FOLLOWS
        if isinstance(source, PreTraining):
            max_length = max_length or source.max_length
        super().__init__(
            source, labels, head, max_length, tokenizer, name, problem, threshold, reads
        )
        if isinstance(source, PreTraining):
            there = source.head.pair_logits
            for own, learnt in zip(self.head.logits.weights, there.weights, strict=True):
                own.assign(learnt)
