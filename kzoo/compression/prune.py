"""Fewer heads, feed-forward units, blocks or channels, chosen by what the model loses with them.

A head or a unit whose row of the map behind it is zero adds nothing: to zero such rows is to mask,
and to leave them out changes no output. So `Pruning` zeroes rows inside `fit`, a few at a time, and
`shrink` gives the model without them, of ordinary layers that are smaller.
"""

import contextlib
import dataclasses

import keras
import numpy as np

from ..errors import KzooError
from ..network import Network, parameters_of, weights_by_path
from ..parts import completed, resolve
from ..spec import Towers
from ..tasks.task import check_model
from ..values import an, is_number, is_whole
from .axes import axes_that_change
from .distill import cut
from .gradients import batches_of, gradients, loss_of
from .gradual import Gradual

BATCH = 16  # examples whose importance is one number, before its sign goes
GRAIN = 8  # units that a product computes at once: of a larger net a multiple of them stays


@dataclasses.dataclass(frozen=True)
class Kind:
    """What each block has a number of.

    Args:
        name: what they are called.
        slot: whose part has them.
        size: the option of the part, and the field of the spec, that says how many.
    """

    name: str
    slot: str
    size: str

    def count(self, spec, block):
        """How many a block has."""
        _, options = resolve(self.slot, spec.slot(self.slot, block))
        return options.get(self.size) or getattr(spec, self.size)

    def sharing(self, spec):
        """How many stand or fall together: heads that share keys and values."""
        shared = spec.num_key_value_heads if self.slot == "attention" else 0
        return spec.num_heads // shared if shared > 1 else 1

    def resized(self, spec, counts):
        """The spec with so many in each block, {block: count}.

        One number for all is the spec's own; several stand in a list that the blocks take in turn.
        """
        sizes = set(counts.values())
        if len(sizes) == 1:
            slot, size = self._without_size(spec), sizes.pop()
            changes = {self.size: size, self.slot: slot}
            if self.slot == "attention":
                changes["head_dim"] = spec.head_dim or spec.hidden_dim // spec.num_heads
                if spec.num_key_value_heads:
                    kept = spec.num_key_value_heads * size // spec.num_heads
                    changes["num_key_value_heads"] = max(1, kept)
            return spec.replace(**changes)
        slots = []
        for block in range(max(spec.blocks) + 1):
            held = spec.slot(self.slot, block)
            held = {"kind": held} if isinstance(held, str) else held
            slots.append({**held, self.size: counts[block]} if block in counts else held)
        return spec.replace(**{self.slot: slots})

    def _without_size(self, spec):
        """What the slot holds, its parts without a size of their own."""

        def bare(held):
            if isinstance(held, str):
                return held
            return {name: option for name, option in held.items() if name != self.size}

        held = getattr(spec, self.slot)
        if not isinstance(held, list):
            return bare(held)
        held = [bare(each) for each in held]
        return held[0] if all(each == held[0] for each in held) else held


HEADS = Kind("heads", "attention", "num_heads")
UNITS = Kind("units", "feedforward", "intermediate_dim")
KINDS = {kind.name: kind for kind in (HEADS, UNITS)}


@dataclasses.dataclass(frozen=True)
class Units:
    """The heads or units of one block.

    Args:
        kind: which of both.
        block: whose they are.
        count: how many there are.
        sharing: how many of them stand or fall together.
        gate: the path of the weight whose rows they are multiplied with last.
        axes: the axis of each weight that has them, by path.
    """

    kind: Kind
    block: int
    count: int
    sharing: int
    gate: str
    axes: dict

    @property
    def groups(self):
        """How many may go, each by itself."""
        return self.count // self.sharing

    def by_group(self, rows):
        """Rows of the gate (rows, dim) by group: (groups, rows of each, dim)."""
        return np.reshape(rows, (self.groups, -1, rows.shape[-1]))

    def alive(self, weights):
        """Which groups are there: those of which some row of the gate isn't zero."""
        return np.any(self.by_group(np.asarray(weights[self.gate])) != 0, axis=(1, 2))

    def magnitude(self, weights):
        """The root of the sum of squares of each group's weights."""
        total = np.zeros(self.groups)
        for path, axis in self.axes.items():
            moved = np.moveaxis(np.asarray(weights[path], "float64"), axis, 0)
            total += np.square(moved.reshape(self.groups, -1)).sum(-1)
        return np.sqrt(total)

    def kept(self, weights, alive):
        """The values of the weights without the groups that are gone, by path."""
        return {
            path: _taken(np.asarray(weights[path]), axis, self.groups, np.flatnonzero(alive))
            for path, axis in self.axes.items()
        }


def _taken(array, axis, groups, kept):
    """An array with those groups of an axis that are kept, each of which lies in one piece."""
    each = array.shape[axis] // groups
    rows = (kept[:, None] * each + np.arange(each)).ravel()
    return np.take(array, rows, axis)


# -- one step -------------------------------------------------------------------------------------


def prune(model, heads=None, units=None, blocks=None, width=None, data=None, say=None):
    """A smaller model: what it has least need of left out, at once.

    A share is of all that there is in the model, of which each block keeps what matters; a whole
    number is what each block keeps. What matters is decided by the weights' magnitude; with `data`
    by how the loss would change without it, to first order: the absolute value of weight times
    gradient, summed over the rows that a head (Michel et al. 2019, arXiv:1905.10650) or a unit
    (Molchanov et al. 2019, arXiv:1906.10771) is multiplied with, and the same of each channel.
    Blocks go one after the other, that first without which the loss is least; without data those
    stay that lie evenly, as in DistilBERT (arXiv:1910.01108).

    Args:
        model: a task or a network; with `data` a compiled task.
        heads: how many heads of attention to keep: a share below 1, or a number for each block.
        units: the same of feed-forward units; of large nets a multiple of 8 stays.
        blocks: the same of the steps of the schedule.
        width: the same of the channels of the residual stream. Its norms then see fewer channels,
            so that a model narrower by some has other outputs than one that has them masked only
            outside of the norms: let it learn again.
        data: examples (x, y), as `fit` takes them; some hundreds will do.
        say: called with a line of text before each block that is tried; `print` will do.

    Returns:
        The smaller model, and a report: parameters `before` and `after`, and what each block kept.

    Raises:
        KzooError: for more than there are, a network of several towers, and for heads or channels
            of which the position encoding has something of its own.
    """
    asked = {"heads": heads, "units": units, "blocks": blocks, "width": width}
    asked = {name: keep for name, keep in asked.items() if keep is not None}
    if not asked:
        raise KzooError(
            "Got nothing to prune; expected heads, units, blocks or width: how many to keep."
        )
    _stack(model)
    _check_data(model, data)
    task, before, report = model, parameters_of(model), {}
    if blocks is not None:
        model, report["blocks"] = _fewer_blocks(model, blocks, data, say)
    for name, kind in KINDS.items():
        if asked.get(name) is not None:
            found = find(model, kind)
            scores = Importance(model, found, data, task)()
            model, report[name] = _without(model, found, chosen(found, scores, asked[name]))
    if width is not None:
        model, report["width"] = _narrower(model, width, data, task)
    return model, {"before": before, "after": parameters_of(model), **report}


def shrink(model):
    """A model without the heads and units that are masked, as `Pruning` leaves them.

    Of a block of which all are, one stays.

    Args:
        model: a task or a network.

    Returns:
        The smaller model with the same outputs, and a report as `prune` gives.
    """
    _blocks(_stack(model), "heads")
    before, report = parameters_of(model), {}
    for name, found in prunable(model).items():  # Of others nothing can have been masked.
        weights = weights_by_path(model)
        alive = {units.block: units.alive(weights) for units in found}
        for each in alive.values():
            each[0] |= not each.any()
        if all(each.all() for each in alive.values()):
            continue
        model, report[name] = _without(model, found, alive)
    return model, {"before": before, "after": parameters_of(model), **report}


def prunable(model):
    """What can be pruned of a model of one stack: {name of a kind: what `find` gives}."""
    found = {}
    for name, kind in KINDS.items():
        with contextlib.suppress(KzooError):
            found[name] = find(model, kind)
    return found


def find(model, kind):
    """The `Units` of a kind in each block of a model.

    Their axes are those that are longer where the spec says that there are more.

    Raises:
        KzooError: for a network of several towers or without blocks, and one that has something of
            its own for each head.
    """
    spec = _stack(model)
    _check_position(spec, kind.name)
    counts = {block: kind.count(spec, block) for block in _blocks(spec, kind.name)}
    sharing = kind.sharing(spec)
    more = {block: count + sharing for block, count in counts.items()}
    axes = _axes(model, lambda: kind.resized(spec, more), kind.name)
    weights = weights_by_path(model)
    prefix = "" if isinstance(model, Network) else "backbone/"
    found = []
    for block, count in counts.items():
        own = {p: a for p, (a, *_) in axes.items() if p.startswith(f"{prefix}block_{block}/")}
        gates = [p for p, axis in own.items() if axis == 0 and len(weights[p].shape) > 1]
        if len(gates) != 1:
            raise KzooError(
                f"Got {kind.name} to prune of {an(spec.family)}, whose blocks lie otherwise than "
                f"those that kzoo prunes; expected one map behind the {kind.name} of a block."
            )
        found.append(Units(kind, block, count, sharing, gates[0], own))
    return found


class Importance:
    """The importance of each group of heads or units, as the weights are at a call.

    Args:
        model: what they are in.
        found: what `find` gives.
        data: examples (x, y); None for the weights' magnitude.
        task: the compiled task whose loss counts; the model by default.
    """

    def __init__(self, model, found, data=None, task=None):
        self.model, self.found, self.products = model, found, None
        if data is not None:
            gates = [weights_by_path(model)[units.gate] for units in found]
            self.products = _Products(model, gates, data, task)

    def __call__(self):
        """What it is now, {block: (groups,)}, of length 1 in each block."""
        weights = weights_by_path(self.model)
        if self.products is None:
            scores = {units.block: units.magnitude(weights) for units in self.found}
        else:
            scores = {units.block: np.zeros(units.groups) for units in self.found}
            for products in self.products:
                for units, product in zip(self.found, products, strict=True):
                    scores[units.block] += np.abs(units.by_group(product).sum((1, 2)))
        return {block: s / max(np.linalg.norm(s), 1e-30) for block, s in scores.items()}


class _Products:
    """Of each batch of some examples weight times gradient, for each of some weights."""

    def __init__(self, model, weights, data, task):
        task = task or model
        self.weights, self.gradients = weights, gradients(task, weights, model)
        self.batches = list(batches_of(task, data, BATCH))

    def __iter__(self):
        for batch in self.batches:
            pairs = zip(self.weights, self.gradients(batch), strict=True)
            yield [np.asarray(weight) * gradient for weight, gradient in pairs]


def chosen(found, scores, keep):
    """Which groups stay, {block: booleans}: the most important, and at least one of a block."""
    kind = found[0].kind
    total = {units.block: units.groups for units in found}
    if is_whole(keep, 1):
        sharing, most = found[0].sharing, min(units.count for units in found)
        if keep > most or keep % sharing:
            raise KzooError(
                f"Got {kind.name}={keep} to keep; expected 1 to {most}, which a block has"
                f"{f', and a multiple of {sharing}, which share keys' if sharing > 1 else ''}."
            )
        counts = {block: keep // sharing for block in total}
    else:
        keep = _share(keep, kind.name)
        every = np.concatenate([scores[block] for block in total])
        of = np.repeat(list(total), list(total.values()))
        best = np.argsort(-every, kind="stable")[: max(1, round(keep * len(every)))]
        counts = {block: int(np.sum(of[best] == block)) for block in total}
        counts = {block: _rounded(count, total[block], kind) for block, count in counts.items()}
    alive = {}
    for block, count in counts.items():
        order = np.argsort(-scores[block], kind="stable")[:count]
        alive[block] = np.isin(np.arange(total[block]), order)
    return alive


def _rounded(count, total, kind):
    """How many stay where so many matter: one at least; of many units a multiple of `GRAIN`."""
    if kind is UNITS and total >= 8 * GRAIN:
        return min(total, max(GRAIN, GRAIN * round(count / GRAIN)))
    return max(1, count)


def _without(model, found, alive):
    """The model without what isn't alive, and how many each block has then."""
    kind, weights, values = found[0].kind, weights_by_path(model), {}
    for units in found:
        values |= units.kept(weights, alive[units.block])
    counts = {u.block: int(alive[u.block].sum()) * u.sharing for u in found}
    spec = kind.resized(_stack(model), counts)
    return model.under(spec, values), {f"block_{block}": count for block, count in counts.items()}


def _fewer_blocks(model, keep, data, say):
    """The model with fewer steps of its schedule, and which stay."""
    steps = _stack(model).schedule
    _blocks(_stack(model), "blocks")
    if not is_whole(keep, 1, len(steps)):
        keep = max(1, round(_share(keep, "blocks", len(steps)) * len(steps)))
    if data is None:
        kept = [steps[i * len(steps) // keep] for i in range(keep)]
        return _cut(model, kept), kept
    batches, kept = list(batches_of(model, data, BATCH)), list(steps)
    while len(kept) > keep:
        losses = []
        for i in range(len(kept)):
            if say is not None:
                say(f"{len(kept)} blocks, {keep} to keep: the loss without number {i + 1}")
            with model.backbone.running(kept[:i] + kept[i + 1 :]):
                losses.append(sum(float(loss_of(model, batch)) for batch in batches))
        del kept[int(np.argmin(losses))]
    return _cut(model, kept), kept


def _cut(model, schedule):
    if isinstance(model, Network):
        return model.with_spec(schedule=tuple(schedule))
    return cut(model, schedule)


def _narrower(model, keep, data, task):
    """The model with fewer channels in its residual stream, and how many."""
    spec = _stack(model)
    _check_position(spec, "width")
    width = spec.hidden_dim
    tokens = completed("embedding", spec.embedding).get("dim", 0)
    if not is_whole(keep, 1):
        keep = max(GRAIN, GRAIN * round(_share(keep, "width") * width / GRAIN))
        keep += GRAIN * (keep == tokens < width)
    if keep > width:
        raise KzooError(f"Got width={keep} to keep; expected 1 to {width}, which the model has.")
    if keep == tokens < width:
        raise KzooError(
            f"Got width={keep} to keep, which is that of the vectors of tokens; expected another "
            "number: with this one the map from these to the model would be gone."
        )

    def resized(size):
        return spec.replace(hidden_dim=size, head_dim=spec.head_dim or width // spec.num_heads)

    narrow = resized(keep)
    axes = _axes(model, lambda: narrow if keep < width else resized(width + 1), "width")
    weights, scores = weights_by_path(model), np.zeros(width)
    _check_channels(spec, weights, axes)
    if data is None:
        for path, numbers in axes.items():
            value = np.square(np.asarray(weights[path], "float64"))
            scores += _by_channel(value, numbers, width) / max(value.sum(), 1e-30)
    else:
        learned = {path: axis for path, axis in axes.items() if weights[path].trainable}
        for products in _Products(model, [weights[path] for path in learned], data, task):
            pairs = zip(products, learned.values(), strict=True)
            scores += np.abs(sum(_by_channel(product, own, width) for product, own in pairs))
    kept = np.sort(np.argsort(-scores, kind="stable")[:keep])
    values = {}
    for path, numbers in axes.items():
        value = np.asarray(weights[path])
        for axis in numbers:
            # Of several vectors side by side, as poolings give them, each has all channels.
            copies = value.shape[axis] // width
            rows = (np.arange(copies)[:, None] * width + kept).ravel()
            value = np.take(value, rows, axis)
        values[path] = value
    return model.under(narrow, values), keep


def _by_channel(value, axes, width):
    """What an array has for each channel, on the axes that channels lie on: (width,)."""
    total = np.zeros(width)
    for axis in axes:
        others = tuple(i for i in range(value.ndim) if i != axis)
        total += value.sum(others).reshape(-1, width).sum(0)
    return total


def _check_channels(spec, weights, axes):
    """Raise KzooError where an axis that another width changes doesn't have all channels."""
    for path, numbers in axes.items():
        for axis in numbers:
            if weights[path].shape[axis] % spec.hidden_dim:
                raise KzooError(_bound_sentence(spec, "width", path))


# -- a step at a time -----------------------------------------------------------------------------


class Pruning(Gradual):
    """Masks heads and units in `fit`, a few at a time; `shrink` then leaves them out.

    Args:
        heads, units: how many to keep in the end, as for `prune`.
        data: examples (x, y) on which importance is measured anew at each change, see `prune`; the
            weights' magnitude decides without.
        begin, end, every: see `Gradual`.

    Raises:
        KzooError: what `prune` and `Gradual` refuse, before the training begins.
    """

    def __init__(self, heads=None, units=None, data=None, begin=0.1, end=0.6, every=50):
        super().__init__(begin, end, every)
        asked = (("heads", heads), ("units", units))
        self.asked = {name: keep for name, keep in asked if keep is not None}
        if not self.asked:
            raise KzooError("Got nothing to prune; expected heads or units: how many to keep.")
        self.data, self.alive = data, {}

    def find(self):
        """See `Gradual`."""
        _check_data(self.model, self.data)
        weights = weights_by_path(self.model)
        self.alive, self.importance = {}, {}
        for name in self.asked:
            found = find(self.model, KINDS[name])
            same = {units.block: np.ones(units.groups) for units in found}
            chosen(found, same, self.asked[name])  # Else it would be an error at the end.
            alive = {units.block: units.alive(weights) for units in found}
            self.alive[name] = found, alive
            self.importance[name] = Importance(self.model, found, self.data)

    def get_state(self):
        """See `Gradual`."""
        return {name: alive for name, (_, alive) in self.alive.items()}

    def set_state(self, state):
        """See `Gradual`."""
        self.alive = {name: (self.alive[name][0], alive) for name, alive in state.items()}

    def advance(self, done):
        """See `Gradual`."""
        for name, (found, alive) in self.alive.items():
            keep = _so_far(found, self.asked[name], done)
            scores = self.importance[name]()
            # What is gone stays gone: nothing matters less.
            scores = {block: np.where(alive[block], s, -1.0) for block, s in scores.items()}
            for block, stays in chosen(found, scores, keep).items():
                alive[block] &= stays

    def mask(self):
        """See `Gradual`."""
        weights = weights_by_path(self.model)
        for found, alive in self.alive.values():
            for units in found:
                if alive[units.block].all():
                    continue
                gate = weights[units.gate]
                rows = np.repeat(alive[units.block], gate.shape[0] // units.groups)
                gate.assign(gate * keras.ops.cast(rows[:, None], gate.dtype))


def _so_far(found, keep, done):
    """How many to keep where a part of the pruning, 0 to 1, is done."""
    if not is_whole(keep, 1):
        return 1 - done * (1 - keep)
    most, sharing = min(units.count for units in found), found[0].sharing
    return most - sharing * round(done * (most - keep) / sharing)


# -- what a model is made of ----------------------------------------------------------------------


def _stack(model):
    """The spec of a model of one stack."""
    check_model(model, "to prune")
    if isinstance(model.spec, Towers):
        raise KzooError(
            f"Got a {model.spec.family}, a network of {' and '.join(model.spec.towers)}; expected "
            "one of one stack."
        )
    return model.spec


def _blocks(spec, name):
    """The blocks of a spec; KzooError where there are none."""
    if not spec.blocks:
        raise KzooError(
            f"Got {name} to prune of {an(spec.family)}, which has no blocks; expected a network "
            "with some: trim makes a table of tokens smaller."
        )
    return spec.blocks


def _axes(model, resized, name):
    """`axes_that_change` with a spec that is resized; KzooError where there is none."""
    spec = _stack(model)
    try:
        return axes_that_change(model, resized())
    except KzooError:
        raise KzooError(_bound_sentence(spec, name, "something")) from None


def _bound_sentence(spec, name, where):
    return (
        f"Got {name} to prune of {an(spec.family)}, of which {where} is bound to how many there "
        f"are; expected what isn't: leave {name} out."
    )


def _check_position(spec, name):
    if name in resolve("position", spec.position)[0].bound_to:
        raise KzooError(
            f"Got {name} to prune of {an(spec.family)}, whose position {spec.position!r:.60} has "
            f"something of its own for each of them; expected what isn't bound to it: leave {name} "
            "out."
        )


def _check_data(model, data):
    if data is None:
        return
    if isinstance(model, Network) or not model.compiled:
        raise KzooError(
            "Got data for a model without a loss; expected a compiled task: call compile() first, "
            "its defaults will do."
        )
    if not isinstance(data, tuple) or len(data) != 2:
        raise KzooError(f"Got data of the type {type(data).__name__}; expected (x, y).")


def _share(value, name, most=None):
    if not is_number(value, 0, 1) or not value:
        counts = f"a whole number from 1 to {most}" if most else "a whole number from 1"
        raise KzooError(
            f"Got {name}={value!r:.40} to keep; expected a share above 0 and below 1, or {counts}."
        )
    return value
