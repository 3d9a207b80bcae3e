"""What training computes in another form than Keras': dropout, and GELU."""

import keras
import numpy as np
import pytest
from keras import ops

import kzoo
from kzoo.nn import lowering
from kzoo.nn.dropout import Dropout

ONES = np.ones((64, 33, 100), "float32")  # No multiple of 4 in an axis that is drawn for.


def dropped(rate, seed=0, **options):
    return np.asarray(ops.cast(Dropout(rate, seed=seed, **options)(ONES, training=True), "float32"))


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
def test_dropout_leaves_out_its_rate_and_keeps_the_mean(rate):
    """Within 5 standard deviations, at each of the four places of a drawn word too."""
    out = dropped(rate)
    for part in (out.ravel(), *(out.ravel()[place::4] for place in range(4))):
        deviation = np.sqrt(rate * (1 - rate) / part.size)
        assert abs((part == 0).mean() - rate) < 5 * deviation
    np.testing.assert_allclose(np.unique(out), [0, 1 / (1 - rate)], rtol=1e-4)


def test_dropout_goes_on_from_its_seed_and_repeats_itself_from_one():
    layer = Dropout(0.5, seed=1)
    first, second = (np.asarray(layer(ONES, training=True)) for _ in range(2))
    assert 0.45 < (first == second).mean() < 0.55
    assert (dropped(0.5, seed=1) == first).all()
    assert (np.asarray(layer(ONES)) == ONES).all()


def test_dropout_in_half_precision_leaves_out_the_same():
    assert ((dropped(0.5, dtype="mixed_bfloat16") == 0) == (dropped(0.5) == 0)).all()


def test_no_gradient_flows_through_what_was_left_out():
    tf = pytest.importorskip("tensorflow")
    layer, x = Dropout(0.5, seed=1), tf.constant(ONES)
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = layer(x, training=True)
    np.testing.assert_array_equal(tape.gradient(y, x), y)  # Of ones the factor itself.


@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 2e-6), ("bfloat16", 2**-8)])
def test_gelu_is_that_of_the_error_function(dtype, tolerance):
    """In bfloat16 as near as rounding the exact one is."""
    x = ops.cast(np.linspace(-8, 8, 4001), dtype)
    exact = np.asarray(ops.gelu(ops.cast(x, "float32"), approximate=False))
    ours = np.asarray(ops.cast(lowering.gelu(x), "float32"))
    assert lowering.gelu(x).dtype == x.dtype
    assert (np.abs(ours - exact) <= tolerance * np.maximum(1, np.abs(exact))).all()


def updates(monkeypatch, clips_as_keras):
    """A table and a matrix after 20 steps of clipping, with ids that repeat."""
    tf = pytest.importorskip("tensorflow")
    draw = np.random.default_rng(0)
    table, matrix = (
        keras.Variable(draw.normal(size=(9, 4)).astype("float32"), name="kernel") for _ in range(2)
    )
    optimizer = kzoo.AdamW(1e-2, warmup=0, decay="constant", clip_norm=0.5)
    if clips_as_keras:
        clip = keras.optimizers.Optimizer._clip_gradients
        whole = kzoo.keras_hooks.dense
        monkeypatch.setattr(
            optimizer, "_clip_gradients", lambda g: clip(optimizer, [whole(each) for each in g])
        )
    for step in range(20):
        rows = tf.constant(draw.normal(size=(7, 4)).astype("float32"))
        rows = tf.IndexedSlices(rows, tf.constant([0, 0, 1, 2, 1, 0, 8]), tf.constant([9, 4]))
        other = tf.constant(draw.normal(size=(9, 4)).astype("float32") * (step % 3) / 30)
        optimizer.apply([rows, other], [table, matrix])
    return np.asarray(table), np.asarray(matrix)


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="of TensorFlow's gradients")
def test_rows_are_clipped_as_the_whole_gradient_of_a_table(monkeypatch):
    ours, keras_own = (updates(monkeypatch, which) for which in (False, True))
    for one, other in zip(ours, keras_own, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)
