"""`global_clipnorm` under MirroredStrategy: each replica's own gradient is clipped.

What is to be clipped is the gradient of the whole batch, the sum over replicas: clipped before it
is another function, and a training on two devices isn't that on one.
"""

import keras
import numpy as np
import tensorflow as tf

X = np.array([[1.0], [10.0]], "float32")  # an example for each replica
Y = np.zeros((2, 1), "float32")


def learnt(strategy):
    """A weight after one step."""
    with strategy.scope():
        model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, use_bias=False)])
        model.layers[0].kernel.assign([[1.0]])
        model.compile(keras.optimizers.SGD(0.001, global_clipnorm=20.0), "mse")
    model.fit(X, Y, batch_size=2, shuffle=False, verbose=0)
    return float(model.layers[0].get_weights()[0].item())


cpu = tf.config.list_physical_devices("CPU")[0]
if len(tf.config.get_logical_device_configuration(cpu) or []) < 2:
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
expected = learnt(tf.distribute.get_strategy())
actual = learnt(tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]))
print("expected", expected)
print("actual  ", actual)
raise SystemExit(int(not np.allclose(expected, actual, atol=1e-5)))
