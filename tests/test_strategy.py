"""Where a training runs: strategies that this machine has or has not, workers that agree or not."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import keras
import numpy as np
import on_devices
import pytest

from kzoo import KzooError
from kzoo.cli import main
from kzoo.data.batches import bucketed_batches
from kzoo.keras_hooks import DistributedFit
from kzoo.network import weights_by_path
from kzoo.training import strategy
from kzoo.training.strategy import is_chief, workers_named
from kzoo.training.workers import cluster

tf = pytest.importorskip("tensorflow")
HOSTS = ["a:1", "b:2"]


def config(index=0, kind="worker", **cluster):
    return json.dumps(
        {"cluster": cluster or {"worker": HOSTS}, "task": {"type": kind, "index": index}}
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "holds '{'; expected JSON such as"),
        ("{}", "has the cluster null"),
        (config(worker=["a", "b"]), 'expected a list of "host:port"'),
        (config(index=2), "has the index 2 for 2 of the type worker; expected .* from 0 to 1"),
        (config(index=-1), "has the index -1"),
        (config(index="x"), "has the index 'x'"),
        (config(worker=["a:1", "a:1"]), "names a:1 more than once"),
        (config(worker=["a:1"], chief=["a:1"]), "names a:1 more than once"),
        (config(kind="chief"), "has the task .* expected a type of worker"),
        (config(worker=HOSTS, ps=["c:1"]), "has a 'ps' in its cluster"),
        (config(worker=HOSTS, chief=HOSTS), "has the chief"),
        ('{"cluster": {"worker": ["a:1"]}, "task": 3}', "has the task 3"),
    ],
)
def test_workers_that_do_not_agree_are_refused(text, message, monkeypatch):
    monkeypatch.setenv("TF_CONFIG", text)
    with pytest.raises(KzooError, match=f"^TF_CONFIG .*{message}"):
        strategy("multi_worker")


def test_the_chief_comes_first():
    assert workers_named(config(1)) == (HOSTS, 1)
    assert workers_named(config("1")) == (HOSTS, 1)
    three = {"worker": HOSTS, "chief": ["c:3"]}
    assert workers_named(config(**three)) == (["c:3", *HOSTS], 1)
    assert workers_named(config(kind="chief", **three)) == (["c:3", *HOSTS], 0)


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("tpu", "sees no TPU"),
        ("mirrored", "sees no GPU"),
        ("multi_worker", "without TF_CONFIG; expected it to name the workers"),
        ("horovod", "expected one of auto, mirrored, multi_worker, tpu, none"),
        (["mirrored"], "expected one of"),
    ],
)
def test_what_this_machine_has_not_is_refused(kind, message, monkeypatch):
    if tf.config.list_physical_devices("GPU"):
        pytest.skip("this machine has a GPU")
    monkeypatch.delenv("TF_CONFIG", raising=False)
    with pytest.raises(KzooError, match=message):
        strategy(kind)


def test_workers_come_before_anything_is_computed(monkeypatch):
    """TensorFlow takes them at its start alone."""
    keras.ops.zeros(1)
    monkeypatch.setenv("TF_CONFIG", config())
    with pytest.raises(KzooError, match="after something was computed; expected it first"):
        strategy("multi_worker")


@pytest.mark.parametrize("kind", ["auto", "none"])
def test_one_device_needs_no_strategy(kind, monkeypatch):
    if len(tf.config.list_physical_devices("GPU")) > 1:
        pytest.skip("this machine has several GPUs")
    monkeypatch.delenv("TF_CONFIG", raising=False)
    placed = strategy(kind)
    with placed.scope():
        assert not tf.distribute.has_strategy()
    assert (placed.kind, placed.replicas, placed.workers) == ("none", 1, 1)
    assert is_chief()


# -- processes of this machine --------------------------------------------------------------------


def test_workers_have_ports_and_gpus_of_their_own(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1,5,7")
    each = cluster(2)
    assert [e["CUDA_VISIBLE_DEVICES"] for e in each] == ["0,5", "1,7"]
    assert [workers_named(e["TF_CONFIG"])[1] for e in each] == [0, 1]
    assert len({tuple(workers_named(e["TF_CONFIG"])[0]) for e in each}) == 1
    with pytest.raises(KzooError, match="5 workers on a machine with 4 GPUs"):
        cluster(5)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    assert [list(e) for e in cluster(5)] == [["TF_CONFIG"]] * 5


@pytest.mark.parametrize(
    ("environment", "fields", "message"),
    [
        ({"TF_CONFIG": "{}"}, {}, "Got --workers 2 and TF_CONFIG"),
        ({}, {"strategy": "mirrored"}, "a recipe with the strategy 'mirrored'"),
        ({}, None, "is missing"),
    ],
)
def test_workers_are_refused_before_they_start(
    environment, fields, message, tmp_path, monkeypatch, capfd
):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    if fields is not None:
        (tmp_path / "recipe.json").write_text(json.dumps(fields))
    with pytest.raises(SystemExit) as ended:
        main(["train", str(tmp_path / "recipe.json"), "--workers", "2"])
    err = capfd.readouterr().err
    assert ended.value.code == 2
    assert message in err and err.count("\n") == 1


def children(pid):
    tasks = Path(f"/proc/{pid}/task/{pid}/children")
    return [int(child) for child in tasks.read_text().split()] if tasks.exists() else []


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="only Linux lists children")
@pytest.mark.parametrize("sign", [signal.SIGKILL, signal.SIGINT])
def test_one_worker_ends_all(sign, tmp_path):
    """Worker 1 is killed; or the one who started them is interrupted."""
    (tmp_path / "recipe.json").write_text(json.dumps({"model": "x", "train": "y", "output": "z"}))
    command = [sys.executable, "-m", "kzoo", "train", "recipe.json", "--workers", "3"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    environment = {k: v for k, v in os.environ.items() if k != "TF_CONFIG"}
    with subprocess.Popen(command, cwd=tmp_path, env=environment, **pipes) as run:
        until = time.monotonic() + 60
        while len(children(run.pid)) < 3 and time.monotonic() < until:
            time.sleep(0.01)
        workers = sorted(children(run.pid))
        os.kill(run.pid if sign == signal.SIGINT else workers[1], sign)
        _, err = run.communicate(timeout=15)
    if sign == signal.SIGKILL:
        # The others may be within an import, of which Python tells first.
        assert err.splitlines()[-1].startswith("error: Worker 1 of 3 was killed by SIGKILL, so")
    assert run.returncode == (130 if sign == signal.SIGINT else 1)
    assert not any(Path(f"/proc/{worker}").exists() for worker in workers)
    assert [path.name for path in tmp_path.iterdir()] == ["recipe.json"]


# -- JAX ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    """What trainings on eight devices of JAX end in."""
    pytest.importorskip("jax")
    file = tmp_path_factory.mktemp("shards") / "ends.npz"
    command = [sys.executable, Path(on_devices.__file__).with_name("on_shards.py"), file]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    return dict(np.load(file))


@pytest.mark.parametrize(
    ("name", "devices", "parts"), [("data", 8, [50, 16]), ("model", 8, [25, 16])]
)
def test_eight_devices_of_jax_end_where_one_ends(shards, name, devices, parts):
    """By data and by parts of weights; 50 steps with AdamW and clipping by norm."""
    assert shards[f"{name} devices"] == 8
    assert shards[f"{name} parts"].tolist() == parts
    one = [key for key in shards if key.startswith("one/")]
    assert len(one) > 20
    for key in one:
        there = shards[key.replace("one/", f"{name}/", 1)]
        np.testing.assert_allclose(there, shards[key], atol=1e-5, err_msg=key)


def test_jax_has_strategies_of_its_own(shards):
    assert shards["auto"] == "none"
    assert "call keras.distribution.set_distribution before" in str(shards["refused"])
    assert "a last one of 4, for a mesh that splits them in 8" in str(shards["uneven"])


# -- XLA ------------------------------------------------------------------------------------------


def test_a_step_compiles_under_xla_with_static_shapes():
    """As a TPU needs it: every op has a kernel there, and lengths come in few sizes."""
    rows, labels = on_devices.examples(10)
    ends = []
    for compiled in (False, True):
        task = on_devices.model()
        task.compile(optimizer=task.optimizer, jit_compile=compiled)
        batches = bucketed_batches(rows, labels, batch_size=4, shuffle=True, seed=3)
        batches.plan.shapes_cost = True
        history = DistributedFit.fit(task, batches, epochs=2, validation_data=batches, verbose=0)
        ends.append({p: np.asarray(w) for p, w in weights_by_path(task).items()})
        ends[-1] |= {name: np.asarray(values) for name, values in history.history.items()}
    lengths = {inputs["token_ids"].shape[1] for inputs, _ in batches}
    assert lengths == {8}
    for name, value in ends[0].items():
        np.testing.assert_allclose(ends[1][name], value, atol=1e-5, err_msg=name)
