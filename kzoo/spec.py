"""A spec is one architecture as a value: what a preset's `spec.json` holds, and nothing else."""

import dataclasses
import json
import math
from typing import NamedTuple

from .errors import KzooError
from .files import parse_json
from .values import is_number, is_whole

LARGEST = 2**31 - 1  # that a tensor's axis or an index may be


class Input(NamedTuple):
    """What a network reads under a name.

    Args:
        axes: of each axis its size, or the name of a size that varies ("batch", "length").
        dtype: the type of its numbers.
        below: ids lie from 0 to below this; 0 where the numbers are no ids.
    """

    axes: tuple
    dtype: str = "int32"
    below: int = 0

    def __str__(self):
        return f"{self.dtype} ({', '.join(map(str, self.axes))})"


class Value:
    """What all specs have: JSON both ways, and copies with changes."""

    def replace(self, **changes):
        """Return a copy with some fields changed."""
        fields = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return type(self).from_dict({**fields, **changes})

    def to_json(self):
        """The spec as the text of a `spec.json`."""
        return json.dumps(self.to_dict(), indent=2) + "\n"

    @classmethod
    def from_json(cls, text):
        """Read the text of a `spec.json`."""
        return cls.from_dict(parse_json(text, "The text", "a spec"))

    @classmethod
    def of_fields(cls, fields):
        """Build from fields of all of which one is known; those too many or too few are named."""
        known = {field.name: field for field in dataclasses.fields(cls)}
        unknown = sorted(set(fields) - set(known))
        required = {n for n, f in known.items() if f.default is f.default_factory}
        missing = sorted(required - set(fields))
        if unknown or missing:
            raise KzooError(
                f"The spec has unknown fields {unknown} and lacks {missing}; "
                f"known are {', '.join(known)}."
            )
        return cls(**fields)


@dataclasses.dataclass(frozen=True)
class Spec(Value):
    """One transformer, as a value: a stack of blocks. Several networks as one are `Towers`.

    Sizes are counted in units of the tensor axes they name. The slots each hold one part, named
    by its kind (`"learned"`) or by a dict of the kind and its options (`{"kind": "token",
    "vocabulary_size": 30522}`); `attention`, `feedforward` and `dense` may hold a list, whose
    entries the blocks take in turn. `norms` says where norms stand beside those of the blocks:
    behind the `embedding`, behind the `final` block. `schedule` is the depth: which block runs at
    each step, so `(0, 1, 2)` is three blocks, `(0, 0, 0)` one block run three times (ALBERT) and
    `(0, 2, 4)` a student cut from a deeper teacher; `()` is a table of vectors and no block.

    Raises:
        KzooError: on sizes that do not fit each other.
    """

    family: str
    embedding: object
    hidden_dim: int
    num_heads: int
    intermediate_dim: int
    schedule: tuple
    max_sequence_length: int = 512
    head_dim: int = 0  # 0: hidden_dim / num_heads
    num_key_value_heads: int = 0  # 0: num_heads; fewer are shared by as many queries each
    dropout: float = 0.1
    attention_dropout: float = 0.1
    initializer_range: float = 0.02
    position: object = "learned"
    attention: object = "full"
    block: object = "post_norm"
    feedforward: object = dataclasses.field(
        default_factory=lambda: {"kind": "mlp", "activation": "gelu"}
    )
    norm: object = dataclasses.field(
        default_factory=lambda: {"kind": "layer_norm", "epsilon": 1e-12}
    )
    norms: tuple = ("embedding",)
    cross_attention: object = None  # that to another stack's output; None: there is no other
    dense: object = None  # the affine maps of the blocks; None: each is one whole matrix
    pooler: object = "tanh"
    quantization: object = None  # what a file rounds, see `nn.rounding`; None: nothing is

    # The slots that may hold a list, whose entries the blocks take in turn.
    IN_TURN = ("attention", "feedforward", "dense")
    SLOTS = ("embedding", "position", "attention", "block", "feedforward", "norm", "pooler")
    # The slots that may be empty, and what their parts are filed under.
    MAYBE = {
        "cross_attention": "attention",
        "dense": "dense",
        "quantization": "quantization",
    }

    # Whole numbers and the least that each may be; rates.
    WHOLE = {
        "hidden_dim": 1, "num_heads": 1, "intermediate_dim": 1, "max_sequence_length": 1,
        "head_dim": 0, "num_key_value_heads": 0,
    }  # fmt: skip
    RATES = ("dropout", "attention_dropout", "initializer_range")
    NORMS = ("embedding", "final")
    # Fields of kzoo 0.1 that are options of the embedding now, by their names there.
    MOVED = {
        "vocabulary_size": "vocabulary_size", "num_segments": "num_segments",
        "padding_id": "padding_id", "embedding_dim": "dim",
    }  # fmt: skip

    def __post_init__(self):
        if not isinstance(self.family, str):
            raise KzooError(f"family is {self.family!r:.40}; a name such as 'bert' is expected.")
        for name, least in self.WHOLE.items():
            value = getattr(self, name)
            if not is_whole(value, least, LARGEST):
                raise KzooError(
                    f"{name} is {value!r:.40}; a whole number of at least {least} is expected."
                )
        for name in self.RATES:
            value = getattr(self, name)
            if not is_number(value, 0) or value >= 1:
                raise KzooError(f"{name} is {value!r:.40}; a number from 0 to below 1 is expected.")
        for name in (*self.SLOTS, *self.MAYBE):
            value = getattr(self, name)
            if value is None and name in self.MAYBE:
                continue
            several = isinstance(value, (list, tuple)) and value and name in self.IN_TURN
            for held in value if several else [value]:
                kind = held.get("kind") if isinstance(held, dict) else held
                if not isinstance(kind, str):
                    raise KzooError(
                        f"{name} is {value!r:.60}; a part's name, or a dict with the name as its "
                        "kind, is expected."
                    )
            if several:
                object.__setattr__(self, name, list(value))
        norms = self.norms
        if not isinstance(norms, (list, tuple)) or not all(n in self.NORMS for n in norms):
            raise KzooError(f"norms is {norms!r:.60}; a list of {self.NORMS} is expected.")
        object.__setattr__(self, "norms", tuple(n for n in self.NORMS if n in norms))
        listed = isinstance(self.schedule, (list, tuple))
        if not listed or not all(is_whole(i, 0, LARGEST) for i in self.schedule):
            raise KzooError(
                f"schedule is {self.schedule!r:.60}; a list of block indices such as [0, 1, 2] is "
                "expected."
            )
        object.__setattr__(self, "schedule", tuple(self.schedule))
        if self.hidden_dim % self.num_heads and not self.head_dim:
            raise KzooError(
                f"hidden_dim {self.hidden_dim} is not a multiple of num_heads {self.num_heads}: "
                "change one, or give head_dim."
            )
        if self.num_heads % (self.num_key_value_heads or self.num_heads):
            raise KzooError(
                f"num_heads {self.num_heads} is not a multiple of num_key_value_heads "
                f"{self.num_key_value_heads}: change one."
            )

    @property
    def summary(self):
        """What it is, as a sentence."""
        return f"A {self.family} of {self.num_layers} layers."

    @property
    def head(self):
        """The spec of what gives the vectors that a head reads."""
        return self

    @property
    def activation(self):
        """The activation of the first block's feed-forward net; "gelu" where it doesn't say."""
        held = self.slot("feedforward", 0)
        return held.get("activation", "gelu") if isinstance(held, dict) else "gelu"

    @property
    def num_layers(self):
        """How many steps the schedule has."""
        return len(self.schedule)

    @property
    def blocks(self):
        """The indices of the separate blocks, in order."""
        return tuple(sorted(set(self.schedule)))

    @property
    def turn(self):
        """After how many blocks the slots hold the same again."""
        held = (getattr(self, name) for name in self.IN_TURN)
        return math.lcm(*(len(value) for value in held if isinstance(value, list)))

    def slot(self, name, block):
        """What a slot holds for a block: of a list, the blocks take the entries in turn."""
        value = getattr(self, name)
        return value[block % len(value)] if isinstance(value, list) else value

    def to_dict(self):
        """The fields as JSON types."""
        lists = {"schedule": list(self.schedule), "norms": list(self.norms)}
        fields = {**dataclasses.asdict(self), **lists}
        return {k: v for k, v in fields.items() if v is not None or k not in self.MAYBE}

    @classmethod
    def from_dict(cls, fields):
        """Build from JSON types; a field too many or too few is an error that names it.

        Fields with `towers` among them are those of `Towers`.
        """
        if not isinstance(fields, dict):
            raise KzooError(f"A spec is a JSON object; {type(fields).__name__} came.")
        if "towers" in fields:
            return Towers.from_dict(fields)
        return cls.of_fields(cls._moved(fields))

    @classmethod
    def _moved(cls, fields):
        """The same fields, what kzoo 0.1 had beside the embedding in it."""
        moved = {new: fields[old] for old, new in cls.MOVED.items() if old in fields}
        if not moved:
            return fields
        held = fields.get("embedding", "token")
        held = held if isinstance(held, dict) else {"kind": held}
        others = {name: value for name, value in fields.items() if name not in cls.MOVED}
        return {**others, "embedding": {**held, **moved}}


@dataclasses.dataclass(frozen=True)
class Towers(Value):
    """Several networks as one, such as an encoder and a decoder: a spec for each by its name.

    Args:
        family: the family, whose class says which towers there are.
        towers: specs, or their fields, by name.
        options: what the family itself asks, by name.

    Raises:
        KzooError: for what is no such thing.
    """

    family: str
    towers: dict
    options: dict = dataclasses.field(default_factory=dict)

    def __post_init__(self):
        for name, kind in (("family", str), ("towers", dict), ("options", dict)):
            if not isinstance(getattr(self, name), kind):
                raise KzooError(
                    f"{name} is {getattr(self, name)!r:.40}; a {kind.__name__} is expected."
                )
        made = {
            name: tower if isinstance(tower, Value) else Spec.from_dict(tower)
            for name, tower in self.towers.items()
        }
        object.__setattr__(self, "towers", made)

    def replace(self, **changes):
        """Return a copy with some fields changed; KzooError for a field of one of the towers."""
        own = {field.name for field in dataclasses.fields(self)}
        of_tower = {field.name for field in dataclasses.fields(Spec)} - own
        name = next((name for name in changes if name in of_tower), None)
        if name is not None:
            raise KzooError(
                f"Got {name} for a {self.family}, whose towers {' and '.join(self.towers)} have "
                "one each; expected towers, a spec of each by name, as "
                f"spec.towers[name].replace({name}=...) makes them."
            )
        return super().replace(**changes)

    @property
    def summary(self):
        """What it is, as a sentence."""
        return f"A {self.family} of {' and '.join(self.towers)}."

    @property
    def head(self):
        """The spec of what gives the vectors that a head reads.

        That of the decoder, where there is one, with the embedding that it reads; or else of the
        tower that looks at another.
        """
        looks = (t for t in self.towers.values() if getattr(t, "cross_attention", None))
        decoder = self.towers.get("decoder") or next(looks, None)
        if decoder is None:
            return self
        return decoder.replace(embedding=self.options.get("embedding", decoder.embedding))

    def to_dict(self):
        """The fields as JSON types."""
        towers = {name: tower.to_dict() for name, tower in self.towers.items()}
        return {"family": self.family, "towers": towers, "options": dict(self.options)}

    @classmethod
    def from_dict(cls, fields):
        """Build from JSON types."""
        return cls.of_fields(fields)
