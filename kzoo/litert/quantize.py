"""Smaller weights: what the converter quantizes itself, and those of 4 bits that it can't."""

import math

from ..errors import KzooError
from ..nn.rounding import FOUR_BITS, packed, steps_of
from . import static
from .audit import INT4_TFLITE
from .flatbuffer import (
    operator_code,
    operator_names,
    read_model,
    schema,
    state_runtime,
    write_model,
)

QUANTIZATIONS = ("float32", "float16", "int8", "int8_int4_table", "int8_static", "int4")
TOKEN_TABLE = "token_embedding/embeddings"
BLOCK = 32  # numbers of an int4 table that share a scale
LEAST = 1024  # numbers from which the converter quantizes a weight
INT4 = ("int8_int4_table", "int4")  # those whose token table is int4


def convert(converter, quantization, weights, used, tables=()):
    """The bytes of a `TFLiteConverter`'s file with quantized weights; `tables` stay float32.

    Dynamic int8 is the converter's own: measured on all-MiniLM-L6 it keeps a little more
    (cosine .99866) than ai-edge-quantizer's (.99859), which also stamps operators with versions
    that promise too old a runtime.
    """
    import tensorflow as tf

    if quantization == "int8_static":  # From floats: with its own way the converter takes all.
        return static.rewritten(bytes(converter.convert()), tables)
    if quantization != "float32":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if quantization == "float16":
        converter.target_spec.supported_types = [tf.float16]
    content = bytes(converter.convert())
    if tables and quantization in ("int8", "float16"):
        content = _as_floats(content, tables)
    if quantization == "float16":
        return _inputs_first(content)
    if quantization in INT4:
        for path in [path for path in used if path.endswith(TOKEN_TABLE)]:
            content = _int4_table(content, weights[path])
    return _int4_products(content) if quantization == "int4" else content


def expected_bytes(path, shape, quantization):
    """How many bytes a weight takes in a file, its scales included."""
    count = math.prod(shape)
    if quantization == "float32" or (len(shape) < 2 and quantization != "float16"):
        return 4 * count
    if quantization == "float16":
        return 2 * count
    if quantization in INT4 and path.endswith(TOKEN_TABLE):
        return count / 2 + 2 * count / BLOCK
    if quantization == "int4" and path.endswith("/kernel") and len(shape) == 2 and count >= LEAST:
        return count / 2 + 12 * shape[-1]
    # A scale and a zero point (8 bytes) for each row of a table or column of a kernel.
    channels = shape[0] if path.endswith("/embeddings") else shape[-1]
    small = count < LEAST and quantization != "int8_static"
    return 4 * count if small else count + 12 * channels


def _inputs_first(content):
    """The same file with the operators that read its inputs in front.

    Half-precision weights pass through DEQUANTIZE operators, which the converter puts first.
    XNNPACK would take those as a partition of their own; behind an operator that it leaves to the
    interpreter they join the rest.
    """
    model = read_model(content)
    names = operator_names()
    for graph in model.subgraphs:
        known = {-1, *graph.inputs.tolist()}
        known |= {i for i, t in enumerate(graph.tensors) if _is_constant(model, t)}
        first = [
            operator
            for operator in graph.operators
            if known.issuperset(operator.inputs.tolist())
            and names[operator_code(model.operatorCodes[operator.opcodeIndex])] != "DEQUANTIZE"
        ]
        # CAST first: XNNPACK takes some of the others in some versions, this one never.
        first.sort(key=lambda o: names[operator_code(model.operatorCodes[o.opcodeIndex])] != "CAST")
        chosen = {id(operator) for operator in first}
        graph.operators = first + [o for o in graph.operators if id(o) not in chosen]
    return write_model(model)


def _is_constant(model, tensor):
    data = model.buffers[tensor.buffer].data
    return data is not None and len(data) > 0


def _as_floats(content, tables):
    """The same file with some constants in float32, which are known by their values.

    The converter quantizes every large constant, such as those of a Fourier transform. What an
    operator adds to the product with one, as a half, becomes float32 with it: XNNPACK takes no mix.
    """
    import numpy as np

    model = read_model(content)
    # Outputs come first in a file, of products and convolutions alike.
    tables = [np.ascontiguousarray(np.moveaxis(np.asarray(t, "float32"), -1, 0)) for t in tables]
    for graph in model.subgraphs:
        for values in tables:
            for index in [i for i, t in enumerate(graph.tensors) if _holds(model, t, values)]:
                widened = _widened(model, graph, index, values)
                sources = {s for o in graph.operators if widened in o.inputs for s in o.inputs}
                for half in [o.inputs[0] for o in _halves(model, graph) if o.outputs[0] in sources]:
                    tensor = graph.tensors[half]
                    data = np.asarray(model.buffers[tensor.buffer].data).view("float16")
                    _widened(model, graph, half, data.astype("float32").reshape(tensor.shape))
    return write_model(model)


def _halves(model, graph):
    """The operators that make float32 of a constant of halves."""
    names = operator_names()
    return [
        operator
        for operator in graph.operators
        if names[operator_code(model.operatorCodes[operator.opcodeIndex])] == "DEQUANTIZE"
        and _is_constant(model, graph.tensors[operator.inputs[0]])
    ]


def _widened(model, graph, index, values):
    """The index of a constant tensor once it is float32; of one of halves that which reads it."""
    import numpy as np

    kinds = schema()
    reader = next((o for o in _halves(model, graph) if o.inputs[0] == index), None)
    old = graph.tensors[index]
    model.buffers[old.buffer].data = None
    if reader is not None:
        old.shape = np.array([0], "int32")
        graph.operators = [operator for operator in graph.operators if operator is not reader]
        index = reader.outputs[0]
    model.buffers.append(buffer := kinds.BufferT())
    buffer.data = values.view("uint8").ravel()
    tensor = graph.tensors[index]
    tensor.buffer = len(model.buffers) - 1
    tensor.type, tensor.quantization = kinds.TensorType.FLOAT32, None
    return index


def _holds(model, tensor, values):
    """Whether a constant as int8 or float16 is these values (outputs, ...), up to rounding.

    Its axes behind the first may be others: convolutions become products.
    """
    import numpy as np

    kinds, shape = schema().TensorType, tensor.shape.tolist()
    same = shape and shape[0] == len(values) and math.prod(shape) == values.size
    if not same or not _is_constant(model, tensor):
        return False
    data, values = np.asarray(model.buffers[tensor.buffer].data), values.reshape(len(values), -1)
    if tensor.type == kinds.FLOAT16:
        return np.array_equal(data.view("float16").reshape(values.shape), values.astype("float16"))
    if tensor.type != kinds.INT8:
        return False
    scale = np.asarray(tensor.quantization.scale, "float32").reshape(-1, 1)
    distance = np.abs(data.view("int8").reshape(values.shape) * scale - values)
    return bool((distance <= 0.51 * scale).all())


def _int4_table(content, table):
    """The same file with its largest looked-up table as int4, from the float weights."""
    import numpy as np

    model, kinds = read_model(content), schema()
    names = operator_names()
    graph = model.subgraphs[0]
    values = np.asarray(table, "float32")
    lookup = next(
        operator
        for operator in graph.operators
        if names[operator_code(model.operatorCodes[operator.opcodeIndex])] == "EMBEDDING_LOOKUP"
        and graph.tensors[operator.inputs[1]].shape.tolist() == list(values.shape)
    )
    old = graph.tensors[lookup.inputs[1]]
    whole, scales = to_int4(values)

    def constant(name, kind, shape, data):
        buffer = kinds.BufferT()
        buffer.data = data
        model.buffers.append(buffer)
        tensor = kinds.TensorT()
        tensor.name, tensor.type, tensor.shape = name, kind, np.array(shape, "int32")
        tensor.buffer = len(model.buffers) - 1
        tensor.hasRank = True
        graph.tensors.append(tensor)
        return len(graph.tensors) - 1, tensor

    scale_index, _ = constant(
        old.name + b"/scale", kinds.TensorType.FLOAT16, scales.shape, scales.view("uint8").ravel()
    )
    index, tensor = constant(
        old.name + b"/int4", kinds.TensorType.INT4, values.shape, packed(whole)
    )
    tensor.quantization = kinds.QuantizationParametersT()
    tensor.quantization.detailsType = kinds.QuantizationDetails.BlockwiseQuantization
    tensor.quantization.details = details = kinds.BlockwiseQuantizationT()
    details.scales, details.zeroPoints, details.blockSize = scale_index, -1, BLOCK
    lookup.inputs = np.array([lookup.inputs[0], index], "int32")
    read = {id(graph.tensors[i]) for operator in graph.operators for i in operator.inputs if i >= 0}
    if id(old) in read:
        raise KzooError(
            "This model also scores against its token table, so an int4 copy would only make the "
            "file larger: choose int8."
        )
    model.buffers[old.buffer].data = None
    old.shape, old.quantization, old.type = np.array([0], "int32"), None, kinds.TensorType.INT8
    return write_model(model)


def _int4_products(content):
    """The same file with the int8 weights of its products as int4, a scale for each output.

    What is looked up as well stays int8, and so do weights of an odd number of inputs, of which two
    share no byte.
    """
    import numpy as np

    model, kinds, names = read_model(content), schema(), operator_names()
    looked_up, weights = set(), {}
    for graph in model.subgraphs:
        for operator in graph.operators:
            name = names[operator_code(model.operatorCodes[operator.opcodeIndex])]
            if name not in ("EMBEDDING_LOOKUP", "FULLY_CONNECTED"):
                continue
            tensor = graph.tensors[operator.inputs[1]]
            if name == "EMBEDDING_LOOKUP":
                looked_up.add(tensor.buffer)
            elif tensor.type == kinds.TensorType.INT8 and _is_constant(model, tensor):
                weights.setdefault(tensor.buffer, {})[id(tensor)] = tensor
    for buffer, tensors in weights.items():
        tensors = list(tensors.values())
        shape, scales = tensors[0].shape, np.asarray(tensors[0].quantization.scale, "float32")
        if buffer in looked_up or shape[-1] % 2:
            continue
        whole = np.asarray(model.buffers[buffer].data).view("int8").reshape(shape)
        rows = whole * scales[:, None]
        steps = steps_of(rows)
        steps = np.where(steps > 0, steps, np.float32(1))  # XNNPACK takes no 0.
        near = np.round(rows / steps[:, None])
        model.buffers[buffer].data = packed(np.clip(near, -FOUR_BITS, FOUR_BITS).astype("int8"))
        for tensor in tensors:
            tensor.type, tensor.quantization = kinds.TensorType.INT4, static.scaled(steps)
    state_runtime(model, INT4_TFLITE)
    return write_model(model)


def to_int4(values):
    """A table as int4 in int8 arrays (rows, dim) and float16 scales (rows, dim / 32).

    Each block takes the scale, of 21 from 0.6 to 1.1 of what would just fit its largest number,
    that leaves the smallest squared error: clipping one number a little lets the others lie
    closer. On MiniLM this turns a cosine of .9969 into .9976.
    """
    import numpy as np

    if values.shape[1] % BLOCK:
        raise KzooError(
            f"The token table is {values.shape[1]} wide; an int4 table needs a multiple of "
            f"{BLOCK}: choose int8."
        )
    blocks = values.reshape(len(values), -1, BLOCK)
    largest = np.abs(blocks).max(-1)
    whole = np.zeros(blocks.shape, "int8")
    scales = np.zeros(largest.shape, "float16")
    least = np.full(largest.shape, np.inf, "float32")
    for share in np.linspace(0.6, 1.1, 21):
        scale = np.maximum(largest * share / 7, 1e-7).astype("float16")
        step = scale.astype("float32")[..., None]
        rounded = np.clip(np.round(blocks / step), -8, 7)
        error = ((rounded * step - blocks) ** 2).sum(-1)
        better = error < least
        whole[better], scales[better], least[better] = rounded[better], scale[better], error[better]
    return whole.reshape(values.shape), scales
