"""What a file of int8_static is made of: the model as it rounds, with ranges found on examples."""

from pathlib import Path

from ..compression.quantize_aware import is_aware, quantize_aware
from ..errors import KzooError
from ..litert.convert import exportable
from ..tasks.task import Task
from ..values import an
from .senses import sense_of

STATIC = "int8_static"


def check_calibration(model, quantization, calibration=None):
    """Raise KzooError for examples for a file that needs none, and for a model that rounds else."""
    if quantization != STATIC:
        if calibration is not None:
            raise KzooError(
                f"Got examples for calibration of a file of {quantization}; expected none: leave "
                f"calibration out, or choose {STATIC}."
            )
        if is_aware(model):
            raise KzooError(
                f"Got {quantization} for a model that rounds as a file of {STATIC} does; expected "
                f"{STATIC}, or the model before kzoo.compression.quantize_aware."
            )
        return
    if not isinstance(model, Task):
        raise KzooError(
            f"Got {an(type(model).__name__)} for a file of {STATIC}; expected a task, which reads "
            "the examples of its calibration: choose int8."
        )
    if is_aware(model) and calibration is not None:
        raise KzooError(
            "Got examples for calibration of a model whose ranges are known; expected none: leave "
            "calibration out, or call kzoo.compression.quantize_aware on them."
        )


def told_of(model, quantization, file=None, calibration=None):
    """What a report says of the ranges in a file: {"from", "examples"}; None of one without any.

    Args:
        model: what becomes a file.
        quantization: of the file.
        file: the path of the examples, or None.
        calibration: the examples, or None for shipped ones.
    """
    if quantization != STATIC:
        return None
    if is_aware(model):
        return {"from": "the model, which rounded when it learned", "examples": None}
    if calibration is None:
        return {"from": "examples that ship with kzoo", "examples": None}
    return {"from": Path(file).name, "examples": len(calibration)}


def source_of(source, quantization, length=None, calibration=None):
    """The `Exportable` of what a file computes: itself, or a task that rounds.

    Args:
        source: the `Exportable` of a model.
        quantization: of the file.
        length: of the file, or None.
        calibration: examples that the model reads; by default those that files are compared on.
    """
    model = source.model
    if quantization != STATIC or is_aware(model):
        return source
    if calibration is None:
        samples = sense_of(getattr(model, "reads", None)).samples(model, length)
        calibration = [given for given, _ in samples]
    return exportable(quantize_aware(model, calibration)[0])
