"""What a stack tells each of its blocks beside the vectors themselves."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Context:
    """The surroundings in which attention runs: made once by a stack, the same for every block.

    Keras turns and casts only what it finds in arguments and dicts: the tensors in here are what
    the stack made of its own inputs, and stay as they are.

    Args:
        position: the position encoding, which may rotate queries and keys or bias the scores.
        bias: what is added to the scores for padding, (batch, 1, 1, keys), or None.
        length: how many places the input has: a number, or a scalar tensor.
        queries, keys: the places (length,) of what asks and of what is asked, int32.
        inputs: the network's inputs by name, for parts that read another of them.
    """

    position: object
    bias: object = None
    length: object = None
    queries: object = None
    keys: object = None
    inputs: dict = dataclasses.field(default_factory=dict)
