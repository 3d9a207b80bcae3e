"""What attention to some places learns, at equal time, beside attention to all.

    python benchmarks/long_range/learn.py copy|lists  [--seconds N] [--arms NAME ...]
    python benchmarks/long_range/learn.py text --data TEXT [--seconds N] [--arms NAME ...]

`copy`: the Reformer's task (arXiv:2001.04451, section 4): 0w0w, where w are 511 symbols that are
drawn anew each time; how many of the second w are foretold. One block, axial positions in rows of
511 places. What learnt with 4 hashes is asked with other numbers of them too.

`text`: bits a byte of Tiny Shakespeare (TEXT is `data/tinyshakespeare/input.txt` of
github.com/karpathy/char-rnn, maybe with .gz). The first 90 % are learnt from, of the rest one half
is the validation part and the other the test part. Linformer has no causal form, and so no row.

`lists`: expressions of up to 512 tokens in the way of ListOps (arXiv:1804.06028), which this script
draws: nested MAX, MIN, MED (the lower of the middle two) and SM (the sum modulo 10) of digits; the
value is one of ten classes. Those measured on are drawn with other seeds.

An arm is a process of its own with one thread; its seconds are the processor's, counted from behind
the first step (which is traced), without those of measuring. Of one table all arms have the same
sizes, optimizer and rate; a seed each, so that small differences say nothing. An arm's result goes
into learn_<table>.json when it ends; further arms are added to those that are there.
"""

import argparse
import json
import math
import os
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent), str(HERE.parent / "shakespeare")]
import arms  # noqa: E402

SOURCES = ["kzoo/graphs.py", "kzoo/keras_hooks.py", "kzoo/nn", "kzoo/tasks/causal_lm.py"]
COPY = {
    "length": 1024, "symbols": 31, "width": 64, "heads": 2, "intermediate": 64, "layers": 1,
    "batch_size": 2, "learning_rate": 5e-3, "seconds": 300, "measured_every": 10,
}  # fmt: skip
TEXT = {
    "length": 1024, "width": 128, "heads": 4, "intermediate": 512, "layers": 3, "batch_size": 2,
    "segment": 256, "learning_rate": 2e-3, "seconds": 60, "measured_every": 10,
}  # fmt: skip
LISTS = {
    "length": 512, "width": 64, "heads": 4, "intermediate": 128, "layers": 2, "batch_size": 8,
    "learning_rate": 2e-3, "seconds": 45, "measured_every": 15, "examples": 6000,
}  # fmt: skip
SETTINGS = {"copy": COPY, "text": TEXT, "lists": LISTS}
WARMUP, LEAST_RATE = 30, 0.05  # steps, and the share of the rate that is left in the end
FEW_BYTES = 2**14  # of the validation part, which a curve is measured on


def in_chunks(kind, **options):
    """A slot of the Reformer's attention, whose maps have no offsets."""
    return {"kind": kind, "bias": [], "chunk": 64, **options}


ARMS = {
    "copy": {
        "dense": {"kind": "causal", "bias": []},
        "LSH": in_chunks("lsh", hashes=4, buckets=16),
    },
    "text": {
        "dense": "causal",
        "Sparse Transformer": {"kind": "fixed", "stride": 32, "summary": 8, "columns": 4},
        "Reformer": [in_chunks("chunked"), in_chunks("lsh", hashes=2)],
        "Transformer-XL": {"kind": "relative", "memory_length": TEXT["segment"]},
    },
    "lists": {
        "dense": "full",
        "Linformer": {"kind": "linformer", "length": 64, "sharing": "layer"},
        "Sparse Transformer": {"kind": "strided", "stride": 32, "looks_ahead": True},
        "LSH": in_chunks("lsh", hashes=2, chunk=32, after=1, looks_ahead=True),
    },
}
# What else than GPT-2 stands behind a name, and which slots it fills.
FAMILIES = {
    "Sparse Transformer": ("sparse_transformer", {}),
    "Reformer": ("reformer", {"block": "reversible"}),
}


# -- models ----------------------------------------------------------------------------------------


def spec_of(family, settings, vocabulary_size, attention, **slots):
    """A spec of a table's sizes, without dropout."""
    import kzoo

    usual = {
        "embedding": {"kind": "token", "vocabulary_size": vocabulary_size, "padding_id": 0},
        "max_sequence_length": settings["length"],
        "block": "pre_norm",
        "norms": ["final"],
        "norm": {"kind": "layer_norm", "epsilon": 1e-5},
        "dropout": 0.0,
        "attention_dropout": 0.0,
        "pooler": "none",
    }
    return kzoo.Spec(
        family=family,
        hidden_dim=settings["width"],
        num_heads=settings["heads"],
        intermediate_dim=settings["intermediate"],
        schedule=tuple(range(settings["layers"])),
        attention=attention,
        **{**usual, **slots},
    )


def compiled(task, settings):
    """A task with the optimizer that all have: Adam, at a rate that `learn` sets."""
    import kzoo

    rate = settings["learning_rate"]
    task.compile(kzoo.AdamW(rate, warmup=0, decay="constant", weight_decay=0.0))
    return task


def learn(task, batches, settings, measure):
    """Learn for so many seconds; the points of the curve, the last at the end.

    The rate rises for some steps, and falls in proportion to the seconds that are left.

    Args:
        batches: an endless iterator of inputs and targets.
        measure: gives what a point says; learning ends early where that has "done".
    """
    task.train_on_batch(*next(batches))
    started, due, steps, points = time.process_time(), settings["measured_every"], 1, []
    spent = 0.0
    while True:
        left = max(1 - spent / settings["seconds"], LEAST_RATE) * min(steps / WARMUP, 1)
        task.optimizer.learning_rate = left * settings["learning_rate"]
        found = task.train_on_batch(*next(batches), return_dict=True)
        steps, spent = steps + 1, time.process_time() - started
        is_over = spent >= settings["seconds"]
        if spent < due and not is_over:
            continue
        due += settings["measured_every"]
        loss = round(float(found["loss"]), 4)  # the mean since the last point
        points.append({"seconds": round(spent, 1), "steps": steps, "loss": loss, **measure()})
        print(json.dumps(points[-1]), file=sys.stderr, flush=True)
        task.reset_metrics()
        if points[-1].pop("done", False) or is_over:
            return points
        started = time.process_time() - spent


# -- 0w0w ------------------------------------------------------------------------------------------


def copies(draw, settings, rows):
    """0w0w, and as targets what follows each place, where that is in the second w."""
    import numpy as np

    half = settings["length"] // 2
    words = draw.integers(1, settings["symbols"] + 1, (rows, half - 1))
    one = np.concatenate([np.zeros((rows, 1), int), words], axis=1)
    ids = np.concatenate([one, one], axis=1).astype("int32")
    targets = np.full_like(ids, -100)
    targets[:, half:-1] = ids[:, half + 1 :]
    return {"token_ids": ids, "padding_mask": np.ones_like(ids)}, targets


def learn_copy(slot, settings, data):
    """What a block foretells of the second w."""
    import numpy as np

    import kzoo
    from kzoo.models import build
    from kzoo.network import weights_by_path

    # Rows as long as w: a place and the one that holds what follows it have a vector in common.
    position = {"kind": "axial", "shape": [3, settings["length"] // 2 - 1]}
    spec = spec_of(
        "gpt2", settings, settings["symbols"] + 1, slot, position=position,
        initializer_range=settings["width"] ** -0.5,
    )  # fmt: skip
    task = compiled(kzoo.CausalLM(build(spec), head={"kind": "tied_lm", "bias": True}), settings)
    draw = np.random.default_rng(0)

    def share(asked, rows):
        inputs, targets = copies(np.random.default_rng(1), settings, rows)
        right = counted = 0
        for row in range(rows):
            one = {name: value[row : row + 1] for name, value in inputs.items()}
            found = np.asarray(asked.predict_on_batch(one)["logits"]).argmax(-1)
            where = targets[row : row + 1] != -100
            right, counted = right + (found == targets[row])[where].sum(), counted + where.sum()
        return round(float(right / counted), 6)

    def measure():
        accuracy = share(task, 4)
        return {"accuracy": accuracy, "done": accuracy == 1}

    points = learn(task, iter(lambda: copies(draw, settings, settings["batch_size"]), None),
                   settings, measure)  # fmt: skip
    found = {"accuracy": share(task, 16), "points": points}
    if slot["kind"] == "lsh":
        values = {path: np.asarray(value) for path, value in weights_by_path(task).items()}
        found["asked with"] = {
            f"{hashes} hashes": share(task.under(spec.replace(
                attention={**slot, "hashes": hashes}), values), 16)
            for hashes in (1, 2, 4, 8)
        }  # fmt: skip
    return found


# -- text ------------------------------------------------------------------------------------------


def learn_text(name, slot, settings, data):
    """Bits a byte of the validation and the test part."""
    import measure as shakespeare

    import kzoo
    from kzoo.models import build

    tokenizer = shakespeare.byte_tokenizer()
    text, held = shakespeare.read(Path(data))
    parts = {"validation": held[: len(held) // 2], "test": held[len(held) // 2 :]}
    size, rows, options = tokenizer.vocabulary_size, settings["batch_size"], {}
    if name == "Transformer-XL":
        # As many tokens a step, in more rows.
        rows *= settings["length"] // settings["segment"]
        options = {"max_length": settings["segment"]}
        slots = {"embedding": {"kind": "adaptive", "vocabulary_size": size}, "position": "relative"}
        family, slots = "transformer_xl", {**slots, "max_sequence_length": 2**20 - 1, "norms": []}
        slots["block"] = "post_norm"
    else:
        family, slots = FAMILIES.get(name, ("gpt2", {}))
    spec = spec_of(family, settings, size, slot, **slots)
    task = compiled(kzoo.CausalLM(build(spec), tokenizer=tokenizer, **options), settings)

    def bits(some):
        found = task.evaluate([some], batch_size=rows, return_dict=True, verbose=0)
        return round(math.log2(found["perplexity"]), 4)

    def batches():
        for epoch in range(10**6):
            yield from task.batches([text], batch_size=rows, shuffle=True, seed=epoch)

    points = learn(
        task, batches(), settings, lambda: {"bits": bits(parts["validation"][:FEW_BYTES])}
    )
    parameters = sum(math.prod(weight.shape) for weight in task.trainable_weights)
    found = {"bits a byte": {part: bits(some) for part, some in parts.items()}}
    return {**found, "parameters": parameters, "points": points}


# -- lists -----------------------------------------------------------------------------------------

DIGITS, END = 1, 15  # The token of 0, and what ends a list; 0 is padding.
OPERATORS = {
    11: max,
    12: min,
    13: lambda values: sorted(values)[(len(values) - 1) // 2],
    14: lambda values: sum(values) % 10,
}


def expression(draw, depth):
    """The tokens of one, and its value."""
    operator = int(draw.integers(11, 15))
    tokens, values = [operator], []
    for _ in range(draw.integers(2, 8)):
        if depth and draw.random() < 0.4:
            more, value = expression(draw, depth - 1)
            tokens += more
        else:
            value = int(draw.integers(10))
            tokens.append(DIGITS + value)
        values.append(value)
    return [*tokens, END], OPERATORS[operator](values)


def expressions(seed, count, settings):
    """Inputs and targets: such as are long, and not too long."""
    import numpy as np

    draw = np.random.default_rng(seed)
    ids, targets = np.zeros((count, settings["length"]), "int32"), np.zeros(count, "int32")
    found = 0
    while found < count:
        tokens, value = expression(draw, 5)
        if settings["length"] // 4 <= len(tokens) <= settings["length"]:
            ids[found, : len(tokens)], targets[found] = tokens, value
            found += 1
    return {"token_ids": ids, "padding_mask": (ids > 0).astype("int32")}, targets


def learn_lists(slot, settings, data):
    """How many values of expressions are right."""
    import numpy as np

    import kzoo
    from kzoo.models import build

    spec = spec_of("bert", settings, 16, slot)
    task = kzoo.TextClassifier(build(spec), labels=list(map(str, range(10))), head="mean")
    task = compiled(task, settings)
    learnt, validation, test = (
        expressions(seed, count, settings)
        for seed, count in enumerate((settings["examples"], 500, 2000))
    )

    def batches():
        draw, (inputs, targets) = np.random.default_rng(0), learnt
        while True:
            order = draw.permutation(len(targets))
            for start in range(0, len(order) - settings["batch_size"] + 1, settings["batch_size"]):
                rows = order[start : start + settings["batch_size"]]
                yield {name: value[rows] for name, value in inputs.items()}, targets[rows]

    def share(examples):
        inputs, targets = examples
        right = 0
        for start in range(0, len(targets), 50):
            some = {name: value[start : start + 50] for name, value in inputs.items()}
            found = np.asarray(task.predict_on_batch(some)["logits"]).argmax(-1)
            right += (found == targets[start : start + 50]).sum()
        return round(float(right / len(targets)), 4)

    points = learn(task, batches(), settings, lambda: {"accuracy": share(validation)})
    most = np.bincount(learnt[1]).argmax()
    return {
        "accuracy": {"validation": share(validation), "test": share(test)},
        "always the commonest": round(float((test[1] == most).mean()), 4),
        "points": points,
    }


# -- the tables ------------------------------------------------------------------------------------


def serve(what, name, settings, data):
    """One arm: its result is the last line."""
    import keras

    keras.utils.set_random_seed(0)
    slot = ARMS[what][name]
    if what == "text":
        found = learn_text(name, slot, settings, data)
    else:
        found = {"copy": learn_copy, "lists": learn_lists}[what](slot, settings, data)
    print(json.dumps(found))


def draw(what, found):
    """The curves."""
    key, label = ("bits", "bits a byte") if what == "text" else ("accuracy",) * 2
    curves = {
        name: [(point["seconds"], point[key]) for point in arm["points"]]
        for name, arm in found["arms"].items()
    }
    titles = {
        "copy": "0w0w, 1,024 places: the second w",
        "text": "Tiny Shakespeare, validation",
        "lists": "Values of nested lists, validation",
    }
    panel = {"title": titles[what], "x": "seconds of the processor", "y": label, "curves": curves}
    arms.picture(f"learn_{what}", [{**panel, "scale": "linear"}])


def main():
    """Let the arms of a table learn, one after the other."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("what", choices=SETTINGS)
    parser.add_argument("--data", help="Tiny Shakespeare, for text")
    parser.add_argument("--seconds", type=float, help="of the processor, for each arm")
    parser.add_argument("--arms", nargs="+", help="some of those of the table")
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if (given.what == "text") != (given.data is not None):
        parser.error("text, and nothing else, takes --data")
    settings = SETTINGS[given.what]
    settings = {**settings, "seconds": given.seconds or settings["seconds"]}
    if given.serve:
        serve(given.what, given.serve, settings, given.data)
        return
    path = HERE / f"learn_{given.what}.json"
    held = json.loads(path.read_text()) if given.arms and path.exists() else {}
    found = {"settings": settings, "arms": held.get("arms", {})}
    if held and held["settings"] != settings:
        parser.error(f"{path.name} was made with other settings: leave --arms out")
    environment = {**os.environ, **arms.ONE_THREAD, "TF_CPP_MIN_LOG_LEVEL": "3"}
    environment.setdefault("KERAS_BACKEND", "tensorflow")
    for name in given.arms or ARMS[given.what]:
        command = [sys.executable, __file__, given.what, "--serve", name]
        command += ["--seconds", str(settings["seconds"])]
        command += ["--data", given.data] if given.data else []
        run = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE)
        found["arms"][name] = json.loads(run.stdout.splitlines()[-1])
        print(name, json.dumps(found["arms"][name]), flush=True)
        arms.record(f"learn_{given.what}", found, SOURCES)
        draw(given.what, found)


if __name__ == "__main__":
    main()
