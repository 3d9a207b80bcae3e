"""One training on one device, on two replicas or on JAX; what it ends in goes into a file.

    python tests/on_devices.py replicas|workers|jax FILE.npz [NAME of a training ...]

A worker is one of several processes, of which TF_CONFIG tells.

A process has one backend and one distribution strategy, so each runs in its own.
"""

import os
import re
import sys
from pathlib import Path

import numpy as np

IDS = np.array([[0, 0, 1], [0, 2, 1]])  # Repeated ids: what Keras' Adam gets wrong.


def model(
    kind="TextClassifier",
    precision=None,
    undecayed=None,
    learning=None,
    hidden_dim=16,
    steps=1,
    slots=None,
    **options,
):
    """A task with fixed weights, the same on every backend; `learning` goes to its optimizer.

    `steps` are those that Keras takes at once, `slots` the fields of the spec that differ.
    """
    import kzoo
    from kzoo import keras_hooks
    from kzoo.models import build
    from kzoo.network import weights_by_path

    fields = {"schedule": (0,), "pooler": "none", "dropout": 0.0, "attention_dropout": 0.0}
    spec = kzoo.Spec(
        family="bert",
        embedding={"kind": "token", "vocabulary_size": 50, "num_segments": 1},
        hidden_dim=hidden_dim,
        num_heads=2,
        intermediate_dim=32,
        **fields | (slots or {}),
    )
    options = options or {"head": "mean"}
    with keras_hooks.precision(precision):
        task = getattr(kzoo, kind)
        labels = {"labels": ["no", "yes"]} if task.names_labels else {}
        task = task(build(spec), **labels, **options)
    for number, (path, weight) in enumerate(sorted(weights_by_path(task).items())):
        noise = np.random.default_rng(number).normal(0, 0.1, weight.shape)
        weight.assign((noise + path.endswith("gamma")).astype("float32"))
    # An epsilon that lets no step come of rounding, which is all the gradient of a key's bias.
    common = {"weight_decay": 0.1, "clip_norm": 0.1, "layer_decay": 0.9, "epsilon": 1e-6}
    learning = {**common, **(learning or {})}
    optimizer = kzoo.AdamW(1e-2, **learning)
    if undecayed:
        optimizer.exclude_from_weight_decay(var_names=[undecayed])
    task.compile(optimizer=optimizer, steps_per_execution=steps)
    return task


def rounding():
    """A task that rounds as a file of int8_static does, in ranges of -3 to 3."""
    import kzoo
    from kzoo.network import freeze, weights_by_path

    task = model()
    aware = task.under(task.spec.replace(quantization="int8_static"))
    ranges = [path for path in weights_by_path(aware) if path.endswith("_range")]
    for path in ranges:
        weights_by_path(aware)[path].assign([-3.0, 3.0])
    freeze(
        aware, [path for path in weights_by_path(aware) if path.endswith(("_range", "_factors"))]
    )
    aware.compile(optimizer=kzoo.AdamW(1e-2, clip_norm=0.1, epsilon=1e-4))
    return aware


def adapted():
    """A task with adapters of DoRA that are noise already: of zeros half of them wouldn't learn."""
    import kzoo
    from kzoo.network import weights_by_path

    task = kzoo.lora(model(), rank=2, targets=["attention", "feedforward"], dora=True)
    for number, (path, weight) in enumerate(sorted(weights_by_path(task).items())):
        if path.rpartition("/")[2].startswith("lora"):
            draw = np.random.default_rng(number)
            weight.assign(draw.normal(0, 0.1, weight.shape).astype("float32"))
    task.compile(optimizer=kzoo.AdamW(1e-2, clip_norm=0.1, epsilon=1e-6))
    return task


def recomputed(slots=None):
    """A task whose blocks are run again for their gradients."""
    task = model(learning={"clip_norm": None, "epsilon": 1e-5}, slots=slots)
    task.compile(task.optimizer, gradient_checkpointing=True)
    return task


def examples(size, by_place=False):
    """Ragged rows and labels; by place, a third of the places have none."""
    draw = np.random.default_rng(size)
    rows = [draw.integers(1, 50, draw.integers(2, 9)).tolist() for _ in range(size)]
    if by_place:
        return rows, [draw.choice([-100, 0, 1], len(row)).tolist() for row in rows]
    return rows, draw.integers(0, 2, size)


def fit(task, size, epochs=2, validates=True):
    """Train in batches of four; returns losses and weights in one dict."""
    from kzoo.data.batches import bucketed_batches
    from kzoo.keras_hooks import DistributedFit
    from kzoo.network import weights_by_path

    rows, labels = examples(size, by_place=type(task).__name__ == "TokenClassifier")
    batches = bucketed_batches(rows, labels, batch_size=4, shuffle=True, seed=3)
    held = bucketed_batches(rows, labels, batch_size=4) if validates else None
    # The mixin's `fit` takes batches; the task's own takes text and makes them.
    history = DistributedFit.fit(task, batches, epochs=epochs, validation_data=held, verbose=0)
    weights = {path: np.asarray(weight) for path, weight in weights_by_path(task).items()}
    return {**{key: np.array(value) for key, value in history.history.items()}, **weights}


def fit_taught(size, epochs=2):
    """Train on the labels of places and on lessons of a wider teacher; as `fit`."""
    from kzoo.compression import AttentionScores, HiddenStates, Logits, Teacher, ValueRelations

    # A gradient of nearly nothing, whose sign is rounding, moves nothing.
    own = {"head": "token", "learning": {"clip_norm": None, "epsilon": 1e-5}}
    task = model("TokenClassifier", **own)
    lessons = [Logits(), HiddenStates(), AttentionScores(), ValueRelations(heads=4)]
    teacher = Teacher(model("TokenClassifier", **own, hidden_dim=32), share=0.6, lessons=lessons)
    task.compile(task.optimizer, teacher=teacher)
    for number, weight in enumerate(task.bridges.trainable_variables):
        draw = np.random.default_rng(number)
        weight.assign(draw.normal(0, 0.3, weight.shape).astype("float32"))
    learnt = fit(task, size, epochs, validates=False)
    bridges = {weight.path: np.asarray(weight) for weight in task.bridges.trainable_variables}
    assert len(bridges) == 2
    return learnt | bridges


def towers_of(family, senses, task):
    """A task on tiny towers with fixed weights, the same on every backend."""
    import kzoo
    from kzoo.models import build
    from kzoo.network import weights_by_path
    from kzoo.spec import Towers

    own = {"hidden_dim": 16, "num_heads": 2, "intermediate_dim": 32, "schedule": (0,)}
    own |= {"dropout": 0.0, "attention_dropout": 0.0, "block": "pre_norm"}
    first = {**own, "pooler": {"kind": "first", "dim": 8}}
    squares = {"kind": "patch", "image_size": 4, "patch_size": 2, "bias": False}
    words = {"kind": "token", "vocabulary_size": 50}
    bands = {"kind": "spectrogram", "size": [6, 4], "patch_size": 2}
    specs = {
        "image": kzoo.Spec("clip_image", squares, **first, max_sequence_length=5),
        "text": kzoo.Spec(
            "clip_text", words, **own, attention="causal", pooler={"kind": "end", "dim": 8}
        ),
        "audio": kzoo.Spec("ast", bands, **first, max_sequence_length=7),
    }
    task = getattr(kzoo, task)(build(Towers(family, {sense: specs[sense] for sense in senses})))
    for number, (path, weight) in enumerate(sorted(weights_by_path(task).items())):
        noise = np.random.default_rng(number).normal(0, 0.3, weight.shape)
        weight.assign((noise + path.endswith("gamma")).astype("float32"))
    return task


def as_given(name):
    """How a plan reads arrays that are a network's inputs already."""
    return lambda array, _: array, lambda arrays: {name: arrays}


def fit_pairs(size, label_share=None, epochs=2):
    """Train two towers on pairs in batches of four; returns losses and weights in one dict.

    With a `label_share`, from a teacher's vectors.
    """
    import kzoo
    from kzoo.compression import AffinityLoss
    from kzoo.data.pairs import PairPlan, Pairs
    from kzoo.keras_hooks import DistributedFit
    from kzoo.network import weights_by_path

    task = towers_of("clip", ("image", "text"), "ImageTextEmbedder")
    loss = None if label_share is None else AffinityLoss(label_share)
    # Of accuracy each replica knows its own part.
    task.compile(kzoo.AdamW(1e-2, clip_norm=0.1, epsilon=1e-4), loss, metrics=[])

    draw = np.random.default_rng(size)
    pictures = list(draw.standard_normal((size, 4, 4, 3)).astype("float32"))
    rows, _ = examples(size)
    pairs = Pairs(pictures, {"token_ids": rows, "padding_mask": [[1] * len(r) for r in rows]})
    teacher = draw.standard_normal((size, 2, 6)).astype("float32")
    targets = np.ones(size, "float32") if label_share is None else teacher

    def batches(**options):
        plan = PairPlan(
            pairs, *as_given("images"), targets,
            batch_size=4, longest=8, padding_id=0, **options,
        )  # fmt: skip
        return plan.dataset()

    held = batches() if label_share is None else None  # Their steps are the same.
    learning = {"epochs": epochs, "validation_data": held, "verbose": 0}
    history = DistributedFit.fit(task, batches(shuffle=True, seed=3), **learning)
    weights = {path: np.asarray(weight) for path, weight in weights_by_path(task).items()}
    return {**{key: np.array(value) for key, value in history.history.items()}, **weights}


def fit_senses(size, epochs=2):
    """Train three towers on triples, some of which lack a sense; as `fit_pairs`."""
    import kzoo
    from kzoo.data.pairs import Pairs, SensesPlan
    from kzoo.keras_hooks import DistributedFit
    from kzoo.network import weights_by_path

    task = towers_of("audio_clip", ("image", "text", "audio"), "AudioImageTextEmbedder")
    # Of accuracy each replica knows its own part.
    task.compile(kzoo.AdamW(1e-2, clip_norm=0.1, epsilon=1e-4), metrics=[])
    draw, (rows, _) = np.random.default_rng(size), examples(size)
    pictures = list(draw.standard_normal((size, 4, 4, 3)).astype("float32"))
    sounds = list(draw.standard_normal((size, 6, 4)).astype("float32"))
    texts = {"token_ids": rows, "padding_mask": [[1] * len(r) for r in rows]}
    there = np.ones((size, 3), "float32")  # Image and text, image and audio, text and audio.
    there[1, :2] = there[4, 1:] = 0
    plan = SensesPlan(
        Pairs(pictures, texts, {"audio": sounds}), *as_given("images"), there,
        readers={"audio": as_given("features")},
        batch_size=4, longest=8, padding_id=0, shuffle=True, seed=3,
    )  # fmt: skip
    history = DistributedFit.fit(task, plan.dataset(), epochs=epochs, verbose=0)
    weights = {path: np.asarray(weight) for path, weight in weights_by_path(task).items()}
    return {**{key: np.array(value) for key, value in history.history.items()}, **weights}


def fit_sentences(size, epochs=2):
    """Train on hidden tokens and pairs of sentences in batches of four; as `fit`."""
    from test_tasks import WORDS, tokenizer

    import kzoo
    from kzoo.keras_hooks import DistributedFit
    from kzoo.models import build
    from kzoo.network import weights_by_path

    spec = kzoo.Spec(
        "bert",
        {"kind": "token", "vocabulary_size": 80, "num_segments": 2},
        hidden_dim=16,
        num_heads=2,
        intermediate_dim=32,
        schedule=(0,),
        max_sequence_length=24,
        dropout=0.0,
        attention_dropout=0.0,
    )
    task = kzoo.PreTraining(build(spec), tokenizer=tokenizer())
    for number, (path, weight) in enumerate(sorted(weights_by_path(task).items())):
        noise = np.random.default_rng(number).normal(0, 0.1, weight.shape)
        weight.assign((noise + path.endswith("gamma")).astype("float32"))
    task.compile(kzoo.AdamW(1e-2, clip_norm=None, epsilon=1e-6))
    draw = np.random.default_rng(size)
    documents = [
        [" ".join(draw.choice(WORDS, 4)) for _ in range(draw.integers(2, 5))] for _ in range(size)
    ]
    learnt = task.batches(documents, batch_size=4, shuffle=True, seed=3)
    history = DistributedFit.fit(task, learnt, epochs=epochs, verbose=0)
    weights = {path: np.asarray(weight) for path, weight in weights_by_path(task).items()}
    return {**{key: np.array(value) for key, value in history.history.items()}, **weights}


def fit_groups(kind, size, epochs=2, parts=1, **options):
    """Train on groups of three texts, to find partners in batches of four; as `fit`."""
    from kzoo.data.batches import bucketed_batches
    from kzoo.keras_hooks import DistributedFit
    from kzoo.network import weights_by_path

    # A gradient of nearly nothing, whose sign is rounding, moves nothing.
    task = model(kind, learning={"clip_norm": None, "epsilon": 1e-4}, **options)
    loss = task.loss_without_targets() or task.default_loss()
    task.compile(task.optimizer, loss=loss, parts=parts)
    draw = np.random.default_rng(size)
    rows = [
        [draw.integers(1, 50, draw.integers(3, 9)).tolist() for _ in range(3)] for _ in range(size)
    ]
    targets = np.ones(size, "float32")
    learnt = bucketed_batches(rows, targets, batch_size=4, shuffle=True, seed=3)
    history = DistributedFit.fit(task, learnt, epochs=epochs, verbose=0)
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


def moved(kind, batch_size=8, accumulation=None):
    """The averages of the weights over six updates by an optimizer, ids repeated; one array.

    There is a table, a matrix within a block, a bias and a head.
    """
    import keras

    from kzoo.training.optimizer import OPTIMIZERS

    layers = [
        keras.layers.Embedding(5, 4, name="token_embedding"),
        keras.layers.Dense(6, name="block_0"),
        keras.layers.Dense(2, name="head"),
    ]
    network = keras.Sequential([keras.Input((3,), dtype="int32"), *layers])
    for number, weight in enumerate(network.weights):
        noise = np.random.default_rng(number).normal(0, 0.5, weight.shape)
        weight.assign(noise.astype("float32"))
    optimizer = OPTIMIZERS[kind](
        1e-2, warmup=0, decay="constant", weight_decay=0.1, clip_norm=0.5, layer_decay=0.9,
        use_ema=True, ema_momentum=0.5, gradient_accumulation_steps=accumulation,
    )  # fmt: skip
    draw = np.random.default_rng(7)
    ids, targets = draw.integers(0, 4, (16, 3)), draw.normal(size=(16, 3, 2)).astype("float32")
    network.compile(optimizer, "mse", jit_compile=keras.backend.backend() == "jax")
    network.fit(ids, targets, batch_size=batch_size, epochs=3, shuffle=False, verbose=0)
    return np.concatenate([np.asarray(each).ravel() for each in network.weights])


KINDS = ("AdamW", "Lamb", "Adafactor", "Lion", "Muon")
ACCUMULATED = {"gradient_accumulation_steps": 2, "use_ema": True, "ema_momentum": 0.5}
OVERWRITTEN = {"use_ema": True, "ema_momentum": 0.5, "ema_overwrite_frequency": 2}
# Attention to some places: sums that all blocks share, a pattern by blocks, hashing in reversible
# blocks. Rows have up to 8 places.
SOME_PLACES = {
    "schedule": (0, 1, 2),
    "attention": [
        {"kind": "linformer", "length": 4, "sharing": "layer"},
        {"kind": "strided", "stride": 2, "looks_ahead": True},
        {"kind": "linformer", "length": 4, "sharing": "layer"},
    ],
}
HASHED = {
    "block": "reversible",
    "attention": {
        "kind": "lsh", "chunk": 2, "hashes": 2, "buckets": 4, "seed": 0, "looks_ahead": True,
    },
}  # fmt: skip
# What is compared. Tracing takes nearly all of the time, a step for each size of a batch: in
# "mimicking" the last batch holds 1, which leaves a replica none, as in `scores_by_place`, and in
# "clipped" 3 behind 4. Others learn from 3, two for one replica, one for the other. Those that are
# clipped and by place validate, and attention to some places lies in trainings of other features.
# Clipping would hide a loss of another size: by place there is none.
RUNS = {
    "contrastive": lambda epochs=2: fit_pairs(7, epochs=epochs),
    "mimicking": lambda epochs=2: fit_pairs(5, 0.3, epochs),
    "three senses": lambda epochs=2: fit_senses(7, epochs),
    "taught": lambda epochs=2: fit_taught(3, epochs),
    "sentences": lambda epochs=2: fit_sentences(7, epochs),
    "late interaction": lambda epochs=2: fit_groups("LateInteraction", 3, epochs, dim=8),
    "in parts": lambda epochs=2: fit_groups("TextEmbedder", 3, epochs, 2, pooling="mean"),
    "clipped": lambda epochs=2: fit(model(learning=OVERWRITTEN, steps=2), 7, epochs),
    "by place": lambda epochs=2: fit(
        model("TokenClassifier", head="token", learning={"clip_norm": None}, slots=HASHED),
        3,
        epochs,
    ),
    "accumulated": lambda epochs=4: fit(
        model(learning=ACCUMULATED | OVERWRITTEN, undecayed="kernel"), 3, epochs, validates=False
    ),
    "rounding": lambda epochs=2: fit(rounding(), 3, epochs, validates=False),
    "adapted": lambda epochs=2: fit(adapted(), 3, epochs, validates=False),
    "recomputed": lambda epochs=2: fit(recomputed(SOME_PLACES), 3, epochs, validates=False),
    "float16": lambda epochs=4: fit(
        model(precision="mixed_float16", learning=ACCUMULATED), 3, epochs, validates=False
    ),
}

# Mimicking's loss has the contrastive one in it.
TESTED = tuple(name for name in RUNS if name != "contrastive")
ON_JAX = ("accumulated", "mimicking", "three senses", "taught", "sentences")


def scores_by_place():
    """Loss and accuracy of a task by place, of a batch and of two, the last with one example."""
    from kzoo.data.batches import bucketed_batches

    task = model("TokenClassifier", head="token")
    rows, labels = examples(6, by_place=True)
    return np.array(
        [
            task.evaluate(bucketed_batches(rows, labels, batch_size=size), verbose=0)
            for size in (5, 6)
        ]
    )


def stock(optimizer, size, builds=False):
    """Keras' own model and step in the task's place, and batches of four for it.

    Where it `builds` itself, Keras takes the mean of token ids over replicas.
    """
    import keras

    from kzoo.data.batches import bucketed_batches

    inner = model()

    class Stock(keras.Model):
        def __init__(self):
            super().__init__()
            self.inner = inner

        def call(self, inputs, training=None):
            return self.inner.call(inputs)["logits"]

    task = Stock()
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    task.compile(optimizer=optimizer, loss=loss)
    if not builds:
        task._maybe_symbolic_build = lambda **_: None
    return task, bucketed_batches(*examples(size), batch_size=4)


def stock_clip():
    """What a stock optimizer makes of clipping, with an even last batch."""
    import keras

    task, batches = stock(keras.optimizers.SGD(1.0, global_clipnorm=0.1), 8)
    task.fit(batches, verbose=0)
    return np.asarray(task.inner.head.logits.kernel)


def stock_loss():
    """A stock model, and batches that don't split evenly."""
    import keras

    return stock(keras.optimizers.SGD(1.0), 3)


def updates(accumulation):
    """A weight after three updates by gradients that come in parts, overwritten by its average."""
    import keras

    import kzoo

    optimizer = kzoo.AdamW(
        0.1,
        warmup=0,
        decay="constant",
        gradient_accumulation_steps=accumulation,
        **OVERWRITTEN,
    )
    weight = keras.Variable(np.ones((2, 3), "float32"))
    for number in range(3):
        whole, noise = np.random.default_rng(number).normal(size=(2, 2, 3)).astype("float32")
        for part in [whole - noise, whole + noise] if accumulation else [whole]:
            optimizer.apply([keras.ops.convert_to_tensor(part)], [weight])
    return np.stack([weight, optimizer._model_variables_moving_average[0]])


def refused(optimizer):
    """What a task says on replicas of an optimizer that can't run there."""
    from kzoo.errors import KzooError

    task = model()
    task.compile(optimizer=optimizer)
    try:
        fit(task, 4, epochs=1)
    except KzooError as error:
        return str(error)


def crash(call):
    """What a call that can't end well says."""
    try:
        call()
    except Exception as error:
        return f"{type(error).__name__}: {error}"[:2000]


def one_replica_overflows():
    """Weights before and after a step where the second replica's gradient alone is infinite."""
    import keras
    import tensorflow as tf

    from kzoo import keras_hooks

    weight = keras.Variable(np.ones(2, "float32"))
    optimizer = keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(1.0))
    optimizer.build([weight])

    @tf.function
    def step():
        def run():
            number = tf.distribute.get_replica_context().replica_id_in_sync_group
            grads = [tf.where(tf.equal(number, 1), [1.0, np.inf], [1.0, 1.0])]
            optimizer.apply(keras_hooks.all_finite_or_none(grads), [weight])

        tf.distribute.get_strategy().run(run)

    step()
    return np.asarray(weight)


def on_replicas():
    """Everything that two replicas answer, and what stock Keras does in the same place."""
    import keras
    import tensorflow as tf

    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})  # as conftest
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    found = {}
    with strategy.scope():
        for name in TESTED:
            found |= {f"{name}/{key}": value for key, value in RUNS[name]().items()}
        found |= {f"moved {kind}": moved(kind) for kind in KINDS}
        found["accumulated AdamW"] = moved("AdamW", 2, accumulation=4)
        found["scores_by_place"] = scores_by_place()
        task = model()
        rows, _ = examples(5)
        ragged = {"token_ids": rows, "padding_mask": [[1] * len(row) for row in rows]}
        found["predicted"] = np.concatenate([o["logits"] for o in task.run_batches(ragged, 4)[1]])
        batch = {name: np.ones((5, 3), "int32") for name in ("token_ids", "padding_mask")}
        found["stock_predicted"] = keras.Model.predict_on_batch(task, batch)["logits"]
        found["stock_clip"] = stock_clip()
        found["refused"] = refused(keras.optimizers.SGD(1.0, gradient_accumulation_steps=2))
        found["overflown"] = one_replica_overflows()
        branching, batches = stock(keras.optimizers.SGD(1.0, gradient_accumulation_steps=2), 4)
        found["stock_branch"] = crash(lambda: branching.fit(batches, verbose=0))
        building, batches = stock(keras.optimizers.SGD(1.0), 3, builds=True)
        found["stock_error"] = crash(lambda: building.fit(batches, verbose=0))
        # Past that crash, the loss of a replica with one example weighs as much as that of two.
        uneven, batches = stock_loss()
        uneven.fit(batches, verbose=0)
        found["stock_loss"] = np.asarray(uneven.inner.head.logits.kernel)
    return found


def on_workers(*names):
    """The trainings of those names as one of several processes sees their end."""
    import keras
    import tensorflow as tf

    from kzoo.training import strategy

    placed = strategy("multi_worker")
    tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})  # as conftest
    found = {}
    with placed.scope():
        for name in names:
            found |= {f"{name}/{key}": value for key, value in RUNS[name]().items()}
        building, batches = stock(keras.optimizers.SGD(1.0), 4, builds=True)
        found["stock_build"] = crash(lambda: building.fit(batches, verbose=0))
        stepping, batches = stock(keras.optimizers.SGD(1.0), 4)
        found["stock_step"] = crash(lambda: stepping.fit(batches, verbose=0))
    return found


def refusal(call, ids):
    """What a call on ids that don't exist says."""
    import kzoo

    try:
        return str(call(ids))
    except kzoo.KzooError as error:
        return str(error)


def compilations(work):
    """The names of the functions that JAX compiles while `work()` runs, each as often as it is."""
    import logging

    import jax

    names, logger, handler = [], logging.getLogger("jax"), logging.Handler()
    handler.emit = lambda record: names.extend(
        re.findall(r"^Compiling jit\((\w+)\)", record.getMessage())
    )
    logger.addHandler(handler)
    with jax.log_compiles():
        work()
    logger.removeHandler(handler)
    return names


def shapes_on_jax():
    """The shapes of three epochs with a smaller last batch, and what is compiled for them."""
    from kzoo.data.batches import bucketed_batches
    from kzoo.keras_hooks import DistributedFit

    task = model(max_length=20)
    draw = np.random.default_rng(0)
    rows = [draw.integers(1, 50, length).tolist() for length in draw.integers(2, 21, 30)]
    batches = bucketed_batches(
        rows, draw.integers(0, 2, 30), batch_size=4, shuffle=True, max_length=20
    )
    plan = batches.plan
    shapes = {plan.batch(r)[0]["token_ids"].shape for epoch in range(3) for r in plan.order(epoch)}
    trained = compilations(lambda: DistributedFit.fit(task, batches, epochs=3, verbose=0))

    def answer():
        for size in (1, 3, 4, 15):
            for some in (rows[:size], rows[-size:]):
                ragged = {"token_ids": some, "padding_mask": [[1] * len(row) for row in some]}
                task.run_batches(ragged, 4)

    return {
        "shapes": np.array(sorted(shapes)),
        "compiled": np.array([*trained, *compilations(answer)]),
    }


def on_jax():
    """The training and the embedding on JAX."""
    found = {"scores_by_place": scores_by_place()}
    for name in ON_JAX:
        found |= {f"{name}/{key}": value for key, value in RUNS[name]().items()}
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
    found |= {f"moved {kind}": moved(kind) for kind in KINDS}
    found["accumulated AdamW"] = moved("AdamW", 2, accumulation=4)
    for accumulation in (None, 2):
        found[f"updates {accumulation}"] = updates(accumulation)
    return {**found, **shapes_on_jax()}


ANSWERS = {"replicas": on_replicas, "workers": on_workers, "jax": on_jax}

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent.parent))
    os.environ["KERAS_BACKEND"] = "jax" if sys.argv[1] == "jax" else "tensorflow"
    np.savez(sys.argv[2], **ANSWERS[sys.argv[1]](*sys.argv[3:]))
