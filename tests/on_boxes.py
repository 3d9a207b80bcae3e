"""A detector's training on one device, on two replicas or on JAX; its end goes into a file.

python tests/on_boxes.py one|replicas FILE.npz
"""

import sys

import numpy as np


def main(where, file):
    import keras
    import tensorflow as tf

    if where == "replicas":
        (cpu,) = tf.config.list_physical_devices("CPU")
        halves = [tf.config.LogicalDeviceConfiguration()] * 2
        tf.config.set_logical_device_configuration(cpu, halves)
        tf.config.optimizer.set_experimental_options(
            {"disable_meta_optimizer": True}
        )  # as conftest
    from test_object_detector import THINGS, detector, pictures

    strategy = tf.distribute.get_strategy()
    if where == "replicas":
        strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    with strategy.scope():
        task = detector([64, 64], blocks=1)
        before = [np.array(weight) for weight in task.weights]
        task.compile(keras.optimizers.SGD(1e-3))
    options = {"batch_size": 3, "epochs": 1, "verbose": 0, "shuffle": False}
    history = task.fit(pictures(4), [*THINGS, []], **options)
    after = [np.array(weight) for weight in task.weights]
    # Without strategy: predict answers alike wherever the weights came from.
    answers = [
        [each["score"], *each["box"].values()]
        for row in task.predict(pictures(4), threshold=0.0)
        for each in sorted(row, key=lambda each: each["box"]["xmin"])
    ]
    moved = max(float(np.abs(a - b).max()) for a, b in zip(after, before, strict=True))
    weights = {f"weight_{place}": value for place, value in enumerate(after)}
    np.savez(file, loss=history.history["loss"], answers=answers, moved=moved, **weights)


if __name__ == "__main__":
    main(*sys.argv[1:])
