"""Words and what stands near them in a text, beside words that were drawn: skip-gram's examples.

Mikolov et al. 2013, arXiv:1310.4546: negative sampling (section 2.2), in which words are drawn in
proportion to their counts to the power of 3/4; and frequent words left out (section 2.3), by the
rule that the authors' program has, which keeps a word of the share f of all with the probability
sqrt(t / f) + t / f.
"""

import numpy as np

from ..errors import KzooError
from .batches import lengths_of
from .drawn import DrawnPlan

POWER = 0.75  # of counts, in proportion to which words are drawn
PIECE = 2**22  # token ids that are counted at once


class NearPlan(DrawnPlan):
    """Pairs of a word and one near it in a text, with drawn words beside; see `DrawnPlan`.

    Of a batch a row is a text, int32 (batch, pairs): `token_ids`, a word of each pair; `near_0`,
    what stands near it; `near_1` and so on, words that were drawn. The target of a pair is 0.

    Args:
        ids: ragged rows of token ids.
        counts: how often each token stands in all of them, see `counts_of`.
        window: how far apart the words of a pair are at most; how far is drawn for each word.
        drawn: how many words are drawn beside a pair.
        threshold: t in the rule above; 0 leaves out no word.
        options: as for `BatchPlan`.

    Raises:
        KzooError: where a single word, or none, is left to be learned.
    """

    def __init__(self, ids, counts, window, drawn, threshold, **options):
        if np.count_nonzero(counts) < 2:
            raise KzooError(
                f"Got texts with {np.count_nonzero(counts)} words that the tokenizer knows; "
                "expected two at least."
            )
        kept, shares = shares_kept(counts, threshold), np.cumsum(counts**POWER)

        def draw(row, draw):
            text = np.asarray(ids[row])
            words, near = pairs(text[draw.random(len(text)) < kept[text]], window, draw)
            chance = draw.random((drawn, len(words))) * shares[-1]
            beside = np.searchsorted(shares, chance, side="right")
            columns = {f"near_{n}": each for n, each in enumerate([near, *beside])}
            return {"token_ids": words, **columns}, np.zeros(len(words), "int32")

        # In the mean a word has as many others near it as the window is wide, and one more.
        lengths = lengths_of(ids) * (window + 1)
        super().__init__({"token_ids": lengths}, draw, getattr(ids, "texts", ids), **options)
        self.words = int(lengths_of(ids).sum())

    @property
    def tokens(self):
        """See `Plan`: those of the texts, learnt from or not."""
        return self.words


def counts_of(rows, size, but=()):
    """How often each of `size` tokens stands in ragged rows of token ids, float64; 0 of `but`."""
    counts = np.zeros(size)
    for row in rows:
        for start in range(0, len(row), PIECE):
            counts += np.bincount(row[start : start + PIECE], minlength=size)
    counts[list(but)] = 0
    return counts


def shares_kept(counts, threshold):
    """With which probability a text keeps each token; those of no count are never kept."""
    if not threshold:
        return (counts > 0).astype(float)
    rarity = np.divide(
        threshold * counts.sum(), counts, out=np.zeros(len(counts)), where=counts > 0
    )
    return np.sqrt(rarity) + rarity


def pairs(text, window, draw):
    """Each word of a text with each that stands within its window, two int32 arrays.

    Of each word a number up to `window` is drawn, which says how many before and behind it count.
    """
    reach, places = draw.integers(1, window + 1, len(text)), np.arange(len(text))
    steps = np.concatenate([np.arange(-window, 0), np.arange(1, window + 1)])
    near = places[:, None] + steps
    seen = (np.abs(steps) <= reach[:, None]) & (near >= 0) & (near < len(text))
    return np.repeat(text, seen.sum(1)).astype("int32"), text[near[seen]].astype("int32")
