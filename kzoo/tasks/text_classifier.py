"""Which of several labels a text, or a pair of texts, has; or which values."""

import keras

from ..errors import KzooError
from .classifier import Classifier
from .inputs import split_pairs
from .text_task import TextTask


@keras.saving.register_keras_serializable("kzoo")
class TextClassifier(Classifier, TextTask):
    """Classify texts, or pairs of texts, or give them values.

    `TextClassifier("bert_minilm_l6_en_uncased.sst2", labels=["dull", "fair", "great"])` starts
    from weights that ship. On the token dict it returns {"logits": (batch, labels)}; `predict`
    gives an array (texts, labels): of probabilities, or of values for regression.

    What the labels are to a text is the problem, see `Classifier`.

    Args:
        backbone, labels, head, max_length, tokenizer, name: as for `TextTask`.
        problem: one of the three. Without it the loss given to `compile` says which: a binary
            cross-entropy over several labels is for any number of them, and a squared, absolute
            or like error for values; all else is for one.
        threshold: the labels whose probability is at least this are the answer to a text that may
            have several; 0.5 by default.
        reads: "text", "pair" or "either"; by default what the first `fit` shows.
    """

    task_name = "TextClassifier"

    default_head = "mean"
    both_may_read = True

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
        reads=None,
    ):
        if reads not in (None, "text", "pair", "either"):
            raise KzooError(f'Got reads={reads!r:.40}; expected "text", "pair", "either" or None.')
        self.reads = reads
        self.ask(problem, threshold)
        TextTask.__init__(self, backbone, labels, head, max_length, tokenizer, name)

    def inherit(self, before):
        """Read what the classifier read which this one goes on from."""
        if self.continues(before):
            self.reads = self.reads or before.reads
        return super().inherit(before)

    def settle(self, x):
        """What the first `fit` shows: whether an input is a text or a pair of texts."""
        if self.reads is None:
            self.reads = "text" if split_pairs(x)[1] is None else "pair"

    def get_config(self):
        """The arguments."""
        return {**super().get_config(), "reads": self.reads}
