"""A bundle of sounds takes samples, proves itself on its own ones, and answers as Keras."""

import wave

import numpy as np
import pytest

import kzoo
from kzoo.bundle import export_bundle
from kzoo.bundle.manifest import read_manifest

pytest.importorskip("soundfile")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    task = kzoo.load("kwt1_speech_commands")
    folder = tmp_path_factory.mktemp("bundle") / "words"
    return task, folder, export_bundle(task, folder, "float32")


def test_it_answers_as_keras_whatever_a_sound_comes_in(made):
    task, folder, report = made
    path = folder / "golden_05.wav"
    with wave.open(str(path)) as file:
        samples = np.frombuffer(file.readframes(16000), "<i2")
    forms = [str(path), path.read_bytes(), (samples, 16000), samples / np.float32(2**15)]
    answers = kzoo.predict_bundle(folder, forms)
    expected = task.predict([path])[0]
    assert [answer["sound"] for answer in answers] == [str(path), None, None, None]
    for answer in answers:
        np.testing.assert_allclose(list(answer["scores"].values()), expected, atol=1e-4)
    assert report["latency"]["lengths"] == [1]  # a sound is no row of tokens
    assert report["parity"]["label_agreement"] == 1 and report["audit"]["partitions"] == 1


def test_it_is_verified_without_the_library_that_reads_sounds(made, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "soundfile", None)
    checks = {row["check"]: row["found"] for row in kzoo.verify_bundle(made[1])["checks"]}
    assert "12 read and run again" in checks["golden examples"]
    processor = made[0].audio_processor
    reading = read_manifest(made[1])["reading"]
    assert (reading["rate"], reading["samples"]) == (processor.rate, processor.num_samples)
    assert reading["fill"] == processor.fitted(np.ones(9, "float32"))[-1]


def test_sounds_of_an_evaluation_stay_at_home(made, tmp_path):
    with pytest.raises(kzoo.KzooError, match="share_texts for a model of sounds"):
        export_bundle(made[0], tmp_path / "none", recipe={"share_texts": True})
