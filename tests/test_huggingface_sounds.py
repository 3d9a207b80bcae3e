"""Families that hear beside transformers, both ways, as `test_huggingface.py` does."""

import numpy as np
import pytest
from test_huggingface import LABELS, TOLERANCE, add_noise, contents, distance, reload

import kzoo

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
pytestmark = pytest.mark.parity

SIZES = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "max_length": 20,
    "num_mel_bins": 12,
    "patch_size": 4,
    "time_stride": 3,
    "frequency_stride": 2,
}
SUFFIXES = {"Model": None, "ForAudioClassification": "AudioClassifier"}


def reference(suffix, **changes):
    """A tiny AST of transformers with noise on every trainable number."""
    torch.manual_seed(len(suffix))
    labels = {} if suffix == "Model" else {"id2label": dict(enumerate(LABELS))}
    config = transformers.ASTConfig(**{**SIZES, **labels, **changes})
    config._attn_implementation = "eager"
    model = getattr(transformers, f"AST{suffix}")(config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.2 * torch.randn_like(parameter)
    return model.eval()


def assert_same(model, theirs, suffix):
    """Every output of both agrees, inner states and maps of a backbone too."""
    size = theirs.config.max_length, theirs.config.num_mel_bins
    x = np.random.default_rng(5).standard_normal((3, *size)).astype("float32")
    with torch.no_grad():
        expected = theirs(torch.from_numpy(x), output_hidden_states=True, output_attentions=True)
    if suffix != "Model":
        assert distance(model({"features": x})["logits"], expected["logits"]) < TOLERANCE
        return
    actual = model({"features": x}, return_hidden_states=True, return_attention_maps=True)
    assert distance(actual["sequence_output"], expected["last_hidden_state"]) < TOLERANCE
    # The last state is not normalised there.
    states = list(zip(actual["hidden_states"][:-1], expected["hidden_states"], strict=False))
    maps = list(zip(actual["attention_maps"], expected["attentions"], strict=True))
    assert len(states) == len(maps) == 2
    for one, other in states + maps:
        assert distance(one, other) < TOLERANCE


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize(
    "changes",
    [{}, {"qkv_bias": False, "patch_size": 5, "hidden_act": "gelu_new", "layer_norm_eps": 1e-3}],
    ids=["usual", "others"],
)
def test_both_ways(suffix, changes, tmp_path):
    theirs = reference(suffix, **changes)
    theirs.save_pretrained(tmp_path / "here")
    model = kzoo.from_huggingface(tmp_path / "here")
    assert getattr(model, "backbone", model).family == "ast"
    assert getattr(model, "task_name", None) == SUFFIXES[suffix]
    assert_same(model, theirs, suffix)

    kzoo.to_huggingface(model, tmp_path / "back")
    assert contents(tmp_path / "back") == contents(tmp_path / "here")

    add_noise(model)
    del model.origin  # from here on a model that never saw transformers
    kzoo.to_huggingface(model, tmp_path / "there")
    theirs = reload(theirs, tmp_path / "there")
    assert_same(model, theirs, suffix)
    if suffix != "Model":
        assert theirs.config.id2label == dict(enumerate(LABELS))
