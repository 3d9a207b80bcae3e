"""One family a file; a new family is a file here and a line in `FAMILIES`."""

from ..errors import KzooError
from ..keras_hooks import abstract_build
from ..network import parameters_in, weights_by_path
from ..parts import resolve
from ..spec import Towers, Value
from .albert import Albert
from .ast import Ast
from .audio_clip import AudioClip
from .bart import Bart, BartReader
from .bert import Bert
from .bigbird import BigBird
from .blip import BlipAnswerer, BlipCaptioner, BlipMatcher
from .bloom import Bloom
from .clip import Clip, ClipImage, ClipText
from .deberta import Deberta
from .deberta_v2 import DebertaV2
from .deit import Deit
from .detr import Detr
from .distilbert import DistilBert
from .electra import Electra
from .gpt import Gpt
from .gpt2 import Gpt2
from .gpt3 import Gpt3
from .gpt_neo import GptNeo
from .kwt import Kwt
from .lamda import Lamda
from .linformer import Linformer
from .longformer import Longformer
from .marian import Marian
from .mbart import MBart
from .mobilebert import MobileBert
from .mobilevit import MobileVit
from .mpnet import MPNet
from .palm import Palm
from .reformer import Reformer
from .roberta import Roberta
from .roformer import RoFormer
from .sparse_transformer import SparseTransformer
from .static_embeddings import Static
from .t5 import T5, T5Encoder
from .transformer import Transformer
from .transformer_xl import TransformerXl
from .vision_encoder_decoder import VisionEncoderDecoder
from .vit import Vit
from .xlnet import XlNet

CLASSES = (
    Bert, Roberta, DistilBert, Albert, Gpt2, Gpt, GptNeo, Gpt3, Bloom, Palm, Lamda, Vit, Deit,
    Clip, ClipImage, ClipText, AudioClip, Kwt, Ast, MobileVit, T5, T5Encoder, Transformer, Bart,
    BartReader, MBart, Marian, Linformer, SparseTransformer, TransformerXl, Reformer,
    Longformer, BigBird, XlNet, Electra, MPNet, RoFormer, Deberta, DebertaV2, MobileBert, Static,
    VisionEncoderDecoder, BlipCaptioner, BlipAnswerer, BlipMatcher, Detr,
)  # fmt: skip
FAMILIES = {cls.family: cls for cls in CLASSES}


def build(spec, name=None):
    """The model of a spec, with random weights."""
    return family_of(spec)(spec, name=name)


def family_of(spec):
    """The class of a spec's family."""
    if not isinstance(spec, Value):
        raise KzooError(
            f"{spec!r:.60} is no Spec: one is expected, such as kzoo.presets.read_spec(name) gives."
        )
    if spec.family not in FAMILIES:
        raise KzooError(f"No family is called {spec.family!r}; known: {', '.join(FAMILIES)}.")
    return FAMILIES[spec.family]


def describe(spec):
    """Paths and shapes of all weights of a spec, as a list, without allocating one of them."""
    return _described(family_of(spec), spec)


def _described(family, spec):
    if isinstance(spec, Towers):
        return _described_towers(family, spec)
    return (_described_stack if family.blocks_alike else _shapes)(family, spec)


def _described_towers(family, spec):
    """Tower by tower, and what the family has beside them."""
    first = {name: _shallow(tower) for name, tower in spec.towers.items()}
    shapes = _shapes(family, spec.replace(towers=first))
    classes = family.tower_classes(spec)
    towers = {
        name: [(f"{name}/{path}", shape) for path, shape in _described(classes[name], tower)]
        for name, tower in spec.towers.items()
    }
    return [
        entry
        for path, shape in shapes
        for entry in (
            towers.pop(path.partition("/")[0], [])
            if path.partition("/")[0] in spec.towers
            else [(path, shape)]
        )
    ]


def _shallow(spec):
    """The spec with one block, or one in each tower."""
    if isinstance(spec, Towers):
        return spec.replace(towers={name: _shallow(t) for name, t in spec.towers.items()})
    return spec.replace(schedule=spec.schedule[:1])


def _described_stack(family, spec):
    """Block by block; of those whose slots hold the same, one is made and stands for the others."""
    turn = spec.turn
    cls, _ = resolve("block", spec.block)
    alike = {block: (block % turn, cls.first_apart and block == 0) for block in spec.blocks}
    first = {}
    for block in spec.blocks:
        first.setdefault(alike[block], block)
    shapes = _shapes(family, spec.replace(schedule=tuple(sorted(first.values()))))
    inside = {block: [] for block in first.values()}
    for path, shape in shapes:
        block, _, rest = path.partition("/")
        if block.startswith("block_"):
            inside[int(block.removeprefix("block_"))].append((rest, shape))
    every = [
        (f"block_{block}/{path}", shape)
        for block in spec.blocks
        for path, shape in inside[first[alike[block]]]
    ]
    at = [place for place, (path, _) in enumerate(shapes) if path.startswith("block_")]
    return [*shapes[: at[0]], *every, *shapes[at[-1] + 1 :]]


def _shapes(family, spec):
    model = abstract_build(lambda: family(spec))
    return [(path, tuple(weight.shape)) for path, weight in weights_by_path(model).items()]


def count_parameters(spec):
    """How many parameters a spec has, without allocating them: see `network.parameters_in`."""
    return parameters_in(describe(spec))
