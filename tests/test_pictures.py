"""Pictures as users have them: read upright, made what a network reads, learned from, searched."""

import importlib
import io
import json
import os
import subprocess
import sys
import warnings
from pathlib import Path

import keras
import numpy as np
import pytest
from families import noisy, one_block
from PIL import Image

import kzoo
from kzoo.data.arrays import ArrayPlan
from kzoo.data.media import PICTURES
from kzoo.images import image_processor
from kzoo.images.image_processor import ImageProcessor
from kzoo.images.reading import read_picture

# A picture whose every corner is another: turned or mirrored it is another picture.
CORNERS = np.zeros((4, 6, 3), "uint8")
CORNERS[:2, :3], CORNERS[:2, 3:], CORNERS[2:, :3] = (250, 0, 0), (0, 250, 0), (0, 0, 250)
PROCESSOR = ImageProcessor(size=(12, 8))


def photo():
    from matplotlib.cbook import get_sample_data

    return Image.open(get_sample_data("grace_hopper.jpg", asfileobj=False)).convert("RGB")


def encoded(image, format="PNG", **options):
    """The bytes of a picture's file."""
    image = Image.fromarray(image) if isinstance(image, np.ndarray) else image
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


def turned(orientation):
    """A file whose pixels lie as a camera's that was held otherwise, and the tag that says so."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    return encoded(Image.fromarray(CORNERS).rotate(90, expand=True), exif=exif)


GREY = CORNERS.max(axis=2)
RGBA = np.dstack([CORNERS, np.where(GREY, 255, 0).astype("uint8")])
ON_WHITE = np.where(GREY[..., None], CORNERS, 255).astype("uint8")
IN_GREY = np.dstack([GREY] * 3)


def clear_no_more():
    """A picture with a clear colour that its user made one without."""
    return Image.open(io.BytesIO(encoded(Image.fromarray(GREY), transparency=0))).convert("RGB")


FORMS = {
    "file": (encoded(CORNERS), CORNERS),
    "turned": (turned(6), CORNERS),
    "pil": (Image.fromarray(CORNERS), CORNERS),
    "palette": (encoded(Image.fromarray(CORNERS).convert("P", palette=1, colors=8)), CORNERS),
    "palette with a clear colour": (
        encoded(Image.fromarray(RGBA).quantize(8), "PNG"),
        ON_WHITE,
    ),
    "clear": (encoded(RGBA), ON_WHITE),
    "clear no more": (clear_no_more(), IN_GREY),
    "clear array": (RGBA, ON_WHITE),
    "grey": (encoded(GREY), IN_GREY),
    "grey array": (GREY, IN_GREY),
    "16 bit": (encoded(GREY.astype("uint16") * 256), IN_GREY),
    "16 bit pgm": (b"P5 2 1 65535\n\x80\xff\x40\x00", np.array([[[128] * 3, [64] * 3]])),
    "whole numbers in 32 bits": (Image.fromarray(GREY.astype("int32")), IN_GREY),
    "one bit": (encoded(Image.fromarray(GREY > 0)), np.where(IN_GREY, 255, 0)),
    "floats": (CORNERS / 255.0, CORNERS),
    "animated": (
        encoded(
            Image.fromarray(CORNERS), "GIF", save_all=True, append_images=[Image.new("RGB", (6, 4))]
        ),
        CORNERS,
    ),
    "one pixel": (encoded(CORNERS[:1, :1]), CORNERS[:1, :1]),
    "whole numbers": (CORNERS.astype("int64"), CORNERS),
}


@pytest.mark.parametrize("form", FORMS)
def test_a_picture_is_read_upright_as_rgb(form):
    source, expected = FORMS[form]
    actual = read_picture(source)
    assert actual.dtype == np.uint8
    np.testing.assert_array_equal(actual, expected)


def test_the_shipped_digits_are_read_from_the_pictures_of_the_readme():
    files = sorted((Path(__file__).parent.parent / "examples" / "digits").glob("*.png"))
    answers = kzoo.load("vit_micro_4_28.mnist").predict(files).argmax(-1)
    assert [str(answer) for answer in answers] == [file.stem for file in files]
    assert len(files) == 10


def test_cmyk_and_urls_of_files_are_read(tmp_path):
    path = tmp_path / "a picture.jpg"
    path.write_bytes(encoded(photo().convert("CMYK"), "JPEG", quality=95))
    actual = read_picture(path.as_uri()).astype(int)
    assert np.abs(actual - np.asarray(photo())).mean() < 4


WHOLE = encoded(photo().resize((64, 64)))
NO_PICTURES = {
    "The third is an empty path": "",
    "is empty": b"",
    "can't be read whole": WHOLE[: len(WHOLE) // 2],
    "is no picture of a format that is known": b"hello",
    "doesn't exist": "gone.jpg",
    "is a folder": Path(__file__).parent,
    "fetch it first": "https://example.org/a.jpg",
    "134,217,728 pixels": encoded(Image.new("1", (11_600, 11_600))),
    "more than 134,217,728": encoded(Image.new("1", (20_000, 9_000))),  # Too many for Pillow, too.
    "from nan": np.full((2, 2), np.nan),
    "cast it to uint8": np.full((2, 2, 3), 200.0),
    "or save the file in 8 bits": encoded(np.full((2, 2), 200, "float32"), "TIFF"),
    "from 0 to 255": np.full((2, 2), 300),
    "of 1, 3 or 4 channels": np.zeros((2, 2, 7), "uint8"),
    "is a int": 3,
    "shape (0, 3, 3)": np.zeros((0, 3, 3), "uint8"),
}


@pytest.mark.parametrize("said", NO_PICTURES)
def test_what_is_no_picture_is_one_sentence(said):
    with pytest.raises(kzoo.KzooError) as error:
        read_picture(NO_PICTURES[said], "The third")
    assert said in str(error.value) and "\n" not in str(error.value)


# -- what a network reads -----------------------------------------------------------------------

# Changes of what transformers' processors do by default.
CHANGES = [
    ("ViT", {}),
    ("DeiT", {}),
    ("CLIP", {}),
    ("MobileViT", {}),
    ("ViT", {"size": 64, "resample": 0, "image_mean": [0.1, 0.2, 0.3]}),
    ("ViT", {"size": {"height": 90, "width": 31}, "do_rescale": False}),
    ("ViT", {"size": 64, "do_center_crop": True, "crop_size": 99, "do_normalize": False}),
    ("CLIP", {"size": 60, "crop_size": {"height": 61, "width": 40}}),
    ("CLIP", {"size": 62, "crop_size": 40}),  # A side of 265.7 is one of 265.
    ("MobileViT", {"do_normalize": True, "do_flip_channel_order": False}),
]


@pytest.mark.parity
@pytest.mark.parametrize(("name", "changes"), CHANGES)
def test_a_processor_gives_what_transformers_gives(name, changes, tmp_path):
    pytest.importorskip("transformers")
    module = f"transformers.models.{name.lower()}.image_processing_pil_{name.lower()}"
    reference = getattr(importlib.import_module(module), f"{name}ImageProcessorPil")(**changes)
    (tmp_path / "given").mkdir()
    file = tmp_path / "given" / image_processor.FILE
    file.write_text(json.dumps({"feature_extractor_type": f"{name}FeatureExtractor", **changes}))
    reference.save_pretrained(tmp_path / "whole")
    noise = np.random.default_rng(0).integers(0, 256, (300, 70, 3)).astype("uint8")
    for picture in (photo(), Image.fromarray(noise), Image.new("RGB", (3, 90), "red")):
        expected = np.moveaxis(np.asarray(reference(picture)["pixel_values"][0]), 0, -1)
        for folder in ("given", "whole"):
            processor = ImageProcessor.load(tmp_path / folder)
            actual = processor([picture])[0]
            level = float(np.abs(processor.scale).max())
            np.testing.assert_allclose(actual, expected, atol=level / 1000)


def test_a_line_is_cropped_before_it_is_made_as_large_as_its_size_says(monkeypatch):
    processor = ImageProcessor({"shortest_edge": 224}, crop=224)
    line = Image.fromarray(np.full((1, 30_000, 3), 7, "uint8"))
    sizes, resize = [], Image.Image.resize
    with monkeypatch.context() as patched:
        patched.setattr(Image.Image, "resize", lambda *a: sizes.append(a[1]) or resize(*a))
        assert (processor.resized(line) == 7).all()
    assert sizes == [(224, 224)]
    whole = processor.resized(photo()).astype(int)
    monkeypatch.setattr(image_processor, "LARGEST", 0)
    assert np.abs(processor.resized(photo()) - whole).max() <= 1


def test_a_picture_of_the_right_size_is_taken_as_it_is_unless_it_is_a_part_of_a_larger_one():
    picture = np.random.default_rng(0).integers(0, 256, PROCESSOR.shape).astype("uint8")
    for resample in image_processor.RESAMPLE:
        same = ImageProcessor(PROCESSOR.size, resample=resample).resized(picture)
        np.testing.assert_array_equal(same, picture)
    rows, columns = PROCESSOR.size
    larger = ImageProcessor((2 * rows, 2 * columns), crop=PROCESSOR.size).resized(picture)
    middle = Image.fromarray(picture).resize((2 * columns, 2 * rows), Image.Resampling.BILINEAR)
    top, left = rows // 2, columns // 2
    expected = np.asarray(middle)[top : top + rows, left : left + columns]
    np.testing.assert_array_equal(larger, expected)


def test_a_processor_is_written_as_it_was_read(tmp_path):
    config = {
        "image_processor_type": "ViTImageProcessorFast",
        "size": 32,
        "do_convert_rgb": None,
        "processor_class": "X",
    }
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        processor = ImageProcessor.from_config(config)
    processor.save(tmp_path)
    assert json.loads((tmp_path / image_processor.FILE).read_text()) == config
    with pytest.warns(UserWarning, match="magic = 3, which changes nothing"):
        ImageProcessor.from_config({**config, "magic": 3})


def test_grey_pictures_have_one_channel():
    processor = ImageProcessor(size=(4, 6), mean=[0.5], std=[0.5])
    expected = np.asarray(Image.fromarray(CORNERS).convert("L"))[..., None] / 127.5 - 1
    assert processor.shape == (4, 6, 1)
    np.testing.assert_allclose(processor(CORNERS)[0], expected, atol=1e-6)


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"image_processor_type": "BeitImageProcessor"}, "expected one of ViTImageProcessor"),
        ({}, "expected one of ViTImageProcessor"),
        ({"image_processor_type": "ViTImageProcessor", "size": "big"}, "size = 'big'"),
        ({"image_processor_type": "ViTImageProcessor", "resample": 9}, "resample = 9"),
        ({"image_processor_type": "ViTImageProcessor", "image_std": [0, 1, 1]}, "image_std"),
        ({"image_processor_type": "ViTImageProcessor", "do_pad": True}, "do_pad"),
        (
            {"image_processor_type": "CLIPImageProcessor", "do_center_crop": False},
            "pictures of many sizes",
        ),
    ],
)
def test_a_configuration_that_can_t_be_is_one_sentence(config, said):
    with pytest.raises(kzoo.KzooError, match=said):
        ImageProcessor.from_config(config)


def test_a_file_without_its_type_says_what_it_lacks(tmp_path):
    """And a folder without the file, that it is missing."""
    with pytest.raises(kzoo.KzooError, match="preprocessor_config.json is missing: an image"):
        ImageProcessor.load(tmp_path)
    file = tmp_path / image_processor.FILE
    for config, said in (
        ({"size": 32}, f"{file} has no image_processor_type; expected one of ViTImageProcessor"),
        ({"feature_extractor_type": "X"}, f"{file} has feature_extractor_type 'X'; expected one"),
    ):
        file.write_text(json.dumps(config))
        for path in (tmp_path, file):
            with pytest.raises(kzoo.KzooError, match=said):
                ImageProcessor.load(path)


# -- tasks --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """train/ and val/ with pictures that are red in one class and blue in another; a table."""
    folder, draw = tmp_path_factory.mktemp("pictures"), np.random.default_rng(0)
    lines = []
    for part, count in (("train", 12), ("val", 4)):
        for channel, name in ((2, "blue"), (0, "red")):
            (folder / part / name).mkdir(parents=True)
            for number in range(count):
                picture = draw.integers(0, 60, (14 + number, 17, 3)).astype("uint8")
                picture[..., channel] += 150
                Image.fromarray(picture).save(folder / part / name / f"{number}.png")
                lines += [f"val/{name}/{number}.png,{name}"] if part == "val" else []
    (folder / "val" / "notes.txt").write_text("none")
    (folder / "val" / ".hidden").write_text("none")
    (folder / "val.csv").write_text("\n".join(["image,label", *lines]))
    return folder


def classifier(labels, **options):
    return kzoo.ImageClassifier(one_block("vit"), labels, image_processor=PROCESSOR, **options)


@pytest.fixture(scope="module")
def trained(folders):
    keras.utils.set_random_seed(0)
    task = classifier(folders / "train")
    task.compile(keras.optimizers.Adam(3e-3))
    task.fit(folders / "train", validation_data=folders / "val", epochs=6, batch_size=8, verbose=0)
    return task


def test_folders_are_learned_from_by_their_names(folders, trained):
    assert trained.labels == ["blue", "red"]
    assert trained.history.history["val_accuracy"][-1] == 1.0
    assert trained.predict(folders / "val").argmax(1).tolist() == [0] * 4 + [1] * 4


def test_one_picture_in_every_form_has_one_answer(folders, trained):
    import tensorflow as tf

    files = sorted((folders / "val").rglob("*.png"))
    expected = trained.predict(files, batch_size=3)
    pictures = [Image.open(file) for file in files]
    resized = np.stack([PROCESSOR.resized(picture) for picture in pictures])
    for form in (
        folders / "val",
        str(folders / "val.csv"),
        [file.read_bytes() for file in files],
        [file.as_uri() for file in files],
        pictures,
        [np.asarray(picture) for picture in pictures],
        resized,
        tf.constant(resized),
    ):
        np.testing.assert_allclose(trained.predict(form), expected, atol=1e-6)
    for form in (files[0], str(files[0]), pictures[0], resized[0]):
        np.testing.assert_allclose(trained.predict(form), expected[:1], atol=1e-6)
    loss, _ = trained.evaluate(folders / "val", verbose=0)
    labels = ["blue"] * 4 + ["red"] * 4
    dataset = tf.data.Dataset.from_tensor_slices((resized, labels))
    paths = tf.data.Dataset.from_tensor_slices(([str(file) for file in files], labels))
    for form in (folders / "val.csv", dataset, dataset.batch(3), paths.batch(8)):
        np.testing.assert_allclose(trained.evaluate(form, verbose=0)[0], loss, rtol=1e-5)


def test_the_processor_goes_where_the_task_goes(folders, trained, tmp_path):
    expected = trained.predict(folders / "val")
    trained.save(tmp_path / "task.keras")
    trained.save_preset(tmp_path / "preset")
    kzoo.to_huggingface(trained, tmp_path / "there")
    for model in (
        keras.saving.load_model(tmp_path / "task.keras"),
        kzoo.load(tmp_path / "preset"),
        kzoo.from_huggingface(tmp_path / "there"),
    ):
        assert model.labels == trained.labels
        assert model.image_processor.config == PROCESSOR.config
        np.testing.assert_allclose(model.predict(folders / "val"), expected, atol=1e-6)


def test_a_backbone_and_a_processor_of_different_sizes_are_told_apart():
    with pytest.raises(kzoo.KzooError, match="gives pictures of 8 x 8 x 3; the backbone reads 12"):
        kzoo.ImageClassifier(one_block("vit"), ["a"], image_processor=ImageProcessor(size=8))
    with pytest.raises(kzoo.KzooError, match="has no image processor"):
        kzoo.ImageClassifier(one_block("vit"), ["a"]).predict(CORNERS)


def test_a_file_takes_whole_numbers_and_gives_what_the_task_gives(trained, folders, tmp_path):
    from kzoo.litert.convert import exportable, traced, write_file
    from kzoo.litert.interpreter import Interpreter

    with traced(exportable(trained)) as graphs:
        write_file(graphs, tmp_path / "m.tflite", "float32")
    files = sorted((folders / "val").rglob("*.png"))
    interpreter = Interpreter(tmp_path / "m.tflite")
    for file in files[:2]:
        outputs = interpreter.run({"images": PROCESSOR.resized(file)[None]})
        expected = trained(trained.prepared(file))
        np.testing.assert_allclose(outputs["logits"], expected["logits"], atol=1e-4)


@pytest.mark.parametrize("head", ["first", "mean"])
def test_the_mean_is_over_squares_alone(head):
    task = kzoo.ImageClassifier(noisy("vit"), ["a", "b"], head, PROCESSOR)
    inputs = task.prepared(CORNERS)
    x = np.asarray(task.backbone(inputs)["sequence_output"])
    pooled = x[:, 0] if head == "first" else x[:, 1:].mean(axis=1)
    expected = pooled @ np.asarray(task.head.logits.kernel) + np.asarray(task.head.logits.bias)
    np.testing.assert_allclose(task(inputs)["logits"], expected, atol=1e-5)
    options = {"pooling": head, "normalize": False, "image_processor": PROCESSOR}
    vector = kzoo.ImageEmbedder(task.backbone, **options).predict([CORNERS])
    np.testing.assert_allclose(vector, pooled, atol=1e-5)


# -- examples -----------------------------------------------------------------------------------


def test_examples_are_read_when_they_are_needed_and_kept_as_far_as_they_fit():
    read = []

    def reading(example, name):
        read.append(example)
        return np.full((2,), example, "uint8")

    def rows(plan, epoch):
        plan.epoch = epoch
        return [batch["x"][:, 0].tolist() for (batch,) in plan.batches()]

    plan = ArrayPlan(
        list(range(10)), reading, lambda x: {"x": x}, batch_size=4, shuffle=True, seed=3, cache=12
    )
    assert not read
    first, second = rows(plan, 0), rows(plan, 1)
    assert first != second and sorted(sum(first, [])) == sorted(sum(second, [])) == list(range(10))
    assert [len(batch) for batch in first] == [4, 4, 2]
    assert len(read) == 10 + 4  # Six fit.
    assert rows(plan, 1) == second


def folder_of(tmp_path, **files):
    for name, data in files.items():
        path = tmp_path / name.replace("__", "/").replace("_png", ".png")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return tmp_path


ONE = encoded(CORNERS)


def test_a_damaged_file_of_a_folder_ends_training_in_its_own_sentence(tmp_path):
    """Its head is whole, so that it is found when its turn comes."""
    whole = encoded(photo().resize((32, 32)))
    folder_of(tmp_path, **{"a__1_png": whole, "b__2_png": whole, "b__3_png": whole[:-30]})
    task = classifier(["a", "b"])
    task.compile()
    for call in (task.fit, task.evaluate):
        with pytest.raises(kzoo.KzooError, match=r"3\.png.*can't be read whole"):
            call(tmp_path, verbose=0)


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"a__1_png": ONE}, "has the one label 'a'"),
        ({"a__1_png": ONE, "b__x": b""}, "b holds no picture; expected some of each class"),
        ({"1_png": ONE}, "has no folders of classes"),
        ({"1_png": ONE, "a__1_png": ONE, "b__1_png": ONE}, "has 1.png beside folders of classes"),
        (
            {"a__1_png": ONE, "b__1_png": ONE, "b__2_png": b"", "b__3_png": b"hello"},
            "2 of 4 pictures that can't be read .b/2.png, b/3.png.",
        ),
    ],
)
def test_folders_from_which_nothing_can_be_learned_are_one_sentence(tmp_path, files, said):
    with pytest.raises(kzoo.KzooError, match=said):
        classifier(folder_of(tmp_path, **files))


def test_a_table_may_hold_whole_paths_of_files_in_its_folder(tmp_path):
    folder_of(tmp_path, **{"a__1_png": ONE})
    (tmp_path / "t.jsonl").write_text(json.dumps({"image": str(tmp_path / "a" / "1.png")}))
    assert PICTURES.read(tmp_path / "t.jsonl", targets="none").x == [tmp_path / "a" / "1.png"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("image,label\n../1.png,a\n", "a name within the folder"),
        ("image,label\n,a\n", "line 2: image is empty"),
        ("image,label\n1.png,\n", "line 2: label is empty"),
        ("image,label\n2.png,a\n", "1 of 1 pictures that can't be read .2.png."),
        ("photo,label\n1.png,a\n", "expected one of paths of pictures"),
        ("image,kind\n1.png,a\n", "expected one of labels"),
    ],
)
def test_tables_of_pictures_say_what_is_wrong(tmp_path, text, said):
    folder_of(tmp_path, **{"1_png": ONE})
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(kzoo.KzooError, match=said):
        PICTURES.read(tmp_path / "t.csv")


# -- augmentation -------------------------------------------------------------------------------

LAYERS = [
    keras.layers.RandomFlip("horizontal"),
    keras.layers.RandomTranslation(0.2, 0.2),
    keras.layers.MixUp(),
]
DRAWN = """
import sys, numpy as np, keras
sys.path.insert(0, "tests")
import kzoo, test_pictures as t
pictures, rows = t.augmented([3, 0, 1])
backbone = t.one_block("vit")
task = kzoo.ImageClassifier(backbone, ["a", "b"], image_processor=t.PROCESSOR)
task.compile(loss=keras.losses.CategoricalCrossentropy())
history = task.fit([t.CORNERS] * 4, ["a", "b"] * 2, augment=t.LAYERS, batch_size=4, verbose=0)
assert np.isfinite(history.history["loss"]).all()
# Another is made of what the first was made of: it has kept its weights.
kzoo.ImageClassifier(backbone, ["a", "b"], image_processor=t.PROCESSOR)
np.savez(sys.argv[1], pictures=pictures, rows=rows)
"""


def augmented(draw, layers=LAYERS):
    from kzoo.images.augmentation import Augmentation

    pictures = np.random.default_rng(0).integers(0, 256, (6, 8, 8, 3)).astype("uint8")
    return Augmentation(layers, (8, 8, 3), True)(pictures, np.eye(6), draw)


@pytest.mark.parametrize("together", [keras.layers.Pipeline, keras.Sequential])
def test_layers_that_come_as_one_mix_targets_and_draw_by_the_seed(together):
    layers = together([keras.layers.MixUp(), keras.layers.GaussianNoise(1.0)])
    pictures, rows = augmented([3, 0, 1], layers)
    again = augmented([3, 0, 1], together([keras.layers.MixUp(), keras.layers.GaussianNoise(1.0)]))
    np.testing.assert_array_equal(again[0], pictures)
    assert (np.count_nonzero(rows, axis=1) == 2).any()
    assert np.abs(augmented([3, 0, 2], layers)[0] - pictures).max() > 1


def test_pictures_are_augmented_by_a_seed_alike_on_both_backends(tmp_path):
    pictures, rows = augmented([3, 0, 1])
    np.testing.assert_array_equal(augmented([3, 0, 1])[0], pictures)
    assert np.abs(augmented([3, 0, 2])[0] - pictures).max() > 50
    np.testing.assert_allclose(rows.sum(axis=1), 1, atol=1e-6)
    assert (np.count_nonzero(rows, axis=1) == 2).any()
    subprocess.run(
        [sys.executable, "-c", DRAWN, tmp_path / "drawn.npz"],
        env={**os.environ, "KERAS_BACKEND": "jax"},
        cwd=Path(__file__).parent.parent,
        check=True,
    )
    there = np.load(tmp_path / "drawn.npz")
    np.testing.assert_allclose(there["pictures"], pictures, atol=1e-3)
    np.testing.assert_allclose(there["rows"], rows, atol=1e-6)


def test_fit_learns_from_augmented_pictures_and_is_measured_on_whole_ones():
    task = classifier(["a", "b"])
    task.compile(loss=keras.losses.CategoricalCrossentropy())
    seen = []
    before = task.in_graph
    task.in_graph = lambda arrays: seen.append(np.array(arrays)) or before(arrays)
    x, y = [CORNERS] * 4, ["a", "b"] * 2
    plain = PROCESSOR.resized(CORNERS)
    options = {"batch_size": 4, "verbose": 0, "validation_data": (x, y)}
    task.fit(x, y, augment=keras.layers.Rescaling(0.5), **options)
    whole = [np.unique(batch) for batch in seen if len(batch) == 4]  # Others show Keras a shape.
    np.testing.assert_allclose(whole[0], np.unique(plain * 0.5), atol=1e-3)
    np.testing.assert_array_equal(whole[-1], np.unique(plain))


def test_layers_that_give_no_such_pictures_are_told_before_anything_is_read(capfd):
    """Within the dataset TensorFlow would print where it stood."""
    task = classifier(["a", "b"])
    task.compile()
    task.read_one = None
    for layers, words in (
        (keras.layers.RandomCrop(9, 8), "of .9, 8, 3.; expected .12, 8, 3."),
        ([keras.layers.RandomFlip(), keras.layers.Flatten()], "of .288,.; expected .12, 8, 3."),
        (keras.layers.Reshape((5, 5)), r"augment fails on pictures of \(12, 8, 3\)"),
    ):
        with pytest.raises(kzoo.KzooError, match=words) as caught:
            task.fit([CORNERS] * 4, ["a", "b"] * 2, augment=layers, verbose=0)
        assert "\n" not in str(caught.value)
    assert "Traceback" not in capfd.readouterr().err


def test_what_mixes_pictures_needs_targets_that_can_be_mixed():
    task = classifier(["a", "b"])
    task.compile()
    mix = [keras.layers.CutMix()]
    with pytest.raises(kzoo.KzooError, match="CutMix, which mixes targets as well"):
        task.fit([CORNERS] * 2, ["a", "b"], augment=mix, verbose=0)
    several = kzoo.ImageClassifier(
        one_block("vit"), ["a", "b"], image_processor=PROCESSOR, problem="multi_label"
    )
    several.compile()
    mixed = [keras.layers.Pipeline(mix)]
    several.fit([CORNERS] * 2, [["a"], ["a", "b"]], augment=mixed, batch_size=2, verbose=0)
    task.compile(loss=keras.losses.CategoricalCrossentropy())
    with pytest.raises(kzoo.KzooError, match="Got weights for examples that augment mixes"):
        task.fit([CORNERS] * 2, ["a", "b"], augment=mix, class_weight={"a": 2.0}, verbose=0)
    for wrong, words in ((3, "expected Keras' layers"), ("flip", "Got the kind 'flip' in augment")):
        with pytest.raises(kzoo.KzooError, match=words):
            task.fit([CORNERS] * 2, ["a", "b"], augment=wrong, verbose=0)


# -- embedder and pipelines ---------------------------------------------------------------------


def test_what_is_nearest_is_found_in_a_folder(folders, tmp_path):
    embedder = kzoo.ImageEmbedder(noisy("vit"), image_processor=PROCESSOR)
    files = sorted((folders / "val").rglob("*.png"))
    found = embedder.search(files[3], folders / "val", top=2)
    assert found[0]["image"] == str(files[3]) and found[0]["score"] > found[1]["score"]
    vectors = embedder.predict(files)
    assert [row[0]["index"] for row in embedder.search(files[4:6], vectors, top=1)] == [4, 5]
    np.testing.assert_allclose(embedder.similarities(files, files), vectors @ vectors.T, atol=1e-5)
    embedder.save_preset(tmp_path / "preset")
    np.testing.assert_allclose(kzoo.load(tmp_path / "preset").predict(files), vectors, atol=1e-6)
    embedder.compile()
    assert embedder.evaluate(files, vectors, verbose=0)[0] < 1e-6
    with pytest.raises(kzoo.KzooError, match="expected a vector of 32 numbers"):
        embedder.fit(files, [1.0] * 8, verbose=0)


@pytest.mark.parity
def test_the_pipeline_answers_as_transformers_does(trained, folders, tmp_path):
    transformers = pytest.importorskip("transformers")
    kzoo.to_huggingface(trained, tmp_path / "there")
    processor = transformers.ViTImageProcessorPil.from_pretrained(tmp_path / "there")
    reference = transformers.pipeline(
        "image-classification", str(tmp_path / "there"), image_processor=processor
    )
    ours = kzoo.pipeline("image-classification", tmp_path / "there")
    files = [str(file) for file in sorted((folders / "val").rglob("*.png"))]
    for given in (files[0], files[:3]):
        expected, actual = reference(given), ours(given)
        flat = [keras.tree.flatten(each) for each in (expected, actual)]
        assert [type(v) for v in flat[0]] == [type(v) for v in flat[1]]
        rows = [expected, actual] if given is files[0] else zip(expected, actual, strict=True)
        pairs = [(expected, actual)] if given is files[0] else rows
        for there, here in pairs:
            assert [row["label"] for row in there] == [row["label"] for row in here]
            scores = [[row["score"] for row in some] for some in (there, here)]
            np.testing.assert_allclose(*scores, atol=1e-5)
    with pytest.raises(kzoo.KzooError, match="needs a TextClassifier; an ImageClassifier came"):
        kzoo.pipeline("text-classification", trained)


def test_a_pipeline_gives_the_vector_of_a_picture(folders):
    embedder = kzoo.ImageEmbedder(noisy("vit"), image_processor=PROCESSOR)
    extract = kzoo.pipeline("image-feature-extraction", embedder)
    vectors = embedder.predict([CORNERS, ON_WHITE])
    np.testing.assert_allclose(extract(CORNERS), vectors[:1], atol=1e-6)
    np.testing.assert_allclose(extract([CORNERS, ON_WHITE]), vectors[:, None], atol=1e-6)
