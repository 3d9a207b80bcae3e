"""How often a classifier's files are right on labelled pictures: float32 beside int8."""

import tempfile
from pathlib import Path

import numpy as np

from kzoo.bundle import export_bundle
from kzoo.bundle.predict import Predictor


def accuracies(task, pictures, labels):
    """{"float32", "int8": share of pictures that a file of this kind is right on, "drop": points}.

    Args:
        task: an `ImageClassifier`.
        pictures: uint8 (pictures, height, width[, channels]).
        labels: the index of each one's class.
    """
    result = {}
    for kind in ("float32", "int8"):
        with tempfile.TemporaryDirectory() as folder:
            export_bundle(task, Path(folder) / "bundle", kind)
            answer = Predictor(Path(folder) / "bundle")
            given = [task.labels.index(answer(picture)["label"]) for picture in pictures]
        result[kind] = round(float(np.mean(np.equal(given, labels))), 5)
    return {**result, "drop": round(100 * (result["float32"] - result["int8"]), 2)}
