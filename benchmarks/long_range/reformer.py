"""The Reformer beside full attention: time at a fixed number of tokens, memory by depth.

    python benchmarks/long_range/reformer.py [time|memory] [--rounds 3] [--lengths N ...]

Time, as in figure 5 of the paper (arXiv:2001.04451): one layer of causal attention (width 256, 4
heads, chunks of 64) reads 16,384 tokens, as 32 rows of 512 up to one row of 16,384. "written out"
is softmax(QK^T) in memory, "fused" torch's `scaled_dot_product_attention`, what a user would take
today. Arms take turns in one run, each a process with one thread; times are the processor's,
medians of ratios.

Memory: the gradients of a training step of a whole model (width 256, one example of 4,096 tokens)
by depth, each in a process of its own: the largest resident memory above the built model, its
graph included, without what an example of 256 tokens takes in another process: the gradients of
the weights, and TensorFlow's work on a graph that it sees first. Beside it the Reformer of
transformers, and kzoo's own blocks with a norm in front (of the same attention, so that the blocks
are what differs).
"""

import argparse
import ctypes
import json
import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent)]
import arms  # noqa: E402

from kzoo import turns  # noqa: E402

TOKENS, WIDTH, HEADS, CHUNK = 16384, 256, 4, 64
LENGTHS = (512, 1024, 2048, 4096, 8192, 16384)
# Maps of 16,384 places and 4 heads, once and once more as a softmax, are 8 GiB.
LONGEST = {"written out": 8192}
TIMED = ("1 hash", "2 hashes", "4 hashes", "written out", "fused")
DEPTHS, PLACES, SHORT = (2, 4, 8, 16), 4096, 256
DEEP = ("reversible", "pre_norm", "transformers")
MOST_TIME, MOST_MEMORY = 1.1, 4.0  # LSH(16k) / LSH(512); MiB a layer, where transformers takes 17
SOURCES = ["kzoo/graphs.py", "kzoo/keras_hooks.py", "kzoo/nn"]


def slot(name):
    """What the attention slot of an arm holds."""
    if name == "written out":
        return {"kind": "causal", "bias": []}
    hashes = int(name.split()[0])
    return {"kind": "lsh", "hashes": hashes, "chunk": CHUNK, "seed": 0}


def attention(name, length):
    """A function that runs one layer of attention on all tokens."""
    import numpy as np

    x = np.random.default_rng(0).standard_normal((TOKENS // length, length, WIDTH))
    x = x.astype("float32")
    if name == "fused":
        import torch

        torch.set_num_threads(1)
        shape = (len(x), length, HEADS, WIDTH // HEADS)
        maps = [torch.nn.Linear(WIDTH, WIDTH, bias=False) for _ in range(4)]
        x = torch.from_numpy(x)

        @torch.no_grad()
        def run():
            q, k, v = (each(x).reshape(shape).transpose(1, 2) for each in maps[:3])
            y = torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
            return maps[3](y.transpose(1, 2).reshape(x.shape))

        return run
    import tensorflow as tf
    from keras import ops

    import kzoo
    from kzoo.nn.context import Context
    from kzoo.nn.position import Unplaced
    from kzoo.parts import make

    words = {"kind": "token", "vocabulary_size": 8}
    spec = kzoo.Spec("gpt2", words, WIDTH, HEADS, WIDTH, (0,), max_sequence_length=length)
    layer = make("attention", slot(name), spec=spec, name="attention")
    places = np.arange(length, dtype="int32")
    context = Context(
        Unplaced(), None, length,
        ops.reshape(places, (1, 1, -1, 1)), ops.reshape(places, (1, 1, 1, -1)),
    )  # fmt: skip
    layer(x[:1], context=context)  # Builds it.
    run = tf.function(lambda x: layer(x, context=context)[0])
    x = tf.constant(x)
    return lambda: run(x)


def serve(name, lengths):
    """Serve turns: the seconds of each length."""
    lengths = [length for length in lengths if length <= LONGEST.get(name, max(LENGTHS))]
    runs = {length: attention(name, length) for length in lengths}
    turns.serve(lambda: {str(length): turns.used(run)["cpu"] for length, run in runs.items()})


def of_transformers(depth):
    """A step of transformers' Reformer, as a function of a length."""
    import torch
    import transformers

    torch.set_num_threads(1)
    config = transformers.ReformerConfig(
        attn_layers=["local", "lsh"] * (depth // 2), hidden_size=WIDTH, num_attention_heads=HEADS,
        attention_head_size=WIDTH // HEADS, feed_forward_size=4 * WIDTH, is_decoder=True,
        axial_pos_embds=False, max_position_embeddings=PLACES, num_buckets=64, vocab_size=320,
        hash_seed=0,
    )  # fmt: skip
    model = transformers.ReformerModelWithLMHead(config).train()

    def step(length):
        ids = torch.randint(0, 320, (1, length))
        model(ids, labels=ids).loss.backward()
        model.zero_grad(set_to_none=True)

    return step


def of_kzoo(kind, depth):
    """The same of kzoo's blocks of a kind."""
    import numpy as np
    import tensorflow as tf

    import kzoo
    from kzoo.models import build

    common = {"bias": [], "chunk": CHUNK}
    spec = kzoo.Spec(
        "reformer", {"kind": "token", "vocabulary_size": 320}, WIDTH, HEADS, 4 * WIDTH,
        tuple(range(depth)), max_sequence_length=PLACES, block=kind, norms=["final"],
        pooler="none", dropout=0.05, attention_dropout=0.05,
        feedforward={"kind": "mlp", "activation": "relu"},
        attention=[
            {"kind": "chunked", **common},
            {"kind": "lsh", "hashes": 1, "buckets": 64, "seed": 0, **common},
        ],
    )  # fmt: skip
    task = kzoo.CausalLM(build(spec))

    @tf.function(input_signature=[tf.TensorSpec((1, None), "int32")])
    def run(ids):
        with tf.GradientTape() as tape:
            read = {"token_ids": ids, "padding_mask": tf.ones_like(ids)}
            logits = task(read, training=True)["logits"]
            losses = tf.nn.sparse_softmax_cross_entropy_with_logits(ids[:, 1:], logits[:, :-1])
            loss = tf.reduce_mean(losses)
        return tape.gradient(loss, [weight.value for weight in task.trainable_weights])

    def step(length):
        ids = np.random.default_rng(length).integers(0, 320, (1, length)).astype("int32")
        run(tf.constant(ids))

    run.get_concrete_function()
    return step


def deep(name, depth, places):
    """Print what a first step of a depth needs, in MiB."""
    step = of_transformers(depth) if name == "transformers" else of_kzoo(name, depth)
    ctypes.CDLL("libc.so.6").malloc_trim(0)  # What is free now isn't there for what comes.
    found = turns.used(lambda: step(places))
    print(json.dumps(found))


def run_again(*arguments):
    """This script in a process of its own."""
    return [sys.executable, str(HERE / "reformer.py"), *map(str, arguments)]


def measure_time(rounds, lengths):
    """Seconds by arm and length, and how the last is to the first."""
    environments = {name: arms.ONE_THREAD for name in TIMED}
    commands = {name: run_again("serve", "--arm", name, "--lengths", *lengths) for name in TIMED}
    taken, loads = turns.take(commands, rounds, environments)
    seconds = {
        name: {length: turns.middle(taken, name, length) for length in taken[name][0]}
        for name in TIMED
    }
    flat = {}
    for name in [name for name in TIMED if "hash" in name]:
        ratios = sorted(turn[str(lengths[-1])] / turn[str(lengths[0])] for turn in taken[name])
        ratio = ratios[len(ratios) // 2]
        flat[name] = {"ratio": round(ratio, 3), "reached": ratio <= MOST_TIME}
    return {"seconds": seconds, "longest to shortest": flat, "loads": loads}


def measure_memory():
    """MiB by kind and depth, and by layer."""
    found, environment = {}, {**os.environ, **arms.ONE_THREAD, "TF_CPP_MIN_LOG_LEVEL": "3"}
    for name in DEEP:
        found[name] = {}
        for depth in DEPTHS:
            taken = []
            for places in (PLACES, SHORT):
                of_arm = "--arm", name, "--depth", depth, "--places", places
                command = run_again("deep", *of_arm)
                completed = subprocess.run(
                    command, env=environment, check=True, stdout=subprocess.PIPE
                )
                taken.append(json.loads(completed.stdout.splitlines()[-1])["MiB"])
            found[name][depth] = taken[0] - taken[1]
            print(name, depth, taken, flush=True)
    first, last = DEPTHS[0], DEPTHS[-1]
    layers = {name: round((by[last] - by[first]) / (last - first), 2) for name, by in found.items()}
    return {
        "MiB": {name: {d: round(n, 1) for d, n in by.items()} for name, by in found.items()},
        "MiB a layer": layers,
        "reached": layers["reversible"] <= MOST_MEMORY,
    }


def draw(found):
    """Draw what was measured."""
    panels = []
    if "time" in found:
        seconds = found["time"]["seconds"]
        curves = {n: [(int(k), v) for k, v in by.items()] for n, by in seconds.items()}
        axes = {"x": "places of a row", "y": "seconds of the processor"}
        panels.append({"title": f"{TOKENS} tokens", "curves": curves, **axes})
    if "memory" in found:
        by_depth = found["memory"]["MiB"]
        curves = {n: [(int(k), v) for k, v in by.items()] for n, by in by_depth.items()}
        axes = {"x": "layers", "y": "MiB of a step"}
        panels.append({"title": f"{PLACES} tokens, width {WIDTH}", "curves": curves, **axes})
    arms.picture("reformer", panels)


def main():
    """Measure, or serve as an arm."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("what", nargs="?", choices=["time", "memory", "serve", "deep"])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--lengths", type=int, nargs="+", default=LENGTHS)
    parser.add_argument("--arm")
    parser.add_argument("--depth", type=int)
    parser.add_argument("--places", type=int, default=PLACES)
    given = parser.parse_args()
    if given.what == "serve":
        serve(given.arm, given.lengths)
    elif given.what == "deep":
        deep(given.arm, given.depth, given.places)
    else:
        path = HERE / "reformer.json"
        found = json.loads(path.read_text()) if given.what and path.exists() else {}
        if given.what != "memory":
            found["time"] = measure_time(given.rounds, given.lengths)
        if given.what != "time":
            found["memory"] = measure_memory()
        print(json.dumps(found, indent=1))
        arms.record("reformer", found, SOURCES)
        draw(found)


if __name__ == "__main__":
    main()
