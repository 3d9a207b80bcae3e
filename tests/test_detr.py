"""DETR: the residual network, places of two sides, what its attention adds to what."""

import numpy as np
import pytest
from families import SPECS, add_noise, filled_pictures, noisy, shared

import kzoo
from kzoo import presets
from kzoo.models import build, describe
from kzoo.models.detr import DetrEncoder
from kzoo.network import weights_by_path
from kzoo.nn.attention import Attention
from kzoo.nn.resnet import ResnetEmbedding

DETR = SPECS["detr"]


def outputs(model, images, mask=None):
    """Both outputs of a network as NumPy."""
    given = model({"images": images} | ({} if mask is None else {"pixel_mask": mask}))
    return {name: np.asarray(value) for name, value in given.items()}


def test_without_a_mask_all_pixels_count():
    images = filled_pictures(2)["images"]
    plain = outputs(shared("detr"), images)
    filled = outputs(shared("detr"), images, np.ones(images.shape[:3], "int32"))
    for name, value in plain.items():
        np.testing.assert_allclose(filled[name], value, atol=2e-5)


def test_places_beside_a_picture_are_not_looked_at(monkeypatch):
    model, inputs = noisy("detr"), filled_pictures(3)
    mask = np.asarray(model.encoder.embedding.padding_mask(inputs))
    assert [int(row.sum()) for row in mask] == [4 * 3, 3 * 3, 2 * 2]
    before = outputs(model, *inputs.values())
    call = ResnetEmbedding.call

    def other(self, inputs, training=None):
        return call(self, inputs, training) + 9.0 * (1 - mask[..., None])

    monkeypatch.setattr(ResnetEmbedding, "call", other)
    after = outputs(model, *inputs.values())
    np.testing.assert_allclose(after["sequence_output"], before["sequence_output"], atol=1e-5)
    apart = np.abs(after["memory"] - before["memory"]).max(-1)
    assert apart[mask == 1].max() < 1e-5 and apart[mask == 0].max() > 0.1
    whole = outputs(model, inputs["images"])
    assert np.abs(whole["sequence_output"] - before["sequence_output"]).max() > 0.05


@pytest.mark.parametrize("size", [(64, 96), (65, 33), (2, 2)])
def test_a_size_in_the_spec_changes_nothing_of_the_answer(size):
    model = shared("detr")
    fixed = model.resized(list(size))
    assert fixed.signature["images"].axes == ("batch", *size, 3)
    images = np.random.default_rng(1).standard_normal((2, *size, 3)).astype("float32")
    for name, value in outputs(model, images).items():
        np.testing.assert_allclose(outputs(fixed, images)[name], value, atol=2e-5)
    with pytest.raises(kzoo.KzooError, match="expected float32"):
        fixed({"images": images[:, 1:]})


def test_places_are_added_to_queries_and_keys_alone(monkeypatch):
    """By hand: attention of one block of the encoder, from its own weights."""
    model, inputs = shared("detr"), filled_pictures(2)
    encoder, seen = model.encoder, []
    call = Attention.call

    def watched(self, x, context, training=None):
        given = call(self, x, context=context, training=training)
        seen.append((self, x, context, given))
        return given

    monkeypatch.setattr(Attention, "call", watched)
    places = np.asarray(encoder.places(inputs))
    encoder.run(inputs)
    assert len(seen) == 2
    for layer, x, context, (_, told) in seen:
        x = np.asarray(x)
        np.testing.assert_allclose(np.asarray(context.query_position), places, atol=1e-6)
        for name, vectors in (("query", x + places), ("key", x + places), ("value", x)):
            dense = getattr(layer, name)
            expected = vectors @ np.asarray(dense.kernel) + np.asarray(dense.bias)
            actual = np.asarray(getattr(told, name)).transpose(0, 2, 1, 3).reshape(x.shape)
            np.testing.assert_allclose(actual, expected, atol=2e-4)


def test_steps_are_normalised_and_the_last_is_the_output():
    model, inputs = shared("detr"), filled_pictures(2)
    given = model(inputs, return_steps=True, return_hidden_states=True)
    assert len(given["step_outputs"]) == 3 and len(given["hidden_states"]) == 4
    last = np.asarray(given["step_outputs"][-1])
    np.testing.assert_array_equal(last, np.asarray(given["sequence_output"]))
    norm = model.decoder.final_norm
    for state, step in zip(given["hidden_states"][1:-1], given["step_outputs"], strict=False):
        np.testing.assert_array_equal(np.asarray(norm(state)), np.asarray(step))


def test_frozen_norms_stand_still_whatever_is_thawed():
    model = build(DETR)
    model.trainable = False
    model.trainable = True
    learns = {weight.path for weight in model.trainable_weights}
    still = {p for p, w in weights_by_path(model).items() if not w.trainable}
    assert still and all("/normalization/" in path for path in still)
    assert not any("/normalization/" in path for path in learns)
    batch = build(with_norm("batch"))
    learns = {path for path, w in weights_by_path(batch).items() if w.trainable}
    assert any(path.endswith("normalization/gamma") for path in learns)


def with_norm(norm):
    """The tiny spec with another norm of its maps."""
    encoder = DETR.towers["encoder"]
    embedding = {**encoder.embedding, "norm": norm}
    return DETR.replace(towers={**DETR.towers, "encoder": encoder.replace(embedding=embedding)})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"widths": [8, 8, 8]}, "4 whole"),
        ({"widths": [8, 8, 8, 6]}, "multiples of 4"),
        ({"depths": [1, 1, 0, 1]}, "depths"),
        ({"output_stride": 8}, "expected 32 or 16"),
        ({"norm": "none"}, "frozen"),
        ({"image_size": [0, 4]}, "image_size"),
    ],
)
def test_a_network_that_cannot_be_is_named(changes, message):
    spec = DETR.towers["encoder"]
    spec = spec.replace(embedding={**spec.embedding, **changes})
    with pytest.raises(kzoo.KzooError, match=message):
        build(DETR.replace(towers={**DETR.towers, "encoder": spec}))


# Counted in transformers 5.23 with 91 labels, where no number of a norm of maps is a parameter.
PUBLISHED = {"detr_resnet_50": 41_524_768, "detr_resnet_101": 60_464_672}
HEAD = 92 * 257 + 2 * 256 * 257 + 4 * 257


@pytest.mark.parametrize("name", [n + end for n in PUBLISHED for end in ("", "_dc5")])
def test_presets_have_the_sizes_that_were_published(name):
    shapes = dict(describe(presets.read_spec(name)))
    norms = {path for path in shapes if "/normalization/" in path}
    count = sum(int(np.prod(shape)) for path, shape in shapes.items() if path not in norms)
    assert count + HEAD == PUBLISHED[name.removesuffix("_dc5")]
    assert presets.card(name)["parameters"] == sum(int(np.prod(s)) for s in shapes.values())


def test_a_dilated_stage_sees_as_far_on_a_finer_map():
    encoder = DETR.towers["encoder"]
    embedding = {**encoder.embedding, "output_stride": 16, "depths": [1, 1, 1, 2]}
    fine = add_noise(build(DETR.replace(
        towers={**DETR.towers, "encoder": encoder.replace(embedding=embedding)}
    )))  # fmt: skip
    images = filled_pictures(1, 64, 48)["images"]
    assert outputs(fine, images)["memory"].shape == (1, 4 * 3, 32)
    kernels = [unit.inner.convolution for unit in fine.encoder.embedding.bottlenecks]
    assert [(each.stride, each.dilation) for each in kernels] == [
        (1, 1), (2, 1), (2, 1), (1, 1), (1, 2),
    ]  # fmt: skip


def test_queries_need_a_count():
    with pytest.raises(kzoo.KzooError, match="expected 1 or more"):
        decoder = DETR.towers["decoder"].replace(embedding={"kind": "queries", "count": 0})
        build(DETR.replace(towers={**DETR.towers, "decoder": decoder}))
    with pytest.raises(kzoo.KzooError, match="multiple of 4"):
        DetrEncoder(DETR.towers["encoder"].replace(hidden_dim=30, num_heads=3))


def test_a_detector_learns_the_same_where_gradients_are_checkpointed():
    import tensorflow as tf

    towers = {name: tower.replace(dropout=0.0) for name, tower in DETR.towers.items()}
    towers = {name: tower.replace(attention_dropout=0.0) for name, tower in towers.items()}
    inputs, made = filled_pictures(2), []
    for value in (False, True):
        model = add_noise(build(DETR.replace(towers=towers)))
        model.checkpoint_gradients(value)
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(model(inputs, training=True)["sequence_output"] ** 3)
        gradients = tape.gradient(loss, [w.value for w in model.trainable_weights])
        made.append([np.asarray(tf.convert_to_tensor(each)) for each in gradients])
    assert len(made[0]) > 100
    for one, other in zip(*made, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-3)
