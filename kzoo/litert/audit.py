"""What a .tflite file is, read from the file itself: operators, weights, partitions, runtime."""

import collections
import math
from pathlib import Path

from ..errors import KzooError
from . import gpu
from .flatbuffer import RUNTIME, operator_code, operator_names, read_model, type_names, write_model

VARIABLES = {"VAR_HANDLE", "READ_VARIABLE", "ASSIGN_VARIABLE", "CALL_ONCE"}
BITS = {"float32": 32, "float16": 16, "int8": 8, "uint8": 8, "int4": 4, "int2": 2}
# Types that the weights of a quantization have beside float32: what must be there, what may.
KINDS = {
    "float32": (set(), set()),
    "float16": ({"float16"}, {"float16"}),
    "int8": ({"int8"}, {"int8"}),
    "int8_int4_table": ({"int4"}, {"int4", "int8", "float16"}),
    "int8_static": ({"int8"}, {"int8"}),
    "int4": ({"int4"}, {"int4", "int8", "float16"}),
}
# Where a weight's form asks for a newer operator than the first: (operator, version) and the
# first runtime that has it. Blockwise int4 tables carry version 4 too, but what is older than
# 1.4.0 reads them wrong without a word, so the bundle says more than the file can.
FULLY_CONNECTED_BY_CHANNEL = (12, "2.17.0")
LOOKUP_BY_ROW = (4, "2.18.0")
FIRST_LITERT = "1.0.1"
INT4_LITERT = "1.4.0"  # of products the oldest that was tried
INT4_TFLITE = "2.20.0"
LENGTH = 8  # tokens on which a function is run


def audit(path):
    """Read a .tflite file and run it once.

    Returns a dict of JSON types: `bytes`; `operators` (name to count) and `custom` (names of
    custom and Flex operators); `signatures`; `parameters` and `weight_bytes` (by type) of the
    constants; `tables` (shapes of the constants in which rows are looked up); `partitions`
    (groups of operators that XNNPACK runs as one, of the function with the most) and `outside`
    (operators that it leaves to the interpreter); `minimum_runtime` (`tflite` and `litert`
    versions), `understated` (operators whose version promises an older runtime than their
    weights need) and `gpu` (what GPU delegates leave to the processor, see `gpu.refused`).

    Raises:
        KzooError: if the file is no whole .tflite file or does not run.
    """
    path = Path(path)
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise KzooError(f"{path} is missing: a .tflite file was expected there.") from None
    model = read_model(content, path)
    names, types = operator_names(), type_names()
    operators, custom, tables = collections.Counter(), set(), set()
    constants = {}
    for graph in model.subgraphs:
        for operator in graph.operators:
            entry = model.operatorCodes[operator.opcodeIndex]
            name = names[operator_code(entry)]
            operators[name] += 1
            if name == "EMBEDDING_LOOKUP":
                tables.add(tuple(_shape(graph.tensors[operator.inputs[1]])))
            if entry.customCode:
                custom.add(entry.customCode.decode("utf-8", "replace"))
        for tensor in graph.tensors:
            data = model.buffers[tensor.buffer].data
            if data is not None and len(data) and types[tensor.type] in BITS:
                constants[tensor.buffer] = (types[tensor.type], tensor)
    weight_bytes, parameters = collections.Counter(), 0
    for kind, tensor in constants.values():
        count = math.prod(tensor.shape.tolist() if tensor.shape is not None else [])
        parameters += count
        weight_bytes[kind] += math.ceil(count * BITS[kind] / 8)
    minimum, understated = _runtime(model, names, types)
    partitions, outside = _partitions(path, model)
    return {
        "bytes": len(content),
        "operators": dict(sorted(operators.items())),
        "custom": sorted(custom),
        "signatures": _signatures(model, types),
        "parameters": parameters,
        "weight_bytes": dict(sorted(weight_bytes.items())),
        "tables": sorted(map(list, tables)),
        "partitions": partitions,
        "outside": outside,
        "minimum_runtime": minimum,
        "understated": understated,
        "gpu": gpu.refused(model),
    }


def check_quantization(audited, quantization):
    """Raise KzooError unless the constants of a file have the types of its quantization."""
    kinds = set(audited["weight_bytes"]) - {"float32"}
    needed, allowed = KINDS[quantization]
    if not needed <= kinds <= allowed:
        expected = " and ".join(sorted(needed)) or "float32 alone"
        raise KzooError(
            f"The file's weights are {' and '.join(sorted(audited['weight_bytes'])) or 'none'}; "
            f"for {quantization}, {expected} is expected."
        )


def check_audit(audited, partitions=1):
    """Raise KzooError, one sentence, on what no export of kzoo may have.

    `partitions` None: layers of the user's own are in it, whose shapes and partitions are theirs.
    """
    operators = audited["operators"]
    if audited["custom"]:
        raise KzooError(
            f"The file holds custom operators ({', '.join(audited['custom'])}), which a phone's "
            "runtime doesn't have: only built-in operators are expected."
        )
    variables = sorted(VARIABLES & set(operators))
    if variables:
        raise KzooError(
            f"The file reads variables ({', '.join(variables)}) in place of constants: weights "
            "are expected to be frozen into it."
        )
    dynamic = any(
        -1 in tensor["shape"]
        for signature in audited["signatures"].values()
        for tensor in signature["inputs"].values()
    )
    shapes, packs = operators.get("SHAPE", 0), operators.get("PACK", 0)
    if partitions is not None and (shapes > dynamic or packs):
        raise KzooError(
            f"The file does arithmetic on shapes ({shapes} SHAPE, {packs} PACK): at most "
            f"{int(dynamic)} SHAPE and no PACK are expected."
        )
    if audited["understated"]:
        raise KzooError(
            f"{', '.join(audited['understated'])} in the file promise an older runtime than their "
            "weights need, which would compute nonsense in silence: a true version is expected."
        )
    if partitions is not None and audited["partitions"] != partitions:
        raise KzooError(
            f"XNNPACK splits the graph into {audited['partitions']} partitions; {partitions} was "
            "expected."
        )


def _signatures(model, types):
    result = {}
    for signature in model.signatureDefs or []:
        graph = model.subgraphs[signature.subgraphIndex]

        def described(maps, graph=graph):
            return {
                entry.name.decode("utf-8"): {
                    "shape": _shape(graph.tensors[entry.tensorIndex]),
                    "type": types[graph.tensors[entry.tensorIndex].type],
                }
                for entry in sorted(maps, key=lambda entry: entry.name)
            }

        result[signature.signatureKey.decode("utf-8")] = {
            "inputs": described(signature.inputs),
            "outputs": described(signature.outputs),
        }
    return result


def _shape(tensor):
    shape = tensor.shape if tensor.shapeSignature is None else tensor.shapeSignature
    return [] if shape is None else [int(size) for size in shape]


def _runtime(model, names, types):
    """The oldest runtime that computes the file right, and operators that promise an older one."""
    minimum, litert = "2.3.0", FIRST_LITERT
    for entry in model.metadata or []:
        if entry.name == RUNTIME:
            stated = bytes(model.buffers[entry.buffer].data).rstrip(b"\0").decode("ascii")
            minimum = _later(minimum, stated) if stated else minimum
    understated = set()
    for graph in model.subgraphs:
        for operator in graph.operators:
            entry = model.operatorCodes[operator.opcodeIndex]
            name = names[operator_code(entry)]
            if name not in ("FULLY_CONNECTED", "EMBEDDING_LOOKUP"):
                continue
            weight = graph.tensors[operator.inputs[1]]
            quantization = weight.quantization
            scales = quantization is not None and quantization.scale is not None
            by_channel = scales and len(quantization.scale) > 1
            blockwise = quantization is not None and quantization.details is not None
            needed, runtime = 1, "1.13.0"
            if name == "EMBEDDING_LOOKUP" and (by_channel or blockwise):
                needed, runtime = LOOKUP_BY_ROW
            elif by_channel and types[weight.type] == "int8":
                needed, runtime = FULLY_CONNECTED_BY_CHANNEL
            if blockwise or types[weight.type] == "int4":
                litert, runtime = INT4_LITERT, INT4_TFLITE
            if entry.version < needed:
                understated.add(f"{name} version {entry.version}")
            minimum = _later(minimum, runtime)
    return {"tflite": minimum, "litert": litert}, sorted(understated)


def _later(one, other):
    return max(one, other, key=lambda text: [int(part) for part in text.split(".")])


def _partitions(path, model):
    """How many groups XNNPACK makes of a function, and what is left outside, by running it.

    Of several functions the one with the most groups, and the most of each operator.
    """
    from .function import Function
    from .interpreter import opened

    most, outside = 0, collections.Counter()
    for entry in model.signatureDefs:
        source = path if entry.subgraphIndex == 0 else _with_graph_first(model, entry)
        backend = opened(source)
        function = Function(backend, entry.signatureKey.decode("utf-8"))
        function.fit(LENGTH)
        function.run()
        groups, left = _delegated(backend)
        most, outside = max(most, groups), outside | left
    return most, dict(sorted(outside.items()))


def _with_graph_first(model, signature):
    """The bytes of a file that begins with a signature's graph, of which LiteRT tells most."""
    order = list(range(len(model.subgraphs)))
    order[0], order[signature.subgraphIndex] = order[signature.subgraphIndex], 0
    graphs, entries = model.subgraphs, model.signatureDefs
    before = [entry.subgraphIndex for entry in entries]
    model.subgraphs = [graphs[i] for i in order]
    for entry in entries:
        entry.subgraphIndex = order.index(entry.subgraphIndex)
    content = write_model(model)
    model.subgraphs = graphs
    for entry, index in zip(entries, before, strict=True):
        entry.subgraphIndex = index
    return content


def _delegated(backend):
    """How many groups XNNPACK made of a file's first graph, and what it left."""
    from .hooks import operators_after_delegation

    operators = operators_after_delegation(backend)
    groups = [entry for entry in operators if entry["op_name"] == "DELEGATE"]
    # An operator that still runs feeds a group, an output or another operator that still runs.
    makers = {
        int(tensor): entry
        for entry in operators
        if entry["op_name"] != "DELEGATE"
        for tensor in entry["outputs"]
    }
    made = {int(tensor) for group in groups for tensor in group["outputs"]}
    wanted = [int(tensor) for group in groups for tensor in group["inputs"]]
    wanted += [entry["index"] for entry in backend.get_output_details()]
    outside, seen = collections.Counter(), set()
    while wanted:
        tensor = wanted.pop()
        maker = makers.get(tensor)
        if tensor in made or maker is None or maker["index"] in seen:
            continue
        seen.add(maker["index"])
        outside[maker["op_name"]] += 1
        wanted += [int(source) for source in maker["inputs"] if source >= 0]
    return len(groups), outside
