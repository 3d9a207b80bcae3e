"""A block is attention and a feed-forward net, each on a residual branch."""

from keras import layers

from ..parts import make, part


@part("block", "post_norm")
class PostNorm(layers.Layer):
    """`norm(x + branch(x))`, twice (BERT, arXiv:1810.04805).

    Args:
        spec: the spec of the stack.
        index: which of its blocks this is, for slots whose list the blocks take in turn.
    """

    def __init__(self, spec, name, index=0):
        super().__init__(name=name)

        def slot(part):
            return make(part, spec.slot(part, index), spec=spec, name=part)

        def norm(branch):
            return make("norm", spec.norm, name=f"{branch}_norm")

        self.attention, self.attention_norm = slot("attention"), norm("attention")
        self.feedforward, self.feedforward_norm = slot("feedforward"), norm("feedforward")
        self.dropout = layers.Dropout(spec.dropout)

    def call(self, x, context, training=None):
        """(batch, length, hidden_dim) to the same shape, and what attention saw."""
        seen = []

        def attend(x):
            y, saw = self.attention(x, context=context, training=training)
            seen.append(saw)
            return self.dropout(y, training=training)

        x = self.branch(x, attend, self.attention_norm)
        x = self.branch(
            x,
            lambda x: self.dropout(self.feedforward(x), training=training),
            self.feedforward_norm,
        )
        return x, seen[0]

    def branch(self, x, function, norm):
        """One residual branch, and where its norm stands."""
        return norm(x + function(x))


@part("block", "pre_norm")
class PreNorm(PostNorm):
    """`x + branch(norm(x))`, twice (GPT-2, ViT; arXiv:2002.04745)."""

    def branch(self, x, function, norm):
        """One residual branch, and where its norm stands."""
        return x + function(norm(x))
