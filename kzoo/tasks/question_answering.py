"""Where in a text the answer to a question stands: SQuAD, arXiv:1606.05250 and 1806.03822."""

import warnings

import keras
import numpy as np
from keras import ops

from ..answers import answer, null_margin, trimmed
from ..data.batches import bucketed_batches
from ..data.questions import read_pairs, read_questions
from ..errors import KzooError
from ..metrics import answer_scores
from ..text.tokenizer import default_stride
from ..values import is_number, is_whole
from .inputs import split_pairs
from .span_metrics import SpanExact, SpanF1
from .text_task import TextTask

HIDDEN = -1e9  # The logit of a place that is padding.


@keras.saving.register_keras_serializable("kzoo")
class QuestionAnswering(TextTask):
    """Answer questions with spans of a context.

    On the token dict it returns {"start_logits", "end_logits"}, each (batch, length). `predict`
    takes (question, context) pairs; contexts of any length are read in overlapping windows. It
    gives a dict with answer, score, start and end (characters of the context) for each, by the
    rule of `kzoo.answers.answer`.

    `fit` takes the same pairs with (start, end) characters as targets. A question without an
    answer has None, an empty list, or what SQuAD 2 has in its place: a dict without texts, or one
    that says is_impossible. A dict of SQuAD with `text` and `answer_start` is a target as well;
    of several answers, also as a list of (start, end), the first is learned. Files are SQuAD's,
    see `kzoo.data.questions`. Loss and metrics leave padding out, as answers do; transformers'
    loss has the logits at padding in its softmax.

    `evaluate`, and `fit` on its validation data, answer all questions as `predict` does and add
    exact_match and f1 as SQuAD's script counts them, against all answers that are right; in
    training these two are of the spans of tokens, window by window.

    Args:
        no_answer: None, and each answer is a span; or a number, and the answer is empty where no
            answer scores more than that above the best span (see `kzoo.answers.answer`).
            `choose_no_answer` finds one.
        others: as for every task.
    """

    task_name = "QuestionAnswering"

    reads = "pair"
    default_head = "span"
    both_may_read = True
    rule = "span"
    scored_output = None  # Both, in one array.
    read_file = staticmethod(read_questions)
    read_inputs, inputs_end = staticmethod(read_pairs), (".json", ".jsonl")

    def __init__(
        self,
        backbone,
        labels=None,
        head=None,
        max_length=None,
        tokenizer=None,
        name=None,
        no_answer=None,
    ):
        if no_answer is not None and not is_number(no_answer):
            raise KzooError(
                f"no_answer is {no_answer!r:.40}; expected None, or by how much no answer must "
                "score above the best span, such as 0.0."
            )
        self.no_answer = no_answer if no_answer is None else float(no_answer)
        super().__init__(backbone, labels, head, max_length, tokenizer, name)

    def inherit(self, before):
        """Leave questions unanswered as the task did that this one goes on from."""
        self.no_answer = before.no_answer if self.no_answer is None else self.no_answer
        return super().inherit(before)

    @property
    def num_outputs(self):
        """Start and end."""
        return 2

    def task_options(self):
        """What a bundle's manifest says of this task beside its labels, as JSON types."""
        own = {"stride": default_stride(self.max_length), "no_answer": self.no_answer}
        return {**super().task_options(), **own}

    def get_config(self):
        """What rebuilds the task."""
        return {**super().get_config(), "no_answer": self.no_answer}

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
        targets = self._targets(rows, x, [_golds(span)[0] for span in y])
        if sample_weight is not None:
            sample_weight = np.asarray(sample_weight)[rows["sample_ids"]]
        batches = bucketed_batches(
            columns,
            targets,
            sample_weight=sample_weight,
            padding_id=self.backbone.padding_id,
            max_length=self.max_length,
            **options,
        )
        batches.examples = x, y
        return batches

    def _targets(self, rows, x, y):
        """The first and last token of the answer in each window, (windows, 2)."""
        spans = [
            answer_span(given, context, f"Answer {i}")
            for i, ((_, context), given) in enumerate(zip(x, y, strict=True))
        ]
        samples = rows["sample_ids"]
        held = [_held(rows, row, spans[sample]) for row, sample in enumerate(samples)]
        ends = {}  # Of each sample: the first and the last of the context's tokens in its answer.
        for sample, (tokens, _) in zip(samples, held, strict=True):
            if len(tokens):
                first, last = ends.get(sample, (tokens[0], tokens[-1]))
                ends[sample] = min(first, tokens[0]), max(last, tokens[-1])
        for sample, span in enumerate(spans):
            if span is not None and sample not in ends:
                raise KzooError(
                    f"Answer {sample} is {x[sample][1][slice(*span)]!r:.40} (characters {span[0]} "
                    f"to {span[1]}), of which the tokenizer leaves nothing; expected a span with a "
                    "token, or None for a question without an answer."
                )
        targets, whole = np.zeros((len(samples), 2), "int32"), set()
        for row, (sample, (tokens, places)) in enumerate(zip(samples, held, strict=True)):
            if len(tokens) and (tokens[0], tokens[-1]) == ends[sample]:
                targets[row] = places[0], places[-1]
                whole.add(sample)
        if len(whole) < len(ends):
            warnings.warn(
                f"{len(ends) - len(whole)} of {len(ends)} answers stand whole in no window of "
                f"{self.max_length} tokens, so they are learned as no answer: raise max_length, or "
                "leave them out.",
                stacklevel=2,
            )
        return targets

    def default_loss(self):
        """Cross-entropy of the two places."""
        return SpanLoss()

    def default_metrics(self):
        """Accuracy: the share of starts and ends that are found."""
        accuracy = keras.metrics.SparseCategoricalAccuracy(name="accuracy")
        return [SpanExact(), SpanF1(), accuracy]

    def monitored(self):
        """See `TextTask`."""
        return "f1"

    def evaluate_batches(self, batches, return_dict=False, **kwargs):
        """Keras' loop over the windows, and all questions answered and scored as SQuAD does."""
        logs = super().evaluate_batches(batches, return_dict=True, **kwargs)
        pairs, targets = batches.examples
        golds = [
            [context[slice(*span)] for span in _golds(spans) if span is not None]
            for (_, context), spans in zip(pairs, targets, strict=True)
        ]
        answers = self.predict(pairs, batch_size=batches.plan.batch_size)
        logs |= answer_scores(golds, [answer["answer"] for answer in answers])
        return logs if return_dict else list(logs.values())

    def scored(self, outputs, inputs):
        """Start and end logits as (batch, 2, length); padding is no place for an answer."""
        logits = ops.stack([outputs["start_logits"], outputs["end_logits"]], axis=1)
        hidden = ops.cast(ops.equal(inputs["padding_mask"], 0), logits.dtype) * HIDDEN
        return logits + hidden[:, None]

    def predict(self, x, batch_size=32, verbose=0, text=None):
        """The best span for each (question, context)."""
        return [
            answer(context, windows, self.no_answer)
            for context, windows in self._read(self._inputs(x, text), batch_size, verbose)
        ]

    def _read(self, x, batch_size, verbose):
        """For each pair its context and its windows, as `kzoo.answers.answer` takes them."""
        rows = self._windows(x)
        for (_, context), windows in zip(
            x, self._run_windows(rows, batch_size, verbose), strict=True
        ):
            yield (
                context,
                [
                    (out["start_logits"], out["end_logits"], columns["offsets"])
                    for out, columns in windows
                ],
            )

    def choose_no_answer(self, x, y, batch_size=32):
        """Set `no_answer` to the number with which most of these questions are answered right.

        x and y are as for `fit`. Right is the span itself, blanks around it aside, and nothing
        where there is no answer, as SQuAD 2's evaluation has it. Returns the share that is right.
        """
        margins, gains, right = [], [], 0
        for (context, windows), given in zip(self._read(x, batch_size, 0), y, strict=True):
            expected = answer_span(given, context, f"Answer {len(margins)}")
            actual = answer(context, windows)
            margins.append(np.clip(null_margin(context, windows), -1e6, 1e6))
            hit = expected == (actual["start"], actual["end"])
            right += expected is None
            gains.append(int(hit) - int(expected is None))
        # From the smallest margin up, one question after the other gets its span.
        order = np.argsort(margins, kind="stable")
        margins = np.array([margins[order[0]] - 2, *np.array(margins)[order], np.inf])
        totals = right + np.concatenate([[0], np.cumsum(np.array(gains)[order])])
        totals[margins[:-1] == margins[1:]] = -1  # No number stands between equals.
        best = int(totals.argmax())
        self.no_answer = float((margins[best] + min(margins[best + 1], margins[best] + 2)) / 2)
        return float(totals[best] / len(order))


def answer_span(given, context, name):
    """A target of `fit` as (start, end) without blanks around it, or None for no answer.

    Raises KzooError, which calls the target by `name`.
    """
    if isinstance(given, dict):
        given = _of_squad(given, context, name)
    elif isinstance(given, (list, tuple)) and given and isinstance(given[0], dict):
        given = _of_squad(given[0], context, name)
    if given is None or (isinstance(given, (list, tuple, np.ndarray)) and len(given) == 0):
        return None
    places = given if isinstance(given, (list, tuple, np.ndarray)) else ()
    if [isinstance(place, (int, np.integer)) for place in places] != [True, True]:
        raise KzooError(
            f"{name} is {given!r:.60}; the numbers of its first character and of the one behind "
            "it, (start, end), are expected, or None for a question without an answer."
        )
    start, end = map(int, places)
    if not 0 <= start < end <= len(context):
        raise KzooError(
            f"{name} runs from {start} to {end}; within the context's {len(context)} characters "
            "is expected, or None for a question without an answer."
        )
    span = trimmed(context, start, end)
    if span[0] == span[1]:
        raise KzooError(
            f"{name} runs from {start} to {end}, where the context has only blanks "
            f"({context[start:end]!r:.40}); expected characters that are seen, or None for a "
            "question without an answer."
        )
    return span


def _of_squad(given, context, name):
    """(start, end) or None of such as {"text": ["Paris"], "answer_start": [14]}."""
    if given.get("is_impossible") is True:
        return None
    if "answers" in given:
        return answer_span(given["answers"], context, name)
    text, start = given.get("text"), given.get("answer_start")
    if isinstance(text, (list, tuple, np.ndarray)) and isinstance(start, (list, tuple, np.ndarray)):
        if len(text) == len(start) == 0:
            return None
        text, start = (text[0], start[0]) if len(text) and len(start) else (None, None)
    if not isinstance(text, str) or not is_whole(start):
        raise KzooError(
            f"{name} is {given!r:.60}; (start, end), None, or a dict with text and answer_start is "
            "expected."
        )
    if context[start : start + len(text)] != text:
        raise KzooError(
            f"{name} is {text!r:.40} from character {start}, where the context has "
            f"{context[start : start + len(text)]!r:.40}; expected the same (characters count code "
            "points, not bytes)."
        )
    return int(start), int(start) + len(text)


def _held(rows, row, span):
    """The tokens of a window that touch a span: their numbers in the context, and their places."""
    if span is None:
        return (), ()
    offsets = np.asarray(rows["offsets"][row]).reshape(-1, 2)
    front = int((offsets[:, 0] >= 0).argmax())  # Where the context begins.
    places = np.flatnonzero((offsets[:, 1] > span[0]) & (offsets[:, 0] < span[1]))
    places = places[offsets[places, 0] >= 0]
    return (places - front + rows["starts"][row]).tolist(), places.tolist()


def _golds(target):
    """The spans that count as right, the one to learn first; None for no answer."""
    several = isinstance(target, list) and target and isinstance(target[0], (list, tuple))
    return target if several else [target]


@keras.saving.register_keras_serializable("kzoo")
class SpanLoss(keras.losses.Loss):
    """Mean cross-entropy of start and end: targets (batch, 2), logits (batch, 2, length)."""

    def call(self, y_true, y_pred):
        """One loss an example."""
        losses = keras.losses.sparse_categorical_crossentropy(y_true, y_pred, from_logits=True)
        return ops.mean(losses, axis=-1)
