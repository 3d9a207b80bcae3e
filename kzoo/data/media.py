"""Pictures and sounds that a folder or a table names, with their labels."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..audio import sounds
from ..errors import KzooError
from ..files import path_of, within
from ..images import reading
from .examples import Examples, listed
from .sources import LABELS
from .tables import KINDS, read_table, suffix_of

HIDDEN = ("desktop.ini", "thumbs.db")  # what systems put beside pictures


@dataclass(frozen=True)
class Medium:
    """What files of one sense are.

    Args:
        name: what one is called, such as "picture".
        columns: what tables call the column of their paths, by default.
        endings: those of their files.
        check: raises KzooError for a file that can't be one.
    """

    name: str
    columns: tuple
    endings: tuple
    check: Callable

    def is_table(self, source):
        """Whether a path is that of a table which names files."""
        return suffix_of(source) in KINDS

    def read(self, path, column=None, label=None, targets="required", target="label"):
        """The files that a folder or a table names, and their labels.

        Args:
            path: a folder that holds a folder for each class, whose names are the labels; without
                labels a folder of files. Or a .csv, .tsv or .jsonl table with a column of paths
                and one of labels; paths are relative to the table's own folder.
            column: the column of the paths; by default one of `columns`.
            label: the column of the labels; by default label, category and so on.
            targets: "required", "optional" or "none": whether there must be labels.
            target: what an error calls one of them.

        Returns:
            `Examples`, whose inputs are paths.

        Raises:
            KzooError: naming files that can't be read, and where nothing can be learnt from them.
        """
        path = path_of(path, f"The folder or table of {self.name}s")
        if path.is_dir():
            if (column, label) != (None, None):
                raise KzooError(f"{path} is a folder, which has no columns: leave their names out.")
            return self._folder(path, targets)
        if not path.exists():
            raise KzooError(f"{path} doesn't exist: a folder or a table was expected there.")
        return self._table(path, column, label, targets, target)

    # -- folders --

    def _folder(self, folder, targets):
        files, others = self._files(folder)
        classes = sorted(p.name for p in folder.iterdir() if p.is_dir() and not _is_hidden(p))
        loose = [file for file in files if file.parent == folder]
        if targets == "none" or (targets == "optional" and not classes):
            classes = None
        elif loose or not classes:
            actual = f"{loose[0].name} beside" if classes else "no"
            raise KzooError(
                f"{folder} has {actual} folders of classes; expected a folder for each class, "
                f"which holds its {self.name}s."
            )
        if classes is not None:  # So that the last ones, which may be held out, are of all classes.
            draw = np.random.default_rng(0)
            files = [files[place] for place in draw.permutation(len(files))]
        y = None if classes is None else [file.relative_to(folder).parts[0] for file in files]
        empty = [name for name in classes or () if name not in y]
        if empty:
            raise KzooError(
                f"{folder / empty[0]} holds no {self.name}; expected some of each class: add them, "
                "or remove the folder."
            )
        if not files:
            raise KzooError(f"{folder} holds no {self.name} ({', '.join(self.endings)}).")
        self._check(files, folder)
        kind = f"a folder of {self.name}s" if classes is None else "a folder for each class"
        return Examples(
            path=folder,
            x=files,
            y=y,
            lines=[str(file.relative_to(folder)) for file in files],
            columns=[],
            kind=kind,
            left_out={f"no {self.name}": others} if others else {},
            unit="file",
        )

    def _files(self, folder):
        """The files of a folder and those within it, and the names of those that are others."""
        files, others = [], []
        for path in sorted(folder.rglob("*")):
            inside = path.relative_to(folder)
            if path.is_dir() or any(_is_hidden(Path(part)) for part in inside.parts):
                continue
            if path.suffix.lower() in self.endings:
                files.append(path)
            else:
                others.append(str(inside))
        return files, others

    def _check(self, files, source):
        """Raise KzooError where files can't be read, naming the first ones."""
        faults = []
        for file in files:
            try:
                self.check(file)
            except KzooError as error:
                faults.append((file, str(error)))
        if faults:
            names = listed([os.path.relpath(file, source) for file, _ in faults])
            raise KzooError(
                f"{source} has {len(faults):,} of {len(files):,} {self.name}s that can't be read "
                f"({names}): remove them or fetch them again. The first: {faults[0][1]}"
            )

    # -- tables --

    def rows(self, path, column=None):
        """The `Table` in a file, the column of its paths, and the file that each row names.

        Raises:
            KzooError: as `read` does.
        """
        path = Path(path)
        table = read_table(path)
        column = self._column(table, column, self.columns, f"paths of {self.name}s")
        values = table.columns[column]
        lines = [line for line, value in zip(table.lines, values, strict=True) if not value]
        if lines:
            raise KzooError(f"{path}, line {lines[0]}: {column} is empty; expected a path.")
        files = [
            within(path.parent, _relative(value, path.parent), f"{path}, line {line},", nested=True)
            for line, value in zip(table.lines, values, strict=True)
        ]
        self._check(files, path.parent)
        return table, column, files

    def _table(self, path, column, label, targets, target):
        table, column, files = self.rows(path, column)
        if targets == "none":
            label = None
        elif targets == "required" or label is not None or _known(table, LABELS):
            label = self._column(table, label, LABELS, "labels")
        y = None
        if label is not None:
            y = [v.strip() if isinstance(v, str) else v for v in table.columns[label]]
            wrong = [line for line, v in zip(table.lines, y, strict=True) if v in ("", None)]
            if wrong:
                raise KzooError(f"{path}, line {wrong[0]}: {label} is empty; expected a {target}.")
        return Examples(
            path=path,
            x=files,
            y=y,
            lines=table.lines,
            text=column,
            label=label,
            columns=list(table.columns),
            kind=table.kind,
            notes=table.notes,
        )

    def _column(self, table, asked, usual, what):
        """The column that was asked for, or the first of the usual ones."""
        if asked is not None and asked not in table.columns:
            raise KzooError(
                f"{table.path} has no column {asked!r:.60}; it has {listed(table.columns)}."
            )
        known = [asked] if asked is not None else _known(table, usual)
        if not known:
            raise KzooError(
                f"{table.path} has the columns {listed(table.columns)}; expected one of {what}, "
                f"called {', '.join(usual[:3])}: say which by its name."
            )
        return known[0]


PICTURES = Medium(
    "picture",
    ("image", "path", "file", "image_path", "file_name"),
    reading.ENDINGS,
    reading.check_picture,
)
SOUNDS = Medium(
    "sound",
    ("audio", "path", "file", "audio_path", "file_name"),
    sounds.ENDINGS,
    sounds.check_sound,
)


def _relative(name, folder):
    """A name as seen from a folder, where it is the whole path of something within."""
    is_within = isinstance(name, str) and Path(name).is_relative_to(folder.absolute())
    return str(Path(name).relative_to(folder.absolute())) if is_within else name


def _known(table, names):
    lowered = {column.strip().lower(): column for column in table.columns}
    return [lowered[name] for name in names if name in lowered]


def _is_hidden(path):
    return path.name.startswith(".") or path.name.lower() in HIDDEN
