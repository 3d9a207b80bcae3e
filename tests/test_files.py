"""Files: whole or not at all, nobody's lost; names stay in folders; each reader has a sentence."""

import dataclasses
import errno
import gzip
import hashlib
import json
import os
import stat
import subprocess
import sys

import numpy as np
import pytest

from kzoo.bundle import manifest as bundle
from kzoo.checkpoints import sentence, source
from kzoo.checkpoints.origin import Origin
from kzoo.checkpoints.safetensors import read_tensors, write_tensors
from kzoo.data.sources import read_table
from kzoo.errors import KzooError
from kzoo.files import parse_json, read_json, sha256, within, writing_file, writing_folder
from kzoo.lines import as_pair
from kzoo.presets import _check_sums
from kzoo.spec import Spec
from kzoo.values import is_number, is_whole


def tree(folder):
    """{path within: text} of the files in a folder."""
    return {
        str(path.relative_to(folder)): path.read_text()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def write(folder, files, mark=None):
    with writing_folder(folder, mark) as tmp_path:
        for name, text in files.items():
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).write_text(text)


def test_a_folder_is_replaced_only_if_each_file_in_it_is_written_anew(tmp_path):
    folder, files = tmp_path / "out", {"config.json": "1", "1_Pooling/config.json": "1"}
    write(folder, files)
    write(folder, dict.fromkeys(files, "2"))
    assert tree(folder) == dict.fromkeys(files, "2")
    (folder / "1_Pooling" / "thesis.txt").write_text("mine")
    before = tree(folder)
    with pytest.raises(KzooError, match="1_Pooling/thesis.txt, which would be lost"):
        write(folder, files)
    assert tree(folder) == before and os.listdir(tmp_path) == ["out"]


@pytest.mark.parametrize("mine", ["link", "folder in place of a file", "file in place of a folder"])
def test_what_is_no_plain_file_is_not_lost_either(tmp_path, mine):
    (tmp_path / "far").mkdir()
    (tmp_path / "far" / "thesis.txt").write_text("mine")
    folder = tmp_path / "out"
    folder.mkdir()
    if mine == "link":
        (folder / "sub").symlink_to(tmp_path / "far")
        files = {"sub/thesis.txt": "new"}
    elif mine == "folder in place of a file":
        (folder / "sub").mkdir()
        (folder / "sub" / "thesis.txt").write_text("mine")
        files = {"sub": "new"}
    else:
        (folder / "sub").write_text("mine")
        files = {"sub/thesis.txt": "new"}
    before = tree(tmp_path)
    with pytest.raises(KzooError, match="would be lost"):
        write(folder, files)
    assert tree(tmp_path) == before


@pytest.mark.parametrize("there", [True, False])
def test_a_link_stays_and_what_it_leads_to_is_written(tmp_path, there):
    (tmp_path / "far").mkdir()
    if there:
        write(tmp_path / "far" / "folder", {"config.json": "old"})
        (tmp_path / "far" / "file").write_text("old")
    for name in ("folder", "file"):
        (tmp_path / name).symlink_to(tmp_path / "far" / name)
    write(tmp_path / "folder", {"config.json": "new"})
    with writing_file(tmp_path / "file") as path:
        path.write_text("new")
    assert tree(tmp_path / "far") == {"folder/config.json": "new", "file": "new"}
    assert (tmp_path / "folder").is_symlink() and (tmp_path / "file").is_symlink()


@pytest.mark.parametrize("writing", [writing_file, writing_folder])
@pytest.mark.parametrize("start", ["a", "there"])
def test_a_link_that_leads_to_itself_is_named_and_nothing_is_written(tmp_path, start, writing):
    for name, to in (("there", "a"), ("a", "b"), ("b", "a")):
        (tmp_path / name).symlink_to(tmp_path / to)
    before = sorted(tmp_path.iterdir())
    with pytest.raises(KzooError) as error, writing(tmp_path / start):
        pass
    named = f"{tmp_path / start} is a link that leads to itself: name another path."
    assert str(error.value) == named
    assert sorted(tmp_path.iterdir()) == before


def test_a_folder_without_the_mark_is_refused_before_any_work(tmp_path):
    (tmp_path / "out").mkdir()
    write(tmp_path / "out", {"kzoo.json": "1"}, mark="kzoo.json")  # an empty one is no obstacle
    write(tmp_path / "out", {"kzoo.json": "2"}, mark="kzoo.json")
    with pytest.raises(KzooError, match="holds other files"), writing_folder(tmp_path, "kzoo.json"):
        pytest.fail("the work was begun")


def test_a_failure_leaves_files_and_folders_as_they_were(tmp_path):
    write(tmp_path / "out", {"a": "old"})
    (tmp_path / "file").write_text("old")
    before = tree(tmp_path)
    with pytest.raises(ZeroDivisionError), writing_folder(tmp_path / "out") as folder:
        (folder / "a").write_text("half")
        _ = 1 / 0
    with pytest.raises(ZeroDivisionError), writing_file(tmp_path / "file") as path:
        path.write_text("half")
        _ = 1 / 0
    assert tree(tmp_path) == before
    assert sorted(os.listdir(tmp_path)) == ["file", "out"]


@pytest.mark.parametrize("umask", [0o022, 0o077, 0o002])
def test_what_is_written_has_the_modes_that_the_umask_leaves(tmp_path, umask):
    code = (
        "import os, pathlib\n"
        "from kzoo.files import writing_file, writing_folder\n"
        f"os.umask({umask})\n"
        "with writing_file('file') as path: path.write_text('x'); path.chmod(0o600)\n"
        "with writing_folder('folder') as path:\n"
        "    (path / 'a').write_text('x'); (path / 'a').chmod(0o600)\n"
        "os.mkdir('other')\n"
        f"assert os.umask(0) == {umask}\n"
    )
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True)
    modes = {name: stat.S_IMODE(os.stat(tmp_path / name).st_mode) for name in
             ("file", "folder", "folder/a", "other")}  # fmt: skip
    assert modes["file"] == modes["folder/a"] == 0o666 & ~umask
    assert modes["folder"] == modes["other"] == 0o777 & ~umask


def test_the_umask_holds_in_this_process_too(tmp_path):
    (tmp_path / "plain").write_text("")
    plain = stat.S_IMODE(os.stat(tmp_path / "plain").st_mode)
    with writing_file(tmp_path / "new" / "deep" / "a.json") as path:
        assert path.name.startswith(".a.json.") and path.suffix == ".json"
        path.write_text("x")
        path.chmod(0o600)
    with writing_folder(tmp_path / "other" / "deep") as path:
        assert path.parent == tmp_path / "other" and not list(path.iterdir())
        (path / "b").write_text("x")
        (path / "b").chmod(0o600)
    for name in ("new/deep/a.json", "other/deep/b"):
        assert stat.S_IMODE(os.stat(tmp_path / name).st_mode) == plain
    with writing_file(tmp_path / "new" / "deep" / "a.json") as path:  # where there is one
        path.write_text("y")
    assert (tmp_path / "new" / "deep" / "a.json").read_text() == "y"


@pytest.mark.parametrize(
    ("number", "raised", "match"),
    [(errno.EBUSY, KzooError, "something is mounted"), (errno.EIO, OSError, "broken")],
)
def test_a_folder_comes_back_when_its_successor_can_not_take_its_place(
    tmp_path, monkeypatch, number, raised, match
):
    write(tmp_path / "out", {"a": "old"})
    replace, calls = os.replace, []

    def failing(one, other):
        calls.append(one)
        if len(calls) == 2:
            raise OSError(number, "broken")
        replace(one, other)

    monkeypatch.setattr(os, "replace", failing)
    with pytest.raises(raised, match=match) as error:
        write(tmp_path / "out", {"a": "new"})
    assert isinstance(error.value, raised) and len(calls) == 3
    assert tree(tmp_path) == {"out/a": "old"} and os.listdir(tmp_path) == ["out"]


def test_where_nothing_can_be_written_is_a_sentence(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(KzooError, match="file is a file; a folder"):
        write(tmp_path / "file", {"a": "1"})
    with pytest.raises(KzooError, match="can't be written .*name another path"):
        write(tmp_path / "file" / "out", {"a": "1"})
    with pytest.raises(KzooError, match="can't be written"), writing_file(tmp_path / "file" / "a"):
        pytest.fail("the work was begun")
    if os.path.ismount("/dev/shm"):
        with pytest.raises(KzooError, match="something is mounted"), writing_folder("/dev/shm"):
            pytest.fail("the work was begun")
    with monkeypatch.context() as patch:
        patch.setattr(os, "access", lambda *_: False)
        with pytest.raises(KzooError, match="can't be written to: name a folder that is yours"):
            write(tmp_path / "out", {"a": "1"})
    with monkeypatch.context() as patch:
        patch.setattr(os, "open", lambda *_: (_ for _ in ()).throw(OSError(errno.ENOSPC, "full")))
        with pytest.raises(OSError, match="full"), writing_file(tmp_path / "a"):
            pytest.fail("the work was begun")
    assert tree(tmp_path) == {"file": "mine"}


def test_a_sum_is_sha256(tmp_path):
    (tmp_path / "a").write_bytes(b"abc\r\n")
    assert sha256(tmp_path / "a") == hashlib.sha256(b"abc\r\n").hexdigest()


# -- names that stand in files -------------------------------------------------------------------

OUTSIDE = ["../x", "/etc/passwd", "a/../../x", "..", "C:\\x", "C:x", "..\\x", "a\0b", 5, None]


@pytest.mark.parametrize("name", OUTSIDE)
@pytest.mark.parametrize("nested", [False, True])
def test_a_name_out_of_its_folder_is_refused(tmp_path, name, nested):
    with pytest.raises(KzooError, match="index.json names .*; a name (within|directly in) the"):
        within(tmp_path, name, "index.json", nested)


def test_a_name_in_its_folder_is_a_path_there(tmp_path):
    assert within(tmp_path, "a.bin", "x") == tmp_path / "a.bin"
    assert within(tmp_path, "", "x", nested=True) == tmp_path
    assert within(tmp_path, "1_Pooling", "x", nested=True) == tmp_path / "1_Pooling"
    with pytest.raises(KzooError, match="directly in"):
        within(tmp_path, "sub/a.bin", "x")


def test_a_link_to_a_folder_elsewhere_is_refused_and_one_to_a_file_is_not(tmp_path):
    (tmp_path / "far").mkdir()
    (tmp_path / "far" / "blob").write_text("x")
    (tmp_path / "model" / "sub").mkdir(parents=True)
    (tmp_path / "model" / "link").symlink_to(tmp_path / "far")
    (tmp_path / "model" / "shard").symlink_to(tmp_path / "far" / "blob")  # the hub's cache has them
    (tmp_path / "model" / "own").symlink_to(tmp_path / "model" / "sub")
    for name in ("link", "link/blob"):
        with pytest.raises(KzooError, match="link out of the folder"):
            within(tmp_path / "model", name, "x", nested=True)
    assert within(tmp_path / "model", "shard", "x").read_text() == "x"
    assert within(tmp_path / "model", "own", "x", nested=True).is_dir()


def _modules(folder, name):
    kinds = ("Transformer", "Pooling")
    modules = [{"type": f"a.{kind}", "path": name} for kind in kinds]
    (folder / "modules.json").write_text(json.dumps(modules))
    sentence.read_modules(folder)


def _shards(folder, name):
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": name}}))
    source.read_weights(folder)


def _sums(folder, name):
    (folder / "card.json").write_text(json.dumps({"sha256": {name: "0"}}))
    _check_sums(folder)


def _manifest(folder, name):
    fields = dict.fromkeys(bundle.FIELDS.keys() - bundle.OPTIONAL, 0) | {
        "format": bundle.FORMAT, "kzoo": "0", "task": "TextEmbedder", "spec": {}, "labels": None,
        "signature": {}, "quantization": "int8", "length": None, "limits": {}, "golden": [],
        "minimum_runtime": {}, "task_options": {}, "reads": "text", "rule": "embedding",
        "signatures": {}, "files": {name: {"bytes": 1, "sha256": "0"}},
    }  # fmt: skip
    text = json.dumps({**fields, "seal": bundle.UNSEALED})
    seal = hashlib.sha256(text.encode()).hexdigest()
    (folder / bundle.MANIFEST).write_text(text.replace(bundle.UNSEALED, seal))
    bundle.read_manifest(folder)


def _origin(folder, name):
    origin = Origin("bert", None, {}, files={name: "{}"})
    origin.save(folder)
    Origin.load(folder)


@pytest.mark.parametrize("name", ["../outside", "/etc/outside"])
@pytest.mark.parametrize("read", [_modules, _shards, _sums, _manifest, _origin])
def test_no_file_leads_a_reader_out_of_its_folder(tmp_path, read, name):
    folder = tmp_path / "inside"
    folder.mkdir()
    (tmp_path / "outside").mkdir()
    with pytest.raises(KzooError, match="names '[./etc]*outside'|origin.json has files"):
        read(folder, name)


@pytest.mark.parametrize(
    ("name", "text", "taken"),
    [
        ("config.json", "{}", False),
        ("modeling.py", "import os", False),
        ("model.safetensors", "", False),
        ("tokenizer_config.json", "[1]", False),
        ("tokenizer_config.json", "no JSON", False),
        ("tokenizer_config.json", "{}", True),
        ("vocab.txt", "[PAD]", True),
    ],
)
def test_an_origin_brings_back_a_tokenizers_files_and_no_other(tmp_path, name, text, taken):
    origin = Origin("bert", None, {}, files={name: text})
    origin.save(tmp_path)
    if taken:
        assert Origin.load(tmp_path).files == {name: text}
        return
    with pytest.raises(KzooError, match="origin.json has files"):
        Origin.load(tmp_path)


# -- JSON ----------------------------------------------------------------------------------------

DEEP = '{"a":' + "[" * 100_000
HARD = {
    "digits": '{"a": ' + "9" * 5000 + "}",
    "deep": DEEP,
    "deep and whole": '{"a": ' + "[" * 300 + "]" * 300 + "}",
    "damaged": '{"a": ',
}


def _lines(path, text):
    path.write_bytes(gzip.compress(text.encode()))
    return read_table(path)


def _tensors(path, text):
    path.write_bytes(len(text).to_bytes(8, "little") + text.encode())
    return read_tensors(path)


READERS = {
    "file": lambda folder, text: (folder / "f").write_text(text) and read_json(folder / "f", "x"),
    "text": lambda folder, text: parse_json(text, "it", "x"),
    "spec": lambda folder, text: Spec.from_json(text),
    "lines": lambda folder, text: _lines(folder / "f.jsonl.gz", text),
    "safetensors": lambda folder, text: _tensors(folder / "f", text),
    "pair": lambda folder, text: as_pair(f"[{text}, 1]"),
}


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("text", HARD)
def test_every_reader_of_json_has_a_sentence_for_it(tmp_path, reader, text):
    with pytest.raises(KzooError):
        READERS[reader](tmp_path, HARD[text])


def test_json_may_be_64_deep_and_is_what_was_asked_for():
    assert parse_json("[" * 64 + "]" * 64, "it", "x", list)
    with pytest.raises(KzooError, match="it nests lists and objects more than 64 deep: x was"):
        parse_json("[" * 65 + "]" * 65, "it", "x", list)
    with pytest.raises(KzooError, match=r"it holds \[\]; x, a JSON object, was"):
        parse_json("[]", "it", "x")
    with pytest.raises(KzooError, match="it holds {}; x, a JSON list, was"):
        parse_json("{}", "it", "x", list)


def test_what_is_no_file_of_text_is_named(tmp_path):
    (tmp_path / "latin").write_bytes(b"\xff")
    for name, match in (("none", "is missing"), ("latin", "is not UTF-8"), (".", "is a folder")):
        with pytest.raises(KzooError, match=match):
            read_json(tmp_path / name, "settings")


# -- safetensors ---------------------------------------------------------------------------------


@dataclasses.dataclass
class Entry:
    """A tensor in a header; 4 float32 at the first 16 bytes unless said otherwise."""

    dtype: str = "F32"
    shape: tuple = (4,)
    data_offsets: tuple = (0, 16)


def header(path, size, **entries):
    text = json.dumps({name: dataclasses.asdict(entry) for name, entry in entries.items()})
    path.write_bytes(len(text).to_bytes(8, "little") + text.encode() + bytes(size))
    return path


def test_a_sound_file_is_read(tmp_path):
    second = Entry(shape=(2, 2), data_offsets=(16, 32))
    tensors = read_tensors(header(tmp_path / "a", 32, a=Entry(), b=second))
    assert tensors["a"].read().shape == (4,) and tensors["b"].read().shape == (2, 2)
    write_tensors(tmp_path / "b", {"x": np.arange(6, dtype="int8").reshape(2, 3)})
    assert read_tensors(tmp_path / "b")["x"].read().tolist() == [[0, 1, 2], [3, 4, 5]]


@pytest.mark.parametrize(
    ("size", "entries", "match"),
    [
        (36, {"a": Entry(), "b": Entry(data_offsets=(20, 36))}, "b starts at byte 20, not at 16"),
        (28, {"a": Entry(), "b": Entry(data_offsets=(12, 28))}, "b starts at byte 12, not at 16"),
        (16, {"a": Entry(), "b": Entry()}, "b starts at byte 0, not at 16"),
        (20, {"a": Entry(data_offsets=(4, 20))}, "a starts at byte 4, not at 0"),
        (16, {"a": Entry(shape=(3,))}, "has 16 bytes, not 12"),
        (16, {"a": Entry(shape=(5,))}, "has 16 bytes, not 20"),
        (16, {"a": Entry(dtype="F16")}, "has 16 bytes, not 8"),
        (20, {"a": Entry()}, "16 bytes of tensors and 20 are there"),
        (12, {"a": Entry()}, "16 bytes of tensors and 12 are there"),
        (16, {"a": Entry(data_offsets=(16, 0))}, "at bytes 16 to 0"),
        (16, {"a": Entry(shape=(-4,))}, r"shape \[-4\]"),
        (16, {"a": Entry(dtype="F31")}, "dtype 'F31'"),
    ],
)
def test_a_header_that_contradicts_itself_is_refused(tmp_path, size, entries, match):
    with pytest.raises(KzooError, match=match):
        read_tensors(header(tmp_path / "a", size, **entries))


@pytest.mark.parametrize(
    ("value", "whole", "number"),
    [
        (3, True, True), (np.int32(3), True, True),
        (3.0, False, True), (np.float32(3), False, True),
        (True, False, False), (np.bool_(True), False, False), ("3", False, False),
        (None, False, False), (float("nan"), False, False), (float("inf"), False, False),
    ],
)  # fmt: skip
def test_what_is_a_whole_number_and_what_is_a_number(value, whole, number):
    assert (is_whole(value), is_number(value)) == (whole, number)
    for kind, holds in ((is_whole, whole), (is_number, number)):
        assert kind(value, 3, 3) == holds  # bounds may be met
        assert not kind(value, 4) and not kind(value, most=2)
