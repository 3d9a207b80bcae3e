"""Presets of KerasHub that its own classes write and run, as golden cases for the tests.

    python benchmarks/on_disk/record_kerashub.py WORK

runs where keras-hub 0.32 is installed, without kzoo. Below WORK it leaves the genuine folders, each
with its inputs and outputs beside it, and it writes tests/golden/on_disk/kerashub.json. All weights
are noise that follows from their names, so that the tests can write the same files.
"""

import json
import os
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
sys.path.insert(0, str(Path(__file__).resolve().parent))

import keras
import keras_hub
import numpy as np
from keras_hub.src.utils.keras_utils import gelu_approximate
from recording import LENGTH, PAIR, TEXT, VOCABULARY, add_noise, inputs, rounded, write_golden

from on_disk_kerashub import END, SPECIAL, bpe  # isort: skip  # recording says where it is.

TEXTS = ["the ran", "the"]
FIRST = {"gpt2": [END], "bloom": SPECIAL}  # the tokens that a causal LM's vocabulary begins with
TOWER = {key: PAIR[key] for key in ("num_layers", "num_heads", "hidden_dim", "intermediate_dim")}
BLOOM = {"vocabulary_size": VOCABULARY, **TOWER}
SIDES = {"image_shape": (8, 8, 3), "patch_size": (4, 4), "num_heads": 2, "hidden_dim": 8}
VIT = {**SIDES, "num_layers": 2, "mlp_dim": 12, "layer_norm_epsilon": 1e-5}
DEIT = {**SIDES, "num_layers": 1, "intermediate_dim": 12}
T5 = {**BLOOM, "num_layers": 2, "key_value_dim": 3}
CLIP_VISION = {**TOWER, "patch_size": 4, "image_shape": (8, 8, 3), "name": "vision_encoder"}
CLIP_TEXT = {**PAIR, "embedding_dim": 8, "name": "text_encoder"}


def cases():
    """Each case: its name and a function that makes the model."""
    m = keras_hub.models
    albert = {**TEXT, "embedding_dim": 6}
    relu = {**T5, "activation": "relu", "use_gated_activation": False}
    gelu = {**T5, "activation": gelu_approximate, "tie_embedding_weights": False}
    return [
        ("bert", lambda: m.BertTextClassifier(m.BertBackbone(**TEXT), 3, dropout=0.2)),
        ("bert_masked_lm", lambda: m.BertMaskedLM(m.BertBackbone(**PAIR))),
        ("albert", lambda: m.AlbertTextClassifier(m.AlbertBackbone(**albert), 3)),
        ("albert_groups", lambda: m.AlbertMaskedLM(m.AlbertBackbone(**albert, num_groups=2))),
        ("distil_bert", lambda: m.DistilBertTextClassifier(m.DistilBertBackbone(**PAIR), 3)),
        ("distil_bert_masked_lm", lambda: m.DistilBertMaskedLM(m.DistilBertBackbone(**PAIR))),
        ("roberta", lambda: m.RobertaTextClassifier(m.RobertaBackbone(**PAIR), 3)),
        ("roberta_masked_lm", lambda: m.RobertaMaskedLM(m.RobertaBackbone(**PAIR))),
        ("xlm_roberta", lambda: m.XLMRobertaTextClassifier(m.XLMRobertaBackbone(**PAIR), 3)),
        ("gpt2", lambda: m.GPT2CausalLM(m.GPT2Backbone(**TEXT))),
        ("bloom", lambda: m.BloomCausalLM(m.BloomBackbone(**BLOOM))),
        ("t5", lambda: m.T5Seq2SeqLM(m.T5Backbone(**relu))),
        ("t5_gated", lambda: m.T5Seq2SeqLM(m.T5Backbone(**gelu))),
        ("bart", lambda: m.BartSeq2SeqLM(m.BartBackbone(**PAIR))),
        ("vit", lambda: m.ViTImageClassifier(m.ViTBackbone(**VIT, use_mha_bias=False), 3)),
        ("deit", lambda: m.DeiTImageClassifier(m.DeiTBackbone(**DEIT), 3)),
        (
            "clip",
            lambda: m.CLIPBackbone(
                m.CLIPVisionEncoder(**CLIP_VISION), m.CLIPTextEncoder(**CLIP_TEXT), 6
            ),
        ),
    ]


def run(model):
    """Inputs of a model and what it gives, by name."""
    named = isinstance(model.input, dict)
    given = inputs(list(model.input) if named else ["images"])
    outputs = model(given if named else given["images"], training=False)
    outputs = outputs if isinstance(outputs, dict) else {"output": outputs}
    return given, {name: np.asarray(array) for name, array in outputs.items()}


def generation(name, lm, folder):
    """What a causal LM writes on greedily from texts, by its preprocessor's defaults."""
    assets = folder / "assets" / "tokenizer"
    assets.mkdir(parents=True)
    bpe(assets, FIRST[name])
    preprocessor = type(lm).preprocessor_cls(
        type(lm).preprocessor_cls.tokenizer_cls(
            vocabulary=str(assets / "vocabulary.json"), merges=str(assets / "merges.txt")
        ),
        sequence_length=LENGTH,
    )
    lm.compile(sampler="greedy")
    written = []
    for text in TEXTS:
        given = preprocessor.generate_preprocess([text], sequence_length=LENGTH)
        given = {name: np.asarray(array) for name, array in given.items()}
        written += np.asarray(lm.generate(given, stop_token_ids=None)["token_ids"]).tolist()
    said = keras.saving.serialize_keras_object(preprocessor)
    return {"preprocessor": said, "texts": TEXTS, "token_ids": written}


def recorded(name, make, work):
    """A case: written by KerasHub, noise put into its files, read and run by KerasHub."""
    folder, model = work / name, make()
    model.save_to_preset(str(folder))
    files = {path.name: add_noise(path) for path in sorted(folder.glob("*.weights.h5"))}
    backbone = keras_hub.models.Backbone.from_preset(str(folder))
    given, outputs = run(backbone)
    arrays = {"backbone": outputs}
    if (folder / "task.json").is_file():
        task = type(model).from_preset(str(folder))
        given, arrays["task"] = run(task)
    np.savez(work / f"{name}.inputs.npz", **given)
    for part, of in arrays.items():
        np.savez(work / f"{name}.{part}.npz", **of)
    configs = (path for path in sorted(folder.glob("*.json")) if path.name != "metadata.json")
    case = {
        "case": name,
        "config": {path.name: json.loads(path.read_text()) for path in configs},
        "tensors": files,
        "inputs": {n: x.tolist() for n, x in given.items()},
        "outputs": {part: {n: rounded(x) for n, x in of.items()} for part, of in arrays.items()},
    }
    if name in FIRST:
        case["generation"] = generation(name, task, folder)
    return case


def main(work):
    work.mkdir(parents=True, exist_ok=True)
    write_golden("kerashub", [recorded(name, make, work) for name, make in cases()])


if __name__ == "__main__":
    main(Path(sys.argv[1]))
