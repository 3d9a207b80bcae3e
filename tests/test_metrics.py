"""Entities and answers are counted as the field's own scripts count them."""

import json

import keras
import numpy as np
import pytest
from families import one_block
from test_tasks import tokenizer

import kzoo
from kzoo.answers import label_parts
from kzoo.data.batches import IGNORED
from kzoo.metrics import entity_scores, spans_of
from kzoo.tasks.span_metrics import EntityF1

LABELS = ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"]


def tagged(size, seed, change=0.3):
    """Random tags of sentences, and others that differ from them in some places."""
    draw = np.random.default_rng(seed)
    true = [draw.integers(0, 5, draw.integers(1, 12)) for _ in range(size)]
    return true, [
        np.where(draw.random(len(row)) < change, draw.integers(0, 5, len(row)), row) for row in true
    ]


def counted_by_hand(tags):
    """conlleval's rule written from its description: what opens an entity, and what closes it."""
    entities, start, kind = set(), None, None
    for place, tag in enumerate([*tags, "O"]):
        mark, _, of = tag.partition("-")
        if start is not None and (mark != "I" or of != kind):
            entities.add((start, place, kind))
            start = None
        if start is None and mark != "O":
            start, kind = place, of
    return entities


@pytest.mark.parametrize("seed", range(3))
def test_entities_are_counted_in_a_stream_as_in_whole_sentences(seed):
    """Batches of sentences with padding and places that are no word's first token."""
    true, predicted = tagged(40, seed)
    parts = label_parts(LABELS)
    for rows in (true, predicted):
        for row in rows:
            by_hand = counted_by_hand([LABELS[tag] for tag in row])
            assert set(spans_of(row, parts)) == by_hand
    expected = entity_scores(
        *([spans_of(row, parts) for row in rows] for rows in (true, predicted))
    )
    metric, draw = EntityF1(LABELS), np.random.default_rng(seed)
    for start in range(0, 40, 8):
        rows = range(start, start + 8)
        targets = np.full((8, 30), IGNORED)
        logits = draw.normal(size=(8, 30, 5))
        for i, row in enumerate(rows):
            places = np.sort(draw.choice(30, len(true[row]), replace=False))
            targets[i, places] = true[row]
            logits[i, places] = 9 * np.eye(5)[predicted[row]]
        metric.update_state(targets, logits)
    assert 0.2 < expected["f1"] < 0.9
    assert float(metric.result()) == pytest.approx(expected["f1"], abs=1e-6)
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(metric))
    assert again.labels == LABELS


@pytest.mark.parametrize("seed", range(3))
def test_entities_are_counted_as_seqeval_counts(seed):
    seqeval = pytest.importorskip("seqeval.metrics")
    rows = [[[LABELS[tag] for tag in row] for row in rows] for rows in tagged(200, seed)]
    spans = [
        [spans_of([LABELS.index(t) for t in row], label_parts(LABELS)) for row in r] for r in rows
    ]
    scores = entity_scores(*spans)
    for name in ("precision", "recall", "f1"):
        assert scores[name] == pytest.approx(getattr(seqeval, f"{name}_score")(*rows))
    report = seqeval.classification_report(*rows, output_dict=True)
    for kind, shares in scores["kinds"].items():
        assert shares["f1"] == pytest.approx(report[kind]["f1-score"])
        assert shares["support"] == report[kind]["support"]


def test_a_model_that_finds_nothing_scores_nothing():
    metric = EntityF1(LABELS)
    metric.update_state([[0, 0, 1, 2]], np.tile([9.0, 0, 0, 0, 0], (1, 4, 1)))
    assert float(metric.result()) == 0
    assert entity_scores([[(2, 4, "PER")]], [[]])["f1"] == 0
    assert entity_scores([[]], [[]])["f1"] == 0


# -- in fit and evaluate ---------------------------------------------------------------------------

SENTENCES = [
    (["john", "lives", "in", "paris"], ["B-PER", "O", "O", "B-LOC"]),
    (["ann", "lee", "is", "in", "rome"], ["B-PER", "I-PER", "O", "O", "B-LOC"]),
    (["the", "dog", "is", "good"], ["O", "O", "O", "O"]),
]


def write_words(folder):
    lines = ["\n".join(f"{w} {t}" for w, t in zip(*row, strict=True)) for row in SENTENCES]
    path = folder / "train.conll"
    path.write_text("\n\n".join(lines) + "\n")
    return path


def write_spans(folder):
    rows = []
    for words, tags in SENTENCES:
        starts = np.cumsum([0, *(len(word) + 1 for word in words)])
        spans = spans_of([LABELS.index(tag) for tag in tags], label_parts(LABELS))
        spans = [[int(starts[a]), int(starts[b]) - 1, kind] for a, b, kind in spans]
        rows.append(json.dumps({"text": " ".join(words), "entities": spans}))
    path = folder / "train.jsonl"
    path.write_text("\n".join(rows) + "\n")
    return path


@pytest.mark.parametrize("write", [write_words, write_spans])
def test_entities_are_learned_from_files(tmp_path, capsys, write):
    """Both files give the same targets, the progress has the F1, and the answers are the spans."""
    keras.utils.set_random_seed(0)
    task = kzoo.TokenClassifier(
        one_block(dropout=0.0),
        labels=LABELS,
        tokenizer=tokenizer(),
    )
    task.compile(kzoo.AdamW(0.01))
    path = write(tmp_path)
    history = task.fit(path, epochs=30, validation_data=path, verbose=2).history
    shown = capsys.readouterr().out
    assert "3 examples as" in shown and ", f1 1.0000" in shown and "val_f1 1.0000" in shown
    assert history["val_f1"][-1] == task.evaluate(path, verbose=0, return_dict=True)["f1"] == 1
    texts = [" ".join(words) for words, _ in SENTENCES]
    found = [[(e["text"], e["label"]) for e in row] for row in task.predict(texts)]
    assert found == [
        [("john", "PER"), ("paris", "LOC")],
        [("ann lee", "PER"), ("rome", "LOC")],
        [],
    ]
    x, y = task.read_file(path)
    targets = [[t for t in row if t != IGNORED] for row in task.encode_targets(y, x)]
    assert targets == [[LABELS.index(tag) for tag in tags] for _, tags in SENTENCES]


CONTEXT = "john lives in paris , ann is in rome"
QUESTIONS = [
    ("who lives in paris", [(0, 4), (0, 10)]),
    ("who is in rome", (22, 25)),
    ("is the dog good", None),
]


def test_questions_are_learned_from_squad(tmp_path):
    """exact_match and f1 are of answers' texts, against the best of several, without an answer."""
    qas = []
    for number, (question, spans) in enumerate(QUESTIONS):
        spans = [spans] if isinstance(spans, tuple) else spans or []
        answers = [{"text": CONTEXT[a:b], "answer_start": a} for a, b in spans]
        qas.append({"id": str(number), "question": question, "answers": answers})
        qas[-1]["is_impossible"] = not answers
    path = tmp_path / "train.json"
    path.write_text(json.dumps({"data": [{"paragraphs": [{"context": CONTEXT, "qas": qas}]}]}))
    keras.utils.set_random_seed(0)
    task = kzoo.QuestionAnswering(
        one_block(dropout=0.0),
        tokenizer=tokenizer(),
        no_answer=0.0,
    )
    task.compile(kzoo.AdamW(0.01))
    history = task.fit(path, epochs=30, validation_data=path, verbose=0).history
    assert {"exact_match", "f1", "val_exact_match", "val_f1"} <= set(history)
    assert history["val_exact_match"][-1] == history["val_f1"][-1] == 1
    # Against other answers the texts count, not the places: "john lives" for "john" is right too.
    golds = [(question, CONTEXT) for question, _ in QUESTIONS]
    y = [[(20, 21), (0, 10)], (14, 19), (0, 4)]
    scores = task.evaluate(golds, y, verbose=0, return_dict=True)
    answers = [answer["answer"] for answer in task.predict(golds)]
    assert answers == ["john", "ann", ""]
    assert scores["exact_match"] == 0
    assert scores["f1"] == pytest.approx(2 / 3 / 3)  # Half of "john lives", nothing of the rest.


def test_rankings_score_as_their_definitions_say():
    """Reciprocal rank, discounted gain and recall, worked out by hand; the means over queries."""
    one = kzoo.metrics.retrieval_scores([{"a"}], [["x", "a", "y"]])
    assert one == pytest.approx({"mrr": 1 / 2, "ndcg": 1 / np.log2(3), "recall": 1})
    graded = kzoo.metrics.retrieval_scores([{"a": 1, "b": 3}], [["a", "x", "b"]])
    ideal = 3 + 1 / np.log2(3)
    assert graded == pytest.approx({"mrr": 1, "ndcg": (1 + 3 / 2) / ideal, "recall": 1})
    two = kzoo.metrics.retrieval_scores([{"a"}, {"a", "b"}], [["b", "a"], ["b", "a"]], top=1)
    assert two == pytest.approx({"mrr": 1 / 2, "ndcg": 1 / 2, "recall": 1 / 4})


@pytest.mark.parametrize(
    ("expected", "ranked", "top", "words"),
    [
        ([set()], [["a"]], 10, "Query 0 has no answer"),
        ([{"a": 0}], [["a"]], 10, "an answer of no grade"),
        ([{"a"}], [["a", "a"]], 10, "a document twice"),
        ([{"a"}], [], 10, "Got 0 rankings for 1 queries"),
        ([], [], 10, "at least one"),
        ([{"a"}], [["a"]], 0, "Got top=0"),
    ],
)
def test_rankings_that_make_no_sense_are_refused(expected, ranked, top, words):
    """Each with one sentence."""
    with pytest.raises(kzoo.KzooError, match=words):
        kzoo.metrics.retrieval_scores(expected, ranked, top)
