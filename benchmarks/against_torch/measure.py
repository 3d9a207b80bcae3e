"""kzoo's training against transformers + torch, batch by batch: losses and final weights.

    python benchmarks/against_torch/measure.py [--only TEXT] [--output FILE]

Every family learns every task, and one classifier learns under every setting (`cases.py`, where a
family or a task that comes is a line). The models are tiny and every trainable number in them is
noise: the usual initialisation would hide a bias that never learns. Both sides get the same ragged
batches, the last one smaller. The result names the largest difference of a loss and of a weight in
each case; a difference above its limit ends the command with exit code 1.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import cases
import torch_side

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
from provenance import provenance  # noqa: E402

SOURCES = ["benchmarks/against_torch", "kzoo/nn", "kzoo/models", "kzoo/tasks", "kzoo/training"]
SOURCES += ["kzoo/network.py", "kzoo/keras_hooks.py", "kzoo/data/batches.py"]
PACKAGES = ("keras", "tensorflow", "jax", "torch", "transformers")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="", help="cases whose name has this text")
    parser.add_argument("--output", type=Path, default=HERE / "result.json")
    arguments = parser.parse_args()
    wanted = {
        number: case for number, case in enumerate(cases.cases()) if arguments.only in case.name
    }
    with tempfile.TemporaryDirectory() as folder:
        rows = compare(wanted, Path(folder))
    result = {
        "what": "largest differences between kzoo and transformers + torch over "
        f"{cases.EPOCHS} epochs of {-(-len(cases.LENGTHS) // cases.BATCH)} batches",
        "on_purpose": cases.ON_PURPOSE,
        "cases": rows,
        "beyond_their_limits": [row["case"] for row in rows if not row["within"]],
        "provenance": provenance(SOURCES, PACKAGES),
    }
    arguments.output.write_text(json.dumps(result, indent=2) + "\n")
    print(f"{len(rows)} cases, beyond their limits: {result['beyond_their_limits'] or 'none'}")
    raise SystemExit(bool(result["beyond_their_limits"]))


def compare(wanted, folder):
    """A row for each case."""
    rows = []
    for where in dict.fromkeys(case.where for case in wanted.values()):
        numbers = [number for number, case in wanted.items() if case.where == where]
        expected = {}
        for number in numbers:
            (folder / str(number)).mkdir()
            expected[number] = torch_side.train(wanted[number], folder / str(number))
        for number, actual in trained(where, numbers, folder):
            rows.append(row(wanted[number], expected[number], actual))
            print(json.dumps(rows[-1]), flush=True)
    return rows


def trained(where, numbers, folder):
    """What kzoo makes of the cases, one after the other, in a process of its own."""
    worker = subprocess.Popen(
        [sys.executable, HERE / "kzoo_side.py", where, folder],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=None if os.environ.get("VERBOSE") else subprocess.DEVNULL,
        text=True,
    )
    for number in numbers:
        worker.stdin.write(f"{number}\n")
    worker.stdin.close()
    for line in worker.stdout:
        if line.startswith("{"):
            answer = json.loads(line)
            yield answer["number"], answer
    if worker.wait():
        raise SystemExit(f"error: kzoo on {where} ended early; VERBOSE=1 shows why.")


def row(case, expected, actual):
    """One line of the result."""
    setting = cases.SETTINGS[case.setting]
    apart = max(abs(a - b) for a, b in zip(expected, actual["losses"], strict=True))
    return {
        "case": case.name,
        "where": case.where,
        "loss": apart,
        "weights": actual["weights"],
        "worst_weight": actual["worst"],
        "losses": [round(expected[0], 4), round(expected[-1], 4)],
        "limits": [setting.limit, setting.weight_limit],
        "within": apart <= setting.limit and actual["weights"] <= setting.weight_limit,
    }


if __name__ == "__main__":
    main()
