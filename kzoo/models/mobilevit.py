"""MobileViT: Mehta and Rastegari 2021, arXiv:2110.02178. Transformers inside a MobileNetV2."""

import keras
from keras import ops

from ..errors import KzooError
from ..network import Network
from ..nn.mobile import DEPTHS, STRIDE, Convolution, Stage
from ..nn.patches import pair
from ..parts import completed, make
from .vit import SIDES, Vit

WIDTHS = (16, 32, 64, 96, 128, 160, 640)
SIZES = (lambda sizes, _config: [int(size) for size in sizes], lambda sizes, _config: sizes)
# The inside of a net there by the width of its transformer, here by that of the output.
RATIO = (
    lambda ratio, config: round(config.get("neck_hidden_sizes", WIDTHS)[-1] * ratio),
    lambda inner, config: inner / config.get("neck_hidden_sizes", WIDTHS)[-1],
)


def layer(there, here):
    """The rows of a convolution and its norm."""
    return f"""
        {there}.convolution                      {here}/convolution
        {there}.normalization                    {here}/normalization
        {there}.normalization.num_batches_tracked   0
    """


def residual(there, here):
    """The rows of a residual convolution."""
    names = {"expand_1x1": "expand", "conv_3x3": "inner", "reduce_1x1": "reduce"}
    return "".join(layer(f"{there}.{one}", f"{here}/{other}") for one, other in names.items())


def stage(number):
    """The rows of a stage with a transformer."""
    there, here = f"encoder.layer.{number + 2}", f"stage_{number}"
    names = {"conv_kxk": "near", "conv_projection": "back", "fusion": "fusion"}
    rows = residual(f"{there}.downsampling_layer", f"{here}/downsampling")
    rows += "".join(layer(f"{there}.{one}", f"{here}/{other}") for one, other in names.items())
    for block in range(DEPTHS[number]):
        one, other = f"{there}.transformer.layer.{block}", f"{here}/block_{block}"
        rows += f"""
            {one}.layernorm_before               {other}/attention_norm
            {one}.attention.attention.{{query|key|value}}  {other}/attention/{{query|key|value}}
            {one}.attention.output.dense         {other}/attention/output
            {one}.layernorm_after                {other}/feedforward_norm
            {one}.intermediate.dense             {other}/feedforward/up
            {one}.output.dense                   {other}/feedforward/down
        """
    return f"""
        {rows}
        {there}.conv_1x1.convolution             {here}/into/convolution
        {there}.layernorm                        {here}/norm
    """


@keras.saving.register_keras_serializable("kzoo")
class MobileVit(Network):
    """MobileViT in its three published sizes.

    Inputs: float32 `images` (batch, height, width, channels) of 0 to 1, with blue first as in the
    released checkpoints. Outputs: `sequence_output` (batch, places, hidden_dim), the last map row
    by row, and `pooled_output`, its mean. The number of blocks is the architecture's own.
    """

    family = "mobilevit"
    HEADS = {"ImageClassifier": "pooled"}
    HEAD_DROPOUT = {"ImageClassifier": ("classifier_dropout_prob", 0.1)}

    # Hugging Face, as in bert.py.
    MODEL_TYPES = {"mobilevit": "MobileViT"}
    PREFIX = "mobilevit."
    CLASSES = {"Model": None, "ForImageClassification": "ImageClassifier"}
    FIXED = {
        "embedding": {"kind": "mobile"},
        "hidden_dim": lambda fields: fields["embedding"]["widths"][-1],
        "max_sequence_length": lambda fields: _places(fields["embedding"]),
        "schedule": list(range(sum(DEPTHS))),
        "position": "none",
        "block": "pre_norm",
        "norms": ["final"],
        "pooler": "mean",
    }
    ROWS = (
        layer("conv_stem", "embedding/stem")
        + residual("encoder.layer.0.layer.0", "embedding/residual_0")
        + "".join(
            residual(f"encoder.layer.1.layer.{step}", f"embedding/residual_{step + 1}")
            for step in range(3)
        )
        + "".join(map(stage, range(len(DEPTHS))))
        + layer("conv_1x1_exp", "expansion")
    )
    TASK_ROWS = "classifier  head/logits  ImageClassifier"
    CONFIG = {
        "neck_hidden_sizes": ("embedding.widths", list(WIDTHS), SIZES),
        "hidden_sizes": ("embedding.dims", [144, 192, 240], SIZES),
        "mlp_ratio": ("intermediate_dim", 2.0, RATIO),
        "num_attention_heads": ("num_heads", 4),
        "image_size": ("embedding.image_size", 256, SIDES),
        "patch_size": ("embedding.patch_size", 2),
        "num_channels": ("embedding.channels", 3),
        "expand_ratio": ("embedding.expansion", 4.0),
        "conv_kernel_size": ("embedding.kernel_size", 3),
        "qkv_bias": Vit.CONFIG["qkv_bias"],
        "hidden_act": ("feedforward.activation", "silu"),
        "layer_norm_eps": ("norm.epsilon", 1e-5),
        "hidden_dropout_prob": ("dropout", 0.1),
        "attention_probs_dropout_prob": ("attention_dropout", 0.0),
        "initializer_range": ("initializer_range", 0.02),
    }
    REQUIRED = {"output_stride": ((32,), 32)}
    HARMLESS = "aspp_out_channels aspp_dropout_prob atrous_rates semantic_loss_ignore_index"
    blocks_alike = False

    def wire(self):
        """Make the layers of the spec."""
        spec = self.spec
        expected = tuple(range(sum(DEPTHS)))
        if spec.schedule != expected:
            raise KzooError(
                f"Got the schedule {list(spec.schedule)} for MobileViT; expected {list(expected)}: "
                "its blocks differ in width."
            )
        self.embedding = make("embedding", spec.embedding, spec=spec, name="embedding")
        self.stages = [Stage(spec, number, f"stage_{number}") for number in range(len(DEPTHS))]
        self.expansion = Convolution(spec, spec.hidden_dim, "expansion")
        self.pooler = make("pooler", spec.pooler, spec=spec, name="pooler")

    @property
    def signatures(self):
        """Pictures."""
        return {"serve": self.embedding.signature}

    @property
    def output_axes(self):
        """The axes of each output, by the names of their sizes."""
        axes = {"sequence_output": ("batch", "length", "hidden_dim")}
        pooled = {} if self.spec.pooler == "none" else {"pooled_output": ("batch", "hidden_dim")}
        return axes | pooled

    def resizing(self, image_size):
        """See `Network`: no weight says where it stands."""
        slot = {**completed("embedding", self.spec.embedding), "image_size": image_size}
        return self.spec.replace(embedding=slot, max_sequence_length=_places(slot)), {}

    def call(self, inputs, training=None):
        """Pictures to their last map and its mean."""
        x = self.embedding(inputs, training=training)
        for part in self.stages:
            x = part(x, training=training)
        x = self.expansion(x, training=training)
        x = ops.reshape(x, (-1, x.shape[1] * x.shape[2], self.spec.hidden_dim))
        pooled = self.pooler(x)
        return {"sequence_output": x} | ({} if pooled is None else {"pooled_output": pooled})


def _places(slot):
    """How many places the last map has."""
    height, width = pair(completed("embedding", slot)["image_size"], "image_size")
    return (height // STRIDE) * (width // STRIDE)
