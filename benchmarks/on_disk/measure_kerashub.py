"""How far is kzoo from KerasHub, on files that KerasHub wrote and on those that kzoo writes for it?

    python benchmarks/on_disk/measure_kerashub.py WORK SHARED_DATA [--hub PYTHON]

WORK holds what record_kerashub.py left in WORK/kerashub, and record_keras_nlp.py in
WORK/keras_nlp_VERSION. Every case is loaded, run, written anew and given to KerasHub, by the Python
that has it; so are tokenizers of SHARED_DATA (as in benchmarks/tokenizer_parity), with which both
cut the lines of the Declaration of Human Rights. Writes result_kerashub.json.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np

import kzoo
from kzoo.checkpoints.config import spec_from_config
from kzoo.checkpoints.kerashub.preset_tables import PRESETS
from kzoo.models import build
from kzoo.text import Tokenizer

HERE = Path(__file__).resolve().parent
sys.path[:0] = [
    str(place)
    for place in (HERE.parent, HERE.parent / "tokenizer_parity", HERE.parents[1] / "tests")
]
from on_disk_kerashub import alike, difference, tensors  # noqa: E402
from provenance import provenance  # noqa: E402
from texts import declaration  # noqa: E402
from tokenizer_files import make  # noqa: E402

SOURCES = ["kzoo/checkpoints/kerashub", "kzoo/checkpoints/rows.py", "kzoo/checkpoints/config.py",
           "kzoo/models", "kzoo/text", "benchmarks/on_disk"]  # fmt: skip
PLAIN = "bert-base-uncased, accents kept there"  # what KerasHub's BertTokenizer does unless told
TOKENIZERS = {
    "bert-base-uncased": kzoo.Bert,
    "bert-base-cased": kzoo.Bert,
    "bert-base-multilingual-cased": kzoo.Bert,
    "bert-base-chinese": kzoo.Bert,
    "roberta-base": kzoo.Roberta,
    "xlm-roberta-base": kzoo.Roberta,
    "gpt2": kzoo.Gpt2,
    "t5-small": kzoo.T5,
}


def archived(path):
    with np.load(path) as held:
        return dict(held)


def apart(model, inputs, path):
    return float(f"{difference(model, inputs, archived(path)):.2g}")


def measured(folder, written):
    """What a case is, how far kzoo is from its answers; it is written as kzoo's own as well."""
    inputs = archived(folder.with_name(f"{folder.name}.inputs.npz"))
    model = kzoo.load(folder)
    result = {"model": type(model).__name__, "known_by": kzoo.recognised(folder).sign}
    for part, task in (("task", None), ("backbone", "backbone")):
        path = folder.with_name(f"{folder.name}.{part}.npz")
        if path.is_file():
            result[part] = apart(kzoo.from_kerashub(folder, task=task), inputs, path)
    if folder.parent.name == "kerashub":  # What is older gets the names of today.
        with tempfile.TemporaryDirectory() as place:
            kzoo.to_kerashub(model, Path(place) / "back")
            result["same_bits"] = alike(tensors(folder), tensors(Path(place) / "back"))
    model.origin = None
    place = written / f"{folder.parent.name} {folder.name}"
    kzoo.to_kerashub(model, place)
    np.savez(place.with_name(f"{place.name}.inputs.npz"), **inputs)
    return result


def small(family, vocabulary_size):
    """A model of a family with as many tokens."""
    golden = {kzoo.Bert: "bert", kzoo.Roberta: "roberta", kzoo.Gpt2: "gpt2", kzoo.T5: "t5"}
    cases = json.loads((HERE.parents[1] / "tests/golden/on_disk/kerashub.json").read_text())
    case = next(case for case in cases if case["case"] == golden[family])
    held = case["config"]["config.json"]
    config = {**held["config"], "vocabulary_size": vocabulary_size}
    return build(spec_from_config(config, PRESETS[held["class_name"]]))


def write_tokenizers(data, written):
    """A preset with each tokenizer; by what is compared, the presets' names and tokenizers."""
    found = {}
    for name, family in TOKENIZERS.items():
        with tempfile.TemporaryDirectory() as place:
            tokenizer = Tokenizer.load(make(name, data, Path(place)))
        backbone = small(family, tokenizer.vocabulary_size)
        backbone.processors = {"tokenizer": tokenizer}
        kzoo.to_kerashub(backbone, written / f"tokenizer {name}")
        found[name] = name, tokenizer
    plain = written / f"tokenizer {PLAIN}"
    shutil.copytree(written / "tokenizer bert-base-uncased", plain)
    held = json.loads((plain / "tokenizer.json").read_text())
    held["config"]["strip_accents"] = False
    (plain / "tokenizer.json").write_text(json.dumps(held))
    return found | {PLAIN: (PLAIN, kzoo.from_kerashub(plain).processors["tokenizer"])}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("work", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("--hub", default=sys.executable)
    options = parser.parse_args()
    written = options.work / "written"
    shutil.rmtree(written, ignore_errors=True)
    written.mkdir()
    folders = [path for path in sorted(options.work.glob("keras*/*")) if path.is_dir()]
    cases = {f"{path.parent.name} {path.name}": measured(path, written) for path in folders}
    lines = [line for line in declaration(options.data) if line.strip()]
    (written / "texts.json").write_text(json.dumps(lines))
    tokenizers = write_tokenizers(options.data, written)
    subprocess.run([options.hub, HERE / "answers_kerashub.py", written], check=True)

    for name, case in cases.items():
        part = "task" if "task" in case else "backbone"
        library, _, own = name.partition(" ")
        there = archived(options.work / library / f"{own}.{part}.npz")
        here = archived(written / f"{name}.{part}.npz")
        worst = max(float(np.abs(here[key] - there[key]).max()) for key in there)
        case["written_then_read_by_kerashub"] = float(f"{worst:.2g}")
        print(name, case, flush=True)
    shares = {}
    for name, (folder, tokenizer) in tokenizers.items():
        there = json.loads((written / f"tokenizer {folder}.tokens.json").read_text())
        here = tokenizer.bare_ids(lines)
        pairs = zip(here, there, strict=True)
        differing = [i for i, (one, other) in enumerate(pairs) if list(one) != list(other)]
        share = round(len(differing) / len(lines), 5)
        shares[name] = {"lines": len(differing), "share": share}
        print(name, shares[name], flush=True)
        for i in differing[:2]:
            print("   ", lines[i][:80], list(here[i][:20]), there[i][:20])
    parts = ("task", "backbone")
    worst = max(case.get(part, 0.0) for case in cases.values() for part in parts)
    result = {
        "worst": worst,
        "worst_in_millionths": round(1e6 * worst, 2),
        "count": len(cases),
        "worst_written": max(case["written_then_read_by_kerashub"] for case in cases.values()),
        "cases": cases,
        "lines_of_the_declaration": len(lines),
        "lines_that_kerashub_cuts_otherwise": shares,
        "provenance": provenance(SOURCES, ["keras", "tensorflow", "numpy", "h5py", "tokenizers"]),
    }
    text = json.dumps(result, indent=1) + "\n"
    (HERE / "result_kerashub.json").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
