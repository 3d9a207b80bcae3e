"""Blocks that are run again for their gradients learn what they would have learnt."""

import json
import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from families import SPECS, add_noise
from keras import ops

import kzoo
from kzoo import keras_hooks
from kzoo.keras_hooks import reseed
from kzoo.models import build
from kzoo.nn.attention import Attention

# A block that is run twice, with other masks the second time; a memory that learns as well.
FAMILIES = ("albert", "bart", "deberta_v2")
ON_JAX = ("albert", "bart")  # Sums of gradients are JAX's own there.
NEAR = 1e-6


def task_of(family, checkpointing, **options):
    """A tiny task with dropout, compiled, and a batch of 8 that it learns from."""
    spec, draw = SPECS[family], np.random.default_rng(0)
    few = {"dropout": 0.2, "schedule": {"albert": (0, 0), "bart": (0,)}.get(family, (0, 1))}
    keras.utils.set_random_seed(0)
    if family == "bart":
        towers = {name: tower.replace(**few) for name, tower in spec.towers.items()}
        task, shape = kzoo.Seq2SeqLM(add_noise(build(spec.replace(towers=towers)))), (8, 6)
    else:
        model = add_noise(build(spec.replace(**few)))
        task, shape = kzoo.TextClassifier(model, labels=list("ab")), 8
    inputs = {
        name: draw.integers(5, 100, (8, 6)).astype("int32") for name in task.backbone.signature
    }
    for name in inputs:
        if name.endswith("padding_mask"):
            inputs[name] = np.ones((8, 6), "int32")
            inputs[name][::2, 4:] = 0
        elif name == "segment_ids":
            inputs[name] %= 2
    reseed(task, 3)
    optimizer = keras.optimizers.SGD(0.05)
    task.compile(optimizer, gradient_checkpointing=checkpointing, **options)
    return task, inputs, draw.integers(0, 2, shape)


def learnt(family, checkpointing):
    """The loss of each epoch, the weights and what draws, after four steps of `fit`."""
    task, inputs, y = task_of(family, checkpointing)
    history = keras.Model.fit(
        task, inputs, y, batch_size=4, epochs=2, shuffle=False, verbose=0
    ).history
    drawn = [
        ops.convert_to_numpy(v) for v in task.non_trainable_variables if "seed_generator" in v.path
    ]
    return history["loss"], [ops.convert_to_numpy(w) for w in task.weights], drawn


def differences(family):
    """Between learning with and without, of losses, weights, and states of what draws.

    And how many numbers the layer that drew least has drawn.
    """
    one, other = (learnt(family, each) for each in (False, True))
    largest = [max(float(np.max(np.abs(a - b))) for a, b in zip(*pair, strict=True))
               for pair in zip(one, other, strict=True)]  # fmt: skip
    return largest, int(min(np.max(state) for state in one[2]))


def kept_on_jax(checkpointing):
    """The bytes that a step's program keeps for gradients; XLA may keep others on a processor."""
    import jax

    task, inputs, _ = task_of("bert", checkpointing)
    model = task.backbone
    state = [variable.value for variable in model.non_trainable_variables]

    def total(values):
        outputs, _ = model.stateless_call(values, state, inputs, training=True)
        return ops.sum(outputs["sequence_output"])

    values = [variable.value for variable in model.trainable_variables]
    kept = jax.eval_shape(lambda values: jax.vjp(total, values)[1], values)
    return sum(int(np.prod(each.shape)) * each.dtype.itemsize for each in jax.tree.leaves(kept))


@pytest.fixture(scope="module")
def on_jax():
    pytest.importorskip("jax")
    code = (
        "import sys, json; sys.path.insert(0, 'tests'); import test_gradient_checkpointing as t\n"
        "found = {family: t.differences(family) for family in t.ON_JAX}\n"
        "print(json.dumps({**found, 'kept': [t.kept_on_jax(each) for each in (False, True)]}))"
    )
    root, env = Path(__file__).parent.parent, {**os.environ, "KERAS_BACKEND": "jax"}
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=root, env=env
    )
    assert run.returncode == 0, run.stderr[-2000:]
    return json.loads(run.stdout.splitlines()[-1])


@pytest.mark.parametrize("family", FAMILIES)
def test_it_learns_the_same(family):
    (loss, weights, drawn), steps = differences(family)
    assert loss < NEAR and weights < NEAR
    assert drawn == 0 and steps >= 4  # Each step drew, and the second run drew nothing more.


def test_it_learns_the_same_in_half_precision():
    with keras_hooks.precision("mixed_bfloat16"):
        (loss, weights, drawn), _ = differences("albert")
    assert loss == 0 and weights == 0 and drawn == 0  # The second run rounds as the first did.


@pytest.mark.parametrize("family", ON_JAX)
def test_it_learns_the_same_on_jax(on_jax, family):
    (loss, weights, drawn), _ = on_jax[family]
    assert loss < NEAR and weights < NEAR and drawn == 0


def test_less_is_kept_on_jax(on_jax):
    """Weights, which both keep, are most of it in so small a model."""
    without, with_it = on_jax["kept"]
    assert with_it < 0.5 * without


@pytest.mark.parametrize("checkpointing", [False, True])
def test_each_block_is_run_twice(monkeypatch, checkpointing):
    """Without, nothing is; nor where nothing learns."""
    calls, before = [], Attention.call
    monkeypatch.setattr(Attention, "call", lambda *a, **k: calls.append(1) or before(*a, **k))
    task, inputs, y = task_of("bert", checkpointing, run_eagerly=True)
    task.train_on_batch(inputs, y)  # which builds what fit has
    calls.clear()
    task.train_on_batch(inputs, y)
    assert len(calls) == (4 if checkpointing else 2)
    calls.clear()
    task.test_on_batch(inputs, y)
    assert len(calls) == 2


def test_what_was_seen_is_still_given():
    """A lesson on maps: the student's blocks are run again, its maps are kept."""
    found = []
    for checkpointing in (False, True):
        task, inputs, _ = task_of("bert", checkpointing)
        asked = {"return_attention_maps": True, "return_projections": True}
        outputs = task.backbone(inputs, training=True, **asked)
        found.append([outputs["attention_maps"][1], *outputs["projections"][0]])
    for one, other in zip(*found, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_file_keeps_it(tmp_path):
    task, inputs, y = task_of("bert", True)
    task.train_on_batch(inputs, y)
    task.save(tmp_path / "task.keras")
    loaded = keras.models.load_model(tmp_path / "task.keras")
    assert loaded.gradient_checkpointing and loaded.backbone.gradient_checkpointing
    assert not task_of("bert", False)[0].backbone.gradient_checkpointing


def test_what_it_cannot_do_is_said():
    with pytest.raises(kzoo.KzooError, match="gradient_checkpointing=1; expected True or False"):
        task_of("bert", 1)
    picture = kzoo.ImageClassifier(build(SPECS["mobilevit"]), labels=list("ab"))
    with pytest.raises(kzoo.KzooError, match="blocks don't follow each other"):
        picture.compile(gradient_checkpointing=True)
