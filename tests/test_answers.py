"""Entities and answers by the rules, with NumPy alone: no test here needs Keras."""

import json
import math
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from tokenizers.normalizers import BertNormalizer

from kzoo.answers import (
    BLANK,
    CHINESE,
    INVISIBLE,
    PROBLEMS,
    RULES,
    answer,
    check_labels,
    class_scores,
    described,
    entities,
    label_parts,
    labelling,
    nearest,
    null_margin,
    probabilities,
    similarities,
    span,
    stitched,
    trimmed,
)
from kzoo.errors import KzooError
from kzoo.text import Tokenizer

# What tokenizers of many kinds make of texts, and labels: read by the Kotlin core's tests as well.
GOLDEN = json.loads((Path(__file__).parent / "golden" / "words.json").read_text("utf-8"))
LABELS = ["O", "B-PER", "I-PER", "B-LOC"]


def scores(*rows):
    """Probabilities with the given label on top: (label, its probability)."""
    made = np.full((len(rows), len(LABELS)), 0.0)
    for row, (label, share) in zip(made, rows, strict=True):
        row[:] = (1 - share) / (len(LABELS) - 1)
        row[LABELS.index(label)] = share
    return made


@pytest.mark.parametrize(
    ("text", "offsets", "labels", "expected"),
    [
        # The label of a word is its first token's; its other pieces only lengthen it.
        ("Jo in Paris", [(-1, -1), (0, 1), (1, 2), (3, 5), (6, 8), (8, 11), (-1, -1)],
         "O B-PER O O B-LOC I-PER O", [("PER", "Jo"), ("LOC", "Paris")]),
        ("unparis", [(0, 2), (2, 7)], "O B-LOC", []),
        # Punctuation is a word; I- goes on, B- begins anew, another kind begins anew.
        ("A.-B", [(0, 1), (1, 2), (2, 3), (3, 4)], "B-PER I-PER I-PER I-PER", [("PER", "A.-B")]),
        ("A B", [(0, 1), (2, 3)], "B-PER B-PER", [("PER", "A"), ("PER", "B")]),
        ("A B", [(0, 1), (2, 3)], "I-PER B-LOC", [("PER", "A"), ("LOC", "B")]),
        ("A of B", [(0, 1), (2, 4), (5, 6)], "B-PER O I-PER", [("PER", "A"), ("PER", "B")]),
        # Every Chinese character is a word; a vowel sign goes with its consonant.
        ("爱巴黎很", [(0, 1), (1, 2), (2, 3), (3, 4)], "O B-PER I-PER O", [("PER", "巴黎")]),
        ("कि ल", [(0, 1), (1, 2), (3, 4)], "B-LOC O O", [("LOC", "कि")]),
        # Bytes of one character share its offsets.
        ("😀a", [(0, 1), (0, 1), (1, 2)], "B-PER O O", [("PER", "😀")]),
    ],
)  # fmt: skip
def test_entities_are_whole_words(text, offsets, labels, expected):
    rows = scores(*((label, 0.7) for label in labels.split()))
    found = entities(text, rows, offsets, LABELS)
    assert [(e["label"], e["text"]) for e in found] == expected
    for entity in found:
        assert text[entity["start"] : entity["end"]] == entity["text"]
        assert entity["score"] == pytest.approx(0.7)


def test_an_entity_scores_the_mean_of_its_words():
    rows = scores(("B-PER", 0.9), ("O", 0.8), ("I-PER", 0.6))
    (found,) = entities("Jo Li", rows, [(0, 1), (1, 2), (3, 5)], LABELS)
    assert found == {
        "label": "PER", "score": pytest.approx(0.75), "start": 0, "end": 5, "text": "Jo Li",
    }  # fmt: skip
    kinds = ["NOUN", "VERB"]
    (noun, verb) = entities("a b c", np.eye(2)[[0, 0, 1]], [(0, 1), (2, 3), (4, 5)], kinds)
    assert (noun["text"], verb["text"]) == ("a b", "c")


@pytest.mark.parametrize("case", GOLDEN["cases"], ids=lambda case: case["tokenizer"])
def test_words_are_the_pre_tokenizers_without_blanks(case):
    tokenizer = Tokenizer.from_json(json.dumps(GOLDEN["tokenizers"][case["tokenizer"]]))
    text, rows = case["text"], tokenizer.encode([case["text"]], offsets=True)
    ids, count = rows["token_ids"][0], max(2, len(rows["token_ids"][0]))
    labels = [str(number) for number in range(count)]  # Each token has a label of its own.
    found = entities(text, np.eye(count), rows["offsets"][0], labels, rows["word_ids"][0])
    assert [[int(e["label"]), e["start"], e["end"]] for e in found] == case["words"]
    # The token that answers for a word is the one that learns for it.
    batch = tokenizer.encode_words([[text[start:end] for _, start, end in case["words"]]])
    learning = [batch["word_ids"][0].index(word) for word in range(len(case["words"]))]
    for place, (token, start, _) in zip(learning, case["words"], strict=True):
        if start > 1 and text[start - 1] == " " and text[start - 2] != " ":
            assert batch["token_ids"][0][place] == ids[token], text[start:]


@pytest.mark.parametrize("case", GOLDEN["schemes"], ids=lambda case: ",".join(case["labels"]))
def test_labels_have_parts_where_they_follow_a_scheme_as_a_whole(case):
    parts = label_parts(case["labels"])
    assert [kind for _, kind in parts] == case["kinds"]
    assert [number for number, (begins, _) in enumerate(parts) if begins] == case["begins"]


def test_marks_of_single_words_begin_a_span():
    for labels in (
        ["S-PER", "O", "B-PER", "I-PER", "E-PER"],
        ["U-PER", "O", "B-PER", "I-PER", "L-PER"],
    ):
        rows = np.eye(5)[[0, 0, 2, 3, 4]]
        found = entities("A B C D E", rows, [(0, 1), (2, 3), (4, 5), (6, 7), (8, 9)], labels)
        assert [(e["label"], e["text"]) for e in found] == [
            ("PER", "A"),
            ("PER", "B"),
            ("PER", "C D E"),
        ]


def test_blanks_and_what_is_not_seen_are_no_part_of_a_span():
    for blank in " \t\n\x00\x85\xa0\xad\u1680\u200b\u200c\u2028\u202f\u2060\u3000\ufeff":
        text = f"a{blank}b{blank}"
        assert trimmed(text, 1, 4) == (2, 3) and trimmed(text, 1, 2) == (2, 2), repr(blank)
    text = "\U0001f3f4\U000e0067\U000e007f\u2764\ufe0f"  # A flag's tags and a variation are seen.
    assert trimmed(text, 0, 5) == (0, 5)


def test_windows_are_stitched_where_a_token_stands_deepest():
    def columns(starts, *words):
        places = [(2 * word, 2 * word + 1) for word in words]
        return {"offsets": [(-1, -1), *places], "word_ids": [-1, *words], "starts": starts}

    one = np.array([99, 0, 1, 2, 3, 4, 88])[:, None]  # Padding stands behind.
    two = np.array([99, 13, 14, 15, 16, 17, 18])[:, None]
    values, offsets, word_ids = stitched(
        [(one, columns(0, 0, 1, 2, 3, 4)), (two, columns(3, 3, 4, 5, 6, 7, 8))]
    )
    # Token 3 is one from the end of the first and at that of the second; token 4 the other way.
    assert [int(value[0]) for value in values] == [0, 1, 2, 3, 14, 15, 16, 17, 18]
    assert list(word_ids) == list(range(9)) and offsets[8] == (16, 17)
    tied = [(one, columns(0, 0, 1, 2, 3)), (two, columns(3, 3, 4, 5, 6))]
    assert [int(value[0]) for value in stitched(tied)[0]] == [0, 1, 2, 3, 14, 15, 16]
    assert [len(column) for column in stitched([(one, columns(0))])] == [0, 0, 0]


def test_a_span_has_thirty_tokens_at_most_and_is_the_first_of_equals():
    offsets = [(place, place + 1) for place in range(40)]
    start, end = np.zeros((2, 40))
    assert span(start, end, offsets)[:2] == (0, 0)
    start[0] = end[30] = 9.0
    end[29] = 5.0
    assert span(start, end, offsets)[:2] == (0, 29)
    windows = [
        (start, end, offsets),
        (start, end, [(place + 50, place + 51) for place in range(40)]),
    ]
    assert answer("x" * 100, windows)["start"] == 0
    assert answer("x" * 100, windows[::-1])["start"] == 50


def test_an_answer_has_no_blanks_at_its_ends():
    context = "in  paris now"
    start, end = np.log([[0.1, 0.1, 0.2, 0.5, 0.1], [0.1, 0.1, 0.2, 0.1, 0.5]])
    found = answer(context, [(start, end, [(-1, -1), (0, 2), (2, 3), (3, 9), (9, 13)])])
    assert (found["answer"], found["start"]) == ("paris now", 4)
    blank = np.array([0.0, 0, 9, 0, 0])  # A token of blanks alone answers nothing.
    found = answer(context, [(blank, blank, [(-1, -1), (0, 2), (2, 3), (3, 9), (9, 13)])])
    assert found["answer"].strip() == found["answer"] != ""


def test_nothing_is_answered_where_no_answer_scores_higher_by_the_threshold():
    offsets = [(-1, -1), (0, 1), (2, 3)]
    sure = np.array([1.0, 4.0, 0.0]), np.array([1.0, 4.5, 0.0]), offsets  # null 2, span 8.5
    none = np.array([5.0, 0.0, 0.0]), np.array([6.0, 1.0, 0.0]), offsets  # null 11, span 1
    assert null_margin("a b", [none]) == 10.0
    assert null_margin("a b", [sure, none]) == -6.5  # The smallest null, the largest span.
    assert answer("a b", [none])["answer"] == "a"
    assert answer("a b", [none], no_answer=10.0)["answer"] == "a"
    found = answer("a b", [none, sure], no_answer=-7)
    score = np.e / np.exp([1, 4, 0]).sum() * np.e / np.exp([1, 4.5, 0]).sum()
    assert found == {"answer": "", "score": pytest.approx(score), "start": 0, "end": 0}
    assert answer("", [(sure[0], sure[1], [(-1, -1)] * 3)], no_answer=100.0)["answer"] == ""


def test_the_best_span_runs_forward_over_real_characters():
    offsets = [(-1, -1), (0, 1), (2, 3), (4, 5), (-1, -1)]
    start, end = np.log([[0.5, 0.1, 0.2, 0.1, 0.1], [0.1, 0.5, 0.1, 0.2, 0.1]])
    assert span(start, end, offsets) == (1, 1, pytest.approx(0.05))  # 2..1 would run backward
    assert span(start, end, offsets, longest=1) == (1, 1, pytest.approx(0.05))
    assert span(start, end, [(-1, -1)] * 5) is None
    padded = np.append(start, 50.0), np.append(end, 50.0)  # what stands at padding is nobody's
    assert span(*padded, offsets) == span(start, end, offsets)
    elsewhere = np.log([0.96, 0.01, 0.01, 0.01, 0.01]), np.log([0.96, 0.01, 0.01, 0.01, 0.01])
    found = answer("a b c", [(*elsewhere, offsets), (start, end, offsets)])
    assert found == {"answer": "a", "score": pytest.approx(0.05), "start": 0, "end": 1}
    assert answer("", []) == {"answer": "", "score": 0.0, "start": 0, "end": 0}


@pytest.mark.parametrize(
    "labels, words",
    [
        (["a", "b", "a "], "labels has 'a' twice"),
        (["a", None], "list of different names"),
        (np.array(5), "list of different names"),
        (np.array([["a", "b"], ["c", "d"]]), "list of different names"),
        ("ab", "list of different names"),
    ],
)
def test_labels_that_can_not_be_told_apart_are_refused(labels, words):
    check_labels(["a", "b"])
    check_labels(np.array(["a", "b"]))
    with pytest.raises(KzooError, match=words):
        check_labels(labels)


@pytest.mark.parametrize(
    "wrong", ["a\0b", "a\nb", "\x1b[31m", "\u2028", "\u2029", "\ud83d", "\x85"]
)
def test_a_label_that_a_client_can_not_show_is_refused(wrong):
    check_labels(["a\u00adb", "é\ufeff", "\U0001f600"])  # odd ones, that can be shown
    with pytest.raises(KzooError, match=r"mine has .* with U\+00|mine has .* with U\+[2D]"):
        check_labels(["a", wrong], "mine")
    for unseen in ("\u3000", "\ufeff", "\u200b", "\u00ad"):
        with pytest.raises(KzooError, match="with nothing that is seen"):
            check_labels(["a", unseen])
    with pytest.raises(KzooError, match="has 'a' 3 times"):
        check_labels(["a", "a ", " a"])


# -- characters -----------------------------------------------------------------------------------


def among(code, ranges):
    return any(first <= code <= last for first, last in ranges)


def test_blanks_are_unicodes_and_invisible_ones_are_listed():
    separators = set(range(0x1C, 0x20))  # Python's isspace has them, Unicode's White_Space not
    marks = {0xAD, 0x61C, 0x180E, 0xFEFF, *range(0x200B, 0x2010), *range(0x202A, 0x202F)}
    marks |= set(range(0x2060, 0x2070))
    for code in (
        *range(0x700),
        *range(0x1670, 0x1820),
        *range(0x1FF0, 0x3010),
        0xFEFE,
        *range(0xFEFF, 0xFF10),
    ):
        blank = chr(code).isspace() and code not in separators
        assert among(code, BLANK) == blank, hex(code)
        unseen = code in marks or unicodedata.category(chr(code)) == "Cc" and not blank
        assert among(code, INVISIBLE) == unseen, hex(code)


@pytest.mark.parametrize(
    "code",
    [0x3400, 0x4DBF, 0x4E00, 0x9FFF, 0xF900, 0xFAFF, 0x20000, 0x2A6DF, 0x2A700, 0x2CEAF, 0x2F800,
     0x2FA1F],
)  # fmt: skip
def test_chinese_characters_are_berts(code):
    backend = BertNormalizer(False, True, False, False)
    for near in (code - 1, code, code + 1):
        is_apart = backend.normalize_str(chr(near)) != chr(near)
        assert among(near, CHINESE) == is_apart, hex(near)


# -- what numbers say -----------------------------------------------------------------------------


def test_logits_are_read_by_their_problem():
    logits = np.array([[1.0, 2.0, -3.0], [1000.0, 0.0, 0.0]], "float32")
    raised = np.exp([1.0, 2.0, -3.0])
    shares = class_scores(logits)
    assert shares.dtype == np.float64
    assert np.allclose(shares, [raised / raised.sum(), [1, 0, 0]], atol=1e-15)
    assert np.array_equal(shares, class_scores(logits, "single_label"))
    each = class_scores(logits[:1], "multi_label")
    assert each.dtype == np.float64
    assert np.allclose(each, [[1 / (1 + math.exp(-x)) for x in (1.0, 2.0, -3.0)]], atol=1e-15)
    values = class_scores(logits, "regression")
    assert values.dtype == np.float64 and np.array_equal(values, logits)
    assert np.allclose(probabilities([[[0.0], [math.log(3)]]]), [[[0.5], [0.75]]], atol=1e-15)
    assert PROBLEMS == ("single_label", "multi_label", "regression")
    assert np.allclose(probabilities([[0.0], [math.log(3)]]), [[0.5], [0.75]], atol=1e-15)


def test_a_row_is_described_by_its_problem():
    row, labels = np.array([0.2, 0.5, 0.3]), ["a", "b", "c"]
    scores = {"a": 0.2, "b": 0.5, "c": 0.3}
    single = {"label": "b", "score": 0.5, "scores": scores}
    assert described(row, labels, {}) == single
    assert described(row, labels, {"problem": "single_label", "threshold": 0.1}) == single
    alone = {"label": "b", "score": 0.25, "scores": {"b": 0.25}}
    assert described(np.array([0.25]), ["b"], {}) == alone
    several = {"problem": "multi_label"}
    assert described(row, labels, several) == {"labels": ["b"], "scores": scores}
    several["threshold"] = 0.3
    assert described(row, labels, several)["labels"] == ["b", "c"]
    equals = described(np.array([0.6, 0.7, 0.6, 0.6]), [*labels, "d"], several)["labels"]
    assert equals == ["b", "a", "c", "d"]  # of equals the one that stands first
    many = [f"label {i}" for i in range(40)]
    assert labelling(np.full(40, 0.5), many)["labels"] == many
    assert labelling(np.array([0.49, 0.5, 1.0]), labels)["labels"] == ["c", "b"]
    assert described(row, labels, {"problem": "regression"}) == {"values": scores}
    for options in ({}, several, {"problem": "regression"}):
        with pytest.raises(ValueError):
            described(row, ["a", "b"], options)


def test_similarities_are_those_of_sentence_transformers():
    one, other = np.array([[3.0, 4.0], [0.0, 0.0]], "float32"), np.array([[4.0, 3.0], [0.0, -2.0]])
    expected = {
        "cosine": [[0.96, -0.8], [0, 0]],
        "dot": [[24, -8], [0, 0]],
        "euclidean": [[-math.sqrt(2), -math.sqrt(45)], [-5, -2]],
        "manhattan": [[-2, -9], [-7, -2]],
    }
    for kind, values in expected.items():
        found = similarities(one, other, kind)
        assert found.dtype == np.float64 and np.allclose(found, values, atol=1e-12), kind
    wide = np.arange(6.0).reshape(2, 3)
    assert similarities(wide, wide[:1], "manhattan").tolist() == [[0], [-9]]
    tiny = np.full((1, 4), 1e-9)
    assert similarities(tiny, tiny, "cosine") == pytest.approx(1)


def test_the_nearest_come_first_and_of_equals_the_first():
    scores = np.array([0.5, 0.25, 0.75, 0.5], "float32")
    found = nearest(scores, None, 3)
    assert found == [{"index": i, "score": s} for i, s in ((2, 0.75), (0, 0.5), (3, 0.5))]
    assert nearest(scores, [*"abcd"], 1) == [{"index": 2, "score": 0.75, "text": "c"}]
    assert [row["index"] for row in nearest(np.zeros(40), None, 40)] == list(range(40))


def test_each_task_answers_with_its_own_outputs():
    logits = {"logits": np.log([[0.25, 0.75]])}
    found = RULES["single_label"].find("a", [(logits, {})], ["no", "yes"], {})
    assert found["label"] == "yes" and found["score"] == pytest.approx(0.75)
    found = RULES["regression"].find("a", [(logits, {})], ["x", "y"], {})
    assert list(found["values"]) == ["x", "y"]
    vector = {"embedding": np.array([[1.0, -2.0]], "float32")}
    assert RULES["embedding"].find("a", [(vector, {})], None, {}) == {"embedding": [1.0, -2.0]}
    columns = {"offsets": [(0, 2), (3, 8)], "word_ids": [0, 1], "starts": 0}
    rows = [({"logits": np.log(scores(("O", 0.9), ("B-LOC", 0.8)))[None]}, columns)]
    (entity,) = RULES["entities"].find("in Paris", rows, LABELS, {})["entities"]
    assert entity["score"] == pytest.approx(0.8)
    assert (entity["text"], entity["label"], entity["start"], entity["end"]) == (
        "Paris",
        "LOC",
        3,
        8,
    )
    outputs = {
        "start_logits": np.log([[0.4, 0.5, 0.1]]), "end_logits": np.log([[0.4, 0.1, 0.5]])
    }  # fmt: skip
    rows = [(outputs, {"offsets": [(-1, -1), (0, 2), (3, 8)]})]
    pair = ("where", "in Paris")
    found = RULES["span"].find(pair, rows, None, {})
    assert (found["answer"], found["score"]) == ("in Paris", pytest.approx(0.25))
    assert RULES["span"].find(pair, rows, None, {"no_answer": -1.0})["answer"] == ""
    assert RULES["span"].find(pair, rows, None, {"no_answer": 0.0})["answer"]
