"""A training written down: what is learnt from what, with which settings, and where it goes."""

import json
import time
from pathlib import Path

import keras
import numpy as np

from .. import presets, tasks
from ..answers import check_labels
from ..data.sources import read_examples
from ..errors import KzooError
from ..files import read_json, writing_folder
from ..keras_hooks import precision
from ..tasks.text_embedder import InBatchLoss
from .optimizer import AdamW

# Every key of a recipe with its default; without one, the key is required.
REQUIRED = object()
KEYS = {
    "summary": "",  # One sentence for the card of what comes out.
    "model": REQUIRED,  # A preset's name or folder, or a Hugging Face folder.
    "train": REQUIRED,  # A .tsv, .csv or .jsonl file, maybe with .gz.
    "output": REQUIRED,  # The preset folder to write.
    "task": "TextClassifier",
    "labels": None,  # Names of the classes; those that the training file holds by default.
    "head": None,  # What the head slot holds, a TextEmbedder's pooling; the usual by default.
    "max_length": None,  # Tokens at most; by default what a task that is trained on has.
    "text": None,  # The column of the text, or two for pairs.
    "label": None,  # The column of the labels.
    "validation": None,  # A file like `train`, or a share of it below 1.
    "epochs": 3,
    "batch_size": 32,
    "learning_rate": 5e-5,
    "warmup": 0.1,
    "decay": "linear",
    "weight_decay": 0.01,
    "clip_norm": 1.0,
    "layer_decay": 1.0,
    "precision": "float32",
    "seed": 0,
    "keep": "last",  # Which epoch's weights are written: the last, or the best on validation.
}
# The tasks whose examples are texts in a file; the others are trained from Python.
TRAINED = ("TextClassifier", "TextEmbedder", "MaskedLM")
# What a folder that is written anew may hold.
FILES = {"spec.json", "task.json", "card.json", "tokenizer.json", presets.WEIGHTS, "training.json"}
PRECISIONS = ("float32", "mixed_bfloat16", "mixed_float16")


def train(recipe, verbose="auto"):
    """Run a recipe: fine-tune, and write the preset with a `training.json` beside it.

    Args:
        recipe: the path of a JSON file, or a dict, with the keys of `KEYS`. Paths in a file are
            relative to its folder.
        verbose: as Keras' `fit` has it.

    Returns:
        The trained task and Keras' `History`.

    Raises:
        KzooError: on a key that isn't known, a value that doesn't fit, a file that can't be read,
            a folder that can't be written: all of it before training begins.
    """
    settings = read_recipe(recipe)
    paths = settings.pop("paths")
    data, held = _read(settings["train"], settings), None
    if isinstance(settings["validation"], float):
        data, held = _split(data, settings["validation"], settings["seed"])
    elif settings["validation"] is not None:
        held = _read(settings["validation"], settings)
    output = Path(settings["output"])
    kept = sorted(file.name for file in output.glob("*") if file.name not in FILES)
    if kept:
        raise KzooError(f"{output} holds {kept[0]}, which would be lost: name another folder.")
    # The folder comes first: a training must not end in a path that can't be written.
    with writing_folder(settings["output"]) as folder:
        with precision(settings["precision"]):
            keras.utils.set_random_seed(settings["seed"])
            task = _task(settings, data[1])
            start = time.monotonic()
            history = _fit(task, settings, data, held, verbose)
        logs = {k: [float(value) for value in v] for k, v in history.history.items()}
        record = {
            "recipe": {**settings, **paths},
            "examples": len(data[0]),
            "validation_examples": len(held[0]) if held else 0,
            "seconds": round(time.monotonic() - start, 1),
            "versions": {"keras": keras.__version__, "backend": keras.backend.backend()},
            "epochs": history.epoch,
            "history": logs,
        }
        summary = settings["summary"] or (
            f"{Path(str(settings['model'])).name} trained on {Path(settings['train']).name}."
        )
        task.save_preset(folder, card={"summary": summary, "made": "by kzoo train: training.json"})
        text = json.dumps(record, indent=2) + "\n"
        (folder / "training.json").write_text(text, encoding="utf-8")
    return task, history


def read_recipe(recipe):
    """The settings of a recipe, every key filled in and checked."""
    base = Path()
    if isinstance(recipe, (str, Path)):
        base = Path(recipe).parent
        recipe = read_json(recipe, "a training recipe")
    if not isinstance(recipe, dict):
        raise KzooError(f"A recipe is a JSON object; {type(recipe).__name__} came.")
    unknown = sorted(set(recipe) - set(KEYS))
    if unknown:
        raise KzooError(
            f"The recipe has the unknown key {unknown[0]!r}; known are {', '.join(KEYS)}."
        )
    settings = {**KEYS, **recipe}
    missing = [key for key, value in settings.items() if value is REQUIRED]
    if missing:
        raise KzooError(f"The recipe lacks {' and '.join(missing)}: say which.")
    for key, (fits, expected) in TYPES.items():
        _check(settings, key, fits(settings[key]), expected)
    if settings["labels"] is not None:
        check_labels(settings["labels"], "labels in the recipe")
    # The record keeps the paths as they were written: they mean something beside the recipe.
    settings["paths"] = {}
    for key in ("train", "output", "model", "validation"):
        if isinstance(settings[key], (str, Path)):
            settings["paths"][key] = str(settings[key])
            beside = base / settings[key]
            # A model may be a preset's name, which is no path.
            settings[key] = str(beside if key != "model" or beside.exists() else settings[key])
    _check(settings, "task", settings["task"] in TRAINED, " or ".join(TRAINED))
    fits = settings["precision"] in PRECISIONS
    _check(settings, "precision", fits, " or ".join(PRECISIONS))
    _check(settings, "keep", settings["keep"] in ("last", "best"), "last or best")
    for key in ("epochs", "batch_size"):
        value = settings[key]
        _check(settings, key, type(value) is int and value >= 1, "a whole number of at least 1")
    for key in ("learning_rate", "weight_decay", "warmup", "clip_norm", "layer_decay"):
        value = settings[key]
        fits = type(value) in (int, float) and 0 <= value < float("inf")
        _check(settings, key, fits or (key == "clip_norm" and value is None), "a number above 0")
    held = settings["validation"]
    share = type(held) is float and 0 < held < 1
    _check(
        settings,
        "validation",
        held is None or isinstance(held, str) or share,
        "a file or a share of the training examples between 0 and 1",
    )
    if settings["keep"] == "best" and held is None:
        raise KzooError("The recipe keeps the best epoch but has no validation: give a file.")
    return settings


def _read(path, settings):
    """The texts and targets of a file, as the task takes them."""
    task = settings["task"]
    texts, labels = read_examples(
        path, settings["text"], settings["label"], require_label=task == "TextClassifier"
    )
    if task != "TextClassifier":
        return texts, None if task == "MaskedLM" else labels
    for number, label in enumerate(labels, 1):
        if not isinstance(label, (str, int)):
            raise KzooError(
                f"{path}, example {number}: the label is {label!r}; text or a whole number is "
                "expected."
            )
    return texts, [str(label) for label in labels]


def _is_path(value):
    return isinstance(value, (str, Path)) and str(value) != ""


def _is_names(value):
    return (
        isinstance(value, (list, tuple))
        and len(value) > 0
        and all(isinstance(v, str) for v in value)
    )


# What the values of keys must be, where nothing else of the recipe decides it.
TYPES = {
    "summary": (lambda v: isinstance(v, str), "text"),
    "model": (_is_path, "a preset's name or a folder"),
    "train": (_is_path, "the path of a file"),
    "output": (_is_path, "the path of a folder"),
    "labels": (lambda v: v is None or _is_names(v), "a list of names"),
    "head": (lambda v: v is None or isinstance(v, (str, dict)), 'a kind such as "mean"'),
    "max_length": (lambda v: v is None or type(v) is int, "a whole number of tokens"),
    "text": (
        lambda v: v is None or isinstance(v, str) or (_is_names(v) and len(v) == 2),
        "the name of a column or a list of two",
    ),
    "label": (lambda v: v is None or isinstance(v, str), "the name of a column"),
    "seed": (lambda v: type(v) is int and 0 <= v < 2**32, "a whole number from 0 to 2**32 - 1"),
}


def _check(settings, key, fits, expected):
    if not fits:
        raise KzooError(f"{key} in the recipe is {settings[key]!r}; {expected} is expected.")


def _task(settings, labels):
    kind = tasks.TASKS[settings["task"]]
    source = presets.load(settings["model"])
    options = {"max_length": settings["max_length"] or getattr(source, "max_length", None)}
    if kind is tasks.TextClassifier:
        named = settings["labels"] or _names(source, labels)
        return kind(source, labels=named, head=settings["head"], **options)
    if kind is tasks.MaskedLM:
        return kind(source, head=settings["head"], **options)
    return kind(source, pooling=settings["head"], **options)


def _names(source, labels):
    """The labels of a classifier that is trained further, where its examples have no others."""
    known = source.labels if isinstance(source, tasks.TextClassifier) else []
    return known if set(labels) <= set(known) else sorted(set(labels))


def _fit(task, settings, data, held, verbose):
    # Pairs of texts without scores: each is to find its partner among those of the batch.
    alone = settings["task"] == "TextEmbedder" and data[1] is None
    task.compile(
        loss=InBatchLoss() if alone else None,
        optimizer=AdamW(
            settings["learning_rate"],
            weight_decay=settings["weight_decay"],
            warmup=settings["warmup"],
            decay=settings["decay"],
            clip_norm=settings["clip_norm"],
            layer_decay=settings["layer_decay"],
        ),
    )
    callbacks = [keras.callbacks.TerminateOnNaN()]
    if settings["keep"] == "best":
        scored = settings["task"] == "TextClassifier"  # Of the others the loss says more.
        monitor, mode = ("val_accuracy", "max") if scored else ("val_loss", "min")
        callbacks.append(
            keras.callbacks.EarlyStopping(
                monitor, mode=mode, patience=settings["epochs"], restore_best_weights=True
            )
        )
    history = task.fit(
        *data,
        epochs=settings["epochs"],
        batch_size=settings["batch_size"],
        seed=settings["seed"],
        validation_data=held,
        callbacks=callbacks,
        verbose=verbose,
    )
    if not np.isfinite(history.history["loss"][-1]):
        raise KzooError(
            "The loss is no longer a number, and nothing was written: take a lower learning_rate."
        )
    return history


def _split(data, share, seed):
    """A random share of the examples held out of the rest."""
    texts, labels = data
    order = np.random.default_rng(seed).permutation(len(texts))
    cut = round(len(texts) * (1 - share))
    if not 0 < cut < len(texts):
        raise KzooError(f"validation {share} of {len(texts)} examples leaves one side empty.")

    def part(rows):
        return [texts[i] for i in rows], labels and [labels[i] for i in rows]

    return part(order[:cut]), part(order[cut:])
