"""Reformer: Kitaev et al. 2020, arXiv:2001.04451."""

import keras

from ..graphs import Stack

KINDS = {"lsh": "lsh", "local": "chunked"}
USUAL = ["local", "lsh", "local", "lsh", "local", "lsh"]
# A key there, the kind of attention there and the option here that it is about, its usual value.
OPTIONS = {
    "is_decoder": (None, "looks_ahead", False),
    "lsh_attn_chunk_length": ("lsh", "chunk", 64),
    "lsh_num_chunks_before": ("lsh", "before", 1),
    "lsh_num_chunks_after": ("lsh", "after", 0),
    "num_hashes": ("lsh", "hashes", 1),
    "num_buckets": ("lsh", "buckets", None),
    "hash_seed": ("lsh", "seed", None),
    "local_attn_chunk_length": ("local", "chunk", 64),
    "local_num_chunks_before": ("local", "before", 1),
    "local_num_chunks_after": ("local", "after", 0),
}


def attention(config):
    """The attention of each layer; None where a layer is of another kind."""
    held = {kind: {"kind": KINDS[kind], "bias": []} for kind in KINDS}
    for key, (kind, option, usual) in OPTIONS.items():
        value = config.get(key, usual)
        for each in [kind] if kind else KINDS:
            held[each][option] = not value if option == "looks_ahead" else value
    return [held[kind] for kind in config.get("attn_layers") or USUAL]


def layers(held, config):
    """The names there of the layers' attention; None where one has none."""
    names = [name for each in held for name, kind in KINDS.items() if each["kind"] == kind]
    return names if len(names) == len(held) else None


def option(key):
    """What `CONFIG` says of a key in `OPTIONS`."""
    kind, name, usual = OPTIONS[key]

    def here(value, config):
        return attention({**config, key: value})

    def there(held, config):
        kinds = [KINDS[kind]] if kind else KINDS.values()
        found = [each[name] for each in held if each["kind"] in kinds]
        if not found:
            return config.get(key, usual)
        return not found[0] if name == "looks_ahead" else found[0]

    return "attention_by_layer", lambda config: usual, (here, there)


def position(config):
    """What holds the places: tables of rows and columns, or one."""
    if not config.get("axial_pos_embds", True):
        return "learned"
    shape, dims = config.get("axial_pos_shape", [64, 64]), config.get("axial_pos_embds_dim")
    return {"kind": "axial", "shape": list(shape), "dims": list(dims or [64, 192])}


def of_position(key, usual, there):
    """What `CONFIG` says of a key about places: its usual value, and how it is had from here."""

    def here(value, config):
        return position({**config, key: value})

    return "position", lambda config: usual, (here, lambda held, config: there(held, config))


@keras.saving.register_keras_serializable("kzoo")
class Reformer(Stack):
    """Reformer in every published size, as decoder or as encoder.

    `sequence_output` has both streams, side by side, and is twice as wide as `hidden_dim`.
    """

    family = "reformer"
    HEADS = {
        "CausalLM": {"kind": "lm", "bias": True},
        "MaskedLM": {"kind": "lm", "bias": True},
        "TextClassifier": {"kind": "first", "activation": "tanh"},
    }

    # Hugging Face, as in bert.py.
    MODEL_TYPES = {"reformer": "Reformer"}
    PREFIX = "reformer."
    CLASSES = {
        "Model": None,
        "ModelWithLMHead": "CausalLM",
        "ForMaskedLM": "MaskedLM",
        "ForSequenceClassification": "TextClassifier",
        "ForQuestionAnswering": "QuestionAnswering",
    }
    FIXED = {
        "block": "reversible",
        "norms": ["final"],
        "pooler": "none",
    }
    BLOCK = "encoder.layers.{step}"
    PLACES = "embeddings.position_embeddings"
    ROWS = f"""
        embeddings.word_embeddings                         token_embedding
        {PLACES}.weights.0                                 position/rows               position=axial
        {PLACES}.weights.1                                 position/columns            position=axial
        {PLACES}.embedding                                 position                    position=learned
        {BLOCK}.attention.layer_norm                       block_{{step}}/attention_norm
        {BLOCK}.attention.self_attention.query_key         block_{{step}}/attention/query  attention=lsh
        {BLOCK}.attention.self_attention.{{query|key}}     block_{{step}}/attention/{{query|key}}  attention=chunked
        {BLOCK}.attention.self_attention.value             block_{{step}}/attention/value
        {BLOCK}.attention.output.dense                     block_{{step}}/attention/output
        {BLOCK}.feed_forward.layer_norm                    block_{{step}}/feedforward_norm
        {BLOCK}.feed_forward.dense.dense                   block_{{step}}/feedforward/up
        {BLOCK}.feed_forward.output.dense                  block_{{step}}/feedforward/down
        encoder.layer_norm                                 final_norm
    """  # noqa: E501
    TASK_ROWS = """
        lm_head.decoder.weight  head/logits/kernel  CausalLM MaskedLM
        lm_head.bias            head/logits/bias    CausalLM MaskedLM
        lm_head.decoder.bias    =head/logits/bias   CausalLM MaskedLM
        classifier.dense        head/hidden         TextClassifier
        classifier.out_proj     head/logits         TextClassifier
        qa_outputs              head/logits         QuestionAnswering
    """
    CONFIG = {
        "vocab_size": ("embedding.vocabulary_size", 320),
        "hidden_size": ("hidden_dim", 256),
        "num_attention_heads": ("num_heads", 12),
        "attention_head_size": ("head_dim", 64),
        "feed_forward_size": ("intermediate_dim", 512),
        "max_position_embeddings": ("position_rows", 4096),
        "hidden_act": ("feedforward.activation", "relu"),
        "hidden_dropout_prob": ("dropout", 0.05),
        "local_attention_probs_dropout_prob": ("attention_dropout", 0.05),
        "initializer_range": ("initializer_range", 0.02),
        "layer_norm_eps": ("norm.epsilon", 1e-12),
        "pad_token_id": ("embedding.padding_id", 0),
        "chunk_size_feed_forward": ("feedforward.chunk", 0),
        "num_hidden_layers": (
            "num_layers", lambda config: len(config.get("attn_layers") or USUAL),
        ),
        "axial_pos_shape": of_position(
            "axial_pos_shape", [64, 64], lambda held, config: held.get("shape", [64, 64])
        ),
        "axial_pos_embds_dim": of_position(
            "axial_pos_embds_dim", [64, 192], lambda held, config: held.get("dims", [64, 192])
        ),
        "axial_pos_embds": of_position(
            "axial_pos_embds", True, lambda held, config: held["kind"] == "axial"
        ),
        **{key: option(key) for key in OPTIONS},
        "attn_layers": (
            "attention_by_layer",
            lambda config: USUAL,
            (lambda value, config: attention({**config, "attn_layers": value}), layers),
        ),
    }  # fmt: skip
    # A decoder there is one that sees no place behind; `CONFIG` has the key.
    REQUIRED = {"is_decoder": ((True, False), False, ("is_decoder", False))}
    HARMLESS = "axial_norm_std chunk_size_lm_head lsh_attention_probs_dropout_prob"
    HEAD_DROPOUT = {"TextClassifier": ("classifier_dropout", None)}
