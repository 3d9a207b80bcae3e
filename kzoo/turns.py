"""Arms that take turns: each is a process that stays alive and works when it is its turn.

A busy moment of the machine falls on all of them so, and ratios are medians of the ratios within a
round. What measures starts itself again for each arm: there it calls `serve`.
"""

import gc
import json
import os
import re
import statistics
import subprocess
import sys
import time
from pathlib import Path

from .errors import KzooError

PEAK = Path("/proc/self/clear_refs")  # Where Linux lets the peak of memory begin anew.


def take(commands, rounds, environments=None):
    """Let arms take turns; the answers of each.

    Args:
        commands: {arm: the command that serves it, as a list}.
        rounds: how many turns each has, behind the one before it is ready.
        environments: {arm: environment variables beside those of now}.

    Returns:
        {arm: what its turns gave, a dict each}, and the load of the machine before each round.

    Raises:
        KzooError: where an arm ends before its turns are over.
    """
    environments, workers = environments or {}, {}
    try:
        for arm in commands:
            workers[arm] = _start(arm, commands[arm], environments.get(arm, {}))
        turns, loads = {arm: [] for arm in workers}, []
        for _ in range(rounds):
            loads.append(round(os.getloadavg()[0], 2))
            for arm, worker in workers.items():
                try:
                    worker.stdin.write("turn\n")
                    worker.stdin.flush()
                except BrokenPipeError:
                    raise _ended(arm) from None
                answer = worker.stdout.readline()
                if not answer:
                    raise _ended(arm)
                turns[arm].append(json.loads(answer))
    finally:
        for worker in workers.values():
            with worker:  # Closes what it reads from, and waits.
                pass
    return turns, loads


def _start(arm, command, environment):
    """A worker that has loaded what it needs and had one turn."""
    worker = subprocess.Popen(
        [str(part) for part in command],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=None if os.environ.get("VERBOSE") else subprocess.DEVNULL,
        text=True,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", **environment},
    )
    if worker.stdout.readline() != "ready\n":
        worker.kill()
        worker.communicate()
        raise _ended(arm)
    return worker


def _ended(arm):
    return KzooError(
        f"The process that measures {arm!r} ended early, as where memory runs out; VERBOSE=1 shows "
        "what it said: try less, such as shorter inputs."
    )


def serve(turn):
    """Take a turn, a function that gives a dict, and then one more at each line that comes."""
    turn()
    print("ready", flush=True)
    for _ in sys.stdin:
        print(json.dumps(turn()), flush=True)


def timed(function):
    """What a function gives, and the seconds of the clock and of the processor."""
    clock, processor = time.perf_counter(), time.process_time()
    result = function()
    return result, time.perf_counter() - clock, time.process_time() - processor


def resident(name="VmRSS"):
    """MiB that Linux says this process has in memory ("VmHWM": had at most); None elsewhere."""
    if not PEAK.exists():
        return None
    status = Path("/proc/self/status").read_text()
    return int(re.search(rf"{name}:\s+(\d+)", status)[1]) / 1024


def used(function, before=None):
    """What a call of a function takes.

    Args:
        before: MiB above which memory counts; by default what is resident now.

    Returns:
        {"cpu": seconds of the processor, "clock": seconds, "MiB": the largest resident memory
        while it ran, above `before`; None where this isn't Linux}.
    """
    gc.collect()
    if PEAK.exists():
        PEAK.write_text("5")  # The peak begins anew.
        before = resident() if before is None else before
    _, clock, processor = timed(function)
    most = resident("VmHWM")
    return {"cpu": processor, "clock": clock, "MiB": most and max(most - before, 0.0)}


def middle(turns, arm, key):
    """The median of a number over an arm's turns."""
    return statistics.median(turn[key] for turn in turns[arm])


def ratio(turns, arm, other, key):
    """How many times less an arm needs of something than another: the median over the rounds."""
    pairs = zip(turns[arm], turns[other], strict=True)
    return round(statistics.median(b[key] / a[key] for a, b in pairs), 3)
