"""How long a bundle takes by length, alone or in turn with another one."""

import statistics
import time
from pathlib import Path

import numpy as np

from ..errors import KzooError
from ..litert.interpreter import Interpreter
from . import continuation
from .file_step import FileStep
from .manifest import MODEL, check_files, read_manifest

LENGTHS = (16, 32, 64, 128, 256)  # tokens
WARM_UP = 2  # rounds that allocate and fill the caches


def measure(interpreters, lengths, rounds, threads=1):
    """Milliseconds that some files take for a text, at batch 1.

    Every round runs every length of every file in turn, so that a busy moment of the machine falls
    on all of them. On one thread it is processor time, which other programs leave alone; on more
    it is time by the clock, since processor time adds the threads up.

    Args:
        interpreters: {name: `Interpreter`}.
        lengths: numbers of tokens.
        rounds: measurements a length.
        threads: how many the interpreters use.

    Returns:
        {name: {length: [milliseconds, ...]}}, a number a round.
    """
    clock = time.process_time if threads == 1 else time.perf_counter
    times = {name: {length: [] for length in lengths} for name in interpreters}
    for turn in range(WARM_UP + rounds):
        for length in lengths:
            for name, interpreter in interpreters.items():
                columns = _columns(interpreter, length)
                interpreter.run(columns)  # another length ran before: allocate outside the time
                if turn < WARM_UP:
                    continue
                start = clock()
                interpreter.run(columns)
                times[name][length].append(1000 * (clock() - start))
    return times


def latency(files, longest, rounds):
    """Medians of `measure` for a report: {"lengths", "rounds", name: [milliseconds, ...]}.

    Args:
        files: {name: path}; one called "file" says whether the length is fixed.
        longest: tokens that the model reads at most.
        rounds: measurements a length.
    """
    interpreters = {name: Interpreter(path) for name, path in files.items()}
    fixed = interpreters["file"].length
    lengths = [fixed] if fixed else usual_lengths(longest)
    times = measure(interpreters, lengths, rounds)
    medians = {
        name: [round(statistics.median(times[name][length]), 3) for length in lengths]
        for name in files
    }
    return {"lengths": lengths, **medians, "rounds": rounds}


def usual_lengths(longest):
    """The lengths that are measured where nobody names others."""
    return [length for length in LENGTHS if length <= longest] or [longest]


def bench_bundle(folder, against=None, lengths=None, threads=1, rounds=20):
    """Measure the latency of a bundle at batch 1.

    See `measure` for what is timed. Compare numbers of one run only: even a ratio is another one
    on another kind of processor.

    Args:
        folder: the bundle.
        against: another bundle, such as a float32 export of the same model.
        lengths: numbers of tokens; 16 to 256, as far as the files take them, by default.
        threads: how many the model may use.
        rounds: measurements a length.

    Returns:
        A dict with `bundle`, `against`, `threads`, `rounds` and `lengths`, a list of {"tokens",
        "milliseconds", "share"} (of the time at the longest) and, with `against`,
        "against_milliseconds" and "speed" (how many times faster than `against`): medians. Of a
        bundle that writes these are the times from a prompt of so many tokens to the first one
        behind it, and `token` is such an entry for each one more, with "per_second".

    Raises:
        KzooError: if a bundle was changed or does not take a length.
    """
    if rounds < 1 or threads < 1:
        raise KzooError(f"rounds is {rounds} and threads {threads}; both must be at least 1.")
    names = [Path(folder)] + ([] if against is None else [Path(against)])
    manifests = [read_manifest(name) for name in names]
    for name, manifest in zip(names, manifests, strict=True):
        check_files(name, manifest, {MODEL})
    kinds = [manifest["rule"] == continuation.RULE for manifest in manifests]
    if len(set(kinds)) > 1:
        raise KzooError(f"Got {folder} and {against}, of which one writes; expected two of a kind.")
    bench = _bench_writers if kinds[0] else _bench_readers
    longest = min(manifest["max_length"] for manifest in manifests)
    return {
        "bundle": str(folder),
        "against": None if against is None else str(against),
        "threads": threads,
        "rounds": rounds,
        **bench(names, longest, lengths, threads, rounds),
    }


def _bench_readers(names, longest, lengths, threads, rounds):
    files = [Interpreter(name / MODEL, threads=threads) for name in names]
    if lengths is None:
        lengths = {file.length for file in files} - {None} or usual_lengths(longest)
    for name, file in zip(names, files, strict=True):
        for length in lengths:
            if file.length not in (None, length):
                raise KzooError(f"{name} takes exactly {file.length} tokens, not {length}.")
    lengths = _checked_lengths(names, lengths, longest)
    return {"lengths": _rows(measure(dict(enumerate(files)), lengths, rounds, threads), lengths)}


def _bench_writers(names, longest, lengths, threads, rounds):
    files = {place: FileStep(name / MODEL, threads=threads) for place, name in enumerate(names)}
    lengths = continuation.usual_lengths(longest) if lengths is None else lengths
    lengths = _checked_lengths(names, lengths, longest - 1)
    prompts, tokens = continuation.measure(files, lengths, rounds, threads)
    (row,) = _rows({place: {1: times} for place, times in tokens.items()}, [1])
    per_second = 1000 / row["milliseconds"]
    return {"lengths": _rows(prompts, lengths), "token": {**row, "per_second": per_second}}


def _checked_lengths(names, lengths, most):
    """The lengths, short to long; KzooError for one that a bundle doesn't take."""
    for length in lengths:
        if not 1 <= length <= most:
            raise KzooError(
                f"{' or '.join(map(str, names))} takes 1 to {most} tokens; {length} was asked for."
            )
    return sorted(set(lengths))


def _rows(times, lengths):
    """Medians by length: of the first bundle, and beside it of the second, if there is one."""
    rows = []
    longest = statistics.median(times[0][lengths[-1]])
    for length in lengths:
        middle = statistics.median(times[0][length])
        row = {"tokens": length, "milliseconds": middle, "share": middle / longest}
        if 1 in times:
            row["against_milliseconds"] = statistics.median(times[1][length])
            pairs = zip(times[1][length], times[0][length], strict=True)
            row["speed"] = statistics.median(other / this for other, this in pairs)
        rows.append(row)
    return rows


def _columns(interpreter, length):
    return {
        name: np.full((1, length), int(name != "segment_ids"), "int32")
        for name in interpreter.input_names
    }
