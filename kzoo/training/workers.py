"""Several workers on this machine: processes that find one another, and end together.

Nothing here imports TensorFlow.
"""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

from ..errors import KzooError
from ..terminal import INTERRUPTED, UNEXPECTED, complain

GRACE = 5  # Seconds in which a process that was asked to end may do so by itself.
GPUS = "CUDA_VISIBLE_DEVICES"
CHIEF, TUNER = "chief", "tuner"  # who processes of a search are; tuners have numbers


def run(arguments, environments):
    """Run `kzoo ARGUMENTS` in a process for each of some environments.

    What the first, the chief, prints is shown. One that dies ends all of them, and a sentence on
    stderr names it. Ctrl-C and SIGTERM go to each.

    Returns:
        The chief's exit code; 1 where another worker's death ended it, 130 after Ctrl-C.
    """
    count = len(environments)
    with contextlib.ExitStack() as stack:
        asked = stack.enter_context(_asked())
        # Others than the chief say the same again, or what nobody reads unless they die.
        said = [None, *(stack.enter_context(tempfile.TemporaryFile()) for _ in range(count - 1))]
        workers = []
        stack.callback(_end, workers, signal.SIGTERM)
        for environment, file in zip(environments, said, strict=True):
            workers.append(
                subprocess.Popen(
                    [sys.executable, "-m", "kzoo", *arguments],
                    env={**os.environ, **environment},
                    stdin=subprocess.DEVNULL,
                    stdout=file,
                    stderr=file,
                    start_new_session=True,  # Ctrl-C comes once, from here.
                )
            )
        return _watched(workers, said, asked)


def cluster(count):
    """What tells each of so many workers of a training who they all are, and its GPUs."""
    addresses = [f"127.0.0.1:{port}" for port in _ports(count)]
    tasks = ({"type": "worker", "index": index} for index in range(count))
    named = ({"cluster": {"worker": addresses}, "task": task} for task in tasks)
    return [
        {"TF_CONFIG": json.dumps(config), **own}
        for config, own in zip(named, _gpus_of(count), strict=True)
    ]


def tuners(count):
    """What tells a chief and so many processes of a search who they are, and which are their GPUs.

    The chief, which doesn't learn, is first.
    """
    (port,) = _ports(1)
    common = {"KERASTUNER_ORACLE_IP": "127.0.0.1", "KERASTUNER_ORACLE_PORT": str(port)}
    others = [
        {**common, "KERASTUNER_TUNER_ID": f"{TUNER}{index}", **own}
        for index, own in enumerate(_gpus_of(count))
    ]
    return [{**common, "KERASTUNER_TUNER_ID": CHIEF, GPUS: "-1"}, *others]


def _ports(count):
    """Free ports of this machine."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:  # All are held until each has another port.
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def _gpus_of(count):
    """Which GPUs each of so many processes may use, as variables of its environment."""
    gpus = _gpus()
    if 0 < len(gpus) < count:
        raise KzooError(
            f"Got {count} workers on a machine with {len(gpus)} GPUs; expected one for each: take "
            f"--workers {len(gpus)}, or set {GPUS}=-1 to learn on the processor."
        )
    return [{GPUS: ",".join(gpus[index::count])} if gpus else {} for index in range(count)]


def _gpus():
    """The names of the GPUs that TensorFlow may see, as text."""
    if (named := os.environ.get(GPUS)) is not None:
        return [name for name in named.split(",") if name not in ("", "-1")]
    if shutil.which("nvidia-smi") is None:
        return []
    command = ["nvidia-smi", "--query-gpu=index", "--format=csv,noheader"]
    return subprocess.run(command, capture_output=True, text=True).stdout.split()


def _watched(workers, said, asked):
    """The exit code, once all have ended."""
    told = False
    while True:
        codes = [worker.poll() for worker in workers]
        if codes[0] is not None and codes[0] >= 0:
            _wait(workers, GRACE)  # It has said by itself what there is to say.
            return codes[0]
        if signal.SIGINT in asked:
            _end(workers, signal.SIGINT)
            return INTERRUPTED
        if asked and not told:  # A machine that is taken away: each may save what it has.
            told = True
            for worker in workers:
                worker.send_signal(signal.SIGTERM)
        dead = next((place for place, code in enumerate(codes) if code), None)
        if dead is not None and codes[dead] > 0 and dead:
            _wait(workers[:1], GRACE)  # Maybe the chief is about to say the same of the recipe.
            if (workers[0].poll() or -1) > 0:
                continue
        if dead is not None:
            _end(workers, signal.SIGINT)  # They tidy up, once they are told that one is gone.
            if not told:
                complain(_obituary(dead, codes[dead], said[dead], len(workers)))
            return UNEXPECTED if dead else 128 - codes[0]
        time.sleep(0.1)


def _obituary(place, code, file, count):
    name = f"Worker {place}{', the chief,' * (not place)} of {count}"
    if code < 0:
        how = f"was killed by {signal.Signals(-code).name}"
    else:
        file.seek(0)
        lines = file.read().decode("utf-8", "replace").strip().splitlines()
        how = f"ended with exit code {code}{f' ({lines[-1]:.200})' if lines else ''}"
    return f"{name} {how}, so the others were ended, too: run the same command again."


def _end(workers, sign):
    """Ask those that live to end, and make them."""
    for worker in workers:
        if worker.poll() is None:
            worker.send_signal(sign)
    _wait(workers, GRACE)
    for worker in workers:
        if worker.poll() is None:
            worker.kill()
            worker.wait()


def _wait(workers, seconds):
    until = time.monotonic() + seconds
    while time.monotonic() < until and any(worker.poll() is None for worker in workers):
        time.sleep(0.05)


@contextlib.contextmanager
def _asked():
    """The signals to end that have come: none is to fall between a process and our list of them."""
    came = []
    kept = {sign: signal.getsignal(sign) for sign in (signal.SIGINT, signal.SIGTERM)}
    for sign in kept:
        signal.signal(sign, lambda sign, _frame: came.append(sign))
    try:
        yield came
    finally:
        for sign, handler in kept.items():
            signal.signal(sign, handler)
