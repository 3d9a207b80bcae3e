"""Zeros in matrices: those of TensorFlow's own toolkit, and kept while a model learns."""

import json
from pathlib import Path

import keras
import numpy as np
import pytest
from families import noisy
from test_prune import LABELS, TEXTS, classifier

import kzoo
from kzoo.compression import Sparsity, sparsify
from kzoo.compression.sparsity import kept
from kzoo.network import weights_by_path

GOLDEN = json.loads((Path(__file__).parent / "golden" / "tfmot.json").read_text("utf-8"))


def test_masks_are_those_of_the_optimization_toolkit():
    """Of TFMOT 0.8.1, by benchmarks/compression/tfmot_masks.py."""
    draw = np.random.default_rng(GOLDEN["seed"])
    for case in GOLDEN["masks"]:
        weights = draw.standard_normal(case["shape"]).astype("float32")
        share = case["share"] if case["share"] == "2:4" else float(case["share"])
        actual = np.packbits(kept(weights, share)).tobytes().hex()
        assert actual == case["kept"], case["share"]


def zeros(model):
    """The share of zeros in each matrix of a model."""
    weights = weights_by_path(model).items()
    return [float((np.asarray(w) == 0).mean()) for _, w in weights if np.prod(w.shape) >= 1024]


def test_shares_grow_as_those_of_the_optimization_toolkit_and_zeros_stay_zero():
    task, seen = classifier(schedule=(0,)), []

    class Watch(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            seen.append(zeros(task))

    sparsity = Sparsity(0.8, begin=0.0, end=0.75, every=1)
    task.fit(TEXTS, LABELS, batch_size=4, epochs=4, callbacks=[sparsity, Watch()], verbose=0)
    expected = GOLDEN["schedule to 0.8"]
    for step, shares in enumerate(seen, start=1):
        np.testing.assert_allclose(shares, expected[min(step, 12)], atol=1e-3)
    assert len(seen) == 16


def test_several_batches_an_execution_end_with_as_many_zeros():
    """Keras calls back behind the last of three alone, and no multiple of four may come."""
    task = classifier(schedule=(0,))
    task.compile(optimizer=kzoo.AdamW(1e-3), steps_per_execution=3)
    sparsity = Sparsity(0.8, begin=0.0, end=0.75, every=4)
    task.fit(TEXTS, LABELS, batch_size=4, epochs=4, callbacks=[sparsity], verbose=0)
    np.testing.assert_allclose(zeros(task), 0.8, atol=1e-3)


@pytest.mark.parametrize("share", [0.75, "2:4"])
def test_a_copy_has_zeros_and_is_smaller_zipped(share):
    model = noisy("bert")
    before = zeros(model)
    copy, report = sparsify(model, share)
    assert zeros(model) == before == [0.0] * len(before)
    np.testing.assert_allclose(zeros(copy), 0.5 if share == "2:4" else 0.75, atol=0.01)
    assert report["zipped"]["after"] < 0.7 * report["zipped"]["before"]


@pytest.mark.parametrize("share", [0, 1, "4:8", None])
def test_what_is_no_share_is_one_sentence(share):
    with pytest.raises(kzoo.KzooError, match="expected a number above 0 and below 1"):
        sparsify(noisy("bert"), share)
    with pytest.raises(kzoo.KzooError, match="share"):
        Sparsity(share)


def test_a_training_too_short_to_mask_anything_is_refused():
    task = classifier(schedule=(0,))
    with pytest.raises(kzoo.KzooError, match="every=50 for a training of 4 batches"):
        task.fit(TEXTS, LABELS, batch_size=4, callbacks=[Sparsity(0.5)], verbose=0)
