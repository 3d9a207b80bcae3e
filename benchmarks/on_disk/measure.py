"""How far are kzoo's outputs from those of the library that wrote a file, on the genuine files?

    python benchmarks/on_disk/measure.py --format NAME --work FOLDER

FOLDER is what a `record_*.py` left: a folder or a checkpoint's files for each case, with
`CASE.inputs.npz` and `CASE.outputs.npz` beside it, under kzoo's names. Every case is loaded and
run; the worst difference wherever there is a token is written to `result_NAME.json`.
"""

import argparse
import json
import os
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np

import kzoo

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent), str(HERE.parent.parent / "tests")]
from on_disk import difference  # noqa: E402
from provenance import provenance  # noqa: E402

READERS = [f"kzoo/checkpoints/{name}.py" for name in ("huggingface", "rows", "config", "source")]
NAMES = [*READERS, "kzoo/checkpoints/tf_names.py"]
PLAIN = [*READERS, *(f"kzoo/checkpoints/{name}.py" for name in ("tf_checkpoint", "google"))]
GRAPHS = [*PLAIN, "kzoo/checkpoints/garden.py"]
# What a format is read by, beside the families; of any other format all readers count.
SOURCES = {
    "tf_model": [*NAMES, "kzoo/checkpoints/h5.py"],
    "flax_model": [*NAMES, "kzoo/checkpoints/msgpack.py"],
    "google": PLAIN,
    "garden": GRAPHS,
    "tfhub": [*GRAPHS, "kzoo/checkpoints/tfhub.py"],
}


def measure(work):
    """What each case was known by, and how far its outputs are from those beside it."""
    cases = {}
    for outputs in sorted(work.glob("*.outputs.npz")):
        name = outputs.name.removesuffix(".outputs.npz")
        with np.load(work / f"{name}.inputs.npz") as given, np.load(outputs) as expected:
            model = kzoo.load(work / name)
            apart = difference(model, dict(given), dict(expected))
        cases[name] = {
            "model": type(model).__name__,
            "known_by": kzoo.recognised(work / name).sign,
            "difference": float(f"{apart:.2g}"),
        }
        print(f"{name:50} {type(model).__name__:20} {apart:.2g}", flush=True)
    return cases


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--format", required=True)
    parser.add_argument("--work", type=Path, required=True)
    options = parser.parse_args()
    cases = measure(options.work)
    worst = max(case["difference"] for case in cases.values())
    result = {
        "worst": worst,
        "worst_in_millionths": round(worst * 1e6, 2),
        "count": len(cases),
        "cases": cases,
        "provenance": provenance(
            [*SOURCES.get(options.format, ["kzoo/checkpoints"]), "kzoo/models"],
            ["keras", "tensorflow", "numpy", "h5py"],
        ),
    }
    path = HERE / f"result_{options.format}.json"
    path.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(f"{len(cases)} cases, worst {result['worst']}")


if __name__ == "__main__":
    main()
