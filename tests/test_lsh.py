"""The Reformer's parts: hashing, chunks, reversible blocks, axial places, nets by chunks."""

import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from families import SPECS, add_noise, noisy, tokens, words

import kzoo
from kzoo.keras_hooks import reseed
from kzoo.models import build
from kzoo.network import weights_by_path
from kzoo.spec import Spec


def in_chunks(kind, **options):
    return {"kind": kind, "bias": [], "chunk": 4, **options}


HASHED = in_chunks("lsh", hashes=2, buckets=4)
SEVERAL = {"attention": [in_chunks("chunked"), HASHED]}


def numbers(model, length=23, **options):
    """What a model gives of two rows, and where there is no padding."""
    inputs = tokens(model.spec, 2, length)
    return np.asarray(model(inputs, **options)["sequence_output"]), inputs["padding_mask"] == 1


@pytest.mark.parametrize("looks_ahead", [False, True])
def test_one_chunk_is_dense_attention_of_shared_queries_and_keys(looks_ahead):
    """With the formula of the paper in float64, its section 2."""
    slot = in_chunks("lsh", hashes=3, buckets=4, looks_ahead=looks_ahead, chunk=16)
    model = noisy("reformer", schedule=(0,), attention=slot)
    layer, x = model.block_list[0].attention, np.random.default_rng(0).standard_normal((1, 9, 32))
    inputs = {"token_ids": np.ones((1, 9), "int32"), "padding_mask": np.ones((1, 9), "int32")}
    actual, _ = layer(x.astype("float32"), context=model.context(inputs))
    weights = {path: np.array(w, "float64") for path, w in weights_by_path(model).items()}

    def by_head(name):
        y = x @ weights[f"block_0/attention/{name}/kernel"]
        return y.reshape(1, 9, 4, 8).transpose(0, 2, 1, 3)

    q, v = by_head("query"), by_head("value")
    keys = q / np.sqrt((q * q).mean(-1, keepdims=True) + 1e-6) / np.sqrt(8)
    scores = q @ keys.transpose(0, 1, 3, 2)
    scores = np.where(np.eye(9) == 1, -1e5, scores)
    scores = scores if looks_ahead else np.where(np.tri(9) == 0, -1e9, scores)
    maps = np.exp(scores - scores.max(-1, keepdims=True))
    y = (maps / maps.sum(-1, keepdims=True)) @ v
    y = y.transpose(0, 2, 1, 3).reshape(1, 9, 32) @ weights["block_0/attention/output/kernel"]
    np.testing.assert_allclose(np.asarray(actual), y, atol=1e-5)


@pytest.mark.parametrize(
    "options",
    [{}, {"looks_ahead": True, "after": 1}, {"before": 0}, {"looks_ahead": True}],
    ids=str,
)
@pytest.mark.parametrize("length", [5, 8, 23])
def test_chunks_of_neighbours_are_dense_attention_to_these(options, length):
    model = noisy("reformer", attention=in_chunks("chunked", **options))
    blockwise, real = numbers(model, length)
    dense, _ = numbers(model, length, return_attention_maps=True)
    np.testing.assert_allclose(blockwise[real], dense[real], atol=2e-5)
    assert np.abs(blockwise - numbers(noisy("reformer"), length)[0]).max() > 0.1


def test_a_graph_that_knows_no_length_gives_the_same():
    import tensorflow as tf

    model = noisy("reformer", **SEVERAL)
    shape = tf.TensorSpec((None, None), "int32")
    run = tf.function(lambda x: model(x)["sequence_output"], input_signature=[
        {"token_ids": shape, "padding_mask": shape}
    ])  # fmt: skip
    for length in (3, 8, 23):
        expected, real = numbers(model, length)
        actual = run({k: tf.constant(v) for k, v in tokens(model.spec, 2, length).items()})
        np.testing.assert_allclose(np.asarray(actual)[real], expected[real], atol=2e-5)


def test_the_first_places_alone_are_those_of_all():
    model = noisy("reformer", **SEVERAL)
    inputs = tokens(model.spec, 2, 23)
    first = np.asarray(model.run_for(inputs, 1)["sequence_output"])
    np.testing.assert_allclose(first, numbers(model)[0][:, :1], atol=1e-5)


def test_answers_are_repeatable_and_training_hashes_anew():
    model, fixed = noisy("reformer", **SEVERAL), [{**HASHED, "seed": 0}]
    np.testing.assert_array_equal(numbers(model)[0], numbers(model)[0])
    layer, other = model.block_list[1].attention, noisy("reformer", attention=fixed).block_list[0]
    drawn = [np.asarray(layer.rotations(training=True)) for _ in range(2)]
    assert np.abs(drawn[0] - drawn[1]).max() > 0.1
    reseed(layer, 0)
    np.testing.assert_array_equal(np.asarray(layer.rotations(training=True)), drawn[0])
    kept = [other.attention.rotations(training=training) for training in (True, False)]
    np.testing.assert_array_equal(*kept)


def test_vectors_that_point_alike_share_a_bucket():
    layer = noisy("reformer", attention={**HASHED, "buckets": [8, 8]}).block_list[0].attention
    q = np.random.default_rng(0).standard_normal((1, 4, 6, 8)).astype("float32")
    found = np.asarray(layer.hashed(np.concatenate([q, 3 * q, -q], axis=2)))
    np.testing.assert_array_equal(found[..., :6], found[..., 6:12])
    assert not (found[..., :6] == found[..., 12:]).any()
    assert found.min() >= 0 and 8 <= found.max() < 64 and found.shape == (1, 4, 2, 18)


def compare_gradients():
    """Raise AssertionError where both ways differ."""
    plain, kept = gradients(return_hidden_states=True), gradients()
    for one, other in zip(plain, kept, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5 * max(1, np.abs(one).max()))


def gradients(**options):
    """Of a model with dropout and fresh rotations: its loss, gradients and what draws behind it."""
    rates = {"dropout": 0.2, "attention_dropout": 0.2}
    model = add_noise(build(SPECS["reformer"].replace(**SEVERAL, **rates, schedule=(0, 1, 0))))
    inputs, weights = tokens(model.spec, 2, 11), model.trainable_variables
    reseed(model, 7)

    def loss_of(outputs):
        return keras.ops.mean(keras.ops.square(outputs["sequence_output"]))

    if keras.backend.backend() == "jax":
        import jax

        def loss(trained, others):
            outputs, others = model.stateless_call(
                trained, others, inputs, training=True, **options
            )
            return loss_of(outputs), others

        values = [[w.value for w in own] for own in (weights, model.non_trainable_variables)]
        (value, drawn), found = jax.jit(jax.value_and_grad(loss, has_aux=True))(*values)
    else:
        import tensorflow as tf

        @tf.function
        def step():
            with tf.GradientTape() as tape:
                value = loss_of(model(inputs, training=True, **options))
            found = tape.gradient(value, [weight.value for weight in weights])
            return tf.cast(value, "float32"), [tf.convert_to_tensor(each) for each in found]

        value, found = step()
        drawn = [variable.value for variable in model.non_trainable_variables]
    return [keras.ops.convert_to_numpy(each) for each in (value, *found, *drawn)]


@pytest.mark.parametrize("backend", ["tensorflow", "jax"])
def test_gradients_without_activations_are_those_with_them(backend):
    """With dropout, hashes and a block that runs twice."""
    if backend == keras.backend.backend():
        return compare_gradients()
    environment = {**os.environ, "KERAS_BACKEND": backend}
    root, code = Path(__file__).parent, "import test_lsh; test_lsh.compare_gradients()"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=root, env=environment)


def test_streams_in_half_precision_come_back():
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        one, other = gradients(), gradients(return_hidden_states=True)
    finally:
        keras.config.set_dtype_policy("float32")
    for here, there in zip(one, other, strict=True):
        assert np.abs(here - there).max() <= 0.05 * max(1e-3, np.abs(there).max())


@pytest.mark.parametrize("dims", [None, [12, 20], [12, 8, 12]])
def test_axial_places_are_rows_and_columns_maybe_of_channels(dims):
    shape = [3, 5] if dims == [12, 20] else [2, 4, 3]
    position = {"kind": "axial", "shape": shape, "dims": dims}
    model = noisy("gpt2", position=position, max_sequence_length=15)
    tables = [np.array(each) for each in model.position.get_weights()]
    assert [each.shape[-1] for each in tables] == (dims or [32] * 3)
    assert tables[0].shape[:-1] == (shape[0], *[1] * (len(shape) - 1))
    zeros = np.zeros((1, 13, 32), "float32")
    inputs = {"token_ids": np.ones((1, 13), "int32"), "padding_mask": np.ones((1, 13), "int32")}
    actual = np.asarray(model.position(zeros, context=model.context(inputs)))[0]
    for place, own in zip(range(13), np.ndindex(*shape), strict=False):
        parts = [each.reshape(-1, each.shape[-1])[n] for each, n in zip(tables, own, strict=True)]
        expected = sum(parts) if dims is None else np.concatenate(parts)
        np.testing.assert_allclose(actual[place], expected, rtol=1e-6)


@pytest.mark.parametrize("kind", ["mlp", "gated"])
def test_a_net_by_chunks_is_the_net(kind):
    whole = noisy("gpt2", feedforward=kind)
    by_chunks = noisy("gpt2", feedforward={"kind": kind, "chunk": 4})
    for length in (3, 8, 23):
        expected, actual = numbers(whole, length)[0], numbers(by_chunks, length)[0]
        np.testing.assert_allclose(actual, expected, atol=1e-6)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"attention": {"kind": "lsh", "chunk": 0}}, "chunk = 0 for attention; expected 1 or more"),
        ({"attention": {"kind": "chunked", "before": -1}}, "before = -1 .* 0 or more chunks"),
        ({"attention": {"kind": "chunked", "after": 1}}, "after = 1 .* no place behind its own"),
        ({"attention": {**HASHED, "hashes": 5}}, "hashes = 5 .* 1 to 4, the number of its buckets"),
        ({"attention": {**HASHED, "buckets": 5}}, "buckets = 5 .* an even number, a pair"),
        ({"attention": {**HASHED, "buckets": [4, 3]}}, r"buckets = \[4, 3\] .* an even number"),
        ({"attention": {**HASHED, "seed": -1}}, "seed = -1 .* 0 or more, or null"),
        ({"attention": HASHED, "num_key_value_heads": 2}, "2 key_value_heads for lsh attention"),
        ({"attention": {**HASHED, "bias": ["key"]}}, "expected some of query, value, output"),
        ({"position": {"kind": "axial", "shape": [5, 8], "dims": [8, 8]}}, "16 together; .* 32"),
        ({"position": {"kind": "axial", "shape": [5, 7]}}, "35 places; expected at least .* 40"),
        ({"position": {"kind": "axial", "shape": 40}}, "shape = 40 .* rows and of columns"),
        ({"position": {"kind": "axial", "dims": [12, 20, 1]}}, "a width for each of the 2 axes"),
        ({"feedforward": {"kind": "mlp", "chunk": -1}}, "chunk = -1 for a feed-forward net"),
    ],
)
def test_what_does_not_fit_is_named(changes, message):
    with pytest.raises(kzoo.KzooError, match=message):
        build(SPECS["reformer"].replace(**changes))


def test_it_learns_to_say_again_what_it_read():
    """The paper's task of section 5: w w, of which the second half is to be written."""
    spec = Spec(
        "reformer", words(vocabulary_size=8), hidden_dim=32, num_heads=2, intermediate_dim=64,
        schedule=(0,), max_sequence_length=32, block="reversible", norms=["final"],
        pooler="none", dropout=0.0, attention_dropout=0.0,
        attention=in_chunks("chunked", chunk=16),
    )  # fmt: skip
    task = kzoo.CausalLM(build(spec))
    draw = np.random.default_rng(0)
    ids = np.tile(draw.integers(1, 8, (64, 4)), (1, 2)).astype("int32")
    task.compile(optimizer=keras.optimizers.Adam(0.01))
    inputs = {"token_ids": ids, "padding_mask": ids * 0 + 1}
    before = float(np.mean(loss_of(task, inputs)))
    import tensorflow as tf

    for _ in range(30):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(loss_of(task, inputs, training=True))
        found = tape.gradient(loss, [weight.value for weight in task.trainable_variables])
        task.optimizer.apply(found, task.trainable_variables)
    assert float(np.mean(loss_of(task, inputs))) < 0.8 * before


def loss_of(task, inputs, training=False):
    """The loss of each next token."""
    logits = task(inputs, training=training)["logits"][:, :-1]
    return keras.ops.sparse_categorical_crossentropy(
        inputs["token_ids"][:, 1:], logits, from_logits=True
    )
