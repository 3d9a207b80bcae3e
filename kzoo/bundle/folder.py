"""A bundle's folder, written from what was measured: files, report and manifest."""

import platform
from importlib.metadata import version

import numpy as np

from ..answers import PROBLEMS, class_scores
from ..litert.convert import model_inputs
from ..network import parameters_in
from . import answering, litertlm, mediapipe
from .kinds import kind_of
from .limits import TOLERANCE
from .manifest import FORMAT, LABELS, write_manifest
from .report import write_report


def write_folder(measured, folder, name, say):
    """Write beside the file what a bundle needs; the report, as in `report.json`.

    Args:
        measured: a `Measured`.
        folder: where the file lies.
        name: what the folder will be called.
        say: called with a line of text before each step.
    """
    _write_sides(measured.files.order, folder)
    report = {
        **_about(measured),
        "for": measured.files.order.target,
        "compat": _compat(measured),
        "mediapipe": _for_mediapipe(measured, folder, name, say),
        "litertlm": _for_litertlm(measured, folder, say),
        "limits": measured.limits,
        "parity": measured.parity,
        "evaluation": measured.evaluation,
        "latency": measured.latency,
        "audit": measured.files.audits["file"],
        "examples": _examples(measured),
        "golden_difference": _golden_difference(measured),
        "made_with": _made_with(),
    }
    write_report(report, folder)
    write_manifest(folder, _manifest(measured))
    return report


def _write_sides(order, folder):
    """What reads, what another tokenizer writes by, and the labels."""
    order.processor.save(folder)
    if order.cache is not None:  # What is written is decoded by it.
        order.tokenizer.save(folder)
    if target := order.model.processors.get("target_tokenizer"):
        target.save(folder)
    if order.labels:
        text = "\n".join(order.labels) + "\n"
        (folder / LABELS).write_text(text, encoding="utf-8")


def _for_mediapipe(measured, folder, name, say):
    """Write the file for MediaPipe; what the report says of it, or None."""
    order = measured.files.order
    if not order.mediapipe:
        return None
    say("Writing the file for MediaPipe")
    # No model that writes gets here, see `mediapipe.check`: its golden examples have no columns.
    columns = [columns for _, columns in answering.golden_rows(order)]
    return mediapipe.write(folder, str(order.source or name), order, columns)


def _for_litertlm(measured, folder, say):
    """Write the file for LiteRT-LM; what the report says of it, or None."""
    order = measured.files.order
    if not order.litertlm:
        return None
    say("Writing the file for LiteRT-LM")
    return litertlm.write(folder, order, measured.golden)


def _about(measured):
    """What the report says of the model and the file."""
    order, audits = measured.files.order, measured.files.audits
    return {
        "source": order.source,
        "task": order.task,
        "reads": order.options["reads"],
        "family": order.model.spec.family,
        "quantization": order.quantization,
        "calibration": order.calibrated,
        "length": order.length,
        "max_length": order.read_length,
        "labels": order.labels,
        "sizes": {
            "parameters": parameters_in((p, w.shape) for p, w in order.exportable.weights.items()),
            "float32": audits["float32"]["bytes"],
            "file": audits["file"]["bytes"],
            "weight_bytes": audits["file"]["weight_bytes"],
        },
    }


def _manifest(measured):
    order, audit = measured.files.order, measured.files.audits["file"]
    made_for = {"for": order.target, "delegates": audit["gpu"]} if order.target else {}
    reading = order.sense.reading(order.processor)
    return {
        "format": FORMAT,
        "kzoo": version("kzoo"),
        "task": order.task,
        "spec": order.model.spec.to_dict(),
        "labels": order.labels,
        "reads": order.options["reads"],
        "rule": order.rule,
        "task_options": {k: v for k, v in order.options.items() if k != "reads"},
        "signatures": _signatures(order.model),
        "max_length": order.read_length,
        "signature": audit["signatures"],
        "quantization": order.quantization,
        "length": order.length,
        "limits": {row["limit"]: row["bound"] for row in measured.limits},
        "minimum_runtime": audit["minimum_runtime"],
        "tolerance": TOLERANCE[order.quantization],
        **made_for,
        **({} if reading is None else {"reading": reading}),
        "golden": [
            {name: value for name, value in entry.items() if name != "keras"}
            for entry in measured.golden
        ],
    }


def _signatures(model):
    """Each function of the file: what it reads and gives, by the names of the sizes."""
    declared = {}
    for function, (_, sizes) in model.functions.items():
        inputs = {
            name: {
                "axes": [sizes.get(axis, axis) for axis in entry.axes],
                "dtype": entry.dtype,
                "below": entry.below,
            }
            for name, entry in model_inputs(model, function).items()
        }
        outputs = {name: list(axes) for name, axes in model.function_axes(function).items()}
        declared[function] = {"inputs": inputs, "outputs": outputs}
    return declared


def _made_with():
    names = ("kzoo", "keras", "tensorflow", "ai-edge-litert", "tokenizers")
    return {
        "machine": platform.machine(),
        "python": platform.python_version(),
        **{name: version(name) for name in names},
    }


def _compat(measured):
    """What the file of the same quantization for the newest runtime is, to see the cost."""
    if measured.usual is None:
        return None
    newest = measured.files.audits["usual"]
    return {
        "asked": measured.files.order.compat,
        "usual_bytes": newest["bytes"],
        "usual_runtime": newest["minimum_runtime"],
        "usual_cosine": measured.usual.get("cosine"),
        "usual_accuracy": (measured.evaluation or {}).get("accuracy_usual"),
    }


def _examples(measured):
    """The golden examples as the report shows them: the text, and the answers of file and Keras."""
    files, golden = measured.files, measured.golden
    answers = kind_of(files.order.rule).shown(files.order, files.paths["file"], golden)
    return [
        {**files.order.sense.described(entry), **answer}
        for entry, answer in zip(golden, answers, strict=True)
    ]


def _golden_difference(measured):
    """The largest difference of a score between file and Keras in the golden examples, or None.

    They may be other texts than those on which parity is measured.
    """
    problem = measured.files.order.rule
    if problem not in PROBLEMS:
        return None
    return max(
        float(
            np.abs(
                class_scores(entry["outputs"]["logits"], problem)
                - class_scores(entry["keras"]["logits"], problem)
            ).max()
        )
        for entry in measured.golden
    )
