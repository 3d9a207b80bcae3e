"""A loss that is no number ends a training at once, with the batch that it came from."""

import math

import keras

from ..errors import KzooError


class FiniteLoss(keras.callbacks.Callback):
    """Raises KzooError behind the batch whose loss isn't finite."""

    async_safe = True  # Keras may look at a batch's numbers while the next one runs.

    def on_epoch_begin(self, epoch, logs=None):
        """Note the epoch."""
        self.epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        """Look at the loss of the epoch so far."""
        loss = (logs or {}).get("loss")
        if loss is None or math.isfinite(loss):
            return
        steps = self.params.get("steps")
        step = f" (step {self.epoch * steps + batch + 1})" if steps else ""
        raise KzooError(
            f"The loss is no longer a number: {loss} at batch {batch + 1} of epoch "
            f"{self.epoch + 1}{step}; expected a finite one: take a lower learning rate or a "
            "smaller clip_norm, and look for targets or weights of examples that are out of range."
        )
