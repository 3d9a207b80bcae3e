"""What a stack tells each of its blocks beside the vectors themselves."""

import dataclasses

import keras


@dataclasses.dataclass(frozen=True)
class Context:
    """The surroundings in which attention runs: made once by a stack, the same for every block.

    Keras turns and casts only what it finds in arguments and dicts: the tensors in here are what
    the stack made of its own inputs, and stay as they are.

    Args:
        position: the position encoding, which may rotate queries and keys or bias the scores.
        bias: what is added to the scores for padding, (batch, 1, 1, keys), or None.
        length: how many places the input has, a number or a scalar tensor; None where `queries`
            don't count from 0.
        queries: the places of what asks, int32 (batch or 1, 1, queries, 1).
        keys: the places of what is asked, int32 (batch or 1, 1, 1, keys).
        past: the keys and values of earlier places, which are asked before the input's own, both
            (batch, heads, places, head_dim); None without a cache.
        memory: vectors (batch, keys, dim) that are asked in place of the input's own.
        values: vectors (batch, keys, dim) that values are made of where keys are made of others.
        query_position, key_position: vectors (batch or 1, places, dim) that attention which is
            "placed" adds to what queries and keys are made of; None for nothing.
        known: the keys and values of a memory, made once, in place of that.
        cross: the surroundings of attention to another stack's output, or None.
        inputs: the network's inputs by name, for parts that read another of them.
        first: how many of the first places ask, where what reads the stack reads no others, or
            None where all do; `keys` has all in either case.
        common: the layer that the attention of all blocks shares, see `Attention.common`, or None.
        shown: whether somebody asks for what attention saw, its maps and scores.
        other_segment: 1 where query and key are of different segments and 0 where they are of one,
            float (batch, 1, queries, keys); None where nothing compares them.
    """

    position: object
    bias: object = None
    length: object = None
    queries: object = None
    keys: object = None
    past: object = None
    memory: object = None
    values: object = None
    query_position: object = None
    key_position: object = None
    known: object = None
    cross: object = None
    inputs: dict = dataclasses.field(default_factory=dict)
    first: object = None
    common: object = None
    shown: bool = False
    other_segment: object = None

    def at(self, past=None, known=None):
        """The same surroundings with what one step saw before, and knows of the memory."""
        cross = self.cross if known is None else dataclasses.replace(self.cross, known=known)
        return dataclasses.replace(self, past=past, cross=cross)

    def for_first(self, count):
        """The same surroundings where only the first places ask."""
        apart = self.other_segment
        apart = None if apart is None else apart[:, :, :count]
        told = {"queries": self.queries[:, :, :count], "other_segment": apart}
        if self.query_position is not None:
            told["query_position"] = self.query_position[:, :count]
        return dataclasses.replace(self, first=count, **told)

    def apart(self):
        """The tensors in it that gradients flow to, and what gives the same with as many others."""
        told = {each.name: getattr(self, each.name) for each in dataclasses.fields(self)}
        position, cross = told.pop("position"), told.pop("cross")
        leaves = keras.tree.flatten(told)
        places = [i for i, leaf in enumerate(leaves) if _has_gradient(leaf)]
        more, crossing = ([], None) if cross is None else cross.apart()

        def joined(tensors):
            own, others = dict(zip(places, tensors, strict=False)), tensors[len(places) :]
            values = [own.get(i, leaf) for i, leaf in enumerate(leaves)]
            told_now = keras.tree.pack_sequence_as(told, values)
            crossed = None if cross is None else crossing(others)
            return Context(position, cross=crossed, **told_now)

        return [*(leaves[i] for i in places), *more], joined

    def asking(self, x):
        """Those of the vectors (batch, length, dim) that ask."""
        return x if self.first is None or x.shape[1] == self.first else x[:, : self.first]


def _has_gradient(value):
    return keras.ops.is_tensor(value) and keras.backend.is_float_dtype(
        keras.backend.standardize_dtype(value.dtype)
    )
