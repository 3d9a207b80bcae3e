"""Files for GPU delegates: the same numbers in operators that they take, and what they refuse."""

import json

import numpy as np
import pytest
import tensorflow as tf
from families import SPECS, add_noise, one_block
from test_audio_classifier import tiny
from test_compat import picture_task
from test_litert import classifier, one_row

import kzoo
from kzoo.bundle import export_bundle
from kzoo.bundle.manifest import read_manifest, write_manifest
from kzoo.litert import gpu
from kzoo.litert.convert import exportable, traced, write_file
from kzoo.litert.flatbuffer import read_model
from kzoo.litert.interpreter import Interpreter
from kzoo.models import build


def written(model, folder, functions=None):
    """A model's usual file and that for a GPU, both of halves, with what their audits say."""
    paths = folder / "usual.tflite", folder / "gpu.tflite"
    with traced(exportable(model), {"length": 16}, functions) as graphs:
        audits = [
            write_file(graphs, path, "float16", partitions=None, target=target)
            for path, target in zip(paths, (None, "gpu"), strict=True)
        ]
    return paths, [audited["gpu"] for audited in audits]


def inputs(path, spec):
    """What goes into a file: ids with padding, or numbers."""
    interpreter = Interpreter(path)
    draw = np.random.default_rng(0)
    if interpreter.shapes is None:
        row = one_row(spec, 12, 4)
        return {name: row[name] for name in interpreter.input_names}
    return {name: draw.integers(0, 99, shape) / 50 for name, shape in interpreter.shapes.items()}


CLIP = "clip"
CASES = {
    "text": (lambda: add_noise(classifier()), None, {"ADD", "EMBEDDING_LOOKUP"}),
    "places counted in the graph": (
        lambda: add_noise(one_block("roberta")), None, {"CUMSUM", "EMBEDDING_LOOKUP"},
    ),
    "text of a pair of towers": (
        lambda: add_noise(build(SPECS[CLIP])), ["text"],
        {"ADD", "EMBEDDING_LOOKUP", "L2_NORMALIZATION", "ONE_HOT"},
    ),
    "picture": (lambda: add_noise(picture_task("ImageEmbedder")), None, set()),
    "sound": (lambda: add_noise(tiny()), None, set()),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_a_file_for_the_gpu_computes_the_same_in_operators_that_it_takes(case, tmp_path):
    make, functions, lacking = CASES[case]
    model = make()
    paths, (usual, found) = written(model, tmp_path, functions)
    assert lacking <= set(usual["refused"]) and found["refused"] == {}
    counts = "CUMSUM" in lacking  # Which whole numbers do.
    assert ("MUL" in found["older"]) == counts and found["stopping"] == {}
    spec = model.towers["text"].spec if functions else getattr(model, "spec", None)
    columns = inputs(paths[0], spec)
    expected, actual = (Interpreter(path).run(columns) for path in paths)
    for name, value in expected.items():
        assert actual[name].shape == value.shape
        np.testing.assert_allclose(actual[name], value, atol=2e-6)


def graph_of(function, *inputs):
    """The model of a function's .tflite file, and its bytes."""
    concrete = tf.function(function).get_concrete_function(*inputs)
    content = tf.lite.TFLiteConverter.from_concrete_functions([concrete]).convert()
    return read_model(content)


WIDE = tf.constant(np.arange(24, dtype="float32").reshape(8, 3))
TABLE = tf.random.normal([100, 8])
REFUSED = {
    "GATHER (1; its ids have more than one axis)": (
        lambda ids: tf.gather(TABLE, ids), [tf.TensorSpec([1, 5], "int32")],
    ),
    "TOPK_V2 (1; the delegate lacks it)": (
        lambda x: tf.math.top_k(x, 3)[0], [tf.TensorSpec([1, 8])],
    ),
    "STRIDED_SLICE (1; it drops an axis)": (lambda x: x[:, 1], [tf.TensorSpec([1, 8, 3])]),
    "ADD (1; it joins rows with a constant of several": (
        lambda x: x + WIDE, [tf.TensorSpec([8, 3])],
    ),
    "64 bits": (lambda x: x * x, [tf.TensorSpec([1, 8], "int64")]),
    "every operator with an open size": (lambda x: x * x, [tf.TensorSpec([1, None])]),
}  # fmt: skip


@pytest.mark.parametrize("words", REFUSED)
def test_what_the_delegate_refuses_is_named(words):
    function, given = REFUSED[words]
    found = gpu.refused(graph_of(function, *given))
    assert words in gpu.words(found) and words in gpu.told(found)
    with pytest.raises(kzoo.KzooError) as error:
        gpu.check_taken(found)
    assert words in str(error.value)


NEWER = {
    "leaves 1 CAST to": (lambda x: tf.cast(x, "float32"), tf.TensorSpec([1, 8], "uint8")),
    "leaves 1 RESHAPE to": (lambda x: tf.reshape(x, [2, 4]), tf.TensorSpec([1, 8], "int32")),
    "none for its 1 CONCATENATION": (
        lambda x: tf.concat([WIDE[None], x], 1), tf.TensorSpec([1, 8, 3]),
    ),
    "none for its 1 EXP": (tf.exp, tf.TensorSpec([8, 3])),
    "and so does TensorFlow Lite's": (tf.exp, tf.TensorSpec([1, 8, 3])),
}  # fmt: skip


@pytest.mark.parametrize("words", NEWER)
def test_what_only_the_newer_delegate_takes_is_told(words):
    found = gpu.refused(graph_of(*NEWER[words]))
    assert found["refused"] == {} and words in gpu.told(found)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("gpu", "int8", None, ["serve"]), "expected float16 or float32"),
        (("gpu", "float16", "tflite-2.14", ["serve"]), "expected one of both"),
        (("gpu", "float16", None, ["prefill", "decode"]), "expected one function"),
        (("npu", "float16", None, ["serve"]), "expected None or gpu"),
    ],
)
def test_what_no_file_for_the_gpu_can_be_is_refused(arguments, words):
    with pytest.raises(kzoo.KzooError, match=words):
        gpu.check_target(*arguments)


def test_a_bundle_for_the_gpu_says_so_and_proves_it(tmp_path):
    model = add_noise(classifier(max_length=16))
    model.save_preset(tmp_path / "preset")
    report = kzoo.export_recipe(tmp_path / "preset", tmp_path / "made", changes={"for": "gpu"})
    assert (report["for"], report["quantization"], report["length"]) == ("gpu", "float16", 16)
    assert "run on no GPU" in (tmp_path / "made" / "report.html").read_text()
    manifest = read_manifest(tmp_path / "made")
    assert manifest["for"] == "gpu" and manifest["delegates"] == report["audit"]["gpu"]
    rows = {row["check"]: row["found"] for row in kzoo.verify_bundle(tmp_path / "made")["checks"]}
    assert rows["GPU"].startswith("LiteRT's GPU delegate takes all of it")

    fields = json.loads((tmp_path / "made" / "kzoo.json").read_text())
    fields["delegates"] = {"refused": {}, "older": {}, "stopping": {}}
    write_manifest(tmp_path / "made", fields)
    with pytest.raises(kzoo.KzooError, match="delegates leave"):
        kzoo.verify_bundle(tmp_path / "made")
    with pytest.raises(kzoo.KzooError, match="--length 128"):
        export_bundle(model, tmp_path / "open", "float16", recipe={"for": "gpu"})
    assert not (tmp_path / "open").exists()


def test_the_usual_file_of_a_text_is_refused_for_its_open_length(tmp_path):
    kzoo.export_litert(classifier(), tmp_path / "model.tflite", "int8", limits={})
    found = gpu.refused(read_model((tmp_path / "model.tflite").read_bytes()))
    assert "every operator with an open size" in gpu.words(found)
