"""What a recipe for an export may say, and what it asks for."""

import os
from dataclasses import dataclass
from pathlib import Path

from .. import presets
from ..errors import KzooError
from ..files import read_json
from ..training.steps import compress
from ..training.steps import read_recipe as compressed
from ..values import is_whole
from . import limits
from .mediapipe import client_file

KEYS = {
    "preset": "the name of a preset that ships, or the folder of one",
    "compression": "in the place of a preset the path of a recipe of steps, see "
    "kzoo/training/steps.py, which is followed unless its output is there",
    "quantization": "float32, float16, int8, int8_int4_table, int8_static or int4",
    "for": "null, or gpu for a file of one length that its delegates take, as float16",
    "length": "null for a dynamic length, or the one length that the file takes",
    "image_size": "of a model of pictures, their height and width in the file: a number, or a "
    "list of both; null for the model's own",
    "cache": "of a model that writes, how many tokens its texts have at most, prompts included; "
    "null for as many as the model has places, 1,024 at most",
    "compat": "null, or an older runtime that is to load the file: tflite-2.16 or tflite-2.14",
    "mediapipe": "true to write a file for MediaPipe's tasks too",
    "litertlm": "true to write a file for LiteRT-LM's engine too",
    "limits": "what the file must keep beside the limits that suit the quantization, of which null "
    "leaves one out; see kzoo/bundle/limits.py",
    "evaluation": "a labelled file of the task's: .tsv, .csv or .jsonl, CoNLL's, or SQuAD's JSON; "
    "of a model that writes, texts",
    "text": "the column of its text, or a list of two for pairs; by default what the file shows; "
    "of plain text line or file, which of them a document is",
    "label": "the column of its labels; by default what the file shows",
    "note": "a sentence about the evaluation, for the report",
    "calibration": "for int8_static a file of examples like those to come, labelled or not; by "
    "default what the file is compared on",
    "share_texts": "true to let texts of the evaluation file travel in the bundle, as golden "
    "examples and in the report; their numbers alone do otherwise",
}


def _usual(target):
    """The quantization of a file for `target` where nobody names one."""
    return "int8" if target is None else "float16"


def find_recipe(path_or_name):
    """The path of a recipe: a .json file, or the name of one that ships with kzoo."""
    path = Path(str(path_or_name))
    if path.suffix == ".json":
        return path
    inside = presets.shipped("export") / f"{path_or_name}.json"
    return inside if path.name == str(path_or_name) and inside.is_file() else None


def read_recipe(path):
    """The recipe in a JSON file, with every key; KzooError names one that is unknown or wrong."""
    path = Path(path)
    recipe = read_json(path, "an export recipe")
    unknown = sorted(set(recipe) - set(KEYS))
    if unknown:
        raise KzooError(f"{path} has the unknown key {unknown[0]!r}; known: {', '.join(KEYS)}.")
    if isinstance(recipe.get("compression"), str) and "preset" not in recipe:
        steps = path.parent / recipe["compression"]
        output = compressed(steps)["output"]
        recipe["preset"] = os.path.relpath(output, path.parent)
    if not isinstance(recipe.get("preset"), str):
        raise KzooError(f"{path} names no preset: {KEYS['preset']} is expected.")
    recipe = {**dict.fromkeys(KEYS), "quantization": _usual(recipe.get("for")), **recipe}
    limits.beside_usual(recipe["limits"], {}, f"limits in {path}")
    size = recipe["image_size"]
    sides = size if isinstance(size, list) and len(size) == 2 else [size]
    if size is not None and not all(is_whole(side, 1) for side in sides):
        raise KzooError(
            f"{path} has image_size {size!r:.60}; expected a number of pixels, or a list of two."
        )
    for key in ("mediapipe", "litertlm", "share_texts"):
        if recipe[key] not in (None, True, False):
            raise KzooError(f"{path} has {key} {recipe[key]!r:.60}; true or false is expected.")
    for key, most in (("text", 2), ("label", 1)):
        columns = recipe[key] if isinstance(recipe[key], list) else [recipe[key]]
        fits = all(name is None or type(name) in (str, int) for name in columns)
        if not fits or len(columns) > most:
            raise KzooError(
                f"{path} has {key} {recipe[key]!r:.60}; expected a column by its name, or by its "
                f"place in a file without a header{', or two' if most > 1 else ''}."
            )
    for key in ("preset", "evaluation", "note", "calibration"):
        if recipe[key] is not None and (not isinstance(recipe[key], str) or "\0" in recipe[key]):
            raise KzooError(f"{path} has {key} {recipe[key]!r:.60}; a string is expected.")
    return recipe


def preset_of(path, recipe):
    """The preset that a recipe names: a folder beside it, or what `presets.load` takes."""
    folder = Path(path).parent / recipe["preset"]
    return str(folder) if folder.is_dir() else recipe["preset"]


@dataclass(frozen=True)
class Asked:
    """An export that a recipe or the name of a preset asks for.

    Args:
        name: what its folder is called by default.
        preset: what `presets.load` takes.
        recipe: a value for each of `KEYS`, with paths as seen from here.
        length_is_open: whether nobody named a length, so that a file for MediaPipe or a delegate
            has the usual one.
    """

    name: str
    preset: str
    recipe: dict
    length_is_open: bool

    def length(self, model):
        """How many tokens the file of a model takes; None for any number."""
        if self.length_is_open and (self.recipe["mediapipe"] or self.recipe["for"]):
            return client_file(getattr(model, "reads", None)).length(model)
        return self.recipe["length"]


def asked(path_or_name, changes=None):
    """What a recipe asks for, by its path or name; or the name or folder of a preset.

    Args:
        path_or_name: see `export.export_recipe`; `changes` too.

    Raises:
        KzooError: for a recipe that can't be followed, or a preset without weights.
    """
    path = find_recipe(path_or_name)
    changes = dict(changes or {})
    if changes.get("for") is not None:  # Of other weights than a recipe for the processor names.
        changes.setdefault("quantization", _usual(changes["for"]))
    recipe = read_recipe(path) if path else {**dict.fromkeys(KEYS), "quantization": "int8"}
    unknown = sorted(set(changes) - set(KEYS))
    if unknown:
        raise KzooError(f"changes has the key {unknown[0]!r}; known: {', '.join(KEYS)}.")
    if changes.get("quantization", recipe["quantization"]) != recipe["quantization"]:
        recipe["limits"] = None
    recipe.update(changes)
    name = path.stem if path else Path(str(path_or_name)).name
    if path and recipe["compression"] is not None:
        steps = path.parent / recipe["compression"]
        if not (Path(compressed(steps)["output"]) / "spec.json").is_file():
            compress(steps, verbose=0)
    preset = preset_of(path, recipe) if path else str(path_or_name)
    presets.check_has_weights(preset, "an export would answer at random")
    for key in ("evaluation", "calibration"):
        if recipe[key] is not None and path:
            recipe[key] = path.parent / recipe[key]
    recipe["preset"] = recipe["preset"] or name
    return Asked(name, preset, recipe, recipe["length"] is None and "length" not in changes)
