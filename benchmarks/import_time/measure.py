"""How long a user waits: for `import kzoo`, `kzoo --help`, the first model, `kzoo predict`.

    python benchmarks/import_time/measure.py BUNDLE [--rounds 15] [--output result.json]

Every case is a fresh process. The cases alternate within a round, so that a busy moment of the
machine falls on all of them; medians over the rounds are reported, and so is the bare start of
Python and `import keras` in the same run, which say what the machine was like.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))
from provenance import provenance  # noqa: E402

SENTENCE = "A warm, funny film that I would happily watch again."
SOURCES = ["kzoo/__init__.py", "kzoo/cli.py", "kzoo/bundle/predict.py"]
PACKAGES = ("kzoo", "keras", "tensorflow", "ai-edge-litert", "typer")
LIMITS = {"import kzoo": 0.5, "kzoo --help": 0.5, "kzoo predict": 1.5}  # seconds


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "result.json")
    arguments = parser.parse_args()

    python = sys.executable
    cases = {
        "python": [python, "-c", "pass"],
        "import kzoo": [python, "-c", "import kzoo"],
        "kzoo --help": [python, "-m", "kzoo", "--help"],
        "kzoo list": [python, "-m", "kzoo", "list", "--json"],
        "kzoo predict": [python, "-m", "kzoo", "predict", str(arguments.bundle), SENTENCE],
        "import keras": [python, "-c", "import keras"],
        # What `import kzoo` puts off: Keras and TensorFlow come with the first model.
        "first model": [python, "-c", "import kzoo; kzoo.load('bert_minilm_l6_en_uncased.sst2')"],
    }
    seconds = {name: [] for name in cases}
    for turn in range(arguments.rounds + 1):  # the first round warms the file cache
        for name, command in cases.items():
            start = time.perf_counter()
            subprocess.run(command, check=True, capture_output=True)
            if turn:
                seconds[name].append(time.perf_counter() - start)

    result = {
        "what": "seconds from the start of a fresh process to its end",
        "provenance": provenance(SOURCES, PACKAGES),
        "rounds": arguments.rounds,
        "seconds": {
            name: {
                "median": round(statistics.median(values), 3),
                "min": round(min(values), 3),
                "max": round(max(values), 3),
            }
            for name, values in seconds.items()
        },
        "limits": LIMITS,
    }
    medians = {name: entry["median"] for name, entry in result["seconds"].items()}
    result["times_bare_python"] = {n: round(m / medians["python"], 1) for n, m in medians.items()}
    result["within_limits"] = all(medians[name] <= limit for name, limit in LIMITS.items())
    arguments.output.write_text(json.dumps(result, indent=2) + "\n")
    for name, entry in result["seconds"].items():
        limit = f"   limit {LIMITS[name]}" if name in LIMITS else ""
        print(f"{name:14} {entry['median']:6.3f} s{limit}")
    return 0 if result["within_limits"] else 1


if __name__ == "__main__":
    sys.exit(main())
