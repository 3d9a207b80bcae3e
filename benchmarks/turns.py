"""Arms that take turns: each is a process that stays alive and works when it is its turn.

A busy moment of the machine falls on all of them so, and ratios are medians of the ratios within a
round. The script that measures starts itself again for each arm: there it calls `serve`.
"""

import json
import os
import statistics
import subprocess
import sys
import time


def take(commands, rounds, environments=None):
    """Let arms take turns; the answers of each.

    Args:
        commands: {arm: the command that serves it, as a list}.
        rounds: how many turns each has, behind the one before it is ready.
        environments: {arm: environment variables beside those of now}.

    Returns:
        {arm: what its turns gave, a dict each}, and the load of the machine before each round.
    """
    environments = environments or {}
    workers = {arm: _start(arm, commands[arm], environments.get(arm, {})) for arm in commands}
    turns, loads = {arm: [] for arm in workers}, []
    for _ in range(rounds):
        loads.append(round(os.getloadavg()[0], 2))
        for arm, worker in workers.items():
            worker.stdin.write("turn\n")
            worker.stdin.flush()
            turns[arm].append(json.loads(worker.stdout.readline()))
    for worker in workers.values():
        worker.stdin.close()
        worker.wait()
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
        raise SystemExit(f"error: the arm {arm!r} ended early; VERBOSE=1 shows why.")
    return worker


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


def middle(turns, arm, key):
    """The median of a number over an arm's turns."""
    return statistics.median(turn[key] for turn in turns[arm])


def ratio(turns, arm, other, key):
    """How many times less an arm needs of something than another: the median over the rounds."""
    pairs = zip(turns[arm], turns[other], strict=True)
    return round(statistics.median(b[key] / a[key] for a, b in pairs), 3)
