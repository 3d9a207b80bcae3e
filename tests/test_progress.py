"""Watching a training: the line that moves, a line an epoch, objects for machines, TensorBoard."""

import json
import re
import time

import keras
import pytest
from test_prune import classifier

import kzoo
from kzoo.training.progress import Progress

TEXTS = ["fine and funny", "dull and slow", "a great day", "a waste", "bad"] * 4
LABELS = ["b", "a", "b", "a", "a"] * 4


class Slow(keras.callbacks.Callback):
    """As long a batch as a test needs it."""

    def on_train_batch_end(self, batch, logs=None):
        time.sleep(0.06)


def fitted(verbose, on_event=None, epochs=2, batch_size=4):
    task = classifier(schedule=(0,))
    task.compile()
    options = {"epochs": epochs, "batch_size": batch_size, "verbose": verbose}
    task.fit(
        TEXTS, LABELS, callbacks=[Slow(), Progress(on_event)], validation_data=(TEXTS, LABELS),
        **options,
    )  # fmt: skip


def test_where_nobody_watches_there_is_a_line_an_epoch(capsys):
    fitted(2)
    out = capsys.readouterr().out
    assert "\r" not in out and out.count("\n") == 2
    for epoch, line in enumerate(out.splitlines(), 1):
        assert line.startswith(f"epoch {epoch}/2, step 5/5, 0:0")
        assert re.search(r" examples/s, [\d,.]+ tokens/s, loss .*, accuracy .*, val_loss ", line)


@pytest.mark.parametrize("columns", [200, 50])
def test_on_a_terminal_one_line_moves_and_stays_at_the_end_of_an_epoch(
    columns, capsys, monkeypatch
):
    monkeypatch.setenv("COLUMNS", str(columns))
    fitted(1)
    out = capsys.readouterr().out
    assert out.count("\n") == 2
    for lines in out.rstrip("\n").split("\n"):
        first, *others, looked, last = lines.split("\r")[1:]
        assert first.startswith("epoch ") and ", step 1/5, " in first
        assert any(re.search(r"step [2-5]/5, 0:0\d left, [\d,.]+ ex", line) for line in others)
        assert "step 5/5, validating, " in looked
        assert "left" not in last and "val_loss" in last  # Where it stays it may be long.
        assert all(len(line) < columns for line in (first, *others, looked))
        assert len(last) >= len(looked)  # Nothing of what was there before is left.


def test_programs_are_told_of_each_epoch_and_rates_are_those_of_the_clock():
    events = []
    fitted(0, events.append)
    assert [(each["epoch"], each["epochs"], each["step"]) for each in events] == [
        (1, 2, 5),
        (2, 2, 10),
    ]
    tokens = events[0]["tokens_per_s"] / events[0]["examples_per_s"]
    longest = max(len(row) for row in classifier(schedule=(0,)).encode_examples(TEXTS)["token_ids"])
    assert 2 < tokens < longest
    for each in events:
        assert set(each["metrics"]) == {"accuracy", "val_accuracy", "val_loss"}
        assert 4 / 0.3 < each["examples_per_s"] < 4 / 0.06  # 0.06 s a batch at least.
        assert each["seconds"] > 5 * 0.06


def test_an_epoch_of_one_batch_has_a_rate_too():
    events = []
    fitted(0, events.append, epochs=1, batch_size=32)
    assert 0 < events[0]["examples_per_s"] < 20 / 0.06


def recipe(tmp_path, **keys):
    classifier(schedule=(0,)).save_preset(tmp_path / "whole")
    lines = ["sentence\tlabel", *(f"{x}\t{y}" for x, y in zip(TEXTS, LABELS, strict=True))]
    (tmp_path / "train.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    given = {"model": "whole", "train": "train.tsv", "output": "out", "epochs": 2, **keys}
    (tmp_path / "recipe.json").write_text(json.dumps(given))
    return tmp_path / "recipe.json"


@pytest.mark.parametrize("asked", [3, ""])
def test_a_folder_for_tensorboard_that_is_none_is_refused(asked, tmp_path):
    with pytest.raises(
        kzoo.KzooError, match="tensorboard in the recipe is .* a folder is expected"
    ):
        kzoo.train(recipe(tmp_path, tensorboard=asked), verbose=0)


def test_tensorboard_shows_each_epoch_also_of_a_training_that_went_on(tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.util.tensor_util import make_ndarray

    path = recipe(tmp_path, tensorboard="board", validation=0.2)

    def end(epoch):
        raise InterruptedError

    with pytest.raises(InterruptedError):
        kzoo.train(path, verbose=0, on_event=end, every=0)
    _, history = kzoo.train(path, verbose=0)
    for name, key in (("train", "epoch_loss"), ("validation", "epoch_loss")):
        events = EventAccumulator(str(tmp_path / "board" / name)).Reload()
        values = {e.step: float(make_ndarray(e.tensor_proto)) for e in events.Tensors(key)}
        expected = history.history["loss" if name == "train" else "val_loss"]
        assert values == pytest.approx(dict(enumerate(expected)))
