"""What is left out adds nothing, what stays is what the loss needs, and `fit` prunes by steps."""

import dataclasses
import json
import os
import subprocess
import sys
from functools import cache
from pathlib import Path

import keras
import numpy as np
import pytest
from families import SPECS, STACKS, noisy

import kzoo
from kzoo import presets
from kzoo.compression import Pruning, prune, shrink
from kzoo.compression.prune import HEADS, KINDS, UNITS, Importance, chosen, find
from kzoo.network import weights_by_path
from kzoo.parts import resolve

TEXTS = ["a cat sat", "dogs ran far away", "no", "the sun is out and up"] * 4
LABELS = [0, 1, 0, 1] * 4


def inputs_of(model, seed=0):
    """One batch of what a network reads, the last place of texts padded."""
    draw = np.random.default_rng(seed)
    made = {}
    for name, entry in model.signature.items():
        shape = [{"batch": 2, "length": 7}.get(axis, axis) for axis in entry.axes]
        if entry.below:
            made[name] = draw.integers(2, max(3, entry.below), shape) % entry.below
        elif name == "padding_mask":
            made[name] = np.ones(shape, "int32")
            made[name][0, -2:] = 0
        else:
            made[name] = draw.standard_normal(shape).astype("float32")
    return made


def outputs_of(model):
    """The vectors of a network for a batch, as NumPy."""
    return np.asarray(model(inputs_of(model))["sequence_output"])


@cache
def tokenizer():
    """The one that ships."""
    return kzoo.Tokenizer.load(presets.find("bert_minilm_l6_en_uncased.sst2"))


def classifier(schedule=(0, 1), labels=("a", "b"), **changes):
    """A tiny classifier of texts with dropout off, on the tokenizer that ships."""
    words = {**SPECS["bert"].embedding, "vocabulary_size": tokenizer().vocabulary_size}
    keras.utils.set_random_seed(0)
    backbone = noisy(
        "bert", embedding=words, schedule=schedule, dropout=0.0, attention_dropout=0.0, **changes
    )
    task = kzoo.TextClassifier(
        backbone, labels=list(labels), head="mean", tokenizer=tokenizer(), max_length=16
    )
    # Biases of keys have nothing but rounding as gradients, which a small epsilon would blow up.
    task.compile(optimizer=kzoo.AdamW(1e-3, decay="constant", warmup=0, epsilon=1e-3))
    return task


@cache
def unchanged():
    """A classifier that tests only look at."""
    return classifier()


def masked(model, kind, dead):
    """The model with the rows of some heads or units zero."""
    weights = weights_by_path(model)
    for units in find(model, kind):
        gate = np.array(weights[units.gate])
        units.by_group(gate)[dead[units.block]] = 0
        weights[units.gate].assign(gate)
    return model


APART = ("palm", "albert")  # See below.
# Networks whose blocks lie otherwise, or in which something is bound to how many there are.
KEPT = {
    "sparse_transformer": ("heads",), "transformer_xl": ("heads",), "xlnet": ("heads",),
    "mobilebert": ("units",), "mobilevit": ("heads", "units"), "static": ("heads", "units"),
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
@pytest.mark.parametrize("family", [f for f in STACKS if f not in APART])
def test_a_model_without_what_is_masked_has_the_outputs_of_the_masked_one(family, kind):
    """Differently many in each block, where there are several."""
    bound = resolve("position", SPECS[family].position)[0].bound_to
    if kind.name in (*bound, *KEPT.get(family, ())):
        with pytest.raises(kzoo.KzooError, match=f"Got {kind.name} to prune of an? {family}, "):
            find(noisy(family), kind)
        return
    model = noisy(family)
    blocks = model.spec.blocks
    dead = {block: [0, 2] if block == blocks[0] else [1] for block in blocks}
    expected = outputs_of(masked(model, kind, dead))
    small, report = shrink(model)
    np.testing.assert_allclose(outputs_of(small), expected, atol=1e-5)
    counts = [kind.count(model.spec, block) - len(dead[block]) for block in blocks]
    assert list(report[kind.name].values()) == counts
    assert report["after"] == sum(int(np.prod(w.shape)) for w in small.weights) < report["before"]


@pytest.mark.parametrize(
    ("family", "asked", "match"),
    [
        ("mobilevit", {"width": 24}, "Got width to prune of a mobilevit, of which .* is bound to"),
        (
            "reformer",
            {"width": 24},
            "Got width to prune of a reformer, of which something is b",
        ),
        ("static", {"blocks": 1}, "Got blocks to prune of a static, which has no blocks"),
        ("electra", {"width": 16}, "Got width=16 to keep, which is that of the vectors of tokens"),
        ("bert", {"heads": 0}, "Got heads=0 to keep; expected a share above 0 and below 1, or a"),
    ],
)
def test_what_something_is_bound_to_is_named(family, asked, match):
    with pytest.raises(kzoo.KzooError, match=match):
        prune(noisy(family), **asked)


def test_a_share_of_the_width_is_not_that_of_the_tokens():
    """Half of ELECTRA's width is the width of its tokens' vectors, which a map makes wider."""
    spec = SPECS["electra"]
    small, report = prune(noisy("electra"), width=spec.embedding["dim"] / spec.hidden_dim)
    assert report["width"] == small.spec.hidden_dim == spec.embedding["dim"] + 8


@pytest.mark.parametrize("family", ["palm", "albert"])
def test_heads_that_share_keys_and_blocks_that_are_shared_shrink_too(family):
    model = noisy(family)
    for kind, dead in ((HEADS, [1]), (UNITS, [0, 3])):
        expected = outputs_of(masked(model, kind, dict.fromkeys(model.spec.blocks, dead)))
        model, _ = shrink(model)
        np.testing.assert_allclose(outputs_of(model), expected, atol=1e-5)


def test_groups_of_heads_that_share_keys_go_together():
    model = noisy("bert", num_key_value_heads=2)
    expected = outputs_of(masked(model, HEADS, {0: [1], 1: []}))
    small, report = shrink(model)
    assert report["heads"] == {"block_0": 2, "block_1": 4}
    np.testing.assert_allclose(outputs_of(small), expected, atol=1e-5)
    with pytest.raises(kzoo.KzooError, match="multiple of 2"):
        prune(model, heads=1)


def test_first_order_importance_is_the_change_of_the_loss():
    """Of a tiny step towards zero, batch by batch."""
    task = unchanged()
    data = TEXTS[:4], LABELS[:4]
    found = find(task, HEADS)
    actual = Importance(task, found, data)()
    batch, y = task.tokenize(TEXTS[:4]), np.array(LABELS[:4])

    def loss():
        return float(task.compute_loss(batch, y, task(batch, training=False), None, training=False))

    weights, expected = weights_by_path(task), {}
    for units in found:
        gate, before, changes = weights[units.gate], np.array(weights[units.gate]), []
        for group in range(units.groups):
            sides = []
            for factor in (1.01, 0.99):
                value = before.copy()
                units.by_group(value)[group] *= factor
                gate.assign(value)
                sides.append(loss())
            changes.append(abs(sides[0] - sides[1]) / 0.02)
        gate.assign(before)
        expected[units.block] = np.array(changes) / np.linalg.norm(changes)
    for block, values in expected.items():
        np.testing.assert_allclose(actual[block], values, rtol=0.05, atol=0.01)


def test_what_the_loss_needs_stays():
    """Heads and units whose rows are tiny go first, by magnitude and by first order."""
    for data in (None, (TEXTS, LABELS)):
        task = classifier()
        for kind in KINDS.values():
            weights = weights_by_path(task)
            for units in find(task, kind):
                for path, axis in units.axes.items():
                    value = np.array(weights[path])
                    moved = np.moveaxis(value, axis, 0)
                    each = moved.shape[0] // units.groups
                    moved[: each * 2] *= 1e-3
                    weights[path].assign(value)
        expected = np.asarray(task.predict(TEXTS[:4]))
        small, report = prune(task, heads=2, units=46, data=data)
        assert report["heads"] == {"block_0": 2, "block_1": 2}
        np.testing.assert_allclose(small.predict(TEXTS[:4]), expected, atol=1e-3)
        assert small.spec.num_heads == 2 and small.spec.head_dim == 8
        assert task.spec.num_heads == 4 and np.allclose(task.predict(TEXTS[:4]), expected)


def test_shares_are_of_the_whole_model():
    """A block whose heads matter more keeps more of them."""
    task = classifier()
    weights = weights_by_path(task)
    gate = next(units.gate for units in find(task, UNITS) if units.block == 1)
    weights[gate].assign(weights[gate] * np.linspace(0, 1, 48)[:, None])
    _, report = prune(task, units=0.5)
    assert sum(report["units"].values()) == 48
    assert report["units"]["block_0"] != report["units"]["block_1"]


def test_a_narrower_model_is_the_masked_one_with_norms_over_what_stays(monkeypatch):
    """Where the channels that go are zero everywhere, and norms don't count them."""
    task = classifier()
    small, report = prune(task, width=24)
    assert report["width"] == 24 and small.spec.hidden_dim == 24 and small.spec.head_dim == 8
    table = np.asarray(weights_by_path(task)["backbone/token_embedding/embeddings"])
    less = np.asarray(weights_by_path(small)["backbone/token_embedding/embeddings"])
    kept = [int(np.flatnonzero((table == column[:, None]).all(0))[0]) for column in less.T]
    alone = np.zeros(32, "float32")
    alone[kept] = 1

    def over_kept(self, x):
        wide = keras.ops.cast(x, "float32") * alone
        mean = keras.ops.sum(wide, -1, keepdims=True) / 24
        square = keras.ops.sum(keras.ops.square(wide - mean) * alone, -1, keepdims=True) / 24
        return ((wide - mean) * keras.ops.rsqrt(square + self.epsilon) * self.gamma + self.beta) * (
            alone
        )

    monkeypatch.setattr(keras.layers.LayerNormalization, "call", over_kept)
    expected = task(task.tokenize(TEXTS[:3]))["logits"]
    monkeypatch.undo()
    np.testing.assert_allclose(small(small.tokenize(TEXTS[:3]))["logits"], expected, atol=1e-5)


def test_channels_are_chosen_by_first_order_too():
    """Those that are zero everywhere go; tables have gradients by rows."""
    task = classifier(schedule=(0,))
    weights, idle = weights_by_path(task), [3, 17, 30]
    ends = (
        "gamma",
        "beta",
        "embeddings",
        "output/kernel",
        "output/bias",
        "down/kernel",
        "down/bias",
    )
    for path, weight in weights.items():
        if path.endswith(ends):
            value = np.array(weight)
            value[..., idle] = 0
            weight.assign(value)
    small, report = prune(task, width=29, data=(TEXTS[:8], LABELS[:8]))
    assert report["width"] == 29
    gains = [weights_by_path(each)["backbone/embedding_norm/gamma"] for each in (task, small)]
    np.testing.assert_array_equal(np.delete(np.array(gains[0]), idle), gains[1])


def test_of_many_units_a_multiple_stays_and_ties_are_counted():
    """40 of 48 that nothing needs go, though all of them are as important."""
    units = find(unchanged(), UNITS)
    scores = {u.block: np.where(np.arange(48) < 8, 1.0, 0.0) for u in units}
    kept = chosen(units, scores, 0.5)
    assert sum(int(each.sum()) for each in kept.values()) == 48
    large = [dataclasses.replace(u, count=128) for u in units]
    scores = {0: np.arange(128.0), 1: np.arange(128.0) - 3}
    assert [int(each.sum()) % 8 for each in chosen(large, scores, 0.41).values()] == [0, 0]


def test_blocks_go_without_which_the_loss_is_least():
    task = classifier((0, 1, 2))
    weights = weights_by_path(task)
    for path in weights:  # A block that does nothing but what its norms do again.
        if path.startswith("backbone/block_1/") and ("/down/" in path or "/output/" in path):
            weights[path].assign(keras.ops.zeros_like(weights[path]))
        if path.startswith("backbone/block_1/") and path.endswith("gamma"):
            weights[path].assign(weights["backbone/block_0/feedforward_norm/gamma"])
        if path.startswith("backbone/block_1/") and path.endswith("beta"):
            weights[path].assign(weights["backbone/block_0/feedforward_norm/beta"])
    losses = {}
    for gone in range(3):
        steps = tuple(i for i in range(3) if i != gone)
        other = task.under(task.spec.replace(schedule=steps))
        other.compile()
        losses[gone] = other.evaluate(TEXTS, LABELS, verbose=0, return_dict=True)["loss"]
    small, report = prune(task, blocks=2, data=(TEXTS, LABELS))
    assert report["blocks"] == [i for i in range(3) if i != min(losses, key=losses.get)]
    assert small.spec.num_layers == 2
    assert prune(task, blocks=2)[1]["blocks"] == [0, 1]


@pytest.mark.parametrize(
    "family", ["bert", "gpt2", "linformer", "reformer", "transformer_xl", "vit"]
)
def test_a_stack_runs_fewer_steps_as_a_copy_of_them_does(family):
    model = noisy(family)
    steps, before = model.spec.schedule[1:], outputs_of(model)
    with model.running(steps):
        fewer = outputs_of(model)
    copy = outputs_of(model.with_spec(schedule=steps))
    np.testing.assert_array_equal(fewer, copy)
    assert not np.allclose(fewer, before)
    np.testing.assert_array_equal(outputs_of(model), before)
    with pytest.raises(kzoo.KzooError, match="expected steps of"), model.running((99,)):
        pass


def test_of_the_blocks_that_are_tried_no_copy_is_made_and_each_is_told(monkeypatch):
    task, said, copies = classifier((0, 1, 2)), [], []
    real = type(task).on

    def counted(self, *args):
        copies.append(self)
        return real(self, *args)

    monkeypatch.setattr(type(task), "on", counted)
    _, report = prune(task, blocks=1, data=(TEXTS, LABELS), say=said.append)
    assert len(report["blocks"]) == len(copies) == 1
    assert len(said) == 3 + 2 and said[0] == "3 blocks, 1 to keep: the loss without number 1"


def test_pruning_in_fit_masks_a_few_at_a_time_and_shrinks_to_the_same():
    task, seen = classifier(), []
    pruning = Pruning(heads=2, units=0.5, data=(TEXTS, LABELS), begin=0.0, end=0.75, every=2)

    class Watch(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            seen.append([int(u.alive(weights_by_path(task)).sum()) for u in find(task, UNITS)])

    task.fit(TEXTS, LABELS, batch_size=4, epochs=4, callbacks=[pruning, Watch()], verbose=0)
    totals = [sum(each) for each in seen]
    assert totals == sorted(totals, reverse=True) and len(set(totals)) > 3
    assert totals[-1] == totals[11] == 48  # done at three quarters, and kept
    small, report = shrink(task)
    assert report["heads"] == {"block_0": 2, "block_1": 2}
    np.testing.assert_allclose(small.predict(TEXTS[:4]), task.predict(TEXTS[:4]), atol=1e-5)


def test_pruning_that_is_taken_up_again_ends_as_if_never_stopped():
    """Masks are in the weights, and the rest is counted from epoch and batch."""
    ends = []
    for stops in ((4,), (2, 4)):
        task, first = classifier(schedule=(0,)), 0
        for stop in stops:
            pruning = Pruning(units=0.5, begin=0.0, end=0.9, every=2)
            task.fit(
                TEXTS,
                LABELS,
                batch_size=4,
                epochs=4,
                initial_epoch=first,
                callbacks=[pruning, *([Stop(stop)] if stop < 4 else [])],
                verbose=0,
            )
            first = stop
        ends.append({p: np.array(w) for p, w in weights_by_path(task).items()})
    for path, value in ends[0].items():
        np.testing.assert_array_equal(ends[1][path], value, err_msg=path)


class Stop(keras.callbacks.Callback):
    """Ends a training behind so many epochs."""

    def __init__(self, epochs):
        super().__init__()
        self.epochs = epochs

    def on_epoch_end(self, epoch, logs=None):
        """Stop."""
        self.model.stop_training = epoch + 1 >= self.epochs


def test_what_was_pruned_is_a_preset_and_a_keras_file(tmp_path):
    small, _ = prune(classifier(), heads=0.6, units=0.6)
    expected = small.predict(TEXTS[:2])
    small.save_preset(tmp_path / "preset")
    small.save(tmp_path / "model.keras")
    for name in ("preset", "model.keras"):
        again = kzoo.load(tmp_path / name)
        np.testing.assert_array_equal(again.predict(TEXTS[:2]), expected)
    found = kzoo.export_litert(small, tmp_path / "model.tflite", quantization="float32")
    assert found["audit"]["partitions"] == 1


def test_a_decoder_with_fewer_heads_writes_with_its_cache():
    model = masked(noisy("gpt2"), HEADS, {0: [0, 1], 1: [2]})
    small, _ = shrink(model)
    assert small.signatures["step"]["past_key_0"].axes[1] == 2
    assert small.signatures["step"]["past_key_1"].axes[1] == 3


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({}, "nothing to prune"),
        ({"heads": 5}, "heads=5 to keep; expected 1 to 4"),
        ({"units": 1.5}, "units=1.5"),
        ({"width": 33}, "width=33 to keep; expected 1 to 32"),
        ({"blocks": 3}, "blocks=3"),
        ({"heads": 2, "data": ["a"]}, "expected \\(x, y\\)"),
    ],
)
def test_what_cannot_be_pruned_is_one_sentence(options, match):
    with pytest.raises(kzoo.KzooError, match=match):
        prune(unchanged(), **options)


def test_a_network_of_towers_and_one_without_a_loss_are_refused():
    with pytest.raises(kzoo.KzooError, match="one of one stack"):
        prune(noisy("t5"), heads=2)
    with pytest.raises(kzoo.KzooError, match="compiled task"):
        prune(noisy("bert"), heads=2, data=(TEXTS, LABELS))
    with pytest.raises(kzoo.KzooError, match="width to prune"):
        prune(noisy("bert", position="sinusoidal"), width=24)


REPLICAS = """
import sys
sys.path.insert(0, sys.argv[1])
import numpy as np
import tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
import kzoo
from kzoo.compression import Pruning, Sparsity, four_bits, quantize_aware
from kzoo.network import weights_by_path
from test_prune import LABELS, TEXTS, classifier

def rounded(task):
    task.compile(optimizer=kzoo.AdamW(1e-3, decay="constant", warmup=0, epsilon=1e-3))
    return task

def pruned():
    pruning = Pruning(heads=2, units=0.5, data=(TEXTS, LABELS), begin=0.0, end=0.8, every=2)
    return rounded(four_bits(classifier(schedule=(0,)))[0]), pruning

def sparse():
    task, _ = quantize_aware(classifier(schedule=(0,)), TEXTS)
    return rounded(task), Sparsity("2:4", begin=0.0, end=0.8, every=2)

tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})  # as conftest
devices = ["CPU:0", "CPU:1"]
for name, way in {"pruned, four bits": pruned, "sparse, int8": sparse}.items():
    ends = []
    for strategy in (tf.distribute.get_strategy(), tf.distribute.MirroredStrategy(devices)):
        with strategy.scope():
            task, callback = way()
            task.fit(TEXTS, LABELS, batch_size=8, epochs=3, callbacks=[callback], verbose=0)
        ends.append({path: np.array(weight) for path, weight in weights_by_path(task).items()})
    worst = max(float(np.abs(ends[0][path] - ends[1][path]).max()) for path in ends[0])
    down = ends[1]["backbone/block_0/feedforward/down/kernel"]
    print(name, worst)
    assert worst < 1e-5, (name, worst)
    assert way is not pruned or (down != 0).any(1).sum() == 24
    assert way is not sparse or ((down.reshape(-1, 4, down.shape[-1]) != 0).sum(1) <= 2).all()
"""


def test_two_replicas_mask_and_round_as_one_device_does():
    ended = subprocess.run(
        [sys.executable, "-c", REPLICAS, str(Path(__file__).parent)],
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr[-2000:]


JAX = """
import json
import sys
sys.path.insert(0, sys.argv[1])
import numpy as np
from kzoo.compression import prune
from test_prune import LABELS, TEXTS, classifier

small, report = prune(classifier(schedule=(0,)), heads=2, units=0.5, data=(TEXTS, LABELS))
print(json.dumps(report))
"""


def test_jax_prunes_the_same():
    ended = subprocess.run(
        [sys.executable, "-c", JAX, str(Path(__file__).parent)],
        capture_output=True,
        text=True,
        timeout=900,
        env={**os.environ, "KERAS_BACKEND": "jax"},
    )
    assert ended.returncode == 0, ended.stderr[-2000:]
    _, report = prune(classifier(schedule=(0,)), heads=2, units=0.5, data=(TEXTS, LABELS))
    assert json.loads(ended.stdout) == report
