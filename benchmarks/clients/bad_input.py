"""Bad bundles and bad texts, given to every client: one sentence, or the right answer?

    python benchmarks/clients/bad_input.py BUNDLE [--cpp build/classify] [--output bad_input.json]

BUNDLE is a text classifier with a file for MediaPipe (`kzoo export ... --to mediapipe`). Each case
goes to Python (`kzoo predict` and `kzoo verify`), to the clients of `kzoo verify --clients` that
are installed, without ARM64, which is Python's code but for the kernels, and to the C++ example.
Right is exit code 2 with one sentence and nothing on standard output; or, where nothing that the
client reads is wrong, Python's label for every text. Fails when anything else came.
"""

import argparse
import json
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import kzoo
from kzoo.bundle import clients
from kzoo.bundle import manifest as bundle
from kzoo.bundle.mediapipe import FILE as MEDIAPIPE
from kzoo.litert.flatbuffer import read_model, write_model

TEXT = "It came on time and works well."
LOGGED = re.compile(r"(INFO|WARNING|ERROR): |[IWE]\d{4} ")
# What a client reads of a bundle beside the manifest; another file may be damaged without harm.
READS = {
    "predict": {bundle.MODEL, bundle.TOKENIZER, bundle.LABELS},
    "MediaPipe": {MEDIAPIPE},
    "C++": {bundle.MODEL, bundle.LABELS},
}


def bundles(good, scratch, wanted):
    """Yield (case, harmed file, folder): copies of a good bundle; no file where all of it is."""

    def copy(case, harmed, change):
        folder = scratch / case.replace(" ", "_")
        shutil.copytree(good, folder)
        change(folder)
        return case, harmed, folder

    def flip(path):
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.write_bytes(content)

    def resealed(change):
        def changed(folder):
            manifest = bundle.read_manifest(folder)
            change(folder, manifest)
            bundle.write_manifest(folder, manifest)

        return changed

    names = sorted(path.name for path in good.iterdir())
    cases = [
        ("an empty folder", None, lambda folder: [file.unlink() for file in folder.iterdir()]),
        *((f"no {n}", n, lambda folder, n=n: (folder / n).unlink()) for n in names),
        *((f"a changed byte in {n}", n, lambda folder, n=n: flip(folder / n)) for n in names),
        ("a tokenizer of an unknown kind", bundle.TOKENIZER, resealed(_unknown_tokenizer)),
        ("fewer labels than outputs", None, resealed(_fewer_labels)),
        ("a model that wants other inputs", None, resealed(_other_inputs)),
        ("a model that is none", None, resealed(_no_model)),
    ]
    for case, harmed, change in cases:
        if wanted in case:
            yield copy(case, harmed, change)


def _unknown_tokenizer(folder, _):
    path = folder / bundle.TOKENIZER
    data = json.loads(path.read_text(encoding="utf-8"))
    data["model"] = {"type": "Syllables", "vocab": data["model"]["vocab"]}
    path.write_text(json.dumps(data), encoding="utf-8")


def _fewer_labels(folder, manifest):
    manifest["labels"] = manifest["labels"][:1]
    (folder / bundle.LABELS).write_text(manifest["labels"][0] + "\n", encoding="utf-8")


def _other_inputs(folder, manifest):
    for name in (bundle.MODEL, MEDIAPIPE):
        model = read_model((folder / name).read_bytes())
        for signature in model.signatureDefs:
            for entry in signature.inputs:
                entry.name = entry.name.replace(b"token_ids", b"pixels")
        (folder / name).write_bytes(write_model(model))
    for signature in manifest["signature"].values():
        signature["inputs"]["pixels"] = signature["inputs"].pop("token_ids")


def _no_model(folder, _):
    for name in (bundle.MODEL, MEDIAPIPE):
        (folder / name).write_bytes(b"no model")


TEXTS = {  # Bytes of standard input; None where they are no text, so that a sentence is right.
    "5 MB of text": (TEXT + " ").encode() * 163_000 + b"\n",
    "one word of 1 MB": b"x" * 1_000_000 + b"\n",
    "only control characters": b"\x01\x02\x7f\n" + "\u200b\u200d\n".encode() + b".\n",
    "blank lines between": b"\n \n" + TEXT.encode() + b"\n",
    "an unpaired surrogate": b"It c\xed\xa0\x80ame on time.\n",
    "no UTF-8": b"\xff\xfe\x00\n",
    "nothing": b"",
}


def programs(cpp):
    """{name: (command, what follows it for a bundle)} of the clients that are there."""
    kzoo_command = [sys.executable, "-m", "kzoo"]
    found = {
        "predict": ([*kzoo_command, "predict"], ["--json"]),
        "verify": ([*kzoo_command, "verify"], []),
    }
    for client in clients.CLIENTS:
        command = client.command()
        if command and client.name != "ARM64":
            found[client.name] = ([*command, "predict"], [])
    if cpp.is_file():
        found["C++"] = ([str(cpp.resolve())], None)
    return found


def judged(name, ran, expected):
    """("answers" | "sentence" | "wrong", what was said)."""
    said, out = (stream.decode("utf-8", "replace").strip() for stream in (ran.stderr, ran.stdout))
    # TensorFlow Lite logs there as well, on the JVM and in MediaPipe.
    said = "\n".join(line for line in said.splitlines() if not LOGGED.match(line))
    if ran.returncode == 2 and not out and said.startswith("error: ") and said.count("\n") == 0:
        return "sentence", said.removeprefix("error: ")
    if ran.returncode == 0 and expected is not None and labels_of(name, out) == expected:
        return "answers", ""
    return "wrong", f"code {ran.returncode}: {(out + ' ' + said)[-300:]}"


def labels_of(name, out):
    """The labels that a client printed, a text."""
    if name == "verify":
        return None
    if name == "C++":
        rows = [line.split("\t") for line in out.splitlines()]
        return [max(rows, key=lambda row: float(row[1]))[0]]
    if name == "predict":
        return [answer["label"] for answer in json.loads(out)]
    return [json.loads(line)["label"] for line in out.split("\n")]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--cpp", type=Path, default=Path("build/classify"))
    parser.add_argument("--case", help="only cases whose names hold this; others stay as they were")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "bad_input.json")
    arguments = parser.parse_args()
    good, wanted, found = arguments.bundle, arguments.case or "", {}
    if arguments.case and arguments.output.is_file():
        found = json.loads(arguments.output.read_text(encoding="utf-8"))
    started = programs(arguments.cpp)
    (answer,) = kzoo.predict_bundle(good, [TEXT])
    ids = kzoo.Tokenizer.load(good).encode([TEXT])["token_ids"][0]

    def run(case, name, folder, text, expected):
        command, options = started[name]
        follows = [*map(str, ids)] if options is None else options
        ran = subprocess.run(
            [*command, str(folder), *follows], input=text, capture_output=True, timeout=900
        )
        verdict, said = judged(name, ran, expected)
        said = said.replace(str(folder), "BUNDLE")
        found.setdefault(case, {})[name] = {"verdict": verdict, "said": said}
        print(f"{case:34}{name:11}{verdict:10}{said[:150]}", flush=True)

    with tempfile.TemporaryDirectory() as scratch:
        for case, harmed, folder in bundles(good, Path(scratch), wanted):
            for name in started:
                read = harmed in (None, bundle.MANIFEST) or harmed in READS.get(name, {harmed})
                expected = None if read else [answer["label"]]
                run(case, name, folder, TEXT.encode() + b"\n", expected)
            shutil.rmtree(folder)
    for case, text in TEXTS.items():
        if wanted not in case:
            continue
        try:
            lines = text.decode("utf-8").rstrip().split("\n") if text.strip() else None
        except UnicodeDecodeError:
            lines = None
        expected = lines and [row["label"] for row in kzoo.predict_bundle(good, lines)]
        for name in started:
            if name not in ("verify", "C++"):
                run(case, name, good, text, expected)
    arguments.output.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    wrong = [(case, name) for case, row in found.items() for name in row
             if row[name]["verdict"] == "wrong"]  # fmt: skip
    print(f"{sum(len(row) for row in found.values())} tried, {len(wrong)} wrong: {wrong}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
