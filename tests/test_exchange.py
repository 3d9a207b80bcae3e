"""What is written for others and read of them: tensors, names, specs, manifests; without Keras."""

import hashlib
import json
import math

import ml_dtypes
import numpy as np
import pytest

from kzoo.bundle import manifest as bundle
from kzoo.checkpoints import safetensors
from kzoo.checkpoints.origin import JSON, Origin
from kzoo.checkpoints.rows import Row, Table, parse, turn, turned_shape
from kzoo.checkpoints.safetensors import Lazy, read_tensors, write_tensors
from kzoo.errors import KzooError
from kzoo.spec import Spec

# -- tensors --------------------------------------------------------------------------------------

# As the format's specification has them.
CODES = {
    "BOOL": "bool", "U8": "uint8", "I8": "int8", "U16": "uint16", "I16": "int16", "U32": "uint32",
    "I32": "int32", "U64": "uint64", "I64": "int64", "F16": "float16", "BF16": "bfloat16",
    "F32": "float32", "F64": "float64",
}  # fmt: skip


def header_of(path):
    content = path.read_bytes()
    size = int.from_bytes(content[:8], "little")
    return json.loads(content[8 : 8 + size]), content[8 + size :], size


def test_every_type_of_number_is_written_and_read(tmp_path):
    path = tmp_path / "a"
    arrays = {
        code: np.array([[0, 1, 1]]).astype(ml_dtypes.bfloat16 if name == "bfloat16" else name)
        for code, name in CODES.items()
    }
    write_tensors(path, {**arrays, "empty": np.zeros((0, 3), "int16"), "one": np.float32(3)})
    header, content, size = header_of(path)
    assert size % 8 == 0, "tensors would not be aligned"
    assert {name: header[name]["dtype"] for name in CODES} == {name: name for name in CODES}
    widths = []
    for name in sorted(header, key=lambda name: header[name]["data_offsets"]):
        begin, end = header[name]["data_offsets"]
        if name not in ("empty", "one"):
            assert content[begin:end] == arrays[name].tobytes()
            widths.append(arrays[name].itemsize)
    assert widths == sorted(widths, reverse=True), "wide ones first: each starts where it may"
    found = read_tensors(path)
    for code, name in CODES.items():
        assert (found[code].dtype, found[code].shape) == (name, (1, 3))
        assert found[code].read().dtype == arrays[code].dtype
        assert found[code].read().tolist() == arrays[code].tolist()
    assert found["empty"].read().shape == (0, 3) and found["empty"].read().dtype == "int16"
    assert found["one"].read() == 3 and found["one"].shape == ()


def test_what_a_file_says_of_itself_is_no_tensor(tmp_path):
    write_tensors(tmp_path / "a", {"z": np.arange(3), "b": np.arange(2)}, {"format": "pt"})
    assert header_of(tmp_path / "a")[0]["__metadata__"] == {"format": "pt"}
    assert set(read_tensors(tmp_path / "a")) == {"z", "b"}
    write_tensors(tmp_path / "a", {"b": np.arange(2)})
    assert set(header_of(tmp_path / "a")[0]) == {"b"}


@pytest.mark.parametrize("array", [np.zeros((2, 1)), np.zeros((1, 2), "float32")])
def test_a_tensor_that_turns_out_otherwise_leaves_no_file(tmp_path, array):
    with pytest.raises(KzooError, match="Tensor a turned out as"):
        write_tensors(tmp_path / "a", {"a": Lazy("float64", (1, 2), lambda: array)})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (b"", "a header of 0 bytes doesn't fit its 0 bytes"),
        (b"\x02\0\0\0\0\0\0", "doesn't fit its 7 bytes"),
        (b"\x03\0\0\0\0\0\0\0{}", "a header of 3 bytes doesn't fit its 10 bytes"),
        (b"\x02\0\0\0\0\0\0\0\xff\xff", "its header is not UTF-8"),
        (b"\x02\0\0\0\0\0\0\0[]", "its header holds"),
        (b"\x08\0\0\0\0\0\0\0" + b'{"a":{}}', "lacks its dtype"),
        (b"\x09\0\0\0\0\0\0\0" + b'{"a": []}', "lacks its dtype"),
    ],
)
def test_a_header_that_is_none_is_refused(tmp_path, content, match):
    (tmp_path / "a").write_bytes(content)
    with pytest.raises(KzooError, match=f"a is not a sound safetensors file .*{match}"):
        read_tensors(tmp_path / "a")


def test_the_smallest_file_and_the_longest_header(tmp_path, monkeypatch):
    path = tmp_path / "a"
    path.write_bytes(b"\x02\0\0\0\0\0\0\0{}")
    assert read_tensors(path) == {}
    with pytest.raises(KzooError, match="b is missing"):
        read_tensors(tmp_path / "b")
    assert safetensors.LONGEST_HEADER == 100_000_000
    monkeypatch.setattr(safetensors, "LONGEST_HEADER", 1)
    with pytest.raises(KzooError, match="a header of 2 bytes"):
        read_tensors(path)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"extra": 1}, "other fields"),
        ({"shape": "4"}, "other fields"),
        ({"shape": (4.0,)}, r"shape \[4.0\]"),
        ({"shape": (True, 4)}, r"shape \[True, 4\]"),
        ({"dtype": ["F32"]}, "dtype"),
        ({"data_offsets": (-1, 15)}, "at bytes -1 to 15"),
    ],
)
def test_an_entry_of_other_fields_is_refused(tmp_path, change, match):
    text = json.dumps({"a": {"dtype": "F32", "shape": [4], "data_offsets": [0, 16], **change}})
    (tmp_path / "a").write_bytes(len(text).to_bytes(8, "little") + text.encode() + bytes(16))
    with pytest.raises(KzooError, match=match):
        read_tensors(tmp_path / "a")


# -- names ----------------------------------------------------------------------------------------


def test_rows_are_parted_into_what_stands_where():
    rows = parse(
        """
        a.{query|key}.x   b/{q|k}
        c   =d/e
        f   -
        g   h?   MaskedLM TextClassifier
        """
    )
    assert rows == [
        Row("a.query.x", "b/q"), Row("a.key.x", "b/k"), Row("c", "d/e", tied=True), Row("f", ""),
        Row("g", "h", optional=True, tasks=("MaskedLM", "TextClassifier")),
    ]  # fmt: skip
    for wrong in ("a.{x|y} b", "a b/{x|y}", "a.{x|y} b/{x|y|z}"):
        with pytest.raises(KzooError, match="choices that don't pair"):
            parse(wrong)


class Family:
    ROWS = """
        embed.words           embedding
        layer.{step}.dense    block_{step}/dense
        layer.{step}.norm     block_{step}/norm
        group.{group}.mix     block_{group}/mix
        pooler.dense          pooler?
        positions             -
    """
    TASK_ROWS = """
        lm.bias       head/bias      MaskedLM
        lm.decoder    =embedding     MaskedLM
        classifier    head/logits    TextClassifier
        common        head/common
    """


PATHS = [
    "embedding/embeddings", "block_0/dense/kernel", "block_0/dense/bias", "block_2/norm/gamma",
    "block_2/norm/beta", "block_0/mix/kernel", "block_2/mix/kernel",
]  # fmt: skip


def test_a_table_names_each_variable_by_the_steps_of_the_schedule():
    table = Table(Family, (0, 2, 2), PATHS, None, "bert.")
    names = {path: entry.primary for path, entry in table.names.items()}
    assert names == {
        "embedding/embeddings": ["bert.embed.words.weight"],
        "block_0/dense/kernel": ["bert.layer.0.dense.weight"],
        "block_0/dense/bias": ["bert.layer.0.dense.bias"],
        "block_2/norm/gamma": ["bert.layer.1.norm.weight", "bert.layer.2.norm.weight"],
        "block_2/norm/beta": ["bert.layer.1.norm.bias", "bert.layer.2.norm.bias"],
        "block_0/mix/kernel": ["bert.group.0.mix.weight"],
        "block_2/mix/kernel": ["bert.group.1.mix.weight"],
    }
    gamma = table.names["block_2/norm/gamma"]
    assert gamma.spellings == ["bert.layer.1.norm.gamma", "bert.layer.2.norm.gamma"]
    assert gamma.accepted == [*gamma.primary, *gamma.spellings]
    for name in ("bert.pooler.dense", "bert.pooler.dense.weight", "bert.positions", "common",
                 "classifier", "lm.bias"):  # fmt: skip
        assert table.carries(name), name
    for name in (
        "bert.positionsX",
        "pooler.dense",
        "bert.embed.words.weight",
        "bert.layer.0.dense",
    ):
        assert not table.carries(name), name


def test_a_task_has_its_own_rows_and_a_backbone_inside():
    paths = [f"backbone/{path}" for path in PATHS]
    table = Table(Family, (0, 2), [*paths, "head/bias", "head/common/kernel"], "MaskedLM", "")
    words = table.names["backbone/embedding/embeddings"]
    assert words.primary == ["embed.words.weight"]
    assert table.names["head/bias"].primary == ["lm.bias"]
    assert table.names["head/common/kernel"].primary == ["common.weight"]
    assert not table.carries("classifier.weight") and table.carries("positions")
    with pytest.raises(KzooError, match="No row of Family says what head/logits/kernel, head/x is"):
        Table(Family, (0, 2), [*paths, "head/x", "head/logits/kernel"], "MaskedLM", "")


def test_a_tied_name_is_another_of_the_same_numbers():
    class Tied(Family):
        TASK_ROWS = "lm.decoder.weight   =backbone/embedding/embeddings   MaskedLM"

    paths = [f"backbone/{path}" for path in PATHS]
    table = Table(Tied, (0, 2), [*paths], "MaskedLM", "")
    words = table.names["backbone/embedding/embeddings"]
    assert (words.tied, words.primary) == (["lm.decoder.weight"], ["embed.words.weight"])
    assert "lm.decoder.weight" in words.accepted
    assert Table(Tied, (0, 2), PATHS, None, "").names["embedding/embeddings"].tied == words.tied


def test_only_kernels_are_turned():
    array = np.arange(6).reshape(2, 3)
    assert turn("a/kernel", array).tolist() == array.T.tolist()
    assert turned_shape("a/kernel", [2, 3]) == (3, 2)
    for leaf in ("bias", "gamma", "beta", "embeddings"):
        assert turn(f"a/{leaf}", array) is array
        assert turned_shape(f"a/{leaf}", [2, 3]) == (2, 3)


def test_an_origin_is_kept_with_its_tensors(tmp_path):
    assert Origin.load(tmp_path) is None
    origin = Origin("bert", "BertModel", {"é": 1}, {"a/kernel": ["x", "y"]}, {"x": "float16"},
                    {"z": np.arange(3)}, {"vocab.txt": "[PAD]"})  # fmt: skip
    origin.save(tmp_path)
    assert "é" in (tmp_path / JSON).read_text("utf-8")
    found = Origin.load(tmp_path, tokenizer="t")
    assert found.tokenizer == "t" and found.carried.pop("z").tolist() == [0, 1, 2]
    assert (found.model_type, found.architecture, found.config) == ("bert", "BertModel", {"é": 1})
    assert (found.names, found.dtypes, found.files) == (origin.names, origin.dtypes, origin.files)
    Origin("bert", None, {}).save(tmp_path)
    assert Origin.load(tmp_path).architecture is None


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("model_type", 5), ("architecture", 5), ("config", []), ("names", {"a": "x"}),
        ("names", {"a": []}), ("names", {"a": [1]}), ("names", []), ("dtypes", {"a": "F16"}),
        ("dtypes", {"a": 1}), ("files", {"vocab.txt": 1}), ("files", {"x.py": ""}), ("more", 1),
        ("names", None),
    ],
)  # fmt: skip
def test_an_origin_that_was_changed_is_refused(tmp_path, field, value):
    Origin("bert", None, {}).save(tmp_path)
    fields = json.loads((tmp_path / JSON).read_text())
    (tmp_path / JSON).write_text(json.dumps({**fields, field: value}))
    with pytest.raises(KzooError, match=f"origin.json has {field} "):
        Origin.load(tmp_path)
    del fields["config"]
    (tmp_path / JSON).write_text(json.dumps(fields))
    with pytest.raises(KzooError, match="origin.json has config None"):
        Origin.load(tmp_path)


# -- specs ----------------------------------------------------------------------------------------

SPEC = {"family": "bert", "embedding": {"kind": "token", "vocabulary_size": 9}, "hidden_dim": 8,
        "num_heads": 2, "intermediate_dim": 16, "schedule": [0, 2, 0]}  # fmt: skip
WHOLE = {"hidden_dim": 1, "num_heads": 1, "intermediate_dim": 1, "max_sequence_length": 1,
         "head_dim": 0, "num_key_value_heads": 0}  # fmt: skip


def test_a_spec_is_a_value_that_goes_through_json():
    spec = Spec.from_dict(SPEC)
    assert (spec.schedule, spec.num_layers, spec.blocks) == ((0, 2, 0), 3, (0, 2))
    assert spec.to_json() == json.dumps(spec.to_dict(), indent=2) + "\n"
    assert Spec.from_json(spec.to_json()) == spec and spec.to_dict()["schedule"] == [0, 2, 0]
    other = spec.replace(schedule=(0,), dropout=0.5)
    assert (other.num_layers, other.dropout, spec.dropout) == (1, 0.5, 0.1)
    assert spec.to_dict() == {
        **SPEC, "max_sequence_length": 512, "head_dim": 0, "num_key_value_heads": 0,
        "dropout": 0.1, "attention_dropout": 0.1, "initializer_range": 0.02,
        "position": "learned", "attention": "full", "block": "post_norm", "norms": ["embedding"],
        "feedforward": {"kind": "mlp", "activation": "gelu"},
        "norm": {"kind": "layer_norm", "epsilon": 1e-12}, "pooler": "tanh",
    }  # fmt: skip
    with pytest.raises(AttributeError):
        spec.hidden_dim = 5


@pytest.mark.parametrize("name", WHOLE)
def test_sizes_are_whole_numbers(name):
    base = {**SPEC, "head_dim": 4, **({"num_heads": 2**31 - 1} if "heads" in name else {})}
    for good in (WHOLE[name], 2**31 - 1):
        assert getattr(Spec.from_dict({**base, name: good}), name) == good
    for wrong in (WHOLE[name] - 1, 2**31, 8.0, "8", None, True):
        with pytest.raises(KzooError, match=f"{name} is .*; a whole number of at least"):
            Spec.from_dict({**base, name: wrong})


@pytest.mark.parametrize(
    ("changes", "match"),
    [({name: wrong}, f"{name} is .*; a number from 0 to below 1")
     for name in ("dropout", "attention_dropout", "initializer_range")
     for wrong in (1, 1.0, -0.1, True, "0", None, math.nan)]
    + [({name: wrong}, f"{name} is .*; a part's name")
       for name in ("embedding", "position", "attention", "block", "feedforward", "norm", "pooler")
       for wrong in (5, None, {}, {"kind": 5}, ["x", 5], [])]
    + [({"schedule": wrong}, "schedule is .*; a list of block indices")
       for wrong in ([], 3, "01", [-1], [1.0], [True], [2**31])]
    + [({"family": 3}, "family is 3; a name"),
       ({"hidden_dim": 9}, "hidden_dim 9 is not a multiple"),
       ({"num_heads": 4, "num_key_value_heads": 3}, "num_heads 4 is not a multiple of num_key"),
       ({"norms": "embedding"}, "norms is 'embedding'; a list of"),
       ({"norms": ["first"]}, r"norms is \['first'\]; a list of"),
       ({"layers": 3}, r"unknown fields \['layers'\] and lacks \[\]")],
)  # fmt: skip
def test_what_is_no_spec_is_refused(changes, match):
    with pytest.raises(KzooError, match=match):
        Spec.from_dict({**SPEC, **changes})
    with pytest.raises(KzooError, match=match):
        Spec.from_json(json.dumps({**SPEC, **changes}))


def test_what_kzoo_0_1_wrote_is_read():
    """There the vocabulary, the segments and the padding stood beside the embedding."""
    old = {name: value for name, value in SPEC.items() if name != "embedding"}
    old |= {"vocabulary_size": 9, "num_segments": 2, "padding_id": 1, "embedding_dim": 4}
    expected = {"vocabulary_size": 9, "num_segments": 2, "padding_id": 1, "dim": 4}
    for kind in ({}, {"embedding": "token"}):
        assert Spec.from_dict({**old, **kind}).embedding == {"kind": "token", **expected}
    assert Spec.from_dict(SPEC).replace(num_segments=3).embedding["num_segments"] == 3


def test_a_spec_without_a_size_is_refused():
    for name in SPEC:
        with pytest.raises(KzooError, match=rf"unknown fields \[\] and lacks \['{name}'\]"):
            Spec.from_dict({key: value for key, value in SPEC.items() if key != name})
    with pytest.raises(KzooError, match="A spec is a JSON object; list came"):
        Spec.from_dict([])
    assert Spec.from_dict({**SPEC, "dropout": 0, "hidden_dim": 9, "head_dim": 4}).dropout == 0


# -- manifests ------------------------------------------------------------------------------------

FIELDS = {
    "format": 2, "kzoo": "0", "task": "TextClassifier", "spec": {}, "labels": ["a", "b"],
    "max_length": 9, "signature": {}, "quantization": "int8", "length": None, "limits": {},
    "minimum_runtime": {}, "golden": [], "tolerance": 0.1, "task_options": {},
}  # fmt: skip


def written(folder, **changes):
    folder.mkdir(exist_ok=True)
    (folder / "model.tflite").write_bytes(b"abc")
    bundle.write_manifest(folder, {**FIELDS, **changes})
    return folder


def test_a_manifest_names_the_files_beside_it_and_its_seal(tmp_path):
    folder = tmp_path / "a"
    written(folder)
    for name in (".DS_Store", "._model.tflite"):
        (folder / name).write_bytes(b"x")
    bundle.write_manifest(folder, FIELDS)  # once more, beside its own manifest
    manifest = bundle.read_manifest(folder)
    seal = hashlib.sha256(b"abc").hexdigest()
    assert manifest["files"] == {"model.tflite": {"bytes": 3, "sha256": seal}}
    text = (folder / "kzoo.json").read_bytes()
    empty = text.replace(manifest["seal"].encode(), b"0" * 64)
    assert hashlib.sha256(empty).hexdigest() == manifest["seal"] != "0" * 64
    assert {name: manifest[name] for name in FIELDS if name != "task_options"} == {
        name: value for name, value in FIELDS.items() if name != "task_options"
    }
    bundle.check_files(folder, manifest)


@pytest.mark.parametrize(
    ("path", "theirs"),
    [("__MACOSX/x", True), ("a/__MACOSX/b", True), (".DS_Store", True), ("a/.DS_Store", True),
     ("._x", True), ("a/._x", True), (".DS_Store/x", False), ("._a/x", False), ("x._y", False),
     ("model.tflite", False), ("_x", False)],
)  # fmt: skip
def test_what_finder_leaves_is_no_part_of_a_bundle(path, theirs):
    assert bundle.is_of_finder(path) == theirs


@pytest.mark.parametrize(
    ("content", "match"),
    [(None, "model.tflite is missing"), (b"ab", "has 2 bytes, 3 were written"),
     (b"abd", "its SHA-256 is not the one in kzoo.json")],
)  # fmt: skip
def test_a_file_that_was_changed_is_noticed(tmp_path, content, match):
    folder = written(tmp_path / "a")
    (folder / "other").write_text("x")
    bundle.write_manifest(folder, FIELDS)
    manifest = bundle.read_manifest(folder)
    (folder / "model.tflite").unlink()
    if content is not None:
        (folder / "model.tflite").write_bytes(content)
    with pytest.raises(KzooError, match=match):
        bundle.check_files(folder, manifest)
    with pytest.raises(KzooError, match=match):
        bundle.check_files(folder, manifest, ["model.tflite"])
    bundle.check_files(folder, manifest, ["other"])
    bundle.check_files(folder, manifest, [])
    (folder / "other").write_text("y")
    with pytest.raises(KzooError, match="other was changed"):
        bundle.check_files(folder, manifest, ["other"])


OPTIONS = {
    "reads": (["text", "pair", "either"], ["both", None]),
    "problem": (["single_label", "multi_label", "regression"], ["label"]),
    "threshold": ([0, 0.5, 1], [-0.1, 1.1, True, "1", math.nan]),
    "stride": ([0, 128], [-1, 1.0, True]),
    "no_answer": ([None, -3.5, 2], ["0", True, math.inf, math.nan]),
    "prompts": ([{}, {"a": "b"}], [[], {"a": 1}]),
    "similarity": (["cosine", "dot", "euclidean", "manhattan"], ["l2"]),
}


@pytest.mark.parametrize("name", OPTIONS)
def test_options_of_a_task_are_what_an_export_writes(tmp_path, name):
    good, wrong = OPTIONS[name]
    for value in good:
        folder = written(tmp_path / "a", task_options={name: value})
        assert bundle.read_manifest(folder)["task_options"][name] == value
    for value in wrong:
        folder = written(tmp_path / "a", task_options={name: value})
        with pytest.raises(KzooError, match=f"has the task option {name} "):
            bundle.read_manifest(folder)


def test_the_usual_prompt_is_one_of_the_prompts(tmp_path):
    embedder = {"task": "TextEmbedder", "labels": None}
    options = {"prompts": {"q": "query: "}, "default_prompt": "q"}
    folder = written(tmp_path / "a", **embedder, task_options=options)
    assert bundle.read_manifest(folder)["task_options"]["default_prompt"] == "q"
    for prompts, match in (({"p": ""}, "names the prompt 'q'; expected one of p:"),
                           ({}, "its prompts, and it has none")):  # fmt: skip
        written(folder, **embedder, task_options={**options, "prompts": prompts})
        with pytest.raises(KzooError, match=match):
            bundle.read_manifest(folder)
    for wrong, match in ((5, "default_prompt 5"), ({"a": 1}, "default_prompt {'a'")):
        written(folder, **embedder, task_options={**options, "default_prompt": wrong})
        with pytest.raises(KzooError, match=match):
            bundle.read_manifest(folder)
    written(folder, task_options={"tone": 1})
    with pytest.raises(KzooError, match="the task option 'tone'; expected reads, problem"):
        bundle.read_manifest(folder)


@pytest.mark.parametrize(
    ("task", "labels", "options"),
    [
        ("TextClassifier", ["a"], {"reads": "either", "problem": "single_label", "threshold": 0.5}),
        ("TokenClassifier", ["O"], {"reads": "text"}),
        ("QuestionAnswering", None, {"reads": "pair", "no_answer": None}),
        ("TextEmbedder", None, {"reads": "text", "prompts": {}, "default_prompt": None,
                                "similarity": "cosine"}),
        ("MultipleChoice", None, {"reads": "either"}),
    ],
)  # fmt: skip
def test_a_bundle_without_options_is_read_as_its_task_was(tmp_path, task, labels, options):
    folder = written(tmp_path / "a", task=task, labels=labels)
    assert bundle.read_manifest(folder)["task_options"] == options
    text = json.loads((folder / "kzoo.json").read_text())
    del text["task_options"]
    bundle.write_manifest(folder, {**text, "format": 1})
    assert bundle.read_manifest(folder)["task_options"] == options
    bundle.write_manifest(folder, {**text, "format": 2})
    with pytest.raises(KzooError, match="its seal doesn't fit"):
        bundle.read_manifest(folder)


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"format": None}, "names no format"),
        ({"format": 4}, "is of format 4; this kzoo reads 1 to 3"),
        ({"format": True}, "is of format True"), ({"format": "2"}, "is of format '2'"),
        ({"more": 1}, "its seal"), ({"kzoo": 1}, "has kzoo 1, as no"), ({"spec": []}, "has spec"),
        ({"labels": "ab"}, "has labels 'ab'"), ({"labels": None}, "has labels None"),
        ({"labels": []}, r"has labels \[\]"), ({"labels": [1]}, r"has labels \[1\]"),
        ({"labels": ["a", "a"]}, "has 'a' twice"), ({"max_length": "9"}, "has max_length '9'"),
        ({"signature": []}, "has signature"), ({"quantization": 8}, "has quantization 8"),
        ({"length": "x"}, "has length 'x'"), ({"limits": []}, "has limits"),
        ({"minimum_runtime": "1"}, "has minimum_runtime '1'"), ({"golden": {}}, "has golden"),
        ({"tolerance": "x"}, "has tolerance 'x'"), ({"task_options": []}, "has task_options"),
        ({"task": 3}, "has task 3"),
    ],
)  # fmt: skip
def test_a_manifest_that_no_export_writes_is_refused(tmp_path, changes, match):
    folder = written(tmp_path / "a", **changes)
    with pytest.raises(KzooError, match=match):
        bundle.read_manifest(folder)


@pytest.mark.parametrize("entry", [3, {}, {"bytes": 3}, {"bytes": 3, "sha256": "0", "x": 1}])
def test_an_entry_of_a_file_is_its_size_and_sum(tmp_path, entry):
    folder = written(tmp_path / "a")
    text = json.loads((folder / "kzoo.json").read_text())
    text = json.dumps({**text, "files": {"model.tflite": entry}, "seal": "0" * 64})
    sealed = text.replace("0" * 64, hashlib.sha256(text.encode()).hexdigest())
    (folder / "kzoo.json").write_text(sealed)
    with pytest.raises(KzooError, match="has files .*, as no export writes it"):
        bundle.read_manifest(folder)
    (folder / "kzoo.json").write_text(sealed.replace('"0"', '"0" '))
    with pytest.raises(KzooError, match="its seal|has files"):
        bundle.read_manifest(folder)
    with pytest.raises(KzooError, match="is no folder: a bundle"):
        bundle.read_manifest(folder / "kzoo.json")
