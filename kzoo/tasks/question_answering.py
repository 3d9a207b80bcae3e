"""Where in a text the answer to a question stands: SQuAD, arXiv:1606.05250."""

import keras
import numpy as np
from keras import ops

from ..data.batches import bucketed_batches
from ..errors import KzooError
from .task import TextTask, split_pairs

LONGEST_ANSWER = 30  # Tokens; as in arXiv:1810.04805's SQuAD code.


@keras.saving.register_keras_serializable("kzoo")
class QuestionAnswering(TextTask):
    """Answer questions with spans of a context.

    On the token dict it returns {"start_logits", "end_logits"}, each (batch, length). `predict`
    takes (question, context) pairs; contexts of any length are read in overlapping windows. It
    gives a dict with answer, start, end (characters of the context) and score for each. `fit`
    takes the same pairs with (start, end) characters as targets.
    """

    task_name = "QuestionAnswering"

    default_head = "span"

    @property
    def num_outputs(self):
        """Start and end."""
        return 2

    def _pairs(self, x):
        questions, contexts = split_pairs(x)
        if contexts is None:
            raise KzooError("Question answering takes pairs (question, context); strings came.")
        return questions, contexts

    def _windows(self, x):
        questions, contexts = self._pairs(x)
        stride = min(128, self.max_length // 4)
        return self.tokenizer.windows(
            questions, contexts, max_length=self.max_length, stride=stride
        )

    def batches(self, x, y=None, sample_weight=None, **options):
        """Every window is an example; one without the whole answer points to its first token."""
        self._check_targets(y)
        rows = self._windows(x)
        columns = {name: rows[name] for name in self.backbone.input_names}
        targets = self._targets(rows, x, y)
        if sample_weight is not None:
            sample_weight = np.asarray(sample_weight)[rows["sample_ids"]]
        return bucketed_batches(
            columns,
            targets,
            sample_weight=sample_weight,
            padding_id=self.spec.padding_id,
            **options,
        )

    def _targets(self, rows, x, y):
        """The first and last token of the answer in each window, (windows, 2)."""
        for i, ((_, context), span) in enumerate(zip(x, y, strict=True)):
            places = span if isinstance(span, (list, tuple, np.ndarray)) else ()
            if [isinstance(place, (int, np.integer)) for place in places] != [True, True]:
                raise KzooError(
                    f"Answer {i} is {span!r:.60}; the numbers of its first character and of the "
                    "one behind it, (start, end), are expected."
                )
            start, end = places
            if not 0 <= start < end <= len(context):
                raise KzooError(
                    f"Answer {i} runs from {start} to {end}; within the context's "
                    f"{len(context)} characters is expected."
                )
        targets = np.zeros((len(rows["sample_ids"]), 2), "int32")
        for row, sample in enumerate(rows["sample_ids"]):
            start, end = y[sample]
            spans = np.asarray(rows["offsets"][row])
            hit = np.flatnonzero((spans[:, 0] >= 0) & (spans[:, 1] > start) & (spans[:, 0] < end))
            if len(hit) and spans[hit[0], 0] <= start and spans[hit[-1], 1] >= end:
                targets[row] = hit[0], hit[-1]
        return targets

    def default_loss(self):
        """Cross-entropy of the two places."""
        return SpanLoss()

    def default_metrics(self):
        """Accuracy: the share of starts and ends that are found."""
        return [keras.metrics.SparseCategoricalAccuracy(name="accuracy")]

    def scored(self, outputs):
        """Start and end logits as (batch, 2, length)."""
        return ops.stack([outputs["start_logits"], outputs["end_logits"]], axis=1)

    def predict(self, x, batch_size=32, verbose=0, text=None):
        """The best span for each (question, context)."""
        x = self._inputs(x, text)
        questions, contexts = self._pairs(x)
        rows = self._windows(x)
        columns = {name: rows[name] for name in self.backbone.input_names}
        order, outputs = self._run(columns, batch_size, verbose)
        answers = [{"answer": "", "start": 0, "end": 0, "score": float("-inf")} for _ in questions]
        scores = (
            pair
            for out in outputs
            for pair in zip(out["start_logits"], out["end_logits"], strict=True)
        )
        for row, (start_logits, end_logits) in zip(order, scores, strict=True):
            sample, offsets = int(rows["sample_ids"][row]), rows["offsets"][row]
            found = best_span(start_logits, end_logits, offsets)
            if found and found[2] > answers[sample]["score"]:
                start, end = offsets[found[0]][0], offsets[found[1]][1]
                answers[sample] = {
                    "answer": contexts[sample][start:end],
                    "start": int(start),
                    "end": int(end),
                    "score": found[2],
                }
        return answers


def best_span(start_logits, end_logits, offsets, longest=LONGEST_ANSWER):
    """First token, last token and log-probability of the likeliest span over real characters.

    Probabilities are over all tokens of the window: where it has no answer its model points at
    the first one, so all that it has of the context scores low.
    """
    real = np.array([start >= 0 and end > start for start, end in offsets])
    if not real.any():
        return None
    size = len(offsets)
    start, end = (np.asarray(logits[:size], "float64") for logits in (start_logits, end_logits))
    start, end = (x - np.logaddexp.reduce(x) for x in (start, end))
    score = start[:, None] + end[None, :]
    allowed = np.triu(np.ones((size, size), bool)) & ~np.triu(np.ones((size, size), bool), longest)
    score[~(allowed & real[:, None] & real[None, :])] = -np.inf
    first, last = np.unravel_index(score.argmax(), score.shape)
    return int(first), int(last), float(score[first, last])


@keras.saving.register_keras_serializable("kzoo")
class SpanLoss(keras.losses.Loss):
    """Mean cross-entropy of start and end: targets (batch, 2), logits (batch, 2, length)."""

    def call(self, y_true, y_pred):
        """One loss an example."""
        losses = keras.losses.sparse_categorical_crossentropy(y_true, y_pred, from_logits=True)
        return ops.mean(losses, axis=-1)
