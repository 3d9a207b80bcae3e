"""What arguments, recipes and files are asked most: is this a whole number, is this a number?"""

import math
from numbers import Integral, Real


def is_whole(value, least=-math.inf, most=math.inf):
    """Whether a value is a whole number within bounds, which may be met; true and false are none.

    NumPy's scalars count as Python's numbers do; 3.0 is no whole number.
    """
    return isinstance(value, Integral) and not isinstance(value, bool) and least <= value <= most


def is_number(value, least=-math.inf, most=math.inf):
    """Whether a value is a finite number within bounds, which may be met; true and false aren't."""
    is_real = isinstance(value, Real) and not isinstance(value, bool)
    return is_real and math.isfinite(value) and least <= value <= most
