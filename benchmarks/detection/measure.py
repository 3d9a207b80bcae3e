"""A small DETR learns to find shapes that are drawn here, and then blood cells.

    python benchmarks/detection/measure.py --data FOLDER

FOLDER is BCCD's (github.com/Shenggan/BCCD_Dataset, MIT): `Annotations`, `JPEGImages`, `ImageSets`.
Here 182 of its 364 pictures are used, those that lie in the folder. Without --data the shapes alone
are learnt.

Shapes: circles, squares and triangles of any colour and size on a noisy ground, none to four in a
picture, which may hide each other by a quarter. The network begins at random, and learns from
`SETTINGS["shapes"]["pictures"]` of them; others, drawn with another seed, are measured.

Cells: the network goes on from the shapes, on BCCD's own `trainval`, and is measured on its own
`test`; by the latter nothing was chosen. A box of no area that the data has (BloodImage_00338) is
left out. What others published is of all pictures and of networks that had learnt from ImageNet or
COCO before; this one has seen nothing but shapes.

Writes `result.json`, `shapes.png` and `cells.png`.
"""

import argparse
import json
import sys
import time
from pathlib import Path

import keras
import numpy as np
from PIL import Image, ImageDraw

import kzoo
from kzoo import plot
from kzoo.data.annotations import read_boxes
from kzoo.detections import box_scores
from kzoo.images.reading import read_picture
from kzoo.models import build, count_parameters
from kzoo.spec import Spec, Towers

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))
from provenance import provenance  # noqa: E402

SOURCES = [
    "benchmarks/detection/measure.py", "kzoo/data/annotations.py", "kzoo/detections.py",
    "kzoo/images", "kzoo/models/detr.py", "kzoo/nn", "kzoo/tasks/object_detector.py",
    "kzoo/tasks/set_loss.py", "kzoo/training/optimizer.py",
]  # fmt: skip
LABELS = ["circle", "square", "triangle"]
SETTINGS = {
    "network": {
        "stem": 16, "widths": [32, 64, 96, 128], "depths": [1, 1, 1, 1], "output_stride": 16,
        "norm": "batch", "width": 96, "heads": 4, "intermediate": 256, "encoder": 2, "decoder": 3,
        "queries": 40, "initializer_range": 0.08,
    },
    "shapes": {
        "side": 96, "pictures": 6000, "test": 500, "epochs": 60, "batch_size": 32,
        "learning_rate": 5e-4, "seed": 1,
    },
    "cells": {
        "size": [240, 320], "epochs": 150, "batch_size": 8, "learning_rate": 3e-4, "seed": 1,
    },
}  # fmt: skip
# Of a YOLO with dense connections, on BCCD, as doi.org/10.3390/math13183023 reports of it.
PUBLISHED = {"ap50": 0.86, "of": "YOLO-Dense", "source": "doi.org/10.3390/math13183023"}
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def network():
    """The network with random weights."""
    asked = SETTINGS["network"]
    common = {
        "hidden_dim": asked["width"],
        "num_heads": asked["heads"],
        "intermediate_dim": asked["intermediate"],
        "dropout": 0.0,
        "attention_dropout": 0.0,
        "initializer_range": asked["initializer_range"],
        "attention": "placed",
        "feedforward": {"kind": "mlp", "activation": "relu"},
        "norm": {"kind": "layer_norm", "epsilon": 1e-5},
        "pooler": "none",
    }
    names = ("stem", "widths", "depths", "output_stride", "norm")
    encoder = Spec(
        "detr_encoder",
        {"kind": "resnet", **{name: asked[name] for name in names}},
        schedule=tuple(range(asked["encoder"])),
        position="sine_2d",
        norms=[],
        **common,
    )
    decoder = Spec(
        "detr_decoder",
        {"kind": "queries", "count": asked["queries"]},
        schedule=tuple(range(asked["decoder"])),
        position="none",
        cross_attention="placed",
        norms=["final"],
        **common,
    )
    return build(Towers("detr", {"encoder": encoder, "decoder": decoder}))


def drawn(count, seed, side):
    """Pictures of shapes, and what is in each."""
    draw, pictures, things = np.random.default_rng(seed), [], []
    for _ in range(count):
        ground = draw.integers(60, 200, 3) + draw.normal(0, 12, (side, side, 3))
        image = Image.fromarray(np.clip(ground, 0, 255).astype("uint8"))
        pen, row = ImageDraw.Draw(image), []
        for _ in range(draw.integers(0, 5)):
            size = int(draw.integers(14, 41))
            left, top = (int(v) for v in draw.integers(0, side - size, 2))
            box = [left, top, left + size, top + size]
            if any(_hidden(box, other["box"]) > 0.25 for other in row):
                continue
            label = LABELS[int(draw.integers(3))]
            colour = tuple(int(v) for v in draw.integers(0, 256, 3))
            if np.abs(np.subtract(colour, ground.mean((0, 1)))).max() < 60:
                continue
            inner = [left, top, left + size - 1, top + size - 1]
            if label == "circle":
                pen.ellipse(inner, fill=colour)
            elif label == "square":
                pen.rectangle(inner, fill=colour)
            else:
                pen.polygon(
                    [(left + size / 2, top), (inner[2], inner[3]), (left, inner[3])], fill=colour
                )
            row.append({"label": label, "box": box})
        pictures.append(np.asarray(image))
        things.append(row)
    return pictures, things


def _hidden(one, other):
    """The share of the smaller of two boxes that lies in the other."""
    sides = [max(0, min(one[i + 2], other[i + 2]) - max(one[i], other[i])) for i in (0, 1)]
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (one, other)]
    return sides[0] * sides[1] / min(areas)


def measured(task, pictures, things):
    """Average precision on pictures, and what was found in them."""
    found = task.predict(pictures, threshold=0.0, batch_size=16)
    given = [[{**each, "box": list(each["box"].values())} for each in row] for row in found]
    return box_scores(things, given, task.labels), found


def learnt(task, pictures, things, settings):
    """Train a task, mirrored pictures among them; the seconds that it took and its losses."""
    optimizer = kzoo.AdamW(settings["learning_rate"], warmup=0.05, decay="cosine", clip_norm=1.0)
    task.compile(optimizer)
    start = time.perf_counter()
    history = task.fit(
        pictures,
        things,
        batch_size=settings["batch_size"],
        epochs=settings["epochs"],
        seed=settings["seed"],
        augment={"kind": "RandomFlip", "mode": settings.get("mirror", "horizontal_and_vertical")},
        verbose=2,
    )
    return round(time.perf_counter() - start, 1), [round(v, 4) for v in history.history["loss"]]


def mosaic(pictures, things, columns):
    """Pictures of one size side by side as one, and their things moved with them."""
    height, width = pictures[0].shape[:2]
    rows = -(-len(pictures) // columns)
    whole, moved = np.full((rows * (height + 4), columns * (width + 4), 3), 255, "uint8"), []
    for place, (picture, row) in enumerate(zip(pictures, things, strict=True)):
        top, left = place // columns * (height + 4), place % columns * (width + 4)
        whole[top : top + height, left : left + width] = picture
        for each in row:
            box = each["box"]
            box = list(box.values()) if isinstance(box, dict) else box
            box = np.clip(box, 0, [width, height] * 2) + [left, top, left, top]
            moved.append({**each, "box": box.tolist()})
    return whole, moved


def show(path, pictures, found, things, columns, labels):
    """Draw some pictures with what was found, and the right boxes as broken lines."""
    shown = [[each for each in row if each["score"] > 0.5] for row in found]
    whole, boxes = mosaic(pictures, shown, columns)
    _, expected = mosaic(pictures, things, columns)
    plot.write(plot.boxes(whole, boxes, expected, labels), path)


def shapes():
    """The detector of shapes, and what is known of it."""
    settings = SETTINGS["shapes"]
    side = settings["side"]
    keras.utils.set_random_seed(settings["seed"])
    processor = kzoo.ImageProcessor([side, side], mean=MEAN, std=STD)
    task = kzoo.ObjectDetector(network(), LABELS, image_processor=processor)
    pictures, things = drawn(settings["pictures"], settings["seed"], side)
    seconds, losses = learnt(task, pictures, things, settings)
    pictures, things = drawn(settings["test"], 10_000, side)
    scores, found = measured(task, pictures, things)
    show(HERE / "shapes.png", pictures[:15], found[:15], things[:15], 5, LABELS)
    empty = sum(not row for row in things)
    return task, {"seconds": seconds, "losses": losses, "without_things": empty, "scores": scores}


def cells(task, folder):
    """What is known of the detector of cells that goes on from one of shapes."""
    settings = SETTINGS["cells"]
    keras.utils.set_random_seed(settings["seed"])
    examples = read_boxes(folder)
    dropped = 0
    for row in examples.y:
        kept = [e for e in row if e["box"][2] > e["box"][0] and e["box"][3] > e["box"][1]]
        dropped += len(row) - len(kept)
        row[:] = kept
    stems = [Path(name).stem for name in examples.lines]
    parts = {}
    for name in ("trainval", "test"):
        listed = (folder / "ImageSets" / "Main" / f"{name}.txt").read_text().split()
        parts[name] = examples.part([i for i, stem in enumerate(stems) if stem in listed])
    labels = sorted({each["label"] for row in examples.y for each in row})
    size = settings["size"]
    processor = kzoo.ImageProcessor(size, mean=MEAN, std=STD)
    task = kzoo.ObjectDetector(
        task.backbone, labels, head={"kind": "boxes"}, image_processor=processor
    )
    seconds, losses = learnt(task, *parts["trainval"], settings)
    scores, found = measured(task, *parts["test"])
    pictures = [read_picture(path) for path in parts["test"].x[:6]]
    show(HERE / "cells.png", pictures, found[:6], parts["test"].y[:6], 3, labels)
    return {
        "pictures": {name: len(part) for name, part in parts.items()},
        "boxes_left_out": dropped,
        "seconds": seconds,
        "losses": losses,
        "scores": scores,
        "published": PUBLISHED,
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path)
    parser.add_argument("--shapes-epochs", type=int)
    parser.add_argument("--cells-epochs", type=int)
    arguments = parser.parse_args()
    for part in ("shapes", "cells"):
        asked = getattr(arguments, f"{part}_epochs")
        SETTINGS[part]["epochs"] = asked or SETTINGS[part]["epochs"]
    task, found = shapes()
    result = {
        "settings": SETTINGS,
        "parameters": count_parameters(task.spec),
        "shapes": found,
        "provenance": provenance(SOURCES, ["keras", "tensorflow", "numpy", "scipy"]),
    }
    _write(result)
    if arguments.data is not None:
        result["cells"] = cells(task, arguments.data)
        _write(result)


def _write(result):
    text = json.dumps(result, indent=1) + "\n"
    (HERE / "result.json").write_text(text, encoding="utf-8")
    for part in ("shapes", "cells"):
        if part in result:
            print(part, {k: v for k, v in result[part]["scores"].items() if k != "labels"})


if __name__ == "__main__":
    main()
