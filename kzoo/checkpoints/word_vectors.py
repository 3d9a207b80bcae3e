"""Vectors of words in one file: word2vec's, as text or binary, and GloVe's.

word2vec (Mikolov et al. 2013, arXiv:1301.3781) begins with a line of two numbers, how many words
there are and how wide their vectors; a line for each word follows, or the word, a space and float32
numbers. GloVe (Pennington et al. 2014, aclanthology.org D14-1162) has the lines alone. Any of them
may be compressed (.gz).
"""

import gzip
import re
import warnings

import numpy as np

from ..errors import KzooError
from ..text.whole_words import SPECIAL, word_tokenizer

HEADER = re.compile(rb"\s*(\d{1,9}) (\d{1,6})\s*")
LINE = 2**17  # bytes of a line at most
LONGEST = 512  # words of a text


def sign(path):
    """By what a file is known to be of this format, see `formats`."""
    if not path.is_file():
        return None
    try:
        with _opened(path) as file:
            header, first = _head(file)
            kind = _kind(file, header, first)
    except (OSError, EOFError):
        return None
    return kind and f"{path.name}, {kind}"


def read(path, task=None, tokenizer=None):
    """The `TextEmbedder` of a file: the mean of a text's words, of length 1.

    Words are looked up as they are, in lower case where the file has no capital letter; where a
    word is there twice the first counts. Those that it lacks are zeros.

    Raises:
        KzooError: for a file that is cut off or damaged, naming the line or word.
    """
    from ..models.static_embeddings import static
    from ..tasks.text_embedder import TextEmbedder

    if tokenizer:
        raise KzooError(f"Got a tokenizer for {path}, whose words are its own: leave it out.")
    words, table = vectors(path)
    made = word_tokenizer(words) if tokenizer is None else None
    backbone = static(table, 0, LONGEST)
    if task == "backbone":
        backbone.processors = {"tokenizer": made}
        return backbone
    return TextEmbedder(backbone, tokenizer=made)


def vectors(path):
    """The words of a file, the two special ones before them, and their vectors (words, dim)."""
    with _opened(path) as file:
        header, first = _head(file)
        kind = _kind(file, header, first)
        if kind is None:
            raise KzooError(
                f"{path} holds no vectors of words; expected lines of a word and its numbers, or a "
                "line of two numbers before them."
            )
        try:
            found = (_binary if kind == BINARY else _lines)(path, file, header, first)
        except (OSError, EOFError) as error:
            raise KzooError(f"{path} can't be read ({error}): fetch it again.") from None
    return _in_rows(path, *found)


def _opened(path):
    return gzip.open(path) if path.suffix == ".gz" else open(path, "rb")  # noqa: SIM115


BINARY, TEXT, GLOVE = "word2vec's binary format", "word2vec's text format", "GloVe's format"


def _head(file):
    """The two numbers of the first line, or None, and the first line of a word."""
    line = file.readline(LINE)
    header = HEADER.fullmatch(line)
    if header is None:
        return None, line
    return (int(header[1]), int(header[2])), None


def _kind(file, header, first):
    """Which of the three it is, None for none; the file stands where it stood."""
    if header is None:
        found = _numbers(first, None) if first.endswith(b"\n") else None
        return GLOVE if found and len(found[1]) > 1 else None
    place = file.tell()
    line = file.readline(LINE)
    file.seek(place)
    if not line:
        return None
    try:
        return TEXT if line.decode().strip().isprintable() else BINARY
    except UnicodeDecodeError:
        return BINARY


def _numbers(line, dim):
    """The word of a line and its numbers, the last `dim` or all but one; None for another line."""
    try:
        parts = line.decode().rstrip().split(" ")
        first = 1 if dim is None else len(parts) - dim
        if first < 1 or len(parts) < first + 1:
            return None
        return " ".join(parts[:first]), np.array(parts[first:], "float32")
    except ValueError:  # UnicodeDecodeError is one.
        return None


def _lines(path, file, header, first):
    """The words and vectors of a file of text, with the number of the line of each."""
    words, rows, numbers = [], [], []
    dim = header[1] if header else len(_numbers(first, None)[1])
    start = 2 if header else 1
    for number, line in enumerate(file if header else _before(first, file), start):
        if not line.strip():
            continue
        found = _numbers(line, dim)
        # Words of GloVe may hold spaces, but none begins with one and goes on with a number.
        if found is None or _is_number(found[0].partition(" ")[2].partition(" ")[0]):
            raise KzooError(
                f"Line {number} of {path}, {line.decode(errors='replace')!r:.40}, is no word with "
                f"{dim} numbers; expected those, as {'said' if header else 'are'} in the first."
            )
        words.append(found[0])
        rows.append(found[1])
        numbers.append(f"line {number}")
    if header and len(words) != header[0]:
        raise KzooError(
            f"{path} says that it has {header[0]} words and has {len(words)}: it was cut off, or "
            "its first line is wrong."
        )
    return words, np.array(rows, "float32").reshape(-1, dim), numbers


def _is_number(text):
    try:
        float(text)
    except ValueError:
        return False
    return True


def _before(first, file):
    yield first
    yield from file


def _binary(path, file, header, first):
    """The words and vectors of a binary file."""
    count, dim = header
    words, rows = [], []
    for number in range(1, count + 1):
        word = _word(file)
        row = file.read(4 * dim)
        if word is None or len(row) < 4 * dim:
            raise KzooError(
                f"{path} says that it has {count} words of {dim} numbers and ends in number "
                f"{number}: it was cut off, or its first line is wrong."
            )
        words.append(word.decode("utf-8", "replace"))
        rows.append(np.frombuffer(row, "<f4"))
    if file.read(2).strip():
        raise KzooError(
            f"{path} says that it has {count} words of {dim} numbers and holds more: its first "
            "line is wrong."
        )
    table = np.array(rows, "float32").reshape(-1, dim)
    return words, table, [f"word {number}" for number in range(1, count + 1)]


def _word(file):
    """The bytes up to a space, without the line end before them; None where the file ends."""
    word = bytearray()
    while (byte := file.read(1)) != b" ":
        if not byte or len(word) > LINE:
            return None
        word += byte
    return bytes(word).lstrip(b"\n")


def _in_rows(path, words, table, numbers):
    """Each word once, behind the special ones."""
    if not words or not table.shape[1]:
        raise KzooError(f"{path} holds no words; expected lines of a word and its numbers.")
    wrong = np.flatnonzero(~np.isfinite(table).all(axis=1))
    if len(wrong):
        raise KzooError(
            f"The vector of {words[wrong[0]]!r:.60} in {numbers[wrong[0]]} of {path} holds NaN or "
            "infinite numbers: the file is damaged."
        )
    rows = {}
    for row, word in enumerate(words):
        rows.setdefault(word, row)
    if len(rows) < len(words):
        warnings.warn(
            f"{path} has {len(words) - len(rows)} words twice; the first of each counts.",
            stacklevel=5,
        )
    special = np.zeros((len(SPECIAL), table.shape[1]), "float32")
    for place, word in enumerate(SPECIAL):
        if word in rows:
            special[place] = table[rows.pop(word)]
    return [*SPECIAL, *rows], np.concatenate([special, table[list(rows.values())]])
