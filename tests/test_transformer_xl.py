"""Transformer-XL: segments behind a memory are what the whole is, in every door to them."""

import json
import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter
from families import SPECS, add_noise, noisy, shared, tokens
from on_disk import noise
from test_causal_lm import byte_tokenizer
from writing import in_steps

import kzoo
from kzoo.checkpoints.safetensors import read_tensors, write_tensors
from kzoo.data.batches import IGNORED
from kzoo.errors import KzooError
from kzoo.litert import convert
from kzoo.models import build
from kzoo.models.transformer_xl import TransformerXl
from kzoo.network import weights_by_path
from kzoo.nn import relative

SPEC = SPECS["transformer_xl"]
LETTERS = {"kind": "adaptive", "vocabulary_size": 260, "cutoffs": [80, 120], "div_val": 2}
ATTENTION = {"kind": "relative", "memory_length": 6, "same_length": True}
TEXT = "the cat sat on the mat and a dog ran after the cat, which sat on a mat. " * 3
ROOT = Path(__file__).parent.parent
GOLDEN = json.loads((ROOT / "tests" / "golden" / "on_disk" / "transformer_xl.json").read_text())
CASES = {case["case"]: case for case in GOLDEN}
# Attention and positions, and what else; the memory holds all that a text has, or each place
# sees as many.
WAYS = {
    "each sees as many": (ATTENTION, {"clamp_length": 4}, {}),
    "all is remembered": ({**ATTENTION, "memory_length": 24, "same_length": False}, {}, {}),
    "shared biases": (ATTENTION, {"shared": True}, {"schedule": [0, 1, 0]}),
    "norm in front": (ATTENTION, {}, {"block": "pre_norm", "schedule": [0, 1, 2, 3]}),
    "behind zeros": ({**ATTENTION, "start": "zeros"}, {}, {"block": "pre_norm"}),
}


def network(way):
    """A network with noise on its weights, in one of the ways."""
    attention, position, others = WAYS[way]
    return noisy(
        "transformer_xl", attention=attention, position={"kind": "relative", **position}, **others
    )


def whole(model, ids):
    """What it gives for all of the ids at once."""
    return np.asarray(model({"token_ids": ids, "padding_mask": ids * 0 + 1})["sequence_output"])


def in_segments(model, ids, length, memory):
    """What it gives for segments of a length, each with the memory of those before."""
    parts = []
    for start in range(0, ids.shape[1], length):
        outputs = model({"token_ids": ids[:, start : start + length], **memory})
        parts.append(np.asarray(outputs["sequence_output"]))
        memory = {name: outputs[name] for name in memory}
    return np.concatenate(parts, axis=1)


@pytest.mark.parametrize("way", list(WAYS))
def test_segments_behind_a_memory_are_what_the_whole_is(way):
    model, ids = network(way), tokens(SPEC, batch=1, length=24)["token_ids"]
    ids = np.concatenate([ids, ids[:, ::-1]])
    expected = whole(model, ids)
    for cached in (False, True):
        given = in_segments(model, ids, 5, model.first_memory(2, cached))
        np.testing.assert_allclose(given, expected, atol=1e-5)
    np.testing.assert_allclose(in_steps(model, ids[:1], (4, 1, 9, 10)), expected[:1], atol=1e-5)
    if model.recall.start == "empty":  # A memory of no places is one, too.
        none = {name: value[:, :0] for name, value in model.first_memory(2).items()}
        np.testing.assert_allclose(in_segments(model, ids, 24, none), expected, atol=1e-5)


def test_a_memory_is_looked_at_and_zeros_are_no_empty_start():
    ids = tokens(SPEC, batch=1, length=12)["token_ids"]
    model = noisy("transformer_xl")
    other = model.with_spec(attention={**ATTENTION, "start": "zeros"})
    assert np.abs(whole(model, ids) - whole(other, ids)).max() > 0.1
    memory = model({"token_ids": ids[:, :6], **model.first_memory(1)})
    memory = {name: memory[name] for name in model.first_memory(1)}
    behind = model({"token_ids": ids[:, 6:], **memory})["sequence_output"]
    assert np.abs(np.asarray(behind) - whole(model, ids[:, 6:])).max() > 0.1


@pytest.mark.parametrize("way", ["each sees as many", "behind zeros"])
def test_a_band_in_strips_is_what_all_scores_are(way, monkeypatch):
    model, ids = network(way), tokens(SPEC, batch=1, length=30)["token_ids"]
    inputs = {"token_ids": ids[:, 7:], **model.first_memory(1)}
    inputs |= {k: v for k, v in model({**inputs, "token_ids": ids[:, :7]}).items() if k in inputs}
    dense = np.asarray(model(inputs)["sequence_output"])
    counted, asked = [], relative.Relative.distances

    def distances(self, count, *rest):
        counted.append(count)
        return asked(self, count, *rest)

    monkeypatch.setattr(relative, "STRIP", 4)
    monkeypatch.setattr(relative.Relative, "distances", distances)
    strips = np.asarray(model(inputs)["sequence_output"])
    np.testing.assert_allclose(strips, dense, atol=1e-5)
    assert counted == [9] * model.spec.num_layers  # 6 - 1 before a strip of 4, of 29 keys.


def test_no_gradient_flows_to_what_was_read_before():
    model, ids = shared("transformer_xl"), tokens(SPEC, batch=1, length=6)["token_ids"]
    states = model.first_memory(1)
    with tf.GradientTape() as tape:
        first = model({"token_ids": ids, **states})
        loss = tf.reduce_sum(first["memory_1"] ** 2)
    assert all(g is None for g in tape.gradient(loss, [w.value for w in model.weights]))


# -- transformers, whose last version with such a class is 4.57 -----------------------------------


def folder_of(case, folder):
    """A folder as transformers writes it, with noise on every weight."""
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(case["config"]))
    tensors = {name: noise(name, shape) for name, shape in case["tensors"].items()}
    write_tensors(folder / "model.safetensors", tensors, {"format": "pt"})
    return folder


@pytest.mark.parametrize("name", list(CASES))
def test_scores_and_memory_are_those_of_transformers(name, tmp_path):
    case = CASES[name]
    task = kzoo.from_huggingface(folder_of(case, tmp_path / "there"), strict=True)
    ids, expected, network = np.array(case["token_ids"], "int32"), case["outputs"], task.backbone

    def close(actual, output):
        np.testing.assert_allclose(np.asarray(actual), expected[output], atol=1e-5)

    close(task({"token_ids": ids, "padding_mask": ids * 0 + 1})["logits"], "logits")
    first = network.first_memory(2)
    close(task({"token_ids": ids, **{n: v[:, :0] for n, v in first.items()}})["logits"], "empty")
    outputs = task({"token_ids": ids, **first})
    close(outputs["memory_1"], "memory_1")
    memory = {name: outputs[name] for name in first}
    close(task({"token_ids": ids[:, ::-1].copy(), **memory})["logits"], "second")
    kzoo.to_huggingface(task, tmp_path / "back")
    back = read_tensors(tmp_path / "back" / "model.safetensors")
    there = read_tensors(tmp_path / "there" / "model.safetensors")
    assert back.keys() == there.keys()
    for tensor, value in there.items():
        np.testing.assert_array_equal(back[tensor].read(), value.read())


def test_what_starts_empty_is_no_model_of_transformers(tmp_path):
    task = kzoo.CausalLM(noisy("transformer_xl", max_sequence_length=2**20 - 1))
    with pytest.raises(KzooError, match="attention.start 'empty'.*only 'zeros'"):
        kzoo.to_huggingface(task, tmp_path / "there")


def test_transformers_reads_what_was_written(tmp_path):
    """Runs where PYTHONPATH leads to transformers 4.57 beside torch; the parity suite has none."""
    transformers = pytest.importorskip("transformers")
    pytest.importorskip("torch")
    if not hasattr(transformers, "TransfoXLLMHeadModel"):
        pytest.skip(f"transformers {transformers.__version__} has no Transformer-XL")
    case = CASES["usual"]
    read = kzoo.from_huggingface(folder_of(case, tmp_path / "there"))
    fresh = add_noise(kzoo.CausalLM(build(read.spec)), seed=5)
    kzoo.to_huggingface(fresh, tmp_path / "back")
    script = ROOT / "benchmarks" / "on_disk" / "record_transformer_xl.py"
    command = [sys.executable, str(script), str(tmp_path / "back")]
    run = subprocess.run(command, check=True, capture_output=True, env=dict(os.environ))
    ids = np.array(case["token_ids"], "int32")
    actual = fresh({"token_ids": ids, "padding_mask": ids * 0 + 1})["logits"]
    np.testing.assert_allclose(np.asarray(actual), json.loads(run.stdout)["logits"], atol=1e-5)


# -- scores by cluster ----------------------------------------------------------------------------


@pytest.mark.parametrize("changes", [{}, {"div_val": 1}, {"div_val": 1, "dim": 0}, {"cutoffs": []}])
def test_the_adaptive_softmax_gives_log_probabilities(changes):
    spec = SPEC.replace(embedding={**SPEC.embedding, **changes})
    task = add_noise(kzoo.CausalLM(add_noise(build(spec))), seed=3)
    inputs = tokens(spec)
    scores = np.asarray(task(inputs)["logits"])
    np.testing.assert_allclose(np.exp(scores).sum(-1), 1.0, atol=1e-5)
    hidden = task.backbone(inputs)["sequence_output"]
    ids = np.random.default_rng(1).integers(0, 120, scores.shape[:2]).astype("int32")
    found = task.head.target_scores(hidden, ids, task.backbone.embedding.factors)
    np.testing.assert_allclose(
        np.asarray(found), np.take_along_axis(scores, ids[..., None], -1)[..., 0], atol=1e-5
    )


def test_the_loss_of_targets_alone_is_that_of_all_scores():
    kinds = {"scored alone": None, "all scored": ["accuracy"]}
    results = []
    for metrics in kinds.values():
        task = letters()
        task.compile("sgd", metrics=metrics)
        assert task.scores_targets is (metrics is None)
        task.fit([TEXT], batch_size=2, epochs=1, verbose=0)
        weights = {p: np.asarray(w) for p, w in weights_by_path(task).items()}
        results.append((task.evaluate([TEXT], batch_size=1, return_dict=True, verbose=0), weights))
    (one, ours), (other, theirs) = results
    assert one["loss"] == pytest.approx(other["loss"], abs=1e-5)
    assert one["perplexity"] == pytest.approx(np.exp(one["loss"]), rel=1e-4)
    for path, value in ours.items():
        np.testing.assert_allclose(value, theirs[path], atol=1e-5)


# -- learning, measuring, writing -----------------------------------------------------------------


def letters(attention=ATTENTION, **changes):
    """A task of a token a byte, segments of eight."""
    spec = SPEC.replace(
        embedding=LETTERS, schedule=(0,), max_sequence_length=2**16, attention=attention,
        dropout=0.0, attention_dropout=0.0, **changes,
    )  # fmt: skip
    task = kzoo.CausalLM(build(spec), tokenizer=byte_tokenizer(), max_length=8)
    return add_noise(task)


def test_rows_go_on_where_they_were_and_every_token_is_asked_once():
    task = letters()
    plan = task.batches([TEXT[:50], TEXT[:31]], batch_size=3, shuffle=True, seed=5).plan
    epochs = []
    for epoch in (0, 1, 0):
        plan.epoch, plan.epoch_is_set = epoch, True
        batches = list(plan.batches())
        assert len(batches) == len(plan) == 4
        begins = [inputs["begins"].tolist() for inputs, _ in batches]
        assert begins == [[1] * 3] + [[0] * 3] * 3
        read = np.concatenate([inputs["token_ids"] for inputs, _ in batches], axis=1)
        asked = np.concatenate([targets for _, targets in batches], axis=1)
        counted = asked != IGNORED
        epochs.append(np.append(read[0, 0], asked[counted]))
        np.testing.assert_array_equal(asked[:, :-1][counted[:, 1:]], read[:, 1:][counted[:, 1:]])
    assert len(epochs[0]) == 50 + 31 + 3  # With an end behind each and before the first.
    assert epochs[0].tolist() == epochs[2].tolist() and sorted(epochs[0]) == sorted(epochs[1])


def test_measured_with_its_memory_a_text_is_what_the_whole_is():
    task = letters({**ATTENTION, "memory_length": 300})
    task.compile()
    ids = [0, *task.tokenizer.bare_ids([TEXT])[0], 0]
    hidden = whole(task.backbone, np.array([ids[:-1]], "int32"))
    table = task.backbone.embedding.factors
    found = task.head.target_scores(hidden, np.array([ids[1:]], "int32"), table)
    given = task.evaluate([TEXT], batch_size=1, return_dict=True, verbose=0)
    assert given["loss"] == pytest.approx(-float(np.mean(found)), abs=1e-5)
    again = task.evaluate([TEXT], batch_size=1, return_dict=True, verbose=0)
    assert again == given  # Each begins anew.
    in_rows = task.evaluate([TEXT], batch_size=32, return_dict=True, verbose=0)
    assert task.measure([TEXT])["loss"] == pytest.approx(in_rows["loss"], abs=1e-5)
    assert abs(in_rows["loss"] - given["loss"]) > 1e-2  # Each row begins anew.
    apart = task.evaluate([TEXT], batch_size=1, stride=8, return_dict=True, verbose=0)
    assert abs(apart["loss"] - given["loss"]) > 1e-2


def test_learning_remembers_the_segment_before():
    task = letters()
    task.compile("sgd")
    task.optimizer.learning_rate.assign(0.0)
    task.fit([TEXT], batch_size=2, epochs=1, verbose=0)
    plan = task.batches([TEXT], batch_size=2).plan
    (*_, (inputs, _)) = plan.batches()
    kept = np.asarray(task.streams.held[2, True]["memory_0"])
    embedded = task.backbone(
        {"token_ids": inputs["token_ids"], "padding_mask": inputs["token_ids"] * 0 + 1},
        return_hidden_states=True,
    )["hidden_states"][0]
    np.testing.assert_allclose(kept, np.asarray(embedded)[:, -6:], atol=1e-6)


def test_it_learns_and_goes_on_with_its_memory_after_a_stop(tmp_path):
    class Stop(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if batch == 4:
                raise KeyboardInterrupt

    def trained(task, **options):
        task.compile(kzoo.AdamW(3e-3))
        history = task.fit([TEXT, TEXT[:60]], batch_size=2, epochs=3, verbose=0, **options)
        return history.history["loss"], {p: np.asarray(w) for p, w in weights_by_path(task).items()}

    losses, expected = trained(letters())
    assert losses[-1] < losses[0] - 0.3
    resume = kzoo.training.Checkpoints(tmp_path / "kept", every=1e-9)
    with pytest.raises(KeyboardInterrupt):
        trained(letters(), resume=resume, callbacks=[Stop()])
    gone_on, actual = trained(letters(), resume=tmp_path / "kept")
    np.testing.assert_allclose(gone_on, losses, rtol=1e-6)
    for path, value in expected.items():
        np.testing.assert_allclose(actual[path], value, atol=1e-6)


def test_what_is_written_is_the_likeliest_of_the_full_pass():
    task = letters()
    prompt = task.tokenizer.bare_ids([TEXT[:20]])[0]
    (written,) = task.generate([prompt], max_new_tokens=12, end_token_ids=())
    ids = list(prompt)
    for _ in range(12):
        ids.append(int(np.asarray(task(_inputs(ids))["logits"])[0, -1].argmax()))
    assert written == ids[20:]


def _inputs(ids):
    ids = np.array([ids], "int32")
    return {"token_ids": ids, "padding_mask": ids * 0 + 1}


# -- elsewhere ------------------------------------------------------------------------------------


@pytest.mark.parametrize("signature", ["segment", "cached_segment"])
def test_a_file_of_a_fixed_length_takes_a_memory_and_gives_the_next(signature, tmp_path):
    class OnDevice(TransformerXl):
        functions = {"serve": (signature, {"memory_length": 6})}

    model = add_noise(OnDevice(SPEC.replace(schedule=(0,))))
    path = tmp_path / "model.tflite"
    with convert.traced(convert.exportable(model), {"length": 8}) as graphs:
        convert.write_file(graphs, path, "float32", partitions=1)
    run = Interpreter(str(path)).get_signature_runner("serve")
    ids = tokens(SPEC, batch=1, length=16)["token_ids"]
    memory = {n: np.asarray(v) for n, v in model.first_memory(1, signature != "segment").items()}
    parts = []
    for start in (0, 8):
        outputs = run(token_ids=ids[:, start : start + 8], **memory)
        parts.append(outputs.pop("sequence_output"))
        memory = outputs
    np.testing.assert_allclose(np.concatenate(parts, axis=1), whole(model, ids), atol=1e-5)


def test_on_jax_it_learns_and_measures_alike():
    pytest.importorskip("jax")
    command = [sys.executable, "-c", "import test_transformer_xl as t; print(*t.losses())"]
    environment = {**os.environ, "KERAS_BACKEND": "jax"}
    run = subprocess.run(
        command, check=True, capture_output=True, cwd=ROOT / "tests", env=environment
    )
    there = [float(number) for number in run.stdout.split()]
    np.testing.assert_allclose(there, losses(), atol=1e-3)


def losses():
    """Of an epoch, and of what it led to."""
    task = letters()
    task.compile("sgd")
    history = task.fit([TEXT], batch_size=2, verbose=0).history
    return history["loss"][0], task.evaluate([TEXT], batch_size=1, verbose=0)[0]


# -- what doesn't fit -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"attention": {**ATTENTION, "memory_length": -1}}, "memory_length = -1.*0 or more"),
        ({"attention": {"kind": "relative", "same_length": True}}, "same_length = True.*of 0"),
        ({"attention": {**ATTENTION, "start": "anew"}}, "'anew'.*empty or zeros"),
        ({"attention": "causal"}, "'causal'.*such as relative"),
        ({"position": "none"}, "none positions.*kind relative"),
        ({"position": {"kind": "relative", "clamp_length": -2}}, "clamp_length = -2"),
        ({"embedding": {**LETTERS, "cutoffs": [80, 20]}}, r"\[80, 20\].*ascend"),
        ({"embedding": {**LETTERS, "cutoffs": [80, 260]}}, "260 tokens.*below"),
        ({"embedding": {**LETTERS, "cutoffs": "all"}}, "'all'.*ascend"),
        ({"embedding": {**LETTERS, "div_val": 0}}, "div_val is 0"),
    ],
)
def test_a_spec_that_does_not_fit_is_named(changes, message):
    with pytest.raises(KzooError, match=message):
        build(SPEC.replace(**changes))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda value: np.repeat(value, 2, axis=0), "differ in shape, in their batch"),
        (lambda value: value[..., :-1] if value.ndim > 2 else value, "memory_0 has the shape"),
        (lambda value: np.repeat(value, 2, axis=1), "memory_mask is 12.*at most 6"),
    ],
)
def test_a_memory_that_does_not_fit_is_named(change, message):
    model = shared("transformer_xl")
    memory = {name: change(np.asarray(v)) for name, v in model.first_memory(1).items()}
    with pytest.raises(KzooError, match=message):
        model({"token_ids": np.ones((1, 3), "int32"), **memory})
