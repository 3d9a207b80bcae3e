"""`keras.remat` of a layer with dropout: the second run, for the gradients, draws another mask.

On TensorFlow the seed generator's state has moved on when the function is run again, so that the
gradients belong to a network that gave other outputs. Here the gradient of a kept number must be
what that number was multiplied by, and of a dropped one 0.
"""

import keras
import numpy as np
import tensorflow as tf

dropout, x = keras.layers.Dropout(0.5, seed=1), tf.ones((1, 1000))
with tf.GradientTape() as tape:
    tape.watch(x)
    expected = keras.remat(lambda x: dropout(x, training=True))(x)
actual = tape.gradient(expected, x)

print("expected", expected.numpy().ravel()[:8], "...")
print("actual  ", actual.numpy().ravel()[:8], "...")
raise SystemExit(int(not np.array_equal(expected, actual)))
