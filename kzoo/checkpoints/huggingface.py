"""Hugging Face folders as models of kzoo and back, without torch.

What the tensors are called comes from the family's rows (`rows.py`), what config.json means from
its config map (`config.py`). Everything in a folder is bound to a weight, carried along because it
is known and unused, or an error that names it.
"""

import json
import math
import re
import warnings
from pathlib import Path

import numpy as np

from .. import processors
from ..answers import check_labels
from ..errors import KzooError
from ..files import read_json, read_text, writing_folder
from ..logs import hidden
from ..parts import completed, resolve
from ..spec import Spec, Towers
from ..values import is_number, is_whole
from . import colbert, model2vec, sentence
from .config import ABSENT, config_from_spec, given_at, put_at, spec_from_config
from .generation_config import FILE, read_generation, read_there, written_generation
from .origin import TOKENIZER_FILES, Origin
from .rows import TORCH, Table, parse, rows_of, towers_in
from .safetensors import Lazy, numpy_dtype, write_tensors
from .source import find_folder, read_weights, weight_files

# What transformers calls a classifier's problem. Without a name its pipeline answers as for one
# label a text; with one label alone that is a sigmoid, as here.
PROBLEM_TYPES = {
    "single_label": "single_label_classification",
    "multi_label": "multi_label_classification",
    "regression": "regression",
}
UNNAMED = "N/A"  # what DETR's files call a label that isn't used
MOST_STEPS = 10_000  # layers, where they may share weights
ROUNDED = 2e-3  # how far off a file may be of numbers that kzoo computes
# Classes of other libraries round a transformer of any family, by the task that they do, and who
# reads its options in the folder, and writes them there.
AROUND = {"LateInteraction": colbert.ARCHITECTURE}
READ_BESIDE = {"LateInteraction": colbert.read_artifact}
WRITE_BESIDE = {
    "LateInteraction": colbert.write_artifact,
    "TextEmbedder": sentence.write_modules,
}
# Families whose folders transformers has no class for, and who writes them.
FOLDERS = {"static": model2vec}
# What training tools put before and between a tensor's names: DataParallel, torch.compile, FSDP
# and activation checkpointing.
WRAPPERS = {"module", "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"}


def sign(path):
    """By what a folder is known to be Hugging Face's, see `formats`."""
    if (path / "modules.json").is_file():
        return "modules.json"
    first, *others = weight_files(path) or [None]
    config = path / "config.json"
    if first is None or not config.is_file() or is_serialized(config):
        return None
    return f"config.json, {first}" + f" and not {', '.join(others)}" * bool(others)


def is_serialized(config):
    """Whether a config.json is that of an object of Keras, as KerasHub writes it."""
    try:
        return "registered_name" in read_json(config, "a model's configuration")
    except KzooError:
        return False


def read(path, task=None, tokenizer=None):
    """The model in a folder, see `formats`."""
    return from_huggingface(path, task, tokenizer)


@hidden()
def from_huggingface(source, task=None, tokenizer=None, revision=None, strict=False):
    """The model in a Hugging Face folder or hub repository.

    Reads config.json and model.safetensors, or pytorch_model.bin (where torch is installed),
    tf_model.h5 or flax_model.msgpack (where msgpack is); sharded too. Without `task`,
    `architectures` in config.json says what comes back: the backbone, or a task with its head and
    labels; a folder with modules.json (sentence-transformers) is a `TextEmbedder`. Tensors that
    the model has no use for, and whatever else `to_huggingface` needs to write the folder back,
    are kept in the model's `origin`.

    Args:
        source: a folder, or a repository of the hub such as "google-bert/bert-base-uncased".
        task: "backbone" for the backbone alone, whatever head the folder has.
        tokenizer: a `Tokenizer` to take in place of the folder's; False for none.
        revision: a branch, tag or commit of the hub repository.
        strict: refuse a folder whose config.json has a key that kzoo doesn't know; else a warning
            names it.

    Raises:
        KzooError: naming the file, the config key or the tensors that don't fit.
    """
    _check_asked(task, tokenizer)
    folder = find_folder(source, revision)
    if model2vec.is_static(folder):
        return model2vec.read(folder, task, tokenizer)
    modules = sentence.read_modules(folder) if task is None else None
    folder = folder / modules.transformer if modules else folder
    config = read_config(folder)
    tensors = _unwrapped(read_weights(folder), folder)
    return assembled(folder, config, tensors, task, tokenizer, strict, modules)


def assembled(folder, config, tensors, task=None, tokenizer=None, strict=False, modules=None):
    """The model of a configuration and of tensors as Hugging Face names and lays them.

    What other libraries wrote comes through here as well, once its names are these.

    Args:
        folder: where tokenizer and other processors lie, and what errors name.
        config: the object of config.json.
        tensors: `{name: Lazy}`.
        task: as in `from_huggingface`, like `tokenizer` and `strict`.
        modules: what sentence-transformers says of the folder, if it wrote it.
    """
    from ..text.tokenizer import Tokenizer

    _check_asked(task, tokenizer)
    # Files of TensorFlow's and Flax's classes may have these in front.
    names = [re.sub("^(TF|Flax)", "", name) for name in config.get("architectures") or []]
    config = {**config, "architectures": names}
    family, model_type = _family(config, tensors)
    if task:
        architecture, task_name = (config["architectures"] or [None])[0], None
    else:
        architecture, task_name = _architecture(config, family, model_type)
        task_name = "TextEmbedder" if modules else task_name
    prefix = prefix_of(family, tensors)
    if not (task or modules or names):
        _warn_of_head(family, prefix, tensors)
    start = read_there(folder, config).get("decoder_start_token_id")
    if start is not None and "decoder_start_token_id" in family.CONFIG:
        config = {**config, "decoder_start_token_id": start}
    spec = spec_from_config(config, family, strict=strict)
    head = _head(family, task_name, spec, config, architecture, tensors)
    read = _reads_pooler(head) if head else _has_pooler(family, prefix, tensors)
    if read and spec.pooler == "none":
        spec = spec.replace(pooler=family.FIXED.get("pooler", "tanh"))
    # Beside another tokenizer than the folder's its target's has no place.
    without = ["tokenizer"] if tokenizer is None else ["tokenizer", "target_tokenizer"]
    if tokenizer is None and any((folder / name).is_file() for name in Tokenizer.FILES):
        tokenizer = Tokenizer.load(folder)
    tokenizer = tokenizer or None
    baked = modules is not None and modules.lowercase and tokenizer is not None
    tokenizer = tokenizer.lowercased() if baked else tokenizer
    # More rows than tokens are usual: tables are rounded up, or kept from a larger vocabulary.
    rows = tokenizer and _token_rows(spec)
    if tokenizer and tokenizer.vocabulary_size > rows:
        raise KzooError(
            f"The tokenizer of {folder} has {tokenizer.vocabulary_size} tokens and the embedding "
            f"only {rows} rows: give the tokenizer that belongs to the weights, or "
            "tokenizer=False to go without."
        )
    _warn_of_padding(folder, config, tokenizer)
    others = processors.load(folder, without)
    given = {"tokenizer": tokenizer, **others}
    _check_sizes(spec, tensors, folder)
    model = _build(family, spec, task_name, head, config, modules, given, folder)
    model.origin = Origin(model_type, architecture, config, tokenizer=tokenizer)
    if tokenizer and not baked:  # They would not say that a text is lower-cased first.
        model.origin.files = {
            name: read_text(folder / name, "a tokenizer's file")
            for name in TOKENIZER_FILES
            if (folder / name).is_file()
        }
    assign(model, family, task_name, prefix, tensors, folder)
    if modules:
        sentence.read_dense(model, modules)
    return model


def _check_asked(task, tokenizer):
    if task not in (None, "backbone"):
        raise KzooError(f'task is {task!r}; None or "backbone" is expected.')
    processors.checked("tokenizer", tokenizer or None)


def to_huggingface(model, folder):
    """Write a model as a folder that transformers (or sentence-transformers) loads.

    config.json and model.safetensors always; the files of its processors where the model has
    any; for a `TextEmbedder` modules.json and what belongs to it. A model that came from Hugging
    Face gets its tensors back under the names they had, carried ones included; any other model
    gets the names that transformers itself writes.

    Args:
        model: a backbone, `TextClassifier`, `TokenClassifier`, `QuestionAnswering`, `MaskedLM`,
            `MultipleChoice`, `TextEmbedder`, `LateInteraction` or `ImageClassifier`.
        folder: where to; a folder that is there may hold only what is written anew.

    Raises:
        KzooError: when no class there computes what this model does.
    """
    from ..adapters import as_written
    from ..network import Network, weights_by_path

    folder, model = Path(folder), as_written(model)
    backbone = model if isinstance(model, Network) else getattr(model, "backbone", None)
    if backbone is None:
        raise KzooError(f"to_huggingface takes a backbone or a task; {type(model).__name__} came.")
    family, spec = type(backbone), backbone.spec
    if family.family in FOLDERS:
        FOLDERS[family.family].write(model, folder)
        return
    task_name = None if backbone is model else model.task_name
    weights = in_main_file(weights_by_path(model))
    origin = Origin.of(model, "huggingface", weights)
    config = config_of(model, family, spec, task_name, origin)
    tensors = _outgoing(weights, family, spec, task_name, origin)
    tokenizer = model.processors.get("tokenizer")
    target = model.processors.get("target_tokenizer")
    written = ("tokenizer", "target_tokenizer")
    others = {kind: p for kind, p in model.processors.items() if kind not in written}
    with writing_folder(folder) as tmp_path:
        write_json(tmp_path / "config.json", config)
        write_tensors(tmp_path / "model.safetensors", tensors, {"format": "pt"})
        if tokenizer is not None:
            _write_tokenizer(tmp_path, tokenizer, target, model, backbone, origin)
        processors.save(others, tmp_path)
        if ids := _writing_ids(model, origin):
            ids = {**ids, "pad_token_id": tokenizer.padding_id}
            known = {key: number for key, number in ids.items() if number is not None}
            write_json(tmp_path / FILE, known)
        if getattr(model, "remembers_how_it_writes", False):
            known = {key: number for key, number in (ids or {}).items() if number is not None}
            start = {"decoder_start_token_id": model.start_id, "pad_token_id": backbone.padding_id}
            usual = written_generation(model.generation)
            write_json(tmp_path / FILE, {**known, **start, **usual})
        if task_name in WRITE_BESIDE:
            WRITE_BESIDE[task_name](tmp_path, model)


# -- from there ---------------------------------------------------------------------------------


def read_config(folder):
    """The object of a folder's config.json, in which `architectures` is a list."""
    path = folder / "config.json"
    config = read_json(path, "a Hugging Face model's configuration")
    names = config.get("architectures") or []
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise KzooError(f"{path} has architectures = {names!r}; a list of names is expected.")
    return {**config, "architectures": names}


def _unwrapped(tensors, folder):
    """The tensors by the names that they have without what training tools put round a model."""
    names = {name: ".".join(p for p in name.split(".") if p not in WRAPPERS) for name in tensors}
    twice = sorted(name for name, plain in names.items() if plain != name and plain in tensors)
    if twice or len(set(names.values())) < len(names):
        raise KzooError(
            f"{folder} has {_listed(twice or names)} and the same without {' or '.join(WRAPPERS)}: "
            "one name for each tensor is expected."
        )
    return {names[name]: lazy for name, lazy in tensors.items()}


def _family(config, tensors):
    """The model class of a config, and what it is called there."""
    from ..models import FAMILIES

    types = {}
    for cls in FAMILIES.values():
        for name in cls.MODEL_TYPES:
            types.setdefault(name, []).append(cls)
    first = (config["architectures"] or [""])[0]
    model_type = config.get("model_type")
    if model_type is None:  # Files of 2019 don't say; their class or their tensors do.
        stems = {name: some[0].MODEL_TYPES[name] for name, some in types.items()}
        candidates = [name for name, stem in stems.items() if first.startswith(stem)]
        prefixed = (
            n for n, some in types.items() if some[0].PREFIX and prefix_of(some[0], tensors)
        )
        model_type = next(iter([*candidates, *prefixed]), None)
    if not isinstance(model_type, str) or model_type not in types:
        raise KzooError(
            f"config.json has model_type {model_type!r}; kzoo knows {', '.join(types)}."
        )
    some = types[model_type]  # Of several families the architecture is one's.
    family = next((cls for cls in some if first in _architectures(cls, model_type)), some[0])
    return family, model_type


def _warn_of_padding(folder, config, tokenizer):
    """Warn of a tokenizer that fills up with another token than the weights learnt with."""
    stated, own = config.get("pad_token_id"), tokenizer and tokenizer.padding_id
    if tokenizer and None not in (stated, own) and stated != own:
        warnings.warn(
            f"The tokenizer of {folder} fills up with {tokenizer.id_to_token(own)!r}, token {own}, "
            f"and config.json says token {stated}, as the tokenizer of another family would give: "
            "check that it belongs to the weights, or give tokenizer= the one that does.",
            stacklevel=4,
        )


def _warn_of_head(family, prefix, tensors):
    """Warn of a head in a file whose config.json doesn't say which."""
    beside = [name for name in tensors if prefix and not name.startswith(prefix)]
    if beside:
        suffixes = [suffix for suffix, task in family.CLASSES.items() if task]
        stem = next(iter(family.MODEL_TYPES.values()))
        warnings.warn(
            f"config.json names no architectures, so {_listed(beside)} are no part of the model: "
            f"the backbone alone is read. Put the class there to have its head, such as "
            f'"architectures": ["{stem}{suffixes[0]}"].',
            stacklevel=4,
        )


def _architectures(family, model_type):
    """The tasks of a family, None for a backbone, by the class that does them there."""
    stem = family.MODEL_TYPES[model_type]
    around = {name: task for task, name in AROUND.items() if family.PREFIX}
    return {**{stem + suffix: task for suffix, task in family.CLASSES.items()}, **around}


def _architecture(config, family, model_type):
    """The class there, and the task here (None for a backbone)."""
    stem, known = family.MODEL_TYPES[model_type], _architectures(family, model_type)
    name = (config["architectures"] or [f"{stem}Model"])[0]
    if name not in known:
        raise KzooError(
            f"config.json has the architecture {name!r}; kzoo reads {', '.join(known)}, and the "
            'backbone of any with task="backbone".'
        )
    return name, known[name]


def is_headless(task_name):
    """Whether the folder there of a task, or of a backbone, None, holds no head."""
    from ..tasks import TASKS

    return task_name is None or not TASKS[task_name].has_head_there


def _heads(family, task_name, spec):
    """The heads that classes there have for a task, as dicts, the usual one first."""
    if is_headless(task_name):
        return []
    from ..tasks import TASKS

    slots = TASKS[task_name].head_slots(family, spec)
    return [{"kind": slot} if isinstance(slot, str) else dict(slot) for slot in slots]


def _head(family, task_name, spec, config, architecture, tensors):
    """The head slot that a config and its weights ask for; None without a head."""
    heads = _heads(family, task_name, spec)
    if not heads:
        return None
    kinds = [kind for suffix, kind in family.CLASS_HEADS.items() if architecture.endswith(suffix)]
    heads = [head for head in heads if not kinds or head["kind"] in kinds]
    words = config if family.WORDS is None else config.get(family.WORDS) or {}
    tied = words.get("tie_word_embeddings") is not False
    if tied and {True, False} <= {is_tied(head) for head in heads}:
        tied = not _scores_alone(family, task_name, tensors)
    fitting = [head for head in heads if is_tied(head) in (None, tied)]
    if not fitting:
        raise KzooError(
            f"config.json has tie_word_embeddings = {config.get('tie_word_embeddings')}; a "
            f"{task_name} of {family.__name__} in kzoo has the head {heads[0]!r} alone: read the "
            'backbone with task="backbone".'
        )
    return fitting[0] | _head_dropout(family, task_name, config)


def _scores_alone(family, task_name, tensors):
    """Whether scores have other numbers than the table that they may be tied to.

    transformers 5 says of such a T5 that they are tied: what is in the file counts.
    """
    prefix = prefix_of(family, tensors)
    rows = (row for row in parse(family.ROWS) if not row.tied)
    tables = {row.here: f"{prefix}{row.there}.weight" for row in rows}
    for row in parse(family.TASK_ROWS):
        if row.tied and task_name in row.tasks and row.there in tensors:
            layer = row.here[0].removeprefix("backbone/").removesuffix("/embeddings")
            own, table = tensors[row.there], tensors.get(tables.get((layer,)))
            return table is not None and not _same(own, table)
    return False


def is_tied(head):
    """Whether a head scores tokens against their embeddings; None for one that scores others."""
    return getattr(resolve("head", head)[0], "tied", None)


def _reads_pooler(head):
    """Whether a head reads the backbone's pooler."""
    kind, _ = resolve("head", head)
    return kind.needs_pooler or getattr(kind, "pooling", None) == "pooled"


def _head_dropout(family, task_name, config):
    """The dropout that config.json gives the head; empty where that is the model's own."""
    key, default = family.HEAD_DROPOUT.get(task_name, (None, None))
    rate = config.get(key, default) if key else None
    if rate is None:
        return {}
    if not is_number(rate, 0) or rate >= 1:
        raise KzooError(f"config.json has {key} = {rate!r}; a number from 0 to 1 is expected.")
    return {"dropout": float(rate)}


def prefix_of(family, names):
    """What stands before the backbone's names in a file: the family's prefix, or nothing."""
    return family.PREFIX if any(name.startswith(family.PREFIX) for name in names) else ""


def _has_pooler(family, prefix, tensors):
    name = _pooler_name(family)
    return name is not None and f"{prefix}{name}.weight" in tensors


def _pooler_name(family, spec=None):
    """What the family's pooler is called there, without prefix; None where it has none."""
    return next((row.there for row in rows_of(family, spec) if row.here == ("pooler",)), None)


def _build(family, spec, task_name, head, config, modules, given, folder):
    """The model with weights still at random."""
    backbone = family(spec)
    backbone.processors = given
    if task_name is None:
        return backbone
    from ..tasks import TASKS

    options = {}
    if modules:
        options |= modules.options
        if modules.max_length is not None:  # Else the tokenizer's own bounds it.
            options["max_length"] = min(modules.max_length, spec.max_sequence_length)
    else:
        options["head"] = head
    if task_name in READ_BESIDE:
        options |= READ_BESIDE[task_name](folder)
    if TASKS[task_name].names_labels:
        options["labels"] = _labels(config)
    if _asks(task_name):
        options["problem"] = _problem(config)
    if TASKS[task_name].remembers_how_it_writes:
        there = read_there(folder, config)
        if family.ENDS:
            key, usual = family.ENDS
            end = given_at(config, key)
            there["eos_token_id"] = usual if end is ABSENT else end
        options["generation"] = read_generation(there, folder)
    return TASKS[task_name](backbone, **options)


def _asks(task_name):
    """Whether the labels of a task are one of several problems, see `Classifier`."""
    from ..tasks import TASKS
    from ..tasks.classifier import Classifier

    return task_name in TASKS and issubclass(TASKS[task_name], Classifier)


def _problem(config):
    """The problem that a classifier solves, or None where config.json doesn't say."""
    name = config.get("problem_type")
    problems = {there: here for here, there in PROBLEM_TYPES.items()}
    if name is not None and name not in problems:
        raise KzooError(
            f"config.json has problem_type = {name!r:.60}; expected {', '.join(problems)}."
        )
    return problems.get(name)


def _labels(config):
    """The labels in the order of the logits."""
    names = config.get("id2label")
    if names is None:
        count = config.get("num_labels", config.get("_num_labels", 2))
        if not is_whole(count, 1, 2**20):
            raise KzooError(f"config.json has num_labels = {count!r:.40}; 1 or more is expected.")
        return [f"LABEL_{i}" for i in range(count)]
    try:
        names = {int(key): str(name) for key, name in names.items()}
    except (TypeError, ValueError, AttributeError):
        names = {None: None}
    if not names or set(names) != set(range(len(names))):
        raise KzooError(
            f"config.json has id2label = {config['id2label']!r}; names for 0, 1, 2 and so on are "
            "expected."
        )
    labels = [names[i] for i in range(len(names))]
    if labels.count(UNNAMED) > 1:  # Numbers that COCO skips have no name of their own.
        labels = [f"{name} {i}" if name == UNNAMED else name for i, name in enumerate(labels)]
    check_labels(labels, "id2label in config.json")
    return labels


def assign(model, family, task_name, prefix, tensors, folder, dialect=TORCH, respelled=None):
    """Put every tensor where it belongs; what is missing or left over is an error with names.

    Args:
        model: the model, with weights still at random.
        family: its class, or another's table for it, see `Table`.
        task_name: the task's class name, or None for a backbone.
        prefix: what stands before the backbone's names there.
        tensors: `{name: Lazy}`.
        folder: what errors name.
        dialect: how variables are called there.
        respelled: a function of tensors and `Table` that gives the tensors other names.
    """
    from ..network import weights_by_path

    weights = in_main_file(weights_by_path(model))
    table = Table(family, model.spec, weights, task_name, prefix, dialect)
    tensors = respelled(tensors, table) if respelled else tensors
    zeros = {
        name: Lazy.of(np.zeros(table.tensors[name].shape(weights), "float32"))
        for name in family.ZERO_IF_MISSING
        if name in table.tensors
    }
    tensors = zeros | tensors
    _check_computed(family, model.spec, prefix, tensors, folder)
    for path in table.zeros:  # What has no name there.
        weight = weights.pop(path)
        weight.assign(np.zeros(weight.shape, weight.dtype))
    names = {
        path: [name for name in dict.fromkeys(table.names[path].accepted) if name in tensors]
        for path in weights
    }
    for path, (first, *others) in [item for item in names.items() if item[1]]:
        own = [n for n in others if n in table.of_heads and not _same(tensors[n], tensors[first])]
        names[path] = [name for name in names[path] if name not in own]
        table.unused += own
    used = dict.fromkeys(name for some in names.values() for name in some)
    missing = dict.fromkeys(table.names[p].primary[0] for p, some in names.items() if not some)
    left = [name for name in tensors if name not in used and not table.carries(name)]
    if missing or left:
        faults = [f"lacks {_listed(missing)}"] * bool(missing)
        faults += [f"has {_listed(left)}, which {family.__name__} has no row for"] * bool(left)
        raise KzooError(
            f"{folder} {' and '.join(faults)}: config.json and weights don't belong together."
        )
    for name in used:
        _check_tensor(name, tensors[name], table.tensors[name].shape(weights), folder)
    for path, weight in weights.items():
        parts = (
            (name, table.tensors[name].part(path, tensors[name].read(), weights))
            for name in names[path]
        )
        first, array = next(parts)
        _sound(array, f"Tensor {first} in {folder}")
        for other, duplicate in parts:
            if duplicate.tobytes() != array.tobytes():
                raise KzooError(
                    f"Tensors {first} and {other} in {folder} differ; kzoo has one weight for "
                    "both, as in models that were trained with tied weights."
                )
        # As an array of the same rank: ascontiguousarray would make an axis of a lone number.
        weight.assign(np.array(array, dtype=numpy_dtype(str(weight.dtype)), order="C"))
    model.origin.names = names | {path: ["0"] for path in table.zeros}
    model.origin.dtypes = {n: tensors[n].dtype for n in used if tensors[n].dtype != "float32"}
    model.origin.carried = {
        name: np.array(lazy.read()) for name, lazy in tensors.items() if name not in used
    }


def _check_computed(family, spec, prefix, tensors, folder):
    """Raise KzooError where a file holds other numbers than kzoo computes."""
    for name, compute in family.COMPUTED.items():
        lazy, expected = tensors.get(prefix + name), compute(spec)
        if lazy is None:
            continue
        if lazy.shape != expected.shape or not np.allclose(lazy.read(), expected, atol=ROUNDED):
            raise KzooError(
                f"Tensor {prefix}{name} in {folder} isn't what {family.__name__} computes in its "
                "place; expected those very numbers, which no training changes."
            )


def _same(one, other):
    """Whether two tensors have the same numbers."""
    return one.shape == other.shape and one.read().tobytes() == other.read().tobytes()


def _check_sizes(spec, tensors, folder):
    """Whether a file could hold the spec, before anything is made of a size that is a mistake."""
    numbers = sum(math.prod(lazy.shape) for lazy in tensors.values())
    asked = {"tokens": _token_rows(spec)}
    for stack in spec.towers.values() if isinstance(spec, Towers) else [spec]:
        has_table = completed("position", stack.position)["kind"] == "learned"
        asked |= {
            "blocks": len(set(stack.schedule)) * stack.hidden_dim,
            "width": stack.hidden_dim * stack.intermediate_dim,
            "places": (stack.max_sequence_length or 0) * has_table,
        }
        too_large = next((what for what, count in asked.items() if count > numbers), None)
        if too_large or len(stack.schedule) > MOST_STEPS:
            raise KzooError(
                f"{folder} has {numbers:,} numbers in {len(tensors)} tensors, and config.json asks "
                f"for more in its {too_large or 'layers'} alone: they don't belong together."
            )


def in_main_file(weights):
    """The weights by path without those of projections and generators: they have files there."""
    return {
        p: w for p, w in weights.items() if not p.startswith(("head/projection_", "generator/"))
    }


def _check_tensor(name, lazy, shape, folder):
    if lazy.shape != shape:
        raise KzooError(
            f"Tensor {name} in {folder} has the shape {list(lazy.shape)}; config.json asks for "
            f"{list(shape)}."
        )
    if "float" not in lazy.dtype:
        raise KzooError(
            f"Tensor {name} in {folder} is {lazy.dtype}; floating-point numbers are expected."
        )


def _sound(array, what):
    """The array, unless it holds NaN or infinity."""
    # NaN and infinity show in the extremes, which need no second array as isfinite would.
    if array.size and not np.isfinite([float(array.min()), float(array.max())]).all():
        raise KzooError(
            f"{what} holds NaN or infinite numbers: the file is damaged or the training diverged."
        )
    return array


def _token_rows(spec):
    """How many rows the table of tokens has: of towers that of the first that reads tokens."""
    slots = [spec.embedding] if isinstance(spec, Spec) else _embeddings(spec)
    for slot in slots:
        rows = completed("embedding", slot).get("vocabulary_size")
        if rows is not None:
            return rows
    return 0


def _embeddings(towers):
    """What the embedding slots of towers hold, the one that they share first."""
    shared = [towers.options["embedding"]] if "embedding" in towers.options else []
    return [*shared, *(tower.embedding for tower in towers.towers.values())]


# -- to there -----------------------------------------------------------------------------------


def config_of(model, family, spec, task_name, origin):
    """The object of config.json."""
    if not family.MODEL_TYPES:
        raise KzooError(
            f"Hugging Face has no class that computes what {family.__name__} does: keep the model "
            "as a preset (kzoo.save_preset) or a .keras file."
        )
    model_type = origin.model_type if origin else next(iter(family.MODEL_TYPES))
    suffixes = {task: suffix for suffix, task in reversed(family.CLASSES.items())}
    name = None if is_headless(task_name) else task_name
    if name not in suffixes and not (family.PREFIX and name in AROUND):
        raise KzooError(
            f"Hugging Face has no {family.__name__} class for a {task_name}; "
            f"{', '.join(filter(None, suffixes))}, TextEmbedder or a backbone is expected."
        )
    if model_type not in family.MODEL_TYPES:
        raise KzooError(
            f"This {family.__name__} says that it came from a {model_type!r}; it is "
            f"{' or '.join(family.MODEL_TYPES)} there: convert the checkpoint anew."
        )
    kept = dict(origin.config) if origin else {"dtype": "float32", "tie_word_embeddings": True}
    kind = completed("head", model.head_slot)["kind"] if name else None
    suffix = next((s for s, head in family.CLASS_HEADS.items() if head == kind), suffixes.get(name))
    usual = AROUND.get(name) or family.MODEL_TYPES[model_type] + suffix
    architecture = origin.architecture if origin else usual
    told = family.spec_there(spec, name)
    config = {**kept, "model_type": model_type, **config_from_spec(told, family, origin and kept)}
    config["architectures"] = [architecture] if architecture else []
    config |= _writing_ids(model, origin)
    if name:
        config |= _head_config(model, family, task_name)
    if name and family.ENDS:
        ends = model.task_options()["generation"].get("end_token_ids")
        if ends:
            put_at(config, family.ENDS[0], ends[0])
    labels = getattr(model, "labels", None)
    if labels and (not origin or labels != _labels(kept)):
        config["id2label"] = {str(i): label for i, label in enumerate(labels)}
        config["label2id"] = {label: i for i, label in enumerate(labels)}
    if _asks(task_name):
        if len(labels) == 1 and model.problem == "single_label":
            config.pop("problem_type", None)  # It takes that name for several labels only.
        elif model.problem != (_problem(kept) or "single_label"):
            config["problem_type"] = PROBLEM_TYPES[model.problem]
    return config


def _writing_ids(model, origin):
    """The tokens between which a model writes, by the keys that config.json has for them.

    Empty for a model that doesn't write, and where its source said which they are.
    """
    tokenizer = model.processors.get("tokenizer")
    writes = getattr(model, "rule", None) in ("continuation", "rewriting")
    if not writes or tokenizer is None or (origin and origin.tokenizer is tokenizer):
        return {}
    return {"bos_token_id": tokenizer.begin_id, "eos_token_id": tokenizer.end_id}


def _head_config(model, family, task_name):
    """What config.json says about the head, or an error when there is no such head there."""
    heads = _heads(family, task_name, model.spec)
    held, rate = without_dropout(model.head_slot)
    if held not in [without_dropout(head)[0] for head in heads]:
        raise KzooError(
            f"This {task_name} has the head {model.head_slot!r}; Hugging Face's {family.__name__} "
            f"has only {' or '.join(map(repr, heads))}: build it with that head to export it."
        )
    tied = None if family.WORDS else is_tied(held)
    config = {} if tied is None else {"tie_word_embeddings": tied}
    key, default = family.HEAD_DROPOUT.get(task_name, (None, None))
    if key is None:
        return config
    own = None if default is None else model.backbone.head_spec.dropout
    return config | {key: own if rate is None else rate}


def without_dropout(slot):
    """A head slot with all its options but the dropout, and the dropout."""
    held = completed("head", slot)
    rate = held.pop("dropout", None)
    return held, rate


def _outgoing(weights, family, spec, task_name, origin):
    """All tensors of the file to write, by name, not yet in memory."""
    headless = is_headless(task_name)
    prefix = "" if headless else family.PREFIX
    if origin:
        prefix = prefix_of(family, [name for names in origin.names.values() for name in names])
    table = Table(family, spec, weights, task_name, prefix)
    written = origin.names if origin else {p: table.names[p].primary for p in weights}
    # By tensor and not by weight: several weights may lie side by side in one tensor there.
    names = list(dict.fromkeys(name for path in weights for name in written[path]))
    unknown = [name for name in names if name not in table.tensors]
    if unknown:
        raise KzooError(
            f"This {family.__name__} says that it came from a file with {_listed(unknown)}, which "
            "it has no row for: convert the checkpoint anew."
        )
    dtypes = origin.dtypes if origin else {}
    tensors = {name: joined(name, table.tensors[name], weights, dtypes.get(name)) for name in names}
    tensors |= {name: Lazy.of(np.zeros((), "int64")) for name in table.counts}
    if origin:
        return tensors | {name: Lazy.of(array) for name, array in origin.carried.items()}
    tensors |= {prefix + n: Lazy.of(of(spec)) for n, of in family.COMPUTED.items()}
    alone = [("", family, spec)] if headless else []
    within = [
        (prefix + tower.PREFIX, tower, spec.towers[name])
        for name, tower in towers_in(family, spec).items()
    ]
    for there, tower, own in [*alone, *within]:
        pooler = _pooler_name(tower, own)
        if pooler and own.pooler == "none":
            # The class there always has one; without these zeros it would be drawn at random.
            width = own.hidden_dim
            tensors[f"{there}{pooler}.weight"] = Lazy.of(np.zeros((width, width), "float32"))
            tensors[f"{there}{pooler}.bias"] = Lazy.of(np.zeros(width, "float32"))
    return tensors


def joined(name, tensor, weights, dtype=None):
    """The weights of a tensor as it is written: in the dtype it came in, if that loses nothing."""
    from keras import ops

    def read():
        arrays = [ops.convert_to_numpy(weights[path]) for path in tensor.paths]
        return tensor.layout.there([_sound(array, name) for array in arrays])

    shape, own = tensor.shape(weights), str(weights[tensor.paths[0]].dtype)
    if dtype in (None, own):
        return Lazy(own, shape, read)
    with np.errstate(over="ignore"):
        array, there = read(), numpy_dtype(dtype)
        if not np.array_equal(array.astype(there).astype(array.dtype), array):
            return Lazy(own, shape, read)
    return Lazy(dtype, shape, lambda: read().astype(there))


def _write_tokenizer(folder, tokenizer, target, model, backbone, origin):
    """tokenizer.json, or the files of two models, and what transformers reads beside it."""
    if target is None:
        tokenizer.save(folder)
    else:
        tokenizer.save_two(folder, target)
    if origin and origin.tokenizer is tokenizer and origin.files:
        for name, text in origin.files.items():
            (folder / name).write_text(text, encoding="utf-8")
        return
    roles = {
        "pad_token": tokenizer.padding_id,
        "unk_token": tokenizer.unknown_id,
        "cls_token": tokenizer.start_id,
        "sep_token": tokenizer.separator_id,
        "mask_token": tokenizer.mask_id,
        # Those that a vocabulary has by chance are none.
        **{
            role: number if number in tokenizer.special_ids else None
            for role, number in (("bos_token", tokenizer.begin_id), ("eos_token", tokenizer.end_id))
        },
    }
    special = {role: tokenizer.id_to_token(i) for role, i in roles.items() if i is not None}
    if tokenizer.chat_template is not None:
        special |= tokenizer.chat_template.tokens
    segments = ["token_type_ids"] if "segment_ids" in backbone.input_names else []
    config = {
        # The first takes tokenizer.json as it is.
        "tokenizer_class": "PreTrainedTokenizerFast" if target is None else "MarianTokenizer",
        "model_max_length": getattr(model, "max_length", backbone.longest),
        "model_input_names": ["input_ids", *segments, "attention_mask"],
        "clean_up_tokenization_spaces": False,
        **special,
    }
    write_json(folder / "tokenizer_config.json", config)
    write_json(folder / "special_tokens_map.json", special)


def write_json(path, value):
    """Write a value as transformers writes its configurations."""
    text = json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False)
    path.write_text(text + "\n", encoding="utf-8")


def _listed(names, limit=8):
    """Names for an error: all of a few, the first of many."""
    names = list(names)
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + more
