"""`ObjectDetector`: what it reads, how it learns, what it answers, and its files."""

import importlib.util
import itertools
import json
import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import on_boxes
import pytest
from families import SPECS, add_noise
from PIL import Image

import kzoo
from kzoo import plot
from kzoo.bundle import export_bundle
from kzoo.data.annotations import read_boxes, target_rows
from kzoo.images.mirroring import Mirrored
from kzoo.litert.audit import audit
from kzoo.litert.interpreter import Interpreter
from kzoo.models import build
from kzoo.nn.boxes import corners, generalized_overlap
from kzoo.tasks.set_loss import SetLoss, matching

ROOT = Path(__file__).parent.parent
LABELS = ["cell", "plate"]
RAGGED = {"shortest_edge": 48, "longest_edge": 64}


def detector(size=None, noise=True, blocks=3, **changes):
    """A tiny detector of so many blocks a tower at most; of a fixed size, or of any."""
    towers = {
        name: tower.replace(dropout=0.0, attention_dropout=0.0, schedule=tower.schedule[:blocks])
        for name, tower in SPECS["detr"].towers.items()
    }
    backbone = build(SPECS["detr"].replace(towers=towers))
    processor = kzoo.ImageProcessor(RAGGED)
    task = kzoo.ObjectDetector(backbone, LABELS, image_processor=processor, **changes)
    task = add_noise(task) if noise else task
    return task if size is None else task.resized(size)


def pictures(count=3):
    draw = np.random.default_rng(0)
    sides = [(60, 80), (90, 50), (64, 64), (50, 120)]
    return [draw.integers(0, 256, (*sides[i % 4], 3)).astype("uint8") for i in range(count)]


def thing(label, *box):
    return {"label": label, "box": list(box)}


THINGS = [
    [thing("cell", 5, 6, 30, 50), thing("plate", 40, 10, 79, 59)],
    [],
    [thing("plate", 0, 0, 64, 64), thing("cell", 1, 1, 9, 30), thing("cell", 30, 30, 60, 50)],
]


# -- the loss ------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(3))
def test_the_matching_is_the_cheapest_of_all(seed):
    draw = np.random.default_rng(seed)
    costs, real = draw.normal(size=(2, 2, 5, 4)).astype("float32"), np.ones((2, 4))
    real[0, 1] = real[1, 2:] = 0
    partners = matching(costs, real)
    for picture, step in itertools.product(range(2), range(2)):
        own = np.flatnonzero(real[picture])
        cheapest = min(
            sum(costs[picture, step, q, b] for q, b in zip(queries, own, strict=True))
            for queries in itertools.permutations(range(5), len(own))
        )
        assert (partners[picture, step] * costs[picture, step]).sum() == pytest.approx(cheapest)
        np.testing.assert_array_equal(partners[picture, step].sum(0), real[picture])
        assert partners[picture, step].sum(1).max() <= 1


def test_boxes_of_numbers_that_are_none_are_matched_all_the_same():
    partners = matching(np.full((1, 1, 3, 2), np.nan, "float32"), np.ones((1, 2)))
    assert partners.sum() == 2


def test_generalized_overlap_by_hand():
    one = corners(np.array([[0.5, 0.5, 1.0, 1.0], [0.25, 0.25, 0.5, 0.5], [0.1, 0.1, 0.2, 0.2]]))
    other = corners(np.array([[0.5, 0.5, 1.0, 1.0], [0.5, 0.25, 0.5, 0.5], [0.9, 0.9, 0.2, 0.2]]))
    shares = np.asarray(generalized_overlap(keras.ops.convert_to_tensor(one), other))
    np.testing.assert_allclose(shares, [1, 1 / 3, -(1 - 0.08)], atol=1e-6)


def test_a_picture_without_things_counts_its_queries_alone():
    """By hand: cross-entropy of nothing, whose weights fall out of their mean."""
    draw = np.random.default_rng(0)
    logits, boxes = draw.normal(size=(1, 1, 3, 3)), draw.uniform(size=(1, 1, 3, 4))
    loss = SetLoss().of_batch(np.full((1, 2, 5), -1.0), logits, boxes)
    shares = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    assert float(loss) == pytest.approx(-np.log(shares[..., -1]).mean(), rel=1e-5)


def test_steps_add_up_and_weights_weigh():
    draw = np.random.default_rng(1)
    targets = target_rows(pictures(2), THINGS[:2], LABELS)
    logits, boxes = draw.normal(size=(2, 3, 5, 3)), draw.uniform(0.2, 0.6, (2, 3, 5, 4))
    whole = float(SetLoss().of_batch(targets, logits, boxes))
    each = [float(SetLoss().of_batch(targets, logits[:, [s]], boxes[:, [s]])) for s in range(3)]
    assert whole == pytest.approx(sum(each), rel=1e-5)
    half = float(SetLoss().of_batch(targets, logits, boxes, np.array([0.5, 0.5])))
    assert half == pytest.approx(whole / 2, rel=1e-5)


# -- learning ------------------------------------------------------------------------------------


def test_it_learns_and_answers_in_pixels(tmp_path):
    keras.utils.set_random_seed(0)
    task = detector(noise=False)
    task.compile(kzoo.AdamW(1e-2, warmup=0, decay="constant"))
    # All in one batch: the loss of a batch is a mean over its boxes, of which one picture has none.
    history = task.fit(pictures(), THINGS, batch_size=3, epochs=25, verbose=0)
    losses = history.history["loss"]
    assert losses[-1] < 0.85 * losses[0]
    task.fit(pictures(), THINGS, batch_size=2, epochs=1, verbose=0, augment="RandomFlip")
    assert task.evaluate(pictures(), THINGS, verbose=0) > 0
    answers = task.predict(pictures(), threshold=0.0)
    assert [len(row) for row in answers] == [5, 5, 5]
    for row in answers:
        assert [each["score"] for each in row] == sorted((e["score"] for e in row), reverse=True)
        assert {each["label"] for each in row} <= set(LABELS)
    task.save(tmp_path / "task.keras")
    again = keras.saving.load_model(tmp_path / "task.keras")
    assert again.predict(pictures(), threshold=0.0) == answers
    assert again.threshold == 0.5
    task.save_preset(tmp_path / "preset")
    loaded = kzoo.load(tmp_path / "preset")
    assert loaded.predict(pictures(), threshold=0.0) == answers


def test_boxes_are_shares_of_the_picture_that_was_given():
    """The same picture alone and filled up beside a larger one, and one that is twice as large."""
    task = detector([64, 64])
    small = pictures(1)[0]
    large = np.asarray(Image.fromarray(small).resize((160, 120), 0))
    (one,), (other,) = (task.predict(each, threshold=0.0) for each in (small, large))
    for a, b in zip(one, other, strict=True):
        np.testing.assert_allclose(
            2 * np.array(list(a["box"].values())), list(b["box"].values()), atol=2.0
        )
    ragged = detector()
    outputs = ragged(ragged.prepared([small]))
    (answer,) = ragged.predict([small], threshold=0.0)
    x, y, width, height = np.asarray(outputs["boxes"][0])[
        np.argmax(np.asarray(keras.ops.softmax(outputs["logits"]))[0, :, :-1].max(-1))
    ]
    expected = [(x - width / 2) * 80, (y - height / 2) * 60, (x + width / 2) * 80,
                (y + height / 2) * 60]  # fmt: skip
    np.testing.assert_allclose(list(answer[0]["box"].values()), expected, rtol=1e-4, atol=1e-3)


def test_every_weight_that_is_not_frozen_gets_a_gradient():
    import tensorflow as tf

    task = detector()
    given = pictures()
    targets = task.encode_targets(THINGS, given)
    task.compile()
    with tf.GradientTape() as tape:
        outputs = task(task.prepared(given), training=True)
        loss = task.compute_loss(None, targets, outputs)
    weights = task.trainable_weights
    gradients = tape.gradient(loss, [w.value for w in weights])
    lacking = [
        weight.path
        for weight, gradient in zip(weights, gradients, strict=True)
        if gradient is None or not np.abs(np.asarray(tf.convert_to_tensor(gradient))).max() > 0
    ]
    # What the first block of the decoder attends to is zeros alone, whatever looks where.
    first = ("attention/query", "attention/key", "attention/value/kernel")
    silent = [f"decoder/block_0/{each}" for each in first]
    lacking = [p for p in lacking if not p.endswith("key/bias")]
    assert all(any(each in path for each in silent) for path in lacking), lacking


def trained(tmp_path, where, backend="tensorflow"):
    """What a training ends in, see `on_boxes.py`."""
    file = tmp_path / f"{where}_{backend}.npz"
    if where == "one" and backend == keras.backend.backend():
        on_boxes.main(where, file)
        return np.load(file)
    run = subprocess.run(
        [sys.executable, ROOT / "tests" / "on_boxes.py", where, file],
        env={**os.environ, "KERAS_BACKEND": backend},
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr[-3000:]
    return np.load(file)


def test_two_replicas_learn_what_one_learns_and_so_does_jax(tmp_path):
    """Four pictures in batches of three: boxes are counted over the whole batch, also of one."""
    one = trained(tmp_path, "one")
    others = [trained(tmp_path, "replicas")]
    if importlib.util.find_spec("jax"):
        others.append(trained(tmp_path, "one", "jax"))
    assert float(one["moved"]) > 1e-3
    for other in others:
        np.testing.assert_allclose(other["loss"], one["loss"], rtol=1e-5)
        for name in [name for name in one if name.startswith("weight_")]:
            np.testing.assert_allclose(other[name], one[name], atol=1e-5)
        np.testing.assert_allclose(other["answers"], one["answers"], atol=1e-3)  # pixels


def test_pictures_are_turned_over_with_their_boxes():
    given = [np.arange(24, dtype="uint8").reshape(2, 4, 3)] * 40
    targets = np.tile(np.array([[[1, 0.25, 0.5, 0.5, 1.0], [-1] * 5]], "float32"), (40, 1, 1))
    turned, boxes = Mirrored("horizontal")(given, targets, [0, 1, 2])
    is_turned = np.array([not np.array_equal(a, b) for a, b in zip(turned, given, strict=True)])
    assert 5 < is_turned.sum() < 35
    np.testing.assert_allclose(boxes[is_turned][:, 0, 1], 0.75)
    np.testing.assert_allclose(boxes[~is_turned], targets[~is_turned])
    assert (boxes[:, 1] == -1).all()
    with pytest.raises(kzoo.KzooError, match="horizontal"):
        Mirrored("sideways")


# -- files ---------------------------------------------------------------------------------------


def write_coco(folder, images=None, annotations=None):
    folder.mkdir(exist_ok=True)
    for place, array in enumerate(pictures()):
        Image.fromarray(array).save(folder / f"{place}.png")
    held = {
        "images": [{"id": 10 + i, "file_name": f"{i}.png"} for i in range(3)],
        "categories": [{"id": 7, "name": "plate"}, {"id": 3, "name": "cell"}],
        "annotations": [
            {"id": 1, "image_id": 10, "category_id": 3, "bbox": [5, 6, 25, 44]},
            {"id": 2, "image_id": 12, "category_id": 7, "bbox": [0, 0, 64, 64], "iscrowd": 0},
            {"id": 3, "image_id": 12, "category_id": 7, "bbox": [0, 0, 9, 9], "iscrowd": 1},
            *(annotations or ()),
        ],
    }
    (folder / "boxes.json").write_text(json.dumps({**held, **(images or {})}))
    return folder / "boxes.json"


def write_voc(folder):
    (folder / "Annotations").mkdir(parents=True)
    (folder / "JPEGImages").mkdir()
    (folder / "ImageSets" / "Main").mkdir(parents=True)
    for place, (array, row) in enumerate(zip(pictures(), THINGS, strict=True)):
        Image.fromarray(array).save(folder / "JPEGImages" / f"p{place}.jpg")
        objects = "".join(
            "<object><name>{label}</name><bndbox><xmin>{0}</xmin><ymin>{1}</ymin><xmax>{2}</xmax>"
            "<ymax>{3}</ymax></bndbox></object>".format(*each["box"], label=each["label"])
            for each in row
        )
        (folder / "Annotations" / f"p{place}.xml").write_text(
            f"<annotation><filename>p{place}.jpg</filename>{objects}</annotation>"
        )
    (folder / "ImageSets" / "Main" / "train.txt").write_text("p2\np0\n")
    return folder


def write_table(path):
    for place, array in enumerate(pictures()):
        Image.fromarray(array).save(path.parent / f"{place}.png")
    rows = [{"image": f"{i}.png", "objects": row} for i, row in enumerate(THINGS)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_coco_s_annotations_are_read(tmp_path):
    examples = read_boxes(write_coco(tmp_path / "coco"))
    assert examples.y == [[thing("cell", 5, 6, 30, 50)], [], [thing("plate", 0, 0, 64, 64)]]
    assert examples.names == ["plate", "cell"] and examples.left_out == {"iscrowd": [3]}
    assert "cell (1)" in examples.describe(["cell", "plate"])
    task = kzoo.ObjectDetector(
        build(SPECS["detr"]), str(tmp_path / "coco" / "boxes.json"),
        image_processor=kzoo.ImageProcessor(RAGGED),
    )  # fmt: skip
    assert task.labels == ["plate", "cell"]


def test_pascal_voc_s_folders_and_lists_are_read(tmp_path):
    folder = write_voc(tmp_path / "voc")
    examples = read_boxes(folder)
    assert examples.y == THINGS and [x.name for x in examples.x] == ["p0.jpg", "p1.jpg", "p2.jpg"]
    listed = read_boxes(folder / "ImageSets" / "Main" / "train.txt")
    assert listed.y == [THINGS[2], THINGS[0]]


def test_a_table_is_read(tmp_path):
    assert read_boxes(write_table(tmp_path / "boxes.jsonl")).y == THINGS


BROKEN = {
    "outside": (thing("cell", 10, 10, 95, 20), "reaches out of the picture of 80 by 60"),
    "no area": (thing("cell", 10, 10, 10, 20), "no area"),
    "turned round": (thing("cell", 30, 10, 10, 20), "no area"),
    "no number": (thing("cell", 1, float("nan"), 10, 20), "expected left, top, right and bottom"),
    "three numbers": (thing("cell", 1, 10, 20), "expected left, top, right and bottom"),
    "an unknown label": (thing("dog", 1, 2, 10, 20), "expected one of cell, plate"),
    "no box": ({"label": "cell"}, "expected a list of"),
    "no list": (None, "expected a list of"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_box_that_is_none_is_named_before_anything_is_learnt(case):
    target, message = BROKEN[case]
    task = detector()
    task.compile()
    before = [np.array(weight) for weight in task.weights]
    with pytest.raises(kzoo.KzooError, match=message):
        task.fit(pictures(2), [[target] if target else 5, []], verbose=0)
    for weight, value in zip(task.weights, before, strict=True):
        np.testing.assert_array_equal(weight, value)


def test_a_pixel_beyond_the_edge_is_cut_off():
    rows = target_rows(pictures(1), [[thing("cell", -0.5, 0, 80.9, 60)]], LABELS)
    np.testing.assert_allclose(rows[0, 0], [0, 0.5, 0.5, 1, 1])


def test_files_that_are_none_are_named(tmp_path):
    file = write_coco(tmp_path / "coco", annotations=[{"id": 9, "image_id": 99, "bbox": [0] * 4}])
    with pytest.raises(kzoo.KzooError, match="isn't COCO's annotations"):
        read_boxes(file)
    (tmp_path / "coco" / "1.png").unlink()
    with pytest.raises(kzoo.KzooError, match="'1.png', which isn't there"):
        read_boxes(write_without_pictures(tmp_path / "coco"))
    with pytest.raises(kzoo.KzooError, match="lacks the list categories"):
        (tmp_path / "x.json").write_text('{"images": [], "annotations": []}')
        read_boxes(tmp_path / "x.json")
    with pytest.raises(kzoo.KzooError, match="doesn't exist"):
        read_boxes(tmp_path / "nowhere")
    table = tmp_path / "t.jsonl"
    table.write_text('{"image": "0.png", "objects": [{"box": [1, 2, 3, 4]}]}\n')
    with pytest.raises(kzoo.KzooError, match="line 1: KeyError: 'label'"):
        read_boxes(table)
    voc = write_voc(tmp_path / "voc")
    (voc / "Annotations" / "p1.xml").write_text("<annotation><object>")
    with pytest.raises(kzoo.KzooError, match="isn't an annotation of Pascal VOC"):
        read_boxes(voc)
    (voc / "ImageSets" / "Main" / "train.txt").write_text("p7\n")
    with pytest.raises(kzoo.KzooError, match="names p7.xml, 1 file"):
        read_boxes(voc / "ImageSets" / "Main" / "train.txt")


def write_without_pictures(folder):
    held = json.loads((folder / "boxes.json").read_text())
    held["annotations"] = []
    (folder / "boxes.json").write_text(json.dumps(held))
    return folder / "boxes.json"


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: kzoo.ObjectDetector(build(SPECS["vit"]), LABELS), "decoder asks a picture"),
        (lambda: detector(threshold=2), "a probability"),
        (lambda: detector().predict(pictures(1), threshold="x"), "a probability"),
        (lambda: detector().compile(loss="mse"), "SetLoss"),
        (lambda: SetLoss(box=-1), "0 or more"),
        (
            lambda: kzoo.ObjectDetector(
                build(SPECS["detr"]), LABELS, image_processor=kzoo.ImageProcessor(64, crop=32)
            ),
            "keeps all of a picture",
        ),
        (lambda: kzoo.export_litert(detector(), "x.tflite"), "pictures of many sizes"),
        (lambda: detector().fit(pictures(1), verbose=0), "compile"),
    ],
)
def test_what_does_not_fit_is_said(call, message):
    with pytest.raises(kzoo.KzooError, match=message):
        call()


def test_labels_in_another_order_keep_their_scores():
    before = detector()
    after = kzoo.ObjectDetector(before, labels=LABELS[::-1])
    one, other = (task.predict(pictures(2), threshold=0.0) for task in (before, after))
    assert one == other


# -- files for a device --------------------------------------------------------------------------


@pytest.mark.parametrize(("quantization", "limit"), [("float32", 5e-5), ("int8", 0.1)])
def test_a_file_takes_pixels_and_gives_what_keras_gives(quantization, limit, tmp_path):
    task, given = detector([64, 96]), pictures(1)
    kzoo.export_litert(task, tmp_path / "model.tflite", quantization=quantization)
    found = audit(tmp_path / "model.tflite")
    assert not found["custom"] and found["partitions"] == 1, found
    (signature,) = found["signatures"].values()
    assert signature["inputs"] == {"images": {"shape": [1, 64, 96, 3], "type": "uint8"}}
    arrays = task.image_processor.resized(given[0])[None]
    actual = Interpreter(tmp_path / "model.tflite").run({"images": arrays})
    expected = task(task.prepared(given))
    for name in ("logits", "boxes"):
        whole = np.abs(np.asarray(expected[name])).max()
        assert np.abs(actual[name] - np.asarray(expected[name])).max() < limit * whole


def test_a_bundle_verifies_itself_and_answers_in_pixels(tmp_path):
    task = detector([64, 96], threshold=0.0)
    table = write_table(tmp_path / "boxes.jsonl")
    export_bundle(
        task, tmp_path / "bundle", quantization="float32", recipe={"evaluation": str(table)}
    )
    kzoo.verify_bundle(tmp_path / "bundle")
    manifest = json.loads((tmp_path / "bundle" / "kzoo.json").read_text())
    assert manifest["rule"] == "boxes" and manifest["task_options"]["threshold"] == 0.0
    report = json.loads((tmp_path / "bundle" / "report.json").read_text())
    assert abs(report["evaluation"]["ap50_drop"]) < 1e-6
    path = str(tmp_path / "1.png")
    (answer,) = kzoo.predict_bundle(tmp_path / "bundle", [path])
    (expected,) = task.predict([path])
    assert answer["image"] == path and len(answer["objects"]) == len(expected) > 0
    for one, other in zip(answer["objects"], expected, strict=True):
        assert one["label"] == other["label"]
        np.testing.assert_allclose(
            list(one["box"].values()), list(other["box"].values()), atol=0.05
        )
    scores = [kzoo.evaluate(s, table)["scores"] for s in (task, tmp_path / "bundle")]
    assert scores[0]["ap50"] == pytest.approx(scores[1]["ap50"], abs=1e-6)


def test_a_pipeline_answers_as_transformers_does():
    task = detector()
    detect = kzoo.pipeline("object-detection", task)
    found = detect(pictures(1)[0], threshold=0.1)
    assert found and set(found[0]) == {"score", "label", "box"}
    assert all(type(side) is int for each in found for side in each["box"].values())
    assert list(found[0]["box"]) == ["xmin", "ymin", "xmax", "ymax"]
    assert detect([pictures(1)[0]], threshold=0.1) == [found]
    with pytest.raises(kzoo.KzooError, match="needs a ImageClassifier|needs an? ImageClassifier"):
        kzoo.pipeline("image-classification", task)


def test_boxes_are_drawn_where_they_are(tmp_path):
    array = np.full((40, 60, 3), 255, "uint8")
    box = {"xmin": 10, "ymin": 8, "xmax": 30, "ymax": 28}
    edge = {"label": "plate", "box": [1, 0, 9, 30]}  # whose label has no room above it
    figure = plot.boxes(array, [{"label": "cell", "score": 0.9, "box": box}, edge],
                        expected=[thing("cell", 35, 5, 55, 35)])  # fmt: skip
    (axis,) = figure.axes
    drawn = [patch.get_bbox().extents.tolist() for patch in axis.patches]
    assert drawn == [
        [9.5, 7.5, 29.5, 27.5], [0.5, -0.5, 8.5, 29.5], [34.5, 4.5, 54.5, 34.5]
    ]  # fmt: skip
    shown = [(text.get_text(), text.get_verticalalignment()) for text in axis.texts]
    assert shown == [("cell 90 %", "bottom"), ("plate", "top")]
    plot.write(figure, tmp_path / "a.png")
    assert (tmp_path / "a.png").stat().st_size > 1000


def test_it_is_trained_and_measured_from_files(tmp_path):
    backbone = build(SPECS["detr"])
    backbone.processors["image_processor"] = kzoo.ImageProcessor(RAGGED)
    kzoo.save_preset(backbone, tmp_path / "start")
    table = write_table(tmp_path / "boxes.jsonl")
    recipe = {
        "model": "start", "task": "ObjectDetector", "train": table.name, "output": "out",
        "validation": table.name, "epochs": 1, "batch_size": 2, "augment": "RandomFlip",
        "image_size": [64, 64],
    }  # fmt: skip
    (tmp_path / "recipe.json").write_text(json.dumps(recipe))
    task, history = kzoo.train(tmp_path / "recipe.json", verbose=0)
    assert task.labels == LABELS and "val_loss" in history.history
    result = kzoo.evaluate(tmp_path / "out", table, output=tmp_path / "scores")
    assert set(result["scores"]) == {"ap", "ap50", "ap75", "recall"}
    assert (tmp_path / "scores" / "wrong.csv").is_file()
    assert {row["line"] for row in result["wrong"]} <= {1, 2, 3}
