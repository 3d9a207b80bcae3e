"""Figures show what was given; `kzoo predict` reads pictures and sounds, and draws them."""

import io
import json
import wave

import numpy as np
import pytest
from families import add_noise, one_block
from PIL import Image
from test_cli import assert_one_sentence

import kzoo
from kzoo.bundle import export_bundle, predict_table
from kzoo.bundle.senses import SENSES
from kzoo.cli import main
from kzoo.images.image_processor import ImageProcessor


@pytest.fixture(scope="module")
def task():
    processor = ImageProcessor(size=(12, 8), mean=(0.4, 0.5, 0.6), std=(0.2, 0.3, 0.4))
    made = kzoo.ImageClassifier(one_block("vit"), labels=["cat", "dog"], image_processor=processor)
    return add_noise(made, scale=0.3)


@pytest.fixture(scope="module")
def bundle(task, tmp_path_factory):
    folder = tmp_path_factory.mktemp("bundle") / "tiny"
    export_bundle(task, folder, "float32")
    return folder


@pytest.fixture
def run(capfd):
    """The command line in this process: exit code, what it says, what it complains of."""

    def run(*arguments):
        capfd.readouterr()
        with pytest.raises(SystemExit) as left:
            main(["predict", *map(str, arguments)])
        return left.value.code, *capfd.readouterr()

    return run


def pixels(figure):
    data = io.BytesIO()
    figure.savefig(data, format="png")
    return np.asarray(Image.open(data).convert("RGB"), int)


# -- figures --------------------------------------------------------------------------------------


def test_a_grid_shows_each_picture_with_its_label():
    colours = [(200, 0, 0), (0, 200, 0), (0, 0, 200)]
    squares = [np.full((9, 9, 3), colour, "uint8") for colour in colours]
    figure = kzoo.plot.pictures(squares, ["a $", "b $", "c" * 50], columns=2)
    shown = pixels(figure).reshape(-1, 3)
    for colour in colours:
        assert (shown == colour).all(1).sum() > 1000
    titles = [axis.get_title() for axis in figure.axes]
    assert titles[:2] == ["a $", "b $"] and len(titles[2]) < 30 and titles[3] == ""
    for arguments, message in [
        (([],), "1 to 100"),
        ((squares, ["a"]), "1 labels for 3"),
        ((squares, None, 0), "columns=0"),
        ((["none.png"],), "none.png doesn't exist"),
    ]:
        with pytest.raises(kzoo.KzooError, match=message):
            kzoo.plot.pictures(*arguments)


def test_attention_is_bright_where_the_class_token_looks(task):
    """By the network's own map: of a picture of zeros but one square it is that of its place."""
    image = np.random.default_rng(0).integers(0, 255, (12, 8, 3), "uint8")
    shown = kzoo.plot.attention(task, image).axes[1].images[1].get_array()
    maps = task.backbone(task.prepared([image]), return_attention_maps=True)["attention_maps"]
    expected = np.asarray(maps[-1])[0].mean(0)[0, 1:].reshape(task.backbone.embedding.grid)
    np.testing.assert_allclose(shown, expected, atol=1e-6)
    with pytest.raises(kzoo.KzooError, match="step=9"):
        kzoo.plot.attention(task, image, step=9)
    with pytest.raises(kzoo.KzooError, match="blocks of attention"):
        kzoo.plot.attention(one_block(), image)


@pytest.mark.parametrize(
    "given",
    [
        ([[1, 2], [0, 1]], None, ["cat", "dog"]),
        (["cat", "cat", "cat", "dog"], ["cat", "dog", "dog", "dog"]),
        (np.array([0, 0, 0, 1]), np.eye(2)[[0, 1, 1, 1]], ["cat", "dog"]),
        (["cat", "cat", "cat", "dog"], np.eye(2)[[0, 1, 1, 1]], ["cat", "dog"]),
    ],
    ids=["matrix", "names", "indices", "mixed"],
)
def test_a_confusion_is_drawn_of_a_matrix_or_of_labels(given):
    axis = kzoo.plot.confusion(*given).axes[0]
    cells = {text.get_position(): text.get_text() for text in axis.texts}
    assert cells == {(0, 0): "1", (1, 0): "2", (1, 1): "1"}  # (given, right)
    assert [tick.get_text() for tick in axis.get_yticklabels()] == ["cat", "dog"]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (([[1, 2]], None, ["a"]), "shape \\(1, 2\\)"),
        ((["a"], ["a", "b"]), "1 right labels and 2"),
        ((["a"], ["c"], ["a", "b"]), "label 'c'"),
    ],
)
def test_labels_that_make_no_confusion_are_one_sentence(given, message):
    with pytest.raises(kzoo.KzooError, match=message):
        kzoo.plot.confusion(*given)


def test_bars_and_curves_have_the_numbers():
    bars = kzoo.plot.picture(np.zeros((5, 5), "uint8"), {"cat": 0.25, "dog": 0.75}).axes[1]
    assert [text.get_text() for text in bars.texts] == ["dog", "75.0 %", "cat", "25.0 %"]
    values = kzoo.plot.sound(np.zeros(3, "float32"), {"a": -2.5, "b": 10.0}).axes[1]
    assert [text.get_text() for text in values.texts] == ["b", "10", "a", "-2.5"]
    lines = kzoo.plot.history({"loss": [2, 1], "val_loss": [3, 2]}).axes[0].lines
    assert [list(line.get_ydata()) for line in lines] == [[2, 1], [3, 2]]
    with pytest.raises(kzoo.KzooError, match="without a metric"):
        kzoo.plot.history({})


# -- kzoo predict ---------------------------------------------------------------------------------


def picture(path, mode="RGB", size=(20, 30), **options):
    noise = np.random.default_rng(1).integers(0, 255, (*size[::-1], 3), "uint8")
    image = Image.fromarray(noise)
    image = Image.fromarray(noise[..., 0].astype("uint16") * 257) if mode == "16" else image
    (image if mode in ("RGB", "16") else image.convert(mode)).save(path, **options)
    return path


def test_pictures_of_every_kind_get_a_label_and_a_drawing(run, task, bundle, tmp_path):
    turned, second = Image.Exif(), Image.new("RGB", (20, 30))
    turned[0x112] = 6
    files = [
        picture(tmp_path / "one.png", size=(1, 1)),
        picture(tmp_path / "long.png", size=(30_000, 1)),
        picture(tmp_path / "cmyk.jpg", "CMYK"),
        picture(tmp_path / "deep.png", "16"),
        picture(tmp_path / "palette.png", "P"),
        picture(tmp_path / "moving.gif", "P", save_all=True, append_images=[second]),
        picture(tmp_path / "turned.jpg", exif=turned),
    ]
    code, out, err = run(bundle, *files, "--json", "--draw", tmp_path / "drawn")
    assert (code, err) == (0, "")
    answers = json.loads(out)
    expected = task.predict(files)
    for file, answer, row in zip(files, answers, expected, strict=True):
        assert answer["image"] == str(file)
        np.testing.assert_allclose(list(answer["scores"].values()), row, atol=1e-5)
        assert answer["drawing"] == str(tmp_path / "drawn" / f"{file.stem}.png")
        with Image.open(answer["drawing"]) as drawn:
            assert drawn.size > (300, 300)


def test_a_folder_is_its_pictures_and_no_drawing_replaces_a_file(run, bundle, tmp_path):
    for name in ("a", "b"):
        (tmp_path / "in" / name).mkdir(parents=True)
        picture(tmp_path / "in" / name / "x.png")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x.png").write_text("mine")
    code, out, _ = run(bundle, tmp_path / "in", "--draw", tmp_path / "drawn")
    assert code == 0 and out.count("/x.png") == 4
    assert sorted(file.name for file in (tmp_path / "drawn").iterdir()) == ["x-2.png", "x.png"]
    code, out, err = run(bundle, tmp_path / "in", "--draw", tmp_path / "full")
    assert (code, out) == (2, "") and "new or empty" in err and err.count("\n") == 1
    assert (tmp_path / "full" / "x.png").read_text() == "mine"


def test_a_table_names_pictures_as_seen_from_its_folder(run, bundle, tmp_path):
    (tmp_path / "in").mkdir()
    picture(tmp_path / "in" / "x.png")
    (tmp_path / "t.jsonl").write_text('{"id": 7, "image": "in/x.png"}\n')
    (tmp_path / "t.tsv").write_text("where\tid\nin/x.png\t7\n")
    expected = kzoo.predict_bundle(bundle, tmp_path / "in" / "x.png")
    assert predict_table(bundle, tmp_path / "t.jsonl") == expected
    code, _, err = run(
        bundle, tmp_path / "t.tsv", "--text", "where", "--output", tmp_path / "out.csv"
    )
    assert (code, err) == (0, "")
    lines = (tmp_path / "out.csv").read_text().splitlines()
    assert lines[0] == "where,id,predicted_label,predicted_score"
    assert lines[1].startswith(f"in/x.png,7,{expected[0]['label']},")
    (tmp_path / "t.tsv").write_text("image\n../x.png\n")
    code, _, err = run(bundle, tmp_path / "t.tsv")
    assert code == 2 and "'../x.png'" in err


def test_what_is_no_picture_is_one_sentence(run, bundle, tmp_path):
    whole = picture(tmp_path / "whole.jpg", size=(200, 200)).read_bytes()
    (tmp_path / "half.jpg").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "empty.jpg").write_bytes(b"")
    (tmp_path / "words.jpg").write_text("a picture of a cat")
    Image.new("1", (20_000, 9_000)).save(tmp_path / "bomb.png")
    (tmp_path / "none").mkdir()
    for name, words in [
        ("half.jpg", "can't be read whole"),
        ("empty.jpg", "is empty"),
        ("words.jpg", "no picture of a format"),
        ("bomb.png", "pixels, the most"),
        ("none", "holds no picture"),
        ("gone.png", "doesn't exist"),
    ]:
        code, out, err = run(bundle, tmp_path / name, "--draw", tmp_path / "drawn")
        assert (code, out) == (2, "") and words in err and name in err and err.count("\n") == 1
    assert not (tmp_path / "drawn").exists()


@pytest.mark.parametrize("sense", ["image", "sound"])
def test_an_empty_path_is_named_and_is_not_the_current_folder(
    sense, run, task, bundle, words, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    for label in ("cat", "dog"):
        (tmp_path / label).mkdir()
        picture(tmp_path / label / "a.png")
        tone(tmp_path / label / "a.wav")
    folder, model = bundle, task
    if sense == "sound":
        folder, model = words, kzoo.load("kwt1_speech_commands")
    known = f"cat/a.{'png' if sense == 'image' else 'wav'}"
    for call in (
        lambda: model.predict(""),
        lambda: model.predict([""]),
        lambda: kzoo.evaluate(model, ""),
        lambda: kzoo.predict_bundle(folder, ""),
        lambda: kzoo.predict_bundle(folder, [known, ""]),
    ):
        with pytest.raises(kzoo.KzooError, match="is an empty path; expected that of a"):
            call()
    assert_one_sentence(run(folder, ""), "is an empty path")
    assert_one_sentence(run(folder, known, ""), "1 is an empty path")
    assert len(model.predict(known)) == len(kzoo.predict_bundle(folder, known)) == 1


# -- sounds ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def words(tmp_path_factory):
    pytest.importorskip("soundfile")
    folder = tmp_path_factory.mktemp("bundle") / "words"
    export_bundle(kzoo.load("kwt1_speech_commands"), folder, "float32")
    return folder


def tone(path, rate=16000, channels=1, seconds=1.0):
    samples = 0.3 * np.sin(np.arange(int(seconds * rate)) * 2 * np.pi * 440 / rate)
    with wave.open(str(path), "wb") as file:
        file.setparams((channels, 2, rate, 0, "NONE", ""))
        file.writeframes(np.repeat(samples * 2**15, channels).astype("<i2").tobytes())
    return path


def test_sounds_get_labels_and_drawings_and_it_is_said_what_is_cut(run, words, tmp_path):
    plain = tone(tmp_path / "plain.wav")
    wide = tone(tmp_path / "wide.wav", channels=8)
    slow = tone(tmp_path / "slow.wav", rate=8000)
    long = tone(tmp_path / "long.wav", seconds=2.5)
    code, out, err = run(words, plain, wide, slow, long, "--json", "--draw", tmp_path / "drawn")
    assert (code, err) == (0, "")
    answers = json.loads(out)
    for other in (1, 3):
        assert answers[other]["scores"] == pytest.approx(answers[0]["scores"], abs=1e-6)
    assert [answer["truncated"] for answer in answers] == [False, False, False, True]
    assert all((tmp_path / "drawn" / f"{name}.png").is_file() for name in ("wide", "long"))
    out = " ".join(run(words, long)[1].split())  # A long path breaks the line.
    assert "only the first 1 second read" in out


def test_of_a_long_sound_is_drawn_what_was_heard(words, tmp_path):
    """And the axis says that there is more."""
    sense, processor = SENSES["sound"], kzoo.AudioProcessor.load(words)
    for seconds, shown, label in (
        (2.5, 1, "seconds (heard: the first 1 of 2.5)"),
        (1.00375, 1.00375, "seconds"),  # What is less than a frame is nothing.
        (0.5, 0.5, "seconds"),
    ):
        path = tone(tmp_path / "tone.wav", seconds=seconds)
        loudness, _, spectrum = sense.drawn(path, processor, {"a": 1.0}).axes
        assert loudness.get_xlim() == spectrum.get_xlim() == pytest.approx((0, shown), abs=1e-3)
        assert spectrum.images[0].get_extent()[1] == pytest.approx(shown, abs=1e-3)
        assert max(loudness.lines[0].get_xdata()) == pytest.approx(shown, abs=1e-3)
        assert spectrum.get_xlabel() == label


def test_what_is_no_sound_is_one_sentence(run, words, tmp_path):
    import soundfile

    (tmp_path / "text.wav").write_text("no sound")
    tone(tmp_path / "none.wav", seconds=0)
    holes = np.full(99, np.nan, "float32")
    soundfile.write(tmp_path / "nan.wav", holes, 16000, subtype="FLOAT")
    for name, words_of_it in [
        ("text.wav", "can't be read as sound"),
        ("none.wav", "no samples"),
        ("nan.wav", "holds nan"),
    ]:
        code, out, err = run(words, tmp_path / name)
        assert (code, out) == (2, "") and words_of_it in err and name in err
        assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("times", "budget"),
    [((0.02, 0.05, 0.3), 0.5), ((0.92, 0.95, 0.97), None), ((0.4, 0.41, 0.42), 0.5)],
    ids=["far apart", "near the model", "side by side"],
)
def test_the_points_of_a_search_have_names_and_axes_that_can_be_read(times, budget):
    """Ticks are few and round; no name lies over another, or outside."""
    scores = (0.86, 0.861, 0.9)
    points = [
        {"name": f"b{i}-i50-t3000", "megabytes": 3 + 0.01 * i, "ms_ratio": time, "score": score}
        for i, (time, score) in enumerate(zip(times, scores, strict=True))
    ]
    report = {
        "measure": "accuracy",
        "model": {"megabytes": 22.0, "ms_ratio": 1.0, "score": 0.902},
        "points": points,
        "references": [{"name": "BERT-mini", "megabytes": 11.3, "score": 0.86}],
        "budget": {"max_mb": 5, "max_ms_ratio": budget},
    }
    figure = kzoo.plot.pareto(report)
    figure.draw_without_rendering()
    for axis, named in zip(figure.axes, (5, 4), strict=True):
        low, high = axis.get_xlim()
        ticks = [float(label.get_text()) for label in axis.get_xticklabels()]
        assert 3 <= len(ticks) <= 8 and all(low <= tick <= high for tick in ticks)
        boxes = [label.get_window_extent() for label in axis.get_xticklabels()]
        assert all(one.x1 < other.x0 for one, other in zip(boxes, boxes[1:], strict=False))
        boxes = [text.get_window_extent() for text in axis.texts]
        assert len(boxes) == named
        for place, box in enumerate(boxes):
            assert not any(box.overlaps(other) for other in boxes[:place])
            assert axis.get_window_extent().contains(*box.min)
            assert axis.get_window_extent().contains(*box.max)
