"""What int8 costs the preset that reads digits: both files on the 3,000 test pictures.

    python benchmarks/digits/int8.py --data FOLDER

FOLDER as for `measure.py`. Writes `int8.json` beside this script.
"""

import argparse
import json
import sys
from pathlib import Path

import kzoo

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent)]
from measure import idx  # noqa: E402
from provenance import provenance  # noqa: E402
from rounded import accuracies  # noqa: E402

PRESET = "vit_micro_4_28.mnist"
SOURCES = [
    "benchmarks/digits/int8.py", "benchmarks/rounded.py", "kzoo/bundle/export.py", "kzoo/litert",
    "kzoo/models/vit.py", "kzoo/nn", f"presets/{PRESET}",
]  # fmt: skip


def main():
    """Export twice, and answer every picture with both files."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--test", default="t3k")
    arguments = parser.parse_args()
    names = ("images-idx3-ubyte", "labels-idx1-ubyte")
    pictures, labels = (idx(arguments.data, f"{arguments.test}-{name}") for name in names)
    result = {
        "what": f"{PRESET} as files, on {len(labels):,} of MNIST's test pictures",
        **accuracies(kzoo.load(PRESET), pictures, labels),
        "provenance": provenance(SOURCES, ["kzoo", "keras", "tensorflow", "ai-edge-litert"]),
    }
    (HERE / "int8.json").write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps({kind: result[kind] for kind in ("float32", "int8", "drop")}))


if __name__ == "__main__":
    main()
