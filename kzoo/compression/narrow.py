"""Vectors of fewer numbers, by the directions that hold most of them."""

import numpy as np
from keras import ops

from ..errors import KzooError
from ..network import weights_by_path
from ..tasks.embedder import Embedder
from ..values import an, is_whole
from .distill import answers


def narrowed(model, x, width, batch_size=64):
    """An embedder whose vectors have fewer numbers, and a report.

    A projection is put behind those that it has: the directions in which its vectors of the
    examples are largest together, which keep their products as well as any so many can (Eckart and
    Young, 1936). As a teacher it gives targets as narrow as its student's vectors.

    Args:
        model: a `TextEmbedder` or an `ImageEmbedder`, which stays as it is.
        x: examples, as `predict` takes them in a list; as many as the vectors have numbers, or
            more.
        width: how many numbers a vector is to have.
        batch_size: as for `predict`.

    Returns:
        The embedder, and {"step": "narrowed", "width", "before", "examples", "kept"}, where `kept`
        is the share of the squared lengths that is left, of 1.

    Raises:
        KzooError: for what is no such embedder, a width beyond its own, and too few examples.
    """
    if not isinstance(model, Embedder):
        raise KzooError(
            f"Got {an(type(model).__name__)} to narrow; expected an embedder, which gives vectors."
        )
    before = model.output_width
    if not is_whole(width, 1, before - 1):
        raise KzooError(
            f"Got the width {width!r:.40} for vectors of {before} numbers; expected 1 to "
            f"{before - 1}."
        )
    x = list(model.as_inputs(x))
    if len(x) < before:
        raise KzooError(
            f"Got {len(x)} examples to find directions of {before} numbers; expected {before} or "
            "more."
        )
    vectors = answers(model, x, batch_size).astype("float64")
    values, directions = np.linalg.eigh(vectors.T @ vectors)  # from the least on
    config = {key: value for key, value in model.get_config().items() if key != "backbone"}
    slot = {"kind": "dense", "units": int(width), "activation": None, "bias": False}
    config["projections"] = [*config["projections"], slot]
    backbone = model.backbone.under(model.spec)
    backbone.processors = dict(model.processors)
    copy = type(model)(backbone, **config)
    known = weights_by_path(model)
    for path, weight in weights_by_path(copy).items():
        if path in known:
            weight.assign(ops.convert_to_numpy(known[path]))
    last = copy.head.projections[-1]
    last.weights[0].assign(directions[:, ::-1][:, :width].astype("float32"))
    report = {
        "step": "narrowed",
        "width": int(width),
        "before": int(before),
        "examples": len(x),
        "kept": float(values[-width:].sum() / values.sum()),
    }
    return copy, report
