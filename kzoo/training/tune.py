"""A search over the settings of a training: with which a model learns best."""

import contextlib
import copy
import importlib
import io
import json
import math
import os
import shutil
import socket
import time
from pathlib import Path

import keras
import numpy as np

from .. import plot
from ..errors import KzooError
from ..files import read_json, writing_file, writing_folder
from ..metrics import sign_of
from ..values import is_number, is_whole
from . import recipe as trainings
from .facts import fact
from .strategy import check_alone
from .workers import CHIEF, TUNER

# Every key of a search with its default; without one, the key is required.
KEYS = {
    # The training recipe, .json; from Python also a dict. The best trial's preset is its output.
    "recipe": trainings.REQUIRED,
    # {key of the training recipe: what it may be}: a list of values, or {"min": 1e-5, "max": 1e-3},
    # with "log": true where a factor counts and not a distance. Between whole numbers the values
    # are whole. A dot leads into what a key holds, as in "teacher.share". A value may be a list or
    # an object itself, as of "adapt.targets". Paths are relative to this file.
    "space": trainings.REQUIRED,
    # hyperband (arXiv:1603.06560) gives few epochs to many trials and all of them to the best;
    # the trials of the others have all epochs.
    "algorithm": "hyperband",
    "trials": None,  # How many; those of a hyperband follow from the epochs. 10 by default.
    "objective": None,  # A metric on validation, such as val_loss; that of the task by default.
}
RECORD, CURVES = "tuning.json", "tuning.png"
FILES = {RECORD, CURVES}
SEARCH = "search.json"  # which search it is whose trials lie beside it
TRIAL = "trial.json"
# What trials have in common; of averages, `ema`, validation tells nothing.
FIXED = ("output", "summary", "train", "validation", "ema", "strategy", "tensorboard")
ALGORITHMS = {
    "hyperband": "HyperbandOracle", "bayesian": "BayesianOptimizationOracle",
    "random": "RandomSearchOracle", "grid": "GridSearchOracle",
}  # fmt: skip
# What names files, and whether it may be a preset's name.
PLACED = {"model": True, "teacher": True, "answers": False}
# What keras-tuner reads of a search by several processes: where its chief listens, and who this is.
HOST, PORT = "KERASTUNER_ORACLE_IP", "KERASTUNER_ORACLE_PORT"
PATIENCE = 600  # Seconds in which the chief of a search must be there.
PAUSE = 1  # Seconds until a chief is asked anew that waits for others' trials.
MOST_FAILED = 3  # trials in a row
SCORE = "score"  # the objective, negative where less is better


def tune(recipe, fresh=False, verbose=0, say=None, on_event=None):
    """Search the settings of a training recipe, and write the preset that learnt best.

    Trials lie in `<output>.trials` until the last is done; a search that was stopped goes on there.

    Several processes search together where keras-tuner's variables say so, on machines that share
    the output's folder: KERASTUNER_ORACLE_IP and KERASTUNER_ORACLE_PORT, where the chief listens,
    and KERASTUNER_TUNER_ID, "chief" for the one that says what is tried and writes the end, and
    another for each that learns.

    Args:
        recipe: the path of a JSON file, or a dict, with the keys of `KEYS`. The training recipe
            must name a validation, by which trials are chosen.
        fresh: whether to begin anew where a search was stopped.
        verbose: as Keras' `fit` has it, for each trial.
        say: called with a line of text before each trial.
        on_event: called behind each trial with what tuning.json holds of it; of several processes
            in the chief.

    Returns:
        What tuning.json holds: `trials`, a list of {"name", "values", "epochs", "value",
        "seconds", "failed"}; `best`, the name of one; `objective`, `space`, `algorithm`, `recipe`.
        None in a process that learns for a chief.

    Raises:
        KzooError: for keys, values and settings that aren't known, before the first trial; and
            where three trials in a row fail, with what the last one said.
    """
    check_alone("a search over settings")
    engine = _engine()
    settings, training = read_recipe(recipe)
    base = settings.pop("base")
    output = Path(training["output"])
    folder = output.resolve().with_name(output.resolve().name + ".trials")
    kept = sorted(f.name for f in output.glob("*") if f.name not in {*trainings.FILES, *FILES})
    if kept:
        raise KzooError(f"{output} holds {kept[0]}, which would be lost: name another folder.")
    if settings["objective"] is not None:
        _check_objective(settings["objective"], training)
    role = _role()
    if role == TUNER:
        _wait_for_chief()
    _begin(folder, {**settings, "recipe": fact(training)}, fresh and role != TUNER, role != TUNER)
    say, on_event = (function or (lambda what: None) for function in (say, on_event))
    with contextlib.redirect_stdout(io.StringIO()):  # It tells where it goes on.
        search = _search(engine, settings, training, base, folder, verbose, say, on_event)
    search.oracle.verbose = 0
    if role == TUNER:
        _learn(search)
        return None
    _take_back(search.oracle)
    search.search()
    space = settings["space"]
    trials = [
        _told(folder, trial, space)
        for name, trial in sorted(search.oracle.trials.items())
        if (folder / name / TRIAL).is_file()
    ]
    best = max((t for t in trials if t["value"] is not None), key=lambda t: t[SCORE], default=None)
    if best is None:
        shutil.rmtree(folder)  # There is nothing to go on with.
        raise KzooError(f"No trial succeeded, the last failed so: {trials[-1]['failed']}")
    report = {
        "recipe": training,
        "space": settings["space"],
        "algorithm": settings["algorithm"],
        "objective": best["objective"],
        "best": best["name"],
        "trials": [_public(trial) for trial in trials],
        "versions": {"keras": keras.__version__, "backend": keras.backend.backend()},
    }
    with writing_folder(output) as tmp_path:
        shutil.copytree(folder / best["name"] / "preset", tmp_path, dirs_exist_ok=True)
        (tmp_path / RECORD).write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
        plot.write(plot.tuning(report), tmp_path / CURVES)
    shutil.rmtree(folder)
    return report


def read_recipe(recipe):
    """The settings of a search, every key filled in and checked, and its training recipe's.

    `base` among them is the folder that the search's own paths are relative to.
    """
    settings, base = trainings.filled(recipe, KEYS, "a recipe of a search")
    training = settings["recipe"]
    if not isinstance(training, (str, Path, dict)):
        raise KzooError(f"Got the recipe {training!r:.40}; expected the path of a training recipe.")
    if isinstance(training, dict):
        training = trainings.read_recipe(training, base)
    else:
        training = trainings.read_recipe(base / training)
    training.pop("paths")
    if training["validation"] is None:
        raise KzooError(
            "Got a training recipe without validation, by which trials are chosen; expected a "
            "file or a share."
        )
    algorithm, trials = settings["algorithm"], settings["trials"]
    if not isinstance(algorithm, str) or algorithm not in ALGORITHMS:
        raise KzooError(
            f"Got the algorithm {algorithm!r:.40}; expected one of {', '.join(ALGORITHMS)}."
        )
    if trials is not None and not is_whole(trials, 1):
        raise KzooError(f"Got trials={trials!r:.40}; expected a whole number of at least 1.")
    if trials is not None and algorithm == "hyperband":
        raise KzooError(
            "Got trials for hyperband, whose epochs say how many there are: leave them out, or "
            f"name {', '.join(name for name in ALGORITHMS if name != 'hyperband')}."
        )
    objective = settings["objective"]
    if objective is not None and not str(objective).startswith("val_"):
        raise KzooError(
            f"Got the objective {objective!r:.40}; expected a metric on validation, such as "
            "val_loss."
        )
    if not isinstance(settings["space"], dict) or not settings["space"]:
        raise KzooError(
            'Got no space; expected an object such as {"learning_rate": {"min": 1e-5, "max": '
            "1e-3}}."
        )
    for key, asked in settings["space"].items():
        if key.split(".")[0] not in trainings.KEYS or key.split(".")[0] in FIXED:
            free = [name for name in trainings.KEYS if name not in FIXED]
            raise KzooError(
                f"Got {key!r:.60} in the space; expected keys of a training recipe: "
                f"{', '.join(free)}."
            )
        if key == "epochs" and algorithm == "hyperband":
            raise KzooError("Got epochs in the space of a hyperband, which sets them itself.")
        for value in _ends(key, asked):
            trainings.read_recipe(
                _with(training, {key: value}, base)
            )  # Else it says what is wrong.
    return {**settings, "base": base}, training


def _ends(key, asked):
    """Values that tell whether all of a key's fit: all of a list, or both ends."""
    if isinstance(asked, list):
        kinds = {type(value) for value in asked}
        if asked and (len(kinds) == 1 and kinds <= {str, int, float, bool} or _as_text(asked)):
            return asked
        raise KzooError(
            f"Got {asked!r:.60} for {key} in the space; expected values that are all texts, all "
            "whole numbers, all numbers with a point, or true and false; or lists, objects and "
            "null among them."
        )
    ends = [asked.get("min"), asked.get("max")] if isinstance(asked, dict) else [None]
    fits = all(is_number(end) for end in ends) and ends[0] < ends[1]
    if not fits or set(asked) - {"min", "max", "log"} or type(asked.get("log", False)) is not bool:
        raise KzooError(
            f"Got {asked!r:.60} for {key} in the space; expected a list of values, or an object of "
            'min, a larger max and maybe "log": true.'
        )
    if asked.get("log") and ends[0] <= 0:
        raise KzooError(f"Got min={ends[0]!r} with log for {key}; expected a number above 0.")
    return ends


def _as_text(asked):
    """Whether keras-tuner, which knows texts and numbers alone, is given these values as JSON."""
    return isinstance(asked, list) and any(isinstance(v, (list, dict, type(None))) for v in asked)


def _with(training, values, base):
    """A training recipe with other values; a dot in a key leads into an object.

    Paths among the values are relative to `base`.
    """
    changed = copy.deepcopy(training)
    for key, value in values.items():
        *path, last = key.split(".")
        place = changed
        for name in path:
            place = place.get(name) if isinstance(place, dict) else None
        if not isinstance(place, dict):
            raise KzooError(
                f"Got {key} in the space, and the training recipe has no object {'.'.join(path)}: "
                "put it there."
            )
        place[last] = _placed(last, value, base)
    return changed


def _placed(key, value, base):
    """A value with its paths as seen from here."""
    if isinstance(value, dict):
        return {name: _placed(name, each, base) for name, each in value.items()}
    is_path = isinstance(value, str) and key in PLACED
    return trainings.placed(value, base, is_preset=PLACED[key]) if is_path else value


def _check_objective(objective, training):
    """Raise KzooError for a metric that the trainings don't have, before the first one."""
    known = [f"val_{name}" for name in trainings.metrics_of(training)]
    if objective not in known:
        raise KzooError(f"Got the objective {objective!r:.40}; expected one of {', '.join(known)}.")


def _role():
    """Whether this process searches for others (CHIEF), learns for one (TUNER), or None: both."""
    missing = [name for name in (HOST, PORT, "KERASTUNER_TUNER_ID") if not os.environ.get(name)]
    if len(missing) == 3:
        return None
    if missing:
        raise KzooError(
            f"{' and '.join(missing)} is not set beside others of keras-tuner; expected all three: "
            "where the chief listens, and who this process is; or none of them."
        )
    if not os.environ[PORT].isdecimal():
        raise KzooError(f"{PORT} is {os.environ[PORT]!r:.40}; expected the number of a free port.")
    return CHIEF if CHIEF in os.environ["KERASTUNER_TUNER_ID"] else TUNER  # As keras-tuner does.


def _wait_for_chief():
    """Wait until the chief listens: by then the folder of the trials is there."""
    address, until = (os.environ[HOST], int(os.environ[PORT])), time.monotonic() + PATIENCE
    while True:
        try:
            socket.create_connection(address, timeout=5).close()
            return
        except OSError as error:
            if time.monotonic() > until:
                raise KzooError(
                    f"The chief of the search doesn't answer at {address[0]}:{address[1]} "
                    f"({error}); expected it to listen there: start it, with "
                    f"KERASTUNER_TUNER_ID={CHIEF}."
                ) from None
            time.sleep(0.2)


def _learn(search):
    """Run what the chief asks for, until there is no more."""
    import grpc  # keras-tuner's and TensorFlow's

    try:
        search.search()
    except grpc.RpcError as error:
        raise KzooError(
            f"The chief of the search is gone, or ended it ({error.details()!r:.200}): see what it "
            "said, and start all of them again."
        ) from None


def _take_back(oracle):
    """Let trials that were begun in a run before this one be the next ones, whoever runs them."""
    state = oracle.get_state()
    state["retry_queue"] += state["ongoing_trials"].values()
    oracle.set_state({**state, "ongoing_trials": {}})


def _begin(folder, search, fresh, is_chief=True):
    """Make the folder of the trials, unless a run of the same search was stopped there."""
    search = json.loads(json.dumps(search))
    if fresh and (folder / SEARCH).is_file():
        shutil.rmtree(folder)
    if (folder / SEARCH).is_file():
        if read_json(folder / SEARCH, "a search") != search:
            raise KzooError(
                f"{folder} holds trials of another search: begin anew with --fresh (fresh=True in "
                "Python), or name another output."
            )
        return
    if not is_chief:
        raise KzooError(
            f"{folder} is not there, where the chief of the search keeps its trials: let all read "
            "the same recipe, on machines that share the output's folder."
        )
    if folder.exists():
        raise KzooError(f"{folder} is no folder of trials: move it, or name another output.")
    folder.mkdir(parents=True)
    with writing_file(folder / SEARCH) as tmp_path:
        tmp_path.write_text(json.dumps(search, indent=2) + "\n", encoding="utf-8")


def _engine():
    """keras-tuner, an extra."""
    try:
        return importlib.import_module("keras_tuner")
    except ImportError:
        raise KzooError(
            "A search needs keras-tuner, which is not installed: pip install kzoo[tune]."
        ) from None


def _search(engine, settings, training, base, folder, verbose, say, on_event):
    """keras-tuner's loop, whose trials are trainings by recipe."""
    space = engine.HyperParameters()
    for key, asked in settings["space"].items():
        if isinstance(asked, list):
            space.Choice(key, [json.dumps(v) for v in asked] if _as_text(asked) else asked)
            continue
        is_int = is_whole(asked["min"]) and is_whole(asked["max"])
        kind = space.Int if is_int else space.Float
        sampling = "log" if asked.get("log") else "linear"
        kind(key, asked["min"], asked["max"], sampling=sampling)
    options = {"max_epochs": training["epochs"]}
    if settings["algorithm"] != "hyperband":
        all_of_grid = settings["algorithm"] == "grid" and settings["trials"] is None
        options = {"max_trials": None if all_of_grid else settings["trials"] or 10}

    class Telling(getattr(engine.oracles, ALGORITHMS[settings["algorithm"]])):
        def end_trial(self, trial):
            super().end_trial(trial)
            on_event(_public(_told(folder, trial, settings["space"])))

    oracle = Telling(
        objective=engine.Objective(SCORE, "max"), hyperparameters=space,
        seed=training["seed"] + 1,  # of 0 keras-tuner draws one
        tune_new_entries=False, max_consecutive_failed_trials=MOST_FAILED, **options,
    )  # fmt: skip

    class Search(engine.engine.base_tuner.BaseTuner):
        def search(self):
            """The trials, one after the other; what is no fault of the settings ends them all."""
            if _role() == CHIEF:
                super().search()  # Others learn.
                return
            status, failed = engine.engine.trial.TrialStatus, 0
            while (trial := self.oracle.create_trial(self.tuner_id)).status != status.STOPPED:
                if trial.status == status.IDLE:  # What comes next hangs on others' trials.
                    time.sleep(PAUSE)
                    continue
                try:
                    score = run(trial)
                except _Failed as failure:
                    trial.status, failed = status.FAILED, failed + 1
                    if failed == MOST_FAILED:
                        raise KzooError(
                            f"{failed} trials in a row failed, the last so: {failure}"
                        ) from None
                else:
                    failed = 0
                    self.oracle.update_trial(trial.trial_id, {SCORE: score})
                    trial.status = status.COMPLETED
                self.on_trial_end(trial)

    def run(trial):
        own, values = folder / trial.trial_id, _values(trial, settings["space"])
        noted = read_json(own / TRIAL, "a trial") if (own / TRIAL).is_file() else {}
        if SCORE in noted and noted["values"] == values:  # Killed before the oracle knew.
            return noted[SCORE]
        asked = {**_with(training, values, base), "output": str(own / "preset")}
        asked["epochs"] = trial.hyperparameters.values.get("tuner/epochs", asked["epochs"])
        if training["tensorboard"] is not None:
            asked["tensorboard"] = str(Path(training["tensorboard"]) / trial.trial_id)
        say(f"Trial {int(trial.trial_id) + 1}, {asked['epochs']} epochs: {shown(values)}")
        keras.backend.clear_session()
        try:
            task, history = trainings.train(
                asked, verbose=verbose, fresh=not trainings.can_resume(asked)
            )
        except KzooError as error:
            _note(own, {"values": values, "failed": str(error)})
            raise _Failed(str(error)) from None
        monitored = "val_" + task.monitored()
        objective = settings["objective"] or monitored
        course, kept = history.history[objective], -1
        if asked["keep"] == "best":  # As `BestEpoch` keeps it: that is what the preset holds.
            kept = int(np.nanargmax(sign_of(monitored) * np.array(history.history[monitored])))
        sign = sign_of(objective)
        score = sign * course[kept]
        seconds = read_json(own / "preset" / "training.json", "a training")["seconds"]
        _note(own, {"values": values, "objective": objective, "value": sign * score,
                    SCORE: score, "epochs": len(course), "seconds": seconds})  # fmt: skip
        _keep_best(folder)
        return score

    return Search(oracle, directory=str(folder), project_name="oracle")


class _Failed(Exception):
    """A trial whose settings don't work."""


def shown(values):
    """The values of a trial, in a line."""
    told = (f"{v:.3g}" if isinstance(v, float) else str(v) for v in values.values())
    return ", ".join(f"{key} {value}" for key, value in zip(values, told, strict=True))


def _values(trial, space):
    """What a trial tries, as the space has it: the rest is the search's own."""
    return {
        key: json.loads(value) if _as_text(space[key]) else value
        for key, value in trial.hyperparameters.values.items()
        if not key.startswith("tuner/")
    }


def _keep_best(folder):
    """Leave the weights of the best trial so far, which are all that is needed in the end."""
    scores = {}
    for preset in sorted(folder.glob("*/preset")):
        if (preset.parent / TRIAL).is_file():
            noted = read_json(preset.parent / TRIAL, "a trial")
            scores[preset] = noted.get(SCORE, -math.inf)
    best = max(scores, key=scores.get)
    for preset in scores:
        if preset != best:
            shutil.rmtree(preset, ignore_errors=True)  # Maybe another process does so, too.


def _note(folder, record):
    """Write down what came of a trial."""
    folder.mkdir(parents=True, exist_ok=True)
    with writing_file(folder / TRIAL) as tmp_path:
        tmp_path.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


def _told(folder, trial, space):
    """What the report says of a trial."""
    noted = read_json(folder / trial.trial_id / TRIAL, "a trial")
    usual = {"objective": None, "value": None, SCORE: None, "epochs": None, "seconds": None}
    values = _values(trial, space)
    return {"name": trial.trial_id, "values": values, **usual, "failed": None, **noted}


def _public(trial):
    """What others are told of a trial."""
    return {key: value for key, value in trial.items() if key not in (SCORE, "objective")}
