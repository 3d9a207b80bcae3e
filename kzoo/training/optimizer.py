"""Optimizers as fine-tuning wants them, the same on every backend and number of replicas."""

import inspect
import math
import re
from numbers import Real

import keras
import numpy as np
from keras import ops

from ..errors import KzooError
from ..keras_hooks import OneUpdate, adam_state, batches_taken, decays, dense, muon_state, place_of
from ..values import is_number, is_whole
from .schedule import WarmupDecay

# A gain or an offset by its name; whatever has one axis is one too.
_GAIN_OR_OFFSET = re.compile(r"(^|/)(bias|gamma|beta|scale)$")
_BLOCK = re.compile(r"(^|/)block_(\d+)(/|$)")
_HEAD = re.compile(r"(^|/)(head|bridges)(/|$)")
# What the numbers that optimizers take must be; the optional ones may be None.
_SHARE = (lambda v: is_number(v, 0) and v < 1), "a number from 0 to below 1"
_SIZE = (lambda v: is_number(v, 0)), "a number of at least 0"
_ABOVE = (lambda v: is_number(v, 0) and v > 0), "a number above 0"
_NUMBERS = {
    **dict.fromkeys(("beta_1", "beta_2", "adam_beta_1", "adam_beta_2"), _SHARE),
    **dict.fromkeys(("momentum", "ema_momentum"), _SHARE),
    **dict.fromkeys(("weight_decay", "epsilon", "epsilon_2"), _SIZE),
    "layer_decay": ((lambda v: is_number(v, 0, 1)), "a number from 0 to 1"),
    **dict.fromkeys(("clip_norm", "epsilon_1", "clip_threshold", "rms_rate"), _ABOVE),
    "beta_2_decay": ((lambda v: is_number(v, -1, 0)), "a number from -1 to 0"),
    "ns_steps": ((lambda v: is_whole(v, 1)), "a whole number of at least 1"),
}
_OPTIONAL = ("weight_decay", "clip_norm", "rms_rate")


class FineTuned(OneUpdate):
    """Mixin, before a Keras optimizer: warm-up, decay, clipping and rates by layer.

    It differs from Keras where that is wrong on TensorFlow: an embedding's gradient is made dense
    first (Keras' rules see the slices of a repeated id one by one), and gradients are summed over
    replicas before they are accumulated and clipped. Norms and biases don't decay.

    Args:
        learning_rate: the peak rate; or a Keras schedule, which is then taken as it is.
        weight_decay: share of a weight that goes at each step, times the rate.
        warmup, decay, total_steps: see `WarmupDecay`. Without `total_steps`, the `fit` of a kzoo
            task lays out the schedule over its epochs; elsewhere the rate then stays at its peak.
            With `decay="constant"` and no warm-up, the rate is a variable that callbacks can set.
        clip_norm: largest norm of all gradients together; None for no clipping.
        layer_decay: rate of each block relative to the one above it, 1 for the same everywhere
            (arXiv:1801.06146, arXiv:2003.10555); the head has the full rate.
        gradient_accumulation_steps: how many batches' mean gradient an update takes; None for
            one. The schedule counts batches, the bias correction and the averages updates.
            Batches left over when `fit` ends wait for the next one.
        use_ema, ema_momentum, ema_overwrite_frequency, loss_scale_factor, name: as in Keras.
        rule: what the Keras optimizer takes beside these.
    """

    def __init__(
        self,
        learning_rate,
        weight_decay=0.01,
        warmup=0.1,
        decay="linear",
        total_steps=None,
        clip_norm=1.0,
        layer_decay=1.0,
        use_ema=False,
        ema_momentum=0.999,
        ema_overwrite_frequency=None,
        loss_scale_factor=None,
        gradient_accumulation_steps=None,
        name=None,
        **rule,
    ):
        common = {"weight_decay": weight_decay, "clip_norm": clip_norm, "layer_decay": layer_decay}
        _check({**common, "ema_momentum": ema_momentum, **rule})
        self_made = isinstance(learning_rate, Real)
        if not self_made and not callable(learning_rate):  # Keras' schedules are.
            raise KzooError(
                f"Got learning_rate = {learning_rate!r:.40} for an optimizer; expected a number "
                "above 0, such as 5e-5, or a schedule of Keras'."
            )
        schedule = WarmupDecay(learning_rate, warmup, total_steps, decay) if self_made else None
        if schedule and decay == "constant" and not warmup:
            schedule, learning_rate = None, float(learning_rate)
        super().__init__(
            learning_rate=schedule or learning_rate,
            weight_decay=weight_decay,
            global_clipnorm=clip_norm,
            use_ema=use_ema,
            ema_momentum=ema_momentum,
            ema_overwrite_frequency=ema_overwrite_frequency,
            loss_scale_factor=loss_scale_factor,
            gradient_accumulation_steps=gradient_accumulation_steps,
            name=name,
            **rule,
        )
        self.schedule = schedule
        self.warmup, self.decay, self.total_steps = warmup, decay, total_steps
        self.clip_norm, self.layer_decay = clip_norm, layer_decay

    def __init_subclass__(cls, **kwargs):
        """Show the arguments that are common to all beside a class's own."""
        super().__init_subclass__(**kwargs)
        found = {}
        for each in (cls, FineTuned):
            for name, parameter in list(inspect.signature(each.__init__).parameters.items())[1:]:
                if parameter.kind is not parameter.VAR_KEYWORD:
                    found.setdefault(name, parameter.replace(kind=parameter.KEYWORD_ONLY))
        first = found.pop("learning_rate")
        first = first.replace(kind=first.POSITIONAL_OR_KEYWORD)
        cls.__signature__ = inspect.Signature([first, *found.values()])

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
        """Update the variables; Keras divides no gradient of a look-up by a loss's scale."""
        if self.loss_scale_factor is not None:
            grads = [dense(grad) for grad in grads]
        super().apply(grads, trainable_variables)

    def update_steps(self, gradients, variables, learning_rate):
        """Decay each variable, then move it by the rule."""
        scalars = {}  # Of each kind of variable: for each one alone they'd be most of the work.
        for gradient, variable in zip(gradients, variables, strict=True):
            place = place_of(self, variable)
            kind = variable.dtype, self.rates[place]
            if kind not in scalars:
                scalars[kind] = self.scalars(learning_rate, *kind)
            self.move(ops.cast(gradient, variable.dtype), variable, place, scalars[kind])

    def scalars(self, learning_rate, dtype, relative):
        """What the variables of a dtype and a relative rate are moved by: the rate comes first."""
        return [ops.cast(learning_rate, dtype) * relative]

    def move(self, gradient, variable, place, scalars):
        """Decay a variable and move it by Keras' rule; `place` is its own among all."""
        self.shrink(variable, place, scalars[0])
        self.update_step(gradient, variable, scalars[0])

    def shrink(self, variable, place, rate):
        """Take the weight decay's share of a variable."""
        if self.is_decayed(variable, place):
            self.assign_sub(variable, variable * (rate * self.weight_decay))

    def is_decayed(self, variable, place):
        """Whether a variable decays: where it is a matrix, and the user left it to that."""
        return bool(self.weight_decay) and self.decayed[place] and decays(self, variable)

    def get_config(self):
        """The arguments."""
        config = super().get_config()
        config |= {name: getattr(self, name) for name in _OWN}
        if self.schedule is not None:
            config["learning_rate"] = self.schedule.peak
        known = inspect.signature(type(self)).parameters
        return {name: value for name, value in config.items() if name in known}


# What Keras' optimizers don't know.
_OWN = ("warmup", "decay", "total_steps", "clip_norm", "layer_decay")


class _Adam(FineTuned):
    """Mixin: Adam's step with `beta_1`, `beta_2` and `epsilon`, on TensorFlow by a fused kernel."""

    def scalars(self, learning_rate, dtype, relative):
        """The rate as it is and as corrected, the epsilon, the betas and zero.

        They follow the paper's order of computation, where the root of the second moment isn't
        corrected: the epsilon that belongs beside a corrected one is as much smaller.
        """
        root = ops.sqrt(_correction(self.beta_2, self.iterations))
        correction = root / _correction(self.beta_1, self.iterations)
        values = (learning_rate, correction, self.epsilon * root, self.beta_1, self.beta_2, 0)
        rate, correction, *others = [ops.cast(value, dtype) for value in values]
        rate = rate * relative
        return [rate, rate * correction, *others]

    def adam(self, gradient, variable, momentum, velocity, scalars):
        """Move a variable by Adam's rule."""
        _, rate, epsilon, beta_1, beta_2, zero = scalars
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


@keras.saving.register_keras_serializable("kzoo")
class AdamW(_Adam, keras.optimizers.AdamW):
    """Adam with decoupled weight decay (arXiv:1711.05101).

    Args:
        epsilon: what is added to the root of the second moment after its bias correction, as in
            the paper's Algorithm 1 and in torch; Keras adds it before.
        beta_1, beta_2: as in Keras.
        options: what every optimizer has, see `FineTuned`.
    """

    def __init__(
        self,
        learning_rate=5e-5,
        *,
        beta_1=0.9,
        beta_2=0.999,
        epsilon=1e-8,
        name="adamw",
        **options,
    ):
        rule = {"beta_1": beta_1, "beta_2": beta_2, "epsilon": epsilon}
        super().__init__(learning_rate, name=name, **rule, **options)

    def move(self, gradient, variable, place, scalars):
        """Decay a variable, then move it by Adam's rule."""
        self.shrink(variable, place, scalars[0])
        self.adam(gradient, variable, *adam_state(self, place), scalars)


@keras.saving.register_keras_serializable("kzoo")
class Lamb(FineTuned, keras.optimizers.Lamb):
    """LAMB (arXiv:1904.00962): Adam's steps, each as long as its weights, for large batches.

    The decay is part of the step whose length is set, as in Algorithm 2; Keras takes it from the
    weights apart. Norms and biases take Adam's own step, as in the authors' code.

    Args:
        learning_rate: share of its own length that a matrix moves by at most.
        beta_1, beta_2, epsilon: as in `AdamW`.
        options: what every optimizer has, see `FineTuned`.
    """

    def __init__(
        self, learning_rate=1e-3, *, beta_1=0.9, beta_2=0.999, epsilon=1e-6, name="lamb", **options
    ):
        rule = {"beta_1": beta_1, "beta_2": beta_2, "epsilon": epsilon}
        super().__init__(learning_rate, name=name, **rule, **options)

    def scalars(self, learning_rate, dtype, relative):
        """The rate and the corrections of the two moments."""
        corrections = (_correction(beta, self.iterations) for beta in (self.beta_1, self.beta_2))
        rate = super().scalars(learning_rate, dtype, relative)
        return [*rate, *(ops.cast(each, dtype) for each in corrections)]

    def move(self, gradient, variable, place, scalars):
        """Move a variable by LAMB's rule, decay included."""
        rate, first, second = scalars
        momentum, velocity = adam_state(self, place)
        self.assign_add(momentum, (1 - self.beta_1) * (gradient - momentum))
        self.assign_add(velocity, (1 - self.beta_2) * (ops.square(gradient) - velocity))
        step = momentum / first / (ops.sqrt(velocity / second) + self.epsilon)
        if self.is_decayed(variable, place):
            step = step + self.weight_decay * variable
        if self.decayed[place]:
            lengths = [ops.sqrt(ops.sum(ops.square(each))) for each in (variable, step)]
            own, other = lengths
            both = ops.logical_and(own > 0, other > 0)
            step = step * ops.where(both, own / ops.where(both, other, 1), 1)
        self.assign_sub(variable, rate * step)


@keras.saving.register_keras_serializable("kzoo")
class Adafactor(FineTuned, keras.optimizers.Optimizer):
    """Adafactor (arXiv:1804.04235): of a matrix's second moment it keeps rows' and columns' means.

    Keras' own keeps the whole one beside them, for as much memory as it was to save, and no rate
    of it is above 1 / sqrt(step). Here the rate is that of the schedule, on which the paper's
    relative step stands as `decay="inverse_sqrt"` with a warm-up.

    Args:
        learning_rate: share of its own root mean square that a variable moves by at most.
        beta_2_decay: the second moment forgets `step ** beta_2_decay` of itself.
        epsilon_1: what is added to a gradient's squares.
        epsilon_2: the least root mean square that a variable counts as.
        clip_threshold: the largest root mean square of a step before the rate.
        options: what every optimizer has, see `FineTuned`.
    """

    def __init__(
        self,
        learning_rate=1e-3,
        *,
        beta_2_decay=-0.8,
        epsilon_1=1e-30,
        epsilon_2=1e-3,
        clip_threshold=1.0,
        name="adafactor",
        **options,
    ):
        own = {"beta_2_decay": beta_2_decay, "epsilon_1": epsilon_1, "epsilon_2": epsilon_2}
        _check({**own, "clip_threshold": clip_threshold})
        super().__init__(learning_rate, name=name, **options)
        self.beta_2_decay, self.clip_threshold = beta_2_decay, clip_threshold
        self.epsilon_1, self.epsilon_2 = epsilon_1, epsilon_2

    def build(self, variables):
        """Make the rows' and columns' means of a matrix, of the last two of more axes."""
        if self.built:
            return
        super().build(variables)
        rows, columns = [], []
        for variable in variables:
            shape, dtype = tuple(variable.shape), variable.dtype
            is_factored = len(shape) > 1
            of_rows = shape[:-1] if is_factored else shape
            rows.append(self.add_variable(of_rows, dtype=dtype, name="rows"))
            of_columns = shape[:-2] + shape[-1:]
            columns.append(
                self.add_variable(of_columns, dtype=dtype, name="columns") if is_factored else None
            )
        self.rows, self.columns = rows, columns

    def scalars(self, learning_rate, dtype, relative):
        """The rate, and the share of the second moment that stays."""
        step = ops.cast(self.iterations + 1, "float32")
        stays = ops.cast(1 - step**self.beta_2_decay, dtype)
        return [*super().scalars(learning_rate, dtype, relative), stays]

    def move(self, gradient, variable, place, scalars):
        """Move a variable by Algorithm 5, by a share of what it is before it decays."""
        rate, stays = scalars
        squares = ops.square(gradient) + self.epsilon_1
        rows, columns = self.rows[place], self.columns[place]
        if columns is None:
            self.assign(rows, stays * rows + (1 - stays) * squares)
            moment = ops.convert_to_tensor(rows)
        else:
            self.assign(rows, stays * rows + (1 - stays) * ops.mean(squares, axis=-1))
            self.assign(columns, stays * columns + (1 - stays) * ops.mean(squares, axis=-2))
            shares = rows / ops.mean(rows, axis=-1, keepdims=True)
            moment = ops.expand_dims(shares, -1) * ops.expand_dims(columns, -2)
        # Of a row and a column that have seen nothing the product is too small for a number.
        step = gradient * ops.rsqrt(ops.maximum(moment, self.epsilon_1))
        step = step / ops.maximum(1.0, _root_mean_square(step) / self.clip_threshold)
        size = ops.maximum(self.epsilon_2, _root_mean_square(variable))
        self.shrink(variable, place, rate)
        self.assign_sub(variable, rate * size * step)

    def get_config(self):
        """The arguments."""
        own = ("beta_2_decay", "epsilon_1", "epsilon_2", "clip_threshold")
        return {**super().get_config(), **{name: getattr(self, name) for name in own}}


@keras.saving.register_keras_serializable("kzoo")
class Lion(FineTuned, keras.optimizers.Lion):
    """Lion (arXiv:2302.06675): the sign of a momentum, half of AdamW's memory.

    Each number of a step is as long as the rate: the authors take a third to a tenth of AdamW's,
    and as much more weight decay.

    Args:
        beta_1, beta_2: as in Keras.
        options: what every optimizer has, see `FineTuned`.
    """

    def __init__(self, learning_rate=1e-5, *, beta_1=0.9, beta_2=0.99, name="lion", **options):
        if beta_1 == 0:
            raise KzooError("Got beta_1 = 0 for Lion; expected above 0: its step is that average.")
        super().__init__(learning_rate, name=name, beta_1=beta_1, beta_2=beta_2, **options)


@keras.saving.register_keras_serializable("kzoo")
class Muon(_Adam, keras.optimizers.Muon):
    """Muon (arXiv:2502.16982): steps of matrices with their singular values all near 1.

    Tables of embeddings, heads, norms and biases take AdamW's step, at the same rate.

    Args:
        exclude_layers: patterns of paths whose matrices take AdamW's step; the head by default.
        momentum, nesterov, ns_steps: the momentum that is made orthogonal, and by how many rounds
            of Newton and Schulz, as in Keras.
        rms_rate: root mean square of a step before the rate, near AdamW's; None leaves it.
        adam_beta_1, adam_beta_2, epsilon: of AdamW's steps, see there.
        options: what every optimizer has, see `FineTuned`.
    """

    def __init__(
        self,
        learning_rate=5e-5,
        *,
        exclude_layers=(_HEAD.pattern,),
        momentum=0.95,
        nesterov=True,
        ns_steps=5,
        rms_rate=0.2,
        adam_beta_1=0.9,
        adam_beta_2=0.999,
        epsilon=1e-8,
        name="muon",
        **options,
    ):
        super().__init__(
            learning_rate,
            name=name,
            exclude_layers=list(exclude_layers),
            momentum=momentum,
            nesterov=nesterov,
            ns_steps=ns_steps,
            rms_rate=rms_rate,
            adam_beta_1=adam_beta_1,
            adam_beta_2=adam_beta_2,
            epsilon=epsilon,
            **options,
        )
        self.beta_1, self.beta_2 = adam_beta_1, adam_beta_2

    def move(self, gradient, variable, place, scalars):
        """Decay a variable, then move it by Muon's rule, or by Adam's."""
        self.shrink(variable, place, scalars[0])
        momentum, velocity = muon_state(self, place)
        if velocity is None:
            self.update_step(gradient, variable, scalars[0])
        else:
            self.adam(gradient, variable, momentum, velocity, scalars)


OPTIMIZERS = {cls.__name__: cls for cls in (AdamW, Lamb, Adafactor, Lion, Muon)}


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


def _check(arguments):
    """Raise KzooError for a number that no optimizer can compute with."""
    for name in sorted(set(_NUMBERS) & set(arguments)):
        value, (fits, expected) = arguments[name], _NUMBERS[name]
        if not (fits(value) or (value is None and name in _OPTIONAL)):
            raise KzooError(f"Got {name} = {value!r:.40} for an optimizer; expected {expected}.")


def _root_mean_square(x):
    return ops.sqrt(ops.mean(ops.square(x)))
