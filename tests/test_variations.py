"""Texts with small changes, which a student learns from its teacher's answers to them."""

from itertools import pairwise

import pytest

import kzoo
from kzoo.data.examples import Examples
from kzoo.data.variations import Variations

TEXTS = [
    "a fine and funny film , well made", "dull , slow and sad", "a fine day", "no",
    "the best film of them all was made by no one",
]  # fmt: skip


def test_copies_are_new_and_keep_the_target_of_the_text_that_they_are_from():
    examples = Examples("train.tsv", TEXTS, list("abcde"), [2, 3, 4, 5, 6])
    more = Variations(copies=5).of(examples)
    assert more.x[:5] == TEXTS and len(set(more.x)) == len(more.x) > 20
    assert len(more.x) == len(more.y) == len(more.lines)
    for text, target in zip(more.x, more.y, strict=True):
        # Words that a text hasn't got come from elsewhere; few of them do.
        own = TEXTS["abcde".index(target)].split()
        assert sum(word in own for word in text.split()) >= len(text.split()) / 2
    again = Variations(copies=5).of(examples)
    assert again.x == more.x and Variations(copies=5, seed=1).of(examples).x != more.x


@pytest.mark.parametrize(("option", "holds"), [
    ("drop", lambda words, own: set(words) < set(own)),
    ("crop", lambda words, own: " ".join(words) in " ".join(own)),
    ("swap", lambda words, own: len(words) == len(own)),
])  # fmt: skip
def test_each_change_is_what_it_is_called(option, holds):
    shares = {"swap": 0, "drop": 0, "crop": 0, option: 0.4}
    made, places = Variations(copies=20, **shares)(TEXTS)
    assert len(made) > 5
    pairs = {pair for text in TEXTS for pair in pairwise(["", *text.split()])}
    for text, number in zip(made, places, strict=True):
        words, own = text.split(), TEXTS[number].split()
        assert holds(words, own), text
        if option == "swap":  # What stands there follows the text's own word before, somewhere.
            assert set(zip(["", *own], words, strict=False)) <= pairs, text


def test_a_pair_is_changed_on_both_sides():
    pairs = [(TEXTS[0], TEXTS[4])]
    made, _ = Variations(copies=8)(pairs)
    assert made and all(first and second for first, second in made)
    assert {first for first, _ in made} - {TEXTS[0]} and {second for _, second in made} - {TEXTS[4]}


@pytest.mark.parametrize(("options", "message"), [
    ({"copies": 0}, "Got copies=0 of texts; expected a whole number from 1"),
    ({"drop": 1.5}, "Got drop=1.5; expected a share from 0 to 1"),
    ({"swap": 0.6, "drop": 0.6}, "no more than 1 together"),
    ({"swap": 0, "drop": 0, "crop": 0}, "not all 0"),
])  # fmt: skip
def test_shares_that_do_not_fit_are_refused(options, message):
    with pytest.raises(kzoo.KzooError, match=message):
        Variations(**options)


def test_texts_without_words_are_refused():
    for texts in ([], ["", " "]):
        with pytest.raises(kzoo.KzooError, match="without a word to make variations of"):
            Variations()(texts)
