"""Presets of KerasHub and KerasNLP: their outputs, from files like their own, and back.

`benchmarks/on_disk/record_kerashub.py` and `record_keras_nlp.py` recorded what these libraries
named, shaped and answered. The weights follow from their names, so the tests write the same files
without them; the parity suite has KerasHub itself read what kzoo writes.
"""

import json
from pathlib import Path

import h5py
import numpy as np
import pytest
from on_disk_kerashub import alike, difference, tensors, write_folder

import kzoo
from kzoo import presets
from kzoo.checkpoints.rows import KERAS
from kzoo.errors import KzooError
from kzoo.images.image_processor import ImageProcessor
from kzoo.network import weights_by_path
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
