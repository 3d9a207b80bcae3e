"""DETR: Carion et al. 2020, arXiv:2005.12872. Things in a picture as a set that a decoder asks for.

A residual network makes a map of the picture; an encoder's places look at each other; a decoder's
queries, each a trained vector, look at them, and each says what it found and where.
"""

import dataclasses

import keras

from ..graphs import Composite, Stack
from ..nn.attention import additive_mask
from ..nn.context import Context
from ..nn.position import UNPLACED
from ..parts import completed
from ..spec import Input
from .bart import attention, blocks

# The networks that a file may name, by their bottlenecks; all have the same widths.
DEPTHS = {"resnet50": [3, 4, 6, 3], "resnet101": [3, 4, 23, 3], "resnet152": [3, 8, 36, 3]}
STEM, WIDTHS = 64, [256, 512, 1024, 2048]
PARTS = ("reduce", "inner", "expand")
BODY = "backbone.conv_encoder.model"


def resnet_rows(spec):
    """The rows of an encoder's residual network, of as many bottlenecks as it has.

    Files have transformers' names or timm's, which is the case of those of the hub.
    """
    depths = completed("embedding", spec.embedding)["depths"]
    rows = _layer("embedder.embedder.convolution", "embedder.embedder.normalization", "stem")
    rows += _layer("conv1", "bn1", "stem", "=")
    for stage, depth in enumerate(depths):
        for unit in range(depth):
            here = f"stage_{stage}_{unit}"
            there, timm = f"encoder.stages.{stage}.layers.{unit}", f"layer{stage + 1}.{unit}"
            for place, part in enumerate(PARTS):
                at = f"{there}.layer.{place}"
                rows += _layer(f"{at}.convolution", f"{at}.normalization", f"{here}/{part}")
                names = f"{timm}.conv{place + 1}", f"{timm}.bn{place + 1}"
                rows += _layer(*names, f"{here}/{part}", "=")
            at, names = f"{there}.shortcut", [f"{timm}.downsample.{place}" for place in (0, 1)]
            rows += _layer(f"{at}.convolution", f"{at}.normalization", f"{here}/shortcut")
            rows += _layer(*names, f"{here}/shortcut", "=")
    return rows + ENCODER


def _layer(convolution, norm, here, tied=""):
    """The rows of a convolution and its norm; such that `tied` are another name of the same."""
    return f"""
        {BODY}.{convolution}  {tied}resnet/{here}/convolution
        {BODY}.{norm}         {tied}resnet/{here}/normalization
        {BODY}.{norm}.num_batches_tracked  -
    """


ENCODER = f"""
    input_projection  resnet/projection
    {blocks("encoder")}
"""


def named(config):
    """What config.json means where it only names the network of its pictures, as timm does."""
    dilated = {"output_stride": 16} if config.get("dilation") else {}
    name = config.get("backbone") or "resnet50"
    return {"model_type": "timm_backbone", "backbone": name, **dilated}


def embedding_of(held, config):
    """The embedding slot of what config.json says of the network; None for another network."""
    channels = held.get("num_channels") or config.get("num_channels", 3)
    slot = {"kind": "resnet", "channels": channels}
    if held.get("model_type") == "timm_backbone":
        name = str(held.get("backbone")).partition(".")[0]
        stride = held.get("output_stride") or (16 if config.get("dilation") else 32)
        if name not in DEPTHS:
            return None
        return {**slot, "stem": STEM, "widths": WIDTHS, "depths": DEPTHS[name],
                "output_stride": stride}  # fmt: skip
    is_known = (
        held.get("model_type") == "resnet"
        and held.get("layer_type", "bottleneck") == "bottleneck"
        and held.get("hidden_act", "relu") == "relu"
        and not held.get("downsample_in_first_stage")
        and not held.get("downsample_in_bottleneck")
        and (held.get("out_features") or ["stage4"])[-1] == "stage4"
    )
    if not is_known:
        return None
    return {
        **slot,
        "stem": held.get("embedding_size", STEM),
        "widths": list(held.get("hidden_sizes", WIDTHS)),
        "depths": list(held.get("depths", DEPTHS["resnet50"])),
    }


def network_of(slot, config):
    """What config.json says of the network of an embedding slot: what it said, or ResNet's keys."""
    said = config.get("backbone_config") or config.get("backbone")
    asked = config.get("backbone_config") or named(config)
    meant = embedding_of(asked, config) if said else None
    if meant is not None and completed("embedding", meant) == {**slot, "image_size": None}:
        return asked
    if slot["output_stride"] != 32:
        return None
    return {
        "model_type": "resnet",
        "embedding_size": slot["stem"],
        "hidden_sizes": list(slot["widths"]),
        "depths": list(slot["depths"]),
        "layer_type": "bottleneck",
        "hidden_act": "relu",
        "num_channels": slot["channels"],
        "out_features": ["stage4"],
    }


def keys(tower):
    """The keys that a tower has, with their defaults there."""
    return {
        "d_model": ("hidden_dim", 256),
        f"{tower}_layers": ("num_layers", 6),
        f"{tower}_attention_heads": ("num_heads", 8),
        f"{tower}_ffn_dim": ("intermediate_dim", 2048),
        "activation_function": ("feedforward.activation", "relu"),
        "dropout": ("dropout", 0.1),
        "attention_dropout": ("attention_dropout", 0.0),
        "init_std": ("initializer_range", 0.02),
    }


REQUIRED = {
    "is_encoder_decoder": ((True,), True),
    "position_embedding_type": (("sine",), "sine"),
    "scale_embedding": ((False,), False),
    # With it the class there normalises between the blocks as well, which the paper's doesn't.
    "auxiliary_loss": ((False,), False),
}
HARMLESS = """
    activation_dropout backbone_kwargs bbox_cost bbox_loss_coefficient class_cost
    classifier_dropout decoder_layerdrop dice_loss_coefficient dilation encoder_layerdrop
    eos_coefficient giou_cost giou_loss_coefficient init_xavier_std mask_loss_coefficient
    max_position_embeddings num_channels num_hidden_layers
"""
TOWER = {
    "attention": "placed",
    "norm": {"kind": "layer_norm", "epsilon": 1e-5},
    "pooler": "none",
}


@keras.saving.register_keras_serializable("kzoo")
class DetrEncoder(Stack):
    """DETR's residual network, and the encoder behind it."""

    family = "detr_encoder"

    # Hugging Face, as in bert.py.
    FIXED = {**TOWER, "position": "sine_2d", "norms": []}
    ROWS = staticmethod(resnet_rows)
    CONFIG = {
        **keys("encoder"),
        "backbone_config": ("embedding", named, (embedding_of, network_of)),
    }
    REQUIRED = REQUIRED
    HARMLESS = HARMLESS

    @property
    def signatures(self):
        """Pictures, alone or filled up to one size."""
        return {
            "serve": self.embedding.signature,
            "masked": self.embedding.masked_signature,
        }

    def symbolic_inputs(self, places=2):
        """See `Network`; so many places to each side."""
        return super().symbolic_inputs(places * self.embedding.stride)

    @property
    def largest(self):
        """No axis has a largest size."""
        return {}

    @property
    def output_axes(self):
        """The axes of each output, by the names of their sizes."""
        return {"sequence_output": ("batch", "places", "hidden_dim")}

    def resizing(self, image_size):
        """See `Network`: no weight says where it stands."""
        slot = {**completed("embedding", self.spec.embedding), "image_size": image_size}
        return self.spec.replace(embedding=slot), {}

    def places(self, inputs):
        """Where the places of the map are, (batch or 1, places, hidden_dim)."""
        rows, columns = self.embedding.sides(inputs)
        return self.position.vectors(rows, columns, self.embedding.map_mask(inputs))

    def context(self, inputs):
        """See `Stack`; attention is told where the places are."""
        places = self.places(inputs)
        return dataclasses.replace(
            super().context(inputs), query_position=places, key_position=places
        )


@keras.saving.register_keras_serializable("kzoo")
class DetrDecoder(Stack):
    """DETR's decoder: queries that look at each other and at the encoder's places.

    Inputs: float32 `memory` (batch, memory_length, hidden_dim), `memory_position` of the same
    shape, where these places are, and int32 `memory_mask` (batch, memory_length), which may be
    missing where all of them count.
    """

    family = "detr_decoder"

    # Hugging Face, as in bert.py.
    FIXED = {
        **TOWER,
        "embedding": {"kind": "queries"},
        "position": "none",
        "cross_attention": "placed",
        "norms": ["final"],
    }
    ROWS = f"""
        query_position_embeddings  query_embedding
        {blocks("decoder", attention("decoder", "encoder_attn", "cross_attention"))}
        decoder.layernorm          final_norm
    """
    CONFIG = {**keys("decoder"), "num_queries": ("embedding.count", 100)}
    REQUIRED = REQUIRED
    HARMLESS = HARMLESS

    @property
    def signatures(self):
        """A memory, and where its places are."""
        axes = ("batch", "memory_length", self.spec.hidden_dim)
        read = {name: Input(axes, "float32") for name in ("memory", "memory_position")}
        return {"serve": read, "masked": {**read, "memory_mask": Input(axes[:2])}}

    @property
    def output_axes(self):
        """The axes of each output, by the names of their sizes."""
        return {"sequence_output": ("batch", "queries", "hidden_dim")}

    def context(self, inputs):
        """See `Stack`; attention is told where queries and the places of the memory are."""
        if not self.embedding.built:  # Here, for its vectors are read before it is called.
            self.embedding.build()
        places = self.embedding.vectors()
        return dataclasses.replace(
            super().context(inputs), query_position=places, key_position=places
        )

    def cross_context(self, inputs):
        """See `Stack`."""
        mask, dtype = inputs.get("memory_mask"), self.compute_dtype
        return Context(
            UNPLACED,
            None if mask is None else additive_mask(mask, dtype),
            memory=keras.ops.cast(inputs["memory"], dtype),
            query_position=self.embedding.vectors(),
            key_position=inputs["memory_position"],
        )


@keras.saving.register_keras_serializable("kzoo")
class Detr(Composite):
    """DETR in its published sizes, also dilated (DC5).

    Inputs: float32 `images` (batch, height, width, channels), normalised, of any size unless the
    spec names one; and int32 `pixel_mask` (batch, height, width), 1 for a pixel of a picture and
    0 where it was filled up, which may be missing where none was.

    Outputs: `sequence_output` (batch, queries, hidden_dim), and `memory` (batch, places,
    hidden_dim), the encoder's.
    """

    family = "detr"
    TOWERS = {"encoder": DetrEncoder, "decoder": DetrDecoder}
    HEADS = {"ObjectDetector": "boxes"}

    # Hugging Face, as in bert.py.
    MODEL_TYPES = {"detr": "Detr"}
    PREFIX = "model."
    CLASSES = {"Model": None, "ForObjectDetection": "ObjectDetector"}
    FIXED = {}
    ROWS = ""
    TASK_ROWS = """
        class_labels_classifier        head/logits                 ObjectDetector
        bbox_predictor.layers.{0|1|2}  head/{box_0|box_1|box_2}    ObjectDetector
    """
    CONFIG = {}
    REQUIRED = REQUIRED | {
        "use_timm_backbone": ((False, True), True),
        "use_pretrained_backbone": ((False, True), True),
        "backbone": ((None, *DEPTHS), None),
    }
    HARMLESS = HARMLESS

    @property
    def signatures(self):
        """Pictures, alone or filled up to one size."""
        return self.encoder.signatures

    def symbolic_inputs(self, places=2):
        """See `Network`."""
        return self.encoder.symbolic_inputs(places)

    @property
    def largest(self):
        """No axis has a largest size."""
        return {}

    @property
    def output_axes(self):
        """The axes of each output, by the names of their sizes."""
        return {
            "sequence_output": ("batch", "queries", "hidden_dim"),
            "memory": ("batch", "places", "hidden_dim"),
        }

    def call(self, inputs, training=None, return_hidden_states=False, return_steps=False):
        """Encode a picture, and ask it.

        With `return_hidden_states`, `hidden_states` are those of the decoder, see `Stack.call`;
        with `return_steps`, `step_outputs` is a tuple of what each of its steps gives, normalised
        as the last one's is: (batch, queries, hidden_dim).
        """
        memory = self.encoder.run(inputs, training=training)["sequence_output"]
        read = {"memory": memory, "memory_position": self.encoder.places(inputs)}
        mask = self.encoder.embedding.padding_mask(inputs)
        read |= {} if mask is None else {"memory_mask": mask}
        states = return_hidden_states or return_steps
        outputs = self.decoder.run(read, training=training, return_hidden_states=states)
        given = {"sequence_output": outputs["sequence_output"], "memory": memory}
        if return_hidden_states:
            given["hidden_states"] = outputs["hidden_states"]
        if return_steps:
            *inner, last = outputs["hidden_states"][1:]
            normalised = [self.decoder.final_norm(state) for state in inner]
            given["step_outputs"] = (*normalised, last)
        return given
