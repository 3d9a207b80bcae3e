"""Tiny specs of every family, and noise on every weight: default initialisation hides bugs."""

from functools import cache

import keras
import numpy as np

from kzoo.graphs import JointEncoder
from kzoo.models import FAMILIES, build
from kzoo.network import weights_by_path
from kzoo.parts import completed, option
from kzoo.spec import Spec, Towers

SMALL = {
    "hidden_dim": 32,
    "num_heads": 4,
    "intermediate_dim": 48,
    "max_sequence_length": 40,
}


def words(**options):
    """An embedding slot of 120 tokens."""
    usual = {"vocabulary_size": 120, "num_segments": 0, "padding_id": 0}
    return {"kind": "token", **usual, **options}


# GPT-2 and what came of it.
WRITER = {
    "schedule": (0, 1),
    "attention": "causal",
    "block": "pre_norm",
    "feedforward": {"kind": "mlp", "activation": "gelu_tanh"},
    "norm": {"kind": "layer_norm", "epsilon": 1e-5},
    "norms": ["final"],
    "pooler": "none",
}


def of_gpt_neo(kind, **options):
    """An attention slot of GPT-Neo."""
    return {"kind": kind, "bias": ["output"], "scale": 1.0, **options}


def in_chunks(kind, **options):
    """An attention slot of a Reformer that writes; one chunk holds the inputs of most tests."""
    return {"kind": kind, "bias": [], "chunk": 16, **options}


# Pictures of 12 by 8 in six squares, behind one token.
PICTURES = {
    "hidden_dim": 32,
    "num_heads": 4,
    "intermediate_dim": 48,
    "schedule": (0, 1),
    "max_sequence_length": 7,
    "block": "pre_norm",
    "norms": ["final"],
}


SPECS = {
    "bert": Spec("bert", words(num_segments=2), **SMALL, schedule=(0, 1)),
    "roberta": Spec(
        "roberta",
        words(num_segments=1, padding_id=1),
        **SMALL,
        schedule=(0, 1),
        position="counted",
        norm={"kind": "layer_norm", "epsilon": 1e-5},
    ),
    "distilbert": Spec("distilbert", words(), **SMALL, schedule=(0, 1), pooler="none"),
    "albert": Spec(
        "albert",
        words(num_segments=2, dim=16),
        **SMALL,
        schedule=(0, 0, 0),
        dropout=0.0,
        attention_dropout=0.0,
        feedforward={"kind": "mlp", "activation": "gelu_tanh"},
    ),
    "electra": Spec(
        "electra", words(num_segments=2, dim=16), **SMALL, schedule=(0, 1), pooler="none"
    ),
    "mpnet": Spec(
        "mpnet",
        words(padding_id=1),
        **SMALL,
        schedule=(0, 1),
        position="counted_bucketed",
        norm={"kind": "layer_norm", "epsilon": 1e-5},
    ),
    "roformer": Spec(
        "roformer",
        words(num_segments=2),
        **SMALL,
        schedule=(0, 1),
        position="rotary",
        pooler="none",
    ),
    "gpt2": Spec("gpt2", words(padding_id=3), **SMALL, **WRITER),
    "gpt": Spec(
        "gpt",
        words(),
        **{**SMALL, **WRITER, "block": "post_norm", "norms": [], "intermediate_dim": 128},
    ),
    "gpt_neo": Spec(
        "gpt_neo",
        words(),
        **{
            **SMALL,
            **WRITER,
            "hidden_dim": 16,  # Scores that aren't scaled grow with the width.
            "attention": [of_gpt_neo("causal"), of_gpt_neo("local", window=3)],
        },
    ),
    "gpt3": Spec(
        "gpt3",
        words(),
        **SMALL,
        **{**WRITER, "attention": ["causal", {"kind": "local", "window": 3}]},
    ),
    "bloom": Spec(
        "bloom",
        words(padding_id=3),
        **{
            **SMALL,
            **WRITER,
            "intermediate_dim": 128,
            "norms": ["embedding", "final"],
            "position": "alibi",
        },
    ),
    "palm": Spec(
        "palm",
        words(logit_scale=0.25),
        **SMALL,
        schedule=(0, 1),
        head_dim=16,  # As in the 540B model, heads are wider together than the model.
        num_key_value_heads=1,
        dropout=0.0,
        attention_dropout=0.0,
        position={"kind": "rotary", "base": 10000.0, "interleaved": True},
        attention={"kind": "causal", "bias": []},
        block="parallel",
        feedforward={"kind": "gated", "activation": "silu", "bias": False},
        norm={"kind": "layer_norm", "epsilon": 1e-5, "bias": False},
        norms=["final"],
        pooler="none",
    ),
    "lamda": Spec(
        "lamda",
        words(),
        **SMALL,
        schedule=(0, 1),
        head_dim=12,
        position={"kind": "bucketed", "buckets": 8, "longest": 8},
        attention={"kind": "causal", "bias": [], "scale": 1.0},
        block="pre_norm",
        feedforward={"kind": "gated", "activation": "gelu_tanh", "bias": False},
        norm={"kind": "rms_norm", "epsilon": 1e-6},
        norms=["final"],
        pooler="none",
    ),
    "linformer": Spec(
        "linformer",
        words(padding_id=1),
        **SMALL,
        schedule=(0, 1),
        position="counted",
        attention={"kind": "linformer", "length": 8},
        pooler="none",
    ),
    "sparse_transformer": Spec(
        "sparse_transformer",
        words(),
        **SMALL,
        **{
            **WRITER,
            "attention": [
                {"kind": "fixed", "stride": 4, "summary": 2, "columns": 2},
                {"kind": "strided", "stride": 4},
            ],
        },
    ),
    "transformer_xl": Spec(
        "transformer_xl",
        {
            "kind": "adaptive",
            "vocabulary_size": 120,
            "cutoffs": [20, 60],
            "dim": 16,
            "div_val": 2,
            "padding_id": 0,
        },
        **SMALL,
        schedule=(0, 1),
        head_dim=12,
        position={"kind": "relative", "clamp_length": 4},
        attention={"kind": "relative", "memory_length": 6, "same_length": True},
        feedforward={"kind": "mlp", "activation": "relu"},
        norm={"kind": "layer_norm", "epsilon": 1e-5},
        norms=[],
        pooler="none",
    ),
    "xlnet": Spec(
        "xlnet",
        words(kind="token_alone", num_segments=4, padding_id=5),
        **SMALL,
        schedule=(0, 1),
        position="relative",
        attention={"kind": "segment_relative", "memory_length": 6},
        norms=[],
        pooler="none",
    ),
    "longformer": Spec(
        "longformer",
        words(num_segments=1, padding_id=1),
        **SMALL,
        schedule=(0, 1),
        position="counted",
        attention={"kind": "window_and_first", "window": 4, "first": 1},
        norm={"kind": "layer_norm", "epsilon": 1e-5},
    ),
    "bigbird": Spec(
        "bigbird",
        words(num_segments=2),
        **SMALL,
        schedule=(0, 1),
        attention={"kind": "block_sparse", "block": 2, "random": 1},
        feedforward={"kind": "mlp", "activation": "gelu_tanh"},
    ),
    "reformer": Spec(
        "reformer",
        words(),
        **{
            **SMALL,
            **WRITER,
            "head_dim": 8,
            "block": "reversible",
            "position": {"kind": "axial", "shape": [5, 8], "dims": [12, 20]},
            "attention": [
                in_chunks("chunked", chunk=4),
                in_chunks("lsh", hashes=2, buckets=4, seed=0),
            ],
        },
    ),
    "deberta": Spec(
        "deberta",
        words(),
        **SMALL,
        schedule=(0, 1),
        position={"kind": "disentangled", "longest": 6},
        attention={
            "kind": "disentangled_apart",
            "bias": ["query", "value", "place_query", "output"],
        },
        norm={"kind": "layer_norm", "epsilon": 1e-7},
        pooler="none",
    ),
    "deberta_v2": Spec(
        "deberta_v2",
        words(),
        **SMALL,
        schedule=(0, 1),
        position={"kind": "disentangled", "buckets": 4, "longest": 12, "norm": True},
        attention={"kind": "disentangled"},
        block={"kind": "convolved", "activation": "gelu"},
        norm={"kind": "layer_norm", "epsilon": 1e-7},
        pooler="none",
    ),
    "mobilebert": Spec(
        "mobilebert",
        words(num_segments=2, kind="ngram", token_dim=12),
        **{**SMALL, "intermediate_dim": 12},  # No norm keeps numbers near 1.
        schedule=(0, 1),
        head_dim=2,
        dropout=0.0,
        block={"kind": "shared_bottleneck", "feedforwards": 3, "dim": 8},
        feedforward={"kind": "mlp", "activation": "relu"},
        norm="no_norm",
    ),
    "static": Spec(
        "static",
        words(),
        hidden_dim=32,
        num_heads=1,
        intermediate_dim=1,
        schedule=(),
        max_sequence_length=40,
        position="none",
        norms=(),
        pooler="none",
    ),
    "vit": Spec("vit", {"kind": "patch", "image_size": [12, 8], "patch_size": 4}, **PICTURES),
    "deit": Spec(
        "deit",
        {
            "kind": "patch",
            "image_size": [12, 8],
            "patch_size": 4,
            "tokens": ["class", "distillation"],
        },
        **{**PICTURES, "max_sequence_length": 8},
    ),
    "mobilevit": Spec(
        "mobilevit",
        {
            "kind": "mobile",
            "image_size": [128, 64],
            "widths": [4, 4, 8, 12, 16, 20, 32],
            "dims": [8, 16, 24],
            "expansion": 2.0,
        },
        hidden_dim=32,
        num_heads=4,
        intermediate_dim=64,
        schedule=tuple(range(9)),
        max_sequence_length=8,
        position="none",
        feedforward={"kind": "mlp", "activation": "silu"},
        norm={"kind": "layer_norm", "epsilon": 1e-5},
        block="pre_norm",
        norms=["final"],
        pooler="mean",
    ),
    "kwt": Spec(
        "kwt",
        {"kind": "spectrogram", "size": [6, 5], "patch_size": [1, 5]},
        hidden_dim=32,
        num_heads=4,
        intermediate_dim=48,
        schedule=(0, 1),
        max_sequence_length=7,
        attention={"kind": "full", "bias": ["output"]},
        norms=[],
        pooler="none",
    ),
    "ast": Spec(
        "ast",
        {
            "kind": "spectrogram",
            "size": [10, 6],
            "patch_size": 4,
            "stride": [3, 2],
            "across": True,
            "tokens": ["class", "distillation"],
        },
        hidden_dim=32,
        num_heads=4,
        intermediate_dim=48,
        schedule=(0, 1),
        max_sequence_length=8,
        block="pre_norm",
        norms=["final"],
        pooler="none",
    ),
}

CLIP = {
    "hidden_dim": 32,
    "num_heads": 4,
    "intermediate_dim": 48,
    "schedule": (0, 1),
    "dropout": 0.0,
    "attention_dropout": 0.0,
    "block": "pre_norm",
    "feedforward": {"kind": "mlp", "activation": "quick_gelu"},
    "norm": {"kind": "layer_norm", "epsilon": 1e-5},
}
SPECS["clip_image"] = Spec(
    "clip_image",
    {"kind": "patch", "image_size": 8, "patch_size": 4, "bias": False},
    **CLIP,
    max_sequence_length=5,
    pooler={"kind": "first", "dim": 24},
)
SPECS["clip_text"] = Spec(
    "clip_text",
    words(padding_id=1, padding_learns=True),
    **CLIP,
    max_sequence_length=40,
    attention="causal",
    norms=["final"],
    pooler={"kind": "end", "dim": 24},
)
SPECS["clip"] = Towers("clip", {"image": SPECS["clip_image"], "text": SPECS["clip_text"]})

# Pictures, texts and sounds, each by a family of its own.
SPECS["audio_clip"] = Towers(
    "audio_clip",
    {
        "image": SPECS["clip_image"],
        "text": SPECS["bert"].replace(pooler={"kind": "first", "dim": 24}),
        "audio": SPECS["ast"].replace(norms=[], pooler={"kind": "first", "dim": 24}),
    },
)

# Two stacks that share a table of tokens: what reads, and what writes of it.
PAIR = {"hidden_dim": 32, "num_heads": 4, "intermediate_dim": 48, "max_sequence_length": 40}
LOOKS = {"cross_attention": "full", "attention": "causal"}


def pair(family, encoder, decoder=LOOKS, name=None, start=0, **options):
    """A spec of two towers on a table of 120 tokens."""
    name = name or family
    towers = {
        tower: Spec(f"{family}_{tower}", "vectors", **{**PAIR, "pooler": "none", **slots})
        for tower, slots in (
            ("encoder", {**encoder, "schedule": (0, 1, 2)}),
            ("decoder", {**encoder, "schedule": (0, 1), **decoder}),
        )
    }
    return Towers(name, towers, {"embedding": words(**options), "start_id": start})


def of_t5(kind):
    """An attention slot of T5."""
    return {"kind": kind, "bias": [], "scale": 1.0}


T5 = {
    "head_dim": 12,
    "position": {"kind": "bucketed", "buckets": 8, "longest": 12},
    "attention": of_t5("full"),
    "block": "pre_norm",
    "feedforward": {"kind": "gated", "activation": "gelu_tanh", "bias": False},
    "norm": {"kind": "rms_norm", "epsilon": 1e-6},
    "norms": ["final"],
}
OF_2017 = {"feedforward": {"kind": "mlp", "activation": "relu"}, "position": "sinusoidal"}
BART = {"norm": {"kind": "layer_norm", "epsilon": 1e-5}}
PLACED = {"position": {"kind": "learned", "before": 2}}
SPECS["t5_encoder"] = Spec(
    "t5_encoder", words(), **PAIR, schedule=(0, 1), pooler="none", **T5, attention_dropout=0.1
)
SPECS |= {
    "t5": pair(
        "t5", T5, {"attention": of_t5("causal"), "cross_attention": of_t5("full")},
        logit_scale=32**-0.5, padding_learns=True,
    ),
    "transformer": pair("transformer", {**OF_2017, "norms": []}, scaled=True),
    "bart": pair("bart", {**BART, **PLACED}, start=2, padding_id=1),
    "mbart": pair(
        "mbart", {**BART, **PLACED, "block": "pre_norm", "norms": ["embedding", "final"]},
        start=5, padding_id=1, scaled=True,
    ),
    "marian": pair(
        "marian",
        {**BART, "norms": [], "position": {"kind": "sinusoidal", "interleaved": False}},
        start=119, padding_id=119, scaled=True,
    ),
}  # fmt: skip

# What reads a picture and writes of it, or of a question about it; and what reads a text with one.
LOOKING = {"kind": "full", "memory_dim": 32}


def looks(family, **slots):
    """A stack of texts that looks at a memory."""
    usual = {"hidden_dim": 48, "num_heads": 4, "intermediate_dim": 40, "max_sequence_length": 40}
    held = {**usual, "schedule": (0, 1), "cross_attention": LOOKING, "pooler": "none", **slots}
    return Spec(family, words(), **held)


SQUARES = {"kind": "patch", "image_size": [12, 8], "patch_size": 4}
BLIP_VISION = Spec("blip_vision", SQUARES, **PICTURES, pooler="none", dropout=0.0)
# Of a question the decoder sees the vectors, which are as wide as it is.
ASKING = {"hidden_dim": 32, "intermediate_dim": 48}
SPECS |= {
    "vision_encoder_decoder": Towers(
        "vision_encoder_decoder",
        {
            "encoder": SPECS["deit"].replace(pooler="none"),
            "decoder": SPECS["gpt2"].replace(
                hidden_dim=48,
                embedding=words(padding_id=3, padding_learns=True),
                cross_attention="full",
            ),
        },
        {"start_id": 3},
    ),
    "blip_captioner": Towers(
        "blip_captioner",
        {"encoder": BLIP_VISION, "decoder": looks("blip_decoder", attention="causal")},
        {"start_id": 119},
    ),
    "blip_answerer": Towers(
        "blip_answerer",
        {
            "encoder": BLIP_VISION,
            "question": looks("blip_text", **ASKING),
            "decoder": looks("blip_decoder", attention="causal", **ASKING),
        },
        {"start_id": 119},
    ),
    "blip_matcher": Towers(
        "blip_matcher",
        {
            "image": BLIP_VISION.replace(
                family="blip_image_tower", pooler={"kind": "first_mapped", "dim": 24}
            ),
            "text": looks("blip_text_tower", pooler={"kind": "first_mapped", "dim": 24}),
        },
    ),
}
CAPTIONERS = ["vision_encoder_decoder", "blip_captioner"]
# A residual network of few channels, an encoder and a decoder.
READS_MAPS = {
    "hidden_dim": 32,
    "num_heads": 4,
    "intermediate_dim": 48,
    "attention": "placed",
    "feedforward": {"kind": "mlp", "activation": "relu"},
    "norm": {"kind": "layer_norm", "epsilon": 1e-5},
    "pooler": "none",
}
SPECS["detr"] = Towers(
    "detr",
    {
        "encoder": Spec(
            "detr_encoder",
            {"kind": "resnet", "stem": 8, "widths": [16, 16, 32, 32], "depths": [1, 2, 1, 1]},
            **READS_MAPS,
            schedule=(0, 1),
            position="sine_2d",
            norms=[],
        ),
        "decoder": Spec(
            "detr_decoder",
            {"kind": "queries", "count": 5},
            **READS_MAPS,
            schedule=(0, 1, 2),
            position="none",
            cross_attention="placed",
            norms=["final"],
        ),
    },
)

# Networks of one stack, those among them that read texts, and those of these that write; those
# that read a source and write of it.
STACKS = [family for family in sorted(SPECS) if isinstance(SPECS[family], Spec)]
TOKENS = ("token", "token_alone", "ngram", "adaptive")  # Embeddings that read them.
TEXTS = [family for family in STACKS if SPECS[family].embedding["kind"] in TOKENS]
AHEAD = (  # They see places behind their own, beside those of full attention.
    "clip_text", "t5_encoder", "linformer", "xlnet", "deberta", "deberta_v2", "longformer",
    "bigbird",
)  # fmt: skip
WRITERS = [family for family in TEXTS if family not in AHEAD and SPECS[family].attention != "full"]
PAIRS = ["t5", "transformer", "bart", "mbart", "marian"]


# How much larger than its inputs what a convolution gives is: so many follow each other that with
# less nothing of a picture would come through, and with more it would grow beyond all limits.
GAIN = 1.4


if keras.backend.backend() == "jax":
    # Each shape that Keras draws is a program that JAX compiles first: numpy draws, in a fifth of
    # the time. `on_devices` builds as users do.
    for _kind in (keras.initializers.TruncatedNormal, keras.initializers.VarianceScaling):
        _kind.__call__ = lambda self, shape, dtype=None, **_: keras.ops.convert_to_tensor(
            np.random.normal(0, 0.02, shape), dtype or "float32"
        )


def add_noise(model, seed=0, scale=0.2):
    """Make every weight normal noise, the same for the same path and seed; return the model."""
    for i, (path, weight) in enumerate(sorted(weights_by_path(model).items())):
        noise = np.random.default_rng([seed, i]).standard_normal(weight.shape)
        ones = 1.0 if weight.path.endswith(("gamma", "moving_variance")) else 0.0
        is_kernel = path.endswith("convolution/kernel")
        # What a residual network adds up goes into scores, from which a mask takes 1e4 alone.
        gain = GAIN / 2 if "resnet/" in path else GAIN
        size = gain / np.sqrt(np.prod(weight.shape[:-1])) if is_kernel else scale
        weight.assign((ones + size * noise).astype("float32"))
    return model


class Until(keras.callbacks.Callback):
    """Ends a training whose loss has fallen below a bound: its steps show nothing more."""

    def __init__(self, loss):
        super().__init__()
        self.loss = loss

    def on_epoch_end(self, epoch, logs=None):
        """End it."""
        self.model.stop_training |= logs["loss"] < self.loss


def noisy(family, **changes):
    """A tiny backbone of a family with noise on every weight."""
    return add_noise(build(SPECS[family].replace(**changes)))


@cache
def shared(family):
    """`noisy(family)`, made once for all tests that only call it."""
    return noisy(family)


def one_block(family="bert", **changes):
    """A backbone for tests of tasks: a step of training is traced in half the time of two."""
    spec = SPECS[family]
    return build(spec.replace(schedule=spec.schedule[:1], **changes))


def padding_of(spec):
    """The padding token of a spec."""
    return option(spec, "embedding", "padding_id")


def inputs_of(spec, batch=3):
    """Random inputs of any family: ragged tokens, pictures, or more pictures than texts."""
    if getattr(spec, "family", None) == "detr":
        return filled_pictures(batch)
    if isinstance(spec, Towers) and spec.head is not spec and "embedding" not in spec.options:
        return beside_pictures(spec, batch)
    if isinstance(spec, Towers) and "decoder" in spec.towers:
        slot = spec.options["embedding"]
        read = {}
        for place, tower in enumerate(spec.towers):
            own = tokens(Spec("", slot, **PAIR, schedule=(0,)), batch, 9 - 2 * place, seed=place)
            read |= {f"{tower}_{name}": value for name, value in own.items()}
        return read
    if isinstance(spec, Towers):
        read = {}
        for place, tower in enumerate(spec.towers.values()):
            read |= inputs_of(tower, batch + 1 - place)
        return read
    if spec.embedding["kind"] in TOKENS:
        return tokens(spec, batch)
    draw = np.random.default_rng(0)
    return {
        name: draw.standard_normal((batch, *entry.axes[1:])).astype("float32")
        for name, entry in build(spec).signature.items()
    }


def beside_pictures(spec, batch=3):
    """Random inputs of what reads pictures with ragged texts beside each."""
    read = {}
    for place, (name, tower) in enumerate(spec.towers.items()):
        if tower.embedding["kind"] == "patch":
            shape = (batch, *tower.embedding["image_size"], 3)
            read["images"] = np.random.default_rng(0).standard_normal(shape).astype("float32")
            continue
        own = tokens(tower, batch, 9 - 2 * place, seed=place)
        prefix = "" if name == "text" else f"{name}_"
        read |= {f"{prefix}{each}": value for each, value in own.items()}
    return read


def alone(spec, inputs):
    """The inputs of a network that can also be called on some of them alone, each by itself."""
    family = FAMILIES[spec.family]
    if not issubclass(family, JointEncoder):
        return []
    names = build(spec).signatures
    return [{name: inputs[name] for name in names[tower]} for tower in ("image", "text")]


def filled_pictures(batch=3, height=100, width=70):
    """Pictures of several sizes in one array, and which pixels are theirs."""
    draw = np.random.default_rng(0)
    images = draw.standard_normal((batch, height, width, 3)).astype("float32")
    mask = np.zeros((batch, height, width), "int32")
    for place in range(batch):
        mask[place, : height - 33 * place, : width - 20 * place] = 1
    images = images * mask[..., None].astype("float32")
    return {"images": images, "pixel_mask": mask}


def permuted(spec, batch=3):
    """`inputs_of` a network of two streams with a permutation: all but two places are foretold.

    The last foretold of each row fills up.
    """
    inputs, draw = inputs_of(spec, batch), np.random.default_rng(2)
    length = inputs["token_ids"].shape[1]
    order = np.stack([draw.permutation(length) for _ in range(batch)])
    order[:, :2] = 0
    perm = order[:, None] >= np.maximum(order[:, :, None], 1)
    mapping = np.repeat(np.eye(length)[None, [5, 2, 8, 3]], batch, axis=0)
    mapping[:, -1] = 0
    values = {"perm_mask": perm, "target_mapping": mapping}
    return {**inputs, **{name: value.astype("int32") for name, value in values.items()}}


def tokens(spec, batch=3, length=9, seed=0):
    """Random ids with ragged padding, as the model's input dict."""
    draw = np.random.default_rng(seed)
    lengths = np.linspace(length, 2, batch).astype(int)
    mask = (np.arange(length)[None] < lengths[:, None]).astype("int32")
    ids = draw.integers(5, spec.embedding["vocabulary_size"], (batch, length)).astype("int32")
    inputs = {"token_ids": np.where(mask == 1, ids, padding_of(spec)), "padding_mask": mask}
    if completed("embedding", spec.embedding).get("num_segments", 0) > 1:
        inputs["segment_ids"] = mask * (np.arange(length)[None] >= 4).astype("int32")
    return {name: value.astype("int32") for name, value in inputs.items()}


# Weights without a gradient by nature: what the first block of DETR's decoder attends to is zeros,
# of which all values are the same, wherever it looks.
SILENT = {
    "detr": tuple(
        f"decoder/block_0/attention/{name}" for name in
        ("query/kernel", "query/bias", "key/kernel", "value/kernel")
    )
}  # fmt: skip
