"""XLNet: both streams, memory and heads are the reference's, and it learns in orders of its own."""

import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter
from families import SPECS, add_noise, noisy, permuted, shared, tokens

import kzoo
from kzoo.compression import factorize, multiplied_out
from kzoo.data.permuted import MOST, PARTS, PermutedPlan, foretold, order_of
from kzoo.errors import KzooError
from kzoo.litert import convert
from kzoo.litert.interpreter import Interpreter as OnDisk
from kzoo.models import build
from kzoo.models.xlnet import XlNet
from kzoo.network import weights_by_path

SPEC = SPECS["xlnet"]
ROOT = Path(__file__).parent.parent
HERE = {
    "vocab_size": 50,
    "d_model": 32,
    "n_layer": 2,
    "n_head": 4,
    "d_inner": 48,
    "mem_len": 6,
}
CLASSES = {
    "Model": "XlNet",
    "LMHeadModel": "PermutationLM",
    "ForSequenceClassification": "TextClassifier",
    "ForTokenClassification": "TokenClassifier",
    "ForQuestionAnsweringSimple": "QuestionAnswering",
    "ForMultipleChoice": "MultipleChoice",
}


def reference(suffix, folder):
    """A tiny model of transformers with noise on every number, and its folder."""
    torch, transformers = pytest.importorskip("torch"), pytest.importorskip("transformers")
    torch.manual_seed(len(suffix))
    labels = {"num_labels": 3} if "Sequence" in suffix or "Token" in suffix else {}
    config = transformers.XLNetConfig(**HERE, **labels)
    model = getattr(transformers, f"XLNet{suffix}")(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.2 * torch.randn_like(parameter)
    model.save_pretrained(folder)
    model.config.type_vocab_size = 2  # No key of its own: segments are given to it.
    return model


def theirs_of(model, inputs, mems=None):
    """What transformers' model gives for inputs as a network of kzoo reads them."""
    import torch

    names = {
        "token_ids": "input_ids", "padding_mask": "attention_mask", "segment_ids": "token_type_ids",
        "perm_mask": "perm_mask", "target_mapping": "target_mapping",
    }  # fmt: skip
    there = {names[k]: torch.tensor(np.asarray(v)) for k, v in inputs.items() if k in names}
    floats = ("attention_mask", "perm_mask", "target_mapping")
    there = {k: v.float() if k in floats else v.long() for k, v in there.items()}
    with torch.no_grad():
        return model(**there, mems=mems, use_mems=True)


@pytest.mark.parity
@pytest.mark.parametrize("suffix", CLASSES)
def test_both_ways_with_padding_on_the_left(suffix, tmp_path):
    from test_huggingface import assert_same, contents, reload

    theirs = reference(suffix, tmp_path / "here")
    model = kzoo.from_huggingface(tmp_path / "here", strict=True)
    assert type(model).__name__ == CLASSES[suffix]
    assert_same(model, theirs, suffix, "left")
    kzoo.to_huggingface(model, tmp_path / "back")
    assert contents(tmp_path / "back") == contents(tmp_path / "here")
    add_noise(model, seed=4)
    del model.origin  # from here on a model that never saw transformers
    kzoo.to_huggingface(model, tmp_path / "there")
    theirs = reload(theirs, tmp_path / "there")
    theirs.config.type_vocab_size = 2
    assert_same(model, theirs, suffix, "left")


@pytest.mark.parity
def test_foretold_in_any_order_behind_a_memory_it_is_the_reference(tmp_path):
    theirs = reference("LMHeadModel", tmp_path)
    task = kzoo.from_huggingface(tmp_path)
    network, inputs = task.backbone, permuted(SPEC)
    inputs["token_ids"] = inputs["token_ids"] % 50
    mapping = inputs["target_mapping"][:, :-1]  # transformers has no target that fills up.
    inputs["target_mapping"] = mapping
    expected = theirs_of(theirs, inputs)
    np.testing.assert_allclose(task(inputs)["logits"], expected.logits, atol=1e-5)

    whole = {n: inputs[n] for n in network.input_names}  # Padding is remembered there, and seen.
    whole["padding_mask"] = np.ones_like(whole["padding_mask"])
    memory, mems = network.first_memory(3), None
    memory = {name: value[:, :0] for name, value in memory.items()}
    for _ in range(2):  # The second memory is of places of both segments.
        outputs, expected = network({**whole, **memory}), theirs_of(theirs.transformer, whole, mems)
        memory, mems = {name: outputs[name] for name in memory}, expected.mems
        whole = {name: value[:, ::-1][:, :4].copy() for name, value in whole.items()}
        for step, states in enumerate(mems):
            states = states.permute(1, 0, 2)
            np.testing.assert_allclose(memory[f"memory_{step}"], states, atol=1e-5)
    behind = network({**inputs, **memory})["sequence_output"]
    expected = theirs_of(theirs.transformer, inputs, mems).last_hidden_state
    np.testing.assert_allclose(behind, expected, atol=1e-5)
    without = network(inputs)["sequence_output"]
    assert np.abs(np.asarray(behind) - np.asarray(without)).max() > 0.1


def test_keys_and_values_of_a_memory_are_what_its_states_are():
    network, inputs = shared("xlnet"), tokens(SPEC)
    found = []
    for cached in (False, True):
        memory = network.first_memory(3, cached)
        memory["memory_mask"] = memory["memory_mask"][:, :0]
        memory = {n: v[..., :0, :] if v.ndim > 2 else v for n, v in memory.items()}
        for _ in range(2):
            outputs = network({**inputs, **memory})
            memory = {name: outputs[name] for name in memory}
        assert memory["memory_mask"].shape[1] == 6
        found.append((outputs["sequence_output"], memory["memory_mask"]))
    np.testing.assert_allclose(*(np.asarray(f[0]) for f in found), atol=1e-5)
    assert np.asarray(found[0][1]).sum() == inputs["padding_mask"][:, -6:].sum()


def test_a_target_is_told_by_what_comes_before_it_alone():
    """Other tokens at places that it may not see, its own among them, change nothing."""
    network, inputs = shared("xlnet"), permuted(SPEC, batch=1)
    before = np.asarray(network(inputs)["sequence_output"])
    (place,) = inputs["target_mapping"][0, 0].nonzero()[0]
    hidden = inputs["perm_mask"][0, place] == 1
    assert hidden[place] and 0 < hidden.sum() < hidden.size
    for which, changes in ((hidden, False), (~hidden, True)):
        ids = np.where(which, (inputs["token_ids"] + 7) % 100 + 6, inputs["token_ids"])
        after = np.asarray(network({**inputs, "token_ids": ids.astype("int32")})["sequence_output"])
        assert (np.abs(after - before)[0, 0].max() > 1e-3) == changes


def test_fewer_steps_answer_a_permutation_as_a_smaller_network_does():
    network, inputs = noisy("xlnet"), permuted(SPEC, batch=1)
    with network.running((1,)):
        actual = network(inputs)["sequence_output"]
    expected = network.with_spec(schedule=(1,))(inputs)["sequence_output"]
    np.testing.assert_allclose(actual, expected, atol=1e-6)


@pytest.mark.parametrize("name", ["XlNet", "TextClassifier"])
def test_the_side_of_padding_changes_nothing(name):
    network, inputs = noisy("xlnet"), tokens(SPEC)
    model = network
    if name == "TextClassifier":
        model = add_noise(kzoo.TextClassifier(network, labels=["a", "b"]), seed=3)
    left = {key: np.array(value) for key, value in inputs.items()}
    for row, size in enumerate(inputs["padding_mask"].sum(-1)):
        for value in left.values():
            value[row] = np.roll(value[row], value.shape[1] - size)
    (one,), (other,) = model(inputs).values(), model(left).values()
    one, other = np.asarray(one), np.asarray(other)
    if name == "XlNet":
        one, other = one[inputs["padding_mask"] == 1], other[left["padding_mask"] == 1]
    np.testing.assert_allclose(one, other, atol=1e-5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda i: i["perm_mask"].fill(1), "leaves place 5 of row 0, a target, nothing to look at"),
        (lambda i: i["padding_mask"].fill(0), "nothing to look at; expected one place at least"),
        (lambda i: i["target_mapping"].fill(1), "names 9 places for target 0 of row 0; one is"),
        (lambda i: i["perm_mask"].fill(2), "perm_mask holds 2 to 2; 0 and 1 are expected"),
        (lambda i: i.pop("target_mapping"), "perm_mask without target_mapping; expected both"),
        (lambda i: i.pop("perm_mask"), "target_mapping without perm_mask; expected both"),
    ],
)
def test_a_permutation_that_is_none_is_named(change, message):
    inputs = permuted(SPEC)
    change(inputs)
    with pytest.raises(KzooError, match=message):
        shared("xlnet")(inputs)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"attention": "full"}, "'full'.*such as relative"),
        ({"position": "none"}, "none positions.*kind relative"),
        ({"position": {"kind": "relative", "clamp_length": 4}}, "clamp_length of 4.*expected 0"),
    ],
)
def test_a_spec_that_does_not_fit_is_named(changes, message):
    with pytest.raises(KzooError, match=message):
        build(SPEC.replace(**changes))


# -- what is foretold ------------------------------------------------------------------------------


def test_a_sixth_is_foretold_in_spans_of_up_to_five():
    gone, runs = np.zeros(240), []
    for seed in range(600):
        chosen = foretold(240, np.random.default_rng(seed))
        assert chosen.sum() == 240 // PARTS
        gone += chosen
        edges = np.flatnonzero(np.diff(np.concatenate([[0], chosen, [0]])))
        runs += (edges[1::2] - edges[::2]).tolist()
    share = gone / 600
    assert abs(share.mean() - 1 / PARTS) < 1e-9 and share.min() > 0.09 and share.max() < 0.25
    counts = np.bincount(runs, minlength=MOST + 1)[1 : MOST + 1] / len(runs)
    odds = 1 / np.arange(1, MOST + 1)
    # A span beside another one, and the last one, cut to the share, blur it.
    np.testing.assert_allclose(counts, odds / odds.sum(), atol=0.05)
    for count in range(2, 60):
        assert foretold(count, np.random.default_rng(count)).sum() == max(1, round(count / PARTS))
    assert not foretold(1, np.random.default_rng(0)).any()


def test_the_order_is_any_and_special_tokens_and_words_stay_whole():
    words = np.array([-1, *np.repeat(np.arange(30), 2), -1])
    firsts = []
    for seed in range(400):
        order = order_of(words, np.random.default_rng(seed))
        chosen = order > 0
        assert sorted(order[chosen]) == list(range(1, 11)) and not chosen[[0, -1]].any()
        assert (chosen[1:-1:2] == chosen[2:-1:2]).all()
        firsts.append(np.flatnonzero(chosen).tolist().index(order.argmax()))
    assert (np.bincount(firsts, minlength=10) > 15).all()  # 40 are expected of each


def test_epochs_have_orders_of_their_own_and_the_same_when_run_again():
    rows = [[*range(10, 10 + size), 3, 4] for size in (60, 31, 12, 1)]
    words = [np.array([*range(len(row) - 2), -1, -1]) for row in rows]
    plan = PermutedPlan({"token_ids": rows}, words, batch_size=4, seed=5, padding_id=5)
    assert plan.tokens == sum(map(len, rows))
    seen = {}
    for epoch in (0, 1, 0):
        inputs, targets = plan.learned(np.arange(4), epoch, 1)
        assert targets.shape == inputs["target_places"].shape == (4, 10)
        assert (targets != -100).sum(-1).tolist() == [10, 5, 2, 0]
        ids = np.take_along_axis(inputs["token_ids"], inputs["target_places"], 1)
        assert (ids == targets)[targets != -100].all()
        np.testing.assert_array_equal(inputs["token_ids"][0], rows[0])  # Nothing is hidden in it.
        order = seen.setdefault(epoch, inputs["order"])
        np.testing.assert_array_equal(order, inputs["order"])
    assert (seen[0] != seen[1]).any(-1)[:2].all()


# -- learning and answering ------------------------------------------------------------------------


def small(**options):
    """A task of one block whose tokens are words, the same whenever it is made."""
    from test_tasks import tokenizer

    keras.utils.set_random_seed(1)
    words = {"kind": "token_alone", "vocabulary_size": 80, "num_segments": 4}
    spec = SPEC.replace(
        embedding=words, schedule=(0,), dropout=0.0, attention_dropout=0.0, initializer_range=0.2,
    )  # fmt: skip
    task = kzoo.PermutationLM(build(spec), tokenizer=tokenizer(), **options)
    task.compile(kzoo.AdamW(1e-2))
    return task


LINES = ["he lives in paris", "my dog is very fine", "the film was a great film"] * 8


def test_it_learns_and_goes_on_after_a_stop(tmp_path):
    class Stop(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if batch == 1:
                raise KeyboardInterrupt

    def trained(**options):
        task = small()
        history = task.fit(LINES, batch_size=8, epochs=8, verbose=0, **options).history
        return history["loss"], task

    losses, expected = trained()
    assert losses[-1] < losses[0] / 2
    resume = kzoo.training.Checkpoints(tmp_path / "kept", every=1e-9)
    with pytest.raises(KeyboardInterrupt):
        trained(resume=resume, callbacks=[Stop()])
    gone_on, actual = trained(resume=tmp_path / "kept")
    np.testing.assert_allclose(gone_on, losses, rtol=1e-5)
    there = weights_by_path(actual)
    for path, weight in weights_by_path(expected).items():
        np.testing.assert_allclose(there[path], weight, atol=1e-5)
    ((answers,),) = expected.predict(["he lives [MASK] paris"])
    assert answers[0][0] == "in" and len(answers) == 5


def test_a_mask_is_told_from_the_others_by_the_query_stream(tmp_path):
    task = add_noise(small())
    texts = ["the [MASK] was [MASK]", "he lives in [MASK]"]
    inputs, mask = task.tokenize(texts), task.tokenizer.mask_id
    masked = inputs["token_ids"] == mask
    length = masked.shape[1]
    perm = np.repeat(masked[:, None], length, axis=1).astype("int32")
    eye = np.repeat(np.eye(length, dtype="int32")[None], 2, axis=0)
    logits = np.asarray(task({**inputs, "perm_mask": perm, "target_mapping": eye})["logits"])
    found = task.predict(texts, top=80)
    for row, answers in enumerate(found):
        assert len(answers) == masked[row].sum()
        for place, answer in zip(np.flatnonzero(masked[row]), answers, strict=True):
            scores = np.exp(logits[row, place] - logits[row, place].max())
            known = (scores / scores.sum())[: task.tokenizer.vocabulary_size]
            expected = np.sort(known)[::-1]
            np.testing.assert_allclose([score for _, score in answer], expected, atol=1e-5)
    path = tmp_path / "model.tflite"
    audit = kzoo.export_litert(task, path, length=16)["audit"]
    assert not audit["custom"]
    one = {k: np.pad(v[:1], ((0, 0), (0, 16 - length))) for k, v in inputs.items()}
    written = OnDisk(path).run(one)["logits"]
    np.testing.assert_allclose(written[0, :length][masked[0]], logits[0][masked[0]], atol=1e-4)
    served = tf.saved_model.load(kzoo.export_savedmodel(task, tmp_path / "served"))
    given = {name: tf.constant(value) for name, value in inputs.items()}
    written = np.asarray(served.signatures["tokens"](**given)["logits"])
    np.testing.assert_allclose(written[masked], logits[masked], atol=1e-4)
    task.save(tmp_path / "task.keras")
    again = keras.saving.load_model(tmp_path / "task.keras")
    assert type(again) is kzoo.PermutationLM and again.objective == "tokens"
    assert again.predict(texts, top=3) == task.predict(texts, top=3)


FUNCTIONS = {"segment": {"memory_length": 6}, "permuted": {"targets": 3}}


@pytest.mark.parametrize("signature", FUNCTIONS)
def test_a_file_of_a_fixed_length_takes_a_memory_or_a_permutation(signature, tmp_path):
    class OnDevice(XlNet):
        functions = {"serve": (signature, FUNCTIONS[signature])}

    model, given = add_noise(OnDevice(SPEC.replace(schedule=(0,)))), permuted(SPEC, batch=1)
    inputs = {name: given[name] for name in model.input_names}
    if signature == "permuted":
        inputs |= {
            "perm_mask": given["perm_mask"],
            "target_mapping": given["target_mapping"][:, :3],
        }
    else:
        memory = model.first_memory(1)
        draw = np.random.default_rng(0).standard_normal(memory["memory_0"].shape)
        states = {"memory_mask": np.ones((1, 6), "int32"), "memory_0": draw.astype("float32")}
        inputs |= states
    with convert.traced(convert.exportable(model), {"length": 9}) as graphs:
        convert.write_file(graphs, tmp_path / "model.tflite", "float32", partitions=1)
    run = Interpreter(str(tmp_path / "model.tflite")).get_signature_runner("serve")
    written, expected = run(**inputs), model(inputs)
    assert set(written) == set(expected)
    for name, value in expected.items():
        np.testing.assert_allclose(written[name], np.asarray(value), atol=1e-5)


def test_a_file_of_a_fixed_length_holds_the_weights_of_distances(tmp_path):
    """And not their products with the waves of this length, which no quantizer sees as weights."""
    sizes = {"hidden_dim": 256, "intermediate_dim": 256, "schedule": (0,)}
    model = noisy("xlnet", **sizes)
    with convert.traced(convert.exportable(model), {"length": 4}) as graphs:
        convert.write_file(graphs, tmp_path / "model.tflite", "int8")  # It looks at the size.
    assert "block_0/attention/relative/kernel" in graphs.used


@pytest.mark.parametrize("quantization", ["float32", "int8"])
def test_a_classifier_of_a_fixed_length_is_one_partition(quantization, tmp_path):
    task = add_noise(kzoo.TextClassifier(noisy("xlnet"), labels=["a", "b"]), scale=0.1)
    path = tmp_path / "model.tflite"
    audit = kzoo.export_litert(task, path, quantization, length=9, limits={})["audit"]
    assert audit["partitions"] == 1 and not audit["custom"] and "SHAPE" not in audit["operators"]
    inputs = tokens(SPEC, batch=1)
    written = OnDisk(path).run(inputs)["logits"]
    distance = np.abs(written - np.asarray(task(inputs)["logits"])).max()
    assert distance < (2e-5 if quantization == "float32" else 0.1)


def test_on_jax_it_learns_alike():
    pytest.importorskip("jax")
    command = [sys.executable, "-c", "import test_xlnet as t; print(t.first_loss())"]
    environment = {**os.environ, "KERAS_BACKEND": "jax"}
    run = subprocess.run(
        command, check=True, capture_output=True, cwd=ROOT / "tests", env=environment
    )
    assert float(run.stdout) == pytest.approx(first_loss(), abs=1e-3)


def first_loss():
    """Of an epoch, from noise."""
    task = add_noise(small())
    task.compile("sgd")
    return task.fit(LINES, batch_size=8, verbose=0).history["loss"][0]


def test_what_it_cannot_stand_on_is_named():
    with pytest.raises(KzooError, match="Got a bert, which has one stream; expected a network"):
        kzoo.PermutationLM(noisy("bert"))
    with pytest.raises(
        KzooError, match="'ngrams' for a PermutationLM; expected one of tokens, whole_words"
    ):
        kzoo.PermutationLM(shared("xlnet"), objective="ngrams")
    with pytest.raises(KzooError, match="fit of a PermutationLM takes texts alone"):
        small().fit(LINES, [0] * len(LINES), verbose=0)


def test_maps_of_low_rank_leave_its_table_as_it_is():
    whole = shared("xlnet").with_spec(schedule=(0,))
    narrow, _ = factorize(whole, rank=0.9)
    assert multiplied_out(narrow).spec.embedding == narrow.spec.embedding == SPEC.embedding
    with pytest.raises(KzooError, match="embedding to factorize for one of the kind 'token_alone'"):
        factorize(whole, embedding=0.5)
