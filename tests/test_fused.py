"""Attention in one kernel gives what the maps give. Its operation runs here on JAX's processor."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

LENGTH = 18
# By name: a family, what is changed of it, the length, and how many attentions make no maps.
CASES = {
    "full": ("bert", {}, LENGTH, 1),
    "causal": ("gpt2", {}, LENGTH, 1),
    "local": ("gpt3", {"attention": {"kind": "local", "window": 3}}, LENGTH, 1),
    "shared_by_two": ("bert", {"num_key_value_heads": 2}, LENGTH, 1),
    "shared_by_all_and_turned": ("palm", {}, LENGTH, 1),
    "to_a_memory": ("bart", {}, LENGTH, 3),
    "odd_without_padding": (
        "vit",
        {
            "embedding": {"kind": "patch", "image_size": 16, "patch_size": 4},
            "max_sequence_length": 17,
        },
        LENGTH,
        1,
    ),
    "odd_with_padding": ("bert", {}, LENGTH - 1, 0),
    "short": ("bert", {}, 14, 0),
    "with_slopes": ("bloom", {}, LENGTH, 0),
    "with_trained_distances": ("t5", {}, LENGTH, 1),  # that of the memory has none
}
NO_KERNEL = ("odd_with_padding", "short", "with_slopes", "with_trained_distances")
IN_HALF = "full"
# How far numbers may lie from those by maps in float32, of the largest; in bfloat16 about as far as
# those by maps in bfloat16 do.
NEAR = 1e-5


def network(family, changes, dtype, rates=0.0):
    """A tiny network of a block a tower, with noise on its weights, which computes in a policy."""
    from families import SPECS, add_noise

    from kzoo.keras_hooks import precision
    from kzoo.models import build

    spec = SPECS[family]
    own = {"dropout": rates, "attention_dropout": rates, "schedule": (0,)}
    if hasattr(spec, "towers"):
        own = {"towers": {name: tower.replace(**own) for name, tower in spec.towers.items()}}
    with precision(dtype):
        return add_noise(build(spec.replace(**own, **changes)))


def inputs_of(model, length):
    """Two rows of numbers, where the model reads padding filled up at the right and at the left."""
    draw, inputs = np.random.default_rng(0), {}
    for name, entry in model.signature.items():
        sizes = {"batch": 2}
        shape = [sizes.get(axis, length) if isinstance(axis, str) else axis for axis in entry.axes]
        if name.endswith("padding_mask"):
            inputs[name] = np.ones(shape, "int32")
            inputs[name][0, -5:] = inputs[name][1, :3] = 0
        elif name.endswith("token_ids"):
            inputs[name] = draw.integers(4, 100, shape).astype("int32")
        else:  # pictures, and the only segment
            inputs[name] = draw.random(shape).astype(entry.dtype)
    return inputs


def learns(model, inputs, run):
    """The output at tokens and the gradient of a number made of it; how many made no maps.

    `run` is what is done with the function that gives them: compiled, or only traced.
    """
    import jax
    from keras import ops

    from kzoo.nn import attention

    made, before = [], attention.fused

    def counted(*args):
        made.append((y := before(*args)) is not None)
        return y

    masks = [v for k, v in inputs.items() if k.endswith("padding_mask")]
    read = masks[-1][..., None] if masks else 1.0
    state = [variable.value for variable in model.non_trainable_variables]

    def loss(values):
        outputs, _ = model.stateless_call(values, state, inputs, training=True)
        y = ops.cast(outputs["sequence_output"], "float32") * read
        weights = np.random.default_rng(1).normal(size=y.shape).astype("float32")
        return ops.sum(y * weights), y

    attention.fused = counted
    try:
        values = [variable.value for variable in model.trainable_variables]
        grads, y = run(jax.grad(loss, has_aux=True), values)
    finally:
        attention.fused = before
    return y, grads, sum(made)


def off(one, other):
    """How far outputs and gradients are from others, of the largest number in each.

    That of keys' bias is left out: in exact arithmetic it is none.
    """
    sizes = [np.max(np.abs(each)) for each in (other[0], *other[1])]
    pairs = zip((one[0], *one[1]), (other[0], *other[1]), sizes, strict=True)
    return [float(np.max(np.abs(a - b)) / s) for a, b, s in pairs if s > 1e-4 * max(sizes[1:])]


def measure():
    """By case how many attentions made no maps, and how far off outputs and gradients are."""
    import jax
    import keras

    from kzoo.nn import fused

    def compiled(function, values):
        return jax.tree.map(np.asarray, jax.jit(function)(values))

    def traced(function, values):
        return jax.eval_shape(function, values)[::-1]

    def by_maps(model, inputs):
        keras.config.disable_flash_attention()
        try:
            return learns(model, inputs, compiled)
        finally:
            keras.config.enable_flash_attention()

    fused.KERNELS["cpu"] = ("float32", "bfloat16")
    found = {}
    for name, (family, changes, length, _) in CASES.items():
        model = network(family, changes, "float32")
        inputs = inputs_of(model, length)
        if name in NO_KERNEL:
            found[name] = {"fused": learns(model, inputs, traced)[-1]}
            continue
        one, truth = learns(model, inputs, compiled), by_maps(model, inputs)
        found[name] = {"fused": one[-1], "by_maps": truth[-1], "float32": off(one, truth)}
        if name == IN_HALF:
            model = network(family, changes, "mixed_bfloat16")
            one, other = learns(model, inputs, compiled), by_maps(model, inputs)
            found[name] |= {"bfloat16": off(one, truth), "bfloat16_by_maps": off(other, truth)}
    model = network("bert", {}, "float32", rates=0.5)
    found["with_dropout"] = learns(model, inputs_of(model, LENGTH), traced)[-1]
    outputs = model(inputs_of(model, LENGTH), return_attention_maps=True)
    found["asked_for"] = [list(maps.shape) for maps in outputs["attention_maps"]]
    print(json.dumps(found))


@pytest.fixture(scope="module")
def found():
    pytest.importorskip("jax")
    code = "import sys; sys.path.insert(0, 'tests'); import test_fused as t; t.measure()"
    root, env = Path(__file__).parent.parent, {**os.environ, "KERAS_BACKEND": "jax"}
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=root, env=env
    )
    assert run.returncode == 0, run.stderr[-2000:]
    return json.loads(run.stdout.splitlines()[-1])


@pytest.mark.parametrize("case", CASES)
def test_a_kernel_gives_what_the_maps_give(found, case):
    assert found[case]["fused"] == CASES[case][-1]
    if case not in NO_KERNEL:
        assert found[case]["by_maps"] == 0
        assert max(found[case]["float32"]) < NEAR


def test_in_half_precision_it_is_no_further_off(found):
    pairs = zip(found[IN_HALF]["bfloat16"], found[IN_HALF]["bfloat16_by_maps"], strict=True)
    assert all(one < 1.5 * other for one, other in pairs)


def test_maps_are_made_where_they_are_needed(found):
    assert found["with_dropout"] == 0  # It falls on them.
    assert found["asked_for"] == [[2, 4, LENGTH, LENGTH]]
