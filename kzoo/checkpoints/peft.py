"""Adapters as Hugging Face's PEFT writes them, both ways: what was learnt, without the model.

A folder holds adapter_config.json and adapter_model.safetensors. What modules are called there
follows from the family's rows (`rows.py`). Of maps that lie side by side in one tensor there, such
as GPT-2's, the updates do so too: with one `lora_A` for all where they have the same, else block by
block in a larger rank.
"""

import collections
import re
from pathlib import Path

import numpy as np
from keras import ops

from ..adapters import (
    adapted_maps,
    check_not_adapted,
    held_by,
    is_adapted,
    merged,
    with_adapters,
)
from ..errors import KzooError
from ..files import read_json, writing_folder
from ..graphs import map_paths
from ..network import Network, frozen, weights_by_path
from ..parts import completed
from ..values import an, is_number, is_whole
from .huggingface import config_of, in_main_file, is_headless, prefix_of, write_json
from .rows import Layout, Table, Tensor
from .safetensors import read_tensors, write_tensors

CONFIG, TENSORS = "adapter_config.json", "adapter_model.safetensors"
BEFORE = "base_model.model."
LEAF = re.compile(r"(.+)\.(lora_A|lora_B|lora_magnitude_vector)(\.weight)?")
TASK_TYPES = {
    "TextClassifier": "SEQ_CLS",
    "TokenClassifier": "TOKEN_CLS",
    "QuestionAnswering": "QUESTION_ANS",
    "CausalLM": "CAUSAL_LM",
    "Seq2SeqLM": "SEQ_2_SEQ_LM",
    None: "FEATURE_EXTRACTION",
}
# What changes the outputs and isn't read: each must have one of these values, or not be there.
REQUIRED = {
    "peft_type": ("LORA",),
    "bias": ("none",),
    "init_lora_weights": (True, False, "gaussian", "orthogonal", "eva"),
    "lora_bias": (False,),
    "layer_replication": (None,),
    "alora_invocation_tokens": (None,),
    "use_qalora": (False,),
}


def to_peft(model, folder):
    """Write what a model of `kzoo.lora` learnt as a folder that PEFT loads onto the same base.

    The head is written where it learns (`modules_to_save` there).

    Args:
        model: a task or a backbone of `kzoo.lora`, in a family that Hugging Face has.
        folder: where to; a folder that is there may hold only what is written anew.

    Raises:
        KzooError: for a model that isn't adapted, and where no class there computes what it does.
    """
    _check_is_adapted(model)
    _write(model, folder, _named_there(merged(model)))


def save_adapter(model, folder):
    """`to_peft`, for a model that no class there computes by kzoo's own names.

    `from_peft` reads it as well.
    """
    _check_is_adapted(model)
    plain = merged(model)
    try:
        names = _named_there(plain)
    except KzooError:
        names = _named_here(plain)
    _write(model, folder, names)


def from_peft(model, folder):
    """A copy of a model with the adapters in a folder that PEFT wrote; it learns as `kzoo.lora`'s.

    Args:
        model: the task or backbone that the adapters were learnt on, a plain one.
        folder: with adapter_config.json and adapter_model.safetensors. The head that it holds, if
            any, takes the place of a task's; a backbone has none.

    Raises:
        KzooError: for adapters of another kind, and such as don't fit the model.
    """
    folder = Path(folder)
    config = read_json(folder / CONFIG, "the configuration of an adapter")
    for key, allowed in REQUIRED.items():
        if config.get(key, allowed[0]) not in allowed:
            raise KzooError(
                f"{folder / CONFIG} has {key} = {config[key]!r:.60}; expected "
                f"{' or '.join(map(repr, allowed))}: merge the adapter in PEFT, and read the model."
            )
    tensors = {
        name.removeprefix(BEFORE): lazy for name, lazy in read_tensors(folder / TENSORS).items()
    }
    names = _names_of(model, tensors)
    modules, others = collections.defaultdict(dict), {}
    for name, lazy in tensors.items():
        leaf = LEAF.fullmatch(name)
        if leaf:
            modules[leaf[1]][leaf[2]] = lazy.read().astype("float64")
        else:
            others[name] = lazy
    network = model if isinstance(model, Network) else model.backbone
    made_for = (config.get("auto_mapping") or {}).get("base_model_class", network.family)
    if names.own and made_for != network.family:
        raise KzooError(
            f"{folder} is an adapter of a {made_for}; this model is a {network.family}: take one "
            "that was learnt on it."
        )
    known, inside = set(map_paths(network)), "" if network is model else "backbone/"
    kind = "dora" if config.get("use_dora") else "lora"
    found, weights = {}, weights_by_path(model)
    for module, held in modules.items():
        tensor = names.tensors.get(f"{module}.weight")
        here = tensor.paths if tensor else [module]
        paths = [path.removeprefix(inside).removesuffix("/kernel") for path in here]
        if not known.issuperset(paths):
            raise KzooError(
                f"{folder} adapts {module}, which is no map of the blocks of this "
                f"{network.family}; expected such alone: does it belong to this model?"
            )
        _check_shapes(module, held, tensor, weights, kind, folder)
        found |= _parts(held, tensor, paths, weights, _scale(config, module, len(held["lora_A"])))
    if not found:
        raise KzooError(f"{folder / TENSORS} holds no adapter: a file that PEFT wrote is expected.")
    # One alpha for all; where a map's own differs, its update is as much larger.
    ranks = {path: len(each["lora_b"]) for path, (each, _) in found.items()}
    alphas = {path: scale * ranks[path] for path, (_, scale) in found.items()}
    alpha = collections.Counter(alphas.values()).most_common(1)[0][0]
    values = {}
    for path, (each, _) in found.items():
        each["lora_b"] = each["lora_b"] * (alphas[path] / alpha)
        values |= {f"{inside}{path}/{leaf}": v.astype("float32") for leaf, v in each.items()}
    values |= _head_values(others, names, weights, folder)
    options = {"kind": kind, "alpha": alpha, "dropout": config.get("lora_dropout", 0.0)}
    return with_adapters(model, ranks, options, values)


# -- names -----------------------------------------------------------------------------------------


class _Names:
    """The tensors by name there, and the name there of each weight by its path here."""

    def __init__(self, tensors, by_path, own=False):
        self.tensors, self.by_path, self.own = tensors, by_path, own


def _named_there(model):
    """The names that the class has which computes what a plain model does."""
    backbone = model if isinstance(model, Network) else model.backbone
    task_name = None if backbone is model else model.task_name
    family = type(backbone)
    config_of(model, family, backbone.spec, task_name, None)  # Else it says that there is none.
    return _in_rows(model, "" if is_headless(task_name) else family.PREFIX)


def _in_rows(model, prefix):
    backbone = model if isinstance(model, Network) else model.backbone
    task_name = None if backbone is model else model.task_name
    weights = in_main_file(weights_by_path(model))
    table = Table(type(backbone), backbone.spec, weights, task_name, prefix)
    tensors = {_in_memory(type(backbone), name): each for name, each in table.tensors.items()}
    by_path = {
        path: _in_memory(type(backbone), names.primary[0])
        for path, names in table.names.items()
        if names.primary
    }
    return _Names(table.tensors | tensors, by_path)


def _in_memory(family, name):
    """The name of a tensor as the classes of transformers 5 have it, which PEFT goes by."""
    for piece, other in family.RENAMED.items():
        name = name.replace(piece, other)
    return name


def _named_here(model):
    """kzoo's own names, as layers and weights are called there."""
    by_path, tensors = {}, {}
    for path in weights_by_path(model):
        layer, _, leaf = path.removeprefix("backbone/").rpartition("/")
        name = f"{layer}.{'weight' if leaf == 'kernel' else leaf}".replace("/", ".")
        by_path[path] = name
        tensors[name] = Tensor((path,), Layout(turned=leaf == "kernel"))
    return _Names(tensors, by_path, own=True)


def _names_of(model, tensors):
    """The names by which a file calls a model's weights: those there, or kzoo's own."""
    backbone = model if isinstance(model, Network) else getattr(model, "backbone", None)
    if backbone is None:
        raise KzooError(f"Got {an(type(model).__name__)}; expected a task or a network of kzoo.")
    check_not_adapted(model)
    own = _named_here(model)
    adapted = [leaf[1] for leaf in map(LEAF.fullmatch, tensors) if leaf]
    if all(f"{module}.weight" in own.tensors for module in adapted):
        return own
    return _in_rows(model, prefix_of(type(backbone), tensors))


# -- to there --------------------------------------------------------------------------------------


def _check_is_adapted(model):
    if not is_adapted(model):
        raise KzooError(
            f"Got {an(type(model).__name__)} without adapters; expected a model of kzoo.lora."
        )


def _write(model, folder, names):
    weights, plain = weights_by_path(model), {}
    scales = {path: (scale, cls) for path, scale, cls in adapted_maps(model)}
    by_name = collections.defaultdict(list)
    for path in scales:
        by_name[names.by_path[f"{path}/kernel"]].append(path)
    ranks, alphas, tensors = {}, {}, {}
    for name, adapted in by_name.items():
        module, tensor = name.removesuffix(".weight"), names.tensors[name]
        paths = [path.removesuffix("/kernel") for path in tensor.paths]
        found, scale = _joined(weights, paths, {path: scales[path] for path in adapted}, tensor)
        ranks[module] = len(found["lora_A.weight"])
        alphas[module] = scale * ranks[module]
        tensors |= {f"{BEFORE}{module}.{leaf}": value for leaf, value in found.items()}
    still = set(frozen(model))
    for path in in_main_file(weights):
        if path.startswith("head/") and path not in still:
            plain[names.by_path[path]] = path
    for name in plain:
        tensor = names.tensors[name]
        arrays = [ops.convert_to_numpy(weights[path]) for path in tensor.paths]
        tensors[f"{BEFORE}{name}"] = tensor.layout.there(arrays)
    config = _config_of(model, ranks, alphas, names, by_name)
    config["modules_to_save"] = sorted({name.split(".")[0] for name in plain}) or None
    tensors = {k: np.ascontiguousarray(v, "float32") for k, v in tensors.items()}
    with writing_folder(folder) as tmp_path:
        write_json(tmp_path / CONFIG, config)
        write_tensors(tmp_path / TENSORS, tensors, {"format": "pt"})


def _joined(weights, paths, scales, tensor):
    """The adapter of a tensor there by its leaves, and its scale: that of its first map.

    `scales` has the scale and the class of those of the paths that are adapted.
    """
    held = {path: held_by(weights, path, cls.LEAVES) for path, (_, cls) in scales.items()}
    scale, cls = next(iter(scales.values()))
    reads = [held[path]["lora_a"] for path in held]
    shared = len(paths) == len(reads) and all(np.array_equal(each, reads[0]) for each in reads)
    one = reads[0] if shared else np.concatenate(reads, axis=1)
    others, begin = [], 0
    for path in paths:
        units = int(weights[f"{path}/kernel"].shape[-1])
        other = np.zeros((one.shape[1], units))
        if path in held:
            rank = held[path]["lora_b"].shape[0]
            begin = 0 if shared else begin
            other[begin : begin + rank] = held[path]["lora_b"] * (scales[path][0] / scale)
            begin += rank
        others.append(other)
    other = tensor.layout.there(others)
    other = other if tensor.layout.turned else other.T
    found = {"lora_A.weight": one.T, "lora_B.weight": other}
    if "magnitude" in cls.LEAVES:
        lengths = []
        for path in paths:
            kernel = held_by(weights, path, ("kernel",))["kernel"]
            usual = np.sqrt(np.square(kernel).sum(0))
            lengths.append(held[path]["magnitude"][None] if path in held else usual[None])
        found["lora_magnitude_vector"] = tensor.layout.there(lengths).reshape(-1)
    return found, scale


def _config_of(model, ranks, alphas, names, adapted):
    """The object of adapter_config.json."""
    network = model if isinstance(model, Network) else model.backbone
    task_name = None if network is model else model.task_name
    (rank, alpha), _ = collections.Counter(
        (ranks[module], alphas[module]) for module in ranks
    ).most_common(1)[0]
    options = _options(network.spec)
    return {
        "peft_type": "LORA",
        "task_type": TASK_TYPES.get(None if is_headless(task_name) else task_name),
        "base_model_name_or_path": None,
        "r": rank,
        "lora_alpha": _whole(alpha),
        "lora_dropout": options["dropout"],
        "target_modules": _targets(ranks, names),
        "rank_pattern": {re.escape(m): r for m, r in ranks.items() if r != rank},
        "alpha_pattern": {re.escape(m): _whole(a) for m, a in alphas.items() if a != alpha},
        "fan_in_fan_out": not all(names.tensors[name].layout.turned for name in adapted),
        "use_dora": options["kind"] == "dora",
        "use_rslora": False,
        # PEFT's own field for a class that it is to find; kzoo's names hold in its family alone.
        "auto_mapping": {"base_model_class": network.family, "parent_library": "kzoo"}
        if names.own
        else None,
        "bias": "none",
        "init_lora_weights": True,
        "inference_mode": True,
    }


def _options(spec):
    """The options of the first slot of a spec that has adapters."""
    for each in getattr(spec, "towers", {"": spec}).values():
        held = each.dense if isinstance(each.dense, list) else [each.dense]
        if held[0] is not None:
            return completed("dense", held[0])
    raise AssertionError("a model without adapters")


def _whole(number):
    return int(number) if float(number).is_integer() else number


def _targets(modules, names):
    """The last names of modules, where these are those of no others; else their whole names."""
    last = {module.rpartition(".")[2] for module in modules}
    same = {
        name.removesuffix(".weight")
        for name in names.tensors
        if name.endswith(".weight") and name.removesuffix(".weight").rpartition(".")[2] in last
    }
    return sorted(last) if same == set(modules) else sorted(modules)


# -- from there ------------------------------------------------------------------------------------


def _check_shapes(module, held, tensor, weights, kind, folder):
    """Raise KzooError unless a module's adapter has what it must, and that fits."""
    leaves = {"lora_A", "lora_B"} | ({"lora_magnitude_vector"} if kind == "dora" else set())
    there = tensor.shape(weights) if tensor.layout.turned else tensor.shape(weights)[::-1]
    rank = len(held.get("lora_A", ()))
    expected = {
        "lora_A": (rank, there[1]),
        "lora_B": (there[0], rank),
        "lora_magnitude_vector": (there[0],),
    }
    fits = held.keys() == leaves and all(held[leaf].shape == expected[leaf] for leaf in leaves)
    if not fits or not rank:
        shown = {leaf: list(array.shape) for leaf, array in sorted(held.items())}
        wanted = {leaf: list(expected[leaf]) for leaf in sorted(leaves)}
        raise KzooError(
            f"{folder} has {shown} for {module}; expected {wanted}: does the adapter belong to "
            "this model?"
        )
    for leaf, array in held.items():
        if not np.isfinite(array).all():
            raise KzooError(f"{folder} has NaN or infinity in {leaf} of {module}: fetch it anew.")


def _scale(config, module, rank):
    """By what the configuration multiplies the update of a module, whose tensors have a rank."""
    expected = _of_module(config, "r", "rank_pattern", module)
    if not is_whole(expected, 1) or expected != rank:
        raise KzooError(
            f"{CONFIG} has {expected!r:.40} as the rank of {module} (r or rank_pattern), and its "
            f"tensors have {rank}; expected the same: fetch both files of the adapter anew."
        )
    alpha = _of_module(config, "lora_alpha", "alpha_pattern", module)
    if not (is_number(alpha, 0) and alpha):
        raise KzooError(
            f"{CONFIG} has {alpha!r:.40} as the alpha of {module}; a number above 0 is expected."
        )
    by_root = config.get("use_rslora", False)
    if type(by_root) is not bool:
        raise KzooError(f"{CONFIG} has use_rslora = {by_root!r:.40}; expected true or false.")
    return alpha / (rank**0.5 if by_root else rank)


def _of_module(config, key, patterns, module):
    """What a configuration says of a module: by the first pattern that fits, else for all."""
    by_pattern = config.get(patterns) or {}
    if not isinstance(by_pattern, dict):
        raise KzooError(
            f"{CONFIG} has {patterns} = {by_pattern!r:.40}; expected an object of names of modules "
            "and numbers."
        )
    for pattern, value in by_pattern.items():
        try:
            if re.fullmatch(rf"(.*\.)?({pattern})", module):
                return value
        except re.error:
            raise KzooError(
                f"{CONFIG} has {pattern!r:.60} in {patterns}, which is no pattern of names: fetch "
                "it anew."
            ) from None
    return config.get(key, 8)  # PEFT's default of both.


def _parts(held, tensor, paths, weights, scale):
    """By the path of each map that a module there holds its weights by name, and its scale."""
    shapes, found = [tuple(weights[path].shape) for path in tensor.paths], {}

    def cut(array):
        """What lies side by side there (n, outputs there), apart: (n, units) each."""
        turned = array.T if tensor.layout.turned else array
        return tensor.layout.here(turned, [(len(array), shape[-1]) for shape in shapes])

    one, others, lengths = held["lora_A"].T, cut(held["lora_B"].T), [None] * len(paths)
    if "lora_magnitude_vector" in held:
        lengths = cut(held["lora_magnitude_vector"][None])
    for path, other, length in zip(paths, others, lengths, strict=True):
        rows = np.arange(len(other))
        if len(paths) > 1 and held["lora_B"].any():  # Of those side by side, what is this one's.
            rows = np.flatnonzero(other.any(1))
            if not len(rows) and length is None:
                continue
            rows = rows if len(rows) else np.arange(1)
        each = {"lora_a": one[:, rows], "lora_b": other[rows]}
        found[path] = (each if length is None else {**each, "magnitude": length[0]}), scale
    return found


def _head_values(tensors, names, weights, folder):
    """The weights of a task's head in a file, by path; an error for what is none."""
    values = {}
    has_head = any(path.startswith("head/") for path in weights)
    for name, lazy in tensors.items():
        tensor = names.tensors.get(name)
        if tensor is None and not has_head:
            continue
        if tensor is None or not all(path.startswith("head/") for path in tensor.paths):
            raise KzooError(
                f"{folder} has {name}, which is neither of an adapter nor of this model's head: "
                "does it belong to this model?"
            )
        if lazy.shape != tensor.shape(weights):
            raise KzooError(
                f"{folder} has {name} of the shape {list(lazy.shape)}; this model's head has "
                f"{list(tensor.shape(weights))}: give it as many labels."
            )
        array = lazy.read().astype("float32")
        values |= {path: tensor.part(path, array, weights) for path in tensor.paths}
    return values
