"""Weights of 4 bits: what a task learns with is what its file holds."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from bundles import LABELS, noisy_task
from families import add_noise, noisy
from keras import ops
from test_teacher import student as picture_task

import kzoo
from kzoo import presets, stored
from kzoo.checkpoints.safetensors import read_tensors
from kzoo.compression import as_floats, factorize, four_bits, prune, quantize_aware
from kzoo.compression.rounded import rounded_layers
from kzoo.litert.flatbuffer import read_model, schema
from kzoo.network import frozen, weights_by_path
from kzoo.nn.rounding import FOUR_BITS, SCALES, on_steps, packed, steps_of, unpacked

PATH = "backbone/block_0/feedforward/up/kernel"
TEXTS = ["a good film", "a very dull film", "my dog lives in paris", "is the cat on the mat"]


def classifier(**options):
    return noisy_task("TextClassifier", labels=LABELS, **options)


def test_the_weights_of_a_file_are_those_that_keras_rounds(tmp_path):
    aware, report = four_bits(classifier())
    found = kzoo.export_litert(aware, tmp_path / "model.tflite", "int4", limits={})
    assert found["audit"]["partitions"] == 1 and not found["audit"]["understated"]
    assert found["audit"]["minimum_runtime"]["tflite"] == "2.20.0"
    assert found["parity"]["label_agreement"] == 1
    larger = kzoo.export_litert(aware, tmp_path / "larger.tflite", "int8", limits={})
    assert larger["parity"]["cosine"] > 0.999  # The same weights, as any other file has them.
    model = read_model((tmp_path / "model.tflite").read_bytes())
    kinds = schema().TensorType
    tensors = [t for t in model.subgraphs[0].tensors if t.type == kinds.INT4]
    there = [
        unpacked(np.asarray(model.buffers[tensor.buffer].data), tensor.shape)
        for tensor in tensors
        if tensor.quantization.scale is not None
    ]
    weights = weights_by_path(aware)
    assert set(report["layers"]) == set(rounded_layers(aware))
    for path in rounded_layers(aware):
        if path.startswith("backbone/block_"):
            kernel, scales = (weights[f"{path}/{name}"] for name in ("kernel", SCALES))
            whole = ops.convert_to_numpy(ops.round(on_steps(kernel, scales) / scales)).T
            # Rows without a 7 may have a finer grid there, which holds the same numbers.
            full = np.abs(whole).max(-1) == FOUR_BITS
            found = [t[full] for t in there if t.shape == whole.shape]
            assert full.any() and any(np.array_equal(each, whole[full]) for each in found), path


def test_a_task_learns_through_the_rounding_and_its_scales_stand_still(tmp_path):
    aware, _ = four_bits(classifier())
    before = {path: ops.convert_to_numpy(w).copy() for path, w in weights_by_path(aware).items()}
    assert {path for path in before if path.endswith(SCALES)} <= set(frozen(aware))
    aware.compile(optimizer=kzoo.AdamW(1e-2, warmup=0))
    aware.fit(TEXTS, [LABELS[i % len(LABELS)] for i in range(4)], epochs=2, verbose=0)
    for path, weight in weights_by_path(aware).items():
        moved = not np.array_equal(before[path], ops.convert_to_numpy(weight))
        assert moved != path.endswith(SCALES) or "segment" in path or "key/bias" in path, path
    aware.save_preset(tmp_path / "preset")
    again = presets.load(tmp_path / "preset")
    np.testing.assert_array_equal(again.predict(TEXTS), aware.predict(TEXTS))
    stored.round_weights(again, "all")
    presets.save_preset(again, tmp_path / "small", rounded="all")
    stays = read_tensors(tmp_path / "small" / presets.WEIGHTS)
    assert stays[PATH].dtype == "uint8"
    back = presets.load(tmp_path / "small")
    np.testing.assert_array_equal(back.predict(TEXTS), again.predict(TEXTS))
    smaller, _ = prune(again, units=0.5)
    assert smaller.predict(TEXTS).shape == aware.predict(TEXTS).shape
    assert four_bits(smaller)[0].spec.quantization == "int4"


def test_kernels_beyond_their_grid_are_cut_and_not_turned(tmp_path):
    aware, _ = four_bits(classifier())
    kernel = weights_by_path(aware)[PATH]
    kernel.assign(kernel * 3)
    presets.save_preset(aware, tmp_path / "small", rounded="all")
    there = ops.convert_to_numpy(weights_by_path(presets.load(tmp_path / "small"))[PATH])
    assert (np.sign(there) * np.sign(ops.convert_to_numpy(kernel)) >= 0).all()
    for shape in ((3, 3), (4, 2)):
        whole = np.random.default_rng(0).integers(-7, 8, shape).astype("int8")
        np.testing.assert_array_equal(unpacked(packed(whole), shape), whole)


def test_zero_outputs_and_odd_inputs_are_written(tmp_path):
    """Of an output of zeros the file has some scale, and an odd number of inputs stays int8."""
    task = noisy_task("TextClassifier", labels=LABELS, backbone=noisy("bert", intermediate_dim=65))
    weight = weights_by_path(task)[PATH]
    kernel = ops.convert_to_numpy(weight).copy()
    kernel[:, 3] = 0
    weight.assign(kernel)
    np.testing.assert_array_equal(on_steps(kernel, np.zeros(65, "float32")), kernel)
    found = kzoo.export_litert(four_bits(task)[0], tmp_path / "m.tflite", "int4", limits={})
    assert found["parity"]["label_agreement"] == 1 and found["audit"]["weight_bytes"]["int8"] > 2000


def test_what_needs_floats_takes_a_task_of_4_bits_as_they_are():
    aware, _ = four_bits(classifier())
    narrow, _ = factorize(aware, embedding=16)
    static, _ = quantize_aware(aware, TEXTS, dynamic=())
    for other in (as_floats(aware), factorize(narrow, rank=1.0)[0]):
        assert other.spec.quantization is None
    np.testing.assert_allclose(as_floats(aware).predict(TEXTS), aware.predict(TEXTS), atol=1e-6)
    assert static.spec.quantization == "int8_static"


def test_a_file_without_a_table_says_its_runtime_too(tmp_path):
    found = kzoo.export_litert(
        four_bits(add_noise(picture_task("vit")))[0], tmp_path / "m.tflite", "int4", limits={}
    )
    assert found["audit"]["minimum_runtime"] == {"tflite": "2.20.0", "litert": "1.4.0"}


def on_jax(path):
    aware, _ = four_bits(classifier())
    np.save(path, aware.predict(TEXTS))


def test_jax_rounds_the_same(tmp_path):
    pytest.importorskip("jax")
    path = str(tmp_path / "scores.npy")
    code = (
        f"import sys; sys.path.insert(0, 'tests'); import test_four_bits as t\nt.on_jax({path!r})"
    )
    root, env = Path(__file__).parent.parent, {**os.environ, "KERAS_BACKEND": "jax"}
    subprocess.run([sys.executable, "-c", code], check=True, cwd=root, env=env)
    np.testing.assert_allclose(np.load(path), four_bits(classifier())[0].predict(TEXTS), atol=1e-5)


def test_rows_that_lie_on_a_grid_of_4_bits_keep_it():
    draw = np.random.default_rng(0)
    for largest in range(3, FOUR_BITS + 1):
        whole = draw.integers(-largest, largest + 1, (5, 64))
        whole[:, 0] = largest
        steps = draw.random(5).astype("float32") + 0.1
        rows = (whole * steps[:, None]).astype("float32")
        near = ops.convert_to_numpy(on_steps(rows.T, steps_of(rows))).T
        np.testing.assert_allclose(near, rows, rtol=1e-5)
    wide = draw.standard_normal((9, 256)).astype("float32")
    largest = np.abs(wide).max(-1) / FOUR_BITS

    def error(steps):
        return np.square(ops.convert_to_numpy(on_steps(wide.T, steps)).T - wide).sum(-1)

    assert (error(steps_of(wide)) < 0.9 * error(largest)).all()
    assert steps_of(np.zeros((2, 4))).tolist() == [0, 0]


@pytest.mark.parametrize(("call", "message"), [
    (lambda task, path: four_bits(task.backbone), "Got a Bert for weights of 4 bits"),
    (lambda task, path: four_bits(quantize_aware(task, TEXTS)[0]), "as a file of int8_static does"),
    (lambda task, path: kzoo.export_litert(task, path, "int4", compat="tflite-2.16"), "TFLite 2.2"),
])  # fmt: skip
def test_what_can_not_be_is_said(call, message, tmp_path):
    with pytest.raises(kzoo.KzooError, match=message):
        call(classifier(), tmp_path / "model.tflite")
    assert not list(tmp_path.iterdir())
