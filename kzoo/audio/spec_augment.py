"""Features of sounds to learn from, with parts of them hidden."""

import numpy as np

from ..errors import KzooError
from ..values import is_whole


class SpecAugment:
    """Hides runs of frames, and runs of numbers in all frames, as zeros (arXiv:1904.08779).

    How long each run is and where it begins is drawn anew for each example: a length from 0 to the
    longest, any as likely. Keyword Transformer learned with these numbers. Time isn't warped.

    Args:
        time_masks, frequency_masks: how many runs of frames, and of numbers, an example has.
        longest_time, longest_frequency: how many of them a run hides at most.
    """

    mixes = False

    def __init__(self, time_masks=2, longest_time=25, frequency_masks=2, longest_frequency=7):
        self.runs = (time_masks, longest_time), (frequency_masks, longest_frequency)
        if not all(is_whole(value, 0) for run in self.runs for value in run):
            raise KzooError(f"Got SpecAugment{sum(self.runs, ())}; expected whole numbers from 0.")

    def __call__(self, features, labels, draw):
        """Features (examples, frames, numbers) and their targets; `draw` decides what is hidden."""
        random = np.random.default_rng(draw)
        features = np.array(features)
        for axis, (count, longest) in enumerate(self.runs, 1):
            size, places = features.shape[axis], np.arange(features.shape[axis])
            for _ in range(count):
                lengths = random.integers(0, min(longest, size) + 1, len(features))
                begins = random.integers(0, size - lengths + 1)
                hidden = (places >= begins[:, None]) & (places < (begins + lengths)[:, None])
                features *= ~np.expand_dims(hidden, 3 - axis)
        return features, labels
