"""What int8 costs the shipped writer on Tiny Shakespeare's validation part.

    python benchmarks/shakespeare/on_device.py --data TEXT

TEXT as for measure.py. The shipped recipe is exported with the validation part, by which nothing
was chosen, as its evaluation: perplexities are of the file's own steps over its first tokens, and
of Keras over the same. The share of equal tokens is that of the shipped prompts. Writes
`device.json` beside this script.
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path

import kzoo

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent)]
from measure import read  # noqa: E402
from provenance import provenance  # noqa: E402

SOURCES = [
    "benchmarks/shakespeare/on_device.py", "export/shakespeare.json", "kzoo/bundle", "kzoo/litert",
    "kzoo/nn", "presets/gpt2_tiny_en.shakespeare",
]  # fmt: skip
PACKAGES = ["kzoo", "keras", "tensorflow", "ai-edge-litert"]


def main():
    """Export, and keep what was measured."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    _, held = read(parser.parse_args().data)
    with tempfile.TemporaryDirectory() as folder:
        text = Path(folder) / "validation.txt"
        text.write_text(held, encoding="utf-8")
        changes = {"evaluation": text, "text": "file", "note": None, "share_texts": False}
        report = kzoo.export_recipe("shakespeare", Path(folder) / "bundle", print, changes)
    evaluation, parity = report["evaluation"], report["parity"]
    result = {
        "what": "the shipped writer as int8 against Keras in float32, on the validation part of "
        "Tiny Shakespeare",
        "megabytes": round(report["sizes"]["file"] / 1e6, 3),
        "tokens": evaluation["perplexity_tokens"],
        "perplexity": {
            "int8": round(evaluation["perplexity"], 4),
            "float32_file": round(evaluation["perplexity_float32"], 4),
            "keras": round(evaluation["perplexity_keras"], 4),
        },
        "perplexity_ratio": round(evaluation["perplexity"] / evaluation["perplexity_keras"], 5),
        "prompts": parity["texts"],
        "tokens_equal": round(parity["tokens_equal"], 4),
        "provenance": provenance(SOURCES, PACKAGES),
    }
    (HERE / "device.json").write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
