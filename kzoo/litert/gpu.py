"""What GPU delegates take of a file, and a form of it that they take whole.

TensorFlow's Analyzer answers this no more: that of TensorFlow 2.21 and of LiteRT 2.3 calls every
graph compatible, one with `WHERE` or an open size too. So the rules stand here. LiteRT's delegate
took every file of benchmarks/gpu_delegate/ whole, where it ran over Vulkan; operators that are in
none of these were not tried. Rules of the delegate in TensorFlow Lite are the Analyzer's of
TensorFlow 2.16, the last that had some, and what its delegate of 2.16.1 was seen to refuse beside
these: it took every file of benchmarks/gpu_delegate/ that was made for it, but for what is told,
where it ran over OpenCL. Its OpenGL, which it falls back to, lacks products of matrices.
"""

import collections
import copy

import numpy as np

from ..errors import KzooError
from .flatbuffer import operator_code, operator_names, read_model, schema, type_names, write_model

TARGETS = ("gpu",)  # what a file may be made for
QUANTIZATIONS = ("float16", "float32")  # of weights that every GPU reads
# Operators that LiteRT's delegate takes in every form that kzoo writes, but for `CONDITIONS`.
TAKEN = {
    "ABS", "ADD", "ARG_MAX", "BATCH_MATMUL", "CAST", "CONCATENATION", "CONV_2D", "COS", "CUMSUM",
    "DEPTHWISE_CONV_2D", "DEQUANTIZE", "DIV", "EMBEDDING_LOOKUP", "EXP", "FULLY_CONNECTED",
    "GATHER", "GELU", "GREATER_EQUAL", "LESS", "LESS_EQUAL", "LOG", "LOGICAL_AND", "LOGISTIC",
    "MAX_POOL_2D", "MAXIMUM", "MEAN", "MINIMUM", "MUL", "NEG", "NOT_EQUAL", "ONE_HOT", "PAD",
    "RELU", "RESHAPE", "RSQRT", "SIN", "SOFTMAX", "SPLIT", "SQRT", "SQUARE", "SQUARED_DIFFERENCE",
    "STRIDED_SLICE", "SUB", "SUM", "TANH", "TRANSPOSE",
}  # fmt: skip
# Those of them that mean the same with an axis of one before the others of their inputs.
OF_ANY_RANK = {
    "ABS", "ADD", "CAST", "COS", "DIV", "EXP", "FULLY_CONNECTED", "GELU", "LOG", "LOGISTIC",
    "MAXIMUM", "MINIMUM", "MUL", "NEG", "RELU", "RESHAPE", "RSQRT", "SIN", "SOFTMAX", "SQRT",
    "SQUARE", "SQUARED_DIFFERENCE", "SUB", "TANH",
}  # fmt: skip
# Those that TensorFlow Lite's delegate has not.
NEWER = {"ARG_MAX", "EMBEDDING_LOOKUP", "LOGICAL_AND"}
OPEN = "its sizes are open"


class Graph:
    """One graph of a model, read by what its operators ask of their tensors."""

    def __init__(self, model, graph):
        self.model, self.graph = model, graph
        names = operator_names()
        self.names = [names[operator_code(entry)] for entry in model.operatorCodes]
        self.types = type_names()
        self.makers = {int(i): o for o in graph.operators for i in o.outputs}

    def name(self, operator):
        """What an operator is called."""
        return self.names[operator.opcodeIndex]

    def shape(self, index):
        """The sizes of a tensor, -1 for an open one."""
        tensor = self.graph.tensors[index]
        sizes = tensor.shape if tensor.shapeSignature is None else tensor.shapeSignature
        return () if sizes is None else tuple(map(int, sizes))

    def type(self, index):
        """The type of a tensor's numbers."""
        return self.types[self.graph.tensors[index].type]

    def data(self, index):
        """The bytes of a constant, or None."""
        data = self.model.buffers[self.graph.tensors[index].buffer].data
        return None if data is None or not len(data) else np.asarray(data)

    def floats(self, index):
        """A constant in float32, also one that is kept in halves; None for another tensor."""
        maker = self.makers.get(index)
        if maker is not None and self.name(maker) == "DEQUANTIZE":
            index = maker.inputs[0]
        data, kind = self.data(index), self.type(index)
        if data is None or kind not in ("float32", "float16"):
            return None
        return data.view(kind).reshape(self.shape(index)).astype("float32")


def _rows_of_int8(graph, operator):
    rows = graph.shape(operator.inputs[0])
    if graph.type(operator.inputs[1]) == "int8" and len(rows) == 2 and rows[0] > 1:
        return "its weights are int8 and its rows several"


def _table(graph, operator):
    if graph.data(operator.inputs[1]) is None or graph.type(operator.inputs[1]) == "float16":
        return "its table is no constant of float32 or int8"


def _axes_of_ids(graph, operator):
    if len(graph.shape(operator.inputs[1])) > 1:
        return "its ids have more than one axis"


def _whole_numbers(graph, operator):
    if graph.type(operator.inputs[0]) != "float32":
        return "it sums whole numbers"


def _dropped_axis(graph, operator):
    if operator.builtinOptions.shrinkAxisMask:
        return "it drops an axis"


def _values(graph, operator):
    if any(graph.data(i) is None for i in operator.inputs[2:]):
        return "its values are no constants of float32, and the delegate makes zeros"


def _rows_of_constant(graph, operator):
    """(rows, width) and a constant of as many: the delegate takes these rows for a batch."""
    several = [len(s) == 2 and s[0] > 1 for s in (graph.shape(i) for i in operator.inputs)]
    if all(several) and any(graph.floats(i) is not None for i in operator.inputs):
        return "it joins rows with a constant of several, which the delegate gets wrong"


# Where an operator that is taken isn't: a function of graph and operator that says why, or None.
CONDITIONS = dict.fromkeys(
    ("ADD", "DIV", "MAXIMUM", "MINIMUM", "MUL", "SQUARED_DIFFERENCE", "SUB"), _rows_of_constant
) | {
    "CUMSUM": _whole_numbers, "EMBEDDING_LOOKUP": _table, "FULLY_CONNECTED": _rows_of_int8,
    "GATHER": _axes_of_ids, "ONE_HOT": _values,
    "STRIDED_SLICE": _dropped_axis,
}  # fmt: skip


def _refusal(graph, operator):
    """Why LiteRT's delegate refuses an operator, or None."""
    name = graph.name(operator)
    tensors = [int(i) for i in (*operator.inputs, *operator.outputs) if i >= 0]
    if name not in TAKEN:
        return "the delegate lacks it"
    if any(graph.type(i) in ("int64", "float64", "string") for i in tensors):
        return "it computes with numbers of 64 bits"
    if any(-1 in graph.shape(i) for i in tensors):
        return OPEN
    return CONDITIONS[name](graph, operator) if name in CONDITIONS else None


def _older_refuses(graph, operator):
    """Whether TensorFlow Lite's delegate refuses an operator that LiteRT's takes."""
    name = graph.name(operator)
    if name == "CAST":
        return not {graph.type(operator.inputs[0]), graph.type(operator.outputs[0])} <= {
            "float32", "int32",
        }  # fmt: skip
    if name in NEWER or (name == "MUL" and _is_two_sided(graph, operator)):
        return True
    given = [i for i in map(int, operator.inputs) if i >= 0 and graph.data(i) is None]
    return name != "ONE_HOT" and any(graph.type(i) == "int32" for i in given)


def _stops_older(graph, operator):
    """Whether TensorFlow Lite's delegate refuses all of a file for the form of an operator."""
    name = graph.name(operator)
    if name == "CONCATENATION":
        rank = len(graph.shape(operator.outputs[0]))
        return rank != 4 and any(graph.floats(i) is not None for i in operator.inputs)
    return name not in ("DEQUANTIZE", "EMBEDDING_LOOKUP", "RESHAPE") and any(
        _has_rows(graph, i) for i in operator.outputs
    )


def _has_rows(graph, index):
    """Whether a tensor is (rows, width) of several rows: delegates take these for a batch."""
    shape = graph.shape(index)
    return graph.type(index) == "float32" and len(shape) == 2 and shape[0] > 1


def _is_two_sided(graph, operator):
    """Whether both factors are repeated, each along another axis."""
    one, other = (graph.shape(i) for i in operator.inputs)
    length = max(len(one), len(other))
    one, other = ((1,) * (length - len(shape)) + shape for shape in (one, other))
    pairs = list(zip(one, other, strict=True))
    return any(a < b for a, b in pairs) and any(a > b for a, b in pairs)


def refused(model):
    """What GPU delegates refuse of a model (see `flatbuffer.read_model`).

    Returns:
        A dict: `refused`, {operator: {"count", "reason"}} of LiteRT's delegate, and of those that
        it takes `older`, {operator: count} that TensorFlow Lite's leaves to the processor, and
        `stopping`, the same of those for which that runs nothing.
    """
    reasons = collections.defaultdict(list)
    older, stopping = collections.Counter(), collections.Counter()
    for each in model.subgraphs:
        graph = Graph(model, each)
        for operator in each.operators:
            reason = _refusal(graph, operator)
            if reason:
                reasons[graph.name(operator)].append(reason)
            elif _older_refuses(graph, operator):
                older[graph.name(operator)] += 1
            elif _stops_older(graph, operator):
                stopping[graph.name(operator)] += 1
    return {
        "refused": {
            name: {"count": len(given), "reason": given[0]}
            for name, given in sorted(reasons.items())
        },
        "older": dict(sorted(older.items())),
        "stopping": dict(sorted(stopping.items())),
    }


def words(found):
    """What LiteRT's delegate refuses, for a sentence: "GATHER (1; its ids have ...)"."""
    entries = found["refused"].items()
    told = ["every operator with an open size"] if _has_open(found) else []
    told += [
        f"{name} ({entry['count']}; {entry['reason']})"
        for name, entry in entries
        if entry["reason"] != OPEN
    ]
    return ", ".join(told)


def _has_open(found):
    return any(entry["reason"] == OPEN for entry in found["refused"].values())


def told(found):
    """What `refused` found, as the end of a sentence about a file."""
    if found["refused"]:
        return f"LiteRT's GPU delegate refuses {words(found)}"
    if found["stopping"]:
        rest = f", TensorFlow Lite's none for its {_counted(found['stopping'])}"
    elif found["older"]:
        rest = f", TensorFlow Lite's leaves {_counted(found['older'])} to the processor"
    else:
        rest = ", and so does TensorFlow Lite's over OpenCL"
    return f"LiteRT's GPU delegate takes all of it{rest}"


def _counted(operators):
    return " and ".join(f"{count} {name}" for name, count in operators.items())


def check_target(target, quantization, compat, functions):
    """Raise KzooError unless `target` is None or what a file of such a kind can be for.

    Args:
        target, quantization, compat: as of `convert.write_file`.
        functions: the names of the functions that the file is to have.
    """
    if target is None:
        return
    if target not in TARGETS:
        raise KzooError(f"Got for={target!r:.40}; expected None or {', '.join(TARGETS)}.")
    if quantization not in QUANTIZATIONS:
        raise KzooError(
            f"Got {quantization} for a file for the GPU; expected {' or '.join(QUANTIZATIONS)}, as "
            "GPUs compute: leave the quantization out."
        )
    if compat is not None:
        raise KzooError(
            f"Got compat={compat!r} for a file for the GPU; expected one of both: older runtimes "
            "run it on the processor."
        )
    if len(functions) > 1:
        raise KzooError(
            f"Got for={target!r} for a model whose file has the functions {', '.join(functions)}; "
            "expected one function: what writes grows a cache, and stays on the processor."
        )


def check_taken(found):
    """Raise KzooError for what LiteRT's GPU delegate doesn't take whole."""
    if found["refused"]:
        raise KzooError(
            f"The GPU delegate refuses {words(found)}: a graph without that is expected, so export "
            "this model without `for`."
        )


def rewritten(content):
    """A .tflite file's bytes in a form that the GPU delegates take, of the same numbers."""
    model = read_model(content)
    for graph in model.subgraphs:
        _Rewriting(model, graph).run()
    return write_model(model)


class _Rewriting(Graph):
    """One graph, while operators that a delegate refuses become others."""

    def run(self):
        """Write a replacement in place of each operator that has one."""
        forms = {
            "CONCATENATION": self._in_four_axes,
            "CUMSUM": self._float_sums,
            "EMBEDDING_LOOKUP": self._float_table,
            "L2_NORMALIZATION": self._steps_of_norm,
            "ONE_HOT": self._float_values,
        }
        self._give_batch()
        operators = []
        for operator in self.graph.operators:
            form = forms.get(self.name(operator))
            operators += [operator] if form is None else form(operator)
        self.graph.operators = operators
        self._drop_unread()

    def _give_batch(self):
        """Rows (n, width) become (1, n, width), of which delegates take no axis for a batch."""
        narrow, operators = {}, []
        for operator in self.graph.operators:
            name = self.name(operator)
            if name not in OF_ANY_RANK:
                for place, index in enumerate(map(int, operator.inputs)):
                    if index not in narrow:
                        continue
                    if narrow[index] is None:
                        narrow[index] = self._like(index, "float32", self.shape(index)[1:])
                        operators.append(self._reshape(index, narrow[index]))
                    operator.inputs[place] = narrow[index]
            operators.append(operator)
            output = int(operator.outputs[0])
            if name == "DEQUANTIZE" or not _has_rows(self, output) or output in self.graph.outputs:
                continue
            given = shape = self.shape(output)
            if name == "FULLY_CONNECTED":
                operator.builtinOptions.keepNumDims = True
                given = (*self.shape(operator.inputs[0])[:-1], shape[1])
            elif name in OF_ANY_RANK:
                given = (1, *shape)
            narrow[output] = None
            self.graph.tensors[output].shape = np.array((1, *shape), "int32")
            if name == "RESHAPE":
                operators[-1] = self._reshape(operator.inputs[0], output)
            elif given != (1, *shape):
                before = self._like(output, "float32", given)
                operator.outputs = np.array([before], "int32")
                operators.append(self._reshape(before, output))
        self.graph.operators = operators

    def _in_four_axes(self, operator):
        """What is joined with a constant has four axes, as TensorFlow Lite's delegate asks."""
        output = operator.outputs[0]
        constant = [self.floats(i) for i in operator.inputs]
        if len(self.shape(output)) != 3 or all(each is None for each in constant):
            return [operator]
        before, inputs = [], []
        for index, values in zip(operator.inputs, constant, strict=True):
            if values is None:
                inputs.append(self._like(index, "float32", (1, *self.shape(index))))
                before.append(self._reshape(index, inputs[-1]))
            else:
                inputs.append(self._constant(values[None]))
        wide = self._like(output, "float32", (1, *self.shape(output)))
        operator.inputs, operator.outputs = np.array(inputs, "int32"), np.array([wide], "int32")
        operator.builtinOptions.axis += operator.builtinOptions.axis >= 0
        return [*before, operator, self._reshape(wide, output)]

    def _reshape(self, source, target):
        sizes = self._constant(np.array(self.shape(target), "int32"))
        return self._made("RESHAPE", [source, sizes], target)

    def _float_table(self, lookup):
        """Rows are looked up in float32: of halves the delegate has no look-up."""
        table = self.floats(lookup.inputs[1])
        if table is not None and self.data(lookup.inputs[1]) is None:
            lookup.inputs = np.array([lookup.inputs[0], self._constant(table)], "int32")
        return [lookup]

    def _float_values(self, operator):
        """What stands where the index is and where not: of halves the delegate makes zeros."""
        inputs = [int(i) for i in operator.inputs]
        for place in (2, 3):
            if self.data(inputs[place]) is None and self.floats(inputs[place]) is not None:
                inputs[place] = self._constant(self.floats(inputs[place]))
        operator.inputs = np.array(inputs, "int32")
        return [operator]

    def _float_sums(self, operator):
        """Whole numbers are summed as float32, which holds those of any text."""
        ids, axis = operator.inputs
        if self.type(ids) == "float32":
            return [operator]
        before = self._like(ids, "float32")
        after = self._like(ids, "float32")
        output = operator.outputs[0]
        operator.inputs = np.array([before, axis], "int32")
        operator.outputs = np.array([after], "int32")
        cast = self._made("CAST", [ids], before), self._made("CAST", [after], output)
        return [cast[0], operator, cast[1]]

    def _steps_of_norm(self, operator):
        """x / |x| as x * rsqrt(max(sum(x * x), 1e-12)), as the operator bounds it."""
        (x,), (output,) = operator.inputs, operator.outputs
        kinds, shape = schema(), self.shape(x)
        squares, total, bound, inverse = (
            self._like(x, "float32", sizes) for sizes in (shape, *[(*shape[:-1], 1)] * 3)
        )
        axis = self._constant(np.array([len(shape) - 1], "int32"))
        least = self._constant(np.array([1e-12], "float32"))
        summed = self._made("SUM", [squares, axis], total, kinds.ReducerOptionsT())
        summed.builtinOptions.keepDims = True
        return [
            self._made("MUL", [x, x], squares, kinds.MulOptionsT()),
            summed,
            self._made("MAXIMUM", [total, least], bound, kinds.MaximumMinimumOptionsT()),
            self._made("RSQRT", [bound], inverse),
            self._made("MUL", [x, inverse], output, kinds.MulOptionsT()),
        ]

    def _made(self, name, inputs, output, options=None):
        """A new operator."""
        kinds = schema()
        if name not in self.names:
            entry = kinds.OperatorCodeT()
            entry.builtinCode = entry.deprecatedBuiltinCode = getattr(kinds.BuiltinOperator, name)
            entry.version = 1
            self.model.operatorCodes.append(entry)
            self.names.append(name)
        operator = kinds.OperatorT()
        operator.opcodeIndex = self.names.index(name)
        operator.inputs = np.array(inputs, "int32")
        operator.outputs = np.array([output], "int32")
        if options is not None:
            kind = type(options).__name__.removesuffix("T")
            operator.builtinOptionsType = getattr(kinds.BuiltinOptions, kind)
            operator.builtinOptions = options
        return operator

    def _like(self, index, kind, shape=None):
        """The index of a new tensor like another, of a type and maybe of other sizes."""
        tensor = copy.copy(self.graph.tensors[index])
        tensor.name = b"for_gpu_%d" % len(self.graph.tensors)
        tensor.type, tensor.buffer = getattr(schema().TensorType, kind.upper()), 0
        if shape is not None:
            tensor.shape, tensor.shapeSignature = np.array(shape, "int32"), None
        self.graph.tensors.append(tensor)
        return len(self.graph.tensors) - 1

    def _constant(self, values):
        """The index of a new constant."""
        kinds = schema()
        buffer, tensor = kinds.BufferT(), kinds.TensorT()
        buffer.data = np.ascontiguousarray(values).view("uint8").ravel()
        self.model.buffers.append(buffer)
        tensor.name = b"for_gpu_%d" % len(self.graph.tensors)
        tensor.buffer, tensor.hasRank = len(self.model.buffers) - 1, True
        tensor.type = getattr(kinds.TensorType, values.dtype.name.upper())
        tensor.shape = np.array(values.shape, "int32")
        self.graph.tensors.append(tensor)
        return len(self.graph.tensors) - 1

    def _drop_unread(self):
        """Halves that nothing reads any more go."""
        read = {int(i) for operator in self.graph.operators for i in operator.inputs}
        read |= {int(i) for i in self.graph.outputs}
        for operator in list(self.graph.operators):
            if self.name(operator) == "DEQUANTIZE" and operator.outputs[0] not in read:
                self.graph.operators.remove(operator)
                old = self.graph.tensors[operator.inputs[0]]
                self.model.buffers[old.buffer].data = None
                old.shape = np.array([0], "int32")
