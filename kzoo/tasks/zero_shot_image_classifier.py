"""Which of several labels a picture has, of which only the names are known: arXiv:2103.00020."""

import keras

from .image_text_embedder import ImageTextEmbedder
from .zero_shot import ZeroShotClassifier


@keras.saving.register_keras_serializable("kzoo")
class ZeroShotImageClassifier(ZeroShotClassifier, ImageTextEmbedder):
    """Classify pictures by what their labels are called.

    `predict` gives probabilities (pictures, labels): the softmax of how near a picture is to each
    label. That is the mean of the vectors of all templates with the label in them, at length one.
    `fit` learns from (picture, text) pairs, as an `ImageTextEmbedder` does.

    Args:
        backbone, max_length, tokenizer, image_processor, name: as for `ImageTextEmbedder`.
        labels: the names of the classes.
        templates: texts with {} in the place of the label; "a photo of a {}." by default.
    """

    task_name = "ZeroShotImageClassifier"
    usual_templates = ("a photo of a {}.",)  # section 3.1.4

    def __init__(
        self,
        backbone,
        labels=None,
        templates=None,
        max_length=None,
        tokenizer=None,
        image_processor=None,
        name=None,
    ):
        given = {"image_processor": image_processor, "tokenizer": tokenizer}
        self.ask(backbone, labels, templates, max_length, given, name)
