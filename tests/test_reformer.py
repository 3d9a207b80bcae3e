"""Attention within chunks is the reference's, and what one chunk holds is dense attention."""

import keras
import numpy as np
import pytest
from families import SPECS, add_noise, noisy, tokens

import kzoo
from kzoo.models import build
from kzoo.nn.lsh import Hashed

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

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
    layers = [
        block.attention for block in model.block_list if isinstance(block.attention, Hashed)
    ]

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
