"""Networks of several towers: an encoder and a decoder, two encoders side by side."""

import io

import keras
import numpy as np
import pytest
from families import SPECS, add_noise, shared, tokens
from families import inputs_of as inputs_of_family
from rich.console import Console

import kzoo
from kzoo import models, presets, views
from kzoo.graphs import EncoderDecoder, Stack, TwoTower
from kzoo.models import build, count_parameters, describe
from kzoo.network import weights_by_path
from kzoo.values import NOWHERE


@keras.saving.register_keras_serializable("tests")
class Reader(Stack):
    family = "reader"


@keras.saving.register_keras_serializable("tests")
class Writer(Stack):
    family = "writer"


@keras.saving.register_keras_serializable("tests")
class Pair(EncoderDecoder):
    family = "pair"
    TOWERS = {"encoder": Reader, "decoder": Writer}


@keras.saving.register_keras_serializable("tests")
class Twins(TwoTower):
    family = "twins"
    TOWERS = {"text": Reader, "other": Reader}


READER = SPECS["distilbert"].replace(family="reader")
WRITER = SPECS["gpt2"].replace(family="writer", cross_attention="full", schedule=(0, 1, 0))
TOWERS = {
    "pair": {"family": "pair", "towers": {"encoder": READER, "decoder": WRITER}},
    "twins": {
        "family": "twins",
        "towers": {"text": READER.replace(pooler="tanh"), "other": READER.replace(pooler="tanh")},
    },
}


@pytest.fixture(autouse=True)
def families(monkeypatch):
    for cls in (Reader, Writer, Pair, Twins):
        monkeypatch.setitem(models.FAMILIES, cls.family, cls)


def made(name):
    return add_noise(build(kzoo.Spec.from_dict(TOWERS[name])))


def inputs_of(pair):
    read, written = tokens(READER, batch=2, length=7), tokens(WRITER, batch=2, length=6, seed=1)
    written["padding_mask"] = written["padding_mask"] * 0 + 1
    return {
        **{f"encoder_{name}": value for name, value in read.items()},
        **{f"decoder_{name}": value for name, value in written.items()},
    }


@pytest.mark.parametrize("name", TOWERS)
def test_a_spec_of_towers_survives_json_and_counts_tower_by_tower(name):
    spec = kzoo.Spec.from_dict(TOWERS[name])
    assert kzoo.Spec.from_dict(spec.to_dict()) == spec == type(spec).from_json(spec.to_json())
    model = made(name)
    shapes = {path: tuple(weight.shape) for path, weight in weights_by_path(model).items()}
    assert dict(describe(spec)) == shapes
    assert [path for path, _ in describe(spec)] == list(shapes)
    assert count_parameters(spec) == model.count_params()


@pytest.mark.parametrize("name", TOWERS)
def test_towers_come_back_from_a_keras_file(name, tmp_path):
    model = made(name)
    model.save(tmp_path / "towers.keras")
    again = keras.saving.load_model(tmp_path / "towers.keras")
    for path, weight in weights_by_path(model).items():
        np.testing.assert_array_equal(weights_by_path(again)[path], weight)


def test_steps_with_what_was_encoded_once_give_what_the_whole_gives():
    pair = made("pair")
    inputs = inputs_of(pair)
    whole = np.asarray(pair(inputs)["sequence_output"])
    read = {name: value for name, value in inputs.items() if name.startswith("encoder_")}
    known = {name: np.asarray(value) for name, value in pair(read).items()}
    mask = {"memory_mask": inputs["encoder_padding_mask"]}
    memory = {name: known[name] for name in known if name.startswith("memory_")}
    past = {
        name: np.zeros((2, entry.axes[1], 0, entry.axes[3]), "float32")
        for name, entry in pair.signatures["step"].items()
        if name.startswith("past_") and name != "past_places"
    }
    past["past_places"] = np.full((2, 0), NOWHERE, "int32")
    parts = []
    for start in (0, 1, 2, 3, 4, 5):
        places = np.full((2, 1), start, "int32")
        ids = inputs["decoder_token_ids"][:, start : start + 1]
        step = {"decoder_token_ids": ids, "decoder_places": places, **past, **memory, **mask}
        outputs = pair(step)
        parts.append(np.asarray(outputs["sequence_output"]))
        for name in past:
            new = places if name == "past_places" else np.asarray(outputs[name])
            past[name] = np.concatenate([past[name], new], axis=1 if new.ndim == 2 else 2)
    np.testing.assert_allclose(np.concatenate(parts, axis=1), whole, atol=3e-5)


def test_a_memory_is_read_and_its_padding_is_not():
    pair, inputs = made("pair"), None
    inputs = inputs_of(pair)
    before = np.asarray(pair(inputs)["sequence_output"])
    mask = inputs["encoder_padding_mask"]
    assert 0 in mask[1] and 1 in mask[1]
    for at, moves in ((0, False), (1, True)):
        ids = np.where(mask == at, (inputs["encoder_token_ids"] + 7) % 100 + 5, 0)
        ids = np.where(mask == at, ids, inputs["encoder_token_ids"]).astype("int32")
        after = np.asarray(pair({**inputs, "encoder_token_ids": ids})["sequence_output"])
        assert (np.abs(after - before).max() > 1e-3) == moves


def test_towers_of_one_length_alone_or_together():
    twins = made("twins")
    read = tokens(READER, batch=2, length=7)
    one = {f"text_{name}": value for name, value in read.items()}
    both = {**one, **{f"other_{name}": value[:, :5] for name, value in read.items()}}
    outputs = {name: np.asarray(value) for name, value in twins(both).items()}
    logits = outputs.pop("logits_per_text")
    assert sorted(outputs) == ["other_embedding", "text_embedding"]
    for value in outputs.values():
        np.testing.assert_allclose(np.linalg.norm(value, axis=-1), 1, atol=1e-5)
    products = outputs["text_embedding"] @ outputs["other_embedding"].T
    np.testing.assert_allclose(logits, products * np.exp(twins.logit_scale), atol=1e-5)
    np.testing.assert_allclose(twins(one)["text_embedding"], outputs["text_embedding"], atol=1e-6)


def test_towers_of_different_inputs_keep_their_names_and_have_batches_of_their_own():
    clip = shared("clip")
    assert {name: entry.axes for name, entry in clip.signature.items()} == {
        "images": ("images", 8, 8, 3),
        "token_ids": ("texts", "length"),
        "padding_mask": ("texts", "length"),
    }
    assert clip.largest == {"length": 40}
    inputs = inputs_of_family(SPECS["clip"])
    outputs = {name: np.asarray(value) for name, value in clip(inputs).items()}
    assert outputs["logits_per_image"].shape == (4, 3)
    for tower in ("image", "text"):
        read = clip.signatures[tower]
        assert {entry.axes[0] for entry in read.values()} == {"batch"}
        actual = clip({name: inputs[name] for name in read})
        assert list(actual) == [f"{tower}_embedding"]
        np.testing.assert_allclose(
            actual[f"{tower}_embedding"], outputs[f"{tower}_embedding"], atol=1e-6
        )
    with pytest.raises(kzoo.KzooError, match="is 41 tokens long; clip clip takes at most 40"):
        clip({name: np.ones((1, 41), "int32") for name in ("token_ids", "padding_mask")})
    with pytest.raises(kzoo.KzooError, match=r"expected float32 \(images, 8, 8, 3\)"):
        clip({**inputs, "images": inputs["images"][:, :4]})


@pytest.mark.parametrize(
    ("token", "ends"), [("largest", [3, 1, 0]), (9, [1, 2, 0])], ids=["largest", "first"]
)
def test_a_text_is_pooled_where_it_ends(token, ends):
    """At the first of the largest ids, or the first of one token; at the first without one."""
    pooler = {"kind": "end", "dim": 24, "token": token}
    model = add_noise(build(SPECS["clip_text"].replace(pooler=pooler)))
    ids = np.array([[5, 9, 7, 20, 20, 9], [5, 30, 9, 6, 30, 9], [8, 7, 6, 5, 5, 5]], "int32")
    outputs = model({"token_ids": ids, "padding_mask": ids * 0 + 1})
    places = np.asarray(outputs["sequence_output"])[np.arange(3), ends]
    expected = places @ np.asarray(weights_by_path(model)["pooler/projection/kernel"])
    np.testing.assert_allclose(outputs["pooled_output"], expected, atol=1e-5)


@pytest.mark.parametrize(
    ("pooler", "message"),
    [
        ({"kind": "end", "token": -1}, 'token = -1 for a pooler; expected an id, or "largest"'),
        ({"kind": "first", "dim": 0}, "dim = 0 for a pooler; expected a whole number above 0"),
    ],
)
def test_a_pooler_that_is_none_is_named(pooler, message):
    with pytest.raises(kzoo.KzooError, match=message):
        build(SPECS["clip_text"].replace(pooler=pooler))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"towers": {"encoder": READER}}, r"Got the towers \['encoder'\] for Pair; expected"),
        ({"towers": [READER]}, "towers is"),
        ({"hidden_dim": 8}, r"unknown fields \['hidden_dim'\]"),
        ({"options": None}, "options is None; a dict"),
    ],
)
def test_what_is_no_such_spec_is_named(changes, message):
    with pytest.raises(kzoo.KzooError, match=message):
        build(kzoo.Spec.from_dict({**TOWERS["pair"], **changes}))


def test_a_parallel_block_has_no_attention_to_a_memory():
    with pytest.raises(kzoo.KzooError, match="parallel block has no attention to a memory"):
        build(WRITER.replace(block="parallel"))


def test_a_preset_of_towers_is_shown_tower_by_tower(tmp_path):
    pair = made("pair")
    presets.save_preset(pair, tmp_path / "pair")
    data = views.flat(tmp_path / "pair")
    assert list(data["towers"]) == ["encoder", "decoder"] and "spec" not in data
    decoder = data["towers"]["decoder"]
    assert ("cross_attention", "full") in [(s["slot"], s["kind"]) for s in decoder["slots"]]
    assert decoder["blocks"] == [
        {"block": "block_0", "steps": [0, 2]}, {"block": "block_1", "steps": [1]}
    ]  # fmt: skip
    console = Console(width=200, record=True, file=io.StringIO())
    console.print(*views.flat_view(data))
    shown = console.export_text()
    for expected in ("Sizes of the encoder", "Slots of the decoder", "steps 0, 2 share block_0"):
        assert expected in shown
    again = presets.load(tmp_path / "pair")
    inputs = inputs_of(pair)
    np.testing.assert_array_equal(again(inputs)["sequence_output"], pair(inputs)["sequence_output"])
