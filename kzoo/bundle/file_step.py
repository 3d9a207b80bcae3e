"""A .tflite file as the function `step` that `kzoo.generation` asks, with its cache in place.

The file's `decode` reads one token and its `prefill` all before it. Both have the cache as inputs;
that of `decode` stays where LiteRT reads it, and what is new is written there. A token at place n
of its sequence lies in slot n, so padding takes none.
"""

import threading
import weakref

import numpy as np

from ..errors import KzooError
from ..litert.function import Function
from ..litert.interpreter import opened
from ..values import NOWHERE

CHUNK = 128  # tokens of a prompt that are read at once
DECODE, PREFILL = "decode", "prefill"


class FileStep:
    """The step function of a file that writes.

    The file runs one sequence at a time. Where there are several, each waits with its own copy of
    the cache; of one alone nothing is ever copied. Threads may share one: they take turns.

    Args:
        path: a file with the functions `prefill` and `decode`.
        threads: how many it may use.
        xnnpack: as for `litert.Interpreter`.

    Raises:
        KzooError: for another file.
    """

    def __init__(self, path, threads=1, xnnpack=True):
        backend = opened(path, threads, xnnpack)
        functions = set(backend.get_signature_list())
        if functions != {DECODE, PREFILL}:
            raise KzooError(
                f"{path} has the functions {', '.join(sorted(functions))}; expected {PREFILL} and "
                f"{DECODE}, those of a model that writes."
            )
        self._decode, self._prefill = Function(backend, DECODE), Function(backend, PREFILL)
        self.vocabulary_size = self._decode.outputs["logits"][-1]
        self.cache = self._decode.inputs["past_places"][1]
        self.length = None if self._prefill.is_open else self._prefill.inputs["places"][1]
        self._past = [name for name in self._decode.outputs if name != "logits"]
        self._resident = None  # a weak reference to the row whose cache `decode` holds
        self._one_at_a_time = threading.Lock()

    def __call__(self, token_ids, places, state=None):
        """Read tokens, see `generation.decoding`; state None starts anew.

        Returns:
            The logits behind each row's last token, (rows, vocabulary) float32, and the state.

        Raises:
            KzooError: for a state of other rows, for tokens that the file doesn't have, and for
                places that don't follow those read before or that the cache has no slot for.
        """
        state = State([_Row() for _ in token_ids]) if state is None else state
        if len(state.rows) != len(token_ids):
            raise KzooError(
                f"Got {len(token_ids)} rows with a cache of {len(state.rows)}; expected as many, "
                "or a new cache."
            )
        given = [ids[at != NOWHERE] for ids, at in zip(token_ids, places, strict=True)]
        for row, ids, at in zip(state.rows, given, places, strict=True):
            self._check(row, ids, at[at != NOWHERE])
        with self._one_at_a_time:
            logits = [self._read(row, ids) for row, ids in zip(state.rows, given, strict=True)]
        return np.stack(logits), state

    def _check(self, row, ids, places):
        expected = np.arange(row.used, row.used + len(ids))
        if not len(ids) or not np.array_equal(places, expected):
            raise KzooError(
                f"Got tokens at the places {places.tolist()!s:.60}; expected one at least, from "
                f"{row.used} on."
            )
        if expected[-1] >= self.cache:
            raise KzooError(
                f"Got a token at place {expected[-1]}; expected places from 0 to {self.cache - 1}, "
                "for which the file has a cache: export with a larger one."
            )
        if ids.min() < 0 or ids.max() >= self.vocabulary_size:
            wrong = ids[(ids < 0) | (ids >= self.vocabulary_size)][0]
            raise KzooError(
                f"Got the token {wrong}; expected ids from 0 to {self.vocabulary_size - 1}."
            )

    def _read(self, row, ids):
        """Read a row's tokens; the logits behind the last, (vocabulary,)."""
        self._enter(row)
        most = self.length or CHUNK
        for start in range(0, len(ids) - 1, most):
            self._fill(row, ids[start : min(start + most, len(ids) - 1)])
        self._decode.input("token_ids")[:] = ids[-1]
        self._decode.input("places")[:] = row.used
        outputs = self._decode.run()
        self._write(row, outputs, 1)
        return outputs["logits"][0].copy()

    def _fill(self, row, ids):
        """Read tokens of a prompt, whose logits nobody asks for."""
        count = len(ids)
        self._prefill.fit(count)
        if row.used:
            for name in self._past:
                held = self._decode.input(name)[:, :, : row.used]
                self._prefill.input(name)[:, :, : row.used] = held
        self._prefill.input("past_places")[:] = self._decode.input("past_places")
        token_ids, places = self._prefill.input("token_ids"), self._prefill.input("places")
        token_ids[:], places[:] = 0, NOWHERE  # what a file of one length reads behind them
        token_ids[0, :count], places[0, :count] = ids, np.arange(row.used, row.used + count)
        del token_ids, places
        self._write(row, self._prefill.run(), count)

    def _write(self, row, outputs, count):
        """Put the keys and values of so many new places into the slots behind those used."""
        new = slice(row.used, row.used + count)
        for name in self._past:
            self._decode.input(name)[:, :, new] = outputs[name][:, :, :count]
        self._decode.input("past_places")[:, new] = np.arange(new.start, new.stop)
        row.used = new.stop

    def _enter(self, row):
        """Let `decode` hold a row's cache, and keep that of the row before."""
        resident = self._resident and self._resident()
        if resident is row:
            return
        self._decode.fit()
        if resident is not None:
            resident.arrays = self._held(resident)
        for name in self._past if row.arrays else ():
            self._decode.input(name)[:, :, : row.used] = row.arrays[name]
        places = self._decode.input("past_places")
        places[:], places[:, : row.used] = NOWHERE, np.arange(row.used)
        row.arrays, row.holder = None, self
        self._resident = weakref.ref(row)

    def _held(self, row):
        """A copy of the cache of the row that `decode` holds."""
        return {name: self._decode.input(name)[:, :, : row.used].copy() for name in self._past}


class _Row:
    """A sequence: how many slots it uses, and its cache where the file doesn't hold that."""

    def __init__(self, used=0, arrays=None):
        self.used, self.arrays, self.holder = used, arrays, None

    def copy(self):
        """Another sequence that begins the same."""
        arrays = self.holder._held(self) if self.arrays is None and self.holder else self.arrays
        return _Row(self.used, arrays)


class State:
    """What was read so far; after `reorder` or a step only the new one holds."""

    def __init__(self, rows):
        self.rows = rows

    def reorder(self, rows):
        """A state whose row i is row rows[i] of this one."""
        taken, kept = set(), []
        for row in rows:
            kept.append(self.rows[row].copy() if row in taken else self.rows[row])
            taken.add(row)
        return State(kept)
