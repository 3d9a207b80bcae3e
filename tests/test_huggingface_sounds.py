"""Families that hear beside transformers, both ways, as `test_huggingface.py` does."""

import numpy as np
import pytest
from test_huggingface import LABELS, TOLERANCE, add_noise, contents, distance, reload
from test_sounds import sweep

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


def test_sounds_are_answered_as_transformers_answers_them(tmp_path):
    """Those that are shorter than the model hears, too; and with what reads them written anew."""
    theirs = reference("ForAudioClassification")
    theirs.save_pretrained(tmp_path / "here")
    processor = transformers.ASTFeatureExtractor(max_length=20, num_mel_bins=12)
    processor.save_pretrained(tmp_path / "here")
    model = kzoo.from_huggingface(tmp_path / "here")
    kzoo.to_huggingface(model, tmp_path / "there")
    sounds = [sweep(0.1), sweep(0.2, seed=1), sweep(1.0, seed=2)]
    ours = kzoo.pipeline("audio-classification", model)(sounds)
    again = transformers.AutoFeatureExtractor.from_pretrained(tmp_path / "there")
    assert again.to_dict() == processor.to_dict()
    pipe = transformers.pipeline(
        "audio-classification", model=reload(theirs, tmp_path / "there"), feature_extractor=again
    )
    expected = pipe(sounds)
    assert [[e["label"] for e in row] for row in ours] == [
        [e["label"] for e in row] for row in expected
    ]
    scores = [[[e["score"] for e in row] for row in rows] for rows in (ours, expected)]
    np.testing.assert_allclose(*scores, atol=1e-4)
    alone = kzoo.pipeline("audio-classification", model)({"raw": sounds[0], "sampling_rate": 16000})
    assert [e["label"] for e in alone] == [e["label"] for e in ours[0]]
    np.testing.assert_allclose([e["score"] for e in alone], scores[0][0], atol=1e-6)
