"""Examples from TSV, CSV and JSON Lines files, plain or gzipped."""

import csv
import gzip
import io
import os
import zlib
from pathlib import Path

from ..errors import KzooError
from ..files import parse_json

TEXT_COLUMNS = (("sentence",), ("text",), ("sentence1", "sentence2"), ("text1", "text2"))
LABEL_COLUMNS = ("label", "score", "target")
SUFFIXES = (".tsv", ".csv", ".jsonl")


def read_examples(path, text=None, label=None, require_label=True):
    """Texts, or pairs of texts, and their labels from a file.

    Args:
        path: a .tsv (tabs, no quoting), .csv (commas, quotes) or .jsonl file with a header or
            keys; .gz after any of them.
        text: the column of the text, or a list of two for pairs. By default sentence, text,
            (sentence1, sentence2) or (text1, text2), whichever the file has.
        label: the column of the labels; by default label, score or target.
        require_label: whether a file without labels is an error.

    Returns:
        A list of strings or of 2-tuples, and a list of labels or None. Labels of .tsv and .csv
        are strings.
    """
    table = read_table(path)
    if text is None:
        names = next((names for names in TEXT_COLUMNS if set(names) <= set(table)), None)
        if names is None:
            raise KzooError(
                f"{path} has the columns {', '.join(table)}; sentence, text, or sentence1 and "
                "sentence2 are expected: name the columns, such as text='review'."
            )
    else:
        names = (text,) if isinstance(text, str) else tuple(text)
    if label is None:
        label = next((name for name in LABEL_COLUMNS if name in table), None)
        if label is None and require_label:
            raise KzooError(
                f"{path} has the columns {', '.join(table)}; a column called label is expected: "
                "name the one that holds the labels, such as label='stars'."
            )
    for name in (*names, *([label] if label else [])):
        if name not in table:
            raise KzooError(f"{path} has no column {name!r}; it has {', '.join(table)}.")
    for name in names:
        for number, value in enumerate(table[name], 1):
            if not isinstance(value, str):
                raise KzooError(
                    f"{path}, example {number}: {name} is {value!r}; a string is expected."
                )
    texts = table[names[0]]
    if len(names) > 1:
        texts = list(zip(*(table[name] for name in names), strict=True))
    return texts, (table[label] if label else None)


def is_table(text):
    """Whether a string stands for a file of examples: `predict` takes a text in its place.

    It does when it ends as such a file, and is one or has no space in it.
    """
    spaceless = text.isprintable() and " " not in text
    return _kind(Path(text)) in SUFFIXES and (spaceless or os.path.isfile(text))


def _kind(path):
    return path.with_suffix("").suffix if path.suffix == ".gz" else path.suffix


def read_table(path):
    """The columns of a .tsv, .csv or .jsonl file (maybe .gz), as {name: list of values}."""
    path = Path(path)
    kind = _kind(path)
    if kind not in SUFFIXES:
        raise KzooError(
            f"{path} is no kind of table that is known; {', '.join(SUFFIXES)} is expected, maybe "
            "with .gz."
        )
    lines = io.StringIO(_text(path), newline="")
    table = _json_lines(path, lines) if kind == ".jsonl" else _separated(path, lines, kind)
    if not table or not len(next(iter(table.values()))):
        raise KzooError(f"{path} holds no examples; at least one is expected.")
    return table


def _text(path):
    try:
        data = path.read_bytes()
        if path.suffix == ".gz":
            data = gzip.decompress(data)
        return data.decode("utf-8-sig")
    except FileNotFoundError:
        raise KzooError(f"{path} doesn't exist: examples were expected there.") from None
    except IsADirectoryError:
        raise KzooError(f"{path} is a folder; a file of examples is expected.") from None
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise KzooError(f"{path} is not a whole gzip file ({error}): fetch it again.") from None
    except UnicodeDecodeError as error:
        raise KzooError(
            f"{path} is not UTF-8 (byte {error.start}): save it in that encoding."
        ) from None


def _separated(path, lines, kind):
    # A .tsv is what GLUE distributes: a quote is a character like any other.
    tsv = {"delimiter": "\t", "quoting": csv.QUOTE_NONE}
    limit = csv.field_size_limit(2**31 - 1)
    try:
        reader = csv.reader(lines, strict=True, **(tsv if kind == ".tsv" else {}))
        names = next(reader, [])
        if len(set(names)) != len(names):
            raise KzooError(f"{path} has two columns of one name: {', '.join(names)}.")
        rows = []
        for row in reader:
            if not row:
                continue
            if len(row) != len(names):
                raise KzooError(
                    f"{path}, line {reader.line_num}: {len(row)} fields; {len(names)} are "
                    f"expected, as in the header ({', '.join(names)})."
                )
            rows.append(row)
    except csv.Error as error:
        raise KzooError(f"{path}, line {reader.line_num}: {error}; mend the line.") from None
    finally:
        csv.field_size_limit(limit)
    return {name: [row[i] for row in rows] for i, name in enumerate(names)}


def _json_lines(path, lines):
    rows = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        row = parse_json(line, f"{path}, line {number},", "an example")
        if rows and set(row) != set(rows[0]):
            raise KzooError(
                f"{path}, line {number}: the keys {sorted(row)}; {sorted(rows[0])} are expected, "
                "as in the first line."
            )
        rows.append(row)
    return {name: [row[name] for row in rows] for name in rows[0]} if rows else {}
