"""What decides whether a file goes out and what is said of it; no test here needs Keras."""

import html
import math
import re

import numpy as np
import pytest

from kzoo.bundle import answering, limits, predict, report
from kzoo.bundle.agreement import disagreement, distance_of
from kzoo.bundle.parity import measure
from kzoo.errors import KzooError
from kzoo.litert.audit import KINDS, _later, check_audit, check_quantization

# -- limits ---------------------------------------------------------------------------------------

MORE_IS_BETTER = {
    "megabytes": False, "partitions": False, "cosine": True, "cosine_min": True,
    "probability_difference": False, "probability_difference_max": False,
    "value_difference": False, "value_difference_max": False, "label_agreement": True,
    "accuracy": True, "accuracy_drop": False, "f1": True, "f1_drop": False, "exact_match": True,
    "exact_match_drop": False, "ap": True, "ap50": True, "ap_drop": False, "ap50_drop": False,
    "perplexity": False,
    "perplexity_ratio": False, "tokens_equal": True,
}  # fmt: skip


def test_every_limit_looks_the_right_way():
    assert {name: better for name, (better, _) in limits.KNOWN.items()} == MORE_IS_BETTER


@pytest.mark.parametrize("name", MORE_IS_BETTER)
def test_a_limit_is_missed_on_its_wrong_side_and_by_no_number(name):
    """At the bound it is met; NaN meets nothing."""
    worse = -1e-6 if MORE_IS_BETTER[name] else 1e-6
    side = "at least" if MORE_IS_BETTER[name] else "at most"
    meaning = limits.KNOWN[name][1]
    for good in (0.5, 0.5 - worse):
        row = {"limit": name, "meaning": meaning, "bound": 0.5, "measured": good}
        assert limits.check({name: 0.5}, {name: good}) == [row]
    for bad, shown in ((0.5 + worse, f"{0.5 + worse:.6g}"), (math.nan, "nan")):
        with pytest.raises(KzooError) as refused:
            limits.check({name: 0.5}, {name: bad})
        assert f"limit {name} ({meaning}): {shown} came, {side} 0.5 was" in str(refused.value)


@pytest.mark.parametrize(
    ("name", "needed"),
    [("cosine", "another kind of model"), ("partitions", "another kind of model")]
    + [(n, "labelled examples") for n in MORE_IS_BETTER if re.match("accur|f1|exact|ap", n)],
)
def test_a_limit_that_nothing_measures_is_no_limit_met(name, needed):
    with pytest.raises(KzooError, match=f"measures the limit {name}: it needs {needed}"):
        limits.check({"megabytes": 1, name: 0}, {"megabytes": 1})


@pytest.mark.parametrize("wrong", [None, [], "cosine"])
def test_limits_are_a_dict(wrong):
    with pytest.raises(KzooError, match="own limits is .*; a dict"):
        limits.check_names(wrong, "own limits")


@pytest.mark.parametrize("value", ["1", None, True, math.nan, math.inf, -math.inf, [1]])
def test_a_limit_is_a_number(value):
    limits.check_names({"cosine": 0.5, "partitions": 1, "accuracy_drop": -0.01})
    with pytest.raises(KzooError, match="The limit cosine in limits is .*; a number"):
        limits.check_names({"partitions": 1, "cosine": value})
    with pytest.raises(KzooError, match="limits has the unknown limit 'cosines'"):
        limits.check_names({"cosines": 1})


def test_the_usual_limits_are_as_tight_as_they_were_measured():
    """Looser ones would let worse files out without a word."""
    by_problem = {
        None: ("cosine", [0.99999, 0.9999, 0.997, 0.995, 0.992, 0.93]),
        "single_label": ("probability_difference", [0.0002, 0.002, 0.03, 0.05, 0.04, 0.15]),
        "multi_label": ("probability_difference", [0.0002, 0.002, 0.03, 0.05, 0.04, 0.15]),
        "regression": ("value_difference", [0.002, 0.02, 0.2, 0.3, 0.3, 0.6]),
    }
    for problem, (name, bounds) in by_problem.items():
        for quantization, bound in zip(KINDS, bounds, strict=True):
            assert limits.defaults(quantization, problem) == {"partitions": 1, name: bound}
    assert [limits.TOLERANCE[name] for name in KINDS] == [0.001, 0.01, 0.1, 0.1, 0.1, 0.1]


def test_own_limits_join_the_usual_ones():
    usual = {"partitions": 1, "cosine": 0.9}
    assert limits.beside_usual(None, usual) == usual
    assert limits.beside_usual({"cosine": 0.5, "f1": 0}, usual) == {**usual, "cosine": 0.5, "f1": 0}
    assert limits.beside_usual({"cosine": None}, usual) == {"partitions": 1}
    for wrong in ([1], {"speed": None}, {"cosine": "1"}):
        with pytest.raises(KzooError, match="mine"):
            limits.beside_usual(wrong, usual, "mine")


# -- the audit ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("quantization", "sound", "wrong"),
    [
        ("float32", ["", "float32"], ["int8", "float16", "int4"]),
        ("float16", ["float16", "float32 float16"], ["float32", "int8", "float16 int8"]),
        ("int8", ["int8", "int8 float32"], ["float32", "float16", "int8 int4", "int8 float16"]),
        ("int8_int4_table", ["int4 int8", "int4 float16 float32"], ["int8", "int4 int2"]),
        ("int4", ["int4 int8", "int4 float16 float32"], ["int8", "int4 int2"]),
    ],
)
def test_weights_have_the_types_of_their_quantization(quantization, sound, wrong):
    for kinds in sound:
        check_quantization({"weight_bytes": dict.fromkeys(kinds.split(), 1)}, quantization)
    for kinds in wrong:
        with pytest.raises(KzooError, match=f"for {quantization}, "):
            check_quantization({"weight_bytes": dict.fromkeys(kinds.split(), 1)}, quantization)


AUDIT = {
    "custom": [], "operators": {"ADD": 3, "SHAPE": 1}, "understated": [], "partitions": 1,
    "signatures": {"serve": {"inputs": {"a": {"shape": [1, 8]}, "b": {"shape": [1, -1]}}}},
}  # fmt: skip
FIXED = {"signatures": {"serve": {"inputs": {"a": {"shape": [1, 8]}}}}}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"custom": ["FlexErf"]}, "custom operators .FlexErf"),
        ({"operators": {"READ_VARIABLE": 1}}, "reads variables .READ_VARIABLE"),
        ({"operators": {"SHAPE": 2}}, "2 SHAPE, 0 PACK.: at most 1 SHAPE"),
        (FIXED, "1 SHAPE, 0 PACK.: at most 0 SHAPE"),
        ({"operators": {"PACK": 1}}, "0 SHAPE, 1 PACK"),
        ({"understated": ["FULLY_CONNECTED version 1"]}, "FULLY_CONNECTED version 1 in the file"),
        ({"partitions": 2}, "into 2 partitions; 1 was"),
        ({"partitions": 0}, "into 0 partitions; 1 was"),
    ],
)
def test_what_no_export_may_have(change, words):
    check_audit(AUDIT)
    check_audit({**AUDIT, **FIXED, "operators": {}})
    with pytest.raises(KzooError, match=words):
        check_audit({**AUDIT, **change})
    if "SHAPE" in words or "partitions" in words:  # a user's own layers are theirs
        check_audit({**AUDIT, **change}, partitions=None)


@pytest.mark.parametrize(
    "older, newer", [("1.9.0", "1.10.0"), ("2.9.0", "2.18.0"), ("2.18.0", "10.0.0")]
)
def test_versions_are_compared_as_numbers(older, newer, monkeypatch):
    assert _later(older, newer) == _later(newer, older) == newer
    monkeypatch.setattr(predict, "version", lambda _: newer)
    for needed in (older, newer):
        predict._check_runtime("a", {"minimum_runtime": {"litert": needed}})
    predict._check_runtime("a", {"minimum_runtime": {}})
    monkeypatch.setattr(predict, "version", lambda _: older)
    with pytest.raises(KzooError, match=f"a needs LiteRT {newer} or newer; this is {older}"):
        predict._check_runtime("a", {"minimum_runtime": {"litert": newer}})


# -- parity ---------------------------------------------------------------------------------------


def side(**outputs):
    return {name: np.array([value], "float32") for name, value in outputs.items()}


def columns(tokens, padding=0):
    return {"padding_mask": np.array([[1] * tokens + [0] * padding])}


def test_the_worst_of_several_outputs_is_a_texts_cosine():
    near, far = np.ones(16), np.array([1.0] * 14 + [-1.0] * 2)
    expected = side(a=near, b=near)
    for one, other in ((near, far), (far, near)):
        pairs = [(columns(3), expected, expected), (columns(5), expected, side(a=one, b=other))]
        found = measure(pairs)
        assert found["cosines"] == pytest.approx([1.0, 0.75])
        assert (found["cosine"], found["cosine_min"]) == pytest.approx((0.875, 0.75))
        assert (found["texts"], found["tokens"]) == (2, [3, 5])
    assert "probabilities" not in found and "values" not in found


def test_what_stands_at_padding_is_nobodys_answer():
    one, other = np.ones((4, 9)), np.ones((4, 9))
    other[2:] = -1
    pair = [(columns(2, 2), side(x=one), side(x=other))]
    assert measure(pair, long={"x"})["cosine"] == pytest.approx(1)
    assert measure(pair)["cosine"] == pytest.approx(0, abs=1e-9)
    other[1] = -1  # The mean over places.
    assert measure([(columns(2, 2), side(x=one), side(x=other))], long={"x"})["cosine"] == 0


def test_probabilities_differ_by_the_worst_label_and_the_worst_text():
    def logits(*shares):
        return side(logits=np.log(shares))

    same = logits(0.2, 0.5, 0.3)
    pairs = [
        (columns(2), same, same),
        (columns(2), same, logits(0.2, 0.3, 0.5)),
        (columns(2), same, logits(0.1, 0.5, 0.4)),
        (columns(2), same, logits(0.25, 0.5, 0.25)),
    ]
    found = measure(pairs, "single_label")
    assert found["probability_difference"] == pytest.approx(0.35 / 4)
    assert found["probability_difference_max"] == pytest.approx(0.2)
    assert found["label_agreement"] == 0.75
    assert np.allclose(found["probabilities"], [[0.5, 0.5], [0.5, 0.3], [0.5, 0.5], [0.5, 0.5]])


def test_values_differ_by_their_spread():
    pairs = [
        (columns(2), side(logits=[0.0, 5.0]), side(logits=[0.5, 5.0])),
        (columns(2), side(logits=[4.0, 5.0]), side(logits=[4.0, 6.0])),
    ]
    found = measure(pairs, "regression")
    assert found["spread"] == pytest.approx(2)  # of the values that vary most
    assert found["value_difference"] == pytest.approx(0.75 / 2)
    assert found["value_difference_max"] == pytest.approx(0.5)
    assert found["values"] == [[0.0, 0.5], [5.0, 6.0]]


def test_outputs_of_other_names_or_shapes_are_not_compared():
    with pytest.raises(KzooError, match=r"outputs are \['b'\]; Keras' are \['a'\]"):
        measure([(columns(1), side(a=[1.0, 2.0]), side(b=[1.0, 2.0]))])
    with pytest.raises(KzooError, match="shape"):
        measure([(columns(1), side(a=[1.0, 2.0]), side(a=[1.0, 2.0, 3.0]))])


# -- verify ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("problem", "written", "here", "is_other"),
    [
        ("single_label", [0.1, 0.6, 0.3], [0.1, 0.3, 0.6], True),
        ("single_label", [0.1, 0.6, 0.3], [0.1, 0.5, 0.4], False),
        ("single_label", [0.02, 0.51, 0.47], [0.02, 0.47, 0.51], False),  # they are near
        ("single_label", [0.6, 0.02, 0.38], [0.02, 0.38, 0.6], True),
        ("multi_label", [0.9, 0.2, 0.6], [0.9, 0.5, 0.6], True),
        ("multi_label", [0.9, 0.2, 0.6], [0.9, 0.2, 0.3], True),
        ("multi_label", [0.9, 0.2, 0.42], [0.9, 0.2, 0.3], False),  # near its threshold, 0.4
        ("regression", [9.0, -9.0], [-9.0, 9.0], False),
    ],
)
def test_a_golden_example_keeps_its_labels(problem, written, here, is_other):
    def outputs(shares):
        shares = np.array(shares)
        if problem == "regression":
            return {"logits": [shares]}
        return {"logits": [np.log(shares) - np.log1p(-shares) * (problem == "multi_label")]}

    options = {"problem": problem, "threshold": 0.4}
    if not is_other:
        answering.check_label("3 ('a text')", outputs(written), outputs(here), options)
        return
    with pytest.raises(KzooError, match="Golden example 3 .'a text'. gets another label"):
        answering.check_label("3 ('a text')", outputs(written), outputs(here), options)


def test_a_label_alone_has_no_other():
    answering.check_label(
        "0", {"logits": [[3.0]]}, {"logits": [[-3.0]]}, {"problem": "single_label"}
    )


# -- the page -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("share", "count", "low", "high"),
    [
        # Of the closed form with 1.96; Brown, Cai and DasGupta 2001 show the same curve.
        (0.5, 10, 0.23659, 0.76341),
        (1.0, 10, 0.72246, 1.0),
        (0.0, 10, 0.0, 0.27754),
        (0.9, 100, 0.82564, 0.94477),
        (1.0, 3, 0.43849, 1.0),
    ],
)
def test_the_interval_is_wilsons(share, count, low, high):
    assert report.interval(share, count) == pytest.approx((low, high), abs=1e-5)


# Where a report holds words that somebody else wrote: a path to each.
OUTSIDE = {
    "source": ["source"], "task": ["task"], "family": ["family"], "label": ["labels", 0],
    "file": ["evaluation", "file"], "note": ["evaluation", "note"], "kind": ["evaluation", "kinds"],
    "on": ["limits", 0, "on"], "meaning": ["limits", 0, "meaning"], "texts": ["parity", "source"],
    "example": ["examples", 0, "text"], "pair": ["examples", 1, "text", 1],
    "answered": ["examples", 0, "file", "label"], "keras": ["examples", 0, "keras", "label"],
    "entity": ["examples", 1, "file", "entities", 0, "text"],
    "tag": ["examples", 1, "file", "entities", 0, "label"],
    "operator": ["audit", "operators"], "left": ["audit", "outside"], "made": ["made_with"],
    "compat": ["compat", "asked"], "mediapipe": ["mediapipe", "tokenizer", "plain", "example"],
}  # fmt: skip


def whole_report(classifies):
    """A report with all that one can have."""
    share = {"keras": 1.0, "float32": 1.0}
    names = ["accuracy"] if classifies else ["f1"]
    evaluation = {name: 0.5 for name in names}
    evaluation |= {f"{name}_{side}": value for name in names for side, value in share.items()}
    row = {"precision": 1.0, "recall": 0.5, "f1": 0.6, "support": 4}
    return {
        "source": "s", "task": "t", "reads": "text", "family": "f", "quantization": "int8",
        "length": None,
        "max_length": 9, "labels": ["a", "b"], "sizes": {
            "parameters": 9, "float32": 4e6, "file": 1e6, "weight_bytes": {"int8": 1e6}},
        "parity": {
            "texts": 2, "tokens": [3, 5], "source": "p", "cosine": 1.0, "cosine_min": 1.0,
            "cosines": [1.0, 1.0], "label_agreement": 1.0, "probability_difference": 0.1,
            "probability_difference_max": 0.2, "probabilities": [[0.5, 0.6]]},
        "evaluation": {
            **evaluation, "file": "e", "note": "n", "examples": 4, "texts_shared": False,
            "label_agreement": 1.0, "probability_difference": 0.1, "kinds": {"k": row},
            "confusion": [[1, 2], [0, 1]]},
        "latency": {"lengths": [16, 32], "file": [1.0, 2.0], "float32": [2.0, 3.0],
                    "usual": [1.0, 1.0], "rounds": 3},
        "for": "gpu",
        "compat": {"asked": "c", "usual_runtime": {"tflite": "2.18.0"}, "usual_bytes": 1e6,
                   "usual_cosine": 1.0, "usual_accuracy": 1.0 if classifies else None},
        "mediapipe": {"task": "m", "bytes": 1e6, "length": 9, "largest_difference": 0.1,
                      "tokenizer": {
            "plain": {"example": "x", "differ": 1, "texts": 2}}},
        "litertlm": {"bytes": 1e6, "prefill": [9], "cache": 9, "difference": 0.0,
                     "tokens_equal": 1.0},
        "limits": [{"limit": "cosine", "meaning": "m", "bound": 0.5, "measured": 0.9, "on": "o"}],
        "examples": [
            {"text": "x", "tokens": 1, "file": {"label": "a", "score": 1.0},
             "keras": {"label": "a", "score": 1.0}},
            {"text": ["x", "y"], "tokens": 1,
             "file": {"entities": [{"text": "x", "label": "L", "score": 1.0}]},
             "keras": {"entities": []}}],
        "audit": {"operators": {"ADD": 1}, "outside": {"GATHER": 1}, "partitions": 1,
                  "gpu": {"refused": {"ADD": {"count": 1, "reason": "r"}}, "older": {}},
                  "minimum_runtime": {"litert": "1.0.1", "tflite": "2.18.0"}},
        "made_with": {"python": "3"},
    }  # fmt: skip


@pytest.mark.parametrize("classifies", [True, False])
def test_words_from_elsewhere_are_text_on_the_page(classifies, tmp_path):
    """Labels, texts, names: none becomes an element, and each is still to be read."""
    made = whole_report(classifies)
    shown = {}
    for name, (*way, last) in OUTSIDE.items():
        shown[name] = word = f"<i {name}>&"
        holder = made
        for key in way:
            holder = holder[key]
        if isinstance(holder[last], dict):
            holder[last] = dict.fromkeys([word], next(iter(holder[last].values())))
        else:
            holder[last] = word
    page = report.page(made, tmp_path).replace("<wbr>", "")
    assert "<i " not in page
    for name, word in shown.items():
        on_page = html.escape(word) in page
        assert on_page == (name not in ({"kind"} if classifies else {"label"})), name


# -- agreement ------------------------------------------------------------------------------------

VECTOR = [30.0, -12.0, 4.0]


@pytest.mark.parametrize(
    "other", [[30.0], [], [*VECTOR, 0.0], [[number] for number in VECTOR], [VECTOR], 30.0]
)
def test_a_vector_of_another_shape_agrees_at_no_tolerance(other):
    said, expected = {"text": "a", "embedding": other}, {"text": "a", "embedding": VECTOR}
    assert "another shape" in disagreement(said, expected, 0.1, {})
    assert "another shape" in disagreement(said, expected, 10.0, {})
    assert distance_of(said, expected) == math.inf


@pytest.mark.parametrize(
    "other", [[30.0, [-12.0], 4.0], ["30", "-12", "4"], "abc", None, [30.0, math.nan, 4.0]]
)
def test_what_is_no_vector_is_told_from_one_that_differs(other):
    with pytest.raises((TypeError, ValueError)):
        disagreement({"embedding": other}, {"embedding": VECTOR}, 10.0, {})


@pytest.mark.parametrize("odd", [math.nan, math.inf])
def test_nothing_agrees_with_what_is_no_number(odd):
    assert disagreement({"embedding": VECTOR}, {"embedding": [30.0, odd, 4.0]}, 0.1, {})
