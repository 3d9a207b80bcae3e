"""The Keras model that holds a spec: its configuration, its input checks, its weights by path."""

import math

import keras
import numpy as np

from . import nn  # noqa: F401  (files the parts)
from .errors import KzooError
from .keras_hooks import (
    ExportsTokens,
    layers_with_weights,
    outputs_of,
    precision,
    set_trainable,
)
from .logs import hidden
from .nn.rounding import HELD, SCALES
from .spec import Spec, Value
from .values import an

# Keras gives inputs these types where it builds or exports a model of the user's that doesn't say
# its own; each holds every id. With values at hand, ids that are no whole numbers are a mistake.
WHOLE_IN = ("float32", "float64")


class Served:
    """What a file that is made of a model may be called on.

    `functions` has for each function of the file the signature of the network that it reads, and
    the sizes of axes that are the same in every file.
    """

    functions = {"serve": ("serve", {})}
    length_axes = ("length",)  # those that the length of what is read decides
    # Constants beside the weights that a file holds in float32, however these are quantized.
    tables = ()

    def run_function(self, name, inputs):
        """The outputs of a function, by name."""
        return self(inputs)

    def function_axes(self, name):
        """The axes of each output of a function, by the names of their sizes."""
        return self.output_axes


class Network(Served, ExportsTokens, keras.Model):
    """A transformer whose configuration is its spec and whose weights exist from the start.

    Subclasses wire the parts (see `graphs.py`) and set `family`. Layers hold no `get_config`:
    the spec rebuilds them all.

    Inputs that don't fit are an error in one sentence, ids outside their tables included, wherever
    their values are at hand: in calls, `predict` and `predict_on_batch`. Inside a traced function
    (`fit`, a `tf.data.Dataset`, a SavedModel) ids have no values yet; there TensorFlow fails with a
    message of its own on a CPU and gives zeros on a GPU, and JAX gives NaN.

    Args:
        spec: a `Spec`, or its fields as a dict.
        name: the Keras name; the family's by default.
    """

    family = None
    output_axes = {}  # The axes of each output, by the names of their sizes; of some unsaid.
    # What some families have nothing to say of: see `checkpoints/config.py` and `rows.py`.
    HEADS, MODEL_TYPES, CLASSES, PREFIX, TASK_ROWS = {}, {}, {}, "", ""
    elsewhere = "Hugging Face"
    TOWERS, KEY, REQUIRED, HARMLESS, HEAD_DROPOUT, LM_ACTIVATION = {}, None, {}, "", {}, None
    WORDS = None  # The key there of the tower that writes, where that says whether scores are tied.
    ENDS = None  # A key there of the token that ends what is written, and its default.
    # The kinds of the heads that score tokens of texts of which some are hidden, by task.
    LM_HEADS = {"MaskedLM": "masked_lm", "PreTraining": "pretraining"}
    PAIRS = "next_sentence"  # what it learns of pairs, one of `data.sentence_pairs.RELATIONS`
    reader = None  # The family of an encoder-decoder where both towers read, see `BothRead`.
    gradient_checkpointing = False  # See `checkpoint_gradients`.
    blocks_alike = True  # Whether one block of a kind stands for the others where they are counted.
    RENAMED = {}  # Pieces of names in files there, and what transformers 5 calls them in memory.
    ZERO_IF_MISSING = ()  # Tensors that are all zeros where a file there lacks them.
    COMPUTED = {}  # Tensors there that nothing learns: functions of the spec by name.
    CLASS_HEADS = {}  # By a class there which head it has, where there is one for each.

    def __init__(self, spec, name=None):
        spec = spec if isinstance(spec, Value) else Spec.from_dict(spec)
        if spec.family != self.family:
            raise KzooError(
                f"{type(self).__name__} takes specs of the family {self.family!r}; this one is of "
                f"{spec.family!r}: use kzoo.models.build(spec)."
            )
        super().__init__(name=name or self.family)
        self.spec, self.processors = spec, {}
        with hidden():  # TensorFlow tells of devices with the first variable.
            self.wire()
            outputs_of(self, self.symbolic_inputs())

    def wire(self):
        """Make the layers of the spec."""
        raise NotImplementedError

    def build(self, _shape=None):
        """Make nothing: layers make their weights when they are called first, see `Composed`."""

    @property
    def signatures(self):
        """What the model may be called on: for each use the name of an input to its `Input`.

        The first, "serve", is the usual one: whole inputs.
        """
        raise NotImplementedError

    @property
    def signature(self):
        """What the model usually reads: the name of an input to its `Input`, in order."""
        return self.signatures["serve"]

    @property
    def input_names(self):
        """The names of the usual inputs, in order."""
        return list(self.signature)

    @property
    def vocabulary_size(self):
        """How many tokens the embedding has."""
        return self.embedding.vocabulary_size

    @property
    def padding_id(self):
        """The token that fills rows up."""
        return self.embedding.padding_id

    @property
    def tokenizer(self):
        """The tokenizer that came with the network, or None."""
        return self.processors.get("tokenizer")

    @tokenizer.setter
    def tokenizer(self, tokenizer):
        self.processors["tokenizer"] = tokenizer

    @property
    def largest(self):
        """The largest size of each axis that has a name, where there is one."""
        return {"length": self.spec.max_sequence_length}

    @property
    def longest(self):
        """How many places what it reads has at most."""
        return self.spec.max_sequence_length

    @classmethod
    def tower_classes(cls, spec):
        """The class of each tower of a spec by its name; none of what is one network."""
        return cls.TOWERS

    @property
    def head_spec(self):
        """The spec of what gives the vectors that a head reads."""
        return self.spec.head

    def symbolic_inputs(self, places=2):
        """One example of so many places, as Keras tensors, for layers to learn their shapes."""
        sizes = {"batch": 1}
        return {
            name: keras.KerasTensor(
                [sizes.get(axis, places) if isinstance(axis, str) else axis for axis in entry.axes],
                dtype=entry.dtype,
                name=name,
            )
            for name, entry in self.signature.items()
        }

    def export_inputs(self):
        """Shape, with None for each size that varies, and type of each input, by name."""
        return {
            name: ([None if isinstance(axis, str) else axis for axis in entry.axes], entry.dtype)
            for name, entry in self.signature.items()
        }

    def __call__(self, inputs, *args, **kwargs):
        """Run the model on the dict of its inputs; what doesn't fit is an error that says so."""
        return self.run(self.check_inputs(inputs), *args, **kwargs)

    def run(self, inputs, *args, **kwargs):
        """`__call__` for inputs that `check_inputs` has seen: a task checks them once for both."""
        return super().__call__(inputs, *args, **kwargs)

    def run_for(self, inputs, first, training=None):
        """`run` for what reads no more of `sequence_output` than its `first` places, see `Stack`.

        None for what may read any place. A network that saves nothing by it gives all of them.
        """
        return self.run(inputs, training=training)

    def predict(self, x, *args, **kwargs):
        """`keras.Model.predict`."""
        x = self.check_inputs(x) if isinstance(x, dict) else x
        return super().predict(x, *args, **kwargs)

    def predict_on_batch(self, x):
        """`keras.Model.predict_on_batch`."""
        return super().predict_on_batch(self.check_inputs(x))

    def checkpoint_gradients(self, value):
        """Whether training keeps less for gradients, and computes what they need once more."""
        if value:
            raise KzooError(
                f"Got gradient_checkpointing for a {self.family}, whose blocks don't follow each "
                "other; expected a network that is a stack of blocks: leave it out."
            )

    def running(self, schedule):
        """A context in which calls run other steps of the same blocks, and no others.

        Outputs are those of `with_spec(schedule=...)` without the time that a copy takes. What was
        traced before (`fit`, `predict`) runs what it ran.
        """
        raise KzooError(
            f"Got steps to run of {an(self.family)}, whose blocks don't follow each other; "
            "expected a network that is a stack of blocks."
        )

    def check_inputs(self, inputs, several=False):
        """Return the inputs the model reads, or say in one sentence what is wrong with them.

        Tasks also take rows of `several` sequences, which have one more axis behind the first.
        """
        signature = self.signature
        if isinstance(inputs, dict):
            fitting = (each for each in self.signatures.values() if each.keys() <= inputs.keys())
            signature = max(fitting, key=len, default=signature)
        if not isinstance(inputs, dict) or any(name not in inputs for name in signature):
            received = sorted(inputs) if isinstance(inputs, dict) else type(inputs).__name__
            expected = "; ".join(f"{name}, {entry}" for name, entry in signature.items())
            raise KzooError(
                f"Got {received} for {type(self).__name__}; expected a dict of arrays: {expected}."
            )
        checked, sizes = {}, {}
        for name, entry in signature.items():
            value = checked[name] = self._checked(name, inputs[name], entry, several)
            more = len(value.shape) - len(entry.axes)
            axes = [entry.axes[0], *["several"] * more, *entry.axes[1:]]
            for axis, size in zip(axes, value.shape, strict=True):
                if size is not None and sizes.setdefault(axis, size) != size:
                    shapes = {name: tuple(value.shape) for name, value in checked.items()}
                    raise KzooError(f"The inputs differ in shape, in their {axis}: {shapes}.")
            if entry.below:
                self._check_range(value, entry.below, name)
        return checked

    def _checked(self, name, value, entry, several):
        """One input as a tensor of the kind that its `Input` says."""
        if isinstance(value, (list, tuple)):
            value = _array(value, name)
        kind = "int" if "int" in entry.dtype else "float"
        if kind == "int" and _is_traced(value, WHOLE_IN):
            value = keras.ops.cast(value, entry.dtype)
        shape = tuple(value.shape)
        more = len(shape) - len(entry.axes)
        if not 0 <= more <= several or kind not in str(value.dtype):
            raise KzooError(
                f"{name} has the shape {shape} and the type {value.dtype}; expected {entry}."
            )
        for axis, size in zip(entry.axes[1:], shape[1 + more :], strict=True):
            limit = self.largest.get(axis) if isinstance(axis, str) else axis
            if size is None or limit is None or size == limit:
                continue
            if not isinstance(axis, str):
                raise KzooError(f"{name} has the shape {shape}; expected {entry}.")
            if size > limit:
                raise KzooError(
                    f"{name} is {size} tokens long; {self.family} {self.name} takes at most "
                    f"{limit}: truncate, for example with max_length={limit}."
                )
        return value

    @staticmethod
    def _check_range(value, limit, name):
        """An id outside its table: TensorFlow would fail late, JAX would give NaN in silence."""
        if isinstance(value, keras.KerasTensor):
            return
        try:
            value = np.asarray(value)
        except (NotImplementedError, TypeError):  # Being traced: no values yet.
            return
        if value.size and (value.min() < 0 or value.max() >= limit):
            raise KzooError(
                f"{name} holds ids from {value.min()} to {value.max()}; 0 to {limit - 1} is "
                "expected: does the tokenizer belong to this model?"
            )

    def __setattr__(self, name, value):
        # On TensorFlow Keras would leave a block frozen where the network itself isn't.
        if name == "trainable":
            set_trainable(self, bool(value))
        else:
            super().__setattr__(name, value)

    def get_config(self):
        """The spec, the precision and the weights that stand still, as JSON types."""
        config = {"spec": self.spec.to_dict(), "name": self.name, "dtype": self.dtype_policy.name}
        still = frozen(self)
        return {**config, "frozen": still} if still else config

    @classmethod
    def from_config(cls, config, custom_objects=None):
        """Rebuild from `get_config`."""
        with precision(config.get("dtype")):
            model = cls(config["spec"], name=config.get("name"))
        freeze(model, config.get("frozen", ()))
        return model

    @classmethod
    def from_preset(cls, name, load_weights=True):
        """Load the backbone of a preset: a name that `kzoo list` shows, or a folder.

        With `load_weights`, weights that the preset holds are read; one that holds none starts
        from random weights.
        """
        from . import presets  # presets stand above models; this is the door to them

        model = presets.load_backbone(name, load_weights=load_weights)
        if not isinstance(model, cls):
            raise KzooError(
                f"The preset {str(name)!r} is {an(type(model).__name__)}; "
                f"{cls.__name__}.from_preset was asked for it: use kzoo.load."
            )
        return model

    def with_spec(self, **changes):
        """A copy under a changed spec: weights that both have are copied, others start anew.

        What stands still here stands still there.
        """
        return self.under(self.spec.replace(**changes))

    def as_reader(self):
        """A copy whose towers both read, of a family that has such; itself of any other."""
        if self.reader is None:
            return self
        return self.under(self.spec.replace(family=self.reader.family), family=self.reader)

    def reading_for(self, task_name):
        """A copy that reads as a task of that name does; itself where all tasks read alike."""
        return self

    @classmethod
    def spec_there(cls, spec, task_name):
        """A spec without what follows from the task elsewhere, which no configuration says."""
        return spec

    def resized(self, image_size):
        """A copy for pictures of another size, with a processor that makes them so.

        Args:
            image_size: height and width of the pictures: one number for both, or a list.

        Raises:
            KzooError: for a network that reads no pictures, or a size that holds no square.
        """
        if not any(name.endswith("images") for name in self.signature):
            raise KzooError(
                f"Got image_size {image_size!r:.40} for a {self.family}, which reads no pictures."
            )
        copy = self.under(*self.resizing(image_size))
        processor = copy.processors.get("image_processor")
        if processor is not None:
            copy.processors["image_processor"] = processor.for_size(image_size)
        return copy

    def resizing(self, image_size):
        """The spec for pictures of another size, and by path the weights that change with it."""
        raise NotImplementedError

    def under(self, spec, values=None, processors=None, family=None):
        """`with_spec` for a whole spec.

        Args:
            spec: that of the copy.
            values: weights by path that stand in place of this one's, such as those that have
                another shape there.
            processors: by kind, in place of this one's.
            family: the class of the copy, by default that of this one.
        """
        with precision(self.dtype_policy):
            copy = (family or type(self))(spec)
        here, there = weights_by_path(self) | (values or {}), weights_by_path(copy)
        for path in here.keys() & there.keys():
            # A copy: on JAX the weight would share its numbers, which `fit` gives away.
            there[path].assign(keras.ops.copy(here[path]))
        freeze(copy, frozen(self))
        copy.processors = {**self.processors, **(processors or {})}
        return copy


def _is_traced(value, dtypes):
    """Whether a tensor is of one of these types, and inside a function that is being traced."""
    if isinstance(value, keras.KerasTensor) or not hasattr(value, "dtype"):
        return False
    if keras.backend.standardize_dtype(value.dtype) not in dtypes:
        return False
    try:
        np.asarray(value)
    except (NotImplementedError, TypeError):
        return True
    return False


def _array(rows, name):
    try:
        return np.asarray(rows)
    except ValueError:
        raise KzooError(
            f"The rows of {name} differ in length; one length is expected, filled up with padding."
        ) from None


def weights_by_path(model):
    """Every weight of a network or task by its path within it, such as `pooler/kernel`.

    A task has `backbone/...` and `head/...`, and below the names of the tasks `beside` it what it
    doesn't share with them. Optimizer, metric and seed state are no weights.
    """
    if isinstance(model, Network):
        return _layer_weights(model)
    parts = {"backbone": model.backbone, "head": model.head}
    found = {
        f"{name}/{path}": weight
        for name, part in parts.items()
        if part is not None
        for path, weight in _layer_weights(part).items()
    }
    own = {id(weight) for weight in found.values()}
    return found | {
        f"{name}/{path}": weight
        for name, task in model.beside.items()
        for path, weight in weights_by_path(task).items()
        if id(weight) not in own
    }


def parameters_in(shapes):
    """How many parameters weights have, given as pairs of a path and a shape.

    The scales, ranges and factors of what is rounded are none: they say how a file holds others.
    """
    rounding = {SCALES, *HELD}
    return sum(math.prod(s) for path, s in shapes if path.rpartition("/")[2] not in rounding)


def parameters_of(model):
    """How many parameters a network or task has: the one count that kzoo prints and writes."""
    return parameters_in((path, weight.shape) for path, weight in weights_by_path(model).items())


def frozen(model):
    """The paths of the weights that stand still, in the order of `weights_by_path`."""
    return [path for path, weight in weights_by_path(model).items() if not weight.trainable]


def freeze(model, paths):
    """Let the weights at `paths` stand still, and all others learn.

    A layer whose weights all stand still is frozen itself, so that `layer.trainable = True` thaws
    it: Keras does nothing for a layer that says that it is trainable already.
    """
    weights = weights_by_path(model)
    still = {id(weights[path]) for path in paths if path in weights}
    ours = {id(weight) for weight in weights.values()}
    for layer, held in layers_with_weights(model):
        held = [weight for weight in held if id(weight) in ours]
        if held:
            set_trainable(layer, any(id(weight) not in still for weight in held))
    for path, weight in weights.items():
        weight.trainable = path not in paths


def _layer_weights(layer):
    prefix = f"{layer.path}/"
    return {weight.path.removeprefix(prefix): weight for weight in layer.weights}
