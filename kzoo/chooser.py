"""Which attention to take for a length, a width and a device: what one block of each kind takes.

python -m kzoo.chooser ARM     serve turns, as `choose` starts it
"""

import dataclasses
import json
import math
import os
import statistics
import sys
from pathlib import Path

from . import turns
from .errors import KzooError
from .values import is_whole

LENGTHS = (512, 1024, 2048, 4096)
WARM = 64  # places of the input that runs first, for what a library needs once
MOST_SUMS, MOST_CHUNK = 128, 64  # k of Linformer's table 3; the chunks of the Reformer's figure 5


@dataclasses.dataclass(frozen=True)
class Kind:
    """A kind of attention as it is measured.

    Args:
        slot: what the attention slot holds for a size of blocks, a number of heads and a length.
        gives_up: what a place doesn't see, in plain words.
        dense: the kind that it is compared with, which sees all pairs; None for these themselves.
        is_causal: whether no place sees those behind it, so that it may write.
        writes_out: whether it computes all pairs, and keeps their scores in memory.
    """

    slot: object
    gives_up: str
    dense: str | None = "causal"
    is_causal: bool = True
    writes_out: bool = False


KINDS = {
    "full": Kind(lambda *sizes: {}, "nothing", None, is_causal=False, writes_out=True),
    "causal": Kind(lambda *sizes: {}, "what lies behind a place", None, writes_out=True),
    "local": Kind(
        lambda block, heads, length: {"window": 2 * block},
        "all beyond two blocks; time as well: all pairs are computed, and the rest masked",
        writes_out=True,
    ),
    "chunked": Kind(
        lambda block, heads, length: {"chunk": min(block, MOST_CHUNK), "bias": []},
        "all beyond its own chunk and the one before",
    ),
    "window": Kind(
        lambda block, heads, length: {"window": 2 * block, "looks_ahead": False},
        "all beyond two blocks; `window_and_first` has places that see all",
    ),
    "block_sparse": Kind(
        lambda block, heads, length: {
            "block": block, "random": max(0, min(3, length // block - 5)), "seed": 0,
        },
        "other blocks but the first, the last, those beside it and three at random; no causal form",
        "full",
        is_causal=False,
    ),
    "strided": Kind(
        lambda block, heads, length: {"stride": block},
        "of what lies further than a block, all but each so-manyth place; for what has rows",
    ),
    "fixed": Kind(
        lambda block, heads, length: {
            "stride": block, "summary": max(block // 4, 1), "columns": math.gcd(heads, 4),
        },
        "of other blocks, all but their last places, a quarter for each head; for text",
    ),
    "lsh": Kind(
        lambda block, heads, length: {"chunk": min(block, MOST_CHUNK), "hashes": 2, "bias": []},
        "what hashes elsewhere, so that it is found by chance; keys are the queries",
    ),
    "linformer": Kind(
        lambda block, heads, length: {
            "length": min(4 * block, MOST_SUMS, length), "sharing": "layer",
        },
        "single places, of which it sees sums; no causal form",
        "full",
        is_causal=False,
    ),
}  # fmt: skip


def choose(
    lengths=LENGTHS, hidden_dim=512, num_heads=8, block=None, kinds=None, threads=1, rounds=5
):
    """Measure one block of each kind of attention, and say which is fastest from which length on.

    A block (attention and a feed-forward net of 4 widths, random weights) reads one example,
    forward, with the backend and on the device that Keras computes on. Each kind has a process of
    its own, and they take turns. Memory is the largest that a first call needs above what is there
    before it, as Linux counts it; of other systems and of GPUs it isn't known.

    Args:
        lengths: numbers of places.
        hidden_dim, num_heads: the sizes of the block.
        block: the places of a block of the patterns; by default a power of two near the root of
            the length, as arXiv:1904.10509 has it.
        kinds: some of `KINDS`; all by default.
        threads: how many a process may use.
        rounds: measurements a length.

    Returns:
        A dict with `device`, `backend`, `hidden_dim`, `num_heads`, `threads`, `rounds`, `lengths`;
        `time`, whose it is: the "processor", which a busy machine changes little, where one thread
        of it computes, else the "clock"; `kinds`, a list of {"kind", "is_causal", "gives_up",
        "dense" (what it is compared with), "beats_dense_from" (a length, or None), "points"}, whose
        points are {"length", "milliseconds", "MiB", "speed" (times as fast as dense), "slot"},
        medians; and `fastest`, a list of {"length", "any", "causal"}. A kind that would need more
        memory than there is has no point of that length.

    Raises:
        KzooError: for sizes that don't fit each other.
    """
    _check(lengths, hidden_dim, num_heads, block, kinds, threads, rounds)
    lengths, kinds = sorted(set(lengths)), list(KINDS if kinds is None else kinds)
    sizes = {"hidden_dim": hidden_dim, "num_heads": num_heads, "intermediate_dim": 4 * hidden_dim}
    plan = {
        kind: {n: slot(kind, n, num_heads, block) for n in lengths if _fits(kind, n, num_heads)}
        for kind in kinds
    }
    plan = {kind: slots for kind, slots in plan.items() if slots}
    if not plan:
        raise KzooError(
            f"Got the length {lengths[0]}, whose pairs are more than this machine's memory holds; "
            "expected a shorter one, or kinds that don't compute them all."
        )
    common = {**sizes, "threads": threads}
    commands = {
        kind: [sys.executable, "-m", "kzoo.chooser",
               json.dumps({**common, "kind": kind, "slots": list(slots.items())})]
        for kind, slots in plan.items()
    }  # fmt: skip
    taken, _ = turns.take(commands, rounds, dict.fromkeys(plan, _environment(threads)))
    first = next(iter(taken.values()))[0]
    return {
        "device": first["device"],
        "backend": first["backend"],
        "time": first["time"],
        "hidden_dim": hidden_dim,
        "num_heads": num_heads,
        "threads": threads,
        "rounds": rounds,
        "lengths": lengths,
        **summary(taken, plan),
    }


def summary(taken, plan):
    """What turns say: `kinds` and `fastest`, see `choose`.

    Args:
        taken: {kind: a list of {"points": {length as a string: {"milliseconds", "MiB"}}}}, in the
            order of the rounds.
        plan: {kind: {length: what its slot held}}.
    """
    kinds = []
    for kind, slots in plan.items():
        of, points = KINDS[kind], []
        for length, held in slots.items():
            key = str(length)
            own = [turn["points"][key] for turn in taken[kind]]
            others = [turn["points"].get(key) for turn in taken.get(of.dense, ())]
            pairs = zip(others, own, strict=False)
            speeds = [a["milliseconds"] / b["milliseconds"] for a, b in pairs if a]
            points.append({
                "length": length,
                "milliseconds": statistics.median(turn["milliseconds"] for turn in own),
                "MiB": own[0]["MiB"],
                "speed": statistics.median(speeds) if speeds else None,
                "slot": held,
            })  # fmt: skip
        kinds.append({
            "kind": kind,
            "is_causal": of.is_causal,
            "gives_up": of.gives_up,
            "dense": of.dense,
            "beats_dense_from": _from(points),
            "points": points,
        })  # fmt: skip
    return {"kinds": kinds, "fastest": [_fastest(kinds, n) for n in _lengths(plan)]}


def _lengths(plan):
    return sorted({length for slots in plan.values() for length in slots})


def _from(points):
    """The first length from which on a kind was faster than dense at all that were measured."""
    found = None
    for point in reversed([point for point in points if point["speed"] is not None]):
        if point["speed"] <= 1:
            break
        found = point["length"]
    return found


def _fastest(kinds, length):
    """Which kind took least at a length, and which of those that may write; None without any."""
    times = {
        (kind["kind"], kind["is_causal"]): point["milliseconds"]
        for kind in kinds
        for point in kind["points"]
        if point["length"] == length
    }
    causal = {key: time for key, time in times.items() if key[1]}
    least = [min(some, key=some.get)[0] if some else None for some in (times, causal)]
    return {"length": length, "any": least[0], "causal": least[1]}


def block_of(length):
    """A power of two near the root of a length, above it rather than below."""
    return 2 ** math.ceil(math.log2(length) / 2)


def slot(kind, length, num_heads, block=None):
    """What the attention slot holds for a kind at a length."""
    return {"kind": kind, **KINDS[kind].slot(block or block_of(length), num_heads, length)}


def _check(lengths, hidden_dim, num_heads, block, kinds, threads, rounds):
    for name, value, least in (
        ("width", hidden_dim, 1), ("number of heads", num_heads, 1), ("threads", threads, 1),
        ("rounds", rounds, 1), *([("block", block, 4)] if block is not None else []),
    ):  # fmt: skip
        if not is_whole(value, least):
            raise KzooError(
                f"Got {value!r:.40} as the {name}; expected a whole number from {least}."
            )
    if hidden_dim % num_heads:
        raise KzooError(
            f"Got the width {hidden_dim} and {num_heads} heads; expected a width that the number "
            "of heads divides."
        )
    unknown = sorted(set(kinds or ()) - set(KINDS))
    if unknown:
        raise KzooError(f"Got the kind {unknown[0]!r:.40}; expected some of {', '.join(KINDS)}.")
    if not lengths:
        raise KzooError("Got no length; expected one or more, such as 4096.")
    for length in lengths:
        if not is_whole(length, 1):
            raise KzooError(f"Got the length {length!r:.40}; expected a whole number of places.")
        size = block or max(block_of(length), 4)
        if length <= size:
            raise KzooError(
                f"Got the length {length} for blocks of {size} places, which no pattern can split; "
                f"expected at least {size + 1}: what one block holds sees all of it anyway."
            )


def _fits(kind, length, num_heads):
    """Whether the scores of all pairs, and their maps, are no more than the memory that is free."""
    table = Path("/proc/meminfo")
    if not KINDS[kind].writes_out or not table.exists():
        return True
    free = next(line for line in table.read_text().splitlines() if line.startswith("MemAvailable"))
    return 2 * 4 * num_heads * length**2 < 1024 * int(free.split()[1])


def _environment(threads):
    """What lets TensorFlow and JAX use so many threads; XLA's knows one or all."""
    one = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
    flags = " ".join(filter(None, (os.environ.get("XLA_FLAGS"), one)))
    return {
        "OMP_NUM_THREADS": str(threads),
        "TF_NUM_INTRAOP_THREADS": str(threads),
        "TF_NUM_INTEROP_THREADS": str(threads),
        **({"XLA_FLAGS": flags} if threads == 1 else {}),
    }


# -- in a process of its own -----------------------------------------------------------------------


def one_block(length, attention, hidden_dim, num_heads, intermediate_dim, feedforward="mlp"):
    """A call of one block with random weights on one example of random vectors.

    Args:
        length: how many places the example has.
        attention, feedforward: what these slots hold.
        hidden_dim, num_heads, intermediate_dim: as in a spec.
    """
    import keras
    import numpy as np

    from .models import build
    from .spec import Spec

    spec = Spec(
        "gpt2",
        {"kind": "token", "vocabulary_size": 2, "padding_id": 0},
        hidden_dim,
        num_heads,
        intermediate_dim,
        schedule=(0,),
        max_sequence_length=length,
        position="none",
        attention=attention,
        feedforward=feedforward,
        norms=[],
        pooler="none",
    )
    model, ones = build(spec), np.ones((1, length), "int32")
    context = model.context({"token_ids": ones, "padding_mask": ones})
    x = np.random.default_rng(0).standard_normal((1, length, hidden_dim)).astype("float32")
    x = keras.ops.convert_to_tensor(x)

    def run(x):
        return model.block_list[0](x, context=context, training=False)[0]

    run = _in_one_graph(run, x)
    return lambda: keras.ops.convert_to_numpy(run(x))


def _in_one_graph(function, x):
    """A function of a tensor as the backend compiles it, for such as x."""
    import keras

    if keras.backend.backend() == "jax":
        import jax

        return jax.jit(function).lower(x).compile()
    import tensorflow as tf

    return tf.function(function, jit_compile=False).get_concrete_function(x)


def _serve(asked):
    """Serve turns: what a call takes, by length."""
    import keras

    kind, slots, threads = (asked.pop(key) for key in ("kind", "slots", "threads"))
    calls = {length: one_block(length, held, **asked) for length, held in slots}
    one_block(WARM, slot(kind, WARM, asked["num_heads"]), **asked)()
    device, start = keras.distribution.list_devices()[0], turns.resident()
    # What is measured first is the shortest: a longer one uses again what an allocator kept of it.
    first = {length: turns.used(call, start)["MiB"] for length, call in calls.items()}
    on_cpu = device.startswith("cpu")  # Of a GPU Linux knows neither memory nor time.
    time = "processor" if on_cpu and threads == 1 else "clock"
    key = "cpu" if time == "processor" else "clock"

    def turn():
        points = {
            length: {
                "milliseconds": 1000 * turns.used(call)[key],
                "MiB": first[length] if on_cpu else None,
            }
            for length, call in calls.items()
        }
        backend = keras.backend.backend()
        return {"device": device, "backend": backend, "time": time, "points": points}

    turns.serve(turn)


if __name__ == "__main__":
    _serve(json.loads(sys.argv[1]))
