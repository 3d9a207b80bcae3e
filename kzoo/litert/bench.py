"""How long a bundle takes by length, alone or in turn with another one."""

import statistics
import time
from pathlib import Path

import numpy as np

from ..errors import KzooError
from .bundle import MODEL, check_files, read_manifest
from .interpreter import Interpreter

LENGTHS = (16, 32, 64, 128, 256)  # tokens
WARM_UP = 2  # rounds that allocate and fill the caches


def bench_bundle(folder, against=None, lengths=None, threads=1, rounds=20):
    """Measure the latency of a bundle at batch 1.

    Every round runs every length of both files in turn, so that a busy moment of the machine
    falls on all of them. Only ratios of one run carry over to another machine.

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
    times = {(i, length): [] for i in range(len(files)) for length in lengths}
    for turn in range(WARM_UP + rounds):
        for length in lengths:
            for i, (interpreter, _) in enumerate(files):
                columns = _columns(interpreter, length)
                if turn < WARM_UP:
                    interpreter.run(columns)
                    continue
                interpreter.run(columns)  # another length ran before: allocate outside the time
                start = time.perf_counter()
                interpreter.run(columns)
                times[i, length].append(1000 * (time.perf_counter() - start))
    rows = []
    longest = statistics.median(times[0, lengths[-1]])
    for length in lengths:
        middle = statistics.median(times[0, length])
        row = {"tokens": length, "milliseconds": middle, "share": middle / longest}
        if against is not None:
            row["against_milliseconds"] = statistics.median(times[1, length])
            pairs = zip(times[1, length], times[0, length], strict=True)
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
        asked = fixed or [n for n in LENGTHS if n <= limit] or [limit]
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
