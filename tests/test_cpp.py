"""The C++ example: compiled with g++, held against golden examples, and given bad input."""

import importlib.util
import json
import shutil
import subprocess
from pathlib import Path

import pytest
from test_litert import made  # noqa: F401 (a fixture)

from kzoo.answers import probabilities

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


def test_golden_examples_come_out_as_in_python(program, made):  # noqa: F811
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


def test_bad_input_is_one_sentence(program, made, tmp_path):  # noqa: F811
    folder = shutil.copytree(made[1], tmp_path / "bundle")
    for arguments, words in [
        ([], "token ids are expected"),
        ([folder], "token ids are expected"),
        ([tmp_path / "nowhere", 1], "is missing"),
        ([folder, "two"], "two is no token id"),
        ([folder, -1], "-1 is no token id"),
        ([folder, 2**31], "is no token id"),
        ([folder, 10**6], "ids of its vocabulary"),
        ([folder, *[5] * 100], "no more than it has places"),
    ]:
        check_refused(run(program, *arguments), words)
    labels = folder / "labels.txt"
    labels.write_text("positive\n")
    check_refused(run(program, folder, 5), "1 labels, and the model's output has 2 numbers")
    labels.unlink()
    check_refused(run(program, folder, 5), "labels.txt is missing")
    shutil.copy(made[1] / "labels.txt", labels)
    (folder / "model.tflite").write_bytes(b"no model")
    check_refused(run(program, folder, 5), "no model")
    (folder / "model.tflite").unlink()
    check_refused(run(program, folder, 5), "is missing")


def check_refused(ran, words):
    assert ran.returncode == 2 and not ran.stdout
    assert words in ran.stderr
    assert ran.stderr.startswith("error: ") and ran.stderr.count("\n") == 1
