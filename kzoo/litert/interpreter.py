"""Running a .tflite file on LiteRT alone: NumPy in, NumPy out, no TensorFlow and no Keras."""

import contextlib
import threading
from pathlib import Path

import numpy as np

from ..errors import KzooError
from ..logs import hidden


def opened(path, threads=1, xnnpack=True):
    """LiteRT's own interpreter of a file, by its path or bytes; the rest as of `Interpreter`."""
    from ai_edge_litert.interpreter import Interpreter as Backend
    from ai_edge_litert.interpreter import OpResolverType

    kind = OpResolverType.AUTO if xnnpack else OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    if isinstance(path, bytes):
        source, path = {"model_content": path}, "the file"
    elif Path(path).is_file():
        source = {"model_path": str(path)}
    else:
        raise KzooError(f"{path} is missing: a .tflite file was expected there.")
    try:
        return Backend(**source, num_threads=threads, experimental_op_resolver_type=kind)
    except (ValueError, RuntimeError) as error:
        raise KzooError(
            f"{path} can't be loaded ({first_line(error)}): a .tflite file that this version of "
            "LiteRT reads was expected."
        ) from None


class Interpreter:
    """One signature of a .tflite file, batch 1; of rows of tokens at any length up to its own.

    Threads may share one: they take turns.

    Args:
        path: the file.
        threads: how many it may use.
        xnnpack: False runs the interpreter's own kernels, which round otherwise.

    Raises:
        KzooError: if the file can't be loaded.
    """

    def __init__(self, path, threads=1, xnnpack=True):
        self.path = Path(path)
        self.backend = opened(path, threads, xnnpack)
        signatures = self.backend.get_signature_list()
        if len(signatures) != 1:
            raise KzooError(
                f"{self.path} has the functions {', '.join(sorted(signatures))}; expected one, for "
                "this runs a file of one."
            )
        self.signature, names = next(iter(signatures.items()))
        runner = self.backend.get_signature_runner(self.signature)
        self._inputs = runner.get_input_details()
        self._outputs = runner.get_output_details()
        self.input_names, self.output_names = sorted(names["inputs"]), sorted(names["outputs"])
        shapes = {n: tuple(map(int, self._inputs[n]["shape_signature"])) for n in self.input_names}
        # What is no row of ids, such as pictures and samples, has the file's own sizes.
        rows = [len(shapes[n]) == 2 and self._inputs[n]["dtype"] == np.int32 for n in shapes]
        self.shapes = None if all(rows) else shapes
        last = shapes[self.input_names[0]][-1]
        tokens = shapes.get("token_ids", (1,))[-1]  # of texts beside such, which have one length
        self.length = tokens if self.shapes else None if last == -1 else last
        self._allocated = None
        self._one_at_a_time = threading.Lock()

    def width(self, output):
        """How many numbers each row of an output has; None without such an output."""
        return int(self._outputs[output]["shape"][-1]) if output in self._outputs else None

    def blank(self, length):
        """Inputs that say nothing, of a length where the file takes rows of tokens."""
        if self.shapes:
            return {n: np.zeros(self.shapes[n], self._inputs[n]["dtype"]) for n in self.input_names}
        return {n: np.full((1, length), int(n != "segment_ids"), "int32") for n in self.input_names}

    def run(self, columns):
        """Outputs by name for a dict of int32 arrays (1, length), or of the file's own arrays."""
        arrays = {n: np.asarray(columns[n], self._inputs[n]["dtype"]) for n in self.input_names}
        actual = {name: array.shape for name, array in arrays.items()}
        if self.shapes and actual != self.shapes:
            raise KzooError(f"Got inputs of the shapes {actual}; expected {self.shapes}.")
        with self._one_at_a_time:
            return self._run(arrays) if self.shapes else self._run_rows(arrays)

    def _run_rows(self, arrays):
        shapes = {array.shape for array in arrays.values()}
        if len(shapes) != 1 or len(shape := next(iter(shapes))) != 2 or shape[0] != 1:
            raise KzooError(
                f"Inputs of the shapes {sorted(shapes)} came; all (1, length) is expected."
            )
        if not shape[1] or self.length not in (None, shape[1]):
            expected = (
                "at least one is expected"
                if self.length is None
                else (f"this file takes exactly {self.length}")
            )
            raise KzooError(f"{shape[1]} tokens came; {expected}.")
        try:
            return self._run(arrays)
        except (RuntimeError, ValueError) as error:
            self._allocated = None
            raise KzooError(
                f"{self.path} refuses these {shape[1]} tokens ({first_line(error)}): ids of "
                "its own vocabulary, and no more tokens than it has places, were expected."
            ) from None

    def _run(self, arrays):
        shapes = {name: array.shape for name, array in arrays.items()}
        if self._allocated != shapes:
            for name, shape in shapes.items():
                self.backend.resize_tensor_input(self._inputs[name]["index"], shape)
            # The first time LiteRT says which delegate it takes.
            with hidden() if self._allocated is None else contextlib.nullcontext():
                self.backend.allocate_tensors()
            self._allocated = shapes
        for name, array in arrays.items():
            self.backend.set_tensor(self._inputs[name]["index"], array)
        self.backend.invoke()
        return {
            name: self.backend.get_tensor(self._outputs[name]["index"])
            for name in self.output_names
        }

    def run_text(self, tokenizer, first, second=None, max_length=None):
        """Outputs for one text or pair, and how many tokens it has before and after cutting.

        A file of fixed length gets padding; one of dynamic length exactly the tokens.
        """
        columns, whole = encode(tokenizer, first, second, max_length, self.length)
        return self.run(columns), columns, whole


def encode(tokenizer, first, second=None, max_length=None, length=None):
    """Columns (1, length) for one text or pair, and how many tokens the uncut text has.

    Beside what a file reads there are `offsets` (1, length, 2), see `Tokenizer.encode`.
    """
    columns = tokenizer.encode(
        [first],
        None if second is None else [second],
        max_length=min((limit for limit in (max_length, length) if limit), default=None),
        padding=length or "longest",
        offsets=True,
    )
    return columns, int(columns.pop("lengths")[0])


def first_line(error):
    """What an error of LiteRT's says first."""
    return str(error).strip().splitlines()[0].rstrip(".") if str(error).strip() else "no reason"
