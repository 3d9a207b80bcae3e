"""Which of several labels a sound has, of which only the names are known."""

import keras

from .audio_text_embedder import AudioTextEmbedder
from .zero_shot import ZeroShotClassifier


@keras.saving.register_keras_serializable("kzoo")
class ZeroShotAudioClassifier(ZeroShotClassifier, AudioTextEmbedder):
    """Classify sounds by what their labels are called.

    `predict` gives probabilities (sounds, labels): the softmax of how near a sound is to each
    label. That is the mean of the vectors of all templates with the label in them, at length one.
    `fit` learns from (sound, text) pairs, as an `AudioTextEmbedder` does.

    Args:
        backbone, max_length, tokenizer, audio_processor, name: as for `AudioTextEmbedder`.
        labels: the names of the classes.
        templates: texts with {} in the place of the label; "the sound of {}" by default.
    """

    task_name = "ZeroShotAudioClassifier"
    usual_templates = ("the sound of {}",)

    def __init__(
        self,
        backbone,
        labels=None,
        templates=None,
        max_length=None,
        tokenizer=None,
        audio_processor=None,
        name=None,
    ):
        given = {"audio_processor": audio_processor, "tokenizer": tokenizer}
        self.ask(backbone, labels, templates, max_length, given, name)
