"""What every client that is installed makes of some bundles: `kzoo verify --clients`, kept.

    python benchmarks/clients/measure.py BUNDLE... [--texts FILE] [--output result.json]

Each bundle's golden examples and the shipped lines of many languages (or the lines of FILE) go
through Python, the JVM, Chromium, MediaPipe and ARM64, as far as they are installed. Fails when a
client that has Python's tokenizer, which all but MediaPipe claim, gives other ids.
"""

import argparse
import json
import platform
import sys
from importlib.metadata import version
from pathlib import Path

import kzoo
from kzoo.litert import clients

OWN_TOKENIZER = {"MediaPipe"}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("bundles", type=Path, nargs="+")
    parser.add_argument("--texts", type=Path)
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "result.json")
    arguments = parser.parse_args()
    result = {
        "environment": {
            "machine": platform.machine(),
            "python": platform.python_version(),
            **{name: version(name) for name in ("kzoo", "ai-edge-litert", "tokenizers")},
        },
        "bundles": {},
    }
    wrong = []
    for folder in arguments.bundles:
        task = kzoo.verify_bundle(folder)["task"]
        lines = None
        if arguments.texts:
            lines = clients.read_texts(arguments.texts, pairs=task == "QuestionAnswering")
        found = clients.compare(folder, lines, say=print)
        found["bundle"] = folder.name
        result["bundles"][folder.name] = found
        print(json.dumps(found, indent=1), flush=True)
        wrong += [
            f"{folder.name} on {row['client']}"
            for row in found["clients"]
            if row["client"] not in OWN_TOKENIZER
            and row.get("ids_equal") not in (None, row.get("texts"))
        ]
    arguments.output.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    for each in wrong:
        print(f"other ids: {each}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
