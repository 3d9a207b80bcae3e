"""From a model to a bundle, step by step: export, measure, hold against limits, write it down."""

import math
import platform
import shutil
import tempfile
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path

import numpy as np

from ..answers import check_labels, class_scores
from ..errors import KzooError
from ..files import writing_folder
from ..litert.convert import check_arguments, in_float32
from ..litert.interpreter import Interpreter
from ..logs import hidden
from ..network import weights_by_path
from ..text.tokenizer import default_stride
from . import evaluate, mediapipe
from .bench import latency
from .limits import LABELLED, TOLERANCE, beside_usual, check, defaults
from .manifest import FORMAT, LABELS, MANIFEST, MODEL, write_manifest
from .parity import (
    compared_on,
    problem_of,
    run_keras,
    run_sides,
    samples,
    tokenizer_of,
)
from .predict import Answerer
from .report import write_report
from .single_file import export_litert

GOLDEN = 12
JOINED = (2, 4, 8, 16, 32, 64)  # how many labelled texts are joined, to compare long ones too
PARITY = (16, 64)  # labelled texts from which on they are compared on, and how many at most
SHOWN = ("TextClassifier", "TokenClassifier", "QuestionAnswering")  # answers to look at
ROUNDS = 9  # measurements of latency at each length
# The keys of a recipe, beside quantization, length and limits, that `export_bundle` takes.
REST = ("preset", "compat", "mediapipe", "evaluation", "text", "label", "note", "share_texts")


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
            `evaluation`, `text`, `label`, `note`, `share_texts`, and `preset`, what the report
            calls the model; see `export.KEYS`.
        say: called with a line of text before each step.

    Returns:
        The report, as in `report.json`, with `folder` beside it.
    """
    say = say or quiet
    folder = Path(folder)
    order = checked(model, quantization, length, limits, recipe)
    with (
        hidden(),
        writing_folder(folder, mark=MANIFEST) as tmp_path,
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
            "examples": _examples(order, files["file"], golden),
            "golden_difference": _golden_difference(order, golden),
            "made_with": _made_with(),
        }
        write_report(report, tmp_path)
        write_manifest(tmp_path, _manifest(order, exports["file"], rows, golden))
    return {"folder": str(folder), **report}


# -- what is asked for, checked ------------------------------------------------------------------


@dataclass(frozen=True)
class Order:
    """A model and what is to become of it, after every check that needs no file.

    Args:
        model: in float32.
        quantization, length, compat, mediapipe, note, share_texts: as in a recipe.
        source: what the report calls the model.
        limits: {name: bound}, those that suit the quantization and those that were asked for.
        evaluation: the path of the labelled texts, or None.
        examples: what it holds, an `evaluate.Labelled`, or None.
    """

    model: object
    quantization: str
    length: int | None
    compat: str | None
    mediapipe: bool
    note: str | None
    share_texts: bool
    source: str | None
    limits: dict
    evaluation: Path | None
    examples: evaluate.Labelled | None

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
        if not hasattr(self.model, "task_options"):
            return {"reads": "either"}
        options = self.model.task_options()
        if "stride" in options:  # A file of fixed length may be shorter than what the model reads.
            options["stride"] = min(options["stride"], default_stride(self.read_length))
        return options

    @property
    def answerer(self):
        """How the task reads and answers."""
        return Answerer(
            self.tokenizer, self.task, self.labels, self.options, self.max_length, self.length
        )

    @property
    def tokenizer(self):
        """The model's tokenizer, or None."""
        return tokenizer_of(self.model)

    @property
    def max_length(self):
        """How many tokens the model reads."""
        return getattr(self.model, "max_length", self.model.spec.max_sequence_length)

    @property
    def read_length(self):
        """How many tokens the file reads."""
        return min(self.max_length, self.length or self.max_length)


def checked(model, quantization, length, limits, recipe=None):
    """The `Order` for what `export_bundle` was asked for; KzooError where it can't be done."""
    recipe = {**dict.fromkeys(REST), **(recipe or {})}
    unknown = sorted(set(recipe) - set(REST))
    if unknown:
        raise KzooError(f"recipe has the key {unknown[0]!r}; expected: {', '.join(REST)}.")
    check_arguments(model, quantization, length, recipe["compat"])
    asked = beside_usual(limits, defaults(quantization, problem_of(model)))
    order = Order(
        model=in_float32(model),
        quantization=quantization,
        length=length,
        compat=recipe["compat"],
        mediapipe=bool(recipe["mediapipe"]),
        note=recipe["note"],
        share_texts=bool(recipe["share_texts"]),
        source=recipe["preset"],
        limits=asked,
        evaluation=None if recipe["evaluation"] is None else Path(recipe["evaluation"]),
        examples=None,
    )
    if order.tokenizer is None:
        raise KzooError("A bundle holds a tokenizer, and this model has none: give it one first.")
    if order.labels:
        check_labels(order.labels)
    if order.mediapipe:
        mediapipe.check(order.task, order.tokenizer, length, getattr(order.model, "prompt", ""))
        if order.options["reads"] == "pair":
            raise KzooError(
                "MediaPipe's tasks read one text at a time, and this model pairs of texts: export "
                "without mediapipe."
            )
        if problem_of(model) not in (None, "single_label"):
            raise KzooError(
                f"MediaPipe's classifier gives a text one label, and the problem is "
                f"{problem_of(model)}: export without mediapipe."
            )
    columns = recipe["text"], recipe["label"]
    examples = evaluate.labelled_texts(order.model, order.evaluation, asked, *columns)
    return replace(order, examples=examples)


# -- the steps -----------------------------------------------------------------------------------


def _files(order, folder, scratch):
    """The paths of the file, of the same as float32, and of that for the newest runtime."""
    files = {"float32": scratch / "float32.tflite", "file": folder / MODEL}
    if order.compat is not None:
        files["usual"] = scratch / "usual.tflite"
    return files


def _export(order, files, say):
    """Write the files; what `export_litert` says of each."""
    # Labels of neutral sentences are a toss-up: labelled texts measure agreement better.
    later = LABELLED | ({"label_agreement"} if order.examples else set())
    early = {limit: bound for limit, bound in order.limits.items() if limit not in later}
    texts, source = _parity_texts(order)

    def export(name, quantization, limits, compat=None):
        arguments = quantization, order.length, limits, compat, texts
        result = export_litert(order.model, files[name], *arguments)
        result["parity"]["source"] = source
        return result

    say(f"Exporting as {order.quantization}")
    exports = {"file": export("file", order.quantization, early, order.compat)}
    say("Exporting as float32, to compare with")
    if order.quantization == "float32":
        shutil.copyfile(files["file"], files["float32"])
        exports["float32"] = exports["file"]
    else:
        exports["float32"] = export("float32", "float32", {})
    if "usual" in files:
        say(f"Exporting without {order.compat}, to compare with")
        exports["usual"] = export("usual", order.quantization, {})
    return exports


def _parity_texts(order):
    """The texts to compare file and Keras on, and the file that they are from.

    Those of the evaluation, which are of the model's language and subject, if there are enough,
    with some joined to long ones; else (None, None) for the shipped English ones.
    """
    texts = [] if order.examples is None else list(order.examples.texts)
    least, most = PARITY
    if len(texts) < least:
        return None, None
    chosen = _spread(texts, most - len(JOINED), key=lambda text: len("".join(text)))
    return chosen + [_joined(texts[:count]) for count in JOINED], order.evaluation.name


def _joined(texts):
    """Texts as one, or pairs as one whose second text is long."""
    if isinstance(texts[0], str):
        return " ".join(texts)
    return texts[0][0], " ".join(second for _, second in texts)


def _evaluated(order, files, say):
    """What the report says of the labelled texts, or None."""
    if not order.examples:
        return None
    name = order.evaluation.name
    say(f"Answering the {len(order.examples.texts)} texts of {name}")
    measured = evaluate.evaluate(order.examples, order.answerer, order.model, files)
    return {"file": name, "note": order.note, "texts_shared": order.share_texts, **measured}


def _limit_rows(order, export, measured):
    """Every limit with what was measured for it and on what; KzooError on the first one missed."""
    compared = compared_on(export["parity"])
    own = {"megabytes": MODEL, "partitions": MODEL}
    rows = [{**row, "on": own.get(row["limit"], compared)} for row in export["limits"]]
    # What labelled texts show is held on them too.
    asked = {name: order.limits[name] for name in order.limits if name in (measured or {})}
    return rows + [{**row, "on": order.evaluation.name} for row in check(asked, measured or {})]


def _write_text_side(order, folder):
    """The tokenizer and the labels."""
    order.tokenizer.save(folder)
    if order.labels:
        text = "\n".join(order.labels) + "\n"
        (folder / LABELS).write_text(text, encoding="utf-8")


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
        "max_length": order.read_length,
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
        "format": FORMAT,
        "kzoo": version("kzoo"),
        "task": order.task,
        "spec": order.model.spec.to_dict(),
        "labels": order.labels,
        "task_options": order.options,
        "max_length": order.read_length,
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
    """Golden texts: shipped sentences; half of them the evaluation's, if those may travel."""
    model, length = order.model, order.length
    if order.examples is None or not order.share_texts:
        return _spread(samples(model, length), GOLDEN, _tokens)
    half = GOLDEN // 2
    rows = _spread(samples(model, length, order.examples.texts), half, _tokens)
    return rows + _spread(samples(model, length), GOLDEN - half, _tokens)


def _tokens(row):
    return int(row[1]["padding_mask"].sum())


def _spread(rows, count, key):
    """`count` of the rows, from the shortest to the longest in even steps."""
    rows = sorted(rows, key=key)
    if len(rows) <= count:
        return rows
    return [rows[round(i * (len(rows) - 1) / (count - 1))] for i in range(count)]


def _rounded(values):
    """An array as lists of numbers of seven digits, which float32 needs at most."""
    flat = [float(f"{value:.7g}") for value in np.asarray(values, "float64").ravel()]
    return np.array(flat, "float64").reshape(np.shape(values)).tolist()


def _examples(order, path, golden):
    """The golden examples as the report shows them: the text, and the answers of file and Keras.

    Of one label a text only that label is shown; a vector is nothing to look at.
    """
    examples = [{"text": e["text"], "tokens": len(e["token_ids"])} for e in golden]
    if order.task not in SHOWN:
        return examples
    read = [order.answerer.read(example["text"])[0] for example in examples]
    rows = [[columns for columns, _ in own] for own in read]
    for side, given in run_sides(order.model, {"file": Interpreter(path)}, rows).items():
        for example, own, outputs in zip(examples, read, given, strict=True):
            answer = order.answerer.answer(example["text"], own, outputs)
            unshown = {"scores"} if "label" in answer else set()
            example[side] = {k: v for k, v in answer.items() if k not in unshown}
    return examples


def _golden_difference(order, golden):
    """The largest difference of a score between file and Keras in the golden examples, or None.

    They may be other texts than those on which parity is measured.
    """
    problem = getattr(order.model, "problem", None)
    if problem is None:
        return None
    return max(
        float(
            np.abs(
                class_scores(entry["outputs"]["logits"], problem)
                - class_scores(entry["keras"]["logits"], problem)
            ).max()
        )
        for entry in golden
    )


def quiet(_text):
    """Say nothing."""
