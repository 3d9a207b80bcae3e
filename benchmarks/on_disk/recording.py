"""What the recordings of KerasHub and of KerasNLP have in common: inputs, golden files."""

import json
import sys
from pathlib import Path

import h5py
import numpy as np

TESTS = Path(__file__).resolve().parents[2] / "tests"
sys.path.insert(0, str(TESTS))
from on_disk_kerashub import weight  # noqa: E402

GOLDEN = TESTS / "golden" / "on_disk"
VOCABULARY, LENGTH = 23, 7
TOWER = {"num_layers": 2, "num_heads": 2, "hidden_dim": 8, "intermediate_dim": 12}
TEXT = {"vocabulary_size": VOCABULARY, **TOWER, "max_sequence_length": LENGTH}
PAIR = {**TEXT, "num_layers": 1}


def add_noise(path):
    """Noise on every tensor of an H5 file; its names by dtype and shape."""
    found = {}
    with h5py.File(path, "r+") as file:

        def visit(name, held):
            if hasattr(held, "shape") and not name.startswith("optimizer/"):
                found[name] = held

        file.visititems(visit)
        listed = {}
        for name, held in found.items():
            held[...] = weight(name, held.dtype.name, held.shape)
            kind = " ".join([held.dtype.name, *map(str, held.shape)])
            listed.setdefault(kind, []).append(name)
    return listed


def inputs(names):
    """Ragged texts, pictures, or both, of these names."""
    draw = np.random.default_rng(7)
    mask = (np.arange(LENGTH) < np.array([[LENGTH], [4]])).astype("int32")
    ids = np.where(mask, draw.integers(3, VOCABULARY, (2, LENGTH)), 1).astype("int32")
    known = {
        "token_ids": ids,
        "padding_mask": mask,
        "segment_ids": (np.arange(LENGTH) > 2).astype("int32") * mask,
        "mask_positions": np.tile(np.arange(LENGTH, dtype="int32"), (2, 1)),
        "encoder_token_ids": ids,
        "encoder_padding_mask": mask,
        "decoder_token_ids": np.where(mask, ids[::-1], 1)[:, :5].astype("int32"),
        "decoder_padding_mask": mask[::-1][:, :5],
        "images": draw.normal(size=(2, 8, 8, 3)).astype("float32").round(3),
    }
    return {name: known[name] for name in names}


def rounded(array):
    """An array for a golden file: its shape, and its numbers to 7 significant digits."""
    return {"shape": list(array.shape), "values": [float(f"{x:.7g}") for x in array.ravel()]}


def write_golden(name, cases):
    """Write the cases of one library, one a line."""
    GOLDEN.mkdir(parents=True, exist_ok=True)
    text = ",\n".join(json.dumps(case, separators=(",", ":")) for case in cases)
    (GOLDEN / f"{name}.json").write_text(f"[\n{text}\n]\n", encoding="utf-8")
    print(name, len(text), "bytes")
