"""A label for every word: named entities, parts of speech (arXiv:1810.04805 section 5.3)."""

from dataclasses import replace

import keras
import numpy as np

from ..answers import entities, label_parts, probabilities, stitched, words_of
from ..data.batches import IGNORED
from ..data.examples import listed
from ..data.labels import unknown_label
from ..data.words import checked_spans, read_words, tag_names, with_starts
from ..errors import KzooError
from ..text.tokenizer import default_stride
from .classes import class_index, class_weights
from .places import PlaceAccuracy, PlaceTask
from .span_metrics import EntityF1


@keras.saving.register_keras_serializable("kzoo")
class TokenClassifier(PlaceTask):
    """Label the words of a text, such as `labels=["O", "B-PER", "I-PER"]`.

    On the token dict it returns {"logits": (batch, length, labels)}. `fit` takes lists of words
    with a label a word, by name or index as for `TextClassifier`, or -100 for a word that isn't
    learned; a word's first token learns, its others don't. It also takes strings with lists of
    spans, (start, end, kind) in characters, such as (0, 4, "PER"), and files: CoNLL's columns,
    JSON of words and tags, and what annotation tools write, see `kzoo.data.words`.
    `predict` takes strings of any length, which are read in overlapping windows, and gives for
    each the entities as dicts with label, score, start, end and text, by the rules of
    `kzoo.answers.entities` and `stitched`.
    """

    task_name = "TokenClassifier"

    reads = "text"
    default_head = "token"
    names_labels = True
    rule = "entities"
    read_file = staticmethod(read_words)

    @classmethod
    def understand(cls, examples, problem=None, labels=None, learning=True):
        """The tags as labels, "O" first; spans begin with the "B-" that the labels have."""
        names = tag_names(examples, labels)
        if isinstance(examples.x[0], list):
            rows = []
            for number, tags in enumerate(examples.y):
                rows.append([class_index(tag, names) if tag != IGNORED else tag for tag in tags])
                if None in rows[-1]:
                    tag = tags[rows[-1].index(None)]
                    raise unknown_label(examples.where(number), tag, names)
            named = [[tag if tag == IGNORED else names[tag] for tag in row] for row in rows]
            notes = list(examples.notes)
            examples = replace(examples, y=with_starts(named, names, notes), notes=notes)
        return {"labels": names}, examples

    def default_metrics(self):
        """F1 of entities, where labels mark them, and the share of words that are right."""
        entities = any(begins for begins, _ in label_parts(self.labels))
        return [EntityF1(self.labels), PlaceAccuracy()] if entities else [PlaceAccuracy()]

    def monitored(self):
        """See `TextTask`."""
        return self.default_metrics()[0].name

    def _words(self, x):
        if not all(isinstance(words, (list, tuple)) for words in x):
            raise KzooError(
                "fit of a TokenClassifier takes lists of words, such as ['A', 'b'], or strings "
                "with spans; expected the same kind throughout."
            )
        return self.tokenizer.encode_words([list(words) for words in x], self.max_length)

    def encode_examples(self, x):
        """Lists of words, or texts, as ragged columns."""
        columns = self._texts(x) if _are_texts(x) else self._words(x)
        return {name: columns[name] for name in self.backbone.input_names}

    def _texts(self, x):
        return self.tokenizer.encode(list(x), max_length=self.max_length, offsets=True)

    def encode_targets(self, y, x):
        """A class index for the first token of each word, -100 elsewhere; ragged."""
        if _are_texts(x):
            return self._targets_of_spans(y, x)
        targets = []
        for i, (labels, word_ids) in enumerate(zip(y, self._words(x)["word_ids"], strict=True)):
            if np.ndim(labels) != 1 or len(labels) != len(x[i]):
                raise KzooError(
                    f"Example {i} has {len(x[i])} words and the labels {labels!r:.60}; a list of "
                    "one a word is expected."
                )
            numbers = [
                class_index(label, self.labels) if label != IGNORED else IGNORED for label in labels
            ]
            if None in numbers:
                raise KzooError(
                    f"Example {i} has the label {labels[numbers.index(None)]!r}; known: "
                    f"{listed(self.labels)}."
                )
            row, last = [], -1
            for word in word_ids:
                row.append(numbers[word] if word != last and word >= 0 else IGNORED)
                last = word
            targets.append(row)
        return targets

    def _targets_of_spans(self, y, x):
        """The same of texts with spans: a word has the tag of the span that it stands in."""
        parts = label_parts(self.labels)
        marks = {}  # {kind: {whether a span begins there: the label}}
        for number, (begins, kind) in enumerate(parts):
            marks.setdefault(kind, {}).setdefault(begins, number)
        if "O" not in marks:
            raise KzooError(f"Spans need a label O for all else; got {listed(self.labels)}.")
        columns, targets = self._texts(x), []
        for i, (text, given) in enumerate(zip(x, y, strict=True)):
            spans = checked_spans(f"Example {i}", text, given)
            for span in spans:
                if span[2] not in marks:
                    raise KzooError(
                        f"Example {i} has the span {span!r:.60}; expected (start, end, kind) with "
                        f"a kind of {listed(marks)}."
                    )
            row, last = [IGNORED] * len(columns["token_ids"][i]), None
            for word in words_of(text, columns["offsets"][i], columns["word_ids"][i]):
                held = next((s for s in spans if s[0] < word["end"] and word["start"] < s[1]), None)
                mark = marks["O" if held is None else held[2]]
                row[word["token"]] = mark.get(held is not last, next(iter(mark.values())))
                last = held
            targets.append(row)
        return targets

    def class_weights(self, class_weight, x):
        """The weights of the labels."""
        return class_weights(class_weight, self.labels)

    def task_options(self):
        """What a bundle's manifest says of this task beside its labels, as JSON types."""
        return {**super().task_options(), "stride": default_stride(self.max_length)}

    def predict(self, x, batch_size=32, verbose=0, text=None):
        """The entities of each text, as a list of lists of dicts."""
        texts = self._inputs(x, text)
        rows = self.tokenizer.windows(texts, max_length=self.max_length)
        answers = []
        for content, windows in zip(
            texts, self._run_windows(rows, batch_size, verbose), strict=True
        ):
            scored = [(probabilities(out["logits"]), columns) for out, columns in windows]
            scores, offsets, word_ids = stitched(scored)
            answers.append(entities(content, scores, offsets, self.labels, word_ids))
        return answers


def _are_texts(x):
    return all(isinstance(text, str) for text in x)
