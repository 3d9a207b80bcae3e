"""Whether two programs answer one text alike: labels, spans, scores."""

import numpy as np

CLEAR = 0.05  # what a probability must be off by to be on the other side of another, see `verify`
# What has no score, in any task.
SAID = ("text", "tokens", "truncated", "answer", "start", "end", "continuation", "written")


def disagreement(answer, expected, tolerance, options):
    """How an answer differs from the expected one: a phrase, or None where they agree.

    Labels and spans are to be the same; but a label that is as likely as the expected one but for
    `CLEAR`, or as near as that to the threshold, may be another, for kernels round otherwise.
    Scores, values and vectors are to lie within the tolerance.

    Args:
        answer, expected: dicts as `predict_bundle` gives them. What an answer lacks of `SAID`
            was not asked of its program.
        tolerance: of a probability; of values, vectors and scores above one as a share of the
            largest number.
        options: the manifest's `task_options`.

    Raises:
        KeyError, TypeError, ValueError: where the answer is none of this task.
    """
    for name in SAID:
        if name in expected and name in answer and answer[name] != expected[name]:
            return f"{name} {answer[name]!r:.60} in place of {expected[name]!r:.60}"
    for one, other in ((_spans(answer), _spans(expected)), _labels(answer, expected, options)):
        if one != other:
            return f"{one!r:.120} in place of {other!r:.120}"
    distance, allowed = distance_of(answer, expected), tolerance * _scale(expected)
    if distance == np.inf:
        return "numbers of another shape, or infinitely far"
    if not distance <= allowed:  # what is off by NaN isn't within anything
        return f"scores off by {distance:.3g}, {allowed:.3g} is allowed"
    return None


def distance_of(answer, expected):
    """The largest difference of a score, or of a number of a vector; infinite between shapes."""
    one, other = _numbers(answer, expected), _numbers(expected, expected)
    if not np.isfinite(np.asarray(one, "float64")).all():
        raise ValueError("a score that is no number")
    if np.shape(one) != np.shape(other):
        return np.inf
    return float(np.abs(np.subtract(one, other)).max()) if len(one) else 0.0


def _spans(answer):
    return [
        tuple(entity[key] for key in ("label", "start", "end", "text"))
        for entity in answer.get("entities", ())
    ]


def _labels(answer, expected, options):
    """The labels of both, without those that may be another; an empty list where there are none."""
    if "label" in expected:
        received = answer["label"]
        near = expected["scores"].get(received, -1) >= expected["score"] - CLEAR
        return ([], []) if near else ([received], [expected["label"]])
    if "labels" in expected:
        unsure = {
            label
            for label, score in expected["scores"].items()
            if abs(score - options["threshold"]) <= CLEAR
        }
        return tuple(sorted(set(each["labels"]) - unsure) for each in (answer, expected))
    return [], []


def _numbers(answer, expected):
    """The numbers of an answer in the order of the expected one's."""
    for name in ("embedding", "vectors"):
        if name in expected:
            return answer[name]
    if "continuation" in expected or "written" in expected:
        return []
    if "entities" in expected:
        return [entity["score"] for entity in answer["entities"]]
    for name in ("scores", "values"):
        if name in expected:
            return [answer[name][label] for label in expected[name]]
    return [answer["score"]]


def _scale(expected):
    """What a tolerance is a share of: 1 for probabilities."""
    numbers = [number for row in expected.get("vectors", ()) for number in row]
    numbers = numbers or expected.get("embedding") or list(expected.get("values", {}).values())
    if not numbers and "score" in expected:
        return max(1.0, abs(expected["score"]))  # Of products that were added up.
    return max(map(abs, numbers), default=1.0) or 1.0
