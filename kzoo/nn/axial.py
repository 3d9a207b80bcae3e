"""Places of a picture of rows and columns, which far more places need no more vectors for."""

from keras import ops

from ..errors import KzooError
from ..parts import part
from ..values import is_whole
from .dense import normal
from .lowering import lookup
from .position import Position
from .rounding import rounding_of


@part("position", "axial")
class Axial(Position):
    """A trained vector a row and one a column of what places fill row by row, added at the input.

    Args:
        spec: the spec of the stack.
        shape: how many rows and columns there are; together they hold the longest input.
        dims: how wide the vectors of rows and of columns are, which stand side by side and are as
            wide together as what they are added to (Reformer, arXiv:2001.04451); None where both
            are as wide as that and are summed (Sparse Transformer, arXiv:1904.10509, section 5.2).
    """

    def __init__(self, spec, name, shape=(64, 64), dims=None):
        super().__init__(spec, name)
        if not _is_pair(shape):
            raise KzooError(
                f"Got shape = {shape!r:.40} for axial positions; expected numbers of rows and of "
                "columns, such as [64, 64]."
            )
        if dims is not None and not _is_pair(dims):
            raise KzooError(
                f"Got dims = {dims!r:.40} for axial positions; expected widths for rows and for "
                "columns, such as [64, 192], or null to sum them."
            )
        self.rows, self.columns = shape
        places = self.rows * self.columns
        if places < spec.max_sequence_length:
            raise KzooError(
                f"Got shape = {list(shape)} for axial positions, {places} places; "
                f"expected at least max_sequence_length, {spec.max_sequence_length}."
            )
        self.dims, self.rounding = dims, rounding_of(spec)

    def build(self, x_shape):
        """Make the tables (rows, 1, dim) and (1, columns, dim)."""
        width = x_shape[-1]
        if self.dims is not None and sum(self.dims) != width:
            raise KzooError(
                f"Got dims = {list(self.dims)} for axial positions, {sum(self.dims)} together; "
                f"expected widths that add up to {width}, that of the embeddings."
            )
        dims, start = self.dims or (width, width), normal(self.spec)
        self.row_table, self.column_table = (
            self.add_weight(shape=shape, initializer=start, name=name)
            for name, shape in (
                ("rows", (self.rows, 1, dims[0])), ("columns", (1, self.columns, dims[1])),
            )
        )  # fmt: skip

    def call(self, x, context):
        """Add the vectors of its places, the first ones by default, to x (batch, length, dim)."""
        if context.length is None:
            last = self.spec.max_sequence_length - 1
            places = ops.minimum(context.inputs["places"], last)
        else:
            places = ops.arange(context.length, dtype="int32")
        rows = self.vectors(self.row_table, places // self.columns)
        columns = self.vectors(self.column_table, places % self.columns)
        if self.dims is None:
            return x + ops.cast(rows + columns, x.dtype)
        return x + ops.cast(ops.concatenate([rows, columns], axis=-1), x.dtype)

    def vectors(self, table, places):
        """The vectors in a table at places (...)."""
        return self.rounding.rows(lookup(ops.reshape(table, (-1, table.shape[2])), places))


def _is_pair(value):
    return (
        isinstance(value, (list, tuple)) and len(value) == 2 and all(is_whole(n, 1) for n in value)
    )
