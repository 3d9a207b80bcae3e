"""What a token costs where a text is measured with as much context: Transformer-XL and others.

    python benchmarks/long_range/transformer_xl.py [--rounds 3] [--lengths 800 1800 2800 3800]

The protocol of arXiv:1901.02860, table 9: a model without a memory reads a window of L tokens for
each token that it foretells; Transformer-XL reads L tokens behind a memory of as many, and
foretells all of them. Both have random weights, four layers of width 512, 8 heads and feed-forward
nets of 2,048, and no head; each of Transformer-XL's tokens sees as many, and its memory is one of
keys and values.

Baselines: "window" writes softmax(QK^T) to memory, as the paper's did; "window, fused" is the same
in torch with `scaled_dot_product_attention`; "cache" is what a user of today would take: one token
behind a cache of the keys and values of L - 1, in the model of the window. Arms take turns in one
run, each a process with one thread; times are the processor's, medians of ratios.
"""

import argparse
import statistics
import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent)]
import arms  # noqa: E402

from kzoo import turns  # noqa: E402

LAYERS, WIDTH, HEADS, INNER = 4, 512, 8, 2048
PAPER = {800: 363, 1800: 773, 2800: 1409, 3800: 1874}
ARMS = ("window", "window, fused", "cache", "transformer-xl")
SOURCES = ["kzoo/graphs.py", "kzoo/nn", "kzoo/models/transformer_xl.py"]


def window(length, is_cached):
    """A model without a memory: a window, or one token behind the cache of one."""
    import numpy as np

    inputs = {"token_ids": np.ones((1, length), "int32")}
    model = built("gpt", length, attention="causal", position="learned", embedding="token")
    inputs["padding_mask"] = inputs["token_ids"]
    if is_cached:
        sizes, draw = {"batch": 1, "past_length": length - 1}, np.random.default_rng(0)
        inputs = {
            name: draw.normal(size=[sizes.get(a, a) for a in entry.axes]).astype(entry.dtype)
            for name, entry in model.signatures["step"].items()
            if "past_length" in entry.axes
        }
        inputs |= {
            "token_ids": np.ones((1, 1), "int32"),
            "places": np.full((1, 1), length - 1, "int32"),
            "past_places": np.arange(length - 1, dtype="int32")[None],
        }
    return call(model, inputs)


def recurrent(length):
    """Transformer-XL: a segment behind a memory of as many places."""
    import numpy as np

    attention = {"kind": "relative", "memory_length": length, "same_length": True}
    embedding = {"kind": "adaptive"}
    model = built(
        "transformer_xl", length, attention=attention, position="relative", embedding=embedding
    )
    draw = np.random.default_rng(0)
    memory = {
        name: draw.normal(size=value.shape).astype("float32")
        for name, value in model.first_memory(1, cached=True).items()
    }
    memory["memory_mask"] = np.ones((1, length), "int32")
    return call(model, {"token_ids": np.ones((1, length), "int32"), **memory})


def built(family, length, embedding, **slots):
    """A model of the sizes that all have."""
    import kzoo
    from kzoo.models import build

    held = embedding if isinstance(embedding, dict) else {"kind": embedding}
    return build(
        kzoo.Spec(
            family,
            {**held, "vocabulary_size": 256},
            WIDTH, HEADS, INNER, tuple(range(LAYERS)),
            max_sequence_length=length,
            feedforward={"kind": "mlp", "activation": "relu"},
            norms=[],
            pooler="none",
            **slots,
        )
    )  # fmt: skip


def call(model, inputs):
    """A call of a model on inputs, as one graph; the vectors are made, nothing else is kept."""
    import tensorflow as tf

    inputs = {name: tf.constant(value) for name, value in inputs.items()}

    @tf.function(jit_compile=False)
    def run(inputs):
        return model.run(inputs, training=False)

    return lambda: run(inputs)["sequence_output"].numpy()


def fused(length):
    """The model of the window in torch, with its fused attention."""
    import torch

    torch.set_num_threads(1)
    linear = torch.nn.Linear
    layers = [
        ([linear(WIDTH, WIDTH) for _ in range(4)], linear(WIDTH, INNER), linear(INNER, WIDTH),
         torch.nn.LayerNorm(WIDTH), torch.nn.LayerNorm(WIDTH))
        for _ in range(LAYERS)
    ]  # fmt: skip
    start = torch.randn(1, length, WIDTH)

    @torch.no_grad()
    def run():
        x = start
        for maps, up, down, first, second in layers:
            q, k, v = (one(x).view(1, length, HEADS, -1).transpose(1, 2) for one in maps[:3])
            y = torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
            x = first(x + maps[3](y.transpose(1, 2).reshape(1, length, WIDTH)))
            x = second(x + down(torch.relu(up(x))))
        return x

    return run


def serve(length, name):
    """One arm: it takes turns until nobody asks any more."""
    runs = {
        "window": lambda: window(length, False),
        "window, fused": lambda: fused(length),
        "cache": lambda: window(length, True),
        "transformer-xl": lambda: recurrent(length),
    }
    run = runs[name]()
    often = 10 if name == "cache" else 1
    per_token = length if name == "transformer-xl" else often

    def turn():
        found = turns.used(lambda: [run() for _ in range(often)])
        return {"seconds": found["cpu"] / per_token}

    turns.serve(turn)


def measure(length, rounds):
    """One length: how many times as dear as a token of Transformer-XL one of each arm is."""
    commands = {name: [sys.executable, __file__, "--serve", length, name] for name in ARMS}
    given, loads = turns.take(commands, rounds, dict.fromkeys(ARMS, arms.ONE_THREAD))
    ours = given["transformer-xl"]
    ratio = {
        name: statistics.median(
            one["seconds"] / other["seconds"] for one, other in zip(given[name], ours, strict=True)
        )
        for name in ARMS[:-1]
    }
    row = {
        "length": length,
        "rounds": rounds,
        "speed_up": arms.cell(ratio["window"], PAPER.get(length)),
        "beside_fused": round(ratio["window, fused"], 2),
        "beside_cache": round(ratio["cache"], 2),
        "seconds_a_token": {
            name: statistics.median(each["seconds"] for each in given[name]) for name in ARMS
        },
        "loads": loads,
    }
    print(row, flush=True)
    return row


def main():
    """Serve an arm, or measure all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--lengths", type=int, nargs="+", default=list(PAPER))
    parser.add_argument("--serve", nargs=2)
    options = parser.parse_args()
    if options.serve:
        serve(int(options.serve[0]), options.serve[1])
        return
    found = []
    for length in options.lengths:  # Each is kept, should the run end early.
        found.append(measure(length, options.rounds))
        arms.record("transformer_xl", {"protocol": __doc__, "rows": found}, SOURCES)
    curves = {
        name: [(row["length"], row["seconds_a_token"][name]) for row in found] for name in ARMS
    }
    times = [(row["length"], row["speed_up"]["actual"]) for row in found]
    panels = [
        {"title": "A token", "x": "context", "y": "seconds", "curves": curves},
        {
            "title": "Beside a window", "x": "context", "y": "times as fast",
            "curves": {"transformer-xl": times}, "paper": {"arXiv:1901.02860": list(PAPER.items())},
        },
    ]  # fmt: skip
    arms.picture("transformer_xl", panels)


if __name__ == "__main__":
    main()
