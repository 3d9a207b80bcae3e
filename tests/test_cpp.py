"""The C++ example: compiled with g++, held against golden examples, and given bad input."""

import importlib.util
import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from kzoo.answers import probabilities
from kzoo.bundle import manifest as bundle
from kzoo.litert.flatbuffer import read_model, write_model

EXAMPLE = Path(__file__).parents[1] / "examples" / "cpp" / "classify.cpp"
LITERT = Path(importlib.util.find_spec("ai_edge_litert").origin).parent

pytestmark = pytest.mark.skipif(
    not shutil.which("g++") or not (LITERT / "libLiteRt.so").is_file(),
    reason="needs g++ and the LiteRT wheel for Linux",
)


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    path = tmp_path_factory.mktemp("cpp") / "classify"
    flags = ["-std=c++17", "-Wall", "-Wextra", "-Werror"]
    library = [f"-L{LITERT}", "-lLiteRt", f"-Wl,-rpath,{LITERT}"]
    subprocess.run(["g++", *flags, EXAMPLE, "-o", path, *library], check=True)
    return path


def run(program, *arguments):
    return subprocess.run([program, *map(str, arguments)], capture_output=True, text=True)


def test_golden_examples_come_out_as_in_python(program, made):
    folder = made[1]
    manifest = json.loads((folder / "kzoo.json").read_text())
    for entry in manifest["golden"]:
        ran = run(program, folder, *entry["token_ids"])
        assert (ran.returncode, ran.stderr) == (0, "")
        rows = [line.split("\t") for line in ran.stdout.splitlines()]
        assert [label for label, _, _ in rows] == manifest["labels"]
        logits = entry["outputs"]["logits"]
        assert [float(row[2]) for row in rows] == pytest.approx(logits[0], rel=1e-4, abs=1e-4)
        expected = probabilities(logits)[0]
        assert [float(row[1]) for row in rows] == pytest.approx(expected, abs=1e-4)


def resealed(folder, **changes):
    """The bundle of an exporter that wrote these fields, in one of the formats."""
    manifest = {**bundle.read_manifest(folder), **changes}
    for field, since in bundle.SINCE.items():
        if manifest["format"] < since:
            del manifest[field]
    bundle.write_manifest(folder, manifest)


def test_the_answer_follows_the_problem(program, made, tmp_path):
    folder = shutil.copytree(made[1], tmp_path / "bundle")
    entry = bundle.read_manifest(folder)["golden"][0]
    logits = np.array(entry["outputs"]["logits"][0])
    several, single = 1 / (1 + np.exp(-logits)), probabilities([logits])[0]
    likely = ["yes" if p >= 0.25 else "no" for p in several]
    for number, options, expected, answers in [
        (1, {}, single, None),
        (2, {"reads": "either", "problem": "single_label"}, single, None),
        (2, {"reads": "either", "problem": "multi_label", "threshold": 0.25}, several, likely),
        (2, {"reads": "either", "problem": "multi_label", "threshold": 1.0}, several, ["no"] * 2),
        (2, {"reads": "either", "problem": "regression"}, logits, None),
        (3, {"problem": "single_label"}, single, None),
        (3, {"problem": "multi_label", "threshold": 0.25}, several, likely),
    ]:
        shutil.copy(made[1] / "kzoo.json", folder)
        resealed(folder, format=number, rule=options.get("problem"), task_options=options)
        rows = run(program, folder, *entry["token_ids"]).stdout.splitlines()
        rows = [row.split("\t") for row in rows]
        assert [float(row[1]) for row in rows] == pytest.approx(expected, abs=1e-4)
        assert [row[3:] for row in rows] == ([[a] for a in answers] if answers else [[], []])


def test_what_this_program_can_not_show_is_refused(program, made, tmp_path):
    folder = shutil.copytree(made[1], tmp_path / "bundle")
    for label in ("a\0b", "a\tb", "a\x1b[1mb", "a\rb"):
        (folder / "labels.txt").write_bytes(f"{label}\ngood\n".encode())
        resealed(folder)
        check_refused(run(program, folder, 5), "a label with a control character")
    resealed(folder, format=4)
    check_refused(run(program, folder, 5), "of another format than 1 to 3")


def test_bad_input_is_one_sentence(program, made, tmp_path):
    folder = shutil.copytree(made[1], tmp_path / "bundle")
    for arguments, words in [
        ([], "token ids are expected"),
        ([folder], "token ids are expected"),
        ([tmp_path / "nowhere", 1], "is missing"),
        ([tmp_path, 1], "kzoo.json is missing"),
        ([folder, "two"], "two is no token id"),
        ([folder, -1], "-1 is no token id"),
        ([folder, 2**31], "is no token id"),
        ([folder, 10**6], "ids of its vocabulary"),
        ([folder, "+5"], "+5 is no token id"),
        ([folder, *[5] * 25], "25 token ids came: at most 24 are expected"),
    ]:
        check_refused(run(program, *arguments), words)
    for name in ("kzoo.json", "model.tflite", "labels.txt"):
        path, content = folder / name, (folder / name).read_bytes()
        place = len(content) // 2
        path.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
        check_refused(run(program, folder, 5), f"{name} was changed after the export")
        path.write_bytes(b"")
        check_refused(run(program, folder, 5), f"{name} is missing or empty")
        path.unlink()
        check_refused(run(program, folder, 5), f"{name} is missing")
        path.write_bytes(content)
    assert run(program, folder, 5).returncode == 0


def test_a_bundle_that_does_not_fit_itself_is_one_sentence(program, made, tmp_path):
    folder = shutil.copytree(made[1], tmp_path / "bundle")
    manifest = bundle.read_manifest(folder)
    model = folder / "model.tflite"
    content = model.read_bytes()
    later = read_model(content)
    for code in later.operatorCodes:
        code.version = 99  # Of a runtime that is yet to come.
    model.write_bytes(write_model(later))
    bundle.write_manifest(folder, manifest)
    check_refused(run(program, folder, 5), "can't be run")
    model.write_bytes(content)
    (folder / "labels.txt").write_text("positive\n")
    bundle.write_manifest(folder, manifest)
    check_refused(run(program, folder, 5), "1 labels, and the model's output has 2 numbers")
    (folder / "model.tflite").write_bytes(b"no model")
    bundle.write_manifest(folder, manifest)
    check_refused(run(program, folder, 5), "no model")
    (folder / "labels.txt").unlink()
    bundle.write_manifest(folder, manifest)
    check_refused(run(program, folder, 5), "was written without labels.txt")
    bundle.write_manifest(folder, {**manifest, "format": 4})
    check_refused(run(program, folder, 5), "of another format")


def test_another_task_is_one_sentence(program, bundles):
    check_refused(run(program, bundles["TokenClassifier"][1], 5), "is no text classifier")
    check_refused(run(program, bundles["QuestionAnswering"][1], 5), "without labels.txt")


def check_refused(ran, words):
    assert ran.returncode == 2 and not ran.stdout
    assert words in ran.stderr
    assert ran.stderr.startswith("error: ") and ran.stderr.count("\n") == 1
