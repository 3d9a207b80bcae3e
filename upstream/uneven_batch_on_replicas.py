"""`fit` under MirroredStrategy crashes where a batch doesn't split evenly.

A model that wasn't built, or its metrics, are built from the mean of the replicas' parts.
Where these have different sizes that is an error; of whole numbers, such as token ids, it means
nothing either.
"""

import keras
import numpy as np
import tensorflow as tf

X = np.arange(5, dtype="int32")[:, None]
Y = np.zeros((5, 1), "float32")


class Model(keras.Model):
    """An embedding and a sum, built when it is first called."""

    def __init__(self):
        super().__init__()
        self.table, self.out = keras.layers.Embedding(5, 2), keras.layers.Dense(1)

    def call(self, inputs):
        """(batch, 1) ids to (batch, 1)."""
        return self.out(self.table(inputs)[:, 0])


cpu = tf.config.list_physical_devices("CPU")[0]
if len(tf.config.get_logical_device_configuration(cpu) or []) < 2:
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
with tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]).scope():
    model = Model()
    model.compile("sgd", "mse")
expected = "a training"
try:
    model.fit(X, Y, batch_size=5, verbose=0)
    actual = expected
except Exception as error:  # of whatever kind
    actual = f"{type(error).__name__}: {error}".splitlines()[0][:160]
print("expected", expected)
print("actual  ", actual)
raise SystemExit(int(expected != actual))
