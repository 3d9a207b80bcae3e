"""Searches over the settings of a training: what is tried, what comes out, and how they go on."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from test_prune import classifier

import kzoo
from kzoo.training import recipe as trainings
from kzoo.training import tune
from kzoo.training.tune import CURVES, RECORD, TRIAL

ROWS = [("fine and funny", "b"), ("dull and slow", "a"), ("a great day", "b"), ("a waste", "a")] * 5
TRAINING = {
    "model": "whole", "train": "train.tsv", "validation": 0.3, "output": "best", "epochs": 2,
    "batch_size": 7,
}  # fmt: skip
RATES = {"learning_rate": {"min": 1e-4, "max": 1e-2, "log": True}}


@pytest.fixture
def made(tmp_path):
    """A folder with a preset, a table to learn from and a training recipe."""
    classifier(schedule=(0,)).save_preset(tmp_path / "whole")
    lines = ["sentence\tlabel", *(f"{text}\t{label}" for text, label in ROWS)]
    (tmp_path / "train.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (tmp_path / "train.json").write_text(json.dumps(TRAINING))
    return tmp_path


def searching(made, **keys):
    """The path of a recipe of a search."""
    path = made / "tune.json"
    path.write_text(json.dumps({"recipe": "train.json", "space": RATES, **keys}))
    return path


def test_a_search_that_was_stopped_goes_on_and_ends_with_the_preset_that_learnt_best(
    made, monkeypatch
):
    (made / "train.json").write_text(json.dumps({**TRAINING, "keep": "best"}))
    space = {**RATES, "head": ["mean", "first"]}
    recipe = searching(made, space=space, algorithm="random", trials=4, objective="val_loss")
    learn, learnt = trainings.train, []

    def until_stopped(asked, verbose, fresh):
        if len(learnt) == 2:
            raise KeyboardInterrupt
        learnt.append(asked["learning_rate"])
        return learn(asked, verbose=verbose, fresh=fresh)

    monkeypatch.setattr(trainings, "train", until_stopped)
    with pytest.raises(KeyboardInterrupt):
        tune(recipe)
    assert len(list((made / "best.trials").glob("*/preset"))) == 1  # the better one's

    with pytest.raises(kzoo.KzooError, match="trials of another search: begin anew with --fresh"):
        tune(searching(made, algorithm="random"))
    monkeypatch.setattr(trainings, "train", learn)
    said = []
    report = tune(searching(made, **json.loads(recipe.read_text()) | {
        "space": space, "algorithm": "random", "trials": 4, "objective": "val_loss"
    }), say=said.append)  # fmt: skip
    rates = [trial["values"]["learning_rate"] for trial in report["trials"]]
    assert rates[:2] == learnt and len(set(rates)) == 4
    assert [line.split(",")[0] for line in said] == ["Trial 3", "Trial 4"]
    assert all(1e-4 <= rate <= 1e-2 for rate in rates)
    best = min(report["trials"], key=lambda trial: trial["value"])
    assert report["best"] == best["name"] and not (made / "best.trials").exists()
    task = kzoo.load(made / "best")
    assert task.head_slot == best["values"]["head"]
    written = json.loads((made / "best" / "training.json").read_text())
    assert written["recipe"]["learning_rate"] == best["values"]["learning_rate"]
    # A value is that of the epoch that the preset holds, the first with the best accuracy.
    kept = int(np.argmax(written["history"]["val_accuracy"]))
    assert written["history"]["val_loss"][kept] == best["value"]
    assert json.loads((made / "best" / RECORD).read_text())["trials"] == report["trials"]

    said.clear()
    with pytest.raises(InterruptedError):  # The same search tries the same values.
        tune(recipe, say=lambda line: said.append(line) or stopped())
    assert f"learning_rate {rates[0]:.3g}" in said[0]


def stopped():
    raise InterruptedError


def test_a_hyperband_gives_all_epochs_to_few(made):
    report = tune(searching(made))
    epochs = [trial["epochs"] for trial in report["trials"]]
    assert max(epochs) == 2 and len(epochs) > 1
    assert report["objective"] == "val_accuracy"


def test_a_trial_that_fails_is_told_and_three_in_a_row_end_it(made, monkeypatch):
    learn, fails = trainings.train, [True, False]

    def some(asked, verbose, fresh):
        if fails.pop(0):
            raise kzoo.KzooError("The loss is no longer a number.")
        return learn(asked, verbose=verbose, fresh=fresh)

    monkeypatch.setattr(trainings, "train", some)
    report = tune(searching(made, algorithm="random", trials=2))
    assert [trial["failed"] for trial in report["trials"]] == [
        "The loss is no longer a number.", None
    ]  # fmt: skip
    fails[:] = [True] * 3
    with pytest.raises(
        kzoo.KzooError, match="3 trials in a row failed, the last so: .* no longer a number"
    ):
        tune(searching(made, algorithm="grid", space={"seed": [1, 2, 3, 4]}))
    assert (made / "best.trials" / "0000" / TRIAL).is_file()


@pytest.mark.parametrize("keys, match", [
    ({"algorithm": "swarm"}, "Got the algorithm 'swarm'; expected one of hyperband, bayesian"),
    ({"trials": 3}, "Got trials for hyperband"),
    ({"trials": 0, "algorithm": "random"}, "Got trials=0"),
    ({"space": {}}, "Got no space"),
    ({"space": {"rate": [1]}}, "Got 'rate' in the space; expected keys of a training recipe"),
    ({"space": {"epochs": [1, 2]}}, "Got epochs in the space of a hyperband"),
    ({"space": {"learning_rate": [1e-3, "a"]}}, "expected values that are all texts"),
    ({"space": {"learning_rate": {"min": 1, "max": 1}}}, "a larger max"),
    ({"space": {"learning_rate": {"min": 0.0, "max": 1, "log": True}}}, "above 0"),
    ({"space": {"batch_size": [8, 0]}}, "batch_size in the recipe is 0"),
    ({"space": {"teacher.share": [0.5]}}, "has no object teacher: put it there"),
    ({"objective": "accuracy"}, "expected a metric on validation"),
    ({"objective": "val_f1", "algorithm": "random"}, "expected one of val_loss, val_accuracy"),
    ({"recipe": 3}, "expected the path of a training recipe"),
], ids=lambda value: None if isinstance(value, dict) else value[:20])  # fmt: skip
def test_a_search_that_is_wrong_is_one_sentence(made, keys, match):
    with pytest.raises(kzoo.KzooError, match=match) as error:
        tune(searching(made, **keys))
    assert "\n" not in str(error.value)
    assert not (made / "best.trials").exists()


def test_models_and_lists_are_searched_and_models_lie_beside_the_recipe(made):
    classifier(schedule=(0, 1)).save_preset(made / "deep")
    (made / "train.json").write_text(
        json.dumps({**TRAINING, "epochs": 1, "adapt": {"kind": "lora"}})
    )
    targets = [["query"], ["query", "up"]]
    space = {"model": ["whole", "deep"], "adapt.targets": targets}
    report = tune(searching(made, space=space, algorithm="grid"))  # Tests run in another folder.
    tried = [trial["values"] for trial in report["trials"]]
    assert {(v["model"], tuple(v["adapt.targets"])) for v in tried} == {
        (model, tuple(each)) for model in ("whole", "deep") for each in targets
    }
    assert (made / "best" / CURVES).is_file()
    with pytest.raises(kzoo.KzooError, match="Got the map 'q'|expected a list of names"):
        tune(searching(made, space={"adapt.targets": ["q"]}, algorithm="grid"), fresh=True)


def test_a_search_needs_what_trials_are_chosen_by(made):
    (made / "train.json").write_text(json.dumps({**TRAINING, "validation": None}))
    with pytest.raises(kzoo.KzooError, match="without validation, by which trials are chosen"):
        tune(searching(made))


def ongoing(path):
    """How many trials keras-tuner's file has begun, which it writes in its place."""
    try:
        return len(json.loads(path.read_text())["ongoing_trials"])
    except (FileNotFoundError, json.JSONDecodeError):
        return 0


def children(pid):
    tasks = Path(f"/proc/{pid}/task/{pid}/children")
    return sorted(int(child) for child in tasks.read_text().split()) if tasks.exists() else []


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="only Linux lists children")
def test_processes_search_together_and_what_one_that_died_had_begun_is_done_later(made):
    space = {**RATES, "batch_size": [4, 7]}
    searching(made, space=space, algorithm="random", trials=3)
    command = [sys.executable, "-m", "kzoo", "tune", "tune.json"]
    pipes = {"cwd": made, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen([*command, "--workers", "2"], **pipes) as run:
        until = time.monotonic() + 240
        begun = made / "best.trials" / "oracle" / "oracle.json"
        while time.monotonic() < until and ongoing(begun) != 2:
            time.sleep(0.05)
        processes = children(run.pid)
        assert len(processes) == 3
        os.kill(processes[2], signal.SIGKILL)
        _, err = run.communicate(timeout=60)
    assert run.returncode == 1
    assert "Worker 2 of 3 was killed by SIGKILL, so the others were ended" in err.splitlines()[-1]
    assert not any(Path(f"/proc/{process}").exists() for process in processes)
    done = subprocess.run([*command, "--json"], **pipes)
    assert done.returncode == 0, done.stderr
    *events, result = map(json.loads, done.stdout.splitlines())
    assert {event["event"] for event in events} == {"trial"} and result["event"] == "result"
    trials = {trial["name"]: trial for trial in result["trials"]}
    assert len(trials) == 3 and all(trial["value"] is not None for trial in trials.values())
    assert all(trials[e["name"]] == {k: v for k, v in e.items() if k != "event"} for e in events)
    assert {"0", "1"} & {event["name"] for event in events}  # What had been begun.
    assert (made / "best" / RECORD).is_file() and not (made / "best.trials").exists()


@pytest.mark.parametrize("variables, match", [
    ({"KERASTUNER_TUNER_ID": "chief"}, "KERASTUNER_ORACLE_IP and KERASTUNER_ORACLE_PORT is not"),
    ({"KERASTUNER_TUNER_ID": "a", "KERASTUNER_ORACLE_IP": "h", "KERASTUNER_ORACLE_PORT": "x"},
     "KERASTUNER_ORACLE_PORT is 'x'; expected the number of a free port"),
], ids=["missing", "port"])  # fmt: skip
def test_variables_that_name_no_chief_are_one_sentence(made, variables, match, monkeypatch):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(kzoo.KzooError, match=match):
        tune(searching(made, algorithm="random"))
    assert not (made / "best.trials").exists()
