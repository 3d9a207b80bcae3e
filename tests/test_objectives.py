"""What raw text is made into: marks, statistics and seeds of the objectives' papers."""

import numpy as np
import pytest

import kzoo
from kzoo.data import objectives
from kzoo.data.masked import MaskedPlan, hidden
from kzoo.data.objectives import objective

IDS = list(range(10, 210))
MARKS, MASK = list(range(1000, 1100)), 3


def drawn(function, count=300, **options):
    return [function(IDS, np.random.default_rng(seed), **options) for seed in range(count)]


def test_spans_are_taken_out_and_written_in_their_order():
    for source, target in drawn(objectives.spans, marks=MARKS):
        marks = [each for each in source if each in MARKS]
        assert marks == MARKS[: len(marks)] and len(marks) == 10  # 30 tokens in spans of 3
        parts, place = {}, None
        for each in target:
            if each in MARKS:
                place = parts.setdefault(each, [])
            else:
                place.append(each)
        assert target[-1] == MARKS[len(marks)] and not parts[target[-1]]
        assert all(parts[mark] for mark in marks)
        back = [e for each in source for e in parts.get(each, [each])]
        assert back == IDS and sum(map(len, parts.values())) == 30


def test_spans_may_lie_anywhere():
    gone = np.zeros(len(IDS))
    for source, _ in drawn(objectives.spans, 1000, marks=MARKS):
        gone += ~np.isin(IDS, source)
    share = gone[5:-5] / 1000  # As in T5, the last span ends the text.
    assert abs(share.mean() - 0.15) < 0.015 and share.min() > 0.08 and share.max() < 0.25


def test_barts_noises_keep_what_they_should():
    for source, target in drawn(objectives.masking, 20, mask=MASK):
        assert target == IDS and source.count(MASK) == 60
        assert all(each in (MASK, own) for each, own in zip(source, IDS, strict=True))
    for source, target in drawn(objectives.deletion, 20):
        assert target == IDS and len(source) == 140 and source == sorted(source)
    for source, target in drawn(objectives.rotation, 20):
        at = source.index(IDS[0])
        assert target == IDS and source[at:] + source[:at] == IDS
    text = [5, 6, 9, 7, 9, 8]
    for seed in range(5):
        source, target = objectives.permutation(text, np.random.default_rng(seed), {9})
        assert target == text and sorted(source) == sorted(text)
        assert sorted([source.index(5), source.index(6)])[1] - source.index(5) == 1


def test_spans_that_are_filled_in_have_lengths_drawn_around_three():
    sizes, shares = [], []
    for source, target in drawn(objectives.infilling, mask=MASK):
        assert target == IDS
        kept = [each for each in source if each != MASK]
        assert kept == sorted(kept) and MASK in source
        shares.append(1 - len(kept) / len(IDS))
        bounds = [9, *source, 210]
        for place, each in enumerate(bounds):
            if each == MASK and MASK not in (bounds[place - 1], bounds[place + 1]):
                sizes.append(bounds[place + 1] - bounds[place - 1] - 1)
    assert np.mean(shares) == pytest.approx(0.3)
    assert 0 in sizes and 2 < np.mean(sizes) < 3.2


@pytest.mark.parametrize("name", ["masking", "deletion", "infilling", "rotation"])
def test_a_seed_decides(name):
    function = getattr(objectives, name)
    marked = {"mask": MASK} if name in ("masking", "infilling") else {}
    one, same, other = (function(IDS, np.random.default_rng(s), **marked) for s in (1, 1, 2))
    assert one == same != other


def test_a_tokenizer_must_have_the_marks():
    from test_tasks import tokenizer

    assert objective("masking", tokenizer())([5, 6], np.random.default_rng(0))[1] == [5, 6]
    with pytest.raises(kzoo.KzooError, match="without marks for them; expected special"):
        objective("spans", tokenizer())
    with pytest.raises(kzoo.KzooError, match="the objective 'noise'; expected one of spans"):
        objective("noise", tokenizer())


# -- tokens that are hidden ------------------------------------------------------------------------

# 60 words of one to three tokens between two special ones.
WORDS = np.concatenate([[-1], np.repeat(np.arange(60), 1 + np.arange(60) % 3), [-1]])


@pytest.mark.parametrize("in_a_row", [1, 3])
def test_whole_words_are_hidden_up_to_the_share(in_a_row):
    counts, runs = np.zeros(60), []
    for seed in range(400):
        chosen = hidden(WORDS, np.random.default_rng(seed), in_a_row)
        assert 16 <= chosen.sum() <= 18 and not chosen[[0, -1]].any()  # of 120
        gone = np.array([chosen[word == WORDS].mean() for word in range(60)])
        assert set(gone) == {0, 1}
        counts += gone
        edges = np.flatnonzero(np.diff(np.concatenate([[0], gone, [0]])))
        runs += (edges[1::2] - edges[::2]).tolist()
    assert counts.min() > 25 and counts.max() < 95  # 60 are expected
    assert (np.mean(runs) > 1.6) == (in_a_row == 3)  # 1.64 words are, beside chance


def test_other_tokens_are_hidden_in_each_epoch_and_the_same_ones_when_it_is_run_again():
    rows = [[1, *range(10, 210), 2]] * 4
    words = [np.concatenate([[-1], np.arange(200), [-1]])] * 4
    plan = MaskedPlan({"token_ids": rows}, words, 1, MASK, 1000, batch_size=4, seed=5)
    shown = {}
    for epoch in (0, 1, 0):
        inputs, targets = plan.learned(np.arange(4), epoch, 1)
        chosen = targets != -100
        assert (chosen.sum(-1) == 30).all() and not chosen[:, [0, -1]].any()
        assert (np.where(chosen, targets, inputs["token_ids"]) == rows).all()
        again = shown.setdefault(epoch, inputs["token_ids"])
        assert (again == inputs["token_ids"]).all()
    assert (shown[0] != shown[1]).any(-1).all()
    assert len({row.tobytes() for row in shown[0]}) == 4  # each text has its own
    fates = []
    for epoch in range(100):
        inputs, targets = plan.learned(np.arange(4), epoch, 1)
        given, right = (each[targets != -100] for each in (inputs["token_ids"], targets))
        fates.append([(given == MASK).mean(), (given == right).mean()])
    as_mask, kept = np.mean(fates, axis=0)
    assert abs(as_mask - 0.8) < 0.01 and abs(kept - 0.1) < 0.01


@pytest.mark.parametrize("shuffle", [True, False])
def test_a_validation_hides_the_same_tokens_in_each_pass(shuffle):
    """It is no epoch of a training, which hides others."""
    columns = {"token_ids": [list(range(5, 25))] * 4}
    words = [np.arange(20)] * 4
    plan = MaskedPlan(columns, words, 1, 4, 50, batch_size=2, shuffle=shuffle, seed=3)
    first, second = ([np.asarray(batch[1]) for batch in plan.batches()] for _ in range(2))
    assert all(map(np.array_equal, first, second)) != shuffle
