"""A script for transformers' TensorFlow classes, and what it becomes with kzoo.

    python examples/from_tf_transformers.py before FOLDER FILE.tsv
    python examples/from_tf_transformers.py after FOLDER FILE.tsv

FOLDER holds config.json, tf_model.h5 and vocab.txt of a model that classifies texts, FILE.tsv the
columns "sentence" and "label". `before` needs transformers 4 with tensorflow and tf-keras, which
transformers 5 dropped, and `after` needs kzoo. Both print the loss of each epoch and the first
probabilities as JSON. Without dropout (in config.json) they are the same to float32's noise, which
Adam makes larger step by step: `benchmarks/on_disk/moving_on.py` says how near they are.
"""

import csv
import json
import sys

EPOCHS, BATCH, RATE, EPSILON, LONGEST = 3, 16, 1e-3, 1e-8, 64


def before(folder, texts, labels):
    """As it was written for transformers 4."""
    import os

    os.environ["TF_USE_LEGACY_KERAS"] = "1"
    import numpy as np
    import tensorflow as tf
    from transformers import AutoTokenizer, TFAutoModelForSequenceClassification

    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = TFAutoModelForSequenceClassification.from_pretrained(folder)
    names = [model.config.id2label[index] for index in range(model.config.num_labels)]
    inputs = dict(
        tokenizer(texts, padding=True, truncation=True, max_length=LONGEST, return_tensors="np")
    )
    targets = np.array([names.index(label) for label in labels])
    model.compile(
        optimizer=tf.keras.optimizers.Adam(RATE, epsilon=EPSILON),
        loss=tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    history = model.fit(inputs, targets, batch_size=BATCH, epochs=EPOCHS, shuffle=False, verbose=0)
    logits = model.predict(inputs, batch_size=BATCH, verbose=0).logits
    return history.history["loss"], tf.nn.softmax(logits).numpy()


def after(folder, texts, labels):
    """The same with kzoo: it takes texts and the labels' names."""
    import kzoo

    model = kzoo.load(folder)
    model.max_length = LONGEST
    # Not keras.optimizers.Adam: on TensorFlow it squares an embedding's gradients piece by piece.
    adam = kzoo.AdamW(
        RATE, weight_decay=0, warmup=0, decay="constant", clip_norm=None, epsilon=EPSILON
    )
    model.compile(optimizer=adam)
    history = model.fit(texts, labels, batch_size=BATCH, epochs=EPOCHS, shuffle=False, verbose=0)
    return history.history["loss"], model.predict(texts)


def main():
    """Read the file, train, and print what came of it."""
    way, folder, path = sys.argv[1:]
    with open(path, encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    texts, labels = [row["sentence"] for row in rows], [row["label"] for row in rows]
    losses, probabilities = {"before": before, "after": after}[way](folder, texts, labels)
    print(
        json.dumps(
            {
                "loss": [float(loss) for loss in losses],
                "probabilities": [[float(p) for p in row] for row in probabilities],
            }
        )
    )


if __name__ == "__main__":
    main()
