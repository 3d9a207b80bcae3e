"""An encoder of pictures with a decoder of texts: arXiv:1411.4555, with transformers.

Any encoder of pictures and any stack that writes make one, such as a ViT and a GPT-2: attention to
the picture stands in each of the decoder's blocks, behind that to the text.
"""

import dataclasses

import keras

from ..errors import KzooError
from ..graphs import PictureReader
from ..network import weights_by_path
from ..spec import Towers
from .deit import Deit
from .gpt2 import Gpt2
from .vit import Vit

NAMES = ("encoder", "decoder")


@dataclasses.dataclass(frozen=True)
class Held:
    """What a family says of checkpoints where it is a tower: below a key and a prefix there.

    All else, such as its rows, is the family's own.
    """

    family_class: type
    KEY: str
    PREFIX: str
    FIXED: dict
    CONFIG: dict
    REQUIRED: dict
    HARMLESS: str

    def __getattr__(self, name):
        return getattr(self.family_class, name)


def held(cls, key, inside, fixed, required):
    """A family as a tower; the whole says which token fills rows up."""
    (model_type, *_) = cls.MODEL_TYPES
    return Held(
        cls,
        key,
        f"{key}.{inside}",
        {**cls.FIXED, **fixed},
        {name: entry for name, entry in cls.CONFIG.items() if name != "pad_token_id"},
        {**cls.REQUIRED, "model_type": ((model_type,), model_type), **required},
        f"{cls.HARMLESS} pad_token_id",
    )


# Those that are exchanged with transformers, by their families' names here.
KNOWN = {
    "encoder": {cls.family: held(cls, "encoder", "", {}, {}) for cls in (Vit, Deit)},
    "decoder": {
        Gpt2.family: held(
            Gpt2,
            "decoder",
            Gpt2.PREFIX,
            # The decoder begins with the token that fills up, and torch's GPT-2 has no padding_idx.
            {"embedding": {"kind": "token", "padding_learns": True}, "cross_attention": "full"},
            {"is_decoder": ((True, False), True), "add_cross_attention": ((True,), False)},
        )
    },
}


def tables(families):
    """What the families of the towers, {tower: name}, say of checkpoints."""
    found = {}
    for tower, known in KNOWN.items():
        family = families.get(tower)
        if family not in known:
            raise KzooError(
                f"Got the {tower} {family!r:.40} of a vision_encoder_decoder to exchange; kzoo "
                f"knows what {' and '.join(known)} are called elsewhere: keep it as a preset."
            )
        found[tower] = known[family]
    return found


def _start(config):
    """The token that the decoder is given first where the whole doesn't say."""
    decoder = config.get("decoder") or {}
    return config.get("bos_token_id", decoder.get("bos_token_id", 50256))


@keras.saving.register_keras_serializable("kzoo")
class VisionEncoderDecoder(PictureReader):
    """A network that writes of pictures, of any encoder and decoder; see `of`.

    Its spec has the towers "encoder", of a family that reads pictures, and "decoder", of one that
    writes, with a `cross_attention`; and the option `start_id`, the token that is given first.
    """

    family = "vision_encoder_decoder"
    HEADS = {"ImageCaptioner": "tied_lm"}

    # Hugging Face, as in bert.py; which towers there are, a spec or a config says.
    MODEL_TYPES = {"vision-encoder-decoder": "VisionEncoderDecoder"}
    CLASSES = {"Model": "ImageCaptioner"}
    TOWERS = staticmethod(tables)
    WORDS = "decoder"
    FIXED = {}
    ROWS = "enc_to_dec_proj  memory_projection"
    TASK_ROWS = """
        decoder.lm_head.weight  =backbone/decoder/token_embedding/embeddings  ImageCaptioner
    """
    CONFIG = {
        "decoder_start_token_id": ("options.start_id", _start),
        "pad_token_id": (
            "towers.decoder.embedding.padding_id",
            lambda config: (config.get("decoder") or {}).get("pad_token_id") or 0,
        ),
    }
    REQUIRED = {"is_encoder_decoder": ((True,), True)}

    @classmethod
    def tower_classes(cls, spec):
        """See `Network`: those of the families that the towers' specs name."""
        from . import family_of

        return {name: family_of(spec.towers[name]) for name in NAMES if name in spec.towers}

    @staticmethod
    def families_there(config):
        """The families, {tower: name}, that a config.json's towers are of."""
        types = {name: (config.get(name) or {}).get("model_type") for name in NAMES}
        return {
            name: next((f for f, held in KNOWN[name].items() if there in held.MODEL_TYPES), there)
            for name, there in types.items()
        }

    @classmethod
    def of(cls, encoder, decoder, start_id=None, name=None):
        """A network of two, whose weights and processors it takes.

        Attention to the picture is new, and a map between them where their widths differ.

        Args:
            encoder: a network that reads pictures, such as a `Vit`.
            decoder: one that writes, such as a `Gpt2`.
            start_id: the token that is given first; the tokenizer's end token by default, or else
                that of padding.
            name: the Keras name.
        """
        looks = decoder.spec.replace(cross_attention="full", pooler="none")
        towers = {"encoder": encoder.spec.replace(pooler="none"), "decoder": looks}
        if start_id is None:
            end = getattr(decoder.tokenizer, "end_id", None)
            start_id = decoder.padding_id if end is None else end
        made = cls(Towers(cls.family, towers, {"start_id": start_id}), name=name)
        for tower, network in zip(NAMES, (encoder, decoder), strict=True):
            here, there = weights_by_path(network), weights_by_path(made.towers[tower])
            for path in here.keys() & there.keys():
                there[path].assign(keras.ops.copy(here[path]))
        made.processors = {**encoder.processors, **decoder.processors}
        return made
