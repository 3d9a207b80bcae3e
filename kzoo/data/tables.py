"""Tables of text: .tsv, .csv and .jsonl files, plain or gzipped, into named columns."""

import csv
import gzip
import io
import json
import re
import zlib
from dataclasses import dataclass
from pathlib import Path

from ..errors import KzooError
from ..files import parse_json, writing_file
from .examples import listed

# A field in quotes as CSV has it, and then what ends it.
_QUOTED = re.compile(r'"((?:[^"]|"")*)"(?=\t|\r?\n|\r|\Z)')
_END = re.compile(r"[\t\r\n]")
KINDS = {
    ".tsv": "tab-separated",
    ".txt": "tab-separated",
    ".csv": "comma-separated",
    ".jsonl": "JSON lines",
}


WRITTEN = (".csv", ".tsv", ".jsonl")


@dataclass
class Table:
    """Named columns of a file, with the line on which each row begins."""

    path: object
    columns: dict
    lines: list
    kind: str
    notes: list
    headed: bool = True

    def __len__(self):
        return len(self.lines)


def suffix_of(path):
    """The ending that says what a file is: .tsv of train.tsv.gz."""
    path = Path(path)
    return (path.with_suffix("") if path.suffix.lower() == ".gz" else path).suffix.lower()


def read_text(path):
    """The text of a file of examples: UTF-8, with or without its mark, maybe gzipped."""
    path = Path(path)
    try:
        data = path.read_bytes()
        if path.suffix.lower() == ".gz":
            data = gzip.decompress(data)
        return data.decode("utf-8-sig")
    except FileNotFoundError:
        raise KzooError(f"{path} doesn't exist: examples were expected there.") from None
    except IsADirectoryError:
        raise KzooError(f"{path} is a folder; a file of examples is expected.") from None
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise KzooError(f"{path} is not a whole gzip file ({error}): fetch it again.") from None
    except UnicodeDecodeError as error:
        other = " but UTF-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else ""
        raise KzooError(
            f"{path} is not UTF-8{other} (byte {error.start}): save it in that encoding."
        ) from None


def read_table(path, headed=True):
    """The `Table` in a .tsv, .txt (as .tsv), .csv or .jsonl file, maybe with .gz.

    Args:
        path: the file.
        headed: whether the first line names the columns; else their names are 0, 1 and so on.
    """
    suffix = suffix_of(path)
    if suffix not in KINDS:
        raise KzooError(
            f"{path} is no kind of table that is known; expected {', '.join(KINDS)}, maybe with "
            ".gz."
        )
    text, notes = read_text(path), []
    if suffix == ".jsonl":
        columns, lines = _json_lines(path, text)
    else:
        rows, lines = _separated(path, text, suffix, notes)
        columns, lines = _columns(path, rows, lines, headed, notes)
    if not lines:
        raise KzooError(f"{path} holds no examples; at least one is expected.")
    return Table(path, columns, lines, KINDS[suffix], notes, headed)


def check_table_path(path):
    """Raise KzooError unless a table can be written to a path, where nothing lies yet."""
    if Path(path).suffix.lower() not in WRITTEN:
        raise KzooError(
            f"Got {path} to write a table to; expected a path that ends in {', '.join(WRITTEN)}."
        )
    if Path(path).exists():
        raise KzooError(f"{path} exists and isn't replaced: name another path, or remove it.")


def write_table(path, columns):
    """Write columns, {name: values}, as a .csv, .tsv or .jsonl file; it is there whole or not.

    In .csv and .tsv what is no string, number or None stands as JSON; quotes are those of .csv.
    """
    check_table_path(path)
    rows = zip(*columns.values(), strict=True)
    with (
        writing_file(path) as tmp_path,
        open(tmp_path, "w", encoding="utf-8", newline="") as file,
    ):
        if Path(path).suffix.lower() == ".jsonl":
            for row in rows:
                row = dict(zip(columns, row, strict=True))
                file.write(json.dumps(row, ensure_ascii=False) + "\n")
            return
        delimiter = "\t" if Path(path).suffix.lower() == ".tsv" else ","
        writer = csv.writer(file, delimiter=delimiter, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows([_field(value) for value in row] for row in rows)


def _field(value):
    plain = value is None or (isinstance(value, (str, int, float)) and not isinstance(value, bool))
    return value if plain else json.dumps(value, ensure_ascii=False)


def _separated(path, text, suffix, notes):
    """The rows of fields of a .tsv or .csv file, and the line on which each begins."""
    if suffix != ".csv":
        if not _quotes_tabs(text):
            return _tabs(text, notes)
        notes.append("its quotes were read as a .csv's are")
        delimiter = "\t"
    else:
        delimiter = _delimiter(text, notes)
    limit = csv.field_size_limit(2**31 - 1)
    rows, lines, line = [], [], 1
    try:
        # Whoever writes `text, label` writes the rows so too: a quote behind the blank is one.
        cells = re.split(r"[\r\n]", text, maxsplit=1)[0].split(delimiter)[1:]
        blanks = bool(cells) and all(cell.startswith(" ") for cell in cells)
        reader = csv.reader(
            io.StringIO(text, newline=""),
            delimiter=delimiter,
            strict=True,
            skipinitialspace=blanks,
        )
        for row in reader:
            if row:
                rows.append(row)
                lines.append(line)
            line = reader.line_num + 1
    except csv.Error as error:
        raise KzooError(f"{path}, line {line}: {error}; mend the line.") from None
    finally:
        csv.field_size_limit(limit)
    return rows, lines


def _tabs(text, notes):
    """Rows of a .tsv as GLUE has them: a quote is a character like any other."""
    end = "\n" if "\n" in text or "\r" not in text else "\r"
    numbered = [(line.removesuffix("\r"), i) for i, line in enumerate(text.split(end), 1)]
    numbered = [(line.split("\t"), i) for line, i in numbered if line]
    quoted = sum(
        len(field) > 1 and field[0] == field[-1] == '"' for row, _ in numbered for field in row
    )
    if quoted:
        notes.append(f"{quoted:,} fields stand in quotes, which are kept: a .csv would drop them")
    return [row for row, _ in numbered], [i for _, i in numbered]


def _quotes_tabs(text):
    """Whether the quotes of a .tsv are a writer's, and not its sentences' own.

    They are if every field that begins with one is quoted whole, no other holds any, and the
    quoting is beyond doubt: a column is quoted throughout, or a quoted field holds what only
    quoting allows (a tab, the end of a line, a doubled quote).
    """
    if '"' not in text:
        return False
    place, column, needed = 0, 0, False
    quoted, plain = set(), set()
    while place < len(text):
        if text[place] == '"':
            match = _QUOTED.match(text, place)
            if match is None:
                return False
            inner = match[1]
            needed = needed or '""' in inner or "\t" in inner or "\n" in inner
            quoted.add(column)
            place = match.end()
        else:
            match = _END.search(text, place)
            end = match.start() if match else len(text)
            if '"' in text[place:end]:
                return False
            if end > place:
                plain.add(column)
            place = end
        if text[place : place + 1] == "\t":
            column, place = column + 1, place + 1
            continue
        while text[place : place + 1] in ("\r", "\n") and place < len(text):
            column, place = 0, place + 1
    return needed or bool(quoted - plain)


def _delimiter(text, notes):
    """A comma; where the header has none, the semicolon or the tab that it has."""
    header = re.split(r"[\r\n]", text, maxsplit=1)[0]
    if "," not in header:
        for delimiter, name in ((";", "semicolons"), ("\t", "tabs")):
            if delimiter in header:
                notes.append(f"its fields were parted at {name}")
                return delimiter
    return ","


def _columns(path, rows, lines, headed, notes):
    """{name: values} of rows that are all as long as the header, and the rows' lines."""
    if not rows:
        return {}, []
    if headed:
        (names, *rows), (first, *lines) = rows, lines
        names = [name.strip() for name in names]
        _check_twice(path, first, [name for name in names if name])
    else:
        names = [str(i) for i in range(len(rows[0]))]
    # A delimiter at the end of every line makes columns without a name that hold nothing.
    width = max((len(row) for row in rows), default=0)
    if rows and all(len(row) == width and not any(row[len(names) :]) for row in rows):
        rows = [row[: len(names)] for row in rows]
    for row, line in zip(rows, lines, strict=True):
        if len(row) != len(names):
            named = f", as in the header ({listed(names)})" if headed else ", as in the first line"
            raise KzooError(
                f"{path}, line {line}: got {len(row)} fields; expected {len(names)}{named}."
            )
    unnamed = [i for i, name in enumerate(names) if not name]
    if unnamed:
        notes.append(f"{len(unnamed)} columns without a name were left out")
    return {
        name: [row[i] for row in rows] for i, name in enumerate(names) if i not in unnamed
    }, lines


def _check_twice(path, line, names):
    twice = next((name for i, name in enumerate(names) if name in names[:i]), None)
    if twice is not None:
        raise KzooError(
            f"{path}, line {line}: two columns are named {twice!r:.60}; give each its own name."
        )


def _json_lines(path, text):
    rows, lines = [], []
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        row = parse_json(line, f"{path}, line {number}", "an example")
        if rows and set(row) != set(rows[0]):
            raise KzooError(
                f"{path}, line {number}: got the keys {listed(sorted(row))}; expected "
                f"{listed(sorted(rows[0]))}, as in line {lines[0]}."
            )
        rows.append(row)
        lines.append(number)
    return {name: [row[name] for row in rows] for name in (rows[0] if rows else ())}, lines
