"""Average precision of boxes: by hand, and beside pycocotools."""

import contextlib
import io

import numpy as np
import pytest

from kzoo.detections import box_scores, overlaps


def thing(label, *box, score=None):
    return {"label": label, "box": list(box)} | ({} if score is None else {"score": score})


def test_overlap_is_the_share_that_two_boxes_have_in_common():
    shared = overlaps([[0, 0, 2, 2], [5, 5, 6, 6]], [[1, 0, 3, 2], [0, 0, 2, 2]])
    np.testing.assert_allclose(shared, [[2 / 6, 1], [0, 0]])
    assert overlaps([], [[0, 0, 1, 1]]).shape == (0, 1)


CASES = {
    "all found": ([0.9, 0.8], [(0, 0, 10, 10), (20, 20, 30, 30)], 1.0, 1.0),
    # Found at overlaps of 0.5 to 0.8 alone: 7 of 10.
    "one not quite": ([0.9], [(0, 0, 10, 8.2)], 51 / 101, 51 / 101 * 0.7),
    # The false one is likelier: precision 1/2 up to a recall of 1/2.
    "a false one first": ([0.9, 0.8], [(50, 50, 60, 60), (0, 0, 10, 10)], 51 / 101 / 2, None),
    "twice the same": ([0.9, 0.8], [(0, 0, 10, 10), (0, 0, 10, 10)], 51 / 101, 51 / 101),
    "nothing": ([], [], 0.0, 0.0),
}


@pytest.mark.parametrize("case", CASES)
def test_average_precision_by_hand(case):
    scores, boxes, ap50, ap = CASES[case]
    right = [[thing("a", 0, 0, 10, 10), thing("a", 20, 20, 30, 30)], []]
    given = [[thing("a", *b, score=s) for s, b in zip(scores, boxes, strict=True)], []]
    found = box_scores(right, given)
    assert found["ap50"] == pytest.approx(ap50)
    if ap is not None:
        assert found["ap"] == pytest.approx(ap)
    assert found["support"] == 2 and found["labels"]["a"]["support"] == 2


def test_labels_count_alike_and_one_that_is_nowhere_counts_nothing():
    right = [[thing("a", 0, 0, 10, 10), thing("b", 0, 0, 10, 10)]]
    given = [[thing("a", 0, 0, 10, 10, score=0.9), thing("c", 0, 0, 10, 10, score=0.9)]]
    found = box_scores(right, given, ["a", "b", "c"])
    assert set(found["labels"]) == {"a", "b"} and found["ap50"] == pytest.approx(0.5)
    empty = box_scores([[]], [[thing("a", 0, 0, 1, 1, score=0.5)]])
    assert (empty["ap"], empty["support"], empty["labels"]) == (0.0, 0, {})


def drawn(seed, pictures=12):
    """Right boxes, and some near them, others nowhere, with scores of which some are equal."""
    draw = np.random.default_rng(seed)
    right, given = [], []
    for _ in range(pictures):
        own, others = [], []
        for _ in range(draw.integers(0, 7)):
            left, top = draw.uniform(0, 80, 2)
            box = [left, top, left + draw.uniform(3, 20), top + draw.uniform(3, 20)]
            label = draw.choice(["a", "b", "c"])
            own.append(thing(str(label), *box))
            for _ in range(draw.integers(0, 3)):
                near = [side + draw.normal(0, draw.choice([0.3, 1.5, 4])) for side in box]
                near[2:] = [max(near[0] + 0.5, near[2]), max(near[1] + 0.5, near[3])]
                kind = str(draw.choice([label, "a", "b"]))
                others.append(thing(kind, *near, score=float(draw.integers(1, 20)) / 20))
        for _ in range(draw.integers(0, 3)):
            left, top = draw.uniform(0, 80, 2)
            others.append(thing("c", left, top, left + 9, top + 7, score=float(draw.random())))
        right.append(own)
        given.append(others)
    return right, given


@pytest.mark.parity
@pytest.mark.parametrize("seed", range(1, 4))
def test_scores_are_those_of_pycocotools(seed):
    coco = pytest.importorskip("pycocotools.coco")
    cocoeval = pytest.importorskip("pycocotools.cocoeval")
    right, given = drawn(seed, 4 if seed == 3 else 12)
    if seed == 2:  # More than the 100 of a picture that count.
        draw = np.random.default_rng(9)
        given[0] += [
            thing("a", x, y, x + 9, y + 9, score=float(s))
            for x, y, s in zip(*draw.uniform(0, 80, (2, 150)), draw.random(150), strict=True)
        ]
    names = ["a", "b", "c"]

    def wide(box):
        return [box[0], box[1], box[2] - box[0], box[3] - box[1]]

    rows = [
        {"image_id": i, "category_id": names.index(each["label"]), "bbox": wide(each["box"]),
         "area": wide(each["box"])[2] * wide(each["box"])[3], "iscrowd": 0}
        for i, row in enumerate(right) for each in row
    ]  # fmt: skip
    shown = [
        {"image_id": i, "category_id": names.index(each["label"]), "bbox": wide(each["box"]),
         "score": each["score"]}
        for i, row in enumerate(given) for each in row
    ]  # fmt: skip
    with contextlib.redirect_stdout(io.StringIO()):
        truth = coco.COCO()
        truth.dataset = {
            "images": [{"id": i} for i in range(len(right))],
            "annotations": [{"id": n + 1, **row} for n, row in enumerate(rows)],
            "categories": [{"id": i, "name": name} for i, name in enumerate(names)],
        }
        truth.createIndex()
        found = cocoeval.COCOeval(truth, truth.loadRes(shown), "bbox")
        found.evaluate()
        found.accumulate()
        found.summarize()
    expected = dict(zip(("ap", "ap50", "ap75"), found.stats, strict=False))
    expected["recall"] = found.stats[8]
    actual = box_scores(right, given)
    assert 0.05 < actual["ap"] < 0.95
    for name, value in expected.items():
        assert actual[name] == pytest.approx(value, abs=1e-9), name
