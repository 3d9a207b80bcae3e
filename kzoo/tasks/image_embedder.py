"""One vector a picture, near for pictures that are alike, and search in a folder of pictures."""

from pathlib import Path

import keras
import numpy as np

from ..errors import KzooError
from ..nn.head import tokens_before
from .embedder import Embedder
from .image_task import ImageTask


@keras.saving.register_keras_serializable("kzoo")
class ImageEmbedder(Embedder, ImageTask):
    """Pictures to vectors.

    On {"images"} it returns {"embedding": (batch, width)}; `predict` gives an array of vectors, and
    `search` finds the pictures of a folder that are nearest to one. `fit` takes a vector for each
    picture as targets, such as those of a larger model.

    Args:
        backbone, image_processor, name: as for `ImageTask`.
        pooling: "first", the first place, a picture's class token; "mean", the mean over its
            squares; or another slot as for `TextEmbedder`. First by default, where there is such a
            token.
        normalize: whether vectors have length one, as by default.
        projections: what stands between pooling and normalization, as for `TextEmbedder`.
        similarity: what `similarities` gives, "cosine", "dot", "euclidean" or "manhattan".
    """

    task_name = "ImageEmbedder"
    settled = {**Embedder.settled, "pooling": "first"}
    found = "image"

    def __init__(
        self,
        backbone,
        pooling=None,
        normalize=None,
        image_processor=None,
        name=None,
        projections=None,
        similarity=None,
    ):
        self.ask(pooling, normalize, projections, similarity)
        ImageTask.__init__(self, backbone, None, pooling, image_processor, name)

    def usual_head(self, backbone):
        """The first place; the mean where no class token stands there."""
        return "first" if self.starts_with_token(backbone) else "mean"

    def make_head(self, backbone):
        """See `Embedder`; of a picture the mean is over its squares."""
        if self.head_slot == "mean":
            self.head_slot = {"kind": "mean", "skip": tokens_before(backbone.spec)}
        return super().make_head(backbone)

    def is_vectors(self, given):
        """See `Embedder`: rows as long as a vector; a picture in grey is rows as well."""
        is_float = isinstance(given, np.ndarray) and given.dtype.kind == "f"
        return is_float and given.ndim == 2 and given.shape[1] == self.output_width

    def is_alone(self, given):
        """See `Embedder`: a file, its bytes, a PIL picture or the array of one."""
        if isinstance(given, np.ndarray):
            return given.ndim < 4 and self.is_one(given)
        return isinstance(given, (str, bytes, Path)) or hasattr(given, "getbands")

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
                "each picture."
            )
        return vectors

    def default_loss(self):
        """The squared error."""
        return keras.losses.MeanSquaredError()

    def default_metrics(self):
        """The cosine of what is given and what is right."""
        return [keras.metrics.CosineSimilarity(name="cosine")]
