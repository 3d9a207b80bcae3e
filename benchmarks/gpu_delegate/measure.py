"""Does LiteRT's own GPU delegate take the files that are for it, and compute the same?

    python benchmarks/gpu_delegate/measure.py [--older PYTHON] [--vulkan FILE] [--libraries FOLDER]

LiteRT's wheel for Linux holds its GPU delegate for WebGPU, and that runs over Vulkan. With the
driver SwiftShader a processor plays the GPU: Debian's packages libvulkan1 and chromium-common have
both. So every operator is checked by the delegate itself, and its kernels compute; what a phone's
own driver does with them, its float16 arithmetic above all, this doesn't show.

A small network of each family, with noise for weights, and the presets that ship are written as
usual in float16 and with `--for gpu`. PYTHON is one of an environment with tensorflow 2.16, such as
benchmarks/old_runtimes makes: its Analyzer says what TensorFlow Lite's delegate refuses of the same
in float32, all of which kzoo's audit must say as well. (What reads whole numbers it doesn't mind,
which its delegate does; of halves it takes none for constants, which its
delegate does.)
"""

import argparse
import collections
import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import kzoo
from kzoo.litert.convert import exportable, traced, write_file
from kzoo.litert.flatbuffer import read_model
from kzoo.litert.gpu import refused
from kzoo.models import build

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
sys.path[:0] = [str(HERE.parent), str(ROOT / "tests")]
from families import SPECS, add_noise  # noqa: E402
from provenance import provenance  # noqa: E402

SOURCES = ["benchmarks/gpu_delegate", "kzoo/litert", "kzoo/nn", "kzoo/models", "kzoo/graphs.py"]
PRESETS = ("vit_micro_4_28.mnist", "kwt1_speech_commands", "bert_minilm_l6_en_uncased.sst2")
FAMILIES = (
    "bert", "distilbert", "roberta", "albert", "vit", "deit", "mobilevit", "kwt", "ast", "clip",
)  # fmt: skip
LENGTH = 16
NEAR = 1e-4
REFUSED = re.compile(r"^([A-Z0-9_]+): (.*)$")
ANALYZE = """
import contextlib, io, sys, tensorflow as tf
for path in sys.argv[1:]:
    text = io.StringIO()
    with contextlib.redirect_stdout(text):
        tf.lite.experimental.Analyzer.analyze(path, gpu_compatibility=True)
    print("file:", path)
    print(text.getvalue())
"""


def models():
    """(name, model, functions or None for its own) of each file."""
    for name in PRESETS:
        yield name, kzoo.load(name), None
    for family in FAMILIES:
        model = add_noise(build(SPECS[family]))
        towers = list(model.functions) if len(model.functions) > 1 else [None]
        for tower in towers:
            yield f"{family} {tower or ''}".strip(), model, tower and [tower]


def on_delegate(path, variables):
    """What `run.py` prints, and what the delegate refuses, {operator: its reason}."""
    ran = subprocess.run(
        [sys.executable, HERE / "run.py", path], capture_output=True, text=True, env=variables
    )
    if ran.returncode:
        raise SystemExit(f"{path.name} did not run: {ran.stderr[-2000:]}")
    lines, reasons = iter(ran.stderr.splitlines()), {}
    for line in lines:
        if "Following operations are not supported" in line:
            for line in lines:
                if not (found := REFUSED.match(line)):
                    break
                reasons[found[1]] = found[2]
    return {**json.loads(ran.stdout.splitlines()[-1]), "refused": reasons}


def analyzed(python, paths):
    """{path: {operator: count}} that the Analyzer of an older TensorFlow calls refused."""
    ran = subprocess.run([python, "-c", ANALYZE, *paths], capture_output=True, text=True)
    if ran.returncode:
        raise SystemExit(f"The Analyzer did not run: {ran.stderr[-2000:]}")
    found = {}
    for part in ran.stdout.split("file: /")[1:]:
        path, _, text = part.partition("\n")
        names = re.findall(r"Op#(\d+) ([A-Z0-9_]+)\(", text)
        places = re.search(r"issues at nodes ([\d, ]+) on", text)
        wrong = set(places[1].split(", ")) if places else set()
        found[f"/{path}"] = dict(
            sorted(collections.Counter(name for at, name in names if at in wrong).items())
        )
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--older", help="a Python with tensorflow 2.16")
    parser.add_argument("--vulkan", default="/usr/lib/chromium/vk_swiftshader_icd.json")
    parser.add_argument("--libraries", help="the folder of libvulkan.so.1, where it isn't usual")
    parser.add_argument("--output", type=Path, default=HERE / "result.json")
    arguments = parser.parse_args()
    variables = {**os.environ, "VK_ICD_FILENAMES": arguments.vulkan}
    if arguments.libraries:
        variables["LD_LIBRARY_PATH"] = arguments.libraries
    result = {"provenance": provenance(SOURCES, ["kzoo", "ai-edge-litert"]), "files": {}}
    wrong = []
    with tempfile.TemporaryDirectory() as scratch:
        plain = {}
        for name, model, functions in models():
            stem = Path(scratch) / name.replace(" ", "_")
            paths = {
                kind: stem.with_suffix(f".{kind}.tflite") for kind in ("usual", "gpu", "float32")
            }
            sizes = {"length": LENGTH}
            with traced(exportable(model), sizes, functions) as graphs:
                write_file(graphs, paths["usual"], "float16", partitions=None)
                audited = write_file(graphs, paths["gpu"], "float16", partitions=None, target="gpu")
                write_file(graphs, paths["float32"], "float32", partitions=None, target="gpu")
            plain[name] = str(paths["float32"])
            entry = {kind: on_delegate(paths[kind], variables) for kind in ("usual", "gpu")}
            refusals = refused(read_model(paths["usual"].read_bytes()))["refused"]
            entry["usual"]["audit_says"] = sorted(refusals)
            entry["gpu"] |= {kind: audited["gpu"][kind] for kind in ("older", "stopping")}
            result["files"][name] = entry
            if not entry["gpu"]["whole"] or entry["gpu"]["difference"] > NEAR:
                wrong.append(name)
            if not entry["usual"]["whole"] and not refusals:
                wrong.append(f"{name} as usual")
            print(name, json.dumps(entry), flush=True)
        if arguments.older:
            found = analyzed(arguments.older, plain.values())
            for name, path in plain.items():
                result["files"][name]["gpu"]["analyzer_of_2_16"] = found[path]
                if found[path].items() - result["files"][name]["gpu"]["older"].items():
                    wrong.append(f"{name} by the Analyzer: {found[path]}")
    arguments.output.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    for name in wrong:
        print(f"not as expected: {name}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
