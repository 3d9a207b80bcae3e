"""The learning rate over the steps of a training."""

import math
from numbers import Real

import keras
from keras import ops

from ..errors import KzooError

DECAYS = ("linear", "cosine", "inverse_sqrt", "constant")


@keras.saving.register_keras_serializable("kzoo")
class WarmupDecay(keras.optimizers.schedules.LearningRateSchedule):
    """Rise to a peak, then fall (arXiv:1706.03762, arXiv:1810.04805).

    Args:
        peak: the highest rate.
        warmup: how long the rate rises: a number of steps, or below 1 a share of all steps.
        total_steps: steps of the whole training. Until it is known, the rate stays at its peak
            after a warm-up counted in steps.
        decay: "linear" or "cosine" (half a period, arXiv:1608.03983) to zero at the last step;
            "inverse_sqrt", the Transformer's own (arXiv:1706.03762, equation 3), whose peak there
            is (width * warmup) ** -0.5, and which no number of steps ends; or "constant".
        first_step: the step at which this schedule begins.
    """

    def __init__(self, peak, warmup=0.1, total_steps=None, decay="linear", first_step=0):
        if not isinstance(peak, Real) or not 0 < peak < math.inf:
            raise KzooError(f"The learning rate is {peak!r}; a number above 0 is expected.")
        if decay not in DECAYS:
            raise KzooError(f"decay is {decay!r}; one of {', '.join(DECAYS)} is expected.")
        if not isinstance(warmup, (int, float)) or not 0 <= warmup < math.inf:
            raise KzooError(
                f"warmup is {warmup!r}; a number of steps, or a share of them below 1, is expected."
            )
        if total_steps is not None and (total_steps < 1 or total_steps < warmup):
            raise KzooError(
                f"total_steps is {total_steps} and warmup {warmup}: at least one step, and no "
                "longer warm-up than training, is expected."
            )
        self.peak, self.warmup, self.decay = float(peak), warmup, decay
        self.total_steps, self.first_step = total_steps, first_step

    @property
    def warmup_steps(self):
        """The warm-up in steps; 0 where it is a share of a number that isn't known yet."""
        if self.warmup >= 1:
            return self.warmup
        return math.ceil(self.warmup * self.total_steps) if self.total_steps else 0

    def __call__(self, step):
        """The rate for the update number `step`, counted from 0."""
        step = ops.cast(step, "float32") - self.first_step
        rise = self.warmup_steps
        rate = self.peak * ops.minimum(1.0, (step + 1) / max(rise, 1))
        if self.decay == "inverse_sqrt" and (rise or self.total_steps):
            return rate * ops.sqrt(max(rise, 1) / ops.maximum(step + 1, max(rise, 1)))
        if self.decay == "constant" or self.total_steps is None:
            return rate
        done = ops.clip((step - rise) / max(self.total_steps - rise, 1), 0.0, 1.0)
        fall = 1 - done if self.decay == "linear" else 0.5 * (1 + ops.cos(math.pi * done))
        return rate * fall

    def get_config(self):
        """The arguments."""
        return {
            "peak": self.peak,
            "warmup": self.warmup,
            "total_steps": self.total_steps,
            "decay": self.decay,
            "first_step": self.first_step,
        }
