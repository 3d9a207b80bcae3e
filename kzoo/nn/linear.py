"""Attention in linear time: keys and values are summed up in fewer places (arXiv:2006.04768)."""

import dataclasses

from keras import layers, ops

from ..errors import KzooError
from ..parts import part, resolve
from ..values import is_whole
from .attention import OUT, PROJECTIONS, Attention
from .dense import normal
from .lowering import rows_from
from .position import Unplaced

SHARING = ("none", "key_value", "layer")


class Summary(layers.Layer):
    """Sums over places, for keys and for values: E and F in the paper.

    Args:
        spec: the spec of the stack.
        length: how many sums there are, k in the paper.
        is_one: whether keys and values have the same.
    """

    def __init__(self, spec, length, is_one, name):
        super().__init__(name=name)
        self.spec, self.length, self.is_one = spec, length, is_one

    def build(self, x_shape):
        """Make the tables (max_sequence_length, length): what a place is in each sum."""
        shape = (self.spec.max_sequence_length, self.length)
        names = ("key",) if self.is_one else ("key", "value")
        self.tables = [
            self.add_weight(shape=shape, initializer=normal(self.spec), name=name) for name in names
        ]

    def call(self, x, length=None):
        """x (batch, length, dim) summed up for keys and for values, both (batch, sums, dim)."""
        tables = [ops.cast(rows_from(table, 0, length), x.dtype) for table in self.tables]
        sums = [ops.einsum("bnd,nk->bkd", x, table) for table in tables]
        return sums[0], sums[-1]


@part("attention", "linformer")
class Linformer(Attention):
    """Every place looks at sums over all places (Linformer, arXiv:2006.04768).

    A place is in a sum by a number that is learned, so that a longer input takes as many sums, and
    time in proportion to its length. Padding is in none of them. Since sums know no order, there is
    no causal form. As in the authors' code, vectors are summed before they are made keys and
    values.

    Args:
        spec: the spec of the stack.
        length: how many sums there are, k in the paper.
        sharing: "none" where keys and values have sums of their own in each block, "key_value"
            where they have the same, "layer" where all blocks have; heads share them in any case.
        bias, scale, num_heads: as for `Attention`.
    """

    def __init__(
        self, spec, name, length=128, sharing="none", bias=PROJECTIONS, scale=None, num_heads=0
    ):
        super().__init__(spec, name, bias, scale, num_heads)
        _check(spec, length, sharing)
        self.summary = None
        if sharing != "layer":
            self.summary = Summary(spec, length, sharing == "key_value", "summary")

    @classmethod
    def common(cls, spec, length=128, sharing="none", **options):
        """The sums that all blocks share, or None."""
        _check(spec, length, sharing)
        return Summary(spec, length, True, "summary") if sharing == "layer" else None

    def call(self, x, context, training=None):
        """See `Attention`; what was seen has as many keys as there are sums."""
        if context.memory is not None or context.known is not None:
            raise KzooError(
                "Got linformer for attention to another stack's output; expected a kind that looks "
                "at places of any number: full."
            )
        asked = x
        if context.bias is not None:  # 1 for what isn't padding.
            kept = 1.0 - ops.cast(context.bias, x.dtype) / OUT
            asked = x * ops.reshape(kept, (ops.shape(kept)[0], -1, 1))
        context = dataclasses.replace(context, bias=None, memory=asked)
        return super().call(x, context, training)

    def keys_and_values(self, x, context):
        """Those of the sums."""
        summary = context.common if self.summary is None else self.summary
        keys, values = summary(context.memory, length=context.length)
        return self.split(self.key(keys)), self.split(self.value(values))


def _check(spec, length, sharing):
    if not is_whole(length, 1, spec.max_sequence_length):
        raise KzooError(
            f"Got length = {length!r:.40} for linformer; expected 1 to {spec.max_sequence_length} "
            "sums over the places of an input."
        )
    if sharing not in SHARING:
        raise KzooError(
            f"Got sharing = {sharing!r:.40} for linformer; expected one of {', '.join(SHARING)}."
        )
    cls, _ = resolve("position", spec.position)
    if (cls.scores, cls.rotate) != (Unplaced.scores, Unplaced.rotate):
        raise KzooError(
            f"Got the position {spec.position!r:.60} for linformer, whose sums have no place; "
            "expected one that is added at the input, such as learned."
        )
