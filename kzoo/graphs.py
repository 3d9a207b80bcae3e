"""The shapes a whole network takes, each wired once; a family picks one by inheriting it."""

from keras import layers, ops

from .network import Network
from .nn.attention import additive_mask
from .nn.context import Context
from .nn.dense import Dense
from .nn.embedding import Table
from .parts import make


class Encoder(Network):
    """Tokens in, one vector a place and maybe one for the sequence out (arXiv:1810.04805).

    Inputs: a dict of int32 `token_ids` and `padding_mask` (1 for a token, 0 for padding), and
    `segment_ids` where the spec has more than one segment; all (batch, length).

    Outputs: a dict with `sequence_output` (batch, length, hidden_dim) and, if the spec has a
    pooler, `pooled_output` (batch, hidden_dim).
    """

    def wire(self):
        """Make the layers of the spec."""
        spec = self.spec
        width = spec.embedding_dim or spec.hidden_dim
        self.token_embedding = make("embedding", spec.embedding, spec=spec, name="token_embedding")
        self.segment_embedding = (
            Table(spec.num_segments, width, spec, "segment_embedding")
            if spec.num_segments
            else None
        )
        self.position = make("position", spec.position, spec=spec, name="position")
        self.embedding_norm = make("norm", spec.norm, name="embedding_norm")
        self.embedding_dropout = layers.Dropout(spec.dropout)
        self.embedding_projection = (
            Dense(spec.hidden_dim, spec, "embedding_projection")
            if width != spec.hidden_dim
            else None
        )
        self.block_list = [
            make("block", spec.block, spec=spec, name=f"block_{index}", index=index)
            for index in spec.blocks
        ]
        self.pooler = make("pooler", spec.pooler, spec=spec, name="pooler")

    @property
    def signature(self):
        """What the embedding reads."""
        return self.token_embedding.signature

    @property
    def output_axes(self):
        """The axes of each output, by the names of their sizes."""
        axes = {"sequence_output": ("batch", "length", "hidden_dim")}
        if self.spec.pooler != "none":
            axes["pooled_output"] = ("batch", "hidden_dim")
        return axes

    def context(self, inputs):
        """What every block is told beside the vectors."""
        length = ops.shape(inputs["token_ids"])[1]
        places = ops.arange(length, dtype="int32")
        bias = additive_mask(inputs["padding_mask"], self.compute_dtype)
        return Context(self.position, bias, length, places, places, inputs)

    def embed(self, inputs, context, training=None):
        """Token, segment and position vectors, normalised: (batch, length, hidden_dim)."""
        x = self.token_embedding(inputs["token_ids"])
        if self.spec.num_segments > 1:
            x = x + self.segment_embedding(inputs["segment_ids"])
        elif self.spec.num_segments == 1:
            x = x + self.segment_embedding(0 * inputs["token_ids"])
        x = self.position(x, context=context)
        x = self.embedding_dropout(self.embedding_norm(x), training=training)
        return x if self.embedding_projection is None else self.embedding_projection(x)

    def call(self, inputs, training=None, return_hidden_states=False, return_attention_maps=False):
        """Run the schedule.

        With `return_hidden_states`, `hidden_states` is a tuple of the embeddings and every step's
        output; with `return_attention_maps`, `attention_maps` is a tuple by step of
        (batch, heads, length, length). A block run twice gives two entries.
        """
        context = self.context(inputs)
        x = self.embed(inputs, context, training=training)
        blocks = dict(zip(self.spec.blocks, self.block_list, strict=True))
        states, maps = [x], []
        for index in self.spec.schedule:
            x, seen = blocks[index](x, context=context, training=training)
            states.append(x)
            maps.append(seen.maps)
        outputs = {"sequence_output": x}
        pooled = self.pooler(x)
        if pooled is not None:
            outputs["pooled_output"] = pooled
        if return_hidden_states:
            outputs["hidden_states"] = tuple(states)
        if return_attention_maps:
            outputs["attention_maps"] = tuple(maps)
        return outputs
