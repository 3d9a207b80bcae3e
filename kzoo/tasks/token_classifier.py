"""A label for every word: named entities, parts of speech (arXiv:1810.04805 section 5.3)."""

import keras
import numpy as np

from ..answers import entities, probabilities, stitched
from ..data.batches import IGNORED
from ..errors import KzooError
from ..text.tokenizer import default_stride
from .task import PlaceTask, class_index, class_weights


@keras.saving.register_keras_serializable("kzoo")
class TokenClassifier(PlaceTask):
    """Label the words of a text, such as `labels=["O", "B-PER", "I-PER"]`.

    On the token dict it returns {"logits": (batch, length, labels)}. `fit` takes lists of words
    with a label a word, by name or index as for `TextClassifier`, or -100 for a word that isn't
    learned; a word's first token learns, its others don't. `predict` takes strings of any length,
    which are read in overlapping windows, and gives for each the entities as dicts with label,
    score, start, end and text, by the rules of `kzoo.answers.entities` and `stitched`.
    """

    task_name = "TokenClassifier"

    reads = "text"
    default_head = "token"
    names_labels = True
    output_axes = {"logits": 3}

    def _words(self, x):
        if not all(isinstance(words, (list, tuple)) for words in x):
            raise KzooError("fit of a TokenClassifier takes lists of words, such as ['A', 'b'].")
        return self.tokenizer.encode_words([list(words) for words in x], self.max_length)

    def encode_examples(self, x):
        """Lists of words as ragged columns."""
        columns = self._words(x)
        return {name: columns[name] for name in self.backbone.input_names}

    def encode_targets(self, y, x):
        """A class index for the first token of each word, -100 elsewhere; ragged."""
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
                    f"{', '.join(self.labels)}."
                )
            row, last = [], -1
            for word in word_ids:
                row.append(numbers[word] if word != last and word >= 0 else IGNORED)
                last = word
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
