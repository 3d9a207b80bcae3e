"""An export, from top to bottom: recipe, model in float32, files, measurements, folder."""

import tempfile
from pathlib import Path

from ..files import writing_folder
from ..logs import hidden
from .folder import write_folder
from .manifest import MANIFEST
from .measuring import measure_files
from .orders import REST, ordered
from .recipes import asked
from .senses import sense_of
from .writing import write_files


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
        model: a task with a tokenizer.
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


def quiet(_text):
    """Say nothing."""
