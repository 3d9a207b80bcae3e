"""`predict_on_batch` under MirroredStrategy gives every row once for each replica.

Each replica is handed the whole batch, and their outputs are joined.
"""

import keras
import numpy as np
import tensorflow as tf

X = np.ones((3, 1), "float32")


cpu = tf.config.list_physical_devices("CPU")[0]
if len(tf.config.get_logical_device_configuration(cpu) or []) < 2:
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
with tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]).scope():
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
expected, actual = (3, 1), model.predict_on_batch(X).shape
print("expected", expected)
print("actual  ", actual)
raise SystemExit(int(expected != actual))
