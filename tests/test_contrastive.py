"""Losses of texts that are compared, against what torch and sentence-transformers compute."""

import keras
import numpy as np
import pytest
from test_index import embedder
from test_late_interaction import DOCUMENTS, GROUPS, QUERIES, colbert

import kzoo
from kzoo.keras_hooks import reseed
from kzoo.tasks.text_embedder import CosineLoss

DRAW = np.random.default_rng(0)
PAIRS = DRAW.normal(size=(6, 2, 8)).astype("float32")
TRIPLES = DRAW.normal(size=(6, 3, 8)).astype("float32")
SCORES = np.array([0.9, -0.2, 0.4, 0.4, 1.0, 0.0], "float32")


def unit(vectors):
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def in_batch(vectors, scale=20.0):
    """Multiple negatives ranking by NumPy, in float64."""
    vectors = unit(vectors.astype("float64"))
    others = vectors[:, 1:].reshape(-1, vectors.shape[-1])
    scores, step = scale * vectors[:, 0] @ others.T, vectors.shape[1] - 1
    own = scores[range(len(vectors)), np.arange(len(vectors)) * step]
    return (np.log(np.exp(scores).sum(1)) - own).mean()


def cosent(vectors, scores, scale=20.0):
    """By loops, from the definition."""
    vectors = unit(vectors.astype("float64"))
    cosines, total = (vectors[:, 0] * vectors[:, 1]).sum(-1), 1.0
    for i, one in enumerate(scores):
        for j, other in enumerate(scores):
            total += np.exp(scale * (cosines[j] - cosines[i])) if one > other else 0
    return np.log(total)


def triplet(vectors, margin):
    near, far = (np.linalg.norm(vectors[:, 0] - vectors[:, i], axis=-1) for i in (1, 2))
    return np.maximum(0, near - far + margin).mean()


CASES = {
    "pairs": (kzoo.InBatchLoss(), PAIRS, SCORES, lambda: in_batch(PAIRS)),
    "hard negatives": (kzoo.InBatchLoss(5.0), TRIPLES, SCORES, lambda: in_batch(TRIPLES, 5.0)),
    "cosine": (
        CosineLoss(), PAIRS, SCORES,
        lambda: (((unit(PAIRS)[:, 0] * unit(PAIRS)[:, 1]).sum(-1) - SCORES) ** 2).mean(),
    ),
    "CoSENT": (kzoo.CoSentLoss(), PAIRS, SCORES, lambda: cosent(PAIRS, SCORES)),
    "triplet": (kzoo.TripletLoss(0.5), TRIPLES, SCORES, lambda: triplet(TRIPLES, 0.5)),
    "Matryoshka": (
        kzoo.MatryoshkaLoss(kzoo.InBatchLoss(), [8, 3], [1.0, 0.5]), TRIPLES, SCORES,
        lambda: in_batch(TRIPLES) + 0.5 * in_batch(TRIPLES[..., :3]),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_a_loss_is_what_its_definition_says(name):
    """By NumPy; and it comes back from its config."""
    loss, vectors, scores, expected = CASES[name]
    for each in (loss, type(loss).from_config(loss.get_config())):
        assert float(each(scores, vectors)) == pytest.approx(expected(), rel=1e-5)


@pytest.mark.parity
@pytest.mark.parametrize("name", [name for name in CASES if name != "cosine"])
def test_a_loss_is_that_of_sentence_transformers(name):
    """Their modules on our vectors."""
    losses = pytest.importorskip("sentence_transformers.sentence_transformer.losses")
    import torch

    loss, vectors, scores, _ = CASES[name]
    sides = [torch.tensor(vectors[:, i]) for i in range(vectors.shape[1])]

    def found(model):
        """What stands for a model there: vectors that are known already."""
        return model

    theirs = {
        "pairs": lambda: losses.MultipleNegativesRankingLoss(found),
        "hard negatives": lambda: losses.MultipleNegativesRankingLoss(found, scale=5.0),
        "CoSENT": lambda: losses.CoSENTLoss(found),
        "triplet": lambda: losses.TripletLoss(found, triplet_margin=0.5),
        "Matryoshka": lambda: losses.MultipleNegativesRankingLoss(found),
    }
    module, labels = theirs[name](), torch.tensor(scores)
    expected = module([{"sentence_embedding": side} for side in sides], labels)
    if name == "Matryoshka":
        short = [{"sentence_embedding": side[:, :3]} for side in sides]
        expected = expected + 0.5 * module(short, labels)
    assert float(loss(scores, vectors)) == pytest.approx(float(expected), rel=1e-5)


def stepped(make, folder, groups, loss, parts):
    """The weights after one step of plain descent, and the loss."""
    task = make(folder)
    task.compile(keras.optimizers.SGD(0.1), loss=loss, parts=parts)
    history = task.fit(groups, batch_size=len(groups), epochs=1, verbose=0).history
    return history["loss"][0], [np.array(weight) for weight in task.trainable_weights]


@pytest.mark.parametrize("make", [embedder, colbert])
def test_a_batch_in_parts_has_the_gradients_of_the_whole(make, tmp_path):
    """Three groups of three in four parts, none of which holds a whole number of groups."""

    def still(folder):
        task = make(folder)
        spec = task.spec.replace(dropout=0.0, attention_dropout=0.0)
        return task.under(spec)

    loss = kzoo.InBatchLoss() if make is embedder else kzoo.MaxSimLoss()
    whole, there = stepped(still, tmp_path, GROUPS, loss, 1)
    cut, here = stepped(still, tmp_path, GROUPS, loss, 4)
    assert cut == pytest.approx(whole, rel=1e-6)
    start = [np.array(weight) for weight in still(tmp_path).trainable_weights]
    assert any(np.abs(one - other).max() > 1e-4 for one, other in zip(start, there, strict=True))
    for one, other in zip(here, there, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)


def test_parts_stay_with_a_compiled_task(tmp_path):
    task = embedder(tmp_path)
    task.compile(loss=kzoo.MatryoshkaLoss(kzoo.InBatchLoss(), [16, 8]), parts=3)
    reseed(task, 1)
    assert np.isfinite(task.fit(GROUPS, epochs=1, verbose=0).history["loss"][0])  # With dropout.
    task.save(tmp_path / "task.keras")
    back = keras.saving.load_model(tmp_path / "task.keras")
    assert back.parts == 3 and back.loss.dims == [16, 8]
    assert type(back.loss.loss) is kzoo.InBatchLoss


def test_groups_that_a_loss_does_not_read_are_one_sentence(tmp_path):
    task = embedder(tmp_path)
    pairs = list(zip(QUERIES, DOCUMENTS[:2], strict=True))
    for options, x, words in (
        ({"loss": kzoo.TripletLoss()}, pairs, "TripletLoss reads 3"),
        ({"loss": kzoo.CoSentLoss()}, pairs, "without scores, which CoSentLoss"),
        ({"loss": CosineLoss()}, GROUPS, "CosineLoss reads 2"),
        ({"loss": kzoo.InBatchLoss()}, QUERIES, "pairs of texts"),
        ({"loss": kzoo.MatryoshkaLoss(kzoo.InBatchLoss(), [64])}, pairs, "vectors have 32"),
        ({"parts": 0}, pairs, "Got parts=0"),
    ):
        with pytest.raises(kzoo.KzooError, match=words):
            task.compile(**options)
            task.fit(x, verbose=0)
    with pytest.raises(kzoo.KzooError, match="Got distance='far'"):
        kzoo.TripletLoss(distance="far")
