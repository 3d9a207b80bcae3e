"""Which of several labels a picture has, of which only the names are known: arXiv:2103.00020."""

import keras

from ..answers import centred, fitting
from ..errors import KzooError
from .image_text_embedder import ImageTextEmbedder
from .task import Task

PLACE = "{}"  # where a template has the label
TEMPLATES = ("a photo of a {}.",)  # section 3.1.4


@keras.saving.register_keras_serializable("kzoo")
class ZeroShotImageClassifier(ImageTextEmbedder):
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

    names_labels = True

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
        self.max_length = max_length
        self.templates = None if templates is None else checked_templates(templates)
        given = {"image_processor": image_processor, "tokenizer": tokenizer}
        Task.__init__(self, backbone, labels, None, given, name)

    def inherit(self, before):
        """Ask with the templates of the classifier that this one goes on from."""
        self.templates = self.templates or before.templates
        return super().inherit(before)

    def settle_sizes(self, backbone):
        """See `ImageTextEmbedder`; the usual template where nobody gave one."""
        self.templates = self.templates or list(TEMPLATES)
        super().settle_sizes(backbone)

    def label_vectors(self, labels=None, templates=None):
        """A vector of length one for each label, (labels, dim).

        labels, templates: others in the place of the task's own.
        """
        labels = self.labels if labels is None else labels
        templates = self.templates if templates is None else checked_templates(templates)
        return label_vectors(self, labels, templates)

    def predict(self, x, batch_size=32, verbose=0, column=None):
        """A row of probabilities a picture, (pictures, labels); x as for every task on pictures."""
        pictures = super().predict(x, batch_size, verbose, column)
        return probabilities(self, pictures, self.label_vectors())

    def get_config(self):
        """The arguments."""
        return {**super().get_config(), "labels": self.labels, "templates": list(self.templates)}


def checked_templates(templates):
    """A list of templates from one or several, or KzooError."""
    templates = [templates] if isinstance(templates, str) else templates
    is_list = isinstance(templates, (list, tuple)) and len(templates) > 0
    if not is_list or not all(isinstance(t, str) and PLACE in t for t in templates):
        raise KzooError(
            f"Got templates {templates!r:.60}; expected texts that have {PLACE} in the place of a "
            f"label, such as {TEMPLATES[0]!r}."
        )
    return list(templates)


def label_vectors(task, labels, templates):
    """The mean over templates of the vectors of each label, at length one, (labels, dim)."""
    texts = [template.replace(PLACE, label) for label in labels for template in templates]
    return centred(task.predict_texts(texts).reshape(len(labels), len(templates), -1))


def probabilities(task, pictures, labels):
    """The softmax over labels of scaled cosines, from vectors of both, (pictures, labels)."""
    return fitting(pictures, labels, task.scale)
