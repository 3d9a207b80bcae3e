"""Presets: folders that say what a model is, and hold its weights when they are small.

A preset folder holds `spec.json` and `card.json`; for tasks `task.json`; maybe `tokenizer.json`
and `weights.safetensors`, and `origin.*` where the model came from another library. The card holds
the SHA-256 of the files of tensors and of tokenizers, whose changes would not keep a model from
loading, and the paths of the weights that stand still, if any. Weights may be stored as whole
numbers, see `stored`.
"""

import json
import re
from pathlib import Path

from . import processors
from .checkpoints import formats
from .errors import KzooError
from .files import MANIFEST, read_json, sha256, within, writing_folder
from .logs import hidden
from .stored import read_weights, write_weights

HERE = Path(__file__).parent
CARD, WEIGHTS = "card.json", "weights.safetensors"
LONGEST_REASON = 200  # characters of what Keras says
ARCHIVES = (".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz")
HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")  # a repository of the hub, where a card names one


def shipped(kind):
    """The folder of what ships as data: "presets" or "export", in the wheel or the checkout."""
    inside = HERE / f"{kind}_data"
    return inside if inside.is_dir() else HERE.parent / kind


def names():
    """The names of the presets that ship with kzoo, sorted."""
    return sorted(path.parent.name for path in shipped("presets").glob("*/spec.json"))


def find(name_or_folder):
    """The folder of a preset, from its name or its path."""
    text = str(name_or_folder)
    folder = Path(text)
    if (folder / "spec.json").is_file():
        return folder
    inside = shipped("presets") / text
    if text and folder.name == text and (inside / "spec.json").is_file():
        return inside
    if not text:
        raise KzooError("Got an empty name; expected the name or the folder of a preset.")
    if (folder / MANIFEST).is_file():
        raise KzooError(
            f"Got {text}, a bundle; expected a preset or a Hugging Face folder: bundles are what "
            "kzoo.predict_bundle, kzoo predict and kzoo generate take."
        )
    if folder.is_dir():
        raise KzooError(formats.unknown(folder))
    if folder.exists():
        hint = "give the folder that it lies in, with its configuration"
        if folder.suffix in ARCHIVES:
            hint = "unpack it, and give the folder"
        raise KzooError(
            f"{text} is a file; expected the folder of a model, or a .keras file: {hint}."
        )
    import difflib

    begins = sorted((name for name in names() if text and name.startswith(text)), key=len)
    near = begins[:3] or difflib.get_close_matches(text, names(), n=3, cutoff=0.4)
    hint = f"did you mean {', '.join(near)}?" if near else "`kzoo list` shows them all."
    if text.count("/") == 1 and not text.startswith((".", "/")):
        hint += f" A repository of the hub is read by kzoo.from_huggingface({text!r})."
    raise KzooError(f"No preset or folder is called {text!r}: {hint}")


def warn_if_random(name, model):
    """Warn of a preset without weights that a task is to stand on."""
    if has_weights(name):
        return
    import warnings

    tokenizer = "" if any(model.processors.values()) else " and no tokenizer"
    source = _hub_id(find(name))
    hint = f": kzoo.from_huggingface({source!r}) reads published ones." if source else "."
    warnings.warn(
        f"The preset {name} holds no weights{tokenizer}, so the task starts at random{hint}",
        stacklevel=6,
    )


def card(name_or_folder):
    """The card of a preset: a dict with summary, family, parameters, paper, source, license."""
    return read_json(find(name_or_folder) / CARD, "the preset's card")


def read_spec(name_or_folder):
    """The spec of a preset."""
    from .spec import Spec

    return Spec.from_dict(read_json(find(name_or_folder) / "spec.json", "the preset's spec"))


def read_task(name_or_folder):
    """What a preset says that its task is, (name, config), without building it.

    None of a backbone, and of files that other libraries or `save()` wrote.
    """
    from . import tasks

    if not _is_preset(name_or_folder):
        return None
    path = find(name_or_folder) / "task.json"
    if not path.is_file():
        return None
    task = read_json(path, "the preset's task")
    kind, config = task.get("task"), task.get("config")
    if not isinstance(kind, str) or kind not in tasks.TASKS:
        raise KzooError(f"{path} names the task {kind!r}; known: {', '.join(tasks.TASKS)}.")
    if not isinstance(config, dict):
        raise KzooError(f"{path} has the config {config!r:.40}; the task's arguments are expected.")
    return kind, config


def class_of(name_or_folder):
    """The class of what `load` gives, without building it.

    None where only reading tells: of files that other libraries or `save()` wrote.
    """
    from . import tasks
    from .models import family_of

    if not _is_preset(name_or_folder):
        return None
    task = read_task(name_or_folder)
    return family_of(read_spec(name_or_folder)) if task is None else tasks.TASKS[task[0]]


def check_has_weights(name_or_folder, why):
    """Raise KzooError for a preset without weights; `why` says what it means for the caller.

    Hugging Face's folders always hold weights, or their reader says that they don't; so does a
    `.keras` file.
    """
    if not has_weights(name_or_folder):
        raise KzooError(
            f"The preset {name_or_folder} holds no weights, so {why}: train it first"
            f"{_published(find(name_or_folder))}."
        )


def has_weights(name_or_folder):
    """Whether a preset, or a file or folder of another kind, holds weights."""
    return not _is_preset(name_or_folder) or (find(name_or_folder) / WEIGHTS).is_file()


def _is_preset(name_or_folder):
    """Whether something is read as a preset; not what other libraries or `save()` wrote."""
    path = Path(str(name_or_folder))
    is_keras = path.suffix == ".keras" and not path.is_dir()
    return not is_keras and formats.recognised(path) is None


def _published(folder):
    """How to get weights, those that the card names where it does, as the end of a sentence."""
    source = _hub_id(folder)
    if source is None:
        return ", or convert a checkpoint that has them"
    return f", or get published ones by `kzoo convert {source} FOLDER`"


def _hub_id(folder):
    """The repository of the hub that a preset's card names as its source, or None."""
    source = str(card(folder).get("source")) if (folder / CARD).is_file() else ""
    return source if HUB_ID.fullmatch(source) else None


def load(name_or_folder):
    """The model of a preset: its task if it has one, else the backbone.

    What another library wrote is known by its files, as `kzoo.recognised` says, and read; a
    `.keras` file as Keras does. Weights that the preset doesn't hold start at random; those that
    it does are the ones that were saved, or KzooError says so.
    """
    folder = Path(str(name_or_folder))
    with hidden():
        if folder.suffix == ".keras" and not folder.is_dir():
            return _load_keras(folder)
        if formats.recognised(folder):
            return formats.read(folder)
        from .checkpoints.origin import Origin

        folder = find(name_or_folder)
        _check_sums(folder)
        model = empty(folder)
        if (folder / WEIGHTS).is_file():
            read_weights(model, folder / WEIGHTS)
        _freeze(model, folder / CARD)
        model.origin = Origin.load(folder, model.processors.get("tokenizer"))
        return model


def _check_sums(folder):
    """Raise KzooError unless the files of tensors are those that the card was written beside."""
    path = folder / CARD
    sums = read_json(path, "the preset's card").get("sha256", {}) if path.is_file() else {}
    if not isinstance(sums, dict):
        raise KzooError(
            f"{path} has sha256 {sums!r:.60}; the SHA-256 of files beside it, by their names, are "
            "expected: save the preset anew."
        )
    for name, expected in sums.items():
        file = within(folder, name, f"sha256 in {path}")
        if not file.is_file():
            raise KzooError(
                f"{file} is missing: {CARD} says that the preset holds it; fetch it again."
            )
        actual = sha256(file)
        if actual != expected:
            raise KzooError(
                f"{file} was changed after it was saved: its SHA-256 begins with {actual[:12]}, "
                f"and {CARD} says {str(expected)[:12]}; fetch it again, or save the preset anew."
            )


def _freeze(model, path):
    """Let stand still what the card says did when the preset was saved."""
    from .network import freeze, weights_by_path

    still = read_json(path, "the preset's card").get("frozen") if path.is_file() else None
    if still is None:
        return
    known = weights_by_path(model)
    if not isinstance(still, list) or not all(isinstance(p, str) and p in known for p in still):
        raise KzooError(
            f"{path} has frozen {still!r:.60}; a list of paths of this model's weights, such as "
            f"{next(iter(known))!r}, is expected: save the preset anew."
        )
    freeze(model, still)


def _load_keras(path):
    import warnings
    import zipfile

    import keras

    from . import models, tasks  # noqa: F401  (Keras must know their classes)

    if not path.exists():
        raise KzooError(f"{path} is missing: a file that save() wrote is expected.")
    if not zipfile.is_zipfile(path):
        raise KzooError(
            f"{path} is no .keras file, or only a part of one: a file that save() wrote is "
            "expected."
        )
    _check_is_ours(path)
    try:
        return keras.saving.load_model(path)
    except (KzooError, OSError):
        raise
    except Exception as error:  # Keras lets through what zip, HDF5 and its own classes raise.
        reason = _first_words(error)
    try:  # A loss of the user's own, unknown here, is no reason to go without the model.
        model = keras.saving.load_model(path, compile=False)
    except Exception:  # The same: it is no such file at all, for the reason given first.
        raise KzooError(
            f"{path} can't be loaded ({reason}): a model that save() wrote is expected."
        ) from None
    warnings.warn(
        f"{path} is not compiled: what it was compiled with can't be read ({reason}).",
        stacklevel=3,
    )
    return model


def _first_words(error):
    """What an error says, without the configuration that Keras shows whole."""
    line = str(error).strip().split("\n")[0].partition(" Full object config")[0].rstrip(".")
    return line if len(line) <= LONGEST_REASON else f"{line[:LONGEST_REASON]} ..."


def _check_is_ours(path):
    """Raise KzooError for a file of KerasHub or KerasNLP, which is read unpacked."""
    import zipfile

    try:
        with zipfile.ZipFile(path) as held:
            name = json.loads(held.read("config.json"))["registered_name"]
    except (KeyError, TypeError, ValueError, OSError, RuntimeError, zipfile.BadZipFile):
        return  # Keras, which reads it next, says what is wrong with it.
    if str(name).startswith(("keras_hub>", "keras_nlp>")):
        raise KzooError(
            f"{path} holds {name:.60}; expected a model of kzoo: unpack the file (unzip "
            f"{path.name} -d FOLDER) and name the folder, which is read."
        )


def load_backbone(name_or_folder, load_weights=True):
    """The backbone of a preset, without the head of its task."""
    model = load(name_or_folder) if load_weights else empty(find(name_or_folder))
    return getattr(model, "backbone", model)


def save_preset(model, folder, card=None, rounded=None):
    """Write a backbone or a task as a preset folder, whole or not at all.

    Args:
        model: a `Network` or a task.
        folder: where to.
        card: fields of `card.json` beside those the model tells itself.
        rounded: what is stored as int8, see `round_weights`; exact only if the weights lie on that
            grid. None for float32.
    """
    from .network import frozen, parameters_of, weights_by_path

    spec, weights, still = model.spec, weights_by_path(model), frozen(model)
    fields = {
        "summary": spec.summary,
        "family": spec.family,
        "parameters": parameters_of(model),
        **{name: value for name, value in (card or {}).items() if name != "frozen"},
        "weights": True,
        **({"frozen": still} if still else {}),
    }
    with writing_folder(folder) as tmp_path:
        _write_json(tmp_path / "spec.json", spec.to_dict())
        if hasattr(model, "backbone"):
            config = model.get_config()
            del config["backbone"]
            _write_json(tmp_path / "task.json", {"task": model.task_name, "config": config})
        processors.save(model.processors, tmp_path)
        if getattr(model, "origin", None) is not None:
            model.origin.save(tmp_path)
        write_weights(weights, tmp_path / WEIGHTS, rounded)
        bound = (*tmp_path.glob("*.safetensors"), *tmp_path.glob("*tokenizer.json"))
        sums = {path.name: sha256(path) for path in sorted(bound)}
        _write_json(tmp_path / CARD, {**fields, "sha256": sums})


def empty(folder):
    """The model of a preset folder with weights at random."""
    from . import tasks
    from .models import build

    backbone = build(read_spec(folder))
    backbone.processors = processors.load(folder)
    task, path = read_task(folder), folder / "task.json"
    if task is None:
        return backbone
    kind, config = task
    try:
        return tasks.TASKS[kind](backbone, **config)
    except KzooError:
        raise
    except (AttributeError, TypeError, ValueError) as error:
        raise KzooError(
            f"{path} has a config that no {kind} can be made of ({error}): save the preset anew."
        ) from None


def _write_json(path, value):
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
