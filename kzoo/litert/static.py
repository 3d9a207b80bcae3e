"""Static int8: products of whole numbers, from a float file whose places between are marked.

`nn.grid` marks in the graph what is rounded to which grid, and the converter writes each mark as
QUANTIZE and DEQUANTIZE. An operator between two of them that has a form for whole numbers gets it
here; the rest stays float32. The converter's own way makes whole numbers of all operators, which
XNNPACK splits into tens of groups, and of weights that it folded other scales in.
"""

import copy

import numpy as np

from ..errors import KzooError
from .flatbuffer import (
    operator_code,
    operator_names,
    read_model,
    schema,
    state_runtime,
    write_model,
)

TAKEN = ("FULLY_CONNECTED", "CONV_2D")  # products, which have a form for int8
MOVED = ("RESHAPE", "TRANSPOSE")  # what moves numbers, of whatever type
WEIGHTS = (*TAKEN, "EMBEDDING_LOOKUP")
# The version of an operator that has these forms. That of FULLY_CONNECTED is the one of floats with
# a scale a channel: its form for int8 has none of its own, and before it runtimes compute nonsense.
VERSIONS = {
    "FULLY_CONNECTED": 12, "CONV_2D": 5, "EMBEDDING_LOOKUP": 4, "TRANSPOSE": 2, "DEQUANTIZE": 2,
}  # fmt: skip
RUNTIME = "2.18.0"  # that looks up in tables with a scale a row
LARGEST = 127  # of a weight; -128 is left out, so that products of two fit 16 bits with their sum


def rewritten(content, tables=()):
    """The bytes of a marked float32 file as static int8.

    Args:
        content: the file's bytes.
        tables: constants (inputs, outputs) that stay float32.

    Raises:
        KzooError: if nothing in it is marked.
    """
    model = read_model(content)
    weights = _Weights(model, tables)
    taken = sum(_Rewriting(model, graph, weights).run() for graph in model.subgraphs)
    if not taken:
        raise KzooError(
            "Got a model without a layer whose activations have a range for int8_static; expected "
            "one at least: calibrate it with kzoo.compression.quantize_aware."
        )
    for entry in model.operatorCodes:
        least = VERSIONS.get(operator_names()[operator_code(entry)], 1)
        entry.version = max(entry.version, least)
    state_runtime(model, RUNTIME)
    return write_model(model)


def to_int8(values):
    """Weights (outputs, ...) as int8 and the scale of each output, float32."""
    values = np.asarray(values, "float32")
    largest = np.abs(values).max(axis=tuple(range(1, values.ndim)))
    scales = np.where(largest > 0, largest / np.float32(LARGEST), np.float32(1)).astype("float32")
    whole = np.round(values / scales.reshape(-1, *[1] * (values.ndim - 1)))
    return np.clip(whole, -LARGEST, LARGEST).astype("int8"), scales


def add_buffer(model, values):
    """The index of a new buffer of a model that holds an array."""
    buffer = schema().BufferT()
    buffer.data = np.ascontiguousarray(values).view("uint8").ravel()
    model.buffers.append(buffer)
    return len(model.buffers) - 1


def scaled(scales):
    """What says that a tensor is symmetric, with a scale for each entry of its first axis."""
    quantization = schema().QuantizationParametersT()
    quantization.scale = np.asarray(scales, "float32")
    quantization.zeroPoint = np.zeros(len(scales), "int64")
    quantization.quantizedDimension = 0
    return quantization


class _Weights:
    """The weights of a model, which its graphs share, while they become int8."""

    def __init__(self, model, tables):
        self.model = model
        self.tables = [np.moveaxis(np.asarray(table, "float32"), -1, 0) for table in tables]
        self.made = {}  # by the buffer of the floats: that of the whole numbers, and the scales

    def as_int8(self, tensor):
        """Make int8 of a constant, which several operators may read; its scales, or None."""
        kinds = schema().TensorType
        if tensor.type == kinds.INT8:
            return np.asarray(tensor.quantization.scale, "float32")
        if tensor.buffer not in self.made:
            data = self.model.buffers[tensor.buffer].data
            if data is None or tensor.type != kinds.FLOAT32:
                return None
            values = np.asarray(data).view("float32").reshape(tensor.shape)
            if any(np.array_equal(values, table) for table in self.tables):
                return None
            whole, scales = to_int8(values)
            self.made[tensor.buffer] = add_buffer(self.model, whole), scales
            self.model.buffers[tensor.buffer].data = None
        tensor.buffer, scales = self.made[tensor.buffer]
        tensor.type, tensor.quantization = kinds.INT8, scaled(scales)
        return scales


class _Rewriting:
    """One graph of a model, while its marked operators become such of whole numbers."""

    def __init__(self, model, graph, weights):
        self.model, self.graph, self.weights = model, graph, weights
        self.kinds, self.names = schema(), operator_names()

    def run(self):
        """Rewrite the graph; how many products became such of whole numbers."""
        for operator in self.graph.operators:
            if self.name(operator) == "QUANTIZE":
                self._as_int8(self.graph.tensors[operator.outputs[0]])
        while self._step():
            pass
        self._drop_unread()
        taken = 0
        for operator in self.graph.operators:
            if self.name(operator) in WEIGHTS:
                scales = self.weights.as_int8(self.graph.tensors[operator.inputs[1]])
                if self.name(operator) != "EMBEDDING_LOOKUP":
                    taken += self._finish(operator, scales)
        return taken

    def name(self, operator):
        """What an operator is called."""
        return self.names[operator_code(self.model.operatorCodes[operator.opcodeIndex])]

    def _as_int8(self, tensor):
        """The converter marks in uint8; int8 has the same numbers 128 lower."""
        if tensor.type == self.kinds.TensorType.UINT8:
            tensor.type = self.kinds.TensorType.INT8
            tensor.quantization.zeroPoint = np.asarray(tensor.quantization.zeroPoint) - 128

    def _grid(self, index):
        quantization = self.graph.tensors[index].quantization
        return float(quantization.scale[0]), int(quantization.zeroPoint[0])

    def _step(self):
        """Do what can be done to one operator; whether there was one."""
        makers = {int(o.outputs[0]): o for o in self.graph.operators if len(o.outputs)}
        for operator in self.graph.operators:
            name = self.name(operator)
            source = makers.get(int(operator.inputs[0])) if len(operator.inputs) else None
            if source is None or self.name(source) != "DEQUANTIZE":
                continue
            whole = int(source.inputs[0])
            if name == "QUANTIZE" and self._grid(operator.outputs[0]) == self._grid(whole):
                self._replace(operator.outputs[0], whole)
                self._remove([operator])
                return True
            if name in MOVED:
                self._swap(source, operator)
                return True
            if name in TAKEN and (after := self._marks(operator.outputs[0])):
                operator.inputs = np.array([whole, *operator.inputs[1:]], "int32")
                operator.outputs = np.array([after[0].outputs[0]], "int32")
                for other in after[1:]:
                    self._replace(other.outputs[0], after[0].outputs[0])
                self._remove(after)
                return True
        return False

    def _swap(self, mark, operator):
        """Let an operator that only moves numbers move whole ones, and make floats of them then."""
        whole, end = int(mark.inputs[0]), int(operator.outputs[0])
        moved = copy.copy(self.graph.tensors[end])
        moved.type, moved.name = self.kinds.TensorType.INT8, moved.name + b"/int8"
        moved.quantization = self.graph.tensors[whole].quantization
        self.graph.tensors.append(moved)
        index = len(self.graph.tensors) - 1
        after = copy.copy(mark)
        after.inputs, after.outputs = np.array([index], "int32"), np.array([end], "int32")
        operator.inputs = np.array([whole, *operator.inputs[1:]], "int32")
        operator.outputs = np.array([index], "int32")
        place = next(i for i, o in enumerate(self.graph.operators) if o is operator)
        self.graph.operators.insert(place + 1, after)

    def _marks(self, index):
        """The QUANTIZE operators that read a tensor, if all that reads it are such of one grid."""
        readers = [o for o in self.graph.operators if index in o.inputs]
        if index in self.graph.outputs or any(self.name(o) != "QUANTIZE" for o in readers):
            return []
        grids = {self._grid(operator.outputs[0]) for operator in readers}
        return readers if len(grids) == 1 else []

    def _replace(self, old, new):
        for operator in self.graph.operators:
            operator.inputs = np.where(operator.inputs == old, new, operator.inputs)

    def _remove(self, operators):
        gone = {id(operator) for operator in operators}
        self.graph.operators = [o for o in self.graph.operators if id(o) not in gone]

    def _drop_unread(self):
        while True:
            read = {int(i) for o in self.graph.operators for i in o.inputs}
            read |= {int(i) for i in self.graph.outputs}
            unread = [o for o in self.graph.operators if not read & {int(i) for i in o.outputs}]
            if not unread:
                return
            self._remove(unread)

    def _finish(self, operator, scales):
        """Give a product its bias in whole numbers; whether it is one of whole numbers."""
        kinds = self.kinds.TensorType
        if self.graph.tensors[operator.inputs[0]].type != kinds.INT8:
            if scales is not None and self.name(operator) == "FULLY_CONNECTED":
                operator.builtinOptions.asymmetricQuantizeInputs = True  # as they come
            return False
        if len(operator.inputs) > 2 and operator.inputs[2] >= 0:
            step = np.float64(self._grid(operator.inputs[0])[0]) * scales.astype("float64")
            old = self.graph.tensors[operator.inputs[2]]
            bias = np.asarray(self.model.buffers[old.buffer].data).view("float32")
            tensor = copy.copy(old)
            tensor.type = kinds.INT32
            tensor.buffer = add_buffer(self.model, np.round(bias / step).astype("int32"))
            tensor.quantization = scaled(step)
            self.graph.tensors.append(tensor)
            inputs = [*operator.inputs[:2], len(self.graph.tensors) - 1]
            operator.inputs = np.array(inputs, "int32")
        return True
