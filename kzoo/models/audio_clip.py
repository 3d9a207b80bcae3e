"""AudioCLIP: Guzhov et al. 2021, arXiv:2106.13043. Pictures, texts and sounds in one space.

Its sound tower is an audio transformer of kzoo, such as an AST, and no ESResNeXt-fbsp: that is a
residual network of its own on learned wavelets, for which no published Keras or transformers class
could stand as the reference, while an AST reads what phones compute and is exchanged both ways.
"""

import keras

from ..errors import KzooError
from ..graphs import SharedSpace
from ..network import weights_by_path
from ..nn.pooler import Projected
from ..parts import resolve
from ..spec import Towers
from ..values import an

# What each tower reads, by the name of the network's input.
READS = {"image": "images", "text": "token_ids", "audio": "features"}


@keras.saving.register_keras_serializable("kzoo")
class AudioClip(SharedSpace):
    """Two or three of a tower of pictures, one of texts and one of sounds, of any families.

    Its spec has the towers "image", "text" and "audio", or two of them, each with a pooler whose
    vectors are as wide as those of the others; see `of`.

    Inputs: float32 `images` (images, height, width, channels), normalised, int32 `token_ids` and
    `padding_mask` (texts, length), float32 `features` (audios, frames, numbers); or those of some
    towers.

    Outputs: as of a `SharedSpace`.
    """

    family = "audio_clip"
    HEADS = {}
    MODEL_TYPES = {}  # Hugging Face has none.

    @classmethod
    def tower_classes(cls, spec):
        """See `Network`: those of the families that the towers' specs name."""
        from . import family_of

        names = [name for name in READS if name in spec.towers]
        if len(names) < 2 or set(spec.towers) - set(READS):
            raise KzooError(
                f"Got the towers {', '.join(spec.towers) or 'none'} for an AudioClip; expected two "
                f"or three of {', '.join(READS)}."
            )
        return {name: family_of(spec.towers[name]) for name in names}

    def wire(self):
        """Make the towers, and the scale of the products of each two."""
        super().wire()
        for name, tower in self.towers.items():
            if READS[name] not in tower.signature:
                raise KzooError(
                    f"Got {an(tower.family)} as the tower {name} of an AudioClip, which reads "
                    f"{' and '.join(tower.signature)}; expected one that reads {READS[name]}."
                )

    def only(self, names):
        """A copy of some of the towers, with their processors; itself where these are all."""
        if set(names) == set(self.towers):
            return self
        towers = {name: tower for name, tower in self.spec.towers.items() if name in names}
        return self.under(self.spec.replace(towers=towers))

    @classmethod
    def of(cls, dim=512, name=None, **networks):
        """A network of two or three, whose weights and processors it takes.

        Args:
            dim: how many numbers the vectors have. A tower whose pooler ends in a projection keeps
                it where that gives as many; of any other a new projection reads the first place.
            name: the Keras name.
            networks: the towers by name: `image`, a network that reads pictures, `text`, one that
                reads texts, and `audio`, one that reads sounds.
        """
        towers = {tower: _pooled(network.spec, dim) for tower, network in networks.items()}
        made = cls(Towers(cls.family, towers), name=name)
        for tower, network in networks.items():
            here, there = weights_by_path(network), weights_by_path(made.towers[tower])
            for path in here.keys() & there.keys():
                if tuple(here[path].shape) == tuple(there[path].shape):
                    there[path].assign(keras.ops.copy(here[path]))
            made.processors = {**made.processors, **network.processors}
        return made


def _pooled(spec, dim):
    """A spec whose pooler ends in a space of so many numbers."""
    pooler, _ = resolve("pooler", spec.pooler)
    if issubclass(pooler, Projected):
        held = {"kind": spec.pooler} if isinstance(spec.pooler, str) else dict(spec.pooler)
        return spec.replace(pooler={**held, "dim": dim})
    return spec.replace(pooler={"kind": "first", "dim": dim})
