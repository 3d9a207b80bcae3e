"""A budget of megabytes, time and points in place of a recipe, searched on SST-2 as a user would.

    python benchmarks/sst2/run.py teacher --data DATA/glue_sst2 --model MINILM --output TEACHER
    python benchmarks/compression/budget.py --data DATA --teacher TEACHER --output FOLDER

DATA is a folder with the public sets. `kzoo compress TEACHER` learns from EXAMPLES of the training
sentences, chooses by a tenth of them and measures on the test file; a run that was stopped goes on
in FOLDER. What it found is written beside this script: budget.json and the picture, budget.png.
"""

import argparse
import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from kzoo.data.tables import read_table, write_table

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))
from provenance import provenance  # noqa: E402

SOURCES = [
    "benchmarks/compression/budget.py", "kzoo/budget.py", "kzoo/compression", "kzoo/litert",
    "kzoo/nn", "kzoo/tasks", "kzoo/training",
]  # fmt: skip
EXAMPLES = 5_000
BUDGET = {"--max-mb": 5, "--max-ms-ratio": 0.5, "--max-drop": 3, "--trials": 4, "--epochs": 3}


def part(file, folder):
    """The file of EXAMPLES sentences, drawn from all."""
    path = folder / "train.tsv"
    if not path.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        table = read_table(file)
        rows = np.sort(np.random.default_rng(0).permutation(len(table))[:EXAMPLES])
        columns = table.columns.items()
        write_table(path, {name: [cells[row] for row in rows] for name, cells in columns})
    return path


def main():
    """Read the command line, search, and write what was found."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in ("data", "teacher", "output"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    args = parser.parse_args()
    begun = time.monotonic()
    command = [
        sys.executable, "-m", "kzoo", "compress", str(args.teacher),
        "--train", str(part(args.data / "glue_sst2" / "train.tsv.gz", args.output)),
        "--test", str(args.data / "glue_sst2" / "dev.tsv"),
        "--references", str(HERE / "references_settings.json"),
        "--output", str(args.output / "search"),
        *(str(each) for pair in BUDGET.items() for each in pair),
    ]  # fmt: skip
    ended, found = subprocess.run(command).returncode, args.output / "search" / "report.json"
    if not found.is_file():  # It is there, too, where no shape kept to the budget.
        sys.exit(ended)
    report = json.loads(found.read_text(encoding="utf-8"))
    for name in ("recipe", "test", "references"):
        report.pop(name)  # Paths of this machine; models that stand beside this script.
    recipes = {
        point["name"]: _steps(args.output / "search" / point["folder"] / "recipe.json")
        for point in report["points"]
    }
    report |= {"examples": EXAMPLES, "options": BUDGET, "recipes": recipes}
    report["seconds"] = round(time.monotonic() - begun)  # of this run, if others went before it
    report["provenance"] = provenance(SOURCES, ["keras", "tensorflow", "ai-edge-litert"])
    (HERE / "budget.json").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    shutil.copy(args.output / "search" / "pareto.png", HERE / "budget.png")


def _steps(path):
    return json.loads(path.read_text(encoding="utf-8"))["steps"]


if __name__ == "__main__":
    main()
