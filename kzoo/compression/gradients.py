"""What a task loses on data, and how that changes with its weights."""

import keras
import numpy as np


def batches_of(task, data, batch_size):
    """Examples (x, y) as what a step of `fit` takes, in their order."""
    x, y = data
    return task.batches(task.as_inputs(x), y, batch_size=batch_size, shuffle=False)


def loss_of(task, batch, model=None):
    """The loss of a batch by a compiled task, of its own outputs or of another model's."""
    x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(batch)
    y_pred = (model or task)(x, training=False)
    return task.compute_loss(x=x, y=y, y_pred=y_pred, sample_weight=sample_weight, training=False)


def gradients(task, weights, model=None):
    """A function of a batch that gives the gradient of its loss by each of some weights.

    task: a compiled task, whose loss counts. model: what the weights are of, the task by default.
    """

    def loss(values, batch):
        # Values in the place of weights, which on replicas no gradient is taken by from outside.
        with keras.StatelessScope(state_mapping=list(zip(weights, values, strict=True))):
            return loss_of(task, batch, model)

    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        @tf.function(reduce_retracing=True)
        def of(values, batch):
            with tf.GradientTape(watch_accessed_variables=False) as tape:
                tape.watch(values)
                lost = loss(values, batch)
            # Of a table's rows that were looked up, and of what this loss doesn't read, too.
            found = tape.gradient(lost, values, unconnected_gradients="zero")
            return [tf.convert_to_tensor(gradient) for gradient in found]
    else:
        import jax

        of = jax.jit(jax.grad(loss))

    def at(batch):
        values = [keras.ops.convert_to_tensor(np.asarray(weight)) for weight in weights]
        return [np.asarray(each) for each in of(values, batch)]

    return at
