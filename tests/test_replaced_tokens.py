"""Tokens that a generator puts in a text, and who finds them: ELECTRA's pre-training."""

import json
import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import resumed
from families import SPECS, add_noise
from test_tasks import tokenizer

import kzoo
from kzoo.data.masked import DRAWS, ReplacedPlan
from kzoo.errors import KzooError
from kzoo.models import build
from kzoo.models.electra import generator_of
from kzoo.network import weights_by_path
from kzoo.tasks.replaced_tokens import drawn
from kzoo.training import Checkpoints

SMALL = {"schedule": (0,), "dropout": 0.0, "attention_dropout": 0.0}
SPEC = SPECS["electra"].replace(**SMALL)
TEXTS = ["the film is good", "he lives in paris", "my dog is very fine", "a dull film"] * 4
MASK = 4


def task(generator=0.5, spec=SPEC, **options):
    keras.utils.set_random_seed(0)
    return kzoo.ReplacedTokenDetection(
        build(spec), tokenizer=tokenizer(), generator=generator, **options
    )


def batch_of(model, seed=0, **options):
    """A batch of `fit`, and its targets."""
    plan = model.batches(TEXTS, batch_size=len(TEXTS), seed=seed, **options).plan
    return plan.learned(np.arange(len(TEXTS)), 0, 1)


# -- what is hidden and drawn ----------------------------------------------------------------------


def test_fifteen_per_cent_are_hidden_each_behind_the_mask():
    rows = [[1, *range(10, 210), 2]] * 4
    words = [np.concatenate([[-1], np.arange(200), [-1]])] * 4
    plan = ReplacedPlan({"token_ids": rows}, words, 1, MASK, batch_size=4, seed=5)
    shown, draws = {}, []
    for epoch in (0, 1, 0):
        inputs, targets = plan.learned(np.arange(4), epoch, 1)
        ids, places = inputs["token_ids"], inputs["hidden_places"]
        assert targets.shape == (4, 30) and (inputs["hidden_padding_mask"] == 1).all()
        assert (np.take_along_axis(ids, places, 1) == MASK).all() and (ids == MASK).sum() == 120
        whole = ids.copy()
        np.put_along_axis(whole, places, targets, 1)
        assert (whole == rows).all() and (inputs["hidden_token_ids"] == targets).all()
        again = shown.setdefault(epoch, (ids, inputs["hidden_draws"]))
        assert (again[0] == ids).all() and (again[1] == inputs["hidden_draws"]).all()
    assert (shown[0][0] != shown[1][0]).any(-1).all() and plan.tokens == 4 * 202
    for epoch in range(100):
        draws.append(plan.learned(np.arange(4), epoch, 1)[0]["hidden_draws"])
    shares = np.histogram(np.array(draws) / DRAWS, 10, (0, 1))[0] / np.size(draws)
    assert abs(shares - 0.1).max() < 0.01
    measured = [plan.batch(np.arange(4))[0] for _ in range(2)]
    assert (measured[0]["hidden_draws"] == measured[1]["hidden_draws"]).all()


def test_tokens_are_drawn_by_their_probability():
    shares = np.array([0.1, 0.0, 0.6, 0.05, 0.25], "float32")
    with np.errstate(divide="ignore"):
        scores = np.maximum(np.log(shares), -1e4)
    draws = np.random.default_rng(0).integers(0, DRAWS, 20_000)
    tokens = np.asarray(drawn(np.tile(scores, (len(draws), 1)), draws))
    found = np.bincount(tokens, minlength=5) / len(draws)
    assert found[1] == 0 and abs(found - shares).max() < 0.015
    edges = np.asarray(drawn(np.tile(scores, (2, 1)), np.array([0, DRAWS - 1])))
    assert edges.tolist() == [0, 4]


def certain(model, token):
    """Let the generator be sure of one token."""
    bias = np.zeros(model.backbone.vocabulary_size, "float32")
    bias[token] = 1e4
    model.generator.head.bias.assign(bias)


def test_a_token_that_is_drawn_stands_in_the_text_and_the_texts_own_counts_as_such():
    model = add_noise(task())
    film = model.tokenizer.vocabulary["film"]
    certain(model, film)
    own = 0
    for seed in range(4):
        inputs, targets = batch_of(model, seed)
        outputs = model(inputs)
        ids, others = inputs["token_ids"].copy(), np.zeros(inputs["token_ids"].shape)
        for row, places in enumerate(inputs["hidden_places"]):
            for place, target in zip(places, targets[row], strict=True):
                if target >= 0:
                    ids[row, place], others[row, place] = film, target != film
                    own += target == film
        np.testing.assert_array_equal(np.asarray(outputs["replaced"]), others)
        read = {name: inputs[name] for name in model.backbone.input_names}
        there = model({**read, "token_ids": ids})["logits"]
        np.testing.assert_allclose(outputs["logits"], there, atol=1e-5)
        masked = model.generator(read)["logits"]
        places = inputs["hidden_places"][..., None]
        expected = np.take_along_axis(np.asarray(masked), places, 1)[targets >= 0]
        actual = np.asarray(outputs["generator_logits"])[targets >= 0]
        np.testing.assert_allclose(actual, expected, atol=1e-3)
    assert own > 0


@pytest.mark.parametrize("objective", ["whole_words", "ngrams"])
def test_words_are_hidden_as_one(objective):
    model = task(objective=objective)
    plan = model.batches(["wonderful films"] * 8, batch_size=8).plan
    ids = model.tokenize(["wonderful films"])["token_ids"][0]
    words = np.cumsum([i in (2, 3) or model.tokenizer.id_to_token(i)[:2] != "##" for i in ids])
    for places, mask in (
        (inputs["hidden_places"][row], inputs["hidden_padding_mask"][row] == 1)
        for inputs, _ in [plan.learned(np.arange(8), 0, 1)]
        for row in range(8)
    ):
        chosen = np.isin(np.arange(len(ids)), places[mask])
        assert chosen.any() and {chosen[words == word].mean() for word in words} <= {0.0, 1.0}


# -- what is learnt --------------------------------------------------------------------------------


def test_the_loss_is_that_of_the_paper():
    """The generator's mean over hidden tokens, and 50 times that of all tokens but padding."""
    model = add_noise(task(), scale=0.4)
    model.compile()
    inputs, targets = batch_of(model)
    logits = np.asarray(model(inputs)["logits"])
    model.head.logits.bias.assign(model.head.logits.bias - np.median(logits))  # Some of both.
    outputs = {name: np.asarray(value, "float64") for name, value in model(inputs).items()}
    scores = outputs["generator_logits"]
    logs = scores - np.log(np.exp(scores).sum(-1, keepdims=True))
    hidden = targets >= 0
    guesses = -np.take_along_axis(logs, np.maximum(targets, 0)[..., None], -1)[..., 0][hidden]
    sides = 1 / (1 + np.exp(-outputs["logits"]))
    right = np.where(outputs["replaced"] == 1, sides, 1 - sides)
    real = inputs["padding_mask"] == 1
    assert 0 < outputs["replaced"][real].mean() < 0.4 and not outputs["replaced"][~real].any()
    expected = guesses.mean() - 50 * np.log(right[real]).mean()
    actual = model.compute_loss(inputs, targets, model(inputs), training=False)
    assert float(actual) == pytest.approx(expected, rel=1e-5)
    weighted = np.linspace(0, 2, len(TEXTS)).astype("float32")
    of_rows = np.repeat(weighted[:, None], hidden.shape[1], 1)[hidden]
    others = np.repeat(weighted[:, None], real.shape[1], 1)[real]
    expected = (guesses * of_rows).mean() - 50 * (np.log(right[real]) * others).mean()
    actual = model.compute_loss(inputs, targets, model(inputs), weighted, training=False)
    assert float(actual) == pytest.approx(expected, rel=1e-5)
    logs = model.compute_metrics(inputs, targets, model(inputs))
    logs = {name: float(value) for name, value in logs.items()}
    said, is_other = outputs["logits"][real] > 0, outputs["replaced"][real] == 1
    assert logs["accuracy"] == pytest.approx((said == is_other).mean(), abs=1e-6)
    assert logs["precision"] == pytest.approx(is_other[said].mean(), abs=1e-6)
    assert logs["recall"] == pytest.approx(said[is_other].mean(), abs=1e-6)
    best = scores.argmax(-1)[hidden]
    assert logs["masked_accuracy"] == pytest.approx((best == targets[hidden]).mean(), abs=1e-6)


def test_every_weight_learns_and_nothing_flows_through_what_is_drawn():
    import tensorflow as tf

    grads = {}
    for weight in (0.0, 50.0):
        model = add_noise(task(weight=weight), scale=0.4)
        model.compile()
        inputs, targets = batch_of(model)
        with tf.GradientTape() as tape:
            loss = model.compute_loss(inputs, targets, model(inputs), training=False)
        weights = weights_by_path(model)
        found = tape.gradient(loss, [w.value for w in weights.values()])
        found = [None if g is None else np.asarray(tf.convert_to_tensor(g)) for g in found]
        grads[weight] = dict(zip(weights, found, strict=True))
    lacking = [path for path, grad in grads[50.0].items() if grad is None or not grad.any()]
    assert not [path for path in lacking if not path.endswith("key/bias")]
    of_generator = [path for path in grads[0.0] if path.startswith("generator/")]
    assert len(of_generator) > 20
    for path in of_generator:
        np.testing.assert_allclose(grads[0.0][path], grads[50.0][path], atol=1e-6)
    table = "backbone/token_embedding/embeddings"  # Both learn it.
    assert grads[0.0][table].any() and not np.allclose(grads[0.0][table], grads[50.0][table])


def test_both_share_the_tables():
    model = task()
    generator, backbone = model.generator.backbone, model.backbone
    for name in ("token_embedding", "segment_embedding", "position", "embedding_norm"):
        assert getattr(generator, name) is getattr(backbone, name)
    assert len(model.trainable_weights) == len({w.path + str(w.shape) for w in model.weights})
    assert set(map(id, model.weights)) == set(map(id, weights_by_path(model).values()))
    with_heads = task(spec=SPECS["mpnet"].replace(**SMALL))  # A bias for each head is its own.
    assert with_heads.generator.backbone.position is not with_heads.backbone.position
    assert with_heads.generator.backbone.token_embedding is with_heads.backbone.token_embedding


def test_it_finds_what_does_not_belong():
    spec = SPEC.replace(initializer_range=0.2, hidden_dim=32, intermediate_dim=64)
    model = task(0.25, spec, weight=50.0)
    model.compile(optimizer=kzoo.AdamW(4e-3))
    texts = ["he lives in paris", "my dog is very fine", "the film was not dull"] * 32
    history = model.fit(texts, batch_size=16, epochs=12, verbose=0, seed=1).history
    assert history["loss"][-1] < 0.4 * history["loss"][0]
    assert history["recall"][-1] > 0.6 and history["precision"][-1] > 0.8
    assert history["masked_accuracy"][-1] > 2 * history["masked_accuracy"][0]
    found = model.predict(["he lives film paris", "my dog is very fine"])
    scores = [token["score"] for token in found[0]]
    assert [token["text"] for token in found[0]] == ["he", "lives", "film", "paris"]
    assert np.argmax(scores) == 2 and scores[2] > 0.5
    assert max(token["score"] for token in found[1]) < 0.5


def test_a_training_goes_on_exactly(tmp_path):
    """What is hidden and drawn as well, and the generator's weights."""

    def run(folder=None, stop=None):
        model = task(spec=SPEC.replace(dropout=0.2))
        model.compile(optimizer=kzoo.AdamW(1e-2), run_eagerly=True)  # Tracing thrice takes longer.
        resume = None if folder is None else Checkpoints(folder, every=0)
        callbacks = [] if stop is None else [resumed.Interrupt(stop)]
        history = model.fit(
            TEXTS[:12], batch_size=4, epochs=2, resume=resume, callbacks=callbacks, verbose=0,
            validation_data=TEXTS[:4],
        )  # fmt: skip
        return resumed.ended(model, history)

    whole = run()
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "kept", (1, 2))
    resumed.check(whole, run(tmp_path / "kept"))


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="is there already")
def test_it_learns_the_same_on_jax():
    pytest.importorskip("jax")
    code = """
import sys; sys.path.insert(0, "tests")
from test_replaced_tokens import *
print(json.dumps(losses()))
"""
    environment = {**os.environ, "KERAS_BACKEND": "jax"}
    root = Path(__file__).parent.parent
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=root, env=environment
    )
    assert run.returncode == 0, run.stderr[-2000:]
    there = json.loads(run.stdout.splitlines()[-1])
    for name, expected in losses().items():
        assert there[name] == pytest.approx(expected, abs=2e-4), name


def losses():
    """What an epoch shows from the same weights, on any backend."""
    model = add_noise(task())
    model.compile(optimizer=kzoo.AdamW(1e-3))
    history = model.fit(TEXTS, batch_size=4, epochs=2, verbose=0, seed=3).history
    return {name: [float(value) for value in values] for name, values in history.items()}


# -- what it takes, and what comes back ------------------------------------------------------------


def test_it_takes_files_and_corpora(tmp_path):
    (tmp_path / "texts.txt").write_text("\n".join(TEXTS * 3) + "\n")
    (tmp_path / "texts.csv").write_text("\n".join(["text", *TEXTS]) + "\n")
    corpus = kzoo.Corpus(tmp_path / "texts.txt", unit="line")
    for given, times in ((tmp_path / "texts.csv", 1), (corpus, 3)):
        model = task(max_length=20)
        model.compile(run_eagerly=True)
        history = model.fit(given, batch_size=8, verbose=0).history
        assert int(model.optimizer.iterations) == times * len(TEXTS) // 8
        assert np.isfinite(history["loss"][0]) and 0 < history["accuracy"][0] <= 1


def test_the_generator_comes_back_with_it(tmp_path):
    model = add_noise(task(weight=20.0, objective="whole_words"))
    model.compile()
    expected = model.evaluate(TEXTS, verbose=0, return_dict=True)
    kzoo.save_preset(model, tmp_path / "preset")
    model.save(tmp_path / "task.keras")
    model.save_preset(tmp_path / "preset_too")
    again = kzoo.ReplacedTokenDetection(kzoo.load(tmp_path / "preset"))
    loaded = [
        kzoo.load(tmp_path / "preset"),
        again,
        keras.saving.load_model(tmp_path / "task.keras"),
    ]
    for each in loaded:
        assert each.weight == 20.0 and each.objective == "whole_words"
        each.compile()
        assert each.evaluate(TEXTS, verbose=0, return_dict=True) == pytest.approx(expected)
        assert each.generator.backbone.token_embedding is each.backbone.token_embedding
    kzoo.save_preset(model.generator, tmp_path / "generator")
    other = task(str(tmp_path / "generator"))
    for path, weight in weights_by_path(other).items():
        same = np.array_equal(np.asarray(weight), np.asarray(weights_by_path(model)[path]))
        assert same or not path.startswith("generator/"), path
    assert kzoo.load(tmp_path / "generator").predict("the [MASK] is good", top=1)
    classifier = kzoo.TextClassifier(model, labels=["no", "yes"])
    here, there = (weights_by_path(each.backbone) for each in (model, classifier))
    assert all(np.array_equal(np.asarray(here[path]), np.asarray(there[path])) for path in here)


def test_a_recipe_trains_it(tmp_path):
    from kzoo.training import train

    kzoo.save_preset(task(None).backbone.under(SPEC, processors={"tokenizer": tokenizer()}),
                     tmp_path / "model")  # fmt: skip
    (tmp_path / "texts.txt").write_text("\n\n".join(TEXTS) + "\n")
    recipe = {
        "model": str(tmp_path / "model"), "task": "ReplacedTokenDetection", "text": "document",
        "train": str(tmp_path / "texts.txt"), "epochs": 1, "objective": "ngrams",
    }  # fmt: skip
    for name, more, width in (("usual", {}, 8), ("wider", {"generator": 0.5}, 16)):
        train({**recipe, **more, "output": str(tmp_path / name)})
        made = kzoo.load(tmp_path / name)
        assert made.generator.spec.hidden_dim == width and made.objective == "ngrams"


def test_a_generator_is_a_share_of_its_discriminator():
    spec = generator_of(SPECS["mpnet"], 0.5)
    assert (spec.hidden_dim, spec.num_heads, spec.intermediate_dim) == (16, 2, 24)
    assert spec.schedule == SPECS["mpnet"].schedule and spec.embedding["dim"] == 32
    assert (
        generator_of(SPECS["bert"], 0.3).hidden_dim % generator_of(SPECS["bert"], 0.3).num_heads
        == 0
    )
    for ratio in (0, 1.5, "half", True):
        with pytest.raises(KzooError, match="ratio .* for a generator; expected its share"):
            generator_of(SPEC, ratio)


def other_words():
    from tokenizers import Tokenizer as Backend
    from tokenizers.models import WordLevel

    return kzoo.Tokenizer(Backend(WordLevel({"[UNK]": 0, "[MASK]": 1}, "[UNK]")))


LARGER = SPEC.replace(embedding={**SPEC.embedding, "vocabulary_size": 130})


@pytest.mark.parametrize(
    ("generator", "message"),
    [
        (
            generator_of(LARGER),
            "a generator of 130 tokens and a discriminator of 120; expected the same vocabulary",
        ),
        (
            lambda: kzoo.MaskedLM(build(SPEC), tokenizer=other_words()),
            "whose tokenizer has another vocabulary than the discriminator's; expected the same",
        ),
        (
            SPEC.replace(max_sequence_length=30),
            "max_sequence_length 30 and a discriminator with 40; expected the same, which they",
        ),
        (SPEC.replace(embedding={**SPEC.embedding, "dim": 8}), "a generator with embedding"),
        (2.0, "ratio 2.0 for a generator; expected its share"),
        ([0.5], "a list as a generator; expected its share of the backbone's width"),
        (SPECS["clip"], "a Towers as a generator; expected"),
    ],
)
def test_a_generator_that_does_not_fit_is_refused(generator, message):
    with pytest.raises(KzooError, match=message) as caught:
        task(generator() if callable(generator) else generator)
    assert "\n" not in str(caught.value)


def test_what_it_cannot_learn_from_is_refused():
    model = task(None)
    model.compile()
    with pytest.raises(KzooError, match="no generator for a ReplacedTokenDetection; expected one"):
        model.fit(TEXTS, verbose=0)
    model = task()
    with pytest.raises(KzooError, match="a teacher for .* expected none: leave it out"):
        model.compile(teacher=kzoo.compression.Teacher(model))
    with pytest.raises(KzooError, match="Got the loss Hinge for .* expected keras.losses.Binary"):
        model.compile(loss=keras.losses.Hinge())
    model.compile()
    with pytest.raises(KzooError, match="takes texts alone; the targets are their tokens"):
        model.fit(TEXTS, [0] * len(TEXTS), verbose=0)
    with pytest.raises(KzooError, match="weight = -1 for the loss; expected 0 or more"):
        task(weight=-1)
