"""The command line as a user meets it: processes, their streams and their exit codes."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

HEAVY = {"tensorflow", "keras", "jax", "torch", "matplotlib", "pandas", "transformers"}


def kzoo(*arguments, **options):
    """Run the command line in a process of its own."""
    options = {"capture_output": True, "text": True, "timeout": 300, **options}
    return subprocess.run([sys.executable, "-m", "kzoo", *map(str, arguments)], **options)


def python(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)


def assert_one_sentence(run, *words, code=2):
    assert run.returncode == code, run.stderr
    assert run.stderr.startswith("error: "), run.stderr
    assert run.stderr.count("\n") == 1, run.stderr
    assert run.stderr.rstrip().endswith((".", ":", "?", ")")), run.stderr
    assert "Traceback" not in run.stderr
    assert run.stdout == ""
    for word in words:
        assert word in run.stderr


# -- quick to start ------------------------------------------------------------------------------


def test_help_is_fast_and_loads_nothing_heavy():
    seconds = []
    for _ in range(3):
        start = time.perf_counter()
        run = kzoo("--help")
        seconds.append(time.perf_counter() - start)
        assert run.returncode == 0
    assert min(seconds) < 0.5
    for command in ("list", "show", "convert", "train", "export", "verify", "predict", "bench"):
        assert command in run.stdout
    code = (
        "import sys; from kzoo.cli import main\n"
        "try: main(['export', '--help'])\n"
        "except SystemExit as e: assert e.code == 0\n"
        "sys.stderr.write(' '.join(sys.modules))"
    )
    loaded = set(python(code).stderr.split())
    assert "typer" in loaded
    assert not loaded & (HEAVY | {"rich", "numpy"})


def test_version_and_bare_command():
    import importlib.metadata

    assert kzoo("--version").stdout == f"kzoo {importlib.metadata.version('kzoo')}\n"
    bare = kzoo()
    assert bare.returncode == 0
    assert bare.stdout.startswith("Usage: kzoo")


def test_list_is_light():
    code = (
        "import sys; from kzoo.cli import main\n"
        "try: main(['list'])\n"
        "except SystemExit: pass\n"
        "sys.stderr.write(' '.join(sys.modules))"
    )
    assert not set(python(code).stderr.split()) & HEAVY


# -- streams and exit codes ----------------------------------------------------------------------


def test_a_session_keeps_both_streams_for_kzoo():
    """What C++ writes to the descriptors vanishes; what Python prints goes to stderr."""
    run = python(
        "import os, warnings; from kzoo.terminal import session\n"
        "with session(True) as screen:\n"
        "    os.write(1, b'native'); os.write(2, b'native')\n"
        "    os.system('echo native; echo native >&2')\n"
        "    warnings.warn('python warning')\n"
        "    print('progress')\n"
        "    screen.result({'x': float('nan'), 'y': [1, 'ü']})\n"
        "print('after')\n"
        "os.write(2, b'after')\n"
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout.endswith("after\n")
    assert json.loads(run.stdout.removesuffix("after\n")) == {"x": None, "y": [1, "ü"]}
    assert run.stderr == "progress\nafter"


@pytest.mark.parametrize(
    ("raised", "code", "said"),
    [
        ("KzooError('one\\ntwo.')", 2, "error: one two.\n"),
        ("OSError(28, 'No space left on device', '/x')", 2, "error: no space is left on the"),
        ("RuntimeError('I/O error: No space left on device')", 2, "error: no space is left on"),
        ("PermissionError(13, 'Permission denied', '/x')", 2, "error: /x: permission denied.\n"),
        ("MemoryError()", 2, "error: the memory"),
        ("ZeroDivisionError('a bug')", 1, "error: unexpected ZeroDivisionError: a bug (KZOO_DEB"),
        ("KeyboardInterrupt()", 130, ""),
        ("BrokenPipeError()", 141, ""),
    ],
)
def test_exceptions_become_a_sentence_and_a_code(raised, code, said):
    run = python(
        "from kzoo.terminal import session; from kzoo.errors import KzooError\n"
        f"with session() as screen: raise {raised}"
    )
    assert run.returncode == code
    assert run.stderr.startswith(said)
    assert len(run.stderr.splitlines()) == bool(said)


def test_debugging_shows_the_traceback():
    run = kzoo("show", "nothing", env={**os.environ, "KZOO_DEBUG": "1"})
    assert run.returncode != 0
    assert "Traceback" in run.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="/dev/full is Linux's")
def test_a_full_disk_behind_stdout_is_said():
    with open("/dev/full", "w") as full:
        run = kzoo("list", "--json", capture_output=False, stdout=full, stderr=subprocess.PIPE)
    assert run.returncode == 2
    assert run.stderr.startswith("error: no space is left")
    assert run.stderr.count("\n") == 1


def test_a_closed_pipe_is_quiet():
    process = subprocess.Popen(
        [sys.executable, "-m", "kzoo", "list"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    process.stdout.close()
    assert process.stderr.read() == ""
    assert process.wait(60) == 141


@pytest.mark.parametrize(
    "arguments",
    [
        ["nonsense"],
        ["list", "--nonsense"],
        ["show"],
        ["show", "no_such_preset"],
        ["show", "."],
        ["show", "/dev/null"],
    ],
    ids=" ".join,
)
def test_bad_input_is_one_sentence(arguments):
    assert_one_sentence(kzoo(*arguments))
