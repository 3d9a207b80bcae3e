"""Three towers on spoken digits, written ones and pictures of them: who finds whom.

    python benchmarks/three_towers/measure.py --data FOLDER

FOLDER holds `fsdd_600/fsdd_600.tar.xz`, 600 recordings of the Free Spoken Digit Dataset
(github.com/Jakobovski/free-spoken-digit-dataset, CC BY-SA 4.0) as
recordings/DIGIT_SPEAKER_TAKE.wav, where takes 0 to 4 are the test part, and `mnist/`, MNIST as its
authors wrote it: the first 20,000 pictures of its training part (`train20k-...`) and the first
3,000 of its test part (`t3k-...`).

As in the paper of AudioCLIP (arXiv:2106.13043) pictures and texts learn first, from nothing: each
picture with one of several texts. Then the third tower comes, the shipped KWT-1, which has heard
other people speak commands, digits among them; of its 12 blocks the last three go on learning. All
learn together from triples, by three losses.

Settings were fixed before the test parts were looked at, once; `--held-out` measures on take 9 and
the last 2,000 training pictures instead, which it doesn't learn from. No recording and no picture
is in both parts; the six speakers are, by the set's own rule. Writes `result.json`.
"""

import argparse
import gzip
import json
import sys
import tarfile
import tempfile
import time
from pathlib import Path

import keras
import numpy as np

import kzoo
from kzoo.images.image_processor import ImageProcessor
from kzoo.models import build
from kzoo.models.audio_clip import AudioClip
from kzoo.spec import Spec, Towers

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))
from pairs import END, PADDING, byte_tokenizer  # noqa: E402
from provenance import provenance  # noqa: E402

SOURCES = [
    "benchmarks/pairs.py", "benchmarks/three_towers/measure.py", "kzoo/answers.py", "kzoo/audio",
    "kzoo/data/arrays.py", "kzoo/data/pairs.py", "kzoo/graphs.py", "kzoo/models/audio_clip.py",
    "kzoo/models/clip.py", "kzoo/models/kwt.py", "kzoo/nn", "kzoo/tasks",
    "kzoo/training/optimizer.py", "presets/kwt1_speech_commands",
]  # fmt: skip
PRESET = "kwt1_speech_commands"
WORDS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
LEARNT = ("{word}", "{digit}", "the digit {word}", "number {digit}", "a written {word}")
ASKED = ("the digit {digit}", "number {word}")  # of words that are known, put together anew
TEST_TAKES, HELD_OUT_TAKE, HELD_OUT_PICTURES = range(5), 9, 2000
SETTINGS = {
    "side": 28,
    "square": 7,
    "width": 64,
    "heads": 4,
    "intermediate": 128,
    "image_layers": 3,
    "text_layers": 2,
    "text_places": 24,
    "dim": 64,
    "initializer_range": 0.1,
    "batch_size": 50,
    "pair_epochs": 3,
    "pair_learning_rate": 2e-3,
    "triples": 3000,
    "triple_epochs": 2,
    "triple_learning_rate": 1e-3,
    "audio_blocks_that_learn": 3,
    "warmup": 0.1,
    "weight_decay": 0.05,
    "seed": 0,
}


def idx(folder, name):
    """An array in MNIST's format."""
    content = gzip.decompress((folder / f"{name}.gz").read_bytes())
    axes = content[3]
    shape = np.frombuffer(content, ">i4", axes, 4)
    return np.frombuffer(content, "uint8", offset=4 + 4 * axes).reshape(shape)


def pictures_of(folder, part):
    """Pictures and digits of a part of MNIST."""
    names = ("images-idx3-ubyte", "labels-idx1-ubyte")
    return [idx(folder, f"{part}-{name}") for name in names]


def recordings(archive, folder):
    """(file, digit, take) of every sound, unpacked into a folder."""
    with tarfile.open(archive) as tar:
        tar.extractall(folder, filter="data")
    rows = []
    for path in sorted(Path(folder).rglob("*.wav")):
        digit, _, take = path.stem.split("_")
        rows.append((str(path), int(digit), int(take)))
    return rows


def of_takes(rows, takes):
    """Files and digits of some takes."""
    chosen = [(path, digit) for path, digit, take in rows if take in takes]
    files, digits = zip(*chosen, strict=True)
    return list(files), np.array(digits)


def texts_of(digits, templates, draw):
    """A text for each digit, of a template that is drawn."""
    places = draw.integers(0, len(templates), len(digits))
    return [
        templates[place].format(word=WORDS[digit], digit=digit)
        for place, digit in zip(places, digits, strict=True)
    ]


def two_towers(tokenizer):
    """Fresh towers of pictures and of texts."""
    keras.utils.set_random_seed(SETTINGS["seed"])
    side, square = SETTINGS["side"], SETTINGS["square"]
    own = {
        "hidden_dim": SETTINGS["width"],
        "num_heads": SETTINGS["heads"],
        "intermediate_dim": SETTINGS["intermediate"],
        "dropout": 0.0,
        "attention_dropout": 0.0,
        "block": "pre_norm",
        "initializer_range": SETTINGS["initializer_range"],
        "norm": {"kind": "layer_norm", "epsilon": 1e-5},
    }
    image = Spec(
        "clip_image",
        {"kind": "patch", "image_size": side, "patch_size": square, "bias": False},
        **own,
        schedule=tuple(range(SETTINGS["image_layers"])),
        max_sequence_length=1 + (side // square) ** 2,
        pooler={"kind": "first", "dim": SETTINGS["dim"]},
    )
    words = {"kind": "token", "vocabulary_size": tokenizer.vocabulary_size}
    words["padding_id"] = tokenizer.token_to_id(PADDING)
    end = tokenizer.token_to_id(END)
    text = Spec(
        "clip_text",
        words,
        **own,
        schedule=tuple(range(SETTINGS["text_layers"])),
        max_sequence_length=SETTINGS["text_places"],
        attention="causal",
        norms=["final"],
        pooler={"kind": "end", "dim": SETTINGS["dim"], "token": end},
    )
    processor = ImageProcessor(size=(side, side), mean=0.13, std=0.31)
    backbone = build(Towers("audio_clip", {"image": image, "text": text}))
    return kzoo.ImageTextEmbedder(backbone, tokenizer=tokenizer, image_processor=processor)


def compiled(task, rate):
    """The task, ready to learn."""
    options = {"warmup": SETTINGS["warmup"], "weight_decay": SETTINGS["weight_decay"]}
    task.compile(kzoo.AdamW(SETTINGS[rate], **options))
    return task


def rounded(history):
    """The course of a training."""
    return {name: [round(float(v), 4) for v in values] for name, values in history.items()}


def learn(pictures, sounds):
    """Pictures with texts first, then all three; the task, and the course of both trainings."""
    draw = np.random.default_rng(SETTINGS["seed"])
    images, digits = pictures
    tokenizer = byte_tokenizer(texts_of(digits, LEARNT, draw), 300)
    pair = compiled(two_towers(tokenizer), "pair_learning_rate")
    courses, options = {}, {"batch_size": SETTINGS["batch_size"], "seed": SETTINGS["seed"]}
    pairs = list(zip(images, texts_of(digits, LEARNT, draw), strict=True))
    history = pair.fit(pairs, epochs=SETTINGS["pair_epochs"], verbose=2, **options).history
    courses["pictures and texts"] = rounded(history)

    kwt = kzoo.load(PRESET)
    parts = {name: pair.backbone.towers[name] for name in ("image", "text")}
    made = AudioClip.of(dim=SETTINGS["dim"], **parts, audio=kwt.backbone)
    processors = {**pair.processors, "audio_processor": kwt.audio_processor}
    task = kzoo.AudioImageTextEmbedder(made, **processors)
    made.audio.embedding.trainable = made.audio.position.trainable = False
    for block in made.audio.block_list[: -SETTINGS["audio_blocks_that_learn"]]:
        block.trainable = False
    compiled(task, "triple_learning_rate")
    files, spoken = sounds
    of_digit = [np.flatnonzero(digits == digit) for digit in range(10)]
    for_each = SETTINGS["triples"] // len(files)
    said = np.repeat(np.arange(len(files)), for_each)
    shown = [int(draw.choice(of_digit[spoken[place]])) for place in said]
    columns = {
        "image": [images[place] for place in shown],
        "text": texts_of(spoken[said], LEARNT, draw),
        "audio": [files[place] for place in said],
    }
    history = task.fit(columns, epochs=SETTINGS["triple_epochs"], verbose=2, **options).history
    courses["all three"] = rounded(history)
    return task, courses


def found(scores, asked, there):
    """The share of queries whose nearest is of their own digit."""
    return round(float((there[scores.argmax(1)] == asked).mean()), 4)


def of_ten(scores, asked, there, draw):
    """The same where each query looks among ten, one of each digit, that are drawn for it."""
    places = [np.flatnonzero(there == digit) for digit in range(10)]
    right = 0
    for row, digit in zip(scores, asked, strict=True):
        drawn = [int(draw.choice(each)) for each in places]
        right += int(np.argmax(row[drawn])) == digit
    return right / len(asked)


def measure(task, pictures, sounds):
    """Who finds whom among what wasn't learnt from."""
    images, digits = pictures
    files, spoken = sounds
    written = np.repeat(np.arange(10), len(ASKED))
    texts = [t.format(word=WORDS[d], digit=d) for d in range(10) for t in ASKED]
    vectors = task.predict({"image": list(images), "text": texts, "audio": files}, batch_size=100)
    labels = {"image": digits, "text": written, "audio": spoken}
    draw, nearest, ten = np.random.default_rng(SETTINGS["seed"]), {}, {}
    for one in labels:
        for other in labels:
            if one == other:
                continue
            scores = vectors[one] @ vectors[other].T
            name = f"{one}_to_{other}"
            nearest[name] = found(scores, labels[one], labels[other])
            rounds = max(1, 3000 // len(scores))  # Few queries look among many tens.
            shares = [of_ten(scores, labels[one], labels[other], draw) for _ in range(rounds)]
            ten[name] = round(float(np.mean(shares)), 4)
    return {
        "queries": {name: len(label) for name, label in labels.items()},
        "nearest_of_all": nearest,
        "nearest_of_ten": ten,
    }


def main():
    """Learn from the training parts, look at the test parts once, and write what was measured."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--held-out", action="store_true", help="measure on part of the training")
    arguments = parser.parse_args()
    clock, processor = time.time(), time.process_time()
    mnist = arguments.data / "mnist"
    images, digits = pictures_of(mnist, "train20k")
    with tempfile.TemporaryDirectory() as folder:
        rows = recordings(arguments.data / "fsdd_600" / "fsdd_600.tar.xz", folder)
        takes = {take for _, _, take in rows} - set(TEST_TAKES)
        if arguments.held_out:
            cut = len(images) - HELD_OUT_PICTURES
            learnt = (images[:cut], digits[:cut]), of_takes(rows, takes - {HELD_OUT_TAKE})
            task, _ = learn(*learnt)
            held = measure(task, (images[cut:], digits[cut:]), of_takes(rows, {HELD_OUT_TAKE}))
            print(json.dumps({**held, "processor_seconds": time.process_time() - processor}))
            return
        task, courses = learn((images, digits), of_takes(rows, takes))
        tested = pictures_of(mnist, "t3k")
        found_there = measure(task, tested, of_takes(rows, TEST_TAKES))
    result = {
        "what": "three towers on spoken digits, written ones and pictures: share found at once",
        "settings": {**SETTINGS, "learnt": list(LEARNT), "asked": list(ASKED)},
        "learnt_from": {"pictures": len(images), "sounds": len(of_takes(rows, takes)[0])},
        **found_there,
        "parameters": task.count_params(),
        "courses": courses,
        "seconds": round(time.time() - clock),
        "processor_seconds": round(time.process_time() - processor),
        "provenance": provenance(SOURCES, ["kzoo", "keras", keras.backend.backend()]),
    }
    (HERE / "result.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(json.dumps({k: v for k, v in result.items() if k != "courses"}, indent=1))


if __name__ == "__main__":
    main()
