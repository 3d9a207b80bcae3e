"""Checkpoints of the Model Garden: the outputs of its own networks, or one sentence."""

import json

import numpy as np
import pytest
from on_disk import noise
from tensorflow.core.protobuf.trackable_object_graph_pb2 import TrackableObjectGraph
from tf_checkpoints import (
    VALUE,
    arrays,
    check,
    golden,
    refused,
    unpacked,
    write_checkpoint,
)

import kzoo
from kzoo.checkpoints import formats, garden

CASES = golden("garden")


def written(folder, name="bert", values=None, **files):
    """The folder of a case, with other variables or files where they are given."""
    case = CASES[name]
    values = arrays(case) if values is None else values
    write_checkpoint(folder / "ckpt-1", values, unpacked(case["graph"]))
    for file, text in (case["files"] | files).items():
        (folder / file).write_text(text)
    return folder


@pytest.mark.parametrize("name", CASES)
def test_outputs_are_those_of_the_reference(name, tmp_path):
    folder = written(tmp_path, name)
    assert formats.recognised(folder).format.name == "model-garden"
    check(CASES[name], kzoo.load(folder))


def test_a_head_may_be_left_out(tmp_path):
    model = formats.read(written(tmp_path, "bert_classifier"), task="backbone")
    assert type(model).__name__ == "Bert"


def test_how_often_alberts_block_runs_must_be_said_somewhere(tmp_path):
    folder = written(tmp_path, "albert", **{"params.yaml": "runtime:\n  num_gpus: 3\n"})
    refused(folder, "how often", "num_hidden_layers")
    # What is said twice, otherwise, is of something else as well.
    (folder / "params.yaml").write_text("a:\n  num_layers: 3\nb:\n  num_layers: 4\n")
    refused(folder, "how often")


def test_a_config_beside_says_the_activation_and_may_not_contradict_the_shapes(tmp_path):
    folder = written(tmp_path, **{"params.yaml": "encoder:\n  hidden_activation: relu\n"})
    assert kzoo.load(folder).spec.feedforward["activation"] == "relu"
    (folder / "bert_config.json").write_text(json.dumps({"hidden_size": 768}))
    refused(folder, "hidden_size = 768", "the checkpoint 8")


def test_norms_in_front_are_refused_where_they_are_stated(tmp_path):
    text = "encoder:\n  norm_first: true\n  num_layers: \u00b2\n"
    refused(written(tmp_path, **{"params.yaml": text}), "norm_first: true")
    (tmp_path / "params.yaml").write_text(text.replace("true", "false").replace("\u00b2", "2"))
    kzoo.load(tmp_path)


def test_blocks_are_in_the_order_of_their_numbers():
    names = [f"vit/transformer_encoder_block{number}/" for number in ("_10", "_2", "")]
    assert list(garden._places(names).values()) == [0, 1, 2]
    assert next(iter(garden._places(names))) == "transformer_encoder_block/"
    assert list(garden._places(names))[-1].endswith("_10/")


def test_what_is_no_part_of_the_network_is_named(tmp_path):
    key = f"model/adapter/kernel{VALUE}"
    refused(written(tmp_path, values=arrays(CASES["bert"]) | {key: noise("", (8, 8))}), "adapter")


def with_more(folder, value, *way):
    """A checkpoint with a variable more, at the end of a way through objects."""
    case = CASES["bert_in_a_loop"]
    graph = TrackableObjectGraph.FromString(unpacked(case["graph"]))
    node, key = graph.nodes[0], "/".join(way) + VALUE
    for name in way:
        found = [child.node_id for child in node.children if child.local_name == name]
        if not found:
            found = [len(graph.nodes)]
            node.children.add(local_name=name, node_id=found[0])
            graph.nodes.add()
        node = graph.nodes[found[0]]
    node.attributes.add(name="VARIABLE_VALUE", full_name=name, checkpoint_key=key)
    values = arrays(case) | {key: np.array(value)}
    write_checkpoint(folder / "ckpt-1", values, graph.SerializeToString())
    return folder


@pytest.mark.parametrize(
    "value, way",
    [
        (np.ones(3, "int64"), ("net", "generator", "state")),
        (np.ones(3, "float32"), ("trainer", "optimizer", "inner", "scales")),
        (np.ones(3, "float32"), ("train_metrics", "0", "true_positives")),
        (np.float32(1), ("validation_loss", "total")),
        (np.float32(1), ("best_score",)),
    ],
)
def test_what_training_leaves_is_passed_over(value, way, tmp_path):
    check(CASES["bert_in_a_loop"], kzoo.load(with_more(tmp_path, value, *way)))


@pytest.mark.parametrize("shape, way", [((), ("net", "scale")), ((3,), ("places",))])
def test_only_single_numbers_beside_the_network_are_passed_over(shape, way, tmp_path):
    folder = with_more(tmp_path, np.ones(shape, "float32"), *way)
    refused(folder, f"has {way[-1]},", "no part of BERT")


def test_a_vit_without_a_class_token_or_for_other_than_squares_is_one_sentence(tmp_path):
    values = arrays(CASES["vit"])
    place = next(key for key in values if "pos_embedding" in key)
    token = next(key for key in values if "/cls/" in key)
    others = values | {place: np.zeros((1, 7, 8), "float32")}
    refused(written(tmp_path / "a", "vit", others), "7 places", "square")
    del values[token]
    refused(written(tmp_path / "b", "vit", values), "class token")


@pytest.mark.parametrize(
    "title, name",
    [
        ("MobileBERT", "mobile_bert_embedding/word_embedding/embeddings"),
        ("XLNet", "xl_net_base/transformer_xl/layer_0/rel_attn/query/kernel"),
        ("no kind", "conv2d/kernel"),
    ],
)
def test_another_network_is_one_sentence(title, name, tmp_path):
    refused(written(tmp_path, values={name + VALUE: noise("", (4, 4))}), title)


def test_a_variable_with_other_axes_is_one_sentence(tmp_path):
    values = arrays(CASES["bert"])
    key = next(key for key in values if "_query_dense/kernel" in key)
    refused(written(tmp_path, values=values | {key: noise("", (8, 8))}), "query/kernel", "[8, 8]")


def test_half_an_encoder_and_a_damaged_graph_are_one_sentence(tmp_path):
    values = arrays(CASES["bert"])
    less = {key: value for key, value in values.items() if "_position" not in key}
    refused(written(tmp_path / "a", values=less), "position_embeddings", "whole encoder")
    write_checkpoint(tmp_path / "b" / "ckpt-1", values, b"\xff\xfe")
    refused(tmp_path / "b", "graph of objects")
