"""Attention at less than all pairs of places, beside all pairs with the rest masked."""

import numpy as np
import pytest
from families import SPECS, add_noise, noisy, one_block

import kzoo
from kzoo.models import build
from kzoo.network import weights_by_path

LENGTH, STRIDE = 29, 4


def places(length, looks_ahead):
    """The queries and keys of all pairs, and which of these come in order."""
    i, j = np.arange(length)[:, None], np.arange(length)[None]
    return i, j, np.full((length, length), True) if looks_ahead else j <= i


def strided(heads, looks_ahead=False):
    """The sets of arXiv:1904.10509, section 4.3, for each of four heads."""
    i, j, allowed = places(LENGTH, looks_ahead)
    near, far = np.abs(i - j) <= STRIDE, (i - j) % STRIDE == 0
    each = [near, near, far, far] if heads == "split" else [near | far] * 4
    return np.stack([allowed & one for one in each])


def fixed(summary, columns, looks_ahead=False):
    """As `strided`; the summaries of heads lie one before the other."""
    i, j, allowed = places(LENGTH, looks_ahead)
    own, each = i // STRIDE == j // STRIDE, []
    for head in range(4):
        last = STRIDE - head % columns * summary
        each.append(own | ((j % STRIDE < last) & (j % STRIDE >= last - summary)))
    return np.stack([allowed & one for one in each])


def window(first=0):
    """The places up to `STRIDE` away, and some first ones that see all and that all see."""
    i, j, _ = places(LENGTH, True)
    return np.stack([(np.abs(i - j) <= STRIDE) | (j < first) | (i < first)] * 4)


def in_blocks():
    """Blocks that see themselves, those beside them, the first and the last; these see all."""
    i, j, _ = places(LENGTH, True)
    own, other, last = i // STRIDE, j // STRIDE, (LENGTH - 1) // STRIDE
    seen = (abs(own - other) <= 1) | np.isin(other, (0, last)) | np.isin(own, (0, last))
    return np.stack([seen] * 4)


PATTERNS = {
    "strided": ({"kind": "strided"}, strided("merged")),
    "strided, heads split": ({"kind": "strided", "heads": "split"}, strided("split")),
    "strided both ways": ({"kind": "strided", "looks_ahead": True}, strided("merged", True)),
    "fixed": ({"kind": "fixed", "summary": 1}, fixed(1, 1)),
    "fixed, own columns": ({"kind": "fixed", "summary": 2, "columns": 2}, fixed(2, 2)),
    "fixed both ways": (
        {"kind": "fixed", "summary": 1, "columns": 4, "looks_ahead": True},
        fixed(1, 4, True),
    ),
    "window": ({"kind": "window"}, window()),
    "window, to write": (
        {"kind": "window", "looks_ahead": False},
        window() & (np.arange(LENGTH)[None] <= np.arange(LENGTH)[:, None]),
    ),
    "window and first": ({"kind": "window_and_first", "first": 3}, window(3)),
    "blocks": ({"kind": "block_sparse", "random": 0}, in_blocks()),
    "blocks, the first for others": ({"kind": "block_sparse", "random": 1}, in_blocks()),
}
AT_RANDOM = {"kind": "block_sparse", "random": 1, "seed": 3}
SIZE = {"window": "window", "block": "block", "strided": "stride", "fixed": "stride"}


def sparse(slot, **changes):
    """A model with one pattern, and inputs of which the last are padding."""
    size = next(option for kind, option in SIZE.items() if kind in slot["kind"])
    slot = {**slot, size: STRIDE}
    model = noisy("sparse_transformer", attention=slot, schedule=(0,), **changes)
    ids = np.random.default_rng(1).integers(1, 120, (2, LENGTH)).astype("int32")
    mask = np.ones_like(ids)
    mask[1, -6:] = 0
    return model, {"token_ids": ids, "padding_mask": mask}


@pytest.mark.parametrize("name", PATTERNS)
def test_maps_are_where_the_paper_says_and_nowhere_else(name):
    slot, expected = PATTERNS[name]
    model, inputs = sparse(slot)
    (maps,) = model(inputs, return_attention_maps=True)["attention_maps"]
    np.testing.assert_array_equal(np.asarray(maps[0]) > 0, expected)


def test_each_head_sees_other_blocks_at_random_and_always_the_same():
    def seen(seed):
        model, inputs = sparse({**AT_RANDOM, "seed": seed})
        (maps,) = model(inputs, return_attention_maps=True)["attention_maps"]
        # Of each block the first place.
        return (np.asarray(maps[0]) > 0)[:, ::STRIDE, ::STRIDE]

    others = seen(3) & ~in_blocks()[:, ::STRIDE, ::STRIDE]
    assert others.sum(axis=-1).tolist() == [[0, 1, 1, 1, 1, 1, 1, 0]] * 4
    assert len(np.unique(others, axis=0)) > 1
    np.testing.assert_array_equal(seen(3), seen(3))
    assert (seen(3) != seen(4)).any()


@pytest.mark.parametrize("heads", [0, 2, 1], ids=["own keys", "two share", "all share"])
@pytest.mark.parametrize("name", [*PATTERNS, "blocks at random"])
def test_blocks_give_what_all_pairs_give(name, heads):
    slot, _ = PATTERNS.get(name, (AT_RANDOM, None))
    model, inputs = sparse(slot, num_key_value_heads=heads)
    seen = []
    usual = type(model.block_list[0].attention).by_blocks

    def watched(self, *args):
        seen.append(self)
        return usual(self, *args)

    kept = inputs["padding_mask"][..., None]
    whole = np.asarray(model(inputs, return_attention_maps=True)["sequence_output"])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(model.block_list[0].attention), "by_blocks", watched)
        by_blocks = np.asarray(model(inputs)["sequence_output"])
    assert seen == [model.block_list[0].attention]
    np.testing.assert_allclose(by_blocks * kept, whole * kept, atol=1e-5)


@pytest.mark.parametrize(
    "slot",
    [
        {"kind": "strided"},
        {"kind": "fixed", "summary": 2, "columns": 2},
        {"kind": "window_and_first", "first": 3},
        {"kind": "block_sparse", "random": 1},
        AT_RANDOM,
    ],
    ids=["strided", "fixed", "window and first", "blocks", "blocks at random"],
)
def test_any_length_in_one_graph_is_that_length(slot):
    import tensorflow as tf

    model, inputs = sparse(slot)
    shapes = {key: tf.TensorSpec((None, None), "int32") for key in inputs}
    function = tf.function(lambda given: model(given)["sequence_output"], input_signature=[shapes])
    for length in (LENGTH, 22, 8, 3):
        some = {key: tf.constant(value[:, :length]) for key, value in inputs.items()}
        kept = inputs["padding_mask"][:, :length, None]
        expected = np.asarray(model(some, return_attention_maps=True)["sequence_output"])
        np.testing.assert_allclose(function(some).numpy() * kept, expected * kept, atol=1e-5)


@pytest.mark.parametrize("sharing", ["none", "key_value", "layer"])
def test_sums_that_are_the_places_themselves_are_full_attention(sharing):
    slot = {"kind": "linformer", "length": 40, "sharing": sharing}
    model, full = noisy("linformer", attention=slot), build(SPECS["linformer"].replace(
        attention="full"))  # fmt: skip
    weights = weights_by_path(model)
    sums = [path for path in weights if "summary/" in path]
    assert len(sums) == {"none": 4, "key_value": 2, "layer": 1}[sharing]
    for path in sums:
        weights[path].assign(np.eye(40))
    for path, weight in weights_by_path(full).items():
        weight.assign(weights[path])
    ids = np.random.default_rng(1).integers(2, 120, (2, 40)).astype("int32")
    inputs = {"token_ids": ids, "padding_mask": np.ones_like(ids)}
    outputs = (np.asarray(each(inputs)["sequence_output"]) for each in (model, full))
    np.testing.assert_allclose(*outputs, atol=1e-5)


@pytest.mark.parametrize(
    ("family", "slot"),
    [
        ("sparse_transformer", {"kind": "strided", "stride": 4}),
        ("sparse_transformer", {"kind": "fixed", "stride": 4, "summary": 2, "columns": 2}),
        ("sparse_transformer", {"kind": "window_and_first", "window": 4, "first": 2}),
        ("longformer", {"kind": "window_and_question", "window": 4, "first": 3}),
        ("bigbird", {"kind": "block_sparse", "block": 2, "random": 0}),
        ("linformer", {"kind": "linformer", "length": 8, "sharing": "layer"}),
    ],
    ids=["strided", "fixed", "window", "question", "blocks", "linformer"],
)
def test_a_file_of_one_length_is_one_partition(family, slot, tmp_path):
    model = add_noise(one_block(family, attention=slot))
    found = kzoo.export_litert(model, tmp_path / "model.tflite", "float32", length=13)
    assert (found["audit"]["partitions"], found["audit"]["custom"]) == (1, [])
    assert found["parity"]["cosine_min"] > 0.99999


@pytest.mark.parametrize(
    ("family", "slot", "match"),
    [
        ("sparse_transformer", {"kind": "strided", "stride": 1}, "stride = 1 for attention"),
        ("sparse_transformer", {"kind": "strided", "heads": "all"}, "heads = 'all' for strided"),
        ("sparse_transformer", {"kind": "fixed", "stride": 8, "summary": 9}, "summary = 9"),
        ("sparse_transformer", {"kind": "fixed", "summary": 8, "columns": 3}, "columns = 3"),
        ("sparse_transformer", {"kind": "fixed", "looks_ahead": 2}, "looks_ahead = 2"),
        ("sparse_transformer", {"kind": "window", "window": 1}, "window = 1 for attention"),
        ("longformer", {"kind": "window_and_first", "first": -1}, "first = -1 .* 0 or more"),
        (
            "longformer",
            {"kind": "window_and_question", "separator_id": 120},
            "separator_id = 120 .* expected a token of the embedding's 120",
        ),
        (
            "vit",
            {"kind": "window_and_question"},
            "separator_id = 2 .* expected a token of the embedding's 0",
        ),
        ("bigbird", {"kind": "block_sparse", "block": 1}, "block = 1 for attention; expected 2"),
        (
            "bigbird",
            {"kind": "block_sparse", "block": 4, "random": 6},
            "random = 6 .* expected 0 to 5: the 40 places are 10 blocks of 4",
        ),
        ("bigbird", {"kind": "block_sparse", "block": 2, "seed": -1}, "seed = -1 .* or null"),
        ("linformer", {"kind": "linformer", "length": 41}, "length = 41 .* expected 1 to 40"),
        ("linformer", {"kind": "linformer", "length": 8, "sharing": "head"}, "sharing = 'head'"),
    ],
)  # fmt: skip
def test_a_pattern_that_can_not_be_is_one_sentence(family, slot, match):
    with pytest.raises(kzoo.KzooError, match=match):
        build(SPECS[family].replace(attention=slot))


def test_linformer_refuses_what_needs_an_order():
    with pytest.raises(kzoo.KzooError, match="places see those behind them; expected causal"):
        kzoo.CausalLM(noisy("linformer"))
    with pytest.raises(kzoo.KzooError, match="whose sums have no place"):
        build(SPECS["linformer"].replace(position="alibi"))
