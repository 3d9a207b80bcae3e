"""A model that writes in the shape that LiteRT-LM's engine runs, and that engine in plain steps.

The engine (https://github.com/google-ai-edge/LiteRT-LM) finds functions and tensors by name:
`prefill_N` reads N tokens of a prompt and `decode` one, both with the whole cache as input and
output. The engine counts places from 0 and says no more than the place of each token; a prompt
that is shorter than N it fills up with token 0 at place 0.
"""

import numpy as np
from keras import ops

from ..errors import KzooError
from ..network import Served
from ..spec import Input
from ..values import NOWHERE
from .convert import CACHE
from .function import Function
from .interpreter import opened

DECODE, PREFILL = "decode", "prefill"
SHORT, LONG = 16, 128  # tokens of a prompt that are read at once, where nobody says another number


class EngineModel(Served):
    """A task that writes, as functions that the engine calls.

    * `tokens`, int32 (1, length), and `input_pos`, int32 (length,): tokens and their places,
    * `kv_cache_k_N` and `kv_cache_v_N`, float32 (1, key_value_heads, slots, head_dim), of every
      step of the schedule: the cache, in which slot n is that of place n.

    Outputs are the caches with what is new written into them, and of `decode` the `logits`
    (1, 1, vocabulary).

    Args:
        task: a `CausalLM`.
        lengths: for how many tokens there is a `prefill_N` each.
    """

    def __init__(self, task, lengths):
        self.task = task
        self.lengths = {f"{PREFILL}_{length}": length for length in lengths} | {DECODE: 1}
        self.functions = {name: (name, {"length": n}) for name, n in self.lengths.items()}
        own = task.backbone.past_names
        kinds = {"key": "k", "value": "v"}
        parts = [name.split("_") for name in own]  # past_key_0
        names = [f"kv_cache_{kinds[kind]}_{step}" for _, kind, step in parts]
        self.caches = dict(zip(names, own, strict=True))

    @property
    def signatures(self):
        """What every function reads."""
        step = self.task.backbone.signatures["step"]
        read = {
            "tokens": step["token_ids"],
            "input_pos": Input(("length",)),
            **{name: step[own] for name, own in self.caches.items()},
        }
        return dict.fromkeys(self.functions, read)

    def run_function(self, name, inputs):
        """The caches with the new keys and values in them, and of one token the logits."""
        length = self.lengths[name]
        past = {own: inputs[name] for name, own in self.caches.items()}
        slots = next(iter(past.values())).shape[2]
        places = inputs["input_pos"]
        start = places[:1]
        # What doesn't follow the token before it fills the prompt up.
        given = ops.equal(places, start + np.arange(length, dtype="int32"))
        every = np.arange(slots, dtype="int32")
        step = {
            "token_ids": inputs["tokens"],
            "places": _where(given, places),
            "past_places": _where(every < start, every),
            **past,
        }
        new = self.task.run_function(DECODE if name == DECODE else PREFILL, step)
        at = start * np.array([0, 0, 1, 0], "int32")
        caches = {each: self._written(past[own], new[own], at) for each, own in self.caches.items()}
        if name != DECODE:
            return caches
        return {"logits": ops.reshape(new["logits"], (1, 1, -1)), **caches}

    @staticmethod
    def _written(cache, new, at):
        """A cache with new keys or values from a slot on; those that it has no slot for go."""
        length, slots = new.shape[2], cache.shape[2]
        if length == 1:
            return ops.slice_update(cache, at, new)
        # Without room behind it, LiteRT would write what is too long further in front.
        room = ops.pad(cache, ((0, 0), (0, 0), (0, length), (0, 0)))
        return ops.slice_update(room, at, new)[:, :, :slots]


def _where(held, places):
    """Places as (1, n), NOWHERE where they aren't held; in arithmetic that is integers' own."""
    held = ops.cast(held, "int32")
    return ops.reshape(places * held + NOWHERE * (1 - held), (1, -1))


def prefill_lengths(sizes):
    """How many tokens the prefill functions of a file read: its length, or a few and many."""
    most = sizes[CACHE]
    lengths = (SHORT, LONG) if sizes["length"] is None else (sizes["length"],)
    return sorted({min(length, most) for length in lengths})


class EngineStep:
    """The step function, see `generation.decoding`, of a file for the engine, run as that runs it.

    There is one cache, which a new text writes over: the states of texts before don't go on.

    Args:
        path: the .tflite file of an `EngineModel`.
    """

    def __init__(self, path):
        backend = opened(path)
        prefills = [name for name in backend.get_signature_list() if name != DECODE]
        self._decode = Function(backend, DECODE)
        self._prefills = {
            int(n.removeprefix(f"{PREFILL}_")): Function(backend, n) for n in prefills
        }
        self._functions = [self._decode, *self._prefills.values()]
        for function in self._functions:
            function.fit()

    def __call__(self, token_ids, places, state=None):
        """Read the tokens of one row; the logits behind the last (1, vocabulary), and a state."""
        (ids,), (at,) = np.asarray(token_ids), np.asarray(places)
        if not np.array_equal(at, np.arange(state or 0, (state or 0) + len(ids))):
            raise KzooError(
                f"Got the places {at!s:.60}; expected them in order from {state or 0} on."
            )
        before = len(ids) - 1
        for start, length in self._parts(before):
            part = slice(start, min(start + length, before))
            self._run(self._prefills[length], ids[part], at[part])
        outputs = self._run(self._decode, ids[before:], at[before:])
        return outputs["logits"][0].copy(), int(at[-1]) + 1

    def _parts(self, count):
        """Where each part of so many tokens starts, and what reads it."""
        most, start = max(self._prefills), 0
        while start < count:
            length = min((n for n in self._prefills if n >= count - start), default=most)
            yield start, length
            start += length

    def _run(self, function, ids, places):
        """Run a function on tokens, and hand its caches to all of them."""
        for name, values in (("tokens", ids), ("input_pos", places)):
            filled = np.zeros(function.inputs[name][-1], "int32")
            filled[: len(values)] = values
            function.input(name)[:] = filled
        outputs = function.run()
        for other in self._functions:
            for name in other.inputs.keys() & outputs.keys():
                other.input(name)[:] = outputs[name]
        return outputs
