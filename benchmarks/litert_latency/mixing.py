"""What mixing by attention costs in the int8 file, part by part, and what other forms of it gain.

    python benchmarks/litert_latency/mixing.py [--rounds 14] [--output FILE]

Six steps of mixing, 12 heads of 32, without the matrices around them, as TFLite files of one fixed
length on one thread. `as exported` is what kzoo's graph holds. The arms below it leave parts out,
which says what each costs, or write the same another way, which says whether that would pay:

    without softmax, bias, scale     a part left out
    neighbouring heads               no transposes: heads are taken as rows that stand side by side,
                                     which computes something else, at the price of no layout at all
    products alone                   the two matrix products of each step, on neighbouring heads
    4 heads of 96                    the same number of multiplications in fewer, wider products
    key transposed first             (heads, width, length) made once, in place of a product that
                                     reads the key's rows
    rank 3                           without the batch axis
    head by head                     slices, products of rank 2, a concatenation
    normalized after                 exp, product, division by the sum: no maximum is taken away, so
                                     it overflows for large scores
    static int8                      products of int8, calibrated

The arms take turns in every round; what counts is processor time. The whole encoder is timed beside
them in the same rounds, for the share that mixing has of it.
"""

import argparse
import json
import math
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tensorflow as tf

sys.path.insert(0, str(Path(__file__).parent.parent))
import measure
from ai_edge_litert.interpreter import Interpreter
from provenance import provenance

from kzoo.litert.hooks import operators_after_delegation

LENGTHS = (32, 128)
LAYERS, WIDTH, HEADS = (measure.SHAPE[name] for name in ("layers", "width", "heads"))
DIM = WIDTH // HEADS
SCALE = 1 / math.sqrt(DIM)
WARM_UP = 2


def split(x):
    return tf.transpose(tf.reshape(x, (1, -1, HEADS, DIM)), (0, 2, 1, 3))


def join(y):
    return tf.reshape(tf.transpose(y, (0, 2, 1, 3)), (1, -1, WIDTH))


def neighbours(x, heads=HEADS):
    return tf.reshape(x, (1, heads, -1, WIDTH // heads))


def flat(y):
    return tf.reshape(y, (1, -1, WIDTH))


def products(q, k, v):
    return tf.matmul(tf.matmul(q, k, transpose_b=True), v)


def attend(q, k, v, bias):
    return tf.matmul(tf.nn.softmax(tf.matmul(q * SCALE, k, transpose_b=True) + bias), v)


def as_exported(q, k, v, bias):
    return join(attend(split(q), split(k), split(v), bias))


def without_softmax(q, k, v, bias):
    scores = tf.matmul(split(q) * SCALE, split(k), transpose_b=True) + bias
    return join(tf.matmul(scores, split(v)))


def without_bias(q, k, v, bias):
    scores = tf.matmul(split(q) * SCALE, split(k), transpose_b=True)
    return join(tf.matmul(tf.nn.softmax(scores), split(v)))


def without_scale(q, k, v, bias):
    scores = tf.matmul(split(q), split(k), transpose_b=True) + bias
    return join(tf.matmul(tf.nn.softmax(scores), split(v)))


def neighbouring_heads(q, k, v, bias):
    return flat(attend(neighbours(q), neighbours(k), neighbours(v), bias))


def products_alone(q, k, v, bias):
    return flat(products(neighbours(q), neighbours(k), neighbours(v)))


def four_wide_heads(q, k, v, bias):
    return flat(products(neighbours(q, 4), neighbours(k, 4), neighbours(v, 4)))


def key_transposed_first(q, k, v, bias):
    key = tf.transpose(tf.reshape(k, (1, -1, HEADS, DIM)), (0, 2, 3, 1))
    maps = tf.nn.softmax(tf.matmul(split(q) * SCALE, key) + bias)
    return join(tf.matmul(maps, split(v)))


def rank_3(q, k, v, bias):
    q, k, v = (tf.transpose(tf.reshape(x, (-1, HEADS, DIM)), (1, 0, 2)) for x in (q, k, v))
    return flat(tf.transpose(attend(q, k, v, bias[0]), (1, 0, 2)))


def head_by_head(q, k, v, bias):
    heads = zip(*(tf.split(x[0], HEADS, axis=-1) for x in (q, k, v)), strict=True)
    return tf.concat([attend(*head, bias[0, 0]) for head in heads], -1)[None]


def normalized_after(q, k, v, bias):
    raised = tf.exp(tf.matmul(split(q) * SCALE, split(k), transpose_b=True) + bias)
    return join(tf.matmul(raised, split(v)) / tf.reduce_sum(raised, -1, keepdims=True))


ARMS = {
    "as exported": as_exported,
    "without softmax": without_softmax,
    "without bias": without_bias,
    "without scale": without_scale,
    "neighbouring heads": neighbouring_heads,
    "products alone": products_alone,
    "4 heads of 96": four_wide_heads,
    "key transposed first": key_transposed_first,
    "rank 3": rank_3,
    "head by head": head_by_head,
    "normalized after": normalized_after,
    "static int8": as_exported,
}


def convert(mix, length, calibrated):
    """The bytes of a file that mixes once a layer, on the same key and value."""
    shapes = {name: (1, length, WIDTH) for name in "qkv"} | {"bias": (1, 1, 1, length)}

    @tf.function(input_signature=[tf.TensorSpec(s, tf.float32, name=n) for n, s in shapes.items()])
    def serve(q, k, v, bias):
        for _ in range(LAYERS):
            q = mix(q, k, v, bias)
        return {"y": q}

    module = tf.Module()
    module.serve = serve
    with tempfile.TemporaryDirectory() as saved:
        tf.saved_model.save(module, saved, signatures={"serve": serve})
        converter = tf.lite.TFLiteConverter.from_saved_model(saved)
        if calibrated:
            draw = np.random.default_rng(0)
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
            converter.representative_dataset = lambda: (
                {n: draw.standard_normal(s).astype("float32") for n, s in shapes.items()}
                for _ in range(4)
            )
        return converter.convert()


def started(content):
    """An interpreter on one thread with numbers in its inputs, that has run once."""
    interpreter = Interpreter(model_content=content, num_threads=1)
    interpreter.allocate_tensors()
    draw = np.random.default_rng(0)
    for entry in interpreter.get_input_details():
        interpreter.set_tensor(
            entry["index"], draw.standard_normal(entry["shape"]).astype("float32")
        )
    interpreter.invoke()
    return interpreter


def encoder(length, folder):
    """A call of the whole int8 encoder at a length."""
    path = folder / measure.FILES["kzoo"]
    if not path.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        measure.make_kzoo(folder)
    return measure._litert(path)(length)


def timed(length, rounds, folder):
    """{arm: milliseconds of each round}, and how many partitions each arm's file has."""
    arms, partitions = {}, {}
    for name, mix in ARMS.items():
        interpreter = started(convert(mix, length, name == "static int8"))
        operators = operators_after_delegation(interpreter)
        partitions[name] = sum(entry["op_name"] == "DELEGATE" for entry in operators)
        arms[name] = interpreter.invoke
    arms["whole encoder"] = encoder(length, folder)
    repeats = max(1, 4 * 128 // length)
    times = {name: [] for name in arms}
    for turn in range(WARM_UP + rounds):
        for name, call in arms.items():
            start = time.process_time()
            for _ in range(repeats):
                call()
            if turn >= WARM_UP:
                times[name].append(1000 * (time.process_time() - start) / repeats)
    return times, partitions


def summary(times, partitions):
    def against(name, other):
        pairs = zip(times[name], times[other], strict=True)
        return round(statistics.median(one / two for one, two in pairs), 3)

    return {
        "milliseconds": {n: round(statistics.median(values), 3) for n, values in times.items()},
        "against as exported": {name: against(name, "as exported") for name in ARMS},
        "share of the encoder": against("as exported", "whole encoder"),
        "partitions": partitions,
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=14)
    parser.add_argument("--files", type=Path, default=Path("build/litert_latency"))
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "mixing.json")
    arguments = parser.parse_args()
    result = {
        "what": "mixing by attention, six steps of 12 heads of 32, one thread, processor time",
        "provenance": provenance(["kzoo/nn/attention.py"], ["tensorflow", "ai-edge-litert"]),
        "rounds": arguments.rounds,
        "by length": {
            length: summary(*timed(length, arguments.rounds, arguments.files)) for length in LENGTHS
        },
    }
    arguments.output.write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result["by length"], indent=2))


if __name__ == "__main__":
    main()
