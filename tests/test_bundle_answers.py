"""Bundles of entities and answers give those that Keras gives."""

import json
import math

import pytest

import kzoo
from kzoo.cli import main

CONTEXT = "the film was dull . " * 6 + "he lives in paris . the film was bad ."


def same(one, other):
    """Equal but for the last digits of scores."""
    if isinstance(one, dict):
        return set(one) == set(other) and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    return math.isclose(one, other, abs_tol=1e-4) if isinstance(one, float) else one == other


def test_a_bundle_finds_the_entities_that_keras_finds(bundles):
    model, folder = bundles["TokenClassifier"]
    texts = ["He lives in Paris!", "", "a very very good film, in zürich. He lives in Paris! " * 3]
    found = kzoo.predict_bundle(folder, texts)
    assert found[0]["entities"] and not found[1]["entities"]
    for entry, text, expected in zip(found, texts, model.predict(texts), strict=True):
        assert entry["text"] == text and same(entry["entities"], expected)
    assert [entry["truncated"] for entry in found] == [False, False, False]  # windows, no end cut
    assert found[2]["tokens"] > 40 and max(e["end"] for e in found[2]["entities"]) > 140
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
