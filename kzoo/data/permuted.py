"""Tokens that are foretold in an order of their own: permutation language modelling.

Of the places of a text in a random order only the last ones are foretold, one of K of all (Yang et
al. 2019, arXiv:1906.08237, section 2.3). Which these are is drawn as spans of up to five, of which
those of n have a probability in proportion to 1 / n and stand anywhere within K n places of their
own (section 3.1 and the code beside the paper). All other places come first in the order; nothing
of them is foretold, so that they may see each other.
"""

import numpy as np

from .batches import lengths_of
from .drawn import DrawnPlan

PARTS = 6  # K: one place of so many is foretold
MOST = 5  # that are foretold in a row
TARGETS = "target_token_ids"  # what is foretold of a text, as a token column
BESIDE = ("order", "target_places")  # what an example has beside the inputs of a network


class PermutedPlan(DrawnPlan):
    """Texts with an order in which some tokens are foretold; see `DrawnPlan`.

    Beside a text's columns an example has `order` (length,), by which a place sees those of a lower
    number, 0 for places of which nothing is foretold, and `target_places` (targets,), those that
    are; what stands there are the targets.

    Args:
        columns: ragged token columns.
        words: for each token of each text the number of what is foretold as one with it, and -1 for
            what never is.
        options: as for `BatchPlan`.
    """

    def __init__(self, columns, words, **options):
        ids = columns["token_ids"]

        def draw(row, draw):
            own = np.asarray(ids[row], "int32")
            order = order_of(np.asarray(words[row]), draw)
            places = np.flatnonzero(order).astype("int32")
            inputs = {name: column[row] for name, column in columns.items()}
            beside = {"order": order, "target_places": places, TARGETS: own[places]}
            return {**inputs, **beside}, own[places]

        lengths = lengths_of(ids)
        texts = getattr(ids, "texts", ids)
        super().__init__({"token_ids": lengths, TARGETS: lengths}, draw, texts, **options)
        self.tokens = int(lengths.sum())  # What is foretold is among them.


def order_of(words, draw):
    """The order of a text's places, (length,): 0 for those that all see, from 1 on the foretold.

    Args:
        words: for each token the number of what is foretold as one with it; -1 for what never is.
        draw: a `numpy.random.Generator`.
    """
    order = np.zeros(len(words), "int32")
    numbers = np.unique(words[words >= 0])
    chosen = np.isin(words, numbers[foretold(len(numbers), draw)])
    order[chosen] = 1 + draw.permutation(chosen.sum())
    return order


def foretold(count, draw):
    """Which of so many tokens, or words, are foretold, a boolean for each: spans, in any place.

    One at least is, where another is left that it sees.
    """
    chosen = np.zeros(count, bool)
    most = 0 if count < 2 else max(1, round(count / PARTS))
    odds, sizes = 1 / np.arange(1, MOST + 1), []
    while sum(sizes) < most:
        size = 1 + draw.choice(MOST, p=odds / odds.sum())
        sizes.append(min(size, most - sum(sizes)))
    sizes = draw.permutation(sizes).astype(int)  # The last that was drawn may have been cut.
    edges = np.concatenate([[0], np.cumsum(sizes)]) * count // max(most, 1)
    for size, begin, end in zip(sizes, edges[:-1], edges[1:], strict=True):
        start = begin + draw.integers(end - begin - size + 1)
        chosen[start : start + size] = True
    return chosen
