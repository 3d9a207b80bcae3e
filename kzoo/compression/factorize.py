"""Maps and token tables as products of two narrow ones, as near as a rank allows: low rank.

Without data this is the singular value decomposition of each matrix; with data that of what it
gives on them (SVD-LLM, arXiv:2403.07378; ASVD, arXiv:2312.05821).
"""

import contextlib
import dataclasses

import numpy as np
from keras import ops

from ..adapters import as_written, has_bottlenecks
from ..errors import KzooError
from ..graphs import dense_slot, map_paths
from ..keras_hooks import layers_with_weights
from ..network import Network, freeze, frozen, weights_by_path
from ..parts import completed
from ..spec import Towers
from ..tasks.task import check_model
from ..values import is_number, is_whole
from .quantize_aware import is_aware
from .rounded import as_floats

# How much of the mean square of all directions is added to each: data may show no more than a few.
RIDGE = 0.001
# The share that all tokens of a vocabulary have in equal parts, whatever their counts.
UNSEEN = 0.3
TABLE = "token_embedding"
NARROW = "low_rank_token"
FACTORS = ("token", NARROW)  # The kinds of embeddings whose table may be of low rank.
IDS, MASK = "token_ids", "padding_mask"  # What the names of such inputs end with.


def factorize(model, rank=None, energy=None, maps=None, embedding=None, data=None, batch_size=32):
    """A copy of a model whose matrices are products of two narrow ones, and a report.

    It answers as the model does, the more so the higher the ranks are. A map is smaller and faster
    where its rank is below in * units / (in + units). What comes out is a model as any other: it
    can be fitted, pruned, exported and factorized again.

    Args:
        model: a task or a backbone.
        rank: that of every map: a whole number, or a share of the lesser of its widths, such as
            0.25.
        energy: in the place of `rank`, the share of the squared singular values that is kept. Each
            map has the least rank that does so, and stays whole where that saves nothing.
        maps: the names of the maps, such as ["query", "up"] or ["cross_attention/key"]; all of the
            blocks by default.
        embedding: whether the table of tokens is factorized too: True for as the maps are, or a
            rank of its own, as for `rank`; the maps stay whole then where neither `rank` nor
            `energy` is given.
        data: what the model reads, to weigh by: of a task what `predict` takes, of a backbone dicts
            of its inputs, each a batch. What maps give is nearest on these examples then, and a
            table's vectors are for the tokens that are frequent there. Take some hundred texts of
            the kind that the model is for: what others need is given up first.
        batch_size: how many of these are run at once.

    Returns:
        The model and a dict: `parameters` and `bytes` (in float32) `before` and `after`; `maps` and
        `tables`, by path the `shape`, the `rank` (None: whole), `kept`, the share of the energy,
        and `error`, the relative error of the outputs, both on the data where these came.

    Raises:
        KzooError: for ranks and shares out of their range, maps that aren't there, and networks
            that are no stacks of blocks.
    """
    model = as_floats(_merged(model))
    network = model if isinstance(model, Network) else model.backbone
    if is_aware(model):
        raise KzooError(
            f"Got {model.name} with ranges of activations, which are those of its own maps; "
            "expected one without: factorize first, then quantize_aware."
        )
    chosen, tables = map_paths(network, maps), {}
    _check(rank, energy, embedding)
    if not is_whole(batch_size, 1):
        raise KzooError(f"Got batch_size={batch_size!r:.40}; expected a whole number from 1 on.")
    if embedding is not None and embedding is not False:
        tables = dict.fromkeys(_tables(network))
        if not tables:
            raise KzooError(
                f"Got embedding = {embedding!r:.40} for a {network.family}, which reads no tokens: "
                "leave it out."
            )
    if rank is None and energy is None:
        if maps is not None or not tables or embedding is True:
            raise KzooError(
                "Got neither a rank nor an energy; expected one of them, such as rank=0.25 or "
                "energy=0.9."
            )
        chosen = []
    seen = _Seen() if data is None else _observed(model, network, chosen, data, batch_size)
    weights, values, ranks = weights_by_path(network), {}, {}
    report = {"rank": rank, "energy": energy, "maps": {}, "tables": {}}
    for path in chosen:
        whole, bias = _whole(weights, path, "kernel"), _array(weights.get(f"{path}/bias"))
        found = _nearest(path, whole, bias, seen.moments.get(path), rank, energy)
        ranks[path], report["maps"][path] = found.rank, found.described()
        values |= found.at(path)
    for path in tables:
        whole = _whole(weights, path, "embeddings")
        own = (rank, energy) if embedding is True else (embedding, None)
        found = _nearest(path, whole, None, seen.of_tokens(len(whole)), *own)
        tables[path], report["tables"][path] = found.rank, found.described()
        values |= found.at_table(path)
    return _rebuilt(model, _respelled(network.spec, ranks, tables), values, report)


def multiplied_out(model):
    """A copy of a model that was factorized, with whole maps and tables again, such as for export.

    It answers as the model does, but for rounding; a model that has whole ones is copied.
    """
    model = _merged(model)
    network = model if isinstance(model, Network) else model.backbone
    weights = weights_by_path(network)
    maps, tables = map_paths(network), _tables(network)
    values = {f"{path}/kernel": _whole(weights, path, "kernel") for path in maps}
    values |= {f"{path}/embeddings": _whole(weights, path, "embeddings") for path in tables}
    spec = _respelled(network.spec, dict.fromkeys(maps), dict.fromkeys(tables))
    return _rebuilt(model, spec, values, {})[0]


def _merged(model):
    """The model without adapters; KzooError for such as stand behind its maps, and no model."""
    check_model(model, "to factorize")
    if has_bottlenecks(model):
        raise KzooError(
            "Got a model with bottleneck adapters, whose maps can't be of low rank as well; "
            "expected one without: take kzoo.lora in their place, which is merged."
        )
    return as_written(model)


def _check(rank, energy, embedding):
    """Raise KzooError for arguments out of their range."""
    if rank is not None and energy is not None:
        raise KzooError(
            f"Got rank = {rank!r:.40} and energy = {energy!r:.40}; expected one of them, since "
            "either decides the other."
        )
    for name, value in (("rank", rank), ("embedding", embedding)):
        if value is None or name == "embedding" and isinstance(value, bool):
            continue
        if not is_whole(value, 1) and (is_whole(value) or not is_number(value, 0, 1) or not value):
            raise KzooError(
                f"Got {name} = {value!r:.40}; expected a whole number of at least 1, or a share "
                "above 0.0 and up to 1.0."
            )
    if energy is not None and (not is_number(energy, 0, 1) or not energy):
        raise KzooError(f"Got energy = {energy!r:.40}; expected a share above 0 and up to 1.")


# -- where a model has maps and tables -------------------------------------------------------------


def _tables(network):
    """The paths of the tables of tokens."""
    table = f"/{TABLE}/embeddings"
    return [p.rpartition("/")[0] for p in weights_by_path(network) if f"/{p}".endswith(table)]


def _array(weight):
    """A weight in float64; None where there is none."""
    if weight is None:
        return None
    return ops.convert_to_numpy(ops.cast(weight, "float32")).astype("float64")


def _whole(weights, path, name):
    """The matrix of a map or table, multiplied out where it is of low rank."""
    narrow = {"kernel": (f"{path}/reduce/kernel", f"{path}/kernel")}
    narrow["embeddings"] = (f"{path}/embeddings", f"{path}/expand/kernel")
    one, other = (_array(weights.get(each)) for each in narrow[name])
    return _array(weights[f"{path}/{name}"]) if one is None or other is None else one @ other


# -- what it reads ---------------------------------------------------------------------------------


class _Moments:
    """Of the rows (rows, in) that a map read: their weights' sum, their sum, that of products.

    A row weighs one by the square of its length. Some tokens have vectors a hundred times as long
    as others, which a norm makes equals again: they would decide alone.
    """

    def __init__(self, width):
        self.count, self.sum = 0.0, np.zeros(width)
        self.products = np.zeros((width, width))

    def add(self, rows):
        weights = 1 / np.maximum((rows.astype("float64") ** 2).sum(1, keepdims=True), 1e-12)
        self.count += weights.sum()
        self.sum += (rows * weights).sum(0)
        self.products += rows.T @ (rows * weights)

    def metric(self, centred):
        """The mean of the rows, or zeros, and how much each direction counts, (in, in)."""
        count = max(self.count, 1e-30)
        mean = self.sum / count * centred
        metric = self.products / count - np.outer(mean, mean)
        return mean, metric + np.eye(len(mean)) * (RIDGE * np.trace(metric) / len(mean))


@dataclasses.dataclass
class _Seen:
    """What data showed: in how many batches, moments by the path of a map, counts by token."""

    batches: int = 0
    moments: dict = dataclasses.field(default_factory=dict)
    counts: object = dataclasses.field(default_factory=lambda: np.zeros(0, "int64"))

    def count(self, ids):
        """Count tokens (number of them,)."""
        counts = np.bincount(ids, minlength=len(self.counts))
        counts[: len(self.counts)] += self.counts
        self.counts = counts

    def of_tokens(self, rows):
        """The share of each token in what was read, (rows,), or None."""
        if not self.counts.sum():
            return None
        counts = np.pad(self.counts, (0, max(0, rows - len(self.counts))))[:rows]
        return (1 - UNSEEN) * counts / counts.sum() + UNSEEN / rows


def _observed(model, network, paths, data, batch_size):
    """Run a model on data, and see what its maps read."""
    layers = {
        layer.path.removeprefix(f"{network.path}/"): layer
        for layer, _ in layers_with_weights(network)
    }
    seen, masks = _Seen(), {}

    def run(inputs):
        masks.clear()
        for name, value in inputs.items():
            if name.endswith(MASK):
                masks[name.removesuffix(MASK).rstrip("_")] = np.asarray(value) > 0
        for name, value in inputs.items():
            if name.endswith(IDS):
                seen.count(np.asarray(value)[masks[name.removesuffix(IDS).rstrip("_")]])
        model(inputs)
        seen.batches += 1
        return {}

    with contextlib.ExitStack() as watched:
        for path in paths:
            watched.enter_context(_watched(path, layers[path], seen.moments, masks))
        if model is network:
            for inputs in data:
                run(network.check_inputs(inputs))
        else:
            model.run_batches(model.encode_examples(model.as_inputs(data)), batch_size, run=run)
    if not seen.batches:
        raise KzooError("Got data without an example; expected some that the model reads.")
    return seen


@contextlib.contextmanager
def _watched(path, layer, moments, masks):
    """While the block runs, what a map reads is added up; `masks` has those of the batch."""
    call = layer.call

    def watching(x):
        rows = ops.convert_to_numpy(ops.cast(x, "float32"))
        kept = _kept(path, rows.shape[:-1], masks)
        rows = rows.reshape(-1, rows.shape[-1]) if kept is None else rows[kept]
        moments.setdefault(path, _Moments(rows.shape[-1])).add(rows)
        return call(x)

    layer.call = watching
    try:
        yield
    finally:
        del layer.call


def _kept(path, shape, masks):
    """Which places of a map's inputs are no padding; None where no mask is about as many.

    A class token stands before none, and of several towers that of the map comes first.
    """
    for tower in sorted(masks, key=lambda tower: f"/{tower}/" not in f"/{path}"):
        mask = masks[tower].reshape(-1, masks[tower].shape[-1])  # Several sequences are rows.
        if mask.shape == shape:
            return mask
    return None


# -- the nearest product ---------------------------------------------------------------------------


@dataclasses.dataclass
class _Found:
    """A matrix as a product, or whole, and how near it is."""

    shape: tuple
    rank: object
    one: object
    other: object
    bias: object
    kept: float
    error: float

    def described(self):
        """What the report says of it."""
        return {
            "shape": list(self.shape),
            "rank": self.rank,
            "kept": round(float(self.kept), 6),
            "error": round(float(self.error), 6),
        }

    def at(self, path):
        """Its weights by path, as a map has them."""
        if self.rank is None:
            values = {f"{path}/kernel": self.one}
        else:
            values = {f"{path}/reduce/kernel": self.one, f"{path}/kernel": self.other}
        return values if self.bias is None else {**values, f"{path}/bias": self.bias}

    def at_table(self, path):
        """Its weights by path, as a table has them."""
        values = {f"{path}/embeddings": self.one}
        return values if self.rank is None else {**values, f"{path}/expand/kernel": self.other}


def _nearest(path, whole, bias, seen, rank, energy):
    """A matrix (in, units) as the product of a rank that is nearest on what was seen.

    With the root R of the second moments of the inputs x, of which each is taken at length 1, the
    mean of |x (W - W')|^2 is |R (W - W')|^2: least where R W' is R W without its smaller singular
    values. Where there is a bias the mean of x needn't be kept by W', since the bias has room for
    what that gives.
    """
    mean, metric = np.zeros(len(whole)), None
    if isinstance(seen, _Moments):
        mean, metric = seen.metric(bias is not None)
    elif seen is not None:
        metric = seen
    most = min(whole.shape)
    if rank is not None:
        wanted = rank if is_whole(rank) else max(1, round(rank * most))
        if wanted > most:
            raise KzooError(
                f"Got the rank {wanted} for {path}, which is {whole.shape[0]} by "
                f"{whole.shape[1]}; expected at most {most}, its lesser width, or a share."
            )
    one, other, energies = _decomposed(whole, metric)
    shares = np.cumsum(energies) / max(energies.sum(), 1e-30)
    if rank is None:
        wanted = int(np.searchsorted(shares, energy * (1 - 1e-12))) + 1
        if wanted * sum(whole.shape) >= whole.size:
            return _Found(whole.shape, None, whole, None, bias, 1.0, 0.0)
    one, other = one[:, :wanted], other[:wanted]
    lost = whole - one @ other
    error = np.sqrt(_size(lost, metric) / max(_size(whole, metric), 1e-30))
    bias = bias if bias is None else bias + mean @ lost
    return _Found(whole.shape, wanted, one, other, bias, shares[wanted - 1], error)


def _size(matrix, metric):
    """The square of a matrix's Frobenius norm, its rows as the metric has them."""
    if metric is None or metric.ndim == 1:
        return float(((matrix**2).sum(1) * (1 if metric is None else metric)).sum())
    return float((matrix * (metric @ matrix)).sum())


def _decomposed(whole, metric):
    """Factors (in, n) and (n, units), best component first, and the energy of each, (n,).

    n is the lesser width: the eigenvectors of a matrix of that size are all that is computed.
    """
    rows, columns = whole.shape
    if columns <= rows:
        weighted = whole * metric[:, None] if metric is not None and metric.ndim == 1 else whole
        weighted = metric @ whole if metric is not None and metric.ndim == 2 else weighted
        energies, turn = _eigen(whole.T @ weighted)
        return _balanced(whole @ turn, turn.T, energies)
    root, back = np.eye(rows), np.eye(rows)
    if metric is not None and metric.ndim == 1:
        root, back = np.diag(np.sqrt(metric)), np.diag(1 / np.sqrt(metric))
    elif metric is not None:
        values, vectors = _eigen(metric)
        values = np.sqrt(np.maximum(values, values[0] * 1e-12 + 1e-30))
        root, back = (vectors * values) @ vectors.T, (vectors / values) @ vectors.T
    weighted = root @ whole
    energies, turn = _eigen(weighted @ weighted.T)
    return _balanced(back @ turn, turn.T @ weighted, energies)


def _eigen(matrix):
    """Eigenvalues, the largest first, and eigenvectors as columns, of a symmetric matrix."""
    values, vectors = np.linalg.eigh((matrix + matrix.T) / 2)
    return np.maximum(values[::-1], 0), vectors[:, ::-1]


def _balanced(one, other, energies):
    """The same product, both sides of each component of one length."""
    lengths = [np.linalg.norm(one, axis=0), np.linalg.norm(other, axis=1)]
    # Components that the matrix lacks have no length.
    lengths = [np.maximum(length, length.max() * 1e-6 + 1e-30) for length in lengths]
    scale = np.sqrt(lengths[1] / lengths[0])
    return one * scale, other / scale[:, None], energies


# -- the result ------------------------------------------------------------------------------------


def _respelled(spec, ranks, tables, prefix=""):
    """The spec with the ranks of maps and tables by path; None for those that are whole."""
    if isinstance(spec, Towers):
        towers = {
            name: _respelled(tower, ranks, tables, f"{prefix}{name}/")
            for name, tower in spec.towers.items()
        }
        options = dict(spec.options)
        if f"{prefix}{TABLE}" in tables:
            options["embedding"] = _slot(options["embedding"], tables[f"{prefix}{TABLE}"])
        return spec.replace(towers=towers, options=options)
    embedding = spec.embedding
    if f"{prefix}{TABLE}" in tables:
        embedding = _slot(embedding, tables[f"{prefix}{TABLE}"])

    def entry(block, own):
        held = spec.slot("dense", block)
        of_block = dict(completed("dense", held)["ranks"]) if held else {}
        of_block |= {p.removeprefix(own): r for p, r in ranks.items() if p.startswith(own)}
        return {"kind": "low_rank", "ranks": {p: r for p, r in of_block.items() if r is not None}}

    dense = dense_slot(spec, prefix, entry)
    return spec.replace(embedding=embedding, dense=dense)


def _slot(held, rank):
    """An embedding's slot with a table of that rank, or a whole one for None."""
    kind, narrow = held["kind"], NARROW
    others = {name: value for name, value in held.items() if name not in ("kind", "rank")}
    if rank is None:
        return {"kind": "token" if kind == narrow else kind, **others}
    if kind not in FACTORS:
        raise KzooError(
            f"Got embedding to factorize for one of the kind {kind!r}; expected token: leave it "
            "out, and factorize the maps."
        )
    return {"kind": narrow, **others, "rank": rank}


def _rebuilt(model, spec, values, report):
    """The copy under the spec, and the report with sizes; what stood still does so."""
    top = "" if isinstance(model, Network) else "backbone/"
    values = {f"{top}{path}": value.astype("float32") for path, value in values.items()}
    copy = model.under(spec, values)
    still = set(frozen(model))
    narrow = {"reduce/kernel": "kernel", "expand/kernel": "embeddings"}
    freeze(
        copy,
        [
            *still,
            *(
                path
                for path in weights_by_path(copy)
                for end, of in narrow.items()
                if path.endswith(f"/{end}") and path.removesuffix(end) + of in still
            ),
        ],
    )
    sizes = [
        sum(int(np.prod(weight.shape)) for weight in weights_by_path(each).values())
        for each in (model, copy)
    ]
    parameters = dict(zip(("before", "after"), sizes, strict=True))
    size = {name: 4 * count for name, count in parameters.items()}
    return copy, {"step": "factorize", "parameters": parameters, "bytes": size, **report}
