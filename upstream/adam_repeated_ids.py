"""Adam on an Embedding: an id that a batch repeats is squared slice by slice.

On TensorFlow the gradient of a lookup is `tf.IndexedSlices`, in which a repeated id has several
rows. Keras squares each row and adds up the squares; the second moment is that of the sum. JAX and
torch have dense gradients, and another result. One step hides it, since it only has the sign.
"""

import keras
import numpy as np
from keras import ops

IDS = np.array([[0, 0, 1], [0, 2, 1]])


def learnt(dense):
    """The table after three steps of Adam, by the lookup's own gradient or by the dense one."""
    import tensorflow as tf

    table = keras.Variable(np.ones((3, 1), "float32"))
    optimizer = keras.optimizers.Adam(0.1)
    for _ in range(3):
        with tf.GradientTape() as tape:
            loss = ops.mean(ops.square(ops.take(table, IDS, axis=0)))
        gradient = tape.gradient(loss, table.value)
        optimizer.apply([tf.convert_to_tensor(gradient) if dense else gradient], [table])
    return ops.convert_to_numpy(table).ravel()


expected, actual = learnt(dense=True), learnt(dense=False)
print("expected", expected)
print("actual  ", actual)
raise SystemExit(int(not np.allclose(expected, actual, atol=1e-5)))
