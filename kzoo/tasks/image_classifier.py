"""Which of several labels a picture has; or which values."""

from pathlib import Path

import keras

from .classifier import Classifier
from .image_task import ImageTask


@keras.saving.register_keras_serializable("kzoo")
class ImageClassifier(Classifier, ImageTask):
    """Classify pictures, or give them values.

    `ImageClassifier(backbone, labels="train/")` takes the names of the folders as labels, and
    `fit("train/", validation_data="val/")` learns from what lies in them. On {"images"} it returns
    {"logits": (batch, labels)}; `predict` gives an array (pictures, labels): of probabilities, or
    of values for regression.

    What the labels are to a picture is the problem, see `Classifier`.

    Args:
        backbone, head, image_processor, name: as for `ImageTask`. The head "first" reads the first
            place, a picture's class token, and "mean" the mean over its squares.
        labels: the names of the classes, in the order of the logits; or a folder with a folder for
            each class, or a table, whose labels they are.
        problem, threshold: as for `TextClassifier`.
    """

    task_name = "ImageClassifier"

    default_head = "first"

    def __init__(
        self,
        backbone,
        labels=None,
        head=None,
        image_processor=None,
        name=None,
        problem=None,
        threshold=None,
    ):
        self.ask(problem, threshold)
        if isinstance(labels, (str, Path)):
            labels = self.understand(self.medium.read(labels), problem)[0]["labels"]
        ImageTask.__init__(self, backbone, labels, head, image_processor, name)

    def usual_head(self, backbone):
        """The family's; the mean over squares where no class token stands before them."""
        has_token = self.starts_with_token(backbone)
        return super().usual_head(backbone) if has_token else "mean"
