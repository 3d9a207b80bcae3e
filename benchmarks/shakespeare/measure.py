"""A GPT that reads bytes learns Tiny Shakespeare: nanoGPT's CPU setting, and the preset that ships.

    python benchmarks/shakespeare/measure.py steps  --data TEXT [--rate 0.002]
    python benchmarks/shakespeare/measure.py preset --data TEXT --output FOLDER
    python benchmarks/shakespeare/measure.py more   --data TEXT --model FOLDER --output FOLDER

TEXT is the `data/tinyshakespeare/input.txt` of github.com/karpathy/char-rnn, maybe with .gz: its
first 90 % train, the last 10 % are the validation part. All of it is ASCII, so a byte is a
character, and a loss is one of nanoGPT's: nats a character.

`steps` is nanoGPT's CPU setting (github.com/karpathy/nanoGPT, README: 2,000 steps reach 1.88):
the same network, optimizer and number of steps, at nanoGPT's learning rate or at another. Two more
things differ. nanoGPT draws windows at random; here the text is cut into blocks of 64 characters
twice, from its beginning and from half a block on, and the order of all is drawn: 2,000 steps read
three quarters of them. And nanoGPT estimates the loss on 20 batches; here it is that of the whole
validation part, in windows that share nothing, which give a character half a window of context on
average as nanoGPT's do, and in windows a quarter
apart. It writes `result.json` and `curve.png` beside this script.

`preset` is a network like it with 256 places. The training part's last twentieth is held out and
says which step is kept; the validation part is looked at at the end, by the weights as stored.
It writes the preset, and `preset.json` beside this script. `more` goes on with a preset that is
there, whose rate rises and falls once more (arXiv:1608.03983), and writes the same: what ships had
both runs.
"""

import argparse
import gzip
import hashlib
import json
import math
import os
import re
import sys
import time
from pathlib import Path

# TensorFlow leaves oneDNN off on AMD processors; with it a step takes less time there.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")

import keras
import tokenizers

import kzoo
from kzoo import presets, stored
from kzoo.models import build
from kzoo.spec import Spec

sys.path.insert(0, str(Path(__file__).parent.parent))
from provenance import provenance  # noqa: E402

HERE = Path(__file__).parent
SHA256 = "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed"
SOURCES = [
    "benchmarks/shakespeare/measure.py", "kzoo/data", "kzoo/generation", "kzoo/graphs.py",
    "kzoo/models/gpt2.py", "kzoo/nn", "kzoo/tasks/causal_lm.py", "kzoo/tasks/task.py",
    "kzoo/tasks/text_task.py", "kzoo/training/optimizer.py",
]  # fmt: skip
NANOGPT = 1.88  # nats a character on validation
END = "<|endoftext|>"
STEPS = {
    "layers": 4,
    "heads": 4,
    "width": 128,
    "intermediate": 512,
    "context": 64,
    "dropout": 0.0,
    "batch_size": 12,
    "steps": 2000,
    "learning_rate": 1e-3,
    "least_learning_rate": 1e-4,
    "warmup": 100,
    "beta_2": 0.99,
    "weight_decay": 0.1,
    "clip_norm": 1.0,
    "seed": 0,
    "measured_every": 250,
    "offsets": [0, 32],
}
# Narrower within its blocks, so that its int8 bundle is smaller than 1 MB.
PRESET = {
    **STEPS,
    "context": 256,
    "intermediate": 320,
    "batch_size": 4,
    "steps": 3000,
    "learning_rate": 1.5e-3,
    "measured_every": 500,
    "offsets": [0, 64, 128, 192],
}
# A second run over the same text in another order, from where the first one ended.
MORE = {**PRESET, "steps": 2400, "seed": 1}
# What is added to the residual stream begins smaller, as in GPT-2's paper and in nanoGPT.
RESIDUAL = re.compile(r"/(attention/output|feedforward/down)/kernel$")
PROMPTS = ("ROMEO:", "JULIET:\n", "The king ")
WAYS = {
    "greedy": {},
    "temperature 0.8": {"temperature": 0.8, "seed": 0},
}
CARD = {
    "summary": "GPT-2 in small that reads bytes and writes like Shakespeare: 4 layers, width 128.",
    "paper": "Radford et al. 2019, Language Models are Unsupervised Multitask Learners",
    "source": "Tiny Shakespeare, data/tinyshakespeare/input.txt of github.com/karpathy/char-rnn",
    "text_sha256": SHA256,
    "text_license": "Shakespeare's plays are in the public domain; the repository that selected "
    "the text states no license",
    "license": "apache-2.0",
}


def read(path):
    """The training and the validation part of the text."""
    content = path.read_bytes()
    content = gzip.decompress(content) if path.suffix == ".gz" else content
    actual = hashlib.sha256(content).hexdigest()
    if actual != SHA256:
        raise SystemExit(
            f"error: {path} has the SHA-256 {actual[:12]}; expected Tiny Shakespeare, whose one "
            f"begins with {SHA256[:12]}."
        )
    text = content.decode("ascii")
    cut = int(0.9 * len(text))
    return text[:cut], text[cut:]


def byte_tokenizer():
    """A token a byte, as a byte-level BPE without merges, and the one that ends a text."""
    alphabet = sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {letter: number for number, letter in enumerate([END, *alphabet])}
    backend = tokenizers.Tokenizer(tokenizers.models.BPE(vocabulary, []))
    backend.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = tokenizers.decoders.ByteLevel()
    backend.add_special_tokens([END])
    return kzoo.Tokenizer.from_json(backend.to_str())


def writer(settings):
    """A GPT-2 of this size with fresh weights."""
    keras.utils.set_random_seed(settings["seed"])
    tokenizer = byte_tokenizer()
    spec = Spec(
        "gpt2",
        embedding={"kind": "token", "vocabulary_size": tokenizer.vocabulary_size, "padding_id": 0},
        hidden_dim=settings["width"],
        num_heads=settings["heads"],
        intermediate_dim=settings["intermediate"],
        schedule=tuple(range(settings["layers"])),
        max_sequence_length=settings["context"],
        dropout=settings["dropout"],
        attention_dropout=settings["dropout"],
        attention="causal",
        block="pre_norm",
        feedforward={"kind": "mlp", "activation": "gelu_tanh"},
        norm={"kind": "layer_norm", "epsilon": 1e-5},
        norms=["final"],
    )
    task = kzoo.CausalLM(build(spec), tokenizer=tokenizer)
    for weight in task.weights:
        if RESIDUAL.search(weight.path):
            weight.assign(weight * (2 * settings["layers"]) ** -0.5)
    return task


def optimizer(settings):
    """AdamW with a rate that rises, and falls along a cosine to a tenth."""
    rate = keras.optimizers.schedules.CosineDecay(
        0.0,
        decay_steps=settings["steps"] - settings["warmup"],
        alpha=settings["least_learning_rate"] / settings["learning_rate"],
        warmup_target=settings["learning_rate"],
        warmup_steps=settings["warmup"],
    )
    return kzoo.AdamW(
        rate,
        weight_decay=settings["weight_decay"],
        clip_norm=settings["clip_norm"],
        beta_2=settings["beta_2"],
    )


class Course(keras.callbacks.Callback):
    """Measure every so many steps, keep the weights of the best, and stop at the last.

    A training loss is the mean of the steps since the last measurement, or since the epoch began.

    Args:
        settings: `steps` and `measured_every`.
        held: the text to measure on.
        keep_best: whether the best weights are those that stay.
    """

    def __init__(self, settings, held, keep_best):
        super().__init__()
        self.steps, self.every = settings["steps"], settings["measured_every"]
        self.held, self.keep_best = held, keep_best
        self.step, self.points, self.best_weights = 0, [], None

    def on_train_batch_end(self, batch, logs=None):
        """Count the step, and measure where it is one to measure at."""
        self.step += 1
        if self.step % self.every and self.step != self.steps:
            return
        held = loss(self.model, self.held)
        self.model.reset_metrics()  # What follows is of the steps to come.
        point = {"step": self.step, "training": round(float(logs["loss"]), 4), "held_out": held}
        print(json.dumps(point), flush=True)
        if self.keep_best and held < min((p["held_out"] for p in self.points), default=math.inf):
            self.best_weights = self.model.get_weights()
        self.points.append(point)
        if self.step == self.steps:
            self.model.stop_training = True

    def on_train_end(self, logs=None):
        """Take the best weights, where they are to stay."""
        if self.best_weights is not None:
            self.model.set_weights(self.best_weights)


def loss(task, text, stride=None):
    """Nats a character, from the perplexity: exact however batches were cut."""
    measured = task.evaluate([text], stride=stride, batch_size=64, return_dict=True, verbose=0)
    return round(math.log(measured["perplexity"]), 4)


def train(task, settings, text, held, keep_best=False):
    """Fit for so many steps; returns the course of the losses, and seconds."""
    task.compile(optimizer(settings))
    course = Course(settings, held, keep_best)
    texts = [text[offset:] for offset in settings["offsets"]]
    start = time.time()
    # More epochs than there are steps for: the callback ends it.
    task.fit(
        texts,
        batch_size=settings["batch_size"],
        epochs=settings["steps"],
        seed=settings["seed"],
        callbacks=[course],
        verbose=0,
    )
    return course.points, round(time.time() - start)


def on_validation(task, settings, text):
    """The losses on the whole validation part."""
    stride = settings["context"] // 4
    return {
        "characters": len(text),
        "loss": loss(task, text),
        "loss_with_stride": loss(task, text, stride),
        "stride": stride,
    }


def samples(task):
    """What it writes after a few prompts, as far as it has places."""
    longest = task.spec.max_sequence_length
    return [
        {
            "prompt": prompt,
            "how": way,
            "text": task.generate(prompt, max_new_tokens=longest - len(prompt), **options),
        }
        for prompt in PROMPTS
        for way, options in WAYS.items()
    ]


def draw(runs, path):
    """The losses by step of runs by their rate, and the one that nanoGPT reaches."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 3.6), layout="constrained")
    axis = figure.subplots()
    for (rate, run), colour in zip(sorted(runs.items()), ("#0b7a75", "#c2571a"), strict=False):
        steps = [point["step"] for point in run["course"]]
        for key, label, line in (("training", "training", ":"), ("held_out", "validation", "-")):
            losses = [point[key] for point in run["course"]]
            axis.plot(steps, losses, line, color=colour, label=f"{label}, rate {rate}")
    axis.axhline(NANOGPT, color="#66707f", linestyle="--", linewidth=1)
    axis.text(steps[0], NANOGPT, f"nanoGPT: {NANOGPT}", va="bottom", color="#66707f")
    axis.set_xlabel("step")
    axis.set_ylabel("nats a character")
    axis.grid(color="#d9dee5", linewidth=0.8)
    axis.spines[["top", "right"]].set_visible(False)
    axis.legend(frameon=False)
    # Without versions and dates, the same picture is the same file.
    figure.savefig(path, format="png", dpi=130, metadata={"Software": None})


def write(path, result):
    """A result as JSON."""
    result = {
        **result,
        "provenance": provenance(SOURCES, ["kzoo", "keras", keras.backend.backend()]),
    }
    path.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1))


def steps(args):
    """nanoGPT's setting for as many steps, at its rate or another; beside runs at other rates."""
    learn, held = read(args.data)
    settings = {**STEPS, "learning_rate": args.rate}
    task = writer(settings)
    points, seconds = train(task, settings, learn, held)
    path = HERE / "result.json"
    runs = json.loads(path.read_text())["runs"] if path.is_file() else {}
    runs[str(args.rate)] = {
        "validation": on_validation(task, settings, held),
        "course": points,
        "seconds": seconds,
        "samples": samples(task),
    }
    draw(runs, HERE / "curve.png")
    result = {
        "what": "nats a character of Tiny Shakespeare after 2,000 steps of nanoGPT's CPU setting, "
        "at its learning rate, 0.001, and at others",
        "settings": {name: value for name, value in STEPS.items() if name != "learning_rate"},
        "parameters": task.count_params(),
        "nanogpt": NANOGPT,
        "runs": runs,
    }
    write(path, result)
    if runs[str(args.rate)]["validation"]["loss"] > NANOGPT:
        raise SystemExit(f"error: nanoGPT's {NANOGPT} was not reached.")


def preset(args):
    """Train the preset from nothing."""
    ship(args, writer(PRESET), [PRESET])


def more(args):
    """Train a preset on."""
    known = presets.card(args.model)
    ship(args, kzoo.load(args.model), [*known["settings"], MORE])


def ship(args, task, runs):
    """Train, round to what ships, look at the validation part once, and save."""
    learn, held = read(args.data)
    cut = int(0.95 * len(learn))
    points, seconds = train(task, runs[-1], learn[:cut], learn[cut:], keep_best=True)
    stored.round_weights(task)
    validation, written = on_validation(task, PRESET, held), samples(task)
    made = (
        "benchmarks/shakespeare/measure.py: trained from nothing on the first 85.5 % of the text, "
        f"in {len(runs)} runs; the next 4.5 % said which step to keep. Then the token table was "
        "rounded to int8 with a scale a row and the other matrices to float16, which is how they "
        "are stored; all figures and samples are of the rounded weights."
    )
    measured = {
        "data": "the last 10 % of Tiny Shakespeare, by which nothing was chosen",
        "nats_a_character": validation["loss"],
        "nats_a_character_with_stride": validation["loss_with_stride"],
        "stride": validation["stride"],
        "command": f"python benchmarks/shakespeare/measure.py {args.command}",
    }
    sample = {"prompt": PROMPTS[0], "options": {**WAYS["temperature 0.8"], "max_new_tokens": 80}}
    sample["text"] = task.generate(sample["prompt"], **sample["options"])
    card = {**CARD, "made": made, "settings": runs, "measured": measured, "sample": sample}
    presets.save_preset(task, args.output, card=card, rounded="tables")
    result = {
        "what": "the preset that ships: nats a character of Tiny Shakespeare, and what it writes",
        "runs": runs,
        "parameters": task.count_params(),
        "held_out_characters": len(learn) - cut,
        "validation": validation,
        "course_of_last_run": points,
        "seconds_of_last_run": seconds,
        "samples": written,
        "files_megabytes": round(sum(f.stat().st_size for f in args.output.iterdir()) / 1e6, 2),
    }
    write(HERE / "preset.json", result)


def main():
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = {"steps": steps, "preset": preset, "more": more}
    parser.add_argument("command", choices=commands)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--rate", type=float, default=STEPS["learning_rate"])
    parser.add_argument("--model", type=Path, help="a preset to go on with")
    parser.add_argument("--output", type=Path, help="the folder of the preset to write")
    args = parser.parse_args()
    commands[args.command](args)


if __name__ == "__main__":
    main()
