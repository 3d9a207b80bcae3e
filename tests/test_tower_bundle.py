"""A bundle of two towers: each proves itself, and together they answer as Keras does."""

import json
import shutil

import numpy as np
import pytest
from PIL import Image
from test_image_text import clip, coloured, embedder
from test_tasks import tokenizer

import kzoo
from kzoo.bundle import export_bundle
from kzoo.bundle.towers import TowersPredictor
from kzoo.cli import main

LABELS = ["good", "bad", "dog"]
TEMPLATES = ["a {} film", "my {}"]


@pytest.fixture(scope="module")
def task():
    return kzoo.ZeroShotImageClassifier(embedder(), labels=LABELS, templates=TEMPLATES)


@pytest.fixture(scope="module")
def made(task, tmp_path_factory):
    folder = tmp_path_factory.mktemp("bundle") / "two"
    return folder, export_bundle(task, folder, "float32")


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pictures")
    for number, (picture, _) in enumerate(coloured(6)):
        Image.fromarray(picture).save(folder / f"{number}.png")
    return folder


@pytest.fixture
def run(capfd):
    def run(*arguments):
        capfd.readouterr()
        with pytest.raises(SystemExit) as left:
            main([*map(str, arguments)])
        return left.value.code, *capfd.readouterr()

    return run


def test_labels_get_the_probabilities_of_keras(task, made, pictures):
    predictor = TowersPredictor(made[0])
    answers = predictor.classify(pictures)
    expected = task.predict(pictures)
    for answer, row, path in zip(answers, expected, sorted(pictures.iterdir()), strict=True):
        assert answer["image"] == str(path) and answer["label"] == LABELS[row.argmax()]
        np.testing.assert_allclose(list(answer["scores"].values()), row, atol=1e-5)
    others = kzoo.ZeroShotImageClassifier(task, labels=["a film", "who"], templates=["{}"])
    (row,) = others.predict([pictures / "0.png"])
    (answer,) = predictor.classify(pictures / "0.png", ["a film", "who"])
    np.testing.assert_allclose(list(answer["scores"].values()), row, atol=1e-5)


def test_a_search_finds_what_keras_finds(task, made, pictures):
    found = TowersPredictor(made[0]).search("my dog", pictures, top=3)
    scores = task.similarities(sorted(pictures.iterdir()), ["my dog"])[:, 0]
    assert [each["index"] for each in found] == list(np.argsort(-scores)[:3])
    np.testing.assert_allclose(
        [each["score"] for each in found], np.sort(-scores)[:3] * -1, atol=1e-5
    )
    assert found[0]["image"] == str(sorted(pictures.iterdir())[found[0]["index"]])


def test_each_tower_is_a_bundle_with_examples_of_its_own_sense(made):
    folder, report = made
    checks = {row["check"]: row["found"] for row in kzoo.verify_bundle(folder)["checks"]}
    assert "12 resized" in checks["image: golden examples"]
    assert "12 tokenized" in checks["text: golden examples"]
    assert report["together"]["same_nearest"] == 1
    assert report["together"]["cosine_difference_max"] < 1e-5
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert "pictures of 8 x 8 pixels" in page and "1 to 40 tokens" in page
    vector = kzoo.predict_bundle(folder / "text", "a dog")[0]["embedding"]
    assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("what", ["scale", "report", "tower", "other"])
def test_what_was_changed_is_noticed(made, tmp_path, what):
    folder = tmp_path / "changed"
    shutil.copytree(made[0], folder)
    if what == "scale":
        together = json.loads((folder / "towers.json").read_text())
        (folder / "towers.json").write_text(json.dumps({**together, "scale": 1.0}, indent=1))
    elif what == "report":
        (folder / "report.json").write_text("{}")
    elif what == "tower":  # A whole bundle, but another one.
        shutil.rmtree(folder / "text")
        shutil.copytree(folder / "image", folder / "text")
    else:
        (folder / "more.txt").write_text("more")
    with pytest.raises(kzoo.KzooError, match="changed|isn't the one|no export writes"):
        kzoo.verify_bundle(folder)


def test_int8_states_its_drop_and_is_held_to_limits(tmp_path):
    report = export_bundle(embedder(), tmp_path / "int8", "int8", limits={"cosine": 0.99})
    for own in report["towers"].values():
        assert own["quantization"] == "int8" and 0.99 < own["parity"]["cosine"] < 1
    assert 0 < report["together"]["cosine_difference_max"] < 0.1
    with pytest.raises(kzoo.KzooError, match="misses the limit cosine"):
        export_bundle(embedder(), tmp_path / "none", "int8", limits={"cosine": 0.9999999})
    assert not (tmp_path / "none").exists()


def test_the_command_line_names_searches_and_draws(run, made, pictures, tmp_path):
    folder = made[0]
    words = ["--label", "good", "--label", "bad", "--json", "--draw", tmp_path / "drawn"]
    code, out, err = run("predict", folder, pictures / "1.png", *words)
    assert (code, err) == (0, "")
    (answer,) = json.loads(out)
    assert sorted(answer["scores"]) == ["bad", "good"] and (tmp_path / "drawn/1.png").is_file()
    code, out, _ = run("predict", folder, pictures, "--search", "a dog", "--top", 2)
    assert code == 0 and out.count(".png") == 2
    for arguments, message in [
        ((pictures / "none.png",), "none.png doesn't exist"),
        ((pictures, "--search", "dog " * 99), "longer than the 40 tokens"),
        ((pictures, "--label", "a", "--label", "a"), "each once"),
        ((pictures, "--search", "a", "--label", "a"), "--search and --label"),
        ((pictures, "--pair"), "--pair"),
        (("a red dog", pictures / "1.png"), "a text stands behind --search or --label"),
    ]:
        code, out, err = run("predict", folder, *arguments)
        assert (code, out) == (2, "") and message in err and err.count("\n") == 1
    code, _, err = run("predict", folder / "image", pictures, "--label", "a")
    assert code == 2 and "expected a bundle of pictures and texts" in err


def test_it_is_measured_on_a_folder_of_classes_as_in_keras(run, task, made, tmp_path):
    for number, (picture, text) in enumerate(coloured(12)):
        name = text.removeprefix("a ")
        if name in LABELS:
            (tmp_path / "data" / name).mkdir(parents=True, exist_ok=True)
            Image.fromarray(picture).save(tmp_path / "data" / name / f"{number}.png")
    right = [path.parent.name for path in sorted((tmp_path / "data").rglob("*.png"))]
    given = [LABELS[row.argmax()] for row in task.predict(tmp_path / "data")]
    accuracy = np.mean(np.equal(right, given))
    task.save_preset(tmp_path / "preset")
    for source in (task, tmp_path / "preset", made[0]):
        result = kzoo.evaluate(source, tmp_path / "data")
        assert result["scores"]["accuracy"] == pytest.approx(accuracy)
        assert result["confusion"]["labels"] == LABELS and result["examples"] == 9
        assert len(result["wrong"]) == 9 - sum(map(np.equal, right, given))
    code, out, err = run("evaluate", made[0], tmp_path / "data", "--output", tmp_path / "out")
    assert code == 0 and (tmp_path / "out" / "confusion.png").is_file(), err
    export_bundle(embedder(), tmp_path / "unnamed", "float32")
    embedder().save_preset(tmp_path / "bare")
    for name in ("unnamed", "bare"):
        code, out, err = run("evaluate", tmp_path / name, tmp_path / "data")
        assert (code, out) == (2, "") and "ImageTextEmbedder, which has no labels" in err
    (tmp_path / "data" / "good").rename(tmp_path / "data" / "cow")
    with pytest.raises(kzoo.KzooError, match="cow"):
        kzoo.evaluate(made[0], tmp_path / "data")


def test_what_makes_no_bundle_of_towers_is_one_sentence(task, tmp_path):
    for given, recipe, message in [
        (task, {"mediapipe": True}, "mediapipe for a ZeroShotImageClassifier"),
        (kzoo.ImageTextEmbedder(clip(), tokenizer=tokenizer()), {}, "image_processor|image proc"),
    ]:
        with pytest.raises(kzoo.KzooError, match=message):
            export_bundle(given, tmp_path / "none", recipe=recipe)
    assert not (tmp_path / "none").exists()


def test_clients_are_held_against_one_tower_at_a_time(made):
    from kzoo.bundle.clients import compare

    folder, _ = made
    with pytest.raises(kzoo.KzooError, match="two towers.*one by one: give .*image, then .*text"):
        compare(folder)
