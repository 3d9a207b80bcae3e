"""sentence-transformers folders: modules.json says how places become one vector."""

import dataclasses
import json

import numpy as np

from ..errors import KzooError
from ..files import read_json, within
from ..text.side_files import LONGEST
from ..values import is_number
from .safetensors import write_tensors
from .source import read_weights

POOLINGS = {
    "mean": "mean",
    "cls": "first",
    "max": "max",
    "mean_sqrt_len_tokens": "mean_sqrt_len",
}
SWITCHES = {  # the older spelling of the same, in the order in which several are joined
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}
# Activations by the classes of torch that they are there.
ACTIVATIONS = {
    "torch.nn.modules.activation.Tanh": "tanh",
    "torch.nn.modules.linear.Identity": None,
    "torch.nn.modules.activation.ReLU": "relu",
    "torch.nn.modules.activation.GELU": "gelu",
    "torch.nn.modules.activation.SiLU": "silu",
}
SETTINGS = [  # what the transformer's own settings are called, by its family
    f"sentence_{family}_config.json"
    for family in ("bert", "roberta", "distilbert", "camembert", "albert", "xlm-roberta", "xlnet")
]
HERE = "config_sentence_transformers.json"
FEATURE = "sentence_embedding"  # what modules hand on


@dataclasses.dataclass(frozen=True)
class Modules:
    """What modules.json says.

    transformer: the transformer's subfolder; options: the arguments of a `TextEmbedder`, without
    its length; max_length: that, or None; lowercase: whether a text is lower-cased before its
    tokenizer; dense: the folders of the projections, in order.
    """

    transformer: str
    options: dict
    max_length: int | None
    lowercase: bool
    dense: tuple


def read_modules(folder):
    """The `Modules` of a folder, or None where there is no modules.json."""
    path = folder / "modules.json"
    if not path.is_file():
        return None
    modules = read_json(path, "sentence-transformers' modules", list)
    try:
        types = [module["type"] + "" for module in modules]
        paths = [module["path"] + "" for module in modules]
    except (TypeError, KeyError, AttributeError):
        raise KzooError(f"{path} lacks types or paths: a list of modules is expected.") from None
    for each in paths:
        within(folder, each, path, nested=True)
    kinds = [name.rpartition(".")[2] for name in types]
    dense = [kind for kind in kinds if kind == "Dense"]
    end = [kind for kind in kinds[-1:] if kind == "Normalize"]
    own = all(name.startswith("sentence_transformers.") for name in types)
    if own and kinds == ["Transformer"] and paths == [""]:
        return None  # A cross-encoder, all of which is in transformers' own class.
    if not own or kinds != ["Transformer", "Pooling", *dense, *end]:
        raise KzooError(
            f"{path} has the modules {', '.join(kinds if own else types)}; kzoo reads "
            "sentence-transformers' Transformer, Pooling and after them Dense and Normalize."
        )
    folders = [folder / each for each in paths]
    steps = folders[2 : 2 + len(dense)]
    pooling, include_prompt = _read_pooling(folders[1])
    settings = next((each for name in SETTINGS if (each := _optional(folders[0] / name))), {})
    length = settings.get("max_seq_length")
    if length is not None and not is_number(length, 2):
        raise KzooError(
            f"{folders[0]} has the longest length {length!r:.40}; a number of tokens is expected."
        )
    lowercase = settings.get("do_lower_case", False)
    if not isinstance(lowercase, (bool, type(None))):
        raise KzooError(
            f"{folders[0]} has do_lower_case {lowercase!r:.40}; true or false is expected."
        )
    options = {
        "pooling": pooling,
        "include_prompt": include_prompt,
        "normalize": bool(end),
        "projections": [_read_dense(step) for step in steps],
        **read_prompts(folder),
    }
    length = None if length is None or length > LONGEST else int(length)
    return Modules(paths[0], options, length, bool(lowercase), tuple(steps))


def _read_pooling(folder):
    """The pooling slot, and whether a prompt is pooled."""
    config = read_json(folder / "config.json", "the pooling of a sentence model")
    modes = config.get("pooling_mode")
    if modes is None:
        modes = [mode for key, mode in SWITCHES.items() if config.get(key)] or ["mean"]
    modes = modes if isinstance(modes, list) else [modes]
    if not modes or any(not isinstance(mode, str) or mode not in POOLINGS for mode in modes):
        raise KzooError(
            f"{folder} pools by {' and '.join(map(str, modes)) or 'nothing'}; kzoo has "
            f"{', '.join(POOLINGS)}, and several of them together."
        )
    include = config.get("include_prompt", True)
    if not isinstance(include, bool):
        raise KzooError(f"{folder} has include_prompt {include!r:.40}; true or false is expected.")
    names = [POOLINGS[mode] for mode in modes]
    return names[0] if len(names) == 1 else {"kind": "concat", "of": names}, include


def _read_dense(folder):
    """The projection slot of a Dense."""
    path = folder / "config.json"
    config = read_json(path, "a dense layer of a sentence model")
    name = config.get("activation_function", "torch.nn.modules.activation.Tanh")
    known = {
        "in_features": lambda v: isinstance(v, int) and v > 0,
        "out_features": lambda v: isinstance(v, int) and v > 0,
        "bias": lambda v: isinstance(v, bool),
        "activation_function": lambda v: isinstance(v, str) and v in ACTIVATIONS,
        "module_input_name": lambda v: v in (None, FEATURE),
        "module_output_name": lambda v: v in (None, FEATURE),
        "use_residual": lambda v: v is False,
    }
    config = {"bias": True, **config, "activation_function": name}
    wrong = [key for key, value in config.items() if not known.get(key, lambda v: False)(value)]
    if wrong or not {"in_features", "out_features"} <= set(config):
        key = wrong[0] if wrong else "in_features or out_features"
        raise KzooError(
            f"{path} has {key} {config.get(wrong[0]) if wrong else None!r:.60}; kzoo reads a Dense "
            f"of {FEATURE} with the activations {', '.join(ACTIVATIONS)} and no residual."
        )
    return {
        "kind": "dense",
        "units": config["out_features"],
        "activation": ACTIVATIONS[name],
        "bias": config["bias"],
    }


def read_prompts(folder):
    """The prompts, the default one's name and the measure of nearness."""
    config = _optional(folder / HERE)
    prompts = config.get("prompts") or {}
    if isinstance(prompts, dict):
        prompts = {name: "" if text is None else text for name, text in prompts.items()}
    return {
        "prompts": prompts,
        "default_prompt": config.get("default_prompt_name"),
        "similarity": config.get("similarity_fn_name") or "cosine",
    }


def _optional(path):
    """The object in a JSON file, empty where there is no file."""
    return read_json(path, "a sentence model's settings") if path.is_file() else {}


def read_dense(embedder, modules):
    """Put the weights of the projections where they belong."""
    for projection, folder in zip(embedder.head.projections, modules.dense, strict=True):
        tensors = read_weights(folder)
        weights = {"linear.weight": projection.kernel}
        if projection.has_bias:
            weights["linear.bias"] = projection.bias
        shapes = {name: tuple(reversed(weight.shape)) for name, weight in weights.items()}
        received = {name: tuple(lazy.shape) for name, lazy in tensors.items()}
        if received != shapes:
            raise KzooError(
                f"{folder} has the tensors {received}; its config.json and the layers before it "
                f"ask for {shapes}."
            )
        for name, weight in weights.items():
            array = np.array(tensors[name].read(), str(weight.dtype))
            if not np.isfinite(array).all():
                raise KzooError(f"{name} in {folder} holds NaN or infinite numbers.")
            weight.assign(array.T)


def write_modules(folder, embedder):
    """Write what sentence-transformers needs beside the transformer itself."""
    modes = _modes(embedder)
    dense = list(zip(embedder.projections, embedder.head.projections, strict=True))
    kinds = ["Transformer", "Pooling", *["Dense"] * len(dense)]
    kinds += ["Normalize"] * embedder.normalize
    paths = [f"{i}_{kind}" if i else "" for i, kind in enumerate(kinds)]
    modules = [
        {
            "idx": i,
            "name": str(i),
            "path": path,
            "type": f"sentence_transformers.models.{kind}",
        }
        for i, (kind, path) in enumerate(zip(kinds, paths, strict=True))
    ]
    _write(folder / "modules.json", modules)
    switches = {key: mode in modes for key, mode in list(SWITCHES.items())[:4]}
    in_order = modes == [mode for mode in SWITCHES.values() if mode in modes]
    _write(
        folder / "1_Pooling" / "config.json",
        {
            "word_embedding_dimension": embedder.spec.hidden_dim,
            **(switches if in_order else {"pooling_mode": modes}),
            "include_prompt": embedder.include_prompt,
        },
    )
    for path, (slot, layer) in zip(paths[2:], dense, strict=False):
        _write_dense(folder / path, slot, layer)
    if embedder.normalize:
        (folder / paths[-1]).mkdir()
    _write(
        folder / SETTINGS[0],
        {"max_seq_length": embedder.max_length, "do_lower_case": False},
    )
    write_prompts(folder, embedder)


def write_prompts(folder, embedder):
    """Write what `read_prompts` reads."""
    _write(
        folder / HERE,
        {
            "prompts": dict(embedder.prompts),
            "default_prompt_name": embedder.default_prompt,
            "similarity_fn_name": embedder.similarity,
        },
    )


def _modes(embedder):
    """The names there of the poolings, or an error for one that isn't there."""
    names = {here: there for there, here in POOLINGS.items()}
    slot = embedder.pooling
    kinds = slot.get("of", [slot.get("kind")]) if isinstance(slot, dict) else [slot]
    if any(not isinstance(kind, str) or kind not in names for kind in kinds):
        raise KzooError(
            f"This TextEmbedder pools by {embedder.pooling!r}; sentence-transformers has "
            f"{', '.join(names)}."
        )
    return [names[kind] for kind in kinds]


def _write_dense(folder, slot, layer):
    """A projection as a Dense of sentence-transformers."""
    activation = slot.get("activation", "tanh")
    names = {here: there for there, here in ACTIVATIONS.items()}
    if activation not in names:
        raise KzooError(
            f"This TextEmbedder projects with {activation!r}; sentence-transformers has a name "
            f"for {', '.join(map(str, names))}."
        )
    config = {
        "in_features": layer.kernel.shape[0],
        "out_features": layer.kernel.shape[1],
        "bias": layer.has_bias,
        "activation_function": names[activation],
    }
    _write(folder / "config.json", config)
    tensors = {"linear.weight": np.ascontiguousarray(np.asarray(layer.kernel, "float32").T)}
    if layer.has_bias:
        tensors["linear.bias"] = np.asarray(layer.bias, "float32")
    write_tensors(folder / "model.safetensors", tensors, {"format": "pt"})


def _write(path, value):
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")
