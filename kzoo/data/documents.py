"""Plain texts to learn to write from, and the windows of tokens that they are cut into."""

from pathlib import Path

from ..errors import KzooError
from ..files import read_text
from .batches import IGNORED
from .examples import Examples
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
