"""Families that read pictures beside transformers, both ways, as `test_huggingface.py` does."""

import numpy as np
import pytest
import test_huggingface_towers as towers
from families import add_noise
from test_huggingface import LABELS, TOLERANCE, contents, distance, reload

import kzoo

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
pytestmark = pytest.mark.parity

USUAL = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "image_size": 12,
    "patch_size": 4,
}
SIZES = {
    "vit": USUAL,
    "deit": USUAL,
    "mobilevit": {
        "hidden_sizes": [8, 16, 24],
        "neck_hidden_sizes": [4, 4, 8, 12, 16, 20, 32],
        "expand_ratio": 2.0,
        "mlp_ratio": 3.0,
        "image_size": [128, 64],
    },
}
SPREAD = 0.1  # by how much two pictures' outputs differ at least
GAIN = 1.28  # as in families.py, beside what these weights have already
# What stands before the names of classes there, and behind them.
CLASSIFY = "ForImageClassification"
FAMILIES = {
    "vit": ("ViT", f"Model {CLASSIFY}"),
    "deit": ("DeiT", f"Model {CLASSIFY} {CLASSIFY}WithTeacher"),
    "mobilevit": ("MobileViT", f"Model {CLASSIFY}"),
}
PLAIN = ("vit", "deit")  # Stacks whose places are squares.
CLASSES = {"Model": None, CLASSIFY: "first", f"{CLASSIFY}WithTeacher": "distilled"}
EVERY = [(family, suffix) for family in FAMILIES for suffix in FAMILIES[family][1].split()]


def reference(family, suffix, **changes):
    """A tiny model of transformers with noise on every trainable number."""
    torch.manual_seed(len(family) + len(suffix))
    stem = FAMILIES[family][0]
    labels = {} if suffix == "Model" else {"id2label": dict(enumerate(LABELS))}
    config = getattr(transformers, f"{stem}Config")(**{**SIZES[family], **labels, **changes})
    config._attn_implementation = "eager"
    model = getattr(transformers, stem + suffix)(config)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            is_kernel = parameter.ndim == 4
            scale = GAIN / np.sqrt(np.prod(parameter.shape[1:])) if is_kernel else 0.2
            parameter += scale * torch.randn_like(parameter)
            if "normalization" in name:  # These begin at 0 there: nothing would come through.
                parameter += float(name.endswith("weight"))
        for name, buffer in model.named_buffers():
            if "running" in name:
                buffer += 0.2 * torch.randn_like(buffer)
    return model.eval()


def pictures(height=12, width=12, channels=3):
    """Three pictures for kzoo and for transformers, which has channels first."""
    x = np.random.default_rng(5).standard_normal((3, height, width, channels)).astype("float32")
    return {"images": x}, {"pixel_values": torch.from_numpy(x.transpose(0, 3, 1, 2).copy())}


def _sides(theirs):
    """Height and width of a model's pictures."""
    size = theirs.config.image_size
    return size if isinstance(size, list) else (size, size)


def assert_same(model, theirs, suffix, inputs=None, **options):
    """Every output of both agrees, inner states and maps of a backbone too."""
    (here, there), looks = inputs or pictures(*_sides(theirs)), theirs.config.model_type in PLAIN
    asked = {"output_attentions": True} if looks else {}
    with torch.no_grad():
        expected = theirs(**there, output_hidden_states=True, **asked, **options)
    # Else all that agrees may be biases.
    first = expected["last_hidden_state" if suffix == "Model" else "logits"]
    assert distance(first[0], first[1]) > SPREAD
    if suffix != "Model":
        actual = model(here)
        for name in actual:
            assert distance(actual[name], expected[name.replace("class_", "cls_")]) < TOLERANCE
        return
    asked = {"return_hidden_states": True, "return_attention_maps": True} if looks else {}
    actual = model(here, **asked)
    last = expected["last_hidden_state"]
    last = last if looks else last.flatten(2).transpose(1, 2)  # A map there.
    assert distance(actual["sequence_output"], last) < TOLERANCE
    assert distance(actual["pooled_output"], expected["pooler_output"]) < TOLERANCE
    if not looks:
        return
    # The last state is not normalised there.
    states = list(zip(actual["hidden_states"][:-1], expected["hidden_states"], strict=False))
    maps = list(zip(actual["attention_maps"], expected["attentions"], strict=True))
    assert len(states) == len(maps) == 2
    for one, other in states + maps:
        assert distance(one, other) < TOLERANCE


@pytest.mark.parametrize(("family", "suffix"), EVERY)
def test_both_ways(family, suffix, tmp_path):
    theirs = reference(family, suffix)
    theirs.save_pretrained(tmp_path / "here")
    model = kzoo.from_huggingface(tmp_path / "here")
    assert getattr(model, "backbone", model).family == family
    if suffix != "Model":
        assert model.task_name == "ImageClassifier" and model.labels == list(LABELS)
        kind = "pooled" if family == "mobilevit" else CLASSES[suffix]
        assert model.head_slot["kind"] == kind
    assert_same(model, theirs, suffix)

    kzoo.to_huggingface(model, tmp_path / "back")
    assert contents(tmp_path / "back") == contents(tmp_path / "here")

    add_noise(model)
    del model.origin  # from here on a model that never saw transformers
    kzoo.to_huggingface(model, tmp_path / "there")
    assert_same(model, reload(theirs, tmp_path / "there"), suffix)


@pytest.mark.parametrize("family", PLAIN)
def test_other_shapes_of_config(family, tmp_path):
    """Pictures that are no square, of one channel, and projections without biases."""
    theirs = reference(
        family, "Model", image_size=[8, 12], patch_size=[4, 2], num_channels=1, qkv_bias=False
    )
    theirs.save_pretrained(tmp_path / "here")
    model = kzoo.from_huggingface(tmp_path / "here")
    inputs = pictures(8, 12, 1)
    assert_same(model, theirs, "Model", inputs)
    del model.origin
    kzoo.to_huggingface(model, tmp_path / "there")
    assert_same(model, reload(theirs, tmp_path / "there"), "Model", inputs)


@pytest.mark.parametrize("family", PLAIN)
@pytest.mark.parametrize("size", [(28, 28), (8, 8), (12, 20), (36, 4)])
def test_pictures_of_another_size_have_interpolated_places(family, size, tmp_path):
    theirs = reference(family, "Model")
    theirs.save_pretrained(tmp_path)
    model = kzoo.from_huggingface(tmp_path)
    before = np.array(model.position.embeddings)
    resized = model.resized(list(size))
    inputs = pictures(*size)
    assert_same(resized, theirs, "Model", inputs, interpolate_pos_encoding=True)
    np.testing.assert_array_equal(model.position.embeddings, before)
    assert resized.spec.embedding["image_size"] == list(size)


def test_the_pictures_of_two_towers_may_have_another_size(tmp_path):
    theirs = towers.reference("CLIPModel", "openai")
    theirs.save_pretrained(tmp_path)
    model = kzoo.from_huggingface(tmp_path).resized([20, 16])
    here, there = towers.inputs_for(model, theirs)
    pictures_here, pictures_there = pictures(20, 16)
    actual = model({**here, **pictures_here})
    with torch.no_grad():
        expected = theirs(**there | pictures_there, interpolate_pos_encoding=True)
    for name in ("image_embeds", "text_embeds", "logits_per_image"):
        one = actual[name.replace("embeds", "embedding")]
        assert distance(one, expected[name]) < TOLERANCE
