"""A block is attention and a feed-forward net, each on a residual branch."""

from keras import layers

from ..parts import make, part


@part("block", "post_norm")
class PostNorm(layers.Layer):
    """`norm(x + branch(x))`, twice (BERT, arXiv:1810.04805)."""

    def __init__(self, spec, name):
        super().__init__(name=name)
        self.attention = make("attention", spec.attention, spec=spec, name="attention")
        self.attention_norm = make("norm", spec.norm, name="attention_norm")
        self.feedforward = make("feedforward", spec.feedforward, spec=spec, name="feedforward")
        self.feedforward_norm = make("norm", spec.norm, name="feedforward_norm")
        self.dropout = layers.Dropout(spec.dropout)

    def call(self, x, bias, position, training=None):
        """(batch, length, hidden_dim) to the same shape, and the attention maps."""
        y, maps = self.attention(x, bias, position=position, training=training)
        x = self.attention_norm(x + self.dropout(y, training=training))
        y = self.feedforward(x)
        return self.feedforward_norm(x + self.dropout(y, training=training)), maps
