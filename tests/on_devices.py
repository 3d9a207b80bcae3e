"""One training on one device, on two replicas or on JAX; what it ends in goes into a file.

    python tests/on_devices.py replicas|jax FILE.npz

A process has one backend and one distribution strategy, so each runs in its own.
"""

import os
import sys
from pathlib import Path

import numpy as np

IDS = np.array([[0, 0, 1], [0, 2, 1]])  # Repeated ids: what Keras' Adam gets wrong.


def model(kind="TextClassifier", clip_norm=0.1, use_ema=False, **options):
    """A task with fixed weights; the same on every backend."""
    import kzoo
    from kzoo.models import build
    from kzoo.network import weights_by_path

    spec = kzoo.Spec(
        family="bert",
        vocabulary_size=50,
        hidden_dim=16,
        num_heads=2,
        intermediate_dim=32,
        schedule=(0, 1),
        num_segments=1,
        pooler="none",
        dropout=0.0,
        attention_dropout=0.0,
    )
    options = options or {"head": "mean"}
    task = getattr(kzoo, kind)(build(spec), labels=["no", "yes"], **options)
    for number, (path, weight) in enumerate(sorted(weights_by_path(task).items())):
        noise = np.random.default_rng(number).normal(0, 0.1, weight.shape)
        weight.assign((noise + path.endswith("gamma")).astype("float32"))
    task.compile(
        optimizer=kzoo.AdamW(
            1e-2, weight_decay=0.1, clip_norm=clip_norm, use_ema=use_ema, layer_decay=0.9
        )
    )
    return task


def examples(size, by_place=False):
    """Ragged rows and labels; by place, a third of the places have none."""
    draw = np.random.default_rng(size)
    rows = [draw.integers(1, 50, draw.integers(2, 9)).tolist() for _ in range(size)]
    if by_place:
        return rows, [draw.choice([-100, 0, 1], len(row)).tolist() for row in rows]
    return rows, draw.integers(0, 2, size)


def fit(task, size, epochs=2):
    """Train in batches of four; returns losses and weights in one dict."""
    from kzoo.data.batches import bucketed_batches
    from kzoo.keras_hooks import DistributedFit
    from kzoo.network import weights_by_path

    rows, labels = examples(size, by_place=type(task).__name__ == "TokenClassifier")
    batches = bucketed_batches(rows, labels, batch_size=4, shuffle=True, seed=3)
    held = bucketed_batches(rows, labels, batch_size=4)
    # The mixin's `fit` takes batches; the task's own takes text and makes them.
    history = DistributedFit.fit(task, batches, epochs=epochs, validation_data=held, verbose=0)
    weights = {path: np.asarray(weight) for path, weight in weights_by_path(task).items()}
    return {**{key: np.array(value) for key, value in history.history.items()}, **weights}


def embedding(optimizer):
    """Three steps of an optimizer on a table of ones that is looked up with repeated ids."""
    import keras

    layer = keras.layers.Embedding(3, 1, embeddings_initializer="ones")
    table = keras.Sequential([keras.Input((3,), dtype="int32"), layer])
    table.compile(optimizer=optimizer, loss="mse")
    table.fit(IDS, np.zeros((2, 3, 1)), epochs=3, batch_size=2, verbose=0)
    return np.asarray(layer.embeddings).ravel()


def plain_adam():
    """kzoo's AdamW with everything off but Adam."""
    import kzoo

    return kzoo.AdamW(
        0.1, weight_decay=0.0, warmup=0, decay="constant", clip_norm=None, epsilon=1e-7
    )


# What is compared; the last batches hold 2, 3, 1 and 2 examples, for two replicas.
RUNS = {
    "clipped": lambda: fit(model(clip_norm=0.1), 10),
    "uneven": lambda: fit(model(clip_norm=None, use_ema=True), 7),
    "empty": lambda: fit(model(), 5),
    "by place": lambda: fit(model("TokenClassifier", head="token"), 6),
}


def scores_by_place():
    """Loss and accuracy of a task by place, in batches of three sizes."""
    from kzoo.data.batches import bucketed_batches

    task = model("TokenClassifier", head="token")
    rows, labels = examples(6, by_place=True)
    return np.array(
        [
            task.evaluate(bucketed_batches(rows, labels, batch_size=size), verbose=0)
            for size in (2, 4, 6)
        ]
    )


def stock_clip():
    """What a stock optimizer makes of clipping, with an even last batch."""
    import keras

    task = model()
    task.compile(
        optimizer=keras.optimizers.SGD(1.0, global_clipnorm=0.1),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    return fit(task, 8)


def stock_loss():
    """What Keras' own step makes of an uneven batch: the stock model in the task's place."""
    import keras

    from kzoo.data.batches import bucketed_batches

    inner = model()

    class Stock(keras.Model):
        def __init__(self):
            super().__init__()
            self.inner = inner

        def call(self, inputs, training=None):
            return self.inner.call(inputs)["logits"]

    stock = Stock()
    stock.compile(
        optimizer=keras.optimizers.SGD(1.0),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    rows, labels = examples(3)
    stock.train_on = bucketed_batches(rows, labels, batch_size=3)
    return stock


def on_replicas():
    """Everything that two replicas answer, and what stock Keras does in the same place."""
    import keras
    import tensorflow as tf

    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    found = {}
    with strategy.scope():
        for name, run in RUNS.items():
            found |= {f"{name}/{key}": value for key, value in run().items()}
        found["scores_by_place"] = scores_by_place()
        task = model()
        rows, _ = examples(5)
        ragged = {"token_ids": rows, "padding_mask": [[1] * len(row) for row in rows]}
        found["predicted"] = np.concatenate([o["logits"] for o in task._run(ragged, 4)[1]])
        batch = {name: np.ones((5, 3), "int32") for name in ("token_ids", "padding_mask")}
        found["stock_predicted"] = keras.Model.predict_on_batch(task, batch)["logits"]
        found |= {f"stock_clip/{key}": value for key, value in stock_clip().items()}
        stock = stock_loss()
        try:
            stock.fit(stock.train_on, verbose=0)
        except Exception as error:
            found["stock_error"] = np.array(f"{type(error).__name__}: {error}"[:2000])
        # Past the crash, the loss of a replica with one example weighs as much as that of two.
        stock._maybe_symbolic_build = lambda **_: None
        stock.fit(stock.train_on, verbose=0)
        found["stock_loss"] = np.asarray(stock.inner.head.logits.kernel)
    return found


def refusal(call, ids):
    """What a call on ids that don't exist says."""
    import kzoo

    try:
        return str(call(ids))
    except kzoo.KzooError as error:
        return str(error)


def on_jax():
    """The training and the embedding on JAX."""
    found = {f"clipped/{key}": value for key, value in RUNS["clipped"]().items()}
    found["scores_by_place"] = scores_by_place()
    import keras

    found["keras_adam"] = embedding(keras.optimizers.Adam(0.1))
    found["kzoo_adam"] = embedding(plain_adam())
    task = model()
    numpy = {
        name: np.full((1, 3), value) for name, value in (("token_ids", 99), ("padding_mask", 1))
    }
    jax = {name: keras.ops.array(value) for name, value in numpy.items()}
    found["refused"] = np.array(
        [refusal(call, ids) for call in (task, task.predict_on_batch) for ids in (numpy, jax)]
    )
    return found


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent.parent))
    os.environ["KERAS_BACKEND"] = "jax" if sys.argv[1] == "jax" else "tensorflow"
    np.savez(sys.argv[2], **(on_jax() if sys.argv[1] == "jax" else on_replicas()))
