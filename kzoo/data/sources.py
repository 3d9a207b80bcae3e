"""Texts and labels from tables: which columns are meant, and a question where that is in doubt."""

import os
from statistics import fmean

from ..errors import KzooError
from .examples import Examples, listed
from .tables import read_table, suffix_of

# Names as files that are passed around have them, in lower case.
TEXTS = ("sentence", "text")
TRANSLATED = ("source", "target")  # Where the target is a label, the source is a text of its own.
PAIRS = (
    ("sentence1", "sentence2"),
    ("text1", "text2"),
    ("text", "text_pair"),
    ("premise", "hypothesis"),
    ("question1", "question2"),
    ("question", "sentence"),
    ("question", "context"),
    ("#1 string", "#2 string"),
    TRANSLATED,
)
LABELS = (
    "label",
    "labels",
    "category",
    "intent",
    "class",
    "gold_label",
    "score",
    "target",
    "quality",
    "is_duplicate",
)
PARSES = ("_parse", "_binary_parse")  # SNLI's and MNLI's trees of their sentences.
NO_GOLD = {"gold_label": "-"}  # Where the judges of SNLI and MNLI didn't agree.
TABLES = (".tsv", ".csv", ".jsonl")
LOOKED_AT = 1000  # rows by which a column is judged
FEW = 20  # different values of a column that names something
WORDS, LETTERS = 3, 8  # A column is text with that many words a row, or letters without blanks.


def read_examples(path, text=None, label=None, targets="required"):
    """Texts, or pairs of texts, and their labels from a file.

    Args:
        path: a .tsv (or .txt) file with tabs, a .csv or a .jsonl file, with a header or keys; .gz
            after any of them. Quotes are a .csv's; a .tsv's are characters, unless the whole file
            shows that a writer quoted it.
        text: the column of the text, or a list of two for pairs. By default those that are called
            as they are everywhere, such as sentence, or premise and hypothesis, as long as no
            other column holds text too. Whole numbers are places, from 0 on, in a file without a
            header.
        label: the column of the labels, or a list for several numbers a text; by default label,
            category, score and so on.
        targets: "required", "optional" or "none": whether there must be labels.

    Returns:
        `Examples`, which unpack into texts (strings or 2-tuples) and labels or None. Rows without
        a label or without text are left out, and counted. Labels of .tsv and .csv are strings.

    Raises:
        KzooError: where the file can't be read, or could be read in two ways: then the sentence
            says what to type.
    """
    table = _table(path, text, label)
    label = None if targets == "none" else _label_column(table, label, targets, text)
    labels = (label,) if isinstance(label, str) else label or ()
    names = _text_columns(table, text, labels)
    texts, left_out = _texts(table, names), {}
    kept = []
    for row in range(len(table)):
        values = [table.columns[name][row] for name in labels]
        parts = [table.columns[name][row] for name in names]
        why = None
        if any(_is_empty(name, value) for name, value in zip(labels, values, strict=True)):
            why = f"no {listed(labels)}"
        elif not all(part.strip() for part in parts):
            why = "no text"
        if why:
            left_out.setdefault(why, []).append(table.lines[row])
        else:
            kept.append(row)
    if not kept:
        why = next(iter(left_out))
        raise KzooError(f"{path}: all of its {len(table):,} rows have {why}; fill them in.")
    y = None
    if label is not None:
        columns = [[_stripped(value) for value in table.columns[name]] for name in labels]
        y = columns[0] if isinstance(label, str) else list(map(list, zip(*columns, strict=True)))
        y = [y[row] for row in kept]
    return Examples(
        path=path,
        x=[texts[row] for row in kept],
        y=y,
        lines=[table.lines[row] for row in kept],
        text=names[0] if len(names) == 1 else list(names),
        label=label,
        columns=list(table.columns),
        kind=table.kind,
        left_out=left_out,
        notes=table.notes,
    )


def read_texts(path, text=None):
    """The texts, or pairs of texts, of every row of a file: what `predict` answers."""
    texts = read_rows(path, text)[1]
    unread = next((each for each in texts if isinstance(each, KzooError)), None)
    if unread is not None:
        raise unread
    return texts


def read_rows(path, text=None):
    """The `Table` in a file, and the text or pair of texts of its every row.

    In the place of what is no text stands the KzooError that says so.
    """
    table = _table(path, text, None)
    names = _text_columns(table, text, _by_known_name(table, LABELS).values())
    return table, [
        _not_text(table, names, row) or _row_text(table, names, row) for row in range(len(table))
    ]


def is_file(text, endings=TABLES):
    """Whether a string stands for a file of examples: `predict` takes a text in its place.

    It does when it ends as such a file, and is one or has no space in it.
    """
    spaceless = text.isprintable() and " " not in text
    return suffix_of(text) in endings and (spaceless or os.path.isfile(text))


# -- which columns --------------------------------------------------------------------------------


def _table(path, text, label):
    """The table; without a header where columns are named by their places."""
    asked = [name for value in (text, label) for name in _as_names(value)]
    places = [name for name in asked if isinstance(name, int)]
    if places and len(places) != len(asked):
        raise KzooError(
            f"{listed(asked)} name columns of {path} by name and by place; take one of the two."
        )
    table = read_table(path, headed=not places)
    if places:
        first = [str(column[0]).strip().lower() for column in table.columns.values()]
        known = {*TEXTS, *LABELS, *(name for pair in PAIRS for name in pair)}
        if table.kind == "JSON lines" or known & set(first):
            header = list(table.columns) if table.kind == "JSON lines" else first
            raise KzooError(
                f"{path} names its columns ({listed(header)}): take those names in place of "
                f"{listed(places)}."
            )
    return table


def _as_names(value):
    return () if value is None else tuple(value) if isinstance(value, (list, tuple)) else (value,)


def _named(table, name):
    """A column by its name; upper and lower case count where two names differ in nothing else."""
    if str(name) in table.columns:
        return str(name)
    near = [column for column in table.columns if column.lower() == str(name).strip().lower()]
    if len(near) == 1:
        return near[0]
    raise KzooError(f"{table.path} has no column {name!r:.60}; it has {listed(table.columns)}.")


def _by_known_name(table, names):
    """{known name: column} of those that the table has, in the order of `names`."""
    lowered = {column.strip().lower(): column for column in reversed(list(table.columns))}
    return {name: lowered[name] for name in names if name in lowered}


def _label_column(table, label, targets, text):
    if label is not None:
        names = [_named(table, name) for name in _as_names(label)]
        return names if isinstance(label, (list, tuple)) else names[0]
    taken = {_named(table, name) for name in _as_names(text)}
    known = [name for name in _by_known_name(table, LABELS).values() if name not in taken]
    if len(known) > 1:
        raise KzooError(
            f"{table.path} has the label columns {listed(known)}: say label={known[0]!r}, or which."
        )
    if known or targets == "optional":
        return known[0] if known else None
    if suffix_of(table.path) == ".txt" and len(table.columns) == 1:
        raise KzooError(
            f"{table.path} has no tabs and so no column of labels; expected a table, for plain "
            'text is read by a CausalLM, with "text": "line" or "file".'
        )
    likely = _likely_label(table) if len(table.columns) > 1 else None
    which = "name one that has labels" if likely is None else f"say which, such as label={likely!r}"
    raise _no_header(table) or KzooError(
        f"{table.path} has no column called label; it has {_quoted(table)}: {which}."
    )


def _text_columns(table, text, labels):
    """The columns of the texts: those that were named, or those beyond doubt."""
    if text is not None:
        return tuple(_named(table, name) for name in _as_names(text))
    holding = [name for name in table.columns if name not in labels and _holds_text(table, name)]
    pairs = [tuple(_by_known_name(table, pair).values()) for pair in PAIRS]
    pairs = [pair for pair in pairs if len(pair) == 2 and not set(pair) & set(labels)]
    singles = tuple(_by_known_name(table, TEXTS).values())
    translated = _by_known_name(table, TRANSLATED)
    if not singles and len(translated) == 2 and translated["target"] in labels:
        singles = (translated["source"],)
    if len(pairs) == 1 and set(holding) <= set(pairs[0]):
        return pairs[0]
    if len(singles) == 1 and set(holding) == set(singles):
        return singles
    if len(holding) > 1:
        pair = pairs[0] if pairs else tuple(holding[:2])
        raise _no_header(table) or KzooError(
            f"{table.path} has the text columns {listed(holding)}: say text={list(pair)!r} for "
            f"pairs, or text={(singles or pair)[-1]!r} for one."
        )
    raise _no_header(table) or KzooError(
        f"{table.path} has no column called sentence or text; it has {_quoted(table)}: say "
        f"which, such as text={(holding or ['review'])[0]!r}{_or_pairs(table)}."
    )


def _or_pairs(table):
    """How to name the columns of pairs, where a table has just two."""
    names = list(table.columns)
    return f", or text={names!r} for pairs" if len(names) == 2 else ""


def _quoted(table):
    """The names of the columns for a sentence that goes on with a colon."""
    names = listed(table.columns)
    return repr(names) if names.endswith(":") else names


def _no_header(table):
    """The question to ask where the first line looks like an example, or None."""
    cells = list(table.columns)
    known = {*TEXTS, *LABELS, *(name for pair in PAIRS for name in pair)}
    if table.kind == "JSON lines" or known & {cell.lower() for cell in cells}:
        return None
    if not any(_is_number(cell) or len(cell.split()) >= WORDS for cell in cells):
        return None
    # A name that is twice there or missing had gone from the columns: count the places anew.
    places = read_table(table.path, headed=False)
    texts = [int(name) for name in places.columns if _holds_text(places, name)]
    label, text = _likely_label(places), texts[0] if len(texts) == 1 else texts[:2]
    asked = f"text={text}, label={label}" if label is not None else f"text={text}"
    return KzooError(
        f"{table.path}, line 1: got an example ({cells[0]!r:.30} ...); expected a header: say "
        f"{asked}, the places of the columns from 0 on, or name them if it is one."
    )


def _likely_label(table):
    """The column that has the fewest different values and no empty ones, for a question."""
    sizes = {
        name: len(set(map(str, values)))
        for name, values in table.columns.items()
        if not _holds_text(table, name) and all(str(value).strip() for value in values)
    }
    places = list(table.columns)

    def doubt(name):
        return sizes[name], all(map(_is_number, table.columns[name])), -places.index(name)

    likely = min((name for name in sizes if sizes[name] > 1), key=doubt, default=None)
    return likely if likely is None or table.headed else int(likely)


def _holds_text(table, name):
    """Whether a column is text by its name, or by what stands in it."""
    lowered = name.strip().lower()
    if lowered in TEXTS or any(lowered in pair for pair in PAIRS):
        return True
    if lowered.endswith(PARSES):
        return False
    column = table.columns[name]
    values = column[:: max(1, len(column) // LOOKED_AT)]
    if not all(isinstance(value, str) for value in values):
        return False
    words = fmean(sum(part.isalpha() or part[:1].isalpha() for part in v.split()) for v in values)
    # Chinese and its like have no blanks: letters that are neither upper nor lower case.
    letters = fmean(sum(c.isalpha() and c.upper() == c.lower() for c in v) for v in values)
    # The same few again and again are names of something; one side of pairs repeats too, but
    # there are many, or they are sentences.
    if len(set(values)) * 5 < len(values) and len(set(values)) <= FEW:
        return words >= 2 * WORDS or letters >= 2 * LETTERS
    return words >= WORDS or letters >= LETTERS


# -- values ---------------------------------------------------------------------------------------


def _texts(table, names):
    for row in range(len(table)):
        error = _not_text(table, names, row)
        if error is not None:
            raise error
    return [_row_text(table, names, row) for row in range(len(table))]


def _not_text(table, names, row):
    """What is wrong with the texts of a row, or None."""
    for name in names:
        value = table.columns[name][row]
        if not isinstance(value, str):
            return KzooError(
                f"{table.path}, line {table.lines[row]}: {name} is {value!r:.40}; expected a "
                "string."
            )
    return None


def _row_text(table, names, row):
    texts = tuple(table.columns[name][row] for name in names)
    return texts[0] if len(texts) == 1 else texts


def _is_empty(name, value):
    if isinstance(value, str):
        return value.strip() in ("", "nan", "NaN", "<NA>", NO_GOLD.get(name.lower(), ""))
    return value is None or value != value  # NaN, as pandas writes it in JSON


def _stripped(value):
    return value.strip() if isinstance(value, str) else value


def _is_number(text):
    try:
        float(text)
    except (TypeError, ValueError):
        return False
    return True
