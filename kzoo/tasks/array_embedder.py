"""What embedders of pictures and of sounds share."""

import keras
import numpy as np

from ..errors import KzooError
from ..nn.head import tokens_before
from .array_task import ArrayTask
from .embedder import Embedder


class ArrayEmbedder(Embedder, ArrayTask):
    """One vector a picture or a sound; `fit` takes a vector for each as targets."""

    settled = {**Embedder.settled, "pooling": "first"}

    def usual_head(self, backbone):
        """The first place; the mean where no class token stands there."""
        return "first" if self.starts_with_token(backbone) else "mean"

    def make_head(self, backbone):
        """See `Embedder`; the mean is over what stands behind such tokens."""
        if self.head_slot == "mean":
            self.head_slot = {"kind": "mean", "skip": tokens_before(backbone.spec)}
        return super().make_head(backbone)

    def is_vectors(self, given):
        """See `Embedder`: rows as long as a vector; a grey picture and several sounds are rows."""
        is_float = isinstance(given, np.ndarray) and given.dtype.kind == "f"
        return is_float and given.ndim == 2 and given.shape[1] == self.output_width

    # -- learning ---------------------------------------------------------------------------------

    def encode_targets(self, y, x=None):
        """Vectors, as float32."""
        try:
            vectors = np.asarray(y, "float32")
        except (TypeError, ValueError):
            vectors = np.zeros(())
        width = self.output_width
        if vectors.ndim != 2 or vectors.shape[1] != width or not np.isfinite(vectors).all():
            raise KzooError(
                f"Got targets of the shape {np.shape(y)}; expected a vector of {width} numbers for "
                f"each {self.medium.name}."
            )
        return vectors

    def default_loss(self):
        """The squared error."""
        return keras.losses.MeanSquaredError()

    def default_metrics(self):
        """The cosine of what is given and what is right."""
        return [keras.metrics.CosineSimilarity(name="cosine")]
