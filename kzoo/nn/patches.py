"""Pieces of a picture, or of a sound's spectrogram, as vectors."""

import numpy as np
from keras import layers, ops

from ..errors import KzooError
from ..parts import completed, part, resolve
from ..spec import Input
from ..values import is_whole
from .dense import normal
from .embedding import Embedding
from .rounding import rounding_of


def pair(value, name):
    """(height, width) of one number for both or of a list of two; KzooError for another value."""
    sides = list(value) if isinstance(value, (list, tuple)) else [value, value]
    if len(sides) != 2 or not all(is_whole(side, 1) for side in sides):
        raise KzooError(
            f"{name} is {value!r:.40}; a number of at least 1, or [height, width], is expected."
        )
    return tuple(sides)


def grid(size, patch, stride):
    """How many squares (rows, columns) there are; all three are (height, width)."""
    sides = zip(size, patch, stride, strict=True)
    counts = tuple((side - square) // step + 1 for side, square, step in sides)
    if min(counts) < 1:
        raise KzooError(
            f"Got the size {list(size)} and patch_size {list(patch)}; expected a square that fits "
            "into it."
        )
    return counts


def places(slot):
    """How many places an embedding slot of these kinds has: its spec's `max_sequence_length`."""
    rows, columns = grid_of(slot)
    return len(completed("embedding", slot)["tokens"]) + rows * columns


def grid_of(slot):
    """How many squares (rows, columns) an embedding slot of these kinds cuts its input into."""
    cls, _ = resolve("embedding", slot)
    held = completed("embedding", slot)
    size, patch = (pair(held[name], name) for name in (cls.SIZE, "patch_size"))
    stride = patch if held["stride"] is None else pair(held["stride"], "stride")
    return grid(size, patch, stride)


def between(table, here, there):
    """Vectors of places (tokens + rows * columns, dim) for another grid of squares.

    Those of squares are interpolated by cubic convolution, rows and columns alike, as in ViT and
    DeiT for pictures of another size (arXiv:2010.11929, section 3.2); those of the tokens before
    them stay.

    Args:
        table: float32, its rows in the order of the places.
        here, there: (rows, columns) of its grid and of that which is asked for.
    """
    tokens = len(table) - here[0] * here[1]
    weights = np.kron(*(cubic(one, other) for one, other in zip(here, there, strict=True)))
    return np.concatenate([table[:tokens], (weights @ table[tokens:]).astype(table.dtype)])


def cubic(here, there):
    """The weights (there, here) of `here` samples in each of `there` that span the same length.

    Cubic convolution (Keys 1981, IEEE Trans. ASSP 29, equation 15) with a = -3/4, of the nearest
    four samples; a sample lies in the middle of its share, and behind the last it goes on.
    """
    at = (np.arange(there) + 0.5) * here / there - 0.5
    first, a, weights = np.floor(at).astype(int), -0.75, np.zeros((there, here))
    for sample in range(-1, 3):
        x = np.abs(at - first - sample)
        near = ((a + 2) * x - (a + 3)) * x * x + 1
        far = a * (((x - 5) * x + 8) * x - 4)
        column = np.clip(first + sample, 0, here - 1)
        np.add.at(weights, (np.arange(there), column), np.where(x <= 1, near, far))
    return weights


@part("embedding", "patch")
class PatchEmbedding(Embedding, layers.Layer):
    """An affine map of each square of a picture, and trained tokens before them (ViT).

    arXiv:2010.11929, section 3.1. Squares are read row by row. The spec's `max_sequence_length` is
    the number of places: one for each token and square.

    Args:
        spec: the spec of the stack.
        image_size: height and width of the pictures: one number, or a list of both.
        patch_size: those of a square.
        stride: from one square to the next; by default they lie side by side.
        channels: numbers a pixel.
        bias: whether the map adds one.
        tokens: the names of the trained tokens that stand before the squares: "class",
            "distillation" (DeiT, arXiv:2012.12877).
    """

    layer_name, input_name = "patch_embedding", "images"
    SIZE = "image_size"  # the option that says how large what is cut is
    TOKENS = ("class", "distillation")

    def __init__(
        self,
        spec,
        name,
        image_size=224,
        patch_size=16,
        stride=None,
        channels=3,
        bias=True,
        tokens=("class",),
    ):
        super().__init__(name=name)
        self.spec, self.dim, self.channels, self.has_bias = spec, spec.hidden_dim, channels, bias
        self.size, self.patch = pair(image_size, "image_size"), pair(patch_size, "patch_size")
        self.stride = self.patch if stride is None else pair(stride, "stride")
        self.rounding = rounding_of(spec)
        if not is_whole(channels, 1):
            raise KzooError(f"channels is {channels!r:.40}; a number of at least 1 is expected.")
        known = isinstance(tokens, (list, tuple)) and all(t in self.TOKENS for t in tokens)
        if not known or len(set(tokens)) < len(tokens):
            raise KzooError(
                f"tokens is {tokens!r:.40}; a list of {', '.join(self.TOKENS)} is expected."
            )
        self.tokens = tuple(tokens)
        self.grid = grid(self.size, self.patch, self.stride)
        expected = len(self.tokens) + self.grid[0] * self.grid[1]
        if spec.max_sequence_length != expected:
            raise KzooError(
                f"Got max_sequence_length {spec.max_sequence_length} for {self.grid[0]} by "
                f"{self.grid[1]} squares and {len(self.tokens)} tokens; expected {expected}, their "
                "number."
            )

    @property
    def signature(self):
        """Pictures, normalised as the model's processor does."""
        return {"images": Input(("batch", *self.size, self.channels), "float32")}

    def length(self, inputs):
        """How many tokens and squares there are."""
        return self.spec.max_sequence_length

    def build(self, _shape=None):
        """Make kernel (patch, patch, channels, dim), bias (dim,) and each token (dim,)."""
        kernel = (*self.patch, self.channels, self.dim)
        self.kernel = self.add_weight(shape=kernel, initializer=normal(self.spec), name="kernel")
        if self.has_bias:
            self.bias = self.add_weight(shape=(self.dim,), initializer="zeros", name="bias")
        self.token_list = [
            self.add_weight(shape=(self.dim,), initializer=normal(self.spec), name=f"{token}_token")
            for token in self.tokens
        ]
        self.rounding.build(self, self.channels, self.dim)

    def pictures(self, inputs):
        """What is cut into squares, (batch, height, width, channels)."""
        return inputs["images"]

    def call(self, inputs, training=None):
        """The inputs to (batch, length, dim)."""
        x = ops.cast(self.pictures(inputs), self.compute_dtype)
        x = self.mapped(self.rounding.input(x), self.rounding.kernel(self.kernel))
        x = self.rounding.output(ops.add(x, self.bias) if self.has_bias else x)
        x = ops.reshape(x, (-1, self.grid[0] * self.grid[1], self.dim))
        shape = (ops.shape(x)[0], 1, self.dim)
        first = [ops.broadcast_to(ops.reshape(t, (1, 1, -1)), shape) for t in self.token_list]
        return ops.concatenate([*first, x], axis=1)

    def mapped(self, x, kernel):
        """Pictures (batch, height, width, channels) to products with a kernel, square by square.

        Squares that tile the picture are laid in rows for one product of rank 2, which in int8 a
        device computes 5 % faster than the convolution that it is (ViT-Ti/16, one thread, AVX2),
        and closer: a row each has a scale of its own.
        """
        (rows, columns), (height, width) = self.grid, self.patch
        if self.stride != self.patch or self.size != (rows * height, columns * width):
            return ops.conv(x, kernel, self.stride, "valid", data_format="channels_last")
        x = ops.reshape(x, (-1, height, columns, width * self.channels))
        x = ops.transpose(x, (0, 2, 1, 3))
        x = ops.reshape(x, (-1, height * width * self.channels))
        return ops.matmul(x, ops.reshape(kernel, (-1, self.dim)))


@part("embedding", "spectrogram")
class SpectrogramEmbedding(PatchEmbedding):
    """An affine map of each square of a spectrogram, and trained tokens before them.

    With squares of one frame each frame is a token (Keyword Transformer, arXiv:2104.00769); those
    of the Audio Spectrogram Transformer (arXiv:2104.01778) overlap, and are read frequency by
    frequency.

    Args:
        spec, bias, tokens: as for `PatchEmbedding`.
        size: how many frames a sound has, and how many numbers a frame: a list of both.
        patch_size, stride: those of a square, [frames, numbers].
        across: whether squares of the same frequencies follow each other, and not those of the
            same time.
    """

    SIZE = "size"
    input_name = "features"

    def __init__(
        self,
        spec,
        name,
        size=(98, 40),
        patch_size=(1, 40),
        stride=None,
        across=False,
        bias=True,
        tokens=("class",),
    ):
        self.features = pair(size, "size")
        turned = (lambda value, name: pair(value, name)[::-1]) if across else pair
        stride = None if stride is None else turned(stride, "stride")
        sides = turned(size, "size"), turned(patch_size, "patch_size"), stride
        super().__init__(spec, name, *sides, channels=1, bias=bias, tokens=tokens)
        self.across = across

    @property
    def signature(self):
        """The features of a sound, as the model's processor makes them."""
        return {"features": Input(("batch", *self.features), "float32")}

    def pictures(self, inputs):
        """The features as a picture of one channel."""
        x = inputs["features"]
        x = ops.transpose(x, (0, 2, 1)) if self.across else x
        return ops.expand_dims(x, -1)
