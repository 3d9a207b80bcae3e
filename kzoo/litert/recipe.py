"""From a recipe, or a model, to a bundle: export, measure, hold against limits, write it down."""

import math
import platform
import shutil
import statistics
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

from ..answers import check_labels, classification, probabilities
from ..errors import KzooError
from ..files import read_json, writing_folder
from ..network import weights_by_path
from . import bundle, limits
from .limits import TOLERANCE

KEYS = {
    "preset": "the name of a preset that ships, or the folder of one",
    "quantization": "float32, float16, int8 or int8_int4_table",
    "length": "null for a dynamic length, or the one length that the file takes",
    "compat": "null, or an older runtime that is to load the file: tflite-2.16 or tflite-2.14",
    "mediapipe": "true to write a file for MediaPipe's tasks too",
    "limits": "what the file must keep, see kzoo/litert/limits.py",
    "evaluation": "a labelled .tsv, .csv or .jsonl file",
    "note": "a sentence about the evaluation, for the report",
}
LENGTHS = (16, 32, 64, 128, 256)  # tokens at which latency is measured
ROUNDS = 9
GOLDEN = 12


def find_recipe(path_or_name):
    """The path of a recipe: a .json file, or the name of one that ships with kzoo."""
    from .. import presets

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
    if not isinstance(recipe.get("preset"), str):
        raise KzooError(f"{path} names no preset: {KEYS['preset']} is expected.")
    recipe = {**dict.fromkeys(KEYS), "quantization": "int8", **recipe}
    if recipe["limits"] is not None:
        limits.check_names(recipe["limits"], f"limits in {path}")
    if recipe["mediapipe"] not in (None, True, False):
        raise KzooError(f"{path} has mediapipe {recipe['mediapipe']!r}; true or false is expected.")
    for key in ("preset", "evaluation", "note"):
        if recipe[key] is not None and (not isinstance(recipe[key], str) or "\0" in recipe[key]):
            raise KzooError(f"{path} has {key} {recipe[key]!r:.60}; a string is expected.")
    return recipe


def preset_of(path, recipe):
    """The preset that a recipe names: a folder beside it, or what `presets.load` takes."""
    beside = Path(path).parent / recipe["preset"]
    return str(beside) if beside.is_dir() else recipe["preset"]


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

    path = find_recipe(path_or_name)
    recipe = read_recipe(path) if path else {**dict.fromkeys(KEYS), "quantization": "int8"}
    changes = dict(changes or {})
    unknown = sorted(set(changes) - set(KEYS))
    if unknown:
        raise KzooError(f"changes has the key {unknown[0]!r}; known: {', '.join(KEYS)}.")
    if changes.get("quantization", recipe["quantization"]) != recipe["quantization"]:
        recipe["limits"] = None
    recipe.update(changes)
    name = path.stem if path else Path(str(path_or_name)).name
    preset = preset_of(path, recipe) if path else str(path_or_name)
    check_has_weights(preset)
    evaluation = recipe["evaluation"]
    if evaluation is not None and path:
        evaluation = path.parent / evaluation
    (say or _quiet)(f"Loading {preset}")
    model = presets.load(preset)
    if recipe["mediapipe"] and recipe["length"] is None and "length" not in changes:
        from .mediapipe import LENGTH

        recipe["length"] = min(LENGTH, getattr(model, "max_length", LENGTH))
    return export_bundle(
        model,
        output or Path("build") / name,
        quantization=recipe["quantization"],
        length=recipe["length"],
        compat=recipe["compat"],
        mediapipe=bool(recipe["mediapipe"]),
        limits=recipe["limits"],
        evaluation=evaluation,
        note=recipe["note"],
        source=recipe["preset"] or name,
        say=say,
    )


def export_bundle(
    model,
    folder,
    quantization="int8",
    length=None,
    limits=None,
    evaluation=None,
    note=None,
    source=None,
    say=None,
    compat=None,
    mediapipe=False,
):
    """Write a task as a bundle: the file, its tokenizer, its manifest and its report.

    Args:
        model: a task with a tokenizer.
        folder: where to; it is there whole or not at all.
        quantization: see `export_litert`; `length`, `limits` and `compat` too.
        evaluation: a labelled file on which a classifier is measured.
        note: a sentence about the evaluation, for the report.
        source: what the model is called in the report.
        say: called with a line of text before each step.
        mediapipe: whether to write `mediapipe.tflite` too, see `litert.mediapipe`.

    Returns:
        The report, as in `report.json`, with `folder` beside it.
    """
    from .convert import check_arguments, export_litert, in_float32
    from .interpreter import Interpreter
    from .parity import run_keras, tokenizer_of
    from .report import write_report

    say = say or _quiet
    folder = Path(folder)
    check_arguments(model, quantization, length, compat)
    tokenizer = tokenizer_of(model)
    if tokenizer is None:
        raise KzooError("A bundle holds a tokenizer, and this model has none: give it one first.")
    labels = getattr(model, "labels", None)
    if labels:
        _check_labels(labels)
    if mediapipe:
        from . import mediapipe as client

        client.check(_task(model), tokenizer, length)
    model = in_float32(model)
    asked = _limits(limits, quantization, model)
    examples = _examples(model, evaluation, asked)
    with (
        writing_folder(folder, mark=bundle.MANIFEST) as beside,
        tempfile.TemporaryDirectory() as scratch,
    ):
        plain, usual = Path(scratch) / "float32.tflite", Path(scratch) / "usual.tflite"
        target = beside / bundle.MODEL
        say(f"Exporting as {quantization}")
        # Labels of neutral sentences are a toss-up: labelled texts measure agreement better.
        left = {"label_agreement"} if examples else set()
        early = {limit: bound for limit, bound in asked.items() if limit not in left}
        found = export_litert(model, target, quantization, length, early, compat)
        interpreter = Interpreter(target)
        say("Exporting as float32, to compare with")
        if quantization == "float32":
            shutil.copyfile(target, plain)
            reference = found
        else:
            reference = export_litert(model, plain, "float32", length, {})
        files = {"float32": plain, "file": target}
        if compat is not None:
            say(f"Exporting without {compat}, to compare with")
            files["usual"] = usual
            newest = export_litert(model, usual, quantization, length, {})
        measured = {}
        if examples:
            say(f"Classifying the {len(examples[0])} texts of {Path(evaluation).name}")
            measured = _evaluate(model, files, examples, length)
        shipped = f"{found['parity']['texts']} shipped sentences"
        own = {"megabytes": bundle.MODEL, "partitions": bundle.MODEL}
        kept = [{**row, "on": own.get(row["limit"], shipped)} for row in found["limits"]]
        kept += [{**row, "on": Path(evaluation).name} for row in _later(asked, measured)]
        say("Measuring latency")
        longest = getattr(model, "max_length", model.spec.max_sequence_length)
        latency = _latency(files, longest, interpreter.length)
        tokenizer.save(beside)
        if labels:
            (beside / bundle.LABELS).write_text("\n".join(labels) + "\n", encoding="utf-8")
        rows = _golden_rows(model, length, examples)
        for_mediapipe = None
        if mediapipe:
            say("Writing the file for MediaPipe")
            columns = [columns for _, columns in rows]
            name = str(source or folder.name)
            for_mediapipe = client.write(beside, name, tokenizer, labels, length, columns)
        golden = [
            {
                "text": text,
                "token_ids": columns["token_ids"][0].tolist(),
                "outputs": {k: _rounded(v) for k, v in interpreter.run(columns).items()},
                "keras": {k: _rounded(v) for k, v in expected.items()},
            }
            for (text, columns), expected in zip(rows, run_keras(model, rows), strict=True)
        ]
        report = {
            "source": source,
            "task": _task(model),
            "family": model.spec.family,
            "quantization": quantization,
            "length": length,
            "max_length": min(longest, length or longest),
            "compat": None if compat is None else _compat(compat, newest, measured),
            "mediapipe": for_mediapipe,
            "labels": labels,
            "sizes": {
                "parameters": sum(math.prod(w.shape) for w in weights_by_path(model).values()),
                "float32": reference["audit"]["bytes"],
                "file": found["audit"]["bytes"],
                "weight_bytes": found["audit"]["weight_bytes"],
            },
            "limits": kept,
            "parity": found["parity"],
            "evaluation": {"file": Path(evaluation).name, "note": note, **measured}
            if examples
            else None,
            "latency": latency,
            "audit": found["audit"],
            "examples": [_example(model, entry) for entry in golden],
            "made_with": {
                "machine": platform.machine(),
                "python": platform.python_version(),
                **{
                    name: version(name)
                    for name in ("kzoo", "keras", "tensorflow", "ai-edge-litert", "tokenizers")
                },
            },
        }
        write_report(report, beside)
        bundle.write_manifest(
            beside,
            {
                "format": bundle.FORMAT,
                "kzoo": version("kzoo"),
                "task": _task(model),
                "spec": model.spec.to_dict(),
                "labels": labels,
                "max_length": min(longest, length or longest),
                "signature": found["audit"]["signatures"],
                "quantization": quantization,
                "length": length,
                "limits": {row["limit"]: row["bound"] for row in kept},
                "minimum_runtime": found["audit"]["minimum_runtime"],
                "tolerance": TOLERANCE[quantization],
                "golden": [
                    {name: entry[name] for name in ("text", "token_ids", "outputs")}
                    for entry in golden
                ],
            },
        )
    return {"folder": str(folder), **report}


def _task(model):
    """What a bundle calls its task; a backbone has its class's name."""
    return getattr(model, "task_name", type(model).__name__)


def _quiet(_text):
    """Say nothing."""


def check_has_weights(preset):
    """Raise KzooError for a preset without weights: its export would answer at random."""
    from .. import presets

    if presets.is_foreign(preset):
        return  # Hugging Face's folders always hold weights, or the reader says that they don't.
    folder = presets.find(preset)
    if not (folder / presets.WEIGHTS).is_file():
        raise KzooError(
            f"The preset {preset} holds no weights, so an export would answer at random: train it "
            "and save it as a preset, or convert a checkpoint."
        )


def _check_labels(labels):
    check_labels(labels)
    wrong = next((label for label in labels if label.splitlines() != [label]), None)
    if wrong is not None:
        raise KzooError(f"The label {wrong!r} is not one line, as {bundle.LABELS} needs it.")


def _limits(asked, quantization, model):
    """The limits of the recipe, checked, or those that suit the quantization."""
    from .parity import weighs

    if asked is None:
        return limits.defaults(quantization, weighs(model))
    limits.check_names(asked)
    return asked


def _examples(model, evaluation, asked):
    """Texts and class indices of the evaluation file, or None; a classifier's business only."""
    from .parity import is_classifier

    if evaluation is None:
        wanted = [name for name in asked if name.startswith("accuracy")]
        if wanted:
            raise KzooError(f"The limit {wanted[0]} needs labelled texts: name an evaluation file.")
        return None
    if not is_classifier(model):
        raise KzooError(
            f"An evaluation file came for a {type(model).__name__}; only a TextClassifier is "
            "measured on one."
        )
    from ..data.sources import read_examples

    texts, labels = read_examples(evaluation)
    return texts, model.encode_targets(labels)


def _evaluate(model, files, examples, length):
    """How often Keras and the files are right, and how near `file` is to Keras."""
    import numpy as np

    from .interpreter import Interpreter
    from .parity import label_of, measure, run_keras, samples

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
    distance = measure([(columns, *both) for (_, columns), *both in pairs], classifier=True)
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


def _compat(compat, newest, measured):
    """What the file of the same quantization for the newest runtime is, to see the cost."""
    return {
        "asked": compat,
        "usual_bytes": newest["audit"]["bytes"],
        "usual_runtime": newest["audit"]["minimum_runtime"],
        "usual_cosine": newest["parity"]["cosine"],
        "usual_accuracy": measured.get("accuracy_usual"),
    }


def _later(asked, measured):
    """Check what only labelled texts show; where they do, agreement is theirs too."""
    names = set(measured) & set(asked)
    return limits.check({name: asked[name] for name in asked if name in names}, measured)


def _latency(files, longest, fixed):
    """Milliseconds of processor time a text, one thread, of all files in turn, by length."""
    import numpy as np

    from .interpreter import Interpreter

    lengths = [fixed] if fixed else [n for n in LENGTHS if n <= longest] or [longest]
    files = {name: Interpreter(path) for name, path in files.items()}
    found = {"lengths": lengths, **{name: [] for name in files}, "rounds": ROUNDS}
    for length in lengths:
        columns = {
            name: np.full((1, length), name != "segment_ids", "int32")
            for name in files["file"].input_names
        }
        times = {name: [] for name in files}
        for turn in range(ROUNDS + 1):  # The first turn allocates and warms the caches.
            for name, interpreter in files.items():
                start = time.process_time()
                interpreter.run(columns)
                if turn:
                    times[name].append(1000 * (time.process_time() - start))
        for name in files:
            found[name].append(round(statistics.median(times[name]), 3))
    return found


def _golden_rows(model, length, examples):
    """Golden texts: shipped sentences, half of them the evaluation's where there is one."""
    from .parity import samples

    if examples is None:
        return _spread(samples(model, length), GOLDEN)
    half = GOLDEN // 2
    rows = _spread(samples(model, length, examples[0]), half)
    return rows + _spread(samples(model, length), GOLDEN - half)


def _spread(rows, count):
    """`count` of the rows, from the shortest to the longest in even steps."""
    rows = sorted(rows, key=lambda row: int(row[1]["padding_mask"].sum()))
    if len(rows) <= count:
        return rows
    return [rows[round(i * (len(rows) - 1) / (count - 1))] for i in range(count)]


def _rounded(values):
    """An array as lists of numbers of seven digits, which float32 needs at most."""
    import numpy as np

    flat = [float(f"{value:.7g}") for value in np.asarray(values, "float64").ravel()]
    return np.array(flat, "float64").reshape(np.shape(values)).tolist()


def _example(model, entry):
    """A golden example as the report shows it: the text, and both answers of a classifier."""
    from .parity import is_classifier

    row = {"text": entry["text"], "tokens": len(entry["token_ids"])}
    if is_classifier(model):
        for side, name in (("file", "outputs"), ("keras", "keras")):
            scores = probabilities(entry[name]["logits"])[0]
            found = classification(scores, model.labels)
            row[side] = {"label": found["label"], "score": found["score"]}
    return row
