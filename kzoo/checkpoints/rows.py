"""Checkpoint names as rows of templates, read from left to right to import and back to export.

A family writes down what its tensors are called elsewhere and here, one row a layer:

    encoder.layer.{step}.attention.self.{query|key|value}   block_{step}/attention/{query|key|value}

* A row of two layers covers all their tensors: what a tensor of a layer is called there and how
  it lies (a kernel is transposed) follows from its name here. A row may also name single tensors:
  `lm_head.bias   head/bias`.
* `{query|key|value}` stands for three rows, paired by place with the choices on the other side.
* `{query,key,value}` on the right stands for three layers whose tensors lie side by side in one
  there, along their outputs.
* `{step}` counts the steps of the schedule there and names the block of that step here, so a
  student that runs blocks 0, 2 and 4 has the layers 0, 1 and 2 elsewhere. `{group}` counts
  separate blocks (ALBERT). `{_step}` and `{_group}` count as Keras does in a file: nothing for the
  first, `_1` for the second; `{_next}` counts on behind as many steps of another tower, and
  `{_behind}` is the first of these alone.
* Marks behind a colon after the name there say how its tensors lie, several with commas between:
  `io` as here and not transposed (Conv1D of GPT-2), `by_head` side by side head for head (BLOOM:
  heads, 3, dim), `heads` with an axis for the heads (XLNet), `from_heads` the same for what a
  kernel takes in, and each `1` an axis of one in front. `places`: a table of places without the
  rows before the first (RoBERTa, BART), what is the same at every place added to it.
* `=path` is a tied duplicate: another name of the same numbers, unless a weight has that name.
* `-` is known and unused, and `path?` is unused where the model has no such layer. Tensors of
  such rows are carried along and written back. `0` is the same, and a lone whole number that a
  class there wants to have; without a source 0 is written.
* `0` on the left is a weight that has no tensor there and is all zeros.
* Words after the path limit a row: to these tasks, and `feedforward=gated` to blocks (or models)
  whose slot holds that kind.

A family with `TOWERS`, classes by name, has each tower's rows too: below the tower's `PREFIX` there
and below its name here. Where any of several families may stand in a tower's place, `TOWERS` is a
function that gives them of {tower: the name of its family}.
"""

import dataclasses
import re

import numpy as np

from ..errors import KzooError
from ..parts import completed, resolve

# What classes round a network of any family call alike (ColBERT's).
AROUND = "linear  head/linear  LateInteraction"
MARKS = {"io", "by_head", "heads", "from_heads", "places", "1"}

# What counts steps or groups in a name there: what a place, of as many, is called.
COUNTERS = {
    "{step}": lambda place, of: str(place),
    "{group}": lambda place, of: str(place),
    "{_step}": lambda place, of: f"_{place}" if place else "",
    "{_group}": lambda place, of: f"_{place}" if place else "",
    "{_next}": lambda place, of: f"_{place + of}",
    "{_behind}": lambda place, of: f"_{of}",
}


@dataclasses.dataclass(frozen=True)
class Dialect:
    """How a kind of file calls the variables of a layer.

    Args:
        leaves: a variable's name here, and its names there; the first is written.
        between: what stands between a layer's name and a variable's.
        turned: whether kernels lie with outputs before inputs.
    """

    leaves: dict
    between: str = "."
    turned: bool = True


TORCH = Dialect(
    {
        "kernel": ("weight",),
        "bias": ("bias",),
        "gamma": ("weight", "gamma"),
        "beta": ("bias", "beta"),
        "embeddings": ("weight",),
        "moving_mean": ("running_mean",),
        "moving_variance": ("running_var",),
    }
)
# Keras numbers the variables of a layer.
KERAS = Dialect(
    {"kernel": ("0",), "bias": ("1",), "gamma": ("0",), "beta": ("1",), "embeddings": ("0",)},
    between="/vars/",
    turned=False,
)


@dataclasses.dataclass(frozen=True)
class Row:
    """One row: a template there, templates here (none: carried) and what the marks say.

    Several templates here stand side by side in one tensor there.
    """

    there: str
    here: tuple
    marks: tuple = ()
    tied: bool = False
    optional: bool = False
    tasks: tuple = ()
    holds: tuple = ()  # pairs of a slot and a kind
    counts: bool = False  # whether it is a lone whole number there


@dataclasses.dataclass(frozen=True)
class Layout:
    """How variables lie in one tensor there: `there` and `here` undo each other, byte for byte.

    Args:
        turned: whether outputs come before inputs there, as in torch's Linear and convolutions.
        by_head: whether variables that share a tensor alternate head by head.
        heads: whether the last axis there is parted into heads and their width.
        ones: how many axes of one stand in front.
        head_dim: the width of a head, where heads are parted.
        from_heads: whether the first of two axes is parted so.
        before: how many rows of a table of places are not there; None for other tensors.
    """

    turned: bool = False
    by_head: bool = False
    heads: bool = False
    ones: int = 0
    head_dim: int = 1
    from_heads: bool = False
    before: int | None = None

    def shape(self, shapes):
        """The shape there of variables that have these shapes here."""
        shape = tuple(shapes[0])
        if self.before is not None:
            shape = (shape[0] - self.before, *shape[1:])
        elif len(shapes) > 1:
            shape = (*shape[:-1], sum(each[-1] for each in shapes))
        if self.turned:
            shape = tuple(shape[axis] for axis in _order(len(shape)))
        if self.heads:
            shape = (*shape[:-1], shape[-1] // self.head_dim, self.head_dim)
        if self.from_heads and len(shape) > 1:
            shape = (shape[0] // self.head_dim, self.head_dim, *shape[1:])
        return (1,) * self.ones + shape

    def there(self, arrays):
        """One array of variables, each as it lies here."""
        if self.before is not None:
            array = sum(arrays[1:], arrays[0][self.before :])
        else:
            array = self._joined(arrays) if len(arrays) > 1 else arrays[0]
        if self.turned:
            array = array.transpose(_order(array.ndim))
        return array.reshape(self.shape([each.shape for each in arrays]))

    def here(self, array, shapes):
        """The variables in an array from there, in the shapes that they have here."""
        array = array.reshape(array.shape[self.ones :])
        if self.heads:
            array = array.reshape(*array.shape[:-2], array.shape[-2] * array.shape[-1])
        if self.from_heads and array.ndim > 2:
            array = array.reshape(array.shape[0] * array.shape[1], *array.shape[2:])
        if self.turned:
            array = array.transpose(np.argsort(_order(array.ndim)))
        if self.before is not None:
            rows = np.zeros((self.before, *array.shape[1:]), array.dtype)
            others = [np.zeros(shape, array.dtype) for shape in shapes[1:]]
            return [np.concatenate([rows, array]), *others]
        return self._parted(array, shapes) if len(shapes) > 1 else [array]

    def _joined(self, arrays):
        groups = self._groups([array.shape for array in arrays])
        parted = [a.reshape(*a.shape[:-1], groups, a.shape[-1] // groups) for a in arrays]
        joined = np.concatenate(parted, axis=-1)
        return joined.reshape(*joined.shape[:-2], groups * joined.shape[-1])

    def _parted(self, array, shapes):
        groups = self._groups(shapes)
        array = array.reshape(*array.shape[:-1], groups, array.shape[-1] // groups)
        ends = np.cumsum([shape[-1] // groups for shape in shapes])
        parts = np.split(array, ends[:-1], axis=-1)
        return [part.reshape(shape) for part, shape in zip(parts, shapes, strict=True)]

    def _groups(self, shapes):
        """After how many pieces the variables stand whole; of shared keys, heads that share one."""
        return min(shape[-1] for shape in shapes) // self.head_dim if self.by_head else 1


@dataclasses.dataclass(frozen=True)
class Tensor:
    """A tensor there: the paths of the variables in it, in order, and how they lie in it."""

    paths: tuple
    layout: Layout

    def shape(self, weights):
        """Its shape, from the model's weights by path."""
        return self.layout.shape([weights[path].shape for path in self.paths])

    def part(self, path, array, weights):
        """The variable of a path, from the tensor's array."""
        parts = self.layout.here(array, [tuple(weights[path].shape) for path in self.paths])
        return parts[self.paths.index(path)]


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
    return [row for line in text.splitlines() if line.strip() for row in _rows(line)]


def rows_of(family, spec):
    """The rows of a family's own network, which may follow from its spec."""
    return parse(family.ROWS(spec) if callable(family.ROWS) else family.ROWS)


def _rows(line):
    there, *rest = line.split()
    if not rest:
        raise KzooError(f"Got the row {there!r}; expected a name there and a path here.")
    here, *words = rest
    there, _, marks = there.partition(":")
    marks = tuple(marks.split(",")) if marks else ()
    if not MARKS.issuperset(marks):
        raise KzooError(f"The row {line.strip()!r} has unknown marks; known: {sorted(MARKS)}.")
    tied, optional = here.startswith("="), here.endswith("?")
    counts = here == "0"
    here = "" if here in ("-", "0") else here.removeprefix("=").removesuffix("?")
    tasks = tuple(word for word in words if "=" not in word)
    holds = tuple(tuple(word.split("=")) for word in words if "=" in word)
    for name, path in _choices(there, here):
        yield Row(name, _side_by_side(path), marks, tied, optional, tasks, holds, counts)


def towers_of(family, families):
    """What says of checkpoints what stands in each tower of a family, by the tower's name.

    families: {tower: the name of its family}.
    """
    return family.TOWERS(families) if callable(family.TOWERS) else family.TOWERS


def towers_in(family, spec):
    """`towers_of` a spec; none of one that is no `Towers`."""
    families = {name: tower.family for name, tower in getattr(spec, "towers", {}).items()}
    return towers_of(family, families) if families else {}


class Table:
    """The rows of one model: its schedule filled in, its prefixes before them.

    `names` has the `Names` of each path, and `tensors` a `Tensor` for each name there that the
    model has variables for.

    Args:
        family: a model class, or another's table for it, with `ROWS` (the backbone), `TASK_ROWS`,
            `TOWERS` and their `PREFIX`.
        spec: the backbone's spec.
        paths: the paths of the model's weights, `weights_by_path(model)`.
        task: the task's class name, or None for a backbone.
        prefix: what stands before the backbone's names there, such as "bert." or "".
        dialect: how variables are called there.

    Raises:
        KzooError: when the rows leave a weight without a name, or contradict each other.
    """

    def __init__(self, family, spec, paths, task, prefix, dialect=TORCH):
        self._dialect = dialect
        inside = "backbone/" if any(path.startswith("backbone/") for path in paths) else ""
        self.names = {path: Names() for path in paths}
        self.tensors, self.unused, self.counts, self.zeros = {}, [], [], []
        self.of_heads = []  # duplicates that a head may have untied
        self._layers = {}
        for path in paths:
            layer, _, leaf = path.rpartition("/")
            self._layers.setdefault(layer, {})[leaf] = path
        tied = []
        self._file_network(family, spec, prefix, inside, tied)
        has_head = any(path.startswith("head/") for path in paths)
        for row in parse(f"{family.TASK_ROWS}\n{AROUND}"):
            if (not row.tasks or not has_head or task in row.tasks) and _applies(row, spec):
                here = [path.removeprefix("" if inside else "backbone/") for path in row.here]
                self._file(row, row.there, here, spec, tied)
                self.of_heads += [row.there] * (row.tied and not has_head)
        for name, tensor in tied:
            if self.tensors.setdefault(name, tensor) == tensor:  # Else it is a weight's own.
                for path in tensor.paths:
                    self.names[path].tied.append(name)
        unnamed = sorted(
            path
            for path, names in self.names.items()
            if not names.primary and path not in self.zeros
        )
        if unnamed:
            raise KzooError(
                f"No row of {family.__name__} says what {', '.join(unnamed)} is called elsewhere: "
                "such a model can't be exchanged."
            )

    def carries(self, name):
        """Whether a tensor there is known and unused."""
        between = self._dialect.between
        return any(name == known or name.startswith(f"{known}{between}") for known in self.unused)

    def _file_network(self, family, spec, there_prefix, here_prefix, tied):
        for row in rows_of(family, spec):
            for there, here in _filled(row, spec):
                here = [here_prefix + path for path in here]
                self._file(row, there_prefix + there, here, spec, tied)
        for name, tower in towers_in(family, spec).items():
            prefixes = there_prefix + tower.PREFIX, f"{here_prefix}{name}/"
            self._file_network(tower, spec.towers[name], *prefixes, tied)

    def _file(self, row, there, here, spec, tied):
        if there == "0":
            self.zeros += [path for each in here for path in self._variables(each).values()]
            return
        found = [self._variables(path) for path in here]
        if any(each.keys() != found[0].keys() for each in found):
            raise KzooError(
                f"Of {', '.join(here)}, which lie side by side in {there}, some lack variables "
                "that others have: such a model can't be exchanged."
            )
        for leaf in found[0] if found else ():
            paths = tuple(each[leaf] for each in found)
            tensor = Tensor(paths, _layout(row.marks, paths[0], spec, self._dialect))
            names = [there + self._dialect.between + n for n in self._dialect.leaves.get(leaf, ())]
            first, *others = names if leaf else [there]
            if row.tied:
                tied.append((first, tensor))
                continue
            for name in (first, *others):
                if self.tensors.setdefault(name, tensor) != tensor:
                    raise KzooError(
                        f"Rows name both {', '.join(self.tensors[name].paths)} and "
                        f"{', '.join(paths)} {name}: one name for each is expected."
                    )
            for path in paths:
                self.names[path].primary.append(first)
                self.names[path].spellings += others
        # A head's rows are known to a bare backbone, which has no use for them.
        if not any(found) and (not here or row.optional or row.tied or here[0].startswith("head")):
            self.unused.append(there)
            self.counts += [there] * row.counts

    def _variables(self, path):
        """The paths of a layer's variables by their leaves; of a variable, itself by ""."""
        if path in self.names:
            return {"": path}
        known = self._dialect.leaves
        return {leaf: p for leaf, p in self._layers.get(path, {}).items() if leaf in known}


def _layout(marks, path, spec, dialect):
    """The layout that marks give to the tensor of a path."""
    parted = not {"heads", "from_heads", "by_head"}.isdisjoint(marks)
    return Layout(
        turned=dialect.turned and path.rpartition("/")[2] == "kernel" and "io" not in marks,
        by_head="by_head" in marks,
        heads="heads" in marks,
        from_heads="from_heads" in marks,
        before=_rows_before(spec) if "places" in marks else None,
        ones=marks.count("1"),
        head_dim=(spec.head_dim or spec.hidden_dim // spec.num_heads) if parted else 1,
    )


def _rows_before(spec):
    """How many rows of a table stand before that of the first place."""
    if resolve("position", spec.position)[0].counts:
        return completed("embedding", spec.embedding)["padding_id"] + 1
    return completed("position", spec.position)["before"]


def _order(rank):
    """The axes there of a kernel here: outputs first, then inputs, then what a window spans."""
    return (rank - 1, rank - 2, *range(rank - 2))


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


def _side_by_side(here):
    """The paths that a template here stands for, in the order in which they lie there."""
    listed = re.search(r"\{([^{},]+(?:,[^{},]+)+)\}", here)
    if not here or not listed:
        return (here,) if here else ()
    return tuple(here.replace(listed[0], name) for name in listed[1].split(","))


def _filled(row, spec):
    """A row's names there and paths here, for each step or group that it applies to."""
    mark = next((mark for mark in COUNTERS if mark in row.there), None)
    if mark is None:
        if _applies(row, spec):
            yield row.there, row.here
        return
    blocks = list(dict.fromkeys(spec.schedule) if "group" in mark else spec.schedule)
    for place, block in enumerate(blocks[:1] if mark == "{_behind}" else blocks):
        if _applies(row, spec, block):
            here = [re.sub(r"{(step|group)}", str(block), path) for path in row.here]
            yield row.there.replace(mark, COUNTERS[mark](place, len(blocks))), here


def _applies(row, spec, block=0):
    """Whether the slots hold what the row asks for."""
    held = [(spec.slot(slot, block), kind) for slot, kind in row.holds]
    return all((h["kind"] if isinstance(h, dict) else h) == kind for h, kind in held)
