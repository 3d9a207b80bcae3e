"""Folders with a folder for each class: `kzoo train` and `kzoo evaluate` read them."""

import csv
import json
import re
import shutil
from pathlib import Path

import keras
import numpy as np
import pytest
from families import one_block
from PIL import Image
from test_audio_classifier import tiny, tone
from test_cli import assert_one_sentence
from test_sounds import wav

import kzoo
from kzoo import presets
from kzoo.bundle import export_bundle
from kzoo.cli import main
from kzoo.errors import KzooError
from kzoo.images.image_processor import ImageProcessor

README = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")
RECIPES = re.findall(r"```json\n(.*?)```", README, re.DOTALL)
RECIPES = [recipe for recipe in RECIPES if "output" in json.loads(recipe)]  # of trainings
RECIPES = [recipe for recipe in RECIPES if "steps" not in json.loads(recipe)]  # test_steps.py
LEARNING = {"epochs": 8, "batch_size": 8, "learning_rate": 3e-3, "warmup": 0.0}


def write_pictures(folder):
    draw = np.random.default_rng(0)
    for channel, label in ((2, "blue"), (0, "red")):
        (folder / label).mkdir(parents=True)
        for number in range(8):
            picture = draw.integers(0, 60, (14, 17, 3)).astype("uint8")
            picture[..., channel] += 150
            Image.fromarray(picture).save(folder / label / f"{number}.png")


def write_sounds(folder):
    for label, frequency in (("high", 4000), ("low", 300)):
        (folder / label).mkdir(parents=True)
        for seed in range(8):
            sound = tone(frequency * (1 + 0.02 * seed), seed)
            (folder / label / f"{seed}.wav").write_bytes(wav(sound))


def untrained_pictures():
    processor = ImageProcessor(size=(12, 8))
    return kzoo.ImageClassifier(one_block("vit"), ["a", "b"], image_processor=processor)


SENSES = {
    "image": (write_pictures, untrained_pictures, [{"kind": "RandomFlip", "mode": "horizontal"}]),
    "sound": (write_sounds, tiny, {"kind": "SpecAugment", "longest_time": 1}),
}


@pytest.fixture(scope="module", params=SENSES)
def learned(request, tmp_path_factory):
    """What reads, a folder with data and a preset, and what a recipe made of them."""
    folder = tmp_path_factory.mktemp("learned")
    write, make, augment = SENSES[request.param]
    write(folder / "data")
    keras.utils.set_random_seed(0)
    make().save_preset(folder / "start")
    recipe = {"model": "start", "train": "data", "validation": 0.25, "output": "trained"}
    recipe = {**recipe, **LEARNING, "augment": augment}
    (folder / "recipe.json").write_text(json.dumps(recipe))
    task, history = kzoo.train(folder / "recipe.json", verbose=0)
    return request.param, folder, task, history


def test_a_recipe_learns_from_a_folder(learned):
    sense, folder, task, history = learned
    labels = sorted(path.name for path in (folder / "data").iterdir())
    assert kzoo.load(folder / "trained").labels == task.labels == labels
    assert history.history["val_accuracy"][-1] == 1
    read = json.loads((folder / "trained" / "training.json").read_text())["data"]
    assert read["train"]["kind"] == "a folder for each class"
    assert read["train"]["labels"] == dict.fromkeys(labels, 6)
    assert read["validation"]["labels"] == dict.fromkeys(labels, 2)
    # Its own folder is written anew.
    recipe = json.loads((folder / "recipe.json").read_text())
    recipe = {**recipe, "epochs": 1, "head": "mean", "validation": "data"}
    for key in ("model", "train", "validation"):
        recipe[key] = str(folder / recipe[key])
    shutil.copytree(folder / "trained", folder / "again")
    kzoo.train({**recipe, "output": str(folder / "again")}, verbose=0)


@pytest.fixture
def here(capfd):
    """Run a command in this process: (code, stdout, stderr)."""

    def run(*arguments):
        capfd.readouterr()
        with pytest.raises(SystemExit) as left:
            main([*map(str, arguments)])
        return left.value.code, *capfd.readouterr()

    return run


@pytest.mark.parametrize("kind", ["preset", "bundle"])
def test_evaluate_measures_on_a_folder(learned, kind, tmp_path):
    sense, folder, task, _ = learned
    source = folder / "trained"
    if kind == "bundle":
        if keras.backend.backend() != "tensorflow":
            pytest.skip("a bundle is exported on TensorFlow")
        source = tmp_path / "bundle"
        export_bundle(task, source, "float32")
    shutil.copytree(folder / "data", tmp_path / "data")
    one, other = task.labels
    shutil.move(next((tmp_path / "data" / one).iterdir()), tmp_path / "data" / other / "x.wav")
    (moved,) = (tmp_path / "data" / other).glob("x.*")
    if sense == "image":
        moved = moved.rename(moved.with_suffix(".png"))
    result = kzoo.evaluate(source, tmp_path / "data", output=tmp_path / "out")
    assert result["examples"] == 16 and result["scores"]["accuracy"] == 15 / 16
    assert result["confusion"] == {"labels": [one, other], "counts": [[7, 0], [1, 8]]}
    (wrong,) = result["wrong"]
    assert wrong.pop("score") > 0.5
    line = f"{other}/{moved.name}"
    assert wrong == {"line": line, sense: str(moved), "right": other, "given": one}
    with open(tmp_path / "out" / "wrong.csv", newline="", encoding="utf-8") as file:
        assert [row["line"] for row in csv.DictReader(file)] == [line]
    assert (tmp_path / "out" / "confusion.png").is_file()
    # A table names the same files.
    files = (tmp_path / "data").rglob("*.*")
    rows = [f"{file.relative_to(tmp_path)},{file.parent.name}\n" for file in files]
    (tmp_path / "table.csv").write_text("".join(["where,label\n", *rows]))
    again = kzoo.evaluate(source, tmp_path / "table.csv", text="where")
    assert again["scores"] == result["scores"]


def test_the_command_shows_which_files_are_wrong(learned, here, tmp_path):
    sense, folder, task, _ = learned
    shutil.copytree(folder / "data", tmp_path / "data")
    one, other = task.labels
    file = next((tmp_path / "data" / one).iterdir())
    file.rename(tmp_path / "data" / other / f"moved{file.suffix}")
    code, out, err = here("evaluate", folder / "trained", tmp_path / "data")
    assert code == 0, err
    assert f"{other}/moved{file.suffix}" in out and sense in out
    code, out, err = here("evaluate", folder / "trained", tmp_path / "data", "--json")
    assert json.loads(out)["read"]["unit"] == "file"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("missing", "doesn't exist"),
        ("empty_class", "expected some of each class"),
        ("no_classes", "expected a folder for each class"),
        ("other_class", "expected one of"),
    ],
)
def test_bad_folders_are_one_sentence(learned, here, tmp_path, name, words):
    _, folder, task, _ = learned
    data = tmp_path / "data"
    if name != "missing":
        shutil.copytree(folder / "data", data)
    if name == "empty_class":
        (data / "none").mkdir()
    if name == "no_classes":
        data = data / task.labels[0]
    if name == "other_class":
        (data / task.labels[0]).rename(data / "else")
    assert_one_sentence(here("evaluate", folder / "trained", data), words)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"train": "none"}, "doesn't exist"),
        ({"train": "one"}, "has the one label"),
        ({"augment": "Chess"}, "Got the kind 'Chess' in augment; expected"),
        ({"augment": "Chess", "train": "none"}, "Got the kind 'Chess' in augment; expected"),
        ({"augment": 5}, "augment in the recipe is 5"),
        ({"max_length": 8}, "max_length in the recipe means nothing to"),
        ({"text": "path"}, "text in the recipe means nothing to"),
        ({"image_size": "large"}, "image_size in the recipe is 'large'"),
    ],
)
def test_bad_recipes_of_folders_write_nothing(learned, tmp_path, changes, words):
    sense, folder, task, _ = learned
    shutil.copytree(folder / "data" / task.labels[0], folder / "one" / "a", dirs_exist_ok=True)
    recipe = {"model": "start", "train": "data", "output": str(tmp_path / "out"), **changes}
    path = folder / "bad.json"
    path.write_text(json.dumps(recipe))
    with pytest.raises(KzooError, match=words):
        kzoo.train(path, verbose=0)
    assert not list(tmp_path.iterdir())


def test_a_recipe_mixes_pictures_of_another_size_for_a_backbone(tmp_path):
    """A backbone whose processor reads pictures becomes a classifier of pictures."""
    write_pictures(tmp_path / "data")
    backbone = one_block("vit")
    backbone.processors = {"image_processor": ImageProcessor(size=(12, 8))}
    kzoo.save_preset(backbone, tmp_path / "start")
    fields = {"model": str(tmp_path / "start"), "train": str(tmp_path / "data")}
    fields |= {"output": str(tmp_path / "out"), "epochs": 1, "image_size": [16, 12]}
    task, history = kzoo.train({**fields, "augment": ["RandomFlip", "MixUp"]}, verbose=0)
    _, plain = kzoo.train({**fields, "output": str(tmp_path / "plain")}, verbose=0)
    assert plain.history["loss"] != history.history["loss"]
    assert type(task) is kzoo.ImageClassifier and task.array_shape == (16, 12, 3)
    assert type(task.loss) is keras.losses.CategoricalCrossentropy
    assert kzoo.load(tmp_path / "out").image_processor.shape == (16, 12, 3)


@pytest.mark.parametrize("recipe", RECIPES, ids=[json.loads(each)["output"] for each in RECIPES])
def test_the_recipes_of_the_readme_run_as_they_stand_there(recipe, tmp_path):
    write_pictures(tmp_path / "train")
    write_pictures(tmp_path / "val")
    rows = [f"a {word} film\t{word}\n" for word in ("positive", "negative")] * 10
    (tmp_path / "train.tsv").write_text("sentence\tlabel\n" + "".join(rows))
    (tmp_path / "corpus.txt").write_text("To be, or not to be.\n" * 20)
    writer = presets.shipped("presets") / "gpt2_tiny_en.shakespeare"
    shutil.copytree(writer, tmp_path / "my_gpt")
    (tmp_path / "recipe.json").write_text(recipe)
    task, history = kzoo.train(tmp_path / "recipe.json", verbose=0)
    assert np.isfinite(history.history["loss"]).all()
    assert type(kzoo.load(tmp_path / json.loads(recipe)["output"])) is type(task)


def test_augment_by_name_is_the_layer_in_fit_and_in_a_recipe():
    """Its arguments are written as a recipe has them."""
    written = {"kind": "RandomFlip", "mode": "vertical"}
    losses = []
    for augment in (keras.layers.RandomFlip("vertical"), written, [written], "RandomFlip"):
        keras.utils.set_random_seed(0)
        task = untrained_pictures()
        task.compile(run_eagerly=True)  # A trace takes longer than a step.
        pictures = np.random.default_rng(0).integers(0, 256, (8, 12, 8, 3)).astype("uint8")
        history = task.fit(pictures, ["a", "b"] * 4, augment=augment, verbose=0)
        losses.append(history.history["loss"])
    assert losses[0] == losses[1] == losses[2] != losses[3]
    expected = 'without factor; expected {"kind": "RandomRotation", "factor": VALUE}.'
    with pytest.raises(KzooError, match=re.escape(expected)):
        task.fit(pictures, ["a", "b"] * 4, augment="RandomRotation", verbose=0)
    with pytest.raises(KzooError, match="which it doesn't take: Unrecognized keyword arguments"):
        task.named_augment({**written, "angle": 3})
