"""Files for other runtimes: older TFLite, and MediaPipe's tasks."""

import zipfile

import numpy as np
import pytest
from families import one_block
from test_audio_classifier import tiny
from test_litert import classifier, one_row, task, worst
from test_tasks import tokenizer
from tokenizers import Tokenizer as Backend
from tokenizers.models import BPE

import kzoo
from kzoo.answers import probabilities
from kzoo.audio.audio_processor import TYPE
from kzoo.bundle import export_bundle, mediapipe
from kzoo.litert import compat, convert, flatbuffer, metadata
from kzoo.litert.interpreter import Interpreter

GREY = kzoo.ImageProcessor(size=8, mean=(0.5,), std=(0.5,))
TEXTS = ["the film is good", "", "a very dull film", "my dog lives in paris " * 20]


# -- older TFLite -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("family", "name"),
    [("bert", "TextClassifier"), ("albert", "TextEmbedder"), ("roberta", "MaskedLM")],
)
def test_an_older_file_has_the_same_numbers_under_one_scale(family, name, tmp_path):
    model = task(name, family)
    paths = {kind: tmp_path / f"{kind}.tflite" for kind in (None, "tflite-2.14")}
    found = {
        kind: kzoo.export_litert(model, path, "int8", limits={}, compat=kind)["audit"]
        for kind, path in paths.items()
    }
    assert found["tflite-2.14"]["minimum_runtime"]["tflite"] == "2.14.0"
    assert found[None]["minimum_runtime"]["tflite"] == "2.18.0"
    assert found["tflite-2.14"]["partitions"] == 1
    stored = flatbuffer.read_model(paths["tflite-2.14"].read_bytes())
    names = flatbuffer.operator_names()
    for entry in stored.operatorCodes:
        known = {"FULLY_CONNECTED": 9}
        assert entry.version <= known.get(names[flatbuffer.operator_code(entry)], 3)
    for tensor in stored.subgraphs[0].tensors:
        quantization = tensor.quantization
        assert quantization is None or quantization.scale is None or len(quantization.scale) == 1
    new, old = (Interpreter(path) for path in paths.values())
    for length, padded in ((2, 0), (40, 0), (5, 9)):
        columns = one_row(model.spec, length, padded)
        expected = new.run(columns)
        scale = max(float(np.abs(value).max()) for value in expected.values())
        assert worst(expected, old.run(columns)) < 0.01 * scale


def test_activations_follow_the_scales(tmp_path):
    """A fused activation moves behind the multiplication; columns of zeros stay zeros."""
    model = task("TextClassifier", head={"kind": "first", "activation": "relu"})
    kernel = np.array(model.head.hidden.kernel)
    kernel[:, 3] = 0
    model.head.hidden.kernel.assign(kernel)
    kzoo.export_litert(model, tmp_path / "new.tflite", "int8", limits={})
    kzoo.export_litert(model, tmp_path / "old.tflite", "int8", limits={}, compat="tflite-2.16")
    columns = one_row(model.spec, 12)
    new, old = (Interpreter(tmp_path / f"{age}.tflite").run(columns) for age in ("new", "old"))
    assert np.isfinite(old["logits"]).all() and worst(new, old) < 0.01 * np.abs(new["logits"]).max()


def test_what_has_no_older_form_is_refused(tmp_path):
    path = tmp_path / "model.tflite"
    for arguments, words in (
        (("int8_int4_table", "tflite-2.16"), "choose int8"),
        (("int8", "tflite-1.0"), "one of tflite-2.14, tflite-2.16"),
    ):
        with pytest.raises(kzoo.KzooError, match=words):
            kzoo.export_litert(classifier(), path, arguments[0], compat=arguments[1])
    kzoo.export_litert(classifier(), path, "float32")
    model = flatbuffer.read_model(path.read_bytes())
    model.operatorCodes[0].version = 99
    with pytest.raises(kzoo.KzooError, match="version 99"):
        compat.rewritten(flatbuffer.write_model(model), "tflite-2.14")
    assert [p.name for p in tmp_path.iterdir()] == ["model.tflite"]


# -- MediaPipe ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def preset(tmp_path_factory):
    folder = tmp_path_factory.mktemp("mediapipe") / "tiny"
    classifier(max_length=24).save_preset(folder)
    return folder


def test_a_bundle_for_mediapipe_and_an_older_runtime(preset, tmp_path, monkeypatch):
    graphs, function = [], convert._function
    monkeypatch.setattr(convert, "_function", lambda *a: graphs.append(a[1]) or function(*a))
    changes = {"mediapipe": True, "compat": "tflite-2.14", "quantization": "int8", "limits": {}}
    report = kzoo.export_recipe(preset, tmp_path / "bundle", changes=changes)
    path = tmp_path / "bundle" / mediapipe.FILE
    kzoo.verify_bundle(tmp_path / "bundle")
    assert graphs == ["serve"], "three files of one trace"
    assert report["length"] == report["mediapipe"]["length"] == 24
    assert report["compat"]["usual_runtime"]["tflite"] == "2.18.0"
    page = (tmp_path / "bundle" / "report.html").read_text()
    assert "For older runtimes" in page and "For MediaPipe" in page
    differ = report["mediapipe"]["tokenizer"]["languages"]
    assert 0 < differ["differ"] < differ["texts"]

    with zipfile.ZipFile(path) as archive:
        assert all(entry.compress_type == zipfile.ZIP_STORED for entry in archive.infolist())
        pieces = archive.read("vocab.txt").decode().split("\n")
        assert archive.read("labels.txt") == b"negative\npositive\n"
    assert all(pieces[number] == piece for piece, number in tokenizer().vocabulary.items())
    assert len(pieces) - 1 == len(set(pieces)) - 1 == tokenizer().vocabulary_size
    model = flatbuffer.read_model(path.read_bytes())
    (entry,) = [entry for entry in model.metadata if entry.name == metadata.NAME]
    data = bytes(model.buffers[entry.buffer].data)
    assert data[4:8] == b"M001"
    graph = model.subgraphs[0]
    named = {m.tensorIndex: m.name.decode() for m in model.signatureDefs[0].inputs}
    at = [data.index(mediapipe.INPUTS[named[index]].encode() + b"\0") for index in graph.inputs]
    assert (
        len(set(at)) == 3
        and [graph.tensors[i].shape.tolist() for i in graph.inputs] == [[1, 24]] * 3
    )

    interpreter, own = Interpreter(path), Interpreter(tmp_path / "bundle" / "model.tflite")
    for text in TEXTS:
        outputs, columns, _ = own.run_text(tokenizer(), text, max_length=24)
        scores = interpreter.run(columns)["scores"]
        np.testing.assert_allclose(scores, probabilities(outputs["logits"]), atol=1e-6)


def test_a_family_without_segments_gets_a_third_input(tmp_path):
    model = task("TextEmbedder", "distilbert")
    kzoo.export_litert(model, tmp_path / "model.tflite", length=16)
    content = (tmp_path / "model.tflite").read_bytes()
    path = tmp_path / "mediapipe.tflite"
    path.write_bytes(mediapipe.rewritten(content, "tiny", mediapipe.TEXTS, model.tokenizer))
    columns = one_row(model.spec, 9, 7)
    found = Interpreter(path).run({**columns, "segment_ids": np.zeros((1, 16), "int32")})
    assert worst(Interpreter(tmp_path / "model.tflite").run(columns), found) == 0
    single = task("TextClassifier", labels=["spam"])
    kzoo.export_litert(single, tmp_path / "model.tflite", length=16)
    content = (tmp_path / "model.tflite").read_bytes()
    path.write_bytes(
        mediapipe.rewritten(content, "tiny", mediapipe.TEXTS, model.tokenizer, ["spam"])
    )
    columns = one_row(single.spec, 9, 7)
    expected = probabilities(Interpreter(tmp_path / "model.tflite").run(columns)["logits"])
    np.testing.assert_allclose(Interpreter(path).run(columns)["scores"], expected, atol=1e-6)


def test_mediapipes_tokenizer_differs_where_it_is_known_to():
    own = tokenizer()
    same = ["The FILM is good.", "a\tfilm\n is good", "", "zebra?"]
    other = ["z\u00e9bra", "É", "a\u0000film", "a\u00a0film"]
    assert mediapipe.difference(own, same) == {"texts": 4, "differ": 0, "example": None}
    for text in other:
        assert mediapipe.difference(own, [text])["example"] == text


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda t: ("candidates", t, 16), "answers by candidates"),
        (lambda t: ("single_label", t, None), "--length 128"),
        (lambda t: ("single_label", replaced(t, '"lowercase": true', '"lowercase": false'), 16),
         "cased"),
        (lambda t: ("single_label", kzoo.Tokenizer(Backend(BPE({"a": 0}, []))), 16), "has BPE"),
        (lambda t: ("single_label", left(t), 16), "truncation_side"),
        (lambda t: ("single_label", replaced(t, '"content": "[MASK]"', '"content": "film"'), 16),
         "added tokens.*'film'"),
        (lambda t: ("single_label", t, 16, "query: "), "'query: '"),
    ],
)  # fmt: skip
def test_what_mediapipe_can_not_do_is_refused(change, words):
    with pytest.raises(kzoo.KzooError, match=words):
        mediapipe.check("text", *change(tokenizer()))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("pair", "single_label", None, 16), "one text at a time"),
        (("image", "multi_label", None, None), "single_label or embedding.*ImageClassifier"),
        (("image", "single_label", GREY, None), "in colour"),
        (("sound", "embedding", None, None), "single_label.*AudioClassifier"),
        (("sound", "single_label", kzoo.AudioProcessor({TYPE: "ASTFeatureExtractor"}), None),
         "silence"),
    ],
)  # fmt: skip
def test_what_mediapipe_has_no_task_for_is_refused(arguments, words):
    with pytest.raises(kzoo.KzooError, match=words):
        mediapipe.check(*arguments)


def left(own):
    own.truncation_side = "left"
    return own


def replaced(own, old, new):
    text = own.to_json()
    assert old in text
    return kzoo.Tokenizer.from_json(text.replace(old, new))


def picture_task(name, **options):
    processor = kzoo.ImageProcessor(size=(12, 8), mean=(0.4, 0.5, 0.6), std=(0.2, 0.3, 0.4))
    return getattr(kzoo, name)(one_block("vit"), image_processor=processor, **options)


def u16(data, at):
    return int.from_bytes(data[at : at + 2], "little")


def u32(data, at):
    return int.from_bytes(data[at : at + 4], "little")


def field(data, table, slot):
    """Where a field of a flatbuffer's table lies; what it points at is at `at + u32(data, at)`."""
    vtable = table - int.from_bytes(data[table : table + 4], "little", signed=True)
    return table + u16(data, vtable + 4 + 2 * slot)


def way(data, table, *slots):
    """The table at the end of fields that point at tables or at vectors of one table."""
    for slot, is_vector in slots:
        at = field(data, table, slot)
        table = at + u32(data, at)
        if is_vector:
            assert u32(data, table) == 1
            table = table + 4 + u32(data, table + 4)
    return table


@pytest.mark.parametrize(
    ("task", "kind", "union", "numbers"),
    [
        (lambda: picture_task("ImageClassifier", labels=["cat", "dog"]), "image", 2, (8, 12)),
        (lambda: picture_task("ImageEmbedder"), "image", 2, (8, 12)),
        (tiny, "sound", 4, (16000, 1)),
    ],
    ids=["pictures", "vectors of pictures", "sounds"],
)
def test_a_file_for_mediapipe_says_what_its_input_holds(task, kind, union, numbers, tmp_path):
    """The schema's slots: graph 3, input 2, content 3; of pictures the size is one table deeper."""
    own, file = tmp_path / "own.tflite", tmp_path / "file.tflite"
    model, client = task(), mediapipe.client_file(kind)
    kzoo.export_litert(model, own)
    processor = model.processor(model.processor_kind)
    file.write_bytes(mediapipe.rewritten(own.read_bytes(), "tiny", client, processor, model.labels))
    stored = flatbuffer.read_model(file.read_bytes())
    (entry,) = [entry for entry in stored.metadata if entry.name == metadata.NAME]
    data = bytes(stored.buffers[entry.buffer].data)
    content = way(data, u32(data, 0), (3, True), (2, True), (3, False))
    assert data[field(data, content, 0)] == union
    table = way(data, content, (1, False))
    if kind == "image":
        assert data[field(data, table, 0)] == 1  # red, green, blue
        table = way(data, table, (1, False))
    assert tuple(u32(data, field(data, table, slot)) for slot in (0, 1)) == numbers

    one, other = Interpreter(own), Interpreter(file)
    columns = {
        name: np.random.default_rng(0).integers(0, 9, shape) for name, shape in one.shapes.items()
    }
    (expected,), (actual,) = one.run(columns).values(), other.run(columns).values()
    if model.labels:
        expected = probabilities(expected)
        with zipfile.ZipFile(file) as archive:
            assert archive.read("labels.txt").decode() == "\n".join(model.labels) + "\n"
    np.testing.assert_allclose(actual, expected, atol=1e-6)


def test_a_bundle_of_pictures_for_mediapipe_proves_itself(tmp_path):
    model = picture_task("ImageClassifier", labels=["cat", "dog"])
    report = export_bundle(model, tmp_path / "bundle", "float32", recipe={"mediapipe": True})
    written = report["mediapipe"]
    assert written["task"] == "ImageClassifier" and written["size"] == [12, 8]
    assert written["largest_difference"] < 1e-6 and not written["crops"]
    kzoo.verify_bundle(tmp_path / "bundle")
    assert "12 x 8 pixels" in (tmp_path / "bundle" / "report.html").read_text()
