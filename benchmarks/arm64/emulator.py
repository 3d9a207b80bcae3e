"""A bundle's file on an emulated ARM64 core, called as `kzoo.litert.interpreter.Interpreter` is."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from kzoo.errors import KzooError

RUN = Path(__file__).resolve().parent / "run.py"
CORES = {  # And what XNNPACK finds there.
    "cortex-a53": "NEON",
    "cortex-a76": "NEON, dot products of int8",
    "cortex-a710": "NEON, dot products and matrix products of int8",
}


class Emulated:
    """One process that runs a file, here or on a core.

    Args:
        model: the path of a .tflite file.
        core: one of `CORES`; None runs on this machine's own processor.
        root: the folder that `setup.sh` filled.
        length: how many tokens the file takes; None for any number.
    """

    def __init__(self, model, core=None, root=None, length=None):
        self.model, self.core, self.length = model, core, length
        self.seconds = []  # Of each run, by the clock of the emulator.
        command, variables = ([sys.executable], {}) if core is None else _emulator(root, core)
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 (closed in __exit__)
        self._process = subprocess.Popen(
            [*command, str(RUN), str(Path(model).resolve())],
            env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1", **variables},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
        )

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._process.communicate()
        self._errors.close()

    def run(self, columns):
        """Outputs by name for a dict of arrays of batch 1, such as int32 (1, length)."""
        row = {name: np.asarray(column)[0].tolist() for name, column in columns.items()}
        try:
            print(json.dumps(row), file=self._process.stdin, flush=True)
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            raise KzooError(
                f"{self.model} doesn't run {self._where()} ({self._reason()}): the file of a "
                "bundle and ids of its vocabulary were expected."
            )
        found = json.loads(line)
        self.seconds.append(found["seconds"])
        return {name: np.array(value, "float32") for name, value in found["outputs"].items()}

    def _where(self):
        return "here" if self.core is None else f"on an emulated {self.core}"

    def _reason(self):
        self._process.wait()
        self._errors.seek(0)
        said = self._errors.read().decode("utf-8", "replace").splitlines()
        lines = [line for line in said if line[:1].strip()]
        return lines[-1].rstrip(".") if lines else f"exit code {self._process.returncode}"


def _emulator(root, core):
    root = Path(root).resolve()
    ready = sorted(root.glob("ready-*"))
    if not ready:
        raise KzooError(f"{root} holds no emulator: run `benchmarks/arm64/setup.sh {root}` first.")
    version = ready[-1].name.removeprefix("ready-")
    system = root / "system"
    command = [
        *(str(root / "qemu/usr/bin/qemu-aarch64-static"), "-L", str(system)),
        *("-E", f"PYTHONHOME={system / 'usr'}", str(system / "usr/bin/python3.11")),
    ]
    return command, {"PYTHONPATH": str(root / f"site-{version}"), "QEMU_CPU": core}
