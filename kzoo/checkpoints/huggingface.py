"""Hugging Face folders as models of kzoo and back, without torch.

What the file names are comes from the family's rows (`rows.py`), what config.json means from its
config map (`config.py`). Everything in a folder is bound to a weight, carried along because it is
known and unused, or an error that names it.
"""

import dataclasses
import json
from pathlib import Path

import numpy as np

from ..errors import KzooError
from ..files import read_json, writing_folder
from . import sentence
from .config import config_from_spec, spec_from_config
from .rows import Table, turn, turned_shape
from .safetensors import Lazy, numpy_dtype, write_tensors
from .source import find_folder, read_weights

# What follows the family in a class name there, and the task here; the first of each is written.
TASKS = {
    "Model": None,
    "ForSequenceClassification": "TextClassifier",
    "ForTokenClassification": "TokenClassifier",
    "ForQuestionAnswering": "QuestionAnswering",
    "ForMaskedLM": "MaskedLM",
    "ForMultipleChoice": "MultipleChoice",
    "ForPreTraining": "MaskedLM",
}
# Files of a folder that say more about the tokenizer than tokenizer.json; kept as they came.
TOKENIZER_FILES = ("tokenizer_config.json", "special_tokens_map.json", "vocab.txt")


@dataclasses.dataclass
class Origin:
    """What a model's source folder held beyond spec and weights, so that it can be written back."""

    model_type: str
    architecture: str
    config: dict
    names: dict  # path here -> names there under which it stood
    dtypes: dict  # name there -> dtype, of everything that was not float32
    carried: dict  # name there -> array
    tokenizer: object = None
    tokenizer_files: dict = dataclasses.field(default_factory=dict)


def from_huggingface(source, task=None, tokenizer=None, revision=None):
    """The model in a Hugging Face folder or hub repository.

    Reads config.json and model.safetensors (sharded too; pytorch_model.bin where torch is
    installed). Without `task`, `architectures` in config.json says what comes back: the backbone,
    or a task with its head and labels; a folder with modules.json (sentence-transformers) is a
    `TextEmbedder`.

    Args:
        source: a folder, or a repository of the hub such as "google-bert/bert-base-uncased".
        task: "backbone" for the backbone alone, whatever head the folder has.
        tokenizer: a `Tokenizer` to take in place of the folder's; False for none.
        revision: a branch, tag or commit of the hub repository.

    Raises:
        KzooError: naming the file, the config key or the tensors that don't fit.
    """
    if task not in (None, "backbone"):
        raise KzooError(f'task is {task!r}; None or "backbone" is expected.')
    folder = find_folder(source, revision)
    embedding = sentence.read_modules(folder) if task is None else None
    inner = folder / embedding.transformer if embedding else folder
    config = read_json(inner / "config.json", "a Hugging Face model's configuration")
    if not isinstance(config, dict):
        raise KzooError(f"{inner / 'config.json'} is not a JSON object.")
    tensors = read_weights(inner)
    family, model_type = _family(config, tensors)
    if embedding:
        architecture, task_name = _architecture(config, model_type, family)[0], "TextEmbedder"
    else:
        architecture, task_name = _architecture(config, model_type, family)
        task_name = None if task else task_name
    prefix = family.PREFIX if any(name.startswith(family.PREFIX) for name in tensors) else ""
    has_pooler = f"{prefix}{_pooler_name(family)}.weight" in tensors
    kind = (_usual_head(family, task_name, None) or {}).get("kind")
    wants_pooler = kind == "pooled" if kind else has_pooler
    spec = spec_from_config(config, family, wants_pooler)
    head = _usual_head(family, task_name, spec.feedforward["activation"])
    if head:
        head |= _head_dropout(family, task_name, config)
    if tokenizer is None:
        tokenizer = _read_tokenizer(inner)
    if tokenizer and tokenizer.vocabulary_size != spec.vocabulary_size:
        raise KzooError(
            f"The tokenizer of {inner} has {tokenizer.vocabulary_size} tokens and the embedding "
            f"{spec.vocabulary_size} rows: give the tokenizer that belongs to the weights, or "
            "tokenizer=False to go without."
        )
    model = _build(family, spec, task_name, head, config, embedding, tokenizer or None)
    origin = Origin(model_type, architecture, config, {}, {}, {}, tokenizer or None)
    if tokenizer and tokenizer is not None:
        origin.tokenizer_files = {
            name: (inner / name).read_text(encoding="utf-8")
            for name in TOKENIZER_FILES
            if (inner / name).is_file()
        }
    _assign(model, family, task_name, prefix, tensors, origin, inner)
    model.origin = origin
    return model


def to_huggingface(model, folder):
    """Write a model as a folder that transformers (or sentence-transformers) loads.

    config.json and model.safetensors always; the tokenizer's files where the model has one; for a
    `TextEmbedder` modules.json and what belongs to it. A model that came from Hugging Face gets
    its tensors back under the names they had, carried ones included.

    Args:
        model: a backbone, `TextClassifier`, `TokenClassifier`, `QuestionAnswering`, `MaskedLM`,
            `MultipleChoice` or `TextEmbedder`.
        folder: where to; an existing folder may hold only what such an export writes.

    Raises:
        KzooError: when there is no class there that computes what this model does.
    """
    from ..network import Network, weights_by_path

    folder = Path(folder)
    backbone = model if isinstance(model, Network) else getattr(model, "backbone", None)
    if backbone is None:
        raise KzooError(f"to_huggingface takes a backbone or a task; {type(model).__name__} came.")
    family, spec = type(backbone), backbone.spec
    task_name = None if backbone is model else type(model).__name__
    _check_destination(folder)
    origin = _origin_of(model, family, task_name)
    config = _config(model, family, spec, task_name, origin)
    paths = weights_by_path(model)
    bare = task_name in (None, "TextEmbedder")
    table = Table(family, spec.schedule, paths, task_name, "" if bare else family.PREFIX)
    written = {}
    for path, variable in paths.items():
        names = table.names[path].primary
        if origin and path in origin.names:
            names = origin.names[path]
        for name in names:
            written[name] = _outgoing(path, variable, origin.dtypes.get(name) if origin else None)
    if origin:
        written.update({name: Lazy.of(array) for name, array in origin.carried.items()})
    elif bare and spec.pooler == "none" and _pooler_name(family):
        # The class there always has a pooler: an untrained one is zeros here, random there.
        width, name = spec.hidden_dim, _pooler_name(family)
        written[f"{name}.weight"] = Lazy.of(np.zeros((width, width), "float32"))
        written[f"{name}.bias"] = Lazy.of(np.zeros(width, "float32"))
    tokenizer = getattr(model, "tokenizer", None) if bare and backbone is model else model._tokenizer
    with writing_folder(folder) as beside:
        _write_json(beside / "config.json", config)
        write_tensors(beside / "model.safetensors", written, {"format": "pt"})
        if tokenizer is not None:
            _write_tokenizer(beside, tokenizer, model, backbone, origin)
        if task_name == "TextEmbedder":
            sentence.write_modules(beside, model)


# -- from there ---------------------------------------------------------------------------------


def _family(config, tensors):
    """The model class of a config, and its name there."""
    from ..models import FAMILIES

    types = {name: cls for cls in FAMILIES.values() for name in cls.MODEL_TYPES}
    model_type = config.get("model_type")
    if model_type is None:  # Files of 2019 don't say; their class or their tensors do.
        first = (config.get("architectures") or [""])[0]
        found = [t for t, cls in types.items() if first.startswith(cls.MODEL_TYPES[t])]
        found += [
            cls.family for cls in FAMILIES.values() if any(n.startswith(cls.PREFIX) for n in tensors)
        ]
        model_type = found[0] if found else None
    if model_type not in types:
        raise KzooError(
            f"config.json has model_type {model_type!r}; kzoo knows {', '.join(types)}."
        )
    return types[model_type], model_type


def _architecture(config, model_type, family):
    """The class there, and the task here (None for a backbone)."""
    stem = family.MODEL_TYPES[model_type]
    name = (config.get("architectures") or [f"{stem}Model"])[0]
    known = {stem + suffix: task for suffix, task in TASKS.items()}
    if name not in known:
        raise KzooError(
            f"config.json has the architecture {name!r}; kzoo reads {', '.join(known)}, and the "
            'backbone of any with task="backbone".'
        )
    return name, known[name]


def _usual_head(family, task_name, activation):
    """The head slot that Hugging Face's class for a task has, as a dict; None without a head."""
    if task_name in (None, "TextEmbedder"):
        return None
    if task_name == "MaskedLM":
        return {"kind": "masked_lm", "activation": getattr(family, "LM_ACTIVATION", activation)}
    from ..tasks import TASKS as tasks_by_name

    slot = family.HEADS.get(task_name, tasks_by_name[task_name].default_head)
    return {"kind": slot} if isinstance(slot, str) else dict(slot)


def _head_dropout(family, task_name, config):
    """The dropout that config.json gives the head; empty where that is the model's own."""
    key, default = family.HEAD_DROPOUT.get(task_name, (None, None))
    rate = config.get(key, default) if key else None
    if rate is None:
        return {}
    if isinstance(rate, bool) or not isinstance(rate, (int, float)) or not 0 <= rate < 1:
        raise KzooError(f"config.json has {key} = {rate!r}; a number from 0 to 1 is expected.")
    return {"dropout": float(rate)}


def _build(family, spec, task_name, head, config, embedding, tokenizer):
    backbone = family(spec)
    if task_name is None:
        backbone.tokenizer = tokenizer
        return backbone
    from .. import tasks

    if task_name == "TextEmbedder":
        limit = spec.max_sequence_length
        return tasks.TextEmbedder(
            backbone,
            pooling=embedding.pooling,
            normalize=embedding.normalize,
            max_length=min(embedding.max_length or limit, limit),
            tokenizer=tokenizer,
        )
    options = {"head": head, "tokenizer": tokenizer}
    if task_name in ("TextClassifier", "TokenClassifier"):
        options["labels"] = _labels(config)
    return getattr(tasks, task_name)(backbone, **options)


def _labels(config):
    """The labels in the order of the logits."""
    names = config.get("id2label")
    if names is None:
        count = config.get("num_labels", config.get("_num_labels", 2))
        names = {str(i): f"LABEL_{i}" for i in range(count)}
    try:
        labels = [str(names[key]) for key in sorted(names, key=int)]
        numbers = sorted(int(key) for key in names)
    except (TypeError, ValueError, AttributeError):
        numbers = None
    if numbers != list(range(len(names))):
        raise KzooError(
            f"config.json has id2label = {names!r}; labels for 0, 1, 2 and so on are expected."
        )
    return labels


def _read_tokenizer(folder):
    from ..text.tokenizer import Tokenizer

    if any((folder / name).is_file() for name in ("tokenizer.json", "vocab.txt", "vocab.json")):
        return Tokenizer.load(folder)
    return None


def _assign(model, family, task_name, prefix, tensors, origin, folder):
    """Put every tensor where it belongs; what is missing or left over is an error with names."""
    from ..network import weights_by_path

    paths = weights_by_path(model)
    table = Table(family, model.spec.schedule, paths, task_name, prefix)
    found = {
        path: [name for name in dict.fromkeys(table.names[path].accepted) if name in tensors]
        for path in paths
    }
    used = {name for names in found.values() for name in names}
    missing = [table.names[path].primary[0] for path, names in found.items() if not names]
    left = [name for name in tensors if name not in used and not table.carries(name)]
    if missing or left:
        sides = [f"lacks {_listed(missing)}"] * bool(missing)
        sides += [f"has {_listed(left)}, which no row of {family.__name__} names"] * bool(left)
        raise KzooError(
            f"{folder} {' and '.join(sides)}: config.json and weights don't belong together."
        )
    for path, variable in paths.items():
        expected = turned_shape(path, variable.shape)
        for name in found[path]:
            if tensors[name].shape != expected:
                raise KzooError(
                    f"Tensor {name} in {folder} has the shape {list(tensors[name].shape)}; "
                    f"config.json asks for {list(expected)}."
                )
            if "float" not in tensors[name].dtype:
                raise KzooError(
                    f"Tensor {name} in {folder} is {tensors[name].dtype}; floating-point weights "
                    "are expected."
                )
    for path, variable in paths.items():
        first, *others = found[path]
        array = _sound(tensors[first].read(), first, folder)
        for other in others:
            if tensors[other].read().tobytes() != array.tobytes():
                raise KzooError(
                    f"Tensors {first} and {other} in {folder} differ; kzoo has one weight for "
                    "both: the model must have been trained with tied weights."
                )
        variable.assign(np.ascontiguousarray(turn(path, array), dtype=str(variable.dtype)))
        origin.names[path] = found[path]
    origin.dtypes = {n: tensors[n].dtype for n in used if tensors[n].dtype != "float32"}
    origin.carried = {
        name: np.array(lazy.read()) for name, lazy in tensors.items() if name not in used
    }


def _sound(array, name, folder):
    """The array, unless it holds NaN or infinity."""
    if array.size:
        low, high = (float(f(array.astype("float32", copy=False))) for f in (np.min, np.max))
        if not np.isfinite(low) or not np.isfinite(high):
            raise KzooError(
                f"Tensor {name} in {folder} holds NaN or infinite numbers: the checkpoint is "
                "damaged or its training diverged."
            )
    return array


# -- to there -----------------------------------------------------------------------------------


def _origin_of(model, family, task_name):
    """The model's origin, if it still is what came from there."""
    origin = getattr(model, "origin", None)
    if origin is None or not set(origin.names) == set(_paths(model)):
        return None
    return origin


def _paths(model):
    from ..network import weights_by_path

    return weights_by_path(model)


def _config(model, family, spec, task_name, origin):
    """The object of config.json."""
    model_type = origin.model_type if origin else next(iter(family.MODEL_TYPES))
    stem = family.MODEL_TYPES[model_type]
    suffixes = {task: suffix for suffix, task in reversed(TASKS.items())}
    name = None if task_name == "TextEmbedder" else task_name
    if name not in suffixes:
        raise KzooError(
            f"Hugging Face has no class for a {task_name}; "
            f"{', '.join(filter(None, suffixes))}, TextEmbedder or a backbone is expected."
        )
    kept = dict(origin.config) if origin else {}
    config = {
        **kept,
        "architectures": [origin.architecture if origin else stem + suffixes[name]],
        "model_type": model_type,
        **config_from_spec(spec, family, kept),
    }
    if not origin:
        config.update({"dtype": "float32", "tie_word_embeddings": True})
    if name:
        config.update(_head_config(model, family, task_name, kept))
    labels = getattr(model, "labels", None)
    if labels and labels != _kept_labels(kept):
        config["id2label"] = {str(i): label for i, label in enumerate(labels)}
        config["label2id"] = {label: i for i, label in enumerate(labels)}
    return config


def _kept_labels(kept):
    return _labels(kept) if kept else None


def _head_config(model, family, task_name, kept):
    """What config.json says about the head, or an error when there is no such head there."""
    feedforward = model.spec.feedforward
    activation = "gelu" if isinstance(feedforward, str) else feedforward.get("activation", "gelu")
    usual = _usual_head(family, task_name, activation)
    slot = model.head_slot
    slot = {"kind": slot} if isinstance(slot, str) else dict(slot)
    if task_name == "MaskedLM":
        slot.setdefault("activation", "gelu")
    rate = slot.pop("dropout", None)
    if slot != usual:
        raise KzooError(
            f"This {task_name} has the head {model.head_slot!r}; Hugging Face's "
            f"{type(model.backbone).__name__} has only {usual!r}: build it with that head to "
            "export it."
        )
    key, default = family.HEAD_DROPOUT.get(task_name, (None, None))
    if key is None:
        return {}
    if rate is None:
        rate = default if default is None else model.spec.dropout
    return {key: rate}


def _outgoing(path, variable, dtype):
    """A variable as it is written: in the dtype it came in, if that loses nothing."""
    from keras import ops

    own = str(variable.dtype)
    shape = turned_shape(path, variable.shape)

    def read(dtype=own):
        array = turn(path, ops.convert_to_numpy(variable))
        return np.ascontiguousarray(_sound(array, path, "this model"), dtype=numpy_dtype(dtype))

    if dtype and dtype != own:
        array = read()
        if not np.array_equal(array.astype(numpy_dtype(dtype)).astype(array.dtype), array):
            dtype = own
    dtype = dtype or own
    return Lazy(dtype, shape, lambda: read(dtype))


def _write_tokenizer(folder, tokenizer, model, backbone, origin):
    """tokenizer.json and the files that transformers reads beside it."""
    tokenizer.save(folder)
    if origin and origin.tokenizer is tokenizer and origin.tokenizer_files:
        for name, text in origin.tokenizer_files.items():
            (folder / name).write_text(text, encoding="utf-8")
        return
    roles = {
        "pad_token": tokenizer.padding_id,
        "unk_token": tokenizer.unknown_id,
        "cls_token": tokenizer.start_id,
        "sep_token": tokenizer.separator_id,
        "mask_token": tokenizer.mask_id,
    }
    special = {k: tokenizer.id_to_token(v) for k, v in roles.items() if v is not None}
    if "cls_token" in special and special["cls_token"] == "<s>":
        special |= {"bos_token": special["cls_token"], "eos_token": special["sep_token"]}
    segments = ["token_type_ids"] if "segment_ids" in backbone.input_names else []
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": getattr(model, "max_length", backbone.spec.max_sequence_length),
        "model_input_names": ["input_ids", *segments, "attention_mask"],
        "clean_up_tokenization_spaces": False,
        **special,
    }
    _write_json(folder / "tokenizer_config.json", config)
    _write_json(folder / "special_tokens_map.json", special)


def _check_destination(folder):
    """An export takes the place of an older export, never of other files."""
    if not folder.is_dir():
        return
    ours = {
        "config.json", "model.safetensors", "tokenizer.json", *TOKENIZER_FILES, *sentence.FILES
    }
    others = sorted(path.name for path in folder.iterdir() if path.name not in ours)
    if others:
        raise KzooError(
            f"{folder} holds {_listed(others)}, which an export would remove: name a new or empty "
            "folder."
        )


def _write_json(path, value):
    text = json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False)
    path.write_text(text + "\n", encoding="utf-8")


def _pooler_name(family):
    """What a family's pooler is called there, or None."""
    from .rows import parse

    return next((row.there for row in parse(family.ROWS) if row.here == "pooler"), None)


def _listed(names, limit=8):
    """Names for an error: all of a few, the first of many."""
    names = list(names)
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + more
