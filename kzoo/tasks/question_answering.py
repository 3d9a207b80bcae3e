"""Where in a text the answer to a question stands: SQuAD, arXiv:1606.05250."""

import keras
import numpy as np
from keras import ops

from ..answers import answer
from ..data.batches import bucketed_batches
from ..errors import KzooError
from .task import TextTask, split_pairs


@keras.saving.register_keras_serializable("kzoo")
class QuestionAnswering(TextTask):
    """Answer questions with spans of a context.

    On the token dict it returns {"start_logits", "end_logits"}, each (batch, length). `predict`
    takes (question, context) pairs; contexts of any length are read in overlapping windows. It
    gives a dict with answer, score, start and end (characters of the context) for each, by the
    rule of `kzoo.answers.answer`. `fit` takes the same pairs with (start, end) characters as
    targets.
    """

    task_name = "QuestionAnswering"

    default_head = "span"
    output_axes = {"start_logits": 2, "end_logits": 2}

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
        return self.tokenizer.windows(questions, contexts, max_length=self.max_length)

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
            max_length=self.max_length,
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
        _, contexts = self._pairs(x)
        rows = self._windows(x)
        columns = {name: rows[name] for name in self.backbone.input_names}
        order, outputs = self._run(columns, batch_size, verbose)
        logits = (
            pair
            for out in outputs
            for pair in zip(out["start_logits"], out["end_logits"], strict=True)
        )
        of_row = dict(zip(order.tolist(), logits, strict=True))
        windows = [[] for _ in contexts]
        for row, sample in enumerate(rows["sample_ids"]):
            windows[sample].append((*of_row[row], rows["offsets"][row]))
        return [answer(*both) for both in zip(contexts, windows, strict=True)]


@keras.saving.register_keras_serializable("kzoo")
class SpanLoss(keras.losses.Loss):
    """Mean cross-entropy of start and end: targets (batch, 2), logits (batch, 2, length)."""

    def call(self, y_true, y_pred):
        """One loss an example."""
        losses = keras.losses.sparse_categorical_crossentropy(y_true, y_pred, from_logits=True)
        return ops.mean(losses, axis=-1)
