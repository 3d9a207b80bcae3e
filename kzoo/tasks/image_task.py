"""What tasks on pictures share."""

import keras

from ..data.media import PICTURES
from ..errors import KzooError
from ..images.augmentation import Augmentation, layer_for_pictures, mixing_among
from ..values import an
from .array_task import ArrayTask
from .classes import ROW_LOSSES
from .pair_task import PairTask


class ImageTask(ArrayTask):
    """A backbone, an image processor and a head that learn and answer on pictures.

    Called on {"images"}, pictures that the processor has normalised, it returns a dict of raw
    outputs; `fit`, `evaluate` and `predict` take files (also as file:// URLs), bytes, PIL pictures
    and arrays. An array of four axes, or of three of which the last isn't of 1, 3 or 4 channels, is
    several pictures.

    Args:
        backbone, labels, head, name: as for `Task`.
        image_processor: an `ImageProcessor`; the preset's by default.
    """

    processor_kind, medium = "image_processor", PICTURES
    input_name, array_type = "images", "uint8"
    reads = "image"
    augmented_by = "one of Keras' layers for pictures, such as RandomFlip"

    def __init__(self, backbone, labels=None, head=None, image_processor=None, name=None):
        super().__init__(backbone, labels, head, image_processor, name)

    @property
    def image_processor(self):
        """The image processor; an error says what to do if there is none."""
        return self.processor("image_processor")

    def check_processors(self):
        """Raise KzooError for a processor whose pictures the backbone doesn't read."""
        processor = self.processors.get("image_processor")
        if "images" not in self.backbone.signature:
            raise KzooError(
                f"Got {an(self.backbone.family)} for {an(self.task_name)}; expected a backbone "
                "that reads pictures, such as a Vit."
            )
        expected = self.backbone.signature["images"].axes[1:]
        fits = processor is None or all(
            isinstance(axis, str) or axis == size
            for axis, size in zip(expected, processor.shape, strict=True)
        )
        if not fits:
            raise KzooError(
                f"The image processor gives pictures of {_shape(processor.shape)}; the backbone "
                f"reads {_shape(expected)}: give an image processor of that size."
            )

    @property
    def array_shape(self):
        """(height, width, channels)."""
        return self.image_processor.shape

    def read_one(self, example, name=None):
        """A picture of the network's size, see `ImageProcessor.resized`."""
        return self.image_processor.resized(example, name)

    def in_graph(self, arrays):
        """{"images"}, see `ImageProcessor.scaled`."""
        return {"images": self.image_processor.scaled(arrays)}

    def before_graph(self, inputs):
        """Pictures of 0 to 255, float32, see `ImageProcessor.unscaled`."""
        return self.image_processor.unscaled(inputs["images"])

    def resized(self, image_size):
        """A copy for pictures of another size, see `Network.resized`.

        Args:
            image_size: height and width of the pictures: one number for both, or a list.
        """
        backbone = self.backbone.resized(image_size)
        processor = self.processors.get("image_processor")
        backbone.processors = {
            **self.processors,
            "image_processor": processor and processor.for_size(image_size),
        }
        return self.on(backbone)

    def augmentation(self, augment):
        """Keras' layers for pictures, in order; see `Augmentation`."""
        takes_rows = (
            isinstance(getattr(self, "loss", None), ROW_LOSSES) or self.activation != "softmax"
        )
        return Augmentation(augment, self.array_shape, takes_rows)

    def unmixed(self, augment):
        """See `augmentation`, for pictures whose texts can't be mixed as layers mix pictures."""
        mixing = mixing_among(augment)
        if mixing:
            raise KzooError(
                f"Got {mixing[0]} to augment pictures of pairs, which mixes pictures and not their "
                "texts; expected layers that leave each its own."
            )
        return ImageTask.augmentation(self, augment)

    @classmethod
    def augmenting(cls, kind):
        """One of Keras' layers for pictures, or None."""
        return layer_for_pictures(kind)

    def loss_of_augmented(self, augment):
        """Cross-entropy of shares where pictures are mixed, and so their labels."""
        mixed = bool(mixing_among(augment))
        one_of = mixed and self.activation == "softmax"
        return keras.losses.CategoricalCrossentropy() if one_of else None

    def is_one(self, array):
        """Whether an array is one picture."""
        return array.ndim == 2 or (array.ndim == 3 and array.shape[2] in (1, 3, 4))


def _shape(shape):
    return " x ".join(map(str, shape))


class ImagePairTask(PairTask, ImageTask):
    """A task that learns from pictures with a text beside each."""

    def augmentation(self, augment):
        """See `ImageTask.unmixed`."""
        return self.unmixed(augment)
