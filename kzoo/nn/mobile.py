"""Convolutions of small devices, and transformers inside them: MobileViT, arXiv:2110.02178."""

from keras import layers, ops

from ..errors import KzooError
from ..parts import completed, make, option, part
from ..spec import Input
from ..values import is_number, is_whole
from .composed import Composed
from .context import Context
from .dense import activation, normal
from .embedding import Embedding
from .patches import pair
from .position import Unplaced

STRIDE = 32  # pixels of a picture that are one place of the last map
DEPTHS = (2, 4, 3)  # blocks of each stage


class Convolution(Composed):
    """A convolution without bias, batch normalisation and an activation; each may be left out.

    Args:
        spec: the spec of the network.
        width: how many channels come out.
        size: height and width of the kernel, which is odd: it sees as far to all sides.
        stride: from one place to the next.
        by_channel: whether each channel has a kernel of its own (arXiv:1704.04861).
        plain: whether it has neither norm nor activation; `linear`, whether only a norm.
    """

    def __init__(
        self, spec, width, name, size=1, stride=1, by_channel=False, plain=False, linear=False
    ):
        super().__init__(name=name)
        self.convolution = Kernel(spec, width, size, stride, by_channel)
        self.normalization = (
            None
            if plain
            else layers.BatchNormalization(momentum=0.9, epsilon=1e-5, name="normalization")
        )
        name = option(spec, "feedforward", "activation")
        self.activation = None if plain or linear else activation(name)

    def call(self, x, training=None):
        """Maps (batch, height, width, channels) to (batch, height / stride, .., width)."""
        x = self.convolution(x)
        x = x if self.normalization is None else self.normalization(x, training=training)
        return x if self.activation is None else self.activation(x)


class Kernel(layers.Layer):
    """A convolution without bias, which sees as far to all sides.

    Args:
        spec, width, size, stride, by_channel: as for `Convolution`.
        dilation: from one number of the kernel to the next; above 1 only where the stride is 1.
        initializer: that of the kernel; by default the spec's.
    """

    def __init__(self, spec, width, size, stride, by_channel=False, dilation=1, initializer=None):
        super().__init__(name="convolution")
        self.spec, self.width, self.size, self.stride = spec, width, size, stride
        self.by_channel, self.dilation = by_channel, dilation
        self.initializer = initializer or normal(spec)

    def build(self, shape):
        """Make the kernel (size, size, channels or 1, width)."""
        shape = (self.size, self.size, 1 if self.by_channel else shape[-1], self.width)
        self.kernel = self.add_weight(shape=shape, initializer=self.initializer, name="kernel")

    def call(self, x):
        """Maps to maps."""
        if self.stride > 1:  # Keras would put what is added to an even side behind it alone.
            sides = (self.size // 2, self.size // 2)
            x, padding = ops.pad(x, ((0, 0), sides, sides, (0, 0))), "valid"
        else:
            padding = "same"
        options = {"strides": self.stride, "padding": padding, "data_format": "channels_last"}
        if self.by_channel:
            kernel = ops.reshape(self.kernel, (self.size, self.size, self.width, 1))
            return ops.depthwise_conv(x, kernel, **options)
        return ops.conv(x, self.kernel, dilation_rate=self.dilation, **options)


class Residual(Composed):
    """Wider, a convolution in each channel, narrow again (MobileNetV2, arXiv:1801.04381)."""

    def __init__(self, spec, before, width, name, stride=1):
        super().__init__(name=name)
        wide = divisible(round(before * option(spec, "embedding", "expansion")))
        self.expand = Convolution(spec, wide, "expand")
        self.inner = Convolution(spec, wide, "inner", 3, stride, by_channel=True)
        self.reduce = Convolution(spec, width, "reduce", linear=True)
        self.adds = stride == 1 and before == width

    def call(self, x, training=None):
        """Maps to maps."""
        y = self.inner(self.expand(x, training=training), training=training)
        y = self.reduce(y, training=training)
        return x + y if self.adds else y


def divisible(width, by=8):
    """The multiple of `by` next to a width, and not below nine tenths of it."""
    near = max(by, int(width + by / 2) // by * by)
    return near + by if near < 0.9 * width else near


@part("embedding", "mobile")
class MobileEmbedding(Embedding):
    """The stem of MobileViT and the residual convolutions behind it: pictures to maps.

    Args:
        spec: the spec of the network, whose `hidden_dim` is the last width.
        image_size: height and width of the pictures, multiples of 32 * patch_size.
        patch_size: height and width of the squares whose pixels each look at their like.
        channels: numbers a pixel.
        widths: channels of the stem, the two convolutional and the three other stages, the output.
        dims: width of the transformer in each of the three.
        expansion: how much wider the inside of a residual convolution is.
        kernel_size: of the convolutions round a transformer.
    """

    layer_name, input_name = "embedding", "images"

    def __init__(
        self,
        spec,
        name,
        image_size=256,
        patch_size=2,
        channels=3,
        widths=(16, 32, 64, 96, 128, 160, 640),
        dims=(144, 192, 240),
        expansion=4.0,
        kernel_size=3,
    ):
        super().__init__(name=name)
        self.size, self.channels = pair(image_size, "image_size"), channels
        for option_name, values, count in (("widths", widths, 7), ("dims", dims, 3)):
            listed = isinstance(values, (list, tuple)) and len(values) == count
            if not listed or not all(is_whole(value, 1) for value in values):
                raise KzooError(
                    f"Got {option_name} = {values!r:.60} for a mobile embedding; expected {count} "
                    "whole numbers."
                )
        if not is_number(expansion, 0) or not expansion:
            raise KzooError(f"Got expansion = {expansion!r:.40}; expected a number above 0.")
        for option_name, value in (("channels", channels), ("patch_size", patch_size)):
            if not is_whole(value, 1):
                raise KzooError(f"Got {option_name} = {value!r:.40}; expected 1 or more.")
        if not is_whole(kernel_size, 1) or kernel_size % 2 == 0:
            raise KzooError(f"Got kernel_size = {kernel_size!r:.40}; expected an odd number.")
        if any(side % (STRIDE * patch_size) for side in self.size):
            raise KzooError(
                f"Got image_size {list(self.size)} for MobileViT; expected multiples of "
                f"{STRIDE * patch_size}, of which squares are left in the smallest map."
            )
        self.stem = Convolution(spec, widths[0], "stem", 3, 2)
        # One residual convolution that keeps the size, and three of which the first halves it.
        steps = [(0, 1, 1), (1, 2, 2), (2, 2, 1), (2, 2, 1)]
        self.residuals = [
            Residual(spec, widths[before], widths[after], f"residual_{number}", stride)
            for number, (before, after, stride) in enumerate(steps)
        ]

    @property
    def signature(self):
        """Pictures, as the model's processor makes them."""
        return {"images": Input(("batch", *self.size, self.channels), "float32")}

    def length(self, inputs):
        """How many places the last map has."""
        return (self.size[0] // STRIDE) * (self.size[1] // STRIDE)

    def build(self, _shape=None):
        """Make nothing, see `Composed`."""

    def call(self, inputs, training=None):
        """{"images"} to maps (batch, height / 4, width / 4, widths[2])."""
        x = ops.cast(inputs["images"], self.compute_dtype)
        x = self.stem(x, training=training)
        for residual in self.residuals:
            x = residual(x, training=training)
        return x


class Stage(Composed):
    """Halve a map, and let each pixel of a square look at its like in all other squares.

    Args:
        spec: the spec of the network.
        number: which of the three stages this is.
    """

    def __init__(self, spec, number, name):
        super().__init__(name=name)
        held = completed("embedding", spec.embedding)
        before, width = held["widths"][number + 2 : number + 4]
        dim, size, self.patch = held["dims"][number], held["kernel_size"], held["patch_size"]
        inner = dim * spec.intermediate_dim // spec.hidden_dim
        self.dim, self.width = dim, width
        small = spec.replace(hidden_dim=dim, intermediate_dim=inner)
        self.downsampling = Residual(spec, before, width, "downsampling", 2)
        self.near = Convolution(spec, width, "near", size)
        self.into = Convolution(spec, dim, "into", plain=True)
        self.block_list = [
            make("block", spec.block, spec=small, name=f"block_{n}", index=n)
            for n in range(DEPTHS[number])
        ]
        self.norm = make("norm", spec.norm, name="norm")
        self.back = Convolution(spec, width, "back")
        self.fusion = Convolution(spec, width, "fusion", size)

    def call(self, x, training=None):
        """Maps (batch, height, width, before) to (batch, height / 2, width / 2, width)."""
        x = self.downsampling(x, training=training)
        y = self.into(self.near(x, training=training), training=training)
        sides = y.shape[1:3]
        y = self.unfolded(y, *sides)
        context = Context(Unplaced(), length=y.shape[1])
        for block in self.block_list:
            y, _ = block(y, context=context, training=training)
        y = self.folded(self.norm(y), *sides)
        y = self.back(y, training=training)
        return self.fusion(ops.concatenate([x, y], axis=-1), training=training)

    def unfolded(self, x, height, width):
        """(batch, height, width, dim) to (batch * pixels of a square, squares, dim)."""
        rows, columns, patch = height // self.patch, width // self.patch, self.patch
        x = ops.reshape(x, (-1, rows, patch, width * self.dim))
        x = ops.transpose(x, (0, 2, 1, 3))
        x = ops.reshape(x, (-1, rows * columns, patch, self.dim))
        x = ops.transpose(x, (0, 2, 1, 3))
        return ops.reshape(x, (-1, rows * columns, self.dim))

    def folded(self, x, height, width):
        """What `unfolded` made, as a map again."""
        rows, columns, patch = height // self.patch, width // self.patch, self.patch
        x = ops.reshape(x, (-1, patch, rows * columns, self.dim))
        x = ops.transpose(x, (0, 2, 1, 3))
        x = ops.reshape(x, (-1, patch, rows, width * self.dim))
        x = ops.transpose(x, (0, 2, 1, 3))
        return ops.reshape(x, (-1, height, width, self.dim))
