"""Places by rows and columns, maybe of channels: vectors for each axis, and not for each place."""

import math

from keras import ops

from ..errors import KzooError
from ..parts import part
from ..values import is_whole
from .dense import normal
from .lowering import lookup
from .position import Position
from .rounding import rounding_of

AXES = ("rows", "columns", "channels")


@part("position", "axial")
class Axial(Position):
    """A trained vector a row and one a column of what places fill row by row, added at the input.

    Args:
        spec: the spec of the stack.
        shape: how many rows and columns there are, and where a column has several places (the
            colours of a picture) how many of these; together they hold the longest input.
        dims: how wide the vectors of each of these are, which stand side by side and are as wide
            together as what they are added to (Reformer, arXiv:2001.04451); None where all are as
            wide as that and are summed (Sparse Transformer, arXiv:1904.10509, section 5.3).
    """

    def __init__(self, spec, name, shape=(64, 64), dims=None):
        super().__init__(spec, name)
        if not _are_sizes(shape, 2, len(AXES)):
            raise KzooError(
                f"Got shape = {shape!r:.40} for axial positions; expected numbers of rows and of "
                "columns, such as [64, 64], and maybe of channels."
            )
        if dims is not None and not _are_sizes(dims, len(shape), len(shape)):
            raise KzooError(
                f"Got dims = {dims!r:.40} for axial positions; expected a width for each of the "
                f"{len(shape)} axes, such as [64, 192] for two, or null to sum them."
            )
        places = math.prod(shape)
        if places < spec.max_sequence_length:
            raise KzooError(
                f"Got shape = {list(shape)} for axial positions, {places} places; "
                f"expected at least max_sequence_length, {spec.max_sequence_length}."
            )
        self.sizes, self.dims, self.rounding = tuple(shape), dims, rounding_of(spec)

    def build(self, x_shape):
        """Make the tables (rows, 1, dim), (1, columns, dim); of three axes (rows, 1, 1, dim) ..."""
        width, count = x_shape[-1], len(self.sizes)
        if self.dims is not None and sum(self.dims) != width:
            raise KzooError(
                f"Got dims = {list(self.dims)} for axial positions, {sum(self.dims)} together; "
                f"expected widths that add up to {width}, that of the embeddings."
            )
        dims, start = self.dims or [width] * count, normal(self.spec)
        self.tables = []
        for axis, (size, dim) in enumerate(zip(self.sizes, dims, strict=True)):
            shape = [size if other == axis else 1 for other in range(count)]
            weight = self.add_weight(shape=(*shape, dim), initializer=start, name=AXES[axis])
            self.tables.append(weight)

    def call(self, x, context):
        """Add the vectors of its places, the first ones by default, to x (batch, length, dim)."""
        if context.length is None:
            last = self.spec.max_sequence_length - 1
            places = ops.minimum(context.inputs["places"], last)
        else:
            places = ops.arange(context.length, dtype="int32")
        vectors = []
        for axis, table in enumerate(self.tables):
            below = math.prod(self.sizes[axis + 1 :])
            own = places // below if below > 1 else places
            vectors.append(self.vectors(table, own % self.sizes[axis] if axis else own))
        if self.dims is None:
            return x + ops.cast(sum(vectors[1:], vectors[0]), x.dtype)
        return x + ops.cast(ops.concatenate(vectors, axis=-1), x.dtype)

    def vectors(self, table, places):
        """The vectors in a table at places (...)."""
        return self.rounding.rows(lookup(ops.reshape(table, (-1, table.shape[-1])), places))


def _are_sizes(value, least, most):
    return (
        isinstance(value, (list, tuple))
        and least <= len(value) <= most
        and all(is_whole(n, 1) for n in value)
    )
