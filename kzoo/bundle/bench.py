"""How long a bundle takes by length, alone or in turn with another one."""

import statistics
import time
from pathlib import Path

import numpy as np

from ..errors import KzooError
from ..litert.interpreter import Interpreter
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
        "against_milliseconds" and "speed" (how many times faster than `against`): medians.

    Raises:
        KzooError: if a bundle was changed or does not take a length.
    """
    if rounds < 1 or threads < 1:
        raise KzooError(f"rounds is {rounds} and threads {threads}; both must be at least 1.")
    names = [Path(folder)] + ([] if against is None else [Path(against)])
    files = [_open(name, threads) for name in names]
    lengths = _lengths(lengths, names, files)
    times = measure({i: opened for i, (opened, _) in enumerate(files)}, lengths, rounds, threads)
    rows = []
    longest = statistics.median(times[0][lengths[-1]])
    for length in lengths:
        middle = statistics.median(times[0][length])
        row = {"tokens": length, "milliseconds": middle, "share": middle / longest}
        if against is not None:
            row["against_milliseconds"] = statistics.median(times[1][length])
            pairs = zip(times[1][length], times[0][length], strict=True)
            row["speed"] = statistics.median(other / this for other, this in pairs)
        rows.append(row)
    return {
        "bundle": str(folder),
        "against": None if against is None else str(against),
        "threads": threads,
        "rounds": rounds,
        "lengths": rows,
    }


def _open(folder, threads):
    """The interpreter of a bundle, and how many tokens it takes at most."""
    manifest = read_manifest(folder)
    check_files(folder, manifest, {MODEL})
    return Interpreter(folder / MODEL, threads=threads), manifest["max_length"]


def _lengths(asked, names, files):
    """The lengths to measure, short to long; KzooError names a file that does not take one."""
    fixed = {interpreter.length for interpreter, _ in files} - {None}
    limit = min(most for _, most in files)
    if asked is None:
        asked = fixed or usual_lengths(limit)
    for name, (interpreter, most) in zip(names, files, strict=True):
        for length in asked:
            if interpreter.length not in (None, length):
                raise KzooError(f"{name} takes exactly {interpreter.length} tokens, not {length}.")
            if not 1 <= length <= most:
                raise KzooError(f"{name} takes 1 to {most} tokens; {length} was asked for.")
    return sorted(set(asked))


def _columns(interpreter, length):
    return {
        name: np.full((1, length), int(name != "segment_ids"), "int32")
        for name in interpreter.input_names
    }
