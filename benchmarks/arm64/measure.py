"""A bundle on emulated ARM64 cores: how far its outputs lie from those on x86-64, and its labels.

    benchmarks/arm64/setup.sh build/arm64
    python benchmarks/arm64/measure.py build/arm64 SENTENCES BUNDLE... [--count 100] [--core ...]

SENTENCES is a file with a header and the columns sentence and label, such as SST-2's dev.tsv; of it
the first `--count` are read. For bundles of pictures or sounds the first column holds paths; a
label that is none of theirs is empty. Each bundle's file runs here and on each core with the same
inputs; a float32 file is to lie within 1e-5 of here, a quantized one is compared by cosine and by
labels, because kernels round otherwise. Seconds are the emulator's and say nothing about a phone.
Bundles that the result holds already stay in it, if the same LiteRT ran them.
"""

import argparse
import csv
import json
import sys
from pathlib import Path

import numpy as np
from emulator import CORES, Emulated

from kzoo.answers import probabilities
from kzoo.bundle import manifest as bundle
from kzoo.bundle.senses import TEXTS, sense_of
from kzoo.litert.interpreter import encode
from kzoo.text import Tokenizer

sys.path.insert(0, str(Path(__file__).parent.parent))
from provenance import provenance  # noqa: E402

SOURCES = ["kzoo/litert/convert.py", "kzoo/litert/quantize.py", "kzoo/nn"]

CLOSE = 1e-5


def columns_of(folder, manifest, texts):
    """Columns of batch 1 for each text, picture or sound, as the bundle reads them."""
    sense = sense_of(manifest["reads"])
    if sense is not TEXTS:
        processor = sense.load(folder)
        return [sense.columns(processor, path) for path in texts]
    tokenizer = Tokenizer.load(folder / bundle.TOKENIZER)
    names = next(iter(manifest["signature"].values()))["inputs"]
    rows = []
    for text in texts:
        found, _ = encode(tokenizer, text, None, manifest["max_length"], manifest["length"])
        rows.append({name: found[name] for name in names})
    return rows


def run(model, rows, core=None, root=None):
    """The numbers of each row's outputs in the order of their names, and seconds a row."""
    with Emulated(model, core, root) as interpreter:
        outputs = [interpreter.run(columns) for columns in rows]
    found = [np.concatenate([row[name].ravel() for name in sorted(row)]) for row in outputs]
    return [row.astype("float64") for row in found], float(np.mean(interpreter.seconds))


def compare(here, there, truth):
    """Distances of outputs, and labels of both; `truth` holds the right labels' indices."""
    pairs = list(zip(here, there, strict=True))
    cosines = [a @ b / np.linalg.norm(a) / np.linalg.norm(b) for a, b in pairs]
    labels = [[int(np.argmax(probabilities(row))) for row in side] for side in (here, there)]
    known = [place for place, label in enumerate(truth) if label is not None]
    right = [sum(side[place] == truth[place] for place in known) for side in labels]
    return {
        "texts": len(here),
        "worst_difference": float(max(np.abs(a - b).max() for a, b in pairs)),
        "cosine": float(np.mean(cosines)),
        "cosine_min": float(np.min(cosines)),
        "labels_equal": sum(a == b for a, b in zip(*labels, strict=True)),
        **({"right_here": right[0], "right_there": right[1]} if known else {}),
    }


def measure(folder, root, cores, texts, truth):
    """Yield (quantization, core, comparison) for one bundle."""
    manifest = bundle.read_manifest(folder)
    bundle.check_files(folder, manifest)
    rows = columns_of(folder, manifest, texts)
    model = folder / bundle.MODEL
    here, _ = run(model, rows)
    for core in cores:
        there, seconds = run(model, rows, core, root)
        found = compare(here, there, truth) | {"emulator_seconds_a_text": round(seconds, 3)}
        if manifest["quantization"] == "float32":
            found["within_1e-5"] = found["worst_difference"] <= CLOSE
        print(f"{folder.name:24}{core:14}{found}", flush=True)
        yield manifest["quantization"], core, found


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("root", type=Path)
    parser.add_argument("sentences", type=Path)
    parser.add_argument("bundles", type=Path, nargs="+")
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--core", nargs="*", choices=CORES, default=list(CORES))
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "result.json")
    arguments = parser.parse_args()
    with arguments.sentences.open(encoding="utf-8", newline="") as file:
        entries = list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    entries = entries[: arguments.count]
    texts = [next(iter(row.values())) for row in entries]
    truth = [int(row["label"]) if row["label"] else None for row in entries]
    result = {
        "provenance": provenance(SOURCES, ["ai-edge-litert"]),
        "cores": CORES,
        "bundles": {},
    }
    if arguments.output.is_file():
        before = json.loads(arguments.output.read_text(encoding="utf-8"))
        same = (
            before["provenance"][key] == result["provenance"][key] for key in ("versions", "sha256")
        )
        if before["cores"] == result["cores"] and all(same):
            result["bundles"] = before["bundles"]
    for folder in arguments.bundles:
        entry = result["bundles"].setdefault(folder.name, {"cores": {}})
        for quantization, core, found in measure(
            folder, arguments.root, arguments.core, texts, truth
        ):
            entry["quantization"] = quantization
            entry["cores"][core] = found
            # Emulation takes long: what is measured is kept.
            text = json.dumps(result, indent=1) + "\n"
            arguments.output.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
