"""What tasks share that give a vector for each example, near for examples that are alike."""

import keras
import numpy as np
from keras import ops

from ..answers import check_top, nearest, similarities
from ..errors import KzooError
from ..nn.composed import Composed
from ..parts import make
from .task import Task

SIMILARITIES = ("cosine", "dot", "euclidean", "manhattan")


@keras.saving.register_keras_serializable("kzoo")
class Embedding(Composed):
    """Pool the places, project what comes out, and scale to length one if asked.

    Args:
        pooling: a slot.
        normalize: whether vectors have length one.
        projections: slots of kind "projection", in order.
        spec: the backbone's.
    """

    def __init__(self, pooling, normalize, projections=(), spec=None, name="head"):
        super().__init__(name=name)
        self.pool = make("pooling", pooling)
        self.needs_pooler = True
        self.normalize = normalize
        self.skip = 0  # How many places at the start, a prompt's, are not pooled.
        self.projections = [
            make("projection", slot, spec=spec, name=f"projection_{place}")
            for place, slot in enumerate(projections)
        ]

    @property
    def places(self):
        """How many of the first places are read, or None for any: a prompt stands before them."""
        return None if self.pool.places is None else self.skip + self.pool.places

    def call(self, outputs, padding_mask, training=None, skip=None):
        """Outputs of the backbone to {"embedding": (batch, width)}."""
        x = self.pool(outputs, padding_mask, self.skip if skip is None else skip)
        for projection in self.projections:
            x = projection(x)
        return {"embedding": ops.normalize(x, axis=-1, epsilon=1e-12) if self.normalize else x}


class Embedder(Task):
    """One vector an example: {"embedding": (batch, width)}; `predict` gives an array of vectors.

    A pretrained pooler that isn't read stays for the way back to its checkpoint; the embedder
    doesn't train it, and a task that is built on the embedder does if its head reads it.

    A subclass says what is read. Before it makes a `Task` of itself it calls `ask`.
    """

    scored_output, activation = "embedding", None
    rule = "embedding"
    # What an embedder has where neither its arguments nor the one that it goes on from say.
    settled = {"pooling": "mean", "normalize": True, "projections": (), "similarity": "cosine"}
    # What `search` calls what it found.
    found = "text"

    def ask(self, pooling, normalize, projections, similarity):
        """Keep how vectors are made and compared; see `TextEmbedder`."""
        self.pooling, self.normalize = pooling, normalize
        self.projections, self.similarity = projections, similarity

    def inherit(self, before):
        """Pool, scale and compare as the embedder did that this one goes on from."""
        for name in self.settled:
            if getattr(self, name) is None:
                setattr(self, name, getattr(before, name))
        super().inherit(before)
        return self.pooling

    def fitted(self, backbone):
        """The backbone itself, with a pooler that isn't read."""
        return backbone

    @property
    def unread(self):
        """The pooler's weights, unless the pooling reads them."""
        read = self.head.pool.needs_pooler or self.backbone.spec.pooler == "none"
        return [] if read else self.backbone.pooler.weights

    def usual_head(self, backbone):
        """The pooling that an embedder has by default."""
        return self.settled["pooling"]

    def make_head(self, backbone):
        """The pooling, the projections and the scaling, once what nobody said is settled."""
        self.pooling = self.head_slot
        for name, default in self.settled.items():
            if getattr(self, name) is None:
                setattr(self, name, default)
        if self.similarity not in SIMILARITIES:
            raise KzooError(
                f"Got similarity {self.similarity!r:.40}; expected {', '.join(SIMILARITIES)}."
            )
        self.projections = [dict(slot) for slot in self.projections]
        return Embedding(self.pooling, self.normalize, self.projections, backbone.spec)

    @property
    def output_width(self):
        """How many numbers a vector has."""
        if self.projections:
            return self.projections[-1]["units"]
        return self.head.pool.width * self.spec.hidden_dim

    def is_vectors(self, given):
        """Whether vectors came, as `predict` gives them, in the place of what they are made of."""
        return np.ndim(given) == 2

    def is_alone(self, given):
        """Whether one example came, and not several."""
        return isinstance(given, str)

    def similarities(self, first, second):
        """How near examples (or their vectors) are to each of others: (first, second).

        More is nearer, by the model's own measure; distances count below zero, as in
        sentence-transformers.
        """
        sides = [
            np.asarray(side if self.is_vectors(side) else self.predict(side), "float32")
            for side in (first, second)
        ]
        return similarities(*sides, self.similarity)

    def search(self, query, among, top=5):
        """What is nearest to a query, by the model's own measure.

        Args:
            query: an example, such as a text or a picture, or a list of some.
            among: a list of such, or their vectors as `predict` gives them.
            top: how many.

        Returns:
            A list of {"index", "score", "text"}, or "image" for pictures, the nearest first, for a
            query that is one example; for a list of queries a list of such lists. Vectors come
            back without what they were made of.
        """
        check_top(top)
        alone = self.is_alone(query)
        given = None if self.is_vectors(among) else self.listed(among)
        scores = self.similarities([query] if alone else query, among if given is None else given)
        results = [nearest(row, given, top, self.found) for row in scores]
        return results[0] if alone else results

    def task_options(self):
        """The measure of nearness as well."""
        return {**super().task_options(), "similarity": self.similarity}

    def answer(self, outputs):
        """The vectors."""
        return outputs["embedding"]

    def get_config(self):
        """The arguments."""
        config = super().get_config()
        del config["labels"], config["head"]
        config |= {name: getattr(self, name) for name in ("pooling", "normalize", "similarity")}
        return {**config, "projections": [dict(slot) for slot in self.projections]}
