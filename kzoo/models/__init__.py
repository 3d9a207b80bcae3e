"""One family a file; a new family is a file here and a line in `FAMILIES`."""

import math

from ..errors import KzooError
from ..keras_hooks import abstract_build
from ..network import weights_by_path
from ..spec import Spec
from .albert import Albert
from .bert import Bert
from .distilbert import DistilBert
from .gpt2 import Gpt2
from .lamda import Lamda
from .palm import Palm
from .roberta import Roberta

FAMILIES = {cls.family: cls for cls in (Bert, Roberta, DistilBert, Albert, Gpt2, Palm, Lamda)}


def build(spec, name=None):
    """The model of a spec, with random weights."""
    return family_of(spec)(spec, name=name)


def family_of(spec):
    """The class of a spec's family."""
    if not isinstance(spec, Spec):
        raise KzooError(
            f"{spec!r:.60} is no Spec: one is expected, such as kzoo.presets.read_spec(name) gives."
        )
    if spec.family not in FAMILIES:
        raise KzooError(f"No family is called {spec.family!r}; known: {', '.join(FAMILIES)}.")
    return FAMILIES[spec.family]


def describe(spec):
    """Paths and shapes of all weights of a spec, as a list, without allocating one of them."""
    family_of(spec)
    # Blocks of which each slot holds the same differ in their values alone: the first of a kind is
    # traced, and stands for the others.
    turn = spec.turn
    first = {}
    for block in spec.blocks:
        first.setdefault(block % turn, block)
    model = abstract_build(lambda: build(spec.replace(schedule=tuple(sorted(first.values())))))
    shapes = [(path, tuple(weight.shape)) for path, weight in weights_by_path(model).items()]
    inside = {block: [] for block in first.values()}
    for path, shape in shapes:
        block, _, rest = path.partition("/")
        if block.startswith("block_"):
            inside[int(block.removeprefix("block_"))].append((rest, shape))
    every = [
        (f"block_{block}/{path}", shape)
        for block in spec.blocks
        for path, shape in inside[first[block % turn]]
    ]
    at = [place for place, (path, _) in enumerate(shapes) if path.startswith("block_")]
    return [*shapes[: at[0]], *every, *shapes[at[-1] + 1 :]]


def count_parameters(spec):
    """How many numbers the weights of a spec are, without allocating them."""
    return sum(math.prod(shape) for _, shape in describe(spec))
