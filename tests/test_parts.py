"""Parts of a block do what the papers say, whichever family uses them."""

import numpy as np
import pytest
from families import SPECS, add_noise, noisy, one_block, tokens, words
from writing import cache, in_steps, stepped

import kzoo
from kzoo.models import build, describe
from kzoo.network import weights_by_path
from kzoo.nn.position import slopes
from kzoo.values import NOWHERE

LENGTH = 9


def reached(attention, layers=1):
    """Which places (column) change the output of which others (row), in a stack of this kind."""
    model = add_noise(one_block(attention=attention).with_spec(schedule=tuple(range(layers))))
    inputs = tokens(model.spec, batch=1, length=LENGTH)
    before = np.asarray(model(inputs)["sequence_output"])[0]
    found = np.zeros((LENGTH, LENGTH), bool)
    for place in range(LENGTH):
        ids = inputs["token_ids"].copy()
        ids[0, place] = (ids[0, place] + 7) % 100 + 5
        after = np.asarray(model({**inputs, "token_ids": ids})["sequence_output"])[0]
        found[:, place] = np.abs(after - before).max(-1) > 1e-6
    return found


@pytest.mark.parametrize(
    ("attention", "layers", "window"),
    [
        ("full", 1, None),
        ("causal", 1, LENGTH),
        ({"kind": "local", "window": 3}, 1, 3),
        ({"kind": "local", "window": 1}, 1, 1),
        ({"kind": "local", "window": 3}, 2, 5),  # Two windows, one behind the other.
        ([{"kind": "local", "window": 2}, "causal"], 2, LENGTH),
    ],
)
def test_a_place_is_reached_by_those_that_its_attention_says(attention, layers, window):
    gap = np.arange(LENGTH)[:, None] - np.arange(LENGTH)[None]
    expected = np.ones_like(gap, bool) if window is None else (gap >= 0) & (gap < window)
    np.testing.assert_array_equal(reached(attention, layers), expected)


def test_blocks_take_the_entries_of_a_list_in_turn():
    kinds = ["causal", {"kind": "local", "window": 2, "bias": ["output"]}]
    spec = one_block(attention=kinds).spec.replace(schedule=(0, 1, 2, 4))
    model = build(spec)
    assert [type(block.attention).__name__ for block in model.block_list] == [
        "Causal", "Local", "Causal", "Causal"
    ]  # fmt: skip
    paths = {path: tuple(weight.shape) for path, weight in weights_by_path(model).items()}
    assert "block_1/attention/output/bias" in paths and "block_2/attention/query/bias" in paths
    assert "block_1/attention/query/bias" not in paths
    assert dict(describe(spec)) == paths
    assert kzoo.Spec.from_json(spec.to_json()) == spec


def test_scores_are_scaled_as_asked():
    usual = noisy("bert")
    same, other = (
        usual.with_spec(attention={"kind": "full", "scale": scale}) for scale in (8**-0.5, 1.0)
    )
    inputs = tokens(usual.spec)
    outputs = [np.asarray(model(inputs)["sequence_output"]) for model in (usual, same, other)]
    np.testing.assert_allclose(outputs[1], outputs[0], atol=1e-6)
    assert np.abs(outputs[2] - outputs[0]).max() > 0.05


def test_a_pre_norm_block_adds_to_what_it_was_given():
    """`x + attention(norm(x))`, then `x + feedforward(norm(x))`."""
    model = add_noise(one_block(block="pre_norm"))
    inputs = tokens(model.spec, batch=1)
    (block,) = model.block_list
    states = model(inputs, return_hidden_states=True)["hidden_states"]
    x = states[0]
    x = x + block.attention(block.attention_norm(x), context=model.context(inputs))[0]
    x = x + block.feedforward(block.feedforward_norm(x))
    np.testing.assert_allclose(np.asarray(states[1]), np.asarray(x), atol=1e-5)


@pytest.mark.parametrize("first", [1, 2])
@pytest.mark.parametrize(
    "changes",
    [
        {"block": "pre_norm", "norms": ["final"]},
        {"position": "rotary", "num_key_value_heads": 2},
        {"position": "alibi", "attention": "causal", "block": "parallel"},
        {"position": {"kind": "bucketed", "buckets": 8, "longest": 6}, "schedule": (0, 0)},
        {"attention": {"kind": "local", "window": 3}, "pooler": "tanh"},
    ],
)
def test_places_that_nothing_reads_are_left_out_and_change_nothing(changes, first):
    model = noisy("distilbert", **changes)
    inputs = tokens(model.spec, length=LENGTH)
    inputs["padding_mask"][1, -3:] = 0
    whole, short = model.run(inputs), model.run_for(inputs, first)
    learning = model.run_for(inputs, first, training=True)
    for name, expected in whole.items():
        expected = expected[:, :first] if name == "sequence_output" else expected
        np.testing.assert_allclose(np.asarray(short[name]), np.asarray(expected), atol=2e-6)
    # What is drawn in training is the same, whatever reads the outputs.
    assert learning["sequence_output"].shape == whole["sequence_output"].shape


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"attention": {"kind": "local", "window": 0}}, "window = 0 for attention; expected 1"),
        ({"attention": {"kind": "full", "bias": ["keys"]}}, r"bias = \['keys'\] for attention"),
        ({"attention": {"kind": "full", "scale": -1}}, "scale = -1 for attention"),
        ({"attention": []}, r"attention is \[\]"),
        ({"attention": ["full", 3]}, "attention is"),
        ({"norm": ["layer_norm", "layer_norm"]}, "norm is"),
        ({"position": {"kind": "bucketed", "buckets": 7}}, "buckets = 7; expected an even"),
        ({"position": {"kind": "bucketed", "longest": 16}}, "longest = 16; .* above 16"),
        ({"embedding": words(logit_scale=0)}, "logit_scale = 0; expected a number above 0"),
    ],
)
def test_bad_options_are_named(changes, message):
    with pytest.raises(kzoo.KzooError, match=message):
        one_block(**changes)


# -- writing, a few tokens at a time ------------------------------------------------------------

WRITERS = {
    "causal": {},
    "local": {"attention": ["causal", {"kind": "local", "window": 3}], "schedule": (0, 1, 2)},
    "shared block": {"schedule": (0, 0)},
    "two heads for keys": {"num_key_value_heads": 2},
    "one head for keys": {"num_key_value_heads": 1, "block": "parallel"},
    "counted": {"position": "counted"},
    "alibi": {"position": "alibi", "num_heads": 3, "hidden_dim": 33},
    "rotary": {"position": "rotary", "norm": "rms_norm", "feedforward": "gated"},
    "rotary by halves": {"position": {"kind": "rotary", "interleaved": False}},
    "bucketed": {"position": {"kind": "bucketed", "buckets": 8, "longest": 6}},
}


def writer(**changes):
    usual = {"attention": "causal", "block": "pre_norm", "norms": ["final"]}
    return noisy("distilbert", **{**usual, **changes})


@pytest.mark.parametrize("case", WRITERS)
def test_steps_with_a_cache_give_what_the_whole_gives(case):
    model = writer(**WRITERS[case])
    ids = tokens(model.spec, batch=1, length=LENGTH)["token_ids"]
    whole = np.asarray(model({"token_ids": ids, "padding_mask": ids * 0 + 1})["sequence_output"])
    np.testing.assert_allclose(in_steps(model, ids, (3, 1, 2, 3)), whole, atol=2e-5)


def test_rows_of_a_batch_write_at_places_of_their_own():
    """One row is two tokens behind: what fills it up at the left has no place and is not seen."""
    model = writer(position="rotary")
    ids = tokens(model.spec, batch=1, length=6)["token_ids"]
    alone = np.asarray(model({"token_ids": ids, "padding_mask": ids * 0 + 1})["sequence_output"])
    rows = np.stack([np.r_[7, 7, ids[0]], np.r_[ids[0], 9, 8]]).astype("int32")
    places = np.array([[NOWHERE, NOWHERE, 0, 1, 2, 3, 4, 5], np.arange(8)], "int32")
    held = cache(model, 2, 8)
    parts = [stepped(model, held, rows[:, at], places[:, at], at) for at in (slice(5), slice(5, 8))]
    both = np.concatenate(parts, axis=1)
    np.testing.assert_allclose(both[0, 2:], alone[0], atol=2e-5)
    np.testing.assert_allclose(both[1, :6], alone[0], atol=2e-5)


@pytest.mark.parametrize(
    "changes", [{"attention": "full"}, {"attention": ["causal", "full"], "schedule": (0, 1)}]
)
def test_a_network_that_looks_ahead_takes_no_steps(changes):
    assert list(writer(**changes).signatures) == ["serve"]
    assert list(writer().signatures) == ["serve", "step"]


def test_slopes_of_alibi_are_those_of_the_paper():
    """arXiv:2108.12409: from 1/2 by halves for 8 heads; 12 heads add every other one of 16."""
    np.testing.assert_allclose(slopes(8), 0.5 ** np.arange(1, 9))
    between = 2.0 ** (-0.5 * np.arange(1, 9, 2))
    np.testing.assert_allclose(slopes(12), np.r_[0.5 ** np.arange(1, 9), between])


@pytest.mark.parametrize(("family", "task"), [("palm", kzoo.CausalLM), ("bert", kzoo.MaskedLM)])
def test_scores_of_tokens_are_scaled_as_their_table_says(family, task):
    """Wherever the head came from: a backbone that is read alone keeps what its scores need."""
    inputs, logits = tokens(SPECS[family]), []
    for scale in (1.0, 0.25):
        slot = {**SPECS[family].embedding, "logit_scale": scale}
        model = task(noisy(family, embedding=slot))
        model.head.set_weights([weight * 0 + 0.5 for weight in model.head.get_weights()])
        logits.append(np.asarray(model(inputs)["logits"]))
    assert np.abs(logits[0]).max() > 0.1
    np.testing.assert_allclose(logits[1], logits[0] * 0.25, atol=1e-6)
