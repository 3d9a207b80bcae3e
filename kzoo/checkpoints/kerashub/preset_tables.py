"""What KerasHub calls the families of kzoo: rows, keys and heads, as a family has Hugging Face's.

A `Preset` is to KerasHub what `MODEL_TYPES`, `ROWS`, `TASK_ROWS`, `CONFIG` and the rest of a model
class are to Hugging Face, and is read by the same functions (`rows.py`, `config.py`). A name there
is the file, then the path in it: layers are counted by their class, variables within a layer.

Read from the sources of keras-hub 0.32 (Apache 2.0), https://github.com/keras-team/keras-hub.
"""

import numpy as np

from ...models import bloom
from ...models.vit import places
from ...values import is_whole

MODEL, TASK = "model.weights.h5", "task.weights.h5"
HEAD = f"{TASK}/layers"


class Preset:
    """One family in KerasHub.

    `BACKBONE` is the class of its backbone; `TASKS` are the classes of its tasks, each with the
    task here and the heads that it may have (of several, the one whose scores are tied as those
    there); `TASK_CONFIG` is what their configs must say. `BESIDE` are keys that KerasHub's config
    lacks: kzoo keeps them in metadata.json, which nothing there reads. `ALWAYS` has arrays that a
    file must hold where the model has none, by functions of the spec that may give None.
    """

    elsewhere = "KerasHub"
    family, BACKBONE, TASKS, TASK_CONFIG = None, None, {}, {}
    PREFIX, TOWERS, KEY, ZERO_IF_MISSING = f"{MODEL}/", {}, None, ()
    COMPUTED = {}
    ROWS, TASK_ROWS, CONFIG, FIXED, REQUIRED, BESIDE, ALWAYS = "", "", {}, {}, {}, (), {}
    HARMLESS = "name trainable dtype data_format"
    HEAD_DROPOUT = {"TextClassifier": ("dropout", 0.1)}
    POOLER = None  # what the backbone there gives beside its sequence, which not every head reads


def sizes(inner="intermediate_dim"):
    """The keys that nearly all backbones have."""
    return {
        "hidden_dim": ("hidden_dim", 768),
        "num_layers": ("num_layers", 12),
        "num_heads": ("num_heads", 12),
        inner: ("intermediate_dim", 3072),
    }


RATE = {"dropout": (["dropout", "attention_dropout"], 0.1)}
LENGTH = {"max_sequence_length": ("max_sequence_length", 512)}
WORDS = {"vocabulary_size": ("embedding.vocabulary_size", 30522)}
PADDING = {"padding_id": ("embedding.padding_id", 0)}


def masked_lm(activation, epsilon=1e-5):
    """The head of a masked LM."""
    return "MaskedLM", [{"kind": "masked_lm", "activation": activation, "epsilon": epsilon}]


def attention(layer, here, queries="query_dense", outputs="output_dense"):
    """The rows of attention: of queries, keys and values by head, and of what they come to."""
    each = "|".join(queries.replace("query", name) for name in ("query", "key", "value"))
    return f"""
        {layer}/{{{each}}}:heads  {here}/{{query|key|value}}
        {layer}/{outputs}:from_heads  {here}/output
    """


def transformer(layer, crossed=""):
    """The rows of a TransformerEncoder or TransformerDecoder."""
    return f"""
        {attention(f"{layer}/_self_attention_layer", "block_{step}/attention")}
        {layer}/_self_attention_layer_norm       block_{{step}}/attention_norm
        {crossed}
        {layer}/_feedforward_intermediate_dense  block_{{step}}/feedforward/up
        {layer}/_feedforward_output_dense        block_{{step}}/feedforward/down
        {layer}/_feedforward_layer_norm          block_{{step}}/feedforward_norm
    """


ENCODER, DECODER = "layers/transformer_encoder{_step}", "layers/transformer_decoder{_step}"
LM_HEAD = f"""
    {HEAD}/masked_lm_head/_intermediate_dense       head/transform  MaskedLM
    {HEAD}/masked_lm_head/_intermediate_layer_norm  head/norm       MaskedLM
    {HEAD}/masked_lm_head/vars/0                    head/bias       MaskedLM
"""
HIDDEN_HEAD = f"""
    {HEAD}/dense    head/hidden  TextClassifier
    {HEAD}/dense_1  head/logits  TextClassifier
"""
TOKENS = "layers/token_and_position_embedding"


def pooler(width):
    """The pooler that the class there always has: zeros where the model has none."""
    return {
        f"{MODEL}/layers/{width}/vars/0": lambda spec: np.zeros([spec.hidden_dim] * 2, "float32"),
        f"{MODEL}/layers/{width}/vars/1": lambda spec: np.zeros(spec.hidden_dim, "float32"),
    }


class Bert(Preset):
    """BERT; its activation is the approximate GELU there."""

    family, BACKBONE = "bert", "BertBackbone"
    TASKS = {
        "BertTextClassifier": ("TextClassifier", [{"kind": "pooled"}]),
        "BertMaskedLM": masked_lm("gelu"),
    }
    FIXED = {
        "feedforward": {"kind": "mlp", "activation": "gelu_tanh"},
        "norm": {"kind": "layer_norm", "epsilon": 1e-12},
    }
    ROWS = f"""
        layers/reversible_embedding  token_embedding
        layers/embedding             segment_embedding
        layers/position_embedding    position
        layers/layer_normalization   embedding_norm
        {transformer(ENCODER)}
        layers/dense                 pooler?
    """
    TASK_ROWS = f"""
        {HEAD}/dense  head/logits  TextClassifier
        {LM_HEAD}
    """
    CONFIG = {
        **sizes(),
        **WORDS,
        **RATE,
        **LENGTH,
        **PADDING,
        "num_segments": ("embedding.num_segments", 2),
    }
    BESIDE = ("padding_id",)
    ALWAYS = pooler("dense")
    POOLER = "tanh"


class Albert(Bert):
    """ALBERT, with one layer a group."""

    family, BACKBONE = "albert", "AlbertBackbone"
    TASKS = {
        "AlbertTextClassifier": ("TextClassifier", [{"kind": "pooled"}]),
        "AlbertMaskedLM": masked_lm("gelu_tanh"),
    }
    GROUP = transformer("layers/transformer_encoder{_group}").replace("{step}", "{group}")
    ROWS = f"""
        layers/reversible_embedding  token_embedding
        layers/embedding             segment_embedding
        layers/position_embedding    position
        layers/layer_normalization   embedding_norm
        layers/dense                 embedding_projection
        {GROUP}
        layers/dense_1               pooler?
    """
    CONFIG = {
        **Bert.CONFIG,
        "dropout": (["dropout", "attention_dropout"], 0.0),
        "embedding_dim": ("embedding_width", 128),
        "num_groups": ("num_groups", 1),
    }
    REQUIRED = {"num_inner_repetitions": ((1,), 1)}
    ALWAYS = pooler("dense_1")


class DistilBert(Preset):
    """DistilBERT."""

    family, BACKBONE = "distilbert", "DistilBertBackbone"
    TASKS = {
        "DistilBertTextClassifier": ("TextClassifier", [{"kind": "first", "activation": "relu"}]),
        "DistilBertMaskedLM": masked_lm("gelu"),
    }
    FIXED = {"norm": {"kind": "layer_norm", "epsilon": 1e-12}, "pooler": "none"}
    ROWS = f"""
        {TOKENS}/token_embedding     token_embedding
        {TOKENS}/position_embedding  position
        layers/layer_normalization   embedding_norm
        {transformer(ENCODER)}
    """
    TASK_ROWS = f"""
        {HIDDEN_HEAD}
        {LM_HEAD}
    """
    CONFIG = {**sizes(), **WORDS, **RATE, **LENGTH, **PADDING}
    BESIDE = ("padding_id",)
    TASK_CONFIG = {"hidden_dim": lambda spec: spec.hidden_dim}
    HEAD_DROPOUT = {"TextClassifier": ("dropout", 0.2)}


class Roberta(DistilBert):
    """RoBERTa.

    KerasHub counts places from 0, padding included, and has what all tokens share, the vector of
    their one segment, in its table of places.
    """

    family, BACKBONE = "roberta", "RobertaBackbone"
    TASKS = {
        "RobertaTextClassifier": ("TextClassifier", [{"kind": "first", "activation": "tanh"}]),
        "RobertaMaskedLM": masked_lm("gelu"),
    }
    FIXED = {
        "embedding": {"kind": "token", "num_segments": 1},
        "norm": {"kind": "layer_norm", "epsilon": 1e-5},
        "pooler": "none",
        "position": "counted",
    }
    ROWS = f"""
        {TOKENS}/token_embedding     token_embedding
        {TOKENS}/position_embedding:places  {{position,segment_embedding}}
        layers/layer_normalization   embedding_norm
        {transformer(ENCODER)}
    """
    CONFIG = {
        **DistilBert.CONFIG,
        "vocabulary_size": ("embedding.vocabulary_size", 50265),
        "padding_id": ("embedding.padding_id", 1),
    }
    BESIDE = ("padding_id",)
    HEAD_DROPOUT = {"TextClassifier": ("dropout", 0.0)}


class XlmRoberta(Roberta):
    """XLM-RoBERTa, which has classes of its own there."""

    BACKBONE = "XLMRobertaBackbone"
    TASKS = {name.replace("Roberta", "XLMRoberta"): task for name, task in Roberta.TASKS.items()}


class Gpt2(Preset):
    """GPT-2."""

    family, BACKBONE = "gpt2", "GPT2Backbone"
    TASKS = {"GPT2CausalLM": ("CausalLM", ["tied_lm"])}
    FIXED = {
        "attention": "causal",
        "block": "pre_norm",
        "feedforward": {"kind": "mlp", "activation": "gelu_tanh"},
        "norm": {"kind": "layer_norm", "epsilon": 1e-5},
        "norms": ["final"],
        "pooler": "none",
    }
    ROWS = f"""
        layers/reversible_embedding  token_embedding
        layers/position_embedding    position
        {transformer(DECODER)}
        layers/layer_normalization   final_norm
    """
    CONFIG = {
        **sizes(),
        **RATE,
        **PADDING,
        "vocabulary_size": ("embedding.vocabulary_size", 50257),
        "max_sequence_length": ("max_sequence_length", 1024),
    }
    BESIDE = ("padding_id",)


class Bloom(Preset):
    """BLOOM, whose length no key there says."""

    family, BACKBONE = "bloom", "BloomBackbone"
    TASKS = {"BloomCausalLM": ("CausalLM", ["tied_lm"])}
    FIXED = bloom.Bloom.FIXED
    LAYER = "layers/bloom_decoder{_step}"
    SELF = f"{LAYER}/_self_attention_layer"
    ROWS = f"""
        layers/reversible_embedding                  token_embedding
        layers/layer_normalization                   embedding_norm
        {LAYER}/_pre_attention_layernorm             block_{{step}}/attention_norm
        {SELF}/{{_query|_key|_value}}_dense:heads    block_{{step}}/attention/{{query|key|value}}
        {SELF}/_output_dense                         block_{{step}}/attention/output
        {LAYER}/_post_attention_layernorm            block_{{step}}/feedforward_norm
        {LAYER}/_mlp_intermediate_dense              block_{{step}}/feedforward/up
        {LAYER}/_mlp_output_dense                    block_{{step}}/feedforward/down
        layers/layer_normalization_1                 final_norm
    """
    CONFIG = {
        **sizes(),
        "dropout": (["dropout", "attention_dropout"], 0.0),
        "vocabulary_size": ("embedding.vocabulary_size", 250880),
        "layer_norm_epsilon": ("norm.epsilon", 1e-5),
        "padding_id": ("embedding.padding_id", 3),
        "max_sequence_length": ("max_sequence_length", 2048),
    }
    BESIDE = ("padding_id", "max_sequence_length")


class BartEncoder(Preset):
    """BART's encoder."""

    family, PREFIX = "bart_encoder", ""
    FIXED = {
        "embedding": "vectors",
        "norm": {"kind": "layer_norm", "epsilon": 1e-5},
        "pooler": "none",
        "position": {"kind": "learned", "before": 2},
    }
    ROWS = f"""
        layers/position_embedding:places  position
        layers/layer_normalization        embedding_norm
        {transformer(ENCODER)}
    """
    CONFIG = {**sizes(), **RATE, "max_sequence_length": ("max_sequence_length", 1024)}


class BartDecoder(BartEncoder):
    """BART's decoder."""

    family = "bart_decoder"
    FIXED = {**BartEncoder.FIXED, "attention": "causal", "cross_attention": "full"}
    CROSS = f"""
        {attention(f"{DECODER}/_cross_attention_layer", "block_{step}/cross_attention")}
        {DECODER}/_cross_attention_layer_norm  block_{{step}}/cross_attention_norm
    """
    ROWS = f"""
        layers/position_embedding_1:places  position
        layers/layer_normalization_1        embedding_norm
        {transformer(DECODER, CROSS)}
    """


class Bart(Preset):
    """BART."""

    family, BACKBONE = "bart", "BartBackbone"
    TASKS = {"BartSeq2SeqLM": ("Seq2SeqLM", [{"kind": "tied_lm", "bias": True}])}
    TOWERS = {"encoder": BartEncoder, "decoder": BartDecoder}
    FIXED = {"options.embedding.kind": lambda fields: "token"}
    ROWS = "layers/reversible_embedding  token_embedding"
    TASK_ROWS = "0  head/bias  Seq2SeqLM"
    CONFIG = {
        "vocabulary_size": ("options.embedding.vocabulary_size", 50265),
        "padding_id": ("options.embedding.padding_id", 1),
        "start_id": ("options.start_id", 2),
    }
    BESIDE = ("padding_id", "start_id")


def t5_attention(layer, there, here):
    """The rows of attention in T5, and of the norm before it."""
    return f"""
        {layer}/{there}/{{query|key|value|output}}_projector  {here}/{{query|key|value|output}}
        {layer}/{there}_layer_norm  {here}_norm
    """


def t5_layer(layer, crossed=""):
    """The rows of a T5TransformerLayer."""
    return f"""
        {t5_attention(layer, "self_attention", "block_{step}/attention")}
        {crossed}
        {layer}/layer_norm        block_{{step}}/feedforward_norm
        {layer}/input_projector   block_{{step}}/feedforward/up    feedforward=mlp
        {layer}/input_projector   block_{{step}}/feedforward/gate  feedforward=gated
        {layer}/gate_projector    block_{{step}}/feedforward/up    feedforward=gated
        {layer}/output_projector  block_{{step}}/feedforward/down
    """


# An activation there, a name or a function that is registered, and here.
ACTIVATIONS = {"relu": "relu", "gelu": "gelu", "gelu_approximate": "gelu_tanh", "silu": "silu"}
REGISTERED = {
    "module": "builtins",
    "class_name": "function",
    "config": "keras_hub>gelu_approximate",
    "registered_name": "function",
}


def activation(value, _config):
    """What an activation there is called here."""
    name = value["config"] if isinstance(value, dict) else value
    return ACTIVATIONS.get(name.rpartition(">")[2])


def activation_there(name, _config):
    """What an activation here is called there."""
    names = {here: there for there, here in ACTIVATIONS.items()}
    return REGISTERED if name == "gelu_tanh" else names.get(name)


T5_FULL = {"kind": "full", "bias": [], "scale": 1.0}


class T5Encoder(Preset):
    """T5's encoder."""

    family, PREFIX, LAYER = "t5_encoder", "", "layers/t5_transformer_layer{_step}"
    FIXED = {
        "attention": T5_FULL,
        "block": "pre_norm",
        "embedding": "vectors",
        "feedforward": {"kind": "mlp", "bias": False},
        "norm": {"kind": "rms_norm"},
        "norms": ["final"],
        "pooler": "none",
        "position": "bucketed",
    }
    ROWS = f"""
        layers/t5_transformer_layer/self_attention/vars/0  position/embeddings
        {t5_layer(LAYER)}
        layers/t5_layer_norm                               final_norm
    """
    CONFIG = {
        **sizes(),
        **RATE,
        "key_value_dim": ("head_dim", lambda config: config["hidden_dim"] // config["num_heads"]),
        "layer_norm_epsilon": ("norm.epsilon", 1e-6),
        "activation": ("feedforward.activation", "relu", (activation, activation_there)),
        "use_gated_activation": ("feedforward.kind", True, {True: "gated", False: "mlp"}),
        "max_sequence_length": ("max_sequence_length", 512),
    }


class T5Decoder(T5Encoder):
    """T5's decoder, whose layers are counted on behind the encoder's."""

    family, LAYER = "t5_decoder", "layers/t5_transformer_layer{_next}"
    FIXED = {
        **T5Encoder.FIXED,
        "attention": {**T5_FULL, "kind": "causal"},
        "cross_attention": T5_FULL,
    }
    ROWS = f"""
        layers/t5_transformer_layer{{_behind}}/self_attention/vars/0  position/embeddings
        {t5_layer(LAYER, t5_attention(LAYER, "cross_attention", "block_{step}/cross_attention"))}
        layers/t5_layer_norm_1         final_norm
    """


def untied(spec):
    """The map to scores of a T5 without a head, zeros; None where the table of tokens is it."""
    table = spec.options["embedding"]
    if table["logit_scale"] != 1.0:
        return None
    return np.zeros((spec.towers["decoder"].hidden_dim, table["vocabulary_size"]), "float32")


class T5(Preset):
    """T5 and FLAN-T5."""

    family, BACKBONE = "t5", "T5Backbone"
    TASKS = {"T5Seq2SeqLM": ("Seq2SeqLM", ["tied_lm", "lm"])}
    TOWERS = {"encoder": T5Encoder, "decoder": T5Decoder}
    FIXED = {
        "options.embedding.kind": lambda fields: "token",
        "options.embedding.padding_learns": lambda fields: True,
    }
    ROWS = "layers/reversible_embedding/vars/0  token_embedding/embeddings"
    TASK_ROWS = f"{MODEL}/layers/reversible_embedding/vars/1  head/logits/kernel  Seq2SeqLM"
    CONFIG = {
        "vocabulary_size": ("options.embedding.vocabulary_size", 32128),
        "tie_embedding_weights": (
            "options.embedding.logit_scale",
            True,
            (
                lambda tied, config: config["hidden_dim"] ** -0.5 if tied else 1.0,
                lambda scale, config: scale != 1.0,
            ),
        ),
        "padding_id": ("options.embedding.padding_id", 0),
        "start_id": ("options.start_id", 0),
    }
    BESIDE = ("padding_id", "start_id", "max_sequence_length")
    ALWAYS = {f"{MODEL}/layers/reversible_embedding/vars/1": untied}


def picture(tokens=("class",)):
    """What the shape of a picture is here, with the tokens that stand before its squares."""

    def embedding(shape, _config):
        *sides, channels = shape
        size = sides[0] if sides[0] == sides[1] else sides
        return {"kind": "patch", "image_size": size, "channels": channels, "tokens": list(tokens)}

    def shape(embedding, _config):
        size = embedding["image_size"]
        return [*([size, size] if is_whole(size, 1) else size), embedding["channels"]]

    return "embedding", [224, 224, 3], (embedding, shape)


PATCH = (
    lambda size, config: size if is_whole(size, 1) else size[0] if size[0] == size[1] else size,
    lambda size, config: [size, size] if is_whole(size, 1) else size,
)
PICTURE_TASK = {"pooling": "token"}


class Vit(Preset):
    """ViT."""

    family, BACKBONE = "vit", "ViTBackbone"
    TASKS = {"ViTImageClassifier": ("ImageClassifier", [{"kind": "first"}])}
    TASK_CONFIG = {**PICTURE_TASK, "intermediate_dim": None}
    FIXED = {
        "block": "pre_norm",
        "max_sequence_length": lambda fields: places(fields["embedding"]),
        "norms": ["final"],
        "pooler": "none",
    }
    EMBEDDING, LAYERS = "layers/vi_t_patching_and_embedding", "layers/vi_t_encoder"
    BLOCK = f"{LAYERS}/encoder_layers/vi_t_encoder_block{{_step}}"
    ROWS = f"""
        {EMBEDDING}/patch_embedding     patch_embedding
        {EMBEDDING}/vars/0:1,1          patch_embedding/class_token
        {EMBEDDING}/position_embedding  position
        {BLOCK}/layer_norm_1            block_{{step}}/attention_norm
        {attention(f"{BLOCK}/mha", "block_{step}/attention")}
        {BLOCK}/layer_norm_2            block_{{step}}/feedforward_norm
        {BLOCK}/mlp/{{dense_1|dense_2}}   block_{{step}}/feedforward/{{up|down}}
        {LAYERS}/layer_norm             final_norm
    """
    TASK_ROWS = f"{HEAD}/dense  head/logits  ImageClassifier"
    CONFIG = {
        "image_shape": picture(),
        "patch_size": ("embedding.patch_size", 16, PATCH),
        **sizes("mlp_dim"),
        "dropout_rate": ("dropout", 0.0),
        "attention_dropout": ("attention_dropout", 0.0),
        "layer_norm_epsilon": ("norm.epsilon", 1e-6),
        "use_mha_bias": (
            "attention",
            True,
            {True: "full", False: {"kind": "full", "bias": []}},
        ),
        "use_mlp_bias": ("feedforward.bias", True),
        "use_patch_bias": ("embedding.bias", True),
    }
    REQUIRED = {"use_class_token": ((True,), True)}
    HEAD_DROPOUT = {"ImageClassifier": ("dropout", 0.0)}


class Deit(Vit):
    """DeiT; its classifier reads the class token alone."""

    family, BACKBONE = "deit", "DeiTBackbone"
    TASKS = {"DeiTImageClassifier": Vit.TASKS["ViTImageClassifier"]}
    TASK_CONFIG = PICTURE_TASK
    EMBEDDING, LAYERS = "layers/dei_t_embeddings", "layers/dei_t_encoder"
    BLOCK = f"{LAYERS}/encoder_layers/dei_t_encoder_block{{_step}}"
    ROWS = f"""
        {EMBEDDING}/patch_embedding     patch_embedding
        {EMBEDDING}/vars/0:1,1          patch_embedding/class_token
        {EMBEDDING}/vars/1:1,1          patch_embedding/distillation_token
        {EMBEDDING}/vars/2:1            position/embeddings
        {BLOCK}/layer_norm_1            block_{{step}}/attention_norm
        {attention(f"{BLOCK}/mha", "block_{step}/attention")}
        {BLOCK}/layer_norm_2            block_{{step}}/feedforward_norm
        {BLOCK}/mlp/dense               block_{{step}}/feedforward/up
        {BLOCK}/output_layer/dense      block_{{step}}/feedforward/down
        {LAYERS}/layer_norm             final_norm
    """
    CONFIG = {
        **Vit.CONFIG,
        **sizes(),
        "image_shape": picture(["class", "distillation"]),
    }
    del CONFIG["mlp_dim"], CONFIG["use_mlp_bias"], CONFIG["use_patch_bias"]
    REQUIRED = {}


# The rows of a tower's CLIPEncoderLayers.
CLIP_LAYER = "layers/clip_encoder_layer{_step}"
CLIP_BLOCKS = f"""
    {CLIP_LAYER}/layer_norm_1         block_{{step}}/attention_norm
    {attention(f"{CLIP_LAYER}/attention", "block_{step}/attention")}
    {CLIP_LAYER}/layer_norm_2         block_{{step}}/feedforward_norm
    {CLIP_LAYER}/{{dense_1|dense_2}}    block_{{step}}/feedforward/{{up|down}}
"""
CLIP_KEYS = {
    **sizes(),
    "intermediate_activation": ("feedforward.activation", "quick_gelu"),
}
CLIP_FIXED = {
    "block": "pre_norm",
    "dropout": 0.0,
    "norm": {"kind": "layer_norm", "epsilon": 1e-5},
}


class ClipImage(Preset):
    """CLIP's tower of pictures."""

    family, BACKBONE, KEY = "clip_image", "CLIPVisionEncoder", "vision_encoder"
    PREFIX = "layers/clip_vision_encoder/"
    FIXED = {
        **CLIP_FIXED,
        "embedding.bias": lambda fields: False,
        "max_sequence_length": lambda fields: places(fields["embedding"]),
        "norms": ["embedding"],
        "pooler": "first",
    }
    ROWS = f"""
        layers/clip_vision_embedding/patch_embedding     patch_embedding
        layers/clip_vision_embedding/vars/0              patch_embedding/class_token
        layers/clip_vision_embedding/vars/1              -
        layers/clip_vision_embedding/position_embedding  position
        layers/layer_normalization                       embedding_norm
        {CLIP_BLOCKS}
        layers/layer_normalization_1                     pooler/norm
    """
    CONFIG = {
        "image_shape": picture(),
        "patch_size": ("embedding.patch_size", 32),
        **CLIP_KEYS,
    }
    REQUIRED = {"intermediate_output_index": ((None,), None)}


class ClipText(Preset):
    """CLIP's tower of texts; the last norm there has another epsilon, 1e-6."""

    family, BACKBONE, KEY = "clip_text", "CLIPTextEncoder", "text_encoder"
    PREFIX = "layers/clip_text_encoder/"
    FIXED = {
        **CLIP_FIXED,
        "attention": "causal",
        "embedding": {"kind": "token", "padding_learns": True},
        "norms": ["final"],
        "pooler": {"kind": "end", "token": "largest"},
    }
    ROWS = f"""
        {TOKENS}/token_embedding     token_embedding
        {TOKENS}/position_embedding  position
        {CLIP_BLOCKS}
        layers/layer_normalization   final_norm
    """
    CONFIG = {
        **CLIP_KEYS,
        "vocabulary_size": ("embedding.vocabulary_size", 49408),
        "max_sequence_length": ("max_sequence_length", 77),
        "embedding_dim": (
            "embedding.dim",
            lambda config: config["hidden_dim"],
            (
                lambda dim, config: 0 if dim == config["hidden_dim"] else None,
                lambda dim, config: config["hidden_dim"],
            ),
        ),
    }
    REQUIRED = ClipImage.REQUIRED


class Clip(Preset):
    """CLIP."""

    family, BACKBONE = "clip", "CLIPBackbone"
    TOWERS = {"image": ClipImage, "text": ClipText}
    ROWS = """
        layers/dense             image/pooler/projection
        layers/dense_1           text/pooler/projection
        layers/clip_head/vars/0  logit_scale
    """
    CONFIG = {"projection_dim": (["towers.image.pooler.dim", "towers.text.pooler.dim"], 512)}
    ALWAYS = {
        f"{MODEL}/{ClipImage.PREFIX}layers/clip_vision_embedding/vars/1": lambda spec: np.arange(
            spec.towers["image"].max_sequence_length, dtype="int64"
        )[None]
    }


PRESETS = {
    preset.BACKBONE: preset
    for preset in (
        Albert,
        Bart,
        Bert,
        Bloom,
        Clip,
        Deit,
        DistilBert,
        Gpt2,
        Roberta,
        T5,
        Vit,
        XlmRoberta,
    )  # fmt: skip
}
