"""How long a bundle takes by length, alone or in turn with another one."""

import statistics
from pathlib import Path

from ..errors import KzooError
from . import answering
from .kinds import kind_of
from .manifest import MODEL, check_files, read_manifest


def bench_bundle(folder, against=None, lengths=None, threads=1, rounds=20):
    """Measure the latency of a bundle at batch 1.

    See `answering.measure` and `continuation.measure` for what is timed. Compare numbers of one
    run only: even a ratio is another one on another kind of processor.

    Args:
        folder: the bundle.
        against: another bundle, such as a float32 export of the same model.
        lengths: numbers of tokens; 16 to 256, as far as the files take them, by default.
        threads: how many the model may use.
        rounds: measurements a length.

    Returns:
        A dict with `bundle`, `against`, `threads`, `rounds`, `reads` and `lengths`, a list of
        {"tokens" (1 for a picture or a sound), "milliseconds", "share"} (of the time at the
        longest) and, with `against`, "against_milliseconds" and "speed" (how many times faster
        than `against`): medians. Of a bundle that writes these are the times from a prompt of so
        many tokens to the first one behind it, and `token` is such an entry for each one more,
        with "per_second".

    Raises:
        KzooError: if a bundle was changed or does not take a length.
    """
    if rounds < 1 or threads < 1:
        raise KzooError(f"rounds is {rounds} and threads {threads}; both must be at least 1.")
    names = [Path(folder)] + ([] if against is None else [Path(against)])
    manifests = [read_manifest(name) for name in names]
    for name, manifest in zip(names, manifests, strict=True):
        check_files(name, manifest, {MODEL})
    kinds = [kind_of(manifest["rule"]) for manifest in manifests]
    rules = [manifest["rule"] for manifest in manifests]
    if rules[0] != rules[-1] and not kinds[0] is kinds[-1] is answering:
        raise KzooError(f"Got {folder} and {against}, of which one writes; expected two of a kind.")
    longest = min(
        manifest["task_options"].get("source_length", manifest["max_length"])
        for manifest in manifests
    )
    files = {place: kinds[0].Opened(name / MODEL, threads) for place, name in enumerate(names)}
    lengths = _lengths(kinds[0], dict(zip(names, files.values(), strict=True)), longest, lengths)
    times, token = kinds[0].measure(files, lengths, rounds, threads)
    result = {
        "bundle": str(folder),
        "against": None if against is None else str(against),
        "threads": threads,
        "rounds": rounds,
        "reads": manifests[0]["reads"],
        "lengths": _rows(times, lengths),
    }
    if token:
        (row,) = _rows({place: {1: times} for place, times in token.items()}, [1])
        result["token"] = {**row, "per_second": 1000 / row["milliseconds"]}
    return result


def _lengths(kind, files, longest, asked):
    """The lengths, short to long; KzooError for one that a bundle doesn't take."""
    ranges = {name: kind.takes(file, longest) for name, file in files.items()}
    for name, taken in ranges.items():
        for length in asked or ():
            if length not in taken:
                some = f"{taken[0]} to {taken[-1]}" if len(taken) > 1 else f"exactly {taken[0]}"
                raise KzooError(f"{name} takes {some} tokens; {length} was asked for.")
    if asked:
        return sorted(set(asked))
    shortest = min(ranges.values(), key=len)
    for name, taken in ranges.items():
        if shortest[-1] not in taken:
            raise KzooError(f"{name} takes exactly {taken[0]} tokens, not {shortest[-1]}.")
    return kind.usual_lengths(shortest)


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
