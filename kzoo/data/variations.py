"""More texts to put to a teacher: words left out, words replaced, and pieces of a text."""

from dataclasses import replace
from itertools import pairwise

import numpy as np

from ..errors import KzooError
from ..values import is_number, is_whole

TRIES = 4  # for a text that isn't there yet


class Variations:
    """Copies of texts with small changes, which a teacher can answer and a student learn from.

    A small student knows a small set by heart long before it answers as its teacher does. What the
    teacher says to texts that are only like those of the set is worth as much to it, and there are
    as many as one likes (Tang et al., 2019, arXiv:1903.12136; Jiao et al., 2020, arXiv:1909.10351).
    A word is replaced by one that follows the same word in the texts, which may be itself, and the
    first of a copy by one with which a text begins. Words have blanks between them.

    Args:
        copies: how many for each text, more of a long one and fewer of a short one, by their
            words; one that is there already is left out.
        swap, drop: the share of the words that are replaced, and that are left out.
        crop: the share of the copies that are a piece of the text, of any length.
        seed: decides all of it.

    Raises:
        KzooError: for values that don't fit.
    """

    def __init__(self, copies=4, swap=0.15, drop=0.1, crop=0.25, seed=0):
        shares = {"swap": swap, "drop": drop, "crop": crop}
        if not is_whole(copies, 1):
            raise KzooError(f"Got copies={copies!r:.40} of texts; expected a whole number from 1.")
        for name, share in shares.items():
            if not is_number(share, 0, 1):
                raise KzooError(f"Got {name}={share!r:.40}; expected a share from 0 to 1.")
        if swap + drop > 1 or not any(shares.values()):
            raise KzooError(
                f"Got swap={swap} and drop={drop} with crop={crop}; expected shares of which "
                "the first two are no more than 1 together, and not all 0."
            )
        if not is_whole(seed, 0, 2**32 - 1):
            raise KzooError(f"Got seed={seed!r:.40}; expected a whole number from 0 to 2**32 - 1.")
        self.copies, self.seed = copies, seed
        self.swap, self.drop, self.crop = swap, drop, crop

    def __call__(self, texts):
        """The copies and where each is from: a list of texts, and the number of each one's own.

        A pair of texts is changed on both sides.
        """
        words = [[part.split() for part in _sides(text)] for text in texts]
        follow = _followers(side for sides in words for side in sides)
        draw = np.random.default_rng(self.seed)
        known, made, places = {tuple(map(" ".join, sides)) for sides in words}, [], []
        lengths = np.array([sum(map(len, sides)) for sides in words], "float64")
        count = self.copies * len(texts) if lengths.any() else 0
        if not count:
            raise KzooError(
                f"Got {len(texts)} texts without a word to make variations of; expected words with "
                "blanks between them."
            )
        for number in draw.choice(len(texts), count, p=lengths / lengths.sum()).tolist():
            for _ in range(TRIES):
                copy = tuple(" ".join(self._changed(side, follow, draw)) for side in words[number])
                if all(copy) and copy not in known:
                    known.add(copy)
                    made.append(copy[0] if isinstance(texts[number], str) else copy)
                    places.append(number)
                    break
        return made, places

    def _changed(self, words, follow, draw):
        if words and draw.random() < self.crop:
            first, last = np.sort(draw.integers(len(words), size=2))
            words = words[first : last + 1]
        kept, before = [], None
        for word, chance in zip(words, draw.random(len(words)), strict=True):
            if chance < self.swap:
                others = follow[before]
                kept.append(others[int(draw.integers(len(others)))])
            elif chance >= self.swap + self.drop:
                kept.append(word)
            before = word
        return kept

    def of(self, examples):
        """`Examples` of texts, and behind them their copies with the same targets."""
        made, places = self(examples.x)
        more = examples.part([*range(len(examples)), *places])
        return replace(more, x=[*examples.x, *made])


def _sides(text):
    """A text, or a pair of texts, as a tuple."""
    return (text,) if isinstance(text, str) else tuple(text)


def _followers(texts):
    """{word: the words that come behind it, as often as they do}; of None those that begin."""
    follow = {}
    for words in texts:
        for before, word in pairwise([None, *words]):
            follow.setdefault(before, []).append(word)
    return follow
