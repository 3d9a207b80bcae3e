"""A training that is killed goes on where it was, and ends in the same weights to the last bit."""

import contextlib
import glob
import hashlib
import json
import os
import shutil
import signal
import threading
import time
import warnings
import zipfile
from pathlib import Path

import keras
import numpy as np

from ..errors import KzooError
from ..files import path_of, writing_file
from ..keras_hooks import placed_with
from ..logs import settled
from ..network import weights_by_path
from ..values import is_number
from .strategy import among_workers, is_chief

FILE, STATE = "checkpoint.npz", "state"
EVERY = 60  # seconds
SHARE = 0.01  # of a training's time that checkpoints may take; they are fewer where they take more
# What callbacks of Keras' remember from epoch to epoch.
REMEMBERED = {
    keras.callbacks.EarlyStopping: ("wait", "stopped_epoch", "best", "best_weights", "best_epoch"),
    keras.callbacks.ReduceLROnPlateau: ("best", "wait", "cooldown_counter"),
    keras.callbacks.ModelCheckpoint: ("best", "epochs_since_last_save"),
}


class Checkpoints:
    """What `fit(resume=...)` keeps in a folder, and goes on from if it finds it there.

    A checkpoint is one file, written beside and renamed: weights, the optimizer with half an
    accumulation, the state of every layer that draws, metrics, the history, the place in the
    epoch, and what callbacks remember: Keras' own, and each that has `get_state()`, which gives
    JSON values and arrays in dicts and lists, and `set_state(state)`. There is one before the
    first batch, at the end of each epoch, and every so many seconds; but not so many that they
    take more than a hundredth of the time.

    SIGTERM and Ctrl-C let the batch end and write a checkpoint; then the process ends, with 0
    after SIGTERM. The second of them ends it at once. Of several workers the chief alone writes
    and says when, all read, and a signal to one of them ends all behind the same batch.

    Args:
        folder: where the checkpoint lies.
        every: seconds between two; 0 for one after each batch, whatever that takes.
        facts: what else, as JSON values by name, must be the same in a training that goes on.
        anew: what an error calls the way to begin anew.

    Raises:
        KzooError: for a folder that can't be written, a file that is no checkpoint, and one of a
            training that differs in what decides its end and is compared: the network, what
            learns, optimizer, loss, teacher, examples by their tokens, files, lengths and targets,
            batches, seed and epochs; not what pictures in memory show, nor the arguments of
            callbacks and of augmentation.
    """

    def __init__(self, folder, every=EVERY, facts=None, anew=None):
        if not isinstance(folder, (str, Path)):
            raise KzooError(f"Got resume={folder!r:.40}; expected the folder of its checkpoint.")
        if not is_number(every, 0):
            raise KzooError(f"Got every={every!r:.40}; expected seconds between two checkpoints.")
        self.folder, self.every = path_of(folder, "resume"), every
        self.facts = _as_json(facts or {})
        self.anew = anew or f"delete {self.folder}"
        self.history, self.epochs, self.seconds = {}, [], 0.0
        self.asked = None  # the signal that asked for an end
        self._held = self._metrics = self._place = self._begun = None
        self._written, self._cost, self._failed = None, 0.0, False

    @property
    def path(self):
        """The file."""
        return self.folder / FILE

    # -- reading ----------------------------------------------------------------------------------

    def check(self, facts=None):
        """The state of the checkpoint that is there, of this very training; None without one.

        `facts` are more of what must be the same.
        """
        if self.folder.exists() and not self.folder.is_dir():
            raise KzooError(
                f"{self.folder} is a file; a folder for checkpoints is expected there: move it, "
                "or name another folder."
            )
        if not self.path.is_file():
            return None
        state, _ = self._read(only_state=True)
        facts = {**_as_json(facts or {}), **self.facts}
        other = [key for key, value in facts.items() if state["facts"].get(key) != value]
        if not other:
            return state
        if state["place"] == state["begun"]:
            return None  # Nothing was learnt yet, so nothing is lost.
        raise KzooError(
            f"{self.folder} holds the checkpoint of a training with another {other[0]}: put that "
            f"back, or {self.anew} to begin anew."
        )

    def _read(self, only_state=False):
        """The state, and the arrays by name; what they hold is held against its checksums."""
        try:
            with np.load(self.path, allow_pickle=False) as file:
                state = json.loads(file[STATE].tobytes())
                names = [] if only_state else file.files
                return state, {name: file[name] for name in names}
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise KzooError(
                f"{self.path} can't be read as a checkpoint ({type(error).__name__}): {self.anew} "
                "to begin anew."
            ) from None

    def begin(self, model, plan, epochs, initial_epoch, callbacks, say):
        """Bring a compiled model to where the checkpoint left it, if there is one.

        Returns the epoch, and how many of its batches are done.
        """
        self._model, self._say, self._all = model, say, epochs
        self._remembering = [each for each in callbacks if _state_of(each) is not None]
        facts = _as_json(_facts(model, plan, epochs, initial_epoch))
        facts["callbacks"] = [type(each).__name__ for each in self._remembering]
        self._facts = {**facts, **self.facts}  # Those that were given have names that users know.
        with placed_with(model):
            model.optimizer.build(model.trainable_variables)
        self._begun = self._place = [initial_epoch, 0]
        self._start = time.monotonic()
        with contextlib.suppress(OSError):  # what a killed run had begun to write
            for path in self.folder.glob(f".{FILE}.*"):
                path.unlink()
        if self.check(self._facts) is None:
            self._save(*self._place, first=True)
            return initial_epoch, 0
        state, arrays = self._read()
        self._begun, self._place = state["begun"], state["place"]
        variables = _variables(model)
        if [list(v.shape) for v in variables] != [
            list(arrays[f"now/{i}"].shape) for i in range(state["variables"])
        ]:
            raise KzooError(
                f"{self.folder} holds the checkpoint of another model: {self.anew} to begin anew."
            )
        for number, variable in enumerate(variables):
            variable.assign(_typed(arrays[f"now/{number}"], variable))
        if self._place != self._begun:  # Before, callbacks hadn't looked at the model yet.
            self._held = [_unpacked(each, arrays) for each in state["held"]]
        self._metrics = _unpacked(state["metrics"], arrays)
        self.history, self.epochs = state["history"], state["epochs"]
        self.seconds = state["seconds"]
        epoch, batch = self._place
        self._written = time.monotonic()
        at = f"batch {batch} of epoch {epoch + 1}" if batch else f"epoch {epoch}"
        done = f"after {at}" if epoch < epochs else "behind its last epoch"
        say(f"This training goes on {done}, where {self.folder} has it.")
        return epoch, batch

    def restore_callbacks(self):
        """Give callbacks what they remembered, behind their `on_train_begin`."""
        for callback, state in zip(self._remembering, self._held or [], strict=bool(self._held)):
            if hasattr(callback, "set_state"):
                callback.set_state(state)
            else:
                vars(callback).update(state)

    def restore_metrics(self, epoch):
        """Give metrics what they held in the middle of an epoch, behind their reset."""
        if self._metrics and [epoch, 0] < self._place < [epoch + 1, 0]:
            variables = self._model.metrics_variables
            for variable, value in zip(variables, self._metrics, strict=True):
                variable.assign(_typed(value, variable))

    # -- writing ----------------------------------------------------------------------------------

    def after_batch(self, epoch, batch, is_last, ready):
        """Write, where it is time, behind so many batches of an epoch.

        `ready` waits for all that runs beside, and brings a backend's state into the model.
        """
        if self._model.stop_training:
            return  # Who stopped it will do so again.
        self._place = [epoch, batch]
        due = self._agreed(self._is_due(is_last))
        if self.asked or is_last or due:
            ready()
            self._metrics = [np.array(v) for v in self._model.metrics_variables]
            if self.asked or due:
                self._save(epoch, batch)
        self._end_if_asked()

    def in_validation(self, ready):
        """Write and end, where a signal asks for it: the epoch's batches are all done."""
        self._agreed(False)
        if self.asked:
            ready()
            self._save(*self._place)
            self._end_if_asked()

    def after_epoch(self, epoch, logs):
        """Note an epoch, and write what is there behind it."""
        for name, value in logs.items():
            self.history.setdefault(name, []).append(float(value))
        self.epochs.append(epoch)
        is_end = self._model.stop_training or epoch + 1 == self._all
        self._place, self._metrics = [self._all if is_end else epoch + 1, 0], None
        due = self._agreed(is_end or self._is_due(True))
        if self.asked or due:
            self._save(*self._place)
        self._end_if_asked()

    def _agreed(self, is_due):
        """Whether the chief finds that it is time; what one worker was asked for, all are."""
        together = among_workers().gathered(2 * (self.asked or 0) + (is_due and is_chief()))
        asked = max(number // 2 for number in together)
        self.asked = self.asked or asked or None
        return any(number % 2 for number in together)

    def _is_due(self, at_end=False):
        pause = 0 if at_end else self.every
        if self.every:
            pause = max(pause, self._cost / SHARE)
        return self._written is None or time.monotonic() - self._written >= pause

    def _save(self, epoch, batch, first=False):
        if not is_chief():
            return
        start, model = time.monotonic(), self._model
        values = [np.asarray(variable) for variable in _variables(model)]
        if not first and not all(map(_is_finite, values)):
            raise KzooError(
                f"Weights are no longer numbers after batch {batch} of epoch {epoch + 1}; expected "
                "finite ones: take a lower learning rate. The checkpoint before it stays."
            )
        arrays = {f"now/{number}": value for number, value in enumerate(values)}
        state = {
            "facts": self._facts,
            "place": [epoch, batch],
            "begun": self._begun,
            "variables": len(values),
            "history": self.history,
            "epochs": self.epochs,
            "seconds": self.seconds + start - self._start,
            "held": [_packed(_state_of(each), arrays) for each in self._remembering],
            "metrics": _packed(self._metrics, arrays),
        }
        arrays[STATE] = np.frombuffer(json.dumps(state).encode(), "uint8")
        try:
            with writing_file(self.path) as tmp_path, open(tmp_path, "wb") as file:
                np.savez(file, **arrays)
                file.flush()
                os.fsync(file.fileno())
        except (OSError, KzooError) as error:
            self._say_failed(error, first)
        self._written = time.monotonic()
        self._cost = self._written - start

    def _say_failed(self, error, first):
        reason = getattr(error, "strerror", None) or error
        if first or self.asked:
            if isinstance(error, KzooError):
                raise error
            stays = "" if first else " The one before it stays."
            raise KzooError(
                f"{self.path} can't be written ({reason}); expected room for a checkpoint: make "
                f"some, or name another folder.{stays}"
            ) from None
        if not self._failed:
            warnings.warn(
                f"{self.path} can't be written ({reason}): the training goes on, and the "
                "checkpoint before it stays.",
                stacklevel=2,
            )
        self._failed = True

    def clear(self):
        """Drop the checkpoint: it is used up, or not wanted."""
        if not is_chief():
            return
        if self.path.is_file():
            self.path.unlink()
        with contextlib.suppress(OSError):
            for path in self.folder.glob(f".{FILE}.*"):
                path.unlink()
            self.folder.rmdir()  # unless there is something else in it

    # -- ending -----------------------------------------------------------------------------------

    @contextlib.contextmanager
    def watching(self):
        """Inside, SIGTERM and Ctrl-C ask for an end, once; what was only begun goes on an error."""
        numbers = (signal.SIGTERM, signal.SIGINT)
        is_main = threading.current_thread() is threading.main_thread()
        before = {number: signal.getsignal(number) for number in numbers if is_main}

        def as_before():
            for number, handler in before.items():
                signal.signal(number, handler or signal.SIG_DFL)

        def ask(number, frame):
            self.asked = number
            as_before()

        for number in before:
            signal.signal(number, ask)
        try:
            yield
        except KzooError:
            if self._is_at_beginning():
                self.clear()
            raise
        finally:
            as_before()
            self.seconds += time.monotonic() - self._start

    def _is_at_beginning(self):
        state = self._read(only_state=True)[0] if self.path.is_file() else {}
        return state.get("place") == self._begun

    def _end_if_asked(self):
        if not self.asked:
            return
        epoch, batch = self._place
        name, self.asked = signal.Signals(self.asked).name, None
        at = f"batch {batch} of epoch {epoch + 1}" if batch else f"epoch {epoch}"
        settled()
        print(  # Also where nobody watches: else an end would look like success.
            f"Got {name}: what was learnt up to {at} is kept in {self.folder}, and the same "
            "training goes on from there.",
            flush=True,
        )
        raise KeyboardInterrupt if name == "SIGINT" else SystemExit(0)


def clear_unfinished(path):
    """Drop what a killed run had begun to write beside a folder, see `files.writing_folder`."""
    path = Path(path).resolve()
    for beside in path.parent.glob(f".{glob.escape(path.name)}.{'[0-9a-f]' * 8}"):
        shutil.rmtree(beside, ignore_errors=True)


def _facts(model, plan, epochs, initial_epoch):
    """What decides how a training ends, and can be seen of it."""
    shapes = {path: list(weight.shape) for path, weight in weights_by_path(model).items()}
    return {
        "task": getattr(model, "task_name", type(model).__name__),
        "shape of weights": _digest(json.dumps(shapes)),
        "network": _digest(json.dumps(_as_json(_unnamed(model.get_config())), sort_keys=True)),
        "set of weights that learn": _digest(json.dumps([v.path for v in model.trainable_weights])),
        "optimizer": model.optimizer.get_config(),
        "loss": _loss_of(model.loss),
        "teacher": _teacher_of(model),
        **{name: _digest(value) if _is_many(value) else value for name, value in plan.facts()},
        "epochs": epochs,
        "initial_epoch": initial_epoch,
        "steps_per_execution": model.steps_per_execution,
        "keras": keras.__version__,
        "backend": keras.backend.backend(),
    }


def _loss_of(loss):
    """What a loss is, and what it was made with."""
    made = loss.get_config() if isinstance(loss, keras.losses.Loss) else {}
    return {"class": type(loss).__name__, **_as_json(_unnamed(made))}


def _unnamed(config):
    """A config without the names that Keras numbers."""
    if isinstance(config, dict):
        return {key: _unnamed(value) for key, value in config.items() if key != "name"}
    return [_unnamed(each) for each in config] if isinstance(config, (list, tuple)) else config


def _teacher_of(model):
    """What is learnt from a teacher, and what it is; None without one."""
    teacher = getattr(model, "teacher", None)
    if teacher is None:
        return None
    lessons = [[type(each).__name__, _settings_of(each)] for each in teacher.lessons]
    source = getattr(teacher.source, "model", None)
    config = _unnamed(source.get_config()) if hasattr(source, "get_config") else None
    return _digest(json.dumps(_as_json([teacher.share, lessons, config]), sort_keys=True))


def _settings_of(lesson):
    """The arguments of a lesson that JSON knows."""
    kinds = (str, int, float, bool, list, tuple, dict, type(None))
    return {key: value for key, value in vars(lesson).items() if isinstance(value, kinds)}


def _is_many(value):
    return isinstance(value, (list, tuple, np.ndarray))


def _digest(value):
    total = hashlib.sha256()
    for part in [value.encode()] if isinstance(value, str) else value:
        total.update(part if isinstance(part, bytes) else np.asarray(part).tobytes())
    return total.hexdigest()


def _as_json(facts):
    return json.loads(json.dumps(facts, default=lambda value: type(value).__name__))


def _state_of(callback):
    """What a callback remembers, or None."""
    if hasattr(callback, "get_state") and hasattr(callback, "set_state"):
        return callback.get_state()
    for kind, names in REMEMBERED.items():
        if isinstance(callback, kind):
            return {name: vars(callback)[name] for name in names if name in vars(callback)}
    return None


def _packed(value, arrays):
    """A value of dicts, lists and arrays as JSON; the arrays go among those by name."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        name = f"held/{len(arrays)}"
        arrays[name] = value
        return {"array": name}
    if isinstance(value, dict):
        return {"dict": [[key, _packed(each, arrays)] for key, each in value.items()]}
    if isinstance(value, (list, tuple)):
        return [_packed(each, arrays) for each in value]
    return value


def _unpacked(value, arrays):
    """What `_packed` was given."""
    if isinstance(value, list):
        return [_unpacked(each, arrays) for each in value]
    if not isinstance(value, dict):
        return value
    if "array" in value:
        return arrays[value["array"]]
    return {key: _unpacked(each, arrays) for key, each in value["dict"]}


def _typed(array, variable):
    """An array as it was: NumPy's files know no bfloat16."""
    return array.view(np.asarray(variable).dtype) if array.dtype.kind == "V" else array


def _is_finite(value):
    return value.dtype.kind != "f" or bool(np.isfinite(value).all())


def _variables(model):
    """All that moves in a training: weights, seeds, the optimizer's moments and steps.

    Of weights also those that learn beside the model, see `nn.bridges`; and what is remembered of
    texts that go on from batch to batch.
    """
    of_metrics = {id(variable) for variable in model.metrics_variables}
    own = [*model.variables, *model.non_trainable_variables]
    own = [variable for variable in own if id(variable) not in of_metrics]
    moving = [*own, *model.trainable_variables, *model.optimizer.variables]
    return list({id(variable): variable for variable in moving}.values())
