"""MobileBERT: what its blocks, its embedding and its heads may be, and what they refuse."""

import numpy as np
import pytest
from families import SPECS, add_noise, noisy, padding_of, shared, tokens

import kzoo
from kzoo.checkpoints.config import config_from_spec, spec_from_config
from kzoo.litert.interpreter import Interpreter
from kzoo.models import MobileBert, build
from kzoo.network import weights_by_path

INSIDE = {"feedforwards": 2, "dim": 8}
# What a config says, and what a spec says in its place.
VARIANTS = {
    "all of attention within": (
        {"use_bottleneck_attention": True, "key_query_shared_bottleneck": False},
        {"block": {"kind": "bottleneck", **INSIDE}},
    ),
    "a shared map that nothing reads": (
        {"use_bottleneck_attention": True},
        {"block": {"kind": "bottleneck", **INSIDE}},
    ),
    "no bottleneck": (
        {"use_bottleneck": False},
        {"block": {"kind": "stacked", "feedforwards": 2}},
    ),
    "one net": ({"num_feedforward_networks": 1}, {}),
    "norms": (
        {"normalization_type": "layer_norm", "layer_norm_eps": 1e-5},
        {"norm": {"kind": "layer_norm", "epsilon": 1e-5}},
    ),
    "single tokens": ({"trigram_input": False}, {}),
    "no map in the pooler": ({"classifier_activation": False}, {"pooler": "first_token"}),
}


@pytest.mark.parity
@pytest.mark.parametrize("suffix", ["Model", "ForPreTraining"])
@pytest.mark.parametrize("variant", VARIANTS)
def test_variants_are_those_of_transformers_both_ways(variant, suffix, tmp_path):
    from test_huggingface import TOLERANCE, batch, contents, distance, reference, reload, torch

    config, fields = VARIANTS[variant]
    theirs = reference("mobilebert", suffix, **{"num_feedforward_networks": 2, **config})
    theirs.save_pretrained(tmp_path / "here")
    columns, there = batch(theirs, suffix)
    mask = columns["padding_mask"].astype(bool)

    def assert_same(model, theirs):
        with torch.no_grad():
            expected = theirs(**there)
        ours = model(columns)
        if suffix == "Model":
            assert distance(ours["sequence_output"], expected.last_hidden_state, mask) < TOLERANCE
            pooled = ours.get("pooled_output", ours["sequence_output"][:, 0])
            assert distance(pooled, expected.pooler_output) < TOLERANCE
            return
        assert distance(ours["logits"], expected.prediction_logits, mask) < TOLERANCE
        assert distance(ours["pair_logits"], expected.seq_relationship_logits) < TOLERANCE

    model = kzoo.from_huggingface(tmp_path / "here")
    spec = getattr(model, "backbone", model).spec
    assert {name: getattr(spec, name) for name in fields} == fields
    assert_same(model, theirs)
    kzoo.to_huggingface(model, tmp_path / "back")
    assert contents(tmp_path / "back") == contents(tmp_path / "here")
    del model.origin
    add_noise(model)
    kzoo.to_huggingface(model, tmp_path / "there")
    assert_same(model, reload(theirs, tmp_path / "there"))


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"key_query_shared_bottleneck": False}, "_bottleneck = .*doesn't compute that"),
        ({"layer_norm_eps": 1e-6}, "layer_norm_eps = 1e-06"),
        ({"normalization_type": "layer_norm"}, "layer_norm_eps = 1e-12"),
        ({"trigram_input": False, "embedding_size": 512}, "trigram_input = False"),
    ],
)
def test_a_config_that_it_does_not_compute_is_one_sentence(config, words):
    with pytest.raises(kzoo.KzooError, match=words) as caught:
        spec_from_config(config, MobileBert)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"block": {"kind": "stacked", "feedforwards": 0}}, "feedforwards = 0"),
        ({"block": {"kind": "bottleneck", "dim": "wide"}}, "dim = 'wide'"),
        ({"embedding": {**SPECS["mobilebert"].embedding, "size": 2}}, "size = 2 .* odd"),
        ({"embedding": {**SPECS["mobilebert"].embedding, "token_dim": None}}, "token_dim = None"),
        ({"cross_attention": "full"}, "no attention to a memory"),
    ],
)
def test_a_spec_that_makes_no_network_is_one_sentence(changes, words):
    with pytest.raises(kzoo.KzooError, match=words):
        build(SPECS["mobilebert"].replace(**changes))


def test_scores_against_two_tables_need_narrow_tokens():
    wide = {**SPECS["mobilebert"].embedding, "token_dim": 32}
    with pytest.raises(kzoo.KzooError, match="vectors of 32 in a model of 32"):
        kzoo.MaskedLM(noisy("mobilebert", embedding=wide))


def test_more_nets_than_have_names_elsewhere_are_one_sentence(tmp_path):
    block = {**SPECS["mobilebert"].block, "feedforwards": 18}
    with pytest.raises(kzoo.KzooError, match="feedforward_16"):
        kzoo.to_huggingface(noisy("mobilebert", block=block, schedule=(0,)), tmp_path / "there")
    assert not list(tmp_path.iterdir())


def test_of_what_follows_a_text_its_last_token_sees_the_padding_tokens_vector():
    """As in transformers: in a row alone nothing stands there, which is the same where that is 0.

    Of the text itself only the last place knows directly, and the others by attention.
    """
    spec = SPECS["mobilebert"]
    columns = tokens(spec, batch=1, length=6)
    wide = {
        name: np.pad(value, ((0, 0), (0, 3)), constant_values=padding_of(spec) * (name[0] == "t"))
        for name, value in columns.items()
    }
    model = noisy("mobilebert")
    outputs = [np.asarray(model(each)["sequence_output"])[:, :6] for each in (columns, wide)]
    assert np.abs(outputs[0] - outputs[1]).max() > 1e-3
    table = weights_by_path(model)["token_embedding/embeddings"]
    rows = np.array(table)
    rows[padding_of(spec)] = 0
    table.assign(rows)
    outputs = [np.asarray(model(each)["sequence_output"])[:, :6] for each in (columns, wide)]
    np.testing.assert_allclose(*outputs, atol=1e-5)


@pytest.mark.parametrize("length", [None, 16])
@pytest.mark.parametrize("block", ["shared_bottleneck", "bottleneck", "stacked"])
def test_a_file_of_it_is_one_partition(block, length, tmp_path):
    slot = {"kind": block, "feedforwards": 2, **({} if block == "stacked" else {"dim": 8})}
    model = noisy("mobilebert", block=slot)
    found = kzoo.export_litert(model, tmp_path / "model.tflite", length=length)["audit"]
    assert found["partitions"] == 1 and not found["custom"]
    columns = tokens(model.spec, batch=1, length=length or 7)
    outputs = Interpreter(tmp_path / "model.tflite").run(columns)
    for name, value in model(columns).items():
        np.testing.assert_allclose(outputs[name], np.asarray(value), atol=2e-5)


def test_an_int8_file_stays_near(tmp_path):
    model = kzoo.TextEmbedder(noisy("mobilebert"))
    found = kzoo.export_litert(model, tmp_path / "model.tflite", "int8", limits={})
    assert found["audit"]["partitions"] == 1
    assert found["parity"]["cosine"] > 0.98


def test_a_config_and_its_spec_are_one():
    spec = SPECS["mobilebert"]
    for _, fields in VARIANTS.values():
        changed = spec.replace(**fields)
        if changed.block["kind"] == "stacked":
            changed = changed.replace(head_dim=8)
        again = spec_from_config(config_from_spec(changed, MobileBert), MobileBert)
        assert (again.block, again.head_dim) == (changed.block, changed.head_dim)


def test_what_values_are_made_of_reaches_attention():
    """Of a shared bottleneck: values of the wide vectors, queries and keys of the narrow ones."""
    weights = weights_by_path(shared("mobilebert"))
    shapes = {name: weights[f"block_0/attention/{name}/kernel"].shape for name in ("key", "value")}
    assert shapes == {"key": (8, 8), "value": (32, 8)}
