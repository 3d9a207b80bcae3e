"""Presets of KerasHub and KerasNLP: their outputs, from files like their own, and back.

`benchmarks/on_disk/record_kerashub.py` and `record_keras_nlp.py` recorded what these libraries
named, shaped and answered. The weights follow from their names, so the tests write the same files
without them; the parity suite has KerasHub itself read what kzoo writes.
"""

import base64
import json
import shutil
import subprocess
import sys
import warnings
import zipfile
from pathlib import Path

import h5py
import keras
import ml_dtypes
import numpy as np
import pytest
import tokenizers
from on_disk_kerashub import END, SPECIAL, alike, bpe, difference, tensors, write_folder
from typer.testing import CliRunner

import kzoo
from kzoo import presets
from kzoo.checkpoints.config import spec_from_config
from kzoo.checkpoints.h5 import read_h5
from kzoo.checkpoints.kerashub.preset_reading import plain
from kzoo.checkpoints.kerashub.preset_tables import PRESETS
from kzoo.checkpoints.kerashub.preset_weights import write_weights
from kzoo.checkpoints.safetensors import Lazy
from kzoo.cli import app
from kzoo.conversion import convert
from kzoo.errors import KzooError
from kzoo.images.image_processor import ImageProcessor
from kzoo.models import build
from kzoo.network import weights_by_path
from kzoo.presets import read_spec
from kzoo.text import sentencepiece
from kzoo.text.tokenizer import Tokenizer

GOLDEN = Path(__file__).parent / "golden" / "on_disk"
TOLERANCE = 1e-5
NOW, OLD = (
    [
        pytest.param(case, id=f"{library.removesuffix('.json')}-{case['case']}")
        for library in libraries
        for case in json.loads((GOLDEN / library).read_text(encoding="utf-8"))
    ]
    for libraries in (["kerashub.json"], ["keras_nlp_0.6.4.json", "keras_nlp_0.12.1.json"])
)
CASES = {case.values[0]["case"]: case.values[0] for case in NOW}


def outputs(case, part):
    """What the library answered, by name."""
    return {
        name: np.array(held["values"], "float32").reshape(held["shape"])
        for name, held in case["outputs"][part].items()
    }


def values(model):
    """Every weight of a model by its path."""
    return {path: np.asarray(weight) for path, weight in weights_by_path(model).items()}


# -- outputs and round trips -----------------------------------------------------------------------


@pytest.mark.parametrize("case", NOW)
def test_presets_answer_as_in_kerashub_and_go_back_bit_by_bit(case, tmp_path):
    folder = write_folder(case, tmp_path / "there")
    model = presets.load(folder)
    part = "task" if "task" in case["outputs"] else "backbone"
    assert difference(model, case["inputs"], outputs(case, part)) < TOLERANCE

    kzoo.to_kerashub(model, tmp_path / "back")
    assert alike(tensors(folder), tensors(tmp_path / "back"))
    for name in case["config"]:
        own = json.loads((tmp_path / "back" / name).read_text())
        assert own["class_name"] == case["config"][name]["class_name"]
    config = json.loads((tmp_path / "back" / "config.json").read_text())
    assert config["config"].keys() == case["config"]["config.json"]["config"].keys()

    model.origin = None  # As one that kzoo itself trained.
    kzoo.to_kerashub(model, tmp_path / "anew")
    again = kzoo.from_kerashub(tmp_path / "anew")
    assert alike(values(model), values(again))
    assert again.spec == model.spec


@pytest.mark.parametrize("name", ["bert_masked_lm", "t5_gated"])
def test_backbones_are_read_alone(name, tmp_path):
    case = CASES[name]
    backbone = kzoo.from_kerashub(write_folder(case, tmp_path / "there"), task="backbone")
    assert backbone.family in name
    assert difference(backbone, case["inputs"], outputs(case, "backbone")) < TOLERANCE


@pytest.mark.parametrize("case", OLD)
def test_weights_of_keras_nlp_answer_as_there(case, tmp_path):
    model = kzoo.from_kerashub(write_folder(case, tmp_path / "there"))
    (part,) = case["outputs"]
    assert difference(model, case["inputs"], outputs(case, part)) < TOLERANCE


# -- tokenizers and image converters -------------------------------------------------------------

WORDS = "[PAD] [UNK] [CLS] [SEP] [MASK] the quick fox ##es ran . café cafe The".split()  # noqa: SIM905
TEXTS = ["The quick foxes ran.", "café"]


def pieces(folder, special, **ids):
    """A model of SentencePiece."""
    kinds = dict.fromkeys(special, sentencepiece.CONTROL) | {"<unk>": sentencepiece.UNKNOWN}
    rows = [(piece, 0.0, kinds[piece]) for piece in special]
    rows += [(p, -float(i), sentencepiece.NORMAL) for i, p in enumerate(["▁the", "▁", "t", "fox"])]
    (folder / "vocabulary.spm").write_bytes(sentencepiece.serialized(rows, "", **ids))


def words(folder):
    """The file of BERT's vocabulary."""
    (folder / "vocabulary.txt").write_text("\n".join(WORDS) + "\n", encoding="utf-8")


TOKENIZERS = {
    "bert": ("BertTokenizer", words, {"lowercase": True}),
    "distil_bert": ("DistilBertTokenizer", words, {"lowercase": False, "strip_accents": False}),
    "roberta": ("RobertaTokenizer", lambda folder: bpe(folder, SPECIAL), {}),
    "bart": ("BartTokenizer", lambda folder: bpe(folder, SPECIAL), {}),
    "gpt2": ("GPT2Tokenizer", lambda folder: bpe(folder, [END]), {}),
    "bloom": ("BloomTokenizer", lambda folder: bpe(folder, SPECIAL), {}),
    "clip": (
        "CLIPTokenizer",
        lambda folder: bpe(folder, ["<|startoftext|>", "<|endoftext|>", "n</w>", "the</w>"]),
        {},
    ),
    "albert": (
        "AlbertTokenizer",
        lambda folder: pieces(folder, ["<pad>", "<unk>", "[CLS]", "[SEP]", "[MASK]"], unk_id=1),
        {"proto": None},
    ),
    "xlm_roberta": (
        "XLMRobertaTokenizer",
        lambda folder: pieces(folder, ["<unk>", "<s>", "</s>"], bos_id=1, eos_id=2),
        {"proto": None},
    ),
    "t5": (
        "T5Tokenizer",
        lambda folder: pieces(folder, ["<pad>", "</s>", "<unk>"], pad_id=0, eos_id=1, unk_id=2),
        {"proto": None},
    ),
}


def with_tokenizer(name, folder):
    """The folder of a case with a tokenizer of its family."""
    write_folder(CASES[name], folder)
    class_name, write, config = TOKENIZERS[name]
    assets = folder / "assets" / "tokenizer"
    assets.mkdir(parents=True)
    write(assets)
    held = {"class_name": class_name, "config": config}
    held["registered_name"] = f"keras_hub>{class_name}"
    (folder / "tokenizer.json").write_text(json.dumps(held))
    return folder


@pytest.mark.parametrize("name", ["gpt2", "bloom"])
def test_a_causal_lm_writes_on_as_in_kerashub(name, tmp_path):
    """Greedily, from texts, before which KerasHub's preprocessor puts the start token."""
    generation = CASES[name]["generation"]
    folder = with_tokenizer(name, tmp_path / "there")
    (folder / "preprocessor.json").write_text(json.dumps(generation["preprocessor"]))
    model = kzoo.from_kerashub(folder)
    for text, ids in zip(generation["texts"], generation["token_ids"], strict=True):
        (prompt,) = model.prompt_ids([text])
        new = {"max_new_tokens": len(ids) - len(prompt), "end_token_ids": []}
        assert [*prompt, *model.generate([prompt], **new)[0]] == ids

    kzoo.to_kerashub(model, tmp_path / "back")
    again = kzoo.from_kerashub(tmp_path / "back")
    assert again.processors["tokenizer"] == model.processors["tokenizer"]


@pytest.mark.parametrize("name", ["gpt2", "bloom"])
def test_the_start_token_is_what_the_preprocessor_says(name, tmp_path):
    folder = with_tokenizer(name, tmp_path / "there")
    bare = kzoo.from_kerashub(folder, task="backbone").processors["tokenizer"]
    assert bare.encode(["the"])["token_ids"] == bare.bare_ids(["the"])
    model = kzoo.from_kerashub(folder)  # KerasHub's default without a file.
    start = model.processors["tokenizer"].begin_id
    assert model.prompt_ids(["the"]) == [[start, *bare.bare_ids(["the"])[0]]]

    held = {"class_name": "CausalLMPreprocessor", "config": {"add_start_token": False}}
    (folder / "preprocessor.json").write_text(json.dumps(held))
    model = kzoo.from_kerashub(folder)
    assert model.prompt_ids(["the"]) == bare.bare_ids(["the"])
    with pytest.warns(UserWarning, match="generate puts the start token before every prompt"):
        kzoo.to_kerashub(model, tmp_path / "back")
    for file in ("preprocessor.json", "task.json"):
        config = json.loads((tmp_path / "back" / file).read_text())["config"]
        config = config.get("preprocessor", {}).get("config", config)
        assert (config["add_start_token"], config["add_end_token"]) == (False, True)
    assert kzoo.from_kerashub(tmp_path / "back").prompt_ids(["the"]) == bare.bare_ids(["the"])


@pytest.mark.parametrize("name", TOKENIZERS)
def test_tokenizers_come_along_and_go_back(name, tmp_path):
    model = kzoo.from_kerashub(with_tokenizer(name, tmp_path / "there"), task="backbone")
    tokenizer = model.processors["tokenizer"]
    there = json.loads((tmp_path / "there" / "tokenizer.json").read_text())
    model.origin = None
    kzoo.to_kerashub(model, tmp_path / "back")
    back = json.loads((tmp_path / "back" / "tokenizer.json").read_text())
    assert back["registered_name"] == there["registered_name"]
    assert there["config"].items() <= back["config"].items()
    again = kzoo.from_kerashub(tmp_path / "back").processors["tokenizer"]
    assert again.vocabulary == tokenizer.vocabulary
    for side in (None, "the"):
        pairs = None if side is None else [side] * len(TEXTS)
        assert again.encode(TEXTS, pairs) == tokenizer.encode(TEXTS, pairs)
    assert len(set(tokenizer.encode(TEXTS)["token_ids"][0])) > 2


def test_casing_is_that_of_the_file_and_accents_go_with_it_as_in_hugging_face(tmp_path):
    cut = {}
    for name in ("bert", "distil_bert"):
        model = kzoo.from_kerashub(with_tokenizer(name, tmp_path / name))
        tokenizer = model.processors["tokenizer"]
        cut[name] = [tokenizer.tokens(text)[1:-1] for text in TEXTS]
        assert (model.backbone.padding_id, tokenizer.padding_id) == (0, 0)
    assert cut["bert"] == [["the", "quick", "fox", "##es", "ran", "."], ["cafe"]]
    assert cut["distil_bert"] == [["The", "quick", "fox", "##es", "ran", "."], ["café"]]


def test_a_given_tokenizer_takes_the_place_and_its_rows_are_counted(tmp_path):
    folder = with_tokenizer("bert", tmp_path / "there")
    assert "tokenizer" not in kzoo.from_kerashub(folder, tokenizer=False).processors
    own = Tokenizer.load(kzoo.from_kerashub(folder).processors["tokenizer"].save(tmp_path))
    assert kzoo.from_kerashub(folder, tokenizer=own).processors["tokenizer"] is own
    (folder / "assets" / "tokenizer" / "vocabulary.txt").write_text(
        "\n".join([*WORDS, *map(str, range(30))]) + "\n"
    )
    with pytest.raises(KzooError, match="44 tokens and the embedding only 23 rows"):
        kzoo.from_kerashub(folder)


CONVERTER = {
    "image_size": [8, 8],
    "scale": [1 / 127.5] * 3,
    "offset": [-1.0, -0.5, 0.0],
    "interpolation": "bicubic",
    "antialias": True,
    "crop_to_aspect_ratio": True,
}


def test_image_converters_scale_as_there_and_go_back(tmp_path):
    folder = write_folder(CASES["vit"], tmp_path / "there")
    held = {"class_name": "ViTImageConverter", "config": CONVERTER}
    (folder / "image_converter.json").write_text(json.dumps(held))
    model = kzoo.from_kerashub(folder)
    pictures = model.processors["image_processor"]
    picture = np.random.default_rng(0).integers(0, 256, (8, 8, 3)).astype("uint8")
    expected = picture * np.float32(CONVERTER["scale"]) + np.float32(CONVERTER["offset"])
    assert np.abs(pictures(picture)[0] - expected).max() < 1e-6
    assert pictures(np.zeros((30, 20, 3), "uint8")).shape == (1, 8, 8, 3)

    kzoo.to_kerashub(model, tmp_path / "back")
    back = json.loads((tmp_path / "back" / "image_converter.json").read_text())
    assert back["config"]["image_size"] == [8, 8] and back["config"]["crop_to_aspect_ratio"]
    assert np.allclose(back["config"]["scale"], CONVERTER["scale"], rtol=1e-12)
    again = kzoo.from_kerashub(tmp_path / "back").processors["image_processor"]
    assert again.config == pictures.config
    preprocessor = json.loads((tmp_path / "back" / "task.json").read_text())["config"]
    assert preprocessor["preprocessor"]["class_name"] == "ViTImageClassifierPreprocessor"


def test_a_converter_that_skips_pixels_is_named(tmp_path):
    folder = write_folder(CASES["vit"], tmp_path / "there")
    for said, count in (({"antialias": False}, 1), ({"interpolation": "nearest"}, 0), ({}, 0)):
        held = {"config": {**CONVERTER, **said}}
        (folder / "image_converter.json").write_text(json.dumps(held))
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", UserWarning)
            kzoo.from_kerashub(folder)
        named = [str(w.message) for w in caught if "antialias = false" in str(w.message)]
        assert len(named) == count
        assert all("give pictures of 8 x 8 pixels" in text for text in named)


# -- what was no preset there --------------------------------------------------------------------


@pytest.mark.parametrize("library", ["kerashub", "keras_nlp_0.6.4"])
def test_a_packed_file_says_that_it_is_read_unpacked(library, tmp_path):
    (case,) = (p.values[0] for p in [*NOW, *OLD] if p.id == f"{library}-bert")
    folder = write_folder(case, tmp_path / "there")
    name = "task.json" if (folder / "task.json").is_file() else "config.json"
    with zipfile.ZipFile(tmp_path / "bert.keras", "w") as file:
        file.write(folder / name, "config.json")
        file.write(folder / "model.weights.h5", "model.weights.h5")
    expected = r"holds keras_\w+>Bert\w+; .* \(unzip bert.keras -d FOLDER\) and name the folder"
    with pytest.raises(KzooError, match=expected):
        kzoo.load(tmp_path / "bert.keras")


def inside(name, config):
    """A preprocessor with a tokenizer, as an object within that of a task."""
    return {
        "class_name": "Preprocessor",
        "config": {"sequence_length": 6, "tokenizer": {"class_name": name, "config": config}},
    }


@pytest.mark.parametrize("name", ["bert", "roberta", "albert"])
def test_a_task_as_one_object_brings_its_vocabulary(name, tmp_path):
    """As KerasNLP 0.6 serializes a task, and as a file of the name .keras lies unpacked."""
    class_name, _, config = TOKENIZERS[name]
    expected = kzoo.from_kerashub(with_tokenizer(name, tmp_path / "there")).processors["tokenizer"]
    assets = tmp_path / "there" / "assets" / "tokenizer"
    held = {path.name: path.read_bytes() for path in assets.iterdir()}
    own = {
        "bert": lambda: {"vocabulary": held["vocabulary.txt"].decode().splitlines()},
        "roberta": lambda: {
            "vocabulary": json.loads(held["vocabulary.json"]),
            "merges": held["merges.txt"].decode().splitlines(),
        },
        "albert": lambda: {"proto": base64.b64encode(held["vocabulary.spm"]).decode()},
    }[name]()
    for place, said in (("old", {**config, **own}), ("unpacked", config)):
        folder = write_folder(CASES[name], tmp_path / place)
        job = json.loads((folder / "task.json").read_text())
        job["config"]["preprocessor"] = inside(class_name, said)
        (folder / "task.json").write_text(json.dumps(job))
        assert "tokenizer" not in kzoo.from_kerashub(folder).processors or place == "old"
        if place == "unpacked":
            shutil.copytree(assets, folder / "assets" / "preprocessor" / "tokenizer")
        tokenizer = kzoo.from_kerashub(folder).processors["tokenizer"]
        assert (tokenizer.vocabulary, tokenizer.max_length) == (expected.vocabulary, 6)
        assert tokenizer.encode(TEXTS) == expected.encode(TEXTS)


# -- what only one of the two has ----------------------------------------------------------------


def test_labels_and_the_padding_token_survive_beside_the_preset(tmp_path):
    model = kzoo.from_kerashub(write_folder(CASES["bert"], tmp_path / "there"))
    named = kzoo.TextClassifier(model.backbone, labels=["a", "b", "c"], problem="multi_label")
    kzoo.to_kerashub(named, tmp_path / "back")
    again = kzoo.from_kerashub(tmp_path / "back")
    assert (again.labels, again.problem) == (["a", "b", "c"], "multi_label")
    task = json.loads((tmp_path / "back" / "task.json").read_text())["config"]
    assert task["num_classes"] == 3 and "labels" not in task


@pytest.mark.parametrize("name", ["roberta", "gpt2", "t5_gated"])
def test_presets_go_on_to_hugging_face(name, tmp_path):
    """KerasHub's places and segments are those of Hugging Face's classes as well."""
    case = CASES[name]
    model = kzoo.from_kerashub(write_folder(case, tmp_path / "there"))
    kzoo.to_huggingface(model, tmp_path / "huggingface")
    there = kzoo.from_huggingface(tmp_path / "huggingface")
    assert difference(there, case["inputs"], outputs(case, "task")) < TOLERANCE
    kzoo.to_kerashub(there, tmp_path / "back")
    assert alike(tensors(tmp_path / "there"), tensors(tmp_path / "back"))


def test_a_segment_that_all_tokens_share_joins_the_places(tmp_path):
    """RoBERTa of Hugging Face has rows before the first place, and one segment."""
    case = CASES["roberta_masked_lm"]
    model = kzoo.from_kerashub(write_folder(case, tmp_path / "there"))
    draw = np.random.default_rng(0)
    for weight in (model.backbone.segment_embedding.embeddings, model.backbone.position.embeddings):
        weight.assign(draw.normal(size=weight.shape))
    expected = {"output": np.asarray(model(_for(model, case["inputs"]))["logits"])}
    kzoo.to_kerashub(model, tmp_path / "back")
    again = kzoo.from_kerashub(tmp_path / "back")
    assert difference(again, case["inputs"], expected) < TOLERANCE


def _for(model, given):
    names = model.backbone.input_names
    return {name: np.asarray(x) for name, x in given.items() if name in names}


# -- bad input -----------------------------------------------------------------------------------


def changed(folder, name, **changes):
    """A file of JSON in a folder with other values in its config, None for a key to leave out."""
    held = json.loads((folder / name).read_text())
    for key, value in changes.items():
        held["config"][key] = value
    (folder / name).write_text(json.dumps(held))


def retold(folder, name, **changes):
    """A file of JSON in a folder with other values beside its config."""
    held = json.loads((folder / name).read_text())
    (folder / name).write_text(json.dumps({**held, **changes}))


def reweighted(folder, name, array):
    """Another array, or none, under a name of the backbone's weights."""
    with h5py.File(folder / "model.weights.h5", "r+") as file:
        if name in file:
            del file[name]
        if array is not None:
            file[name] = array


SEGMENTS = "layers/embedding/vars/0"


def whole(folder):
    """A model that Keras itself saved, in the place of weights."""
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.save(folder / "whole.h5")
    (folder / "whole.h5").rename(folder / "model.weights.h5")


BAD = {
    "config without a class": (
        "bert",
        lambda f: (f / "config.json").write_text('{"registered_name": "keras_hub>X"}'),
        "has no class_name and config: those of a backbone are expected",
    ),
    "a backbone that kzoo lacks": (
        "bert",
        lambda f: retold(f, "config.json", class_name="GemmaBackbone"),
        "has the class 'GemmaBackbone'; kzoo reads AlbertBackbone, Bart",
    ),
    "a task that kzoo lacks": (
        "bert",
        lambda f: retold(f, "task.json", class_name="BertTextEmbedder"),
        "'BertTextEmbedder'; of BertBackbone kzoo reads BertTextClassifier, BertMaskedLM",
    ),
    "a head of another width": (
        "roberta",
        lambda f: changed(f, "task.json", hidden_dim=5),
        "hidden_dim = 5; kzoo computes only 8",
    ),
    "another pooling": (
        "vit",
        lambda f: changed(f, "task.json", pooling="gap"),
        "pooling = 'gap'; kzoo computes only 'token'",
    ),
    "an activation behind the scores": (
        "bert",
        lambda f: changed(f, "task.json", activation="relu"),
        "activation = 'relu'; kzoo knows None, linear, softmax, sigmoid",
    ),
    "no count of classes": (
        "bert",
        lambda f: changed(f, "task.json", num_classes=None),
        "num_classes = None; 1 or more is expected",
    ),
    "a picture that is divided by zero": (
        "vit",
        lambda f: (f / "image_converter.json").write_text(
            json.dumps({"config": {**CONVERTER, "scale": [1.0, 0.0, 1.0]}})
        ),
        "scale = .* that of scale not 0",
    ),
    "a tokenizer of no class": (
        "bert",
        lambda f: (f / "tokenizer.json").write_text('{"class_name": [], "config": {}}'),
        r"has the class \[\]; kzoo reads Albert",
    ),
    "layers within a group": (
        "albert",
        lambda f: changed(f, "config.json", num_inner_repetitions=2),
        "num_inner_repetitions = 2; kzoo computes only 1",
    ),
    "an unknown activation": (
        "t5",
        lambda f: changed(f, "config.json", activation={"config": "keras_hub>other"}),
        "activation = .* kzoo doesn't compute that",
    ),
    "weights of another size": (
        "bert",
        lambda f: changed(f, "config.json", num_segments=3),
        r"embedding/vars/0 in .* has the shape \[2, 8\]; config.json asks for \[3, 8\]",
    ),
    "a missing tensor": (
        "bert",
        lambda f: reweighted(f, SEGMENTS, None),
        "lacks model.weights.h5/layers/embedding/vars/0: config.json and weights don't belong",
    ),
    "a tensor too many": (
        "bert",
        lambda f: reweighted(f, "layers/dense_7/vars/0", np.zeros(3, "float32")),
        "has model.weights.h5/layers/dense_7/vars/0, which Bert has no row for",
    ),
    "numbers that are none": (
        "bert",
        lambda f: reweighted(f, SEGMENTS, np.full((2, 8), np.nan, "float32")),
        "holds NaN or infinite numbers",
    ),
    "places that count nothing": (
        "clip",
        lambda f: reweighted(
            f,
            "layers/clip_vision_encoder/layers/clip_vision_embedding/vars/1",
            np.zeros((1, 5), "int64"),
        ),
        "doesn't count places from 0",
    ),
    "no weights": (
        "bert",
        lambda f: (f / "model.weights.h5").unlink(),
        "model.weights.h5 is missing: KerasHub's weights are expected there",
    ),
    "weights cut off": (
        "bert",
        lambda f: (f / "model.weights.h5").write_bytes(
            (f / "model.weights.h5").read_bytes()[:2000]
        ),
        "model.weights.h5",
    ),
    "a whole model in their place": (
        "bert",
        whole,
        r"model.weights.h5 is a whole Keras model \(model.save\), not the .* of KerasHub: load it",
    ),
    "labels of another count": (
        "bert",
        lambda f: (f / "metadata.json").write_text('{"kzoo": {"labels": ["a"]}}'),
        r"labels = \['a'\]; a list of 3",
    ),
    "metadata of another kind": (
        "bert",
        lambda f: (f / "metadata.json").write_text('{"kzoo": 3}'),
        "has kzoo = 3; a JSON object is expected",
    ),
    "a picture that is padded": (
        "vit",
        lambda f: (f / "image_converter.json").write_text(
            json.dumps({"config": {**CONVERTER, "pad_to_aspect_ratio": True}})
        ),
        "pad_to_aspect_ratio, which kzoo doesn't do",
    ),
    "a picture of no size": (
        "vit",
        lambda f: (f / "image_converter.json").write_text(
            json.dumps({"config": {**CONVERTER, "image_size": None}})
        ),
        "image_size = None",
    ),
    "a tokenizer that kzoo lacks": (
        "bert",
        lambda f: (f / "tokenizer.json").write_text('{"class_name": "OPTTokenizer", "config": {}}'),
        "has the class 'OPTTokenizer'; kzoo reads AlbertTokenizer, .* or tokenizer=False",
    ),
    "a tokenizer without its file": (
        "bert",
        lambda f: (f / "tokenizer.json").write_text(
            '{"class_name": "BertTokenizer", "config": {}}'
        ),
        "vocabulary.txt is missing: tokenizer.json has a BertTokenizer, which needs it",
    ),
}


@pytest.mark.parametrize("what", BAD)
def test_a_bad_folder_is_one_sentence(what, tmp_path):
    name, spoil, expected = BAD[what]
    folder = write_folder(CASES[name], tmp_path / "there")
    spoil(folder)
    with pytest.raises(KzooError, match=expected) as caught:
        kzoo.from_kerashub(folder)
    assert "\n" not in str(caught.value)


def small(family, **changes):
    """A backbone of a family as KerasHub has it, with changes."""
    config = CASES[family]["config"]["config.json"]
    preset = PRESETS[config["class_name"]]
    spec = spec_from_config(plain(config, preset), preset)
    return build(spec.replace(**changes))


def exact():
    """BERT as Google's and Hugging Face's classes compute it."""
    return small("bert", feedforward={"kind": "mlp", "activation": "gelu"})


def biased():
    """A BART whose scores have a bias."""
    model = kzoo.Seq2SeqLM(small("bart"))
    model.head.bias.assign(np.ones(model.head.bias.shape))
    return model


def merged():
    """A BERT with a tokenizer of another kind."""
    backbone = small("bert")
    model = tokenizers.models.BPE({"a": 0}, [])
    tokenizer = Tokenizer.from_json(tokenizers.Tokenizer(model).to_str())
    backbone.processors = {"tokenizer": tokenizer}
    return backbone


def cropped():
    """A ViT whose pictures are resized to more than is cut out of them."""
    backbone = small("vit")
    backbone.processors = {"image_processor": ImageProcessor(size=10, crop=8)}
    return backbone


UNFIT = {
    exact: "feedforward.activation 'gelu'; KerasHub's bert has only 'gelu_tanh'",
    biased: "head/bias is not zero everywhere; KerasHub's BartBackbone has no such weight",
    merged: "KerasHub's BertTokenizer can't hold this tokenizer",
    cropped: r"image converter can't resize to \(10, 10\)",
    lambda: kzoo.TokenClassifier(small("bert"), labels=["a", "b"]): (
        "KerasHub has no TokenClassifier of BertBackbone that kzoo writes; TextClassifier, Masked"
    ),
    lambda: kzoo.TextClassifier(small("bert"), labels=["a", "b"], head="mean"): (
        "has the head 'mean'; KerasHub's BertTextClassifier has only"
    ),
    lambda: build(read_spec("kwt_1")): (
        "KerasHub has no class that kzoo writes for 'kwt'; it has albert, bart, bert"
    ),
    lambda: 3: "to_kerashub takes a backbone or a task; int came",
}


@pytest.mark.parametrize("make", UNFIT)
def test_what_kerashub_cannot_hold_is_one_sentence_and_no_file(make, tmp_path):
    with pytest.raises(KzooError, match=UNFIT[make]):
        kzoo.to_kerashub(make(), tmp_path / "there")
    assert not (tmp_path / "there").exists()


# -- the registry and KerasHub itself --------------------------------------------------------------


def test_show_and_convert_know_the_format(tmp_path):
    folder = write_folder(CASES["gpt2"], tmp_path / "there")
    found = kzoo.recognised(folder)
    assert found.format.name == "kerashub"
    assert found.sign == "config.json with keras_hub>GPT2Backbone"
    convert(folder, tmp_path / "preset")
    command = ["convert", str(tmp_path / "preset"), str(tmp_path / "back"), "--to", "kerashub"]
    assert CliRunner().invoke(app, command).exit_code == 0
    assert alike(tensors(folder), tensors(tmp_path / "back"))


@pytest.fixture(scope="module")
def answered(tmp_path_factory):
    """A folder of presets that kzoo wrote, with KerasHub's answers beside each."""
    pytest.importorskip("keras_hub")
    work = tmp_path_factory.mktemp("kerashub")
    for name, case in CASES.items():
        has_words = name in TOKENIZERS
        place = tmp_path_factory.mktemp(name) / "there"
        model = kzoo.from_kerashub(
            with_tokenizer(name, place) if has_words else write_folder(case, place)
        )
        model.origin = None
        kzoo.to_kerashub(model, work / name)
        inputs = {key: np.asarray(values) for key, values in case["inputs"].items()}
        np.savez(work / f"{name}.inputs.npz", **inputs)
    (work / "texts.json").write_text(json.dumps(["the ran"]))
    script = Path(__file__).parent.parent / "benchmarks" / "on_disk" / "answers_kerashub.py"
    run = subprocess.run([sys.executable, script, work], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr[-3000:]
    return work


@pytest.mark.parity
@pytest.mark.parametrize("name", CASES)
def test_kerashub_itself_loads_what_kzoo_writes(name, answered):
    case, read = CASES[name], 0
    for part in case["outputs"]:
        with np.load(answered / f"{name}.{part}.npz") as actual:
            for key, expected in outputs(case, part).items():
                # The pooler that a masked LM doesn't have goes there as zeros.
                if not (key == "pooled_output" and name in ("bert_masked_lm", "albert_groups")):
                    assert np.abs(actual[key] - expected).max() < TOLERANCE
                    read += 1
    assert read
    if name in TOKENIZERS:
        (ids,) = json.loads((answered / f"{name}.tokens.json").read_text())
        tokenizer = kzoo.from_kerashub(answered / name).processors["tokenizer"]
        assert ids == tokenizer.bare_ids(["the ran"])[0]


def test_bfloat16_is_marked_as_such(tmp_path):
    array = np.array([0.5, -2], ml_dtypes.bfloat16)
    write_weights(tmp_path / "x.weights.h5", {"layers/dense/vars/0": Lazy.of(array)})
    lazy = read_h5(tmp_path / "x.weights.h5")["layers/dense/vars/0"]
    assert lazy.dtype == "bfloat16" and lazy.read().tolist() == [0.5, -2]


def test_an_untied_t5_without_its_head_has_the_map_that_kerashub_asks_for(tmp_path):
    task = kzoo.load(write_folder(CASES["t5_gated"], tmp_path / "there"))
    kzoo.to_kerashub(task.backbone, tmp_path / "back")
    shapes = {name: array.shape for name, array in tensors(tmp_path / "back").items()}
    assert shapes["model.weights.h5/layers/reversible_embedding/vars/1"] == (8, 23)
    assert values(kzoo.load(tmp_path / "back")).keys() == values(task.backbone).keys()


def test_an_optimizer_is_passed_over_and_shards_are_told(tmp_path):
    folder = write_folder(CASES["bert"], tmp_path / "there")
    with h5py.File(folder / "task.weights.h5", "a") as file:
        file["optimizer/vars/0"] = 3
    kzoo.load(folder)
    (folder / "model.weights.h5").rename(folder / "model_00000.weights.h5")
    (folder / "model.weights.json").write_text("{}")
    with pytest.raises(KzooError, match="in shards .*larger max_shard_size"):
        kzoo.load(folder)
