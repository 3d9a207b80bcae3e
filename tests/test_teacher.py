"""A teacher that answers in `fit`: whose classes, of which pictures, and what is learnt of them."""

import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from families import noisy, one_block

import kzoo
from kzoo.compression import Teacher
from kzoo.images.image_processor import ImageProcessor

LABELS = ["dark", "grey", "light"]


def student(family="deit", labels=LABELS, **options):
    """A tiny classifier of pictures of 12 by 8."""
    processor = ImageProcessor([12, 8], mean=[0.2, 0.4, 0.6], std=[0.5, 0.6, 0.7])
    return kzoo.ImageClassifier(
        one_block(family), labels=labels, image_processor=processor, **options
    )


def pictures(count=6):
    """Pictures of random pixels, some brighter than others."""
    draw = np.random.default_rng(0)
    bright = np.linspace(0.2, 1, count)[:, None, None, None]
    return (draw.integers(0, 256, (count, 12, 8, 3)) * bright).astype("uint8")


def brightness(last="softmax"):
    """A convolutional Keras model that finds pictures of 0 to 1 dark, grey or light."""
    x = keras.Input((12, 8, 3))
    mean = keras.layers.GlobalAveragePooling2D()(keras.layers.Conv2D(1, 3)(x))
    model = keras.Model(x, keras.layers.Dense(3, activation=last)(mean))
    values = np.full((3, 3, 3, 1), 1 / 27), [0], [[-30, 0, 30]], [6, 0, -10]
    for weight, value in zip(model.weights, values, strict=True):
        weight.assign(value)
    return model


def log_softmax(x):
    x = np.asarray(x, "float64")
    x = x - x.max(-1, keepdims=True)
    return x - np.log(np.exp(x).sum(-1, keepdims=True))


def answered(teacher, task):
    """What a teacher gives for the pictures as a task reads them."""
    return teacher.source.outputs(task, task.prepared(pictures()), ())["logits"]


def scaled(x):
    """Pictures of 0 to 255 as those of 0 to 1."""
    return x / 255.0


@pytest.mark.parametrize("family", ["deit", "vit"])
@pytest.mark.parametrize("hard", [True, False])
@pytest.mark.parametrize("last", ["softmax", None])
def test_the_loss_is_that_of_the_paper(family, hard, last):
    """Equations 2 and 3; of DeiT each token learns from one side."""
    task, model, x = student(family), brightness(last), pictures()
    y, weight = np.array([0, 2, 1, 1, 0, 2]), np.array([1.0, 2, 0, 1, 1, 3], "float32")
    options = {"hard": True} if hard else {"hard": False, "temperature": 2.5, "share": 0.3}
    task.compile(teacher=Teacher(model, preprocess=scaled, **options))
    inputs = task.prepared(x)
    outputs = {name: np.asarray(value) for name, value in task(inputs).items()}
    actual = task.compute_loss(inputs, y, task(inputs), weight)

    there = np.asarray(model(x / 255.0), "float64")
    there = np.log(there) if last else there
    labelled = log_softmax(outputs.get("class_logits", outputs["logits"]))
    taught = outputs.get("distillation_logits", outputs["logits"])
    own = -labelled[range(6), y]
    if hard:
        share, answers = 0.5, -log_softmax(taught)[range(6), there.argmax(-1)]
    else:
        share, wanted = 0.3, np.exp(log_softmax(there / 2.5))
        answers = -(wanted * log_softmax(taught / 2.5)).sum(-1) * 2.5**2
    expected = ((1 - share) * own + share * answers) * weight
    assert float(actual) == pytest.approx(expected.mean(), rel=1e-5)
    plain = -log_softmax(outputs["logits"])[range(6), y] * weight
    measured = task.compute_loss(inputs, y, task(inputs), weight, training=False)
    assert float(measured) == pytest.approx(plain.mean(), rel=1e-5)


def test_the_share_of_a_teacher_is_that_of_the_paper():
    """Half of the loss where answers are hard, a tenth where soft (Touvron et al. 2021)."""
    assert [Teacher(brightness(), hard=hard).share for hard in (True, False)] == [0.5, 0.1]


@pytest.mark.parametrize("where", ["layer", "activation", "nested"])
def test_probabilities_are_known_wherever_the_softmax_stands(where):
    if where == "nested":
        model = keras.Sequential([keras.Input((12, 8, 3)), brightness("softmax")])
    else:
        last = {"layer": keras.layers.Softmax, "activation": lambda: "softmax"}[where]()
        end = keras.layers.Activation(last) if where == "activation" else last
        model = keras.Sequential([brightness(None), end])
    expected = log_softmax(brightness(None)(pictures() / 255.0))
    teacher = Teacher(model, preprocess=scaled)
    actual = np.asarray(answered(teacher, student()))
    np.testing.assert_allclose(log_softmax(actual), expected, atol=1e-4)


def test_a_teacher_stands_still_while_it_is_asked():
    """Its statistics are those that it learned, and don't move."""
    norm = keras.layers.BatchNormalization()
    model = keras.Sequential([norm, brightness(None)])
    model.build((None, 12, 8, 3))
    norm.moving_mean.assign([0.3, 0.1, 0.2])
    task = student()
    task.compile(teacher=Teacher(model, preprocess=scaled))
    expected = np.asarray(model(pictures() / 255.0, training=False))
    actual = np.asarray(answered(task.teacher, task))
    np.testing.assert_allclose(actual, expected, atol=1e-4)
    task.fit(pictures(), y=[LABELS[0], LABELS[1]] * 3, verbose=0)
    np.testing.assert_allclose(norm.moving_mean, [0.3, 0.1, 0.2], atol=1e-7)


def test_a_teacher_of_another_size_is_one_sentence():
    task = student()
    model = keras.Sequential(
        [keras.Input((9, 9, 3)), keras.layers.Flatten(), keras.layers.Dense(3)]
    )
    task.compile(teacher=Teacher(model, preprocess=scaled))
    with pytest.raises(kzoo.KzooError, match=r"no pictures of \(12, 8, 3\).*Resizing"):
        task.fit(pictures(), y=[LABELS[0], LABELS[1]] * 3, verbose=0)


def test_a_teacher_of_kzoo_of_another_size_is_named_with_the_remedy():
    task = student()
    backbone = noisy("vit").resized([16, 20])
    large = kzoo.ImageClassifier(
        backbone, labels=LABELS, image_processor=ImageProcessor([16, 20]), name="large"
    )
    words = r"large reads images of 16 x 20 x 3, and the student of 12 x 8 x 3.*resized\(\[12, 8\]"
    with pytest.raises(kzoo.KzooError, match=words):
        task.compile(teacher=Teacher(large))
    task.compile(teacher=Teacher(large.resized([12, 8])))
    task.fit(pictures(), y=LABELS * 2, verbose=0)


def test_a_teacher_without_its_classes_is_told_to_have_them():
    x = keras.Input((12, 8, 3))
    model = keras.Model(x, keras.layers.Conv2D(3, 3)(x), name="bare")
    for labels in (None, LABELS):
        task = student()
        task.compile(teacher=Teacher(model, labels=labels))
        with pytest.raises(
            kzoo.KzooError, match="bare gives 10 x 6 x 3 numbers .*include_top=True"
        ):
            task.fit(pictures(), y=LABELS * 2, verbose=0)


def test_a_teacher_of_kzoo_is_asked_in_its_own_order_and_scale():
    task, x = student(), pictures()
    teacher = kzoo.ImageClassifier(
        noisy("vit"),
        labels=["light", "other", "dark", "grey"],
        image_processor=ImageProcessor([12, 8]),
    )
    for weight in teacher.head.weights:
        weight.assign(np.random.default_rng(1).normal(size=weight.shape))
    task.compile(teacher=Teacher(teacher, hard=False, share=1, temperature=1))
    inputs = task.prepared(x)
    outputs = task(inputs)
    wanted = np.asarray(teacher(teacher.prepared(x))["logits"])[:, [2, 3, 0]]
    logs = log_softmax(outputs["distillation_logits"])
    expected = -(np.exp(log_softmax(wanted)) * logs).sum(-1).mean()
    actual = task.compute_loss(inputs, np.zeros(6, "int32"), outputs)
    assert float(actual) == pytest.approx(expected, rel=1e-4)


def test_fit_learns_what_a_convolution_says_where_labels_say_nothing(tmp_path):
    x, model = pictures(48), brightness()
    before = [np.array(weight) for weight in model.weights]
    wanted = np.asarray(model(x / 255.0)).argmax(-1)
    assert np.bincount(wanted).min() > 10
    task = student(head="distilled")
    task.compile(kzoo.AdamW(5e-3), teacher=Teacher(model, share=1, preprocess=scaled))
    task.fit(x, y=[0] * 48, epochs=25, batch_size=16, verbose=0)
    outputs = task(task.prepared(x))
    assert (np.asarray(outputs["distillation_logits"]).argmax(-1) == wanted).mean() > 0.9
    assert all(np.array_equal(a, b) for a, b in zip(before, model.weights, strict=True))
    assert not {id(w) for w in model.weights} & {id(w) for w in task.weights}
    task.save(tmp_path / "task.keras")
    again = keras.saving.load_model(tmp_path / "task.keras")
    np.testing.assert_array_equal(again.predict(x), task.predict(x))
    assert again.teacher is None


def test_a_student_learns_from_a_teacher_on_jax():
    pytest.importorskip("jax")
    code = (
        "import sys, tempfile, keras; from pathlib import Path; sys.path.insert(0, 'tests')\n"
        "import test_teacher as t\n"
        "assert keras.backend.backend() == 'jax'\n"
        "t.test_fit_learns_what_a_convolution_says_where_labels_say_nothing("
        "Path(tempfile.mkdtemp()))\n"
    )
    root, env = Path(__file__).parent.parent, {**os.environ, "KERAS_BACKEND": "jax"}
    subprocess.run([sys.executable, "-c", code], check=True, cwd=root, env=env)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Teacher("teacher"), "Got a str as a teacher"),
        (lambda: Teacher(brightness(), share=2), "share=2"),
        (
            lambda: student("vit").compile(teacher=student("vit")),
            "expected kzoo.compression.T",
        ),
        (lambda: Teacher(brightness(), hard="no"), "hard='no' for a teacher; expected True or"),
        (lambda: Teacher(brightness(), temperature=0), "temperature=0"),
        (lambda: Teacher(student(), labels=LABELS), "its own"),
        (lambda: student(labels=["a", "b"]).compile(teacher=Teacher(student())), "know a, b"),
        (lambda: student(problem="multi_label").compile(teacher=Teacher(student())), "multi_label"),
    ],
)
def test_what_is_no_teacher_is_said_in_a_sentence(make, words):
    with pytest.raises(kzoo.KzooError, match=words) as caught:
        make()
    assert "\n" not in str(caught.value)


def test_a_teacher_of_other_classes_is_named():
    task = student(labels=["a", "b"])
    task.compile(teacher=Teacher(brightness()))
    with pytest.raises(kzoo.KzooError, match="gives 3 classes, and the student has 2 labels"):
        task.fit(pictures(), y=["a", "b"] * 3, verbose=0)
