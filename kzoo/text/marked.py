"""Rows of tokens with a marker that says how a text is read, see `LateInteraction.readings`."""

import numpy as np

from ..errors import KzooError


def marked_rows(tokenizer, texts, reading, limit=None):
    """Ragged columns of texts: token_ids, padding_mask and segment_ids, lists of lists.

    Beside these there are `tokens`, how many of a row fill nothing up, and `cut`, whether its text
    has more of them.

    Args:
        tokenizer: a `Tokenizer`.
        texts: strings.
        reading: how they are read: a dict of `marker_id`, the token behind the first special ones;
            `length`, tokens of a row at most, special ones included; `fill_id`, what fills a row
            up to the length, or None; `attend_to_fill`, whether tokens look at that.
        limit: tokens of a row at most where a file takes no more; a row that is filled up keeps
            its length.
    """
    length, fill = reading["length"], reading["fill_id"]
    if limit is not None and length > limit:
        if fill is not None:
            raise KzooError(
                f"Got a file of {limit} tokens, and its {reading['name']} has {length}: export "
                "with a longer length."
            )
        length = limit
    (before, left), (_, (segment,)), (after, right) = tokenizer.frame()
    room = length - len(before) - 1 - len(after)
    if room < 1:
        raise KzooError(
            f"A length of {length} leaves no token of a text beside the special ones: take a "
            "larger one."
        )
    columns = {name: [] for name in ("token_ids", "padding_mask", "segment_ids", "tokens", "cut")}
    for ids in tokenizer.bare_ids(texts):
        inner = [reading["marker_id"], *ids[:room]]
        row = [*before, *inner, *after]
        more = 0 if fill is None else length - len(row)
        columns["token_ids"].append(row + [fill] * more)
        columns["padding_mask"].append([1] * len(row) + [int(reading["attend_to_fill"])] * more)
        kinds = [*left, *[segment] * len(inner), *right]
        columns["segment_ids"].append(kinds + [segment] * more)
        columns["tokens"].append(len(row))
        columns["cut"].append(len(ids) > room)
    return columns


def marked_row(tokenizer, text, reading, length=None):
    """The same of one text as arrays (1, tokens), how many tokens were read, and whether it's cut.

    length: the one number of tokens that a file takes, to which the row is padded, or None.
    """
    columns = marked_rows(tokenizer, [text], reading, length)
    (tokens,), (cut,) = columns.pop("tokens"), columns.pop("cut")
    size = length or len(columns["token_ids"][0])
    fill = {"token_ids": tokenizer.padding_id}
    arrays = {}
    for name, (row,) in columns.items():
        arrays[name] = np.full((1, size), fill.get(name, 0), "int32")
        arrays[name][0, : len(row)] = row
    return arrays, tokens, cut
