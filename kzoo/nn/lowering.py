"""The operations that a device compiler wants in a form of its own.

The model says what it means (`lookup(table, ids)`); an exporter says, for the time of a `with`
block, how that is written in its graph. Nothing else in the model knows of exporters.
"""

import contextlib
import contextvars

from keras import ops


def _take(table, ids):
    return ops.take(table, ids, axis=0)


_lookup = contextvars.ContextVar("lookup", default=_take)


def lookup(table, ids):
    """Rows of `table` (rows, dim) at integer `ids` (...): the result is (..., dim)."""
    return _lookup.get()(table, ids)


def first_rows(table, count):
    """The first `count` rows of `table` (rows, dim).

    A slice where the model is trained and served; a look-up where an exporter has a form of its
    own for those, because a table that is only looked up can be stored as int8.
    """
    function = _lookup.get()
    return table[:count] if function is _take else function(table, ops.arange(count, dtype="int32"))


@contextlib.contextmanager
def using(lookup):
    """Write every look-up inside the block with the function `lookup(table, ids)`."""
    token = _lookup.set(lookup)
    try:
        yield
    finally:
        _lookup.reset(token)
