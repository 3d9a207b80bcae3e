"""Entities and answers: the rules by hand, and bundles that answer as Keras does."""

import json
import math

import numpy as np
import pytest
from families import add_noise, noisy
from test_tasks import TASKS, tokenizer

import kzoo
from kzoo.answers import answer, check_labels, entities, span
from kzoo.cli import main
from kzoo.litert import export_bundle

LABELS = ["O", "B-PER", "I-PER", "B-LOC"]
CONTEXT = "the film was dull . " * 6 + "he lives in paris . the film was bad ."


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


# -- bundles ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def bundles(tmp_path_factory):
    """{task: (its model, its bundle)}, float32."""
    made = {}
    for name, length in (("TokenClassifier", None), ("QuestionAnswering", 20)):
        model = getattr(kzoo, name)(
            noisy("bert"), tokenizer=tokenizer(), max_length=20, **TASKS[name]
        )
        folder = tmp_path_factory.mktemp(name) / "bundle"
        export_bundle(add_noise(model), folder, "float32", length)
        made[name] = model, folder
    return made


def same(one, other):
    """Equal but for the last digits of scores."""
    if isinstance(one, dict):
        return set(one) == set(other) and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    return math.isclose(one, other, abs_tol=1e-4) if isinstance(one, float) else one == other


def test_a_bundle_finds_the_entities_that_keras_finds(bundles):
    model, folder = bundles["TokenClassifier"]
    texts = ["He lives in Paris!", "", "a very very very good film, in zürich " * 3]
    found = kzoo.predict_bundle(folder, texts)
    assert any(entry["entities"] for entry in found) and not found[1]["entities"]
    for entry, text, expected in zip(found, texts, model.predict(texts), strict=True):
        assert entry["text"] == text and same(entry["entities"], expected)
    assert [entry["truncated"] for entry in found] == [False, False, False]  # windows, no end cut
    assert found[2]["tokens"] > 20 and max(e["end"] for e in found[2]["entities"]) > 90
    with pytest.raises(kzoo.KzooError, match="text 1 is a pair"):
        kzoo.predict_bundle(folder, ["a", ("a", "b")])


def test_a_bundle_answers_questions_about_long_texts_as_keras_does(bundles):
    model, folder = bundles["QuestionAnswering"]
    pairs = [("he lives in", CONTEXT), ("is it good", "a fine film"), ("who", "")]
    pairs.append(("very " * 30, "the film is good"))
    found = kzoo.predict_bundle(folder, pairs)
    for entry, pair, expected in zip(found, pairs, model.predict(pairs), strict=True):
        assert entry["text"] == list(pair) and same({k: entry[k] for k in expected}, expected)
        assert pair[1][entry["start"] : entry["end"]] == entry["answer"]
    assert found[0]["tokens"] > 40 and found[2]["answer"] == ""
    assert [entry["truncated"] for entry in found] == [False, False, False, True]
    with pytest.raises(kzoo.KzooError, match="text 0 is a string"):
        kzoo.predict_bundle(folder, ["who lives in paris"])
    golden = json.loads((folder / "kzoo.json").read_text())["golden"]
    assert all(isinstance(entry["text"], list) for entry in golden)


def test_the_command_line_shows_both(bundles, capfd):
    def run(*arguments):
        capfd.readouterr()
        with pytest.raises(SystemExit) as left:
            main([*map(str, arguments)])
        return left.value.code, *capfd.readouterr()

    pair = ["who lives", 'he lives\tin "paris"']
    folder = bundles["QuestionAnswering"][1]
    code, out, _ = run("predict", folder, "--pairs", "--json", json.dumps(pair), "who\ta dog")
    assert code == 0
    assert [entry["text"] for entry in json.loads(out)] == [pair, ["who", "a dog"]]
    code, out, _ = run("predict", folder, "--pair", "who\ta dog")
    assert code == 0 and "who | a dog" in out
    code, out, err = run("predict", folder, "--pair", '["who"]')
    assert (code, out) == (2, "") and "JSON array of two strings" in err
    folder = bundles["TokenClassifier"][1]
    code, out, _ = run("predict", folder, "he lives in paris", "")
    first = json.loads(run("predict", folder, "--json", "he lives in paris")[1])[0]["entities"]
    assert code == 0 and all(f"{e['text']} {e['label']}" in out for e in first)


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
    with pytest.raises(kzoo.KzooError, match=words):
        check_labels(labels)
