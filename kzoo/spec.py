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


@dataclasses.dataclass(frozen=True)
class Spec:
    """One transformer, as a value.

    Sizes are counted in units of the tensor axes they name. The last seven fields are slots: each
    holds one part, named by its kind (`"learned"`) or by a dict of the kind and its options
    (`{"kind": "mlp", "activation": "gelu"}`); `attention` and `feedforward` may hold a list, whose
    entries the blocks take in turn. `schedule` is the depth: which block runs at each
    step, so `(0, 1, 2)` is three blocks, `(0, 0, 0)` one block run three times (ALBERT) and
    `(0, 2, 4)` a student cut from a deeper teacher.

    Raises:
        KzooError: on sizes that do not fit each other.
    """

    family: str
    vocabulary_size: int
    hidden_dim: int
    num_heads: int
    intermediate_dim: int
    schedule: tuple
    max_sequence_length: int = 512
    num_segments: int = 0
    embedding_dim: int = 0  # 0: hidden_dim
    head_dim: int = 0  # 0: hidden_dim / num_heads
    padding_id: int = 0
    dropout: float = 0.1
    attention_dropout: float = 0.1
    initializer_range: float = 0.02
    embedding: object = "token"
    position: object = "learned"
    attention: object = "full"
    block: object = "post_norm"
    feedforward: object = dataclasses.field(
        default_factory=lambda: {"kind": "mlp", "activation": "gelu"}
    )
    norm: object = dataclasses.field(
        default_factory=lambda: {"kind": "layer_norm", "epsilon": 1e-12}
    )
    pooler: object = "tanh"

    # The slots that may hold a list, whose entries the blocks take in turn.
    IN_TURN = ("attention", "feedforward")
    SLOTS = ("embedding", "position", "attention", "block", "feedforward", "norm", "pooler")

    # Whole numbers and the least that each may be; rates.
    WHOLE = {
        "vocabulary_size": 1, "hidden_dim": 1, "num_heads": 1, "intermediate_dim": 1,
        "max_sequence_length": 1, "num_segments": 0, "embedding_dim": 0, "head_dim": 0,
        "padding_id": 0,
    }  # fmt: skip
    RATES = ("dropout", "attention_dropout", "initializer_range")

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
        for name in self.SLOTS:
            value = getattr(self, name)
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
        listed = isinstance(self.schedule, (list, tuple))
        if (
            not listed
            or not self.schedule
            or not all(is_whole(i, 0, LARGEST) for i in self.schedule)
        ):
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

    def replace(self, **changes):
        """Return a copy with some fields changed."""
        return type(self).from_dict({**_fields(self), **changes})

    def to_dict(self):
        """The fields as JSON types."""
        return {**dataclasses.asdict(self), "schedule": list(self.schedule)}

    def to_json(self):
        """The spec as the text of a `spec.json`."""
        return json.dumps(self.to_dict(), indent=2) + "\n"

    @classmethod
    def from_dict(cls, fields):
        """Build from JSON types; a field too many or too few is an error that names it."""
        if not isinstance(fields, dict):
            raise KzooError(f"A spec is a JSON object; {type(fields).__name__} came.")
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

    @classmethod
    def from_json(cls, text):
        """Read the text of a `spec.json`."""
        return cls.from_dict(parse_json(text, "The text", "a spec"))


def _fields(spec):
    return {field.name: getattr(spec, field.name) for field in dataclasses.fields(spec)}
