"""One of several functions of a .tflite file, run where its inputs and outputs lie: no copies."""

import contextlib

import numpy as np

from ..errors import KzooError
from ..logs import hidden
from .hooks import Graph
from .interpreter import first_line


class Function:
    """A function of an open file, at batch 1.

    Functions of one file share its weights in memory; each has its own inputs and outputs.

    Args:
        backend: what `interpreter.opened` gives.
        name: which of the file's functions.
    """

    def __init__(self, backend, name):
        runner = backend.get_signature_runner(name)
        self.name = name
        self._inputs, self._outputs = runner.get_input_details(), runner.get_output_details()
        self._graph = Graph(backend, name)
        self._length = None

    @property
    def inputs(self):
        """The shape of each input by its name, -1 for an axis of any size."""
        return {name: tuple(each["shape_signature"]) for name, each in self._inputs.items()}

    def input_type(self, name):
        """The type of an input's numbers."""
        return np.dtype(self._inputs[name]["dtype"])

    @property
    def outputs(self):
        """The same of each output."""
        return {name: tuple(each["shape_signature"]) for name, each in self._outputs.items()}

    def fit(self, length=1):
        """Give every open axis a size; returns whether the inputs are zeros now, and not as before.

        What `input` and `run` gave before is not to be used then.
        """
        if self._length == length or (self._length and not self.is_open):
            return False
        # The first time LiteRT says which delegate it takes.
        with hidden() if self._length is None else contextlib.nullcontext():
            for name, shape in self.inputs.items():
                sizes = np.array([length if size == -1 else size for size in shape], "int32")
                self._graph.resize(self._inputs[name]["index"], sizes)
            self._graph.allocate()
        self._length = length
        for name in self._inputs:
            self.input(name)[:] = 0
        return True

    @property
    def is_open(self):
        """Whether an input has an axis of any size."""
        return any(-1 in shape for shape in self.inputs.values())

    def input(self, name):
        """An input's memory, to be written; it stays as it was from run to run."""
        return self._graph.view(self._inputs[name]["index"])

    def run(self):
        """Run on the inputs as they are; the outputs' memory by name, until the next run."""
        try:
            self._graph.run()
        except (RuntimeError, ValueError) as error:
            raise KzooError(
                f"Got inputs for {self.name} that LiteRT refuses ({first_line(error)}); expected "
                "ids of the file's own vocabulary."
            ) from None
        return {name: self._graph.view(each["index"]) for name, each in self._outputs.items()}
