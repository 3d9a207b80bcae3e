"""A training that is interrupted at some places, and goes on; a process has one backend.

python tests/resumed.py FOLDER      compare one that is interrupted with one that isn't
"""

import sys

import keras
import numpy as np

EPOCHS, BATCHES = 3, 5
# Within a validation, (epoch, None); behind a batch, (epoch, batch), with half an accumulation.
PLACES = ((0, None), (2, 1))


class Interrupt(keras.callbacks.Callback):
    """Calls `action` at one of `PLACES`, behind what is learnt there and before it is kept."""

    def __init__(self, place, action=None):
        super().__init__()
        self.place, self.action = place, action or self.interrupt

    @staticmethod
    def interrupt():
        """What Ctrl-C raises where nobody has asked for the signal."""
        raise KeyboardInterrupt

    def on_epoch_begin(self, epoch, logs=None):
        """Note the epoch."""
        self.epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        """Act behind the batch."""
        if (self.epoch, batch + 1) == self.place:
            self.action()

    def on_test_batch_end(self, batch, logs=None):
        """Act in the validation."""
        if (self.epoch, None) == self.place:
            self.action()


def examples():
    """Texts of several lengths, which are padded to the same, with their labels."""
    draw = np.random.default_rng(0)
    texts = [" ".join(draw.choice(["good", "bad", "film"], 1 + i % 5)) for i in range(4 * BATCHES)]
    return texts[:-2], [i % 2 for i in range(len(texts) - 2)]


def task(rate=0.01, eager=False, **learning):
    """A small classifier with dropout, averages of weights, and half an accumulation an epoch.

    A few steps that run as they are written take less time than it does to trace one.
    """
    from test_tasks import tokenizer

    import kzoo
    from kzoo.models import build

    keras.utils.set_random_seed(3)
    spec = kzoo.Spec(
        family="bert",
        embedding={"kind": "token", "vocabulary_size": 80, "num_segments": 1},
        hidden_dim=8,
        num_heads=2,
        intermediate_dim=16,
        schedule=(0,),
        pooler="none",
        dropout=0.2,
        attention_dropout=0.2,
    )
    model = kzoo.TextClassifier(build(spec), ["a", "b"], head="mean", tokenizer=tokenizer())
    learning = {"gradient_accumulation_steps": 2, "use_ema": True, **learning}
    model.compile(optimizer=kzoo.AdamW(rate, **learning), run_eagerly=eager)
    return model


def fit(model, folder=None, callbacks=(), every=0, **options):
    """The history of a training, which keeps its checkpoints in a folder."""
    from kzoo.compression import Sparsity
    from kzoo.training import Checkpoints

    resume = None if folder is None else Checkpoints(folder, every=every)
    masks = Sparsity(0.5, begin=0.1, every=2)
    best = keras.callbacks.EarlyStopping("val_loss", patience=2, restore_best_weights=True)
    options = {"epochs": EPOCHS, "verbose": 0, "validation_data": examples(), **options}
    options = {"batch_size": 4, "callbacks": [masks, best, *callbacks], **options}
    return model.fit(*options.pop("given", examples()), resume=resume, **options)


def ended(model, history):
    """Weights, seeds and the optimizer's state, and the history."""
    variables = [*model.variables, *model.optimizer.variables]
    of_metrics = {id(variable) for variable in model.metrics_variables}
    values = [np.asarray(v) for v in variables if id(v) not in of_metrics]
    return values, history.epoch, history.history


def interrupted_and_not(folder):
    """How both end."""
    whole = task()
    whole = ended(whole, fit(whole))
    for place in PLACES:
        try:
            fit(task(), folder, [Interrupt(place)])
        except KeyboardInterrupt:
            continue
        raise AssertionError(f"The training wasn't at {place}.")
    model = task()
    return whole, ended(model, fit(model, folder, [Interrupt(None)]))


def check(whole, again):
    """Raise AssertionError where they differ in a bit."""
    for one, other in zip(whole[0], again[0], strict=True):
        np.testing.assert_array_equal(one, other)
    assert whole[1:] == again[1:]


if __name__ == "__main__":
    check(*interrupted_and_not(sys.argv[1]))
