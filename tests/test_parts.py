"""Parts of a block do what the papers say, whichever family uses them."""

import numpy as np
import pytest
from families import add_noise, noisy, one_block, tokens

import kzoo
from kzoo.models import build, describe
from kzoo.network import weights_by_path

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


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"attention": {"kind": "local", "window": 0}}, "window = 0 for attention; expected 1"),
        ({"attention": {"kind": "full", "bias": ["keys"]}}, r"bias = \['keys'\] for attention"),
        ({"attention": {"kind": "full", "scale": -1}}, "scale = -1 for attention"),
        ({"attention": []}, r"attention is \[\]"),
        ({"attention": ["full", 3]}, "attention is"),
        ({"norm": ["layer_norm", "layer_norm"]}, "norm is"),
    ],
)
def test_bad_options_are_named(changes, message):
    with pytest.raises(kzoo.KzooError, match=message):
        one_block(**changes)
