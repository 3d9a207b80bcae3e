"""How well a text answers a query, both read at once: a reranker, arXiv:1901.04085."""

import keras
import numpy as np
from keras import ops

from ..answers import check_top, nearest
from ..errors import KzooError
from .text_classifier import TextClassifier


@keras.saving.register_keras_serializable("kzoo")
class CrossEncoder(TextClassifier):
    """A `TextClassifier` of pairs with one label, which ranks texts for a query.

    It is saved, exported and run as one. `fit` takes (query, text) pairs: with 0 or 1 as targets,
    or a number each where the problem is "regression"; or, compiled with `loss=kzoo.ListLoss()`,
    (query, [text, ...]) with the place of the right text, or a grade for each. `predict` gives a
    probability, or a value, for each pair; of logits alone the order is the same.

    Args:
        backbone: as for `Task`; a `TextClassifier` with one label is taken with its head.
        labels: the one label's name; "relevance" by default.
        head, max_length, tokenizer, name, problem: as for `TextClassifier`.
    """

    usual_labels = ("relevance",)

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
        super().__init__(
            backbone, labels, head, max_length, tokenizer, name, problem, threshold, reads
        )
        if len(self.labels) != 1 or self.problem == "multi_label":
            raise KzooError(
                f"Got {len(self.labels)} labels for the problem {self.problem}; a CrossEncoder has "
                "one label or one value: a TextClassifier takes more."
            )

    def rank(self, query, texts, top=None):
        """Texts in the order in which they answer a query.

        Args:
            query: a text.
            texts: a list of some.
            top: how many come back; all by default.

        Returns:
            A list of {"index", "score", "text"}, the best first.
        """
        texts = [texts] if isinstance(texts, str) else list(texts)
        if top is not None:
            check_top(top)
        scores = self.predict([(query, text) for text in texts])[:, 0]
        return nearest(scores, texts, top or len(texts))

    # -- learning lists ---------------------------------------------------------------------------

    def encode_examples(self, x):
        """Pairs as rows; a query and its list as a row of several sequences."""
        if not _is_lists(x):
            return super().encode_examples(x)
        columns = self.columns_of_lists(x)
        counts = sorted({len(texts) for _, texts in x})
        if len(counts) > 1:
            raise KzooError(f"The lists have {counts} texts; expected one number for all.")
        return columns

    def encode_targets(self, y, x=None):
        """As a classifier's; of lists rows of grades, or of 1 at the place of the right text."""
        by_list = isinstance(getattr(self, "loss", None), ListLoss)
        if by_list != _is_lists(x):
            raise KzooError(
                "Got (query, [text, ...]) without ListLoss, or pairs with it; expected lists, and "
                "compile(loss=kzoo.ListLoss()), or pairs and another loss."
            )
        if not by_list:
            return super().encode_targets(y, x)
        grades, count = list(y), len(x[0][1])
        if all(np.ndim(grade) == 0 for grade in grades):
            whole = [isinstance(g, (int, np.integer)) and 0 <= g < count for g in grades]
            if not all(whole):
                i = whole.index(False)
                raise KzooError(
                    f"Target {i} is {grades[i]!r:.40}; expected the place of the right text, 0 to "
                    f"{count - 1}, or a grade for each."
                )
            return np.eye(count, dtype="float32")[np.asarray(grades, "int64")]
        try:
            rows = np.asarray(grades, "float32")
        except (TypeError, ValueError):
            rows = np.zeros(0)
        if rows.shape != (len(x), count) or not (rows >= 0).all() or not rows.any(-1).all():
            raise KzooError(
                f"The targets are {grades[0]!r:.60} and so on; expected {count} grades a query, "
                "none below zero and one above."
            )
        return rows

    def compile(self, optimizer=None, loss=None, metrics=None, teacher=None, **kwargs):
        """As for every task; beside `ListLoss` how often the best text comes first."""
        if metrics is None and isinstance(loss, ListLoss):
            kwargs.setdefault("weighted_metrics", [ListAccuracy()])
        super().compile(optimizer, loss, metrics, teacher, **kwargs)


def _is_lists(x):
    """Whether examples are a query and a list of texts."""
    return x is not None and len(x) > 0 and len(x[0]) == 2 and isinstance(x[0][1], (list, tuple))


@keras.saving.register_keras_serializable("kzoo")
class ListLoss(keras.losses.Loss):
    """Cross-entropy over a query's list against the shares of its grades (ListNet, top one).

    Cao et al. 2007, "Learning to rank: from pairwise approach to listwise approach", with grades
    by their sum in the place of their softmax, so that one right text is a plain cross-entropy.
    """

    def call(self, y_true, y_pred):
        """One loss a query: grades (batch, texts), logits (batch, texts, 1)."""
        logits = ops.squeeze(y_pred, -1)
        grades = ops.cast(y_true, logits.dtype)
        shares = grades / ops.sum(grades, axis=-1, keepdims=True)
        return -ops.sum(shares * ops.log_softmax(logits, axis=-1), axis=-1)


@keras.saving.register_keras_serializable("kzoo")
class ListAccuracy(keras.metrics.Mean):
    """How many queries have a text of the largest grade first; ties are shared."""

    def __init__(self, name="accuracy", dtype=None):
        super().__init__(name=name, dtype=dtype)

    def update_state(self, y_true, y_pred, sample_weight=None):
        """Add a batch."""
        logits = ops.squeeze(y_pred, -1)
        grades = ops.cast(y_true, logits.dtype)
        is_first, is_best = (
            ops.cast(ops.equal(each, ops.max(each, axis=-1, keepdims=True)), "float32")
            for each in (logits, grades)
        )
        found = ops.sum(is_first * is_best, axis=-1) / ops.sum(is_first, axis=-1)
        return super().update_state(found, sample_weight)
