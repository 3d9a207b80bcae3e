"""Linformer and the Sparse Transformer beside full attention, at the sizes of their papers.

    python benchmarks/long_range/attention.py linformer|sparse [--rounds 3] [--lengths N ...]

One block of random weights reads one example, forward: of Linformer as in its table 3 (width 768,
12 heads, feed-forward net of 3,072, all blocks with one sum), of the Sparse
Transformer as in its table 2 (width 512, 8 heads, 12,288 places, stride 128, summaries of 32).

Baselines: "written out" is softmax(QK^T) in memory, as the papers had it; "fused" is what a user
would take today: torch's `scaled_dot_product_attention`, in a block of the same sizes. (Keras' own
`dot_product_attention` writes the maps out on TensorFlow and on JAX's processors.) Arms take turns
in one run, each a process with one thread; times are the processor's, medians of ratios. Memory is
the largest resident one above the built model; the papers' is the largest batch that fits 16 GB.
"""

import argparse
import os
import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent)]
import arms  # noqa: E402

from kzoo import turns  # noqa: E402
from kzoo.chooser import one_block  # noqa: E402

SIZES = {
    "linformer": {"hidden_dim": 768, "num_heads": 12, "intermediate_dim": 3072},
    "sparse": {"hidden_dim": 512, "num_heads": 8, "intermediate_dim": 2048},
}
LENGTHS = {"linformer": (512, 1024, 2048, 4096, 8192), "sparse": (2048, 4096, 8192, 12288)}
SLOTS = {
    "linformer": {
        "k = 128": {"kind": "linformer", "length": 128, "sharing": "layer"},
        "k = 256": {"kind": "linformer", "length": 256, "sharing": "layer"},
    },
    "sparse": {
        "fixed": {"kind": "fixed", "stride": 128, "summary": 32, "columns": 4},
        "strided": {"kind": "strided", "stride": 128},
        "strided, heads split": {"kind": "strided", "stride": 128, "heads": "split"},
    },
}
# Times as fast, and times the batch, by length: arXiv:2006.04768, table 3.
PAPER = {
    "linformer": {
        "time": {
            "k = 128": dict(zip(LENGTHS["linformer"], (1.5, 1.7, 2.6, 3.4, 5.5), strict=True)),
            "k = 256": dict(zip(LENGTHS["linformer"], (1.3, 1.6, 2.4, 3.2, 5.0), strict=True)),
        },
        "memory": {
            "k = 128": dict(zip(LENGTHS["linformer"], (1.7, 3.0, 6.1, 14, 28), strict=True)),
            "k = 256": dict(zip(LENGTHS["linformer"], (1.5, 2.9, 5.6, 13, 26), strict=True)),
        },
    },
    # 1.31, 0.55 and 0.35 s an iteration: arXiv:1904.10509, table 2 (enwik8 and CIFAR-10).
    "sparse": {"time": {"fixed": {12288: 2.4}, "strided": {12288: 3.7}}, "memory": {}},
}
# Linformer's arms, full attention among them, run their feed-forward net in chunks of places: else
# its units, not the maps, are the peak of memory.
FEEDFORWARD = {"linformer": {"kind": "mlp", "chunk": 512}, "sparse": "mlp"}
FULL = {"linformer": "full", "sparse": "causal"}
SOURCES = ["kzoo/graphs.py", "kzoo/nn"]


def fused_torch(system, length):
    """The same block in torch, with its fused attention."""
    import torch

    torch.set_num_threads(1)
    sizes = SIZES[system]
    width, heads = sizes["hidden_dim"], sizes["num_heads"]
    maps = [torch.nn.Linear(width, width) for _ in range(4)]
    up = torch.nn.Linear(width, sizes["intermediate_dim"])
    down = torch.nn.Linear(sizes["intermediate_dim"], width)
    norms = [torch.nn.LayerNorm(width) for _ in range(2)]
    x = torch.randn(1, length, width)

    @torch.no_grad()
    def call():
        q, k, v = (one(x).view(1, length, heads, -1).transpose(1, 2) for one in maps[:3])
        y = torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=system == "sparse")
        y = norms[0](x + maps[3](y.transpose(1, 2).reshape(1, length, width)))
        return norms[1](y + down(torch.nn.functional.gelu(up(y))))

    return call


def serve(system, length, name):
    """One arm: it takes turns until nobody asks any more; memory is that of its first call.

    Later ones find what an allocator kept. A short input runs before, for what a library needs.
    """

    def made(length):
        if name == "fused":
            return fused_torch(system, length)
        slot = FULL[system] if name == "written out" else SLOTS[system][name]
        return one_block(length, slot, **SIZES[system], feedforward=FEEDFORWARD[system])

    made(256)()
    call = made(length)
    first = turns.used(call)["MiB"]
    turns.serve(lambda: {**turns.used(call), "MiB": first})


def measure(system, lengths, rounds):
    """The ratios of every arm to both baselines, by length."""
    names = ["written out", "fused", *SLOTS[system]]
    found = {"system": system, "sizes": SIZES[system], "rounds": rounds, "lengths": {}}
    for length in lengths:
        commands = {
            name: [sys.executable, __file__, system, "--serve", str(length), name] for name in names
        }
        taken, loads = turns.take(commands, rounds, dict.fromkeys(names, arms.ONE_THREAD))
        row = {
            "load": loads,
            "seconds": {name: round(turns.middle(taken, name, "cpu"), 4) for name in names},
            "MiB": {name: round(turns.middle(taken, name, "MiB"), 1) for name in names},
        }
        for what, key in (("time", "cpu"), ("memory", "MiB")):
            row[what] = {
                name: arms.cell(
                    turns.ratio(taken, name, "written out", key),
                    PAPER[system][what].get(name, {}).get(length),
                )
                for name in names[2:]
            }
            row[f"{what} beside fused"] = {
                name: turns.ratio(taken, name, "fused", key) for name in names[2:]
            }
        found["lengths"][length] = row
        print(length, row, flush=True)
    return found


def draw(found):
    """Time and memory against length."""
    rows = found["lengths"].items()
    names = next(iter(found["lengths"].values()))["seconds"]
    panels = [
        {
            "title": title,
            "x": "places",
            "y": key,
            "curves": {name: [(int(n), row[key][name]) for n, row in rows] for name in names},
            "paper": {
                f"paper, {name}": [
                    (n, found["lengths"][n][key]["written out"] / times)
                    for n, times in of.items()
                    if n in found["lengths"]
                ]
                for name, of in PAPER[found["system"]][what].items()
            },
        }
        for title, key, what in (("Time", "seconds", "time"), ("Memory", "MiB", "memory"))
    ]
    arms.picture(found["system"], panels)


def main():
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("system", choices=SIZES)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--lengths", type=int, nargs="+")
    parser.add_argument("--serve", nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    if args.serve:
        serve(args.system, int(args.serve[0]), args.serve[1])
        return
    found = measure(args.system, args.lengths or LENGTHS[args.system], args.rounds)
    arms.record(args.system, found, SOURCES)
    draw(found)


if __name__ == "__main__":
    main()
