"""Keras' own doors, for kzoo's models and for models of the user's that hold one."""

import copy
import json
import pickle
import warnings

import keras
import numpy as np
import pytest
from families import SPECS, STACKS, TEXTS, noisy, tokens
from families import inputs_of as examples

import kzoo
from kzoo import keras_hooks
from kzoo.tasks import TASKS

tf = pytest.importorskip("tensorflow")


def short(family="bert", **changes):
    """A network with noise, for what is traced or converted.

    A stack has one block at most: a second is as the first.
    """
    own = {"schedule": SPECS[family].schedule[:1]} if family in STACKS else {}
    return noisy(family, **own, **changes)


@pytest.mark.parametrize(("shape", "runs"), [((1, 2), True), ((1, 224, 224, 3), False)])
def test_a_model_is_built_by_a_run_where_that_is_cheap(shape, runs):
    """Of its shapes alone where no value may be made, and where the values would be many."""
    eager = []

    class Watched(keras.Model):
        def call(self, inputs):
            eager.append(tf.executing_eagerly())
            return {"sum": keras.ops.sum(inputs["x"], axis=1)}

    inputs = {"x": keras.KerasTensor(shape)}
    outputs = keras_hooks.outputs_of(Watched(), inputs)
    keras_hooks.abstract_build(lambda: keras_hooks.outputs_of(Watched(), inputs) and Watched())
    assert outputs["sum"].shape == shape[:1] + shape[2:]
    assert eager == [runs, False]


@keras.saving.register_keras_serializable("test")
class OwnModel(keras.Model):
    """A subclassed model without `build`, as tutorials write it."""

    def __init__(self, backbone, **kwargs):
        super().__init__(**kwargs)
        self.backbone_layer = backbone
        self.classify = keras.layers.Dense(3)

    def call(self, inputs):
        """Logits of the first place."""
        return self.classify(self.backbone_layer(inputs)["sequence_output"][:, 0])

    def get_config(self):
        """The backbone."""
        return {"backbone": keras.saving.serialize_keras_object(self.backbone_layer)}

    @classmethod
    def from_config(cls, config):
        """Rebuild from `get_config`."""
        return cls(keras.saving.deserialize_keras_object(config["backbone"]))


def inputs_of(model, length=None):
    names = getattr(model, "backbone", model).input_names
    return {name: keras.Input((length,), dtype="int32", name=name) for name in names}


def functional(backbone, length=None):
    inputs = inputs_of(backbone, length)
    first = backbone(inputs)["sequence_output"][:, 0]
    return keras.Model(inputs, keras.layers.Dense(3, name="mine")(first))


def siamese(backbone):
    sides = [
        {name: keras.Input((None,), dtype="int32", name=f"{side}_{name}") for name in names}
        for side in "ab"
        for names in [backbone.input_names]
    ]
    outputs = [backbone(side)["sequence_output"][:, 0] for side in sides]
    return keras.Model(sides, keras.layers.Dot(1)(outputs))


def sequential(backbone):
    logits = kzoo.TextClassifier(backbone, labels=["a", "b"], head="mean")
    first = keras.layers.Lambda(lambda outputs: outputs["logits"])
    model = keras.Sequential([logits, first, keras.layers.Dense(3)])
    model(tokens(backbone.spec))
    return model


def subclassed(backbone):
    model = OwnModel(backbone)
    model(tokens(backbone.spec))
    return model


def task(backbone):
    return kzoo.TextClassifier(backbone, labels=["a", "b", "c"], head="first")


def assert_equal(one, other, inputs):
    pairs = zip(*(keras.tree.flatten(model(inputs)) for model in (one, other)), strict=True)
    for expected, actual in pairs:
        np.testing.assert_allclose(actual, expected, atol=1e-5)


KINDS = {
    "backbone": lambda backbone: backbone,
    "task": task,
    "functional": functional,
    "subclassed": subclassed,
}


@pytest.mark.parametrize(
    ("kind", "family"),
    [
        *(("functional", family) for family in TEXTS),
        *((kind, "bert") for kind in KINDS if kind != "functional"),
    ],
)
def test_a_saved_model_loads_with_all_that_it_had(kind, family, tmp_path):
    """Backbones and tasks of every family: test_models.py and test_tasks.py."""
    model = KINDS[kind](short(family))
    model.save(tmp_path / "model.keras")
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=".*(build|load).*")
        loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert_equal(model, loaded, tokens(SPECS[family], length=12))


@pytest.mark.parametrize("family", ["albert", "gpt_neo"])
def test_a_functional_model_is_copied_in_every_way(family):
    """With shared blocks, and with blocks that differ; what each family saves is tested above."""
    model, inputs = functional(noisy(family)), tokens(SPECS[family])
    copies = [
        keras.models.clone_model(model),
        keras.models.model_from_json(model.to_json()),
        keras.Model.from_config(model.get_config()),
    ]
    for each in copies:
        each.set_weights(model.get_weights())
    for each in [*copies, copy.deepcopy(model), pickle.loads(pickle.dumps(model))]:
        assert_equal(model, each, inputs)
        assert each.get_layer(family).spec == SPECS[family]


@pytest.mark.parametrize("kind", ["backbone", "task"])
def test_our_own_models_are_copied_in_every_way(kind):
    model, inputs = KINDS[kind](short()), tokens(SPECS["bert"])
    copies = [
        keras.models.clone_model(model),
        type(model).from_config(json.loads(json.dumps(model.get_config()))),
        keras.models.model_from_json(model.to_json()),
    ]
    for each in copies:
        each.set_weights(model.get_weights())
    for each in [*copies, copy.deepcopy(model), pickle.loads(pickle.dumps(model))]:
        assert_equal(model, each, inputs)


def test_a_model_that_reads_two_texts_with_one_backbone_is_loaded(tmp_path):
    model, inputs = siamese(noisy("bert")), tokens(SPECS["bert"])
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    both = [inputs, tokens(SPECS["bert"], seed=1)]
    assert_equal(model, loaded, both)
    assert len([layer for layer in loaded.layers if isinstance(layer, kzoo.Bert)]) == 1


def test_a_model_round_a_whole_task_is_loaded(tmp_path):
    within = task(noisy("bert"))
    inputs = inputs_of(within)
    model = keras.Model(inputs, keras.layers.Dense(2)(within(inputs)["logits"]))
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert_equal(model, loaded, tokens(SPECS["bert"]))


def test_a_frozen_backbone_stays_frozen_and_half_precision_half(tmp_path):
    with keras_hooks.precision("mixed_bfloat16"):
        model = functional(noisy("bert"))
    model.get_layer("bert").trainable = False
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert len(loaded.trainable_weights) == 2
    assert loaded.get_layer("bert").compute_dtype == "bfloat16"
    assert_equal(model, loaded, tokens(SPECS["bert"]))


@pytest.mark.parametrize("kind", KINDS)
def test_weights_alone_go_into_a_file_and_back(kind, tmp_path):
    model, other = KINDS[kind](short()), KINDS[kind](short())
    for weight in other.weights:
        weight.assign(0 * weight)
    model.save_weights(tmp_path / "model.weights.h5")
    other.load_weights(tmp_path / "model.weights.h5")
    assert_equal(model, other, tokens(SPECS["bert"]))


@pytest.mark.parametrize("kind", KINDS)
def test_a_summary_shows_the_layers_within(kind):
    lines = []
    KINDS[kind](noisy("bert")).summary(expand_nested=True, print_fn=lambda line: lines.append(line))
    assert "block_0" in "\n".join(lines) or kind == "subclassed"


def test_a_model_is_drawn(tmp_path):
    pytest.importorskip("pydot")
    dot = keras.utils.model_to_dot(functional(noisy("bert")), expand_nested=True, show_shapes=True)
    assert "bert" in dot.to_string()


@pytest.mark.parametrize("kind", KINDS)
def test_keras_quantization_is_refused(kind):
    with pytest.raises(kzoo.KzooError, match="kzoo.export_litert, such as 'int8'"):
        KINDS[kind](noisy("bert")).quantize("int8")


def test_keras_quantization_of_own_layers_is_left_to_keras():
    model = functional(noisy("bert"))
    model.quantize("int8", filters="^mine$")
    assert model.get_layer("mine").quantization_mode == "int8"


@pytest.mark.parametrize("kind", KINDS)
def test_a_savedmodel_takes_the_int32_inputs_that_the_model_takes(kind, tmp_path):
    model = KINDS[kind](short())
    model.export(tmp_path / "model", verbose=False)
    loaded = tf.saved_model.load(str(tmp_path / "model"))
    own = kind == "subclassed"  # It says nothing of its inputs: Keras takes its first call's.
    inputs = tokens(SPECS["bert"], batch=2, length=9 if own else 17)
    fed = {n: tf.constant(v, "float32" if own else "int32") for n, v in inputs.items()}
    assert_equal(model, lambda _inputs: loaded.serve(fed), inputs)


TOWERS = {"ImageTextEmbedder", "ZeroShotImageClassifier", "AudioTextEmbedder",
          "ZeroShotAudioClassifier", "AudioImageTextEmbedder"}  # fmt: skip
OF_OTHERS = {"CausalLM": "gpt2", "ImageClassifier": "vit", "ImageEmbedder": "vit",
             "AudioClassifier": "kwt", "AudioEmbedder": "kwt", "Seq2SeqLM": "t5",
             "PermutationLM": "xlnet", "SkipGram": "static", "ObjectDetector": "detr",
             "ImageCaptioner": "blip_captioner", "VisualQuestionAnswerer": "blip_answerer",
             "VisualQuestionClassifier": "blip_matcher",
             "ImageTextMatcher": "blip_matcher"}  # fmt: skip


# Towers have no one batch; what is built on them is held in test_image_text.py and
# test_audio_text.py.
@pytest.mark.parametrize("name", [n for n in TASKS if n not in TOWERS])
def test_each_task_is_exported(name, tmp_path):
    labels = {"labels": ["a", "b"]} if TASKS[name].names_labels else {}
    family = OF_OTHERS.get(name, "bert")
    model = TASKS[name](short(family), **labels)
    of_texts = family in TEXTS
    inputs = tokens(SPECS[family], batch=2, length=17) if of_texts else examples(SPECS[family])
    if name == "MultipleChoice":
        inputs = {key: np.stack([value, value], 1) for key, value in inputs.items()}
    # Not the mask of pictures that are filled up.
    inputs = {key: inputs[key] for key in inputs if key in model.export_inputs()}
    model.export(tmp_path / "model", verbose=False)
    loaded = tf.saved_model.load(str(tmp_path / "model"))
    fed = {key: tf.constant(value) for key, value in inputs.items()}
    assert_equal(model, lambda _inputs: loaded.serve(fed), inputs)


def test_tensorflow_saves_a_backbone_too(tmp_path):
    model = short()
    tf.saved_model.save(model, str(tmp_path / "model"))
    loaded = tf.saved_model.load(str(tmp_path / "model"))
    inputs = tokens(SPECS["bert"], length=17)
    actual = loaded.signatures["serving_default"](**{k: tf.constant(v) for k, v in inputs.items()})
    np.testing.assert_allclose(actual["pooled_output"], model(inputs)["pooled_output"], atol=1e-5)


def test_ids_that_are_no_whole_numbers_are_refused_where_they_are_seen():
    model, inputs = noisy("bert"), tokens(SPECS["bert"])
    with pytest.raises(kzoo.KzooError, match="token_ids has the .* float32"):
        model({**inputs, "token_ids": inputs["token_ids"].astype("float32")})


# -- LiteRT files --------------------------------------------------------------------------------


def tagger(backbone):
    inputs = inputs_of(backbone)
    return keras.Model(inputs, {"tags": keras.layers.Dense(4)(backbone(inputs)["sequence_output"])})


OWN = {
    "functional": (functional, "mine", [-1, 3]),
    "subclassed": (subclassed, "output", [-1, 3]),
    "sequential": (sequential, "output", [-1, 3]),
    "tagger": (tagger, "tags", [-1, -1, 4]),
    "fixed": (lambda backbone: functional(backbone, 16), "mine", [1, 3]),
}


@pytest.mark.parametrize("kind", OWN)
def test_a_model_of_the_users_becomes_a_litert_file(kind, tmp_path):
    make, name, shape = OWN[kind]
    model = make(short())
    report = kzoo.export_litert(model, tmp_path / "model.tflite")
    signature = report["audit"]["signatures"]["serve"]
    assert set(signature["inputs"]) == {"token_ids", "padding_mask", "segment_ids"}
    assert signature["inputs"]["token_ids"]["shape"] == [1, 16 if kind == "fixed" else -1]
    assert report["parity"]["cosine"] > 0.9999 and not report["audit"]["custom"]


def test_a_users_model_is_quantized(tmp_path):
    model = functional(short(hidden_dim=64, intermediate_dim=256))
    sizes = {}
    for quantization in ("float32", "int8"):
        report = kzoo.export_litert(model, tmp_path / "a.tflite", quantization, limits={})
        sizes[quantization] = report["audit"]["weight_bytes"]
        assert report["parity"]["cosine"] > 0.99
    assert sum(sizes["int8"].values()) < 0.5 * sum(sizes["float32"].values())


def test_a_users_model_in_half_precision_becomes_a_float32_file(tmp_path):
    with keras_hooks.precision("mixed_bfloat16"):
        model = functional(short())
    report = kzoo.export_litert(model, tmp_path / "model.tflite")
    assert report["parity"]["cosine"] > 0.99999
    assert model.get_layer("bert").compute_dtype == "bfloat16"


def other_inputs(backbone):
    inputs = inputs_of(backbone)
    age = keras.Input((1,), name="age")
    pooled = backbone(inputs)["pooled_output"]
    joined = keras.layers.Concatenate()([pooled, age])
    return keras.Model({**inputs, "age": age}, keras.layers.Dense(2)(joined))


def two_backbones(backbone):
    inputs, other = inputs_of(backbone), noisy("bert").with_spec(dropout=0.0)
    other.name = "other"
    outputs = [each(inputs)["pooled_output"] for each in (backbone, other)]
    return keras.Model(inputs, keras.layers.Add()(outputs))


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (other_inputs, "has the input 'age'"),
        (two_backbones, "holds 2 kzoo backbones"),
        (lambda _: keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)]), "holds 0 kzoo"),
        (OwnModel, "has no weights yet"),
    ],
)
def test_a_model_that_can_be_no_file_is_refused(make, match, tmp_path):
    with pytest.raises(kzoo.KzooError, match=match):
        kzoo.export_litert(make(short()), tmp_path / "model.tflite")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("limit", ["accuracy", "accuracy_drop", "label_agreement"])
def test_no_limit_is_dropped_in_silence(limit, tmp_path):
    with pytest.raises(kzoo.KzooError, match=f"limit {limit}"):
        kzoo.export_litert(short(), tmp_path / "model.tflite", limits={limit: 2.0})
    assert not list(tmp_path.iterdir())


# -- what Keras does without the hooks -----------------------------------------------------------


class CallsItself(keras.Model):
    """A model that is built by a call in its constructor."""

    def __init__(self, name=None):
        super().__init__(name=name)
        self.inner = keras.layers.Dense(2)
        self(keras.KerasTensor((1, 2)))

    def call(self, x):
        """The inner layer."""
        return self.inner(x)

    def get_config(self):
        """The name."""
        return {"name": self.name}


def test_keras_still_needs_its_doors_kept():
    """Where one of these fails, Keras has mended it: the hook named can go."""
    inner = CallsItself()
    inputs = keras.Input((2,))
    config = keras.Model(inputs, inner(inputs)).get_config()
    with pytest.raises(ValueError, match="disconnected"):  # outputs_of
        keras.Model.from_config(config, custom_objects={"CallsItself": CallsItself})
    signature = inner._default_save_signature.input_signature  # ExportsTokens
    assert keras.tree.flatten(signature)[0].shape.as_list() == [1, 2]


def test_keras_begins_epochs_at_their_first_batch():
    """What `keras_hooks._KeptCallbacks` and `_skip_steps` make up for, and the doors they take."""
    seen = []

    class Seen(keras.callbacks.Callback):
        def on_train_batch_begin(self, batch, logs=None):
            seen.append(batch)

    model = keras.Sequential([keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    model.fit(np.ones((3, 1)), np.ones(3), batch_size=1, epochs=2, initial_epoch=1, verbose=0)
    before = np.asarray(model.weights[0])
    model.make_train_function()
    keras_hooks._skip_steps(model, 2)
    options = {"epochs": 2, "initial_epoch": 1, "verbose": 0, "callbacks": [Seen()]}
    model.fit(np.ones((2, 1)), np.zeros(2), batch_size=1, **options)
    assert seen == [0, 1]
    np.testing.assert_array_equal(before, np.asarray(model.weights[0]))
    assert callable(keras.callbacks.CallbackList([])._flush_futures)
    assert callable(model._symbolic_build)


def moved_by(optimizer, gradient=1.0):
    """A matrix of ones after one step along ones, and how many numbers the optimizer keeps."""
    weight = keras.Variable(np.ones((30, 20), "float32"))
    optimizer.apply([keras.ops.full((30, 20), gradient)], [weight])
    return float(weight[0, 0]), sum(int(np.prod(v.shape)) for v in optimizer.variables)


def test_keras_lamb_decays_apart_and_its_adafactor_keeps_a_whole_moment():
    """Where one of these fails, Keras has mended it: `Lamb.move` and `Adafactor` can be its own."""
    # By Algorithm 2 the step is as long as the weights whatever the decay adds to it.
    decayed = moved_by(keras.optimizers.Lamb(0.1, weight_decay=0.5))[0]
    assert decayed == pytest.approx((1 - 0.1 * 0.5) * (1 - 0.1), abs=1e-4)
    ours = kzoo.Lamb(0.1, weight_decay=0.5, warmup=0, decay="constant")
    assert moved_by(ours)[0] == pytest.approx(1 - 0.1, abs=1e-4)
    assert moved_by(keras.optimizers.Adafactor(0.1))[1] > 30 * 20
    # A rate of 10 is one of 1 / sqrt(1), also where nobody asked for a relative one.
    assert moved_by(keras.optimizers.Adafactor(10.0, relative_step=False))[0] == pytest.approx(0)


def test_keras_remat_draws_other_numbers_the_second_time():
    """On TensorFlow; with it mended `keras_hooks.recomputed` could be `keras.remat` alone."""
    dropout, x = keras.layers.Dropout(0.5, seed=1), tf.ones((1, 1000))

    def gradient(function):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = function(x)
        return y, tape.gradient(y, x)

    y, grad = gradient(keras.remat(lambda x: dropout(x, training=True)))
    assert np.any(y != grad)  # The gradient of a kept number is what it was multiplied by.
    seeds = dropout.seed_generator.state.numpy().copy()
    run = lambda x: [dropout(x, training=True)]  # noqa: E731
    y, grad = gradient(lambda x: keras_hooks.recomputed(dropout, run, [x])[0])
    np.testing.assert_array_equal(y, grad)
    np.testing.assert_array_equal(dropout.seed_generator.state.numpy(), seeds + [0, 1])


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="of TensorFlow's graphs")
def test_keras_still_writes_the_squares_of_the_gradients_that_it_clips():
    """OneUpdate._clip_gradients can go where it doesn't."""
    written = []
    for kind in (keras.optimizers.AdamW, kzoo.AdamW):
        optimizer = kind(1e-3, **{"clip_norm" if kind is kzoo.AdamW else "global_clipnorm": 1.0})
        clip = tf.function(lambda gradient, of=optimizer: of._clip_gradients([gradient]))
        graph = clip.get_concrete_function(tf.TensorSpec((3, 4))).graph
        written.append("Square" in {operation.type for operation in graph.get_operations()})
    assert written == [True, False]
