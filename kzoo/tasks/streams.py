"""What a language model remembers from one batch of a long text to the next."""

import keras
from keras import ops

from ..errors import KzooError


class Streams:
    """The memories of texts that are read segment by segment, in rows side by side.

    Those that are learned from hold the states of a `Recurrent` network, those that are measured
    on its keys and values. They are no part of the model.
    """

    def __init__(self):
        self.held = {}  # (rows, whether they are learned from) -> variables by name

    @property
    def variables(self):
        """All of them, in the order in which they were made."""
        return [variable for held in self.held.values() for variable in held.values()]

    def prepare(self, network, rows):
        """Make those of so many rows, before a step is traced; whether these are others than last.

        Those of other numbers are let go.
        """
        if (rows, True) in self.held:
            return False
        self.held = {}
        for learning in (True, False):
            first = network.first_memory(rows, cached=not learning)
            self.held[rows, learning] = {
                name: keras.Variable(value, trainable=False, dtype=value.dtype, name=name)
                for name, value in first.items()
            }
        return True

    def recalled(self, network, begins, learning):
        """The memory of each row, by name; the first one where a row `begins` (rows,)."""
        rows = begins.shape[0]
        if (rows, learning) not in self.held:
            raise KzooError(
                f"Got a batch of {rows} rows, and remembers {[rows for rows, _ in self.held][:1]}; "
                "expected the batches that were made last: make these anew."
            )
        first = network.first_memory(rows, cached=not learning)

        def of(name, held):
            is_first = ops.reshape(begins, (rows, *(1,) * (len(held.shape) - 1)))
            return ops.where(is_first > 0, first[name], held.value)

        return {name: of(name, held) for name, held in self.held[rows, learning].items()}

    def remember(self, memory, rows, learning):
        """Keep what comes with the next segment."""
        for name, held in self.held[rows, learning].items():
            held.assign(ops.cast(memory[name], held.dtype))
