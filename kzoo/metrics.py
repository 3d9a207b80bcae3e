"""How right entities and answers are, counted as the field counts them, in plain Python.

Entities as CoNLL's script and seqeval count them: spans that have the same words and the same kind.
Answers as SQuAD's script: without case, punctuation, articles and blanks, against the best of
several gold answers (arXiv:1606.05250; arXiv:1806.03822 for questions without an answer).
Rankings as trec_eval: reciprocal ranks, discounted gains (Järvelin and Kekäläinen, 2002), recall.
"""

import math
import re
import string
from collections import Counter

from .errors import KzooError
from .values import is_whole

# How names of metrics end of which less is better.
LESS_IS_BETTER = ("loss", "error", "perplexity")


def sign_of(name):
    """By what values of a metric are multiplied so that more is better: 1, or -1 of a loss."""
    return -1 if name.endswith(LESS_IS_BETTER) else 1


def entity_scores(expected, predicted):
    """Precision, recall and F1 of spans, over all kinds and by kind.

    Args:
        expected, predicted: for each text a collection of its spans, (start, end, kind).

    Returns:
        {"precision", "recall", "f1", "support", "kinds": {kind: the same four}}; a share of
        nothing is 0.
    """
    counts = {}
    for right, given in zip(expected, predicted, strict=True):
        right, given = set(right), set(given)
        for place, spans in enumerate((right & given, given, right)):
            for span in spans:
                counts.setdefault(span[-1], [0, 0, 0])[place] += 1
    total = [sum(column) for column in zip(*counts.values(), strict=True)] or [0, 0, 0]
    kinds = {kind: shares(*counts[kind]) for kind in sorted(counts)}
    return {**shares(*total), "kinds": kinds}


def shares(correct, given, right):
    """Precision, recall, F1 and support of counts: given and right, given, right."""
    return {
        "precision": correct / given if given else 0.0,
        "recall": correct / right if right else 0.0,
        "f1": 2 * correct / (given + right) if given + right else 0.0,
        "support": right,
    }


def matthews(correct, given, right):
    """Matthews' correlation of right and given classes, for any number of them; 0 of a constant.

    For two classes it is that of B. W. Matthews (1975); for more R_K of J. Gorodkin (2004).

    Args:
        correct: how many examples are right and given of each class.
        given, right: how many are given, and how many are right.
    """
    total = sum(right)
    both = sum(correct) * total - sum(a * b for a, b in zip(right, given, strict=True))
    spread = [total * total - sum(number * number for number in side) for side in (right, given)]
    return both / (spread[0] * spread[1]) ** 0.5 if all(spread) else 0.0


def spans_of(tags, parts):
    """The spans (first word, word behind the last, kind) of a sentence's tags.

    Args:
        tags: numbers of labels.
        parts: for each label whether a span begins there, and its kind; "O" is no kind.
    """
    spans, open_kind = [], "O"
    for place, tag in enumerate(tags):
        begins, kind = parts[tag]
        if kind != "O" and (begins or kind != open_kind):
            spans.append([place, place + 1, kind])
        elif kind != "O":
            spans[-1][1] = place + 1
        open_kind = kind
    return [tuple(span) for span in spans]


def answer_scores(golds, answers):
    """{"exact_match", "f1"}: means over questions, each against the best of its gold answers.

    Args:
        golds: for each question the list of its answers' texts; none, or "", where it has none.
        answers: the text that was given to each; "" for none.
    """
    pairs = list(zip(golds, answers, strict=True))
    # Of gold answers that leave nothing when normalised, SQuAD 2's script takes none.
    golds = [[gold for gold in texts if normalised(gold)] or [""] for texts, _ in pairs]
    exact = [
        max(map(_exact, texts, [answer] * len(texts)))
        for texts, (_, answer) in zip(golds, pairs, strict=True)
    ]
    overlap = [
        max(map(_overlap, texts, [answer] * len(texts)))
        for texts, (_, answer) in zip(golds, pairs, strict=True)
    ]
    count = max(1, len(pairs))
    return {"exact_match": sum(exact) / count, "f1": sum(overlap) / count}


def normalised(text):
    """An answer as SQuAD's script compares it: lower case, no punctuation, articles or blanks."""
    text = "".join(c for c in text.lower() if c not in string.punctuation)
    return " ".join(re.sub(r"\b(a|an|the)\b", " ", text).split())


def _exact(gold, answer):
    return float(normalised(gold) == normalised(answer))


def _overlap(gold, answer):
    """F1 of the words of two answers; of none and none 1."""
    gold, answer = normalised(gold).split(), normalised(answer).split()
    if not gold or not answer:
        return float(gold == answer)
    shared = sum((Counter(gold) & Counter(answer)).values())
    return 2 * shared / (len(gold) + len(answer))


def retrieval_scores(expected, ranked, top=10):
    """How early rankings have what was asked for: means over queries, of the first `top` places.

    Args:
        expected: for each query what answers it: a collection of documents, by whatever names them,
            or {document: grade}, where grades are above zero and better answers have larger ones.
        ranked: for each query the documents that were found, the best first.
        top: how many places count.

    Returns:
        {"mrr", "ndcg", "recall"}: one over the place of the first answer, or 0; the sum of grades,
        each by the binary logarithm of one more than its place, over the largest that there could
        be; the share of the answers that are among the places.

    Raises:
        KzooError: for a query without an answer, a document that is found twice, or other counts.
    """
    if not is_whole(top, 1):
        raise KzooError(f"Got top={top!r:.40}; expected a whole number of at least 1.")
    if len(expected) != len(ranked) or not len(expected):
        raise KzooError(
            f"Got {len(ranked)} rankings for {len(expected)} queries; expected one each, and at "
            "least one."
        )
    pairs = enumerate(zip(expected, ranked, strict=True))
    rows = [_ranking_scores(query, *pair, top) for query, pair in pairs]
    means = [sum(column) / len(rows) for column in zip(*rows, strict=True)]
    return dict(zip(("mrr", "ndcg", "recall"), means, strict=True))


def _ranking_scores(query, answers, found, top):
    """Reciprocal rank, discounted gain and recall of one query."""
    grades = dict(answers) if isinstance(answers, dict) else dict.fromkeys(answers, 1)
    if not grades or any(not grade > 0 for grade in grades.values()):
        raise KzooError(
            f"Query {query} has {'no answer' if not grades else 'an answer of no grade'}; expected "
            "at least one document, and grades above zero."
        )
    found = list(found)
    if len(set(found)) < len(found):
        raise KzooError(f"The ranking of query {query} has a document twice; expected each once.")
    gains = [grades.get(document, 0) for document in found[:top]]
    first = next((place for place, gain in enumerate(gains, 1) if gain), math.inf)
    best = _discounted(sorted(grades.values(), reverse=True)[:top])
    return 1 / first, _discounted(gains) / best, sum(g > 0 for g in gains) / len(grades)


def _discounted(gains):
    return sum(gain / math.log2(place + 1) for place, gain in enumerate(gains, 1))
