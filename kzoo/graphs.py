"""The shapes a whole network takes, each wired once; a family picks one by inheriting it."""

import contextlib
import dataclasses
import itertools
import math

import keras
import numpy as np
from keras import ops

from .errors import KzooError
from .keras_hooks import recomputed, reversible
from .network import Network, weights_by_path
from .nn.attention import OUT, Seen, additive_mask
from .nn.context import Context
from .nn.dense import Dense
from .nn.dropout import Dropout
from .nn.embedding import TargetVector
from .nn.patches import between, grid_of, places
from .nn.position import UNPLACED, Learned
from .parts import completed, make, resolve
from .spec import Input
from .values import an, is_whole


class Stack(Network):
    """What an embedding reads as vectors, blocks, maybe one vector for all: BERT, GPT-2, ViT.

    Inputs: a dict of what the embedding reads. For tokens int32 `token_ids` and `padding_mask` (1
    for a token, 0 for padding), and `segment_ids` where there is more than one segment; all
    (batch, length). For pictures float32 `images` (batch, height, width, channels), normalised.

    Where no place looks at those behind it, the stack also takes a step of writing: further
    tokens and the keys and values of those before them, so that nothing is computed twice:

    * `token_ids` and `places`, int32 (batch, length): the tokens and where each stands in its own
      sequence, from 0; `kzoo.values.NOWHERE` for padding,
    * `past_places`, int32 (batch, past_length): where the tokens stand that the cache holds;
      `NOWHERE` for a slot that holds none,
    * `past_key_N` and `past_value_N`, float32 (batch, key_value_heads, past_length, head_dim), of
      every step of the schedule.

    Outputs: a dict with `sequence_output` (batch, length, hidden_dim) and, if the spec has a
    pooler, `pooled_output` (batch, hidden_dim). Of a step of writing also `past_key_N` and
    `past_value_N` of its own places, for the caller to write into the cache.

    Args:
        spec, name: as for `Network`.
        embedded_by: another stack, whose tables of tokens, segments and places and the norm behind
            them are this one's too.
    """

    def __init__(self, spec, name=None, embedded_by=None):
        vars(self)["embedded_by"] = embedded_by  # Past Keras: it is no part.
        super().__init__(spec, name)

    def wire(self):
        """Make the layers of the spec."""
        self.schedule = self.spec.schedule  # The steps that a call runs, see `running`.
        spec = self.spec
        if not spec.schedule:
            raise KzooError(
                f"schedule is [] for {an(spec.family)}; a list of block indices such as [0, 1, 2] "
                "is expected."
            )
        cls, _ = resolve("embedding", spec.embedding)
        self.embedding_name = cls.layer_name
        self.wire_embedding()
        embedding = self.embedding
        self.embedding_dropout = Dropout(spec.dropout)
        self.embedding_projection = (
            Dense(spec.hidden_dim, spec, "embedding_projection")
            if embedding.dim != spec.hidden_dim
            else None
        )
        held = (resolve("attention", spec.slot("attention", index)) for index in spec.blocks)
        common = (cls.common(spec, **options) for cls, options in held)
        self.attention_common = next((layer for layer in common if layer is not None), None)
        self.block_list = [
            make("block", spec.block, spec=spec, name=f"block_{index}", index=index)
            for index in spec.blocks
        ]
        # How many vectors each place has between the blocks, and at the end of them.
        self.streams = max(block.streams for block in self.block_list)
        self.final_norm = self.norm("final")
        self.pooler = make("pooler", spec.pooler, spec=spec, name="pooler")

    def wire_embedding(self):
        """Make what stands before the first dropout, or take that of another stack."""
        spec, other, name = self.spec, vars(self).pop("embedded_by"), self.embedding_name
        if other is None:
            setattr(self, name, make("embedding", spec.embedding, spec=spec, name=name))
            self.segment_embedding = self.embedding.segment_table()
            self.position = make("position", spec.position, spec=spec, name="position")
            self.embedding_norm = self.norm("embedding")
            return
        setattr(self, name, other.embedding)
        self.segment_embedding = other.segment_embedding
        # Of a row for each place alone: what has something for each head isn't the other's.
        shared = isinstance(other.position, Learned) and not other.position.bound_to
        own = None if shared else make("position", spec.position, spec=spec, name="position")
        self.position = own or other.position
        self.embedding_norm = other.embedding_norm

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
        """What the embedding reads, and a memory; and a step of writing, where one can be taken."""
        serve, step = self.embedding.signature, self.embedding.step_signature
        memory, known = {}, {}
        if self.spec.cross_attention is not None:
            mask = {"memory_mask": Input(("batch", "memory_length"))}
            width = self.block_list[0].cross_attention.memory_dim or self.spec.hidden_dim
            axes = ("batch", "memory_length", width)
            memory = {"memory": Input(axes, "float32"), **mask}
            known = {**mask, **self._caches("memory")}
        if step is None or any(block.attention.looks_ahead for block in self.block_list):
            return {"serve": {**serve, **memory}}
        places, past_places = Input(("batch", "length")), Input(("batch", "past_length"))
        step = {**step, "places": places, "past_places": past_places, **self._caches("past")}
        return {"serve": {**serve, **memory}, "step": {**step, **known}}

    def resizing(self, image_size):
        """See `Network`; the vectors of places are interpolated, see `nn.patches.between`."""
        slot = {**completed("embedding", self.spec.embedding), "image_size": image_size}
        spec = self.spec.replace(embedding=slot, max_sequence_length=places(slot))
        table = weights_by_path(self).get("position/embeddings")
        if table is None:
            return spec, {}
        table = between(ops.convert_to_numpy(table), self.embedding.grid, grid_of(slot))
        return spec, {"position/embeddings": table}

    def _caches(self, of):
        """The keys and values of every step, of what was read (past) or of the memory."""
        blocks, caches = dict(zip(self.spec.blocks, self.block_list, strict=True)), {}
        for step, index in enumerate(self.spec.schedule):
            block = blocks[index]
            attention = block.attention if of == "past" else block.cross_attention
            axes = ("batch", attention.key_value_heads, f"{of}_length", attention.head_dim)
            for what in ("key", "value"):
                caches[f"{of}_{what}_{step}"] = Input(axes, "float32")
        return caches

    @property
    def past_names(self):
        """The names of the keys and values of what was read, of every step in order."""
        return list(self._caches("past"))

    def remember(self, memory):
        """What a memory (batch, memory_length, dim) is to every step: keys and values by name."""
        context = Context(UNPLACED, memory=memory)
        blocks = dict(zip(self.spec.blocks, self.block_list, strict=True))
        seen = [
            each
            for index in self.spec.schedule
            for each in blocks[index].cross_attention.keys_and_values(None, context)
        ]
        return {
            name: ops.cast(value, "float32")
            for name, value in zip(self._caches("memory"), seen, strict=True)
        }

    @property
    def output_axes(self):
        """The axes of each output, by the names of their sizes."""
        width = "hidden_dim" if self.streams == 1 else "width"
        axes = {"sequence_output": ("batch", "length", width)}
        if self.spec.pooler != "none":
            axes["pooled_output"] = ("batch", "hidden_dim")
        return axes

    def context(self, inputs):
        """What every block is told beside the vectors."""
        if "places" in inputs:
            queries = keys = inputs["places"]
            keys = ops.concatenate([inputs["past_places"], keys], axis=1)
            batch, bias, length = ops.shape(queries)[0], None, None
        else:
            length, mask = self.embedding.length(inputs), self.embedding.padding_mask(inputs)
            queries = keys = ops.arange(length, dtype="int32")
            batch, bias = 1, None if mask is None else additive_mask(mask, self.compute_dtype)
        return Context(
            self.position,
            bias,
            length,
            queries=ops.reshape(queries, (batch, 1, -1, 1)),
            keys=ops.reshape(keys, (batch, 1, 1, -1)),
            cross=self.cross_context(inputs),
            inputs=inputs,
            common=self.attention_common,
        )

    def cross_context(self, inputs):
        """What attention to a memory is told, where there is one; all counts without a mask."""
        memory, mask = inputs.get("memory"), inputs.get("memory_mask")
        if memory is None and "memory_key_0" not in inputs:
            return None
        bias = None if mask is None else additive_mask(mask, self.compute_dtype)
        memory = None if memory is None else ops.cast(memory, self.compute_dtype)
        return Context(UNPLACED, bias, memory=memory)

    def embed(self, inputs, context, training=None):
        """Token, segment and position vectors, normalised: (batch, length, hidden_dim)."""
        x = self.embedding(inputs, training=training)
        if self.segment_embedding is not None:
            x = x + self.segment_embedding(self.embedding.segments(inputs))
        x = self.position(x, context=context)
        x = x if self.embedding_norm is None else self.embedding_norm(x)
        x = self.embedding_dropout(x, training=training)
        return x if self.embedding_projection is None else self.embedding_projection(x)

    def run_for(self, inputs, first, training=None):
        """`run`, where of the last step only those places are computed that something reads.

        Of the others only keys and values count there. In training all are computed, so that
        dropout draws the same numbers whatever reads the stack.
        """
        if training or first is None or self.pooler.places is None:
            return self.run(inputs, training=training)
        return self.run(inputs, training=training, first=max(first, self.pooler.places))

    def checkpoint_gradients(self, value):
        """See `Network`: of each block its input alone is kept (arXiv:1604.06174)."""
        self.gradient_checkpointing = value

    def run_block(self, block, x, context, training=None, projects=False):
        """A block's vectors (batch, length, hidden_dim), and what its attention saw.

        Of what was seen there may be no more than is asked for: with `projects` its projections.
        """
        if not (training and self.gradient_checkpointing):
            return block(x, context=context, training=training)
        names = ("maps", "scores") * context.shown + ("query", "key", "value") * projects
        tensors, joined = context.apart()

        def run(x, *tensors):
            y, seen = block(x, context=joined(tensors), training=training)
            return [y, *(getattr(seen, name) for name in names)]

        x, *given = recomputed(block, run, [x, *tensors])
        return x, Seen(**{**dict.fromkeys(Seen._fields), **dict(zip(names, given, strict=True))})

    @contextlib.contextmanager
    def running(self, schedule):
        """See `Network`."""
        if not schedule or not set(schedule) <= set(self.spec.schedule):
            raise KzooError(
                f"Got the schedule {tuple(schedule)}; expected steps of {self.spec.schedule}."
            )
        before, self.schedule = self.schedule, tuple(schedule)
        try:
            yield
        finally:
            self.schedule = before

    def surroundings(self, context, inputs, step, block):
        """The context of one step of the schedule."""
        return context.at(*(_pair(inputs, of, step) for of in ("past", "memory")))

    def asked(self, x, context, seen, training=None):
        """The `sequence_output`: x, the vectors behind the last step.

        Args:
            x: (batch, length, hidden_dim).
            context: that of all steps.
            seen: what the attention of each step saw.
        """
        return x

    def remembered(self, inputs, states, past):
        """What the outputs have beside the vectors, for those who go on from there.

        Args:
            inputs: the network's.
            states: what went into each step, (batch, length, hidden_dim).
            past: the keys and values of each step, by name.
        """
        return {}

    def run_reversibly(self, x, context, training=None):
        """The vectors behind all steps, of which none are kept for gradients (arXiv:1707.04585).

        What a half adds to one stream is computed again of the other one, and taken off.
        """
        tensors, joined = context.apart()
        blocks = dict(zip(self.spec.blocks, self.block_list, strict=True))
        halves = [
            ([*layers, self.position], lambda x, *own, run=run: run(x, joined(own)))
            for index in self.schedule
            for layers, run in blocks[index].halves(training)
        ]
        streams = reversible(halves, ops.split(x, self.streams, axis=-1), tensors)
        return ops.concatenate(streams, axis=-1)

    def call(
        self,
        inputs,
        training=None,
        return_hidden_states=False,
        return_attention_maps=False,
        return_attention_scores=False,
        return_projections=False,
        first=None,
    ):
        """Run the schedule.

        With `return_hidden_states`, `hidden_states` is a tuple of the embeddings and every step's
        output, the last as `sequence_output` has it; with `return_attention_maps`,
        `attention_maps` is a tuple by step of (batch, heads, queries, keys), and with
        `return_attention_scores`, `attention_scores` one of what these are the softmax of. With
        `return_projections`, `projections` is a tuple by step of (query, key, value), as in
        `nn.attention.Seen`. A block run twice gives two entries. With `first`, `sequence_output`
        has as many of the first places alone.
        """
        context = self.context(inputs)
        x = self.embed(inputs, context, training=training)
        if self.attention_common is not None and not self.attention_common.built:
            self.attention_common.build(x.shape)  # Here, that its weights aren't those of a block.
        blocks = dict(zip(self.spec.blocks, self.block_list, strict=True))
        shown = return_attention_maps or return_attention_scores
        context = dataclasses.replace(context, shown=shown)
        x = x if self.streams == 1 else ops.concatenate([x] * self.streams, axis=-1)
        states, all_seen, past, schedule = [x], [], {}, self.schedule
        needed = shown or return_hidden_states or return_projections or "places" in inputs
        if training and self.streams > 1 and not needed:
            x, schedule = self.run_reversibly(x, context, training), ()
            states.append(x)
        for step, index in enumerate(schedule):
            here = self.surroundings(context, inputs, step, blocks[index])
            if first is not None and step == len(schedule) - 1:
                here = here.for_first(first)
            x, seen = self.run_block(blocks[index], x, here, training, return_projections)
            states.append(x)
            all_seen.append(seen)
            past |= {f"past_key_{step}": seen.key, f"past_value_{step}": seen.value}
        if self.final_norm is not None:
            x = states[-1] = self.final_norm(x)
        outputs = {"sequence_output": self.asked(x, context, all_seen, training)}
        pooled = self.pooler(x, context=context)
        if pooled is not None:
            outputs["pooled_output"] = pooled
        if "places" in inputs:
            outputs |= {name: ops.cast(value, "float32") for name, value in past.items()}
        outputs |= self.remembered(inputs, states, past)
        if return_hidden_states:
            outputs["hidden_states"] = tuple(states)
        if return_attention_maps:
            outputs["attention_maps"] = tuple(seen.maps for seen in all_seen)
        if return_attention_scores:
            outputs["attention_scores"] = tuple(seen.scores for seen in all_seen)
        if return_projections:
            outputs["projections"] = tuple((s.query, s.key, s.value) for s in all_seen)
        return outputs


class Recurrent(Stack):
    """A stack that goes on from what it read before (segment recurrence, arXiv:1901.02860).

    Its attention is of a kind that `recalls`. Beside what a `Stack` takes it reads a segment
    behind others, of which it is given a memory of any number of places, all of which come before
    the segment's own:

    * `token_ids`, int32 (batch, length), and what else the embedding reads where a place sees those
      behind it,
    * `memory_mask`, int32 (batch, memory_length): 1 for a place that is looked at,
    * `memory_N`, float32 (batch, memory_length, hidden_dim): what went into each step there; or
      `memory_key_N` and `memory_value_N`, float32 (batch, key_value_heads, memory_length,
      head_dim): the keys and values there, which is the same and faster where weights stand still.

    Outputs have the same names then, with the last places of both, no more than the memory_length
    of the attention: what to give with the next segment. `first_memory` is that of the first. No
    gradient flows through a memory to what was read before.
    """

    @property
    def recall(self):
        """The attention that says how much is remembered, and what stands before a text."""
        return self.block_list[0].attention

    @property
    def memory_length(self):
        """How many places are remembered at most."""
        return self.recall.memory_length

    def wire(self):
        """Make the layers of the spec."""
        super().wire()
        kinds = [block.attention for block in self.block_list]
        if not all(each.recalls for each in kinds):
            raise KzooError(
                f"Got {self.spec.attention!r:.60} as the attention of a {self.family}, which goes "
                "on from what it read before; expected a kind such as relative."
            )
        held = {(each.memory_length, each.start) for each in kinds}
        if len(held) > 1:
            raise KzooError(
                f"Got {sorted(held)} as memory_length and start of blocks; expected the same of "
                "all, which remember the same places."
            )

    @property
    def signatures(self):
        """Those of a `Stack`, and a segment behind a memory, in both of its forms."""
        if not self.memory_length:
            return super().signatures
        names = dict(self.embedding.step_signature or self.embedding.signature)
        names["memory_mask"] = Input(("batch", "memory_length"))
        axes = ("batch", "memory_length", self.spec.hidden_dim)
        states = {f"memory_{step}": Input(axes, "float32") for step in range(self.spec.num_layers)}
        cached = {
            name.replace("past", "memory"): entry._replace(
                axes=tuple("memory_length" if a == "past_length" else a for a in entry.axes)
            )
            for name, entry in self._caches("past").items()
        }
        return {
            **super().signatures,
            "segment": {**names, **states},
            "cached_segment": {**names, **cached},
        }

    @property
    def largest(self):
        """The largest size of each axis that has a name, where there is one."""
        return {**super().largest, "memory_length": self.memory_length}

    def first_memory(self, rows, cached=False):
        """The memory before the first segment of so many rows, tensors by name.

        It has all its places; whether any is looked at, attention's `start` says.

        Args:
            rows: how many texts are read side by side.
            cached: whether it is one of keys and values, and not of states.
        """
        if not (is_whole(rows, 1) and self.memory_length):
            raise KzooError(
                f"Got {rows!r:.40} rows for a memory of {self.memory_length} places; expected 1 or "
                "more rows, and a network with a memory_length."
            )
        sizes = {"batch": rows, "memory_length": self.memory_length}
        entries = self.signatures["cached_segment" if cached else "segment"]
        memory = {
            name: ops.zeros([sizes.get(axis, axis) for axis in entry.axes], entry.dtype)
            for name, entry in entries.items()
            if name.startswith("memory")
        }
        if self.recall.start == "empty":
            return memory
        memory["memory_mask"] = ops.ones((rows, self.memory_length), "int32")
        blocks = dict(zip(self.spec.blocks, self.block_list, strict=True))
        for step, index in enumerate(self.spec.schedule if cached else ()):
            for what, value in zip(("key", "value"), self._zeros(blocks[index], rows), strict=True):
                memory[f"memory_{what}_{step}"] = ops.cast(value, "float32")
        return memory

    def _zeros(self, block, rows):
        """The keys and values of `memory_length` places of zeros, for each row."""
        attention = block.attention
        if block.built:
            zeros = block.recalled(ops.zeros((1, 1, self.spec.hidden_dim), self.compute_dtype))
        else:  # A layer that is called first elsewhere than in its block has another path.
            shape = (1, attention.key_value_heads, 1, attention.head_dim)
            zeros = (ops.zeros(shape, self.compute_dtype),) * 2
        shape = (rows, attention.key_value_heads, self.memory_length, attention.head_dim)
        return [ops.broadcast_to(each, shape) for each in zeros]

    def cross_context(self, inputs):
        """None: its memory is its own."""
        return None

    def context(self, inputs):
        """What every block is told; its keys begin with the places of the memory."""
        context = super().context({"padding_mask": inputs["token_ids"] * 0 + 1, **inputs})
        rows = ops.shape(inputs["token_ids"])[0]
        if "memory_mask" in inputs:
            mask, count = inputs["memory_mask"], ops.shape(inputs["memory_mask"])[1]
        elif self.recall.start == "zeros" and self.memory_length:
            count = self.memory_length
            mask = ops.ones((rows, count), "int32")
        else:
            return context
        before = ops.reshape(ops.arange(count, dtype="int32") - count, (1, 1, 1, -1))
        shape = (ops.shape(context.keys)[0], 1, 1, count)
        keys = ops.concatenate([ops.broadcast_to(before, shape), context.keys], axis=3)
        bias = context.bias
        if bias is not None:
            bias = ops.concatenate([additive_mask(mask, bias.dtype), bias], axis=3)
        return dataclasses.replace(context, keys=keys, bias=bias, inputs=inputs)

    def surroundings(self, context, inputs, step, block):
        """See `Stack`: the past is that of the memory, or of the cache."""
        past = _pair(inputs, "past", step)
        if f"memory_key_{step}" in inputs:
            past = _pair(inputs, "memory", step)
        elif f"memory_{step}" in inputs:
            past = block.recalled(ops.cast(inputs[f"memory_{step}"], self.compute_dtype))
        elif self.recall.start == "zeros" and self.memory_length:
            zeros = self._zeros(block, ops.shape(inputs["token_ids"])[0])
            past = (
                zeros
                if past is None
                else [
                    ops.concatenate([one, ops.cast(other, one.dtype)], axis=2)
                    for one, other in zip(zeros, past, strict=True)
                ]
            )
        return context.at(past)

    def remembered(self, inputs, states, past):
        """See `Stack`: the memory of what comes next."""
        if "memory_mask" not in inputs:
            return {}
        new = {"memory_mask": inputs.get("padding_mask", inputs["token_ids"] * 0 + 1)}
        new |= {f"memory_{step}": x for step, x in enumerate(states[:-1])}
        new |= {name.replace("past", "memory"): value for name, value in past.items()}
        return {
            name: self._last(
                inputs[name], ops.cast(ops.stop_gradient(new[name]), inputs[name].dtype)
            )
            for name in new
            if name in inputs
        }

    def _last(self, before, new):
        """The last places of both, no more than are remembered."""
        axis = len(before.shape) - 2 if len(before.shape) > 2 else 1
        both = ops.concatenate([before, new], axis=axis)
        places = (slice(None),) * axis
        return both[(*places, slice(-self.memory_length, None))]


class TwoStream(Recurrent):
    """A stack that also asks what stands at some places, which may not see it (arXiv:1906.08237).

    Beside what a `Recurrent` reads, alone or with a memory, it takes a permutation:

    * `perm_mask`, int32 (batch, length, length): 1 where the place of the row may not look at that
      of the column,
    * `target_mapping`, int32 (batch, targets, length): 1 at the place that is asked for, in a row
      that is 0 elsewhere; a row of zeros asks for nothing, and fills up.

    The content stream is that of a `Stack`, whose places see themselves whatever the mask says. The
    query stream knows no tokens of its own: it begins with one trained vector for all targets and
    looks at the content stream by the mask. Given a permutation, `sequence_output` is its vectors,
    (batch, targets, hidden_dim); hidden states, maps and memory are the content stream's.
    """

    def wire(self):
        """Make the layers of the spec."""
        super().wire()
        self.target_embedding = TargetVector(self.spec, "target_embedding")

    @property
    def signatures(self):
        """Those of a `Recurrent`, whole inputs and segments also with a permutation."""
        usual = super().signatures
        permutation = {
            "perm_mask": Input(("batch", "length", "length")),
            "target_mapping": Input(("batch", "targets", "length")),
        }
        names = {"permuted": "serve", "permuted_segment": "segment"}
        permuted = {n: {**usual[of], **permutation} for n, of in names.items() if of in usual}
        return {**usual, **permuted}

    def check_inputs(self, inputs, several=False):
        """See `Network`; also whether each target has something to look at."""
        names = ("perm_mask", "target_mapping")
        given = [name for name in names if isinstance(inputs, dict) and name in inputs]
        if len(given) == 1:
            (missing,) = set(names) - set(given)
            raise KzooError(
                f"Got {given[0]} without {missing}; expected both, or neither: who may look where, "
                "and which places are asked for."
            )
        checked = super().check_inputs(inputs, several)
        if "perm_mask" in checked:
            check_permutation(checked)
        return checked

    def embed(self, inputs, context, training=None):
        """See `Stack`."""
        x = super().embed(inputs, context, training=training)
        if not self.target_embedding.built:  # Here, for a plain input asks for no target.
            self.target_embedding.build(x.shape)
        return x

    def context(self, inputs):
        """See `Recurrent`; each place sees what the permutation lets it, and itself."""
        context = self.compared(inputs)
        if "perm_mask" not in inputs:
            return context
        other = 1.0 - ops.cast(ops.equal(context.queries, context.keys), context.bias.dtype)
        bias = context.bias + self.hidden(inputs, context.bias.dtype) * other
        return dataclasses.replace(context, bias=bias)

    def compared(self, inputs):
        """The context without a permutation, with the segments of queries and keys compared."""
        queries = keys = ops.cast(inputs["segment_ids"], "float32")
        if "memory_mask" in inputs:  # Whose places are of the first segment.
            memory = ops.cast(inputs["memory_mask"] * 0, "float32")
            keys = ops.concatenate([memory, keys], axis=1)
        rows = ops.shape(queries)[0]
        gap = ops.reshape(queries, (rows, 1, -1, 1)) - ops.reshape(keys, (rows, 1, 1, -1))
        context = super().context(inputs)
        return dataclasses.replace(context, other_segment=ops.minimum(ops.abs(gap), 1.0))

    def hidden(self, inputs, dtype):
        """What the permutation adds to scores (batch, 1, length, keys); a memory is seen by all."""
        hidden = ops.cast(inputs["perm_mask"], dtype)
        if "memory_mask" in inputs:
            count = ops.shape(inputs["memory_mask"])[1]
            hidden = ops.pad(hidden, ((0, 0), (0, 0), (count, 0)))
        return ops.expand_dims(hidden, 1) * OUT

    def of_targets(self, inputs):
        """The context of the query stream, whose places are the targets: none sees itself."""
        context = self.compared(inputs)
        dtype = context.bias.dtype
        mapping = ops.expand_dims(inputs["target_mapping"], 1)
        places = ops.reshape(context.queries, (1, 1, 1, -1))
        places = ops.sum(mapping * places, axis=-1, keepdims=True)
        mapping = ops.cast(mapping, dtype)
        apart, hidden = (
            ops.matmul(mapping, ops.cast(each, dtype))
            for each in (context.other_segment, self.hidden(inputs, dtype))
        )
        return dataclasses.replace(
            context, length=None, queries=places, bias=context.bias + hidden, other_segment=apart
        )

    def run_block(self, block, x, context, training=None, projects=False):
        """See `Stack`; the query stream looks at keys and values of the content stream."""
        projects = projects or "target_mapping" in context.inputs
        return super().run_block(block, x, context, training, projects)

    def asked(self, x, context, seen, training=None):
        """See `Stack`: given a permutation, the vectors of the query stream."""
        inputs = context.inputs
        if "target_mapping" not in inputs:
            return x
        shape = (*ops.shape(inputs["target_mapping"])[:2], self.spec.hidden_dim)
        y = ops.broadcast_to(self.target_embedding(x), shape)
        y, context = self.embedding_dropout(y, training=training), self.of_targets(inputs)
        blocks = dict(zip(self.spec.blocks, self.block_list, strict=True))
        for step, index in enumerate(self.schedule):
            here = self.surroundings(context, inputs, step, blocks[index])
            here = dataclasses.replace(here, known=(seen[step].key, seen[step].value))
            y, _ = self.run_block(blocks[index], y, here, training)
        return y if self.final_norm is None else self.final_norm(y)


def check_permutation(inputs):
    """Raise KzooError for a permutation that is none, wherever its values are at hand."""
    try:
        perm, mapping, padding = (
            np.asarray(inputs[name]) for name in ("perm_mask", "target_mapping", "padding_mask")
        )
        memory = np.asarray(inputs["memory_mask"]) if "memory_mask" in inputs else padding[:, :0]
    except (NotImplementedError, TypeError):  # Being traced: no values yet.
        return
    for name, each in (("perm_mask", perm), ("target_mapping", mapping)):
        if not np.isin(each, (0, 1)).all():
            raise KzooError(f"{name} holds {each.min()} to {each.max()}; 0 and 1 are expected.")
    counts = mapping.sum(axis=-1)
    if (counts > 1).any():
        row, target = np.argwhere(counts > 1)[0]
        raise KzooError(
            f"target_mapping names {counts[row, target]} places for target {target} of row {row}; "
            "one is expected, or none where it fills up."
        )
    seen = mapping @ ((1 - perm) * padding[:, None]) + memory.sum(-1)[:, None, None]
    blind = (counts == 1) & (seen.sum(axis=-1) == 0)
    if blind.any():
        row, target = np.argwhere(blind)[0]
        raise KzooError(
            f"perm_mask leaves place {mapping[row, target].argmax()} of row {row}, a target, "
            "nothing to look at; expected one place at least that it sees: let it see one that "
            "isn't foretold, or give a memory."
        )


def _pair(inputs, of, step):
    """The key and value of a step among the inputs, or None."""
    names = [f"{of}_{what}_{step}" for what in ("key", "value")]
    return tuple(inputs[name] for name in names) if names[0] in inputs else None


class Composite(Network):
    """Several networks as one: the class of each by its name, in `TOWERS`."""

    TOWERS = {}

    def wire(self):
        """Make the towers."""
        classes = self.tower_classes(self.spec)
        if set(self.spec.towers) != set(classes):
            raise KzooError(
                f"Got the towers {sorted(self.spec.towers)} for {type(self).__name__}; expected "
                f"{sorted(classes)}."
            )
        for name, cls in classes.items():
            setattr(self, name, cls(self.spec.towers[name], name=name))

    @property
    def towers(self):
        """The networks by name."""
        return {name: getattr(self, name) for name in self.tower_classes(self.spec)}

    def checkpoint_gradients(self, value):
        """See `Network`: of the blocks of all towers."""
        for tower in self.towers.values():
            tower.checkpoint_gradients(value)

    def resizing(self, image_size):
        """See `Network`: that of the towers that read pictures."""
        specs, values = dict(self.spec.towers), {}
        for name, tower in self.towers.items():
            if "images" in tower.signature:
                specs[name], own = tower.resizing(image_size)
                values |= {f"{name}/{path}": value for path, value in own.items()}
        return self.spec.replace(towers=specs), values

    @property
    def _reader(self):
        """The first tower that reads tokens: the whole is told of ids, padding and places by it."""
        towers = list(self.towers.values())
        return next((t for t in towers if "token_ids" in t.signature), towers[0])

    @property
    def embedding(self):
        """That of the tower that reads tokens."""
        return self._reader.embedding

    @property
    def longest(self):
        """How many places the tower that reads tokens has at most."""
        return self._reader.longest

    @property
    def largest(self):
        """The largest size of each axis that has a name, where there is one."""
        return {
            f"{name}_{axis}": size
            for name, tower in self.towers.items()
            for axis, size in tower.largest.items()
        }


def _below(name, signature, words=None):
    """The inputs of a tower as inputs of the whole: their names and lengths begin with its name.

    With `words`, only names and axes among them do.
    """

    def moved(word):
        return word if words is not None and word not in words else f"{name}_{word}"

    def axis_of(axis):
        return moved(axis) if isinstance(axis, str) and axis != "batch" else axis

    return {
        moved(key): Input(tuple(map(axis_of, entry.axes)), entry.dtype, entry.below)
        for key, entry in signature.items()
    }


def _of(name, inputs):
    """The inputs of a tower among those of the whole."""
    return {
        key.removeprefix(f"{name}_"): value
        for key, value in inputs.items()
        if key.startswith(f"{name}_")
    }


class EncoderDecoder(Composite):
    """A stack that reads, and one that looks at its output and writes (arXiv:1706.03762).

    Where the spec's options have an `embedding`, a slot as in `Spec`, one table makes vectors of
    the tokens of both towers, whose own embedding is "vectors" then.

    Inputs: those of both towers, with `encoder_` and `decoder_` before their names; those of the
    encoder alone ("encode"); or a step of the decoder, with what "encode" gave and
    `memory_mask`, the encoder's padding mask.

    Outputs: `sequence_output` of the decoder and `memory`, that of the encoder; of "encode"
    `memory` and its keys and values, `memory_key_N` and `memory_value_N`.
    """

    memory_axis = "encoder_length"  # Which axis of what is read a memory has as its own.

    def wire(self):
        """Make the towers, and the table that they share."""
        super().wire()
        self.check_towers()
        slot = self.spec.options.get("embedding")
        self.token_embedding = (
            None
            if slot is None
            else make("embedding", slot, spec=self.head_spec, name="token_embedding")
        )
        if not is_whole(self.start_id, 0, self.vocabulary_size - 1):
            raise KzooError(
                f"Got start_id = {self.start_id!r:.40}, the token that the decoder is given first; "
                f"expected an id from 0 to {self.vocabulary_size - 1}."
            )

    def check_towers(self):
        """Raise KzooError for towers that don't fit each other."""

    @property
    def embedding(self):
        """What makes vectors of the tokens that are written."""
        shared = self.token_embedding
        return self.decoder.embedding if shared is None else shared

    @property
    def start_id(self):
        """The token that the decoder is given first; that of padding where nothing else is said."""
        return self.spec.options.get("start_id", self.padding_id)

    @property
    def past_names(self):
        """The names of the decoder's keys and values, of every step in order."""
        return self.decoder.past_names

    @property
    def memory_names(self):
        """The names of the keys and values of what was encoded, of every step in order."""
        return list(self.decoder._caches("memory"))

    @property
    def signatures(self):
        """Both; the encoder alone; a step of the decoder."""
        read, decoder = self.read_signature, self.decoder.signatures
        own = {k: v for k, v in decoder["serve"].items() if not k.startswith("memory")}
        step = decoder["step"]
        kept = {name: step.pop(name) for name in list(step) if name.startswith(("past", "memory"))}
        return {
            "serve": read | self._below("decoder", own),
            "encode": read,
            "step": self._below("decoder", step) | self.known(kept),
        }

    @property
    def read_signature(self):
        """The inputs of which a memory is made."""
        return self._below("encoder", self.encoder.signature)

    def known(self, entries):
        """What a step is given beside its tokens, by name, of what the decoder takes."""
        return entries

    def memory_mask(self, inputs):
        """Which places of a memory count of what was read, (batch, memory_length); None for all."""
        return inputs["encoder_padding_mask"]

    def _below(self, name, signature):
        """The inputs of a tower as inputs of the whole: tokens where the table is shared."""
        tokens = {"token_ids": self.embedding.signature["token_ids"]}
        if "vectors" in signature:
            signature = tokens | {k: v for k, v in signature.items() if k != "vectors"}
        return _below(name, signature)

    def call(self, inputs, training=None):
        """Encode, then decode; or one of the two."""
        own, outputs, memory = self._of("decoder", inputs, training), {}, {}
        if all(name in inputs for name in self.read_signature):
            outputs["memory"] = self.read(inputs, training)
            mask = self.memory_mask(inputs)
            memory = outputs | ({} if mask is None else {"memory_mask": mask})
        if not own:
            return outputs | self.decoder.remember(outputs["memory"])
        kept = {k: v for k, v in inputs.items() if k.startswith(("past", "memory"))}
        return outputs | self.decoder.run({**own, **memory, **kept}, training=training)

    def read(self, inputs, training=None):
        """The memory (batch, memory_length, dim) of what is read."""
        read = self._of("encoder", inputs, training)
        return self.encoder.run(read, training=training)["sequence_output"]

    def _of(self, name, inputs, training):
        """The inputs of a tower among those of the whole, tokens as vectors of the shared table."""
        own = _of(name, inputs)
        if self.token_embedding is None or "token_ids" not in own:
            return own
        vectors = self.token_embedding(own, training=training)
        return {"vectors": vectors, **{k: v for k, v in own.items() if k != "token_ids"}}


class PictureReader(EncoderDecoder):
    """An encoder that reads a picture, and a decoder that looks at it and writes.

    A captioner (arXiv:1411.4555, with transformers arXiv:2201.12086). Any network of one stack that
    reads pictures can be the encoder, and any that writes and has attention to a memory the
    decoder. Where the decoder's attention takes vectors of another width than the encoder gives, a
    map stands between them.

    Inputs: those of the encoder, float32 `images` (batch, height, width, channels), normalised, and
    those of the decoder with `decoder_` before their names; those of the encoder alone ("encode");
    or a step of the decoder, with what "encode" gave. A picture has always as many places, and none
    of them is padding: there is no mask.

    Outputs: as of an `EncoderDecoder`.
    """

    def wire(self):
        """Make the towers, and the map between them where their widths differ."""
        super().wire()
        taken = self.decoder.signature["memory"].axes[-1]
        self.memory_projection = (
            None
            if taken == self.memory_dim
            else Dense(taken, self.spec.towers["decoder"], "memory_projection")
        )

    def check_towers(self):
        """Raise KzooError for an encoder of no pictures, and a decoder that looks at no memory."""
        if list(self.encoder.signature) != ["images"]:
            raise KzooError(
                f"Got {an(self.encoder.family)} as the encoder of {an(self.family)}; expected a "
                "network that reads pictures, such as a vit."
            )
        looks = {"token_ids", "memory"} <= set(self.decoder.signature)
        if not looks or "step" not in self.decoder.signatures:
            raise KzooError(
                f"Got {an(self.decoder.family)} as the decoder of {an(self.family)}; expected a "
                'network that writes and looks at a memory, such as a gpt2 with cross_attention="'
                'full".'
            )

    @property
    def memory_dim(self):
        """How wide the vectors are of what is read."""
        return self.encoder.spec.hidden_dim

    @property
    def read_signature(self):
        """A picture, by the name that the encoder has for it."""
        return self.encoder.signature

    def known(self, entries):
        """As many keys and values of the memory as the encoder has places."""
        return {
            name: entry._replace(
                axes=tuple(
                    self.encoder.longest if axis == "memory_length" else axis for axis in entry.axes
                )
            )
            for name, entry in entries.items()
            if name != "memory_mask"
        }

    def memory_mask(self, inputs):
        """None: no place of a picture is padding."""
        return None

    def read(self, inputs, training=None):
        """The memory (batch, memory_length, dim) of what is read."""
        memory = self.looked_at(inputs, training)
        return memory if self.memory_projection is None else self.memory_projection(memory)

    def looked_at(self, inputs, training=None):
        """The vectors (batch, places, dim) of pictures."""
        return self.encoder.run({"images": inputs["images"]}, training=training)["sequence_output"]


class QuestionReader(PictureReader):
    """An encoder of pictures, a reader of questions that looks at it, and a decoder that answers.

    The decoder looks at the question's vectors, into which the picture went (BLIP,
    arXiv:2201.12086, section 3.2).

    Inputs: float32 `images`; those of the tower "question" with `question_` before their names, and
    those of the decoder with `decoder_`; the first two alone ("encode"); or a step of the decoder,
    with what "encode" gave and `memory_mask`, the question's padding mask.

    Outputs: as of an `EncoderDecoder`.
    """

    memory_axis = "question_length"

    def check_towers(self):
        """Raise KzooError for towers that don't look at each other."""
        super().check_towers()
        question = self.question.signature
        given = self.encoder.spec.hidden_dim
        if "memory" not in question or question["memory"].axes[-1] != given:
            raise KzooError(
                f"Got {an(self.question.family)} to read the questions of {an(self.family)}; "
                f"expected one that looks at the {given} numbers of each place of a picture: give "
                f'it cross_attention={{"kind": "full", "memory_dim": {given}}}.'
            )

    @property
    def memory_dim(self):
        """That of the question's vectors."""
        return self.question.spec.hidden_dim

    @property
    def read_signature(self):
        """A picture and a question."""
        own = self.question.signature
        own = {name: entry for name, entry in own.items() if not name.startswith("memory")}
        return {**self.encoder.signature, **_below("question", own)}

    def known(self, entries):
        """All that the decoder takes: questions differ in length."""
        return entries

    def memory_mask(self, inputs):
        """The question's padding mask."""
        return inputs["question_padding_mask"]

    def looked_at(self, inputs, training=None):
        """The vectors (batch, question_length, dim) of questions that looked at pictures."""
        seen = self.encoder.run({"images": inputs["images"]}, training=training)
        question = {**_of("question", inputs), "memory": seen["sequence_output"]}
        return self.question.run(question, training=training)["sequence_output"]


class BothRead(EncoderDecoder):
    """An encoder-decoder that reads a text with both towers (BART, arXiv:1910.13461, section 3.1).

    The decoder is given the text too, one place on, so that its last place knows all of it.

    Inputs: int32 `token_ids` and `padding_mask` (batch, length), as of a `Stack`.

    Outputs: `sequence_output` of the decoder.
    """

    @property
    def signatures(self):
        """A text, as the table of tokens reads it."""
        tokens = self.embedding.signature["token_ids"]
        return {"serve": {"token_ids": tokens, "padding_mask": Input(tokens.axes, tokens.dtype)}}

    @property
    def longest(self):
        """How many places both towers have."""
        return min(tower.longest for tower in self.towers.values())

    @property
    def largest(self):
        """The largest size of a text."""
        return {"length": self.longest}

    def call(self, inputs, training=None):
        """Encode a text, and decode it one place on."""
        ids, mask = inputs["token_ids"], inputs["padding_mask"]
        start = 0 * ids[:, :1] + self.start_id  # without arithmetic on shapes
        towers = {"encoder": ids, "decoder": ops.concatenate([start, ids[:, :-1]], 1)}
        read = {f"{name}_token_ids": value for name, value in towers.items()}
        masks = {f"{name}_padding_mask": mask for name in towers}
        outputs = super().call({**read, **masks}, training)
        return {"sequence_output": outputs["sequence_output"]}


class SharedSpace(Composite):
    """Networks whose pooled outputs lie in one space, and how near they are, two by two.

    Pictures, texts and sounds in AudioCLIP (arXiv:2106.13043, section 3).

    Inputs: those of all towers, as many as there are of each, or of some of them. They keep the
    names that they have there; where two have one, it begins with the tower's.

    Outputs: `<tower>_embedding` (batch, dim), of length 1, of each tower that was given something;
    of each two of them also `logits_per_<first>_<second>` (first, second), cosines times exp(
    `logit_scale_<first>_<second>`). All are float32: a scale of 100 makes the last bits of half
    precision count.
    """

    INITIAL = math.log(1 / 0.07)  # of a scale, arXiv:2103.00020, section 2.5
    # What it learns at most, so that training stays stable, ibid.: products times 100.
    LARGEST = math.log(100)

    def wire(self):
        """Make the towers, and the scale of the products of each two."""
        super().wire()
        widths = {name: _pooled_width(name, tower.spec) for name, tower in self.towers.items()}
        if len(set(widths.values())) > 1:
            actual = ", ".join(f"{width} of {name}" for name, width in widths.items())
            raise KzooError(
                f"Got towers of {an(self.family)} with vectors of {actual} numbers; expected as "
                "many of each: give their poolers one dim."
            )
        self.dim = next(iter(widths.values()))
        for pair in self.pairs:
            initial = keras.initializers.Constant(self.INITIAL)
            name = self.scale_name(pair)
            scale = self.add_weight(
                shape=(),
                initializer=initial,
                name=name,
                autocast=False,
                constraint=lambda value: ops.minimum(value, self.LARGEST),
            )
            setattr(self, name, scale)

    @property
    def pairs(self):
        """Each two towers, by their names."""
        return list(itertools.combinations(self.towers, 2))

    def scale_name(self, pair):
        """What the scale of the products of two towers is called."""
        return "_".join(["logit_scale", *pair])

    def logits_name(self, pair):
        """What the products of two towers are called."""
        return "_".join(["logits_per", *pair])

    @property
    def shared_words(self):
        """The names and axes that two towers have."""
        words = [
            word
            for tower in self.towers.values()
            for word in {w for key, entry in tower.signature.items() for w in (key, *entry.axes)}
        ]
        return {word for word in words if words.count(word) > 1}

    @property
    def signatures(self):
        """All, each with a batch of its own; and each tower alone."""
        words = self.shared_words
        alone = {name: _below(name, t.signature, words) for name, t in self.towers.items()}
        every = {
            key: Input((f"{name}s", *entry.axes[1:]), entry.dtype, entry.below)
            for name, signature in alone.items()
            for key, entry in signature.items()
        }
        return {"serve": every, **alone}

    @property
    def functions(self):
        """A file has one for each tower: what one gives is kept, and compared without it."""
        return {name: (name, {}) for name in self.towers}

    @property
    def output_axes(self):
        """The axes of each output, by the names of their sizes."""
        axes = {f"{name}_embedding": (f"{name}s", "dim") for name in self.towers}
        pairs = {self.logits_name(pair): tuple(f"{name}s" for name in pair) for pair in self.pairs}
        return axes | pairs

    def function_axes(self, name):
        """The axes of each output of a function, by the names of their sizes."""
        return {f"{name}_embedding": ("batch", "dim")}

    @property
    def largest(self):
        """The largest size of each axis that has a name, where there is one."""
        words = self.shared_words
        return {
            f"{name}_{axis}" if axis in words else axis: size
            for name, tower in self.towers.items()
            for axis, size in tower.largest.items()
            if any(axis in entry.axes for entry in tower.signature.values())
        }

    def call(self, inputs, training=None):
        """Run the towers that have inputs."""
        words, outputs = self.shared_words, {}
        for name, tower in self.towers.items():
            names = {key: f"{name}_{key}" if key in words else key for key in tower.signature}
            if set(names.values()) <= set(inputs):
                own = {key: inputs[there] for key, there in names.items()}
                pooled = tower.run_for(own, 0, training)["pooled_output"]
                outputs[f"{name}_embedding"] = unit(ops.cast(pooled, "float32"))
        for pair in self.pairs:
            sides = [outputs.get(f"{name}_embedding") for name in pair]
            if all(side is not None for side in sides):
                cosines = ops.matmul(sides[0], ops.transpose(sides[1]))
                outputs[self.logits_name(pair)] = cosines * self.scale_of(pair)
        return outputs

    def scale_of(self, pair):
        """What the cosines of two towers, by their names in any order, are multiplied by."""
        name = self.scale_name(tuple(name for name in self.towers if name in pair))
        return ops.exp(ops.convert_to_tensor(getattr(self, name)))


class TwoTower(SharedSpace):
    """Two networks whose pooled outputs lie in one space, and how near they are (CLIP).

    arXiv:2103.00020, section 2.3.

    Inputs: as of a `SharedSpace`.

    Outputs: as there; of both towers `logits_per_<first>` (first, second), cosines times
    exp(`logit_scale`).
    """

    def scale_name(self, pair):
        """See `SharedSpace`."""
        return "logit_scale"

    def logits_name(self, pair):
        """See `SharedSpace`."""
        return f"logits_per_{pair[0]}"


def _pooled_width(name, spec):
    """How many numbers the vector has that a tower makes of all its places."""
    slot = completed("pooler", spec.pooler)
    if slot["kind"] == "none":
        raise KzooError(
            f"Got the tower {name} of {an(spec.family)} without a pooler; expected one, such as "
            '{"kind": "first", "dim": 512}, whose vectors are compared with those of others.'
        )
    return slot.get("dim", spec.hidden_dim)


class JointEncoder(Composite):
    """A network of pictures, and one of texts that looks at it: one reading of both.

    Of each alone it also gives a vector of length 1, in a space that both share, so that what is
    near can be found before both are read together (BLIP, arXiv:2201.12086, section 3.2).

    Inputs: float32 `images` (batch, height, width, channels), normalised, and int32 `token_ids` and
    `padding_mask` (batch, length), a text for each picture; or the former or the latter alone.

    Outputs: of both `sequence_output` (batch, length, hidden_dim), the vectors of the texts, which
    looked at the pictures; of one alone `image_embedding` or `text_embedding` (batch, dim),
    float32. The text looks at no picture then.
    """

    def wire(self):
        """Make the towers."""
        super().wire()
        given, looks = self.image.spec.hidden_dim, self.text.signature.get("memory")
        if looks is None or looks.axes[-1] != given:
            raise KzooError(
                f"Got {an(self.text.family)} as the tower of texts of {an(self.family)}; expected "
                f"one that looks at the {given} numbers of each place of a picture: give it "
                f'cross_attention={{"kind": "full", "memory_dim": {given}}}.'
            )

    @property
    def signatures(self):
        """Pairs; each tower alone."""
        text = self.text.signature
        text = {name: entry for name, entry in text.items() if not name.startswith("memory")}
        image = self.image.signature
        return {"serve": {**image, **text}, "image": image, "text": text}

    @property
    def embedding(self):
        """That of the texts."""
        return self.text.embedding

    @property
    def largest(self):
        """The largest size of a text."""
        return self.text.largest

    @property
    def longest(self):
        """How many tokens a text has at most."""
        return self.text.longest

    @property
    def output_axes(self):
        """The axes of each output of pairs, by the names of their sizes."""
        return {"sequence_output": ("batch", "length", "hidden_dim")}

    def call(self, inputs, training=None):
        """Read both together, or one alone."""
        image, text = (
            {name: inputs[name] for name in self.signatures[tower] if name in inputs}
            for tower in ("image", "text")
        )
        if image and text:
            memory = self.image.run(image, training=training)["sequence_output"]
            read = self.text.run({**text, "memory": memory}, training=training)
            return {"sequence_output": read["sequence_output"]}
        name, tower, own = ("image", self.image, image) if image else ("text", self.text, text)
        pooled = tower.run_for(own, 0, training)["pooled_output"]
        return {f"{name}_embedding": unit(ops.cast(pooled, "float32"))}


def unit(vectors):
    """Vectors (..., dim) of length 1."""
    square = ops.sum(ops.square(vectors), axis=-1, keepdims=True)
    return vectors * ops.rsqrt(ops.maximum(square, 1e-24))


def map_paths(network, names=None):
    """The paths of the affine maps of all blocks of a network, in order.

    Args:
        names: those that have one of these in their paths alone, such as "query", "feedforward",
            "cross_attention/key" or "block_0"; None for all.

    Raises:
        KzooError: for a network that is no stack of blocks, and names that no map has.
    """
    paths = [
        f"{prefix}{block.name}/{path}"
        for prefix, stack in _stacks(network).items()
        for block in stack.block_list
        for path in block.maps
    ]
    if names is None:
        return paths
    if not isinstance(names, (list, tuple)) or not names:
        such = [names if isinstance(names, str) else "up"]
        raise KzooError(f"Got maps = {names!r:.40}; expected a list of names, such as {such!r}.")
    last, *before = zip(*(reversed(path.split("/")) for path in paths), strict=False)
    known = [name for name in dict.fromkeys([*last, *before[0]]) if not name.startswith("block_")]
    for name in names:
        if not isinstance(name, str) or not any(_is_called(path, name) for path in paths):
            raise KzooError(
                f"Got the map {name!r:.40}, which no block has; expected some of "
                f"{', '.join(known)}."
            )
    return [path for path in paths if any(_is_called(path, name) for name in names)]


def _stacks(network, prefix=""):
    """The stacks of a network by what their weights' paths begin with."""
    if isinstance(network, Composite):
        below = [_stacks(tower, f"{prefix}{name}/") for name, tower in network.towers.items()]
        return {path: stack for stacks in below for path, stack in stacks.items()}
    if not isinstance(network, Stack):
        raise KzooError(
            f"Got a {network.family}; expected a network that is a stack of blocks, or several, "
            "such as a BERT, a ViT or a T5."
        )
    return {prefix: network}


def _is_called(path, name):
    return f"/{name}/" in f"/{path}/"


def dense_slot(spec, prefix, entry):
    """What the `dense` slot of a stack's spec holds, where it differs from block to block.

    Args:
        spec: that of the stack, whose paths begin with `prefix`.
        entry: a function of a block's number and of what the paths of its maps begin with; it gives
            a kind and its options, among them `ranks`.

    Returns:
        One of them where all are the same, else a list; None where no map has a rank.
    """
    entries = [entry(block, f"{prefix}block_{block}/") for block in range(max(spec.blocks) + 1)]
    if not any(each["ranks"] for each in entries):
        return None
    return entries[0] if all(each == entries[0] for each in entries) else entries
