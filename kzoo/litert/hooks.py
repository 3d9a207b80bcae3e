"""The private doors of LiteRT's Python interpreter that kzoo goes through, watched by tests."""


def operators_after_delegation(interpreter):
    """The operators of an allocated interpreter as dicts of op_name, inputs and outputs.

    XNNPACK takes operators over at allocation and appends one called DELEGATE for each group of
    neighbours that it took. The public interface doesn't say how many there are, and this one
    says it of the first graph alone.
    """
    return interpreter._get_ops_details()


class Graph:
    """The graph behind a signature, with its tensors as they lie in memory.

    The public interface gives views of the first graph's tensors alone; that of signatures copies
    every input and output, which for a cache takes longer than a token does.

    Args:
        interpreter: LiteRT's `Interpreter`.
        signature: a name of a signature of its file.
    """

    def __init__(self, interpreter, signature):
        self._backend = interpreter._interpreter
        self._index = self._backend.GetSubgraphIndexFromSignature(signature)

    def resize(self, tensor, shape):
        """Give a tensor another shape; all memory of the graph is another after `allocate`."""
        self._backend.ResizeInputTensor(tensor, shape, False, self._index)

    def allocate(self):
        """Make memory for the tensors."""
        self._backend.AllocateTensors(self._index)

    def run(self):
        """Compute the outputs."""
        self._backend.Invoke(self._index)

    def view(self, tensor):
        """An array in a tensor's memory, not to be kept through `allocate` and `run`."""
        return self._backend.tensor(self._backend, tensor, self._index)
