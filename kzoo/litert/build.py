"""From a model to a bundle, step by step: export, measure, hold against limits, write it down."""

import math
import platform
import shutil
import tempfile
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path

import numpy as np

from ..answers import check_labels, class_scores, described
from ..errors import KzooError
from ..files import writing_folder
from ..network import weights_by_path
from . import bundle, evaluate, mediapipe
from .bench import latency
from .convert import check_arguments, export_litert, in_float32
from .interpreter import Interpreter
from .limits import TOLERANCE, check, check_names, defaults
from .parity import problem_of, run_keras, samples, tokenizer_of
from .report import write_report

GOLDEN = 12
ROUNDS = 9  # measurements of latency at each length
# The keys of a recipe, beside quantization, length and limits, that `export_bundle` takes.
REST = ("preset", "compat", "mediapipe", "evaluation", "note")


def export_bundle(
    model, folder, quantization="int8", length=None, limits=None, recipe=None, say=None
):
    """Write a task as a bundle: the file, its tokenizer, its manifest and its report.

    Args:
        model: a task with a tokenizer.
        folder: where to; it is there whole or not at all.
        quantization: see `export_litert`; `length` and `limits` too.
        recipe: what else an export recipe may say, as a dict: `compat`, `mediapipe`,
            `evaluation`, `note`, and `preset`, what the report calls the model; see
            `litert.export.KEYS`.
        say: called with a line of text before each step.

    Returns:
        The report, as in `report.json`, with `folder` beside it.
    """
    say = say or quiet
    folder = Path(folder)
    order = _order(model, quantization, length, limits, recipe)
    with (
        writing_folder(folder, mark=bundle.MANIFEST) as tmp_path,
        tempfile.TemporaryDirectory() as scratch,
    ):
        files = _files(order, tmp_path, Path(scratch))
        exports = _export(order, files, say)
        measured = _evaluated(order, files, say)
        rows = _limit_rows(order, exports["file"], measured)
        say("Measuring latency")
        speed = latency(files, order.max_length, ROUNDS)
        _write_text_side(order, tmp_path)
        texts = _golden_rows(order)
        golden = _golden(order, files["file"], texts)
        report = {
            **_about(order, exports),
            "compat": _compat(order, exports, measured),
            "mediapipe": _for_mediapipe(order, tmp_path, texts, say),
            "limits": rows,
            "parity": exports["file"]["parity"],
            "evaluation": measured,
            "latency": speed,
            "audit": exports["file"]["audit"],
            "examples": [_example(order, entry) for entry in golden],
            "made_with": _made_with(),
        }
        write_report(report, tmp_path)
        bundle.write_manifest(tmp_path, _manifest(order, exports["file"], rows, golden))
    return {"folder": str(folder), **report}


# -- what is asked for, checked ------------------------------------------------------------------


@dataclass(frozen=True)
class Order:
    """A model and what is to become of it, after every check that needs no file.

    Args:
        model: in float32.
        quantization, length, compat, mediapipe, note: as in a recipe.
        source: what the report calls the model.
        limits: {name: bound}, those that suit the quantization where none were asked for.
        evaluation: the path of the labelled texts, or None.
        examples: what it holds, see `evaluate.labelled_texts`, or None.
    """

    model: object
    quantization: str
    length: int | None
    compat: str | None
    mediapipe: bool
    note: str | None
    source: str | None
    limits: dict
    evaluation: Path | None
    examples: tuple | None

    @property
    def task(self):
        """What a bundle calls its task; a backbone has its class's name."""
        return getattr(self.model, "task_name", type(self.model).__name__)

    @property
    def labels(self):
        """The names of the logits, or None."""
        return getattr(self.model, "labels", None)

    @property
    def options(self):
        """What the manifest says of the task, see `TextTask.task_options`."""
        is_task = hasattr(self.model, "task_options")
        return self.model.task_options() if is_task else {"reads": "either"}

    @property
    def tokenizer(self):
        """The model's tokenizer, or None."""
        return tokenizer_of(self.model)

    @property
    def max_length(self):
        """How many tokens the model reads."""
        return getattr(self.model, "max_length", self.model.spec.max_sequence_length)


def _order(model, quantization, length, limits, recipe):
    recipe = {**dict.fromkeys(REST), **(recipe or {})}
    unknown = sorted(set(recipe) - set(REST))
    if unknown:
        raise KzooError(f"recipe has the key {unknown[0]!r}; expected: {', '.join(REST)}.")
    check_arguments(model, quantization, length, recipe["compat"])
    asked = _limits(limits, quantization, model)
    order = Order(
        model=in_float32(model),
        quantization=quantization,
        length=length,
        compat=recipe["compat"],
        mediapipe=bool(recipe["mediapipe"]),
        note=recipe["note"],
        source=recipe["preset"],
        limits=asked,
        evaluation=None if recipe["evaluation"] is None else Path(recipe["evaluation"]),
        examples=None,
    )
    if order.tokenizer is None:
        raise KzooError("A bundle holds a tokenizer, and this model has none: give it one first.")
    if order.labels:
        _check_labels(order.labels)
    if order.mediapipe:
        mediapipe.check(order.task, order.tokenizer, length)
        if problem_of(model) not in (None, "single_label"):
            raise KzooError(
                f"MediaPipe's classifier gives a text one label, and the problem is "
                f"{problem_of(model)}: export without mediapipe."
            )
    examples = evaluate.labelled_texts(order.model, order.evaluation, asked)
    return replace(order, examples=examples)


# -- the steps -----------------------------------------------------------------------------------


def _files(order, folder, scratch):
    """The paths of the file, of the same as float32, and of that for the newest runtime."""
    files = {"float32": scratch / "float32.tflite", "file": folder / bundle.MODEL}
    if order.compat is not None:
        files["usual"] = scratch / "usual.tflite"
    return files


def _export(order, files, say):
    """Write the files; what `export_litert` says of each."""
    # Labels of neutral sentences are a toss-up: labelled texts measure agreement better.
    later = {"label_agreement"} if order.examples else set()
    early = {limit: bound for limit, bound in order.limits.items() if limit not in later}
    model, length, quantization = order.model, order.length, order.quantization
    say(f"Exporting as {quantization}")
    exports = {
        "file": export_litert(model, files["file"], quantization, length, early, order.compat)
    }
    say("Exporting as float32, to compare with")
    if quantization == "float32":
        shutil.copyfile(files["file"], files["float32"])
        exports["float32"] = exports["file"]
    else:
        exports["float32"] = export_litert(model, files["float32"], "float32", length, {})
    if "usual" in files:
        say(f"Exporting without {order.compat}, to compare with")
        exports["usual"] = export_litert(model, files["usual"], quantization, length, {})
    return exports


def _evaluated(order, files, say):
    """What the report says of the labelled texts, or None."""
    if not order.examples:
        return None
    name = order.evaluation.name
    say(f"Answering the {len(order.examples[0])} texts of {name}")
    measured = evaluate.evaluate(order.model, files, order.examples, order.length)
    return {"file": name, "note": order.note, **measured}


def _limit_rows(order, export, measured):
    """Every limit with what was measured for it and on what; KzooError on the first one missed."""
    shipped = f"{export['parity']['texts']} shipped sentences"
    own = {"megabytes": bundle.MODEL, "partitions": bundle.MODEL}
    rows = [{**row, "on": own.get(row["limit"], shipped)} for row in export["limits"]]
    # What labelled texts show is held on them too.
    asked = {name: order.limits[name] for name in order.limits if name in (measured or {})}
    return rows + [{**row, "on": order.evaluation.name} for row in check(asked, measured or {})]


def _write_text_side(order, folder):
    """The tokenizer and the labels."""
    order.tokenizer.save(folder)
    if order.labels:
        text = "\n".join(order.labels) + "\n"
        (folder / bundle.LABELS).write_text(text, encoding="utf-8")


def _for_mediapipe(order, folder, texts, say):
    """Write the file for MediaPipe; what the report says of it, or None."""
    if not order.mediapipe:
        return None
    say("Writing the file for MediaPipe")
    columns = [columns for _, columns in texts]
    name = str(order.source or folder.name)
    return mediapipe.write(folder, name, order.tokenizer, order.labels, order.length, columns)


def _golden(order, path, texts):
    """The golden examples: text, ids, and the outputs of the file and of Keras."""
    interpreter = Interpreter(path)
    return [
        {
            "text": text,
            "token_ids": columns["token_ids"][0].tolist(),
            "outputs": {k: _rounded(v) for k, v in interpreter.run(columns).items()},
            "keras": {k: _rounded(v) for k, v in expected.items()},
        }
        for (text, columns), expected in zip(texts, run_keras(order.model, texts), strict=True)
    ]


# -- what is written down ------------------------------------------------------------------------


def _about(order, exports):
    """What the report says of the model and the file."""
    audit = exports["file"]["audit"]
    return {
        "source": order.source,
        "task": order.task,
        "family": order.model.spec.family,
        "quantization": order.quantization,
        "length": order.length,
        "max_length": min(order.max_length, order.length or order.max_length),
        "labels": order.labels,
        "sizes": {
            "parameters": sum(math.prod(w.shape) for w in weights_by_path(order.model).values()),
            "float32": exports["float32"]["audit"]["bytes"],
            "file": audit["bytes"],
            "weight_bytes": audit["weight_bytes"],
        },
    }


def _manifest(order, export, rows, golden):
    audit = export["audit"]
    return {
        "format": bundle.FORMAT,
        "kzoo": version("kzoo"),
        "task": order.task,
        "spec": order.model.spec.to_dict(),
        "labels": order.labels,
        "task_options": order.options,
        "max_length": min(order.max_length, order.length or order.max_length),
        "signature": audit["signatures"],
        "quantization": order.quantization,
        "length": order.length,
        "limits": {row["limit"]: row["bound"] for row in rows},
        "minimum_runtime": audit["minimum_runtime"],
        "tolerance": TOLERANCE[order.quantization],
        "golden": [
            {name: entry[name] for name in ("text", "token_ids", "outputs")} for entry in golden
        ],
    }


def _made_with():
    names = ("kzoo", "keras", "tensorflow", "ai-edge-litert", "tokenizers")
    return {
        "machine": platform.machine(),
        "python": platform.python_version(),
        **{name: version(name) for name in names},
    }


def _check_labels(labels):
    check_labels(labels)
    wrong = next((label for label in labels if label.splitlines() != [label]), None)
    if wrong is not None:
        raise KzooError(f"The label {wrong!r} is not one line, as {bundle.LABELS} needs it.")


def _limits(asked, quantization, model):
    """The limits of the recipe, checked, or those that suit the quantization."""
    if asked is None:
        return defaults(quantization, problem_of(model))
    check_names(asked)
    return asked


def _compat(order, exports, measured):
    """What the file of the same quantization for the newest runtime is, to see the cost."""
    if order.compat is None:
        return None
    newest = exports["usual"]
    return {
        "asked": order.compat,
        "usual_bytes": newest["audit"]["bytes"],
        "usual_runtime": newest["audit"]["minimum_runtime"],
        "usual_cosine": newest["parity"].get("cosine"),
        "usual_accuracy": (measured or {}).get("accuracy_usual"),
    }


def _golden_rows(order):
    """Golden texts: shipped sentences, half of them the evaluation's where there is one."""
    model, length = order.model, order.length
    if order.examples is None:
        return _spread(samples(model, length), GOLDEN)
    half = GOLDEN // 2
    rows = _spread(samples(model, length, order.examples[0]), half)
    return rows + _spread(samples(model, length), GOLDEN - half)


def _spread(rows, count):
    """`count` of the rows, from the shortest to the longest in even steps."""
    rows = sorted(rows, key=lambda row: int(row[1]["padding_mask"].sum()))
    if len(rows) <= count:
        return rows
    return [rows[round(i * (len(rows) - 1) / (count - 1))] for i in range(count)]


def _rounded(values):
    """An array as lists of numbers of seven digits, which float32 needs at most."""
    flat = [float(f"{value:.7g}") for value in np.asarray(values, "float64").ravel()]
    return np.array(flat, "float64").reshape(np.shape(values)).tolist()


def _example(order, entry):
    """A golden example as the report shows it: the text, and both answers of a classifier.

    Of one label a text only that label is shown.
    """
    row = {"text": entry["text"], "tokens": len(entry["token_ids"])}
    if order.task == "TextClassifier":
        problem = problem_of(order.model)
        for side, name in (("file", "outputs"), ("keras", "keras")):
            scores = class_scores(entry[name]["logits"], problem)[0]
            row[side] = described(scores, order.labels, order.options)
            if problem == "single_label":
                del row[side]["scores"]
    return row


def quiet(_text):
    """Say nothing."""
