"""A user's own Keras model round a kzoo backbone, in the shape of one of kzoo's own."""

import json

import keras

from ..errors import KzooError
from ..keras_hooks import layers_with_weights
from ..network import Network, Served
from ..tasks.task import Task

OUTPUT = "output"  # what the one output of a model is called that gives it no name
HALF = ("mixed_bfloat16", "mixed_float16", "bfloat16", "float16")


def as_exportable(model):
    """The model itself if it is kzoo's, else the `UserModel` of a functional or other one."""
    if isinstance(model, (Network, Task)) or not isinstance(model, keras.Model):
        return model
    return UserModel(model)


class UserModel(Served):
    """A Keras model that holds one kzoo backbone and is called on the dict of its inputs.

    Called on that dict it returns a dict of outputs: those that the model returns, by the names
    that it gives them or its layers have; one without a name is `output`.

    Args:
        model: a functional, sequential or subclassed `keras.Model`.
    """

    def __init__(self, model):
        if not model.built:
            raise KzooError(
                f"{model.name} has no weights yet; expected a model that was trained or called."
            )
        parts = [part for part, _ in layers_with_weights(model)]
        networks = [part for part in parts if isinstance(part, Network)]
        if len(networks) != 1:
            raise KzooError(
                f"{model.name} holds {len(networks)} kzoo backbones; one is expected in a model "
                "for a LiteRT file."
            )
        self.model, (self.backbone,) = model, networks
        tasks = [part for part in parts if isinstance(part, Task)]
        tokenizers = [getattr(model, "tokenizer", None), self.backbone.tokenizer]
        tokenizers += [task.processors.get("tokenizer") for task in tasks]
        self.processors = {"tokenizer": next(filter(None, tokenizers), None)}
        longest = self.backbone.longest
        self.max_length = min([longest, *(getattr(t, "max_length", longest) for t in tasks)])
        self.input_names, self.length = self._inputs()

    @property
    def signatures(self):
        """Those of the backbone."""
        return self.backbone.signatures

    def _inputs(self):
        """The names of the inputs that the model reads, and the one length that they have."""
        known = self.backbone.input_names
        inputs = getattr(self.model, "inputs", None)
        if not inputs:  # A subclassed model says nothing about its inputs.
            return known, None
        own = self.model.input
        named = own if isinstance(own, dict) else {tensor.name: tensor for tensor in inputs}
        other = sorted(set(named) - set(known))
        if other:
            raise KzooError(
                f"{self.model.name} has the input {other[0]!r}; {', '.join(known)}, which a text "
                "gives, are expected: name the inputs so, and give a model that reads no others."
            )
        lengths = {tensor.shape[-1] for tensor in named.values()} - {None}
        return [name for name in known if name in named], next(iter(lengths), None)

    def __call__(self, inputs):
        """The outputs by name."""
        outputs = self.model({name: inputs[name] for name in self.input_names})
        if isinstance(outputs, dict):
            return dict(outputs)
        if not isinstance(outputs, (list, tuple)):
            return {OUTPUT: outputs}
        names = getattr(self.model, "output_names", None) or range(len(outputs))
        return {str(name): output for name, output in zip(names, outputs, strict=True)}

    def weights_by_path(self):
        """Every weight by its path; a number tells apart those of layers of one name."""
        weights = {}
        for number, weight in enumerate(self.model.weights):
            path = weight.path
            weights[f"{path}/{number}" if path in weights else path] = weight
        return weights

    def in_float32(self):
        """The same, or a copy in float32 where a layer computes in half precision."""
        parts = [part for part, _ in layers_with_weights(self.model)]
        if all(keras.backend.standardize_dtype(p.compute_dtype) == "float32" for p in parts):
            return self
        text = json.dumps(keras.saving.serialize_keras_object(self.model))
        for name in HALF:
            text = text.replace(f'"{name}"', '"float32"')
        try:
            copy = keras.saving.deserialize_keras_object(json.loads(text))
            copy.set_weights(self.model.get_weights())
        except (TypeError, ValueError) as error:
            raise KzooError(
                f"{self.model.name} computes in half precision and can't be made again in float32 "
                f"({str(error).splitlines()[0]}): build it in float32 and set its weights there."
            ) from None
        exported = UserModel(copy)
        exported.processors = dict(self.processors)
        return exported
