"""The .tflite files of an order: the one that is asked for, and others to compare it with."""

import shutil
from dataclasses import dataclass
from pathlib import Path

from ..litert.convert import traced, write_file
from .calibration import STATIC, source_of
from .limits import partitions_of
from .manifest import MODEL
from .orders import Order


@dataclass(frozen=True)
class Files:
    """Files of one model.

    Args:
        order: what they are of.
        paths: {name: path}: "file"; "float32", the same without quantization; for an older runtime
            also "usual", the same for the newest one.
        audits: {name: what `audit.audit` says of it}.
    """

    order: Order
    paths: dict[str, Path]
    audits: dict[str, dict]


def write_files(order, folder, scratch, say):
    """Write an order's file into its folder, and the others into one that goes; the `Files`."""
    paths = {"file": folder / MODEL, "float32": scratch / "float32.tflite"}
    most = order.limits.get("partitions", partitions_of(order.exportable.model, order.length))
    say(f"Exporting as {order.quantization}")
    options = order.quantization, order.compat, most, order.target
    audits = {}
    if order.quantization == STATIC:  # Of another graph: this one says what is rounded.
        source = source_of(order.exportable, STATIC, order.length, order.calibration)
        with traced(source, order.sizes, marked=True) as graphs:
            audits["file"] = write_file(graphs, paths["file"], *options)
    with traced(order.exportable, order.sizes) as graphs:
        if "file" not in audits:
            audits["file"] = write_file(graphs, paths["file"], *options)
        if order.quantization == "float32":
            shutil.copyfile(paths["file"], paths["float32"])
            audits["float32"] = audits["file"]
        else:
            say("Exporting as float32, to compare with")
            audits["float32"] = write_file(graphs, paths["float32"], "float32", partitions=most)
        if order.compat is not None:
            say(f"Exporting without {order.compat}, to compare with")
            paths["usual"] = scratch / "usual.tflite"
            audits["usual"] = write_file(graphs, paths["usual"], order.quantization, None, most)
    return Files(order, paths, audits)
