"""Models as folders that KerasHub's `from_preset` loads."""

import json
from pathlib import Path

import numpy as np

from ...adapters import as_written
from ...errors import KzooError
from ...files import writing_folder
from ..config import config_from_spec
from ..huggingface import is_tied, joined, without_dropout
from ..origin import Origin
from ..rows import KERAS, Table
from ..safetensors import Lazy
from .preset_processors import holds, serialized, written_processors
from .preset_reading import CONFIG, METADATA, TASK_CONFIG, network_of, plain
from .preset_tables import MODEL, PRESETS
from .preset_weights import write_weights

VERSION = "0.32.0"


def to_kerashub(model, folder):
    """Write a model as a folder that KerasHub's classes load with `from_preset`.

    config.json, model.weights.h5 and metadata.json always; task.json and task.weights.h5 for a
    task; the files of its processors where the model has any. A model that came from KerasHub gets
    its tensors back as they were. What KerasHub has no place for, such as the labels, stands in
    metadata.json, where `from_kerashub` finds it. BERT of Hugging Face computes GELU
    exactly and KerasHub's doesn't: `backbone.with_spec(feedforward=...)` makes one that fits.

    Args:
        model: a backbone or task of a family that KerasHub has.
        folder: where to; a folder that is there may hold only what is written anew.

    Raises:
        KzooError: when no class there computes what this model does.
    """
    from ...network import Network, weights_by_path

    model = as_written(model)
    backbone = network_of(model)
    if not isinstance(backbone, Network):
        raise KzooError(f"to_kerashub takes a backbone or a task; {type(model).__name__} came.")
    task_name = None if backbone is model else model.task_name
    weights = weights_by_path(model)
    origin = Origin.of(model, "kerashub", weights)
    preset = _preset(backbone, origin, model.processors.get("tokenizer"))
    kept = plain(origin.config["network"], preset) if origin else None
    config = config_from_spec(backbone.spec, preset, kept)
    job = None if task_name is None else _task(model, preset, config, origin)
    config = {**(kept or {}), **config}
    beside = {key: config.pop(key) for key in preset.BESIDE if key in config}
    if getattr(model, "labels", None):
        beside |= {"labels": model.labels, "problem": model.problem}
    tensors = _outgoing(model, weights, preset, task_name, origin)
    network = _serialized(preset, config)
    names = job and job[0]
    files_of_processors, preprocessor = written_processors(preset, model, names)
    with writing_folder(Path(folder)) as tmp_path:
        _write(tmp_path / CONFIG, network)
        if job is not None:
            name, said = job
            said = {"backbone": network, "preprocessor": preprocessor, **said}
            _write(tmp_path / TASK_CONFIG, serialized(name, said))
        files = {}
        for name, lazy in tensors.items():
            file, _, path = name.partition("/")
            files.setdefault(file, {})[path] = lazy
        for file, held in files.items():
            write_weights(tmp_path / file, held)
        count = sum(int(np.prod(lazy.shape)) for lazy in files[MODEL].values())
        metadata = {"keras_hub_version": VERSION, "parameter_count": count, "kzoo": beside}
        _write(tmp_path / METADATA, metadata)
        for name, content in files_of_processors.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if isinstance(content, bytes):
                path.write_bytes(content)
            elif isinstance(content, str):
                path.write_text(content, encoding="utf-8")
            else:
                _write(path, content)


def _preset(backbone, origin, tokenizer):
    """What a backbone is there; of several classes for a family one that has its tokenizer."""
    family = type(backbone).family
    some = [preset for preset in PRESETS.values() if preset.family == family]
    if not some:
        known = sorted({preset.family for preset in PRESETS.values()})
        raise KzooError(
            f"KerasHub has no class that kzoo writes for {family!r}; it has {', '.join(known)}."
        )
    if origin:
        return PRESETS[origin.model_type]
    return next((preset for preset in some if tokenizer and holds(preset, tokenizer)), some[0])


def _task(model, preset, config, origin):
    """The class of a task there and what its config says beside backbone and preprocessor."""
    names = {task: name for name, (task, _) in preset.TASKS.items()}
    if model.task_name not in names:
        raise KzooError(
            f"KerasHub has no {model.task_name} of {preset.BACKBONE} that kzoo writes; "
            f"{', '.join(names) or 'no task'} or a backbone is expected."
        )
    name = names[model.task_name]
    tied = config.get("tie_embedding_weights", True)
    heads = [head for head in preset.TASKS[name][1] if is_tied(head) in (None, tied)]
    held, rate = without_dropout(model.head_slot)
    if held not in [without_dropout(head)[0] for head in heads]:
        raise KzooError(
            f"This {model.task_name} has the head {model.head_slot!r}; KerasHub's {name} has only "
            f"{' or '.join(map(repr, heads))}: build it with that head to export it."
        )
    said = dict(origin.config["task"]["config"]) if origin else {}
    said = {key: value for key, value in said.items() if key not in ("backbone", "preprocessor")}
    for key, value in preset.TASK_CONFIG.items():
        said[key] = value(model.spec) if callable(value) else value
    key, _ = preset.HEAD_DROPOUT.get(model.task_name, (None, None))
    if key:
        said[key] = model.backbone.head_spec.dropout if rate is None else rate
    if getattr(model, "labels", None):
        said["num_classes"] = len(model.labels)
    return name, said


def _serialized(preset, config):
    """A backbone as Keras serializes it, its towers too."""
    config = dict(config)
    for tower in preset.TOWERS.values():
        if tower.KEY:
            config[tower.KEY] = _serialized(tower, config[tower.KEY])
    return serialized(preset.BACKBONE, config)


def _outgoing(model, weights, preset, task_name, origin):
    """All tensors of the files to write, by file and path, not yet in memory."""
    table = Table(preset, model.spec, weights, task_name, preset.PREFIX, KERAS)
    written = origin.names if origin else {p: table.names[p].primary for p in weights}
    for path in table.zeros:
        if np.any(np.asarray(weights[path])):
            raise KzooError(
                f"This model's {path} is not zero everywhere; KerasHub's {preset.BACKBONE} has no "
                "such weight: such a model can't be exported to it."
            )
    held = (path for path in weights if path not in table.zeros)
    names = list(dict.fromkeys(name for path in held for name in written[path]))
    dtypes = origin.dtypes if origin else {}
    tensors = {name: joined(name, table.tensors[name], weights, dtypes.get(name)) for name in names}
    if origin:
        tensors |= {name: Lazy.of(array) for name, array in origin.carried.items()}
    for name, make in preset.ALWAYS.items():
        array = None if name in tensors else make(model.spec)
        if array is not None:
            tensors[name] = Lazy.of(array)
    return tensors


def _write(path, value):
    path.write_text(json.dumps(value, indent=4, ensure_ascii=False) + "\n", encoding="utf-8")
