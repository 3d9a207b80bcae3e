"""What is written for others and read of them: tensors, names, specs, manifests; without Keras."""

import dataclasses
import hashlib
import json
import math
from types import SimpleNamespace

import ml_dtypes
import numpy as np
import pytest

from kzoo.bundle import manifest as bundle
from kzoo.checkpoints import safetensors
from kzoo.checkpoints.origin import JSON, Origin
from kzoo.checkpoints.rows import Layout, Row, Table, parse
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
        g   h?   MaskedLM feedforward=gated TextClassifier
        i:io,by_head   b/{q,k}
        j.{x|y}:1,1    {l|m}/kernel
        """
    )
    assert rows == [
        Row("a.query.x", ("b/q",)), Row("a.key.x", ("b/k",)), Row("c", ("d/e",), tied=True),
        Row("f", ()),
        Row("g", ("h",), optional=True, tasks=("MaskedLM", "TextClassifier"),
            holds=(("feedforward", "gated"),)),
        Row("i", ("b/q", "b/k"), ("io", "by_head")),
        Row("j.x", ("l/kernel",), ("1", "1")), Row("j.y", ("m/kernel",), ("1", "1")),
    ]  # fmt: skip
    for wrong, match in [
        ("a.{x|y} b", "choices that don't pair"),
        ("a b/{x|y}", "choices that don't pair"),
        ("a.{x|y} b/{x|y|z}", "choices that don't pair"),
        ("a:oi b", "'a:oi b' has unknown marks"),
        ("alone", "the row 'alone'; expected a name there and a path"),
    ]:
        with pytest.raises(KzooError, match=match):
            parse(wrong)


def sized(schedule=(0, 2), **changes):
    """A spec of two heads as wide as four."""
    return Spec.from_dict(
        {"family": "bert", "vocabulary_size": 9, "hidden_dim": 8, "num_heads": 2,
         "intermediate_dim": 16, "schedule": schedule, **changes}
    )  # fmt: skip


class Family:
    TOWERS = {}
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
    table = Table(Family, sized((0, 2, 2)), PATHS, None, "bert.")
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
    table = Table(Family, sized(), [*paths, "head/bias", "head/common/kernel"], "MaskedLM", "")
    words = table.names["backbone/embedding/embeddings"]
    assert words.primary == ["embed.words.weight"]
    assert table.names["head/bias"].primary == ["lm.bias"]
    assert table.names["head/common/kernel"].primary == ["common.weight"]
    assert not table.carries("classifier.weight") and table.carries("positions")
    with pytest.raises(KzooError, match="No row of Family says what head/logits/kernel, head/x is"):
        Table(Family, sized(), [*paths, "head/x", "head/logits/kernel"], "MaskedLM", "")


def test_a_tied_name_is_another_of_the_same_numbers():
    class Tied(Family):
        TASK_ROWS = "lm.decoder.weight   =backbone/embedding/embeddings   MaskedLM"

    paths = [f"backbone/{path}" for path in PATHS]
    table = Table(Tied, sized(), [*paths], "MaskedLM", "")
    words = table.names["backbone/embedding/embeddings"]
    assert (words.tied, words.primary) == (["lm.decoder.weight"], ["embed.words.weight"])
    assert "lm.decoder.weight" in words.accepted
    assert Table(Tied, sized(), PATHS, None, "").names["embedding/embeddings"].tied == words.tied


def test_a_name_that_a_weight_has_itself_is_no_duplicate():
    class Untied(Family):
        TASK_ROWS = """
            lm_head          =embedding     CausalLM
            lm_head          head/logits?   CausalLM
        """

    paths = [f"backbone/{path}" for path in PATHS]
    words, own = "backbone/embedding/embeddings", "head/logits/kernel"
    for rows in (Untied.TASK_ROWS, "\n".join(reversed(Untied.TASK_ROWS.strip().splitlines()))):
        Untied.TASK_ROWS = rows.replace("=embedding", "=backbone/embedding")
        table = Table(Untied, sized(), [*paths, own], "CausalLM", "")
        assert table.tensors["lm_head.weight"].paths == (own,)
        assert table.names[words].tied == []
        table = Table(Untied, sized(), paths, "CausalLM", "")
        assert table.names[words].tied == ["lm_head.weight"]
        assert table.tensors["lm_head.weight"].paths == (words,)


class Fused(Family):
    ROWS = """
        h.{step}.c_attn:io    block_{step}/attention/{query,key,value}
        h.{step}.wi           block_{step}/up          feedforward=mlp
        h.{step}.{wi_0|wi_1}  block_{step}/{gate|up}   feedforward=gated
    """
    TASK_ROWS = ""


QKV = [f"block_{block}/attention/{name}/{leaf}" for block in (0, 2)
       for name in ("query", "key", "value") for leaf in ("kernel", "bias")]  # fmt: skip


def test_layers_that_lie_side_by_side_are_one_tensor():
    table = Table(Fused, sized(), QKV, None, "transformer.")
    name = "transformer.h.1.c_attn"
    assert {each: tensor.paths for each, tensor in table.tensors.items() if name in each} == {
        f"{name}.{leaf}": tuple(f"block_2/attention/{part}/{here}" for part in
                                ("query", "key", "value"))
        for leaf, here in (("weight", "kernel"), ("bias", "bias"))
    }  # fmt: skip
    for path in QKV[6:]:
        leaf = "weight" if path.endswith("kernel") else "bias"
        assert table.names[path].primary == [f"{name}.{leaf}"]
    weights = {path: np.zeros((3, 4) if "kernel" in path else 4) for path in QKV}
    assert table.tensors[f"{name}.weight"].shape(weights) == (3, 12)
    assert table.tensors[f"{name}.bias"].shape(weights) == (12,)
    fused = np.arange(36).reshape(3, 12)
    part = table.tensors[f"{name}.weight"].part(QKV[8], fused, weights)
    assert part.tolist() == fused[:, 4:8].tolist()
    with pytest.raises(KzooError, match="side by side in h.0.c_attn, some lack variables"):
        Table(Fused, sized(), [path for path in QKV if path != QKV[3]], None, "")
    with pytest.raises(KzooError, match="side by side in h.0.c_attn, some lack variables"):
        Table(Fused, sized(), [path for path in QKV if QKV[2][:-7] not in path], None, "")


def test_a_row_may_ask_for_the_kind_that_a_slot_holds():
    paths = [f"block_{block}/{layer}/kernel" for block in (0, 1) for layer in ("gate", "up")]
    table = Table(Fused, sized((0, 1), feedforward="gated"), paths, None, "")
    assert set(table.tensors) == {f"h.{i}.wi_{j}.weight" for i in (0, 1) for j in (0, 1)}
    table = Table(
        Fused,
        sized((0, 1), feedforward=[{"kind": "gated"}, "mlp"]),
        [*paths[:2], paths[3]],
        None,
        "",
    )
    assert set(table.tensors) == {"h.0.wi_0.weight", "h.0.wi_1.weight", "h.1.wi.weight"}
    assert not table.carries("h.1.wi_0.weight")


def test_two_weights_of_one_name_are_refused():
    class Twice(Family):
        TASK_ROWS = "embed.words.weight   head/bias"

    with pytest.raises(KzooError, match="Rows name both embedding/embeddings and head/bias"):
        Table(Twice, sized(), [*PATHS, "head/bias"], "MaskedLM", "")


def test_towers_have_their_own_rows_below_their_prefix():
    class Text(Family):
        PREFIX, TOWERS = "text_model.", {}

    class Image(Fused):
        PREFIX, TOWERS = "vision_model.", {}

    class Both:
        TOWERS = {"text": Text, "image": Image}
        ROWS = """
            logit_scale         logit_scale
            visual_projection   image/projection
        """
        TASK_ROWS = ""

    paths = ["logit_scale", "image/projection/kernel", *(f"text/{path}" for path in PATHS),
             *(f"image/{path}" for path in QKV)]  # fmt: skip
    spec = SimpleNamespace(towers={"text": sized((0, 2, 2)), "image": sized()})
    for inside in ("", "backbone/"):
        table = Table(Both, spec, [inside + path for path in paths], None, "clip.")
        assert table.tensors["clip.logit_scale"].paths == (f"{inside}logit_scale",)
        assert table.tensors["clip.visual_projection.weight"].layout.turned
        gamma = table.names[f"{inside}text/block_2/norm/gamma"].primary
        assert gamma == [f"clip.text_model.layer.{step}.norm.weight" for step in (1, 2)]
        fused = table.tensors["clip.vision_model.h.1.c_attn.weight"]
        assert fused.paths[0] == f"{inside}image/block_2/attention/query/kernel"
        assert table.carries("clip.text_model.positions")


# -- how tensors lie there ------------------------------------------------------------------------


def test_only_kernels_are_turned():
    rows = """
        a:io           b
        c:1,1          d/class_token
        e.{f|n|o}      {f|n|o}
        g              scale
        h:heads        i/places
        j:by_head      k/{q,v}
    """

    class Leaves:
        ROWS, TASK_ROWS, TOWERS = rows, "", {}

    paths = ["b/kernel", "b/bias", "d/class_token", "scale", "i/places"]
    paths += ["f/kernel", "f/bias", "n/gamma", "n/beta", "o/embeddings", "k/q/bias", "k/v/bias"]
    table = Table(Leaves, sized(), paths, None, "")
    layouts = {tensor.paths[0]: tensor.layout for tensor in table.tensors.values()}
    assert layouts == {
        **dict.fromkeys(paths[:-1], Layout()),
        "f/kernel": Layout(turned=True),
        "d/class_token": Layout(ones=2),
        "i/places": Layout(heads=True, head_dim=4),
        "k/q/bias": Layout(by_head=True, head_dim=4),
    }


def random_case(draw):
    """A layout, and arrays that may lie so."""
    head_dim, count = int(draw.integers(1, 4)), int(draw.integers(1, 4))
    rank = int(draw.choice([1, 2, 2, 3, 4]))
    heads, by_head, turned = (bool(x) for x in draw.integers(0, 2, 3))
    layout = Layout(turned and rank > 1, by_head, heads and (rank < 3 or not turned),
                    int(draw.integers(0, 3)), head_dim)  # fmt: skip
    groups = int(draw.integers(1, 4))
    lead = [int(x) for x in draw.integers(1, 5, rank - 1)]
    if layout.heads and layout.turned:  # What comes last there are the inputs.
        lead[-1] *= head_dim
    if rank == 2 and not (layout.heads or layout.turned) and draw.integers(0, 2):
        layout = dataclasses.replace(layout, from_heads=True)
        lead[-1] *= head_dim
    # Of keys that several queries share there are fewer.
    widths = [head_dim * groups * int(draw.integers(1, 3)) for _ in range(count)]
    widths[draw.integers(count)] = head_dim * groups
    dtype = draw.choice(["float32", "float16", "int8"])
    return layout, [draw.integers(-99, 99, (*lead, width)).astype(dtype) for width in widths]


def test_what_is_written_is_read_again_to_the_byte_whatever_the_layout():
    draw = np.random.default_rng(7)
    for _ in range(400):
        layout, arrays = random_case(draw)
        shapes = [array.shape for array in arrays]
        there = layout.there(arrays)
        assert there.shape == layout.shape(shapes), layout
        assert there.size == sum(array.size for array in arrays)
        for array, again in zip(arrays, layout.here(there, shapes), strict=True):
            assert (again.dtype, again.shape) == (array.dtype, array.shape), layout
            assert again.tobytes() == array.tobytes(), layout
        other = np.arange(there.size).reshape(there.shape)
        assert layout.there(layout.here(other, shapes)).tobytes() == other.tobytes(), layout


def test_layouts_are_those_of_the_libraries():
    q, k, v = (np.arange(24).reshape(3, 8) + 100 * i for i in range(3))
    conv1d = Layout().there([q, k, v])  # GPT-2: (in, query | key | value)
    assert conv1d.tolist() == np.concatenate([q, k, v], axis=1).tolist()
    linear = Layout(turned=True).there([q, k, v])
    assert linear.tolist() == np.concatenate([q.T, k.T, v.T]).tolist()
    # BLOOM: (heads, 3, dim, in).
    bloom = Layout(turned=True, by_head=True, head_dim=4).there([q, k, v]).reshape(2, 3, 4, 3)
    for head in range(2):
        for place, part in enumerate((q, k, v)):
            assert bloom[head, place].tolist() == part.T[4 * head : 4 * head + 4].tolist()
    biases = Layout(by_head=True, head_dim=4).there([q[0], k[0], v[0]]).reshape(2, 3, 4)
    assert biases[1, 2].tolist() == v[0, 4:].tolist()
    # One key and value for two queries each: Falcon, (groups, queries + 2, dim, in).
    shared = Layout(turned=True, by_head=True, head_dim=2).there([q, k[:, :4], v[:, :4]])
    assert shared.reshape(2, 4, 2, 3)[1, 2].tolist() == k[:, 2:4].T.tolist()
    # XLNet: (in, heads, dim), also of the kernel that leads back from them.
    apart = Layout(heads=True, head_dim=4).there([q])
    assert apart.shape == (3, 2, 4) and apart[:, 1].tolist() == q[:, 4:].tolist()
    back = Layout(turned=True, heads=True, head_dim=4).there([q.T])
    assert back.tolist() == apart.tolist()
    # Convolutions: (out, in, height, width) of (height, width, in, out).
    kernel = np.arange(2 * 3 * 4 * 5).reshape(2, 3, 4, 5)
    turned = Layout(turned=True).there([kernel])
    assert turned.shape == (5, 4, 2, 3) and turned[3, 2, 1, 0] == kernel[1, 0, 2, 3]
    assert Layout(turned=True).there([kernel[0]])[3, 2, 1] == kernel[0, 1, 2, 3]
    assert Layout(ones=2).there([q]).shape == (1, 1, 3, 8)
    assert Layout().there([np.float32(3)[()]]).shape == Layout().shape([()]) == ()


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
       for wrong in (3, "01", [-1], [1.0], [True], [2**31])]
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
