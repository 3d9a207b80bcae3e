"""KWT-1 as ARM published it, a .tflite file, to the preset `kwt1_speech_commands`.

    python benchmarks/kwt1/convert.py kwt1_non_stream.tflite labels.txt FOLDER

Source: models_data_v2_12_labels/kwt1 of github.com/ARM-software/keyword-transformer at commit
237e4097afd4f6851e0b82f0a8d65c2dfe8eae30 (tflite_non_stream/non_stream.tflite and labels.txt),
Apache-2.0. The file reads 16,000 samples and gives 12 logits; its own graph has the MFCC in front
(window 30 ms, hop 10 ms, 80 bands, 40 coefficients), which is `MfccFeatureExtractor` here.
"""

import hashlib
import sys
from pathlib import Path

import numpy as np

import kzoo
from kzoo.litert.flatbuffer import operator_code, operator_names, read_model
from kzoo.models import build
from kzoo.network import weights_by_path
from kzoo.spec import Spec

SHA256 = {
    "file": "b7dc15b422494adbdd1b721c4a0f073af36a4d93331e96299512eb1561278327",
    "labels": "d19753ae642d3a5ab8eb8042f5df4d1d8c40afc6bb8ae4b7b16a808bc8ce6efd",
}
FRONT_END = 4  # affine maps before the network: the Fourier transform's two, the bands', the DCT's
WIDTH, DEPTH = 64, 12
CARD = {
    "summary": "Ten spoken commands in English, silence and other words: KWT-1.",
    "paper": "Berg, O'Connor, Cruz 2021, arXiv:2104.00769; Warden 2018, arXiv:1804.03209",
    "source": "github.com/ARM-software/keyword-transformer, models_data_v2_12_labels/kwt1",
    "license": "apache-2.0",
    "made": "benchmarks/kwt1/convert.py: the weights of the .tflite file that ARM published "
    "(commit 237e4097), none changed.",
    "measured": {
        "data": "Google Speech Commands v2, 12 labels, as ARM published it; not measured again",
        "accuracy": 0.975,
    },
}


def spec(scale=1):
    """KWT-1, 2 or 3: table 1 of the paper."""
    return Spec(
        "kwt",
        {"kind": "spectrogram", "size": [98, 40], "patch_size": [1, 40]},
        hidden_dim=WIDTH * scale,
        num_heads=scale,
        intermediate_dim=4 * WIDTH * scale,
        schedule=tuple(range(DEPTH)),
        max_sequence_length=99,
        dropout=0.0,
        attention_dropout=0.0,
        attention={"kind": "full", "bias": ["output"]},
        feedforward={"kind": "mlp", "activation": "gelu_tanh"},
        norm={"kind": "layer_norm", "epsilon": 1e-6},
        norms=[],
        pooler="none",
    )


def constants(content):
    """The file's constants: by name, and the affine maps (kernel, bias or None) in order."""
    model, names = read_model(content), operator_names()
    graph = model.subgraphs[0]

    def value(index):
        tensor = graph.tensors[index] if index >= 0 else None
        data = None if tensor is None else model.buffers[tensor.buffer].data
        return None if data is None else np.asarray(data).view("float32").reshape(tensor.shape)

    by_name = {
        tensor.name.decode().rpartition(";")[2]: value(index)
        for index, tensor in enumerate(graph.tensors)
        if tensor.type == 0 and value(index) is not None
    }
    maps = [
        (value(operator.inputs[1]).T, value(operator.inputs[2]))
        for operator in graph.operators
        if names[operator_code(model.operatorCodes[operator.opcodeIndex])] == "FULLY_CONNECTED"
        and value(operator.inputs[1]) is not None
    ]
    return by_name, maps[FRONT_END:]


def weights(content):
    """The weights by their paths in an AudioClassifier."""
    by_name, maps = constants(content)
    (kernel, bias), *rest = maps
    result = {
        "patch_embedding/kernel": kernel.reshape(1, 40, 1, WIDTH),
        "patch_embedding/bias": bias,
        "patch_embedding/class_token": by_name["class_emb"].reshape(WIDTH),
        "position/embeddings": by_name["pos_emb"].reshape(99, WIDTH),
    }
    parts = [f"attention/{name}" for name in ("query", "key", "value", "output")]
    parts += ["feedforward/up", "feedforward/down"]
    for block in range(DEPTH):
        own = f"transformer_block_{block}" if block else "transformer_block"
        for part in parts:
            kernel, bias = rest.pop(0)
            result[f"block_{block}/{part}/kernel"] = kernel
            if bias is not None:
                result[f"block_{block}/{part}/bias"] = bias
        for number, part in ((2 * block, "attention_norm"), (2 * block + 1, "feedforward_norm")):
            norm = f"layer_normalization_{number}" if number else "layer_normalization"
            for leaf in ("gamma", "beta"):
                name = f"kws_transformer/{own}/{norm}/{leaf}"
                result[f"block_{block}/{part}/{leaf}"] = by_name[name]
    result = {f"backbone/{path}": value for path, value in result.items()}
    ((kernel, bias),) = rest
    return {**result, "head/logits/kernel": kernel, "head/logits/bias": bias}


def classifier(content, labels):
    """The `AudioClassifier` of a file's content."""
    backbone = build(spec())
    processor = kzoo.AudioProcessor({"feature_extractor_type": "MfccFeatureExtractor"})
    task = kzoo.AudioClassifier(backbone, labels=labels, head="first", audio_processor=processor)
    here, there = weights_by_path(task), weights(content)
    if here.keys() != there.keys():
        raise SystemExit(f"These weights are not in both: {sorted(here.keys() ^ there.keys())}.")
    for path, weight in here.items():
        weight.assign(there[path])
    return task


def main(file, labels, folder):
    contents = {"file": Path(file).read_bytes(), "labels": Path(labels).read_bytes()}
    for name, content in contents.items():
        if hashlib.sha256(content).hexdigest() != SHA256[name]:
            raise SystemExit(f"The {name} are not those that ARM published: SHA-256 differs.")
    names = contents["labels"].decode().split()
    classifier(contents["file"], names).save_preset(folder, card=CARD)


if __name__ == "__main__":
    main(*sys.argv[1:])
