"""Int8 files for runtimes from before a weight could have several scales.

TFLite reads int8 kernels with a scale a column since 2.17 and looked-up tables with a scale a row
since 2.18; older ones know one scale a tensor, with which a model loses much of its meaning. But a
scale is only a factor: here the weights keep their whole numbers under the one scale 1, and what
each column or row was scaled by is multiplied after the operator, in float32. No number changes
but by rounding. benchmarks/old_runtimes/ has both, measured, and the runtimes that load the files.
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
from .quantize import INT4

# What a recipe may ask for, and the runtime that its file states.
RUNTIMES = {"tflite-2.14": "2.14.0", "tflite-2.16": "2.16.0"}
# The newest version of each operator in the files that were run on them.
TRIED = dict.fromkeys(
    (
        "ADD", "BATCH_MATMUL", "CAST", "CONCATENATION", "COS", "CUMSUM", "DEPTHWISE_CONV_2D",
        "DIV", "EMBEDDING_LOOKUP", "GELU", "GREATER_EQUAL", "LESS", "LESS_EQUAL", "LOG",
        "LOGICAL_AND", "LOGISTIC", "MAXIMUM", "MEAN", "MINIMUM", "MUL", "NEG", "NOT_EQUAL", "PAD",
        "RANGE", "RELU", "RESHAPE", "RSQRT", "SHAPE", "SIN", "SOFTMAX", "SPLIT", "SQRT", "SQUARE",
        "SQUARED_DIFFERENCE", "STRIDED_SLICE", "SUB", "SUM", "TANH", "TRANSPOSE",
    ), 1,
) | {"CONV_2D": 5, "DEQUANTIZE": 3, "FULLY_CONNECTED": 9}  # fmt: skip
# The version of an operator whose int8 weight has one scale, in TFLite since 2.3 and 1.13.
VERSIONS = {"FULLY_CONNECTED": 9, "EMBEDDING_LOOKUP": 1}


def check_compat(compat, quantization):
    """Raise KzooError unless `compat` is None or a runtime that the quantization can be for."""
    if compat is not None and compat not in RUNTIMES:
        raise KzooError(f"compat is {compat!r}; None or one of {', '.join(RUNTIMES)} is expected.")
    if compat is not None and quantization == "int8_static":
        raise KzooError(
            f"Got int8_static for {compat}, which has no products of whole numbers with a scale a "
            "channel; expected int8."
        )
    if compat is not None and quantization in INT4:
        raise KzooError(
            f"Weights of int4 need TFLite 2.20, so there is no such file for {compat}: choose int8."
        )


def rewritten(content, compat):
    """A .tflite file's bytes with one scale a tensor, for the runtime `compat`."""
    model = read_model(content)
    for graph in model.subgraphs:
        _Rewriting(model, graph).run()
    names = operator_names()
    for entry in model.operatorCodes:
        name = names[operator_code(entry)]
        if entry.version > TRIED.get(name, 0):
            raise KzooError(
                f"The file has {name} version {entry.version}, which was never tried on {compat}: "
                "export without it."
            )
    state_runtime(model, RUNTIMES[compat])
    return write_model(model)


class _Rewriting:
    """One graph of a model, while its operators with scaled weights are replaced."""

    def __init__(self, model, graph):
        self.model, self.graph = model, graph
        self.kinds, self.names = schema(), operator_names()
        self.scales = {}  # of a weight that had several, by its index

    def run(self):
        """Follow each operator whose weight has several scales with the factor taken out of it."""
        operators = []
        for operator in self.graph.operators:
            operators.append(operator)
            entry = self.model.operatorCodes[operator.opcodeIndex]
            name = self.names[operator_code(entry)]
            if name not in VERSIONS or (scales := self._taken_out(operator.inputs[1])) is None:
                continue
            entry.version = VERSIONS[name]
            factor = getattr(self, f"_{name.lower()}")(operator, scales, operators)
            operators.append(self._product(operator, factor))
        self.graph.operators = operators

    def _taken_out(self, index):
        """The scales of a weight, which has the scale 1 from then on; None where it had one."""
        quantization = self.graph.tensors[index].quantization
        if index not in self.scales and (
            quantization is not None
            and quantization.scale is not None
            and len(quantization.scale) > 1
        ):
            scales = np.asarray(quantization.scale, "float32")
            self.scales[index] = np.where(scales > 0, scales, 1).astype("float32")  # 0: all are 0
            quantization.scale = np.ones(1, "float32")
            quantization.zeroPoint = np.zeros(1, "int64")
            quantization.quantizedDimension = 0
        return self.scales.get(index)

    def _fully_connected(self, operator, scales, _):
        """The bias is divided by what everything is multiplied by after it."""
        if len(operator.inputs) > 2 and operator.inputs[2] >= 0:
            old = self.graph.tensors[operator.inputs[2]]
            bias = np.frombuffer(bytes(self.model.buffers[old.buffer].data), "float32")
            operator.inputs = np.array(
                [*operator.inputs[:2], self._constant(old.name + b"/divided", bias / scales)],
                "int32",
            )
        return self._constant(self.graph.tensors[operator.inputs[1]].name + b"/scales", scales)

    def _embedding_lookup(self, operator, scales, operators):
        """The scale of each row is looked up in a table of its own."""
        ids, table = operator.inputs
        name = self.graph.tensors[table].name + b"/scales"
        replacement = copy.copy(operator)
        replacement.inputs = np.array([ids, self._constant(name, scales[:, None])], "int32")
        index = self._like(operator.outputs[0], b"/scales", columns=1)
        replacement.outputs = np.array([index], "int32")
        operators.append(replacement)
        return index

    def _product(self, operator, factor):
        """Multiply an operator's output; its activation comes after that."""
        kinds = self.kinds
        output = operator.outputs[0]
        product, options = kinds.OperatorT(), kinds.MulOptionsT()
        product.builtinOptionsType = kinds.BuiltinOptions.MulOptions
        product.builtinOptions = options
        if hasattr(operator.builtinOptions, "fusedActivationFunction"):
            options.fusedActivationFunction = operator.builtinOptions.fusedActivationFunction
            operator.builtinOptions.fusedActivationFunction = kinds.ActivationFunctionType.NONE
        operator.outputs = np.array([self._like(output, b"/unscaled")], "int32")
        product.inputs = np.array([operator.outputs[0], factor], "int32")
        product.outputs = np.array([output], "int32")
        product.opcodeIndex = self._multiplication()
        return product

    def _multiplication(self):
        codes = self.model.operatorCodes
        for index, entry in enumerate(codes):
            if self.names[operator_code(entry)] == "MUL":
                return index
        entry = self.kinds.OperatorCodeT()
        entry.builtinCode = entry.deprecatedBuiltinCode = self.kinds.BuiltinOperator.MUL
        entry.version = 1
        codes.append(entry)
        return len(codes) - 1

    def _constant(self, name, values):
        """The index of a new float32 constant."""
        buffer = self.kinds.BufferT()
        buffer.data = np.ascontiguousarray(values, "float32").view("uint8").ravel()
        self.model.buffers.append(buffer)
        tensor = self.kinds.TensorT()
        tensor.name, tensor.buffer, tensor.hasRank = name, len(self.model.buffers) - 1, True
        tensor.type, tensor.shape = self.kinds.TensorType.FLOAT32, np.array(values.shape, "int32")
        self.graph.tensors.append(tensor)
        return len(self.graph.tensors) - 1

    def _like(self, index, ending, columns=None):
        """The index of a new tensor like another, maybe with another last dimension."""
        tensor = copy.copy(self.graph.tensors[index])
        tensor.name += ending
        for field in ("shape", "shapeSignature"):
            sizes = getattr(tensor, field)
            if columns is not None and sizes is not None:
                setattr(tensor, field, np.array([*sizes[:-1], columns], "int32"))
        self.graph.tensors.append(tensor)
        return len(self.graph.tensors) - 1
