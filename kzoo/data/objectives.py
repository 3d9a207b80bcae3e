"""What an encoder-decoder learns from raw text: a text that was spoiled, and what it was before.

Spans that are taken out and written by the decoder (T5, arXiv:1910.10683, section 3.3), and
BART's five noises, of which all of the text is written (arXiv:1910.13461, section 2.2). Each
function takes the token ids of a text and a `numpy.random.Generator`, and gives two lists of ids:
what is read, and what is to be written of it.
"""

import numpy as np

from ..errors import KzooError

SHARE, SPAN = 0.15, 3.0  # of tokens that T5 takes out, and how many of them in a row
MASKED = 0.3  # share of tokens that BART's masking, deletion and infilling take
POISSON = 3.0  # the mean length of a span that BART fills in


def spans(ids, draw, marks, share=SHARE, length=SPAN):
    """Spans of tokens taken out, each with a mark in its place; the marks with the spans (T5).

    As in T5's code a text begins with what stays and ends with a span.

    Args:
        ids: the tokens of a text, two at least.
        draw: a `numpy.random.Generator`.
        marks: the ids of the marks, in their order; one more stands behind the last span.
        share: of the tokens that are taken out.
        length: how many tokens a span has in the mean.
    """
    count = min(max(round(len(ids) * share), 1), len(ids) - 1)
    number = min(max(round(count / length), 1), len(ids) - count, len(marks) - 1)
    taken, kept = _parted(count, number, draw), _parted(len(ids) - count, number, draw)
    source, target, place = [], [], 0
    for mark, stays, goes in zip(marks, kept, taken, strict=False):
        source += [*ids[place : place + stays], mark]
        target += [mark, *ids[place + stays : place + stays + goes]]
        place += stays + goes
    return source, [*target, marks[number]]


def masking(ids, draw, mask, share=MASKED):
    """Tokens replaced by the mask."""
    chosen = _chosen(len(ids), share, draw)
    return [mask if hidden else each for each, hidden in zip(ids, chosen, strict=True)], list(ids)


def deletion(ids, draw, share=MASKED):
    """Tokens taken out, without a mark; one at least stays."""
    chosen = _chosen(len(ids), min(share, 1 - 1 / len(ids)), draw)
    return [each for each, gone in zip(ids, chosen, strict=True) if not gone], list(ids)


def infilling(ids, draw, mask, share=MASKED, length=POISSON):
    """Spans, whose lengths are drawn (Poisson), each replaced by one mask; of none, one put in."""
    left, source = round(len(ids) * share), list(ids)
    free = np.ones(len(ids), bool)
    while left > 0:
        size = min(int(draw.poisson(length)), left)
        # Where a span of this size meets none that was taken before; a shorter one always fits.
        starts = [n for n in range(len(source) - size + 1) if free[n : n + size].all()]
        if not starts:
            continue
        start = int(draw.choice(starts))
        source[start : start + size] = [mask]
        free = np.concatenate([free[:start], [False], free[start + size :]])
        left -= size
    return source, list(ids)


def permutation(ids, draw, ends):
    """Sentences in another order; a sentence ends behind one of the tokens `ends`."""
    cuts = [place + 1 for place, each in enumerate(ids[:-1]) if each in ends]
    sentences = [ids[a:b] for a, b in zip([0, *cuts], [*cuts, len(ids)], strict=True)]
    order = draw.permutation(len(sentences))
    return [each for number in order for each in sentences[number]], list(ids)


def rotation(ids, draw):
    """The text begun at another token, what stood before it at the end."""
    start = int(draw.integers(0, len(ids)))
    return [*ids[start:], *ids[:start]], list(ids)


def _parted(total, count, draw):
    """`total` as so many numbers from 1, all ways alike."""
    cuts = np.sort(draw.choice(total - 1, count - 1, replace=False)) + 1
    return np.diff([0, *cuts, total]).tolist()


def _chosen(length, share, draw):
    """Which of so many places are among a share of them."""
    chosen = np.zeros(length, bool)
    chosen[draw.choice(length, round(length * share), replace=False)] = True
    return chosen


OBJECTIVES = ("spans", "masking", "deletion", "infilling", "permutation", "rotation")


def check_objective(name):
    """Raise KzooError for what is neither None nor the name of an objective."""
    if name is not None and name not in OBJECTIVES:
        raise KzooError(f"Got the objective {name!r:.40}; expected one of {', '.join(OBJECTIVES)}.")


def objective(name, tokenizer):
    """A function of token ids and a generator that gives what is read and written, by name.

    Args:
        name: one of `OBJECTIVES`.
        tokenizer: a `Tokenizer`, which has the marks: tokens <extra_id_0>, <extra_id_1>, ... for
            spans, a mask token for masking and infilling.

    Raises:
        KzooError: for another name, and for a tokenizer without the marks.
    """
    check_objective(name)
    if name == "spans":
        marks = _sentinels(tokenizer)
        return lambda ids, draw: spans(ids, draw, marks)
    if name in ("masking", "infilling"):
        mask = tokenizer.mask_id
        if mask is None:
            raise KzooError(f"Got the objective {name!r} for a tokenizer without a mask token.")
        function = masking if name == "masking" else infilling
        return lambda ids, draw: function(ids, draw, mask)
    if name == "permutation":
        ends = {number for mark in ".!?" for number in _tokens_of(tokenizer, mark)}
        return lambda ids, draw: permutation(ids, draw, ends)
    return {"deletion": deletion, "rotation": rotation}[name]


def _sentinels(tokenizer):
    """The ids of <extra_id_0>, <extra_id_1> and so on."""
    named = {tokenizer.id_to_token(number): number for number in tokenizer.special_ids}
    marks = []
    while (token := f"<extra_id_{len(marks)}>") in named:
        marks.append(named[token])
    if len(marks) < 2:
        raise KzooError(
            "Got the objective 'spans' for a tokenizer without marks for them; expected special "
            "tokens <extra_id_0>, <extra_id_1> and so on, as T5's has."
        )
    return marks


def _tokens_of(tokenizer, mark):
    """The token that a mark is behind a word, as a list."""
    (ids,) = tokenizer.bare_ids([f"a{mark}"])
    return ids[-1:]
