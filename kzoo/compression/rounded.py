"""What a model rounds already, and the way back to floats."""

from ..errors import KzooError
from ..network import Network, weights_by_path
from ..nn.rounding import SCALES, on_steps
from ..spec import Towers
from ..tasks.task import Task
from ..values import an

FOUR_BITS = "int4"  # the quantization of a task of `four_bits`


def rounds_as(model):
    """The quantization of the files that a model rounds like, or None where it rounds nothing."""
    spec = getattr(model, "backbone", model).spec
    specs = spec.towers.values() if isinstance(spec, Towers) else [spec]
    return next((each.quantization for each in specs if each.quantization is not None), None)


def with_quantization(spec, kind):
    """A spec, of all its towers, with a quantization."""
    if isinstance(spec, Towers):
        towers = {name: with_quantization(tower, kind) for name, tower in spec.towers.items()}
        return spec.replace(towers=towers)
    return spec.replace(quantization=kind)


def rounded_layers(model):
    """The paths of the layers of a model whose weights have 4 bits, in order."""
    end = f"/{SCALES}"
    return [path.removesuffix(end) for path in weights_by_path(model) if path.endswith(end)]


def as_floats(model):
    """A model of `four_bits` with its rounded weights as floats; another one as it is.

    Raises:
        KzooError: for a model of the user's own that holds one.
    """
    if rounds_as(model) != FOUR_BITS:
        return model
    if not isinstance(model, (Network, Task)):
        raise KzooError(
            f"Got {an(type(model).__name__)} that holds a backbone of 4 bits; expected the task "
            "itself, or one that holds what kzoo.compression.as_floats makes of it."
        )
    paths = rounded_layers(model)
    weights = weights_by_path(model)
    values = {
        f"{path}/kernel": on_steps(weights[f"{path}/kernel"], weights[f"{path}/{SCALES}"])
        for path in paths
    }
    return model.under(with_quantization(model.spec, None), values)
