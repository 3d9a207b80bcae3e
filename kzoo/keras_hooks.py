"""The private doors of Keras 3.15 that kzoo goes through, each with a test that watches it."""

import contextlib
import math
from contextvars import ContextVar
from importlib.util import find_spec

import keras
import numpy as np

from .errors import KzooError
from .logs import verbosity

# Whether a model is being built that gets no values, see `abstract_build`.
_abstract = ContextVar("abstract", default=False)
# How many numbers a model is run on rather than traced: on 224 squared it takes as long.
_FEW = 2**15


@contextlib.contextmanager
def precision(policy):
    """Layers made inside compute in the dtype policy `policy`; None leaves the global one."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy or before)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def abstract_build(build):
    """The model that `build()` makes, with paths and shapes of weights but no values.

    `StatelessScope(initialize_variables=False)` leaves the weights waiting in a global list; the
    next scope that ends anywhere would allocate them all, unless they are told not to.
    """
    before = _abstract.set(True)
    try:
        with keras.StatelessScope(initialize_variables=False):
            model = build()
            for variable in model.variables:
                variable._deferred_initialize = lambda: None
    finally:
        _abstract.reset(before)
    return model


def set_trainable(layer, value):
    """Thaw or freeze a layer and all below it.

    Keras' own assignment does nothing on TensorFlow where the layer's flag has that value already,
    whatever the flags below it are.
    """
    for part in layer._flatten_layers():
        keras.Layer.trainable.fset(part, value)


def layers_with_weights(layer):
    """The layer and all below it that hold weights, parents first, each with its weights."""
    return [(part, part.weights) for part in layer._flatten_layers() if part.weights]


def outputs_of(model, inputs):
    """What a model gives for Keras tensors: it is built then, and stands in no graph.

    On TensorFlow it runs on zeros in their place where these are few, as words are: a trace draws
    each weight twice, and takes longer. It is traced for pictures and sounds, on JAX,
    which would compile each operation, and in `abstract_build`, which has no weights to run with.
    Keras would count that call in a constructor as the model's first node, of a graph that begins
    nowhere; a functional model round it could not be loaded.
    """
    few = sum(math.prod(each.shape) for each in keras.tree.flatten(inputs)) <= _FEW
    if keras.backend.backend() == "tensorflow" and few and not _abstract.get():
        return model(keras.tree.map_structure(_zeros, inputs))
    outputs = model(inputs)
    model._inbound_nodes.clear()
    return outputs


def _zeros(tensor):
    """Zeros in the place of a Keras tensor."""
    return keras.ops.zeros(tensor.shape, tensor.dtype)


def reseed(layer, seed):
    """Let a layer that draws, and all below it, go on from `seed`.

    Keras keeps a generator for each backend that a layer was used on, and makes one from the
    layer's `seed` when it is first used there.
    """
    for part in layer._flatten_layers():
        if getattr(part, "seed_generator", None) is not None:  # of noise and dropout
            part.seed_generator.state.assign([seed, 0])
        if hasattr(part, "seed") and hasattr(part, "generator"):
            part.seed = seed
            for generator in [part.generator, *getattr(part, "_backend_generators", {}).values()]:
                generator.state.assign([seed, 0])


def jax_platform():
    """What JAX runs on, such as "gpu"; None on another backend."""
    if keras.backend.backend() != "jax":
        return None
    import jax

    return jax.default_backend()


def recomputed(layer, function, tensors):
    """`function(*tensors)`, a list; gradients compute what lies between once more.

    `function` calls `layer`, and gradients flow to its weights and `tensors` alone. What draws in
    the layer draws the same numbers again, and goes on from there: under `keras.remat` alone
    dropout has other masks in the second run on TensorFlow, and on JAX its state would be a value
    of a trace that is over.
    """
    states = _states(layer)
    drawn = [(state, state.value * 1) for state in states]  # A copy: the variable moves on.

    def run(*given):
        if keras.backend.backend() == "tensorflow":  # The second run must leave them as they are.
            scope = keras.StatelessScope(drawn, initialize_variables=False)
        else:  # A scope would hide the values that JAX's step holds; this is traced once.
            scope = contextlib.nullcontext()
            for state, value in drawn:
                state.assign(value)
        with scope:
            return [*function(*given), *(state.value for state in states)]

    outputs = keras.remat(run)(*tensors)
    made = len(outputs) - len(states)
    for state, value in zip(states, outputs[made:], strict=True):
        state.assign(value)
    return outputs[:made]


def _states(layer):
    """The states of all that draws in a layer."""
    parts = (getattr(part, "seed_generator", None) for part in layer._flatten_layers())
    return [generator.state for generator in parts if generator is not None]


def reversible(halves, streams, tensors):
    """Streams (one, other) become (other, one + run(other, *tensors)), for each half in turn.

    Of all that lies between nothing is kept: gradients compute each half once more from the end
    on, and take what it gave off the stream that it was added to (arXiv:1707.04585). What draws
    draws the same numbers again. The streams are float32 within, since what is taken off in half
    precision would not leave what was there.

    Args:
        halves: of each the layers that it calls, and a function of a stream and tensors; gradients
            flow to the weights of these layers, to the streams and to the tensors alone.
        streams: two tensors of one shape.
        tensors: what all halves are given.
    """
    variables = [[v for layer in layers for v in layer.weights] for layers, _ in halves]
    states = [s for layers, _ in halves for layer in layers for s in _states(layer)]
    states = list({id(state): state for state in states}.values())
    dtype = streams[0].dtype

    def run(number, x, weights, tensors, drawn):
        """What a half gives, and the states behind it."""
        held = [*zip(variables[number], weights, strict=True), *zip(states, drawn, strict=True)]
        with keras.StatelessScope(held, initialize_variables=False) as scope:
            y = halves[number][1](keras.ops.cast(x, dtype), *tensors)
        after = [scope.get_current_value(state) for state in states]
        return keras.ops.cast(y, "float32"), after

    def forward(one, other, weights, tensors, drawn):
        """What comes of it, and what gradients need."""
        before = []
        for number, own in enumerate(weights):
            before.append(drawn)
            y, drawn = run(number, other, own, tensors, drawn)
            one, other = other, one + y
        return (one, other, drawn), (one, other, weights, tensors, before)

    def backward(kept, d_one, d_other):
        """The gradients of streams, weights and tensors."""
        x, total, weights, tensors, before = kept
        d_weights, d_tensors, last = [], [keras.ops.zeros_like(t) for t in tensors], [d_other]
        for number in reversed(range(len(halves))):
            x, total = _after(last, [x, total])  # Or else all halves would be computed at once.
            drawn = before[number]
            y, (d_x, d_own, d_given) = _with_gradients(
                lambda x, own, given, n=number, drawn=drawn: run(n, x, own, given, drawn)[0],
                (x, weights[number], tensors),
                d_other,
            )
            d_weights.insert(0, d_own)
            d_tensors = [sum(pair) for pair in zip(d_tensors, d_given, strict=True)]
            x, total = total - y, x
            d_one, d_other = d_other, d_one + d_x
            last = [d_other, *d_own, *d_tensors]
        return d_one, d_other, d_weights, d_tensors

    one, other = (keras.ops.cast(stream, "float32") for stream in streams)
    weights = [[keras.ops.convert_to_tensor(v.value) for v in own] for own in variables]
    drawn = [state.value * 1 for state in states]  # A copy: the variable moves on.
    one, other, after = _with_backward(forward, backward)(one, other, weights, tensors, drawn)
    for state, value in zip(states, after, strict=True):
        state.assign(value)
    return tuple(keras.ops.cast(stream, dtype) for stream in (one, other))


def _with_backward(forward, backward):
    """`forward`, whose gradients are what `backward` makes of what it kept.

    Both as in `reversible`.
    """
    if keras.backend.backend() == "jax":
        import jax

        whole = jax.custom_vjp(lambda *given: forward(*given)[0])
        whole.defvjp(forward, lambda kept, given: (*backward(kept, *given[:2]), None))
        return whole
    import tensorflow as tf

    def whole(one, other, weights, tensors, drawn):
        given = one, other, weights, tensors

        @tf.custom_gradient
        def run(*flat):
            results, kept = forward(*keras.tree.pack_sequence_as(given, flat), drawn)

            def gradients(d_one, d_other, *_):
                return keras.tree.flatten(backward(kept, d_one, d_other))

            return keras.tree.flatten(results), gradients

        flat = run(*keras.tree.flatten(given))
        return flat[0], flat[1], list(flat[2:])

    return whole


def _with_gradients(function, given, gradient):
    """What a function gives, and the gradients of what it is given where its own is `gradient`."""
    if keras.backend.backend() == "jax":
        import jax

        y, back = jax.vjp(function, *given)
        return y, back(gradient)
    import tensorflow as tf

    flat = keras.tree.flatten(given)
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(flat)
        y = function(*given)
    found = tape.gradient(y, flat, gradient, unconnected_gradients="zero")
    return y, keras.tree.pack_sequence_as(given, [tf.convert_to_tensor(each) for each in found])


def _after(those, tensors):
    """The tensors, where a graph computes nothing of them before it has those."""
    if keras.backend.backend() == "jax":
        import jax

        return jax.lax.optimization_barrier((those, tensors))[1]
    import tensorflow as tf

    with tf.control_dependencies(those):
        return [tf.identity(tensor) for tensor in tensors]


@contextlib.contextmanager
def _errors_of(*plans):
    """Raise what an example raised, in place of the error that TensorFlow makes of it."""
    for plan in plans:
        if plan is not None:
            plan.error = None
    try:
        yield
    except Exception:  # of whatever kind a backend makes of it
        for plan in plans:
            if plan is not None and plan.error is not None:
                raise plan.error from None
        raise


class ExportsTokens:
    """Mixin, before `keras.Model`: exported on inputs of any batch and length.

    Keras 3.15 takes the shapes of the first call, and the model's own type, for those of the
    inputs. `export_inputs()` gives the shapes and types by name.
    """

    def export(
        self, filepath, format="tf_saved_model", verbose=None, input_signature=None, **kwargs
    ):
        """`keras.Model.export`; kzoo.export_litert writes LiteRT files that are checked."""
        if input_signature is None:
            specs = {
                name: keras.InputSpec(shape=tuple(shape), dtype=dtype, name=name)
                for name, (shape, dtype) in self.export_inputs().items()
            }
            input_signature = [specs]
        return super().export(
            filepath, format, verbose=verbose, input_signature=input_signature, **kwargs
        )

    @property
    def _default_save_signature(self):
        """What TensorFlow saves of a model within a model."""
        import tensorflow as tf

        specs = {
            name: tf.TensorSpec(shape, dtype, name=name)
            for name, (shape, dtype) in self.export_inputs().items()
        }
        return tf.function(lambda inputs: self(inputs), input_signature=[specs])


def of_whole_batch(loss, count):
    """What a replica adds to the loss of the whole batch, of a Keras loss over `count` things."""
    replicas = _replicas()
    if replicas is None:
        return loss
    # Keras has divided by their number, as if all had the same share.
    share = mean_of_all(count, count)
    return replicas.num_replicas_in_sync * loss * keras.ops.cast(share, loss.dtype)


class DistributedFit:
    """Mixin, before `keras.Model`: `fit` that is right on several replicas and in every epoch.

    Keras 3.15 on TensorFlow gives each replica's loss the same weight however many examples it
    got, and crashes where it builds a model from a batch that doesn't split evenly. Here the
    gradient is that of the mean over the whole batch, so N replicas learn what one learns, also
    where the last batch has fewer examples than there are replicas.

    Batches made by `bucketed_batches` are told which epoch it is, and an optimizer with a `plan`
    method how many steps there will be. A training that keeps checkpoints goes on from the
    one that it finds.
    """

    def loss_count(self, y):
        """Over how many things the loss of a batch is a mean: its examples.

        A task whose loss skips targets counts those that are left.
        """
        return keras.ops.shape(keras.tree.flatten(y)[0])[0]

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        """Keras' hook: the loss; on replicas what this one adds to that of the whole batch."""
        loss = super().compute_loss(x, y, y_pred, sample_weight, training=training)
        return loss if _replicas() is None else of_whole_batch(loss, self.loss_count(y))

    def fit(
        self,
        x=None,
        *args,
        epochs=1,
        verbose="auto",
        callbacks=None,
        initial_epoch=0,
        resume=None,
        **kwargs,
    ):
        """`keras.Model.fit`; where nobody watches, "auto" prints a line an epoch and no bar.

        `resume` is a `kzoo.training.Checkpoints`: what is learnt is kept there, and gone on with
        if it is there.
        """
        _check_tensorboard(callbacks)
        plan, held = getattr(x, "plan", None), kwargs.get("validation_data")
        keeper, kept = None, contextlib.nullcontext()
        if plan is not None:
            _check_shards(plan)
            kwargs["shuffle"] = False  # The plan has shuffled; Keras would warn that it can't.
            if not isinstance(callbacks, keras.callbacks.CallbackList):
                callbacks = [plan.callback(), *keras.tree.flatten(callbacks or [])]
            batch = 0
            if resume is not None:
                keeper = resume
                _check_resumable(callbacks, kwargs)
                say = (lambda line: None) if verbose in (0, "0") else _say
                begin = keeper.begin(self, plan, epochs, initial_epoch, callbacks, say)
                initial_epoch, batch = begin
                callbacks = _KeptCallbacks(
                    callbacks,
                    keeper,
                    begin,
                    add_history=True,
                    add_progbar=verbosity(verbose) != 0,
                    verbose=verbosity(verbose),
                    epochs=epochs,
                    steps=len(plan),
                    model=self,
                )
                kept = keeper.watching()
                if batch:
                    plan.rest = begin
                    self._symbolic_build(data_batch=plan.batch(plan.order(initial_epoch)[-1]))
            optimizer = getattr(self.optimizer, "inner_optimizer", self.optimizer)
            steps = kwargs.get("steps_per_epoch") or len(plan)
            begun = {"initial_batch": batch} if batch else {}
            if hasattr(optimizer, "plan") and optimizer.plan(steps, epochs, initial_epoch, **begun):
                self.train_function = None  # The traced one holds the old schedule.
            if "steps_per_epoch" in kwargs and hasattr(x, "repeat"):
                x = x.repeat()  # An epoch goes on where the last one ended, and never runs out.
        with _errors_of(plan, getattr(held, "plan", None)), kept:
            history = super().fit(
                x,
                *args,
                epochs=epochs,
                verbose=verbosity(verbose),
                callbacks=callbacks,
                initial_epoch=initial_epoch,
                **kwargs,
            )
        if keeper is not None:
            history.epoch, history.history = list(keeper.epochs), dict(keeper.history)
        return history

    def make_train_function(self, force=False):
        """Keras' hook that makes the step; the optimizer is built before it, not in it.

        TensorFlow traces a step that makes variables twice, the second time without them.
        """
        if self.built and not self.optimizer.built:
            with placed_with(self):
                self.optimizer.build(self.trainable_variables)
        super().make_train_function(force)

    def evaluate(self, x=None, *args, verbose="auto", **kwargs):
        """`keras.Model.evaluate`, which prints as `fit` does."""
        with _errors_of(getattr(x, "plan", None)):
            return super().evaluate(x, *args, verbose=verbosity(verbose), **kwargs)

    def __call__(self, inputs, *args, **kwargs):
        """The model's outputs; a replica without examples runs on a blank one and drops it.

        The axes that layers leave to `reshape` can't be inferred from nothing.
        """
        if not _replicas():
            return super().__call__(inputs, *args, **kwargs)
        import tensorflow as tf

        size = tf.shape(keras.tree.flatten(inputs)[0])[0]
        blank = tf.cast(size == 0, "int32")
        inputs = keras.tree.map_structure(
            lambda value: tf.pad(value, [[0, blank]] + [[0, 0]] * (len(value.shape) - 1)), inputs
        )
        outputs = super().__call__(inputs, *args, **kwargs)
        return keras.tree.map_structure(lambda value: value[:size], outputs)

    def _is_mean_of_examples(self):
        """Whether Keras' own step is right: on one device, a loss that is a mean over examples."""
        return not _replicas() and type(self).loss_count is DistributedFit.loss_count

    def train_step(self, *args):
        """Keras' step; with the loss weighted by each replica's share, and by what it counts."""
        if keras.backend.backend() != "tensorflow" or self._is_mean_of_examples():
            return super().train_step(*args)
        import tensorflow as tf

        if _replicas():
            _check_on_replicas(getattr(self.optimizer, "inner_optimizer", self.optimizer))

        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(*args)
        with tf.GradientTape() as tape:
            y_pred = self(x, training=True)
            loss = self._share_of_loss(x, y, y_pred, sample_weight, training=True)
            loss = self.optimizer.scale_loss(loss)
        weights = self.trainable_weights
        grads = tape.gradient(loss, weights)
        if _replicas() and hasattr(self.optimizer, "inner_optimizer"):
            grads = all_finite_or_none(grads)
        self.optimizer.apply_gradients(zip(grads, weights, strict=True))
        return self.compute_metrics(x, y, y_pred, sample_weight=sample_weight)

    def test_step(self, *args):
        """Keras' step; with the loss weighted by each replica's share, and by what it counts."""
        if keras.backend.backend() != "tensorflow" or self._is_mean_of_examples():
            return super().test_step(*args)
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(*args)
        y_pred = self(x, training=False)
        self._share_of_loss(x, y, y_pred, sample_weight, training=False)
        return self.compute_metrics(x, y, y_pred, sample_weight=sample_weight)

    def _share_of_loss(self, x, y, y_pred, sample_weight, training):
        """What this replica adds to the loss of the whole batch; the tracker is told of it."""
        loss = self._compute_loss(
            x=x, y=y, y_pred=y_pred, sample_weight=sample_weight, training=training
        )
        # An epoch's loss is the mean over all that its batches count, however it was cut.
        replicas, counted = _replicas(), keras.ops.cast(self.loss_count(y), "float32")
        number = 1
        if replicas:
            number, counted = replicas.num_replicas_in_sync, replicas.all_reduce("SUM", counted)
        self._loss_tracker.update_state(loss * number, sample_weight=counted / number)
        return loss

    def _update_metrics_variables(self, variables, loss, x, y, y_pred, sample_weight):
        """Keras' hook on JAX: it weights a batch's loss by the first size of what is in `x`."""
        if type(self).loss_count is not DistributedFit.loss_count:
            x = _Sized(self.loss_count(y))
        return super()._update_metrics_variables(variables, loss, x, y, y_pred, sample_weight)

    def predict_on_batch(self, x):
        """`keras.Model.predict_on_batch`; of several replicas the first alone answers.

        Keras hands every replica the whole batch and joins all their answers; of several workers
        each would wait for the others to ask the same.
        """
        if not self.has_replicas:
            return super().predict_on_batch(x)
        import tensorflow as tf

        if getattr(self, "_answer", None) is None:
            self._answer = tf.function(lambda x: self(x, training=False), reduce_retracing=True)
        return keras.tree.map_structure(lambda value: value.numpy(), self._answer(x))

    @property
    def has_replicas(self):
        """Whether the model lies on several replicas, of one process or more."""
        strategy = getattr(self, "_distribute_strategy", None)
        return strategy is not None and strategy.num_replicas_in_sync > 1

    def _make_function(self, step_function, *args, **kwargs):
        """Keras' hook: what makes a step of `fit` or `evaluate`, whose logs are all replicas' mean.

        Keras 3.15 takes that mean over an axis of scalars where there are several workers, and
        can't loop in a graph over several steps on replicas: here Python does.
        """
        if not self.has_replicas or is_tpu(self._distribute_strategy):
            return super()._make_function(step_function, *args, **kwargs)
        import tensorflow as tf

        strategy = self._distribute_strategy

        def step(data):
            logs = step_function(data)
            return tf.distribute.get_replica_context().all_reduce("MEAN", logs)

        def on_all(data):
            logs = strategy.run(step, args=(data,))
            return keras.tree.map_structure(
                lambda value: strategy.experimental_local_results(value)[0], logs
            )

        if not self.run_eagerly:
            on_all = tf.autograph.experimental.do_not_convert(on_all)
            on_all = tf.function(on_all, reduce_retracing=True, jit_compile=self.jit_compile)
        on_all = self._autoconvert_optionals(on_all)

        def steps(iterator):
            logs = None
            for _, data in zip(range(self.steps_per_execution), iterator, strict=False):
                logs = on_all(data)
            if logs is None:
                raise StopIteration
            return logs

        return steps

    def _maybe_symbolic_build(self, iterator=None, data_batch=None):
        """Build from the first replica's part of a batch; Keras takes the mean over replicas."""
        if self._distribute_strategy is None:
            return
        if iterator is not None:
            batch = next(next(iter(iterator))[2])
            local = self.distribute_strategy.experimental_local_results
            data_batch = keras.tree.map_structure(lambda value: local(value)[0], batch)
        super()._maybe_symbolic_build(data_batch=data_batch)


def _say(line):
    print(line, flush=True)


def _check_resumable(callbacks, options):
    """Raise KzooError for what `fit` can't keep checkpoints beside."""
    for name, given in (
        ("steps_per_epoch", options.get("steps_per_epoch")),
        ("a CallbackList", isinstance(callbacks, keras.callbacks.CallbackList)),
    ):
        if given:
            raise KzooError(
                f"Got {name} beside resume, which counts whole epochs and adds to a list of "
                f"callbacks; expected one of the two: leave {name} out."
            )


class _KeptCallbacks(keras.callbacks.CallbackList):
    """The callbacks of a `fit` that keeps checkpoints: who keeps them hears of all, and last.

    As a callback it would take the others out of Keras' threads, so that each batch would wait for
    the numbers of the one before. Of the batches of an epoch that were done in an earlier run
    nobody hears, and their steps do nothing: Keras' loop begins epochs at their first batch.

    Args:
        callbacks: the list.
        keeper: the `training.resume.Checkpoints`.
        begin: the epoch to begin with, and how many of its batches are done.
    """

    def __init__(self, callbacks, keeper, begin, **kwargs):
        super().__init__(callbacks, **kwargs)
        self.keeper, self.begin, self.epoch = keeper, begin, None

    def on_train_begin(self, logs=None):
        super().on_train_begin(logs)
        self.keeper.restore_callbacks()
        _skip_steps(self._model, self.begin[1])

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch
        self.keeper.restore_metrics(epoch)
        super().on_epoch_begin(epoch, logs)

    def _is_done(self, batch):
        return self.epoch == self.begin[0] and batch < self.begin[1]

    def on_train_batch_begin(self, batch, logs=None):
        if not self._is_done(batch):
            super().on_train_batch_begin(batch, logs)

    def on_train_batch_end(self, batch, logs=None):
        if self._is_done(batch):
            return
        super().on_train_batch_end(batch, logs)
        is_last = batch + 1 >= self.params["steps"]
        self.keeper.after_batch(self.epoch, batch + 1, is_last, self._ready)

    def on_test_batch_end(self, batch, logs=None):
        super().on_test_batch_end(batch, logs)
        self.keeper.in_validation(self._ready)

    def on_epoch_end(self, epoch, logs=None):
        super().on_epoch_end(epoch, logs)
        self.keeper.after_epoch(epoch, logs or {})

    def _ready(self):
        """Wait for callbacks in threads, and bring what JAX's loop holds into the model."""
        self._flush_futures()
        if hasattr(self._model, "jax_state_sync"):
            self._model.jax_state_sync()


def _skip_steps(model, batches):
    """Let the next steps of `fit` do nothing, as many as so many batches take."""
    if not batches:
        return
    run, left = model.train_function, -(-batches // model.steps_per_execution)
    logs = dict.fromkeys(model.get_metrics_result(), 0.0)  # Keras looks at the names alone.

    def step(*given):
        nonlocal left
        if left:
            left -= 1
            return (logs, given[0]) if len(given) == 2 else logs  # JAX hands its state through.
        model.train_function = run
        return run(*given)

    model.train_function = step


class _Sized:
    """What Keras takes for an array of so many examples."""

    def __init__(self, size):
        self.shape = (size,)


class OneUpdate:
    """Mixin, before a Keras optimizer: an update is one, whatever the batch was split into.

    Keras 3.15 on TensorFlow clips each replica's own gradient before they are summed, which is
    another function, and can neither accumulate gradients nor overwrite weights with their
    averages on replicas: it opens a branch, and meets the other replicas inside. On every backend
    it averages weights at each batch of an accumulation. Here gradients are summed first, all
    that follows is the same on each replica, and an update is averaged once. The optimizer's
    `update_steps` takes the gradients, the variables and the rate, in place of `update_step`.
    """

    def _backend_apply_gradients(self, grads, trainable_variables):
        replicas = _replicas()
        if replicas:
            import tensorflow as tf

            # Workers meet once for many gradients: each meeting has its own latency.
            together = tf.distribute.experimental.CommunicationOptions(bytes_per_pack=2**25)
            grads = replicas.all_reduce("SUM", [dense(grad) for grad in grads], together)
        steps = self.gradient_accumulation_steps
        if not steps:
            self._update(grads, trainable_variables)
            return
        grads = [dense(grad) for grad in grads]
        places = map(self._get_variable_index, trainable_variables)
        sums = [self._accumulated_gradients[place] for place in places]

        def update():
            means = [(grad + held) / steps for grad, held in zip(grads, sums, strict=True)]
            self._update(means, trainable_variables)
            self._backend_reset_gradient_accumulators()

        def wait():
            for grad, held in zip(grads, sums, strict=True):
                held.assign(held + grad)

        is_due = keras.ops.equal((self._iterations + 1) % steps, 0)
        self._either(is_due, update, wait)

    def _clip_gradients(self, grads):
        """Keras' hook: the gradients, clipped and dense.

        For their norm Keras writes down the square of each. Here TensorFlow sums without, and a
        table's gradient is clipped while it is rows yet.
        """
        if not self.global_clipnorm or keras.backend.backend() != "tensorflow":
            return super()._clip_gradients([dense(grad) for grad in grads])
        import tensorflow as tf

        norm = tf.linalg.global_norm([tf.cast(_rows_once(grad), "float32") for grad in grads])
        # Keras' own formula: NaN where the norm isn't finite.
        most = self.global_clipnorm
        scale = most * tf.minimum(1 / norm, 1 / most) + (norm - norm)
        return [dense(_times(grad, scale)) for grad in grads]

    def _update(self, grads, trainable_variables):
        """Move the variables once, and their averages after them."""
        self.update_steps(
            self._clip_gradients(grads), map(_native, trainable_variables), self.learning_rate
        )
        if not self.use_ema:
            return
        self._update_model_variables_moving_average(self._trainable_variables)
        if self.ema_overwrite_frequency:
            is_due = keras.ops.equal((self.iterations + 1) % self.ema_overwrite_frequency, 0)
            self._either(is_due, self._take_averages, lambda: None)

    def _either(self, condition, one, other):
        """Run `one` or `other`, which read and assign variables, as a tensor decides.

        JAX forgets what a branch assigns: there each gives back all values, which are assigned.
        """
        if keras.backend.backend() == "tensorflow":
            keras.ops.cond(condition, one, other)
            return
        variables = [*self._trainable_variables, *self.variables]
        mapping = [(variable, variable.value) for variable in variables]

        def values(branch):
            with keras.StatelessScope(state_mapping=mapping) as scope:
                branch()
            return [scope.get_current_value(variable) for variable in variables]

        chosen = keras.ops.cond(condition, lambda: values(one), lambda: values(other))
        for variable, value in zip(variables, chosen, strict=True):
            variable.assign(value)

    def _take_averages(self):
        averages = self._model_variables_moving_average
        for variable, average in zip(self._trainable_variables, averages, strict=True):
            if average is not None:
                variable.assign(average)

    def finalize_variable_values(self, var_list):
        """Keras' hook at the end of `fit`: the averages, unless no update has made any."""
        if self.use_ema and int(keras.ops.convert_to_numpy(self.iterations)):
            super().finalize_variable_values(var_list)


def with_options(loss, **options):
    """A copy of one of Keras' losses, or of a subclass, whose function is called with `options`.

    A subclass need not take them, nor say in its config all that it holds.
    """
    copy = object.__new__(type(loss))
    kwargs = {**loss._fn_kwargs, **options}
    vars(copy).update({**vars(loss), **options, "_fn_kwargs": kwargs})
    return copy


def batches_taken(optimizer):
    """How many batches an optimizer has been given: with accumulation, more than its updates."""
    return int(keras.ops.convert_to_numpy(optimizer._iterations))


def place_of(optimizer, variable):
    """A variable's place among those the optimizer was built on."""
    return optimizer._get_variable_index(variable)


def adam_state(optimizer, place):
    """The two moments of the variable at a place."""
    return optimizer._momentums[place], optimizer._velocities[place]


def muon_state(optimizer, place):
    """Muon's momentum of the variable at a place, and Adam's second moment or None."""
    return optimizer.momentums[place], optimizer.adam_velocities[place]


def decays(optimizer, variable):
    """Whether the user left this variable to the weight decay (`exclude_from_weight_decay`)."""
    return optimizer._use_weight_decay(variable)


def _replicas():
    """The context of one of several replicas, or None."""
    if keras.backend.backend() != "tensorflow":
        return None
    import tensorflow as tf

    context = tf.distribute.get_replica_context()
    return context if context and context.num_replicas_in_sync > 1 else None


def on_host(function, tensors, shape, dtype):
    """What a function of NumPy arrays makes of tensors, in the middle of a step.

    No gradient flows through it. `shape` and `dtype` are those of its result.
    """
    tensors = [keras.ops.stop_gradient(tensor) for tensor in tensors]
    if keras.backend.backend() == "jax":
        import jax

        def run(*arrays):
            return function(*map(np.asarray, arrays))

        return jax.pure_callback(run, jax.ShapeDtypeStruct(tuple(shape), dtype), *tensors)
    import tensorflow as tf

    made = tf.numpy_function(function, tensors, dtype)
    return tf.reshape(made, shape)


def is_tpu(strategy):
    """Whether a `tf.distribute` strategy is TensorFlow's for TPUs."""
    import tensorflow as tf

    return isinstance(strategy, tf.distribute.TPUStrategy)


def of_all_replicas(rows):
    """What all replicas have in the place of `rows` (rows, ...), one after the other.

    Gradients flow back to the replica that a row is of. Elsewhere an array is the whole already,
    on JAX also where its parts lie on several devices.
    """
    replicas = _replicas()
    if replicas is None:
        return rows
    import tensorflow as tf

    # What comes with a batch has no device yet, and several workers ask for one.
    return replicas.all_gather(tf.identity(rows), axis=0)


def mean_of_all(total, count):
    """`total / count` of all replicas together: as much of it as this one adds, a float32 scalar.

    Nothing where there is nothing to count.
    """
    total, count = (keras.ops.cast(each, "float32") for each in (total, count))
    replicas = _replicas()
    counted = count if replicas is None else replicas.all_reduce("SUM", count)
    return total / keras.ops.maximum(counted, 1e-9)


@contextlib.contextmanager
def placed_with(model):
    """Weights made inside lie where those of `model` do: a copy of each on every replica."""
    strategy = getattr(model, "_distribute_strategy", None)
    with contextlib.nullcontext() if strategy is None else strategy.scope():
        yield


def _check_on_replicas(optimizer):
    """What Keras' own optimizers do wrong on replicas, or can't do."""
    clips = optimizer.clipnorm or optimizer.global_clipnorm or optimizer.clipvalue
    branches = optimizer.gradient_accumulation_steps or optimizer.ema_overwrite_frequency
    if (clips or branches) and not isinstance(optimizer, OneUpdate):
        raise KzooError(
            f"On several replicas got {type(optimizer).__name__} with clipping, accumulation or "
            "overwriting by averages, which Keras applies to each replica by itself; expected "
            "kzoo.AdamW, or none of the three."
        )


def dense(grad):
    """A gradient as a tensor of its variable's shape; rows of a repeated id are added up."""
    if not _is_rows(grad):
        return grad
    import tensorflow as tf

    return tf.convert_to_tensor(grad)


def _times(grad, scale):
    """A gradient, dense or by rows, times a scalar."""
    if not _is_rows(grad):
        return grad * keras.ops.cast(scale, grad.dtype)
    import tensorflow as tf

    values = grad.values * tf.cast(scale, grad.dtype)
    return tf.IndexedSlices(values, grad.indices, grad.dense_shape)


def _rows_once(grad):
    """The numbers of a gradient; of a table's rows (n, dim) those of an id are summed in one."""
    if not _is_rows(grad):
        return grad
    import tensorflow as tf

    count, ids = tf.size(grad.indices), grad.indices
    last = tf.math.unsorted_segment_max(tf.range(count), ids, grad.dense_shape[0])
    return tf.math.unsorted_segment_sum(grad.values, tf.gather(last, ids), count)


def _is_rows(grad):
    """Whether a gradient is TensorFlow's of a look-up: rows and their ids, which may repeat."""
    if keras.backend.backend() != "tensorflow":
        return False
    import tensorflow as tf

    return isinstance(grad, tf.IndexedSlices)


def all_finite_or_none(grads):
    """Gradients that no replica takes for finite where one of them isn't.

    Keras 3.15 asks the first replica alone whether to skip a step in float16.
    """
    import tensorflow as tf

    given = [i for i, grad in enumerate(grads) if grad is not None]
    finite = [tf.reduce_all(tf.math.is_finite(_values(grads[i]))) for i in given]
    mine = tf.where(tf.reduce_all(finite), 0.0, float("nan"))
    bad = _replicas().all_reduce("SUM", mine)
    first = tf.convert_to_tensor(grads[given[0]])
    return [first + tf.cast(bad, first.dtype) if i == given[0] else g for i, g in enumerate(grads)]


def _values(grad):
    """The numbers in a gradient, dense or by slices."""
    return getattr(grad, "values", grad)


def _native(variable):
    """TensorFlow's own variable, as Keras hands it to `update_step`."""
    tensorflow = keras.backend.backend() == "tensorflow"
    return variable.value if tensorflow and isinstance(variable, keras.Variable) else variable


def _check_shards(plan):
    """Raise KzooError for batches that the devices of `keras.distribution` don't divide."""
    spread = keras.distribution.distribution()
    if spread is None or keras.backend.backend() != "jax":
        return
    mesh = spread.device_mesh
    parts = mesh.shape[mesh.axis_names.index(spread.batch_dim_name)]
    last = plan.size % plan.batch_size or plan.batch_size
    if plan.batch_size % parts or last % parts:
        raise KzooError(
            f"Got batches of {plan.batch_size} examples, and a last one of {last}, for a mesh that "
            f"splits them in {parts}; expected sizes that {parts} divides: take another "
            f"batch_size, or {plan.size // parts * parts} of the {plan.size} examples."
        )


def _check_tensorboard(callbacks):
    """Raise KzooError for Keras' TensorBoard callback where what writes its files is missing."""
    callbacks = getattr(callbacks, "callbacks", keras.tree.flatten(callbacks or []))
    asked = any(isinstance(each, keras.callbacks.TensorBoard) for each in callbacks)
    if asked and find_spec("tensorboard") is None:
        raise KzooError(
            "Got the callback TensorBoard; expected the package tensorboard to be installed: "
            "pip install kzoo[tensorboard]."
        )
