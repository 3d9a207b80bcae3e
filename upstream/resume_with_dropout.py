"""BackupAndRestore: a training with dropout that was stopped doesn't end as one that wasn't.

The states of the seed generators are in no backup, so that a resumed epoch draws other masks.
"""

import tempfile

import keras
import numpy as np

X, Y = np.ones((8, 4), "float32"), np.zeros((8, 1), "float32")


class Stops(keras.callbacks.Callback):
    """Ends the run in its third epoch, as a machine does that goes away."""

    def on_epoch_begin(self, epoch, logs=None):
        """See the class."""
        if epoch == 2:
            raise InterruptedError


def run(folder, *callbacks):
    """A training of four epochs that is backed up in `folder`."""
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dropout(0.5), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(0.1), "mse")
    backup = keras.callbacks.BackupAndRestore(folder)
    model.fit(X, Y, epochs=4, shuffle=False, verbose=0, callbacks=[backup, *callbacks])
    return model.get_weights()[0].ravel()


with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as other:
    expected = run(one)
    try:
        run(other, Stops())
    except InterruptedError:
        actual = run(other)


print("expected", expected)
print("actual  ", actual)
raise SystemExit(int(not np.allclose(expected, actual, atol=1e-5)))
