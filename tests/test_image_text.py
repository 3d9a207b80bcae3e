"""Pictures and texts in one space: the losses that towers learn by, and the task on them."""

import gzip
import os
from pathlib import Path

import keras
import numpy as np
import pytest
from families import SPECS, add_noise, inputs_of, noisy
from PIL import Image
from rich.console import Console
from test_tasks import tokenizer

import kzoo
from kzoo import views
from kzoo.compression import AffinityLoss, affinity_targets
from kzoo.images.image_processor import ImageProcessor
from kzoo.litert.convert import exportable, traced, write_file
from kzoo.litert.function import Function
from kzoo.litert.interpreter import opened
from kzoo.models import build
from kzoo.tasks.contrastive import ContrastiveLoss

END = 3  # [SEP] of the tests' tokenizer


def clip(dim=24, depth=(0, 1)):
    """Tiny towers whose texts are those of the tests' tokenizer."""
    spec = SPECS["clip"]
    words = {**SPECS["clip_text"].embedding, "padding_id": 0}
    text = SPECS["clip_text"].replace(
        embedding=words, schedule=depth, pooler={"kind": "end", "dim": dim, "token": END}
    )
    image = SPECS["clip_image"].replace(schedule=depth, pooler={"kind": "first", "dim": dim})
    return build(spec.replace(towers={"image": image, "text": text}))


def embedder(backbone=None, **options):
    backbone = add_noise(clip()) if backbone is None else backbone
    processor = ImageProcessor(8, mean=0.5, std=0.5)
    return kzoo.ImageTextEmbedder(
        backbone, tokenizer=tokenizer(), image_processor=processor, **options
    )


COLOURS = {
    "good": (230, 30, 30),
    "bad": (30, 220, 40),
    "film": (30, 40, 230),
    "dog": (240, 240, 30),
}


def coloured(count, seed=0):
    """Pictures of one colour, with noise, and a text that has a word for each."""
    draw = np.random.default_rng(seed)
    pairs = []
    for number in range(count):
        word = list(COLOURS)[number % len(COLOURS)]
        picture = np.array(COLOURS[word]) + draw.normal(0, 12, (11, 9, 3))
        pairs.append((picture.clip(0, 255).astype("uint8"), f"a {word}"))
    return pairs


# -- losses ---------------------------------------------------------------------------------------


def log_softmax(scores):
    shifted = scores - scores.max(-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))


def test_contrastive_loss_is_the_cross_entropy_of_partners_from_both_sides():
    pairs = np.random.default_rng(0).standard_normal((5, 2, 7)).astype("float32")
    scores = pairs[:, 0].astype("float64") @ pairs[:, 1].T
    sides = [-np.diag(log_softmax(side)) for side in (scores, scores.T)]
    actual = ContrastiveLoss(reduction=None)(np.ones(5), pairs)
    np.testing.assert_allclose(actual, np.mean(sides, axis=0), rtol=1e-5)


@pytest.mark.parametrize("share", [0.0, 0.25])
def test_affinity_loss_is_the_divergence_from_the_teachers_rows_and_columns(share):
    draw = np.random.default_rng(1)
    student, teacher = (draw.standard_normal((5, 2, dim)).astype("float32") for dim in (7, 4))
    here, there = (p[:, 0].astype("float64") @ p[:, 1].T for p in (student, teacher))
    sides = [
        (np.exp(log_softmax(t)) * (log_softmax(t) - log_softmax(s))).sum(-1)
        for t, s in ((there, here), (there.T, here.T))
    ]
    partners = np.mean([-np.diag(log_softmax(side)) for side in (here, here.T)], axis=0)
    expected = (1 - share) * np.mean(sides, axis=0) + share * partners
    actual = AffinityLoss(share, reduction=None)(teacher, student)
    np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-6)
    if not share:
        np.testing.assert_allclose(AffinityLoss(reduction=None)(student, student), 0, atol=1e-6)
    again = keras.saving.deserialize_keras_object(
        keras.saving.serialize_keras_object(AffinityLoss(share))
    )
    assert again.label_share == share
    with pytest.raises(kzoo.KzooError, match="label_share = 2; expected a share"):
        AffinityLoss(2)


# -- the task -------------------------------------------------------------------------------------


def test_it_learns_which_text_fits_a_picture(tmp_path):
    keras.utils.set_random_seed(0)
    task = embedder(clip())
    task.compile(kzoo.AdamW(1e-3, warmup=0.1))
    history = task.fit(coloured(32), batch_size=4, epochs=12, shuffle=False, verbose=0)
    assert history.history["accuracy"][-1] == 1
    pictures, texts = zip(*coloured(4, seed=9), strict=True)
    nearness = task.similarities(list(pictures), list(texts))
    assert nearness.argmax(-1).tolist() == nearness.argmax(0).tolist() == [0, 1, 2, 3]
    vectors = task.predict(list(pictures)), task.predict_texts(list(texts))
    np.testing.assert_allclose(nearness, task.similarities(*vectors), atol=1e-6)
    for among in (list(pictures), vectors[0]):
        found = task.search(texts[2], among, top=2)
        assert [each["index"] for each in found] == list(np.argsort(-nearness[:, 2])[:2])
    assert [each[0]["index"] for each in task.search(list(texts), vectors[0])] == [0, 1, 2, 3]
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number, picture in enumerate(pictures):
        Image.fromarray(picture).save(folder / f"{number}.png")
    assert task.search(texts[1], folder, top=1)[0]["image"] == str(folder / "1.png")
    for side in vectors:
        np.testing.assert_allclose(np.linalg.norm(side, axis=-1), 1, atol=1e-5)
    task.save(tmp_path / "task.keras")
    task.save_preset(tmp_path / "preset")
    for again in (kzoo.load(tmp_path / "task.keras"), kzoo.load(tmp_path / "preset")):
        assert type(again) is kzoo.ImageTextEmbedder and again.max_length == task.max_length
        np.testing.assert_allclose(
            again.similarities(list(pictures), list(texts)), nearness, atol=1e-6
        )


def test_a_student_learns_its_teachers_affinities():
    teacher, pairs = embedder(), coloured(12)
    # Whatever their length, they come back in their own order.
    mixed = [(picture, text + " film" * (5 * n % 12)) for n, (picture, text) in enumerate(pairs)]
    targets = affinity_targets(teacher, mixed, batch_size=5)
    scale = float(np.exp(teacher.backbone.logit_scale))
    pictures, texts = map(list, zip(*mixed, strict=True))
    for place, vectors in enumerate((teacher.predict(pictures), teacher.predict_texts(texts))):
        np.testing.assert_allclose(targets[:, place], vectors * np.sqrt(scale), atol=1e-4)
    targets = affinity_targets(teacher, pairs, batch_size=5)
    keras.utils.set_random_seed(0)
    student = embedder(clip(dim=8, depth=(0,)))
    student.compile(kzoo.AdamW(3e-3), AffinityLoss())
    losses = student.fit(pairs, targets, batch_size=6, epochs=12, verbose=0).history["loss"]
    assert losses[-1] < 0.7 * losses[0]


def test_tables_and_folders_hold_pictures_with_their_texts(tmp_path):
    from PIL import Image

    rows = ["file_name,caption"]
    for number, (picture, text) in enumerate(coloured(8)):
        folder = tmp_path / "by_word" / text
        folder.mkdir(parents=True, exist_ok=True)
        for path in (tmp_path / f"{number}.png", folder / f"{number}.png"):
            Image.fromarray(picture).save(path)
        rows.append(f"{number}.png,{text}")
    (tmp_path / "pairs.csv").write_text("\n".join(rows))
    task, losses = embedder(), []
    task.compile()
    for source in (coloured(8), tmp_path / "pairs.csv", str(tmp_path / "by_word")):
        losses.append(task.evaluate(source, batch_size=8, verbose=0)[0])
    np.testing.assert_allclose(losses, losses[0], rtol=1e-5)
    shown = task.predict(tmp_path / "pairs.csv")
    np.testing.assert_allclose(shown, task.predict([p for p, _ in coloured(8)]), atol=1e-6)


def test_a_text_that_is_too_long_is_cut_and_keeps_its_end():
    task = kzoo.ImageTextEmbedder(embedder(max_length=6))  # goes on with what the other read
    long = "a film " * 30
    assert task.tokenize([long])["token_ids"][0].tolist()[-1] == END
    np.testing.assert_allclose(
        task.predict_texts([long]), task.predict_texts(["a film a film"]), atol=1e-6
    )


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda task: task.fit([np.zeros((4, 4, 3), "uint8")]),
            "Example 0 is a ndarray; expected a pair",
        ),
        (lambda task: task.fit(coloured(2), np.ones(2)), r"targets of the shape \(2,\) for 2"),
        (lambda task: task.fit(coloured(2), augment=keras.layers.MixUp()), "Got MixUp to augment"),
        (lambda task: task.predict_texts([]), "at least one text"),
        (lambda task: kzoo.ImageTextEmbedder(noisy("bert")), "Got a Bert for an ImageTextEmbed"),
        (lambda task: embedder(max_length=41), "2 to 40 tokens are expected"),
    ],
)
def test_what_it_cannot_read_is_named(call, message):
    task = embedder()
    task.compile()
    with pytest.raises(kzoo.KzooError, match=message):
        call(task)


@pytest.mark.parametrize("learns", [True, False])
def test_a_padding_token_that_texts_hold_learns_as_any_other(learns):
    """CLIP's texts are filled up with the token that ends them."""
    import tensorflow as tf

    words = {**SPECS["clip_text"].embedding, "padding_id": END, "padding_learns": learns}
    model = add_noise(build(SPECS["clip_text"].replace(embedding=words)))
    ids, mask = np.array([[5, 6, END, END]], "int32"), np.array([[1, 1, 1, 0]], "int32")
    with tf.GradientTape() as tape:
        outputs = model({"token_ids": ids, "padding_mask": mask}, training=True)
        loss = tf.reduce_sum(outputs["sequence_output"][:, 2] ** 3)  # where a text ends
    gradient = tape.gradient(loss, model.token_embedding.embeddings.value)
    assert bool(np.abs(tf.convert_to_tensor(gradient).numpy()[END]).max() > 0) == learns


# -- labels that are only names -------------------------------------------------------------------


def test_labels_are_the_mean_of_their_templates_and_a_picture_has_the_nearest(tmp_path):
    embeds = embedder()
    pictures = [picture for picture, _ in coloured(3)]
    labels, templates = ["good", "bad film", "dog"], ["a {}", "the {} is a film"]
    task = kzoo.ZeroShotImageClassifier(embeds, labels, templates)
    rows = []
    for label in labels:
        sides = embeds.predict_texts([f"a {label}", f"the {label} is a film"])
        rows.append(sides.mean(0) / np.linalg.norm(sides.mean(0)))
    scores = embeds.predict(pictures) @ np.array(rows).T * np.exp(embeds.backbone.logit_scale)
    expected = np.exp(log_softmax(scores.astype("float64")))
    np.testing.assert_allclose(task.predict(pictures), expected, atol=1e-5)
    task.save_preset(tmp_path / "preset")
    again = kzoo.load(tmp_path / "preset")
    assert (again.labels, again.templates) == (labels, templates)
    np.testing.assert_allclose(again.predict(pictures), expected, atol=1e-5)

    pipe = kzoo.pipeline("zero-shot-image-classification", tmp_path / "preset")
    options = {"candidate_labels": labels, "hypothesis_template": templates}
    for answers, row in zip(pipe(pictures, **options), expected, strict=True):
        assert [answer["label"] for answer in answers] == [labels[i] for i in (-row).argsort()]
        np.testing.assert_allclose([answer["score"] for answer in answers], sorted(row)[::-1])
    assert pipe(pictures[0], **options) == pipe(pictures[:1], **options)[0]
    usual = pipe(pictures[0], candidate_labels="good, dog")
    assert {answer["label"] for answer in usual} == {"good", "dog"}
    other = kzoo.ZeroShotImageClassifier(task, ["film"])
    assert other.templates == templates and other.predict(pictures).tolist() == [[1.0]] * 3


@pytest.mark.parametrize("labels", [None, ["good", "dog"]])
def test_a_task_of_two_towers_is_shown_without_a_head(labels, tmp_path, capsys):
    task = embedder() if labels is None else kzoo.ZeroShotImageClassifier(embedder(), labels)
    task.save_preset(tmp_path / "preset")
    data = views.flat(tmp_path / "preset")
    assert (data["task"]["class"], data["task"]["labels"]) == (task.task_name, labels)
    assert list(data["towers"]) == ["image", "text"] and "slots" not in data
    Console(width=200).print(*views.flat_view(data))
    assert f"{task.task_name}  " in capsys.readouterr().out


@pytest.mark.parametrize("templates", [[], "a photo", ["a {}", 3]])
def test_a_template_without_a_place_for_the_label_is_named(templates):
    with pytest.raises(kzoo.KzooError, match="expected texts that have {} in the place"):
        kzoo.ZeroShotImageClassifier(embedder(), ["a", "b"], templates)


def test_the_scale_stops_at_100_as_in_the_paper():
    """A step puts what is above there; what is below goes on learning."""
    for start, least, most in [(5.5, 100, 100), (2.0, 1, 99)]:
        task = embedder(add_noise(clip()))
        task.backbone.logit_scale.assign(start)
        task.compile(keras.optimizers.SGD(1e-3), run_eagerly=True)
        task.fit(coloured(8), batch_size=8, verbose=0)
        assert least - 1e-3 <= task.scale <= most + 1e-3


def test_texts_beyond_77_tokens_are_cut_and_keep_the_end_of_clips_tokenizer(tmp_path):
    shared = Path(__file__).parents[2] / "shared" / "data"
    path = Path(os.environ.get("KZOO_DATA", shared)) / "tokenizers" / "clip" / "tokenizer.json.gz"
    if not path.is_file():
        pytest.skip("the tokenizer of CLIP isn't here: KZOO_DATA names the folder of data sets")
    (tmp_path / "tokenizer.json").write_bytes(gzip.decompress(path.read_bytes()))
    words = kzoo.Tokenizer.load(tmp_path)
    short, long = (
        words.encode([text], max_length=77) for text in ("A  photo of a Cat.", "cat " * 99)
    )
    assert list(short["token_ids"][0]) == [49406, 320, 1125, 539, 320, 2368, 269, 49407]
    assert list(long["token_ids"][0]) == [49406, *[2368] * 75, 49407]


# -- files ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("quantization", ["float32", "int8"])
@pytest.mark.parametrize(("tower", "length"), [("image", None), ("text", None), ("text", 9)])
def test_each_tower_is_a_file_of_one_partition(tower, length, quantization, tmp_path):
    model = noisy("clip")
    inputs = inputs_of(SPECS["clip"])
    expected = np.asarray(model(inputs)[f"{tower}_embedding"])
    with traced(exportable(model), {"length": length}, [tower]) as graphs:
        audited = write_file(graphs, tmp_path / "tower.tflite", quantization)
    assert audited["partitions"] == 1 and not audited["custom"]
    function = Function(opened(tmp_path / "tower.tflite"), tower)
    function.fit(9)
    for row in range(3):
        for name in model.signatures[tower]:
            function.input(name)[:] = inputs[name][row : row + 1]
        actual = np.array(function.run()[f"{tower}_embedding"][0])
        if quantization == "float32":
            np.testing.assert_allclose(actual, expected[row], atol=1e-5)
        assert actual @ expected[row] > 0.999


def test_a_tasks_file_takes_pictures_of_its_size_as_they_are(tmp_path):
    task = embedder()
    picture = coloured(1)[0][0]
    with traced(exportable(task), functions=["image"]) as graphs:
        write_file(graphs, tmp_path / "image.tflite", "float32")
    function = Function(opened(tmp_path / "image.tflite"), "image")
    function.fit()
    function.input("images")[:] = task.read_one(picture)
    actual = np.array(function.run()["image_embedding"])
    np.testing.assert_allclose(actual, task.predict([picture]), atol=1e-5)
