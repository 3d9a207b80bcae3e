"""Which of several labels a sound has, or each part of a long one; or which values."""

from itertools import islice
from pathlib import Path

import keras
import numpy as np

from ..answers import described
from .audio_task import AudioTask
from .classifier import Classifier


@keras.saving.register_keras_serializable("kzoo")
class AudioClassifier(Classifier, AudioTask):
    """Classify sounds, or give them values.

    `kzoo.load("kwt1_speech_commands").predict("yes.wav")` says which command was spoken;
    `AudioClassifier("kwt1_speech_commands", labels="train/")` starts from its weights and takes
    the names of the folders as labels, and `fit("train/", validation_data="val/")` learns from
    what lies in them. On {"features"} it returns {"logits": (batch, labels)}; `predict` gives an
    array (sounds, labels): of probabilities, or of values for regression.

    What the labels are to a sound is the problem, see `Classifier`.

    Args:
        backbone, head, audio_processor, name: as for `AudioTask`.
        labels: the names of the classes, in the order of the logits; or a folder with a folder for
            each class, or a table, whose labels they are.
        problem, threshold: as for `TextClassifier`.
    """

    task_name = "AudioClassifier"

    default_head = "first"

    def __init__(
        self,
        backbone,
        labels=None,
        head=None,
        audio_processor=None,
        name=None,
        problem=None,
        threshold=None,
    ):
        self.ask(problem, threshold)
        if isinstance(labels, (str, Path)):
            labels = self.understand(self.medium.read(labels), problem)[0]["labels"]
        AudioTask.__init__(self, backbone, labels, head, audio_processor, name)

    # -- long sounds ------------------------------------------------------------------------------

    def predict_windows(self, sound, hop=None, batch_size=32):
        """What is heard in each part of a long sound, window by window.

        Args:
            sound: what `predict` takes one of.
            hop: seconds from the beginning of a window to that of the next; half one by default.
            batch_size: windows that are answered at the same time.

        Returns:
            A list of dicts: `start` and `end` in seconds, and the answer: `label`, `score` and
            `scores` where a sound has one label, `labels` and `scores` where it may have several,
            `values` for regression.
        """
        return list(self._answered([self.audio_processor.read(sound)], hop, batch_size))

    def stream(self, blocks, hop=None):
        """`predict_windows` for a sound that is still being heard: each answer once it is known.

        Args:
            blocks: an iterable of arrays of samples of the processor's rate, as a microphone gives
                them, of any lengths; it may be endless.
            hop: as for `predict_windows`.
        """
        return self._answered(blocks, hop, 1)

    def _answered(self, blocks, hop, batch_size):
        processor, options = self.audio_processor, self.task_options()
        windows = iter(processor.windows(blocks, hop))
        while some := list(islice(windows, batch_size)):
            features = np.stack([processor.features(samples) for _, samples in some])
            scores = self.answer(self.predict_on_batch({"features": features}))
            for (begin, samples), row in zip(some, scores, strict=True):
                end = begin + len(samples)
                yield {
                    "start": begin / processor.rate,
                    "end": end / processor.rate,
                    **described(row, self.labels, options),
                }
