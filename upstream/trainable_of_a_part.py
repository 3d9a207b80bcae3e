"""`layer.trainable = True` leaves a frozen part frozen where the layer's own flag was True already.

On TensorFlow the assignment returns at once where the flag has the value: what was set on a layer
below stays. On JAX and torch it reaches all parts.
"""

import keras

model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1), keras.layers.Dense(1)])
model.layers[0].trainable = False
model.trainable = True
expected, actual = 4, len(model.trainable_variables)


print("expected", expected, "trainable variables")
print("actual  ", actual)
raise SystemExit(int(expected != actual))
