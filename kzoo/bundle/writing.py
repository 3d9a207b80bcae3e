"""The .tflite files of an order: the one that is asked for, and others to compare it with."""

import shutil
from dataclasses import dataclass
from pathlib import Path

from ..litert.convert import write_file
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

    def write(name, quantization, compat=None, partitions=1):
        arguments = quantization, order.sizes, compat, partitions
        return write_file(order.exportable, paths[name], *arguments)

    say(f"Exporting as {order.quantization}")
    most = order.limits.get("partitions", 1)
    audits = {"file": write("file", order.quantization, order.compat, most)}
    say("Exporting as float32, to compare with")
    if order.quantization == "float32":
        shutil.copyfile(paths["file"], paths["float32"])
        audits["float32"] = audits["file"]
    else:
        audits["float32"] = write("float32", "float32")
    if order.compat is not None:
        say(f"Exporting without {order.compat}, to compare with")
        paths["usual"] = scratch / "usual.tflite"
        audits["usual"] = write("usual", order.quantization)
    return Files(order, paths, audits)
