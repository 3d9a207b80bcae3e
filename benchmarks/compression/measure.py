"""What each step of compression costs and gains, row by row: SST-2 and others, on LiteRT's files.

    python benchmarks/sst2/run.py teacher --data DATA/glue_sst2 --model MINILM --output TEACHER
    python benchmarks/compression/measure.py ROW --data DATA --teacher TEACHER --output FOLDER

DATA is a folder with the public sets (`glue_sst2/train.tsv.gz`, `glue_sst2/dev.tsv` and so on),
MINILM the Hugging Face folder of all-MiniLM-L6-v2. A row is a recipe in `recipes/` beside this
script: `kzoo compress` with its paths filled in. What comes out is exported as int8 and measured on
the test file, which nothing was trained on and nothing chosen by, and against the teacher's own
int8 file, in turns on one thread. ROW.json is written beside this script.

The shapes and rates in the recipes were chosen on sentences held out of train (`--held`, which
trains on the rest and looks at nothing else) or not at all.
"""

import argparse
import json
import sys
import time
from pathlib import Path

import kzoo
from kzoo.bundle import export_bundle
from kzoo.bundle.bench import bench_bundle
from kzoo.bundle.limits import defaults
from kzoo.bundle.manifest import MANIFEST, MODEL
from kzoo.bundle.parity import measure_of
from kzoo.evaluation import evaluate
from kzoo.training import compress

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))
from provenance import provenance  # noqa: E402

SOURCES = [
    "benchmarks/compression/measure.py", "kzoo/compression", "kzoo/litert", "kzoo/nn",
    "kzoo/tasks", "kzoo/training",
]  # fmt: skip
# By the beginning of a row's name: what is learnt from, what measures, the columns, the measure.
FILES = {
    "sst2": ("glue_sst2/train.tsv.gz", "glue_sst2/dev.tsv", {}, "accuracy"),
}
LENGTHS = [32, 64, 128]
HELD = 0.03  # of the training file, for choices


def bundle(model, folder, quantization="int8"):
    """A bundle of a model, made unless it is there; no limit keeps it from being written."""
    if not (folder / MANIFEST).is_file():
        limits = dict.fromkeys(defaults(quantization, measure_of(model)))
        export_bundle(model, folder, quantization, limits=limits)
    return folder


def measured(row, args):
    """The record of a row."""
    train, test, columns, measure = FILES[row.split("_")[0]]
    recipe = json.loads((HERE / "recipes" / f"{row}.json").read_text(encoding="utf-8"))
    for step in recipe["steps"]:
        if "teacher" in step:
            step["teacher"]["answers"] = str(args.output / "answers")
    asked = {
        **recipe,
        **columns,
        "model": str(args.teacher),
        "train": str(args.data / train),
        "output": str(args.output / row),
        **({"validation": HELD} if args.held else {}),
    }
    start = time.time()
    if not (args.output / row / "spec.json").is_file():
        compress(asked, verbose=2, say=lambda line: print(line, flush=True))
    seconds = time.time() - start
    model, teacher = kzoo.load(args.output / row), kzoo.load(args.teacher)
    if args.held:
        return {"row": row, "seconds": round(seconds)}
    files = {
        "row": bundle(model, args.output / f"{row}-int8"),
        "teacher": bundle(teacher, args.output / "teacher-int8"),
    }
    scores = {
        name: {
            "keras": evaluate(own, args.data / test)["scores"][measure],
            "int8": evaluate(files[name], args.data / test)["scores"][measure],
            "megabytes": round((files[name] / MODEL).stat().st_size / 1e6, 3),
        }
        for name, own in (("row", model), ("teacher", teacher))
    }
    speeds = bench_bundle(files["row"], files["teacher"], LENGTHS)["lengths"]
    record = json.loads((args.output / row / "compression.json").read_text(encoding="utf-8"))
    return {
        "row": row,
        "measure": measure,
        "test": test,
        **scores,
        "drop": scores["teacher"]["int8"] - scores["row"]["int8"],
        "speed": {str(entry["tokens"]): round(entry["speed"], 3) for entry in speeds},
        "steps": json.loads((HERE / "recipes" / f"{row}.json").read_text())["steps"],
        "parameters": [record["parameters"], *(step["parameters"] for step in record["steps"])],
        "seconds": round(seconds),
    }


def main():
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    rows = sorted(path.stem for path in (HERE / "recipes").glob("*.json"))
    parser.add_argument("row", choices=rows)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--teacher", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--held", action="store_true", help="train on a part, and measure nothing")
    args = parser.parse_args()
    args.output.mkdir(parents=True, exist_ok=True)
    result = measured(args.row, args)
    if not args.held:
        made = provenance(SOURCES, ["kzoo", "keras", "tensorflow", "ai-edge-litert"])
        text = json.dumps({"provenance": made, **result}, indent=1) + "\n"
        (HERE / f"{args.row}.json").write_text(text, encoding="utf-8")
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
