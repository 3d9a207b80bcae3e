"""Hugging Face's config.json as a spec and back; a key that nobody knows is said aloud.

A family's `CONFIG` says what each key means, `key: (path, default)`:

* The path says where the value stands in the spec: `"hidden_dim"`, `"embedding.dim"`,
  `"attention.1.window"`; a list of paths, that it stands in several places. `DERIVED` has the
  names of what follows from several fields.
* The default is the value of a key that is absent, and says of which type it is: a text is an
  activation. A function of the config gives the value of an absent key and of null; such keys are
  read and written behind all others, in their order.
* A third element says what other values mean: a dict from there to here, or a pair of functions of
  a value and the config, from there to here and back, that give None where there is no meaning.

`FIXED` has the fields that no key is about; a function of the fields so far gives the value at a
path that follows from them. `REQUIRED` has keys that decide nothing here, `key: (values, default)`:
those that kzoo computes, of which the first is written, and what an absent key means; a third
element names another key and its default, at which any value is harmless, and nothing is written.
`HARMLESS` lists keys without effect. A family with `TOWERS` has a table of its own, with paths such
as `towers.text.hidden_dim`, and each tower one for what stands below its `KEY` there, or beside the
others where that is None. A key such as `text_config.bos_token_id` stands below another.
"""

import copy
import dataclasses
import warnings

from ..errors import KzooError
from ..parts import completed, resolve, shortened
from ..spec import Spec
from ..values import is_number, is_whole
from .rows import towers_of

# Keys that no output depends on, and why; they are kept and written back.
HARMLESS = {
    "names of the model, its files and its makers": """
        _commit_hash _name_or_path config_name finetuning_task init_checkpoint language languages
        license model_name name name_or_path tokenizer_class tokenizer_name transformers_version
        vocab_file vocab_size_or_config_json_file
    """,
    "labels, which are read where a head has them": """
        _num_labels id2label label2id num_labels problem_type
    """,
    "special tokens, which the tokenizer has": """
        bos_token_id cls_token_id eos_token_id mask_token_id sep_token_id unk_token_id
    """,
    "how a library computes the same": """
        _attn_implementation _attn_implementation_autoset attn_implementation
        chunk_size_feed_forward dtype fp16 gradient_checkpointing return_dict tie_weights_
        torch_dtype torchscript use_bfloat16 use_cache use_flash_attn use_memory_efficient_attention
        xla_device
    """,
    "what else a call gives": """
        output_attentions output_hidden_states output_past output_scores return_dict_in_generate
    """,
    "how text is written, which a call says": """
        bad_words_ids begin_suppress_tokens decoder_start_token_id diversity_penalty do_sample
        early_stopping encoder_no_repeat_ngram_size exponential_decay_length_penalty
        forced_bos_token_id forced_eos_token_id length_penalty max_length max_new_tokens min_length
        no_repeat_ngram_size num_beam_groups num_beams num_return_sequences prefix
        remove_invalid_values repetition_penalty suppress_tokens temperature top_k top_p typical_p
    """,
    "training that is over": """
        layerdrop label_smoothing layers_to_keep seed task_specific_params
    """,
    "parts that this class doesn't have": """
        directionality down_scale_factor gap_size net_structure_type num_memory_blocks
        pooler_fc_size pooler_num_attention_heads pooler_num_fc_layers pooler_size_per_head
        pooler_type sentence_transformers summary_activation summary_first_dropout
        summary_last_dropout summary_proj_to_labels summary_type summary_use_proj
    """,
}

ABSENT = object()  # What a config says at a key that it doesn't have.

# Keys that may only hold what kzoo computes.
REQUIRED = {
    "auto_map": (None, {}),
    "add_cross_attention": (False,),
    "cross_attention_hidden_size": (None,),
    "inner_group_num": (1,),
    "is_decoder": (False,),
    "is_encoder_decoder": (False,),
    "per_layer_config": (None, {}),
    "position_embedding_type": ("absolute",),
    "pruned_heads": (None, {}),
    "quantization_config": (None,),
    "sinusoidal_pos_embds": (False,),
    "tie_encoder_decoder": (False,),
}

# An activation there and here; the first name of each function is the one that is written.
ACTIVATIONS = {
    "gelu": "gelu",
    "gelu_python": "gelu",
    "gelu_new": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "gelu_fast": "gelu_tanh",
    "quick_gelu": "quick_gelu",
    "relu": "relu",
    "silu": "silu",
    "swish": "silu",
    "tanh": "tanh",
}


def spec_from_config(config, family, strict=False):
    """The spec that a config.json describes, without a pooler unless the family always has one.

    Args:
        config: the JSON object.
        family: the model class, with `CONFIG`, `FIXED`, `REQUIRED`, `HARMLESS` and `HEAD_DROPOUT`.
        strict: whether a key that nobody knows is an error and not a warning.

    Raises:
        KzooError: naming a key whose value kzoo doesn't compute, or with `strict` one that it
            doesn't know.
    """
    _check_known(config, family, strict)
    return Spec.from_dict(fields_from_config(config, family))


def config_from_spec(spec, family, kept=None):
    """The config.json keys that a spec decides, spelled as in `kept` where that means the same.

    Raises:
        KzooError: naming a field for which the family has no key there.
    """
    fields = spec.to_dict()
    config = config_from_fields(fields, family, kept)
    _check_back(fields, family, {**(kept or {}), **config})
    return config


# -- from there ---------------------------------------------------------------------------------


def fields_from_config(config, family, pooler="none"):
    """The fields of the spec that a config.json describes, as `Spec.from_dict` takes them."""
    _check_required(config, family)
    if family.TOWERS:
        towers = {
            name: fields_from_config(_of_tower(config, tower), tower)
            for name, tower in _towers_there(family, config).items()
        }
        fields = {"family": family.family, "towers": towers}
    else:
        usual = {**_slots(), "embedding": "token", "pooler": pooler}
        fixed = {name: held for name, held in family.FIXED.items() if not callable(held)}
        fields = {"family": family.family, **usual, **copy.deepcopy(fixed)}
    derived = {}
    for key, paths, *entry in _entries(family):
        value = _read(config, key, *entry)
        for path in _paths(paths):
            if path in DERIVED:
                derived[path] = value
            else:
                fields = _with(fields, path.split("."), value, key)
    for name, (put, _) in DERIVED.items():
        if name in derived:
            put(fields, derived[name])
    for path, follow in family.FIXED.items():
        if callable(follow):
            fields = _with(fields, path.split("."), follow(fields), path)
    return fields


def _slots():
    """What the slots of a spec hold that says nothing about them."""
    fields = [field for field in dataclasses.fields(Spec) if field.name in Spec.SLOTS]
    made = {f.name: f.default_factory() for f in fields if callable(f.default_factory)}
    return {field.name: field.default for field in fields} | made


def _towers_there(family, config):
    """What says what a config has of each tower, by its name; see `rows.towers_of`."""
    families = family.families_there(config) if callable(family.TOWERS) else {}
    return towers_of(family, families)


def _towers_here(family, fields):
    """The same by the fields of a spec."""
    towers = fields.get("towers", {})
    return towers_of(family, {name: own["family"] for name, own in towers.items()})


def _of_tower(config, tower):
    """The part of a config that is about a tower."""
    if tower.KEY is None:
        return config
    # Files of 2022 have some of the keys once more, and only these count there.
    name = next((n for n in (f"{tower.KEY}_dict", tower.KEY) if config.get(n) is not None), None)
    part = config[name] if name else {}
    if not isinstance(part, dict):
        raise KzooError(f"config.json has {name} = {part!r:.40}; a JSON object is expected.")
    return part


def _check_required(config, family):
    required = {key: (values, values[0]) for key, values in REQUIRED.items()} | family.REQUIRED
    for key, (values, default, *unless) in required.items():
        is_harmless = any(config.get(other, usual) == usual for other, usual in unless)
        if config.get(key, default) not in values and not is_harmless:
            value = f"{key} = {config[key]!r:.40}" if key in config else f"no {key}"
            value += "".join(f" beside {other} = {config[other]!r:.40}" for other, _ in unless)
            raise KzooError(
                f"config.json has {value}; kzoo computes only {' or '.join(map(repr, values))}."
            )


def _check_known(config, family, strict):
    """Say aloud which keys nobody knows: one that has an effect would change the outputs."""
    unknown = _unknown(config, family)
    if not unknown:
        return
    listed = ", ".join(f"{key} = {value!r:.40}" for key, value in sorted(unknown.items()))
    message = (
        f"config.json has {listed}, which kzoo doesn't know for "
        f"{config.get('model_type', family.family)!r}"
    )
    if strict:
        raise KzooError(
            f"{message}: remove what has no effect, or read the folder with strict=False."
        )
    warnings.warn(
        f"{message}: it is kept and has no effect here; compare an output if it has one there.",
        stacklevel=6,
    )


def _unknown(config, family):
    """The keys that nobody knows and their values, those below the keys of towers included."""
    known = {"architectures", "model_type", "tie_word_embeddings", *REQUIRED}
    known |= {key for keys in HARMLESS.values() for key in keys.split()}
    towers = _towers_there(family, config).values()
    known |= _keys(family, towers)
    unknown = {key: value for key, value in config.items() if key not in known}
    for tower in towers:
        if tower.KEY:
            of_tower = _unknown(_of_tower(config, tower), tower)
            unknown |= {f"{tower.KEY}.{key}": value for key, value in of_tower.items()}
    return unknown


def _keys(family, towers):
    """The keys of a family's own object there, and of those of its towers that share it."""
    keys = {*family.CONFIG, *family.REQUIRED, *family.HARMLESS.split()}
    keys |= {key for key, _ in family.HEAD_DROPOUT.values()}
    for tower in towers:
        keys |= {tower.KEY} if tower.KEY else _keys(tower, ())
    return keys


def _read(config, key, default, meaning=None):
    """The value here of a key, or an error that names the key."""
    given = given_at(config, key)
    if callable(default):
        default = _followed(default, config)
        value = default if given in (None, ABSENT) else given
    else:
        value = default if given is ABSENT else given
    meaning = ACTIVATIONS if meaning is None and isinstance(default, str) else meaning
    if meaning is None:
        return _checked(key, value, default)
    if isinstance(meaning, dict):
        here = next((h for there, h in meaning.items() if _same(there, value)), None)
        expected = f"kzoo knows {', '.join(map(str, meaning))}"
    else:
        here, expected = _followed(meaning[0], value, config), "kzoo doesn't compute that"
    if here is None:
        raise KzooError(f"config.json has {key} = {value!r:.60}; {expected}.")
    return copy.deepcopy(here)


def given_at(config, key):
    """What a config says at a key, which may stand below another; `ABSENT` for nothing."""
    for name in key.split("."):
        config = config.get(name, ABSENT) if isinstance(config, dict) else ABSENT
    return config


def put_at(config, key, value):
    """Let a config say something at a key, which may stand below another."""
    *below, name = key.split(".")
    for each in below:
        config = config.setdefault(each, {})
    config[name] = value


def _followed(function, *values):
    """What a family's function makes of a config; None where the config is not as it expects."""
    try:
        return function(*values)
    except KzooError:
        raise  # It says more than that there is no meaning.
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError):
        return None


def _checked(key, value, default):
    """A config value of its default's type, or an error that names the key."""
    if isinstance(default, bool):
        fits, what = isinstance(value, bool), "true or false"
    elif is_whole(default):
        fits, what = is_whole(value, 0, 2**31 - 1), "a whole number"
    else:
        fits, what = is_number(value, 0, 2**31 - 1), "a number"
    if not fits:
        raise KzooError(f"config.json has {key} = {value!r:.40}; {what} is expected.")
    return float(value) if isinstance(default, float) else value


def _same(one, other):
    """Whether two values of a config are one: 1 is not true."""
    return type(one) is type(other) and one == other


def _entries(family):
    """The keys of a family with what `CONFIG` says; those that follow from others come last."""
    entries = [(key, *entry) for key, entry in family.CONFIG.items()]
    return sorted(entries, key=lambda entry: callable(entry[2]))


def _paths(path):
    """The paths of a key's value."""
    return path if isinstance(path, list) else [path]


def _with(held, names, value, key):
    """What a field or slot holds once a value stands where the path of names leads."""
    if not names:
        return value
    name, *rest = names
    if isinstance(held, list):
        if not name.isdigit():
            return [_with(each, names, value, key) for each in held]
        if int(name) >= len(held):
            raise KzooError(
                f"config.json has {key} = {value!r:.40}, which is about entry {name} of "
                f"{len(held)}; kzoo has no such entry."
            )
        index = int(name)
        return [*held[:index], _with(held[index], rest, value, key), *held[index + 1 :]]
    held = {"kind": held} if isinstance(held, str) else dict(held or {})
    return {**held, name: _with(held.get(name), rest, value, key)}


# -- to there -----------------------------------------------------------------------------------


def config_from_fields(fields, family, kept=None):
    """The config.json keys that the fields of a spec decide; nothing says yet that these do."""
    kept, config, whole = kept or {}, {}, _whole(fields)
    for name, tower in _towers_here(family, fields).items():
        of_tower = _of_tower(kept, tower) if tower.KEY else {**kept, **config}
        written = config_from_fields(fields["towers"][name], tower, of_tower)
        if tower.KEY:
            config[tower.KEY] = {**of_tower, **written}
            continue
        for key, value in written.items():
            if config.setdefault(key, value) != value:
                raise KzooError(
                    f"The towers have {key} {config[key]!r} and {value!r}; "
                    f"{family.elsewhere}'s {family.family} has one for both: such a model can't be "
                    "exported to it."
                )
    for key, path, default, *meaning in _entries(family):
        here, there = _value(whole, _paths(path)[0]), {**kept, **config}
        usual = default(there) if callable(default) else default
        value = usual if here is None else _written(here, path, key, usual, meaning, there)
        was = given_at(kept, key)
        if callable(default) and kept and was in (None, ABSENT) and _same(value, usual):
            continue  # As it was: absent or null, which means the same there.
        put_at(config, key, value)
    required = {key: held for key, held in family.REQUIRED.items() if len(held) == 2}
    return config | {key: kept.get(key, values[0]) for key, (values, _) in required.items()}


def _value(whole, path):
    """What the path leads to in the whole fields of a spec; None where there is no such option."""
    if path in DERIVED:
        return DERIVED[path][1](whole)
    held = whole
    for name in path.split("."):
        if isinstance(held, list):
            index = int(name) if name.isdigit() else 0
            held = held[index] if index < len(held) else None
            if name.isdigit():
                continue
        held = held.get(name) if isinstance(held, dict) else None
    return held


def _written(here, path, key, default, meaning, config):
    """The value there of what stands here, spelled as it was, or else as usual there."""
    meaning = meaning[0] if meaning else ACTIVATIONS if isinstance(default, str) else None
    if meaning is None:
        return here
    if isinstance(meaning, dict):
        spelled = [given_at(config, key), default, *meaning]
        there = [s for s in spelled if any(_same(s, known) for known in meaning)]
        value = next((s for s in there if _slot(path, meaning[s]) == here), None)
    else:
        value = meaning[1](here, config)
    if value is None and default is not None:
        raise KzooError(
            f"The key {key} has no name for {here!r} there: such a model can't be exported to it."
        )
    return value


def _slot(path, value):
    """A value as it stands in whole fields: of a slot, with every option of its part."""
    return completed(path, value) if path in Spec.SLOTS else value


def _whole(fields):
    """The fields of a spec with what they leave to defaults."""
    if fields.get("towers"):
        towers = {name: _whole(tower) for name, tower in fields["towers"].items()}
        options = fields.get("options", {})
        if "embedding" in options:
            slot = completed("embedding", options["embedding"])
            options = {"start_id": slot["padding_id"], **options, "embedding": slot}
        return {"family": fields["family"], "towers": towers, "options": options}
    whole = fields | {slot: completed(slot, fields[slot]) for slot in Spec.SLOTS}
    if fields.get("cross_attention") is not None:
        looks = whole["cross_attention"] = completed("attention", fields["cross_attention"])
        looks["memory_dim"] = looks.get("memory_dim") or fields["hidden_dim"]
    if whole["embedding"].get("dim") == 0:
        whole["embedding"]["dim"] = fields["hidden_dim"]
    whole["head_dim"] = fields["head_dim"] or fields["hidden_dim"] // fields["num_heads"]
    whole["num_key_value_heads"] = fields["num_key_value_heads"] or fields["num_heads"]
    return whole


def _check_back(fields, family, config):
    """Whether a config that was written means the spec again, or an error that names a field."""
    try:
        pooler = completed("pooler", fields.get("pooler", "none"))["kind"]
        pooler = "none" if pooler == "none" else "tanh"
        there = _filled(fields_from_config(config, family, pooler))
    except KzooError as error:
        raise KzooError(
            f"{family.elsewhere}'s {family.family} can't hold this spec: {error}"
        ) from None
    difference = _difference(_meaning(fields, family), _meaning(there, family))
    if difference:
        name, here, only = difference
        slot = name.rpartition(".")[2]
        here, only = shortened(slot, here), shortened(slot, only)
        raise KzooError(
            f"The spec has {name} {here!r:.80}; {family.elsewhere}'s {family.family} has only "
            f"{only!r}: such a model can't be exported to it."
        )


def _filled(fields):
    """The fields of a spec, those left out with their defaults."""
    if "towers" in fields:
        return {**fields, "towers": {name: _filled(t) for name, t in fields["towers"].items()}}
    return Spec.from_dict(fields).to_dict()


def _meaning(fields, family):
    """The fields of a spec without the freedom to write one thing in several ways."""
    meaning = _whole(fields)
    if family.TOWERS:
        held = _towers_here(family, fields)
        towers = {name: _meaning(fields["towers"][name], tower) for name, tower in held.items()}
        return {**meaning, "towers": towers}
    paths = {path for _, held, *_ in _entries(family) for path in _paths(held)}
    # Layers are written by step, so that blocks have no names of their own there; groups do.
    schedule = fields["schedule"]
    blocks = sorted(set(schedule))
    steps = [blocks.index(block) for block in schedule]
    meaning["schedule"] = steps if "num_groups" in paths else len(steps)
    for slot in Spec.IN_TURN:
        if isinstance(held := meaning.get(slot), list):
            by_step = [held[block % len(held)] for block in schedule]
            alike = all(held == by_step[0] for held in by_step)
            meaning[slot] = by_step[0] if alike else by_step
    # What has no key there and no effect on outputs is nobody's loss.
    idle = {*Spec.RATES, "max_sequence_length"} - set(family.FIXED)
    return {name: value for name, value in meaning.items() if name not in idle}


def _difference(expected, actual, name=""):
    """The path at which two meanings differ and what each has there; None where they don't."""
    if not isinstance(expected, dict) or not isinstance(actual, dict):
        return None if expected == actual else (name, _brief(expected), _brief(actual))
    if expected.get("kind") != actual.get("kind"):
        return name, _brief(expected), _brief(actual)
    for key in expected:
        path = f"{name}.{key}" if name else key
        found = _difference(expected[key], actual.get(key), path)
        if found:
            return found
    return None


def _brief(held):
    """What a slot holds, by its kind; other values, lists of parts too, as they are."""
    return held["kind"] if isinstance(held, dict) and "kind" in held else held


# -- what follows from several fields ------------------------------------------------------------


def _put_depth(fields, depth):
    if depth < 1:
        raise KzooError("config.json has 0 layers; at least one is expected.")
    fields["schedule"] = list(range(depth))


def _put_groups(fields, groups):
    depth = len(fields["schedule"])
    if not 1 <= groups <= depth:
        raise KzooError(
            f"config.json has {depth} layers in {groups} groups; at least one group and no more "
            "than layers are expected."
        )
    fields["schedule"] = [step * groups // depth for step in range(depth)]


def _put_attention(fields, layers):
    depth = len(fields["schedule"])
    if len(layers) != depth:
        raise KzooError(
            f"config.json has {depth} layers and says of {len(layers)} what attention they have; "
            "one for each is expected."
        )
    turn = next(n for n in range(1, depth + 1) if layers[n:] == layers[:-n])
    fields["attention"] = layers[:turn] if turn > 1 else layers[0]


def _attention_by_layer(whole):
    held = whole["attention"] if isinstance(whole["attention"], list) else [whole["attention"]]
    return [held[block % len(held)] for block in whole["schedule"]]


def _put_pooler(fields, activates):
    if not activates:
        fields["pooler"] = "first_token"


def _put_inner(fields, width):
    fields["intermediate_dim"] = 4 * width


def _put_rows(fields, rows):
    fields["max_sequence_length"] = rows - _rows_before(fields)


def _put_width(fields, width):
    if width == fields["hidden_dim"]:
        raise KzooError(
            f"config.json has embeddings as wide as the model ({width}) with a map between them; "
            "kzoo has that map only where the widths differ."
        )
    fields["embedding"] = _with(fields["embedding"], ["dim"], width, "embedding_size")


def _rows_before(fields):
    """Rows of the position table that stand before the first place (RoBERTa: padding_id + 1)."""
    if not resolve("position", fields["position"])[0].counts:
        return 0
    return completed("embedding", fields["embedding"])["padding_id"] + 1


# A name in `CONFIG`, how its value is put into fields, and how it is had from whole fields; in the
# order in which they need each other.
DERIVED = {
    "num_layers": (_put_depth, lambda whole: len(whole["schedule"])),
    "num_groups": (_put_groups, lambda whole: len(set(whole["schedule"]))),
    "attention_by_layer": (_put_attention, _attention_by_layer),
    "activates_pooler": (
        _put_pooler,
        lambda whole: whole["pooler"]["kind"] != "first_token",
    ),
    "quarter_of_inner": (_put_inner, lambda whole: whole["intermediate_dim"] // 4),
    "position_rows": (
        _put_rows,
        lambda whole: whole["max_sequence_length"] + _rows_before(whole),
    ),
    "embedding_width": (_put_width, lambda whole: whole["embedding"]["dim"]),
}
