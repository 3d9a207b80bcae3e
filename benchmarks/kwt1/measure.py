"""How near KWT-1 in kzoo is to ARM's file, and how near that file is to itself.

    python benchmarks/kwt1/measure.py --file kwt1_non_stream.tflite --data NAME=FOLDER ...

Each FOLDER holds .wav or .ogg files, at any depth; `result.json` tells of the first second of each
by its NAME. ARM's file runs on LiteRT twice, with XNNPACK and with plain kernels: where bands are
empty, as in speech that was recorded at 8 kHz, it differs from itself, since the logarithm of what
is nearly nothing hangs on how sums are rounded.
"""

import argparse
import json
import sys
from pathlib import Path

import numpy as np
from ai_edge_litert.interpreter import Interpreter, OpResolverType

import kzoo

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))
from provenance import provenance  # noqa: E402

SOURCES = [
    "benchmarks/kwt1/measure.py", "kzoo/audio", "kzoo/graphs.py", "kzoo/models/kwt.py", "kzoo/nn",
    "presets/kwt1_speech_commands",
]  # fmt: skip
KERNELS = {
    "xnnpack": OpResolverType.AUTO,
    "plain": OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
}


class Published:
    """ARM's file on one kind of kernels: samples (16000,) to logits (12,)."""

    def __init__(self, path, kernels):
        self.file = Interpreter(
            str(path), num_threads=1, experimental_op_resolver_type=KERNELS[kernels]
        )
        self.file.allocate_tensors()
        self.output = self.file.get_output_details()[0]["index"]

    def __call__(self, samples):
        self.file.set_tensor(0, samples[None])
        self.file.invoke()
        return self.file.get_tensor(self.output)[0].copy()


def compared(task, published, folder):
    """How far the logits of a folder's sounds lie apart at most, for each two that are compared."""
    paths = sorted(p for p in folder.rglob("*") if p.suffix in (".wav", ".ogg"))
    if not paths:
        raise SystemExit(f"error: got {folder} without .wav or .ogg files; expected some.")
    processor = task.audio_processor
    sounds = [processor.fitted(processor.read(path)) for path in paths]
    features = processor(sounds)
    logits = {"kzoo": np.asarray(task({"features": features})["logits"])}
    for name, file in published.items():
        logits[name] = np.stack([file(samples) for samples in sounds])

    def differences(one, other):
        worst = np.abs(logits[one] - logits[other]).max(-1)  # of each sound
        shown = {"median": float(np.median(worst)), "worst": float(worst.max())}
        rounded = {name: float(f"{value:.3g}") for name, value in shown.items()}
        same = logits[one].argmax(-1) == logits[other].argmax(-1)
        near = {"within 1e-4": int((worst <= 1e-4).sum())}
        return {**rounded, **near, "same label": int(same.sum())}

    return {
        "sounds": len(paths),
        "kzoo and the file": differences("kzoo", "xnnpack"),
        "kzoo and the file on plain kernels": differences("kzoo", "plain"),
        "the file and itself": differences("xnnpack", "plain"),
    }


def main():
    """Measure, and write the result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--file", type=Path, required=True)
    parser.add_argument("--data", required=True, nargs="+", metavar="NAME=FOLDER")
    arguments = parser.parse_args()
    task = kzoo.load("kwt1_speech_commands")
    published = {name: Published(arguments.file, name) for name in KERNELS}
    data = dict(entry.partition("=")[::2] for entry in arguments.data)
    result = {
        "what": "KWT-1 in kzoo beside ARM's .tflite file: by how much a sound's logits differ",
        "data": {name: compared(task, published, Path(path)) for name, path in data.items()},
        "provenance": provenance(SOURCES, ["kzoo", "keras", "tensorflow", "ai-edge-litert"]),
    }
    (HERE / "result.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(result["data"], indent=1))


if __name__ == "__main__":
    main()
