"""Attention within chunks is the reference's, and what one chunk holds is dense attention."""

import numpy as np
import pytest
from test_huggingface import contents, reload

import kzoo
from kzoo.nn.lsh import Hashed

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
pytestmark = pytest.mark.parity

HERE = {
    "vocab_size": 50,
    "hidden_size": 32,
    "num_attention_heads": 4,
    "attention_head_size": 6,
    "feed_forward_size": 48,
    "max_position_embeddings": 64,
    "axial_pos_shape": [8, 8],
    "axial_pos_embds_dim": [12, 20],
    "attn_layers": ["local", "lsh"],
    "lsh_attn_chunk_length": 8,
    "local_attn_chunk_length": 4,
    "num_hashes": 2,
    "num_buckets": 4,
    "is_decoder": True,
}


def reference(name="ReformerModel", **changes):
    """A tiny model of transformers with noise on every number."""
    torch.manual_seed(0)
    model = getattr(transformers, name)(transformers.ReformerConfig(**{**HERE, **changes}))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.2 * torch.randn_like(parameter)
    return model.eval()


def same_rotations(monkeypatch, model):
    """Let transformers hash with the rotations that a model of kzoo has."""
    layers = [block.attention for block in model.block_list if isinstance(block.attention, Hashed)]

    def drawn(shape, **_):
        (found,) = {layer.rotations().tobytes() for layer in layers}
        return torch.from_numpy(np.frombuffer(found, "float32").reshape(shape).astype("float64"))

    monkeypatch.setattr(torch, "randn", drawn)


@pytest.mark.parametrize("length", [32, 64, 8, 21])
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"num_hashes": 3, "num_buckets": [2, 4], "lsh_num_chunks_after": 1},
        {"is_decoder": False, "lsh_num_chunks_after": 1},
        {"is_decoder": False, "num_hashes": 1, "axial_pos_embds": False},
    ],
    ids=str,
)
def test_several_chunks_are_what_the_reference_makes_of_them(
    changes, length, monkeypatch, tmp_path
):
    theirs = reference(**changes)
    theirs.save_pretrained(tmp_path)
    theirs.double()  # In single precision its -1e5 leaves 7 bits for the logarithm of a sum.
    model = kzoo.from_huggingface(tmp_path)
    same_rotations(monkeypatch, model)
    draw = np.random.default_rng(0)
    ids = draw.integers(5, 50, (2, length)).astype("int32")
    mask = (np.arange(length) < np.array([[length], [length - 3]])).astype("int32")
    for each in [mask, mask * 0 + 1]:
        with torch.no_grad():
            expected = theirs(torch.tensor(ids).long(), torch.tensor(each).long())[0].numpy()
        actual = np.asarray(model({"token_ids": ids, "padding_mask": each})["sequence_output"])
        np.testing.assert_allclose(actual[each == 1], expected[each == 1], atol=1e-5)


CLASSES = {
    "ReformerModel": "Reformer",
    "ReformerModelWithLMHead": "CausalLM",
    "ReformerForMaskedLM": "MaskedLM",
    "ReformerForSequenceClassification": "TextClassifier",
    "ReformerForQuestionAnswering": "QuestionAnswering",
}


@pytest.mark.parametrize("name", CLASSES)
def test_both_ways(name, monkeypatch, tmp_path):
    decides = {"is_decoder": "Masked" not in name, "hash_seed": 3, "chunk_size_feed_forward": 6}
    theirs = reference(name, **decides)
    theirs.save_pretrained(tmp_path / "here")
    model = kzoo.from_huggingface(tmp_path / "here")
    assert type(model).__name__ == CLASSES[name]
    kzoo.to_huggingface(model, tmp_path / "back")
    assert contents(tmp_path / "back") == contents(tmp_path / "here")
    for weight in model.weights:
        weight.assign(weight + 0.01)
    del model.origin  # from here on a model that never saw transformers
    kzoo.to_huggingface(model, tmp_path / "there")
    theirs = reload(theirs, tmp_path / "there").double()

    same_rotations(monkeypatch, getattr(model, "backbone", model))
    ids = np.random.default_rng(0).integers(5, 50, (2, 24)).astype("int32")
    with torch.no_grad():
        expected = theirs(torch.tensor(ids).long(), attention_mask=torch.ones(2, 24).long())
    ours = model({"token_ids": ids, "padding_mask": ids * 0 + 1})
    for key, value in ours.items():
        other = expected["last_hidden_state" if key == "sequence_output" else key].numpy()
        if name in ("ReformerModelWithLMHead", "ReformerForMaskedLM"):
            other = other + theirs.lm_head.bias.detach().numpy()  # transformers 5 leaves it out.
        np.testing.assert_allclose(np.asarray(value), other, atol=1e-5)
