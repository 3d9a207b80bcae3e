"""How right boxes are, counted as COCO's evaluation counts them, with NumPy alone.

A box that is given finds one of the right ones, where both overlap enough and have the same label;
precision and recall follow from the boxes that are given with at least a score, for each score
(Lin et al. 2014, arXiv:1405.0312; its pycocotools, the bounding boxes of all sizes). Crowds, in
which a box that is given counts for nothing there, are not known here: files are read without them.
"""

import numpy as np

OVERLAPS = np.linspace(0.5, 0.95, 10)  # at which of them a box is found
RECALLS = np.linspace(0, 1, 101)  # at which the precision is measured
MOST = 100  # boxes a picture that count, the likeliest


def box_scores(expected, predicted, labels=None):
    """Average precision of boxes over overlaps of 0.5 to 0.95, at 0.5 and at 0.75.

    Args:
        expected: for each picture a list of {"label", "box"}, a box (left, top, right, bottom).
        predicted: for each picture a list of {"label", "score", "box"}.
        labels: the labels that count; by default those that are expected somewhere.

    Returns:
        {"ap", "ap50", "ap75", "recall", "support", "labels": {label: the same five}}, shares of
        1: means over the labels that are expected somewhere, `recall` that of at most 100 boxes a
        picture. Without any such box all are 0.
    """
    if labels is None:
        labels = sorted({each["label"] for row in expected for each in row})
    pairs = list(zip(expected, predicted, strict=True))
    by_label = {}
    for label in labels:
        right = [[each["box"] for each in row if each["label"] == label] for row, _ in pairs]
        given = [
            [(each["score"], *each["box"]) for each in row if each["label"] == label]
            for _, row in pairs
        ]
        count = sum(map(len, right))
        if count:
            precision, recall = _of_label(right, given, count)
            by_label[label] = _scores(precision, recall, count)
    names = ("ap", "ap50", "ap75", "recall")
    means = {
        name: float(np.mean([each[name] for each in by_label.values()])) if by_label else 0.0
        for name in names
    }
    support = sum(each["support"] for each in by_label.values())
    return {**means, "support": support, "labels": by_label}


def _scores(precision, recall, count):
    """Of precision (overlaps, recalls) and recall (overlaps,)."""
    means = precision.mean(1)
    ap50, ap75 = (float(means[np.isclose(OVERLAPS, at)][0]) for at in (0.5, 0.75))
    return {
        "ap": float(means.mean()),
        "ap50": ap50,
        "ap75": ap75,
        "recall": float(recall.mean()),
        "support": count,
    }


def _of_label(right, given, count):
    """Precision at each overlap and recall, and the largest recall at each overlap."""
    scores, found = [], []
    for own, others in zip(right, given, strict=True):
        others = np.reshape(np.asarray(others, "float64"), (-1, 5))
        others = others[np.argsort(-others[:, 0], kind="stable")][:MOST]
        scores.append(others[:, 0])
        found.append(_found(np.reshape(np.asarray(own, "float64"), (-1, 4)), others[:, 1:]))
    order = np.argsort(-np.concatenate(scores), kind="stable")
    found = np.concatenate(found, axis=1)[:, order]
    hits = np.cumsum(found, axis=1)
    precision = hits / np.arange(1, found.shape[1] + 1)
    # The best that a lower score reaches, so that precision never rises with recall.
    precision = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    recall = hits / count
    at = np.zeros((len(OVERLAPS), len(RECALLS)))
    for row, (own, reached) in enumerate(zip(precision, recall, strict=True)):
        places = np.searchsorted(reached, RECALLS, side="left")
        inside = places < len(own)
        at[row, inside] = own[places[inside]]
    largest = recall[:, -1] if recall.shape[1] else np.zeros(len(OVERLAPS))
    return at, largest


def _found(right, given):
    """Whether each box that was given, the likeliest first, finds one: (overlaps, boxes).

    It takes the one that it overlaps most among those that none before it took.
    """
    found = np.zeros((len(OVERLAPS), len(given)), bool)
    shared = overlaps(given, right)
    for row, least in enumerate(OVERLAPS):
        free = np.ones(len(right), bool)
        for place in range(len(given)):
            best, at = min(least, 1 - 1e-10), -1
            for other in np.flatnonzero(free):
                if shared[place, other] >= best:  # Of equals the last, as there.
                    best, at = shared[place, other], other
            if at >= 0:
                found[row, place], free[at] = True, False
    return found


def overlaps(one, other):
    """The share of both that boxes (n, 4) and (m, 4) have in common: (n, m).

    A box is (left, top, right, bottom).
    """
    one, other = (np.reshape(np.asarray(each, "float64"), (-1, 4)) for each in (one, other))
    first = np.maximum(one[:, None, :2], other[None, :, :2])
    last = np.minimum(one[:, None, 2:], other[None, :, 2:])
    common = np.prod(np.maximum(last - first, 0), axis=-1)
    areas = [np.prod(each[:, 2:] - each[:, :2], axis=-1) for each in (one, other)]
    union = areas[0][:, None] + areas[1][None] - common
    return common / np.maximum(union, 1e-12)
