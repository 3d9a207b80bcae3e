"""A block is attention and a feed-forward net, each on a residual branch."""

from ..errors import KzooError
from ..parts import make, part
from .composed import Composed
from .context import Context
from .dense import check_maps
from .dropout import Dropout
from .position import UNPLACED


@part("block", "post_norm")
class PostNorm(Composed):
    """`norm(x + branch(x))`, a branch after the other (BERT, arXiv:1810.04805).

    The branches are attention, attention to a memory where the spec says so, and the feed-forward
    net.

    Args:
        spec: the spec of the stack.
        index: which of its blocks this is, for slots whose list the blocks take in turn.

    `maps` has the paths of its affine maps, such as "attention/query".
    """

    streams = 1  # How many vectors of each place it reads and gives, side by side.
    first_apart = False  # Whether block 0 has weights that the others lack.

    def __init__(self, spec, name, index=0):
        super().__init__(name=name)
        spec = _own(spec, index)
        self.attention = of_slot("attention", spec, index)
        self.attention_norm = make("norm", spec.norm, name="attention_norm")
        self.cross_attention = self.cross_attention_norm = None
        if spec.cross_attention is not None:
            self.cross_attention = make(
                "attention", spec.cross_attention, spec=spec, name="cross_attention"
            )
            self.cross_attention_norm = make("norm", spec.norm, name="cross_attention_norm")
        self.feedforward = of_slot("feedforward", spec, index)
        self.feedforward_norm = make("norm", spec.norm, name="feedforward_norm")
        more = self.further(spec, index)
        self.maps = _maps(spec, self.attention, self.cross_attention, self.feedforward, *more)
        self.dropout = Dropout(spec.dropout)

    def further(self, spec, index):
        """Make what a kind has beside these; gives those of its parts that have maps."""
        return []

    def call(self, x, context, training=None):
        """(batch, length, hidden_dim) to the same shape, and what attention to itself saw.

        Where only the first places ask, only theirs come out. Without a memory none is looked at.
        """
        y = self.before(x, self.attention_norm)
        y, seen = self.attention(y, context=context, training=training)
        x, y = context.asking(x), context.asking(y)
        x = self.after(x + self.dropout(y, training=training), self.attention_norm)
        if self.cross_attention is not None and context.cross is not None:
            y = self.before(x, self.cross_attention_norm)
            y, _ = self.cross_attention(y, context=context.cross, training=training)
            x = self.after(x + self.dropout(y, training=training), self.cross_attention_norm)
        y = self.feedforward(self.before(x, self.feedforward_norm))
        x = self.after(x + self.dropout(y, training=training), self.feedforward_norm)
        return x, seen

    def recalled(self, memory):
        """What vectors that went into it before (batch, places, hidden_dim) are: keys and values.

        Both are (batch, key_value_heads, places, head_dim).
        """
        return self.attention.keys_and_values(
            self.before(memory, self.attention_norm), Context(UNPLACED)
        )

    def before(self, x, norm):
        """What goes into a branch."""
        return x

    def after(self, x, norm):
        """What comes of a branch that was added."""
        return norm(x)


@part("block", "pre_norm")
class PreNorm(PostNorm):
    """`x + branch(norm(x))`, twice (GPT-2, ViT; arXiv:2002.04745)."""

    def before(self, x, norm):
        """What goes into a branch."""
        return norm(x)

    def after(self, x, norm):
        """What comes of a branch that was added."""
        return x


@part("block", "parallel")
class Parallel(Composed):
    """`x + attention(y) + feedforward(y)` of one `y = norm(x)` (GPT-J, PaLM; arXiv:2204.02311)."""

    streams = 1
    first_apart = False

    def __init__(self, spec, name, index=0):
        super().__init__(name=name)
        if spec.cross_attention is not None:
            raise KzooError("A parallel block has no attention to a memory: take another block.")
        spec = _own(spec, index)
        self.norm = make("norm", spec.norm, name="norm")
        self.attention = of_slot("attention", spec, index)
        self.feedforward = of_slot("feedforward", spec, index)
        self.maps = _maps(spec, self.attention, self.feedforward)
        self.dropout = Dropout(spec.dropout)

    def recalled(self, memory):
        """See `PostNorm`."""
        return self.attention.keys_and_values(self.norm(memory), Context(UNPLACED))

    def call(self, x, context, training=None):
        """(batch, length, hidden_dim) to the same shape, and what attention saw.

        Where only the first places ask, only theirs come out.
        """
        y = self.norm(x)
        attended, seen = self.attention(y, context=context, training=training)
        branches = context.asking(attended), self.feedforward(context.asking(y))
        branches = sum(self.dropout(branch, training=training) for branch in branches)
        return context.asking(x) + branches, seen


def of_slot(part, spec, index, name=None):
    """What a slot holds for a block; called as the slot, where it has no other `name`."""
    return make(part, spec.slot(part, index), spec=spec, name=name or part)


def _own(spec, index):
    """The spec of a stack with what its `dense` slot holds for one block."""
    return spec if spec.dense is None else spec.replace(dense=spec.slot("dense", index))


def _maps(spec, *parts):
    """The paths of the affine maps of a block's parts; KzooError where `dense` names another."""
    paths = tuple(f"{part.name}/{name}" for part in parts if part for name in part.MAPS)
    check_maps(spec, paths)
    return paths
