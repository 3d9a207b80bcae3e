"""Static int8: that a file computes what Keras rounds, and what is learned through the rounding."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from bundles import LABELS, noisy_task
from families import add_noise
from keras import ops
from test_teacher import pictures
from test_teacher import student as picture_task

import kzoo
from kzoo.compression import mixed, quantize_aware, sensitivity
from kzoo.compression.sensitivity import Scan
from kzoo.litert.flatbuffer import operator_code, operator_names, read_model
from kzoo.litert.interpreter import Interpreter
from kzoo.network import frozen, weights_by_path
from kzoo.nn import lowering
from kzoo.nn.rounding import on_range, on_scales

SENTENCES = ["a good film", "a very dull film", "my dog lives in paris", "is the cat on the mat"]
STATIC = "int8_static"
OUTLIER = "backbone/block_0/feedforward/down"


def classifier(**options):
    """A tiny classifier, one of whose channels is far larger than the others."""
    task = noisy_task("TextClassifier", labels=LABELS, **options)
    weights = weights_by_path(task)
    kernel = ops.convert_to_numpy(weights[f"{OUTLIER}/kernel"]).copy()
    kernel[:, 3] *= 60
    weights[f"{OUTLIER}/kernel"].assign(kernel)
    return task


def outputs_of(task, examples=SENTENCES, **options):
    """The raw outputs for examples, one by one."""
    columns = task.encode_examples(task.as_inputs(examples))
    return [out for out in task.run_batches(columns, 1, **options)[1]]


def run(interpreter, inputs):
    """The outputs of a file for the inputs of a batch of one."""
    return interpreter.run({name: np.asarray(inputs[name]) for name in interpreter.input_names})


def distance(one, other):
    """The root of the mean square of the difference, as a share of that of the first."""
    one, other = (np.concatenate([o[k].ravel() for o in side for k in o]) for side in (one, other))
    return float(np.sqrt(np.square(one - other).mean() / np.square(one).mean()))


# -- the file -----------------------------------------------------------------------------------


CASES = {
    "texts": (classifier, SENTENCES),
    "pictures": (lambda: add_noise(picture_task("vit"), scale=0.1), list(pictures())),
}


@pytest.mark.parametrize("case", CASES)
def test_a_file_computes_what_keras_rounds(case, tmp_path):
    make, examples = CASES[case]
    task = make()
    aware, report = quantize_aware(task, examples, dynamic=())
    path = tmp_path / "model.tflite"
    found = kzoo.export_litert(aware, path, "int8_static", limits={})["audit"]
    assert found["partitions"] == 1 and not found["understated"] and not found["custom"]
    assert found["minimum_runtime"]["tflite"] == "2.18.0"

    assert found["operators"]["FULLY_CONNECTED"] == len(report["layers"])
    if case != "pictures":  # A file of pictures reads them as bytes.
        interpreter = Interpreter(path)
        written = outputs_of(aware, examples, run=lambda inputs: run(interpreter, inputs))
        rounded, exact = outputs_of(aware, examples), outputs_of(task, examples)
        # Nothing but ties at the middle of a step comes out otherwise.
        assert distance(rounded, written) < 0.3 * distance(exact, rounded) < 0.1

    model = read_model(path.read_bytes())
    graph, names = model.subgraphs[0], operator_names()
    products = [
        (graph.tensors[o.inputs[0]].quantization, graph.tensors[o.outputs[0]].quantization)
        for o in graph.operators
        if names[operator_code(model.operatorCodes[o.opcodeIndex])] == "FULLY_CONNECTED"
        and graph.tensors[o.inputs[0]].type == 9
    ]
    steps = [
        tuple(np.diff(pair[f"{end}_range"])[0] / 255 for end in ("input", "output"))
        for pair in report["layers"].values()
    ]
    in_file = sorted((float(a.scale[0]), float(b.scale[0])) for a, b in products)
    np.testing.assert_allclose(in_file, sorted(steps), rtol=1e-5)
    assert not report["dynamic"]


def test_a_file_of_floats_is_calibrated_on_the_way(tmp_path):
    task = classifier()
    found = kzoo.export_litert(
        task, tmp_path / "model.tflite", "int8_static", calibration=SENTENCES, texts=SENTENCES
    )
    assert found["parity"]["probability_difference"] < 0.01
    assert found["audit"]["operators"]["QUANTIZE"] >= 4
    assert task.spec.quantization is None


def test_a_recipe_names_its_calibration(tmp_path):
    classifier().save_preset(tmp_path / "tiny")
    (tmp_path / "texts.tsv").write_text("\n".join(["sentence", *SENTENCES, ""]))
    recipe = {"preset": "tiny", "quantization": "int8_static", "calibration": "texts.tsv"}
    (tmp_path / "tiny.json").write_text(json.dumps({**recipe, "calibration": "none.tsv"}))
    with pytest.raises(kzoo.KzooError, match="none.tsv"):
        kzoo.export_recipe(tmp_path / "tiny.json", tmp_path / "bundle")
    (tmp_path / "tiny.json").write_text(json.dumps(recipe))
    report = kzoo.export_recipe(tmp_path / "tiny.json", tmp_path / "bundle")
    assert report["quantization"] == "int8_static"
    assert report["calibration"] == {"from": "texts.tsv", "examples": len(SENTENCES)}
    assert kzoo.verify_bundle(tmp_path / "bundle")["quantization"] == "int8_static"


# -- the task -----------------------------------------------------------------------------------


def test_outliers_are_scaled_without_a_change_of_the_model():
    task = classifier()
    aware, report = quantize_aware(task, SENTENCES)
    assert report["layers"][OUTLIER]["output_outliers"] == 1

    def unrounded(inputs):
        with lowering.rounding(lambda x, _limits: x):
            return aware(inputs)

    assert distance(outputs_of(task), outputs_of(aware, run=unrounded)) < 1e-5
    assert distance(outputs_of(task), outputs_of(aware)) < 0.03
    again, second = quantize_aware(aware, SENTENCES)
    assert second["layers"].keys() == report["layers"].keys()
    assert second["layers"][OUTLIER]["output_outliers"] == 1
    assert distance(outputs_of(aware), outputs_of(again)) < 1e-3


def test_a_task_that_rounds_learns_and_keeps_its_ranges(tmp_path):
    task = classifier(max_length=16)
    task.backbone.embedding.trainable = False
    aware, _ = quantize_aware(task, SENTENCES)
    before = {path: ops.convert_to_numpy(w).copy() for path, w in weights_by_path(aware).items()}
    learning = {weight.path for weight in aware.trainable_weights}
    assert not [path for path in learning if path.endswith(("_range", "_factors"))]
    aware.compile(kzoo.AdamW(1e-2))
    aware.fit(SENTENCES, [0, 1, 0, 1], batch_size=2, epochs=1, verbose=0)
    for path, weight in weights_by_path(aware).items():
        still = path.endswith(("_range", "_factors")) or path in frozen(task)
        assert np.array_equal(ops.convert_to_numpy(weight), before[path]) == still, path
    aware.save_preset(tmp_path / "preset")
    loaded = kzoo.load(tmp_path / "preset")
    assert loaded.spec.quantization == "int8_static"
    assert distance(outputs_of(aware), outputs_of(loaded)) < 1e-6


def check_gradients(gradients):
    """What is learned through the rounding, by a function of (function, x)."""
    x = np.array([-3.0, -1.01, 0.0, 0.404, 1.99, 5.0], "float32")
    limits = np.array([-1.0, 2.0], "float32")
    values, slopes = gradients(lambda x: on_range(x, limits), x)
    np.testing.assert_allclose(values, [-1, -1, 0, 0.4, 1.99, 2], atol=0.006)
    np.testing.assert_array_equal(slopes, [0, 0, 1, 1, 1, 0])
    assert np.abs(values * 255 / 3 - np.round(values * 255 / 3)).max() < 1e-4
    kernel = np.array([[1.0, 0.1], [0.301, -0.02]], "float32")
    values, slopes = gradients(lambda x: on_scales(x, (0,)), kernel)
    np.testing.assert_allclose(values, [[1, 0.1], [38 / 127, -0.1 * 25 / 127]], rtol=1e-5)
    np.testing.assert_array_equal(slopes, np.ones((2, 2)))


def test_gradients_pass_the_rounding_inside_its_range():
    import tensorflow as tf

    def gradients(function, x):
        x = tf.Variable(x)
        with tf.GradientTape() as tape:
            y = function(x)
        return y.numpy(), tape.gradient(y, x).numpy()

    check_gradients(gradients)


def rounded_outputs():
    """What a task gives that rounds in ranges of -2 to 2."""
    task = noisy_task("TextClassifier", labels=LABELS)
    aware = task.under(task.spec.replace(quantization=STATIC))
    for path, weight in weights_by_path(aware).items():
        if path.endswith("_range"):
            weight.assign([-2.0, 2.0])
    return aware.run_batches(aware.encode_examples(SENTENCES), 4)[1][0]["logits"]


def rounded_on_jax(path):
    """What JAX makes of it, for the test below."""
    import jax

    def gradients(function, x):
        return function(x), jax.grad(lambda x: function(x).sum())(x)

    check_gradients(gradients)
    np.save(path, rounded_outputs())


def test_jax_rounds_the_same(tmp_path):
    pytest.importorskip("jax")
    path = str(tmp_path / "logits.npy")
    code = (
        "import sys; sys.path.insert(0, 'tests')\n"
        f"import test_static_int8; test_static_int8.rounded_on_jax({path!r})"
    )
    root, env = Path(__file__).parent.parent, {**os.environ, "KERAS_BACKEND": "jax"}
    subprocess.run([sys.executable, "-c", code], check=True, cwd=root, env=env)
    np.testing.assert_allclose(np.load(path), rounded_outputs(), atol=1e-3)


def test_layers_are_sorted_by_what_their_rounding_costs():
    aware, report = quantize_aware(classifier(), SENTENCES)
    before = outputs_of(aware)
    weights_by_path(aware)[f"{OUTLIER}/output_range"].assign([-1e-2, 1e-2])
    found = sensitivity(aware, SENTENCES)
    assert list(found["static"])[0] == OUTLIER and set(found["static"]) == set(report["layers"])
    assert set(found["weights"]) == {*report["layers"], *report["dynamic"]}
    costs = list(found["static"].values())
    assert costs == sorted(costs, reverse=True) and found["together"] > 0.5 * costs[0] > 0
    aware, report = quantize_aware(aware, SENTENCES, dynamic=["*/down", "head/*"])
    assert OUTLIER in report["dynamic"] and OUTLIER not in report["layers"]
    assert distance(before, outputs_of(aware)) < 0.05


def test_as_few_layers_as_may_be_are_left_dynamic():
    task = classifier()
    scan = Scan(task, SENTENCES)
    costly = [path for path in scan.by_layer() if not path.startswith("head/")]
    most = 0.7 * scan.error(costly)
    aware, report = mixed(task, SENTENCES, most)
    left = [path for path in report["dynamic"] if not path.startswith("head/")]
    assert set(left) == set(costly[: len(left)]) and 0 < len(left) < len(costly)
    assert report["error"] <= most < scan.error(costly[len(left) - 1 :])
    assert distance(outputs_of(task), outputs_of(aware)) <= 2 * most
    with pytest.raises(kzoo.KzooError, match="Got most=0.0; the ranges of .* alone move"):
        mixed(task, SENTENCES, 0.0)


# -- what can't be ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda t, p: quantize_aware(t, []), "at least one"),
        (lambda t, p: quantize_aware(t, "a film"), "expected a list"),
        (lambda t, p: quantize_aware(t, [3]), "3"),
        (lambda t, p: quantize_aware(t, SENTENCES, dynamic=["*/sideways"]), "no layer has"),
        (lambda t, p: quantize_aware(t.backbone, SENTENCES), "Got a Bert for calibration"),
        (lambda t, p: kzoo.export_litert(t.backbone, p, "int8_static"), "expected a task"),
        (lambda t, p: kzoo.export_litert(t, p, "int8", calibration=SENTENCES), "or choose int8_"),
        (lambda t, p: kzoo.export_litert(t, p, STATIC, compat="tflite-2.16"), "expected int8"),
        (lambda t, p: kzoo.export_litert(t, p, STATIC, calibration=[]), "at least one"),
    ],
)  # fmt: skip
def test_what_can_not_be_is_said(call, words, tmp_path):
    with pytest.raises(kzoo.KzooError, match=words):
        call(noisy_task("TextClassifier", labels=LABELS), tmp_path / "model.tflite")
    assert not list(tmp_path.iterdir())


def test_a_task_that_rounds_becomes_no_other_file(tmp_path):
    task = noisy_task("TextClassifier", labels=LABELS)
    bare = task.under(task.spec.replace(quantization="int8_static"))
    for wanted, words in (("int8", "expected int8_static"), ("int8_static", "calibrate it")):
        with pytest.raises(kzoo.KzooError, match=words):
            kzoo.export_litert(bare, tmp_path / "model.tflite", wanted)
    with pytest.raises(kzoo.KzooError, match="ranges are known"):
        kzoo.export_litert(bare, tmp_path / "m.tflite", "int8_static", calibration=SENTENCES)
    with pytest.raises(kzoo.KzooError, match="quantization"):
        task.spec.replace(quantization=3)
