"""What the recordings of TensorFlow's checkpoints have in common."""

import base64
import json
import sys
import zlib
from pathlib import Path

import numpy as np

TESTS = Path(__file__).resolve().parents[2] / "tests"
sys.path.insert(0, str(TESTS))
from on_disk import noise  # noqa: E402, F401

GRAPH = "_CHECKPOINTABLE_OBJECT_GRAPH"
GOLDEN = TESTS / "golden" / "on_disk"
VALUE = "/.ATTRIBUTES/VARIABLE_VALUE"
IDS = [[2, 7, 9, 11, 3, 20, 3, 0], [2, 30, 5, 36, 3, 0, 0, 0]]
TEXTS = {
    "token_ids": np.array(IDS, "int32"),
    "padding_mask": np.array(IDS, "int32").clip(0, 1),
    "segment_ids": np.array([[0, 0, 0, 0, 0, 1, 1, 0], [0] * 8], "int32"),
}
PIECES = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"abcdefghijklmnopqrstuvwxyz", *"012345"]


def rounded(array):
    """A list of seven digits a number."""
    array = np.asarray(array, "float32")
    return np.array([float(f"{x:.7g}") for x in array.ravel()]).reshape(array.shape).tolist()


def packed(content):
    """Bytes as a text that JSON holds."""
    return base64.b85encode(zlib.compress(content, 9)).decode()


def contents(prefix):
    """The variables of a checkpoint, and its graph of objects where it has one."""
    import tensorflow as tf

    reader = tf.train.load_checkpoint(str(prefix))
    shapes, dtypes = reader.get_variable_to_shape_map(), reader.get_variable_to_dtype_map()
    tensors = {n: (dtypes[n].name, shapes[n]) for n in shapes if n != GRAPH}
    return tensors, packed(reader.get_tensor(GRAPH)) if GRAPH in shapes else None


def cut(folder):
    """The graph of a SavedModel without all that isn't read: operations by kind alone."""
    from tensorflow.core.framework.node_def_pb2 import NodeDef
    from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

    small = SavedModel()
    for meta in SavedModel.FromString((folder / "saved_model.pb").read_bytes()).meta_graphs:
        made = small.meta_graphs.add()
        for node in meta.graph_def.node:
            is_scale = node.name.lower().endswith("/self/mul/y")
            made.graph_def.node.append(node if is_scale else NodeDef(op=node.op))
        # Functions that call others hold what those do: the ones with most are enough.
        functions = sorted(
            meta.graph_def.library.function,
            key=lambda f: (sum(n.op == "Softmax" for n in f.node_def), len(f.node_def)),
            reverse=True,
        )
        for function in functions[:2]:
            one = made.graph_def.library.function.add()
            one.node_def.extend(NodeDef(op=n.op) for n in function.node_def)
        if meta.object_graph_def.nodes:
            made.object_graph_def.nodes.add()
    return packed(small.SerializeToString())


def case(work, name, tensors, inputs, outputs, **more):
    """One case of the golden file; inputs and outputs beside the genuine folder as well."""
    np.savez(work / f"{name}.inputs.npz", **inputs)
    np.savez(work / f"{name}.outputs.npz", **outputs)
    return {
        "case": name,
        **more,
        "tensors": {n: [dtype, list(shape)] for n, (dtype, shape) in sorted(tensors.items())},
        "inputs": {
            n: x.tolist() if x.dtype.kind == "i" else list(x.shape) for n, x in inputs.items()
        },
        "outputs": {n: rounded(x) for n, x in outputs.items()},
    }


def write(name, cases):
    """Write the golden file of a format."""
    text = ",\n".join(json.dumps(each, separators=(",", ":")) for each in cases)
    GOLDEN.mkdir(parents=True, exist_ok=True)
    (GOLDEN / f"{name}.json").write_text(f"[\n{text}\n]\n")
    print(name, len(cases), "cases,", len(text), "bytes")
