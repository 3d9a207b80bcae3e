"""Rows of tokens that say whether a text is a query or a document, see `LateInteraction`."""

from ..errors import KzooError


def marked_rows(tokenizer, texts, query, length, marker_ids, attend_to_masks):
    """Ragged columns of texts: token_ids, padding_mask and segment_ids, lists of lists.

    Args:
        tokenizer: a `Tokenizer`.
        texts: strings.
        query: whether they are queries, which are filled up to `length` with mask tokens.
        length: tokens of a row at most, special ones included.
        marker_ids: the tokens behind the first special ones, of queries and of documents.
        attend_to_masks: whether tokens look at the mask tokens behind them.
    """
    (before, left), (_, (segment,)), (after, right) = tokenizer.frame()
    room = length - len(before) - 1 - len(after)
    if room < 1:
        raise KzooError(
            f"A length of {length} leaves no token of a text beside the special ones: take a "
            "larger one."
        )
    columns = {"token_ids": [], "padding_mask": [], "segment_ids": []}
    for ids in tokenizer.bare_ids(texts):
        inner = [marker_ids[not query], *ids[:room]]
        masks = (length - len(before) - len(inner) - len(after)) * query
        row = [*before, *inner, *after]
        columns["token_ids"].append(row + [tokenizer.mask_id] * masks)
        columns["padding_mask"].append([1] * len(row) + [int(attend_to_masks)] * masks)
        kinds = [*left, *[segment] * len(inner), *right]
        columns["segment_ids"].append(kinds + [segment] * masks)
    return columns
