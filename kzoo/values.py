"""What arguments, recipes and files are asked most: is this a whole number, is this a number?"""

import math
from numbers import Integral, Real

from .errors import KzooError

# The place of padding and of a slot of a cache that holds nothing: no query looks so far.
NOWHERE = 2**20


def an(name):
    """A name behind its article: "an ImageClassifier", "a Vit"."""
    return f"{'an' if name[:1] in 'AEIOaeio' else 'a'} {name}"


def is_whole(value, least=-math.inf, most=math.inf):
    """Whether a value is a whole number within bounds, which may be met; true and false are none.

    NumPy's scalars count as Python's numbers do; 3.0 is no whole number.
    """
    return isinstance(value, Integral) and not isinstance(value, bool) and least <= value <= most


def is_number(value, least=-math.inf, most=math.inf):
    """Whether a value is a finite number within bounds, which may be met; true and false aren't."""
    is_real = isinstance(value, Real) and not isinstance(value, bool)
    return is_real and math.isfinite(value) and least <= value <= most


# Dicts that transformers' pipelines take in the place of a text or a pair.
TEXT_KEYS = (("text",), ("text", "text_pair"), ("question", "context"))


def as_text(value):
    """A text or pair that came as a dict, such as {"question": ..., "context": ...}; others stay.

    Raises:
        KzooError: for a dict of other keys.
    """
    if not isinstance(value, dict):
        return value
    for keys in TEXT_KEYS:
        if set(value) == set(keys):
            return value[keys[0]] if len(keys) == 1 else tuple(value[key] for key in keys)
    expected = " or ".join(" and ".join(keys) for keys in TEXT_KEYS)
    raise KzooError(f"Got a dict with {', '.join(map(str, value))}; expected one with {expected}.")
