"""Google's checkpoints of TensorFlow 1: BERT, ALBERT and T5.

A variable's name there is a path of scopes, and the one that Hugging Face's torch classes have is
the same path in other words: a kind of checkpoint is a table of these words, and `in_torch` does
the rest. A later format that has the same variables (Model Garden, TF Hub) puts its names into
these first. An activation is what the file says in Hugging Face's words, as for the checkpoints
that are published there: "gelu" is the exact one, "gelu_new" that of tanh.
"""

import ast
import dataclasses
import re
from collections.abc import Callable

import numpy as np

from ..errors import KzooError
from ..files import read_json, read_text
from . import tf_checkpoint
from .huggingface import assembled
from .safetensors import Lazy
from .tf_tokenizer import tokenizer_there

# A variable's last part there and in torch, and whether a map's inputs come first there. Any other
# is a table or a map itself, whose own name comes before "weight"; of `value`, nothing.
LEAVES = {
    "kernel": ("weight", True),
    "gamma": ("weight", False),
    "scale": ("weight", False),
    "embedding": ("weight", False),
    "output_weights": ("weight", False),
    "beta": ("bias", False),
    "bias": ("bias", False),
    "output_bias": ("bias", False),
    "value": (None, False),
}
HEADS = (
    (r"^output_", "classifier/output_"),
    (r"^cls/squad/", "qa_outputs/"),
)
BERT = (
    (r"^(?:bert(?:_\d+)?/)?(embeddings|encoder|pooler)/", r"bert/\1/"),
    *HEADS,
)
INNER = r"albert_layers_\2/"
ALBERT = (
    (r"^(?:bert(?:_\d+)?/)?(embeddings|encoder|pooler)/", r"albert/\1/"),
    (r"/transformer/group_(\d+)/inner_group_(\d+)/", rf"/albert_layer_groups_\1/{INNER}"),
    (r"/attention_1/(?:self|output)/", "/attention/"),
    (r"/LayerNorm_1/", "/full_layer_layer_norm/"),
    (r"(/albert_layers_\d+)/LayerNorm/", r"\1/attention/LayerNorm/"),
    (r"/ffn_1/intermediate/output/dense/", "/ffn_output/"),
    (r"/ffn_1/intermediate/dense/", "/ffn/"),
    (r"/pooler/dense/", "/pooler/"),
    (r"^cls/predictions/(?:transform/)?", "predictions/"),
    (r"^cls/seq_relationship/", "sop_classifier/classifier/"),
    *HEADS,
)
T5 = (
    (r"^(encoder|decoder)/rms_norm/", r"\1/final_layer_norm/"),
    (r"/rms_norm/", "/layer_norm/"),
    (r"^decoder/logits/", "lm_head/"),
)
# The class there for each head, by its name there; the first that a checkpoint has.
CLASSES = {
    "classifier": "ForSequenceClassification",
    "qa_outputs": "ForQuestionAnswering",
    "cls.predictions": "ForMaskedLM",
    "predictions": "ForMaskedLM",
}


def _json_config(name):
    """The config of a kind whose JSON file says all of it."""

    def config(folder, tensors):
        path = folder / name
        if not path.is_file():
            raise KzooError(
                f"{folder} has no {name}, and the shapes of a checkpoint don't tell "
                f"num_attention_heads: put the {name} that belongs to it there."
            )
        return read_json(path, "a model's configuration")

    return config


def _t5_config(folder, tensors):
    """T5's config from its shapes; its operative_config.gin may not contradict them."""
    first = tensors.get("encoder.block.0.layer.0.SelfAttention.q.weight")
    heads = tensors.get("encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight")
    table = tensors.get("shared.weight")
    wide = next((n for n in tensors if ".DenseReluDense.wi" in n), None)
    if not (first and heads and table and wide):
        raise KzooError(
            f"{folder} lacks shared/embedding, or relative_attention_bias or the kernels of the "
            "encoder's first block: a checkpoint of T5 with encoder and decoder is expected."
        )
    buckets, num_heads = shape_of(folder, "relative_attention_bias", heads, 2)
    inner, width = shape_of(folder, "SelfAttention/q", first, 2)
    stated = _gin(folder / "operative_config.gin")
    sizes = {
        "d_model": width,
        "d_kv": inner // num_heads,
        "d_ff": shape_of(folder, wide, tensors[wide], 2)[0],
        "num_heads": num_heads,
    }
    for key, size in sizes.items():
        check_size(folder / "operative_config.gin", key, stated.get(key, size), size)
    gate = next((v[0] for v in stated.values() if isinstance(v, list) and v[1:] == ["linear"]), "")
    gate = {"": "gelu", "swish": "silu"}.get(gate, gate)
    return {
        **sizes,
        "vocab_size": shape_of(folder, "shared/embedding", table, 2)[0],
        "num_layers": _count(tensors, r"encoder\.block\.(\d+)\."),
        "num_decoder_layers": _count(tensors, r"decoder\.block\.(\d+)\."),
        "relative_attention_num_buckets": buckets,
        "feed_forward_proj": f"gated-{gate}" if ".wi_" in wide else "relu",
        "tie_word_embeddings": "lm_head.weight" not in tensors,
        "decoder_start_token_id": 0,
        "pad_token_id": 0,
        "eos_token_id": 1,
        "is_encoder_decoder": True,
    }


def _gin(path):
    """The settings of a gin file that are plain values, by the last part of their names."""
    if not path.is_file():
        return {}
    settings = {}
    text = read_text(path, "the settings of a training")
    for line in re.finditer(r"^([\w/.]+) *= *(\S.*)$", text, re.MULTILINE):
        try:
            value = ast.literal_eval(line[2])
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            continue  # a reference to another setting
        settings[re.split(r"[/.]", line[1])[-1] if "." in line[1] else line[1]] = value
    return settings


@dataclasses.dataclass(frozen=True)
class Kind:
    """A kind of checkpoint: how its names tell it, and what they are called in torch.

    Args:
        title: what it is, for an error.
        mark: a pattern that one of its names has.
        model_type: what Hugging Face calls the family; None for one that kzoo doesn't have.
        stem: what its classes there begin with.
        roots: a pattern of what its names begin with; scopes before it are dropped.
        words: pairs of a pattern and what stands there in torch, applied in order.
        config: a function of the folder and the tensors.
        usual: the class there of a checkpoint without a head.
        heads: the class there by a head's name in torch.
    """

    title: str
    mark: str
    model_type: str | None = None
    stem: str = ""
    roots: str = ""
    words: tuple = ()
    config: Callable | None = None
    usual: str = "Model"
    heads: dict = dataclasses.field(default_factory=lambda: CLASSES)


TEXT = (
    r"(?:bert(?:_\d+)?/)?(?:embeddings|encoder|pooler)/"
    r"|cls/|classifier/|qa_outputs/|output_(?:weights|bias)$"
)
# Those that kzoo doesn't read here come first: some of their names are BERT's.
KINDS = (
    Kind("ELECTRA", r"(^|/)(electra|discriminator_predictions|generator_predictions)/"),
    Kind("XLNet", r"/rel_attn/"),
    Kind("MobileBERT", r"/bottleneck|FakeLayerNorm|(^|/)mobile_?bert"),
    Kind("ALBERT", r"/inner_group_\d+/", "albert", "Albert", TEXT, ALBERT,
         _json_config("albert_config.json")),
    Kind("BERT", r"encoder/layer_\d+/attention/self/", "bert", "Bert", TEXT, BERT,
         _json_config("bert_config.json")),
    Kind("T5", r"encoder/block_\d+/layer_\d+/", "t5", "T5", r"(?:encoder|decoder|shared)/", T5,
         _t5_config, "ForConditionalGeneration"),
    Kind("ViT", r"^vit/", "vit", "ViT", r"vit/|classifier/",
         heads={"classifier": "ForImageClassification"}),
)  # fmt: skip


def sign(folder):
    """Why a path is of this format, or None."""
    plain = [p for p in tf_checkpoint.prefixes(folder) if not tf_checkpoint.has_graph(p)]
    return f"{plain[0].name} without a graph of objects" if plain else None


def read(folder, task=None, tokenizer=None):
    """The model of a checkpoint of TensorFlow 1.

    Reads `bert_config.json` or `albert_config.json` beside it, or T5's shapes, and `vocab.txt` or a
    model of SentencePiece. A head in the checkpoint says which task comes back.

    Args:
        folder: the folder, or the prefix of a checkpoint in it.
        task: "backbone" for the backbone alone.
        tokenizer: one to take in place of the folder's; False for none.

    Raises:
        KzooError: naming the file or the variables that don't fit.
    """
    prefix = tf_checkpoint.find_prefix(folder)
    tensors = tf_checkpoint.read_checkpoint(prefix)
    return model_of(prefix.parent, tensors, None, task, tokenizer)


def model_of(folder, tensors, config, task, tokenizer, lower=None, suffix=None):
    """The model of variables that have the names of TensorFlow 1.

    Args:
        folder: where they come from.
        tensors: `{name: Lazy}`.
        config: what a config.json would say; None for what the kind's own file says.
        task: see `read`.
        tokenizer: see `read`.
        lower: whether texts are lower-cased, where the format says so.
        suffix: the class there, without its stem, where names don't tell it.
    """
    tensors = {name.removesuffix(":0"): lazy for name, lazy in tensors.items()}
    kind = _kind(folder, tensors)
    tensors = in_torch(folder, tensors, kind)
    config = config or kind.config(folder, tensors)
    heads = (c for head, c in kind.heads.items() if any(n.startswith(f"{head}.") for n in tensors))
    suffix = suffix or next(heads, kind.usual)
    config = {**config, "model_type": kind.model_type, "architectures": [kind.stem + suffix]}
    if "classifier.bias" in tensors and "id2label" not in config:
        config["num_labels"] = shape_of(folder, "output_bias", tensors["classifier.bias"], 1)[0]
    if tokenizer is None:
        tokenizer = tokenizer_there(folder, kind.model_type, lower)
    model = assembled(folder, config, tensors, task, tokenizer)
    model.origin.files = {}  # Those of the folder don't say which class reads them, and how.
    return model


def _kind(folder, tensors):
    """The kind of checkpoint that names belong to."""
    for kind in KINDS:
        if any(re.search(kind.mark, name) for name in tensors):
            if kind.model_type is None:
                raise KzooError(
                    f"{folder} holds {kind.title}, which kzoo doesn't read from TensorFlow; "
                    f"expected a checkpoint of {_known()}."
                )
            return kind
    raise KzooError(
        f"{folder} holds {', '.join(list(tensors)[:4]) or 'no variables'}, of no kind that kzoo "
        f"knows; expected a checkpoint of {_known()}."
    )


def _known():
    return " or ".join(kind.title for kind in KINDS if kind.model_type)


def in_torch(folder, tensors, kind):
    """Variables as tensors of torch, by the words of a kind: `{name: Lazy}` in torch's layout."""
    sources, named = {}, {}
    strange = [n for n in tensors if not re.search(rf"(^|/)(?:{kind.roots})", n)]
    if strange:
        raise KzooError(
            f"{folder} has {', '.join(strange[:8])}, which no part of {kind.title} has: only what "
            "optimizers leave is passed over; remove what isn't the model's."
        )
    for source, lazy in tensors.items():
        name = re.sub(rf"^(?:[^/]+/)*?(?={kind.roots})", "", source, count=1)
        for pattern, words in kind.words:
            name = re.sub(pattern, words, name)
        name, turned = _in_torch(name)
        if name in sources:
            raise KzooError(
                f"{folder} has both {sources[name]} and {source}, which are one tensor of "
                f"{kind.title}: save the checkpoint of one model alone."
            )
        sources[name], named[name] = source, _turned(lazy) if turned else lazy
    return named


def _in_torch(name):
    """A variable's name in torch, and whether its axes turn."""
    *scopes, leaf = name.split("/")
    scopes = [re.sub(r"(layers?|block|groups)_0*(\d+)$", r"\1.\2", scope) for scope in scopes]
    last, turned = LEAVES.get(leaf, (f"{leaf}.weight", not leaf.endswith("_embeddings")))
    return ".".join([*scopes, last] if last else scopes), turned


def _turned(lazy):
    """A map with its outputs first: of two axes, or a convolution's."""
    axes = (3, 2, 0, 1) if len(lazy.shape) == 4 else range(len(lazy.shape))[::-1]
    axes = tuple(axes)
    shape = tuple(lazy.shape[axis] for axis in axes)
    return Lazy(lazy.dtype, shape, lambda: np.transpose(lazy.read(), axes))


def _count(names, pattern):
    """How many blocks names speak of."""
    return len({match[1] for name in names if (match := re.match(pattern, name))})


def shape_of(folder, name, lazy, rank):
    """The shape of a variable that is to have so many axes."""
    if len(lazy.shape) != rank or 0 in lazy.shape:
        raise KzooError(
            f"Variable {name} in {folder} has the shape {list(lazy.shape)}; {rank} axes are "
            "expected, none of them empty."
        )
    return lazy.shape


def check_size(path, key, stated, size):
    """Refuse a size that a file states and a checkpoint doesn't have."""
    if stated != size:
        raise KzooError(
            f"{path} has {key} = {stated!r:.40} and the checkpoint {size}: they don't belong "
            "together; put the file there that does."
        )
