"""Sounds and texts as vectors of one space: AudioCLIP, arXiv:2106.13043; CLAP, 2211.06687."""

import keras

from .audio_task import AudioTask
from .shared_space import MediaTextEmbedder
from .task import Task


@keras.saving.register_keras_serializable("kzoo")
class AudioTextEmbedder(MediaTextEmbedder, AudioTask):
    """Sounds and texts to vectors of length one, near where a text says what is heard.

    `predict` gives the vectors of sounds, `predict_texts` those of texts, `similarities` their
    cosines. `fit` takes (sound, text) pairs: each is to find its partner among all of the batch,
    under `tf.distribute` among those of all replicas.

    On {"features", "token_ids", "padding_mask"} it returns what the backbone does, and for as many
    texts as sounds "pairs" (batch, 2, dim), whose products are the logits that the loss reads; on
    sounds or texts alone their vectors. A file has a function for each, "audio" and "text".

    Args:
        backbone: a network of a tower of sounds and one of texts, such as an `AudioClip`, of whose
            three these two are taken; else as for `Task`.
        max_length, tokenizer, name: as for `ImageTextEmbedder`.
        audio_processor: the preset's by default.
    """

    task_name = "AudioTextEmbedder"
    senses, such = ("audio", "text"), "an AudioClip"

    def __init__(self, backbone, max_length=None, tokenizer=None, audio_processor=None, name=None):
        self.max_length = max_length
        given = {"audio_processor": audio_processor, "tokenizer": tokenizer}
        Task.__init__(self, backbone, None, None, given, name)
