"""Classification by a network that writes: examples in the prompt, the likeliest label's tokens.

GPT-3's protocol (Brown et al. 2020, arXiv:2005.14165, section 2.4) with the calibration of Zhao et
al. 2021 (arXiv:2102.09690).
"""

import numpy as np

from ..answers import classification
from ..errors import KzooError
from .logit_processors import softmax


class FewShot:
    """A classifier made of examples and a template.

    Args:
        score: `score(prompts, continuations)` gives for each pair the log-probabilities of the
            continuation's tokens behind the prompt, a list of arrays.
        examples: [(text, label), ...] that stand before the text that is asked about; none is
            zero-shot.
        labels: what stands in the prompt for each label: a list, or a dict from label to text; by
            default those of the examples, in their order.
        template: one example, with `{text}` and at its end `{label}`.
        separator: what stands between two examples.
        is_length_normalised: a label's score is the mean over its tokens, not their sum.
        neutral_texts: texts without content such as "N/A", or one of them, by whose mean answer
            all others are corrected; none is no calibration.

    Raises:
        KzooError: for a template without its two fields, examples of other labels, and what is no
            text where one is expected.
    """

    def __init__(
        self,
        score,
        examples,
        labels=None,
        template="{text}\n{label}",
        separator="\n\n",
        is_length_normalised=False,
        neutral_texts=(),
    ):
        if isinstance(examples, str) or not hasattr(examples, "__iter__"):
            raise KzooError(f"Got the examples {examples!r:.60}; expected a list of (text, label).")
        examples = [_checked_example(example) for example in examples]
        if labels is None:
            labels = list(dict.fromkeys(label for _, label in examples))
        if isinstance(labels, str) or not hasattr(labels, "__iter__"):
            raise KzooError(f"Got the labels {labels!r:.60}; expected a list or dict of texts.")
        self.labels = list(labels)
        self.verbalised = list(labels.values()) if isinstance(labels, dict) else self.labels
        if len(self.labels) < 2 or not all(isinstance(t, str) and t for t in self.verbalised):
            raise KzooError(f"Got the labels {labels!r:.60}; expected two or more texts.")
        if len(set(self.verbalised)) < len(self.verbalised):
            raise KzooError(
                f"Got the labels {self.verbalised!r:.60}; expected a text of its own for each."
            )
        _check_template(template)
        if not isinstance(separator, str):
            raise KzooError(f"Got the separator {separator!r:.40}; expected a text.")
        self.before, between = template[: -len("{label}")].split("{text}")
        self.between = between.rstrip(" ")
        self.blanks = between[len(self.between) :]
        self.separator = separator
        self.score = score
        self.is_length_normalised = is_length_normalised
        texts = dict(zip(self.labels, self.verbalised, strict=True))
        shots = []
        for text, label in examples:
            if label not in texts:
                raise KzooError(
                    f"Got an example of the label {label!r:.40}; expected one of "
                    f"{', '.join(map(str, self.labels))}."
                )
            shots.append(self._shown(text) + self.blanks + texts[label] + separator)
        self.shots = "".join(shots)
        self.neutral_texts = _checked_texts(neutral_texts)

    def prompt(self, text):
        """What stands before the label of a text, without the template's blanks before `{label}`.

        These belong to the label's first token, see `continuations`.
        """
        return self.shots + self._shown(text)

    @property
    def continuations(self):
        """What each label adds to a prompt."""
        return [self.blanks + text for text in self.verbalised]

    def probabilities(self, texts):
        """The probability of each label, (texts, labels).

        Raises:
            KzooError: for a label without a token, for no text, and for what is none.
        """
        texts = _checked_texts(texts)
        if not texts:
            raise KzooError("Got no text to label; expected one at least.")
        values = softmax(self._scores([*texts, *self.neutral_texts]))
        if not self.neutral_texts:
            return values
        # W = diag(p_neutral)^-1 and b = 0 of the paper, and a sum of 1 again.
        neutral = values[len(texts) :].mean(0)
        calibrated = values[: len(texts)] / np.maximum(neutral, np.finfo("float64").tiny)
        return calibrated / calibrated.sum(-1, keepdims=True)

    def predict(self, texts):
        """For each text {"label", "score", "scores"}: the likeliest label, and all of them."""
        return [classification(row, self.labels) for row in self.probabilities(texts)]

    def _scores(self, texts):
        """The sum, or the mean, of each label's token scores, (texts, labels) float64."""
        count = len(self.labels)
        prompts = [self.prompt(text) for text in texts for _ in range(count)]
        tokens = self.score(prompts, self.continuations * len(texts))
        scores = []
        for number, values in enumerate(tokens):
            if not len(values):
                raise KzooError(
                    f"Got no token for the label {self.verbalised[number % count]!r:.40}; expected "
                    "one at least."
                )
            reduce = np.mean if self.is_length_normalised else np.sum
            scores.append(reduce(np.asarray(values, "float64")))
        return np.reshape(scores, (len(texts), count))

    def _shown(self, text):
        return self.before + text + self.between


def _checked_example(example):
    is_pair = isinstance(example, (list, tuple)) and len(example) == 2
    if not is_pair or not isinstance(example[0], str):
        raise KzooError(f"Got the example {example!r:.60}; expected (text, label).")
    try:
        hash(example[1])
    except TypeError:
        raise KzooError(
            f"Got the example {example!r:.60}; expected a label that is a text or a number."
        ) from None
    return example


def _checked_texts(texts):
    """A list of texts; one alone is a list of it."""
    if isinstance(texts, str):
        return [texts]
    if not hasattr(texts, "__iter__"):
        raise KzooError(f"Got the texts {texts!r:.60}; expected a text or a list of texts.")
    texts = list(texts)
    for text in texts:
        if not isinstance(text, str):
            raise KzooError(f"Got the text {text!r:.60}; expected a text or a list of texts.")
    return texts


def _check_template(template):
    is_whole = isinstance(template, str) and template.endswith("{label}")
    if not is_whole or any(template.count(field) != 1 for field in ("{text}", "{label}")):
        raise KzooError(
            f"Got the template {template!r:.60}; expected {{text}} once, and {{label}} "
            "once at its end."
        )
