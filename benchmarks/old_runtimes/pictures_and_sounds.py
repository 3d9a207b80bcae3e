"""Do files of pictures and sounds for older runtimes run there, and answer as they do here?

    python benchmarks/old_runtimes/pictures_and_sounds.py SHARED_DATA [--work build/old_runtimes]

The preset that reads digits on MNIST's first test pictures, the Keyword Transformer on spoken
digits, and a small MobileViT with noise for weights on drawn numbers: int8, rewritten for TFLite
2.14. Environments are those of `measure.py`. SHARED_DATA holds mnist and fsdd_600.
"""

import argparse
import gzip
import json
import sys
import tarfile
import tempfile
from pathlib import Path

import numpy as np

import kzoo
from kzoo.litert.convert import exportable, traced, write_file
from kzoo.litert.interpreter import Interpreter
from kzoo.models import build

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent), str(HERE.parent.parent / "tests")]
from families import SPECS, add_noise  # noqa: E402
from measure import RUNTIMES, SOURCES, environment, run_on  # noqa: E402
from provenance import provenance  # noqa: E402

PICTURES, CLIPS = 100, 20


def digits(data):
    """(model, rows): MNIST's first test pictures."""
    model = kzoo.load("vit_micro_4_28.mnist")
    content = gzip.decompress((data / "mnist" / "t3k-images-idx3-ubyte.gz").read_bytes())
    pixels = np.frombuffer(content, "uint8", offset=16).reshape(-1, 28, 28)[:PICTURES]
    resized = model.image_processor.resized
    return model, [{"images": resized(picture)[None]} for picture in pixels]


def words(data):
    """(model, rows): spoken digits."""
    model = kzoo.load("kwt1_speech_commands")
    reader, rows = model.audio_processor, []
    with tarfile.open(data / "fsdd_600" / "fsdd_600.tar.xz") as archive:
        members = [each for each in archive.getmembers() if each.name.endswith("_0.wav")]
        for member in sorted(members, key=lambda each: each.name)[:CLIPS]:
            samples = reader.fitted(reader.read(archive.extractfile(member).read()))
            rows.append({"samples": samples[None]})
    return model, rows


def mobile(_data):
    """(model, rows): drawn numbers."""
    model = add_noise(build(SPECS["mobilevit"]))
    shape = (1, *model.signature["images"].axes[1:])
    draw = np.random.default_rng(0)
    return model, [{"images": draw.standard_normal(shape, "float32")} for _ in range(CLIPS)]


MODELS = {
    "vit_micro_4_28.mnist": digits, "kwt1_speech_commands": words, "small MobileViT": mobile,
}  # fmt: skip


def flat(outputs):
    """All numbers of some rows' outputs, (rows, numbers)."""
    return np.array(
        [np.concatenate([np.ravel(row[name]) for name in sorted(row)]) for row in outputs]
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--work", type=Path, default=Path("build/old_runtimes"))
    parser.add_argument("--output", type=Path, default=HERE / "pictures_and_sounds.json")
    arguments = parser.parse_args()
    pythons = {name: environment(arguments.work.resolve(), name) for name in RUNTIMES}
    result = {
        "provenance": provenance(SOURCES, ["kzoo", "tensorflow", "ai-edge-litert"]),
        "files": {},
    }
    refused = False
    with tempfile.TemporaryDirectory() as scratch:
        for name, make in MODELS.items():
            model, rows = make(arguments.data)
            path = Path(scratch) / "model.tflite"
            with traced(exportable(model), {"length": None}) as graphs:
                audited = write_file(graphs, path, "int8", "tflite-2.14")
            interpreter = Interpreter(path)
            here = flat([interpreter.run(row) for row in rows])
            job = {
                "model": str(path),
                "rows": [{key: value[0].tolist() for key, value in row.items()} for row in rows],
            }
            entry = result["files"][name] = {
                "inputs": len(rows),
                "bytes": audited["bytes"],
                "minimum_runtime": audited["minimum_runtime"]["tflite"],
                "on": {},
            }
            for python in pythons.values():
                version, (answer,) = run_on(python, [job])
                if "refused" in answer:
                    entry["on"][version], refused = answer, True
                    continue
                there = flat(answer["outputs"])
                equal = int((there.argmax(-1) == here.argmax(-1)).sum())
                entry["on"][version] = {
                    **({"labels_as_here": equal} if hasattr(model, "labels") else {}),
                    "largest_difference": round(float(np.abs(there - here).max()), 5),
                    "of": round(float(np.abs(here).max()), 5),
                }
            print(name, json.dumps(entry), flush=True)
    arguments.output.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    return 1 if refused else 0


if __name__ == "__main__":
    sys.exit(main())
