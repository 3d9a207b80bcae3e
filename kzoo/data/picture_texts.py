"""Pictures with a text each, such as questions: what users have them in."""

from dataclasses import replace
from pathlib import Path

from ..errors import KzooError
from .media import PICTURES
from .tables import read_table

QUESTIONS = ("question", "query", "text", "caption", "sentence")
ANSWERS = ("answer", "label", "answers", "target")


def is_alone(x):
    """Whether something is one pair of a picture and a text, and not several."""
    return isinstance(x, dict) or (isinstance(x, tuple) and len(x) == 2 and isinstance(x[1], str))


def asked(x):
    """A list of (picture, text) pairs from one or several; dicts have "image" and "question"."""
    given = [x] if is_alone(x) else x
    if not isinstance(given, (list, tuple)) or not len(given):
        raise KzooError(
            f"Got {type(x).__name__}; expected (picture, question) pairs, at least one."
        )
    pairs = []
    for place, each in enumerate(given):
        if isinstance(each, dict) and "image" in each:
            text = each.get("question", each.get("text"))
            each = (each["image"], text)
        fits = isinstance(each, (list, tuple)) and len(each) == 2 and isinstance(each[1], str)
        if not fits:
            raise KzooError(
                f"Example {place} is {type(each).__name__}; expected a pair of a picture and a "
                'text, or {"image": ..., "question": ...}.'
            )
        if not each[1].strip():
            raise KzooError(f"The text of example {place} is empty; expected a question.")
        pairs.append(tuple(each))
    return pairs


def check_answers(pairs, answers):
    """A list of a text for each pair, or KzooError."""
    count = None if answers is None else len(answers)
    if count != len(pairs):
        raise KzooError(
            f"Got {len(pairs)} questions and {'no' if count is None else count} answers; expected "
            "one to each: as y, or in a column of a table, named as label."
        )
    answers = answers.tolist() if hasattr(answers, "tolist") else list(answers)
    for place, answer in enumerate(answers):
        if not isinstance(answer, str) or not answer.strip():
            raise KzooError(f"Got the answer {answer!r:.40} to question {place}; expected a text.")
    return answers


def read_questions(path, column, label, targets):
    """Examples of a table whose rows name a picture and have a text, and maybe what is right.

    Args:
        path: a .csv, .tsv or .jsonl file; paths of pictures are relative to its folder.
        column: the column of the pictures, or a list of two, theirs and that of the texts; by
            default those that are called as is usual.
        label: the column of what is right; by default one that is called as is usual.
        targets: "required", "optional" or "none".
    """
    if not PICTURES.is_table(path) or Path(path).is_dir():
        raise KzooError(
            f"Got {path} for pictures with texts; expected a .csv, .tsv or .jsonl table with a "
            "column of pictures and one of texts."
        )
    table = read_table(path)
    picture, text = column if isinstance(column, (list, tuple)) else (column, None)
    text = _named(table, text, QUESTIONS, "texts")
    if targets == "none":
        label = None
    elif label is None:
        known = [n for n in table.columns if n.strip().lower() in ANSWERS and n != text]
        label = known[0] if known else None
    examples = PICTURES.read(path, picture, label, targets, "answer")
    texts = table.columns[text]
    for line, each in zip(table.lines, texts, strict=True):
        if not isinstance(each, str) or not each.strip():
            raise KzooError(f"{path}, line {line}: {text} is empty; expected a text.")
    pairs = list(zip(map(str, examples.x), texts, strict=True))
    return replace(examples, x=pairs, text=[examples.text, text])


def _named(table, asked_for, usual, what):
    """The column that was asked for, or the first of the usual ones."""
    if asked_for is not None and asked_for in table.columns:
        return asked_for
    known = [name for name in table.columns if name.strip().lower() in usual]
    if asked_for is not None or not known:
        actual = f"no column {asked_for!r:.60}; it has" if asked_for else "the columns"
        raise KzooError(
            f"{table.path} has {actual} {', '.join(map(str, table.columns))[:80]}; expected one of "
            f"{what}, called {', '.join(usual[:3])}: say which by its name."
        )
    return known[0]
