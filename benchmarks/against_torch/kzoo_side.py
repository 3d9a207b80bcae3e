"""One case in kzoo, from the folder that torch's side began with, held against its end.

    python benchmarks/against_torch/kzoo_side.py tensorflow|jax|replicas FOLDER

A process has one backend and one distribution strategy. For each line of standard input, the
number of a case, it writes a line: the losses of all batches, and the weight that ends furthest
from torch's.
"""

import contextlib
import json
import os
import sys
from pathlib import Path

import numpy as np
from cases import (
    BATCH,
    EPOCHS,
    MOOT,
    RATE,
    REPLICAS,
    SETTINGS,
    SGD_RATE,
    TASKS,
    cases,
    class_weights,
    examples,
    options,
)


def train(case, folder):
    """The losses of all batches, and how far the weights end from torch's."""
    import keras

    import kzoo
    from kzoo import keras_hooks
    from kzoo.data.batches import bucketed_batches
    from kzoo.network import weights_by_path

    setting, kind = SETTINGS[case.setting], TASKS[case.task]
    half = setting.precision != "float32"
    with keras_hooks.precision(f"mixed_{setting.precision}" if half else None):
        task = loaded(folder / "start", kind)
    weights = weights_by_path(task)
    if setting.frozen:
        for path, weight in weights.items():
            weight.trainable = setting.frozen[0] not in f"/{path}"
    optimizer = keras.optimizers.SGD(SGD_RATE) if setting.sgd else None
    task.compile(
        optimizer=optimizer or kzoo.AdamW(RATE, **options(setting)),
        loss=getattr(kzoo, kind.kzoo_loss)() if kind.kzoo_loss else None,
    )
    columns, targets, sample_weight = examples(case)
    batches = bucketed_batches(
        columns,
        targets,
        sample_weight=sample_weight if setting.sample_weight else None,
        batch_size=BATCH,
        padding_id=task.backbone.padding_id,
    )
    plan = batches.plan
    counts = [float(task.loss_count(plan.batch(rows)[1])) for rows in plan.order(0)]
    losses, totals = [], [0.0]

    def begin(batch, logs):
        if batch == 0:
            totals[:] = [0.0]

    def note(batch, logs):
        """The loss of a batch, from the mean over those of the epoch up to it.

        On replicas `logs` holds a mean of the replicas' means; JAX has only `logs` within an epoch.
        """
        shown = logs if keras.backend.backend() == "jax" else task.get_metrics_result()
        totals.append(float(shown["loss"]) * sum(counts[: batch + 1]))
        losses.append((totals[-1] - totals[-2]) / counts[batch])

    follow = keras.callbacks.LambdaCallback(on_train_batch_begin=begin, on_train_batch_end=note)
    # The mixin's `fit` takes batches of tokens; the task's own takes text and makes them.
    keras_hooks.DistributedFit.fit(
        task,
        batches,
        epochs=EPOCHS,
        callbacks=follow,
        verbose=0,
        **({"class_weight": class_weights()} if setting.class_weight else {}),
    )
    there = weights_by_path(loaded(folder / "end", kind))
    distances = {
        path: float(np.abs(np.asarray(weight) - np.asarray(there[path])).max())
        for path, weight in weights.items()
        if not path.endswith((*MOOT, *kind.moot))
    }
    worst = max(distances, key=distances.get)
    return {"losses": losses, "weights": distances[worst], "worst": worst}


def loaded(folder, kind):
    """The task in a folder of transformers'."""
    import kzoo

    model = kzoo.from_huggingface(folder)
    return kzoo.TextEmbedder(model, "mean") if kind.kzoo == "TextEmbedder" else model


def scope(where):
    """What the trainings of this process run in."""
    if where != REPLICAS:
        return contextlib.nullcontext()
    import tensorflow as tf

    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    return tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]).scope()


def main(where, folder):
    with scope(where):
        for line in sys.stdin:
            number = int(line)
            answer = train(cases()[number], Path(folder) / str(number))
            print(json.dumps({"number": number, **answer}), flush=True)


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[2]))
    os.environ["KERAS_BACKEND"] = "jax" if sys.argv[1] == "jax" else "tensorflow"
    main(*sys.argv[1:])
