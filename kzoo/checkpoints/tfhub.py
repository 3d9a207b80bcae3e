"""SavedModels of TF Hub: BERT and ALBERT, read by the names of their variables without being run.

Those of TensorFlow 2 hold Model Garden's encoders, those of TensorFlow 1 (hub.Module) Google's
first ones. What neither names nor shapes tell is read off the graph: how often ALBERT's block runs,
by which GELU, and in TensorFlow 1 how wide a head is, which scores are divided by the root of.
"""

import re
from collections import Counter

from ..errors import KzooError
from . import garden, google, tf_checkpoint

FILE = "saved_model.pb"
CASE = re.compile(r"^do_lower_case(/|$)")
# Operations that part texts: such a SavedModel makes ids and holds no network.
TEXT_OPS = {
    "CaseFoldUTF8",
    "FastBertNormalize",
    "NormalizeUTF8",
    "SentencepieceTokenizeOp",
    "SentencepieceOp",
    "WordpieceTokenizeWithOffsets",
    "FastWordpieceTokenizeWithOffsets",
}


def sign(folder):
    """Why a path is of this format, or None."""
    return FILE if (folder / FILE).is_file() else None


def read(folder, task=None, tokenizer=None):
    """The model of a SavedModel of TF Hub.

    An encoder comes back as a backbone, one with the head for masked words as a `MaskedLM`. The
    vocabulary is the one in `assets`, lower-cased as the variable `do_lower_case` says.

    Args:
        folder: the folder with saved_model.pb.
        task: "backbone" for the backbone alone.
        tokenizer: one to take in place of the folder's; False for none.

    Raises:
        KzooError: for a SavedModel of something else, and for one that is damaged.
    """
    graphs = _graphs(folder)
    counts = [Counter(node.op for node in nodes) for nodes in _functions(graphs)]
    if any(TEXT_OPS & count.keys() for count in counts) and not any(c["Softmax"] for c in counts):
        raise KzooError(
            f"{folder} is a SavedModel that makes ids of texts, without a network: read the "
            "encoder's, whose vocabulary comes along."
        )
    deepest = max(counts, key=lambda count: count["Softmax"], default=Counter())
    stated = {"hidden_act": "gelu" if deepest["Erf"] + deepest["Erfc"] else "gelu_new"}
    prefix = _prefix(folder)
    if any(len(graph.object_graph_def.nodes) for graph in graphs):
        tensors, objects = tf_checkpoint.read_objects(prefix)
        _check_kind(folder, _made(objects) or list(tensors))
        case = [name for name in tensors if CASE.search(name)]
        lower = next((bool(tensors.pop(name).read()) for name in case), None)
        if any(re.search(r"transformer/self_attention/", n) for n in _made(objects)):
            stated["num_hidden_layers"] = deepest["Softmax"]
        return garden.model_of(folder, tensors, objects, stated, task, tokenizer, lower)
    tensors = tf_checkpoint.read_checkpoint(prefix)
    _check_kind(folder, list(tensors))
    config = _module_config(
        folder, graphs, tensors, stated | {"num_hidden_layers": deepest["Softmax"]}
    )
    return google.model_of(folder, tensors, config, task, tokenizer)


def _prefix(folder):
    """The prefix of a SavedModel's variables, some of whose files are there."""
    prefix = folder / "variables" / "variables"
    if not tf_checkpoint.prefixes(prefix):
        flat = folder / "variables" in tf_checkpoint.prefixes(folder)
        what = "move those beside it into a folder variables" if flat else "fetch all of it"
        raise KzooError(
            f"{folder} has {FILE} without its weights: variables/variables.index and "
            f"variables/variables.data-00000-of-00001 are expected beside; {what}."
        )
    return prefix


def _check_kind(folder, names):
    """Refuse a SavedModel of which no variable is called as a known network's."""
    marks = [garden.TRANSFORMERS, *(kind.mark for kind in (*garden.KINDS, *google.KINDS))]
    if not any(re.search(mark, name) for mark in marks for name in names):
        raise KzooError(
            f"{folder} is a SavedModel of something else than the BERT, ALBERT or ViT of TF Hub "
            f"and Model Garden: it has {', '.join(names[:4]) or 'no variables'}; a SavedModel of "
            "one of these is expected."
        )


def _graphs(folder):
    """The graphs of a SavedModel."""
    from google.protobuf.message import DecodeError
    from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

    path = folder / FILE
    try:
        graphs = SavedModel.FromString(path.read_bytes()).meta_graphs
    except DecodeError:
        graphs = []
    if not graphs:
        raise KzooError(f"{path} is not a sound SavedModel: fetch it again.")
    return graphs


def _functions(graphs):
    """The nodes of each graph and of each function in it."""
    for graph in graphs:
        yield graph.graph_def.node
        for function in graph.graph_def.library.function:
            yield function.node_def


def _made(objects):
    """The names that variables were made with."""
    return [a.full_name for node in objects.nodes for a in node.attributes]


def _module_config(folder, graphs, tensors, stated):
    """The config of a graph of TensorFlow 1; None where it is no text encoder's."""
    found = {}
    for name, lazy in tensors.items():
        for key, (pattern, axis) in SIZES.items():
            if re.search(pattern, name):
                found[key] = google.shape_of(folder, name, lazy, 2)[axis]
    scale = next(
        (
            node.attr["value"].tensor.float_val[0]
            for nodes in _functions(graphs)
            for node in nodes
            if re.search(r"/attention(_1)?/self/[Mm]ul/y$", node.name)
            and node.op == "Const"
            and node.attr["value"].tensor.float_val
        ),
        None,
    )
    if scale is None or len(found) < len(SIZES):
        return None
    heads = round(found["hidden_size"] * scale**2)
    config = {**found, **stated, "num_attention_heads": heads, "layer_norm_eps": 1e-12}
    if not any("/inner_group_" in name for name in tensors):
        del config["embedding_size"]
    return config


# Where the sizes of a text encoder stand in its shapes.
SIZES = {
    "vocab_size": (r"/word_embeddings$", 0),
    "embedding_size": (r"/word_embeddings$", 1),
    "max_position_embeddings": (r"/position_embeddings$", 0),
    "type_vocab_size": (r"/token_type_embeddings$", 0),
    "hidden_size": (r"/self/query/kernel$", 0),
    "intermediate_size": (r"/intermediate/dense/kernel$", 1),
}
