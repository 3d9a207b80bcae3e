"""Sounds beside texts, and beside texts and pictures: losses, tasks, files."""

import json

import keras
import numpy as np
import pytest
from families import SPECS, add_noise
from test_image_text import COLOURS, clip, coloured, log_softmax
from test_tasks import tokenizer

import kzoo
from kzoo.answers import recalls
from kzoo.audio.audio_processor import AudioProcessor
from kzoo.bundle import export_bundle
from kzoo.bundle.senses import SENSES
from kzoo.bundle.towers import TowersPredictor
from kzoo.cli import main
from kzoo.images.image_processor import ImageProcessor
from kzoo.models import build
from kzoo.models.audio_clip import AudioClip
from kzoo.network import weights_by_path
from kzoo.tasks.contrastive import ContrastiveLoss, PairwiseAccuracy, PairwiseLoss

WORDS = list(COLOURS)
RATE = 16000


def processor():
    """Ten frames of six log-mel bands, which the tiny AST reads."""
    named = {"feature_extractor_type": "ASTFeatureExtractor", "max_length": 10, "num_mel_bins": 6}
    return AudioProcessor(named)


def network(*senses):
    """Tiny towers whose texts are those of the tests' tokenizer."""
    spec = SPECS["audio_clip"]
    towers = {**spec.towers, "text": clip().spec.towers["text"]}
    return build(spec.replace(towers={sense: towers[sense] for sense in senses or towers}))


def listener(backbone=None, **options):
    backbone = add_noise(network("text", "audio")) if backbone is None else backbone
    return kzoo.AudioTextEmbedder(
        backbone, tokenizer=tokenizer(), audio_processor=processor(), **options
    )


def three(backbone=None, **options):
    return kzoo.AudioImageTextEmbedder(
        add_noise(network()) if backbone is None else backbone,
        tokenizer=tokenizer(),
        image_processor=ImageProcessor(8, mean=0.5, std=0.5),
        audio_processor=processor(),
        **options,
    )


def tones(count, seed=0):
    """Tones of four pitches, with noise, and a text that has a word for each."""
    draw, time = np.random.default_rng(seed), np.arange(1920) / RATE
    pairs = []
    for number in range(count):
        place = number % len(WORDS)
        tone = np.sin(2 * np.pi * (300 * 2.2**place) * time) + draw.normal(0, 0.05, time.shape)
        pairs.append(((0.5 * tone).astype("float32"), f"a {WORDS[place]}"))
    return pairs


def columns(count, seed=0):
    """As many pictures, texts and tones of the same four words."""
    sounds, texts = zip(*tones(count, seed), strict=True)
    pictures = [picture for picture, _ in coloured(count, seed)]
    return {"image": pictures, "text": list(texts), "audio": list(sounds)}


# -- losses ---------------------------------------------------------------------------------------


def test_pairwise_loss_is_the_mean_of_three_contrastive_ones_without_what_is_missing():
    draw = np.random.default_rng(0)
    vectors = draw.standard_normal((6, 3, 2, 7)).astype("float32")
    there = np.ones((6, 3), "float32")
    there[1, 0] = there[1, 2] = there[4, 1] = there[4, 2] = 0
    expected = 0
    for pair in range(3):
        rows = vectors[there[:, pair] == 1, pair].astype("float64")
        scores = rows[:, 0] @ rows[:, 1].T
        sides = [-np.diag(log_softmax(side)).sum() for side in (scores, scores.T)]
        expected += np.mean(sides) / 3 / 6  # Each pair weighs the same.
    assert float(PairwiseLoss()(there, vectors)) == pytest.approx(expected, rel=1e-5)
    whole = [float(ContrastiveLoss()(np.ones(6), vectors[:, pair])) for pair in range(3)]
    given = float(PairwiseLoss()(np.ones((6, 3)), vectors))
    assert given == pytest.approx(np.mean(whole), rel=1e-5)


def test_accuracy_counts_the_pairs_that_are_there():
    rows = np.eye(4, dtype="float32")
    vectors = np.stack([np.stack([rows, rows], 1)] * 3, 1)  # All find their partners,
    vectors[0, 0, 0] = rows[1]  # but for the first example of the first pair.
    there = np.ones((4, 3), "float32")
    for expected in (11 / 12, 1):
        metric = PairwiseAccuracy()
        metric.update_state(there, vectors)
        assert float(metric.result()) == pytest.approx(expected)
        there[1, 0] = 0  # What the first example took for its own is gone.


def test_recall_counts_queries_whose_nearest_hold_something_right():
    scores = [[0.9, 0.1, 0.5], [0.2, 0.3, 0.9], [0.1, 0.2, 0.3]]
    right = [[False, False, True], [False, True, False], [False, False, False]]
    assert recalls(scores, right, (1, 2)) == {1: 0.0, 2: 1.0}
    assert recalls(scores, np.eye(3), 1) == {1: pytest.approx(2 / 3)}
    for arguments, message in (
        ((scores, np.zeros((3, 3))), "none has"),
        ((scores, right, 0), "at="),
    ):
        with pytest.raises(kzoo.KzooError, match=message):
            recalls(*arguments)


# -- two towers -----------------------------------------------------------------------------------


def test_it_learns_which_text_fits_a_sound_and_names_sounds_by_words(tmp_path):
    keras.utils.set_random_seed(0)
    task = listener(network("text", "audio"))
    task.compile(kzoo.AdamW(1e-3, warmup=0.1))
    history = task.fit(tones(32), batch_size=4, epochs=14, shuffle=False, verbose=0)
    assert history.history["accuracy"][-1] == 1
    sounds, texts = map(list, zip(*tones(4, seed=9), strict=True))
    near = task.similarities(sounds, texts)
    assert near.argmax(-1).tolist() == near.argmax(0).tolist() == [0, 1, 2, 3]
    assert task.recall(tones(8, seed=9), at=1) == {"audio_to_text": {1: 1}, "text_to_audio": {1: 1}}
    assert task.search(texts[2], sounds, top=1)[0]["index"] == 2
    found = task.search(texts, task.predict(sounds), top=1)
    assert [each[0]["index"] for each in found] == [0, 1, 2, 3] and "sound" not in found[0][0]
    task.save(tmp_path / "task.keras")
    task.save_preset(tmp_path / "preset")
    for again in (kzoo.load(tmp_path / "task.keras"), kzoo.load(tmp_path / "preset")):
        assert type(again) is kzoo.AudioTextEmbedder
        np.testing.assert_allclose(again.similarities(sounds, texts), near, atol=1e-6)

    named = kzoo.ZeroShotAudioClassifier(tmp_path / "preset", WORDS, templates=["a {}"])
    scores = named.predict(sounds)
    expected = np.exp(log_softmax(near.astype("float64") * task.scale))
    np.testing.assert_allclose(scores, expected, atol=1e-5)
    pipe = kzoo.pipeline("zero-shot-audio-classification", tmp_path / "preset")
    options = {"candidate_labels": WORDS, "hypothesis_template": "a {}"}
    for answers, row, label in zip(pipe(sounds, **options), scores, WORDS, strict=True):
        assert answers[0]["label"] == label
        np.testing.assert_allclose([a["score"] for a in answers], sorted(row)[::-1], atol=1e-6)
    assert pipe(sounds[0], **options) == pipe(sounds[:1], **options)[0]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda task: task.fit([np.zeros(1920, "float32")]), "a sound and a text"),
        (lambda task: task.predict_texts([]), "at least one text"),
        (lambda task: task.predict("none.wav"), "none.wav' is missing"),
        (lambda task: task.fit([("none.wav", "a dog")], verbose=0), "none.wav' is missing"),
        (lambda task: task.predict(np.zeros(0, "float32")), "no samples|holds no|at least"),
        (lambda task: kzoo.AudioTextEmbedder(network("image", "text")), "a tower of sounds"),
        (lambda task: kzoo.pipeline("zero-shot-audio-classification", add_noise(
            network("image", "text"))), "a tower of sounds"),
    ],
)  # fmt: skip
def test_what_it_cannot_read_is_named(call, message):
    task = listener()
    task.compile()
    with pytest.raises(kzoo.KzooError, match=message):
        call(task)


# -- three towers ---------------------------------------------------------------------------------


def test_three_towers_learn_what_belongs_together_and_go_without_what_is_missing(tmp_path):
    keras.utils.set_random_seed(0)
    task = three(network())
    task.compile(kzoo.AdamW(2e-3, warmup=0.1))
    history = task.fit(columns(32), batch_size=4, epochs=12, shuffle=False, verbose=0)
    assert history.history["accuracy"][-1] == 1
    lacking = columns(4, seed=9)
    lacking["image"][1] = lacking["audio"][2] = lacking["text"][3] = None
    loss, accuracy = task.evaluate(lacking, batch_size=4, verbose=0)
    assert accuracy == 1 and 0 < loss < 0.1
    held = columns(8, seed=9)
    assert {share for row in task.recall(held, at=1).values() for share in row.values()} == {1}
    found = task.search({"audio": held["audio"][:4]}, {"image": held["image"][:4]}, top=1)
    assert [each[0]["index"] for each in found] == [0, 1, 2, 3]
    vectors = task.predict({sense: held[sense][:4] for sense in held})
    task.save(tmp_path / "task.keras")
    task.save_preset(tmp_path / "preset")
    for again in (kzoo.load(tmp_path / "task.keras"), kzoo.load(tmp_path / "preset")):
        assert type(again) is kzoo.AudioImageTextEmbedder
        for sense, expected in vectors.items():
            actual = again.predict({sense: held[sense][:4]})[sense]
            np.testing.assert_allclose(actual, expected, atol=1e-6)
    pair = kzoo.AudioTextEmbedder(task)  # Two of its towers, with their weights.
    assert set(pair.backbone.towers) == {"text", "audio"}
    np.testing.assert_allclose(pair.predict(held["audio"][:4]), vectors["audio"], atol=1e-6)
    assert pair.scale == pytest.approx(task.scale_of(("audio", "text")))


def test_triples_stand_in_a_table_as_well(tmp_path):
    from PIL import Image

    given, rows = columns(4), ["image,audio,caption"]
    for n, (picture, text, sound) in enumerate(zip(*given.values(), strict=True)):
        Image.fromarray(picture).save(tmp_path / f"{n}.png")
        SENSES["sound"].write((sound, RATE), tmp_path / f"{n}.wav")
        rows.append(f"{n}.png,{n}.wav,{text}")
    (tmp_path / "all.csv").write_text("\n".join(rows))
    task = three()
    task.compile()
    losses = [task.evaluate(x, batch_size=4, verbose=0)[0] for x in (given, tmp_path / "all.csv")]
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)
    (tmp_path / "two.csv").write_text("image,caption\n0.png,a dog")
    with pytest.raises(kzoo.KzooError, match="no column of audio"):
        task.evaluate(tmp_path / "two.csv")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"audio": columns(2)["audio"]}, "4 of image and 4 of text and 2 of audio"),
        ({"audio": []}, "column audio"),
        ({"audio": ["none.wav"] * 4}, "none.wav' is missing"),
        ({"text": ["a dog", "", "a dog", "a dog"]}, "Example 1 has '' for a text"),
        ({"text": [None] * 4, "audio": [None] * 4}, "Example 0 has a picture alone"),
        ({"sound": []}, "columns of the senses"),
    ],
)
def test_what_three_towers_cannot_learn_from_is_named(change, message):
    task = three()
    task.compile()
    with pytest.raises(kzoo.KzooError, match=message):
        task.fit({**columns(4), **change}, verbose=0)


def test_towers_that_do_not_share_a_space_are_named():
    spec = SPECS["audio_clip"]
    towers = dict(spec.towers)
    for changed, message in (
        ({"image": towers["image"].replace(pooler={"kind": "first", "dim": 8})}, "one dim"),
        ({"audio": towers["audio"].replace(pooler="none")}, "without a pooler"),
        ({"audio": towers["text"]}, "expected one that reads features"),
        ({"smell": towers["text"]}, "two or three of image, text, audio"),
    ):
        with pytest.raises(kzoo.KzooError, match=message):
            build(spec.replace(towers={**towers, **changed}))


def test_networks_become_towers_with_their_weights():
    parts = {"audio": build(SPECS["kwt"]), "text": build(SPECS["bert"])}
    made = AudioClip.of(dim=12, **{name: add_noise(part) for name, part in parts.items()})
    for name, part in parts.items():
        here, there = weights_by_path(part), weights_by_path(made.towers[name])
        path = "block_1/feedforward/up/kernel"
        np.testing.assert_array_equal(np.asarray(here[path]), np.asarray(there[path]))
    assert made.dim == 12 and list(json.loads(made.spec.to_json())["towers"]) == ["audio", "text"]


# -- files ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    """Three towers in float32, and the task."""
    task = three()
    folder = tmp_path_factory.mktemp("bundle") / "three"
    return task, folder, export_bundle(task, folder, "float32")


def test_a_bundle_of_three_towers_answers_as_keras(bundle, tmp_path):
    task, folder, report = bundle
    assert report["together"]["cosine_difference_max"] < 1e-4
    assert report["together"]["inputs"] == {"image": 24, "text": 24, "audio": 24}
    checks = {row["check"] for row in kzoo.verify_bundle(folder)["checks"]}
    assert {f"{name}: golden examples" for name in ("image", "text", "audio")} <= checks
    predictor, given = TowersPredictor(folder), columns(4)
    for number, sound in enumerate(given["audio"]):
        SENSES["sound"].write((sound, RATE), tmp_path / f"{number}.wav")
    sounds = [str(tmp_path / f"{number}.wav") for number in range(4)]
    near = task.similarities({"text": WORDS}, {"audio": sounds})
    found = predictor.search(WORDS[1], tmp_path, top=4)
    assert [each["index"] for each in found] == list(np.argsort(-near[1], kind="stable"))
    expected = np.exp(log_softmax(near.T.astype("float64") * task.scale_of(("audio", "text"))))
    for answer, row in zip(predictor.classify(sounds, WORDS), expected, strict=True):
        np.testing.assert_allclose(list(answer["scores"].values()), row, atol=1e-4)
    shown = task.similarities({"audio": sounds[:1]}, {"image": given["image"]})[0]
    (nearest, *_) = predictor.search(sounds[0], given["image"], by="audio", tower="image")
    assert nearest["score"] == pytest.approx(shown.max(), abs=1e-4)


def test_the_command_line_names_sounds_and_finds_pictures(bundle, tmp_path, capfd):
    from PIL import Image

    _, folder, _ = bundle
    SENSES["sound"].write((tones(2)[1][0], RATE), tmp_path / "a.wav")
    for number, picture in enumerate(columns(2)["image"]):
        Image.fromarray(picture).save(tmp_path / f"{number}.png")
    named = ["--label", "good", "--label", "bad", "--json"]
    for files, key, code in (
        (["a.wav"], "sound", 0), (["0.png", "1.png"], "image", 0), (["none.wav"], None, 2),
    ):  # fmt: skip
        capfd.readouterr()
        with pytest.raises(SystemExit) as left:
            main(["predict", str(folder), *[str(tmp_path / name) for name in files], *named])
        out, err = capfd.readouterr()
        assert left.value.code == code, err
        if key is None:
            assert out == "" and "none.wav' is missing" in err and err.count("\n") == 1
            continue
        answers = json.loads(out)
        assert [answer[key] for answer in answers] == [str(tmp_path / name) for name in files]


def test_int8_of_two_towers_states_its_drop(tmp_path):
    named = kzoo.ZeroShotAudioClassifier(listener(), WORDS[:2], templates=["a {}"])
    report = export_bundle(named, tmp_path / "int8", "int8")
    for own in report["towers"].values():
        assert own["quantization"] == "int8" and 0.95 < own["parity"]["cosine"] < 1
    assert 0 < report["together"]["cosine_difference_max"] < 0.2
    predictor = TowersPredictor(tmp_path / "int8")
    (answer,) = predictor.classify([(tones(1)[0][0], RATE)])
    assert sorted(answer["scores"]) == sorted(WORDS[:2]) and answer["sound"] is None
