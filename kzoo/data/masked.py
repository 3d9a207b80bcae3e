"""Tokens that are hidden from a model, which is to tell them from the others.

BERT hides 15 % of the tokens of a text: four in five as the mask token, one in ten as another
token, one in ten not at all (arXiv:1810.04805, section 3.1). RoBERTa draws anew in each epoch
(arXiv:1907.11692, section 4.1). Whole words are BERT's later choice; ALBERT hides up to three words
in a row, n of them with a probability in proportion to 1 / n (arXiv:1909.11942, section 4.1).
"""

import numpy as np

from ..errors import KzooError
from ..values import an
from .batches import IGNORED, lengths_of
from .drawn import DrawnPlan

SHARE = 0.15  # of the tokens that aren't special ones
AS_MASK, AS_OTHER = 0.8, 0.1  # what of the hidden ones is shown as the mask, and as another token
MOST_WORDS = 3  # that are hidden in a row
DRAWS = 2**24  # as many as float32 tells apart between 0 and 1
UNITS = ("tokens", "whole_words", "ngrams")


def check_units(name, units, task_name):
    """Raise KzooError for what is no name of what a task hides as one."""
    if name not in units:
        raise KzooError(
            f"Got the objective {name!r:.40} for {an(task_name)}; expected one of "
            f"{', '.join(units)}."
        )


class Masking:
    """Hides tokens of a text, which are the targets.

    Args:
        in_a_row: how many words may be hidden as one.
        mask_id: the mask token.
        vocabulary_size: how many tokens there are to be shown in the place of one.
        as_mask: the share of the hidden ones that is shown as the mask token.
    """

    def __init__(self, in_a_row, mask_id, vocabulary_size, as_mask=AS_MASK):
        self.in_a_row, self.mask_id, self.vocabulary_size = in_a_row, mask_id, vocabulary_size
        self.as_mask = as_mask

    def __call__(self, ids, words, draw):
        """What is shown of a text and the target of each place, two arrays.

        Args:
            ids: its tokens, an array.
            words: for each the number of its word, and -1 for what is never hidden.
            draw: a `numpy.random.Generator`.
        """
        targets, shown = np.full(len(ids), IGNORED, "int32"), np.array(ids, "int32")
        chosen = np.flatnonzero(hidden(words, draw, self.in_a_row))
        targets[chosen] = shown[chosen]
        fate = draw.random(len(chosen))
        other = draw.integers(0, self.vocabulary_size, len(chosen))
        other = np.where(fate < self.as_mask + AS_OTHER, other, shown[chosen])
        shown[chosen] = np.where(fate < self.as_mask, self.mask_id, other)
        return shown, targets


class MaskedPlan(DrawnPlan):
    """Texts of which tokens are hidden, and are the targets; see `DrawnPlan`.

    Args:
        columns: ragged token columns.
        words: for each token of each text the number of its word, and -1 for what is never hidden.
        in_a_row, mask_id, vocabulary_size: as for `Masking`.
        options: as for `BatchPlan`.
    """

    def __init__(self, columns, words, in_a_row, mask_id, vocabulary_size, **options):
        ids, hide = columns["token_ids"], Masking(in_a_row, mask_id, vocabulary_size)

        def draw(row, draw):
            shown, targets = hide(np.asarray(ids[row]), np.asarray(words[row]), draw)
            inputs = {name: column[row] for name, column in columns.items()}
            return {**inputs, "token_ids": shown}, targets

        texts = getattr(ids, "texts", ids)
        super().__init__({"token_ids": lengths_of(ids)}, draw, texts, **options)


class ReplacedPlan(DrawnPlan):
    """Texts of which tokens are hidden, for a generator to put others there; see `DrawnPlan`.

    All hidden ones are shown as the mask token (arXiv:2003.10555, section 2). Beside the text's
    columns a batch has, one for each hidden token of a text, int32: `hidden_places`, where it
    stands; `hidden_token_ids`, what it was, which is the target as well; `hidden_draws`, a whole
    number below `DRAWS`, by which one of the generator's tokens is chosen; and
    `hidden_padding_mask`.

    Args:
        columns, words, in_a_row, mask_id: as for `MaskedPlan`.
        options: as for `BatchPlan`.
    """

    def __init__(self, columns, words, in_a_row, mask_id, **options):
        ids, hide = columns["token_ids"], Masking(in_a_row, mask_id, 1, as_mask=1.0)

        def draw(row, draw):
            shown, targets = hide(np.asarray(ids[row]), np.asarray(words[row]), draw)
            places = np.flatnonzero(targets != IGNORED)
            inputs = {name: column[row] for name, column in columns.items()}
            inputs |= {
                "token_ids": shown,
                "hidden_token_ids": targets[places],
                "hidden_places": places,
                "hidden_draws": draw.integers(0, DRAWS, len(places)),
            }
            return inputs, targets[places]

        lengths = {"token_ids": lengths_of(ids), "hidden_token_ids": lengths_of(ids)}
        super().__init__(lengths, draw, getattr(ids, "texts", ids), **options)

    @property
    def tokens(self):
        """See `Plan`: those of the texts."""
        return int(self.lengths[""].sum())


def hidden(words, draw, in_a_row=1, share=SHARE):
    """Which tokens of a text are hidden, a boolean for each.

    Words are taken in an order that is drawn, while they are no more tokens than the share, and one
    word at least.

    Args:
        words: for each token the number of its word; -1 for what is never hidden.
        draw: a `numpy.random.Generator`.
        in_a_row: how many words are hidden as one at most.
        share: of the tokens that belong to a word.
    """
    numbers, sizes = np.unique(words[words >= 0], return_counts=True)
    order = draw.permutation(len(numbers))
    if in_a_row > 1:
        odds = 1 / np.arange(1, in_a_row + 1)
        counts = 1 + draw.choice(in_a_row, len(order), p=odds / odds.sum())
        behind = np.arange(in_a_row)
        runs = (order[:, None] + behind)[behind < counts[:, None]]
        runs = runs[runs < len(numbers)]
        order = runs[np.sort(np.unique(runs, return_index=True)[1])]  # each when it first comes
    most = round(share * sizes.sum())
    count = max(1, np.searchsorted(np.cumsum(sizes[order]), most, side="right"))
    return np.isin(words, numbers[order[:count]])
