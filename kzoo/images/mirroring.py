"""Pictures turned over with the boxes in them."""

import numpy as np

from ..errors import KzooError

MODES = ("horizontal", "vertical", "horizontal_and_vertical")


class Mirrored:
    """Half of the pictures with left and right, or top and bottom, the other way round.

    Args:
        mode: "horizontal", "vertical" or "horizontal_and_vertical", as `keras.layers.RandomFlip`
            has it; of the last each is drawn by itself.
    """

    mixes = False

    def __init__(self, mode="horizontal"):
        if mode not in MODES:
            raise KzooError(f"Got mode = {mode!r:.40} to mirror; expected {', '.join(MODES)}.")
        self.sides = [mode != "vertical", mode != "horizontal"]

    def __call__(self, pictures, labels, draw):
        """A list of pictures and their targets (pictures, boxes, 5), changed.

        `draw` are whole numbers which decide how.
        """
        drawn = np.random.default_rng(draw).integers(2, size=(len(pictures), 2)) == 1
        drawn &= self.sides
        labels = np.array(labels)
        for side, (axis, place) in enumerate(((1, 1), (0, 2))):
            turned = drawn[:, side]
            pictures = [
                np.flip(each, axis) if now else each
                for each, now in zip(pictures, turned, strict=True)
            ]
            real = labels[:, :, 0] >= 0
            labels[:, :, place] = np.where(
                real & turned[:, None], 1 - labels[:, :, place], labels[:, :, place]
            )
        return pictures, labels
