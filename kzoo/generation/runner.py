"""A Keras model as the function `step` that `decoding` asks: one compiled step, and a cache.

A cache holds keys and values (rows, key_value_heads, slots, head_dim) of every step of the
network's schedule, and the place of what each slot holds. All rows write the same slots; what is
padding has the place `NOWHERE`, where no query looks. A cache that is full grows by many slots at
once, so that few shapes are compiled and a token costs nearly the same whatever stands before it.
"""

import keras
import numpy as np

from ..errors import KzooError
from ..values import NOWHERE

FEWEST = 128  # slots of a cache
CHUNK = 128  # tokens of a prompt that are read at once


class CachedModel:
    """The step function of a task that writes; keep one, for it compiles at its first call.

    Of a network that reads a source first (`EncoderDecoder`), `reading(sources)` gives the step
    function.

    Args:
        model: a task such as `CausalLM`: its `backbone` can take a step of writing, and `run_head`
            gives `logits`.

    Raises:
        KzooError: for a network that can't write.
    """

    def __init__(self, model):
        network = model.backbone
        if "step" not in network.signatures:
            raise KzooError(
                f"Got a {network.family} whose places look at those behind them; expected one with "
                "causal attention, for only such can write."
            )
        self.model, self.network = model, network
        self.caches = CACHES[keras.backend.backend()]
        self.run = self.caches.compiled(model)
        self.encode = self.caches.encoding(network) if "encode" in network.signatures else None

    def reading(self, sources):
        """The step function of what is written of sources.

        Args:
            sources: what the task's `prompt_ids` gives, such as lists of token ids, one for each
                prompt, or for as many prompts in a row.
        """
        inputs = self.model.source_inputs(sources, self.caches.source_length)
        inputs = self.network.check_inputs(inputs)
        memory, mask = self.encode(inputs), self.network.memory_mask(inputs)
        memory = {name: memory[name] for name in self.network.memory_names}
        memory |= {} if mask is None else {"memory_mask": mask}
        memory = Memory(memory, np.arange(len(sources)))
        return lambda *step: self(*step, memory=memory)

    def __call__(self, token_ids, places, state=None, memory=None):
        """Read tokens, see `decoding`; state None starts anew, with the `Memory` of sources.

        Returns:
            The logits behind each row's last token, (rows, vocabulary) float32, and the state.

        Raises:
            KzooError: for a state of other rows, and tokens or places that the network doesn't
                have.
        """
        rows, length = token_ids.shape
        self._check(token_ids, places)
        if state is None:
            memory = None if memory is None else memory.repeated(rows)
            state = State(self.caches(self.network, rows, FEWEST, memory))
        elif state.caches.rows != rows:
            raise KzooError(
                f"Got {rows} rows with a cache of {state.caches.rows}; expected as many, or a new "
                "cache."
            )
        for start in range(0, length, CHUNK):
            part = slice(start, min(start + CHUNK, length))
            logits = state.read(self.run, token_ids[:, part], places[:, part])
        return logits, state

    def _check(self, token_ids, places):
        size, most = self.network.vocabulary_size, self.network.head_spec.max_sequence_length
        if token_ids.min() < 0 or token_ids.max() >= size:
            wrong = token_ids[(token_ids < 0) | (token_ids >= size)][0]
            raise KzooError(f"Got the token {wrong}; expected ids from 0 to {size - 1}.")
        taken = places[places != NOWHERE]
        if taken.size and taken.max() >= most:
            raise KzooError(
                f"Got a token at place {taken.max()}; expected places from 0 to {most - 1}, which "
                "are all that the network has."
            )


class State:
    """What was read so far; after `reorder` or a step only the new one holds."""

    def __init__(self, caches, used=0):
        self.caches = caches
        self.used = used  # slots

    def reorder(self, rows):
        """A state whose row i is row rows[i] of this one."""
        return State(self.caches.reordered(np.asarray(rows), self.used), self.used)

    def read(self, run, token_ids, places):
        """Read tokens into the next slots; returns the logits behind the last of them."""
        length = token_ids.shape[1]
        token_ids, places = self.caches.padded(token_ids, places)
        needed = self.used + token_ids.shape[1]
        if needed > self.caches.slots:
            self.caches = self.caches.grown(self.caches.fitting(needed), self.used)
        logits = self.caches.step(run, token_ids, places, self.used, length - 1)
        self.used += length
        return logits


class Memory:
    """What was read of sources, an array or tensor by name, and the source of each row."""

    def __init__(self, values, sources):
        self.values, self.sources = values, sources

    def repeated(self, rows):
        """For as many rows, those of a source side by side."""
        return self.taken(np.repeat(np.arange(len(self.sources)), rows // len(self.sources)))

    def taken(self, rows):
        """That of other rows; of a prompt's beams all have the same source."""
        sources = self.sources[rows]
        if np.array_equal(sources, self.sources):
            return self
        return Memory({n: keras.ops.take(v, rows, axis=0) for n, v in self.values.items()}, sources)


class HostCaches:
    """Caches in NumPy arrays whose memory TensorFlow reads: a token's are written in place.

    A variable of TensorFlow's would be copied as a whole for each token that is written.
    """

    def __init__(self, network, rows, slots, memory=None):
        self.network, self.rows, self.slots, self.memory = network, rows, slots, memory
        self.arrays = {
            name: _aligned(shape, dtype) for name, (shape, dtype) in _shapes(network, rows, slots)
        }
        self.arrays["past_places"][:] = NOWHERE
        self.tensors = {name: _as_tensor(array) for name, array in self.arrays.items()}

    @staticmethod
    def compiled(model):
        """The model's step as one graph for all shapes."""
        network = model.backbone
        return _graph(lambda inputs: _outputs(model, inputs, -1), network.signatures["step"])

    @staticmethod
    def encoding(network):
        """What reads sources, likewise."""
        return _graph(
            lambda inputs: network.run(inputs, training=False), network.signatures["encode"]
        )

    @staticmethod
    def source_length(length):
        """How many places sources get: one graph reads any number."""
        return length

    @staticmethod
    def fitting(needed):
        """How many slots to have: one graph reads any number, so few more than are needed."""
        return -(-needed // FEWEST) * FEWEST

    @staticmethod
    def padded(token_ids, places):
        """The tokens as they are: one graph reads any length."""
        return token_ids, places

    def step(self, run, token_ids, places, slot, last):
        """Run the model and write what is new from `slot` on; returns the logits."""
        own = _named(self.network, token_ids, places)
        known = {} if self.memory is None else self.memory.values
        outputs = run({**own, **self.tensors, **known})
        new = slice(slot, slot + token_ids.shape[1])
        self.arrays["past_places"][:, new] = places
        for name, array in self.arrays.items():
            if name != "past_places":
                array[:, :, new] = outputs[name].numpy()
        return outputs["logits"].numpy()

    def grown(self, slots, used):
        """The same with more slots."""
        larger = HostCaches(self.network, self.rows, slots, self.memory)
        return self._filled(larger, range(self.rows), used)

    def reordered(self, rows, used):
        """Other rows, in this memory where there are as many."""
        memory = None if self.memory is None else self.memory.taken(rows)
        if len(rows) != self.rows:
            other = HostCaches(self.network, len(rows), self.slots, memory)
            return self._filled(other, rows, used)
        self.memory = memory
        moved = np.flatnonzero(rows != np.arange(self.rows))
        for name, array in self.arrays.items():
            axis = (slice(used),) if name == "past_places" else (slice(None), slice(used))
            array[(moved, *axis)] = array[(rows[moved], *axis)]
        return self

    def _filled(self, other, rows, used):
        for name, array in self.arrays.items():
            axis = (slice(used),) if name == "past_places" else (slice(None), slice(used))
            for here, there in enumerate(rows):
                other.arrays[name][(here, *axis)] = array[(there, *axis)]
        return other


class DeviceCaches:
    """Caches in JAX's arrays, which each step is given to write into (donated)."""

    def __init__(self, network, rows, slots, memory=None, arrays=None):
        import jax.numpy as jnp

        self.network, self.rows, self.slots, self.memory = network, rows, slots, memory
        self.arrays = arrays or {
            name: jnp.full(shape, NOWHERE if name == "past_places" else 0, dtype)
            for name, (shape, dtype) in _shapes(network, rows, slots)
        }

    @staticmethod
    def compiled(model):
        """The model's step, compiled for each shape, with the weights of now as arguments."""
        import jax

        variables, network = model.variables, model.backbone

        def step(values, caches, known, token_ids, places, slot, last):
            with keras.StatelessScope(state_mapping=list(zip(variables, values, strict=True))):
                inputs = {**_named(network, token_ids, places), **caches, **known}
                outputs = _outputs(model, inputs, last)
            outputs["past_places"] = places
            written = {
                name: jax.lax.dynamic_update_slice_in_dim(
                    cache, outputs[name], slot, 1 if name == "past_places" else 2
                )
                for name, cache in caches.items()
            }
            return outputs["logits"], written

        compiled = jax.jit(step, donate_argnums=1)
        return lambda *inputs: compiled([variable.value for variable in variables], *inputs)

    @staticmethod
    def encoding(network):
        """What reads sources, compiled for each shape."""
        import jax

        variables = network.variables

        def encode(values, inputs):
            with keras.StatelessScope(state_mapping=list(zip(variables, values, strict=True))):
                return network.run(inputs, training=False)

        compiled = jax.jit(encode)
        return lambda inputs: compiled([variable.value for variable in variables], inputs)

    @staticmethod
    def source_length(length):
        """How many places sources get: powers of two, each of which is compiled once."""
        return 1 << (length - 1).bit_length()

    @staticmethod
    def fitting(needed):
        """How many slots to have: powers of two, each of which is compiled once."""
        return 1 << (needed - 1).bit_length()

    @staticmethod
    def padded(token_ids, places):
        """The tokens in a length that is a power of two; what is added is written over later."""
        length = token_ids.shape[1]
        more = ((0, 0), (0, (1 << (length - 1).bit_length()) - length))
        return np.pad(token_ids, more), np.pad(places, more, constant_values=NOWHERE)

    def step(self, run, token_ids, places, slot, last):
        """Run the model and write what is new from `slot` on; returns the logits."""
        known = {} if self.memory is None else self.memory.values
        logits, self.arrays = run(self.arrays, known, token_ids, places, slot, last)
        return np.asarray(logits)

    def grown(self, slots, used):
        """The same with more slots."""
        import jax

        larger = DeviceCaches(self.network, self.rows, slots, self.memory)
        larger.arrays = {
            name: jax.lax.dynamic_update_slice(array, self.arrays[name], (0,) * array.ndim)
            for name, array in larger.arrays.items()
        }
        return larger

    def reordered(self, rows, used):
        """Other rows."""
        arrays = {name: array[rows] for name, array in self.arrays.items()}
        memory = None if self.memory is None else self.memory.taken(rows)
        return DeviceCaches(self.network, len(rows), self.slots, memory, arrays)


CACHES = {"tensorflow": HostCaches, "jax": DeviceCaches}


def _outputs(model, inputs, last):
    """Logits behind one of the new tokens, (rows, vocabulary), and the new keys and values.

    The head sees that token alone: over a long prompt all logits would be gigabytes.
    """
    outputs = model.backbone.run(inputs, training=False)
    x = outputs["sequence_output"]
    start = keras.ops.shape(x)[1] - 1 if isinstance(last, int) else last
    outputs["sequence_output"] = keras.ops.slice(
        x, (0, start, 0), (keras.ops.shape(x)[0], 1, x.shape[-1])
    )
    logits = model.run_head(outputs, inputs, training=False)["logits"]
    past = {name: outputs[name] for name in model.backbone.past_names}
    return {"logits": keras.ops.cast(logits[:, 0], "float32"), **past}


def _named(network, token_ids, places):
    """New tokens and their places by the names that the network's step has for them."""
    names = (name for name in network.signatures["step"] if name.endswith("token_ids"))
    prefix = next(names).removesuffix("token_ids")
    return {f"{prefix}token_ids": token_ids, f"{prefix}places": places}


def _graph(function, signature):
    """A function of a signature's inputs as one graph for all shapes."""
    import tensorflow as tf

    specs = {
        name: tf.TensorSpec([None if isinstance(axis, str) else axis for axis in i.axes], i.dtype)
        for name, i in signature.items()
    }
    return tf.function(function, input_signature=[specs])


def _shapes(network, rows, slots):
    """The shape and type of each cache, by name."""
    sizes = {"batch": rows, "past_length": slots}
    for name, entry in network.signatures["step"].items():
        if "past_length" in entry.axes:
            yield name, ([sizes.get(axis, axis) for axis in entry.axes], entry.dtype)


def _aligned(shape, dtype):
    """Zeros whose memory TensorFlow can read as it is."""
    dtype = np.dtype(dtype)
    size = int(np.prod(shape)) * dtype.itemsize
    memory = np.zeros(size + 64, "uint8")
    start = -memory.ctypes.data % 64
    return memory[start : start + size].view(dtype).reshape(shape)


def _as_tensor(array):
    """A tensor in an array's memory: it changes with the array."""
    import tensorflow as tf

    return tf.experimental.dlpack.from_dlpack(array.__dlpack__())
