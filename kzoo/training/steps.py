"""A compression written down: which steps make a smaller model of a model, one after the other.

Each step maps a model to a model and is written as a preset, so that a run that was stopped goes on
behind the last one that was finished, and any two may follow each other.
"""

import contextlib
import inspect
import json
import shutil
import time
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import keras
import numpy as np

from .. import compression, presets
from ..adapters import as_written
from ..errors import KzooError
from ..files import read_json, writing_folder
from ..network import parameters_of
from ..stored import ROUNDED, round_weights
from ..tasks.task import Task
from ..values import an, is_whole
from . import recipe as trainings
from .facts import READ, fact
from .strategy import check_alone

# Every key of a recipe with its default; without one, the key is required.
REQUIRED = trainings.REQUIRED
KEYS = {
    "summary": "",  # One sentence for the card of what comes out.
    "model": REQUIRED,  # The preset's name or folder that is made smaller.
    "output": REQUIRED,  # The preset folder to write.
    # What is done, in order: {"step": one of `STEPS`, its options}, and the options of those alone
    # that its function in kzoo/compression has. A "train" step takes the keys of a training recipe.
    "steps": REQUIRED,
    # Examples, as a training recipe has them; what steps look at and learn from.
    "train": None,
    "validation": None,
    # A labelled file by which nothing is chosen: the scores on it, before and after, are told.
    "test": None,
    "text": None,
    "label": None,
    "seed": 0,
}
RECORD = "compression.json"
FILES = {*trainings.FILES, RECORD}
EXAMPLES = 512  # that a step looks at where it says nothing else; of 0 it looks at none
FEW = 8  # that it looks at where it is only tried


@dataclass(frozen=True)
class Step:
    """A step by its name in a recipe.

    Args:
        function: of a model, `Known` and the step's options, which gives a model and a report.
        options: the names of these; `required` those without a default.
    """

    function: object
    options: tuple
    required: tuple = ()


@dataclass
class Known:
    """What steps have beside the model.

    Args:
        settings: the recipe's, with every key.
        folder: the preset of the model, as the step before wrote it.
        output: the folder that the step's own is written to.
        verbose: as Keras' `fit` has it.
        say: see `compress`.
        found: what was read.
    """

    settings: dict
    folder: str
    output: Path
    verbose: object = "auto"
    say: object = None
    found: dict = field(default_factory=dict)

    def examples(self, model, key="train"):
        """The examples of the recipe's file, as the model takes them; None where it names none."""
        if not self.found:
            self.found |= dict(
                zip(("train", "validation"), read(self.settings, model), strict=True)
            )
        return self.found[key]

    def some(self, model, count):
        """So many of the examples, (x, y), drawn by the seed; None for 0, or without any."""
        if not is_whole(count, 0):
            raise KzooError(
                f"Got examples={count!r:.40} in a step; expected how many it looks at, or 0."
            )
        found = self.examples(model) if count else None
        if found is None:
            return None
        draw = np.random.default_rng(self.settings["seed"])
        some = draw.permutation(len(found))[:count]
        return tuple(found.part(sorted(some.tolist())))


def read(settings, model):
    """What is learnt from and what is held out, or None of each, as the model takes them."""

    def examples_of(path):
        found = model.read_file(path, settings["text"], settings["label"], model.targets)
        return model.understand(found, getattr(model, "problem", None), model.labels, False)[1]

    held = settings["validation"]
    if settings["train"] is None:
        return None, None
    if isinstance(held, float):
        return model.hold_out(examples_of(settings["train"]), held, settings["seed"])
    return examples_of(settings["train"]), None if held is None else examples_of(held)


def _trim(model, known, texts=None, held_out=None, **options):
    """Texts are those of the examples, unless the step names a file of lines."""
    given = known.examples(model) if texts is None else None
    if given is None and texts is None:
        raise KzooError(
            'Got the step trim without texts; expected "train" in the recipe, or "texts" in the '
            "step: a file of lines."
        )
    x = list(given.x) if texts is None else _lines(texts)
    held = known.examples(model, "validation") if held_out is None else None
    held = _lines(held_out) if held is None and held_out is not None else held and list(held.x)
    return compression.trim(model, x, held_out=held or None, **options)


def _prune(model, known, examples=EXAMPLES, **options):
    data = known.some(model, examples)
    if data is not None:
        data = model.measured_by(*data)
        if not model.compiled:
            model.compile(loss=model.loss_without_targets() if data[1] is None else None)
    return compression.prune(model, data=data, say=known.say, **options)


def _cut(model, known, schedule):
    if not isinstance(schedule, list) or not all(is_whole(step, 0) for step in schedule):
        raise KzooError(
            f"Got schedule={schedule!r:.40} in a step cut; expected a list of the blocks that "
            "stay, such as [0, 1, 4, 5]."
        )
    return compression.cut(model, schedule), {"blocks": schedule}


def _shrink(model, known):
    return compression.shrink(model)


def _factorize(model, known, examples=EXAMPLES, **options):
    data = known.some(model, examples)
    return compression.factorize(model, data=data and data[0], **options)


def _quantize_aware(model, known, examples=EXAMPLES, most=None, **options):
    """With `most` as `mixed` has it, else as `quantize_aware`."""
    data = known.some(model, examples)
    if data is None:
        raise KzooError(
            "Got the step quantize_aware without examples, of which ranges are found; expected "
            '"train" in the recipe, and "examples" of 1 or more.'
        )
    if most is None:
        return compression.quantize_aware(model, data[0], **options)
    return compression.mixed(model, data[0], most)


def _four_bits(model, known):
    return compression.four_bits(model)


def _sparsify(model, known, **options):
    return compression.sparsify(model, **options)


def _round(model, known, what="tables"):
    """Weights as a preset keeps them in the least room: see `stored.round_weights`."""
    round_weights(model, what)
    return model, {"rounded": what}


def _train(model, known, **options):
    problem = getattr(model, "problem", None)
    options = options if problem is None else {"problem": problem, **options}
    asked = _training(known.settings, options, known.folder, known.output)
    # Another training's checkpoint in its place is from another recipe of steps.
    fresh = not trainings.can_resume(asked)

    def told(event):
        known.say(f"epoch {event['epoch']} of {event['epochs']}, loss {event['loss']:.4g}")

    events = {} if known.say is None else {"on_event": told}
    task, history = trainings.train(asked, verbose=known.verbose, fresh=fresh, **events)
    return task, {"history": history.history}


def _training(settings, options, model, output):
    """A training recipe from the model on; a teacher without a model is the recipe's own."""
    own = {key: settings[key] for key in ("train", "validation", "text", "label", "seed")}
    asked = {**{key: value for key, value in own.items() if value is not None}, **options}
    if isinstance(teacher := options.get("teacher"), dict):
        asked["teacher"] = {"model": settings["model"], **teacher}
    return {**asked, "model": str(model), "output": str(output)}


def _of(function, wrapper, *given):
    """A step whose options are those of a function and of its wrapper, without what is given."""
    named = {}
    for each, first in ((wrapper, 2), (function, 1)):
        parameters = list(inspect.signature(each).parameters.values())[first:]
        for parameter in parameters:
            if parameter.kind is not parameter.VAR_KEYWORD and parameter.name not in given:
                named.setdefault(parameter.name, parameter.default)
    required = [name for name, default in named.items() if default is inspect.Parameter.empty]
    return Step(wrapper, tuple(named), tuple(required))


STEPS = {
    "trim": _of(compression.trim, _trim),
    "prune": _of(compression.prune, _prune, "data", "say"),
    "cut": _of(compression.cut, _cut),
    "shrink": _of(compression.shrink, _shrink),
    "factorize": _of(compression.factorize, _factorize, "data"),
    "sparsify": _of(compression.sparsify, _sparsify),
    "quantize_aware": _of(compression.quantize_aware, _quantize_aware),
    "four_bits": _of(compression.four_bits, _four_bits),
    "round": Step(_round, ("what",)),
    "train": Step(_train, tuple(k for k in trainings.KEYS if k not in ("model", "output"))),
}


def compress(recipe, verbose="auto", say=None, on_step=None, measure=None):
    """Follow a recipe of steps: a smaller preset, with `compression.json` beside it.

    Steps that were finished lie in `<output>.steps`, each as a preset, until the last one is. A run
    of the same recipe goes on behind them.

    Args:
        recipe: the path of a JSON file, or a dict, with the keys of `KEYS`. Paths in a file are
            relative to its folder.
        verbose: as Keras' `fit` has it.
        say: called with a line of text before each step, and before what takes long in one.
        on_step: called with a dict for each step that is done: its `number` of how many (`of`),
            the `step` and its `options`, the parameters `before` and `after` it, `seconds`, and
            whether an earlier run did it (`done_before`).
        measure: a function of a task and examples that gives {measure: value}, such as
            `kzoo.evaluation.scores_of`. It gets those of the file that is the recipe's `test`, or
            else of its `validation` if that says what is right.

    Returns:
        The model, and the record: {"recipe", "steps": a list of {"step", "parameters", "report",
        "seconds"}, "parameters": of the model before, "scores": {"file", "before", "after"} where
        something was measured, "versions"}.

    Raises:
        KzooError: for keys, steps and options that aren't known, all before the first step; and
            what a step refuses, before anything learns. Its note says where finished steps are.
    """
    say = say or (lambda line: None)
    on_step = on_step or (lambda step: None)
    check_alone("a recipe of steps")
    settings = read_recipe(recipe)
    output, source = Path(settings["output"]), Path(settings["model"])
    if source.exists() and output.resolve() == source.resolve():
        raise KzooError(f"Got {output} as the model and as the output; expected another folder.")
    if output.exists() and not output.is_dir():
        raise KzooError(f"Got {output} as the output, which is a file; expected a folder.")
    kept = sorted(file.name for file in output.glob("*") if file.name not in FILES)
    if kept:
        raise KzooError(f"{output} holds {kept[0]}, which would be lost: name another folder.")
    presets.check_has_weights(settings["model"], "there is nothing to make smaller")
    steps_folder = output.resolve().with_name(output.resolve().name + ".steps")
    names = [f"{number}-{step['step']}" for number, step in enumerate(settings["steps"])]
    keras.utils.set_random_seed(settings["seed"])
    model, folder = presets.load(settings["model"]), settings["model"]
    if not isinstance(model, Task):
        raise KzooError(
            f"Got {settings['model']}, {an(type(model).__name__)} without a task; expected a task, "
            "such as a preset that kzoo train wrote."
        )
    paths = settings.pop("paths")
    record = {
        "recipe": {**settings, **paths},
        "parameters": _count(model),
        "steps": [],
        "versions": {"keras": keras.__version__, "backend": keras.backend.backend()},
    }
    general = ("model", "seed", "train", "validation", "text", "label")
    facts = [record["versions"], fact({key: settings[key] for key in general})]
    scored = _scored(settings, model, measure)
    if scored:
        key, score, first = scored
        record["scores"] = {"file": paths[key], "before": first}
    found, count = {}, len(settings["steps"])
    with _kept(steps_folder):
        for number, asked in enumerate(settings["steps"]):
            name, options = asked["step"], {k: v for k, v in asked.items() if k != "step"}
            facts = [*facts, name, fact(options)]
            own, before = steps_folder / names[number], _count(model)
            done = _finished(own, facts)
            told = {"number": number + 1, "of": count, "step": name, "options": options}
            told |= {"before": before, "done_before": bool(done)}
            title = f"Step {number + 1} of {count}, {name}"
            say(title + ": done before" * bool(done))
            if done:
                model = presets.load(own)
            else:
                # What is there is a step of another recipe, or half of this one.
                shutil.rmtree(own, ignore_errors=True)
                keras.utils.set_random_seed(settings["seed"])
                within = partial(_say_within, say, title)
                known = Known(settings, str(folder), own, verbose, within, found)
                if name == "train":
                    _try(model, settings["steps"], number + 1, known)
                    keras.utils.set_random_seed(settings["seed"])
                start = time.monotonic()
                with _told(number, name):
                    model, report = STEPS[name].function(model, known, **options)
                seconds = round(time.monotonic() - start, 1)
                done = {"step": name, "parameters": _count(model), "report": report}
                done |= {"seconds": seconds, "facts": facts}
                _write(model, own, own, settings["summary"], done)
            record["steps"].append({k: v for k, v in done.items() if k != "facts"})
            on_step({**told, "after": done["parameters"], "seconds": done["seconds"]})
            folder = own
        if scored:
            record["scores"]["after"] = score(model)
        _write(model, folder, output, settings["summary"], record)
    for name in names:
        # What a killed run had begun to write is hidden beside it.
        for path in (steps_folder / name, *steps_folder.glob(f".{name}.*")):
            shutil.rmtree(path, ignore_errors=True)
    with contextlib.suppress(OSError):  # Somebody else's files stay.
        steps_folder.rmdir()
    return model, record


@contextlib.contextmanager
def _kept(folder):
    """What ends a run, an error or Ctrl-C, also says where what was done is, and how to go on."""
    try:
        yield
    except BaseException as error:
        if folder.is_dir():
            error.add_note(
                f"What was done until then is kept in {folder}: follow the recipe again, mended "
                "from this step on if need be, and it goes on from there."
            )
        raise


def _score(measure, examples, model):
    return measure(model, examples)


def _say_within(say, title, line):
    say(f"{title}: {line}")


def _scored(settings, model, measure):
    """What measures on the file that a recipe names for it: its key, a function, the score before.

    None without such a file. What a training validates with may hold nothing to measure by, as
    where a teacher gives the answers.
    """
    for key in ("test", "validation"):
        if measure is None or not isinstance(settings[key], str):
            continue
        with contextlib.suppress(*[KzooError] * (key == "validation")):
            found = model.read_file(settings[key], settings["text"], settings["label"], "required")
            problem = getattr(model, "problem", None)
            score = partial(
                _score, measure, model.understand(found, problem, model.labels, False)[1]
            )
            return key, score, score(model)
    return None


@contextlib.contextmanager
def _told(number, name):
    """What a step refuses says which step it was."""
    try:
        yield
    except KzooError as error:
        raise KzooError(f"Step {number + 1}, {name}: {error}") from error


def _try(model, steps, first, known):
    """What steps from number `first` on refuse, they refuse here, of what hasn't learnt.

    Each looks at a few examples. One that needs what was learnt isn't tried, nor what follows it.
    """
    for number, step in enumerate(steps[first:], first):
        name, options = step["step"], {k: v for k, v in step.items() if k != "step"}
        if name == "shrink":
            return
        if name not in ("train", "round"):  # They change no shape.
            if "examples" in STEPS[name].options and options.get("examples") != 0:
                options["examples"] = FEW
            with _told(number, name):
                model, _ = STEPS[name].function(model, known, **options)


def read_recipe(recipe):
    """The settings of a recipe, every key filled in and checked."""
    settings, base = trainings.filled(recipe, KEYS, "a compression recipe")
    settings["paths"] = {}
    for key in ("model", "output", "train", "validation", "test"):
        if isinstance(settings[key], (str, Path)):
            settings["paths"][key] = str(settings[key])
            path = base / settings[key]
            settings[key] = str(path if key != "model" or path.exists() else settings[key])
    held = settings["validation"]
    for key, fits, expected in (
        ("model", isinstance(settings["model"], str), "a preset's name or folder"),
        ("output", isinstance(settings["output"], str), "a folder"),
        ("seed", is_whole(settings["seed"], 0, 2**32 - 1), "a whole number from 0 to 2**32 - 1"),
        ("summary", isinstance(settings["summary"], str), "text"),
        ("train", isinstance(settings["train"], (str, type(None))), "a file or a folder"),
        (
            "validation",
            isinstance(held, (str, type(None))) or (isinstance(held, float) and 0 < held < 1),
            "a file, a folder or a share between 0 and 1",
        ),
        ("test", isinstance(settings["test"], (str, type(None))), "a file or a folder"),
        ("steps", isinstance(settings["steps"], list) and settings["steps"], "a list of steps"),
    ):
        if not fits:
            raise KzooError(f"{key} in the recipe is {settings[key]!r:.60}; expected {expected}.")
    for key in ("train", "validation", "test"):
        path = settings[key]
        # A pattern of a corpus names no file itself.
        if isinstance(path, str) and not Path(path).exists() and not set("*?[") & set(path):
            raise KzooError(f"{path}, {key} in the recipe, doesn't exist.")
    settings["steps"] = [_checked(step, base) for step in settings["steps"]]
    for step in settings["steps"]:
        if step["step"] == "train":
            options = {key: value for key, value in step.items() if key != "step"}
            model, output = settings["model"], settings["output"]
            trainings.read_recipe(_training(settings, options, model, output))
    return settings


def _checked(step, base):
    """A step of a recipe, its paths as seen from here; KzooError for what it doesn't know."""
    name = step.get("step") if isinstance(step, dict) else step
    if not isinstance(step, dict) or not isinstance(name, str) or name not in STEPS:
        raise KzooError(
            f"The recipe has the step {name!r:.60}; expected an object whose step is one of "
            f"{', '.join(STEPS)}."
        )
    options = STEPS[name].options
    unknown = sorted(set(step) - {"step", *options})
    if unknown:
        raise KzooError(
            f"The step {name} has the unknown option {unknown[0]!r}; known are "
            f"{', '.join(options) or 'none'}."
        )
    missing = [option for option in STEPS[name].required if option not in step]
    if missing:
        raise KzooError(f"The step {name} lacks {missing[0]}: say which.")
    if "most" in step and "dynamic" in step:
        raise KzooError("Got most and dynamic in a step quantize_aware; expected one of them.")
    if name == "round" and step.get("what", ROUNDED[0]) not in ROUNDED:
        raise KzooError(
            f"Got what={step['what']!r:.40} in a step round; expected {' or '.join(ROUNDED)}."
        )
    for key in ("texts", "held_out"):
        if not isinstance(step.get(key), (str, type(None))):
            raise KzooError(f"Got {key}={step[key]!r:.40} in the step {name}; expected a file.")
    return _from(base, step, READ)


def _from(base, options, paths):
    """Options with those that are paths as seen from here; a preset's name stays one."""
    placed = {}
    for key, value in options.items():
        if key in paths and isinstance(value, str):
            is_name = key in ("model", "teacher") and not (base / value).exists()
            value = value if is_name else str(base / value)
        elif key == "teacher" and isinstance(value, dict):
            value = _from(base, value, (*READ, "answers"))
        placed[key] = value
    return placed


def _lines(path):
    """The lines of a file that aren't blank."""
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise KzooError(f"{path} can't be read as text ({error}): name a file of lines.") from None
    found = [line for line in lines if line.strip()]
    if not found:
        raise KzooError(f"{path} holds no text; expected a line for each text.")
    return found


def _finished(folder, facts):
    """The record of a step that was finished with the same facts, or None."""
    if not (folder / RECORD).is_file():
        return None
    record = read_json(folder / RECORD, "the record of a step")
    return record if record.get("facts") == json.loads(json.dumps(facts)) else None


def _write(model, source, folder, summary, record):
    """The model as a preset with its record beside it, and with what `train` wrote in `source`."""
    beside = [Path(source) / name for name in ("training.json", trainings.CURVES)]
    beside += sorted((Path(source) / trainings.ADAPTER).glob("*"))
    also = {file.relative_to(source): file.read_bytes() for file in beside if file.is_file()}
    last = record if "step" in record else record["steps"][-1]
    summary = summary or f"A smaller {model.spec.family}."
    with writing_folder(folder) as tmp_path:
        card = {"summary": summary, "made": "by kzoo compress"}
        presets.save_preset(model, tmp_path, card=card, rounded=last["report"].get("rounded"))
        text = json.dumps(record, indent=2) + "\n"
        (tmp_path / RECORD).write_text(text, encoding="utf-8")
        for name, content in also.items():
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).write_bytes(content)


def _count(model):
    """The parameters of a model as its files have them: those of adapters are multiplied out."""
    return parameters_of(as_written(model))
