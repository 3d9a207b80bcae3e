"""Hugging Face folders both ways: the same numbers as transformers, the same bytes back.

The reference models are tiny, but every trainable number in them is noise: the usual
initialisation (zeros and ones in half the tensors) would hide a bias that was never read.
"""

import importlib.util
import json
import os
import shutil
import struct
import sys
from pathlib import Path

import numpy as np
import pytest

import kzoo
from kzoo.checkpoints.safetensors import read_tensors, write_tensors

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
transformers.logging.set_verbosity_error()
transformers.logging.disable_progress_bar()

LENGTHS = (11, 7, 3)
LABELS = ("bad", "fair", "good")
TOLERANCE = 1e-5
SIZES = {
    "vocab_size": 50, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4,
    "intermediate_size": 48, "max_position_embeddings": 24,
}
FAMILIES = {
    "bert": ("Bert", SIZES),
    "roberta": (
        "Roberta", {**SIZES, "type_vocab_size": 1, "layer_norm_eps": 1e-5, "pad_token_id": 1}
    ),
    "distilbert": (
        "DistilBert",
        {
            "vocab_size": 50, "dim": 32, "n_layers": 2, "n_heads": 4, "hidden_dim": 48,
            "max_position_embeddings": 24,
        },
    ),
    "albert": ("Albert", {**SIZES, "embedding_size": 16}),
}
TASKS = {
    "Model": None,
    "ForSequenceClassification": "TextClassifier",
    "ForTokenClassification": "TokenClassifier",
    "ForQuestionAnswering": "QuestionAnswering",
    "ForMaskedLM": "MaskedLM",
    "ForMultipleChoice": "MultipleChoice",
}
EVERY = [(family, suffix) for family in FAMILIES for suffix in TASKS]


def reference(family, suffix, **changes):
    """A tiny model of transformers with noise on every trainable number."""
    torch.manual_seed(len(family) + len(suffix))
    stem, sizes = FAMILIES[family]
    labels = {}
    if "Sequence" in suffix or "Token" in suffix:
        labels = {"id2label": dict(enumerate(LABELS)),
                  "label2id": {name: i for i, name in enumerate(LABELS)}}
    config = getattr(transformers, f"{stem}Config")(**{**sizes, **labels, **changes})
    config._attn_implementation = "eager"
    model = getattr(transformers, stem + suffix)(config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.2 * torch.randn_like(parameter)
    return model.eval()


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Folders that transformers wrote, made when first asked for."""
    made = {}

    def folder(family, suffix):
        if (family, suffix) not in made:
            path = tmp_path_factory.mktemp(f"{family}{suffix}")
            model = reference(family, suffix)
            model.save_pretrained(path)
            made[family, suffix] = path, model
        return made[family, suffix]

    return folder


def batch(model, suffix):
    """Ragged token ids for kzoo and for transformers."""
    draw = np.random.default_rng(3)
    padding = model.config.pad_token_id
    ids = draw.integers(5, 50, (len(LENGTHS), max(LENGTHS)))
    mask = np.arange(max(LENGTHS)) < np.array(LENGTHS)[:, None]
    ids = np.where(mask, ids, padding)
    segments = np.where(mask, draw.integers(0, 2, ids.shape), 0)
    columns = {"token_ids": ids, "padding_mask": mask, "segment_ids": segments}
    if suffix == "ForMultipleChoice":
        columns = {k: np.stack([v, v[::-1]], axis=1) for k, v in columns.items()}
    columns = {k: v.astype("int32") for k, v in columns.items()}
    there = {"input_ids": columns["token_ids"], "attention_mask": columns["padding_mask"]}
    if getattr(model.config, "type_vocab_size", 0) > 1:
        there["token_type_ids"] = columns["segment_ids"]
    return columns, {k: torch.from_numpy(v).long() for k, v in there.items()}


def assert_same(model, theirs, suffix):
    """Every output of both models agrees wherever there is a token."""
    columns, there = batch(theirs, suffix)
    with torch.no_grad():
        expected = theirs(**there, output_hidden_states=True, output_attentions=True)
    mask = columns["padding_mask"].astype(bool)
    if suffix == "Model":
        columns = {name: columns[name] for name in model.input_names}
        ours = model(columns, return_hidden_states=True, return_attention_maps=True)
        pairs = [("sequence_output", "last_hidden_state")]
        pairs += [("pooled_output", "pooler_output")] * (model.spec.pooler != "none")
        assert len(ours["hidden_states"]) == len(expected["hidden_states"]) == 3
        for here, other in zip(ours["hidden_states"], expected["hidden_states"], strict=True):
            assert distance(here, other, mask) < TOLERANCE
        assert len(ours["attention_maps"]) == len(expected["attentions"]) == 2
        for here, other in zip(ours["attention_maps"], expected["attentions"], strict=True):
            rows = np.broadcast_to(mask[:, None, :], here.shape[:3])
            assert distance(here, other, rows) < TOLERANCE
    else:
        ours = model(columns)
        names = ["start_logits", "end_logits"] if "Question" in suffix else ["logits"]
        pairs = [(name, name) for name in names]
    for here, other in pairs:
        shape = tuple(ours[here].shape)
        assert shape == tuple(expected[other].shape)
        places = mask if shape[:2] == mask.shape and "Choice" not in suffix else None
        assert distance(ours[here], expected[other], places) < TOLERANCE


def distance(here, there, mask=None):
    """The largest difference, where the mask allows."""
    difference = np.abs(np.asarray(here) - np.asarray(there))
    return float(difference.max() if mask is None else difference[mask].max())


def add_noise(model):
    """Noise on every weight of a kzoo model."""
    from kzoo.network import weights_by_path

    draw = np.random.default_rng(9)
    for weight in weights_by_path(model).values():
        weight.assign_add(draw.normal(0, 0.2, weight.shape).astype("float32"))


def contents(folder):
    """What the weights file says, name by name, to the byte."""
    return {
        name: (lazy.dtype, lazy.shape, lazy.read().tobytes())
        for name, lazy in read_tensors(folder / "model.safetensors").items()
    }


def reload(theirs, folder):
    """A folder of kzoo's as transformers loads it, which must miss and ignore nothing."""
    model, report = type(theirs).from_pretrained(
        folder, output_loading_info=True, attn_implementation="eager"
    )
    assert not any(report.values()), report
    return model.eval()


@pytest.mark.parametrize(("family", "suffix"), EVERY)
def test_both_ways(family, suffix, folders, tmp_path):
    folder, theirs = folders(family, suffix)
    model = kzoo.from_huggingface(folder)
    expected = TASKS[suffix] or type(model).__name__
    assert type(model).__name__ == expected
    assert getattr(model, "backbone", model).family == family
    if expected in ("TextClassifier", "TokenClassifier"):
        assert model.labels == list(LABELS)
    assert_same(model, theirs, suffix)

    kzoo.to_huggingface(model, tmp_path / "back")
    assert contents(tmp_path / "back") == contents(folder)

    add_noise(model)
    del model.origin  # from here on a model that never saw transformers
    kzoo.to_huggingface(model, tmp_path / "there")
    theirs = reload(theirs, tmp_path / "there")
    assert_same(model, theirs, suffix)
    if expected in ("TextClassifier", "TokenClassifier"):
        assert theirs.config.id2label == dict(enumerate(LABELS))
