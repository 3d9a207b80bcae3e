"""What a file was read as: the examples, and what a user should see before a training begins."""

from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path

SHOWN = 6  # names or numbers of a list that a sentence shows
LONGEST = 40  # characters of each


@dataclass
class Examples:
    """Examples of a file; it unpacks into (x, y) as Keras' loops take them.

    Args:
        path: the file.
        x: inputs as the task takes them.
        y: a target for each, or None.
        lines: where each stands in the file: a line, or a number from 1 on.
        text, label: the columns or keys that were read.
        columns: all that the file has.
        kind: what the file was read as.
        left_out: {why: the lines of the rows that were left out}.
        notes: sentences about what was changed in reading.
        unit: what `lines` counts.
    """

    path: object
    x: list
    y: list | None
    lines: list
    text: object = None
    label: object = None
    columns: list = field(default_factory=list)
    kind: str = ""
    left_out: dict = field(default_factory=dict)
    notes: list = field(default_factory=list)
    unit: str = "line"

    def __iter__(self):
        return iter((self.x, self.y))

    def __len__(self):
        return len(self.x)

    def where(self, number):
        """The file and the line of an example, to begin a sentence with."""
        return f"{self.path}, {self.unit} {self.lines[number]}"

    def part(self, rows):
        """Some of the examples, in the order of `rows`."""
        columns = {
            name: None if (column := getattr(self, name)) is None else [column[i] for i in rows]
            for name in ("x", "y", "lines")
        }
        return replace(self, **columns)

    def counts(self, labels):
        """{label: how many examples have it}, over words where examples are lists of words.

        Rows of numbers have a number for each label; None where those are values to learn.
        """
        rows = [t if isinstance(t, (list, tuple)) else [t] for t in self.y or ()]
        if not all(type(value) is float for row in rows for value in row):
            counted = Counter(str(value) for row in rows for value in row)
            return {label: counted[label] for label in labels}
        if not all(value in (0, 1) for row in rows for value in row):
            return None
        return {label: int(sum(row[i] for row in rows)) for i, label in enumerate(labels)}

    def values(self):
        """The least and the largest of numbers to learn."""
        numbers = [n for t in self.y for n in (t if isinstance(t, (list, tuple)) else [t])]
        return min(numbers), max(numbers)

    def record(self, labels=None):
        """What was read, as JSON: `labels` in their order are counted."""
        record = {
            "file": Path(self.path).name,
            "kind": self.kind,
            "columns": [str(name) for name in self.columns],
            "text": self.text,
            "label": self.label,
            "unit": self.unit,
            "examples": len(self),
            "left_out": {
                why: {"count": len(lines), self.unit + "s": lines[:SHOWN]}
                for why, lines in self.left_out.items()
            },
            "notes": self.notes,
        }
        if labels is not None:
            counts = self.counts(labels)
            record |= {"values": self.values()} if counts is None else {"labels": counts}
        return record

    def describe(self, labels=None):
        """What was read, as a line of text."""
        parts = [f"{count_of(len(self), 'example')} as {self.kind}"]
        if self.text is not None:
            parts.append(f"text: {_names(self.text)}")
        if self.label is not None:
            parts.append(f"label: {_names(self.label)}")
        if labels is not None:
            counts = self.counts(labels)
            if counts is None:
                parts.append("values from {:g} to {:g}".format(*self.values()))
            else:
                shown = [f"{name} ({count:,})" for name, count in counts.items()]
                parts.append(f"{count_of(len(labels), 'label')}: {listed(shown)}")
        for why, lines in self.left_out.items():
            places = listed([str(line) for line in lines])
            parts.append(f"left out: {len(lines):,} with {why} ({self.unit} {places})")
        return "; ".join([f"{self.path}: {parts[0]}", *parts[1:], *self.notes]) + "."


def listed(names, most=SHOWN):
    """Names in a sentence: the first few of many, each cut to what a line can show."""
    names = [
        name if len(name) <= LONGEST else name[: LONGEST - 3] + "..." for name in map(str, names)
    ]
    if len(names) <= most:
        return ", ".join(names)
    return f"{', '.join(names[:most])} and {len(names) - most:,} more"


def _names(names):
    return " + ".join(map(str, names)) if isinstance(names, (list, tuple)) else str(names)


def count_of(number, noun):
    """A number of things in words: 1 file, 2 files."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
