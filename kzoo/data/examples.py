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

    def counts(self):
        """{label: how many examples have it}, over words where examples are lists of words."""
        counted = Counter()
        for target in self.y or ():
            counted.update(map(str, target if isinstance(target, (list, tuple)) else [target]))
        return counted

    def record(self, labels=None):
        """What was read, as JSON: `labels` in their order are counted."""
        record = {
            "file": Path(self.path).name,
            "kind": self.kind,
            "columns": [str(name) for name in self.columns],
            "text": self.text,
            "label": self.label,
            "examples": len(self),
            "left_out": {
                why: {"count": len(lines), self.unit + "s": lines[:SHOWN]}
                for why, lines in self.left_out.items()
            },
            "notes": self.notes,
        }
        if labels is not None:
            counts = self.counts()
            record["labels"] = {name: counts[name] for name in labels}
        return record

    def describe(self, labels=None):
        """What was read, as a line of text."""
        parts = [f"{len(self):,} examples as {self.kind}"]
        if self.text is not None:
            parts.append(f"text: {_names(self.text)}")
        if self.label is not None:
            parts.append(f"label: {_names(self.label)}")
        if labels is not None:
            counts = self.counts()
            shown = [f"{name} ({counts[name]:,})" for name in labels]
            parts.append(f"{len(labels)} labels: {listed(shown)}")
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
