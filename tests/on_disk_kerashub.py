"""KerasHub's folders from golden cases: weights that follow from their names.

What records KerasHub's outputs (`benchmarks/on_disk/record_kerashub.py`) and the tests that write
the same folders anew have these in common.
"""

import json
import zlib

import h5py
import numpy as np

# What kzoo calls the outputs of KerasHub; where there are both, the first is the task's.
OUTPUTS = {
    "output": ("logits", "sequence_output"),
    "sequence_output": ("sequence_output",),
    "pooled_output": ("pooled_output",),
    "decoder_sequence_output": ("sequence_output",),
    "encoder_sequence_output": ("memory",),
    "vision_logits": ("logits_per_image",),
}


END, SPECIAL = "<|endoftext|>", ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]


def noise(name, shape):
    """The weight of a name: the same numbers wherever it is asked for; scales lie around 1."""
    array = np.random.default_rng(zlib.crc32(name.encode())).normal(size=shape) * 0.2
    is_scale = len(shape) == 1 and name.endswith("/vars/0")
    return (array + is_scale).astype("float32")


def weight(name, dtype, shape):
    """The weight of a name in a file: noise, or places counted in whole numbers."""
    return noise(name, shape) if dtype == "float32" else np.arange(np.prod(shape)).reshape(shape)


def bpe(folder, special):
    """The files of a byte-level vocabulary."""
    letters = ["t", "h", "e", "Ġ", "r", "a", "n", "th", "the", "Ġr", "Ġra"]
    vocabulary = {token: number for number, token in enumerate([*special, *letters])}
    merges = ["#version: 0.2", "t h", "th e", "Ġ r", "Ġr a"]
    (folder / "vocabulary.json").write_text(json.dumps(vocabulary), encoding="utf-8")
    (folder / "merges.txt").write_text("\n".join(merges) + "\n", encoding="utf-8")


def write_folder(case, folder):
    """The folder of a golden case."""
    folder.mkdir(parents=True)
    for name, config in case["config"].items():
        (folder / name).write_text(json.dumps(config))
    for file_name, listed in case["tensors"].items():
        with h5py.File(folder / file_name, "w") as file:
            for kind, names in listed.items():
                dtype, *shape = kind.split()
                for name in names:
                    file[name] = weight(name, dtype, tuple(map(int, shape))).astype(dtype)
    return folder


def difference(model, given, expected):
    """The largest difference from what KerasHub answered, where there are tokens.

    Args:
        model: kzoo's.
        given: the inputs there by name.
        expected: the outputs there by name.
    """
    inputs = {name: np.asarray(values) for name, values in given.items()}
    if "padding_mask" not in inputs and "token_ids" in inputs:  # CLIP's texts have none there.
        inputs["padding_mask"] = np.ones_like(inputs["token_ids"])
    inputs.pop("mask_positions", None)  # Every place, which kzoo scores without being asked.
    mask = next((inputs[n] for n in ("decoder_padding_mask", "padding_mask") if n in inputs), None)
    backbone = getattr(model, "backbone", model)
    actual = model({name: x for name, x in inputs.items() if name in backbone.input_names})
    worst = 0.0
    for name, there in expected.items():
        if name not in OUTPUTS:
            continue
        here = np.asarray(next(actual[own] for own in OUTPUTS[name] if own in actual))
        assert here.shape == np.shape(there), (name, here.shape)
        apart = np.abs(here - there)
        by_token = inputs["encoder_padding_mask"] if name.startswith("encoder") else mask
        if by_token is not None and apart.shape[:2] == by_token.shape and apart.ndim == 3:
            apart = apart[by_token == 1]
        worst = max(worst, float(apart.max()))
    return worst


def tensors(folder):
    """Every tensor of a folder's weights by file and path, those of an optimizer left out."""
    found = {}
    for path in sorted(folder.glob("*.weights.h5")):
        with h5py.File(path) as file:

            def visit(name, held, path=path):
                if hasattr(held, "shape") and not name.startswith("optimizer/"):
                    found[f"{path.name}/{name}"] = held[...]

            file.visititems(visit)
    return found


def alike(some, others):
    """Whether two dicts of arrays hold the same bits under the same names."""
    return some.keys() == others.keys() and all(
        array.dtype == others[name].dtype and array.tobytes() == others[name].tobytes()
        for name, array in some.items()
    )
