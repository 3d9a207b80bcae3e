"""What config.json means: keys that lead to places in a spec, both ways, without a checkpoint."""

import keras  # noqa: F401
import pytest
from families import SPECS

import kzoo
from kzoo import nn  # noqa: F401  (files the parts)
from kzoo.checkpoints.config import config_from_fields, config_from_spec, fields_from_config
from kzoo.checkpoints.config import spec_from_config as read
from kzoo.models import FAMILIES
from kzoo.parts import completed
from kzoo.spec import Spec


class Writer:
    """A decoder, with each kind of key that one has."""

    family = "writer"
    TOWERS, KEY, HEAD_DROPOUT, elsewhere = {}, None, {}, "Hugging Face"
    FIXED = {
        "attention": ["causal", {"kind": "local", "window": 256}],
        "block": "pre_norm",
        "norms": ["final"],
        "position": {"kind": "learned"},
    }
    CONFIG = {
        "vocab_size": ("embedding.vocabulary_size", 50257),
        "n_inner": ("intermediate_dim", lambda config: 4 * config.get("n_embd", 768)),
        "n_embd": ("hidden_dim", 768),
        "n_layer": ("num_layers", 12),
        "n_head": ("num_heads", 12),
        "n_positions": ("position_rows", 1024),
        "window_size": ("attention.1.window", 256),
        "scale": (["attention.0.scale", "attention.1.scale"], 1.0),
        "activation": (
            "feedforward",
            "plain",
            {
                "plain": {"kind": "mlp", "activation": "gelu_tanh"},
                "old": {"kind": "mlp", "activation": "gelu_tanh"},
                "relu": {"kind": "mlp", "activation": "relu"},
            },
        ),
        "post_norm": ("block", False, {True: "post_norm", False: "pre_norm"}),
        # Per cent, once for each layer.
        "shares": (
            "attention_dropout",
            lambda config: [5] * config["n_layer"],
            (
                lambda value, config: value[0] / 100 if len(value) == config["n_layer"] else None,
                lambda here, config: [round(here * 100)] * config["n_layer"],
            ),
        ),
        "eps": ("norm.epsilon", 1e-5),
        "pad_token_id": ("embedding.padding_id", lambda config: 0),
    }
    REQUIRED = {"relative": ([True, "yes"], False), "scaled": ([True], True)}
    HARMLESS = "n_ctx summary"


SMALL = {"vocab_size": 50, "n_embd": 16, "n_layer": 2, "n_head": 2, "relative": True}


def spec(**config):
    return read({**SMALL, **config}, Writer)


@pytest.mark.parametrize("family", [name for name in SPECS if FAMILIES[name].MODEL_TYPES])
def test_a_spec_is_the_same_after_its_config(family):
    spec, fixed = SPECS[family], FAMILIES[family].FIXED
    if isinstance(fixed.get("max_sequence_length"), int):  # What is tried elsewhere has no config.
        attention = {**spec.attention, **fixed["attention"]}
        length = fixed["max_sequence_length"]
        spec = spec.replace(max_sequence_length=length, attention=attention)
    # Longformer's places that see all are what its class there says, of a classifier the first.
    spec = FAMILIES[family].spec_there(spec, "TextClassifier")
    config = config_from_spec(spec, FAMILIES[family])
    again = read(config, FAMILIES[family])
    if isinstance(again, Spec):
        again = again.replace(pooler=spec.pooler)
        said = {str(path) for path, *_ in FAMILIES[family].CONFIG.values()} | set(fixed)
        if said.isdisjoint(("position_rows", "max_sequence_length")):  # XLNet has no end there.
            again = again.replace(max_sequence_length=spec.max_sequence_length)
    assert config_from_spec(again, FAMILIES[family]) == config
    assert whole(again.to_dict()) == whole(spec.to_dict())


def whole(fields):
    """The fields of a spec with every option of what its slots hold."""
    if "towers" in fields:
        towers = {name: whole(tower) for name, tower in fields["towers"].items()}
        slots = {k: completed(k, v) for k, v in fields["options"].items() if k == "embedding"}
        return {**fields, "towers": towers, "options": {**fields["options"], **slots}}
    return {**fields, **{slot: completed(slot, fields[slot]) for slot in Spec.SLOTS}}


def test_paths_lead_into_slots_and_the_entries_of_lists():
    found = spec(window_size=7, scale=0.5, pad_token_id=3, eps=1e-6, shares=[20, 20])
    assert found.attention == [
        {"kind": "causal", "scale": 0.5},
        {"kind": "local", "window": 7, "scale": 0.5},
    ]
    assert found.norm == {"kind": "layer_norm", "epsilon": 1e-6}
    assert (found.embedding["vocabulary_size"], found.embedding["padding_id"]) == (50, 3)
    assert (found.hidden_dim, found.intermediate_dim, found.schedule) == (16, 64, (0, 1))
    assert (found.max_sequence_length, found.norms, found.pooler) == (1024, ("final",), "none")
    assert found.attention_dropout == 0.2
    assert Writer.FIXED["attention"] == ["causal", {"kind": "local", "window": 256}]
    config = config_from_spec(found, Writer)
    assert config == {
        "vocab_size": 50, "n_inner": 64, "n_embd": 16, "n_layer": 2, "n_head": 2,
        "n_positions": 1024, "window_size": 7, "scale": 0.5, "activation": "plain",
        "shares": [20, 20],
        "post_norm": False, "eps": 1e-6, "pad_token_id": 3, "relative": True, "scaled": True,
    }  # fmt: skip
    assert read(config, Writer) == found


def test_a_default_that_follows_from_other_keys_stands_for_null_and_for_nothing():
    for config, inner in [({}, 64), ({"n_inner": None}, 64), ({"n_inner": 30}, 30)]:
        kept = {**SMALL, **config}
        found = read(kept, Writer)
        assert found.intermediate_dim == inner
        written = {**kept, **config_from_spec(found, Writer, kept)}
        assert written.get("n_inner", "absent") == config.get("n_inner", "absent")
        assert "pad_token_id" not in written
        wider = {**kept, **config_from_spec(found.replace(hidden_dim=32), Writer, kept)}
        assert wider["n_inner"] == inner and read(wider, Writer).intermediate_dim == inner
    with pytest.raises(kzoo.KzooError, match="n_embd = None; a whole number is expected"):
        spec(n_embd=None)


def test_an_option_of_a_list_is_that_of_each_entry_and_families_keep_their_own():
    class Listed(Writer):
        FIXED = {**Writer.FIXED, "feedforward": ["mlp", "mlp"], "max_sequence_length": 30}
        CONFIG = {**Writer.CONFIG, "activation": ("feedforward.activation", "gelu")}
        del CONFIG["n_positions"]

    found = read({**SMALL, "activation": "relu"}, Listed)
    assert found.feedforward == [{"kind": "mlp", "activation": "relu"}] * 2
    assert config_from_spec(found, Listed)["activation"] == "relu"
    assert Listed.FIXED["feedforward"] == ["mlp", "mlp"]
    with pytest.raises(kzoo.KzooError, match="max_sequence_length 40; .* has only 30"):
        config_from_spec(found.replace(max_sequence_length=40), Listed)
    assert spec().position is not Writer.FIXED["position"]
    assert spec().feedforward is not Writer.CONFIG["activation"][2]["plain"]


def test_what_no_key_says_may_follow_from_other_fields():
    class Follows(Writer):
        FIXED = {
            **Writer.FIXED,
            "intermediate_dim": lambda fields: 4 * fields["hidden_dim"],
            "attention.scale": lambda fields: 1 / fields["num_heads"],
        }
        CONFIG = {k: v for k, v in Writer.CONFIG.items() if k not in ("n_inner", "scale")}

    found = read(SMALL, Follows)
    assert found.intermediate_dim == 64 and [a["scale"] for a in found.attention] == [0.5, 0.5]
    assert not {"n_inner", "scale"} & set(config_from_spec(found, Follows))
    with pytest.raises(kzoo.KzooError, match="intermediate_dim 65; .* has only 64"):
        config_from_spec(found.replace(intermediate_dim=65), Follows)


def test_a_value_is_spelled_as_it_was_where_that_means_the_same():
    for spelled in ("plain", "old", "relu"):
        kept = {**SMALL, "activation": spelled, "relative": "yes"}
        found = read(kept, Writer)
        written = config_from_spec(found, Writer, kept)
        assert (written["activation"], written["relative"]) == (spelled, "yes")
    same = config_from_spec(spec(), Writer, {**SMALL, "activation": "relu"})
    assert same["activation"] == "plain"


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"relative": ...}, "has no relative; kzoo computes only True or 'yes'"),
        ({"relative": False}, "relative = False; kzoo computes only True or 'yes'"),
        ({"scaled": False}, "scaled = False; kzoo computes only True"),
        ({"is_decoder": True}, "is_decoder = True; kzoo computes only False"),
        ({"activation": "mish"}, "activation = 'mish'; kzoo knows plain, old, relu"),
        ({"activation": ["plain"]}, r"activation = \['plain'\]; kzoo knows"),
        ({"post_norm": 1}, "post_norm = 1; kzoo knows True, False"),
        ({"shares": [5]}, r"shares = \[5\]; kzoo doesn't compute that"),
        ({"shares": 5}, "shares = 5; kzoo doesn't compute that"),
        ({"shares": [], "n_layer": 0}, r"shares = \[\]; kzoo doesn't compute that"),
        ({"n_layer": 0, "shares": None}, "shares = "),
        ({"n_layer": True}, "n_layer = True; a whole number"),
        ({"zebra": 1}, "zebra = 1"),
    ],
)
def test_what_a_config_may_not_say(config, message):
    config = {k: v for k, v in {**SMALL, **config}.items() if v is not ...}
    with pytest.raises(kzoo.KzooError, match=message):
        read(config, Writer, strict=True)
    assert read({**SMALL, "n_ctx": 5, "summary": None}, Writer, strict=True)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"head_dim": 4}, "head_dim 4; Hugging Face's writer has only 8"),
        ({"position": "none"}, "position 'none'; .* has only 'learned'"),
        ({"norms": []}, r"norms \[\]; .* has only \['final'\]"),
        ({"num_key_value_heads": 1}, "num_key_value_heads 1; .* has only 2"),
        ({"attention": "causal"}, "attention"),
        # The blocks 0, 2 and 4 are all of one kind; the three layers there alternate.
        ({"schedule": (0, 2, 4)}, "attention 'causal'; .* has only"),
        ({"feedforward": {"kind": "mlp", "activation": "tanh"}}, "activation has no name for"),
        ({"attention": [{"kind": "causal", "scale": 0.5}, {"kind": "local", "window": 9}]},
         "attention"),
        ({"pooler": "tanh"}, None),
        ({"dropout": 0.7, "initializer_range": 0.7}, None),  # No key, and no effect on outputs.
        ({"schedule": (1, 3)}, "attention"),
        ({"schedule": (4, 7)}, None),
    ],
)  # fmt: skip
def test_a_field_without_a_key_is_named(changes, message):
    changed = spec().replace(**changes)
    if message is None:
        assert config_from_spec(changed, Writer)
        return
    with pytest.raises(kzoo.KzooError, match=message):
        config_from_spec(changed, Writer)


class Text(Writer):
    family, KEY = "text", "text_config"


class Image(Writer):
    family, KEY = "image", "vision_config"
    CONFIG = {key: entry for key, entry in Writer.CONFIG.items() if key != "pad_token_id"}


class Pair:
    family = "pair"
    TOWERS, FIXED, elsewhere = {"text": Text, "image": Image}, {}, "Hugging Face"
    CONFIG = {"width": (["towers.text.pooler.units", "towers.image.pooler.units"], 512)}
    REQUIRED, HARMLESS, HEAD_DROPOUT, KEY = {"both": ([1], 1)}, "note", {}, None


def test_towers_read_below_their_keys_and_write_there():
    config = {"text_config": {**SMALL, "n_layer": 3}, "vision_config": {**SMALL, "note": 1}}
    fields = fields_from_config({**config, "width": 9}, Pair)
    text, image = fields["towers"]["text"], fields["towers"]["image"]
    assert fields["family"] == "pair" and text["family"] == "text" and image["family"] == "image"
    assert (len(text["schedule"]), len(image["schedule"])) == (3, 2)
    assert text["pooler"] == image["pooler"] == {"kind": "none", "units": 9}
    for tower in (text, image):
        tower["pooler"] = "none"  # No part here has units: what is written is the default.
    whole = {**fields, "towers": {n: Spec.from_dict(t).to_dict() for n, t in
                                  fields["towers"].items()}}  # fmt: skip
    written = config_from_fields(whole, Pair, config)
    assert (written["text_config"]["n_layer"], written["vision_config"]["note"]) == (3, 1)
    assert written["both"] == 1 and written["width"] == 512
    assert fields_from_config(written, Pair)["towers"]["text"]["schedule"] == text["schedule"]
    with pytest.raises(kzoo.KzooError, match=r"vision_config\.zebra = 1"):
        read({**config, "vision_config": {"zebra": 1}}, Pair, strict=True)
    with pytest.raises(kzoo.KzooError, match=r"text_config = \[1\]; a JSON object is expected"):
        fields_from_config({**config, "text_config": [1]}, Pair)


def test_towers_may_share_one_object():
    class Encoder(Writer):
        family = "encoder"

    class Decoder(Writer):
        family = "decoder"
        CONFIG = {**Writer.CONFIG, "n_decoder": ("num_layers", lambda config: config["n_layer"])}
        del CONFIG["n_layer"]

    class Both(Pair):
        TOWERS, CONFIG = {"encoder": Encoder, "decoder": Decoder}, {}

    fields = fields_from_config({**SMALL, "n_decoder": 5}, Both)
    steps = {name: len(tower["schedule"]) for name, tower in fields["towers"].items()}
    assert steps == {"encoder": 2, "decoder": 5}
    whole = {n: Spec.from_dict(tower).to_dict() for n, tower in fields["towers"].items()}
    written = config_from_fields({"family": "both", "towers": whole}, Both)
    assert (written["n_layer"], written["n_decoder"]) == (2, 5)
    whole["decoder"]["num_heads"] = 4
    with pytest.raises(kzoo.KzooError, match="The towers have n_head 2 and 4"):
        config_from_fields({"family": "both", "towers": whole}, Both)


@pytest.mark.parametrize(
    ("family", "config", "message"),
    [
        ("bert", {"num_hidden_layers": 0}, "has 0 layers"),
        ("albert", {"num_hidden_layers": 2, "num_hidden_groups": 3}, "has 2 layers in 3 groups"),
        ("albert", {"num_hidden_layers": 2, "num_hidden_groups": 0}, "has 2 layers in 0 groups"),
        ("albert", {"hidden_size": 64, "embedding_size": 64}, "as wide as the model .64. with a"),
        ("gpt_neo", {"num_layers": 12}, "has 12 layers and says of 24 what attention they have"),
        ("gpt_neo", {"attention_types": [["local"]]}, r"attention_types = \[\['local'\]\]"),
        ("gpt_neo", {"attention_layers": ["far"]}, r"attention_layers = \['far'\]"),
        ("gpt_neo", {"window_size": 0}, "window_size = 0; kzoo doesn't compute that"),
    ],
)
def test_sizes_that_do_not_fit_each_other_are_named(family, config, message):
    with pytest.raises(kzoo.KzooError, match=message):
        read(config, FAMILIES[family])


# -- decoders' own keys ------------------------------------------------------------------------


def neo(kinds, window=256):
    """What an attention slot holds for the names of its kinds, one or several in turn."""
    common = {"bias": ["output"], "scale": 1.0}
    held = {
        "global": {"kind": "causal", **common},
        "local": {"kind": "local", "window": window, **common},
    }
    slots = [held[kind] for kind in kinds.split()]
    return slots if len(slots) > 1 else slots[0]


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"num_layers": 24}, neo("global local")),
        ({"attention_types": [[["global"], 4]]}, neo("global")),
        ({"attention_types": [[["local"], 4]], "window_size": 9}, neo("local", 9)),
        ({"attention_types": [[["global", "local"], 2]]}, neo("global local")),
        ({"attention_types": [[["global"], 2], [["local"], 2]]}, neo("global global local local")),
        ({"attention_types": [[["global"], 3], [["local"], 1]], "num_layers": 4,
          "attention_layers": ["local", "global"] * 2}, neo("local global")),
    ],
)  # fmt: skip
def test_each_layer_of_gpt_neo_has_the_attention_that_its_config_says(config, expected):
    config = {"num_layers": 4, **config}
    found = read(config, FAMILIES["gpt_neo"])
    assert found.attention == expected
    written = {**config, **config_from_spec(found, FAMILIES["gpt_neo"], config)}
    assert read(written, FAMILIES["gpt_neo"]) == found
    if "attention_types" in config and "attention_layers" not in config:
        assert written == {**written, **config}  # As they stood, in whatever way they list them.
    fresh = config_from_spec(found, FAMILIES["gpt_neo"])
    assert read(fresh, FAMILIES["gpt_neo"]) == found
    assert len(fresh["attention_layers"]) == found.num_layers


def test_a_cut_gpt_neo_says_what_its_layers_are():
    cut = SPECS["gpt_neo"].replace(schedule=(0, 2, 3))
    config = config_from_spec(cut, FAMILIES["gpt_neo"])
    assert config["attention_layers"] == ["global", "global", "local"]
    assert config["window_size"] == 3
    other = [{**slot, "window": window} for slot in neo("local local") for window in (3, 4)]
    with pytest.raises(kzoo.KzooError, match="attention.*such a model can't be exported to it"):
        config_from_spec(cut.replace(attention=other[:2]), FAMILIES["gpt_neo"])


def test_bloom_reads_older_names_and_keeps_them():
    config = {"n_embed": 48, "num_attention_heads": 6, "n_layer": 3, "n_inner": None}
    found = read(config, FAMILIES["bloom"], strict=True)
    assert (found.hidden_dim, found.intermediate_dim, found.num_heads) == (48, 192, 6)
    written = config_from_spec(found, FAMILIES["bloom"], config)
    assert "hidden_size" not in written and "n_head" not in written
    changed = config_from_spec(found.replace(num_heads=4), FAMILIES["bloom"], config)
    assert read({**config, **changed}, FAMILIES["bloom"]).num_heads == 4


def test_bloom_in_slices_is_refused_where_its_reference_computes_otherwise():
    sizes = {"hidden_size": 48, "n_head": 6, "n_layer": 3}
    for harmless in ({"slow_but_exact": True}, {"pretraining_tp": 2},
                     {"slow_but_exact": True, "pretraining_tp": 1}):  # fmt: skip
        spec = read({**sizes, **harmless}, FAMILIES["bloom"], strict=True)
        assert not {"slow_but_exact", "pretraining_tp"} & set(
            config_from_spec(spec, FAMILIES["bloom"], {**sizes, **harmless})
        )
    both = {**sizes, "slow_but_exact": True, "pretraining_tp": 2}
    with pytest.raises(kzoo.KzooError, match="slow_but_exact = True beside pretraining_tp = 2; "):
        read(both, FAMILIES["bloom"])


def test_gelu_of_gpt_is_the_tanh_form_and_its_nets_are_four_times_as_wide():
    found = read({"n_embd": 24}, FAMILIES["gpt"])
    assert found.feedforward == {"kind": "mlp", "activation": "gelu_tanh"}
    assert found.intermediate_dim == 96
    assert config_from_spec(found, FAMILIES["gpt"])["afn"] == "gelu"
    for changes, message in [
        ({"feedforward": "mlp"}, "afn has no name for 'gelu'"),
        ({"intermediate_dim": 97}, "intermediate_dim 97; Hugging Face's gpt has only 96"),
    ]:
        with pytest.raises(kzoo.KzooError, match=message):
            config_from_spec(found.replace(**changes), FAMILIES["gpt"])


@pytest.mark.parametrize(
    ("keys", "base"),
    [
        ({}, 500000.0),  # What transformers 5 takes where nothing is said.
        ({"rope_theta": 700}, 700.0),
        ({"rope_theta": 700.0, "rope_scaling": None}, 700.0),
        ({"rope_parameters": {"rope_theta": 700.0, "rope_type": "default"}}, 700.0),
        ({"rope_parameters": {"rope_type": "default"}, "rope_theta": 700.0}, 700.0),
        ({"rope_parameters": {"rope_theta": 700.0}, "rope_theta": 9.0}, 700.0),
    ],
)
def test_a_rotary_base_is_read_and_written_as_either_version_of_transformers_has_it(keys, base):
    found = read(keys, FAMILIES["palm"], strict=True)
    assert found.position["base"] == base
    for kept in (None, keys):
        written = {**(kept or {}), **config_from_spec(found, FAMILIES["palm"], kept)}
        assert read(written, FAMILIES["palm"]) == found
    again = config_from_spec(found, FAMILIES["palm"])
    assert again["rope_theta"] == again["rope_parameters"]["rope_theta"] == base
    turned = found.replace(position={**found.position, "base": 30.0})
    written = {**keys, **config_from_spec(turned, FAMILIES["palm"], keys)}
    assert read(written, FAMILIES["palm"]) == turned


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"rope_parameters": {"rope_type": "yarn", "factor": 2.0}}, "rope_parameters = .*yarn"),
        ({"rope_parameters": {"rope_theta": 7.0, "factor": 2.0}}, "rope_parameters = .*factor"),
        ({"rope_parameters": {"rope_theta": "far"}}, "rope_parameters = "),
        ({"rope_parameters": 3}, "rope_"),
        ({"rope_theta": "far"}, "rope_theta = 'far'; a number is expected"),
        ({"rope_scaling": {"type": "linear", "factor": 2.0}}, "rope_scaling = "),
        ({"use_qk_norm": True}, "use_qk_norm = True; kzoo computes only False"),
        ({"logit_scale": None}, "logit_scale = None; a number is expected"),
        ({"num_attention_heads": 0}, "num_heads|head_dim|num_key_value_heads"),
    ],
)
def test_what_palm_may_not_say(config, message):
    with pytest.raises(kzoo.KzooError, match=message):
        read(config, FAMILIES["palm"])
