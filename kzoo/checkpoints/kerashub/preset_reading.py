"""KerasHub's folders as models: config.json says which, task.json with which head."""

import re
from pathlib import Path

import numpy as np

from ... import processors
from ...answers import check_labels
from ...errors import KzooError
from ...files import read_json
from ...logs import hidden
from ...values import is_whole
from ..config import spec_from_config
from ..h5 import check_not_whole, read_h5
from ..huggingface import assign, is_tied
from ..origin import Origin
from ..rows import KERAS
from .preset_processors import read_processors
from .preset_tables import MODEL, PRESETS, TASK

SHARDS = "model.weights.json"  # where weights are in several files
CONFIG, TASK_CONFIG, METADATA = "config.json", "task.json", "metadata.json"
# What a head's activation there says of the problem; kzoo's logits come before it.
PROBLEMS = {None: None, "linear": None, "softmax": "single_label", "sigmoid": "multi_label"}


def sign(path):
    """By what a folder is known to be KerasHub's, see `formats`."""
    config = path / CONFIG
    if not config.is_file():
        return None
    try:
        name = read_json(config, "a model's configuration").get("registered_name")
    except KzooError:
        return None
    is_preset = isinstance(name, str) and re.match(r"keras_(hub|nlp)>", name)
    return f"{CONFIG} with {name:.60}" if is_preset else None


def read(path, task=None, tokenizer=None):
    """The model in a folder, see `formats`."""
    return from_kerashub(path, task, tokenizer)


@hidden()
def from_kerashub(folder, task=None, tokenizer=None):
    """The model in a folder that KerasHub's (or KerasNLP's) `save_to_preset` wrote.

    Reads config.json and model.weights.h5, and where there is task.json its head from
    task.weights.h5; the tokenizer's files and the image converter as well. What it takes to write
    the folder back is kept in the model's `origin`. A causal LM's tokenizer puts the start token
    before a text where add_start_token says so, as it does there by default.

    A folder may also be what an unpacked `.keras` file holds. Where there is neither, as in
    KerasNLP 0.6, two lines write a folder of a model there:

        model.save_weights("folder/model.weights.h5")
        json.dump(keras.saving.serialize_keras_object(model), open("folder/config.json", "w"))

    Args:
        folder: the folder.
        task: "backbone" for the backbone alone, whatever task the folder has.
        tokenizer: a `Tokenizer` to take in place of the folder's; False for none.

    Raises:
        KzooError: naming the file, the config key or the tensors that don't fit.
    """
    if task not in (None, "backbone"):
        raise KzooError(f'task is {task!r}; None or "backbone" is expected.')
    processors.checked("tokenizer", tokenizer or None)
    folder = Path(folder)
    network = _object(folder / CONFIG, "backbone")
    job = _object(folder / TASK_CONFIG, "task") if (folder / TASK_CONFIG).is_file() else None
    if "backbone" in network["config"]:  # The config of a task: KerasNLP 0.6 wrote no task.json.
        job, network = network, _checked(network["config"]["backbone"], folder / CONFIG, "backbone")
    preset = _preset(network, folder)
    held = plain(network, preset)
    given = read_processors(folder, _rows(held, preset), tokenizer, job, begins=task is None)
    beside = _beside(folder)
    padding = given["tokenizer"].padding_id if "tokenizer" in given else None
    if padding is not None and "padding_id" in preset.BESIDE:
        beside["padding_id"] = padding
    config = {**{k: v for k, v in beside.items() if k in preset.BESIDE}, **held}
    spec = spec_from_config(config, preset)
    model = _build(preset, spec, job if task is None else None, config, beside, given, folder)
    model.origin = Origin(
        preset.BACKBONE,
        job["class_name"] if job and task is None else None,
        {"network": network, "task": job},
        format="kerashub",
    )
    tensors = _tensors(folder, preset)
    if task == "backbone":
        tensors = {n: lazy for n, lazy in tensors.items() if not n.startswith(f"{TASK}/")}
    _check_places(tensors, preset, spec, folder)
    task_name = None if network_of(model) is model else model.task_name
    assign(model, preset, task_name, preset.PREFIX, tensors, folder, KERAS, _respelled)
    return model


def network_of(model):
    """The backbone of a model, or the model itself."""
    return getattr(model, "backbone", model)


def plain(held, preset):
    """The config of a serialized backbone, those of its towers in place."""
    config = dict(held["config"])
    for tower in preset.TOWERS.values():
        if tower.KEY:
            part = config.get(tower.KEY)
            config[tower.KEY] = _checked(part, f"{tower.KEY} in {CONFIG}", "tower")["config"]
    return config


def _rows(config, preset):
    """How many rows the table of tokens has; None of a model that reads none."""
    towers = (config[tower.KEY] for tower in preset.TOWERS.values() if tower.KEY)
    rows = (held.get("vocabulary_size") for held in (config, *towers))
    return next(filter(is_whole, rows), None)


def _object(path, what):
    """A serialized object of Keras: a class and its config."""
    return _checked(read_json(path, f"KerasHub's configuration of a {what}"), path, what)


def _checked(held, path, what):
    is_object = isinstance(held, dict) and isinstance(held.get("class_name"), str)
    if not is_object or not isinstance(held.get("config"), dict):
        raise KzooError(f"{path} has no class_name and config: those of a {what} are expected.")
    return held


def _preset(network, folder):
    name = network["class_name"]
    if name not in PRESETS:
        raise KzooError(
            f"{folder / CONFIG} has the class {name!r:.60}; kzoo reads "
            f"{', '.join(sorted(PRESETS))}."
        )
    return PRESETS[name]


def _beside(folder):
    """What kzoo keeps in metadata.json because KerasHub has no place for it."""
    path = folder / METADATA
    held = read_json(path, "a preset's metadata").get("kzoo", {}) if path.is_file() else {}
    if not isinstance(held, dict):
        raise KzooError(f"{path} has kzoo = {held!r:.40}; a JSON object is expected.")
    return dict(held)


def _build(preset, spec, job, config, beside, given, folder):
    """The model with weights still at random."""
    from ...models import FAMILIES
    from ...tasks import TASKS

    def backbone(pooler):
        network = FAMILIES[preset.family](spec.replace(pooler=pooler) if pooler else spec)
        network.processors = given
        return network

    if job is None:
        return backbone(preset.POOLER)
    name = job["class_name"]
    known = {old_name(there): entry for there, entry in preset.TASKS.items()} | preset.TASKS
    if name not in known:
        raise KzooError(
            f"{folder / TASK_CONFIG} has the class {name!r:.60}; of {preset.BACKBONE} kzoo reads "
            f"{', '.join(preset.TASKS) or 'the backbone alone'}; leave out the head with "
            'task="backbone".'
        )
    task_name, heads = known[name]
    said = job["config"]
    for key, value in preset.TASK_CONFIG.items():
        expected = value(spec) if callable(value) else value
        if said.get(key, expected) != expected:
            raise KzooError(
                f"{folder / TASK_CONFIG} has {key} = {said[key]!r:.40}; kzoo computes only "
                f"{expected!r}."
            )
    tied = config.get("tie_embedding_weights", True)
    head = next(head for head in heads if is_tied(head) in (None, tied))
    head = {"kind": head} if isinstance(head, str) else dict(head)
    pooler = preset.POOLER if head["kind"] == "pooled" else None
    key, default = preset.HEAD_DROPOUT.get(task_name, (None, None))
    options = {"head": head if key is None else head | {"dropout": said.get(key, default)}}
    if TASKS[task_name].names_labels:
        options["labels"] = _labels(said, beside, folder)
        options["problem"] = beside.get("problem") or _problem(said, folder)
    return TASKS[task_name](backbone(pooler), **options)


def old_name(name):
    """What KerasNLP called a class of KerasHub."""
    return name.replace("TextClassifier", "Classifier")


def _labels(said, beside, folder):
    count = said.get("num_classes")
    if not is_whole(count, 1, 2**20):
        raise KzooError(
            f"{folder / TASK_CONFIG} has num_classes = {count!r:.40}; 1 or more is expected."
        )
    labels = beside.get("labels") or [f"LABEL_{i}" for i in range(count)]
    if not isinstance(labels, list) or len(labels) != count:
        raise KzooError(
            f"{folder / METADATA} has labels = {labels!r:.40}; a list of {count}, the num_classes "
            f"of {TASK_CONFIG}, is expected."
        )
    check_labels(labels, f"labels in {METADATA}")
    return labels


def _problem(said, folder):
    """The problem that a classifier solves, or None where task.json doesn't say."""
    name = said.get("activation")
    if not isinstance(name, str | None) or name not in PROBLEMS:
        raise KzooError(
            f"{folder / TASK_CONFIG} has activation = {name!r:.60}; kzoo knows "
            f"{', '.join(map(str, PROBLEMS))}."
        )
    return PROBLEMS[name]


def _tensors(folder, preset):
    """All tensors of the files, those of the optimizer left out."""
    files = [folder / name for name in (MODEL, TASK) if (folder / name).is_file()]
    if folder / MODEL not in files:  # Weights that a model saved by another name?
        files = [path for path in sorted(folder.glob("*.weights.h5")) if path.name != TASK]
        if (folder / SHARDS).is_file():
            raise KzooError(
                f"{folder} has its weights in shards ({SHARDS}), which kzoo doesn't read; expected "
                f"one {MODEL}: save it by KerasHub with a larger max_shard_size."
            )
        if len(files) != 1:
            raise KzooError(f"{folder / MODEL} is missing: KerasHub's weights are expected there.")
    whole = len(files) == 1
    found = {}
    for path in files:
        check_not_whole(path, "KerasHub", "save_to_preset")
        file = path.name if path.name == TASK else MODEL
        for name, lazy in read_h5(path).items():
            if not name.startswith("optimizer/"):
                found[f"{file}/{name}"] = lazy
    inside = re.compile(rf"{MODEL}/layers/\w*_backbone/")
    if whole and any(map(inside.match, found)):  # A task that was saved with its backbone.
        return {
            inside.sub(f"{MODEL}/", name)
            if inside.match(name)
            else name.replace(MODEL, TASK, 1): lazy
            for name, lazy in found.items()
        }
    return found


def _check_places(tensors, preset, spec, folder):
    """Whether whole numbers in a file say what kzoo computes: those of a CLIP made anew don't."""
    for name, make in preset.ALWAYS.items():
        is_count = name in tensors and "int" in tensors[name].dtype
        if is_count and not np.array_equal(tensors[name].read(), make(spec)):
            raise KzooError(
                f"Tensor {name} in {folder} doesn't count places from 0, which kzoo expects: "
                "KerasHub leaves zeros there unless weights were converted from elsewhere."
            )


def _respelled(tensors, table):
    """The tensors by the names that Keras 3 and KerasHub have for them.

    Keras 2 has the parts of attention as private ones, and tables of tokens beside the layers.
    """
    known = {_spelling(name): name for name in [*table.tensors, *table.unused]}
    return {known.get(_spelling(name), name): lazy for name, lazy in tensors.items()}


def _spelling(name):
    for of_tokens in ("reversible_embedding", "token_and_position_embedding/token_embedding"):
        name = name.replace(f"/layers/{of_tokens}/", "/token_embedding/")
    return re.sub("/_", "/", name)
