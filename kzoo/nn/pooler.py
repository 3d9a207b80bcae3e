"""One vector for a sequence, as pretraining left it."""

from keras import layers, ops

from ..errors import KzooError
from ..parts import make, part
from ..spec import LARGEST
from ..values import is_whole
from .composed import Composed
from .dense import Dense, activation

# `places` of a pooler says how many of the first places it reads, None for any of them.


def first_place(x):
    """The first token's vector: (batch, length, dim) to (batch, dim).

    A slice that keeps the axis, and a reshape: XNNPACK takes no slice that drops an axis.
    """
    return ops.reshape(x[:, :1], (-1, x.shape[-1]))


@part("pooler", "none")
class NoPooler(layers.Layer):
    """A backbone without a pooled output."""

    places = 0

    def __init__(self, spec, name):
        super().__init__(name=name)

    def call(self, x, context=None):
        """Nothing."""
        return None


@part("pooler", "mean")
class MeanPooler(layers.Layer):
    """The mean over all places, none of which is padding (MobileViT)."""

    places = None

    def __init__(self, spec, name):
        super().__init__(name=name)

    def call(self, x, context=None):
        """(batch, length, hidden_dim) to (batch, hidden_dim)."""
        return ops.mean(x, axis=1)


@part("pooler", "first_token")
class FirstTokenPooler(layers.Layer):
    """The first token's vector as it is (the released MobileBERT, arXiv:2004.02984)."""

    places = 1

    def __init__(self, spec, name):
        super().__init__(name=name)

    def call(self, x, context=None):
        """(batch, length, hidden_dim) to (batch, hidden_dim)."""
        return first_place(x)


@part("pooler", "tanh")
class TanhPooler(Dense):
    """A dense layer and tanh on the first token's vector (BERT)."""

    places = 1

    def __init__(self, spec, name):
        super().__init__(spec.hidden_dim, spec, name)

    def call(self, x, context=None):
        """(batch, length, hidden_dim) to (batch, hidden_dim)."""
        return activation("tanh")(super().call(first_place(x)))


class Projected(Composed):
    """Base of poolers that map one place to a space that towers share (CLIP).

    arXiv:2103.00020, section 2.3.

    Args:
        spec: the spec of the stack.
        dim: how wide that space is.
    """

    has_bias = False  # Whether the map adds something.

    def __init__(self, spec, name, dim=512):
        super().__init__(name=name)
        if not is_whole(dim, 1, LARGEST):
            raise KzooError(f"Got dim = {dim!r:.40} for a pooler; expected a whole number above 0.")
        self.projection = Dense(dim, spec, "projection", bias=self.has_bias)


@part("pooler", "first")
class FirstPooler(Projected):
    """The norm of the first place, projected (CLIP's pictures)."""

    places = 1

    def __init__(self, spec, name, dim=512):
        super().__init__(spec, name, dim)
        self.norm = make("norm", spec.norm, name="norm")

    def call(self, x, context=None):
        """(batch, length, hidden_dim) to (batch, dim)."""
        return self.projection(self.norm(first_place(x)))


@part("pooler", "first_mapped")
class FirstMappedPooler(Projected):
    """The first place as it is, mapped with a bias (BLIP, arXiv:2201.12086)."""

    places, has_bias = 1, True

    def call(self, x, context=None):
        """(batch, length, hidden_dim) to (batch, dim)."""
        return self.projection(first_place(x))


@part("pooler", "end")
class EndPooler(Projected):
    """The place where a text ends, projected (CLIP's texts).

    Args:
        spec, dim: as for all of these.
        token: the id of the token that ends a text: the first such place counts, or the first of
            all where a text has none. "largest" for the first place of the largest id of the
            text, as CLIP was made: its end token is the last of its vocabulary.
    """

    places = None

    def __init__(self, spec, name, dim=512, token="largest"):
        super().__init__(spec, name, dim)
        if token != "largest" and not is_whole(token, 0, LARGEST):
            raise KzooError(
                f'Got token = {token!r:.40} for a pooler; expected an id, or "largest".'
            )
        self.token = token

    def call(self, x, context):
        """(batch, length, hidden_dim) to (batch, dim)."""
        ids = context.inputs["token_ids"]
        marks = ids if self.token == "largest" else ops.cast(ops.equal(ids, self.token), "int32")
        end = ops.cast(ops.argmax(marks, axis=1), "int32")
        # The stack's own length where it has one: another of the ids' would be a SHAPE more.
        length = ops.shape(ids)[1] if context.length is None else context.length
        places = ops.arange(length, dtype="int32")
        # A product and no gathering: the latter stands outside of what XNNPACK takes as one.
        chosen = ops.cast(ops.equal(places[None], ops.expand_dims(end, -1)), x.dtype)
        end = ops.matmul(ops.expand_dims(chosen, 1), x)
        return self.projection(ops.reshape(end, (-1, x.shape[-1])))
