"""Scores of entities and answers as the field's scripts count them; no test here needs Keras."""

import pytest

from kzoo.metrics import answer_scores, normalised


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
