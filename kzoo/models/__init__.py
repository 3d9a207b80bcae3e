"""One family a file; a new family is a file here and a line in `FAMILIES`."""

import math

from ..errors import KzooError
from ..keras_hooks import abstract_build
from ..network import weights_by_path
from ..spec import Spec
from .albert import Albert
from .bert import Bert
from .distilbert import DistilBert
from .roberta import Roberta

FAMILIES = {cls.family: cls for cls in (Bert, Roberta, DistilBert, Albert)}


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
    # All blocks are the same but for their values: one is traced, and stands for the others.
    family_of(spec)
    first = spec.schedule[0]
    model = abstract_build(lambda: build(spec.replace(schedule=(first,))))
    shapes = [(path, tuple(weight.shape)) for path, weight in weights_by_path(model).items()]
    inside = [(path, shape) for path, shape in shapes if path.startswith(f"block_{first}/")]
    every = [
        (path.replace(f"block_{first}/", f"block_{block}/", 1), shape)
        for block in spec.blocks
        for path, shape in inside
    ]
    start = shapes.index(inside[0])
    return [*shapes[:start], *every, *shapes[start + len(inside) :]]


def count_parameters(spec):
    """How many numbers the weights of a spec are, without allocating them."""
    return sum(math.prod(shape) for _, shape in describe(spec))
