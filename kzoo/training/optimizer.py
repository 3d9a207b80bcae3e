"""AdamW as fine-tuning wants it, and the same on every backend and number of replicas."""

import math
import re
from numbers import Real

import keras
import numpy as np
from keras import ops

from ..keras_hooks import OneUpdate, adam_state, batches_taken, decays
from .schedule import WarmupDecay

# A gain or an offset by its name; whatever has one axis is one too.
_GAIN_OR_OFFSET = re.compile(r"(^|/)(bias|gamma|beta|scale)$")
_BLOCK = re.compile(r"(^|/)block_(\d+)(/|$)")
_HEAD = re.compile(r"(^|/)(head|bridges)(/|$)")


@keras.saving.register_keras_serializable("kzoo")
class AdamW(OneUpdate, keras.optimizers.AdamW):
    """Adam with decoupled weight decay (arXiv:1711.05101), warm-up, decay and clipping.

    It differs from `keras.optimizers.AdamW` where that is wrong on TensorFlow: an embedding's
    gradient is made dense first (Keras squares the slices of a repeated id one by one), and
    gradients are summed over replicas before they are accumulated and clipped. Norms and biases
    don't decay. On TensorFlow each variable is updated by one fused kernel.

    Args:
        learning_rate: the peak rate; or a Keras schedule, which is then taken as it is.
        weight_decay: share of a weight that goes at each step, times the rate.
        warmup, decay, total_steps: see `WarmupDecay`. Without `total_steps`, the `fit` of a kzoo
            task lays out the schedule over its epochs; elsewhere the rate then stays at its peak.
            With `decay="constant"` and no warm-up, the rate is a variable that callbacks can set.
        clip_norm: largest norm of all gradients together; None for no clipping.
        layer_decay: rate of each block relative to the one above it, 1 for the same everywhere
            (arXiv:1801.06146, arXiv:2003.10555); the head has the full rate.
        epsilon: what is added to the root of the second moment after its bias correction, as in
            the paper's Algorithm 1 and in torch; Keras adds it before.
        gradient_accumulation_steps: how many batches' mean gradient an update takes; None for
            one. The schedule counts batches, the bias correction and the averages updates.
            Batches left over when `fit` ends wait for the next one.
        beta_1, beta_2, use_ema, ema_momentum, ema_overwrite_frequency, loss_scale_factor, name:
            as in Keras.
    """

    def __init__(
        self,
        learning_rate=5e-5,
        weight_decay=0.01,
        warmup=0.1,
        decay="linear",
        total_steps=None,
        clip_norm=1.0,
        layer_decay=1.0,
        beta_1=0.9,
        beta_2=0.999,
        epsilon=1e-8,
        use_ema=False,
        ema_momentum=0.999,
        ema_overwrite_frequency=None,
        loss_scale_factor=None,
        gradient_accumulation_steps=None,
        name="adamw",
    ):
        self_made = isinstance(learning_rate, Real)
        schedule = WarmupDecay(learning_rate, warmup, total_steps, decay) if self_made else None
        if schedule and decay == "constant" and not warmup:
            schedule, learning_rate = None, float(learning_rate)
        super().__init__(
            learning_rate=schedule or learning_rate,
            weight_decay=weight_decay,
            beta_1=beta_1,
            beta_2=beta_2,
            epsilon=epsilon,
            global_clipnorm=clip_norm,
            use_ema=use_ema,
            ema_momentum=ema_momentum,
            ema_overwrite_frequency=ema_overwrite_frequency,
            loss_scale_factor=loss_scale_factor,
            gradient_accumulation_steps=gradient_accumulation_steps,
            name=name,
        )
        self.schedule = schedule
        self.warmup, self.decay, self.total_steps = warmup, decay, total_steps
        self.clip_norm, self.layer_decay = clip_norm, layer_decay

    def plan(self, steps_per_epoch, epochs, initial_epoch=0, initial_batch=0):
        """Lay out the schedule over a training that starts now, unless `total_steps` was given.

        One that goes on starts behind so many epochs, and batches of the next one.
        Returns whether the schedule changed: a step traced before holds the old one.
        """
        if self.schedule is None or self.total_steps is not None:
            return False
        before = self.schedule.get_config()
        done = steps_per_epoch * initial_epoch + initial_batch
        self.schedule.first_step = batches_taken(self) - done
        self.schedule.total_steps = steps_per_epoch * epochs
        return before != self.schedule.get_config()

    def build(self, variables):
        """Make the moments, and find who decays and how fast each layer learns."""
        if self.built:
            return
        paths = [getattr(variable, "path", variable.name) for variable in variables]
        self.decayed = [
            len(variable.shape) > 1 and not _GAIN_OR_OFFSET.search(path)
            for variable, path in zip(variables, paths, strict=True)
        ]
        self.rates = layer_rates(paths, self.layer_decay)
        super().build(variables)

    def apply(self, grads, trainable_variables=None):
        """Update the variables, dense gradients first."""
        super().apply([_dense(grad) for grad in grads], trainable_variables)

    def update_steps(self, gradients, variables, learning_rate):
        """Decay the variables, then move them by Adam's rule."""
        scalars = {}  # Of each kind of variable: for each one alone they'd be most of the work.
        for gradient, variable in zip(gradients, variables, strict=True):
            state = adam_state(self, variable)
            kind = variable.dtype, self.rates[state[0]]
            if kind not in scalars:
                scalars[kind] = self._scalars(learning_rate, *kind)
            gradient = ops.cast(gradient, variable.dtype)
            self._update_step(gradient, variable, state, scalars[kind])

    def _scalars(self, learning_rate, dtype, relative):
        """The decay, the rate, the epsilon, the betas and zero, as an update takes them.

        They follow the paper's order of computation, where the root of the second moment isn't
        corrected: the epsilon that belongs beside a corrected one is as much smaller.
        """
        root = ops.sqrt(_correction(self.beta_2, self.iterations))
        correction = root / _correction(self.beta_1, self.iterations)
        values = (learning_rate, correction, self.epsilon * root, self.beta_1, self.beta_2, 0)
        rate, correction, *others = [ops.cast(value, dtype) for value in values]
        rate = rate * relative
        return [rate * (self.weight_decay or 0), rate * correction, *others]

    def _update_step(self, gradient, variable, state, scalars):
        index, momentum, velocity = state
        decay, rate, epsilon, beta_1, beta_2, zero = scalars
        if self.weight_decay and self.decayed[index] and decays(self, variable):
            self.assign_sub(variable, variable * decay)
        if keras.backend.backend() != "tensorflow":
            momentum.assign(beta_1 * momentum + (1 - beta_1) * gradient)
            velocity.assign(beta_2 * velocity + (1 - beta_2) * ops.square(gradient))
            self.assign_sub(variable, rate * momentum / (ops.sqrt(velocity) + epsilon))
            return
        import tensorflow as tf

        # Operation by operation this would be a dozen passes over memory. Powers of zero: the
        # rate is corrected already.
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=momentum.value.handle,
            v=velocity.value.handle,
            beta1_power=zero,
            beta2_power=zero,
            lr=rate,
            beta1=beta_1,
            beta2=beta_2,
            epsilon=epsilon,
            grad=gradient,
        )

    def get_config(self):
        """The arguments."""
        config = super().get_config()
        for name in ("clipnorm", "clipvalue", "global_clipnorm", "amsgrad"):
            del config[name]
        if self.schedule is not None:
            config["learning_rate"] = self.schedule.peak
        return {
            **config,
            "warmup": self.warmup,
            "decay": self.decay,
            "total_steps": self.total_steps,
            "clip_norm": self.clip_norm,
            "layer_decay": self.layer_decay,
        }


def layer_rates(paths, layer_decay):
    """The rate of each variable relative to the head's, from its path.

    A pooler or a norm at the end counts as the top block; whatever else stands outside the blocks
    is an embedding and lies one below the first.
    """
    matches = [_BLOCK.search(path) for path in paths]
    blocks = sorted({int(match[2]) for match in matches if match})
    rates = []
    for path, match in zip(paths, matches, strict=True):
        if match:
            below_head = len(blocks) - blocks.index(int(match[2]))
        elif _HEAD.search(path):
            below_head = 0
        else:
            below_head = 1 if "pooler" in path.split("/") else len(blocks) + 1
        rates.append(layer_decay**below_head)
    return rates


def _correction(beta, updates):
    """1 - beta ** (updates + 1) in float32, without the digits that the difference would lose."""
    beta = float(np.float32(beta))  # As the moments are computed with.
    log = math.log(beta) if beta else -math.inf
    return -ops.expm1((ops.cast(updates, "float32") + 1) * log)


def _dense(grad):
    """An embedding's gradient as a tensor of the table's shape, repeated ids added up."""
    if keras.backend.backend() != "tensorflow":
        return grad
    import tensorflow as tf

    return tf.convert_to_tensor(grad) if isinstance(grad, tf.IndexedSlices) else grad
