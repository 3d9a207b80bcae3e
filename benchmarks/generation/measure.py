"""Tokens a second of GPT-2-small's shape with a cache, on one thread: kzoo, and transformers.

    python benchmarks/generation/measure.py [--rounds 5] [--arms ...] [--output FILE]

Both arms have the same weights, drawn and not trained, in float32, and write greedily. Each is a
process of its own that stays alive and takes its turn, so that a busy moment of the machine falls
on all; ratios are medians of the ratios within a round. A turn is one text of `--new` tokens behind
a prompt of 16, and the cost of a token behind prefixes of several lengths. Beside the clock the
processor's time is given, which other processes lengthen less. JAX takes a second thread whatever
its flags say: of it only the processor's time is one thread's. All arms must write the same tokens.
"""

import argparse
import json
import statistics
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))
from provenance import provenance  # noqa: E402

from kzoo.turns import middle, ratio, serve, take, timed  # noqa: E402

ARMS = ("kzoo tensorflow", "kzoo jax", "torch")
PREFIXES = (16, 128, 256, 384, 512)
STEPS = 8  # tokens behind each prefix
SOURCES = [
    "benchmarks/generation", "kzoo/generation", "kzoo/graphs.py", "kzoo/models", "kzoo/nn",
    "kzoo/tasks/causal_lm.py",
]  # fmt: skip
ONE_THREAD = {
    "OMP_NUM_THREADS": "1",
    "TF_ENABLE_ONEDNN_OPTS": "1",  # off by default on AMD; torch has its own
    "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1",
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--new", type=int, default=64)
    parser.add_argument("--arms", nargs="+", choices=ARMS, default=ARMS)
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "result.json")
    parser.add_argument("--worker", choices=ARMS, help=argparse.SUPPRESS)
    parser.add_argument("--model", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        work(arguments)
        return
    with tempfile.TemporaryDirectory() as folder:
        arguments.model = folder
        make_model(folder)
        result = compare(arguments)
    arguments.output.write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps({k: v for k, v in result.items() if k != "provenance"}, indent=2))


def make_model(folder):
    """GPT-2 in its smallest size; wide weights, so that the likeliest token stands out."""
    import torch
    import transformers

    torch.manual_seed(0)
    config = transformers.GPT2Config(initializer_range=0.05)
    transformers.GPT2LMHeadModel(config).save_pretrained(folder)


def compare(arguments):
    """Let the arms take turns; returns what is written down."""
    command = [sys.executable, __file__, "--model", arguments.model, "--new", arguments.new]
    turns, loads = take(
        {arm: [*command, "--worker", arm] for arm in arguments.arms},
        arguments.rounds,
        {
            arm: ONE_THREAD | ({"KERAS_BACKEND": arm.split()[1]} if arm != "torch" else {})
            for arm in arguments.arms
        },
    )
    if len({str(turn.pop("tokens")) for of_arm in turns.values() for turn in of_arm}) > 1:
        raise SystemExit("error: the arms write different tokens.")
    costs = {arm: {p: middle(turns, arm, f"processor {p}") for p in PREFIXES} for arm in turns}
    return {
        "what": "greedy text of GPT-2-small's shape with a cache, float32, batch 1, one thread",
        "provenance": provenance(
            SOURCES, ("kzoo", "keras", "tensorflow", "jax", "torch", "transformers")
        ),
        "rounds": arguments.rounds,
        "load_1min_by_round": loads,
        "prompt_tokens": PREFIXES[0],
        "new_tokens": arguments.new,
        "same_tokens": True,
        "tokens_per_second": {
            arm: round(arguments.new / middle(turns, arm, "seconds"), 2) for arm in turns
        },
        "processor_ms_a_token": {
            arm: round(1000 * middle(turns, arm, "processor") / arguments.new, 2) for arm in turns
        },
        "ratios": {
            f"{arm} / torch": {
                "clock": ratio(turns, arm, "torch", "seconds"),
                "processor": ratio(turns, arm, "torch", "processor"),
            }
            for arm in turns
            if arm != "torch" and "torch" in turns
        },
        "processor_ms_a_token_behind": {
            arm: {str(p): round(1000 * cost, 2) for p, cost in of_arm.items()}
            for arm, of_arm in costs.items()
        },
        "slope_us_a_token_of_prefix": {
            arm: round(1e6 * slope(of_arm), 2) for arm, of_arm in costs.items()
        },
    }


def slope(costs):
    """The slope of the line through costs by prefix, seconds a token of prefix."""
    return statistics.linear_regression(list(costs), list(costs.values())).slope


def work(arguments):
    """Serve an arm."""
    import numpy as np

    maker = torch_side if arguments.worker == "torch" else kzoo_side
    write, read = maker(arguments.model)
    prompt = np.random.default_rng(0).integers(0, 50257, max(PREFIXES)).tolist()

    def turn():
        tokens, seconds, processor = timed(lambda: write(prompt[: PREFIXES[0]], arguments.new))
        costs = {}
        for prefix in PREFIXES:
            step = read(prompt[:prefix])
            # The median: a cache that grows does so at one of these.
            costs[f"processor {prefix}"] = statistics.median(timed(step)[2] for _ in range(STEPS))
        return {"tokens": tokens, "seconds": seconds, "processor": processor, **costs}

    serve(turn)


def kzoo_side(folder):
    """Functions that write a text, and that read a prefix and give a step behind it."""
    import keras
    import numpy as np

    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        tf.config.threading.set_intra_op_parallelism_threads(1)
        tf.config.threading.set_inter_op_parallelism_threads(1)
    import kzoo

    task = kzoo.CausalLM(kzoo.from_huggingface(folder))

    def write(prompt, count):
        return task.generate([prompt], max_new_tokens=count)[0]

    def read(prefix):
        places = np.arange(len(prefix), dtype="int32")[None]
        logits, state = task.step(np.array([prefix], "int32"), places)
        at = [len(prefix) - 1, logits, state]

        def step():
            at[0] += 1
            token = at[1].argmax(-1).astype("int32")[:, None]
            at[1], at[2] = task.step(token, np.array([[at[0]]], "int32"), at[2])

        return step

    return write, read


def torch_side(folder):
    """The same of transformers."""
    import torch
    import transformers

    torch.set_num_threads(1)
    model = transformers.GPT2LMHeadModel.from_pretrained(folder).eval()
    model.generation_config.eos_token_id = None

    def write(prompt, count):
        ids = torch.tensor([prompt])
        with torch.inference_mode():
            whole = model.generate(
                ids, attention_mask=torch.ones_like(ids), max_new_tokens=count, do_sample=False,
                pad_token_id=0,
            )  # fmt: skip
        return whole[0, len(prompt) :].tolist()

    def read(prefix):
        with torch.inference_mode():
            at = [model(torch.tensor([prefix]), use_cache=True)]

        def step():
            with torch.inference_mode():
                token = at[0].logits[:, -1].argmax(-1)[:, None]
                at[0] = model(token, past_key_values=at[0].past_key_values, use_cache=True)

        return step

    return write, read


if __name__ == "__main__":
    main()
