"""One vector a picture, near for pictures that are alike, and search in a folder of pictures."""

from pathlib import Path

import keras
import numpy as np

from .array_embedder import ArrayEmbedder
from .image_task import ImageTask


@keras.saving.register_keras_serializable("kzoo")
class ImageEmbedder(ArrayEmbedder, ImageTask):
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

    def is_alone(self, given):
        """See `Embedder`: a file, its bytes, a PIL picture or the array of one."""
        if isinstance(given, np.ndarray):
            return given.ndim < 4 and self.is_one(given)
        return isinstance(given, (str, bytes, Path)) or hasattr(given, "getbands")
