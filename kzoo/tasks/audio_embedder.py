"""One vector a sound, near for sounds that are alike, and search in a folder of sounds."""

from pathlib import Path

import keras
import numpy as np

from ..values import is_whole
from .array_embedder import ArrayEmbedder
from .audio_task import AudioTask


@keras.saving.register_keras_serializable("kzoo")
class AudioEmbedder(ArrayEmbedder, AudioTask):
    """Sounds to vectors.

    On {"features"} it returns {"embedding": (batch, width)}; `predict` gives an array of vectors,
    and `search` finds the sounds of a folder that are nearest to one. `fit` takes a vector for each
    sound as targets, such as those of a larger model.

    Args:
        backbone, audio_processor, name: as for `AudioTask`.
        pooling: "first", the first place, a sound's class token; "mean", the mean over its patches;
            or another slot as for `TextEmbedder`. First by default, where there is such a token.
        normalize: whether vectors have length one, as by default.
        projections: what stands between pooling and normalization, as for `TextEmbedder`.
        similarity: what `similarities` gives, "cosine", "dot", "euclidean" or "manhattan".
    """

    task_name = "AudioEmbedder"
    found = "sound"

    def __init__(
        self,
        backbone,
        pooling=None,
        normalize=None,
        audio_processor=None,
        name=None,
        projections=None,
        similarity=None,
    ):
        self.ask(pooling, normalize, projections, similarity)
        AudioTask.__init__(self, backbone, None, pooling, audio_processor, name)

    def is_alone(self, given):
        """See `Embedder`: a file, its bytes, samples, alone or with their rate."""
        if isinstance(given, np.ndarray):
            return self.is_one(given)
        with_rate = isinstance(given, tuple) and len(given) == 2 and is_whole(given[1])
        return with_rate or isinstance(given, (str, bytes, Path, dict))
