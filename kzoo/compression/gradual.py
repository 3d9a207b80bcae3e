"""What is left out little by little while a model learns."""

import math

import keras

from ..errors import KzooError
from ..values import is_number, is_whole


class Gradual(keras.callbacks.Callback):
    """Masks more and more weights in `fit`, and zeroes what is masked again behind each batch.

    The share of what is to go that is gone grows as 1 - (1 - t) ** 3 from the beginning to the end
    (Zhu and Gupta 2017, arXiv:1710.01878). What is masked is seen from the weights, which are zero
    there, and how far a training is from its epochs and batches. What checkpoints keep of it is in
    `get_state`, see `training.resume.Checkpoints`.

    Args:
        begin, end: the shares of all batches at which it begins, and is done.
        every: after how many batches more are masked.

    Raises:
        KzooError: for shares that are none, and at the begin of a training too short for `every`.
    """

    def __init__(self, begin=0.1, end=0.6, every=50):
        super().__init__()
        if not (is_number(begin, 0, 1) and is_number(end, begin, 1)):
            raise KzooError(
                f"Got begin={begin!r:.40} and end={end!r:.40}; expected shares of a training, "
                "begin no larger than end."
            )
        if not is_whole(every, 1):
            raise KzooError(f"Got every={every!r:.40}; expected a number of batches, 1 or more.")
        self.begin, self.end, self.every = begin, end, every

    def find(self):
        """Look at the model before it learns: what there is, and what is masked already."""
        raise NotImplementedError

    def advance(self, done):
        """Let so much of what is to go, 0 to 1, be gone."""
        raise NotImplementedError

    def mask(self):
        """Zero what is gone."""
        raise NotImplementedError

    def get_state(self):
        """What is masked."""
        raise NotImplementedError

    def set_state(self, state):
        """Go on with what `get_state` gave."""
        raise NotImplementedError

    def on_train_begin(self, logs=None):
        """Count the batches."""
        self.steps = self.params["steps"] or 1
        self.total = self.steps * self.params["epochs"]
        if self.every > self.total:
            raise KzooError(
                f"Got every={self.every} for a training of {self.total} batches, in which nothing "
                "would be masked; expected a smaller number."
            )
        self.last = self.every * math.ceil(self.end * self.total / self.every)
        self.find()

    def on_epoch_begin(self, epoch, logs=None):
        """Note the epoch, and how far it is."""
        self.epoch = epoch

    def on_train_batch_begin(self, batch, logs=None):
        """Note how far it is: an epoch needn't begin with its first batch."""
        self.step = self.epoch * self.steps + batch

    def on_train_batch_end(self, batch, logs=None):
        """Mask more where it is time; and again what is masked.

        With `steps_per_execution` Keras calls this behind the last of several batches.
        """
        before, self.step = self.step, self.epoch * self.steps + batch + 1
        due = self.step // self.every > before // self.every
        if self.step == self.total or (due and before < self.last):
            self.advance(self._done(self.step))
        self.mask()

    def on_train_end(self, logs=None):
        """Mask what averages of weights have brought back."""
        self.mask()

    def _done(self, step):
        """How much of what is to go is gone by a batch, 0 to 1."""
        first, last = self.begin * self.total, self.end * self.total
        past = min(1.0, max(0.0, step - first) / max(last - first, 1))
        return 1 - (1 - past) ** 3
