"""Plain texts to learn to write from, and the windows of tokens that they are cut into."""

import math
from pathlib import Path

import numpy as np

from ..errors import KzooError
from ..files import read_text
from .batches import IGNORED
from .examples import Examples
from .plan import Plan
from .sources import read_examples
from .tables import suffix_of

PLAIN = (".txt", ".text", ".md")
UNITS = ("line", "file")  # what a document of a plain text file is


def read_documents(path, text=None, label=None, targets="optional"):
    """The documents of a file.

    Args:
        path: a plain text file (.txt, .md), or a table as `read_examples` takes it, whose rows
            hold a text, or a prompt and what is to be written after it.
        text: of a plain file "line" where each line is a document, "file" where the whole is one;
            of a table the column of the text, or a list of the two columns of pairs.
        label: of a table the column of what is to be written after the text.
        targets: as for `read_examples`.

    Returns:
        `Examples`: of texts, or of pairs.

    Raises:
        KzooError: where the file can't be read; a plain file for which `text` doesn't say what a
            document is could be meant in two ways.
    """
    if suffix_of(str(path)) not in PLAIN:
        if label is not None:  # A text like the other, not a name: its blanks are part of it.
            text = read_examples(path, label=label).text if text is None else text
            text = [text, label]
        return read_examples(path, text, targets="none")
    if text not in UNITS or label is not None:
        raise KzooError(
            f'{path} is plain text: say text="line" if each line is a document of its own, or '
            'text="file" if the whole file is one.'
        )
    content = read_text(Path(path), "plain text")
    lines = content.splitlines() if text == "line" else [content]
    kept = [number for number, line in enumerate(lines, 1) if line.strip()]
    if not kept:
        raise KzooError(f"{path} holds no text.")
    left_out = {"no text": [n for n, line in enumerate(lines, 1) if not line.strip()]}
    return Examples(
        path=path,
        x=[lines[number - 1] for number in kept],
        y=None,
        lines=kept,
        kind="plain text, a document a line" if text == "line" else "plain text, one document",
        left_out={why: numbers for why, numbers in left_out.items() if numbers},
    )


def text_rows(texts, before, after, length, stride=None, packing=True):
    """Texts as windows, see `windows`.

    Args:
        texts: lists of token ids, without special tokens.
        before, after: the ids that stand before and behind each text.
        length, stride: see `windows`.
        packing: whether the texts are joined to one; else each is cut alone.

    Returns:
        A list of (tokens, targets); an empty one where there is nothing to predict.
    """
    framed = [[*before, *ids, *after] for ids in texts]
    if packing:
        doubled = len(before) if before == after else 0  # One end between two texts is enough.
        framed = [[*before[:doubled], *(token for ids in framed for token in ids[doubled:])]]
    return [row for ids in framed if len(ids) > 1 for row in windows(ids, length, stride)]


def answer_rows(prompts, answers, after, length):
    """Answers behind prompts as (tokens, targets), of which those of the prompt are none.

    Args:
        prompts, answers: lists of token ids, as many of both.
        after: the ids that stand behind each answer.
        length: tokens that a row has at most; the end of an answer is cut off.

    Raises:
        KzooError: for a prompt that leaves no place for a token of its answer.
    """
    rows = []
    for number, (prompt, answer) in enumerate(zip(prompts, answers, strict=True)):
        ids, known = [*prompt, *answer, *after], len(prompt)
        if known > length or known == len(ids):
            raise KzooError(
                f"Example {number} has a prompt of {known} tokens and {len(ids) - known} behind "
                f"it; expected one at least within {length}."
            )
        ids = ids[: length + 1]
        rows.append((ids[:-1], [IGNORED] * (known - 1) + ids[known:]))
    return rows


def windows(ids, length, stride=None):
    """A row of tokens as windows of what is read and what is to follow.

    Args:
        ids: token ids, at least two.
        length: tokens that a window reads at most.
        stride: tokens by which a window lies behind the one before; by default `length`. The
            tokens that a window has in common with the one before are context: nobody's target
            twice.

    Returns:
        A list of (tokens, targets): the target of a place is the token behind it, or `IGNORED`.
    """
    stride = length if stride is None else stride
    rows, done = [], 0
    for start in range(0, max(1, len(ids) - 1), stride):
        end = min(start + length, len(ids) - 1)
        fresh = end - done
        targets = ids[start + 1 : end + 1]
        rows.append((ids[start:end], [IGNORED] * (len(targets) - fresh) + targets[-fresh:]))
        done = end
        if end == len(ids) - 1:
            break
    return rows


class StreamPlan(Plan):
    """One text in rows that each go on where they were in the batch before.

    A batch is {"token_ids": (rows, length), "begins": (rows,)} and the tokens one place on, or
    `IGNORED` behind the end; `begins` is 1 where a row starts, in the first batch of an epoch.

    Args:
        texts: lists of token ids, which are joined; each epoch in another order if they are
            shuffled.
        before, after: the ids that stand before and behind each text.
        length: tokens of a row in a batch.
        batch_size: how many rows the text is cut into.
        shuffle, seed, epoch: as for `Plan`.
        padding_id: the token that fills the last batch up.

    Raises:
        KzooError: for fewer than two tokens.
    """

    def __init__(
        self, texts, before, after, length, batch_size=32, shuffle=False, seed=0, epoch=0,
        padding_id=0,
    ):  # fmt: skip
        self.texts, self.framing, self.length, self.padding_id = (
            texts,
            (before, after),
            length,
            padding_id,
        )
        count = len(self.joined(range(len(texts)))) - 1
        if count < 1:
            raise KzooError("The texts hold fewer than two tokens: there is nothing to predict.")
        rows = 32 if batch_size is None else batch_size
        super().__init__(count, rows, bool(shuffle), seed, epoch)
        each = math.ceil(count / self.batch_size)
        self.size = self.batch_size * math.ceil(each / length)
        self._shown = None, None

    def joined(self, order):
        """The texts in an order as one row of ids; of two ends alike one stands between them."""
        before, after = self.framing
        doubled = len(before) if before == after else 0
        framed = ([*before, *self.texts[i], *after][doubled:] for i in order)
        return [*before[:doubled], *(token for ids in framed for token in ids)]

    def facts(self):
        """See `Plan`."""
        yield from super().facts()
        yield "length", self.length
        yield "tokens", np.asarray(self.joined(range(len(self.texts))), "int32")

    def rows(self, epoch):
        """All tokens of an epoch and those behind them, both (rows, batches * length)."""
        if self._shown[0] != epoch:
            order = np.arange(len(self.texts))
            if self.shuffle:
                order = np.random.default_rng([self.seed, epoch]).permutation(len(order))
            ids = np.asarray(self.joined(order), "int32")
            each = math.ceil((len(ids) - 1) / self.batch_size)
            shape = self.batch_size, len(self) * self.length
            tokens = np.full(shape, self.padding_id, "int32")
            targets = np.full(shape, IGNORED, "int32")
            for row in range(self.batch_size):
                start, end = row * each, min((row + 1) * each, len(ids) - 1)
                if start < end:
                    tokens[row, : end - start] = ids[start:end]
                    targets[row, : end - start] = ids[start + 1 : end + 1]
            self._shown = epoch, (tokens, targets)
        return self._shown[1]

    def order(self, epoch=0):
        """The batches of an epoch: a row of each goes on where it was."""
        return list(np.arange(self.size).reshape(-1, self.batch_size))

    def batch(self, rows):
        """The batch that an example is in, see the class."""
        return self.learned(rows, self.epoch, int(rows[0]) // self.batch_size + 1)

    def learned(self, rows, epoch, number):
        """See `Plan`."""
        places = slice((number - 1) * self.length, number * self.length)
        tokens, targets = (each[:, places] for each in self.rows(epoch))
        begins = np.full(self.batch_size, number == 1, "int32")
        return {"token_ids": tokens, "begins": begins}, targets

    def open_axes(self, value, is_weight):
        """See `Plan`: none, for all batches are alike."""
        return set()
