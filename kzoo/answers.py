"""From raw outputs to what a user asked for, with NumPy alone: the same on every runtime.

The tasks in Keras, `kzoo predict` and every client that reads a bundle (Kotlin, JavaScript) answer
by these rules; a client in another language is held against this module.
"""

import unicodedata
from collections import Counter

import numpy as np

from .errors import KzooError

LONGEST_ANSWER = 30  # tokens, as in arXiv:1810.04805's SQuAD code
# Chinese characters, as BERT's tokenizer has them: each is a word of its own.
CHINESE = (
    (0x4E00, 0x9FFF), (0x3400, 0x4DBF), (0x20000, 0x2A6DF), (0x2A700, 0x2CEAF),
    (0xF900, 0xFAFF), (0x2F800, 0x2FA1F),
)  # fmt: skip


def probabilities(logits):
    """Softmax over the last axis, in float64; a sigmoid where there is one logit."""
    if np.shape(logits)[-1] == 1:
        return 1 / (1 + np.exp(-np.asarray(logits, "float64")))
    return softmax(logits)


def softmax(logits):
    """Softmax over the last axis, in float64."""
    logits = np.asarray(logits, "float64")
    raised = np.exp(logits - logits.max(-1, keepdims=True))
    return raised / raised.sum(-1, keepdims=True)


def check_labels(labels, what="labels"):
    """Raise KzooError for anything but a list of different names; `what` says whose they are.

    An answer names its label alone, so two of one name could not be told apart, nor two that
    differ by blanks around them.
    """
    listed = isinstance(labels, (list, tuple)) or np.ndim(labels) == 1
    names = [str(label).strip() for label in labels] if listed else []
    if not names or any(label is None or np.ndim(label) for label in labels):
        raise KzooError(
            f"{what} is {labels!r:.60}; a list of different names is expected, such as "
            '["negative", "positive"].'
        )
    name, times = Counter(names).most_common(1)[0]
    if times > 1:
        raise KzooError(
            f"{what} has {name!r:.60} {'twice' if times == 2 else f'{times} times'}; a list of "
            "different names is expected: give each class a name of its own."
        )


def classification(row, labels):
    """{"label", "score", "scores"} of one text's probabilities: the likeliest label, and all."""
    if len(labels) == 1:
        return {"label": labels[0], "score": float(row[0]), "scores": {labels[0]: float(row[0])}}
    best = int(row.argmax())
    scores = {label: float(score) for label, score in zip(labels, row, strict=True)}
    return {"label": labels[best], "score": float(row[best]), "scores": scores}


# -- entities -----------------------------------------------------------------------------------


def entities(text, scores, offsets, labels):
    """The spans of a text that are something, by probabilities of labels for its tokens.

    A word has the label of its first token, which is the one that learned; it ends with the last
    of its tokens. Words with the same kind of label in a row are one span, unless a label says
    that a span begins ("B-"; "S-" and "U-" where single words have marks of their own). "O" is
    no kind. The score of a span is the mean probability of its words' labels.

    Args:
        text: the string.
        scores: (tokens or more, labels).
        offsets: (start, end) of each token in code points; nothing for special tokens.
        labels: their names, such as "B-PER".

    Returns:
        A list of {"label", "score", "start", "end", "text"} in the order of the text.
    """
    spans, open_kind = [], None
    for word in words_of(text, offsets):
        best = int(scores[word["token"]].argmax())
        begins, kind = _parts(labels[best])
        if kind != "O" and (kind != open_kind or begins):
            spans.append({"label": kind, "scores": [], "start": word["start"]})
        open_kind = kind
        if kind != "O":
            spans[-1]["end"] = word["end"]
            spans[-1]["scores"].append(float(scores[word["token"], best]))
    return [
        {
            "label": span["label"],
            "score": float(np.mean(span["scores"])),
            "start": span["start"],
            "end": span["end"],
            "text": text[span["start"] : span["end"]],
        }
        for span in spans
    ]


def words_of(text, offsets):
    """Each word's first token and its characters: {"token", "start", "end"}."""
    words = []
    for token, (start, end) in enumerate(offsets):
        if not 0 <= start < end:
            continue
        last = words[-1]["end"] if words else 0
        # Tokens of one character's bytes overlap; the pieces of a word meet within it.
        if words and (start < last or (start == last and _within(text[last - 1], text[start]))):
            words[-1]["end"] = max(last, int(end))
        else:
            words.append({"token": token, "start": int(start), "end": int(end)})
    return words


def label_parts(labels):
    """For each label whether it says that a span begins, and its kind."""
    return [_parts(label) for label in labels]


def _within(before, after):
    """Whether two neighbours belong to one word: letters, marks or numbers, none Chinese."""
    return all(
        unicodedata.category(character)[0] in "LMN"
        and not any(first <= ord(character) <= last for first, last in CHINESE)
        for character in (before, after)
    )


def _parts(label):
    """Whether a label says that a span begins, and its kind: "B-PER" is (True, "PER")."""
    if len(label) > 2 and label[1] == "-":
        return label[0] in "BSU", label[2:]
    return False, label


# -- answers to questions -----------------------------------------------------------------------


def answer(context, windows):
    """The likeliest span of a context: {"answer", "score", "start", "end"}.

    The score is the probability of its first token as the start times that of its last token as
    the end, each a softmax over the tokens of its window; the best window wins, the earlier of
    equals. Where a window has no answer its model points at the special tokens, so all that it
    has of the context scores low.

    Args:
        context: the string.
        windows: (start logits, end logits, offsets) for each window; offsets as for `entities`,
            one for each token of the window that is not padding, and nothing for the question.
    """
    best = {"answer": "", "score": 0.0, "start": 0, "end": 0}
    for start_logits, end_logits, offsets in windows:
        found = span(start_logits, end_logits, offsets)
        if found and found[2] > best["score"]:
            start, end = int(offsets[found[0]][0]), int(offsets[found[1]][1])
            best = {"answer": context[start:end], "score": found[2], "start": start, "end": end}
    return best


def span(start_logits, end_logits, offsets, longest=LONGEST_ANSWER):
    """First token, last token and probability of the likeliest span over real characters."""
    size = len(offsets)
    real = np.array([0 <= start < end for start, end in offsets], bool)
    if not real.any():
        return None
    start, end = (softmax(logits[:size]) for logits in (start_logits, end_logits))
    score = start[:, None] * end[None, :]
    allowed = np.triu(np.ones((size, size), bool)) & ~np.triu(np.ones((size, size), bool), longest)
    score[~(allowed & real[:, None] & real[None, :])] = -1
    first, last = np.unravel_index(score.argmax(), score.shape)
    return int(first), int(last), float(score[first, last])


# -- by task, for `kzoo predict` ----------------------------------------------------------------


def _classifier(text, rows, labels):
    return classification(probabilities(rows[0][0]["logits"])[0], labels)


def _embedder(text, rows, labels):
    return {"embedding": [float(value) for value in rows[0][0]["embedding"][0]]}


def _token_classifier(text, rows, labels):
    outputs, offsets = rows[0]
    return {"entities": entities(text, probabilities(outputs["logits"])[0], offsets, labels)}


def _question_answering(text, rows, labels):
    windows = [
        (outputs["start_logits"][0], outputs["end_logits"][0], offsets) for outputs, offsets in rows
    ]
    return answer(text[1], windows)


# What a task answers for a text, or pair: of the text, its rows (outputs, offsets of the tokens
# that are not padding) and the labels. A bundle of another task can be verified all the same.
ANSWERS = {
    "TextClassifier": _classifier,
    "TextEmbedder": _embedder,
    "TokenClassifier": _token_classifier,
    "QuestionAnswering": _question_answering,
}
