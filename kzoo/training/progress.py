"""What a training says while it runs: to who watches, and to programs."""

import threading
import time

import keras

from ..logs import moving, settled

PAUSE = 0.1  # Seconds at least between two looks of the line that moves.


class Progress(keras.callbacks.ProgbarLogger):
    """How far a training is, how fast, and how well it learns: in the place of Keras' bar.

    On a terminal (`verbose=1`) one line moves, and stays at the end of an epoch; elsewhere
    (`verbose=2`) there is a line an epoch. Rates are those of the batches alone, without the
    first one, in which the step is compiled; the time left counts validations as long as the last.

    Args:
        on_event: called at the end of each epoch with a dict: "epoch" and "epochs", from 1 on;
            "step", the batches since the training began; "loss"; "metrics", a dict;
            "examples_per_s" and of texts "tokens_per_s" (what is no padding), None where nothing
            can be said; "seconds", of the epoch with its validation.

    `plan` is the `data.plan.Plan` of what is learnt from; the `fit` of a task sets it.
    """

    async_safe = True  # Keras may tell of a batch while the next one runs.

    def __init__(self, on_event=None):
        super().__init__()
        self.on_event, self.plan = on_event, None
        self._lock, self._begun, self._last = threading.Lock(), None, None
        self._validation = 0.0

    def on_epoch_begin(self, epoch, logs=None):
        """Begin to count."""
        self._epoch, self._start, self._shown = epoch, time.monotonic(), 0.0
        self._last, self._logs = None, {}
        # Behind the first batch that is heard of; after that, from the beginning of each epoch.
        self._from = None if self._begun is None else (self._start, 0)

    def on_train_batch_end(self, batch, logs=None):
        """Show the line, where it is time."""
        now, step = time.monotonic(), batch + 1
        with self._lock:  # Keras has several threads for it.
            if self._last is not None and step <= self._last[1]:
                return
            if self._from is None:
                self._from = self._begun = now, step
            self._last, self._logs = (now, step), logs or {}
            if self.verbose == 1 and now - self._shown >= PAUSE:
                self._shown = now
                moving(", ".join(self._parts(step, self._logs)))

    def on_test_begin(self, logs=None):
        """Say that an epoch is held against its validation."""
        if self.verbose == 1 and self._last is not None:
            moving(", ".join(self._parts(self._last[1], self._logs, doing=["validating"])))
        super().on_test_begin(logs)

    def on_epoch_end(self, epoch, logs=None):
        """Leave the line of the epoch, and tell it."""
        now, logs = time.monotonic(), logs or {}
        self._validation = now - self._last[0] if self._last else 0.0
        steps = self.target or (self._last[1] if self._last else 0)
        if self.verbose:
            line = ", ".join(self._parts(steps, logs, now - self._start))
            if self.verbose == 1:
                settled(line)
            else:
                print(line, flush=True)
        if self.on_event is not None:
            examples, tokens = self._rates(is_over=True)
            self.on_event(
                {
                    "epoch": epoch + 1,
                    "epochs": self.epochs,
                    "step": (epoch + 1) * steps,
                    "loss": logs.get("loss"),
                    "metrics": {name: value for name, value in logs.items() if name != "loss"},
                    "examples_per_s": examples,
                    **({"tokens_per_s": tokens} if getattr(self.plan, "tokens", None) else {}),
                    "seconds": now - self._start,
                }
            )

    def _steps_per_s(self, is_over=False):
        """How many batches a second there are; None before the second of an epoch that goes on."""
        begun = self._from
        if is_over and self._last is not None and self._last[1] == begun[1]:
            begun = self._start, begun[1] - 1  # There was no other than the first.
        if self._last is None or self._last[1] <= begun[1] or self._last[0] <= begun[0]:
            return None
        return (self._last[1] - begun[1]) / (self._last[0] - begun[0])

    def _rates(self, is_over=False):
        """Examples and tokens a second, or None."""
        rate = self._steps_per_s(is_over)
        if rate is None or self.plan is None:
            return None, None
        rate /= len(self.plan)
        tokens = getattr(self.plan, "tokens", None)
        return rate * self.plan.size, tokens and rate * tokens

    def _parts(self, step, logs, seconds=None, doing=()):
        """What the line says, the most important first: a narrow terminal cuts it.

        `seconds` are those that the epoch took, where it is over; `doing` what is done else.
        """
        parts = [f"epoch {self._epoch + 1}/{self.epochs}", f"step {step}/{self.target or '?'}"]
        parts += doing
        if seconds is not None:
            parts.append(_time(seconds))
        elif (left := self._left(step)) is not None:
            parts.append(f"{_time(left)} left")
        examples, tokens = self._rates(is_over=seconds is not None)
        for rate, what in ((examples, "examples"), (tokens, "tokens")):
            if rate:
                parts.append(f"{rate:,.{0 if rate >= 10 else 2}f} {what}/s")
        names = sorted(logs, key=lambda n: (n.startswith("val_"), not n.endswith("loss")))
        return [*parts, *(f"{name} {_number(logs[name])}" for name in names)]

    def _left(self, step):
        """Seconds until the training's end; None where that can't be told."""
        rate = self._steps_per_s()
        if not rate or not self.target:
            return None
        epochs = self.epochs - self._epoch - 1
        steps = self.target - step + epochs * self.target
        return steps / rate + (epochs + 1) * self._validation


def _number(value):
    value = float(value)
    return f"{value:.4f}" if 1e-3 <= abs(value) < 1e4 or not value else f"{value:.3e}"


def _time(seconds):
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"
