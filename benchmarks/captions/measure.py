"""A small ViT and a small GPT-2 learn to say what easy-VQA's pictures show.

    python benchmarks/captions/measure.py --data FOLDER

FOLDER is easy-VQA's `data` (github.com/vzhou842/easy-VQA, MIT): `train` and `test`, each with
`images/N.png`, pictures of one shape in one colour, and `questions.json`. What a picture shows is
read off its questions and answers, as in benchmarks/easy_vqa, and said as "a blue triangle".

A captioner (an encoder of squares, a decoder that looks at it and writes word by word) learns from
the training part, with pictures moved and mirrored, and then writes greedily of each test picture:
how many texts are the expected one to the letter, and beside it how many colours and shapes are
right. `--held-out` measures on the last tenth of the training part, by which settings are chosen,
and writes nothing. Else writes `result.json` and `captions.png`, pictures with what is said of
them, those that are wrong first; and from the float32 and the int8 file that an export makes, how
many of the same texts are right.
"""

import argparse
import importlib.util
import json
import sys
import tempfile
import time
from pathlib import Path

import keras
import numpy as np

import kzoo
from kzoo import plot
from kzoo.bundle.export import export_bundle
from kzoo.bundle.predict import open_writer
from kzoo.models import build
from kzoo.spec import Towers

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))
from provenance import provenance  # noqa: E402

SOURCES = [
    "benchmarks/captions/measure.py", "benchmarks/easy_vqa/measure.py", "kzoo/data",
    "kzoo/generation", "kzoo/graphs.py", "kzoo/images", "kzoo/nn", "kzoo/tasks",
    "kzoo/training/optimizer.py",
]  # fmt: skip
SETTINGS = {
    "square": 8,
    "width": 96,
    "heads": 4,
    "layers": {"encoder": 4, "decoder": 2},
    "initializer_range": 0.06,
    "batch_size": 64,
    "epochs": 30,
    "learning_rate": 1.5e-3,
    "weight_decay": 0.05,
    "warmup": 0.1,
    "shift": 0.15,  # of a side
    "seed": 0,
}
SHOWN = 24  # pictures
SIDE = 64


def of_easy_vqa():
    """The script that reads the same pictures."""
    path = HERE.parent / "easy_vqa" / "measure.py"
    spec = importlib.util.spec_from_file_location("easy_vqa", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def captioner(tokenizer):
    """A captioner with fresh weights."""
    keras.utils.set_random_seed(SETTINGS["seed"])
    width, square = SETTINGS["width"], SETTINGS["square"]
    shared = {
        "hidden_dim": width,
        "num_heads": SETTINGS["heads"],
        "intermediate_dim": 2 * width,
        "dropout": 0.0,
        "attention_dropout": 0.0,
        "initializer_range": SETTINGS["initializer_range"],
        "block": "pre_norm",
        "norms": ["final"],
        "pooler": "none",
    }
    encoder = kzoo.Spec(
        "vit",
        {"kind": "patch", "image_size": SIDE, "patch_size": square},
        schedule=tuple(range(SETTINGS["layers"]["encoder"])),
        max_sequence_length=1 + (SIDE // square) ** 2,
        **shared,
    )
    decoder = kzoo.Spec(
        "gpt2",
        {
            "kind": "token",
            "vocabulary_size": tokenizer.vocabulary_size,
            "padding_id": 0,
            "padding_learns": True,
        },
        schedule=tuple(range(SETTINGS["layers"]["decoder"])),
        max_sequence_length=24,
        attention="causal",
        cross_attention="full",
        **shared,
    )
    start = int(tokenizer.encode(["a"])["token_ids"][0][0])
    towers = {"encoder": encoder, "decoder": decoder}
    backbone = build(Towers("vision_encoder_decoder", towers, {"start_id": start}))
    return kzoo.ImageCaptioner(
        backbone,
        tokenizer=tokenizer,
        image_processor=kzoo.ImageProcessor(size=(SIDE, SIDE)),
        max_target_length=8,
        generation={"max_new_tokens": 8},
    )


def shares(found, expected):
    """How many texts are the expected one, and how many of their words are right."""
    pairs = [(one.split(), other.split()) for one, other in zip(found, expected, strict=True)]
    return {
        "exact": float(np.mean([one == other for one, other in pairs])),
        "colour": float(np.mean([other[1] in one for one, other in pairs])),
        "shape": float(np.mean([other[2] in one for one, other in pairs])),
    }


def learn(task, rows, text_of):
    """Train; what was measured by epoch, and seconds."""
    start, size = time.time(), SETTINGS["batch_size"]
    steps = SETTINGS["epochs"] * -(-len(rows) // size)
    task.compile(
        kzoo.AdamW(
            SETTINGS["learning_rate"],
            weight_decay=SETTINGS["weight_decay"],
            warmup=SETTINGS["warmup"],
            decay="cosine",
            total_steps=steps,
        )
    )
    moves = {"height_factor": SETTINGS["shift"], "width_factor": SETTINGS["shift"]}
    history = task.fit(
        [(path, text_of(combination)) for path, combination in rows],
        batch_size=size,
        epochs=SETTINGS["epochs"],
        augment=[
            {"kind": "RandomFlip", "mode": "horizontal"},
            {"kind": "RandomTranslation", "fill_mode": "wrap", **moves},
        ],
        seed=SETTINGS["seed"],
        verbose=2,
    ).history
    course = [
        {name: round(float(value), 4) for name, value in zip(history, values, strict=True)}
        for values in zip(*history.values(), strict=True)
    ]
    return course, time.time() - start


def of_files(task, paths, expected):
    """Size, time a token and right texts of a float32 and an int8 bundle."""
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        for quantization in ("float32", "int8"):
            report = export_bundle(task, Path(folder) / quantization, quantization)
            writer = open_writer(Path(folder) / quantization)
            rows = writer.write(writer.prompt_ids(paths))
            found[quantization] = {
                "megabytes": report["audit"]["bytes"] / 1e6,
                "milliseconds_to_the_first_token": report["latency"]["file"][0],
                "milliseconds_a_token": report["latency"]["token"]["file"],
                "tokens_equal": report["parity"]["tokens_equal"],
                **shares([row[0].text for row in rows], expected),
            }
    return found


def main():
    """Learn, write of the pictures that are held out, and keep what was measured."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--held-out", action="store_true", help="measure on training pictures")
    parser.add_argument("--epochs", type=int, help="others than are set")
    arguments = parser.parse_args()
    SETTINGS["epochs"] = arguments.epochs or SETTINGS["epochs"]
    easy = of_easy_vqa()
    train = easy.shown(arguments.data / "train")
    if arguments.held_out:
        cut = len(train) // 10
        train, test = train[:-cut], train[-cut:]
    else:
        test = easy.shown(arguments.data / "test")
    task = captioner(easy.vocabulary())
    course, seconds = learn(task, train, easy.text_of)
    paths, expected = (list(side) for side in zip(*test, strict=True))
    expected = [easy.text_of(combination) for combination in expected]
    found = task.predict(paths)
    measured = shares(found, expected)
    counts = {text: expected.count(text) for text in expected}
    print(json.dumps({**measured, "seconds": round(seconds)}, indent=1), flush=True)
    if arguments.held_out:
        return
    wrong = [i for i, text in enumerate(found) if text != expected[i]]
    right = [i for i in range(len(found)) if i not in wrong]
    some = [*wrong[: SHOWN // 2], *right][:SHOWN]
    labels = [found[i] if i not in wrong else f"{found[i]} (no)" for i in some]
    plot.write(plot.pictures([paths[i] for i in some], labels), HERE / "captions.png")
    result = {
        "what": "a small ViT and GPT-2 on easy-VQA's pictures: texts of colour and shape, written "
        "greedily, that are the expected one to the letter",
        "settings": SETTINGS,
        "parameters": task.count_params(),
        "pictures": {"train": len(train), "test": len(test)},
        "keras": measured,
        "most_frequent_text": max(counts.values()) / len(expected),
        "files": of_files(task, paths, expected),
        "course": course,
        "seconds": round(seconds),
        "provenance": provenance(SOURCES, ["kzoo", "keras", keras.backend.backend()]),
    }
    (HERE / "result.json").write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
