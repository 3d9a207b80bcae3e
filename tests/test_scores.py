"""Scores of entities and answers as the field's scripts count them; no test here needs Keras."""

import pytest

from kzoo.answers import label_parts
from kzoo.metrics import answer_scores, entity_scores, normalised, spans_of

TAGS = ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"]


@pytest.mark.parametrize(
    ("tags", "spans"),
    [
        ("O O", []),
        ("B-PER", [(0, 1, "PER")]),
        ("O B-PER I-PER I-PER O I-LOC", [(1, 4, "PER"), (5, 6, "LOC")]),
        ("B-PER B-PER", [(0, 1, "PER"), (1, 2, "PER")]),
        ("I-PER I-LOC I-LOC", [(0, 1, "PER"), (1, 3, "LOC")]),
        ("I-PER O I-PER", [(0, 1, "PER"), (2, 3, "PER")]),
        ("B-LOC I-PER", [(0, 1, "LOC"), (1, 2, "PER")]),
    ],
)
def test_spans_of_tags(tags, spans):
    """As CoNLL's script: what goes on with nothing, or with another kind, begins."""
    assert spans_of([TAGS.index(tag) for tag in tags.split()], label_parts(TAGS)) == spans


def test_entities_are_right_by_words_and_kind():
    expected = [[(0, 1, "PER"), (2, 4, "LOC")], [(0, 2, "PER")], []]
    predicted = [[(0, 1, "PER"), (2, 3, "LOC")], [(0, 2, "LOC"), (3, 4, "PER")], [(0, 1, "ORG")]]
    scores = entity_scores(expected, predicted)
    total = {"precision": 1 / 5, "recall": 1 / 3, "f1": 2 / 8, "support": 3}
    assert {name: scores[name] for name in total} == pytest.approx(total)
    half = {"precision": 1 / 2, "recall": 1 / 2, "f1": 1 / 2, "support": 2}
    nothing = {"precision": 0.0, "recall": 0.0, "f1": 0.0}
    assert list(scores["kinds"]) == ["LOC", "ORG", "PER"]
    assert scores["kinds"]["PER"] == pytest.approx(half)
    assert scores["kinds"]["LOC"] == {**nothing, "support": 1}
    assert scores["kinds"]["ORG"] == {**nothing, "support": 0}
    assert entity_scores([[]], [[]]) == {**nothing, "support": 0, "kinds": {}}
    for rows in (([[]], []), ([], [[]])):
        with pytest.raises(ValueError):
            entity_scores(*rows)


def test_scores_of_answers_are_means_over_questions():
    found = answer_scores([["b c"], ["c d", "e"]], ["b c", "c"])
    assert found == pytest.approx({"exact_match": 0.5, "f1": (1 + 2 / 3) / 2})
    assert answer_scores([], []) == {"exact_match": 0, "f1": 0}
    with pytest.raises(ValueError):
        answer_scores([["a"]], [])


@pytest.mark.parametrize(
    ("golds", "answer", "exact", "f1"),
    [
        # What SQuAD's evaluate-v1.1.py and evaluate-v2.0.py give.
        (["Denver Broncos"], "the Denver Broncos!", 1, 1),
        (["Denver Broncos", "Broncos"], "broncos", 1, 1),
        (["Carolina Panthers"], "Denver Panthers", 0, 0.5),
        (["a b b"], "b b c", 0, 0.8),  # "a" is an article: "b b" of two words and of three.
        (["1990"], "", 0, 0),
        ([], "", 1, 1),
        ([], "paris", 0, 0),
        (["", "the"], "", 1, 1),
        (["Saint-Denis"], "saintdenis", 1, 1),
    ],
)
def test_answers_are_counted_as_squad_counts(golds, answer, exact, f1):
    assert answer_scores([golds], [answer]) == pytest.approx({"exact_match": exact, "f1": f1})
    assert answer_scores([golds] * 2, [answer, "nothing"])["exact_match"] == exact / 2


def test_normalised_answers():
    assert normalised(" The  U.S. Army,\tan  army ") == "us army army"
