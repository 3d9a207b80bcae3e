"""A bundle's files on labelled texts: how often they are right, and how near to Keras."""

from dataclasses import dataclass

import numpy as np

from ..answers import probabilities
from ..data.sources import read_examples
from ..errors import KzooError
from .interpreter import Interpreter
from .limits import LABELLED
from .parity import label_of, measure, run_keras, samples


@dataclass(frozen=True)
class Labelled:
    """Texts with what is right for them.

    Args:
        texts: strings or pairs.
        targets: for each a class index.
        task: whose they are, a key of `MEASURES`.
    """

    texts: list
    targets: list
    task: str


def labelled_texts(model, evaluation, asked):
    """What an evaluation file holds, as `Labelled`; None without one."""
    if evaluation is None:
        wanted = [name for name in asked if name in LABELLED]
        if wanted:
            raise KzooError(f"The limit {wanted[0]} needs labelled texts: name an evaluation file.")
        return None
    task = getattr(model, "task_name", None)
    if task not in READ or not READ[task][0](model):
        raise KzooError(
            f"Got an evaluation file for a {type(model).__name__}; expected one for a task that is "
            "measured on texts: a TextClassifier with one label a text."
        )
    return READ[task][1](model, evaluation)


def evaluate(examples, answerer, model, files):
    """How often Keras and the files are right, and how near `file` is to Keras.

    Args:
        examples: `Labelled`.
        answerer: how the task reads and answers, see `predict.Answerer`.
        model: the task in Keras.
        files: {name: path}, "file" among them.

    Returns:
        `examples` (how many), and what the task's measure gives.
    """
    interpreters = {name: Interpreter(path) for name, path in files.items()}
    return {
        "examples": len(examples.texts),
        **MEASURES[examples.task](examples, answerer, model, interpreters),
    }


# -- classifiers ---------------------------------------------------------------------------------


def _classes(model, evaluation):
    texts, labels = read_examples(evaluation)
    model.check_reads("text" if isinstance(texts[0], str) else "pair")
    return Labelled(texts, model.class_indices(labels), model.task_name)


def _classified(examples, answerer, model, interpreters):
    """Accuracies; the distance of the file to Keras; and what is taken for what.

    `confusion` has a row a label and a column a label: how many texts of the one got the other.
    """
    rows = samples(model, answerer.length, examples.texts)
    outputs = {"keras": run_keras(model, rows)}
    for name, interpreter in interpreters.items():
        outputs[name] = [interpreter.run(columns) for _, columns in rows]
    answers = {
        name: [label_of(probabilities(entry["logits"])[0]) for entry in given]
        for name, given in outputs.items()
    }
    right = {
        name: float(np.mean(np.array(given) == examples.targets)) for name, given in answers.items()
    }
    both = zip(rows, outputs["keras"], outputs["file"], strict=True)
    distance = measure([(columns, *pair) for (_, columns), *pair in both], "single_label")
    confusion = np.zeros((max(2, len(answerer.labels)),) * 2, int)
    np.add.at(confusion, (examples.targets, answers["file"]), 1)
    kept = ("label_agreement", "probability_difference", "probability_difference_max")
    return {
        **{f"accuracy_{name}": share for name, share in right.items() if name != "file"},
        "accuracy": right["file"],
        "accuracy_drop": right["keras"] - right["file"],
        **{name: distance[name] for name in (*kept, "probabilities")},
        "confusion": confusion.tolist(),
    }


READ = {"TextClassifier": (lambda model: model.problem == "single_label", _classes)}
MEASURES = {"TextClassifier": _classified}
