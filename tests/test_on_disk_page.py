"""README's page of other libraries' files: each of its commands, on a small file of its kind."""

import json
import re
from pathlib import Path

import keras
import pytest
import test_on_disk_garden
import test_on_disk_google
import test_on_disk_tfhub
import test_on_disk_transformers
from on_disk_kerashub import write_folder

import kzoo
from kzoo import views
from kzoo.cli import main

README = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")
PAGE = README.partition("## Files that other libraries wrote\n")[2].partition("\n## ")[0]
COMMANDS = re.findall(r"\| `kzoo ([^`]+)` \|$", PAGE, re.MULTILINE)
TRANSFORMERS = test_on_disk_transformers.CASES


def transformers(name):
    return lambda folder: test_on_disk_transformers.written(TRANSFORMERS[name], folder)


def keras_library(library):
    golden = Path(__file__).parent / "golden" / "on_disk" / f"{library}.json"
    cases = json.loads(golden.read_text(encoding="utf-8"))
    case = next(case for case in cases if case["case"] == "bert")
    return lambda folder: write_folder(case, folder)


def made(written):
    """What writes into a folder that is there."""

    def make(folder):
        folder.mkdir()
        written(folder)

    return make


# What lies in each folder that a command of the page reads.
FOLDERS = {
    "tf_bert": transformers("tf_BertForSequenceClassification"),
    "flax_bert": transformers("flax_BertForMaskedLM"),
    "keras_hub_bert": keras_library("kerashub"),
    "keras_bert": keras_library("keras_nlp_0.6.4"),
    "google_bert": made(test_on_disk_google.written),
    "garden_bert": made(test_on_disk_garden.written),
    "saved_bert": made(
        lambda folder: test_on_disk_transformers.checkpoint(TRANSFORMERS["tf_BertModel"], folder)
    ),
    "hub_bert": made(test_on_disk_tfhub.written),
    "gpt2": lambda folder: kzoo.save_preset(
        kzoo.load(transformers("tf_GPT2LMHeadModel")(folder.with_name("source"))), folder
    ),
}


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_of_the_page_does_what_it_says(command, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    words = command.split()
    FOLDERS[words[1].partition("/")[0]](tmp_path / words[1].partition("/")[0])
    with pytest.raises(SystemExit) as left:
        main(words)
    assert left.value.code == 0, capsys.readouterr().err
    if words[0] == "convert":
        assert kzoo.load(words[2]).spec.family == words[1].partition("/")[0].rpartition("_")[2]
        assert (tmp_path / words[2] / "spec.json").is_file() == ("--to" not in words)


def test_a_folder_that_is_none_says_what_is_there_and_one_too_high_which_to_name(tmp_path):
    (tmp_path / "notes").mkdir()
    with pytest.raises(kzoo.KzooError, match="holds notes/, which no format is known by; expected"):
        kzoo.load(tmp_path)
    FOLDERS["hub_bert"](tmp_path / "versions")
    with pytest.raises(kzoo.KzooError, match=r"a folder of some: name one, such as .*/versions\."):
        kzoo.load(tmp_path)


HINTS = {
    "weights alone": ({"tf_model.h5": b""}, "", "expected the model's config.json beside tf_model"),
    "a config alone": ({"config.json": b"{}"}, "", "config.json and no weights of its library"),
    "a file of weights": ({"tf_model.h5": b""}, "tf_model.h5", "give the folder that it lies in"),
    "an archive": ({"bert.tar.gz": b""}, "bert.tar.gz", "unpack it, and give the folder"),
    "a pointer": (
        {"config.json": b"{}", "tf_model.h5": b"version https://git-lfs.github.com/spec/v1\n"},
        "",
        "git lfs pull",
    ),
}


@pytest.mark.parametrize("case", HINTS)
def test_what_is_nearly_a_model_says_what_is_missing(case, tmp_path):
    files, name, hint = HINTS[case]
    for file, content in files.items():
        (tmp_path / file).write_bytes(content)
    with pytest.raises(kzoo.KzooError, match=hint) as caught:
        kzoo.load(tmp_path / name)
    assert len(str(caught.value)) < len(str(tmp_path)) + 300


def test_of_two_formats_the_other_is_named(tmp_path):
    FOLDERS["keras_hub_bert"](tmp_path / "both")
    (tmp_path / "both" / "tf_model.h5").write_bytes(b"")
    found = kzoo.recognised(tmp_path / "both")
    assert found.format.name == "kerashub"
    FOLDERS["tf_bert"](tmp_path / "two")
    test_on_disk_google.written(tmp_path / "two")
    (tmp_path / "two" / "flax_model.msgpack").write_bytes(b"")
    with pytest.warns(UserWarning, match=r"tf_model\.h5 and not flax.*TensorFlow 1.* is not read"):
        kzoo.load(tmp_path / "two")


def test_a_model_of_keras_alone_is_none_of_kzoo(tmp_path):
    keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)]).save(tmp_path / "m.keras")
    for run in (lambda path: kzoo.convert(path, tmp_path / "out"), views.flat):
        with pytest.raises(kzoo.KzooError, match="a Sequential of Keras; expected a backbone"):
            run(tmp_path / "m.keras")


def test_the_page_has_every_format():
    assert len(COMMANDS) == 11
