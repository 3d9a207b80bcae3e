"""A bundle's files on labelled texts: how often they are right, and how near to Keras."""

import numpy as np

from ..answers import probabilities
from ..data.sources import read_examples
from ..errors import KzooError
from .interpreter import Interpreter
from .parity import is_classifier, label_of, measure, run_keras, samples


def labelled_texts(model, evaluation, asked):
    """Texts and class indices of the evaluation file, or None; a classifier's business only."""
    if evaluation is None:
        wanted = [name for name in asked if name.startswith("accuracy")]
        if wanted:
            raise KzooError(f"The limit {wanted[0]} needs labelled texts: name an evaluation file.")
        return None
    if not is_classifier(model):
        raise KzooError(
            f"An evaluation file came for a {type(model).__name__}; only a TextClassifier, "
            "of texts with one label each, is measured on one."
        )
    texts, labels = read_examples(evaluation)
    model.check_reads("text" if isinstance(texts[0], str) else "pair")
    return texts, model.class_indices(labels)


def evaluate(model, files, examples, length):
    """How often Keras and the files are right, and how near `file` is to Keras."""
    texts, targets = examples
    rows = samples(model, length, texts)
    expected = run_keras(model, rows)
    found = {}
    for name, path in files.items():
        interpreter = Interpreter(path)
        found[name] = [interpreter.run(columns) for _, columns in rows]

    def right(outputs):
        answers = [label_of(probabilities(entry["logits"])[0]) for entry in outputs]
        return float(np.mean(np.array(answers) == targets))

    pairs = zip(rows, expected, found["file"], strict=True)
    distance = measure([(columns, *both) for (_, columns), *both in pairs], "single_label")
    accuracy = {f"accuracy_{name}": right(outputs) for name, outputs in found.items()}
    keras_right, file_right = right(expected), accuracy.pop("accuracy_file")
    return {
        "examples": len(texts),
        "accuracy_keras": keras_right,
        **accuracy,
        "accuracy": file_right,
        "accuracy_drop": keras_right - file_right,
        "label_agreement": distance["label_agreement"],
        "probability_difference": distance["probability_difference"],
        "probability_difference_max": distance["probability_difference_max"],
        "probabilities": distance["probabilities"],
    }
