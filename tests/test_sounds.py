"""Sounds as users have them become what a network on spectrograms reads; bad ones one sentence."""

import io
import json

import numpy as np
import pytest

import kzoo
from kzoo import processors
from kzoo.audio.audio_processor import FILE
from kzoo.audio.sounds import read_sound
from kzoo.audio.spectrogram import Spectrogram

soundfile = pytest.importorskip("soundfile")
pytest.importorskip("soxr")

RATE = 16000
MFCC = {"feature_extractor_type": "MfccFeatureExtractor"}
LOG_MEL = {"feature_extractor_type": "ASTFeatureExtractor"}


def sweep(seconds=1.0, rate=RATE, seed=0):
    """A tone that rises, and noise in all bands."""
    time = np.arange(int(seconds * rate)) / rate
    noise = np.random.default_rng(seed).standard_normal(len(time))
    tone = np.sin(2 * np.pi * (200 * time + 900 * time**2))
    return (0.3 * tone + 0.02 * noise).astype("float32")


def wav(samples, rate=RATE, **options):
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format="WAV", **options)
    return file.getvalue()


# -- reading ------------------------------------------------------------------------------------


def ways(folder):
    """The same sound in every form that is taken."""
    x = sweep()
    path = folder / "a sound.wav"
    path.write_bytes(wav(x, subtype="FLOAT"))
    return x, {
        "path": path,
        "text": str(path),
        "url": path.as_uri(),
        "bytes": path.read_bytes(),
        "array": x,
        "list": x.tolist(),
        "pair": (x, RATE),
        "int16": ((x * 32768).astype("int16"), RATE),
        "uint8": ((x * 128 + 128).astype("uint8"), RATE),
        "8 channels": (np.stack([x] * 8, 1), RATE),
        "channels first": (np.stack([x, x]), RATE),
        "datasets": {"array": x, "sampling_rate": RATE},
        "pipelines": {"raw": x, "sampling_rate": RATE},
        "dict of a path": {"path": path},
    }


@pytest.mark.parametrize("way", range(14))
def test_one_sound_in_every_form(way, tmp_path):
    expected, forms = ways(tmp_path)
    name, source = list(forms.items())[way]
    tolerance = {"int16": 1e-4, "uint8": 0.01}.get(name, 1e-6)
    actual = read_sound(source, RATE)
    assert actual.dtype == "float32" and actual.shape == expected.shape, name
    np.testing.assert_allclose(actual, expected, atol=tolerance, err_msg=name)


@pytest.mark.parametrize("rate", [8000, 44100, 48000])
def test_another_rate_is_resampled_without_aliases(rate):
    """A tone stays, and one that the new rate has no room for goes."""
    time = np.arange(rate) / rate
    low, high = (np.sin(2 * np.pi * f * time).astype("float32") for f in (440, 0.45 * rate))
    actual = read_sound((low, rate), RATE)
    expected = np.sin(2 * np.pi * 440 * np.arange(RATE) / RATE)
    assert len(actual) == RATE
    assert np.abs(actual - expected)[500:-500].max() < 2e-3
    if rate > 2 * RATE:
        assert np.abs(read_sound((high, rate), RATE))[500:-500].max() < 1e-3


@pytest.mark.parametrize(
    ("source", "words"),
    [
        (np.zeros(0, "float32"), "no samples"),
        (wav(np.zeros(0)), "no samples"),
        (np.array([0, np.nan, 1], "float32"), "nan at sample 1"),
        ((np.array([0, np.inf], "float32"), RATE), "inf at sample 1"),
        (sweep() * 32767, "up to .* divide int16 by 32768"),
        (np.zeros((99, 65), "float32"), r"\(99, 65\); expected .* at most 64"),
        (b"", "empty"),
        (b"hello, this is text", "can't be read as sound"),
        (wav(sweep())[:30], "can't be read as sound"),
        ("missing.wav", "'missing.wav' is missing"),
        ("https://example.org/a.wav", "fetch it first"),
        ("", "is an empty path"),
        ((sweep(), 0), "0 samples a second"),
        ((sweep(), True), "expected"),
        (np.zeros((2, 3, 4), "float32"), "float32"),
        (np.zeros((100, 100), "float32"), "at most 64"),
        ([1, 2, 3], "int64"),
        (["a"], "expected a path"),
        ({"sound": 1}, "array and sampling_rate"),
        (None, "expected a path"),
    ],
)  # fmt: skip
def test_what_is_no_sound_is_one_sentence(source, words):
    with pytest.raises(kzoo.KzooError, match=words) as caught:
        read_sound(source, RATE)
    assert "\n" not in str(caught.value)


def test_a_text_file_called_wav_is_named(tmp_path):
    path = tmp_path / "speech.wav"
    path.write_text("Shall I compare thee to a summer's day?")
    with pytest.raises(kzoo.KzooError, match=r"speech\.wav.*expected a whole file") as caught:
        read_sound(path, RATE)
    assert "\n" not in str(caught.value)
    with pytest.raises(kzoo.KzooError, match="a folder"):
        read_sound(tmp_path, RATE)


@pytest.mark.parametrize("kind", ["WAV", "AIFF", "AU", "W64", "MP3", "FLAC"])
def test_a_file_that_ends_too_early_is_named(kind, tmp_path):
    path = tmp_path / f"speech.{kind.lower()}"
    soundfile.write(path, sweep(), RATE, format=kind)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(kzoo.KzooError, match=r"speech.*expected a whole file"):
        read_sound(path, RATE)


@pytest.mark.parametrize("subtype", ["VORBIS", "OPUS"])
def test_ogg_says_by_its_last_page_that_it_is_whole(subtype):
    file = io.BytesIO()
    soundfile.write(file, sweep(3), RATE, format="OGG", subtype=subtype)
    content = file.getvalue()
    assert abs(len(read_sound(content, RATE)) - 3 * RATE) < 2
    for size in (len(content) - 1, content.rindex(b"OggS"), content.rindex(b"OggS") + 9):
        with pytest.raises(kzoo.KzooError, match="ends before its sound does.*no last page"):
            read_sound(content[:size], RATE)


def test_a_wav_written_to_a_pipe_knows_no_length_and_is_read(tmp_path):
    file = io.BytesIO()
    soundfile.write(file, sweep(), RATE, format="WAV")
    content = bytearray(file.getvalue())
    at = content.index(b"data") + 4
    content[at : at + 4] = b"\xff\xff\xff\xff"
    np.testing.assert_allclose(read_sound(bytes(content), RATE), sweep(), atol=1e-4)


# -- spectrograms -------------------------------------------------------------------------------


@pytest.mark.parametrize("config", [MFCC, LOG_MEL], ids=["mfcc", "log-mel"])
def test_a_graph_computes_the_same_features(config):
    config = {**config, "max_length": 60} if config is LOG_MEL else config
    processor = kzoo.AudioProcessor(config)
    samples = sweep(processor.num_samples / RATE)[None]
    expected = processor(samples)
    assert expected.shape == (1, *processor.shape)
    np.testing.assert_allclose(np.asarray(processor.in_graph(samples)), expected, atol=1e-4)
    for count in (100, 481, 4000, len(samples[0]) + 9):  # Filled up, or cut.
        sound = sweep(2)[:count]
        actual = processor.in_graph(processor.fitted(sound)[None])
        np.testing.assert_allclose(np.asarray(actual), processor([sound]), atol=2e-4)


def test_mfcc_are_those_of_tensorflow():
    import tensorflow as tf

    samples = sweep()
    frames = tf.signal.stft(samples, 480, 160, 512)
    table = tf.signal.linear_to_mel_weight_matrix(80, 257, RATE, 20.0, 7600.0)
    energy = tf.math.log(tf.maximum(tf.matmul(tf.abs(frames), table), 1e-12))
    expected = tf.signal.mfccs_from_log_mel_spectrograms(energy)[:, :40]
    np.testing.assert_allclose(kzoo.AudioProcessor(MFCC)([samples])[0], expected.numpy(), atol=2e-4)


@pytest.mark.parity
@pytest.mark.parametrize("seconds", [0.3, 2.0, 11.0])
@pytest.mark.parametrize("changes", [{}, {"do_normalize": False}, {"num_mel_bins": 64}])
def test_log_mel_is_that_of_transformers(seconds, changes, tmp_path):
    transformers = pytest.importorskip("transformers")
    theirs = transformers.ASTFeatureExtractor(**changes)
    theirs.save_pretrained(tmp_path)
    processor = kzoo.AudioProcessor.load(tmp_path)
    samples = sweep(seconds)
    expected = np.asarray(theirs(samples, sampling_rate=RATE)["input_values"])
    np.testing.assert_allclose(processor([samples]), expected, atol=1e-5)
    processor.save(tmp_path / "back")
    again = transformers.ASTFeatureExtractor.from_pretrained(tmp_path / "back")
    assert again.to_dict() == theirs.to_dict()


def test_a_sound_shorter_than_a_frame_has_silence_behind_it():
    for config in (MFCC, LOG_MEL):
        processor = kzoo.AudioProcessor(config)
        assert np.isfinite(processor([sweep()[:10]])).all()
    short, padded = sweep()[:9000], np.pad(sweep()[:9000], (0, 7000))
    processor = kzoo.AudioProcessor(MFCC)
    np.testing.assert_array_equal(processor([short]), processor([padded]))
    np.testing.assert_array_equal(processor([sweep(3)]), processor([sweep(3)[:RATE]]))


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({}, "feature_extractor_type"),
        ({"feature_extractor_type": "WhisperFeatureExtractor"}, "Whisper"),
        ({**MFCC, "sampling_rate": "16000"}, "sampling_rate"),
        ({**MFCC, "num_samples": 100}, "480"),
        ({**MFCC, "hop_length": 500}, "every 500"),
        ({**MFCC, "max_frequency": 9000}, "9000"),
        ({**MFCC, "num_coefficients": 90}, "90 coefficients"),
        ({**MFCC, "mel_floor": float("nan")}, "mel_floor"),
        ({**MFCC, "mel_floor": 0.0}, "floor"),
        ({**LOG_MEL, "std": 0}, "std"),
        ({**LOG_MEL, "max_length": 0}, "max_length"),
        ({**LOG_MEL, "sampling_rate": 30}, "rate"),
    ],
)
def test_a_configuration_that_makes_no_sense_is_one_sentence(config, words):
    with pytest.raises(kzoo.KzooError, match=words) as caught:
        kzoo.AudioProcessor(config)
    assert "\n" not in str(caught.value)


def test_a_key_that_nobody_knows_is_said_aloud(tmp_path):
    with pytest.warns(UserWarning, match="tempo = 3"):
        processor = kzoo.AudioProcessor({**MFCC, "tempo": 3})
    processor.save(tmp_path)
    assert json.loads((tmp_path / FILE).read_text())["tempo"] == 3


def test_a_folder_holds_a_processor_of_pictures_or_of_sounds(tmp_path):
    for name, processor in (
        ("audio_processor", kzoo.AudioProcessor(MFCC)),
        ("image_processor", kzoo.ImageProcessor()),
    ):
        processors.save({name: processor}, tmp_path)
        assert list(processors.load(tmp_path)) == [name]


def test_samples_that_a_file_would_take_for_no_sound_are_refused():
    with pytest.raises(kzoo.KzooError, match="sample of 9830.*1 and -1 for the loudest"):
        kzoo.AudioProcessor(LOG_MEL).fitted(np.full(900, 9830.4, "float32"))


# -- windows ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("samples", "hop", "starts"),
    [
        (8000, None, [0]),
        (16000, None, [0]),
        (16001, None, [0, 1]),
        (32000, None, [0, 8000, 16000]),
        (40000, 1.0, [0, 16000, 24000]),
    ],
)
def test_windows_leave_nothing_out(samples, hop, starts):
    processor = kzoo.AudioProcessor(MFCC)
    sound = np.arange(samples, dtype="float32") / samples
    for size in (700, 16000, 10**6):  # as a microphone gives them, and all at once
        blocks = [sound[i : i + size] for i in range(0, samples, size)]
        begins, windows = zip(*processor.windows(blocks, hop), strict=True)
        assert list(begins) == starts
        for begin, window in zip(begins, windows, strict=True):
            np.testing.assert_array_equal(window, sound[begin : begin + RATE])
        assert set(np.concatenate(windows)) == set(sound)
    for bad in (0, 1.5, "1", float("nan")):
        with pytest.raises(kzoo.KzooError, match="hop"):
            list(processor.windows([sound], bad))
    with pytest.raises(kzoo.KzooError, match="no samples"):
        list(processor.windows([]))


def test_triangles_share_every_frequency():
    """Between the centres of the first and the last band, each counts once."""
    bank = Spectrogram(RATE, 480, 160, 512, 40, 20, 7600, 1, 1e-12).triangles
    inner = bank[10:200].sum(1)
    np.testing.assert_allclose(inner, 1, atol=1e-12)
