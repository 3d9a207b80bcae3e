"""What is kept from epoch to epoch: the best weights, and all that a later run needs to go on."""

import json
import math
import shutil
from pathlib import Path

import keras
import numpy as np

from ..errors import KzooError
from ..files import read_json, writing_folder
from ..network import weights_by_path
from .strategy import is_chief

STATE, TENSORS = "progress.json", "tensors.npz"


class Epochs(keras.callbacks.Callback):
    """Keep the best epoch's weights, stop where nothing gets better, write what is finished.

    What is written after an epoch is the task's weights and seeds, the optimizer's state, the best
    weights and the history: a run that reads them ends as one that wasn't interrupted.

    Args:
        folder: where finished epochs are written, and read again; it goes with the last epoch.
        facts: what a run must have in common with the one that goes on with its epochs.
        epochs: how many there are.
        monitor: the metric that says which epoch is best; of a loss the least, else the most.
        keep_best: whether the best epoch's weights are those that stay.
        patience: after how many epochs without a better one to stop; None for never.
    """

    def __init__(self, folder, facts, epochs, monitor, keep_best=False, patience=None):
        super().__init__()
        self.folder, self.facts, self.epochs = Path(folder), facts, epochs
        self.monitor, self.keep_best, self.patience = monitor, keep_best, patience
        self.history, self.done = {}, 0
        self.best, self.best_epoch, self.best_weights = None, None, None

    def on_epoch_end(self, epoch, logs=None):
        """Note the epoch, and write it unless it is the last."""
        for name, value in logs.items():
            self.history.setdefault(name, []).append(float(value))
        self.done = epoch + 1
        if not math.isfinite(logs["loss"]):
            return
        value = logs.get(self.monitor)
        sign = -1 if self.monitor.endswith("loss") else 1
        if value is not None and (self.best is None or sign * (value - self.best) > 0):
            self.best, self.best_epoch = float(value), epoch
            if self.keep_best:
                self.best_weights = _values(weights_by_path(self.model))
        if self.patience is not None and epoch - (self.best_epoch or 0) >= self.patience:
            self.model.stop_training = True
        elif self.done < self.epochs and is_chief():
            self._write()

    def on_train_end(self, logs=None):
        """Take the best weights, where they are to stay."""
        if self.best_weights is not None:
            for path, weight in weights_by_path(self.model).items():
                weight.assign(self.best_weights[path])

    def _write(self):
        state = {
            "facts": self.facts,
            "done": self.done,
            "history": self.history,
            "best": self.best,
            "best_epoch": self.best_epoch,
        }
        tensors = {f"now/{i}": np.asarray(v) for i, v in enumerate(_variables(self.model))}
        tensors |= {f"best/{path}": value for path, value in (self.best_weights or {}).items()}
        with writing_folder(self.folder) as tmp_path:
            (tmp_path / STATE).write_text(json.dumps(state, indent=2) + "\n", encoding="utf-8")
            np.savez(tmp_path / TENSORS, **tensors)

    def restore(self, model):
        """Bring a compiled model to where the last finished epoch left it, if there is one."""
        if not (self.folder / STATE).is_file():
            return
        state = read_json(self.folder / STATE, "finished epochs")
        model.optimizer.build(model.trainable_variables)
        with np.load(self.folder / TENSORS, allow_pickle=False) as tensors:
            now = [name for name in tensors.files if name.startswith("now/")]
            variables = _variables(model)
            shapes = [tuple(tensors[name].shape) for name in now]
            if shapes != [tuple(variable.shape) for variable in variables]:
                raise KzooError(
                    f'{self.folder} holds epochs of another model: say "resume": false to begin '
                    "anew."
                )
            for i, variable in enumerate(variables):
                variable.assign(tensors[f"now/{i}"])
            best = {name[5:]: tensors[name] for name in tensors.files if name.startswith("best/")}
        self.best_weights = best or None
        self.done, self.history = state["done"], state["history"]
        self.best, self.best_epoch = state["best"], state["best_epoch"]

    def clear(self):
        """Drop what was written: it is used up, or not wanted."""
        if (self.folder / STATE).is_file() and is_chief():
            shutil.rmtree(self.folder)


def check_resume(folder, facts, resume):
    """Ask what to do with the epochs of an interrupted run, or whether they are this run's.

    Args:
        folder: where they would be.
        facts: what must be the same to go on with them.
        resume: whether to go on; None where nobody has said.
    """
    if resume is False or not (Path(folder) / STATE).is_file():
        return
    state = read_json(Path(folder) / STATE, "finished epochs")
    if resume is None:
        raise KzooError(
            f"{folder} holds {state.get('done')} finished epochs of an interrupted run: say "
            '"resume": true to go on with them, or "resume": false to begin anew.'
        )
    other = [key for key in facts if state.get("facts", {}).get(key) != facts[key]]
    if other:
        raise KzooError(
            f"{folder} holds epochs of a recipe with another {other[0]}: put that back, or say "
            '"resume": false to begin anew.'
        )


def _variables(model):
    """All that moves in a training: weights, seeds, the optimizer's moments and steps.

    Of weights also those that learn beside the model, see `nn.bridges`.
    """
    of_metrics = {id(variable) for variable in model.metrics_variables}
    own = [variable for variable in model.variables if id(variable) not in of_metrics]
    moving = [*own, *model.trainable_variables, *model.optimizer.variables]
    return list({id(variable): variable for variable in moving}.values())


def _values(weights):
    return {path: np.array(weight) for path, weight in weights.items()}
