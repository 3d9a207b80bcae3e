"""Hugging Face's config.json as a spec and back; a key that nobody knows is said aloud."""

import warnings

from ..errors import KzooError
from ..parts import completed, option
from ..spec import Spec
from ..values import is_number, is_whole

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
    "writing text, which these models don't": """
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
    "relu": "relu",
    "silu": "silu",
    "swish": "silu",
    "tanh": "tanh",
}


def spec_from_config(config, family, pooler, strict=False):
    """The spec that a config.json describes.

    Args:
        config: the JSON object.
        family: the model class, with `CONFIG`, `FIXED` and `HEAD_DROPOUT`.
        pooler: whether the model has a pooler.
        strict: whether a key that nobody knows is an error and not a warning.

    Raises:
        KzooError: naming a key whose value kzoo doesn't compute, or with `strict` one that it
            doesn't know.
    """
    _check_known(config, family, strict)
    for key, allowed in REQUIRED.items():
        if key in config and config[key] not in allowed:
            raise KzooError(
                f"config.json has {key} = {config[key]!r}; kzoo computes only "
                f"{' or '.join(map(repr, allowed))}."
            )
    values = {}
    for key, (field, default) in family.CONFIG.items():
        values[field] = _checked(key, config.get(key, default), default)
    depth, groups = values.pop("num_layers"), values.pop("num_groups", None)
    if depth < 1 or not 1 <= (groups or 1) <= depth:
        raise KzooError(
            f"config.json has {depth} layers in {groups or depth} groups; at least one layer and "
            "no more groups than layers are expected."
        )
    schedule = tuple(i if groups is None else i * groups // depth for i in range(depth))
    rows = values.pop("position_rows")
    fields = {"schedule": schedule, "pooler": "tanh" if pooler else "none", **family.FIXED}
    for field, value in values.items():
        if field == "feedforward.activation":
            fields["feedforward"] = {"kind": "mlp", "activation": ACTIVATIONS[value]}
        elif field == "norm.epsilon":
            fields["norm"] = {"kind": "layer_norm", "epsilon": value}
        else:
            fields[field] = value
    if fields.get("embedding_dim") == fields["hidden_dim"]:
        raise KzooError(
            f"config.json has embeddings as wide as the model ({fields['hidden_dim']}) with a map "
            "between them; kzoo has that map only where the widths differ."
        )
    longest = rows - _positions_before(fields)
    return Spec.from_dict({"family": family.family, "max_sequence_length": longest, **fields})


def _check_known(config, family, strict):
    """Say aloud which keys nobody knows: one that has an effect would change the outputs."""
    known = {"architectures", "model_type", "tie_word_embeddings", *REQUIRED}
    known |= {key for keys in HARMLESS.values() for key in keys.split()}
    known |= set(family.CONFIG) | {key for key, _ in family.HEAD_DROPOUT.values()}
    unknown = sorted(set(config) - known)
    if not unknown:
        return
    message = (
        f"config.json has {', '.join(f'{key} = {config[key]!r:.40}' for key in unknown)}, which "
        f"kzoo doesn't know for {config.get('model_type', family.family)!r}"
    )
    if strict:
        raise KzooError(
            f"{message}: remove what has no effect, or read the folder with strict=False."
        )
    warnings.warn(
        f"{message}: it is kept and has no effect here; compare an output if it has one there.",
        stacklevel=5,
    )


def config_from_spec(spec, family, kept=None):
    """The config.json keys that a spec decides, spelled as in `kept` where that means the same."""
    kept = kept or {}
    config = {}
    for key, (field, default) in family.CONFIG.items():
        if field == "num_layers":
            value = spec.num_layers
        elif field == "num_groups":
            value = len(spec.blocks)
        elif field == "position_rows":
            value = spec.max_sequence_length + _positions_before(
                {
                    "position": spec.position,
                    "padding_id": option(spec, "embedding", "padding_id"),
                }
            )
        elif field == "embedding_dim":
            value = option(spec, "embedding", "dim") or spec.hidden_dim
        elif field in Spec.MOVED:
            value = option(spec, "embedding", Spec.MOVED[field])
        elif field == "feedforward.activation":
            here = _option(spec, "feedforward", "activation", ACTIVATIONS[default])
            spelled = [kept.get(key), default, *ACTIVATIONS]
            named = (s for s in spelled if isinstance(s, str) and ACTIVATIONS.get(s) == here)
            value = next(named, None)
            if value is None:
                raise KzooError(f"Hugging Face's {key} has no name for the activation {here!r}.")
        elif field == "norm.epsilon":
            value = _option(spec, "norm", "epsilon", default)
        else:
            value = getattr(spec, field)
        config[key] = value
    _check_back(spec, family, config)
    return config


def _check_back(spec, family, config):
    """Whether a config that was written means the spec again, or an error that names a field."""
    try:
        has_pooler = completed("pooler", spec.pooler)["kind"] != "none"
        there = spec_from_config(config, family, has_pooler)
    except KzooError as error:
        raise KzooError(f"Hugging Face's {spec.family} can't hold this spec: {error}") from None
    grouped = any(field == "num_groups" for field, _ in family.CONFIG.values())
    expected, actual = _meaning(spec, grouped), _meaning(there, grouped)
    for field, value in expected.items():
        if actual[field] != value:
            only = getattr(there, field) or actual[field]
            raise KzooError(
                f"The spec has {field} {getattr(spec, field)!r}; Hugging Face's {spec.family} has "
                f"only {only!r}: such a model can't be exported to it."
            )


def _meaning(spec, grouped):
    """The fields of a spec without the freedom to write one thing in several ways."""
    meaning = spec.to_dict() | {slot: completed(slot, getattr(spec, slot)) for slot in spec.SLOTS}
    # Layers are written by step, so that blocks have no names of their own there; groups do.
    steps = [spec.blocks.index(block) for block in spec.schedule]
    return meaning | {
        "schedule": steps if grouped else len(steps),
        "embedding": meaning["embedding"] | {"dim": meaning["embedding"]["dim"] or spec.hidden_dim},
        "head_dim": spec.head_dim or spec.hidden_dim // spec.num_heads,
    }


def _checked(key, value, default):
    """A config value of its default's type, or an error that names the key."""
    if isinstance(default, str):
        if isinstance(value, str) and value in ACTIVATIONS:
            return value
        raise KzooError(f"config.json has {key} = {value!r}; kzoo knows {', '.join(ACTIVATIONS)}.")
    fits, what = (is_whole, "whole number") if is_whole(default) else (is_number, "number")
    if not fits(value, 0, 2**31 - 1):
        raise KzooError(f"config.json has {key} = {value!r:.40}; a {what} is expected.")
    return float(value) if isinstance(default, float) else value


def _positions_before(fields):
    """Rows of the position table that stand before the first place (RoBERTa: padding_id + 1)."""
    return fields["padding_id"] + 1 if fields.get("position") == "counted" else 0


def _option(spec, slot, option, default):
    """An option of the part that a slot holds, or a default where it has none of this name."""
    value = completed(slot, getattr(spec, slot))
    return value.get(option, default) if isinstance(value, dict) else default
