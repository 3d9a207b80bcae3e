"""From raw outputs to what a user asked for, with NumPy alone: the same on every runtime.

The tasks in Keras, `kzoo predict` and every client that reads a bundle (Kotlin, JavaScript) answer
by these rules; a client in another language is held against this module.
"""

import unicodedata
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from .errors import KzooError
from .values import is_whole

LONGEST_ANSWER = 30  # tokens, as in arXiv:1810.04805's SQuAD code
# Blanks (Unicode's White_Space), and what is seen as little: control characters, the soft hyphen,
# zero-width and direction marks, the byte-order mark. First and last code points.
BLANK = (
    (0x09, 0x0D), (0x20, 0x20), (0x85, 0x85), (0xA0, 0xA0), (0x1680, 0x1680), (0x2000, 0x200A),
    (0x2028, 0x2029), (0x202F, 0x202F), (0x205F, 0x205F), (0x3000, 0x3000),
)  # fmt: skip
INVISIBLE = (
    (0x00, 0x08), (0x0E, 0x1F), (0x7F, 0x84), (0x86, 0x9F), (0xAD, 0xAD), (0x061C, 0x061C),
    (0x180E, 0x180E), (0x200B, 0x200F), (0x202A, 0x202E), (0x2060, 0x206F), (0xFEFF, 0xFEFF),
)  # fmt: skip
UNSEEN = ("Cc", "Cs", "Zl", "Zp")  # control characters, surrogates, ends of lines and paragraphs
JOINERS = "\u00ad\u200c\u200d\u2060\ufeff"  # invisible within a word, such as Persian's
# Schemes that mark where a span begins, goes on, ends, or is a single word, by their letters.
SCHEMES = ("BIES", "BILU", "BMES")
# Chinese characters, as BERT's tokenizer has them: each is a word of its own.
CHINESE = (
    (0x4E00, 0x9FFF), (0x3400, 0x4DBF), (0x20000, 0x2A6DF), (0x2A700, 0x2CEAF),
    (0xF900, 0xFAFF), (0x2F800, 0x2FA1F),
)  # fmt: skip


# What the labels of a classifier are to a text: one of them is its own, any number, or values.
PROBLEMS = ("single_label", "multi_label", "regression")


def class_scores(logits, problem="single_label"):
    """What a classifier's logits say of its labels: probabilities, or for regression values."""
    if problem == "regression":
        return np.asarray(logits, "float64")
    return sigmoid(logits) if problem == "multi_label" else probabilities(logits)


def sigmoid(logits):
    """The logistic function, in float64."""
    return 1 / (1 + np.exp(-np.asarray(logits, "float64")))


def probabilities(logits):
    """Softmax over the last axis, in float64; a sigmoid where there is one logit."""
    if np.shape(logits)[-1] == 1:
        return sigmoid(logits)
    return softmax(logits)


def softmax(logits):
    """Softmax over the last axis, in float64."""
    logits = np.asarray(logits, "float64")
    raised = np.exp(logits - logits.max(-1, keepdims=True))
    return raised / raised.sum(-1, keepdims=True)


def check_labels(labels, what="labels"):
    """Raise KzooError for anything but a list of different names that every client can show.

    An answer names its label alone, so two of one name could not be told apart, nor two that
    differ by blanks around them. Names are lines of a file, columns of a table and words on a
    screen: so none is empty, and none holds a control character, the end of a line or half of a
    surrogate pair. `what` says whose they are.
    """
    check_names(labels, what)
    for label in map(str, labels):
        wrong = next((c for c in label if unicodedata.category(c) in UNSEEN), None)
        is_seen = any(unicodedata.category(c)[0] not in "CZ" for c in label)
        if wrong is not None or not is_seen:
            actual = "nothing that is seen" if wrong is None else f"U+{ord(wrong):04X}"
            raise KzooError(
                f"{what} has {ascii(label):.60} with {actual}; a name that every client can show "
                "is expected, without control characters, line ends and unpaired surrogates."
            )


def check_names(labels, what):
    """Raise KzooError for anything but a list of different names."""
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


def labelling(row, labels, threshold=0.5):
    """{"labels", "scores"} of one text's probabilities: those of at least the threshold, and all.

    The likeliest comes first, of equals the one that stands first among the labels.
    """
    scores = {label: float(score) for label, score in zip(labels, row, strict=True)}
    order = np.argsort(-np.asarray(row), kind="stable")
    return {"labels": [labels[i] for i in order if row[i] >= threshold], "scores": scores}


def described(row, labels, options):
    """The answer of a classifier to one text, of a row of `class_scores`, by its task's options."""
    problem = options.get("problem", "single_label")
    if problem == "regression":
        return {"values": {label: float(v) for label, v in zip(labels, row, strict=True)}}
    if problem == "multi_label":
        return labelling(row, labels, options.get("threshold", 0.5))
    return classification(row, labels)


def similarities(first, second, kind):
    """How near vectors (n, width) are to others (m, width), more for nearer ones: (n, m), float64.

    kind: "cosine" (0 where a vector has no length), "dot", or a distance below zero, "euclidean"
    or "manhattan": the measures of sentence-transformers.
    """
    first, second = np.asarray(first, "float64"), np.asarray(second, "float64")
    if kind in ("euclidean", "manhattan"):
        difference = first[:, None] - second[None]
        if kind == "manhattan":
            return -np.abs(difference).sum(-1)
        return -np.sqrt((difference**2).sum(-1))
    if kind == "cosine":
        first, second = (
            side / np.maximum(np.linalg.norm(side, axis=-1, keepdims=True), 1e-12)
            for side in (first, second)
        )
    return first @ second.T


def centred(vectors):
    """The mean over templates of the vectors of each label, at length one: (labels, dim).

    vectors: (labels, templates, dim), each of length one (arXiv:2103.00020, section 3.1.4).
    """
    means = np.asarray(vectors, "float64").mean(1)
    return means / np.maximum(np.linalg.norm(means, axis=-1, keepdims=True), 1e-12)


def fitting(pictures, labels, scale):
    """How likely each label is for each picture, (pictures, labels), from vectors of both.

    That is the softmax of `scale` times their cosines.
    """
    return softmax(scale * (np.asarray(pictures, "float64") @ np.asarray(labels, "float64").T))


def counted(vectors):
    """The vectors (tokens, width) of places that count: others are zeros."""
    return vectors[np.asarray(vectors).any(-1)]


def max_similarities(queries, documents):
    """How well queries' tokens are met in documents: (queries, documents), float64.

    The sum over the vectors of a query of the largest product with a vector of the document
    (MaxSim, arXiv:2004.12832).

    Args:
        queries, documents: lists of arrays (tokens, width), of any lengths but none.
    """
    if not len(queries) or not len(documents):
        return np.zeros((len(queries), len(documents)))
    if not all(len(each) for each in (*queries, *documents)):
        raise KzooError(
            "Got a text without a vector to compare; expected at least one for each text."
        )
    starts = np.cumsum([0, *(len(each) for each in documents[:-1])])
    every = np.concatenate(list(documents)).astype("float64").T
    return np.array(
        [
            np.maximum.reduceat(np.asarray(query, "float64") @ every, starts, axis=1).sum(0)
            for query in queries
        ]
    )


def check_top(top):
    """Raise KzooError unless `top` is a number of things to find."""
    if not is_whole(top, 1):
        raise KzooError(f"Got top={top!r:.40}; expected a whole number of at least 1.")


def nearest(scores, texts, top, key="text"):
    """What has the largest scores, as {"index", "score", key}, the nearest first.

    texts: what was compared, such as strings, or None where only their vectors are known; of
    equals the earlier comes first.
    """
    order = np.argsort(-np.asarray(scores), kind="stable")[:top]
    named = (lambda place: {}) if texts is None else (lambda place: {key: texts[place]})
    return [{"index": int(i), "score": float(scores[i]), **named(i)} for i in order]


def recalls(scores, right, at=(1, 5, 10)):
    """In which share of queries something right is among the nearest: {k: share}, for each k.

    Args:
        scores: how near each of what is looked through is to each query, (queries, candidates).
        right: which of them are right, bools of the same shape; queries that have none are left
            out.
        at: among how many nearest, one number or several.

    Raises:
        KzooError: for numbers below 1, and where no query has something right.
    """
    scores, right = np.asarray(scores), np.asarray(right, bool)
    at = [at] if is_whole(at) else list(at)
    if not at or not all(is_whole(k, 1) for k in at):
        raise KzooError(f"Got at={at!r:.40}; expected whole numbers of at least 1.")
    known = right.any(axis=1)
    if not known.any():
        raise KzooError("Got queries of which none has a right answer; expected some.")
    order = np.argsort(-scores[known], axis=1, kind="stable")[:, : max(at)]
    hits = np.take_along_axis(right[known], order, axis=1)
    return {k: float(hits[:, :k].any(axis=1).mean()) for k in at}


# -- entities -----------------------------------------------------------------------------------


def entities(text, scores, offsets, labels, word_ids=None):
    """The spans of a text that are something, by probabilities of labels for its tokens.

    A word is what the pre-tokenizer says is one, without the blanks around it. It has the label of
    its first token, which is the one that learned. Words with the same kind of label in a row are
    one span, unless a label says that a span begins ("B-"; "S-" and "U-" where single words have
    marks of their own), see `label_parts`. "O" is no kind. The score of a span is the mean
    probability of its words' labels.

    Args:
        text: the string.
        scores: (tokens or more, labels).
        offsets: (start, end) of each token in code points; nothing for special tokens.
        labels: their names, such as "B-PER".
        word_ids: the number of each token's word, as `Tokenizer.encode` gives it. Where it is
            negative, or without it, letters, marks and numbers that no blank parts are a word, and
            so is each other character, and each Chinese one.

    Returns:
        A list of {"label", "score", "start", "end", "text"} in the order of the text.
    """
    parts = label_parts(labels)
    spans, open_kind = [], None
    for word in words_of(text, offsets, word_ids):
        best = int(scores[word["token"]].argmax())
        begins, kind = parts[best]
        if kind != "O" and (kind != open_kind or begins):
            spans.append({"label": kind, "scores": [], "start": word["start"]})
        open_kind = kind
        if kind != "O":
            spans[-1]["end"] = word["end"]
            spans[-1]["scores"].append(float(scores[word["token"]][best]))
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


def stitched(windows):
    """One row of a text from overlapping windows: its (values, offsets, word_ids).

    A token's are those of the window in which it stands farthest from an end, the earlier of
    equals. So a word, which its first token speaks for, is read with what stands around it.

    Args:
        windows: (values, columns) for each window: values (tokens or more, ...), and the columns
            `offsets`, `word_ids` and the number `starts` of `Tokenizer.windows`.
    """
    best = {}
    for values, columns in windows:
        places = [place for place, (start, _) in enumerate(columns["offsets"]) if start >= 0]
        for number, place in enumerate(places):
            depth = min(number, len(places) - 1 - number)
            token = columns["starts"] + number
            if token not in best or depth > best[token][0]:
                row = values[place], columns["offsets"][place], columns["word_ids"][place]
                best[token] = depth, row
    rows = [best[token][1] for token in sorted(best)]
    values, offsets, word_ids = zip(*rows, strict=True) if rows else ((), (), ())
    return np.array(values), list(offsets), list(word_ids)


def trimmed(text, start, end):
    """A span of a text without blanks and invisible characters at its ends; (end, end) if empty."""
    while start < end and _is_among(text[start], BLANK + INVISIBLE):
        start += 1
    while start < end and _is_among(text[end - 1], BLANK + INVISIBLE):
        end -= 1
    return start, end


def label_parts(labels):
    """For each label whether it says that a span begins, and its kind: "B-PER" is (True, "PER").

    Labels have parts where they follow one of `SCHEMES` as a whole: each "X-kind" among them has
    a letter of it; a span that is ended can begin (E, L and M of a kind stand beside its B); and
    the letter of single words is one of a kind that has a B or an I as well. So "X-ray", "T-shirt",
    "E-mail" and "U-turn" are whole names. X is one code point.
    """
    marked = [label for label in labels if len(label) > 2 and label[1] == "-"]
    letters = {}
    for label in marked:
        letters.setdefault(label[2:], set()).add(label[0])
    used = set().union(*letters.values())
    follows = (
        any(used <= set(scheme) for scheme in SCHEMES)
        and all("B" in marks for marks in letters.values() if marks & set("ELM"))
        and all(
            any(single in m and m & set("BI") for m in letters.values())
            for single in used & set("SU")
        )
    )
    if not follows:
        return [(False, label) for label in labels]
    return [
        (label[0] in "BSU", label[2:]) if label in marked else (False, label) for label in labels
    ]


def words_of(text, offsets, word_ids=None):
    """Each word's first token and its characters: {"token", "start", "end"}.

    A token of blanks alone, such as SentencePiece's space before a Chinese character, is the first
    of the word that follows it: it is the first of that word in training, too.
    """
    word_ids = [-1] * len(offsets) if word_ids is None else word_ids
    words, word = [], None
    for token, ((first, last), number) in enumerate(zip(offsets, word_ids, strict=True)):
        if not 0 <= first <= last:
            continue
        start, end = trimmed(text, int(first), int(last))
        if (
            end == 0 and text[:1] == " "
        ):  # Where trimming puts a byte-level space before everything.
            start = end = 1
        if word is None or not _joins(text, word, number, start):
            word = {"token": token, "number": number, "start": None, "end": end}
            word["is_space"] = text[end - 1 : end] == " " and last - first <= 1
            words.append(word)
        if start < end:
            word["start"] = start if word["start"] is None else min(word["start"], start)
            word["end"], word["number"] = max(word["end"], end), number
    return [word for word in words if word["start"] is not None]


def _joins(text, word, number, start):
    """Whether a token of the word `number` that is seen from `start` on goes on with `word`."""
    between = text[word["end"] : start]
    if any(_is_among(character, BLANK) for character in between):
        return False
    if start < word["end"] or number == word["number"] >= 0:  # One character's bytes overlap.
        return True
    if word["start"] is None:
        return word["is_space"]
    if between and all(character in JOINERS for character in between):
        return True
    return number == word["number"] and _within(text[word["end"] - 1], text[start : start + 1])


def _within(before, after):
    """Whether two neighbours belong to one word: letters, marks or numbers, none Chinese."""
    return all(
        character
        and unicodedata.category(character)[0] in "LMN"
        and not _is_among(character, CHINESE)
        for character in (before, after)
    )


def _is_among(character, ranges):
    return any(first <= ord(character) <= last for first, last in ranges)


# -- answers to questions -----------------------------------------------------------------------


def answer(context, windows, no_answer=None):
    """The likeliest span of a context: {"answer", "score", "start", "end"}.

    The score is the probability of its first token as the start times that of its last token as
    the end, each a softmax over the tokens of its window; the best window wins, the earlier of
    equals.

    With a number as `no_answer` the answer may be empty, as in SQuAD 2 (arXiv:1806.03822): it is
    where the first token, to which models point where a window has no answer, has a sum of start
    and end logits that is larger than that of the best span by more than the number; the window
    where that sum is smallest counts. The score is the probability of that token as start and end.

    Args:
        context: the string.
        windows: a list of (start logits, end logits, offsets); offsets as for `entities`, one for
            each token of the window that is not padding, and nothing for the question.
        no_answer: None, or how much more an empty answer must have than a span.
    """
    windows = [(*logits, _visible(context, offsets)) for *logits, offsets in windows]
    if no_answer is not None and null_margin(context, windows) > no_answer:
        least = min(windows, key=_null_logit)
        return {"answer": "", "score": _null_probability(*least), "start": 0, "end": 0}
    best = {"answer": "", "score": 0.0, "start": 0, "end": 0}
    for start_logits, end_logits, offsets in windows:
        likeliest = span(start_logits, end_logits, offsets)
        if likeliest and likeliest[2] > best["score"]:
            start, end = offsets[likeliest[0]][0], offsets[likeliest[1]][1]
            best = {"answer": context[start:end], "score": likeliest[2], "start": start, "end": end}
    return best


def null_margin(context, windows):
    """By how much the logits of no answer are above those of the best span; see `answer`."""
    spans, nulls = [-np.inf], []
    for start_logits, end_logits, offsets in windows:
        if likeliest := span(start_logits, end_logits, _visible(context, offsets)):
            spans.append(float(start_logits[likeliest[0]]) + float(end_logits[likeliest[1]]))
        nulls.append(_null_logit((start_logits, end_logits)))
    return min(nulls, default=-np.inf) - max(spans)


def _null_logit(window):
    """The sum of a window's logits at its first token."""
    return float(window[0][0]) + float(window[1][0])


def _null_probability(start_logits, end_logits, offsets):
    """The probability of a window's first token as start and end."""
    return float(softmax(start_logits[: len(offsets)])[0] * softmax(end_logits[: len(offsets)])[0])


def _visible(context, offsets):
    """The offsets without blanks at their ends, so that a token of blanks alone has nothing."""
    return [
        trimmed(context, int(start), int(end)) if 0 <= start <= end else (-1, -1)
        for start, end in offsets
    ]


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


# -- boxes ---------------------------------------------------------------------------------------


def detections(logits, boxes, labels, size, threshold=0.5):
    """The things in a picture: [{"label", "score", "box"}], the likeliest first.

    Args:
        logits: (queries, labels + 1), of which the last is that of nothing.
        boxes: (queries, 4), centre x and y, width and height as shares of the picture.
        labels: their names.
        size: (height, width) of the picture in pixels.
        threshold: what a label's probability must be above.

    A box is {"xmin", "ymin", "xmax", "ymax"} in pixels; it may reach beyond the picture.
    """
    scores = softmax(logits)[:, :-1]
    best, score = scores.argmax(-1), scores.max(-1)
    boxes, (height, width) = np.asarray(boxes, "float64"), size
    centre, half = boxes[:, :2], boxes[:, 2:] / 2
    edges = np.concatenate([centre - half, centre + half], -1) * [width, height, width, height]
    order = [place for place in np.argsort(-score, kind="stable") if score[place] > threshold]
    return [
        {
            "label": labels[best[place]],
            "score": float(score[place]),
            "box": dict(zip(("xmin", "ymin", "xmax", "ymax"), edges[place].tolist(), strict=True)),
        }
        for place in order
    ]


# -- by rule -------------------------------------------------------------------------------------


def _of_labels(problem):
    def find(text, rows, labels, options):
        row = class_scores(rows[0][0]["logits"], problem)[0]
        return described(row, labels, {**options, "problem": problem})

    return find


def _embedding(text, rows, labels, options):
    return {"embedding": [float(value) for value in rows[0][0]["embedding"][0]]}


def _entities(text, rows, labels, options):
    windows = [(probabilities(outputs["logits"])[0], columns) for outputs, columns in rows]
    scores, offsets, word_ids = stitched(windows)
    return {"entities": entities(text, scores, offsets, labels, word_ids)}


def _span(text, rows, labels, options):
    windows = [
        (outputs["start_logits"][0], outputs["end_logits"][0], columns["offsets"])
        for outputs, columns in rows
    ]
    return answer(text[1], windows, options.get("no_answer"))


def _late_interaction(text, rows, labels, options):
    """The vectors of a text, or of two how well the second answers the first."""
    vectors = [counted(np.asarray(outputs["vectors"][0], "float32")) for outputs, _ in rows]
    if len(vectors) == 1:
        return {"vectors": vectors[0].astype("float64").tolist()}
    return {"score": float(max_similarities(*([each] for each in vectors))[0, 0])}


def _objects(text, rows, labels, options):
    outputs, columns = rows[0]
    return {
        "objects": detections(
            outputs["logits"][0],
            outputs["boxes"][0],
            labels,
            columns["size"],
            options.get("threshold", 0.5),
        )
    }


@dataclass(frozen=True)
class Rule:
    """How outputs become an answer.

    Args:
        outputs: what it reads, {name: axes}, each axis by the name of its size.
        find: the answer, a dict, of a text or pair, its rows (outputs, and the columns of the
            tokens that are not padding), the labels and the manifest's `task_options`; None for a
            rule that `kzoo predict` doesn't answer by: a bundle can be verified all the same.
        problem: what `logits` are to a row of tokens, or to choices: one of `PROBLEMS`, or None.
        beside: how many scores `logits` have beside those of the labels, the last ones.
    """

    outputs: dict
    find: Callable | None = None
    problem: str | None = None
    beside: int = 0


# A task declares its rule by name, a bundle carries the name, and every client dispatches on it.
RULES = {
    **{name: Rule({"logits": ("batch", "labels")}, _of_labels(name), name) for name in PROBLEMS},
    "embedding": Rule({"embedding": ("batch", "width")}, _embedding),
    "entities": Rule({"logits": ("batch", "length", "labels")}, _entities),
    "span": Rule({"start_logits": ("batch", "length"), "end_logits": ("batch", "length")}, _span),
    "choice": Rule({"logits": ("batch",)}, problem="single_label"),
    "boxes": Rule(
        {"logits": ("batch", "queries", "labels"), "boxes": ("batch", "queries", "sides")},
        _objects,
        beside=1,
    ),
    "candidates": Rule({"logits": ("batch", "length", "vocabulary")}),
    "replaced": Rule({"logits": ("batch", "length")}),
    "late_interaction": Rule({"vectors": ("batch", "length", "width")}, _late_interaction),
    "continuation": Rule({"logits": ("batch", "vocabulary")}),
    "rewriting": Rule({"logits": ("batch", "vocabulary")}),
}
# What a user may give a task, and of which kind each row of tokens then is; either: whichever.
# Marked: a text, or a pair whose texts are read one by one, each in its own way.
READS = {
    "text": "text", "pair": "pair", "either": "either", "choices": "pair", "prompt": "text",
    "marked": "either",
    "image": "image",
    "image_text": "image_text",
    "sound": "sound",
}  # fmt: skip
