"""What int8 costs the preset that writes numbers as words: both files on the test's numbers.

    pip install num2words==0.5.14
    python benchmarks/number_words/int8.py

Writes `int8.json` beside this script.
"""

import json
import sys
import tempfile
from pathlib import Path

import kzoo
from kzoo.tasks.text_scores import text_scores

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent)]
from measure import SETTINGS, drawn  # noqa: E402
from provenance import provenance  # noqa: E402

RECIPE, PRESET = "number_words", "transformer_tiny_multi.number_words"
SOURCES = [
    "benchmarks/number_words/int8.py", "export/number_words.json", "kzoo/bundle", "kzoo/generation",
    "kzoo/litert", "kzoo/models/transformer.py", "kzoo/nn", "kzoo/tasks/seq2seq_lm.py",
    f"presets/{PRESET}",
]  # fmt: skip


def main():
    """Export twice, and let both files write every number."""
    sources, targets = map(list, zip(*drawn(SETTINGS["seed"])["test"], strict=True))
    result = {"what": f"{PRESET} as files, on the {len(sources):,} numbers of its test"}
    with tempfile.TemporaryDirectory() as folder:
        for kind in ("float32", "int8"):
            bundle = Path(folder) / kind
            kzoo.export_recipe(RECIPE, bundle, changes={"quantization": kind})
            written = [row["written"] for row in kzoo.predict_bundle(bundle, sources)]
            result[kind] = text_scores(written, targets, ["exact"])["exact"]
            size = (bundle / "model.tflite").stat().st_size
            result[f"{kind}_megabytes"] = round(size / 1e6, 2)
    packages = ["kzoo", "keras", "tensorflow", "ai-edge-litert", "num2words"]
    result["provenance"] = provenance(SOURCES, packages)
    (HERE / "int8.json").write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps({kind: result[kind] for kind in ("float32", "int8")}))


if __name__ == "__main__":
    main()
