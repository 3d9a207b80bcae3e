"""Which axes of which weights belong to a size of the spec: those that another size changes."""

from ..keras_hooks import abstract_build
from ..network import Network, weights_by_path
from ..nn import lowering


def axes_that_change(model, spec, processors=None):
    """The axes that are of another length in a model of another spec.

    That model is laid out without a value, so no list says which weights a size has.

    Args:
        model: a task or a network.
        spec: of the other one, with the same paths of weights.
        processors: by kind, in place of the model's own.

    Returns:
        {path: {axis: (length here, length there)}}.
    """

    def other():
        if isinstance(model, Network):
            return type(model)(spec)
        backbone = type(model.backbone)(spec)
        backbone.processors = {**model.processors, **(processors or {})}
        config = {key: value for key, value in model.get_config().items() if key != "backbone"}
        return type(model)(backbone, **config)

    with lowering.rounding(lambda x, limits: x):  # No shape depends on it, and it is long to trace.
        there, found = weights_by_path(abstract_build(other)), {}
    for path, weight in weights_by_path(model).items():
        lengths = enumerate(zip(weight.shape, there[path].shape, strict=True))
        if axes := {axis: pair for axis, pair in lengths if pair[0] != pair[1]}:
            found[path] = axes
    return found
