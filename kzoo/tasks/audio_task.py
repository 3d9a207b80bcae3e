"""What tasks on sounds share."""

import keras
import numpy as np

from ..audio.sounds import read_sound
from ..audio.spec_augment import SpecAugment
from ..data.media import SOUNDS
from ..errors import KzooError
from ..spec import Input
from ..values import an, is_number, is_whole
from .array_task import ArrayTask

MOST_CHANNELS = 8  # of one sound that is an array of two axes


class AudioTask(ArrayTask):
    """A backbone, an audio processor and a head that learn and answer on sounds.

    Called on {"features"}, as the processor makes them, it returns a dict of raw outputs; `fit`,
    `evaluate` and `predict` take files (also as file:// URLs), bytes, samples of the processor's
    rate, `(samples, rate)` and what else `audio.sounds.read_sound` does. An array of two axes is
    several sounds, (sounds, samples), unless the second is of at most 8 channels.

    Here the processor makes features with NumPy, as its reference does; a file takes samples and
    holds the same arithmetic in its graph.

    Args:
        backbone, labels, head, name: as for `Task`.
        audio_processor: an `AudioProcessor`; the preset's by default.
    """

    processor_kind, medium = "audio_processor", SOUNDS
    input_name = "features"
    reads = "sound"
    augmented_by = "SpecAugment"

    def __init__(self, backbone, labels=None, head=None, audio_processor=None, name=None):
        super().__init__(backbone, labels, head, audio_processor, name)

    @property
    def audio_processor(self):
        """The audio processor; an error says what to do if there is none."""
        return self.processor("audio_processor")

    def check_processors(self):
        """Raise KzooError for a processor whose features the backbone doesn't read."""
        processor = self.processors.get("audio_processor")
        if "features" not in self.backbone.signature:
            raise KzooError(
                f"Got {an(self.backbone.family)} for {an(self.task_name)}; expected a backbone "
                "that reads sounds, such as a Kwt."
            )
        expected = self.backbone.signature["features"].axes[1:]
        if processor is not None and processor.shape != tuple(expected):
            raise KzooError(
                f"The audio processor gives {_frames(processor.shape)}; the backbone reads "
                f"{_frames(expected)}: give a processor of that size."
            )

    @property
    def array_shape(self):
        """Frames, and numbers a frame."""
        return self.audio_processor.shape

    def read_one(self, example, name=None):
        """The features of a sound, (frames, numbers)."""
        processor = self.audio_processor
        samples = read_sound(example, processor.rate, name or "The sound")
        return processor.features(samples)

    def in_graph(self, arrays):
        """{"features"}: they are what the network reads."""
        return {"features": arrays}

    def before_graph(self, inputs):
        """The features."""
        return inputs["features"]

    def augmentation(self, augment):
        """A `SpecAugment`, or what else is called as one is."""
        if not callable(augment) or isinstance(augment, keras.layers.Layer):
            raise KzooError(
                f"Got augment={augment!r:.60} for sounds; expected a kzoo.audio.SpecAugment()."
            )
        return augment

    @classmethod
    def augmenting(cls, kind):
        """`SpecAugment`, or None."""
        return SpecAugment if kind == "SpecAugment" else None

    def is_one(self, array):
        """Whether an array is one sound."""
        return array.ndim == 1 or (array.ndim == 2 and array.shape[1] <= MOST_CHANNELS)

    def as_inputs(self, x):
        """A list of sounds, from one or from some."""
        is_pair = isinstance(x, tuple) and len(x) == 2 and is_whole(x[1])
        is_samples = isinstance(x, (list, tuple)) and len(x) > 0 and is_number(x[0])
        return super().as_inputs([x] if is_pair or is_samples or isinstance(x, dict) else x)

    # -- what a file takes ------------------------------------------------------------------------

    @property
    def file_signature(self):
        """A file takes samples."""
        return {"samples": Input(("batch", self.audio_processor.num_samples), "float32")}

    def of_file(self, inputs):
        """See `ArrayTask`; features are made in the file's graph."""
        if "samples" not in inputs:
            return inputs
        return {"features": self.audio_processor.in_graph(inputs["samples"])}

    @property
    def tables(self):
        """The constants of the processor's part of a file, and what reads its features.

        These are of very different sizes: as int8 the loud would drown the fine ones.
        """
        processor, backbone = self.processors.get("audio_processor"), self.backbone
        kernel = getattr(backbone, "towers", {}).get("audio", backbone).embedding.kernel
        tables = {} if processor is None else processor.tables
        return [*tables.values(), np.asarray(kernel)]


def _frames(shape):
    return f"{shape[0]} frames of {shape[1]}"
