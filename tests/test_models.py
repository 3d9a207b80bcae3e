"""Every family keeps its promises: outputs, gradients, saving, precision, honest errors."""

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import keras
import numpy as np
import pytest
from families import (
    SILENT,
    SPECS,
    STACKS,
    TEXTS,
    WRITERS,
    alone,
    inputs_of,
    noisy,
    padding_of,
    permuted,
    shared,
    tokens,
)
from writing import in_steps

import kzoo
from kzoo import models
from kzoo.errors import KzooError
from kzoo.graphs import SharedSpace, TwoStream
from kzoo.models import build, count_parameters, describe
from kzoo.network import weights_by_path
from kzoo.nn.attention import additive_mask
from kzoo.nn.dense import Dense
from kzoo.parts import make
from kzoo.spec import Spec

GOLDEN = Path(__file__).parent / "golden"
FAMILIES = sorted(SPECS)


@pytest.mark.parametrize("family", FAMILIES)
def test_outputs_are_those_of_the_golden_file(family):
    golden = json.loads((GOLDEN / f"{family}.json").read_text())
    outputs = shared(family)(inputs_of(SPECS[family]))
    assert set(outputs) == set(golden)
    for name, expected in golden.items():
        np.testing.assert_allclose(np.asarray(outputs[name]), expected, atol=2e-5)


# Beside the last token of a MobileBERT stands what follows it, see test_mobilebert.py.
@pytest.mark.parametrize("family", [f for f in TEXTS if f != "mobilebert"])
def test_padding_changes_nothing(family):
    model, inputs = shared(family), tokens(SPECS[family], batch=1, length=6)
    wide = {
        name: np.pad(
            value,
            ((0, 0), (0, 5)),
            constant_values=padding_of(SPECS[family]) if name == "token_ids" else 0,
        )
        for name, value in inputs.items()
    }
    narrow_output = np.asarray(model(inputs)["sequence_output"])
    np.testing.assert_allclose(
        np.asarray(model(wide)["sequence_output"])[:, :6], narrow_output, atol=1e-5
    )


@pytest.mark.parametrize("family", WRITERS)
def test_written_in_steps_it_is_what_the_whole_is(family):
    model, ids = shared(family), tokens(SPECS[family], batch=1)["token_ids"]
    whole = model({"token_ids": ids, "padding_mask": ids * 0 + 1})["sequence_output"]
    np.testing.assert_allclose(in_steps(model, ids, (4, 1, 1, 3)), np.asarray(whole), atol=2e-5)


@pytest.mark.parametrize("family", [f for f in STACKS if models.FAMILIES[f].blocks_alike])
def test_hidden_states_and_maps_come_by_step(family):
    spec = SPECS[family]
    outputs = shared(family)(inputs_of(spec), return_hidden_states=True, return_attention_maps=True)
    assert len(outputs["hidden_states"]) == spec.num_layers + 1
    assert len(outputs["attention_maps"]) == spec.num_layers
    last, final = outputs["hidden_states"][-1], outputs["sequence_output"]
    np.testing.assert_array_equal(np.asarray(last), np.asarray(final))
    sums = np.asarray(outputs["attention_maps"][0]).sum(-1)
    np.testing.assert_allclose(sums, np.ones_like(sums), atol=1e-5)
    first_two = [np.asarray(state) for state in outputs["hidden_states"][:2]]
    assert np.abs(first_two[0] - first_two[1]).max() > 0.1  # A step is not its neighbour.


@pytest.mark.parametrize("family", FAMILIES)
def test_every_weight_gets_a_gradient(family):
    import tensorflow as tf

    model, spec = shared(family), SPECS[family]
    uses = [inputs_of(spec), *([permuted(spec)] if isinstance(model, TwoStream) else [])]
    uses += alone(spec, uses[0])
    with tf.GradientTape() as tape:
        outputs = [value for inputs in uses for value in model(inputs).values()]
        loss = sum(tf.reduce_sum(value * value * value) for value in outputs)
    gradients = tape.gradient(loss, [w.value for w in weights_by_path(model).values()])
    paths = list(weights_by_path(model))
    lacking = [
        path
        for path, gradient in zip(paths, gradients, strict=True)
        if gradient is None or not np.abs(tf.convert_to_tensor(gradient).numpy()).max() > 0
    ]
    # Softmax does not see what all keys share: the key's bias has a zero gradient by nature.
    # Statistics are no weights that learn.
    ends = "key/bias", "moving_mean", "moving_variance"
    weights, silent = weights_by_path(model), SILENT.get(family, ())
    assert [
        path for path in lacking if not path.endswith((*ends, *silent)) and weights[path].trainable
    ] == []


@pytest.mark.parametrize("family", FAMILIES)
def test_a_saved_file_gives_the_same_outputs(family, tmp_path):
    model, inputs = shared(family), inputs_of(SPECS[family])
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert again.spec == model.spec
    for name, value in model(inputs).items():
        np.testing.assert_array_equal(np.asarray(again(inputs)[name]), np.asarray(value))


@pytest.mark.parametrize("family", FAMILIES)
def test_counting_allocates_nothing_and_is_right(family):
    spec = SPECS[family]
    built = {path: tuple(weight.shape) for path, weight in weights_by_path(build(spec)).items()}
    assert dict(describe(spec)) == built
    assert count_parameters(spec) == sum(int(np.prod(shape)) for shape in built.values())
    with keras.StatelessScope():  # Its end would allocate what a leaking count left waiting.
        pass


def test_a_process_builds_in_silence_and_counts_without_memory():
    code = (
        "import resource, kzoo\n"
        "words = {'kind': 'token', 'vocabulary_size': 100}\n"
        "kzoo.Bert(kzoo.Spec('bert', words, 64, 4, 64, (0,)))\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "words['vocabulary_size'] = 3_000_000\n"
        "n = kzoo.count_parameters(kzoo.Spec('bert', words, 1024, 16, 4096, (0,)))\n"
        "import keras\n"
        "with keras.StatelessScope(): pass\n"
        "grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before\n"
        "assert n > 3e9 and grown < 400_000, (n, grown)\n"
    )
    environment = {k: v for k, v in os.environ.items() if k != "TF_CPP_MIN_LOG_LEVEL"}
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, env=environment)
    assert (run.returncode, run.stdout, run.stderr) == (0, b"", b"")


def test_a_model_is_traced_once_to_be_built(monkeypatch):
    """Keras traces a layer once more where one within it has no `build`."""
    call, calls = Dense.call, Counter()

    def counted(self, x):
        calls[id(self)] += 1
        return call(self, x)

    monkeypatch.setattr(Dense, "call", counted)
    backbone = build(SPECS["bert"])
    assert len(calls) == 13 and set(calls.values()) == {1}
    calls.clear()
    kzoo.TextClassifier(backbone, labels=["a", "b"])
    assert len(calls) == 14 and set(calls.values()) == {1}


@pytest.mark.parametrize("family", FAMILIES)
def test_half_precision_stays_near(family):
    full = shared(family)(inputs_of(SPECS[family]))
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = noisy(family)
        half = model(inputs_of(SPECS[family]))
    finally:
        keras.config.set_dtype_policy("float32")
    assert {str(weight.dtype) for weight in model.weights} == {"float32"}
    # What is compared with others by its products is float32 at the end.
    expected = "float32" if issubclass(models.FAMILIES[family], SharedSpace) else "bfloat16"
    name = next(iter(half))
    assert expected in str(half[name].dtype)
    # Norms keep every value near 1; bfloat16 has 8 bits.
    assert np.abs(np.asarray(full[name]) - np.asarray(half[name], "float32")).mean() < 0.05


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_padding_weighs_nothing_and_half_precision_stays_finite(dtype):
    """Phones compute in float16, whose largest number is 65,504: -1e9 would become NaN there."""
    mask = np.array([[1, 1, 0, 0], [0, 0, 0, 0]], "int32")
    bias = additive_mask(mask, dtype)
    scores = keras.ops.cast([[[[3.0, 1.0, 200.0, 5.0]]], [[[3.0, 1.0, 200.0, 5.0]]]], dtype)
    bias, maps = (np.array(x, "float32") for x in (bias, keras.ops.softmax(scores + bias)))
    assert np.isfinite(bias).all() and (bias[0, 0, 0, :2] == 0).all()
    assert np.isfinite(maps).all(), "not even where there is nothing but padding"
    assert (maps[0, 0, 0, 2:] == 0).all()
    assert maps[0, 0, 0, :2] == pytest.approx([0.8808, 0.1192], abs=1e-3)


@pytest.mark.parametrize("dtype", ["float16", "float32"])
@pytest.mark.parametrize(
    ("slot", "expected"),
    [
        ("first", [-9.0, 4.0]),
        ("mean", [-6.0, 1.0]),
        ("mean_sqrt_len", [-12 / 2**0.5, 2**0.5]),
        ("max", [-3.0, 4.0]),  # not the 7 at padding, nor its 0
        ({"kind": "concat", "of": ["max", "mean"]}, [-3.0, 4.0, -6.0, 1.0]),
    ],
)
def test_poolings_do_not_see_padding(slot, expected, dtype):
    places = np.array([[[-9.0, 4.0], [-3.0, -2.0], [0.0, 7.0], [7.0, 0.0]]] * 2, dtype)
    mask = np.array([[1, 1, 0, 0]] * 2, "int32")
    pooled = make("pooling", slot)({"sequence_output": keras.ops.convert_to_tensor(places)}, mask)
    assert np.allclose(np.array(pooled, "float32"), [expected] * 2, atol=1e-2)
    apart = np.array([[[-9.0, 4.0], [-3.0, -2.0]]], dtype)
    alone = make("pooling", slot)(
        {"sequence_output": keras.ops.convert_to_tensor(apart)}, mask[:1, :2]
    )
    assert np.allclose(np.array(alone, "float32"), [expected], atol=1e-2)


def test_the_same_model_runs_on_jax():
    pytest.importorskip("jax")
    code = (
        "import sys, json, numpy as np; sys.path.insert(0, 'tests')\n"
        "from families import *\n"
        "for family in sorted(SPECS):\n"
        "    golden = json.load(open(f'tests/golden/{family}.json'))\n"
        "    outputs = noisy(family).predict_on_batch(inputs_of(SPECS[family]))\n"
        "    for name, expected in golden.items():\n"
        "        np.testing.assert_allclose(np.asarray(outputs[name]), expected, atol=2e-5)\n"
    )
    root = Path(__file__).parent.parent
    environment = {**os.environ, "KERAS_BACKEND": "jax"}
    subprocess.run([sys.executable, "-c", code], check=True, cwd=root, env=environment)


def bad_inputs():
    good = tokens(SPECS["bert"])
    return {
        "an id out of range": ({**good, "token_ids": good["token_ids"] + 500}, "0 to 119"),
        "a negative id": ({**good, "token_ids": good["token_ids"] - 500}, "0 to 119"),
        "a missing input": ({"token_ids": good["token_ids"]}, "padding_mask"),
        "no dict": (good["token_ids"], "dict"),
        "floats": ({**good, "token_ids": good["token_ids"] * 1.0}, "int32"),
        "one sequence": ({k: v[0] for k, v in good.items()}, r"\(batch, length\)"),
        "other shapes": ({**good, "padding_mask": good["padding_mask"][:, :4]}, "differ in shape"),
        "too long": ({k: np.tile(v, (1, 9)) for k, v in good.items()}, "at most 40"),
    }


@pytest.mark.parametrize("case", list(bad_inputs()))
def test_bad_input_is_named(case):
    inputs, message = bad_inputs()[case]
    with pytest.raises(KzooError, match=message):
        noisy("bert")(inputs)


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"hidden_dim": 30}, "multiple of num_heads"),
        ({"schedule": []}, "schedule"),
        ({"vocabulary_size": 0}, "vocabulary_size"),
        ({"colour": "blue"}, "colour"),
        ({"position": "astrolabe"}, "astrolabe.*known"),
        ({"norm": {"kind": "layer_norm", "gain": 2}}, "gain"),
        ({"family": "elmo"}, "elmo.*known"),
    ],
)
def test_a_bad_spec_is_named(changes, message):
    fields = {**SPECS["bert"].to_dict(), **changes}
    with pytest.raises(KzooError, match=message):
        build(Spec.from_dict(fields))


def test_a_spec_survives_json():
    for spec in SPECS.values():
        assert Spec.from_json(spec.to_json()) == spec


def test_a_cut_keeps_the_steps_it_names():
    model = noisy("bert", schedule=(0, 1, 2, 3))
    inputs = tokens(model.spec)
    student = model.with_spec(schedule=(1, 3))
    deep = model(inputs, return_hidden_states=True)
    assert weights_by_path(student).keys() < weights_by_path(model).keys()
    for path, weight in weights_by_path(student).items():
        np.testing.assert_array_equal(weight, weights_by_path(model)[path])
    whole = model.with_spec(schedule=(0, 1, 2, 3))(inputs)["sequence_output"]
    np.testing.assert_array_equal(np.asarray(whole), np.asarray(deep["sequence_output"]))


def test_public_names_exist():
    for name in kzoo.__all__:
        assert getattr(kzoo, name) is not None
