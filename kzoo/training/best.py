"""Which epoch is the best, whether its weights stay, and when there is no use in more."""

import keras
import numpy as np

from ..metrics import sign_of
from ..network import weights_by_path


class BestEpoch(keras.callbacks.Callback):
    """Keep the best epoch's weights, and stop where nothing gets better.

    Args:
        monitor: the metric that says which epoch is best, see `sign_of`. An epoch whose value is
            no number is none.
        keep: whether the best epoch's weights are those that stay.
        patience: after how many epochs without a better one to stop; None for never.
    """

    def __init__(self, monitor, keep=False, patience=None):
        super().__init__()
        self.monitor, self.keep, self.patience = monitor, keep, patience
        self.best, self.epoch, self.weights = None, None, {}

    def on_epoch_end(self, epoch, logs=None):
        """Note the epoch if it is better, and stop if too many weren't."""
        value, sign = logs.get(self.monitor, np.nan), sign_of(self.monitor)
        if np.isfinite(value) and (self.best is None or sign * (value - self.best) > 0):
            self.best, self.epoch = float(value), epoch
            if self.keep:
                weights = weights_by_path(self.model)
                self.weights = {path: np.array(weight) for path, weight in weights.items()}
        if self.patience is not None and epoch - (self.epoch or 0) >= self.patience:
            self.model.stop_training = True

    def on_train_end(self, logs=None):
        """Take the best weights, where they are to stay."""
        weights = weights_by_path(self.model)
        for path, value in self.weights.items():
            weights[path].assign(value)

    def get_state(self):
        """See `resume.Checkpoints`."""
        return {"best": self.best, "epoch": self.epoch, "weights": self.weights}

    def set_state(self, state):
        """See `resume.Checkpoints`."""
        self.best, self.epoch, self.weights = state["best"], state["epoch"], state["weights"]
