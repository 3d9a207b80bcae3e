"""Checkpoint names as rows of templates, read from left to right to import and back to export.

A family writes down what its tensors are called elsewhere and here, one row a layer:

    encoder.layer.{step}.attention.self.{query|key|value}   block_{step}/attention/{query|key|value}

* A row of two layers covers all their tensors: what a tensor of a layer is called there and how
  it lies (a kernel is transposed) follows from its name here. A row may also name single tensors:
  `lm_head.bias   head/bias`.
* `{query|key|value}` stands for three rows, paired by place with the choices on the other side.
* `{step}` counts the steps of the schedule there and names the block of that step here, so a
  student that runs blocks 0, 2 and 4 has the layers 0, 1 and 2 elsewhere. `{group}` counts
  separate blocks (ALBERT).
* `=path` is a tied duplicate: another name of the same numbers.
* `-` is known and unused, and `path?` is unused where the model has no such layer. Tensors of
  such rows are carried along and written back.
* Words after the path limit a row to these tasks.
"""

import dataclasses
import re

from ..errors import KzooError

# A variable's name here, its names there (the first is written), and whether it lies transposed.
LEAVES = {
    "kernel": (("weight",), True),
    "bias": (("bias",), False),
    "gamma": (("weight", "gamma"), False),
    "beta": (("bias", "beta"), False),
    "embeddings": (("weight",), False),
}


@dataclasses.dataclass(frozen=True)
class Row:
    """One row: a template there, a template here (empty: carried) and what the marks say."""

    there: str
    here: str
    tied: bool = False
    optional: bool = False
    tasks: tuple = ()


@dataclasses.dataclass
class Names:
    """The names of one variable there: those to write, and those that are accepted as well."""

    primary: list = dataclasses.field(default_factory=list)
    spellings: list = dataclasses.field(default_factory=list)
    tied: list = dataclasses.field(default_factory=list)

    @property
    def accepted(self):
        """Every name under which the variable may stand in a file."""
        return [*self.primary, *self.spellings, *self.tied]


def parse(text):
    """The rows of a table; a line that is none is an error that shows it."""
    rows = []
    for line in text.strip().splitlines():
        there, here, *tasks = line.split()
        tied, optional = here.startswith("="), here.endswith("?")
        here = "" if here == "-" else here.removeprefix("=").removesuffix("?")
        for there_choice, here_choice in _choices(there, here):
            rows.append(Row(there_choice, here_choice, tied, optional, tuple(tasks)))
    return rows


class Table:
    """The rows of one model: its schedule filled in, its prefixes before them.

    Args:
        family: a model class with `ROWS` (the backbone), `TASK_ROWS` and `PREFIX`.
        schedule: the blocks by step, as in the spec.
        paths: the paths of the model's weights, `weights_by_path(model)`.
        task: the task's class name, or None for a backbone.
        prefix: what stands before the backbone's names there, such as "bert." or "".
    """

    def __init__(self, family, schedule, paths, task, prefix):
        inside = "backbone/" if any(path.startswith("backbone/") for path in paths) else ""
        self.names = {path: Names() for path in paths}
        self.unused = []
        for row in parse(family.ROWS):
            for there, here in _filled(row, schedule):
                self._file(row, prefix + there, inside + here if here else "")
        has_head = any(path.startswith("head/") for path in paths)
        for row in parse(family.TASK_ROWS):
            if not row.tasks or not has_head or task in row.tasks:
                self._file(row, row.there, row.here.removeprefix("" if inside else "backbone/"))
        unnamed = sorted(path for path, names in self.names.items() if not names.primary)
        if unnamed:
            raise KzooError(
                f"No row of {family.__name__} says what {', '.join(unnamed)} is called elsewhere: "
                "such a model can't be exchanged."
            )

    def carries(self, name):
        """Whether a tensor there is known and unused."""
        return any(name == known or name.startswith(f"{known}.") for known in self.unused)

    def _file(self, row, there, here):
        layer, _, leaf = here.rpartition("/")
        if leaf in LEAVES:  # the row names one tensor
            here_paths = {here: [there]}
        else:
            layer = here
            here_paths = {
                path: [f"{there}.{name}" for name in LEAVES[path.rpartition("/")[2]][0]]
                for path in self.names
                if path.rpartition("/")[0] == layer
            }
        known = {path: names for path, names in here_paths.items() if path in self.names}
        for path, (first, *others) in known.items():
            names = self.names[path]
            if row.tied:
                names.tied.append(first)
            else:
                names.primary.append(first)
                names.spellings += others
        # A head's rows are known to a bare backbone, which has no use for them.
        if not known and (not here or row.optional or row.tied or here.startswith("head")):
            self.unused.append(there)


def turn(path, array):
    """An array as it lies on the other side; the way there and the way back are the same."""
    return array.T if LEAVES[path.rpartition("/")[2]][1] else array


def turned_shape(path, shape):
    """The shape that `turn` gives."""
    return tuple(reversed(shape)) if LEAVES[path.rpartition("/")[2]][1] else tuple(shape)


def _choices(there, here):
    pattern = r"\{([^{}|]+(?:\|[^{}|]+)+)\}"
    left, right = re.search(pattern, there), re.search(pattern, here)
    if not left and not right:
        return [(there, here)]
    if not left or not right or left[1].count("|") != right[1].count("|"):
        raise KzooError(f"The row {there!r} {here!r} has choices that don't pair.")
    return [
        (there.replace(left[0], one), here.replace(right[0], other))
        for one, other in zip(left[1].split("|"), right[1].split("|"), strict=True)
    ]


def _filled(row, schedule):
    if "{step}" in row.there:
        for step, block in enumerate(schedule):
            yield row.there.replace("{step}", str(step)), row.here.replace("{step}", str(block))
    elif "{group}" in row.there:
        for group, block in enumerate(dict.fromkeys(schedule)):
            yield row.there.replace("{group}", str(group)), row.here.replace("{group}", str(block))
    else:
        yield row.there, row.here
