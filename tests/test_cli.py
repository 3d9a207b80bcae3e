"""The command line as a user meets it: processes, their streams and their exit codes."""

import contextlib
import json
import os
import resource
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from families import SPECS, add_noise

from kzoo.cli import main

HEAVY = {"tensorflow", "keras", "jax", "torch", "matplotlib", "pandas", "transformers"}


def kzoo(*arguments, **options):
    """Run the command line in a process of its own; `here` is quicker where TensorFlow is."""
    options = {"capture_output": True, "text": True, "timeout": 300, **options}
    return subprocess.run([sys.executable, "-m", "kzoo", *map(str, arguments)], **options)


def python(code, **options):
    options = {"capture_output": True, "text": True, "timeout": 300, **options}
    return subprocess.run([sys.executable, "-c", code], **options)


def assert_one_sentence(run, *words):
    """Of a process, or of what `here` gives."""
    if isinstance(run, subprocess.CompletedProcess):
        run = run.returncode, run.stdout, run.stderr
    code, out, message = run
    assert code == 2, message
    assert message.startswith("error: "), message
    assert message.count("\n") == 1, message
    assert message.rstrip().endswith((".", ":", "?", ")")), message
    assert "Traceback" not in message
    assert out == ""
    for word in words:
        assert word in message
    assert "Value error" not in message


CONTROL = "\x1b]0;owned\x07\x9b31m\x90q\x7f\r"
OBEYED = set("\x1b\x07\x9b\x90\x7f\r")


@pytest.mark.parametrize("as_json", [False, True])
def test_no_text_of_others_commands_the_terminal(as_json, capsys):
    """Labels, texts and paths are shown with their control characters spelt out."""
    from kzoo import views
    from kzoo.terminal import Screen

    row = {"text": f"a{CONTROL}b", "tokens": 3, "truncated": False, "label": f"l{CONTROL}",
           "score": 0.5, "scores": {f"l{CONTROL}": 0.5}}  # fmt: skip
    screen = Screen(sys.stdout, as_json)
    screen.result([row], views.answers)
    shown = capsys.readouterr().out
    assert not set(shown) & OBEYED
    assert "\\u001b" in shown if as_json else "\\x1b]0;owned" in shown
    if as_json:
        assert json.loads(shown) == [row]
    screen.line(CONTROL)
    assert not set(capsys.readouterr().out) & OBEYED


def test_no_error_commands_the_terminal(here):
    for arguments in (["verify", f"x{CONTROL}"], [f"x{CONTROL}"]):
        code, _, shown = here(*arguments)
        assert code == 2 and "\\x1b]0;owned" in shown
        assert not set(shown) & OBEYED


# -- quick to start ------------------------------------------------------------------------------


def test_help_is_fast_and_loads_nothing_heavy():
    def spent():  # processor time: a busy machine does not count
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        return used.ru_utime + used.ru_stime

    before = spent()
    runs = [kzoo("--help") for _ in range(3)]
    assert (spent() - before) / 3 < 0.5
    run = runs[0]
    assert run.returncode == 0
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


def test_list_shows_presets_and_recipes():
    data = json.loads(kzoo("list", "--json").stdout)
    assert "sentiment" in {recipe["name"] for recipe in data["recipes"]}
    shown = kzoo("list").stdout
    for entry in data["presets"] + data["recipes"]:
        assert entry["name"] in shown
        if "parameters" in entry:
            assert f"{entry['parameters']:,}" in shown


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
        ("FileNotFoundError(2, 'No usable temporary directory')", 2, "error: no folder for temp"),
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


def test_a_command_needs_no_temporary_file():
    """Where no folder for them can be written to, as on a full disk."""
    full = "import tempfile; tempfile._candidate_tempdir_list = lambda: ['/nowhere/at/all']\n"
    run = python(f"{full}from kzoo.cli import main; main(['list', '--json'])")
    assert run.returncode == 0, run.stderr
    assert json.loads(run.stdout)["presets"]
    main = "from kzoo.terminal import session\nwith session(): tempfile.TemporaryDirectory()"
    assert_one_sentence(python(full + main), "temporary files", "TMPDIR")


def test_debugging_shows_the_traceback():
    run = kzoo("show", "nothing", env={**os.environ, "KZOO_DEBUG": "1"})
    assert run.returncode != 0
    assert "Traceback" in run.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="/dev/full is Linux's")
def test_a_full_disk_behind_stdout_is_said():
    """Of much, which is written as it comes, and of little, which waits for the end."""
    little = "from kzoo.terminal import session\nwith session() as screen: screen.line('a')"
    for command, argument in ((kzoo, ["list", "--json"]), (python, [little])):
        with open("/dev/full", "w") as full:
            run = command(*argument, capture_output=False, stdout=full, stderr=subprocess.PIPE)
        assert run.returncode == 2
        assert run.stderr.startswith("error: no space is left")
        assert run.stderr.count("\n") == 1


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_streams_do_no_harm(closed):
    command = f"{shlex.quote(sys.executable)} -m kzoo list --json {closed}"
    run = subprocess.run(["sh", "-c", command], capture_output=True, text=True, timeout=300)
    assert (run.returncode, run.stderr) == (0, "")
    assert bool(run.stdout) == (">&-" not in closed.replace("2>&-", ""))


def test_a_closed_pipe_is_quiet():
    process = subprocess.Popen(
        [sys.executable, "-m", "kzoo", "list"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    process.stdout.close()
    assert process.stderr.read() == ""
    assert process.wait(60) == 141


# -- a model of its own all the way --------------------------------------------------------------

WORDS = "i loved it hated a warm funny dull film the was and not"
TEXTS = ["i loved it", "a warm , funny film", "", "a dull film , and i hated it", "loved " * 200]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with a tiny sentiment preset `tiny`."""
    import kzoo as library
    from kzoo.models import build

    folder = tmp_path_factory.mktemp("cli")
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS.split()]
    pieces += "bcdefghjklmnopqrstuvwxyz.,"
    pieces += [f"##{c}" for c in "abcdefghijklmnopqrstuvwxyz"]
    (folder / "vocab.txt").write_text("\n".join(pieces) + "\n", encoding="utf-8")
    spec = SPECS["bert"].replace(vocabulary_size=len(pieces))
    task = library.TextClassifier(
        add_noise(build(spec)),
        labels=["negative", "positive"],
        tokenizer=library.Tokenizer.load(folder / "vocab.txt"),
    )
    add_noise(task)
    task.save_preset(folder / "tiny", card={"summary": "A tiny one."})
    return folder


@pytest.fixture
def here(folder, capfd):
    """Run a command in this process, which has TensorFlow already: (code, stdout, stderr)."""

    def run(*arguments, cwd=folder):
        capfd.readouterr()
        with pytest.raises(SystemExit) as left, contextlib.chdir(cwd):
            main([*map(str, arguments)])
        return left.value.code, *capfd.readouterr()

    return run


@pytest.fixture(scope="module")
def bundle(folder):
    """The preset, exported by the command line in a process of its own."""
    run = kzoo("export", folder / "tiny", "--output", folder / "bundle", "--json")
    assert run.returncode == 0, run.stderr
    assert run.stderr == ""
    assert json.loads(run.stdout)["folder"] == str(folder / "bundle")
    return folder / "bundle"


def test_show_resolves_every_slot_and_tensor(here):
    code, out, err = here("show", "albert_base_en_v2", "--json")
    assert (code, err) == (0, "")
    data = json.loads(out)
    assert data["parameters"] == 11_683_584 == sum(t["numbers"] for t in data["tensors"])
    assert data["blocks"] == [{"block": "block_0", "steps": list(range(12))}]
    assert [slot["slot"] for slot in data["slots"]] == list(SPECS["albert"].SLOTS)
    root = Path(__file__).parent.parent
    for entry in [*data["slots"], data["model"]]:
        lines = (root / entry["file"]).read_text(encoding="utf-8").splitlines()
        near = lines[entry["line"] - 1 : entry["line"] + 2]
        assert any(line.startswith(f"class {entry['class']}(") for line in near)
    code, out, err = here("show", "tiny")
    assert code == 0
    assert "no step shares weights" in out
    assert "head/logits/kernel" in out
    assert "negative, positive" in out


def test_convert_both_ways(here, folder):
    code, out, _ = here("convert", "tiny", "hf", "--json")
    assert code == 0
    data = json.loads(out)
    assert data["to"] == "huggingface"
    assert {"config.json", "model.safetensors", "tokenizer.json"} <= set(data["files"])
    weights = folder / "hf" / "model.safetensors"
    before = weights.stat().st_mtime_ns
    code, out, err = here("convert", "tiny", "hf")
    assert (code, out) == (2, "") and "--overwrite" in err and err.count("\n") == 1
    assert weights.stat().st_mtime_ns == before
    assert here("convert", "tiny", "hf", "--overwrite")[0] == 0
    assert weights.stat().st_mtime_ns != before
    code, out, _ = here("convert", "hf", "back")
    assert code == 0
    assert "weights.safetensors" in out
    import kzoo as library

    before, after = (
        library.load(folder / name).predict(["i loved it"]) for name in ("tiny", "back")
    )
    assert (before == after).all()
    code, out, err = here("convert", "tiny", ".")
    assert (code, out) == (2, "")
    assert err.startswith("error: ")
    assert (folder / "tiny" / "spec.json").is_file()


def test_train_follows_a_recipe(here, folder):
    rows = "sentence\tlabel\n" + "i loved it\tpositive\ni hated it\tnegative\n" * 8
    (folder / "train.tsv").write_text(rows, encoding="utf-8")
    recipe = {"model": "tiny", "train": "train.tsv", "output": "trained", "epochs": 2}
    (folder / "train.json").write_text(json.dumps(recipe), encoding="utf-8")
    code, out, err = here("train", "train.json", "--json")
    assert code == 0, err
    *epochs, data = map(json.loads, out.splitlines())
    assert [(e["event"], e["epoch"], e["loss"]) for e in epochs] == [
        ("epoch", number, loss) for number, loss in enumerate(data["history"]["loss"], 1)
    ]
    assert data["event"] == "result" and data["epochs"] == len(epochs) == 2
    assert (folder / "trained" / "weights.safetensors").is_file()
    (folder / "train.json").write_text(json.dumps({**recipe, "epoch": 2}), encoding="utf-8")
    code, out, err = here("train", "train.json")
    assert (code, out) == (2, "")
    assert "'epoch'" in err
    (folder / "train.json").write_text(json.dumps({**recipe, "output": "."}), encoding="utf-8")
    assert here("train", "train.json")[0] == 2
    assert (folder / "tiny" / "spec.json").is_file()


def test_verify_predict_and_bench_agree_with_keras(bundle, folder, here):
    import kzoo as library

    code, out, _ = here("verify", bundle, "--json")
    assert code == 0
    assert {"files", "audit", "golden examples"} <= {c["check"] for c in json.loads(out)["checks"]}
    code, out, _ = here("predict", bundle, "--json", "--", *TEXTS)
    assert code == 0
    answers = json.loads(out)
    assert [answer["text"] for answer in answers] == TEXTS
    assert [answer["truncated"] for answer in answers] == [False] * 4 + [True]
    expected = library.load(folder / "tiny").predict(TEXTS)
    for answer, row in zip(answers, expected, strict=True):
        assert answer["scores"]["positive"] == pytest.approx(row[1], abs=0.01)
    code, out, _ = here("bench", bundle, "--against", bundle, "--lengths", "32,8", "--json")
    assert code == 0
    rows = json.loads(out)["lengths"]
    assert [row["tokens"] for row in rows] == [8, 32]
    assert rows[0]["milliseconds"] < rows[1]["milliseconds"]
    assert 0.3 < rows[1]["speed"] < 3


def test_predict_reads_lines_and_imports_neither_tensorflow_nor_keras(bundle):
    code = (
        "import sys; from kzoo.cli import main\n"
        f"try: main(['predict', {str(bundle)!r}])\n"
        "except SystemExit as e: assert e.code == 0\n"
        "sys.stderr.write(' '.join(sys.modules))"
    )
    run = python(code, input="i loved it\r\n\na dull film\n\n")
    shown = [line.rstrip().split(maxsplit=2) for line in run.stdout.splitlines() if "0." in line]
    assert len(shown) == 3  # the empty line in the middle is a text, the one at the end is not
    assert [row[2:] for row in shown] == [["i loved it"], [], ["a dull film"]]
    loaded = set(run.stderr.split())
    assert "ai_edge_litert" in loaded
    assert not loaded & HEAVY


def test_predict_takes_pairs(bundle, here):
    code, out, _ = here("predict", bundle, "--pair", "--json", "i loved it\tthe film")
    assert code == 0
    assert json.loads(out)[0]["text"] == ["i loved it", "the film"]


def test_export_as_asked(here, folder):
    code, out, err = here(
        "export", "tiny", "--quantization", "float32", "--length", "16", "--output", "fixed"
    )
    assert code == 0, err
    assert "16 tokens" in out
    manifest = json.loads((folder / "fixed" / "kzoo.json").read_text(encoding="utf-8"))
    assert (manifest["quantization"], manifest["length"]) == ("float32", 16)
    code, out, err = here("predict", "fixed", "loved " * 30, "--json")
    assert json.loads(out)[0]["tokens"] == 16
    # A recipe is the same with its own limits; a missed one leaves what was there.
    recipe = {"preset": "tiny", "quantization": "float32", "limits": {"megabytes": 0.001}}
    (folder / "small.json").write_text(json.dumps(recipe), encoding="utf-8")
    before = (folder / "fixed" / "kzoo.json").read_bytes()
    code, out, err = here("export", "small.json", "--output", "fixed")
    assert (code, out) == (2, "")
    assert "megabytes" in err
    assert (folder / "fixed" / "kzoo.json").read_bytes() == before
    code, out, err = here("export", "tiny", "--output", folder)
    assert (code, out) == (2, "")
    assert (folder / "tiny" / "spec.json").is_file()


def test_export_to_a_savedmodel(here, folder):
    pytest.importorskip("tensorflow_text")
    code, out, err = here("export", "tiny", "--to", "savedmodel", "--json")
    assert code == 0, err
    data = json.loads(out)
    assert data["folder"] == "build/tiny-savedmodel"
    assert "saved_model.pb" in data["files"]
    assert (folder / data["folder"] / "saved_model.pb").is_file()


def test_export_of_token_ids_alone(here, folder):
    """What is left where a tokenizer can't run in the graph."""
    (folder / "recipes").mkdir()
    recipe = folder / "recipes" / "own.json"
    recipe.write_text(json.dumps({"preset": "../tiny"}), encoding="utf-8")  # beside the recipe
    code, out, err = here("export", recipe, "--to", "savedmodel", "--no-text", "--output", "ids")
    assert code == 0, err
    import tensorflow

    assert set(tensorflow.saved_model.load(str(folder / "ids")).signatures) == {"tokens"}
    code, out, err = here("export", "tiny", "--no-text")
    assert (code, out) == (2, "") and "--to savedmodel" in err


def test_export_to_an_engine_that_runs_other_models(here, folder):
    before = sorted(folder.rglob("*"))
    code, out, err = here("export", "tiny", "--to", "litertlm")
    assert (code, out) == (2, "") and "expected a model that writes" in err
    assert sorted(folder.rglob("*")) == before


@pytest.mark.parametrize("seen", [True, False], ids=["told beforehand", "found out at the end"])
def test_where_something_is_mounted_is_left_alone(here, folder, seen, monkeypatch):
    (folder / "mounted").mkdir(exist_ok=True)
    replace = os.replace

    def busy(source, target):
        if Path(source).name == "mounted":
            raise OSError(16, "Device or resource busy", str(source))
        replace(source, target)

    monkeypatch.setattr(os.path, "ismount", lambda path: seen and Path(path).name == "mounted")
    monkeypatch.setattr(os, "replace", busy)
    before = {path.name for path in folder.iterdir()}
    code, out, err = here("convert", "tiny", "mounted")
    assert (code, out) == (2, "")
    assert err == (
        "error: mounted is where something is mounted, which can't be replaced as a whole: name a "
        "folder inside it.\n"
    )
    assert {path.name for path in folder.iterdir()} == before
    assert not list((folder / "mounted").iterdir())


def test_a_folder_that_can_not_be_replaced_stays(tmp_path, monkeypatch):
    from kzoo.files import writing_folder

    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "spec.json").write_text("old")
    replace = os.replace

    def refusing(source, target):
        if Path(target).name == "out" and Path(source).parent == tmp_path:
            raise PermissionError(13, "Permission denied", str(target))
        replace(source, target)

    monkeypatch.setattr(os, "replace", refusing)
    with pytest.raises(PermissionError), writing_folder(tmp_path / "out") as beside:
        (beside / "spec.json").write_text("new")
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert (tmp_path / "out" / "spec.json").read_text() == "old"


def test_a_changed_bundle_is_refused(bundle, folder, here):
    copy = folder / "changed"
    shutil.copytree(bundle, copy)
    model = bytearray((copy / "model.tflite").read_bytes())
    model[len(model) // 2] ^= 1
    (copy / "model.tflite").write_bytes(model)
    for command in (["verify", copy], ["predict", copy, "i loved it"], ["bench", copy]):
        assert_one_sentence(here(*command), "model.tflite", "changed")


def test_ctrl_c_is_quiet(bundle):
    process = subprocess.Popen(
        [sys.executable, "-m", "kzoo", "predict", str(bundle)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        # A job in the background hands down a SIGINT that is ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip
    time.sleep(2)  # it waits for lines now
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err) == (130, "", "")


# -- bad input -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments",
    [
        ["nonsense"],
        ["list", "--nonsense"],
        ["show"],
        ["show", "no_such_preset"],
        ["show", "."],
        ["show", "/dev/null"],
        ["convert", "no_such_folder/at_all/here", "x"],
        ["convert", "bert_tiny_en_uncased", "x"],
        ["train", "no_such_recipe.json"],
        ["export", "no_such_recipe.json"],
        ["export", "no_such_preset"],
        ["export", "no_such_preset", "--to", "savedmodel"],
        ["export", "bert_tiny_en_uncased"],
        ["export", "bert_tiny_en_uncased", "--length", "ten"],
        ["export", "bert_tiny_en_uncased", "--quantization", "int2"],
        ["export", "bert_tiny_en_uncased", "--to", "savedmodel", "--length", "8"],
        ["verify", "no_such_bundle"],
        ["predict", "no_such_bundle", "text"],
        ["bench", "no_such_bundle"],
        ["bench", "no_such_bundle", "--rounds", "0"],
        ["bench"],
        ["bench", "no_such_bundle", "--width", "8"],
        ["bench", "no_such_bundle", "--attention"],
        ["bench", "--attention", "--length", "0"],
        ["bench", "--attention", "--length", "many"],
        ["bench", "--attention", "--width", "100", "--heads", "8"],
    ],
    ids=" ".join,
)
def test_bad_input_is_one_sentence(arguments, here, tmp_path):
    assert_one_sentence(here(*arguments, cwd=tmp_path))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("given", "said"),
    [(b"", "No text"), (b"\n\n", "No text"), (b"fine\nb\xffd\n", "Line 2")],
)
def test_bad_standard_input_is_one_sentence(bundle, given, said):
    run = kzoo("predict", bundle, input=given, text=False)
    assert run.returncode == 2
    assert run.stderr.decode().startswith(f"error: {said}")
    assert run.stderr.count(b"\n") == 1


def test_a_place_that_can_not_be_written_is_said(here, folder):
    (folder / "file").write_text("", encoding="utf-8")
    code, out, err = here("convert", "tiny", "file/inside")
    assert (code, out) == (2, "")
    assert err.startswith("error: ")
    assert err.count("\n") == 1


@pytest.mark.skipif(not hasattr(signal, "SIGXFSZ"), reason="needs a limit of file sizes")
def test_a_disk_that_fills_up_leaves_nothing_behind(here, tmp_path):
    """A limit of file sizes stands for the disk: writing fails in the middle of the weights."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, before[1]))
    try:
        run = here("convert", "tiny", tmp_path / "out")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert_one_sentence(run)
    assert not list(tmp_path.iterdir())
