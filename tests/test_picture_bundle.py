"""A bundle of pictures proves itself as one of texts does, and answers as Keras."""

import json
import subprocess
import sys

import numpy as np
import pytest
from families import SPECS, add_noise, one_block
from PIL import Image

import kzoo
from kzoo.bundle import export_bundle, senses
from kzoo.bundle.manifest import write_manifest
from kzoo.images.image_processor import ImageProcessor

SPEC = SPECS["vit"].replace(
    embedding={"kind": "patch", "image_size": [32, 24], "patch_size": 8},
    max_sequence_length=13,
    pooler="none",
)


@pytest.fixture(scope="module")
def task():
    backbone = one_block(
        "vit", **{k: getattr(SPEC, k) for k in ("embedding", "max_sequence_length", "pooler")}
    )
    processor = ImageProcessor(size=(32, 24), mean=(0.4, 0.5, 0.6), std=(0.2, 0.3, 0.4))
    made = kzoo.ImageClassifier(backbone, labels=["cat", "dog", "owl"], image_processor=processor)
    return add_noise(made, scale=0.3)


@pytest.fixture(scope="module")
def folder(task, tmp_path_factory):
    """Pictures in a folder for each label that Keras gives them, but for one."""
    folder = tmp_path_factory.mktemp("pictures")
    pieces = senses.SENSES["image"].pieces()
    rows = task.predict(pieces)
    rows[0] = rows[0][::-1]
    for place, (piece, row) in enumerate(zip(pieces, rows, strict=True)):
        (folder / task.labels[row.argmax()]).mkdir(exist_ok=True)
        Image.fromarray(piece).save(folder / task.labels[row.argmax()] / f"{place}.png")
    return folder


@pytest.fixture(scope="module")
def bundle(task, tmp_path_factory):
    folder = tmp_path_factory.mktemp("bundle") / "tiny"
    return folder, export_bundle(task, folder, "float32")


def test_it_answers_as_keras_whatever_a_picture_comes_in(task, bundle):
    path = bundle[0] / "golden_03.png"
    with Image.open(path) as image:
        forms = [str(path), path, path.read_bytes(), image, np.asarray(image)]
        answers = kzoo.predict_bundle(bundle[0], forms)
    expected = task.predict([path])[0]
    assert answers[0]["image"] == answers[1]["image"] == str(path) and answers[2]["image"] is None
    for answer in answers:
        assert answer["label"] == task.labels[expected.argmax()]
        np.testing.assert_allclose(list(answer["scores"].values()), expected, atol=1e-5)
    assert kzoo.predict_bundle(bundle[0], path)[0] == answers[1]


def test_an_embedders_bundle_finds_what_keras_finds(task, folder, tmp_path):
    embedder = kzoo.ImageEmbedder(task)
    export_bundle(embedder, tmp_path / "bundle", "float32")
    query = sorted(folder.glob("*/*.png"))[3]
    found = kzoo.search_bundle(tmp_path / "bundle", query, folder / query.parent.name, top=2)
    expected = embedder.search(query, folder / query.parent.name, top=2)
    assert [each["image"] for each in found] == [each["image"] for each in expected]
    assert found[0]["image"] == str(query) and found[0]["score"] == pytest.approx(1, abs=1e-5)
    (again,) = kzoo.search_bundle(tmp_path / "bundle", [query.read_bytes()], [query], top=1)
    assert again[0]["index"] == 0


def test_it_is_verified_on_its_own_pictures(bundle):
    folder, report = bundle
    found = {row["check"]: row["found"] for row in kzoo.verify_bundle(folder)["checks"]}
    assert "12 resized and run again" in found["golden examples"]
    assert report["audit"]["outside"] == {"CAST": 1} and report["parity"]["label_agreement"] == 1
    reading = json.loads((folder / "kzoo.json").read_text())["reading"]
    assert (reading["resize"], reading["resample"], reading["crop"]) == ([32, 24], "bilinear", None)
    assert reading["decode"]["orientation"] == "exif" and "normalize" in reading["in_file"]
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert page.count("data:image/png;base64,") == 12 and "tokens" not in page


@pytest.mark.parametrize("what", ["pixels", "scale", "order"])
def test_what_was_changed_and_sealed_again_is_noticed(bundle, tmp_path, what):
    """Another picture, other resizing: the golden examples tell, not the checksums alone."""
    import shutil

    folder = tmp_path / "changed"
    shutil.copytree(bundle[0], folder)
    manifest = json.loads((folder / "kzoo.json").read_text())
    expected = "resized"
    if what == "pixels":
        with Image.open(folder / "golden_02.png") as image:
            image.transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(folder / "golden_02.png")
    elif what == "scale":
        path = folder / "preprocessor_config.json"
        config = json.loads(path.read_text())
        config["resample"] = 0
        path.write_text(json.dumps(config))
    else:
        one, other = manifest["golden"][0], manifest["golden"][1]
        one["outputs"], other["outputs"] = other["outputs"], one["outputs"]
        expected = "golden outputs|lies .* off"
    del manifest["files"], manifest["seal"]
    write_manifest(folder, manifest)
    with pytest.raises(kzoo.KzooError, match=expected):
        kzoo.verify_bundle(folder)


def test_an_evaluation_is_a_folder_of_folders(task, folder, tmp_path):
    recipe = {"evaluation": folder}
    report = export_bundle(task, tmp_path / "int8", "int8", None, {"accuracy": 0.9}, recipe)
    found = report["evaluation"]
    assert found["examples"] == 24 and found["accuracy_keras"] == pytest.approx(23 / 24)
    assert "24 pictures of" in report["limits"][-1]["on"] or found["file"] == folder.name
    with pytest.raises(kzoo.KzooError, match="accuracy"):
        export_bundle(task, tmp_path / "missed", "int8", None, {"accuracy": 0.99}, recipe)
    assert not (tmp_path / "missed").exists()


def test_a_recipe_may_ask_for_another_size(tmp_path):
    recipe = tmp_path / "wide.json"
    recipe.write_text('{"preset": "vit_micro_4_28.mnist", "image_size": [28, 36]}')
    kzoo.export_recipe(recipe, tmp_path / "wide")
    manifest = json.loads((tmp_path / "wide" / "kzoo.json").read_text())
    (file,) = manifest["signature"].values()
    assert file["inputs"]["images"]["shape"] == [1, 28, 36, 3]
    assert kzoo.verify_bundle(tmp_path / "wide")["quantization"] == "int8"
    recipe.write_text('{"preset": "vit_micro_4_28.mnist", "image_size": "wide"}')
    with pytest.raises(kzoo.KzooError, match="image_size 'wide'"):
        kzoo.export_recipe(recipe, tmp_path / "none")


def test_what_is_no_picture_is_one_sentence(bundle, tmp_path):
    (tmp_path / "words.png").write_text("no picture")
    for given, message in [
        (tmp_path / "none.png", "none.png"),
        (tmp_path / "words.png", "words.png"),
        ([], "at least one"),
        (7, "expected pictures"),
    ]:
        with pytest.raises(kzoo.KzooError, match=message):
            kzoo.predict_bundle(bundle[0], given)
    with pytest.raises(kzoo.KzooError, match="no image processor"):
        bare = kzoo.ImageClassifier(one_block("vit"), labels=["a", "b"])
        export_bundle(bare, tmp_path / "bare")
    with pytest.raises(kzoo.KzooError, match="of one size"):
        kzoo.export_litert(bare, tmp_path / "x.tflite", length=5)


def test_the_command_line_answers_pictures_without_keras(bundle):
    words = ["kzoo", "predict", str(bundle[0]), str(bundle[0] / "golden_00.png")]
    code = (
        f"import sys\nfrom kzoo.cli import main\nsys.argv = {words!r}\n"
        "try:\n    main()\nexcept SystemExit as end:\n    assert not end.code, end.code\n"
        "assert not {'keras', 'tensorflow'} & set(sys.modules)\n"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert ran.returncode == 0 and "golden_00.png" in ran.stdout, ran.stderr


CLIENT = """import json, sys
from kzoo.bundle import predict_bundle
bundle, shown = sys.argv[2], {shown!r}
for line in sys.stdin.read().splitlines():
    (answer,) = predict_bundle(bundle, [line])
    print(json.dumps({{**answer, **shown}}))
"""


@pytest.mark.parametrize("shown, differing", [({}, 0), ({"label": "cow"}, 12)])
def test_clients_are_given_the_golden_pictures(bundle, tmp_path, monkeypatch, shown, differing):
    from kzoo.bundle import clients

    (tmp_path / "client.py").write_text(CLIENT.format(shown=shown))
    for client in clients.CLIENTS:
        monkeypatch.setenv(client.variable, f"{sys.executable} {tmp_path / 'client.py'}")
    compared = clients.compare(bundle[0], [])
    rows = {row["client"]: row for row in compared["clients"]}
    assert compared["reads"] == "pictures" and rows["Python"]["ids_equal"] is None
    assert rows["JVM"]["texts"] - rows["JVM"]["answers_equal"] == differing
    assert "reads no pictures" in rows["MediaPipe"]["refused"]
