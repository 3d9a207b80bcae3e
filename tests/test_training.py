"""Training is right: the numbers of one device, of two replicas and of JAX are the same numbers."""

import gc
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import weakref
from functools import cache
from pathlib import Path

import keras
import numpy as np
import on_devices
import pytest
from test_tasks import BAD, GOOD, tokenizer

import kzoo
from kzoo import keras_hooks
from kzoo.data.batches import bucketed_batches
from kzoo.errors import KzooError
from kzoo.models import build
from kzoo.network import weights_by_path
from kzoo.training.best import BestEpoch
from kzoo.training.optimizer import OPTIMIZERS, layer_rates
from kzoo.training.recipe import KEYS, _optimizer, read_recipe
from kzoo.training.schedule import WarmupDecay
from kzoo.training.workers import cluster

SCRIPT = Path(on_devices.__file__)


def adam_on_table(steps=3, rate=0.1, squares_of_slices=False):
    """Adam (arXiv:1412.6980) by hand on a table of ones looked up at `on_devices.IDS`.

    The loss is the mean square of the six values looked up. With `squares_of_slices` the second
    moment takes each look-up's gradient by itself, which is what Keras 3.15 does on TensorFlow.
    """
    table, momentum, velocity = np.ones(3), np.zeros(3), np.zeros(3)
    for step in range(1, steps + 1):
        slices = 2 * table[on_devices.IDS] / on_devices.IDS.size
        gradient, squares = np.zeros(3), np.zeros(3)
        np.add.at(gradient, on_devices.IDS, slices)
        np.add.at(squares, on_devices.IDS, slices**2)
        momentum = 0.9 * momentum + 0.1 * gradient
        velocity = 0.999 * velocity + 0.001 * (squares if squares_of_slices else gradient**2)
        step_size = rate * np.sqrt(1 - 0.999**step) / (1 - 0.9**step)
        table = table - step_size * momentum / (np.sqrt(velocity) + 1e-7)
    return table


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory):
    """What trainings in other processes end in, by `on_devices`' argument; each runs once."""
    found = {}

    def run(kind):
        if kind not in found:
            file = tmp_path_factory.mktemp("devices") / f"{kind}.npz"
            done = subprocess.run(
                [sys.executable, SCRIPT, kind, file],
                capture_output=True,
                text=True,
            )
            assert done.returncode == 0, done.stderr[-3000:]
            found[kind] = dict(np.load(file))
        return found[kind]

    return run


@pytest.fixture(scope="module")
def here():
    """What the trainings of `on_devices` end in on one device; each runs once."""
    return cache(lambda name: on_devices.RUNS[name]())


# -- the optimizer --------------------------------------------------------------------------------


def test_repeated_ids_give_the_numbers_of_adam():
    """JAX 0.10 gives .7015871 .7015874 .7015885 here, and so does the rule by hand."""
    ours = on_devices.embedding(on_devices.plain_adam())
    np.testing.assert_allclose(ours, adam_on_table(), atol=1e-5)
    np.testing.assert_allclose(ours, [0.7015871, 0.7015874, 0.7015885], atol=1e-5)


def test_keras_is_still_wrong_for_embeddings():
    """When this fails, Keras has mended its Adam: `AdamW.apply` need not make gradients dense."""
    stock = on_devices.embedding(keras.optimizers.Adam(0.1))
    np.testing.assert_allclose(stock, adam_on_table(squares_of_slices=True), atol=1e-5)


@pytest.mark.skipif(not importlib.util.find_spec("jax"), reason="JAX is not installed")
def test_jax_gives_the_same_numbers(elsewhere, here):
    expected = elsewhere("jax")
    adam = on_devices.embedding(on_devices.plain_adam())
    for name in ("kzoo_adam", "keras_adam"):
        np.testing.assert_allclose(adam, expected[name], atol=1e-5)
    for run in on_devices.ON_JAX:
        for name, value in here(run).items():
            # Other kernels round differently, and Adam divides by what is near zero.
            np.testing.assert_allclose(value, expected[f"{run}/{name}"], atol=2e-3, err_msg=name)


@pytest.mark.parametrize("kind", ["replicas", "jax"])
def test_scores_by_place_do_not_depend_on_batches(kind, elsewhere):
    """A batch counts by its places, on two replicas and on JAX as here."""
    if kind == "jax":
        pytest.importorskip("jax")
    here, there = on_devices.scores_by_place(), elsewhere(kind)["scores_by_place"]
    np.testing.assert_allclose(here, np.broadcast_to(here[-1], here.shape), rtol=1e-5)
    np.testing.assert_allclose(there, here, rtol=1e-4)


@pytest.mark.skipif(not importlib.util.find_spec("jax"), reason="JAX is not installed")
def test_an_epoch_on_jax_compiles_each_shape_once(elsewhere):
    """By default and in few shapes: lengths 8, 16 and the longest, and one smaller batch."""
    shapes, compiled = (elsewhere("jax")[name].tolist() for name in ("shapes", "compiled"))
    assert shapes == [[2, 20], [4, 8], [4, 16], [4, 20]]
    assert compiled.count("train_step") == len(shapes)
    # One, three or four texts at once, and the last three of fifteen: 1 and 4 rows at a length.
    assert 2 <= compiled.count("predict_step") <= 2 * 3


@pytest.mark.parametrize("backend", ["tensorflow", "jax"])
def test_accumulated_parts_make_one_update(elsewhere, backend):
    """Their mean's: bias correction, averages and overwriting count updates, not parts."""
    if backend == "jax":
        pytest.importorskip("jax")
        whole, parts = (elsewhere("jax")[f"updates {steps}"] for steps in (None, 2))
    else:
        whole, parts = on_devices.updates(None), on_devices.updates(2)
    np.testing.assert_allclose(parts, whole, atol=1e-6)
    assert np.abs(whole - 1).min() > 1e-3
    np.testing.assert_array_equal(whole[0] == whole[1], False)  # The third isn't overwritten.


def test_averages_that_no_update_made_replace_no_weights():
    """Three batches of an update of four: `fit` ends before the first."""
    task = on_devices.model(learning={"gradient_accumulation_steps": 4, "use_ema": True})
    before = np.asarray(task.head.logits.kernel)
    on_devices.fit(task, 10, epochs=1)
    np.testing.assert_array_equal(np.asarray(task.head.logits.kernel), before)


def test_a_schedule_begins_with_its_fit_whatever_was_accumulated():
    """Six batches are one update of four and half of another: the next fit begins at the peak."""
    optimizer = kzoo.AdamW(1.0, warmup=0, gradient_accumulation_steps=4)
    weight = keras.Variable(np.ones(2, "float32"))
    optimizer.plan(6, 1)
    for _ in range(6):
        optimizer.apply([keras.ops.ones(2)], [weight])
    assert float(optimizer.learning_rate) == pytest.approx(0)
    optimizer.plan(2, 2)
    assert float(optimizer.learning_rate) == pytest.approx(1)
    optimizer.apply([keras.ops.ones(2)], [weight])
    assert float(optimizer.learning_rate) == pytest.approx(0.75)


@pytest.mark.parity
@pytest.mark.parametrize("accumulation", [None, 2])
@pytest.mark.parametrize("epsilon", [1e-8, 1e-4, 1e-2])
def test_epsilon_means_what_it_means_in_torch(epsilon, accumulation):
    """Twenty updates by gradients of 1e-5 to 1."""
    torch = pytest.importorskip("torch")
    draw = np.random.default_rng(0)
    start, scale = draw.normal(size=(5, 4)), 10 ** draw.uniform(-5, 0, (5, 4))
    gradients = (draw.normal(size=(20, 5, 4)) * scale).astype("float32")
    ours = keras.Variable(start.astype("float32"), name="kernel")
    theirs = torch.nn.Parameter(torch.tensor(start, dtype=torch.float32))
    optimizer = kzoo.AdamW(
        1e-2,
        weight_decay=0.1,
        warmup=0,
        decay="constant",
        clip_norm=None,
        epsilon=epsilon,
        gradient_accumulation_steps=accumulation,
    )
    reference = torch.optim.AdamW([theirs], lr=1e-2, eps=epsilon, weight_decay=0.1)
    for gradient in gradients:
        theirs.grad = torch.from_numpy(gradient)
        reference.step()
        for _ in range(accumulation or 1):
            optimizer.apply([keras.ops.convert_to_tensor(gradient)], [ours])
    np.testing.assert_allclose(np.asarray(ours), theirs.detach().numpy(), atol=1e-6)


@pytest.fixture(scope="module")
def moved():
    """What each optimizer moves weights to on one device; each runs once."""
    return cache(on_devices.moved)


@pytest.mark.parametrize("device", ["replicas", "jax"])
@pytest.mark.parametrize(
    ("run", "kind"), [*(("moved", kind) for kind in on_devices.KINDS), ("accumulated", "AdamW")]
)
def test_every_optimizer_moves_weights_alike_everywhere(kind, device, run, elsewhere, moved):
    """With repeated ids, decay, clipping, rates by layer and averages; in four parts or at once."""
    if device == "jax":
        pytest.importorskip("jax")
    np.testing.assert_allclose(elsewhere(device)[f"{run} {kind}"], moved(kind), atol=1e-6)


@pytest.mark.parametrize("kind", on_devices.KINDS)
def test_four_accumulated_batches_move_weights_as_the_large_one(kind, moved):
    np.testing.assert_allclose(on_devices.moved(kind, 2, 4), moved(kind), atol=1e-6)


def followed(optimizer, step, shape):
    """What an optimizer and `step(start, gradients)` make of one matrix in twenty updates."""
    draw = np.random.default_rng(0)
    start, gradients = draw.normal(size=shape), draw.normal(size=(20, *shape))
    start, gradients = start.astype("float32"), gradients.astype("float32")
    ours = keras.Variable(start, name="bias" if len(shape) == 1 else "kernel")
    for gradient in gradients:
        optimizer.apply([keras.ops.convert_to_tensor(gradient)], [ours])
    assert np.abs(np.asarray(ours) - start).mean() > 0.005
    return np.asarray(ours), step(start, gradients)


def by_torch(make):
    """`followed`'s step by an optimizer of torch's."""
    torch = pytest.importorskip("torch")

    def step(start, gradients):
        weight = torch.nn.Parameter(torch.tensor(start))
        optimizer = make(torch.optim)([weight])
        for gradient in gradients:
            weight.grad = torch.tensor(gradient)
            optimizer.step()
        return weight.detach().numpy()

    return step


def by_optax(make):
    """`followed`'s step by an optimizer of optax's."""
    optax = pytest.importorskip("optax")

    def step(start, gradients):
        optimizer = make(optax)
        state = optimizer.init(start)
        for gradient in gradients:
            updates, state = optimizer.update(gradient, state, start)
            start = optax.apply_updates(start, updates)
        return np.asarray(start)

    return step


PLAIN = {"warmup": 0, "decay": "constant", "clip_norm": None, "weight_decay": 0.1}


@pytest.mark.parity
@pytest.mark.parametrize("shape", [(5, 4), (4,)])
def test_adafactor_is_torchs(shape):
    decay = 0.1 if len(shape) > 1 else 0
    step = by_torch(lambda o: lambda w: o.Adafactor(w, lr=1e-2, weight_decay=decay))
    ours, theirs = followed(kzoo.Adafactor(1e-2, **PLAIN), step, shape)
    np.testing.assert_allclose(ours, theirs, atol=1e-5)


@pytest.mark.parity
@pytest.mark.parametrize("shape", [(6, 4), (4, 6)])
def test_muon_is_torchs(shape):
    """Which multiplies in bfloat16."""
    options = {"lr": 2e-2, "weight_decay": 0.1, "adjust_lr_fn": "match_rms_adamw"}
    step = by_torch(lambda o: lambda w: o.Muon(w, **options))
    ours, theirs = followed(kzoo.Muon(2e-2, **PLAIN), step, shape)
    np.testing.assert_allclose(ours, theirs, atol=1e-3)


@pytest.mark.parity
@pytest.mark.parametrize("shape", [(5, 4), (4,)])
def test_lamb_is_optaxs(shape):
    """Of norms and biases Adam's."""
    if len(shape) > 1:
        step = by_optax(lambda o: o.lamb(1e-2, weight_decay=0.1))
    else:
        step = by_optax(lambda o: o.adam(1e-2, eps=1e-6))
    ours, theirs = followed(kzoo.Lamb(1e-2, **PLAIN), step, shape)
    np.testing.assert_allclose(ours, theirs, atol=1e-5)


@pytest.mark.parity
def test_lion_is_optaxs():
    step = by_optax(lambda o: o.lion(1e-2, weight_decay=0.1))
    ours, theirs = followed(kzoo.Lion(1e-2, **PLAIN), step, (5, 4))
    np.testing.assert_allclose(ours, theirs, atol=1e-6)


def test_adafactor_keeps_rows_and_columns_alone():
    """And a step that nothing of a row or a column was seen in stays a number."""
    optimizer, table = kzoo.Adafactor(1e-2, **PLAIN), keras.Variable(np.ones((30, 20), "float32"))
    gradient = np.zeros((30, 20), "float32")
    gradient[3, 4] = 1e-6
    optimizer.apply([keras.ops.convert_to_tensor(gradient)], [table])
    assert sum(int(np.prod(v.shape)) for v in optimizer.variables if len(v.shape)) == 30 + 20
    assert np.isfinite(np.asarray(table)).all()


@pytest.mark.skipif(not importlib.util.find_spec("jax"), reason="JAX is not installed")
def test_jax_refuses_ids_outside_the_table(elsewhere):
    """Left to itself it would answer NaN."""
    refused = elsewhere("jax")["refused"]
    assert len(refused) == 4
    assert all("ids from 99 to 99; 0 to 49 is expected" in message for message in refused)


def test_adamw_by_hand():
    """One step: clipping over all gradients, decay on matrices only, rates by layer."""
    paths = {"net/block_0/up/kernel": (2, 2), "net/block_0/norm/gamma": (2,), "head/kernel": (2, 1)}
    variables = [keras.Variable(np.ones(shape), name="v") for shape in paths.values()]
    for variable, path in zip(variables, paths, strict=True):
        variable._path = path
    optimizer = kzoo.AdamW(
        0.1, weight_decay=0.5, warmup=0, decay="constant", clip_norm=1.0, layer_decay=0.5
    )
    gradients = [np.full(shape, 3.0, "float32") for shape in paths.values()]
    optimizer.apply([keras.ops.convert_to_tensor(g) for g in gradients], variables)
    # Adam's first step is the rate; the norm of the eight gradients is 3 * sqrt(8).
    expected = [1 * (1 - 0.05 * 0.5) - 0.05, 1 - 0.05, 1 * (1 - 0.1 * 0.5) - 0.1]
    for variable, value in zip(variables, expected, strict=True):
        np.testing.assert_allclose(np.asarray(variable), value, rtol=1e-5)
    clipped = 0.1 * 3.0 / (3 * np.sqrt(8))
    momentum = next(v for v in optimizer.variables if "momentum" in v.path)
    np.testing.assert_allclose(np.asarray(momentum), clipped, rtol=1e-5)


def test_norms_and_biases_do_not_decay():
    task = on_devices.model()
    task.optimizer.build(task.trainable_variables)
    decayed = {
        variable.path.split("/", 1)[1]
        for variable, decays in zip(task.trainable_variables, task.optimizer.decayed, strict=True)
        if decays
    }
    assert {path.rsplit("/", 1)[1] for path in decayed} == {"kernel", "embeddings"}
    assert len(decayed) == len(
        [path for path in weights_by_path(task) if path.endswith(("kernel", "embeddings"))]
    )


def test_layer_rates():
    paths = ["b/token_embedding/embeddings", "b/block_0/x", "b/block_4/x", "b/pooler/kernel"]
    assert layer_rates([*paths, "head/logits/kernel"], 0.5) == [0.125, 0.25, 0.5, 0.5, 1]


@pytest.mark.parametrize("decay", ["linear", "cosine", "constant"])
def test_schedule(decay):
    schedule = WarmupDecay(2.0, warmup=0.2, total_steps=10, decay=decay)
    rates = [float(schedule(step)) for step in range(11)]
    fall = np.arange(9) / 8
    fall = {"linear": 1 - fall, "cosine": (1 + np.cos(np.pi * fall)) / 2, "constant": 1 + 0 * fall}
    np.testing.assert_allclose(rates, [1, 2, *(2 * fall[decay])[:9]], atol=1e-5)
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(schedule))
    assert again.get_config() == schedule.get_config()


@pytest.mark.parametrize("total_steps", [None, 20])
def test_the_inverse_square_root_is_equation_3_of_the_transformer(total_steps):
    """arXiv:1706.03762: width ** -0.5 * min(step ** -0.5, step * warmup ** -1.5), from step 1."""
    width, warmup, step = 512, 4, np.arange(1, 40)
    expected = width**-0.5 * np.minimum(step**-0.5, step * warmup**-1.5)
    schedule = WarmupDecay((width * warmup) ** -0.5, warmup, total_steps, "inverse_sqrt")
    np.testing.assert_allclose([float(schedule(each - 1)) for each in step], expected, rtol=1e-6)
    share = WarmupDecay(1.0, 0.1, None, "inverse_sqrt")
    assert float(share(50)) == 1  # Of how many steps isn't known yet.
    share.total_steps = 1000
    assert float(share(399)) == 0.5


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"learning_rate": -1.0}, "above 0"),
        ({"decay": "square"}, "linear, cosine, inverse_sqrt"),
        ({"warmup": -3}, "warmup"),
        ({"warmup": 20, "total_steps": 10}, "no longer warm-up"),
        ({"beta_2": 1.0}, "beta_2 = 1.0 for an optimizer; expected a number from 0 to below 1"),
        ({"weight_decay": float("nan")}, "weight_decay = nan"),
    ],
)
def test_bad_schedules_and_numbers(options, message):
    with pytest.raises(KzooError, match=message):
        kzoo.AdamW(**options)


def test_fit_lays_out_the_schedule():
    """Three batches an epoch: the rate falls to near zero over both, and again in a second fit."""
    task = on_devices.model()
    rates = []
    note = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: rates.append(float(task.optimizer.learning_rate))
    )
    rows, labels = on_devices.examples(10)
    for _ in range(2):
        before = np.asarray(task.head.logits.kernel)
        batches = bucketed_batches(rows, labels, batch_size=4)
        keras_hooks.DistributedFit.fit(task, batches, epochs=2, callbacks=note, verbose=0)
        # The step itself follows the new schedule too; the old one has come to zero.
        assert np.abs(np.asarray(task.head.logits.kernel) - before).max() > 0.01
    # After update n the rate is that of step n + 1; the one warm-up step is the first.
    expected = 1e-2 * np.array([1, 0.8, 0.6, 0.4, 0.2, 0])
    np.testing.assert_allclose(rates, [*expected, *expected], atol=1e-7)


def test_fit_traces_its_step_once():
    """TensorFlow traces a step that makes variables twice: the optimizer is built before it."""
    task, traced = on_devices.model(), []
    step = task.train_step
    task.train_step = lambda *args: traced.append(args) or step(*args)
    batches = bucketed_batches(*on_devices.examples(8), batch_size=4)
    keras_hooks.DistributedFit.fit(task, batches, epochs=2, verbose=0)
    assert len(traced) == 1


def test_examples_are_let_go_with_their_batches():
    """And not before what was made of these."""
    batches = bucketed_batches(*on_devices.examples(8), batch_size=4)
    plan, made = weakref.ref(batches.plan), batches.map(lambda *batch: batch)
    del batches
    gc.collect()
    assert len(list(made)) == 2
    del made
    gc.collect()
    assert plan() is None


def test_the_schedule_ends_with_the_steps_that_are_asked_for():
    """Two steps an epoch of five: without their number the rate would stay near its peak."""
    task, rates = on_devices.model(), []
    note = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: rates.append(float(task.optimizer.learning_rate))
    )
    batches = bucketed_batches(*on_devices.examples(20), batch_size=4)
    options = {"epochs": 3, "steps_per_epoch": 2, "callbacks": note, "verbose": 0}
    keras_hooks.DistributedFit.fit(task, batches, **options)
    np.testing.assert_allclose(rates, 1e-2 * np.array([1, 0.8, 0.6, 0.4, 0.2, 0]), atol=1e-7)


@pytest.mark.parametrize("kind", on_devices.KINDS)
def test_optimizer_comes_back_from_its_config(kind):
    cls, common = OPTIMIZERS[kind], {"clip_norm": None, "layer_decay": 0.8, "use_ema": True}
    own = {"Muon": {"rms_rate": 0.3}, "Adafactor": {"epsilon_2": 1e-4}}
    optimizer = cls(3e-5, warmup=7, **common, **own.get(kind, {"beta_2": 0.98}))
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(optimizer))
    assert type(again) is cls
    assert again.get_config() == optimizer.get_config()


# -- replicas -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", on_devices.TESTED)
def test_two_replicas_end_where_one_device_ends(elsewhere, here, name):
    """Losses, metrics and weights; the last batch has 3, 1 or 2 examples for two."""
    there, one = elsewhere("replicas"), here(name)
    assert len(one) > 20
    # In float16, what each replica sums is rounded by itself.
    atol = 1e-2 if name == "float16" else 1e-5
    for key, value in one.items():
        np.testing.assert_allclose(there[f"{name}/{key}"], value, atol=atol, err_msg=key)


def test_a_step_is_skipped_where_any_replica_overflows(elsewhere):
    np.testing.assert_array_equal(elsewhere("replicas")["overflown"], [1, 1])


def test_replicas_refuse_an_optimizer_that_would_go_its_own_way(elsewhere):
    assert "got SGD with clipping, accumulation" in str(elsewhere("replicas")["refused"])


def test_replicas_predict_each_row_once(elsewhere):
    task = on_devices.model()
    rows, _ = on_devices.examples(5)
    ragged = {"token_ids": rows, "padding_mask": [[1] * len(row) for row in rows]}
    here = np.concatenate([outputs["logits"] for outputs in task.run_batches(ragged, 4)[1]])
    np.testing.assert_allclose(elsewhere("replicas")["predicted"], here, atol=1e-6)


def test_keras_still_needs_its_hooks_on_replicas(elsewhere):
    """Where one of these fails, Keras has mended it: the hook named can go."""
    there = elsewhere("replicas")
    # DistributedFit._maybe_symbolic_build
    assert "AddN" in str(there["stock_error"])
    # DistributedFit.predict_on_batch: two replicas answer for five rows.
    assert len(there["stock_predicted"]) == 10
    # OneUpdate
    assert np.abs(there["stock_clip"] - on_devices.stock_clip()).max() > 1e-3
    assert "merge_call" in str(there["stock_branch"])
    # DistributedFit.train_step
    stock, batches = on_devices.stock_loss()
    stock.fit(batches, verbose=0)
    difference = np.abs(np.asarray(stock.inner.head.logits.kernel) - there["stock_loss"]).max()
    assert difference > 1e-3


WORKERS_LEARN = ("accumulated", "mimicking")


@pytest.fixture(scope="module")
def workers(tmp_path_factory):
    """What two processes that learn together end in."""
    folder, command = tmp_path_factory.mktemp("workers"), [sys.executable, SCRIPT, "workers"]
    files = [folder / f"{place}.npz" for place in range(2)]
    runs = [
        subprocess.Popen(
            [*command, file, *WORKERS_LEARN], env={**os.environ, **own}, stderr=subprocess.PIPE
        )
        for file, own in zip(files, cluster(2), strict=True)
    ]
    try:
        said = [run.communicate(timeout=400)[1] for run in runs]
    finally:
        for run in runs:
            run.kill()
    assert [run.returncode for run in runs] == [0, 0], said[0][-3000:]
    return [dict(np.load(file)) for file in files]


@pytest.mark.parametrize("name", WORKERS_LEARN)
def test_two_workers_end_where_one_device_ends(workers, here, name):
    """Losses, metrics and weights, on both; the rest is in benchmarks/strategies."""
    one = here(name)
    assert len(one) > 20
    for worker in workers:
        for key, value in one.items():
            np.testing.assert_allclose(worker[f"{name}/{key}"], value, atol=1e-5, err_msg=key)


def test_keras_still_needs_its_hooks_on_workers(workers):
    """Where one of these fails, Keras has mended it: the hook named can go."""
    for worker in workers:
        # DistributedFit._make_function
        assert "Invalid reduction dimension 0" in str(worker["stock_step"])
        # DistributedFit._maybe_symbolic_build
        assert "Error" in str(worker["stock_build"])


def test_keras_still_allocates_after_a_stateless_build():
    """When this fails, `abstract_build` need not tell the variables to wait."""
    with keras.StatelessScope(initialize_variables=False):
        layer = keras.layers.Dense(3)
        layer.build((2, 2))
    with keras.StatelessScope():
        pass
    assert layer.kernel._value is not None
    lazy = keras_hooks.abstract_build(lambda: build(kzoo.Spec(**SPEC)))
    with keras.StatelessScope():
        pass
    assert all(weight._value is None for weight in lazy.weights)


# -- seeds and precision --------------------------------------------------------------------------

SPEC = {
    "family": "bert",
    "embedding": {"kind": "token", "vocabulary_size": 80, "num_segments": 2},
    "hidden_dim": 16,
    "num_heads": 2,
    "intermediate_dim": 32,
    "schedule": (0,),
    "max_sequence_length": 32,
}


def trained(seed, epochs=8, **changes):
    keras.utils.set_random_seed(seed)
    task = kzoo.TextClassifier(
        build(kzoo.Spec(**SPEC, **changes)),
        labels=["no", "yes"],
        head="mean",
        tokenizer=tokenizer(),
    )
    task.compile(optimizer=kzoo.AdamW(1e-2))
    options = {"batch_size": 4, "epochs": epochs, "seed": seed, "verbose": 0}
    return task, task.fit(GOOD + BAD, [1] * 5 + [0] * 5, **options).history["loss"]


def test_the_same_seed_gives_the_same_weights():
    first, second, other = (weights_by_path(trained(seed)[0]) for seed in (1, 1, 2))
    for path, weight in first.items():
        np.testing.assert_array_equal(np.asarray(weight), np.asarray(second[path]), path)
    assert any(np.any(np.asarray(first[path]) != np.asarray(other[path])) for path in first)


def test_mixed_bfloat16_learns_on_float32_variables():
    """Without dropout, whose draws depend on the dtype, the losses are those of float32."""
    still = {"dropout": 0.0, "attention_dropout": 0.0}
    _, expected = trained(1, epochs=12, **still)
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        task, losses = trained(1, epochs=12, **still)
        hidden = task.backbone(task.tokenize(["a good film"]))["sequence_output"]
    finally:
        keras.config.set_dtype_policy(before)
    assert hidden.dtype == "bfloat16"
    assert {weight.dtype for weight in task.weights if "seed" not in weight.path} == {"float32"}
    assert {v.dtype for v in task.optimizer.variables} <= {"float32", "int32", "int64"}
    # Both go from 0.713 to 0.062; with seeds 1, 2 and 3 they were 0.003, 0.013 and 0.003 apart.
    np.testing.assert_allclose(losses, expected, atol=0.03)
    assert losses[-1] < 0.2 * losses[0]
    assert task.predict(["a great film"]).argmax() == 1


# -- batches --------------------------------------------------------------------------------------


def rows_of(batches):
    """The first token of each example, batch by batch; the examples below count up there."""
    return [np.asarray(batch[0]["token_ids"])[:, 0].tolist() for batch in batches]


def counted(size):
    draw = np.random.default_rng(0)
    return [[i, *draw.integers(1, 9, draw.integers(0, 30))] for i in range(size)]


def test_batches_hold_every_example_once_at_its_length():
    examples = counted(1000)
    labels, weight = np.arange(1000) % 7, np.arange(1000) / 10
    batches = bucketed_batches(examples, labels, weight, batch_size=32, shuffle=True, padding_id=99)
    assert batches.cardinality() == 32
    seen, padded, sizes = [], 0, []
    for inputs, targets, weights in batches.as_numpy_iterator():
        ids, mask = inputs["token_ids"], inputs["padding_mask"]
        assert ids.dtype == mask.dtype == np.int32
        for row, keep, target, share in zip(ids, mask, targets, weights, strict=True):
            example = examples[row[0]]
            assert row[keep == 1].tolist() == example
            assert set(row[keep == 0]) <= {99}
            assert (target, share) == (labels[row[0]], np.float32(weight[row[0]]))
            seen.append(row[0])
        padded += (mask == 0).sum()
        sizes.append(len(ids))
        assert mask.sum(1).max() == ids.shape[1]
    assert sorted(seen) == list(range(1000))
    assert sorted(sizes)[0] == 1000 % 32 and set(sizes) == {32, 8}
    assert padded < 0.05 * sum(map(len, examples))


def test_every_epoch_has_its_order_and_keeps_it():
    def make(**options):
        return bucketed_batches(counted(100), batch_size=8, shuffle=True, seed=5, **options)

    batches = make()
    first, second = rows_of(batches), rows_of(batches)
    assert first != second
    assert rows_of(make()) == first
    assert rows_of(make(initial_epoch=1)) == second
    assert rows_of(bucketed_batches(counted(100), batch_size=8, shuffle=True, seed=6)) != first
    # Iterators that are asked for and left, as Keras does, don't change the order.
    batches = make()
    callback = batches.plan.callback()
    callback.on_epoch_begin(1)
    next(iter(batches))
    assert rows_of(batches) == second
    callback.on_epoch_begin(0)
    assert rows_of(batches) == first


def test_examples_that_are_not_shuffled_are_learned_from_in_their_order():
    batches = bucketed_batches(counted(50), batch_size=8, shuffle=False)
    assert [token for rows in rows_of(batches) for token in rows] == list(range(50))


def test_outputs_come_back_in_order():
    batches = bucketed_batches(counted(50), batch_size=8)
    flat = np.array([token for rows in rows_of(batches) for token in rows])
    assert flat.tolist() != sorted(flat)
    assert batches.plan.restore(flat).tolist() == list(range(50))


def test_rows_of_several_sequences_and_targets_by_place():
    pairs = {"token_ids": [[[1, 2], [3]], [[4], [5, 6, 7]]]}
    (inputs,) = next(iter(bucketed_batches(pairs, batch_size=2)))
    assert inputs["token_ids"].numpy().tolist() == [[[1, 2, 0], [3, 0, 0]], [[4, 0, 0], [5, 6, 7]]]
    assert inputs["padding_mask"].numpy().sum() == 7
    plan = bucketed_batches([[1] * 9, [2], [1] * 19], batch_size=2).plan
    plan.shapes_cost = True  # As on JAX, where a new length costs a compilation.
    assert plan.batch(np.arange(2))[0]["token_ids"].shape == (2, 16)
    assert plan.batch(np.arange(3))[0]["token_ids"].shape == (3, 19), "not beyond the longest"
    tagged = bucketed_batches([[1, 2], [3]], [[8, 9], [7]], batch_size=2)
    assert next(iter(tagged))[1].numpy().tolist() == [[7, -100], [8, 9]]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([],), "at least one"),
        (([[1]], [1, 2]), "differ"),
        (([[1]], [1], [1.0, 2.0]), "differ"),
        (([[1]], [1], None, 0), "batch_size"),
    ],
)
def test_batches_refuse(arguments, message):
    with pytest.raises(KzooError, match=message):
        bucketed_batches(*arguments)


# -- recipes --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def untrained(tmp_path_factory):
    """The preset folder of a classifier that hasn't learned anything."""
    keras.utils.set_random_seed(0)
    start = kzoo.TextClassifier(
        build(kzoo.Spec(**SPEC)), labels=["x"], head="mean", tokenizer=tokenizer()
    )
    folder = tmp_path_factory.mktemp("untrained") / "start"
    start.save_preset(folder)
    return folder


@pytest.fixture
def recipe(tmp_path, untrained):
    """A recipe beside its data and an untrained model, as a user would have them."""
    shutil.copytree(untrained, tmp_path / "start")
    lines = [f"{text}\tyes" for text in GOOD] + [f"{text}\tno" for text in BAD]
    (tmp_path / "train.tsv").write_text("\n".join(["sentence\tlabel", *lines]) + "\n")
    fields = {
        "model": "start",
        "train": "train.tsv",
        "validation": "train.tsv",
        "output": "out",
        "head": "mean",
        "epochs": 8,
        "batch_size": 4,
        "learning_rate": 0.01,
        "keep": "best",
    }

    def write(**changes):
        path = tmp_path / "recipe.json"
        path.write_text(json.dumps({**fields, **changes}))
        return path

    return write


def test_a_recipe_trains_and_writes_a_preset(recipe, tmp_path):
    task, history = kzoo.train(recipe(precision="mixed_bfloat16"), verbose=0)
    assert keras.config.dtype_policy().name == "float32"
    assert task.labels == ["no", "yes"]
    again = kzoo.load(tmp_path / "out")
    answers = again.predict(["a great film", "very dull"])
    np.testing.assert_allclose(answers, task.predict(["a great film", "very dull"]), atol=0.02)
    assert answers.argmax(-1).tolist() == [1, 0]
    record = json.loads((tmp_path / "out" / "training.json").read_text())
    assert record["history"]["loss"] == pytest.approx(history.history["loss"])
    assert record["history"]["val_accuracy"][-1] == 1
    assert record["recipe"]["train"] == "train.tsv"  # As it was written: no path of a machine.
    assert set(record["recipe"]) == set(KEYS)


def test_the_best_epoch_is_kept(recipe, tmp_path):
    """Trained on turned labels, it gets worse: the first epoch is the best."""
    turned = (tmp_path / "train.tsv").read_text()
    (tmp_path / "held.tsv").write_text(
        turned.replace("yes", "?").replace("\tno", "\tyes").replace("?", "no")
    )
    task, history = kzoo.train(recipe(validation="held.tsv", warmup=0.9), verbose=0)
    scores = history.history["val_accuracy"]
    assert scores[-1] < max(scores)
    task.compile()
    held = task.evaluate(tmp_path / "held.tsv", verbose=0, return_dict=True)
    assert held["accuracy"] == pytest.approx(max(scores))


@pytest.mark.parametrize(("monitor", "best"), [("val_f1", 0.5), ("val_perplexity", 0.2)])
def test_a_best_epoch_has_a_number_and_is_the_most_or_of_an_error_the_least(monitor, best):
    kept = BestEpoch(monitor)
    for epoch, value in enumerate((np.nan, 0.2, 0.5, np.nan, 0.3)):
        kept.on_epoch_end(epoch, {monitor: value})
    assert kept.best == best


def test_a_training_goes_on_with_what_an_embedder_is(tmp_path):
    """Its pooling, its length and its scale stay; pairs without scores don't fall together."""
    start = kzoo.TextEmbedder(
        build(kzoo.Spec(**SPEC)), "max", normalize=False, max_length=9, tokenizer=tokenizer()
    )
    start.save_preset(tmp_path / "start")
    rows = "".join(f"{a}\t{b}\n" for a, b in zip(GOOD, BAD, strict=True))
    (tmp_path / "pairs.tsv").write_text("sentence1\tsentence2\n" + rows)
    fields = {"model": str(tmp_path / "start"), "train": str(tmp_path / "pairs.tsv")}
    fields |= {"task": "TextEmbedder", "output": str(tmp_path / "out"), "epochs": 1}
    task, _ = kzoo.train(fields, verbose=0)
    assert (task.pooling, task.normalize, task.max_length) == ("max", False, 9)
    assert type(task.loss) is kzoo.InBatchLoss
    task, _ = kzoo.train({**fields, "head": "mean", "max_length": 7}, verbose=0)
    assert (task.pooling, task.normalize, task.max_length) == ("mean", False, 7)


def test_a_masked_lm_keeps_its_head(tmp_path):
    start = kzoo.MaskedLM(build(kzoo.Spec(**SPEC)), tokenizer=tokenizer())
    start.head.bias.assign(np.arange(80) / 10)
    start.save_preset(tmp_path / "start")
    (tmp_path / "texts.tsv").write_text("\n".join(["sentence", *GOOD]) + "\n")
    fields = {"model": str(tmp_path / "start"), "train": str(tmp_path / "texts.tsv")}
    fields |= {"task": "MaskedLM", "output": str(tmp_path / "out"), "epochs": 1}
    with pytest.raises(KzooError, match="objective 'half' for a MaskedLM; expected one of tokens"):
        kzoo.train({**fields, "objective": "half"}, verbose=0)
    task, _ = kzoo.train({**fields, "objective": "ngrams"}, verbose=0)
    assert kzoo.load(tmp_path / "out").objective == "ngrams"
    np.testing.assert_allclose(np.asarray(task.head.bias), np.arange(80) / 10, atol=0.01)


def test_a_label_that_is_missing_is_no_label(recipe, tmp_path):
    (tmp_path / "null.jsonl").write_text('{"text": "a", "label": null}\n')
    with pytest.raises(KzooError, match="all of its 1 rows have no label"):
        kzoo.train(recipe(train="null.jsonl"), verbose=0)


def test_what_was_read_is_shown_and_recorded(recipe, tmp_path, capsys):
    """Numbers in their order, rows left out, each class in the share that is held out."""
    rows = [f"{GOOD[i % 5]},{i % 11}," for i in range(44)] + ["a film,,", ",3,"]
    (tmp_path / "many.csv").write_text("\n".join(["Text,Intent,", *rows]) + "\n")
    task, _ = kzoo.train(recipe(train="many.csv", validation=0.25, epochs=1), verbose=2)
    assert task.labels == [str(i) for i in range(11)]
    shown = capsys.readouterr().out
    assert "text: Text; label: Intent; 11 labels: 0 (3), 1 (3), 2 (3)" in shown
    assert "left out: 1 with no Intent (line 46); left out: 1 with no text (line 47)" in shown
    record = json.loads((tmp_path / "out" / "training.json").read_text())
    assert record["task"]["labels"] == task.labels
    assert record["data"]["train"]["labels"] == {str(i): 3 for i in range(11)}
    assert record["data"]["validation"]["labels"] == {str(i): 1 for i in range(11)}
    assert record["data"]["train"]["left_out"]["no Intent"] == {"count": 1, "lines": [46]}


def test_recipes_of_numbers_and_of_several_labels(recipe, tmp_path):
    rows = [f"{a},{b},{i / 2}" for i, (a, b) in enumerate(zip(GOOD, BAD, strict=True))]
    (tmp_path / "sts.csv").write_text("\n".join(["sentence1,sentence2,score", *rows]) + "\n")
    fields = {"train": "sts.csv", "validation": None, "keep": "last", "epochs": 1}
    with pytest.raises(
        KzooError, match="the label is 0.5, a decimal number: say problem='regression'"
    ):
        kzoo.train(recipe(**fields), verbose=0)
    task, _ = kzoo.train(recipe(**fields, problem="regression"), verbose=0)
    assert (task.problem, task.labels, task.reads) == ("regression", ["score"], "pair")
    again = kzoo.load(tmp_path / "out")
    assert again.predict([("a", "b")]).shape == (1, 1)
    rows = [
        json.dumps({"text": text, "labels": ["x", "y"][: i % 3]}) for i, text in enumerate(GOOD)
    ]
    (tmp_path / "several.jsonl").write_text("\n".join(rows) + "\n")
    task, _ = kzoo.train(recipe(**{**fields, "train": "several.jsonl"}), verbose=0)
    assert (task.problem, task.labels) == ("multi_label", ["x", "y"])


def test_patience_ends_a_training(recipe, tmp_path):
    """On turned labels every epoch is worse than the first."""
    turned = (tmp_path / "train.tsv").read_text().replace("yes", "?").replace("\tno", "\tyes")
    (tmp_path / "held.tsv").write_text(turned.replace("?", "no"))
    task, history = kzoo.train(recipe(validation="held.tsv", patience=2, epochs=30), verbose=0)
    scores = history.history["val_accuracy"]
    assert len(scores) == scores.index(max(scores)) + 3 < 30


def test_weights_of_classes(recipe, tmp_path):
    """A class of weight nothing isn't learnt; "balanced" gives each class the same sum."""
    task, _ = kzoo.train(recipe(class_weights={"no": 0, "yes": 1}), verbose=0)
    assert (task.predict(BAD).argmax(-1) == 1).all()
    rows = (tmp_path / "train.tsv").read_text().splitlines()
    (tmp_path / "few.tsv").write_text("\n".join(rows[:8]) + "\n")  # Five of yes, two of no.
    seen = {}
    before = kzoo.TextClassifier.class_weights
    kzoo.TextClassifier.class_weights = lambda self, given, x: (
        seen.update(given) or before(self, given, x)
    )
    try:
        kzoo.train(recipe(train="few.tsv", class_weights="balanced", epochs=1), verbose=0)
    finally:
        kzoo.TextClassifier.class_weights = before
    assert seen == {0: 7 / 4, 1: 7 / 10}


def test_recipes_of_words_and_of_questions(recipe, tmp_path):
    """What they read decides the labels; F1 says which epoch is best."""
    (tmp_path / "train.conll").write_text("he B-PER\nlives O\n\nthe O\ndog O\n")
    fields = {"train": "train.conll", "validation": "train.conll", "epochs": 2, "head": None}
    task, history = kzoo.train(recipe(**fields, task="TokenClassifier"), verbose=0)
    assert task.labels == ["O", "B-PER"] and "val_f1" in history.history
    record = json.loads((tmp_path / "out" / "training.json").read_text())
    assert record["data"]["train"]["labels"] == {"O": 3, "B-PER": 1}
    row = {
        "question": "who",
        "context": "he lives",
        "answers": {"text": ["he"], "answer_start": [0]},
    }
    (tmp_path / "train.jsonl").write_text(json.dumps(row) + "\n")
    fields = {**fields, "train": "train.jsonl", "validation": "train.jsonl", "output": "answers"}
    task, history = kzoo.train(recipe(**fields, task="QuestionAnswering"), verbose=0)
    assert {"val_exact_match", "val_f1"} <= set(history.history)
    assert (tmp_path / "answers" / "weights.safetensors").is_file()


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("TextClassifier", "TextClassifier"),
        ("TokenClassifier", "TokenClassifier"),
        (None, "TextClassifier"),
        ("MaskedLM", "a MaskedLM, and no task in the recipe"),
        ("MultipleChoice", "a MultipleChoice, and no task in the recipe"),
    ],
)
def test_a_recipe_without_a_task_goes_on_with_the_presets(recipe, tmp_path, name, expected):
    """A backbone's is the classifier; of a task that is a start for any it must be said."""
    path = tmp_path / "start" / "task.json"
    task = {**json.loads(path.read_text()), "task": name}
    path.unlink() if name is None else path.write_text(json.dumps(task))
    if name == expected or name is None:
        assert read_recipe(recipe())["task"] == expected
    else:
        with pytest.raises(KzooError, match=expected):
            read_recipe(recipe())
    assert read_recipe(recipe(task="TextEmbedder"))["task"] == "TextEmbedder"


@pytest.mark.parametrize("kind", on_devices.KINDS)
def test_a_recipe_names_its_optimizer(recipe, kind):
    """With its own arguments beside the keys that hold for all, and its own rate by default."""
    settings = read_recipe(recipe(optimizer=kind, learning_rate=None, keep="last"))
    assert _optimizer(settings).get_config() == OPTIMIZERS[kind]().get_config()
    own = "clip_threshold" if kind == "Adafactor" else "ns_steps" if kind == "Muon" else "beta_2"
    value = 3 if kind == "Muon" else 0.5
    common = {"layer_decay": 0.5, "weight_decay": 0.2, "accumulation": 2, "ema": 0.9}
    asked = {"kind": kind, own: value}
    settings = read_recipe(recipe(optimizer=asked, learning_rate=0.02, keep="last", **common))
    config = _optimizer(settings).get_config()
    assert config[own] == value and config["learning_rate"] == 0.02
    assert (config["layer_decay"], config["weight_decay"]) == (0.5, 0.2)
    assert (config["gradient_accumulation_steps"], config["ema_momentum"]) == (2, 0.9)
    assert config["use_ema"]


@pytest.mark.parametrize("rate", ["x", None, [1e-3]])
def test_a_learning_rate_that_is_none_is_one_sentence(rate):
    with pytest.raises(kzoo.KzooError, match="^Got learning_rate = .*; expected a number above 0"):
        kzoo.AdamW(rate)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"learning_rte": 1}, "unknown key 'learning_rte'; known are summary, model"),
        ({"model": "no_such_preset"}, "no_such_preset"),
        ({"train": "none.tsv"}, "doesn't exist"),
        ({"task": "Chess"}, "TextClassifier"),
        ({"epochs": 0}, "epochs in the recipe is 0"),
        ({"precision": "int3"}, "mixed_bfloat16"),
        ({"validation": 1.5}, "between 0 and 1"),
        ({"validation": None}, "keep in the recipe asks .* no validation"),
        ({"validation": None, "keep": "last", "patience": 2}, "patience in the recipe asks"),
        ({"patience": 0}, "patience in the recipe is 0"),
        ({"resume": True}, "unknown key 'resume'"),
        ({"accumulation": 0}, "accumulation in the recipe is 0"),
        ({"optimizer": "Adamm"}, "'Adamm'; expected one of AdamW, Lamb"),
        (
            {"optimizer": {"kind": "Lion", "beta_3": 1}},
            "unknown option 'beta_3'; known are beta_1, beta_2.$",
        ),
        ({"optimizer": {"kind": "Lion", "decay": 1}}, "'decay' within the optimizer"),
        ({"optimizer": {"kind": "Lion", "beta_1": "a"}}, "beta_1 = 'a' for an optimizer"),
        ({"learning_rate": float("nan")}, "learning_rate in the recipe is nan"),
        ({"ema": 1.0}, "ema in the recipe is 1.0; a number from 0"),
        ({"ema": 0.9, "keep": "best"}, "ema in the recipe writes the average over all"),
        ({"problem": "chess"}, "problem in the recipe is 'chess'; single_label or"),
        ({"class_weights": {"yes": -1}}, "class_weights in the recipe is"),
        ({"class_weights": {"yes": 0, "no": 0}}, "by which no example counts"),
        ({"layer_decay": 1.5}, "layer_decay = 1.5 for an optimizer; expected a number from 0 to 1"),
        ({"class_weights": {"maybe": 1}}, "class_weights in the recipe has 'maybe'; .* no, yes"),
        ({"task": "MaskedLM", "label": "label"}, "label in the recipe means nothing to a MaskedLM"),
        ({"task": "TextEmbedder", "labels": ["a"]}, "labels in the recipe means nothing to a Text"),
        ({"task": "QuestionAnswering", "text": "a"}, "text in the recipe means nothing to a Quest"),
        (
            {"task": "TokenClassifier", "problem": "regression"},
            "means nothing to a TokenClassifier",
        ),
        ({"output": "train.tsv"}, "is a file"),
        ({"output": "."}, "holds recipe.json"),
        ({"labels": ["yes"]}, "line 7: the label is 'no'; expected one of yes"),
        ({"label": "gold"}, "no column 'gold'"),
        ({"learning_rate": 1e30}, "no longer a number"),
        ({"summary": 5}, "summary in the recipe is 5; text"),
        ({"model": 5}, "model in the recipe is 5"),
        ({"train": 5}, "train in the recipe is 5"),
        ({"output": 5}, "output in the recipe is 5"),
        ({"labels": 5}, "labels in the recipe is 5"),
        ({"labels": ["a", 5]}, "labels in the recipe is"),
        ({"labels": ["no", "yes", "no"]}, "labels in the recipe has 'no' twice"),
        ({"text": 5.5}, "text in the recipe is 5.5"),
        ({"label": 5.5}, "label in the recipe is 5.5"),
        ({"head": 5}, "head in the recipe is 5"),
        ({"max_length": "8"}, "max_length in the recipe is '8'"),
        ({"seed": -1}, "seed in the recipe is -1"),
        ({"seed": True}, "seed in the recipe is True"),
    ],
)
def test_bad_recipes_write_nothing(recipe, tmp_path, changes, message):
    path = recipe(**changes)
    before = sorted(tmp_path.iterdir())
    with pytest.raises(KzooError, match=message):
        kzoo.train(path, verbose=0)
    assert sorted(tmp_path.iterdir()) == before
