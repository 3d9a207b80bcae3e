"""One family a file; a new family is a file here and a line in `FAMILIES`."""

from ..errors import KzooError
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
    if spec.family not in FAMILIES:
        raise KzooError(f"No family is called {spec.family!r}; known: {', '.join(FAMILIES)}.")
    return FAMILIES[spec.family]
