"""The private doors of Keras 3.15 that kzoo goes through, each with a test that watches it."""

import contextlib

import keras


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
    with keras.StatelessScope(initialize_variables=False):
        model = build()
        for variable in model.variables:
            variable._deferred_initialize = lambda: None
    return model


class DistributedFit:
    """Mixin, before `keras.Model`: `fit` that is right on several replicas and in every epoch.

    Keras 3.15 on TensorFlow gives each replica's loss the same weight however many examples it
    got, and crashes where it builds a model from a batch that doesn't split evenly. Here the
    gradient is that of the mean over the whole batch, so N replicas learn what one learns, also
    where the last batch has fewer examples than there are replicas.

    Batches made by `bucketed_batches` are told which epoch it is, and an optimizer with a `plan`
    method how many steps there will be.
    """

    def loss_count(self, y):
        """Over how many things the loss of a batch is a mean: its examples.

        A task whose loss skips targets counts those that are left.
        """
        return keras.ops.shape(keras.tree.flatten(y)[0])[0]

    def fit(self, x=None, *args, epochs=1, callbacks=None, initial_epoch=0, **kwargs):
        """`keras.Model.fit`."""
        plan = getattr(x, "plan", None)
        if plan is not None:
            kwargs["shuffle"] = False  # The plan has shuffled; Keras would warn that it can't.
            if not isinstance(callbacks, keras.callbacks.CallbackList):
                callbacks = [plan.callback(), *keras.tree.flatten(callbacks or [])]
            optimizer = getattr(self.optimizer, "inner_optimizer", self.optimizer)
            steps = kwargs.get("steps_per_epoch") or len(plan)
            if hasattr(optimizer, "plan") and optimizer.plan(steps, epochs, initial_epoch):
                self.train_function = None  # The traced one holds the old schedule.
            if "steps_per_epoch" in kwargs and hasattr(x, "repeat"):
                x = x.repeat()  # An epoch goes on where the last one ended, and never runs out.
        return super().fit(
            x, *args, epochs=epochs, callbacks=callbacks, initial_epoch=initial_epoch, **kwargs
        )

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

    def train_step(self, *args):
        """Keras' step; on several replicas, with the loss weighted by each one's share."""
        if not _replicas():
            return super().train_step(*args)
        import tensorflow as tf

        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(*args)
        with tf.GradientTape() as tape:
            y_pred = self(x, training=True)
            loss = self._share_of_loss(x, y, y_pred, sample_weight, training=True)
            loss = self.optimizer.scale_loss(loss)
        weights = self.trainable_weights
        self.optimizer.apply_gradients(zip(tape.gradient(loss, weights), weights, strict=True))
        return self.compute_metrics(x, y, y_pred, sample_weight=sample_weight)

    def test_step(self, *args):
        """Keras' step; on several replicas, with the loss weighted by each one's share."""
        if not _replicas():
            return super().test_step(*args)
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(*args)
        y_pred = self(x, training=False)
        self._share_of_loss(x, y, y_pred, sample_weight, training=False)
        return self.compute_metrics(x, y, y_pred, sample_weight=sample_weight)

    def _share_of_loss(self, x, y, y_pred, sample_weight, training):
        """What this replica adds to the loss of the whole batch; the tracker is told of it."""
        import tensorflow as tf

        replicas = _replicas()
        mine = tf.cast(self.loss_count(y), "float32")
        examples = tf.cast(tf.shape(keras.tree.flatten(x)[0])[0], "float32")
        counted, examples = replicas.all_reduce("SUM", [mine, examples])
        share = tf.math.divide_no_nan(mine, counted)
        # Keras has divided by the number of replicas, as if all had the same share.
        loss = replicas.num_replicas_in_sync * self._compute_loss(
            x=x, y=y, y_pred=y_pred, sample_weight=sample_weight, training=training
        )
        self._loss_tracker.update_state(loss, sample_weight=share * examples)
        return loss * tf.cast(share, loss.dtype)

    def predict_on_batch(self, x):
        """`keras.Model.predict_on_batch`, each row once.

        Keras hands every replica the whole batch, and joins all their answers.
        """
        size = len(keras.tree.flatten(x)[0])
        outputs = super().predict_on_batch(x)
        return keras.tree.map_structure(lambda value: value[:size], outputs)

    def _maybe_symbolic_build(self, iterator=None, data_batch=None):
        """Build from the first replica's part of a batch; Keras takes the mean over replicas."""
        if self._distribute_strategy is None:
            return
        if iterator is not None:
            batch = next(next(iter(iterator))[2])
            local = self.distribute_strategy.experimental_local_results
            data_batch = keras.tree.map_structure(lambda value: local(value)[0], batch)
        super()._maybe_symbolic_build(data_batch=data_batch)


class ReduceThenClip:
    """Mixin, before a Keras optimizer: gradients are summed over replicas, and then clipped.

    Keras 3.15 on TensorFlow clips each replica's own gradient, which is another function.
    """

    def _clip_gradients(self, grads):
        replicas = _replicas()
        if replicas:
            grads = replicas.all_reduce("SUM", list(grads))
        return super()._clip_gradients(grads)

    def _all_reduce_sum_gradients(self, grads_and_vars):
        return grads_and_vars  # Done, before the clipping.

    def _apply_weight_decay(self, variables):
        """Nothing: the update step does it, where a layer has a rate of its own."""


def adam_state(optimizer, variable):
    """A variable's place among those the optimizer was built on, and its two moments."""
    index = optimizer._get_variable_index(variable)
    return index, optimizer._momentums[index], optimizer._velocities[index]


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
