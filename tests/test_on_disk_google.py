"""Checkpoints of TensorFlow 1: the outputs of transformers' own loaders, or one sentence."""

import json

import numpy as np
import pytest
from on_disk import noise
from tf_checkpoints import arrays, check, golden, refused, write_checkpoint

import kzoo
from kzoo.checkpoints import formats
from kzoo.checkpoints.tf_checkpoint import find_prefix, read_checkpoint

CASES = golden("google")
PIECES = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "cat", "##s"]


def written(folder, name="bert", values=None, **config):
    """The folder of a case, with other variables or another config where they are given."""
    case = CASES[name]
    write_checkpoint(folder / "model.ckpt", arrays(case) if values is None else values)
    if case["file"]:
        (folder / case["file"]).write_text(json.dumps(case["config"] | config))
    return folder


@pytest.mark.parametrize("name", CASES)
def test_outputs_are_those_of_the_reference(name, tmp_path):
    check(CASES[name], kzoo.load(written(tmp_path, name)))


def test_the_format_is_told_by_its_files_and_a_prefix_names_one_of_several(tmp_path):
    folder = written(tmp_path)
    assert formats.recognised(folder).format.name == "google"
    write_checkpoint(folder / "model.ckpt-9", arrays(CASES["bert"]))
    refused(folder, "model.ckpt-9", "give the path of one")
    check(CASES["bert"], kzoo.load(folder / "model.ckpt-9"))
    (folder / "checkpoint").write_text('model_checkpoint_path: "/old/place/model.ckpt-9"\n')
    assert find_prefix(folder).name == "model.ckpt-9"


@pytest.mark.parametrize("scope", ["module/", "bert/", "a/b/"])
def test_scopes_in_front_and_numbers_behind_are_dropped(scope, tmp_path):
    values = {f"{scope}{name}:0": value for name, value in arrays(CASES["bert"]).items()}
    check(CASES["bert"], kzoo.load(written(tmp_path, values=values)))


def test_what_optimizers_leave_is_passed_over_and_all_else_is_named(tmp_path):
    values = arrays(CASES["bert"])
    table = "bert/embeddings/word_embeddings"
    for left in ("Adam", "Adam_1", "lamb_m", "adam_v"):
        values[f"{table}/{left}"] = values[table]
    values |= {"beta1_power": np.float32(1), "bert/x_slot_vr": values[table]}
    check(CASES["bert"], kzoo.load(written(tmp_path / "trained", values=values)))
    refused(written(tmp_path / "a", values=values | {"other": values[table]}), "other", "BERT")
    name = "bert/encoder/layer_0/adapter/kernel"
    refused(
        written(tmp_path / "b", values=values | {name: values[table]}),
        "bert.encoder.layer.0.adapter.weight",
    )


def test_a_head_may_be_left_out_and_labels_are_numbered(tmp_path):
    folder = written(tmp_path, "bert_classifier")
    assert kzoo.load(folder).labels == ["LABEL_0", "LABEL_1", "LABEL_2"]
    assert type(formats.read(folder, task="backbone")).__name__ == "Bert"


@pytest.mark.parametrize(
    "folder, lower", [("uncased_L-2", True), ("multi_cased_L-2", False), ("other", True)]
)
def test_the_folders_name_says_whether_texts_are_lower_cased(folder, lower, tmp_path, caplog):
    caplog.set_level("INFO", "kzoo")
    folder = written(tmp_path / folder)
    (folder / "vocab.txt").write_text("\n".join(PIECES) + "\n")
    tokenizer = kzoo.load(folder).processors["tokenizer"]
    assert (tokenizer.tokens("The Cats") == ["[CLS]", "the", "cat", "##s", "[SEP]"]) is lower
    assert (f"do_lower_case = {lower}" in caplog.text) is ("cased" in folder.name)
    assert formats.read(folder, tokenizer=False).processors["tokenizer"] is None
    (folder / "vocab.txt").write_text("a\n\nb\n")
    refused(folder, str(folder / "vocab.txt"), "Line 2")


@pytest.mark.parametrize(
    "title, name",
    [
        ("ELECTRA", "electra/encoder/layer_0/attention/self/query/kernel"),
        ("XLNet", "model/transformer/layer_0/rel_attn/q/kernel"),
        ("MobileBERT", "bert/encoder/layer_0/bottleneck/input/dense/kernel"),
    ],
)
def test_a_family_that_kzoo_lacks_is_named(title, name, tmp_path):
    refused(written(tmp_path, values=arrays(CASES["bert"]) | {name: noise(name, (4, 4))}), title)


def test_a_checkpoint_of_something_else_says_what_is_there(tmp_path):
    refused(written(tmp_path, values={"resnet/conv/kernel": noise("", (2, 2))}), "resnet/conv")


def test_half_a_checkpoint_is_one_sentence(tmp_path):
    folder = written(tmp_path)
    data, index = (folder / f"model.ckpt.{end}" for end in ("data-00000-of-00001", "index"))
    content, listed = data.read_bytes(), index.read_bytes()
    data.unlink()
    refused(folder, "half a checkpoint", "model.ckpt.data-00000-of-00001")
    data.write_bytes(content[: len(content) // 2])
    refused(folder, f"{len(content) // 2} bytes of")
    data.write_bytes(content[:400] + bytes(64) + content[464:])
    refused(folder, "not a sound checkpoint")
    data.write_bytes(content)
    index.write_bytes(listed[: len(listed) // 2])
    refused(folder, "not a sound checkpoint")
    index.unlink()
    refused(folder, "half a checkpoint", "model.ckpt.index")


def test_a_config_that_is_missing_or_of_another_size_is_one_sentence(tmp_path):
    refused(written(tmp_path / "a", hidden_size=16, num_attention_heads=2), "[37, 8]", "[37, 16]")
    refused(written(tmp_path / "b", num_hidden_layers=3), "bert.encoder.layer.2")
    (tmp_path / "b" / "bert_config.json").unlink()
    refused(tmp_path / "b", "bert_config.json", "num_attention_heads")


@pytest.mark.parametrize(
    "name, variable",
    [
        ("bert_classifier", "output_bias"),
        ("t5", "shared/embedding"),
        ("t5", "encoder/block_000/layer_000/SelfAttention/q"),
    ],
)
def test_a_variable_with_other_axes_is_one_sentence(name, variable, tmp_path):
    values = arrays(CASES[name]) | {variable: noise("", (2, 2, 2))}
    refused(written(tmp_path, name, values), "[2, 2, 2]", variable.split("/")[-1])


def test_towers_of_t5_may_differ_in_depth(tmp_path):
    values = {n: v for n, v in arrays(CASES["t5"]).items() if "decoder/block_001/" not in n}
    towers = kzoo.load(written(tmp_path, "t5", values)).spec.towers
    assert [towers[name].num_layers for name in ("encoder", "decoder")] == [2, 1]


def test_data_in_parts_are_all_asked_for(tmp_path):
    folder = written(tmp_path)
    file = folder / "model.ckpt.data-00000-of-00001"
    file.rename(folder / "model.ckpt.data-00000-of-00002")
    refused(folder, "half a checkpoint", "model.ckpt.data-00001-of-00002")


def test_what_is_read_can_be_written_for_transformers(tmp_path):
    folder = written(tmp_path / "cased", "bert_squad")
    (folder / "vocab.txt").write_text("\n".join(PIECES) + "\n")
    kzoo.to_huggingface(kzoo.load(folder), tmp_path / "there")
    model = kzoo.from_huggingface(tmp_path / "there")
    check(CASES["bert_squad"], model)
    assert model.processors["tokenizer"].tokens("The cat") == ["[CLS]", "[UNK]", "cat", "[SEP]"]


def test_settings_of_t5_are_read_and_may_not_contradict_the_shapes(tmp_path):
    folder = written(tmp_path, "t5_gated")
    gin = folder / "operative_config.gin"
    gin.write_text(
        "d_ff = 10\nd_model = 8\nnum_heads = 2\n"
        "decoder/DenseReluDense.activation = ['swish', 'linear']\n"
        "decoder/SelfAttention.dropout_rate = %dropout_rate\n"
    )
    assert kzoo.load(folder).spec.towers["decoder"].feedforward["activation"] == "silu"
    gin.write_text("num_heads = 4\n")
    refused(folder, "num_heads = 4", "the checkpoint 2")


def test_of_two_models_in_a_checkpoint_none_is_read(tmp_path):
    values = arrays(CASES["bert"])
    values |= {f"bert_1/{name.removeprefix('bert/')}": value for name, value in values.items()}
    refused(written(tmp_path, values=values), "bert_1/", "one tensor of BERT")


def test_variables_are_read_when_they_are_asked_for(tmp_path):
    folder = written(tmp_path)
    lazies = read_checkpoint(find_prefix(folder))
    assert "global_step" not in lazies
    name = "bert/pooler/dense/kernel"
    assert lazies[name].shape == (8, 8)
    np.testing.assert_array_equal(lazies[name].read(), noise(name, (8, 8)))
