"""One training on one of eight devices of JAX, on all by data, and by parts of the weights.

python tests/on_shards.py FILE.npz
"""

import os
import sys
from pathlib import Path

import numpy as np
from on_devices import crash, examples, model

SPREAD = {
    r".*token_embedding/embeddings": ("model", None),
    r".*(feedforward|query|key|value).*kernel": (None, "model"),
}


def fit(size):
    """Train 50 steps in batches of eight; the task, and losses and weights in one dict."""
    from kzoo.data.batches import bucketed_batches
    from kzoo.keras_hooks import DistributedFit
    from kzoo.network import weights_by_path

    task, batches = model(), bucketed_batches(*examples(size), batch_size=8, shuffle=True, seed=3)
    history = DistributedFit.fit(task, batches, epochs=25, validation_data=batches, verbose=0)
    weights = {path: np.asarray(weight) for path, weight in weights_by_path(task).items()}
    return task, {k: np.array(v) for k, v in history.history.items()} | weights


def on_shards():
    """The trainings' ends, and how the table of tokens lies on devices."""
    import keras

    from kzoo.training import strategy

    devices = keras.distribution.list_devices()
    mesh = keras.distribution.DeviceMesh((4, 2), ("batch", "model"), devices)
    layout = keras.distribution.LayoutMap(mesh)
    for path, axes in SPREAD.items():
        layout[path] = axes
    ways = {
        "one": None,
        "data": keras.distribution.DataParallel(devices=devices),
        "model": keras.distribution.ModelParallel(layout_map=layout, batch_dim_name="batch"),
    }
    found = {}
    for name, distribution in ways.items():
        keras.distribution.set_distribution(distribution)
        task, ends = fit(16)
        found |= {f"{name}/{key}": value for key, value in ends.items()}
        table = task.backbone.token_embedding.embeddings.value
        found[f"{name} parts"] = np.array(table.sharding.shard_shape(table.shape))
        found[f"{name} devices"] = np.array(len(table.sharding.device_set))
    keras.distribution.set_distribution(ways["data"])
    found["uneven"] = np.array(str(crash(lambda: fit(12))))
    found["refused"] = np.array(str(crash(lambda: strategy("mirrored"))))
    found["auto"] = np.array(strategy("auto").kind)
    return found


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent.parent))
    os.environ["KERAS_BACKEND"] = "jax"
    flags = os.environ.get("XLA_FLAGS", "")
    os.environ["XLA_FLAGS"] = f"{flags} --xla_force_host_platform_device_count=8"
    np.savez(sys.argv[1], **on_shards())
