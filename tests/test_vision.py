"""What networks that read pictures have in common, whichever family they are."""

import keras
import numpy as np
import pytest
from families import SPECS, add_noise, inputs_of, noisy

import kzoo
from kzoo.graphs import TwoTower
from kzoo.images.image_processor import ImageProcessor
from kzoo.litert import convert, flatbuffer
from kzoo.litert.audit import audit
from kzoo.litert.interpreter import Interpreter
from kzoo.models import build
from kzoo.models.vit import Vit
from kzoo.network import weights_by_path
from kzoo.spec import Towers

VIT = SPECS["vit"]


def vit(**options):
    """The tiny ViT with other options of its embedding."""
    embedding = {**VIT.embedding, **options}
    return build(VIT.replace(embedding=embedding))


def test_squares_as_a_product_are_squares_as_a_convolution():
    """What of a picture is left beyond the last squares, which only a convolution skips, counts
    for nothing."""
    tiled, skipping = noisy("vit"), vit(image_size=[15, 9])
    for path, weight in weights_by_path(skipping).items():
        weight.assign(weights_by_path(tiled)[path])
    images = inputs_of(VIT)["images"]
    wide = np.pad(images, ((0, 0), (0, 3), (0, 1), (0, 0)), constant_values=7.0)
    np.testing.assert_allclose(
        skipping({"images": wide})["sequence_output"],
        tiled({"images": images})["sequence_output"],
        atol=1e-5,
    )


def test_a_network_for_another_size_brings_a_processor_for_it():
    model = noisy("vit")
    model.processors["image_processor"] = ImageProcessor([12, 8])
    resized = model.resized([16, 20])
    pictures = resized.processors["image_processor"]([np.zeros((30, 20, 3), "uint8")])
    assert resized({"images": pictures})["sequence_output"].shape == (1, 21, 32)
    assert model.processors["image_processor"].shape == (12, 8, 3)
    again = resized.resized([12, 8])
    assert again.signature == model.signature
    for path, weight in weights_by_path(again).items():
        if path != "position/embeddings":
            np.testing.assert_array_equal(weight, weights_by_path(model)[path])
    with pytest.raises(kzoo.KzooError, match="reads no pictures"):
        noisy("bert").resized(16)
    with pytest.raises(kzoo.KzooError, match="a square that fits into it"):
        model.resized(3)


@pytest.mark.parametrize(
    ("given", "size", "expected"),
    [
        ({"size": 224}, 96, ((96, 96), None)),
        ({"size": 256, "crop": 224}, 384, ((438, 438), (384, 384))),
        ({"size": {"shortest_edge": 224}, "crop": 224}, (112, 336), (336, (112, 336))),
        ({"size": None, "crop": 32}, 48, (None, (48, 48))),
    ],
)
def test_a_processor_for_another_size_keeps_its_ways(given, size, expected):
    processor = ImageProcessor(**given, resample="bicubic", mean=0.1, std=0.2)
    other = processor.for_size(size)
    assert (other.size, other.crop) == expected
    assert (other.resample, other.mean, other.std) == ("bicubic", (0.1,) * 3, (0.2,) * 3)
    assert processor.shape != other.shape


def test_a_task_for_another_size_answers_as_its_backbone_does():
    task = kzoo.ImageClassifier(
        noisy("deit"), labels=["a", "b"], image_processor=ImageProcessor([12, 8])
    )
    add_noise(task)
    other, picture = task.resized([16, 20]), np.full((16, 20, 3), 90, "uint8")
    assert other.image_processor.shape == (16, 20, 3) and other.labels == task.labels
    outputs = task.backbone.resized([16, 20])(other.prepared(picture))
    expected = np.asarray(task.head(outputs, None)["logits"])
    np.testing.assert_allclose(other(other.prepared(picture))["logits"], expected, atol=1e-6)
    assert task.image_processor.shape == (12, 8, 3)


class Eyes(TwoTower):
    """Two networks that read pictures."""

    family = "eyes"
    TOWERS = {"left": Vit, "right": Vit}


def test_towers_are_resized_with_what_they_stand_in():
    spec = VIT.replace(pooler="tanh")
    eyes = add_noise(Eyes(Towers("eyes", {"left": spec, "right": spec})))
    other = eyes.resized([16, 20])
    for name, tower in eyes.towers.items():
        expected = weights_by_path(tower.resized([16, 20]))
        for path, weight in weights_by_path(other.towers[name]).items():
            np.testing.assert_array_equal(weight, expected[path])


@pytest.mark.parametrize(
    ("family", "quantization", "limit"),
    [("vit", "float32", 2e-5), ("deit", "float32", 2e-5), ("vit", "int8", 0.1),
     ("mobilevit", "float32", 2e-5), ("mobilevit", "int8", 0.1)],
)  # fmt: skip
def test_a_file_takes_pixels_and_is_one_partition(family, quantization, limit, tmp_path):
    task = classifier(family)
    shape = task.array_shape
    kzoo.export_litert(task, tmp_path / "model.tflite", quantization=quantization)
    found = audit(tmp_path / "model.tflite")
    assert found["partitions"] == 1 and not found["custom"] and found["outside"] == {"CAST": 1}
    (signature,) = found["signatures"].values()
    assert signature["inputs"] == {"images": {"shape": [1, *shape], "type": "uint8"}}
    assert list(signature["outputs"]) == ["logits"]  # Of DeiT not those of each token.
    assert ("CONV_2D" in found["operators"]) == (family == "mobilevit")
    picture = np.random.default_rng(0).integers(0, 256, (1, *shape)).astype("uint8")
    actual = Interpreter(tmp_path / "model.tflite").run({"images": picture})["logits"]
    expected = np.asarray(task(task.prepared(picture))["logits"])
    assert np.abs(actual - expected).max() < limit * np.abs(expected).max()


@pytest.mark.parametrize(
    ("family", "head", "places"),
    [("vit", "first", 1), ("vit", "mean", 7), ("deit", "distilled", 2)],
)
def test_a_file_computes_of_the_last_block_what_its_head_reads(family, head, places, tmp_path):
    task = kzoo.ImageClassifier(noisy(family), labels=["a", "b"], head=head)
    with convert.traced(convert.exportable(task)) as graphs:
        convert.write_file(graphs, tmp_path / "model.tflite", "float32")
    (graph,) = flatbuffer.read_model((tmp_path / "model.tflite").read_bytes()).subgraphs
    assert "NEG" not in audit(tmp_path / "model.tflite")["operators"]  # of Keras' own norm
    shapes = [list(graph.tensors[operator.outputs[0]].shape) for operator in graph.operators]
    inner = [shape[-2] for shape in shapes if shape[-1] == task.spec.intermediate_dim]
    assert max(inner) == task.spec.max_sequence_length and inner[-1] == places
    images = np.random.default_rng(0).standard_normal((1, 12, 8, 3)).astype("float32")
    actual = Interpreter(tmp_path / "model.tflite").run({"images": images})["logits"]
    whole = task.backbone.run({"images": images})
    expected = np.asarray(task.run_head(whole, {"images": images}, False)["logits"])
    np.testing.assert_allclose(actual, expected, atol=1e-4)


def test_statistics_are_learnt_in_fit_and_stand_still_elsewhere(tmp_path):
    task = classifier("mobilevit")
    pictures = np.random.default_rng(1).integers(0, 256, (8, *task.array_shape)).astype("uint8")
    before = {path: np.array(weight) for path, weight in weights_by_path(task).items()}
    task.predict(pictures)
    for thawed in (False, True):
        task.trainable = thawed
        learns = {weight.path for weight in task.trainable_weights}
        assert bool(learns) == thawed and not any("moving" in path for path in learns)
    task.compile(kzoo.AdamW(1e-3))
    task.evaluate(pictures, y=["a", "b"] * 4, verbose=0)
    for path, weight in weights_by_path(task).items():
        np.testing.assert_array_equal(weight, before[path])
    task.fit(pictures, y=["a", "b"] * 4, epochs=1, verbose=0)
    still = [p for p, w in weights_by_path(task).items() if np.array_equal(w, before[p])]
    assert not [path for path in still if "key/bias" not in path]
    task.save(tmp_path / "task.keras")
    again = keras.saving.load_model(tmp_path / "task.keras")
    np.testing.assert_array_equal(again.predict(pictures), task.predict(pictures))
    learns = {weight.path for weight in again.trainable_weights}
    assert learns == {weight.path for weight in task.trainable_weights}


def classifier(family):
    """A classifier of pictures on a tiny backbone, both with noise."""
    backbone = noisy(family)
    processor = ImageProcessor(list(backbone.signature["images"].axes[1:3]))
    return add_noise(
        kzoo.ImageClassifier(backbone, labels=["a", "b", "c"], image_processor=processor)
    )


def test_sizes_that_leave_no_squares_in_the_smallest_map_are_named():
    with pytest.raises(kzoo.KzooError, match="multiples of 64"):
        noisy("mobilevit").resized(224)
    assert noisy("mobilevit").resized(192).signature["images"].axes == ("batch", 192, 192, 3)
