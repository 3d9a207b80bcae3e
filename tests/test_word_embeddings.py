"""examples/word_embeddings.py: a Keras layer's vectors in kzoo, a kzoo part in a Keras model."""

import sys
from pathlib import Path

import keras
import numpy as np
import pytest

import kzoo

sys.path.insert(0, str(Path(__file__).parent.parent / "examples"))
import word_embeddings as example  # noqa: E402


@pytest.fixture(scope="module")
def learned():
    """Words, and the vector of each."""
    words, model = example.of_keras()
    return words, model.get_layer("words").get_weights()[0]


def test_words_keep_their_ids_and_vectors(learned):
    words, table = learned
    backbone = example.transplanted(words, table)
    assert np.array_equal(backbone.token_embedding.embeddings, table)
    known = keras.layers.TextVectorization(vocabulary=words[2:])
    texts = [*example.TEXTS, "It's GOOD, a (new) play!", "bad-film"]
    encoded = backbone.processors["tokenizer"].encode(texts, padding="longest")
    assert np.array_equal(encoded["token_ids"], known(texts))
    ids = np.array(encoded["token_ids"])
    vectors = backbone.embedding({"token_ids": ids})
    assert np.array_equal(vectors, table[ids])


def test_the_words_learn_on_and_go_into_a_preset(learned, tmp_path):
    words, table = learned
    backbone = example.transplanted(words, table)
    classifier = kzoo.TextClassifier(backbone, labels=["bad", "good"], head="mean")
    classifier.compile()
    labels = [classifier.labels[i] for i in example.LABELS]
    classifier.fit(example.TEXTS, labels, epochs=1, verbose=0)
    moved = np.asarray(classifier.backbone.token_embedding.embeddings)
    assert not np.array_equal(moved, table)
    kzoo.save_preset(classifier, tmp_path / "preset")
    again = kzoo.load(tmp_path / "preset")
    assert np.array_equal(again.predict(example.TEXTS), classifier.predict(example.TEXTS))


def test_a_keras_model_with_a_part_of_kzoo_trains_and_is_loaded(learned, tmp_path):
    words, table = learned
    model = example.joined(example.transplanted(words, table))
    columns = example.tokenizer_of(words).encode(example.TEXTS, padding="longest")
    inputs = {name: np.array(columns[name]) for name in ("token_ids", "padding_mask")}
    inputs["length"] = np.ones((len(example.TEXTS), 1), "float32")
    model.fit(inputs, np.array(example.LABELS), epochs=1, verbose=0)
    model.save(tmp_path / "own.keras")
    loaded = keras.saving.load_model(tmp_path / "own.keras")
    assert np.array_equal(loaded.predict(inputs, verbose=0), model.predict(inputs, verbose=0))
