"""Which attention to take: what `kzoo bench --attention` measures, and what it makes of that."""

import io
import math
import sys
from pathlib import Path

import numpy as np
import pytest

from kzoo import KzooError, chooser, turns, views
from kzoo.terminal import Screen

SIZES = {"hidden_dim": 16, "num_heads": 2}


def taken(**milliseconds):
    """Two turns of each kind: of a busy machine, and of one that takes half; None is unmeasured."""
    return {
        kind: [
            {"points": {
                str(n): {"milliseconds": busy * ms, "MiB": 1.0} for n, ms in by.items() if ms
            }}
            for busy in (2, 1)
        ]
        for kind, by in milliseconds.items()
    }  # fmt: skip


def found(**milliseconds):
    """The summary of such turns."""
    plan = {kind: {n: {} for n, ms in by.items() if ms} for kind, by in milliseconds.items()}
    return chooser.summary(taken(**milliseconds), plan)


def test_a_kind_beats_dense_from_where_it_stays_faster():
    kinds = found(
        causal={100: 4, 200: 16, 400: 64},
        fixed={100: 2, 200: 20, 400: 32},
        strided={100: 8, 200: 15, 400: 16},
        local={100: 1, 200: 1, 400: 65},
    )["kinds"]
    assert {each["kind"]: each["beats_dense_from"] for each in kinds} == {
        "causal": None, "fixed": 400, "strided": 200, "local": None,
    }  # fmt: skip
    (fixed,) = (each for each in kinds if each["kind"] == "fixed")
    assert [point["speed"] for point in fixed["points"]] == [2.0, 0.8, 2.0]
    assert [point["milliseconds"] for point in fixed["points"]] == [3.0, 30.0, 48.0]


def test_sums_are_compared_with_what_sees_all_places_and_never_write():
    data = found(full={100: 4}, causal={100: 8}, linformer={100: 2})
    kinds = {each["kind"]: each for each in data["kinds"]}
    assert kinds["linformer"]["points"][0]["speed"] == 2.0
    assert data["fastest"] == [{"length": 100, "any": "linformer", "causal": "causal"}]


def test_where_dense_did_not_fit_nothing_is_said_of_it():
    data = found(causal={100: 4, 800: None}, fixed={100: 2, 800: 5})
    fixed = data["kinds"][1]
    assert [point["speed"] for point in fixed["points"]] == [2.0, None]
    assert fixed["beats_dense_from"] == 100
    assert data["fastest"][1] == {"length": 800, "any": "fixed", "causal": "fixed"}


@pytest.mark.parametrize("kind", chooser.KINDS)
def test_a_block_of_each_kind_runs_at_lengths_that_nothing_divides(kind):
    for length in (9, 61):
        slot = chooser.slot(kind, length, SIZES["num_heads"])
        y = chooser.one_block(length, slot, **SIZES, intermediate_dim=32)()
        assert y.shape == (1, length, 16)
        assert np.isfinite(y).all()


@pytest.mark.parametrize("kind", chooser.KINDS)
def test_what_may_write_sees_no_place_behind(kind):
    from kzoo import parts

    cls, _ = parts.resolve("attention", kind)
    options = chooser.KINDS[kind].slot(8, 2, 64)
    looks_ahead = options.get("looks_ahead", parts.completed("attention", kind).get("looks_ahead"))
    looks_ahead = cls.looks_ahead if looks_ahead is None else looks_ahead
    assert chooser.KINDS[kind].is_causal is not looks_ahead


def test_kinds_are_measured_in_turns():
    data = chooser.choose([32, 64], **SIZES, kinds=["causal", "strided"], rounds=1)
    assert (data["lengths"], data["rounds"]) == ([32, 64], 1)
    for kind in data["kinds"]:
        assert [point["length"] for point in kind["points"]] == [32, 64]
        for point in kind["points"]:
            assert point["milliseconds"] > 0
            assert (point["MiB"] is None) != Path("/proc/self/clear_refs").exists()
    causal, strided = ([p["milliseconds"] for p in each["points"]] for each in data["kinds"])
    speeds = [point["speed"] for point in data["kinds"][1]["points"]]
    assert speeds == pytest.approx([a / b for a, b in zip(causal, strided, strict=True)])
    assert data["kinds"][1]["points"][1]["slot"] == {"kind": "strided", "stride": 8}


def test_the_table_says_what_each_gives_up():
    sizes = {"device": "cpu:0", "backend": "jax", "time": "processor", "threads": 1, "rounds": 2}
    sizes |= {"lengths": [100, 200], **SIZES}
    data = {**found(causal={100: 4, 200: 9}, local={100: 5, 200: 9}), **sizes}
    out = io.StringIO()
    Screen(out, False).result(data, views.chosen)
    (row,) = (line for line in out.getvalue().splitlines() if "never here" in line)
    assert row.split()[0] == "local"
    assert chooser.KINDS["local"].gives_up[:20] in row


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"lengths": [0]}, "length 0; expected a whole number of places"),
        ({"lengths": []}, "Got no length"),
        ({"lengths": [4]}, "length 4 for blocks of 4 places, which no pattern can split"),
        ({"lengths": [100], "block": 100}, "length 100 for blocks of 100 .* at least 101"),
        ({"lengths": [64], "block": 3}, "3 as the block; expected a whole number from 4"),
        ({"hidden_dim": 30, "num_heads": 4}, "width 30 and 4 heads; expected a width that"),
        ({"num_heads": 0}, "0 as the number of heads"),
        ({"kinds": ["dense"]}, "kind 'dense'; expected some of full, causal"),
        ({"lengths": [10**7], "kinds": ["causal"]}, "whose pairs are more than this machine's"),
    ],
)
def test_sizes_that_can_not_be_are_one_sentence(changes, message):
    with pytest.raises(KzooError, match=message):
        chooser.choose(**{"lengths": [64], **SIZES, **changes})


@pytest.mark.parametrize("code", ["", "print('ready')"], ids=["at its start", "in its turn"])
def test_an_arm_that_ends_early_is_said(code):
    with pytest.raises(KzooError, match="measures 'a' ended early"):
        turns.take({"a": [sys.executable, "-c", code]}, 1)


def test_blocks_are_near_the_root_of_a_length():
    for length in (64, 512, 1000, 4096, 12288):
        assert math.sqrt(length) <= chooser.block_of(length) < 2 * math.sqrt(length)
    assert chooser.block_of(12288) == 128  # That of arXiv:1904.10509 at this length.
