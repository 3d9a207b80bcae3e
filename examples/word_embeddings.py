"""Word vectors of a Keras model in a model of kzoo, and a part of kzoo in a Keras model.

    python examples/word_embeddings.py

A classifier of Keras has learned a vector for each word of its TextVectorization. `transplanted`
gives both, the words and their vectors, to a transformer of kzoo, which tells the order of words
apart and goes into a LiteRT file. `joined` is the other way round: that transformer as a layer
among layers of your own, trained, saved and loaded as any Keras model.
"""

import json

import keras
import numpy as np

import kzoo

TEXTS = ["good film", "a good , good play", "bad film", "a bad play", "it was good", "it was bad"]
LABELS = [1, 1, 0, 0, 1, 0]


def of_keras():
    """What stands on the disk: words, and a model of Keras that has a vector for each."""
    words = keras.layers.TextVectorization(standardize="lower_and_strip_punctuation")
    words.adapt(TEXTS)
    ids = keras.Input((None,), dtype="int64")
    vectors = keras.layers.Embedding(words.vocabulary_size(), 8, mask_zero=True, name="words")(ids)
    pooled = keras.layers.GlobalAveragePooling1D()(vectors)
    model = keras.Model(ids, keras.layers.Dense(1, activation="sigmoid")(pooled))
    model.compile("adam", "binary_crossentropy")
    model.fit(words(TEXTS), np.array(LABELS), epochs=3, verbose=0)
    return words.get_vocabulary(), model


def tokenizer_of(words):
    """The tokenizer that gives each word the id that TextVectorization gives it.

    Args:
        words: its vocabulary, padding first and the unknown word second.
    """
    named = ["[PAD]", "[UNK]", *words[2:]]
    parts = {
        "version": "1.0",
        "added_tokens": [],
        "normalizer": {
            "type": "Sequence",
            "normalizers": [
                {"type": "Lowercase"},
                {
                    "type": "Replace",
                    "pattern": {"Regex": r"""[!"#$%&()*+,\-./:;<=>?@\[\\\]^_`{|}~']"""},
                    "content": "",
                },
            ],
        },
        "pre_tokenizer": {"type": "WhitespaceSplit"},
        "model": {
            "type": "WordLevel",
            "vocab": {word: number for number, word in enumerate(named)},
            "unk_token": "[UNK]",
        },
    }
    return kzoo.Tokenizer.from_json(json.dumps(parts))


def transplanted(words, table, **sizes):
    """A transformer of kzoo that reads these words and begins with their vectors.

    Args:
        words: the vocabulary of a TextVectorization.
        table: the vectors (words, dim) of an Embedding.
        sizes: fields of `kzoo.Spec` other than these.
    """
    count, dim = table.shape
    spec = kzoo.Spec(
        family="bert",
        embedding={"kind": "token", "vocabulary_size": count},
        hidden_dim=dim,
        pooler="none",
        **{"num_heads": 2, "intermediate_dim": 2 * dim, "schedule": (0, 1), **sizes},
    )
    backbone = kzoo.Bert(spec)
    backbone.token_embedding.embeddings.assign(table)
    backbone.processors = {"tokenizer": tokenizer_of(words)}
    return backbone


def joined(backbone):
    """A Keras model of your own with a part of kzoo: a mean over tokens and another input."""
    ids = keras.Input((None,), dtype="int32", name="token_ids")
    mask = keras.Input((None,), dtype="int32", name="padding_mask")
    length = keras.Input((1,), name="length")
    x = backbone({"token_ids": ids, "padding_mask": mask})["sequence_output"]
    pooled = keras.layers.GlobalAveragePooling1D()(x, mask=mask)
    scores = keras.layers.Dense(1)(keras.layers.Concatenate()([pooled, length]))
    inputs = {"token_ids": ids, "padding_mask": mask, "length": length}
    model = keras.Model(inputs, scores)
    model.compile("adam", keras.losses.BinaryCrossentropy(from_logits=True))
    return model


def main():
    """Both ways, each trained a little."""
    words, model = of_keras()
    backbone = transplanted(words, model.get_layer("words").get_weights()[0])
    classifier = kzoo.TextClassifier(backbone, labels=["bad", "good"], head="mean")
    classifier.compile()
    classifier.fit(TEXTS, [classifier.labels[i] for i in LABELS], epochs=3, verbose=0)
    print(classifier.predict(["a good film"]))

    own = joined(transplanted(words, model.get_layer("words").get_weights()[0]))
    columns = tokenizer_of(words).encode(TEXTS, padding="longest")
    inputs = {name: np.array(columns[name]) for name in ("token_ids", "padding_mask")}
    inputs["length"] = inputs["padding_mask"].sum(axis=1, keepdims=True) / 10
    own.fit(inputs, np.array(LABELS), epochs=3, verbose=0)
    print(own.predict(inputs, verbose=0).ravel())


if __name__ == "__main__":
    main()
