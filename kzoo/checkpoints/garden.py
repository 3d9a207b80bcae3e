"""Checkpoints of TensorFlow's Model Garden: BERT, ALBERT and ViT of tf.train.Checkpoint.

A variable is found by the name that it was made with, which says the layer whatever objects lead to
it; only a head that shares its name with another is told by the attribute that holds it. The names
become those of TensorFlow 1, which `google` reads. Kernels of attention have an axis for the heads,
so sizes come from shapes; what shapes don't tell stands in `params.yaml` or a JSON config beside.
"""

import dataclasses
import math
import re
from collections.abc import Callable

from ..errors import KzooError
from ..files import read_json, read_text
from . import google, tf_checkpoint
from .huggingface import assembled, read_config
from .safetensors import Lazy
from .tf_names import from_variables

# The way to what training leaves, which no network computes with; an optimizer may be called
# anything, but counts its steps.
TRAINING = re.compile(r"_?optimizer|(\w+_)?metrics|\w+_loss")
STEPS = {"_iterations", "iterations", "iter"}
# Names of transformers' TensorFlow classes: TFBertModel is tf_bert_model, layers are layer_._0.
TRANSFORMERS = re.compile(r"^tf\w*_\w+/|_\._\d+/")
# The layers of a block; each kind says what they are called in the names of TensorFlow 1.
PARTS = (
    r"self_attention/(?=query/|key/|value/)",
    r"(?:self_attention/attention_output|self_attention_output)/",
    r"self_attention_layer_norm/",
    r"intermediate/",
    r"output/",
    r"output_layer_norm/",
)
HEADS = (
    (r"cls/predictions/output_bias/bias$", "cls/predictions/output_bias"),
    (r"cls/predictions/transform/", "cls/predictions/transform/"),
    (r"next_sentence/logits/", "cls/seq_relationship/"),
    (r"sentence_prediction/pooler_dense/", "bert/pooler/dense/"),
    (r"sentence_prediction/logits/", "classifier/"),
)
EMBEDDINGS = (
    (r"word_embeddings/embeddings$", "bert/embeddings/word_embeddings"),
    (r"position_embedding/embeddings$", "bert/embeddings/position_embeddings"),
    (r"type_embeddings/embeddings$", "bert/embeddings/token_type_embeddings"),
    (r"embeddings/layer_norm/", "bert/embeddings/LayerNorm/"),
    (r"embedding_projection/", "bert/encoder/embedding_hidden_mapping_in/"),
    (r"pooler_transform/", "bert/pooler/dense/"),
)
# A head whose variables are called as another's, by its attribute: its name in TensorFlow 1, and
# the class there.
SHARED = r"predictions/transform/logits/"
ATTRIBUTES = {
    "span_labeling": ("qa_outputs/", "ForQuestionAnswering"),
    "classification": ("cls/seq_relationship/", None),
    "classifier": ("classifier/", "ForTokenClassification"),
}
# Of two variables for one place, the one that a head computes with.
UNUSED = {r"sentence_prediction/pooler_dense/": r"pooler_transform/"}
# Blocks whose names count all that were ever made: the lowest is the first.
COUNTED = re.compile(r"(transformer_encoder_block)(?:_(\d+))?/")
NEXT_SENTENCE = re.compile(r"(^|/)next_sentence/pooler_dense/")

# How sizes are called in config files: of transformers and of params.yaml.
SPELLINGS = {
    "num_layers": "num_hidden_layers",
    "hidden_activation": "hidden_act",
    "embedding_width": "embedding_size",
}
# What an activation is there, in Hugging Face's words.
ACTIVATIONS = {"gelu": "gelu_new"}


@dataclasses.dataclass(frozen=True)
class Kind:
    """A network of the Model Garden.

    Args:
        mark: a pattern that one of its names has.
        block: a pattern of what its blocks' names begin with, and what that is in TensorFlow 1.
        parts: what `PARTS` are called there.
        words: pairs for all other names.
        config: a function of the folder, the variables and what files state.
    """

    mark: str
    block: tuple
    parts: tuple
    words: tuple
    config: Callable


def _text_config(folder, tensors, stated):
    """A config of BERT or ALBERT."""
    width = _shape(folder, tensors, r"^bert/embeddings/word_embeddings$")
    query = _shape(folder, tensors, r"/query/kernel$", 3)
    up = _shape(folder, tensors, r"/intermediate/dense/kernel$")
    blocks = {match[1] for n in tensors if (match := re.search(r"encoder/layer_(\d+)/", n))}
    config = {
        "vocab_size": width[0],
        "hidden_size": query[0],
        "num_hidden_layers": len(blocks) or stated.get("num_hidden_layers"),
        "num_attention_heads": query[1],
        "intermediate_size": up[1],
        "max_position_embeddings": _shape(folder, tensors, r"/position_embeddings$")[0],
        "type_vocab_size": _shape(folder, tensors, r"/token_type_embeddings$")[0],
        "hidden_act": "gelu_new",
        "layer_norm_eps": 1e-12,
    }
    if not blocks:
        config["embedding_size"] = width[1]
    if config["num_hidden_layers"] is None:
        raise KzooError(
            f"{folder} doesn't say how often ALBERT's block runs, which no shape tells: put "
            "params.yaml, or an albert_config.json with num_hidden_layers, beside the checkpoint."
        )
    return config


def _vit_config(folder, tensors, stated):
    """A config of ViT, for square pictures."""
    patch = _shape(folder, tensors, r"/projection/kernel$", 4)
    query = _shape(folder, tensors, r"/query/kernel$", 3)
    places = _shape(folder, tensors, r"/position_embeddings/value$", 3)[1] - 1
    side = math.isqrt(places)
    if side * side != places or not any(n.endswith("/cls_token/value") for n in tensors):
        raise KzooError(
            f"{folder} has {places + 1} places; a ViT with one class token (pooler token) for "
            "square pictures is expected."
        )
    return {
        "hidden_size": query[0],
        "num_hidden_layers": len({m[1] for n in tensors if (m := re.search(r"layer_(\d+)/", n))}),
        "num_attention_heads": query[1],
        "intermediate_size": _shape(folder, tensors, r"/intermediate/dense/kernel$")[1],
        "image_size": side * patch[0],
        "patch_size": patch[0],
        "num_channels": patch[2],
        "hidden_act": "gelu_new",
        "layer_norm_eps": 1e-6,
    }


BERT_PARTS = (
    "attention/self/",
    "attention/output/dense/",
    "attention/output/LayerNorm/",
    "intermediate/dense/",
    "output/dense/",
    "output/LayerNorm/",
)
ALBERT_PARTS = (
    "attention_1/self/",
    "attention_1/output/dense/",
    "LayerNorm/",
    "ffn_1/intermediate/dense/",
    "ffn_1/intermediate/output/dense/",
    "LayerNorm_1/",
)
VIT_PARTS = (
    "attention/attention/",
    "attention/output/dense/",
    "layernorm_before/",
    "intermediate/dense/",
    "output/dense/",
    "layernorm_after/",
)
KINDS = (
    Kind(
        r"transformer/layer_\d+/self_attention/",
        (r"transformer/layer_(\d+)/", r"bert/encoder/layer_\1/"),
        BERT_PARTS,
        EMBEDDINGS + HEADS,
        _text_config,
    ),
    Kind(
        r"(^|/)transformer/self_attention/",
        (r"transformer/", "bert/encoder/transformer/group_0/inner_group_0/"),
        ALBERT_PARTS,
        EMBEDDINGS + HEADS,
        _text_config,
    ),
    Kind(
        r"posembed_input/pos_embedding$",
        (r"encoder(?:_\d+)?/transformer_encoder_block_(\d+)/", r"vit/encoder/layer_\1/"),
        VIT_PARTS,
        (
            (r"posembed_input/pos_embedding$", "vit/embeddings/position_embeddings/value"),
            (r"cls/cls$", "vit/embeddings/cls_token/value"),
            (r"conv2d(?:_\d+)?/", "vit/embeddings/patch_embeddings/projection/"),
            (r"encoder(?:_\d+)?/layer_normalization(?:_\d+)?/", "vit/layernorm/"),
            (r"dense(?:_\d+)?/(?=kernel$|bias$)", "classifier/"),
        ),
        _vit_config,
    ),
)


def sign(folder):
    """Why a path is of this format, or None."""
    graphs = [p for p in tf_checkpoint.prefixes(folder) if tf_checkpoint.has_graph(p)]
    return f"{graphs[0].name}.index has a graph of objects" if graphs else None


def read(folder, task=None, tokenizer=None):
    """The model of a checkpoint of the Model Garden.

    An encoder alone, or with the head of BertClassifier, BertTokenClassifier, BertSpanLabeler or
    BertPretrainer(V2); AlbertEncoder; a ViT alone or in a ClassificationModel. The activation is
    GELU by tanh, as there, unless a config beside says otherwise; `vocab.txt` comes along. What
    save_weights of transformers' TensorFlow classes writes is read with their config.json beside.

    Args:
        folder: the folder, or the prefix of a checkpoint in it.
        task: "backbone" for the backbone alone.
        tokenizer: one to take in place of the folder's; False for none.

    Raises:
        KzooError: naming the file or the variables that don't fit.
    """
    prefix = tf_checkpoint.find_prefix(folder)
    tensors, graph = tf_checkpoint.read_objects(prefix)
    stated = stated_there(prefix.parent)
    return model_of(prefix.parent, tensors, graph, stated, task, tokenizer)


def model_of(folder, tensors, graph, stated, task, tokenizer, lower=None):
    """The model of variables with the objects that they belong to.

    Args:
        folder: where they come from.
        tensors: `{key: Lazy}`.
        graph: a `TrackableObjectGraph`.
        stated: what is known of the config, by Hugging Face's names.
        task: see `read`.
        tokenizer: see `read`.
        lower: whether texts are lower-cased, where the format says so.
    """
    variables = _variables(tensors, graph)
    if writer := next((n for n, _ in variables.values() if TRANSFORMERS.search(n)), None):
        return _of_transformers(folder, variables, writer.partition("/")[0], task, tokenizer)
    named, suffix = _named(folder, variables, graph)
    kind = next((k for k in KINDS if any(re.search(k.mark, name) for name in named)), None)
    if kind is None:  # That sentence is there.
        return google.model_of(folder, named, None, task, tokenizer)
    renamed = {}
    for name, lazy in named.items():
        for pattern, words in ((kind.block[0], None), *kind.words):
            if match := re.search(rf"(?:^|/){pattern}", name):
                name = _block(kind, match, name) if words is None else words + name[match.end() :]
                break
        _put(renamed, name, lazy, folder)
    config = kind.config(folder, renamed, stated)
    for key, value in stated.items():
        if key == "hidden_act":
            config[key] = value
        elif key in config:
            google.check_size(f"A config in {folder}", key, value, config[key])
    flat = {name: _flat(name, lazy) for name, lazy in renamed.items()}
    return google.model_of(folder, flat, config, task, tokenizer, lower, suffix)


def _of_transformers(folder, variables, writer, task, tokenizer):
    """The model of variables of one of transformers' TensorFlow classes, a config.json beside."""
    if not (folder / "config.json").is_file():
        raise KzooError(
            f"{folder} was written by a TensorFlow class of transformers ({writer}) and has no "
            "config.json: put the model's there, or give the folder that save_pretrained writes "
            "(config.json and tf_model.h5)."
        )
    named = {}
    for name, lazy in variables.values():
        _put(named, name, lazy, folder)
    tensors = from_variables(named, folder)
    return assembled(folder, read_config(folder), tensors, task, tokenizer)


def stated_there(folder):
    """What config files in a folder say, by Hugging Face's names."""
    stated = {}
    for name in ("bert_config.json", "albert_config.json"):
        if (folder / name).is_file():
            stated |= read_json(folder / name, "a model's configuration")
    path = folder / "params.yaml"
    if path.is_file():
        values = {}
        text = read_text(path, "the parameters of a training")
        for line in re.finditer(r"^[ \t]*(\w+): *([\w.]+)[ \t]*$", text, re.MULTILINE):
            values.setdefault(line[1], set()).add(line[2])
        for key, (value, *more) in values.items():
            if not more:  # One that is said twice, otherwise, is of something else as well.
                stated[SPELLINGS.get(key, key)] = int(value) if value.isdecimal() else value
    if stated.get("norm_first") == "true":
        raise KzooError(
            f"{path} has norm_first: true, and no family here has BERT's names with its norms in "
            "front; expected an encoder without it."
        )
    known = ("hidden_act", "num_hidden_layers", "hidden_size", "num_attention_heads")
    known += ("intermediate_size", "vocab_size", "embedding_size", "max_position_embeddings")
    known += ("type_vocab_size",)
    found = {key: stated[key] for key in known if stated.get(key) not in (None, "null")}
    if "hidden_act" in found:
        found["hidden_act"] = ACTIVATIONS.get(found["hidden_act"], found["hidden_act"])
    return found


def _variables(tensors, graph):
    """Those of a network as pairs of the name that each was made with, by their keys.

    Passed over are variables that lie below an optimizer or a metric alone, numbers of steps and
    the like (no weight is a whole number), and single numbers beside the network.
    """
    names = {a.checkpoint_key: a.full_name for node in graph.nodes for a in node.attributes}
    network = _below(graph, 0, TRAINING)
    beside = {child.node_id for node in graph.nodes[:1] for child in node.children}
    left = _keys(graph, set(range(len(graph.nodes))) - network)
    left |= {key for key in _keys(graph, beside) & tensors.keys() if not tensors[key].shape}
    return {
        key: (names.get(key) or key.removesuffix("/.ATTRIBUTES/VARIABLE_VALUE"), lazy)
        for key, lazy in tensors.items()
        if "int" not in lazy.dtype and key not in left
    }


def _keys(graph, numbers):
    """The keys of the variables that objects are."""
    return {
        attribute.checkpoint_key
        for number, node in enumerate(graph.nodes)
        if number in numbers
        for attribute in node.attributes
    }


def _below(graph, start, passed_over=None):
    """The numbers of the objects that one leads to, itself included, past no optimizer."""
    below, seen = [start], set()
    while below:
        number = below.pop()
        if number in seen or not 0 <= number < len(graph.nodes):
            continue
        children = graph.nodes[number].children
        if graph.nodes[number].slot_variables or any(c.local_name in STEPS for c in children):
            continue
        seen.add(number)
        below += [
            child.node_id
            for child in children
            if not (passed_over and passed_over.fullmatch(child.local_name))
        ]
    return seen


def _named(folder, variables, graph):
    """Variables by the names of a network, and the class there of a head."""
    attributes = _attributes(graph)
    places = _places(name for name, _ in variables.values())
    named, suffix = {}, None
    for key, (name, lazy) in variables.items():
        if NEXT_SENTENCE.search(name):  # no model here scores it
            continue
        if match := re.search(rf"(?:^|/){SHARED}", name):
            words, head = ATTRIBUTES[attributes.get(key, "classifier")]
            name, suffix = words + name[match.end() :], head or suffix
        name = COUNTED.sub(lambda match: f"{match[1]}_{places[match[0]]}/", name)
        _put(named, name, lazy, folder)
    for used, unused in UNUSED.items():
        if any(re.search(rf"(^|/){used}", name) for name in named):
            named = {n: v for n, v in named.items() if not re.search(rf"(^|/){unused}", n)}
    return named, suffix


def _put(named, name, lazy, folder):
    if name in named:
        raise KzooError(f"{folder} has {name} twice: save the checkpoint of one model alone.")
    named[name] = lazy


def _places(names):
    """The places of `COUNTED` blocks by what names call them."""
    found = {match[0]: int(match[2] or 0) for name in names for match in COUNTED.finditer(name)}
    return {block: place for place, block in enumerate(sorted(found, key=found.get))}


def _attributes(graph):
    """The attribute of `ATTRIBUTES` below which each variable lies, by its key."""
    return {
        key: child.local_name
        for node in graph.nodes
        for child in node.children
        if child.local_name in ATTRIBUTES
        for key in _keys(graph, _below(graph, child.node_id))
    }


def _block(kind, match, name):
    """The name in TensorFlow 1 of a variable in a block."""
    rest = name[match.end() :]
    for pattern, part in zip(PARTS, kind.parts, strict=True):
        if inner := re.match(pattern, rest):
            return match.expand(kind.block[1]) + part + rest[inner.end() :]
    return match.expand(kind.block[1]) + rest


def _flat(name, lazy):
    """A variable without an axis for the heads."""
    shape = lazy.shape
    if name.endswith("/kernel") and len(shape) == 3:
        outward = name.endswith("/output/dense/kernel")
        shape = (shape[0] * shape[1], shape[2]) if outward else (shape[0], shape[1] * shape[2])
    elif name.endswith("/bias"):
        shape = (math.prod(shape),)
    return Lazy(lazy.dtype, shape, lambda: lazy.read().reshape(shape))


def _shape(folder, tensors, pattern, rank=2):
    """The shape of the first variable whose name has a pattern."""
    name = next((name for name in tensors if re.search(pattern, name)), None)
    if name is None:
        raise KzooError(
            f"{folder} lacks a variable {pattern.strip('^$/')}: a whole encoder is expected."
        )
    return google.shape_of(folder, name, tensors[name], rank)
