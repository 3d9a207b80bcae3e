"""Pictures to learn from, changed at random by Keras' layers, the same on every backend."""

import keras
import numpy as np

from ..errors import KzooError
from ..keras_hooks import reseed

# They mix pictures, and so their targets; arXiv:1710.09412, arXiv:1905.04899.
MIXING = (keras.layers.MixUp, keras.layers.CutMix)


def layer_for_pictures(name):
    """Keras' layer for pictures of this name, or None."""
    layer = getattr(keras.layers, name, None) if isinstance(name, str) else None
    return layer if hasattr(layer, "get_random_transformation") else None


class Augmentation:
    """Layers that change a batch of pictures, one after the other.

    They work on numbers from 0 to 255. Keras' own layers for pictures run in TensorFlow whatever
    the backend, so that a seed draws the same everywhere; other layers run where the model does.

    Args:
        layers: such as `[keras.layers.RandomFlip("horizontal"), keras.layers.MixUp()]`, or a
            `keras.layers.Pipeline` of them; copies are used. What a layer makes of a picture may
            be of another size, as long as the last one's are of `shape`.
        shape: (height, width, channels) of the pictures.
        takes_rows: whether targets are rows of shares, which layers that mix need.
    """

    def __init__(self, layers, shape, takes_rows):
        layers = one_by_one(layers)
        wrong = [layer for layer in layers if not isinstance(layer, keras.layers.Layer)]
        if wrong:
            raise KzooError(
                f"Got {wrong[0]!r:.60} to augment pictures; expected Keras' layers, such as "
                'keras.layers.RandomFlip("horizontal").'
            )
        mixing = mixing_among(layers)
        self.mixes = bool(mixing)
        if mixing and not takes_rows:
            raise KzooError(
                f"Got {mixing[0]}, which mixes targets as well, and the loss takes one label a "
                "picture: compile(loss=keras.losses.CategoricalCrossentropy())."
            )
        self.shape = tuple(shape)
        self.steps = [_Step(type(layer).from_config(layer.get_config())) for layer in layers]
        self._try()

    def _try(self):
        """Raise KzooError where the layers can't make such pictures of such pictures."""
        try:
            self(np.zeros((2, *self.shape)), np.eye(2), [0])
        except KzooError:
            raise
        except Exception as error:  # What a layer raises is of any kind.
            reason = str(error).strip().split("\n")[0].rstrip(".") or type(error).__name__
            raise KzooError(
                f"augment fails on pictures of {self.shape} ({reason}); expected layers that "
                "change such pictures."
            ) from None

    def __call__(self, pictures, labels, draw):
        """A batch (pictures, height, width, channels) and its targets, changed.

        `draw` are whole numbers which decide how.
        """
        pictures = np.asarray(pictures, "float32")
        seeds = np.random.default_rng(draw).integers(2**31, size=len(self.steps)).tolist()
        for step, seed in zip(self.steps, seeds, strict=True):
            pictures, labels = step(pictures, labels, seed)
        if pictures.shape[1:] != self.shape:
            raise KzooError(
                f"augment gives pictures of {pictures.shape[1:]}; expected {self.shape}, which the "
                "network reads."
            )
        return pictures, labels


def one_by_one(layers):
    """The layers of lists, a Pipeline or a Sequential: those that mix pictures take targets too."""
    if isinstance(layers, (keras.layers.Pipeline, keras.Sequential)):
        layers = layers.layers
    if not isinstance(layers, (list, tuple)):
        return [layers]
    return [part for layer in layers for part in one_by_one(layer)]


def mixing_among(layers):
    """The names of the layers that mix pictures."""
    return [type(layer).__name__ for layer in one_by_one(layers) if isinstance(layer, MIXING)]


class _Step:
    """A layer, in TensorFlow's graph if it is one that runs there on every backend."""

    def __init__(self, layer):
        self.layer, self.mixes = layer, isinstance(layer, MIXING)
        self.run = self._run
        if hasattr(layer, "get_random_transformation"):
            import tensorflow as tf

            # An axis that is open: the last batch is smaller, and needs no graph of its own.
            self.run = tf.function(self._run, reduce_retracing=True)

    def _run(self, data):
        return self.layer(data, training=True)

    def __call__(self, pictures, labels, seed):
        reseed(self.layer, seed)
        if not self.mixes:
            return np.asarray(self.run(pictures)), labels
        if labels is None or np.ndim(labels) != 2:
            raise KzooError(
                f"{type(self.layer).__name__} mixes targets, which are rows of shares then; got "
                f"{'none' if labels is None else np.shape(labels)}."
            )
        data = self.run({"images": pictures, "labels": np.asarray(labels, "float32")})
        return np.asarray(data["images"]), np.asarray(data["labels"])
