"""Batches whose encoder runs in parts: GradCache, arXiv:2101.06983."""

from keras import ops

from ..errors import KzooError
from ..keras_hooks import recomputed
from ..values import is_whole


class InParts:
    """Mixin, before a `TextTask` that compares the texts of a batch.

    With `compile(parts=n)` texts are encoded a part at a time in training, and of each part nothing
    is kept but its vectors: gradients encode it once more. So the activations of one part alone
    need memory, and the loss and its gradients are those of the whole batch.
    """

    parts = 1

    def compile(self, optimizer=None, loss=None, metrics=None, teacher=None, parts=1, **kwargs):
        """As for every task; `parts` says into how many a batch is cut for the encoder."""
        if not is_whole(parts, 1, 2**16):
            raise KzooError(f"Got parts={parts!r:.40}; expected a whole number of at least 1.")
        if parts > 1 and teacher is not None:
            raise KzooError(
                "Got parts and a teacher, whose lessons compare more than vectors; expected one of "
                "the two."
            )
        self.parts = int(parts)
        super().compile(optimizer, loss, metrics, teacher, **kwargs)

    def run_folded(self, inputs, training):
        """See `TextTask`: in parts, where texts are learnt from."""
        if not training or self.parts == 1:
            return super().run_folded(inputs, training)
        count = ops.shape(next(iter(inputs.values())))[0]
        size = (count + self.parts - 1) // self.parts
        # A part is never empty: what lacks is the last text again, and left out at the end.
        rows = ops.minimum(ops.arange(size * self.parts, dtype="int32"), count - 1)
        inputs = {name: ops.take(value, rows, axis=0) for name, value in inputs.items()}
        encode, names, outputs = super().run_folded, [], []
        for part in range(self.parts):
            own = {name: v[part * size : (part + 1) * size] for name, v in inputs.items()}

            def run(_, own=own):
                made = encode(own, training)
                names[:] = list(made)
                return list(made.values())

            outputs.append(recomputed(self, run, [ops.zeros(())]))
        joined = [ops.concatenate(each, axis=0)[:count] for each in zip(*outputs, strict=True)]
        return dict(zip(names, joined, strict=True))

    def get_compile_config(self):
        """Keras' hook: the parts as well."""
        config = super().get_compile_config()
        return {**config, "parts": self.parts} if config and self.parts > 1 else config

    def compile_from_config(self, config):
        """Keras' hook: see `Task`."""
        config = dict(config)
        self.parts = config.pop("parts", 1)
        super().compile_from_config(config)
