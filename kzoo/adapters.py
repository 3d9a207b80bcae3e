"""Parameter-efficient training: from a model to one of which few weights learn, and back.

LoRA (arXiv:2106.09685) and DoRA (arXiv:2402.09353) put narrow products beside maps that stand
still; bottlenecks (arXiv:1902.00751, arXiv:2005.00247) put narrow nets behind them; BitFit
(arXiv:2106.10199) lets the offsets alone learn. What learns has moments in the optimizer, and
nothing else has.
"""

import math

from keras import ops

from .errors import KzooError
from .graphs import dense_slot, map_paths
from .network import Network, freeze, weights_by_path
from .nn.bottleneck import Bottleneck
from .nn.dense import DoRA, LoRA, lengths
from .nn.dense import activation as activation_of
from .parts import completed, resolve
from .spec import Towers
from .tasks.task import Task
from .values import an, is_whole

TARGETS = ("query", "value")  # those of the paper, section 4.2
KINDS = {"lora": LoRA, "dora": DoRA}  # the kinds of the `dense` slot that are merged
STAYING = {"bottleneck": Bottleneck}  # those that no plain map is equal to
BRANCHES = ("output", "down")  # the maps at the ends of a block's branches
NORMS = ("gamma", "beta")  # weights of norms, by the last names of their paths
OFFSETS = ("bias", "beta")  # what BitFit lets learn, by the last name of its path


def lora(model, rank=8, alpha=None, dropout=0.0, targets=TARGETS, dora=False, head=None):
    """A copy of a model that answers as it does, of which only LoRA's weights and the head learn.

    Each map that `targets` name gets two narrow ones beside it, in * rank and rank * units, whose
    product is added to it. It is fitted, saved and loaded as any model; `merged` makes a plain one
    of it, which exports do by themselves.

    Args:
        model: a task or a backbone in floats with whole maps.
        rank: of the update of each map.
        alpha: the update is multiplied by `alpha / rank`; twice the rank by default.
        dropout: the share of what updates read that is left out in training.
        targets: names of maps: "query", "key", "value", "output", "up", "down", "gate", or what
            stands before these in their paths, such as "attention", "cross_attention/key",
            "feedforward" or "decoder".
        dora: whether the columns' lengths learn too, as weights of their own (DoRA).
        head: whether the task's head learns as well; by default it does unless it scores the
            tokens of a vocabulary.

    Raises:
        KzooError: for ranks out of their range, maps that aren't there, a model that is adapted,
            factorized or rounds already, and networks that are no stacks of blocks.
    """
    network = _network_of(model)
    paths = map_paths(network, targets)
    if not is_whole(rank, 1):
        raise KzooError(
            f"Got rank = {rank!r:.40} for LoRA; expected a whole number from 1 on, such as 8."
        )
    for name, value in (("dora", dora), ("head", head)):
        _check_bool(name, value)
    alpha = 2 * rank if alpha is None else alpha
    options = {"kind": "dora" if dora else "lora", "alpha": alpha, "dropout": dropout}
    return with_adapters(model, dict.fromkeys(paths, rank), options, head=head)


def with_adapters(model, ranks, options, values=None, head=None):
    """`lora` for a rank of each map by its path, and a kind with its options.

    `values` are weights by path in the place of those that are drawn.
    """
    network = _network_of(model)
    _check_plain(model, network)
    copy = model.under(_respelled(network.spec, ranks, options), values)
    weights, inside = weights_by_path(copy), "" if network is model else "backbone/"
    for path in ranks:
        magnitude = f"{inside}{path}/magnitude"
        if magnitude in weights and magnitude not in (values or {}):
            weights[magnitude].assign(_lengths_of(weights, f"{inside}{path}"))
    learning = tuple(f"/{leaf}" for leaf in DoRA.LEAVES)
    return _with_learning(copy, lambda path: path.endswith(learning), head)


def bottleneck(model, size=16, targets=BRANCHES, activation="relu", norms=False, head=None):
    """A copy of a model that answers as it does, with adapters of which and the head alone learn.

    Behind each map that `targets` name stands a net of two narrow maps, whose output is added to
    what it reads: units * size and size * units, and offsets. It is fitted, saved, loaded and
    exported as any model; it isn't linear, so that there is nothing to merge.

    Args:
        model: a task or a backbone in floats with whole maps.
        size: how wide an adapter is within.
        targets: names of maps, as of `lora`. By default those that end a block's branches, as
            Houlsby et al. have it (arXiv:1902.00751); of Pfeiffer et al. (arXiv:2005.00247)
            ["down"], behind the feed-forward net alone.
        activation: its name, such as "relu" or "gelu".
        norms: whether norms learn as well, as Houlsby et al. have it.
        head: whether the task's head learns as well, as in `lora`.

    Raises:
        KzooError: as `lora`.
    """
    network = _network_of(model)
    paths = map_paths(network, targets)
    if not is_whole(size, 1):
        raise KzooError(
            f"Got size = {size!r:.40} for adapters; expected a whole number from 1 on, such as 16."
        )
    activation_of(activation)  # Else it says what there is.
    for name, value in (("norms", norms), ("head", head)):
        _check_bool(name, value)
    _check_plain(model, network)
    options = {"kind": "bottleneck", "activation": activation}
    copy = model.under(_respelled(network.spec, dict.fromkeys(paths, size), options))

    learning = set(Bottleneck.LEARNS)

    def learns(path):
        names = path.split("/")
        return not learning.isdisjoint(names) or (norms and names[-1] in NORMS)

    return _with_learning(copy, learns, head)


def bitfit(model, head=None):
    """A copy of a model of which only offsets learn, those of norms too, and the head.

    Ben Zaken et al. 2021, arXiv:2106.10199. It is the same network: nothing has to be merged.

    Args:
        model: a task or a backbone.
        head: whether the task's head learns as well, as in `lora`.

    Raises:
        KzooError: for a network without offsets, and one that is adapted already.
    """
    network = _network_of(model)
    check_not_adapted(model)
    if not any(_is_offset(path) for path in weights_by_path(network)):
        raise KzooError(
            f"Got a {network.family}, whose maps and norms have no offsets; expected a network "
            "that has some, such as a BERT: take kzoo.lora."
        )
    return _with_learning(model.under(network.spec), _is_offset, head)


def merged(model):
    """A plain copy of a model of `lora`, with equal outputs, all of whose weights learn.

    The updates are multiplied out and added to their maps. A model without any is given back as it
    is.

    Raises:
        KzooError: for a model of `bottleneck`.
    """
    if has_bottlenecks(model):
        raise KzooError(
            "Got a model with bottleneck adapters, which are no linear maps, so that no plain "
            "model is equal to it; expected one of kzoo.lora: save and export this one as it is."
        )
    return as_written(model)


def as_written(model):
    """`merged`, which leaves bottleneck adapters where they are: what other formats take."""
    if not is_adapted(model):
        return model
    spec, weights, values = model.spec, weights_by_path(model), {}
    for path, scale, cls in adapted_maps(model):
        held = held_by(weights, path, ("kernel", *cls.LEAVES))
        values[f"{path}/kernel"] = cls.whole(held, scale).astype("float32")
    copy = model.under(_respelled(spec, {}, {}), values)
    freeze(copy, [])
    return copy


def is_adapted(model):
    """Whether a model has maps with updates beside them, which `merged` adds."""
    return _has_kind(model, KINDS)


def has_bottlenecks(model):
    """Whether a model has adapters of `bottleneck` behind its maps."""
    return _has_kind(model, STAYING)


def _has_kind(model, kinds):
    if not isinstance(model, (Network, Task)):
        return False
    return any(_kinds_of(spec) & kinds.keys() for spec in _specs(model.spec))


def trainable_share(model):
    """The share of a model's numbers that learn, 0 to 1; the optimizer has moments for these."""
    _network_of(model)
    learning = {id(weight) for weight in model.trainable_variables}
    sizes = {True: 0, False: 0}
    for weight in weights_by_path(model).values():
        sizes[id(weight) in learning] += math.prod(weight.shape)
    return sizes[True] / sum(sizes.values())


def adapted_maps(model):
    """The path of each adapted map in `weights_by_path(model)`, its scale and its class."""
    inside = "" if isinstance(model, Network) else "backbone/"
    found = []
    for prefix, spec in _stack_specs(model.spec):
        for block in spec.blocks:
            held = spec.slot("dense", block)
            if held is None:
                continue
            options = completed("dense", held)
            for path, rank in options["ranks"].items():
                where = f"{inside}{prefix}block_{block}/{path}"
                found.append((where, options["alpha"] / rank, KINDS[options["kind"]]))
    return found


def held_by(weights, path, leaves):
    """The weights of a map by name, as NumPy in float64."""
    return {
        leaf: ops.convert_to_numpy(ops.cast(weights[f"{path}/{leaf}"], "float32")).astype("float64")
        for leaf in leaves
    }


def _lengths_of(weights, path):
    """The lengths of the columns of a map as DoRA computes them."""
    return lengths(held_by(weights, path, ("kernel",))["kernel"]).astype("float32")


def _network_of(model):
    if not isinstance(model, (Network, Task)):
        raise KzooError(f"Got {an(type(model).__name__)}; expected a task or a network of kzoo.")
    return model if isinstance(model, Network) else model.backbone


def _check_bool(name, value):
    if type(value) is not bool and (name, value) != ("head", None):
        raise KzooError(f"Got {name}={value!r:.40}; expected true or false.")


def _is_offset(path):
    return path.rpartition("/")[2] in OFFSETS


def check_not_adapted(model):
    """Raise KzooError for a model that has updates beside its maps, or adapters behind them."""
    if has_bottlenecks(model):
        raise KzooError(
            "Got a model that has bottleneck adapters already; expected a plain one: take the "
            "model that they were learnt on."
        )
    if is_adapted(model):
        raise KzooError(
            "Got a model that is adapted already; expected a plain one: kzoo.merged(model) makes "
            "it."
        )


def _check_plain(model, network):
    """Raise KzooError for a model whose maps can't be adapted."""
    check_not_adapted(model)
    for spec in _specs(network.spec):
        if spec.quantization is not None:
            raise KzooError(
                f"Got a model that rounds as a file of {spec.quantization} does; expected one in "
                "floats: adapt and merge it first, then quantize."
            )
        if spec.dense is not None:
            raise KzooError(
                f"Got a model with maps of the kind {', '.join(sorted(_kinds_of(spec)))}; expected "
                "whole ones, as kzoo.compression.multiplied_out makes them."
            )


def _with_learning(model, learns, head):
    """The model itself, of which what a function of paths says and the head learn alone."""
    if head is None and isinstance(model, Task):
        # Of what scores tokens `tied` says whether by the table; of others it is None.
        head = getattr(resolve("head", model.head_slot)[0], "tied", None) is None
    freeze(
        model,
        {
            path
            for path in weights_by_path(model)
            if not (head if path.startswith("head/") else learns(path))
        },
    )
    return model


def _specs(spec):
    return [each for _, each in _stack_specs(spec)]


def _stack_specs(spec, prefix=""):
    """The spec of each stack with what the paths of its weights begin with."""
    if not isinstance(spec, Towers):
        return [(prefix, spec)]
    return [
        found
        for name, tower in spec.towers.items()
        for found in _stack_specs(tower, f"{prefix}{name}/")
    ]


def _kinds_of(spec):
    """The kinds of maps that a stack's spec names."""
    held = spec.dense if isinstance(spec.dense, list) else [spec.dense]
    return {completed("dense", each)["kind"] for each in held if each is not None}


def _respelled(spec, ranks, options, prefix=""):
    """The spec with adapters of these ranks by path, and no other."""
    if isinstance(spec, Towers):
        towers = {
            name: _respelled(tower, ranks, options, f"{prefix}{name}/")
            for name, tower in spec.towers.items()
        }
        return spec.replace(towers=towers)

    def entry(_block, own):
        of_block = {p.removeprefix(own): r for p, r in ranks.items() if p.startswith(own)}
        return {**options, "ranks": of_block}

    return spec.replace(dense=dense_slot(spec, prefix, entry))
