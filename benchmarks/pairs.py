"""What the benchmarks of sources and targets share: a tokenizer, a Transformer, its training."""

import json
import time
from pathlib import Path

import keras
import tokenizers
from provenance import provenance
from tokenizers import decoders, models, pre_tokenizers, processors, trainers

import kzoo
from kzoo import presets
from kzoo.models import build

PADDING, END = "<pad>", "</s>"
COLOURS = ("#0b7a75", "#c2571a", "#5b4b8a")
SOURCES = [
    "benchmarks/pairs.py", "kzoo/data/batches.py", "kzoo/data/plan.py", "kzoo/generation",
    "kzoo/graphs.py", "kzoo/models/transformer.py", "kzoo/nn", "kzoo/tasks/seq2seq_lm.py",
    "kzoo/tasks/task.py", "kzoo/tasks/text_scores.py", "kzoo/tasks/text_task.py",
    "kzoo/tasks/writing_task.py", "kzoo/training",
]  # fmt: skip


def byte_tokenizer(texts=(), tokens=258, more=()):
    """A byte-level BPE whose texts end in `</s>`: merges of texts, or bytes alone.

    Args:
        texts: what merges are found in.
        tokens: how many there are at most; 258 are the bytes, padding and the end.
        more: special tokens beside these two.
    """
    backend = tokenizers.Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=tokens,
        special_tokens=[PADDING, END, *more],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    backend.train_from_iterator(texts, trainer)
    end = (END, backend.token_to_id(END))
    backend.post_processor = processors.TemplateProcessing(f"$A {END}", special_tokens=[end])
    return kzoo.Tokenizer.from_json(backend.to_str())


def network(preset, settings, tokenizer):
    """A published network of two towers in another size, with fresh weights.

    Behind post-norm the usual range of 0.02 is too small for narrow networks; `width ** -0.5` is
    what keeps the size of vectors.
    """
    keras.utils.set_random_seed(settings["seed"])
    spec = presets.read_spec(preset)
    sizes = {
        "hidden_dim": settings["width"],
        "num_heads": settings["heads"],
        "head_dim": settings["width"] // settings["heads"],
        "intermediate_dim": settings["intermediate"],
        "schedule": tuple(range(settings["layers"])),
        "max_sequence_length": settings["places"],
        "dropout": settings["dropout"],
        "initializer_range": settings["initializer_range"],
    }
    towers = {name: tower.replace(**sizes) for name, tower in spec.towers.items()}
    words = {**spec.options["embedding"], "vocabulary_size": tokenizer.vocabulary_size}
    words |= {"logit_scale": settings["width"] ** -0.5} if words.get("logit_scale", 1) != 1 else {}
    return build(spec.replace(towers=towers, options={**spec.options, "embedding": words}))


def compile_task(task, settings, steps):
    """With the paper's Adam and label smoothing, and a rate that rises and falls over the steps."""
    task.compile(
        kzoo.AdamW(
            settings["learning_rate"],
            weight_decay=settings["weight_decay"],
            warmup=settings["warmup"],
            decay=settings["decay"],
            total_steps=steps,
            beta_2=settings["beta_2"],
        ),
        loss=keras.losses.CategoricalCrossentropy(label_smoothing=settings["label_smoothing"]),
    )


class Course(keras.callbacks.Callback):
    """A row for each epoch: the loss, and what was measured on pairs that were held out."""

    def __init__(self):
        super().__init__()
        self.rows = []

    def on_epoch_end(self, epoch, logs=None):
        """Note it and print it."""
        row = {name: round(float(value), 4) for name, value in logs.items()}
        self.rows.append({"epoch": epoch + 1, **row})
        print(json.dumps(self.rows[-1]), flush=True)


class Watch:
    """Seconds by the clock and of the processor since it was made."""

    def __init__(self):
        self.start = time.time(), time.process_time()

    def read(self):
        """Both, rounded."""
        now = time.time(), time.process_time()
        wall, processor = (round(b - a) for a, b in zip(self.start, now, strict=True))
        return {"seconds": wall, "processor_seconds": processor}


def examples(pairs, written):
    """What was written beside what was expected."""
    return [
        {"source": source, "expected": target, "written": text}
        for (source, target), text in zip(pairs, written, strict=True)
    ]


def draw(curves, path, label, factor=100, below="epoch"):
    """What was measured by epoch, or something else, a line for each name."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 3.2), layout="constrained")
    axis = figure.subplots()
    for (name, points), colour in zip(curves.items(), COLOURS, strict=False):
        axis.plot(
            *zip(*[(x, factor * y) for x, y in points], strict=True), color=colour, label=name
        )
    axis.set_xlabel(below)
    axis.set_ylabel(label)
    axis.grid(color="#d9dee5", linewidth=0.8)
    axis.spines[["top", "right"]].set_visible(False)
    if len(curves) > 1:
        axis.legend(frameon=False)
    # Without versions and dates, the same picture is the same file.
    figure.savefig(path, format="png", dpi=130, metadata={"Software": None})


def write(path, result, sources, packages=()):
    """A result as JSON, with where it comes from."""
    packages = ["kzoo", "keras", keras.backend.backend(), *packages]
    result = {**result, "provenance": provenance([*sources, *SOURCES], packages)}
    Path(path).write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    print(json.dumps({k: v for k, v in result.items() if k != "course"}, indent=1))
