"""Pictures and texts as vectors of one space: CLIP, arXiv:2103.00020."""

import keras

from .image_task import ImagePairTask
from .shared_space import MediaTextEmbedder
from .task import Task


@keras.saving.register_keras_serializable("kzoo")
class ImageTextEmbedder(MediaTextEmbedder, ImagePairTask):
    """Pictures and texts to vectors of length one, near where a text says what a picture shows.

    `predict` gives the vectors of pictures, `predict_texts` those of texts, `similarities` their
    cosines. `fit` takes (picture, text) pairs: each is to find its partner among all of the batch,
    under `tf.distribute` among those of all replicas.

    On {"images", "token_ids", "padding_mask"} it returns what the backbone does, and for as many
    texts as pictures "pairs" (batch, 2, dim), whose products are the logits that the loss reads;
    on pictures or texts alone their vectors. A file has a function for each, "image" and "text".

    Args:
        backbone: a network of a tower of pictures and one of texts (`Clip`), or of an `AudioClip`
            these two; else as for `Task`.
        max_length: tokens of a text at most; longer text is cut, and keeps its end token. The
            model's maximum by default (CLIP: 77), or the tokenizer's where that is less.
        tokenizer, image_processor: the preset's by default.
        name: the Keras name.
    """

    task_name = "ImageTextEmbedder"
    senses, such = ("image", "text"), "a Clip"

    def __init__(self, backbone, max_length=None, tokenizer=None, image_processor=None, name=None):
        self.max_length = max_length
        given = {"image_processor": image_processor, "tokenizer": tokenizer}
        Task.__init__(self, backbone, None, None, given, name)
