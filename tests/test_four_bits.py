"""Weights of 4 bits: what a task learns with is what its file holds."""

import numpy as np
import pytest
from bundles import LABELS, noisy_task
from keras import ops

import kzoo
from kzoo import presets, stored
from kzoo.compression import four_bits, prune, quantize_aware
from kzoo.compression.four_bits import rounded_layers
from kzoo.litert.flatbuffer import read_model, schema
from kzoo.network import frozen, weights_by_path
from kzoo.nn.rounding import FOUR_BITS, SCALES, on_steps, steps_of

TEXTS = ["a good film", "a very dull film", "my dog lives in paris", "is the cat on the mat"]


def classifier(**options):
    return noisy_task("TextClassifier", labels=LABELS, **options)


def unpacked(data, shape):
    """Numbers of 4 bits, the first of each byte in its lower half."""
    halves = np.stack([data & 15, data >> 4], -1).astype("int8").ravel()
    return np.where(halves > 7, halves - 16, halves).reshape(shape)


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
    assert (tmp_path / "small" / presets.WEIGHTS).stat().st_size < 110_000
    back = presets.load(tmp_path / "small")
    np.testing.assert_array_equal(back.predict(TEXTS), again.predict(TEXTS))
    smaller, _ = prune(again, units=0.5)
    assert smaller.predict(TEXTS).shape == aware.predict(TEXTS).shape
    assert four_bits(smaller)[0].spec.quantization == "int4"


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
    (lambda task, path: quantize_aware(four_bits(task)[0], TEXTS), "as a file of int4 does"),
    (lambda task, path: kzoo.export_litert(task, path, "int4", compat="tflite-2.16"), "TFLite 2.2"),
])  # fmt: skip
def test_what_can_not_be_is_said(call, message, tmp_path):
    with pytest.raises(kzoo.KzooError, match=message):
        call(classifier(), tmp_path / "model.tflite")
    assert not list(tmp_path.iterdir())
