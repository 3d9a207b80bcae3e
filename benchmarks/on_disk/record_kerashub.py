"""Presets of KerasHub that its own classes write and run, as golden cases for the tests.

    python benchmarks/on_disk/record_kerashub.py WORK

runs where keras-hub 0.32 is installed, without kzoo. Below WORK it leaves the genuine folders, each
with its inputs and outputs beside it, and it writes tests/golden/on_disk/kerashub.json. All weights
are noise that follows from their names, so that the tests can write the same files.
"""

import json
import os
import sys
import zlib
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import h5py
import keras_hub
import numpy as np
from keras_hub.src.utils.keras_utils import gelu_approximate

GOLDEN = Path(__file__).resolve().parents[2] / "tests" / "golden" / "on_disk" / "kerashub.json"
VOCABULARY, LENGTH = 41, 9
TOWER = {"num_layers": 2, "num_heads": 2, "hidden_dim": 8, "intermediate_dim": 12}
TEXT = {"vocabulary_size": VOCABULARY, **TOWER, "max_sequence_length": LENGTH}
PAIR = {**TEXT, "num_layers": 1}
PICTURE = {"image_shape": (12, 12, 3), "patch_size": (4, 4), "num_heads": 2, "hidden_dim": 8}
VIT = {**PICTURE, "num_layers": 2, "mlp_dim": 12, "layer_norm_epsilon": 1e-5}
DEIT = {**PICTURE, "num_layers": 2, "intermediate_dim": 12}
T5 = {"vocabulary_size": VOCABULARY, **TOWER, "key_value_dim": 3}
CLIP_VISION = {**TOWER, "patch_size": 4, "image_shape": (12, 12, 3), "name": "vision_encoder"}
CLIP_TEXT = {**TEXT, "embedding_dim": 8, "name": "text_encoder"}


def cases():
    """Each case: its name, a function that makes the model, and what its inputs are."""
    m = keras_hub.models
    albert = {**TEXT, "embedding_dim": 6}
    return [
        ("bert", lambda: m.BertTextClassifier(m.BertBackbone(**TEXT), 3, dropout=0.2), "texts"),
        ("bert_masked_lm", lambda: m.BertMaskedLM(m.BertBackbone(**PAIR)), "texts"),
        ("albert", lambda: m.AlbertTextClassifier(m.AlbertBackbone(**albert), 3), "texts"),
        (
            "albert_groups",
            lambda: m.AlbertMaskedLM(m.AlbertBackbone(**{**albert, "num_groups": 2})),
            "texts",
        ),
        (
            "distil_bert",
            lambda: m.DistilBertTextClassifier(m.DistilBertBackbone(**TEXT), 3),
            "texts",
        ),
        ("distil_bert_masked_lm", lambda: m.DistilBertMaskedLM(m.DistilBertBackbone(**PAIR)), "texts"),
        ("roberta", lambda: m.RobertaTextClassifier(m.RobertaBackbone(**TEXT), 3), "texts"),
        ("roberta_masked_lm", lambda: m.RobertaMaskedLM(m.RobertaBackbone(**PAIR)), "texts"),
        ("xlm_roberta", lambda: m.XLMRobertaTextClassifier(m.XLMRobertaBackbone(**PAIR), 3), "texts"),
        ("gpt2", lambda: m.GPT2CausalLM(m.GPT2Backbone(**TEXT)), "texts"),
        ("bloom", lambda: m.BloomCausalLM(m.BloomBackbone(**_without(TEXT, "max_sequence_length"))), "texts"),
        (
            "t5",
            lambda: m.T5Seq2SeqLM(m.T5Backbone(**T5, activation="relu", use_gated_activation=False)),
            "pairs",
        ),
        (
            "t5_gated",
            lambda: m.T5Seq2SeqLM(
                m.T5Backbone(**T5, activation=gelu_approximate, tie_embedding_weights=False)
            ),
            "pairs",
        ),
        ("bart", lambda: m.BartSeq2SeqLM(m.BartBackbone(**TEXT)), "pairs"),
        (
            "vit",
            lambda: m.ViTImageClassifier(m.ViTBackbone(**VIT, use_mha_bias=False), 3),
            "pictures",
        ),
        ("deit", lambda: m.DeiTImageClassifier(m.DeiTBackbone(**DEIT), 3), "pictures"),
        (
            "clip",
            lambda: m.CLIPBackbone(
                m.CLIPVisionEncoder(**CLIP_VISION), m.CLIPTextEncoder(**CLIP_TEXT), 6
            ),
            "both",
        ),
    ]


def _without(options, name):
    return {key: value for key, value in options.items() if key != name}


def noise(name, shape):
    """The numbers of a tensor, from its name; those of a scale lie around 1."""
    array = np.random.default_rng(zlib.crc32(name.encode())).normal(size=shape) * 0.2
    is_scale = len(shape) == 1 and name.endswith("/vars/0") and "mlm_head" not in name
    return (array + is_scale).astype("float32")


def add_noise(path):
    """Noise on every tensor of an H5 file; their dtypes and shapes by name."""
    found = {}
    with h5py.File(path, "r+") as file:
        file.visititems(lambda name, held: found.update({name: held}) if hasattr(held, "shape") else None)
        found = {name: held for name, held in found.items() if not name.startswith("optimizer/")}
        for name, held in found.items():
            is_places = held.dtype == "int64"  # Zeros in a new CLIP, these in one that was trained.
            held[...] = np.arange(held.size) if is_places else noise(name, held.shape)
        return {name: [held.dtype.name, list(held.shape)] for name, held in found.items()}


def inputs(model, kind):
    """Ragged texts, pictures, or both, by the names that the model has for them."""
    draw = np.random.default_rng(7)
    mask = (np.arange(LENGTH) < np.array([[LENGTH], [5], [3]])).astype("int32")
    ids = np.where(mask, draw.integers(3, VOCABULARY, (3, LENGTH)), 1).astype("int32")
    known = {
        "token_ids": ids,
        "padding_mask": mask,
        "segment_ids": (np.arange(LENGTH) > 2).astype("int32") * mask,
        "mask_positions": np.tile(np.arange(LENGTH, dtype="int32"), (3, 1)),
        "encoder_token_ids": ids,
        "encoder_padding_mask": mask,
        "decoder_token_ids": np.where(mask, ids[::-1], 1)[:, :6],
        "decoder_padding_mask": mask[::-1][:, :6],
        "images": draw.normal(size=(3, 12, 12, 3)).astype("float32").round(3),
    }
    names = model.input if isinstance(model.input, dict) else ["images"]
    return {name: known[name] for name in names}


def run(model, kind):
    given = inputs(model, kind)
    outputs = model(given if isinstance(model.input, dict) else given["images"], training=False)
    outputs = outputs if isinstance(outputs, dict) else {"output": outputs}
    plain = lambda array: np.asarray(array)
    return {name: plain(x) for name, x in given.items()}, {n: plain(x) for n, x in outputs.items()}


def rounded(array):
    if array.dtype != "float32":
        return array.tolist()
    return [float(f"{x:.7g}") for x in array.ravel().tolist()]


def recorded(name, make, kind, work):
    """A case: written by KerasHub, noise put into its files, read and run by KerasHub."""
    folder, model = work / name, make()
    model.save_to_preset(str(folder))
    files = {p.name: add_noise(p) for p in sorted(folder.glob("*.weights.h5"))}
    backbone = keras_hub.models.Backbone.from_preset(str(folder))
    case = {"case": name, "config": {}, "tensors": files}
    for path in sorted(folder.glob("*.json")):
        if path.name != "metadata.json":
            case["config"][path.name] = json.loads(path.read_text())
    given, outputs = run(backbone, kind)
    arrays = {"backbone": outputs}
    if (folder / "task.json").is_file():
        given, arrays["task"] = run(type(model).from_preset(str(folder)), kind)
    case["inputs"] = {n: x.tolist() for n, x in given.items()}
    case["outputs"] = {
        part: {n: {"shape": x.shape, "values": rounded(x)} for n, x in of.items()}
        for part, of in arrays.items()
    }
    np.savez(work / f"{name}.inputs.npz", **given)
    for part, of in arrays.items():
        np.savez(work / f"{name}.{part}.npz", **of)
    return case


def main(work):
    work.mkdir(parents=True, exist_ok=True)
    GOLDEN.parent.mkdir(parents=True, exist_ok=True)
    done = [recorded(*case, work) for case in cases()]
    text = ",\n".join(json.dumps(case, separators=(",", ":")) for case in done)
    GOLDEN.write_text(f"[\n{text}\n]\n")
    print(GOLDEN.stat().st_size, "bytes")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
