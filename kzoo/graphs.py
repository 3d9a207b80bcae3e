"""The shapes a whole network takes, each wired once; a family picks one by inheriting it."""

from keras import layers, ops

from .network import Network
from .nn.attention import additive_mask
from .nn.context import Context
from .nn.dense import Dense
from .parts import make, resolve
from .spec import Input


class Stack(Network):
    """What an embedding reads as vectors, blocks, maybe one vector for all: BERT, GPT-2.

    Inputs: a dict of what the embedding reads. For tokens int32 `token_ids` and `padding_mask` (1
    for a token, 0 for padding), and `segment_ids` where there is more than one segment; all
    (batch, length).

    Where no place looks at those behind it, the stack also takes a step of writing: further
    tokens and the keys and values of those before them, so that nothing is computed twice:

    * `token_ids` and `places`, int32 (batch, length): the tokens and where each stands in its own
      sequence, from 0; `kzoo.nn.context.NOWHERE` for padding,
    * `past_places`, int32 (batch, past_length): where the tokens stand that the cache holds;
      `NOWHERE` for a slot that holds none,
    * `past_key_N` and `past_value_N`, float32 (batch, key_value_heads, past_length, head_dim), of
      every step of the schedule.

    Outputs: a dict with `sequence_output` (batch, length, hidden_dim) and, if the spec has a
    pooler, `pooled_output` (batch, hidden_dim). Of a step of writing also `past_key_N` and
    `past_value_N` of its own places, for the caller to write into the cache.
    """

    def wire(self):
        """Make the layers of the spec."""
        spec = self.spec
        cls, _ = resolve("embedding", spec.embedding)
        self.embedding_name = cls.layer_name
        embedding = make("embedding", spec.embedding, spec=spec, name=cls.layer_name)
        setattr(self, cls.layer_name, embedding)
        self.segment_embedding = embedding.segment_table()
        self.position = make("position", spec.position, spec=spec, name="position")
        self.embedding_norm = self.norm("embedding")
        self.embedding_dropout = layers.Dropout(spec.dropout)
        self.embedding_projection = (
            Dense(spec.hidden_dim, spec, "embedding_projection")
            if embedding.dim != spec.hidden_dim
            else None
        )
        self.block_list = [
            make("block", spec.block, spec=spec, name=f"block_{index}", index=index)
            for index in spec.blocks
        ]
        self.final_norm = self.norm("final")
        self.pooler = make("pooler", spec.pooler, spec=spec, name="pooler")

    def norm(self, place):
        """The norm that stands at a place beside the blocks, or None."""
        stands = place in self.spec.norms
        return make("norm", self.spec.norm, name=f"{place}_norm") if stands else None

    @property
    def embedding(self):
        """What makes vectors of the inputs."""
        return getattr(self, self.embedding_name)

    @property
    def signatures(self):
        """What the embedding reads; and a step of writing, where one can be taken."""
        serve, step = self.embedding.signature, self.embedding.step_signature
        if step is None or any(block.attention.looks_ahead for block in self.block_list):
            return {"serve": serve}
        attention = self.block_list[0].attention
        axes = ("batch", attention.key_value_heads, "past_length", attention.head_dim)
        return {
            "serve": serve,
            "step": {
                **step,
                "places": Input(("batch", "length")),
                "past_places": Input(("batch", "past_length")),
                **dict.fromkeys(self.past_names, Input(axes, "float32")),
            },
        }

    @property
    def past_names(self):
        """The names of the keys and values of every step, in order."""
        steps = range(self.spec.num_layers)
        return [f"past_{what}_{step}" for step in steps for what in ("key", "value")]

    def context(self, inputs):
        """What every block is told beside the vectors."""
        if "places" in inputs:
            queries = keys = inputs["places"]
            keys = ops.concatenate([inputs["past_places"], keys], axis=1)
            batch, bias, length = ops.shape(queries)[0], None, None
        else:
            length = ops.shape(inputs["padding_mask"])[1]  # As heads do: one SHAPE for all.
            queries = keys = ops.arange(length, dtype="int32")
            batch, bias = 1, additive_mask(inputs["padding_mask"], self.compute_dtype)
        return Context(
            self.position,
            bias,
            length,
            queries=ops.reshape(queries, (batch, 1, -1, 1)),
            keys=ops.reshape(keys, (batch, 1, 1, -1)),
            inputs=inputs,
        )

    def embed(self, inputs, context, training=None):
        """Token, segment and position vectors, normalised: (batch, length, hidden_dim)."""
        x = self.embedding(inputs, training=training)
        if self.segment_embedding is not None:
            x = x + self.segment_embedding(self.embedding.segments(inputs))
        x = self.position(x, context=context)
        x = x if self.embedding_norm is None else self.embedding_norm(x)
        x = self.embedding_dropout(x, training=training)
        return x if self.embedding_projection is None else self.embedding_projection(x)

    def call(self, inputs, training=None, return_hidden_states=False, return_attention_maps=False):
        """Run the schedule.

        With `return_hidden_states`, `hidden_states` is a tuple of the embeddings and every step's
        output, the last as `sequence_output` has it; with `return_attention_maps`,
        `attention_maps` is a tuple by step of (batch, heads, queries, keys). A block run twice
        gives two entries.
        """
        context = self.context(inputs)
        x = self.embed(inputs, context, training=training)
        blocks = dict(zip(self.spec.blocks, self.block_list, strict=True))
        names = iter(self.past_names)
        states, maps, past = [x], [], {}
        for index, key, value in zip(self.spec.schedule, names, names, strict=True):
            here = context.with_past((inputs[key], inputs[value])) if key in inputs else context
            x, seen = blocks[index](x, context=here, training=training)
            states.append(x)
            maps.append(seen.maps)
            past |= {key: seen.key, value: seen.value}
        if self.final_norm is not None:
            x = states[-1] = self.final_norm(x)
        outputs = {"sequence_output": x}
        pooled = self.pooler(x)
        if pooled is not None:
            outputs["pooled_output"] = pooled
        if "places" in inputs:
            outputs |= {name: ops.cast(value, "float32") for name, value in past.items()}
        if return_hidden_states:
            outputs["hidden_states"] = tuple(states)
        if return_attention_maps:
            outputs["attention_maps"] = tuple(maps)
        return outputs
