"""Residual networks of convolutions, whose last map is a picture as vectors: arXiv:1512.03385."""

import keras
from keras import layers, ops

from ..errors import KzooError
from ..parts import make, part
from ..spec import Input
from ..values import is_whole
from .composed import Composed
from .embedding import Embedding
from .mobile import Kernel
from .norm import checked_epsilon
from .patches import pair

NARROWER = 4  # by what the inside of a bottleneck is narrower than what comes out
STRIDES = (32, 16)  # of the last map, in pixels; with 16 its stage is dilated (DC5)


@part("map_norm", "frozen")
class FrozenNorm(layers.Layer):
    """Batch normalisation whose statistics, factors and biases all stand still.

    They are those of another training, such as on ImageNet, and too few pictures fit into a batch
    of detection to measure them anew (arXiv:2005.12872, appendix A.4).

    Args:
        epsilon: what stands under the root.
    """

    STILL = {"gamma": "ones", "beta": "zeros", "moving_mean": "zeros", "moving_variance": "ones"}

    def __init__(self, epsilon=1e-5, name=None):
        super().__init__(name=name)
        self.epsilon = checked_epsilon(epsilon)

    def build(self, shape):
        """Make the four vectors (channels,), none of which learns."""
        for name, initial in self.STILL.items():
            # Cast behind the arithmetic: under the root half precision would count.
            weight = self.add_weight(
                shape=shape[-1:], initializer=initial, trainable=False, name=name, autocast=False
            )
            setattr(self, name, weight)

    def call(self, x, training=None):
        """Maps (..., channels) to the same shape."""
        held = (ops.convert_to_tensor(getattr(self, name)) for name in self.STILL)
        gamma, beta, mean, variance = held
        scale = gamma * ops.rsqrt(variance + self.epsilon)
        return x * ops.cast(scale, x.dtype) + ops.cast(beta - mean * scale, x.dtype)


@part("map_norm", "batch")
class MapNorm(layers.BatchNormalization):
    """Batch normalisation, arXiv:1502.03167, for a network that begins at random.

    Args:
        epsilon: what stands under the root.
    """

    def __init__(self, epsilon=1e-5, name=None):
        super().__init__(momentum=0.9, epsilon=checked_epsilon(epsilon), name=name)


class Convolved(Composed):
    """A convolution without bias, a norm, and maybe what is negative set to 0.

    Args:
        spec: the spec of the network.
        width: how many channels come out.
        norm: what the slot of a map's norm holds.
        size: height and width of the kernel, odd.
        stride: from one place to the next; `dilation`: from one number of the kernel to the next.
        rectified: whether nothing negative comes out.
    """

    def __init__(self, spec, width, norm, name, size=1, stride=1, dilation=1, rectified=True):
        super().__init__(name=name)
        # arXiv:1502.01852, section 2.2, by what comes out.
        initializer = keras.initializers.VarianceScaling(2.0, "fan_out", "untruncated_normal")
        self.convolution = Kernel(
            spec, width, size, stride, dilation=dilation, initializer=initializer
        )
        self.normalization = make("map_norm", norm, name="normalization")
        self.rectified = rectified

    def call(self, x, training=None):
        """Maps (batch, height, width, channels) to (batch, height / stride, .., width)."""
        x = self.normalization(self.convolution(x), training=training)
        return ops.relu(x) if self.rectified else x


class Bottleneck(Composed):
    """Three convolutions, narrow inside, and what came in (arXiv:1512.03385, section 4.1).

    The one in the middle has the stride, as in torchvision's and timm's networks.
    """

    def __init__(self, spec, before, width, norm, name, stride=1, dilation=1):
        super().__init__(name=name)
        narrow = width // NARROWER
        self.reduce = Convolved(spec, narrow, norm, "reduce")
        self.inner = Convolved(spec, narrow, norm, "inner", 3, stride, dilation)
        self.expand = Convolved(spec, width, norm, "expand", rectified=False)
        self.shortcut = (
            None
            if before == width and stride == 1
            else Convolved(spec, width, norm, "shortcut", 1, stride, rectified=False)
        )

    def call(self, x, training=None):
        """Maps to maps."""
        y = self.inner(self.reduce(x, training=training), training=training)
        y = self.expand(y, training=training)
        x = x if self.shortcut is None else self.shortcut(x, training=training)
        return ops.relu(x + y)


class Projected(layers.Layer):
    """An affine map of each place of a map: a convolution of 1 by 1 with a bias."""

    def __init__(self, units, name):
        super().__init__(name=name)
        self.units = units

    def build(self, shape):
        """Make kernel (1, 1, channels, units) and bias (units,)."""
        shape = (1, 1, shape[-1], self.units)
        self.kernel = self.add_weight(shape=shape, initializer="glorot_uniform", name="kernel")
        self.bias = self.add_weight(shape=(self.units,), initializer="zeros", name="bias")

    def call(self, x):
        """(batch, height, width, channels) to (batch, height, width, units)."""
        return ops.conv(x, self.kernel, padding="valid", data_format="channels_last") + self.bias


@part("embedding", "resnet")
class ResnetEmbedding(Embedding):
    """A residual network and a map to the width of the stack: places of its last map as vectors.

    Beside `images` it reads a `pixel_mask`, where pictures of several sizes are filled up to one:
    1 for a pixel of the picture. A place counts where the pixel nearest to it does.

    Args:
        spec: the spec of the stack.
        image_size: height and width of the pictures; None for any, which a file can't take.
        channels: numbers a pixel.
        stem: channels of the first convolution.
        widths: channels that each stage gives, multiples of 4; each but the first halves the map.
        depths: how many bottlenecks each has: (3, 4, 6, 3) is ResNet-50, (3, 4, 23, 3) ResNet-101.
        output_stride: how many pixels a place of the last map is: 32, or 16, where the last stage
            doesn't halve the map and its kernels are twice as wide instead (DC5,
            arXiv:2005.12872, section 4).
        norm: "frozen", or "batch" for a network that learns from nothing.
    """

    layer_name, input_name = "resnet", "images"

    def __init__(
        self,
        spec,
        name,
        image_size=None,
        channels=3,
        stem=64,
        widths=(256, 512, 1024, 2048),
        depths=(3, 4, 6, 3),
        output_stride=32,
        norm="frozen",
    ):
        super().__init__(name=name)
        self.size = (None, None) if image_size is None else pair(image_size, "image_size")
        for option, value in (("channels", channels), ("stem", stem)):
            if not is_whole(value, 1):
                raise KzooError(f"Got {option} = {value!r:.40}; expected 1 or more.")
        for option, values, least in (("widths", widths, NARROWER), ("depths", depths, 1)):
            listed = isinstance(values, (list, tuple)) and len(values) == 4
            if not listed or not all(is_whole(v, least) and v % least == 0 for v in values):
                raise KzooError(
                    f"Got {option} = {values!r:.60} for a residual network; expected 4 whole "
                    f"numbers{f', multiples of {NARROWER}' * (least > 1)}."
                )
        if output_stride not in STRIDES:
            raise KzooError(
                f"Got output_stride = {output_stride!r:.40}; expected {STRIDES[0]} or {STRIDES[1]}."
            )
        self.channels, self.stride, self.dim = channels, output_stride, spec.hidden_dim
        self.stem = Convolved(spec, stem, norm, "stem", 7, 2)
        self.bottlenecks, before = [], stem
        for stage, (width, depth) in enumerate(zip(widths, depths, strict=True)):
            is_dilated = stage == 3 and output_stride == 16
            for unit in range(depth):
                stride = 2 if stage and not unit and not is_dilated else 1
                dilation = 2 if is_dilated and unit else 1
                name = f"stage_{stage}_{unit}"
                self.bottlenecks.append(
                    Bottleneck(spec, before, width, norm, name, stride, dilation)
                )
                before = width
        self.projection = Projected(self.dim, "projection")

    def build(self, _shape=None):
        """Make nothing, see `Composed`."""

    @property
    def signature(self):
        """Pictures, normalised as the model's processor does."""
        height, width = self.size
        axes = ("batch", height or "height", width or "width")
        return {"images": Input((*axes, self.channels), "float32")}

    @property
    def masked_signature(self):
        """Pictures that are filled up, and which of their pixels are their own."""
        images = self.signature["images"]
        return {"images": images, "pixel_mask": Input(images.axes[:3])}

    def sides(self, inputs):
        """Rows and columns of the last map."""
        shape = ops.shape(inputs["images"])
        return tuple(-(-side // self.stride) for side in shape[1:3])

    def length(self, inputs):
        """How many places the last map has."""
        rows, columns = self.sides(inputs)
        return rows * columns

    def map_mask(self, inputs):
        """1 for a place of the last map that counts (batch, rows, columns), or None for all."""
        if "pixel_mask" not in inputs:
            return None
        mask = inputs["pixel_mask"]
        for axis, (count, whole) in enumerate(
            zip(self.sides(inputs), ops.shape(mask)[1:], strict=True), 1
        ):
            # In float32 as torch's nearest neighbour, so that an edge lies where it has it.
            step = ops.cast(whole, "float32") / ops.cast(count, "float32")
            at = ops.floor(ops.cast(ops.arange(count), "float32") * step)
            mask = ops.take(mask, ops.minimum(ops.cast(at, "int32"), whole - 1), axis=axis)
        return ops.cast(mask, "int32")

    def padding_mask(self, inputs):
        """The same as (batch, places), or None."""
        mask = self.map_mask(inputs)
        return None if mask is None else ops.reshape(mask, (ops.shape(mask)[0], -1))

    def call(self, inputs, training=None):
        """The inputs to (batch, places, dim), row by row."""
        x = ops.cast(inputs["images"], self.compute_dtype)
        x = self.stem(x, training=training)
        x = ops.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))  # Nothing is below 0.
        x = ops.max_pool(x, 3, 2, "valid", data_format="channels_last")
        for bottleneck in self.bottlenecks:
            x = bottleneck(x, training=training)
        x = self.projection(x)
        return ops.reshape(x, (ops.shape(x)[0], -1, self.dim))
