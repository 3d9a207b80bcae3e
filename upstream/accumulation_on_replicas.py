"""`gradient_accumulation_steps` under MirroredStrategy is an error.

The optimizer opens a branch, in which replicas can't meet to sum their gradients.
"""

import keras
import numpy as np
import tensorflow as tf

X, Y = np.ones((8, 1), "float32"), np.zeros((8, 1), "float32")


cpu = tf.config.list_physical_devices("CPU")[0]
if len(tf.config.get_logical_device_configuration(cpu) or []) < 2:
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
with tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]).scope():
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile(keras.optimizers.Adam(0.1, gradient_accumulation_steps=2), "mse")
expected = "a training"
try:
    model.fit(X, Y, batch_size=4, verbose=0)
    actual = expected
except Exception as error:  # of whatever kind
    actual = f"{type(error).__name__}: {error}".splitlines()[0][:160]
print("expected", expected)
print("actual  ", actual)
raise SystemExit(int(expected != actual))
