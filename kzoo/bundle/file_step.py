"""A .tflite file as the function `step` that `kzoo.generation` asks, with its cache in place.

The file's `decode` reads one token. Its `prefill` reads all before it, or its `encode` a source: a
text, a picture, or a picture and a question about it.
The cache of `decode` stays where LiteRT reads it, and what is new is written there. A token at
place n of its sequence lies in slot n, so padding takes none.
"""

import threading
import weakref

import numpy as np

from ..errors import KzooError
from ..litert.function import Function
from ..litert.interpreter import opened
from ..values import NOWHERE

CHUNK = 128  # tokens of a prompt that are read at once
DECODE, PREFILL, ENCODE = "decode", "prefill", "encode"


def open_step(path, threads=1, xnnpack=True):
    """The step function of a file that writes: a `FileStep`, or a `SourceStep`.

    Args:
        path: a file with the functions `decode`, and `prefill` or `encode`.
        threads: how many it may use.
        xnnpack: as for `litert.Interpreter`.

    Raises:
        KzooError: for another file.
    """
    backend = opened(path, threads, xnnpack)
    functions = backend.get_signature_list()
    for kind in (FileStep, SourceStep, PictureStep, QuestionStep):
        if kind.fits(functions):
            return kind(backend)
    raise KzooError(
        f"{path} has the functions {', '.join(sorted(functions))}; expected {DECODE} and "
        f"{PREFILL}, or {DECODE} and {ENCODE}, those of a model that writes."
    )


class FileStep:
    """The step function of a file that writes on.

    The file runs one sequence at a time. Where there are several, each waits with its own copy of
    the cache; of one alone nothing is ever copied. Threads may share one: they take turns.

    Args:
        backend: what `litert.interpreter.opened` gives.
    """

    before, prefix = PREFILL, ""  # the other function, and what stands before names of inputs

    @classmethod
    def fits(cls, functions):
        """Whether a file has these functions, {name: what LiteRT says of inputs and outputs}."""
        return set(functions) == {DECODE, cls.before}

    def __init__(self, backend):
        self._decode, self._before = Function(backend, DECODE), Function(backend, self.before)
        self.vocabulary_size = self._decode.outputs["logits"][-1]
        self.cache = self._decode.inputs["past_places"][1]
        self._past = [name for name in self._decode.outputs if name != "logits"]
        self._resident = None  # a weak reference to the row whose cache `decode` holds
        self._one_at_a_time = threading.Lock()

    @property
    def length(self):
        """How many tokens are read at once before the last one; None for any number."""
        return None if self._before.is_open else self._before.inputs[f"{self.prefix}places"][1]

    def takes(self, longest):
        """How many tokens of a prompt it takes, of so many places: one is to be written."""
        return range(1, longest)

    def blank(self, length):
        """A prompt of so many tokens that mean nothing, or a source."""
        return [1] * length

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
        self._read_before(row, ids[:-1])
        logits = self._step(row, ids[-1])
        return logits.copy()

    def _step(self, row, token):
        """Read one token; the logits behind it, until the next run."""
        self._decode.input(f"{self.prefix}token_ids")[:] = token
        self._decode.input(f"{self.prefix}places")[:] = row.used
        outputs = self._decode.run()
        self._write(row, outputs, 1)
        return outputs["logits"][0]

    def _read_before(self, row, ids):
        """Read tokens of a prompt, whose logits nobody asks for."""
        most = self.length or CHUNK
        for start in range(0, len(ids), most):
            self._fill(row, ids[start : start + most])

    def _fill(self, row, ids):
        """Read as many of them as are read at once."""
        count = len(ids)
        self._before.fit(count)
        if row.used:
            for name in self._past:
                held = self._decode.input(name)[:, :, : row.used]
                self._before.input(name)[:, :, : row.used] = held
        self._before.input("past_places")[:] = self._decode.input("past_places")
        token_ids, places = self._before.input("token_ids"), self._before.input("places")
        token_ids[:], places[:] = 0, NOWHERE  # what a file of one length reads behind them
        token_ids[0, :count], places[0, :count] = ids, np.arange(row.used, row.used + count)
        del token_ids, places
        self._write(row, self._before.run(), count)

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
        if resident is not None:
            resident.arrays = self._held(resident)
        self._fit(row)
        for name in self._past if row.arrays else ():
            self._decode.input(name)[:, :, : row.used] = row.arrays[name]
        places = self._decode.input("past_places")
        places[:], places[:, : row.used] = NOWHERE, np.arange(row.used)
        row.arrays, row.holder = None, self
        self._resident = weakref.ref(row)

    def _fit(self, row):
        """Give `decode` the sizes that a row asks for."""
        self._decode.fit()

    def _held(self, row):
        """A copy of the cache of the row that `decode` holds."""
        return {name: self._decode.input(name)[:, :, : row.used].copy() for name in self._past}


class SourceStep(FileStep):
    """The step function of a file that reads a source and writes of it, see `reading`.

    Args:
        backend: see `FileStep`.
    """

    before, prefix = ENCODE, "decoder_"
    at_once = 1  # sources; of several at a time each step would copy what was read of them
    of_source = ("encoder_token_ids", "encoder_padding_mask")  # what `encode` reads

    @classmethod
    def fits(cls, functions):
        """See `FileStep`."""
        return super().fits(functions) and set(functions[ENCODE]["inputs"]) == set(cls.of_source)

    def __init__(self, backend):
        super().__init__(backend)
        self._memory = None  # what was read of the source that `decode` holds

    @property
    def length(self):
        """How many tokens of a source are read, padding included; None for any number."""
        return None if self._before.is_open else self._before.inputs["encoder_token_ids"][1]

    def takes(self, longest):
        """How many tokens of a source it takes, of so many places."""
        return range(1, min(longest, self.length or longest) + 1)

    def reading(self, sources):
        """The step function of what is written of sources.

        Args:
            sources: what is read of each, one for each prompt, or for as many prompts in a row:
                lists of token ids.

        Raises:
            KzooError: for a source that is longer than the file reads.
        """
        with self._one_at_a_time:
            read = [self._encoded(ids) for ids in sources]
        return _Reading(self, read)

    def _encoded(self, source):
        """What `encode` gives of a source, and which places of it count."""
        given = self.inputs_of(source)
        rows = [value.shape[1] for value in given.values() if value.ndim == 2]
        self._before.fit(max(rows, default=1))
        for name, value in given.items():
            self._before.input(name)[:] = value
        outputs = {name: value.copy() for name, value in self._before.run().items()}
        masks = [value for name, value in given.items() if name.endswith("padding_mask")]
        return {**outputs, **({"memory_mask": masks[0]} if masks else {})}

    def inputs_of(self, source):
        """What `encode` reads of a source, arrays by name."""
        return self.tokens_of(source, *self.of_source)

    def tokens_of(self, ids, name, mask):
        """Token ids in a row of the file's length and their mask, by the names of both."""
        size = self.length or len(ids)
        if not 0 < len(ids) <= size:
            most = f"1 to {self.length}" if self.length else "at least 1"
            raise KzooError(f"Got a source of {len(ids)} tokens; expected {most}.")
        row, real = np.zeros((2, 1, size), "int32")
        row[0, : len(ids)], real[0, : len(ids)] = ids, 1
        return {name: row, mask: real}

    def _read_before(self, row, ids):
        """A token at a time."""
        for token in ids:
            self._step(row, token)

    def _fit(self, row):
        """Let `decode` have what was read of the row's source."""
        if self._memory is row.source:
            return
        self._decode.fit(row.source["memory_key_0"].shape[2])
        for name, value in row.source.items():
            self._decode.input(name)[:] = value
        self._memory = row.source


class PictureStep(SourceStep):
    """The step function of a file that reads a picture and writes of it; sources are arrays."""

    of_source = ("images",)

    @property
    def length(self):
        """1: all pictures have as many places."""
        return 1

    def inputs_of(self, source):
        """See `SourceStep`."""
        shape, dtype = self._before.inputs["images"][1:], self._before.input_type("images")
        if getattr(source, "shape", None) != shape or source.dtype != dtype:
            raise KzooError(
                f"Got {type(source).__name__} of the shape {getattr(source, 'shape', None)} as a "
                f"picture; expected an array {shape}, {dtype}, which the file reads."
            )
        return {"images": source[None]}

    def blank(self, length):
        """A black picture, whatever the length."""
        return np.zeros(self._before.inputs["images"][1:], self._before.input_type("images"))


class QuestionStep(PictureStep):
    """The step function of a file that reads a picture and a question and writes of both.

    Sources are pairs of an array and token ids.
    """

    of_source = ("images", "question_token_ids", "question_padding_mask")

    @property
    def length(self):
        """How many tokens of a question are read, padding included; None for any number."""
        return None if self._before.is_open else self._before.inputs["question_token_ids"][1]

    def inputs_of(self, source):
        """See `SourceStep`."""
        picture, ids = source
        return {**super().inputs_of(picture), **self.tokens_of(ids, *self.of_source[1:])}

    def blank(self, length):
        """A black picture, and so many tokens."""
        return super().blank(length), [1] * length


class _Reading:
    """The step function of what is written of sources, which were read."""

    def __init__(self, step, sources):
        self.step, self.sources = step, sources

    def __call__(self, token_ids, places, state=None):
        """As `FileStep`."""
        if state is None:
            each = len(token_ids) // len(self.sources)
            state = State([_Row(source=source) for source in self.sources for _ in range(each)])
        return self.step(token_ids, places, state)


class _Row:
    """A sequence: how many slots it uses, and its cache where the file doesn't hold that.

    Of one that is written of a source also what was read of it.
    """

    def __init__(self, used=0, arrays=None, source=None):
        self.used, self.arrays, self.source, self.holder = used, arrays, source, None

    def copy(self):
        """Another sequence that begins the same."""
        arrays = self.holder._held(self) if self.arrays is None and self.holder else self.arrays
        return _Row(self.used, arrays, self.source)


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
