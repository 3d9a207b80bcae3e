"""Which of several labels an example has, of which only the names are known: arXiv:2103.00020."""

from ..answers import centred, fitting
from ..errors import KzooError
from .shared_space import MediaTextEmbedder
from .task import Task

PLACE = "{}"  # where a template has the label


class ZeroShotClassifier(MediaTextEmbedder):
    """Classify by what labels are called: the nearest text.

    `predict` gives probabilities (examples, labels): the softmax of how near an example is to each
    label. That is the mean of the vectors of all templates with the label in them, at length one.
    `fit` learns from pairs, as the embedder does that a subclass also inherits of.

    Args:
        backbone, max_length, given, name: as for such an embedder; `given` are its processors.
        labels: the names of the classes.
        templates: texts with {} in the place of the label; None for the usual ones.
    """

    usual_templates = ()
    names_labels = True

    def ask(self, backbone, labels, templates, max_length, given, name):
        """Make the task."""
        self.max_length = max_length
        self.templates = None if templates is None else checked_templates(templates)
        Task.__init__(self, backbone, labels, None, given, name)

    def inherit(self, before):
        """Ask with the templates of the classifier that this one goes on from."""
        self.templates = self.templates or before.templates
        return super().inherit(before)

    def settle_sizes(self, backbone):
        """See `SharedSpaceTask`; the usual template where nobody gave one."""
        self.templates = self.templates or list(self.usual_templates)
        super().settle_sizes(backbone)

    def label_vectors(self, labels=None, templates=None):
        """A vector of length one for each label, (labels, dim).

        labels, templates: others in the place of the task's own.
        """
        labels = self.labels if labels is None else labels
        templates = self.templates if templates is None else checked_templates(templates)
        return label_vectors(self, labels, templates)

    def predict(self, x, batch_size=32, verbose=0, column=None):
        """A row of probabilities an example, (examples, labels); x as for tasks of its sense."""
        examples = self.embed(x, batch_size, verbose, column)
        return probabilities(self, examples, self.label_vectors())

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
            "label, such as 'a photo of a {}.'."
        )
    return list(templates)


def label_vectors(task, labels, templates):
    """The mean over templates of the vectors of each label, at length one, (labels, dim)."""
    texts = [template.replace(PLACE, label) for label in labels for template in templates]
    return centred(task.predict_texts(texts).reshape(len(labels), len(templates), -1))


def probabilities(task, examples, labels):
    """The softmax over labels of scaled cosines, from vectors of both, (examples, labels)."""
    return fitting(examples, labels, task.scale)
