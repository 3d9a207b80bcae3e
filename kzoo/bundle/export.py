"""An export, from top to bottom: recipe, model in float32, files, measurements, folder."""

import itertools
import tempfile
from pathlib import Path

import numpy as np

from ..errors import KzooError
from ..files import writing_folder
from ..logs import hidden
from ..values import an
from .folder import write_folder
from .manifest import MANIFEST
from .measuring import measure_files
from .orders import REST, ordered
from .predict import Predictor
from .recipes import asked
from .report import write_report_of_towers
from .senses import SENSES, sense_of, sentences
from .towers import ALONE, COUNTED, TOGETHER, vectors, write_together
from .writing import write_files

FOR_TOWERS = ("preset", "for", "compat", "note")  # what of a recipe a bundle of towers may have
TRIED = 24  # texts among which each shipped picture looks for the nearest


def export_recipe(path_or_name, output=None, say=None, changes=None):
    """Make the bundle that a recipe asks for.

    Args:
        path_or_name: a recipe's path or the name of one that ships; or a preset's name or
            folder, which is exported as int8 with the limits that suit it.
        output: the folder to write; `build/<name>` by default.
        say: called with a line of text before each step.
        changes: recipe keys to replace, such as {"quantization": "float32"}; another
            quantization comes with its own limits unless they are among the changes.

    Returns:
        The report, as in `report.json`, with `folder` beside it.

    Raises:
        KzooError: if the recipe or the preset can't be used or the export misses a limit; no
            file is left then.
    """
    from .. import presets

    say = say or quiet
    order = asked(path_or_name, changes)
    say(f"Loading {order.preset}")
    model = presets.load(order.preset)
    recipe = order.recipe
    if recipe["image_size"] is not None:
        model = sense_of(getattr(model, "reads", None)).resized(model, recipe["image_size"])
    return export_bundle(
        model,
        output or Path("build") / order.name,
        recipe["quantization"],
        order.length(model),
        recipe["limits"],
        {key: recipe[key] for key in REST},
        say,
    )


def export_bundle(
    model, folder, quantization="int8", length=None, limits=None, recipe=None, say=None
):
    """Write a task as a bundle: the file, its tokenizer, its manifest and its report.

    Args:
        model: a task with what it reads with, such as a tokenizer. One of pictures and texts
            becomes a bundle for each of them in a folder, to all of which the rest applies (the
            length to that of texts); see `towers`.
        folder: where to; it is there whole or not at all.
        quantization: see `export_litert`; `length` too.
        limits: what the file must keep beside the limits that suit the quantization, such as
            {"megabytes": 23.6}; None as a bound leaves one of these out.
        recipe: what else an export recipe may say, as a dict: `compat`, `mediapipe`,
            `litertlm`, `evaluation`, `text`, `label`, `note`, `share_texts`, and `preset`, what
            the report calls the model; see `recipes.KEYS`.
        say: called with a line of text before each step.

    Returns:
        The report, as in `report.json`, with `folder` beside it.
    """
    say = say or quiet
    folder = Path(folder)
    if tasks := getattr(model, "embedders", None):
        return _export_towers(model, tasks, folder, quantization, length, limits, recipe or {}, say)
    order = ordered(model, quantization, length, limits, recipe)
    with (
        hidden(),
        writing_folder(folder, mark=MANIFEST) as tmp_path,
        tempfile.TemporaryDirectory() as scratch,
    ):
        files = write_files(order, tmp_path, Path(scratch), say)
        measured = measure_files(files, say)
        report = write_folder(measured, tmp_path, folder.name, say)
    return {"folder": str(folder), **report}


def _export_towers(model, tasks, folder, quantization, length, limits, recipe, say):
    """`export_bundle` of a task that has an embedder for each of its towers."""
    others = sorted(key for key, value in recipe.items() if value and key not in FOR_TOWERS)
    if others:
        raise KzooError(
            f"Got {others[0]} for {an(model.task_name)}, whose bundle has {COUNTED[len(tasks)]} "
            "towers; expected none: leave it out."
        )
    source, reports = recipe.get("preset"), {}
    with hidden(), writing_folder(folder, mark=TOGETHER) as tmp_path:
        for name, task in tasks.items():
            titled = {**recipe, "preset": source and f"{source} ({name})"}
            fixed = length if name == "text" else None
            reports[name] = export_bundle(
                task,
                tmp_path / name,
                quantization,
                fixed,
                limits,
                titled,
                lambda line, name=name: say(f"{name}: {line}"),
            )
            del reports[name]["folder"]
        say("Comparing what file and Keras find")
        report = {
            "source": source,
            "task": model.task_name,
            "quantization": quantization,
            "scale": model.scale,
            "together": _together(tasks, tmp_path),
            "towers": reports,
        }
        write_report_of_towers(report, tmp_path)
        facts = {"labels": model.labels, "templates": list(getattr(model, "templates", ALONE))}
        write_together(tmp_path, tasks, task=model.task_name, scale=model.scale, **facts)
    return {"folder": str(folder), **report}


def _together(tasks, folder):
    """How alike file and Keras find the nearest of shipped inputs of one sense for another's."""
    given = {
        name: sentences()[:TRIED] if name == "text" else SENSES[task.reads].pieces()
        for name, task in tasks.items()
    }
    keras = {name: np.asarray(task.predict(given[name])) for name, task in tasks.items()}
    file = {name: vectors(Predictor(folder / name), given[name]) for name in tasks}
    # Texts are looked through where there are some.
    pairs = [sorted(pair, key="text".__eq__) for pair in itertools.combinations(tasks, 2)]
    there, here = ([side[a] @ side[b].T for a, b in pairs] for side in (keras, file))
    same = [one.argmax(1) == other.argmax(1) for one, other in zip(there, here, strict=True)]
    off = np.concatenate([np.abs(a - b).ravel() for a, b in zip(there, here, strict=True)])
    return {
        "inputs": {name: len(inputs) for name, inputs in given.items()},
        "same_nearest": float(np.mean(np.concatenate(same))),
        "cosine_difference": float(off.mean()),
        "cosine_difference_max": float(off.max()),
    }


def quiet(_text):
    """Say nothing."""
