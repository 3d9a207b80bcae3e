"""`use_ema` with `gradient_accumulation_steps`: averages move at batches that update nothing.

The averages move at each batch, though an update comes with every N-th: they follow the weights N
times as fast as `ema_momentum` says.
"""

import keras
import numpy as np
from keras import ops


def average(steps):
    """The average of a weight after three updates, each from so many batches of one gradient."""
    weight = keras.Variable(np.ones(1, "float32"))
    optimizer = keras.optimizers.SGD(
        1.0, use_ema=True, ema_momentum=0.5, gradient_accumulation_steps=steps
    )
    optimizer.build([weight])
    for _ in range(3 * (steps or 1)):
        optimizer.apply([ops.ones(1)], [weight])
    optimizer.finalize_variable_values([weight])
    return ops.convert_to_numpy(weight)


expected, actual = average(None), average(4)
print("expected", expected)
print("actual  ", actual)
raise SystemExit(int(not np.allclose(expected, actual, atol=1e-5)))
