"""A training that ends before its time goes on from there, and ends as one that didn't."""

import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import keras
import numpy as np
import pytest
import resumed
from resumed import Interrupt

import kzoo
import kzoo.compression
from kzoo.errors import KzooError
from kzoo.training import Checkpoints
from kzoo.training.resume import FILE

KILLS = Path(__file__).parent.parent / "benchmarks" / "resume" / "run.py"
LAST = 20  # lines of an error that help


def place(folder):
    """The epoch and the batch of the checkpoint in a folder."""
    with np.load(folder / FILE) as file:
        return json.loads(file["state"].tobytes())["place"]


def run(*command, **environment):
    """A process that ran to its end."""
    done = subprocess.run(
        [sys.executable, *map(str, command)],
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
    )
    assert done.returncode == 0, "\n".join(done.stderr.splitlines()[-LAST:])
    return done.stdout


def test_a_training_goes_on_from_any_place(tmp_path):
    """Dropout, half an accumulation, averages, masks, metrics, early stopping: to the last bit."""
    resumed.check(*resumed.interrupted_and_not(tmp_path / "kept"))
    assert [path.name for path in (tmp_path / "kept").iterdir()] == [FILE]
    model = resumed.task()
    assert resumed.fit(model, tmp_path / "kept").epoch == [0, 1, 2]  # It is done, and says so.


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="is there already")
def test_a_training_goes_on_on_jax(tmp_path):
    """Keras keeps a model's state apart there until an epoch ends."""
    run(resumed.__file__, tmp_path / "kept", KERAS_BACKEND="jax")


def test_a_training_that_is_killed_again_and_again(tmp_path):
    """SIGKILL in a step, in the writing of a checkpoint, in a validation."""
    result = json.loads(run(KILLS, "--kills", 3, "--seed", 1).splitlines()[-1])
    assert result["trainings_that_ended_otherwise"] == 0 < result["trainings"]
    assert result["kills"] == 3 == sum(result["killed_in"].values())


@pytest.mark.parametrize(
    ("number", "times", "raised", "kept"),
    [
        (signal.SIGTERM, 1, SystemExit, [0, 3]),
        (signal.SIGINT, 1, KeyboardInterrupt, [0, 3]),
        (signal.SIGINT, 2, KeyboardInterrupt, [0, 0]),
    ],
)
def test_a_signal_lets_the_batch_end_and_keeps_it(tmp_path, capsys, number, times, raised, kept):
    """Without a traceback, and with 0 after SIGTERM; the second one ends it where it is."""

    def send():
        for _ in range(times):
            signal.raise_signal(number)  # To this thread: two of a process may become one.

    # A suite that runs in the background is handed a SIGINT that is ignored.
    ends = signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL
    before = signal.signal(number, ends)
    try:
        with pytest.raises(raised) as error:
            resumed.fit(
                resumed.task(eager=True), tmp_path, [Interrupt((0, 3), send)], every=60, verbose=2
            )
        assert place(tmp_path) == kept and signal.getsignal(number) is ends
    finally:
        signal.signal(number, before)
    assert getattr(error.value, "code", 0) == 0
    shown = capsys.readouterr().out
    assert ("up to batch 3 of epoch 1 is kept in" in shown) == (times == 1)


def test_a_signal_in_a_validation_keeps_the_epoch(tmp_path):
    send = Interrupt((1, None), lambda: os.kill(os.getpid(), signal.SIGTERM))
    with pytest.raises(SystemExit):
        resumed.fit(resumed.task(eager=True), tmp_path, [send], every=60)
    assert place(tmp_path) == [1, resumed.BATCHES]


def test_numbers_that_are_none_end_a_training(tmp_path):
    """The last checkpoint is from before them, and whole."""
    model = resumed.task(eager=True, use_ema=False)

    def spoil():
        kernel = model.head.trainable_variables[0]
        kernel.assign(kernel * float("nan"))

    message = r"no longer a number: nan at batch 4 of epoch 1 \(step 4\); .* learning rate"
    with pytest.raises(KzooError, match=message):
        resumed.fit(model, None, [Interrupt((0, 3), spoil)])
    model = resumed.task(eager=True, use_ema=False)
    with pytest.raises(KzooError, match="Weights are no longer numbers after batch 3 of epoch 1"):
        resumed.fit(model, tmp_path, [Interrupt((0, 3), spoil)])
    assert place(tmp_path) == [0, 2]


def test_a_full_disk_leaves_the_last_checkpoint(tmp_path):
    """The training goes on; files that may grow no larger stand for the disk."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)

    def fill():
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, limits[1]))

    try:
        with pytest.warns(UserWarning, match="can't be written .* goes on") as warned:
            resumed.fit(resumed.task(eager=True), tmp_path, [Interrupt((0, 3), fill)], epochs=1)
        assert len([each for each in warned if "can't be written" in str(each.message)]) == 1
        with pytest.raises(KzooError, match="can't be written .*; expected room"):
            resumed.fit(resumed.task(eager=True), tmp_path / "new", epochs=1)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert place(tmp_path) == [0, 2]
    assert not list(tmp_path.glob(".*"))


@pytest.fixture(scope="module")
def begun(tmp_path_factory):
    """A folder with the checkpoint of a training that was interrupted."""
    folder = tmp_path_factory.mktemp("begun")
    with pytest.raises(KeyboardInterrupt):
        resumed.fit(resumed.task(eager=True), folder, [Interrupt((0, 3))])
    return folder


@pytest.mark.parametrize(
    ("learning", "options", "message"),
    [
        ({}, {"epochs": 5}, "a training with another epochs: put that back, or delete"),
        ({}, {"batch_size": 3}, "a training with another batch_size"),
        ({}, {"seed": 1}, "a training with another seed"),
        ({"rate": 0.02}, {}, "a training with another optimizer"),
        ({}, {"steps_per_epoch": 2}, "Got steps_per_epoch beside resume"),
        ({}, {"every": -1}, "Got every=-1; expected seconds"),
        ({}, {"folder": ""}, "resume is an empty path"),
        ({}, {"folder": True}, "Got resume=True; expected the folder"),
        ({}, {"folder": __file__}, "is a file|can't be written|lies in a file"),
    ],
)
def test_what_does_not_go_on_is_refused(begun, learning, options, message):
    before = (begun / FILE).read_bytes()
    with pytest.raises(KzooError, match=message):
        resumed.fit(resumed.task(eager=True, **learning), **{"folder": begun, **options})
    assert (begun / FILE).read_bytes() == before


def test_another_network_and_another_teacher_are_told_by_what_they_are(begun):
    """Not by shapes alone, nor by a name."""
    plain = resumed.task(eager=True)
    options = {"optimizer": plain.optimizer, "loss": plain.loss}
    wetter = plain.under(plain.spec.replace(dropout=0.5))
    wetter.compile(**options)
    with pytest.raises(KzooError, match="another network"):
        resumed.fit(wetter, begun)
    smooth = resumed.task()
    settings = {**smooth.loss.get_config(), "ignore_class": 1}
    smooth.compile(smooth.optimizer, type(smooth.loss).from_config(settings))
    with pytest.raises(KzooError, match="another loss"):
        resumed.fit(smooth, begun)
    texts, labels = resumed.examples()
    others = [text.replace("good", "film") for text in texts]
    with pytest.raises(KzooError, match="another set of tokens"):
        resumed.fit(resumed.task(), begun, given=(others, labels))
    taught = {}
    for share in (0.5, 0.7):
        model = resumed.task(eager=True)
        teacher = kzoo.compression.Teacher(plain, share=share)
        model.compile(optimizer=model.optimizer, teacher=teacher, run_eagerly=True)
        taught[share] = model
    folder = begun / "taught"
    with pytest.raises(KeyboardInterrupt):
        resumed.fit(taught[0.5], folder, [Interrupt((0, 3))])
    with pytest.raises(KzooError, match="another teacher"):
        resumed.fit(taught[0.7], folder)


def test_a_checkpoint_that_is_spoilt_is_refused(begun, tmp_path):
    """A bit in the middle, half of it, something else: what is read is held against checksums."""
    content = (begun / FILE).read_bytes()
    middle = len(content) // 2
    turned = bytes([content[middle] ^ 1])
    for spoilt in (content[:middle] + turned + content[middle + 1 :], content[:middle], b"no"):
        (tmp_path / FILE).write_bytes(spoilt)
        with pytest.raises(KzooError, match="can't be read as a checkpoint .*: delete"):
            resumed.fit(resumed.task(eager=True), tmp_path)


def test_checkpoints_take_a_hundredth_of_the_time():
    """A training whose checkpoints take a second has one in a hundred."""
    checkpoints = Checkpoints("somewhere", every=60)
    now = time.monotonic()
    for cost, waited, is_due in ((0.1, 61, True), (0.1, 59, False), (1, 61, False), (1, 101, True)):
        checkpoints._cost, checkpoints._written = cost, now - waited
        assert checkpoints._is_due() == is_due
    checkpoints._cost, checkpoints._written = 0.1, now - 11
    assert checkpoints._is_due(at_end=True)


# -- recipes --------------------------------------------------------------------------------------


@pytest.fixture
def recipe(tmp_path):
    """The path of a recipe with some changes; its model and its examples lie beside it."""
    resumed.task().save_preset(tmp_path / "start")
    rows = [f"{text}\t{label}" for text, label in zip(*resumed.examples(), strict=True)]
    (tmp_path / "train.tsv").write_text("\n".join(["sentence\tlabel", *rows]) + "\n")
    fields = {"model": "start", "train": "train.tsv", "validation": "train.tsv", "output": "out"}
    fields |= {"epochs": 2, "batch_size": 4, "keep": "best", "accumulation": 2, "labels": None}

    def write(**changes):
        path = tmp_path / "recipe.json"
        path.write_text(json.dumps({**fields, **changes}))
        return path

    return write


def test_a_recipe_goes_on_by_itself(recipe, tmp_path, capsys, monkeypatch):
    """And says so; a recipe that was changed begins anew only where that is said."""
    whole, history = kzoo.train(recipe(output="whole"), verbose=0)
    kept, after = tmp_path / "out.unfinished", Checkpoints.after_batch

    def stop(self, epoch, batch, *rest):
        after(self, epoch, batch, *rest)
        if (epoch, batch) == (1, 2):
            raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Checkpoints, "after_batch", stop)
        kzoo.train(recipe(), verbose=0, every=0)
    (tmp_path / ".out.0123abcd").mkdir()  # as a killed run leaves it
    assert place(kept) == [1, 2]
    with pytest.raises(KzooError, match="another learning_rate: put that back, or say --fresh"):
        kzoo.train(recipe(learning_rate=1e-3), verbose=0)
    again, rest = kzoo.train(recipe(summary="Another."), verbose=2)
    assert "goes on after batch 2 of epoch 2, where" in capsys.readouterr().out
    assert rest.epoch == [0, 1] and rest.history == history.history
    for one, other in zip(whole.weights, again.weights, strict=True):
        np.testing.assert_array_equal(np.asarray(one), np.asarray(other))
    assert not kept.exists() and not list(tmp_path.glob(".*"))
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Checkpoints, "after_batch", stop)
        kzoo.train(recipe(), verbose=0, every=0)
    kzoo.train(recipe(epochs=1), verbose=0, fresh=True)
    assert not kept.exists()


def preempted(command, kept, least):
    """What a command says that gets SIGTERM behind a place, with 0, and without half a preset."""
    process = subprocess.Popen([*map(str, command)], stdout=-1, stderr=-1, text=True)
    try:
        while not (kept / FILE).is_file() or place(kept) < least:
            assert process.poll() is None, process.communicate()
            time.sleep(0.05)
        process.send_signal(signal.SIGTERM)
        shown = "".join(process.communicate())
    finally:
        process.kill()
    assert process.returncode == 0 and "Traceback" not in shown
    assert f"is kept in {kept}, and the same training goes on from there." in shown
    assert not (kept.parent / "out").exists() and not list(kept.parent.glob(".*"))


def test_preemption_of_the_command_line(recipe, tmp_path):
    """SIGTERM ends it with 0 and one line."""
    command = [sys.executable, "-m", "kzoo", "train", recipe(epochs=2000, keep="last")]
    preempted([*command, "--every", "0"], tmp_path / "out.unfinished", [0, 2])


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="workers are TensorFlow's")
def test_workers_that_are_preempted_go_on_and_end_where_one_device_ends(recipe, tmp_path):
    """A signal ends both behind the same batch; the chief alone writes, and both read it."""
    start, kept = resumed.task(), tmp_path / "out.unfinished"
    spec = start.spec.replace(dropout=0.0, attention_dropout=0.0)  # Each replica draws its own.
    start.under(spec).save_preset(tmp_path / "start")
    learning = {"epochs": 4, "keep": "last", "validation": None}
    one, _ = kzoo.train(recipe(output="one", **learning), verbose=0)
    command = [sys.executable, "-m", "kzoo", "train", str(recipe(**learning))]
    command += ["--workers", "2", "--every", "0"]
    preempted(command, kept, [0, 2])
    again = subprocess.run(command, capture_output=True, text=True)
    assert again.returncode == 0 and "This training goes on after" in again.stdout + again.stderr
    two = kzoo.load(tmp_path / "out")
    for mine, other in zip(one.weights, two.weights, strict=True):
        np.testing.assert_allclose(np.asarray(mine), np.asarray(other), atol=1e-5)
    assert not kept.exists() and not list(tmp_path.glob(".*"))
