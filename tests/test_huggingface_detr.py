"""DETR beside transformers, both ways under noise; its network beside torch's own operations."""

import json

import numpy as np
import pytest
from families import add_noise, filled_pictures
from test_huggingface import LABELS, TOLERANCE, contents, distance, reload

import kzoo
from kzoo import presets
from kzoo.answers import detections
from kzoo.checkpoints.config import spec_from_config
from kzoo.images.image_processor import ImageProcessor
from kzoo.models.detr import Detr
from kzoo.network import weights_by_path
from kzoo.tasks.set_loss import SetLoss

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
pytestmark = pytest.mark.parity

SIZES = {
    "d_model": 32,
    "encoder_layers": 2,
    "decoder_layers": 3,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 2,
    "encoder_ffn_dim": 48,
    "decoder_ffn_dim": 40,
    "num_queries": 6,
}
GAIN = 0.7  # so that what bottlenecks add up stays far below the 1e4 by which a mask hides places


def reference(suffix="ForObjectDetection", **changes):
    """A tiny model of transformers with noise on every number, statistics too."""
    torch.manual_seed(len(suffix))
    backbone = transformers.ResNetConfig(
        embedding_size=8, hidden_sizes=[16, 24, 32, 40], depths=[1, 2, 1, 1],
        out_features=["stage4"],
    )  # fmt: skip
    labels = {} if suffix == "Model" else {"id2label": dict(enumerate(LABELS))}
    config = transformers.DetrConfig(
        use_timm_backbone=False, backbone=None, backbone_config=backbone,
        **{**SIZES, **labels, **changes},
    )  # fmt: skip
    config._attn_implementation = "eager"
    model = getattr(transformers, f"Detr{suffix}")(config)
    with torch.no_grad():
        for _, parameter in model.named_parameters():
            is_kernel = parameter.ndim == 4
            scale = GAIN / np.sqrt(np.prod(parameter.shape[1:])) if is_kernel else 0.2
            noise = scale * torch.randn_like(parameter)
            parameter.copy_(noise if is_kernel else parameter + noise)
        for name, buffer in model.named_buffers():
            if "normalization" in name:
                buffer += 0.2 * torch.randn_like(buffer)
    return model.eval()


def both(batch=3, masked=True):
    """Pictures of several sizes for kzoo and for transformers."""
    here = filled_pictures(batch)
    there = {
        "pixel_values": torch.from_numpy(here["images"].transpose(0, 3, 1, 2).copy()),
        "pixel_mask": torch.from_numpy(here["pixel_mask"]).long(),
    }
    if not masked:
        del here["pixel_mask"], there["pixel_mask"]
    return here, there


def assert_same(model, theirs, masked=True):
    """Every output of both agrees, the encoder's where there is a picture."""
    here, there = both(masked=masked)
    with torch.no_grad():
        expected = theirs(**there, output_hidden_states=True)
    actual = model(here)
    if hasattr(model, "backbone"):
        if masked:  # Sizes tell pictures of noise apart, so that not all that agrees is constant.
            assert distance(expected["logits"][0], expected["logits"][1]) > 20 * TOLERANCE
        assert distance(actual["logits"], expected["logits"]) < TOLERANCE
        assert distance(actual["boxes"], expected["pred_boxes"]) < TOLERANCE
        return
    assert distance(actual["sequence_output"], expected["last_hidden_state"]) < TOLERANCE
    mask = model.encoder.embedding.padding_mask(here)
    kept = np.ones(actual["memory"].shape[:2]) if mask is None else np.asarray(mask)
    ours, other = (np.asarray(x)[kept == 1] for x in (
        actual["memory"], expected["encoder_last_hidden_state"]
    ))  # fmt: skip
    assert distance(ours, other) < TOLERANCE
    states = model(here, return_hidden_states=True)["hidden_states"]
    for one, state in zip(states[1:-1], expected["decoder_hidden_states"][1:], strict=False):
        assert distance(one, state) < TOLERANCE


@pytest.mark.parametrize("suffix", ["Model", "ForObjectDetection"])
def test_both_ways(suffix, tmp_path):
    theirs = reference(suffix)
    theirs.save_pretrained(tmp_path / "here")
    model = kzoo.from_huggingface(tmp_path / "here")
    assert getattr(model, "backbone", model).family == "detr"
    if suffix != "Model":
        assert model.task_name == "ObjectDetector" and model.labels == list(LABELS)
    assert_same(model, theirs)
    assert_same(model, theirs, masked=False)

    kzoo.to_huggingface(model, tmp_path / "back")
    assert contents(tmp_path / "back") == contents(tmp_path / "here")

    add_noise(model)
    del model.origin  # from here on a model that never saw transformers
    kzoo.to_huggingface(model, tmp_path / "there")
    assert_same(model, reload(theirs, tmp_path / "there"))


def as_timm(name):
    """What a tensor of transformers' ResNet is called in timm's."""
    body = "model.backbone.conv_encoder.model."
    if not name.startswith(body):
        return name
    parts = name.removeprefix(body).split(".")
    if parts[0] == "embedder":
        kind, rest = parts[2], parts[3:]
        return ".".join([body + ("conv1" if kind == "convolution" else "bn1"), *rest])
    _, _, stage, _, unit, *rest = parts
    at = f"{body}layer{int(stage) + 1}.{unit}"
    if rest[0] == "shortcut":
        return ".".join([at, "downsample", str(int(rest[1] == "normalization")), *rest[2:]])
    number = int(rest[1]) + 1
    return ".".join([at, ("conv" if rest[2] == "convolution" else "bn") + str(number), *rest[3:]])


def test_the_names_of_timm_are_read_and_written_back(tmp_path):
    from safetensors.numpy import load_file, save_file

    theirs = reference()
    theirs.save_pretrained(tmp_path / "here")
    file = tmp_path / "here" / "model.safetensors"
    tensors = {as_timm(name): value for name, value in load_file(file).items()}
    for name in ("conv1.weight", "layer2.1.bn3.running_var", "layer1.0.downsample.1.bias"):
        assert f"model.backbone.conv_encoder.model.{name}" in tensors
    save_file(tensors, file, {"format": "pt"})
    model = kzoo.from_huggingface(tmp_path / "here")
    assert_same(model, theirs)
    kzoo.to_huggingface(model, tmp_path / "back")
    assert contents(tmp_path / "back") == contents(tmp_path / "here")


HUB = {
    "activation_dropout": 0.0, "activation_function": "relu",
    "architectures": ["DetrForObjectDetection"], "attention_dropout": 0.0,
    "auxiliary_loss": False, "backbone": "resnet50", "bbox_cost": 5, "bbox_loss_coefficient": 5,
    "class_cost": 1, "classifier_dropout": 0.0, "d_model": 256, "decoder_attention_heads": 8,
    "decoder_ffn_dim": 2048, "decoder_layerdrop": 0.0, "decoder_layers": 6,
    "dice_loss_coefficient": 1, "dilation": False, "dropout": 0.1, "encoder_attention_heads": 8,
    "encoder_ffn_dim": 2048, "encoder_layerdrop": 0.0, "encoder_layers": 6,
    "eos_coefficient": 0.1, "giou_cost": 2, "giou_loss_coefficient": 2, "init_std": 0.02,
    "init_xavier_std": 1.0, "is_encoder_decoder": True, "mask_loss_coefficient": 1,
    "max_position_embeddings": 1024, "model_type": "detr", "num_hidden_layers": 6,
    "num_queries": 100, "position_embedding_type": "sine", "scale_embedding": False,
}  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({}, "detr_resnet_50"),
        ({"backbone": "resnet101"}, "detr_resnet_101"),
        ({"dilation": True}, "detr_resnet_50_dc5"),
        ({"backbone": "resnet101", "dilation": True}, "detr_resnet_101_dc5"),
    ],
)
def test_configs_as_the_hub_has_them_are_the_presets(changes, name, recwarn):
    """Keys and values are those of facebook/detr-resnet-50 and its like."""
    spec, preset = spec_from_config({**HUB, **changes}, Detr), presets.read_spec(name)
    assert not recwarn.list
    for tower in ("encoder", "decoder"):
        assert spec.towers[tower].replace(embedding="vectors") == preset.towers[tower].replace(
            embedding="vectors"
        )
    held = spec.towers["encoder"].embedding
    assert held["depths"] == list(preset.towers["encoder"].embedding["depths"])
    assert held["output_stride"] == preset.towers["encoder"].embedding["output_stride"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"backbone": "resnet18"}, "backbone"),
        ({"auxiliary_loss": True}, "auxiliary_loss"),
        ({"position_embedding_type": "learned"}, "position_embedding_type"),
    ],
)
def test_what_kzoo_does_not_compute_is_named(changes, message):
    with pytest.raises(kzoo.KzooError, match=message):
        spec_from_config({**HUB, **changes}, Detr)


def test_a_dilated_model_cannot_be_written_anew_but_is_written_back(tmp_path):
    encoder = reference()
    encoder.save_pretrained(tmp_path / "here")
    model = kzoo.from_huggingface(tmp_path / "here")
    slot = {**model.spec.towers["encoder"].embedding, "output_stride": 16}
    towers = {**model.spec.towers}
    towers["encoder"] = towers["encoder"].replace(embedding=slot)
    dilated = model.under(model.spec.replace(towers=towers))
    with pytest.raises(kzoo.KzooError, match="can't be exported"):
        kzoo.to_huggingface(dilated, tmp_path / "there")


@pytest.mark.parametrize("stride", [32, 16])
def test_the_network_is_what_torch_computes_of_its_weights(stride):
    """An oracle of its own: no class of transformers has dilated stages without timm."""
    from torch.nn.functional import conv2d, max_pool2d

    from kzoo.models import build
    from kzoo.spec import Spec, Towers

    spec = Spec(
        "detr_encoder",
        {"kind": "resnet", "stem": 8, "widths": [8, 16, 24, 32], "depths": [1, 2, 1, 3],
         "output_stride": stride},
        32, 4, 48, (0,), attention="placed", position="sine_2d", norms=[], pooler="none",
    )  # fmt: skip
    decoder = Spec(
        "detr_decoder", {"kind": "queries", "count": 3}, 32, 4, 48, (0,), attention="placed",
        cross_attention="placed", position="none", norms=["final"], pooler="none",
    )  # fmt: skip
    model = add_noise(
        build(Towers("detr", {"encoder": spec, "decoder": decoder}))
    ).encoder.embedding
    held = {
        path.removeprefix(f"{model.path}/"): torch.from_numpy(np.asarray(weight))
        for weight in model.weights
        for path in [weight.path]
    }
    images = filled_pictures(2)["images"]

    def layer(x, name, step=1, dilation=1, rectified=True):
        kernel = held[f"{name}/convolution/kernel"].permute(3, 2, 0, 1)
        reach = kernel.shape[-1] // 2 * dilation
        x = conv2d(x, kernel, stride=step, padding=reach, dilation=dilation)
        gamma, beta, mean, variance = (
            held[f"{name}/normalization/{part}"][:, None, None]
            for part in ("gamma", "beta", "moving_mean", "moving_variance")
        )
        x = (x - mean) / torch.sqrt(variance + 1e-5) * gamma + beta
        return x.clamp(min=0) if rectified else x

    x = torch.from_numpy(images.transpose(0, 3, 1, 2).copy())
    x = max_pool2d(layer(x, "stem", 2), 3, 2, 1)
    for stage, depth in enumerate([1, 2, 1, 3]):
        for unit in range(depth):
            is_dilated = stage == 3 and stride == 16
            step = 2 if stage and not unit and not is_dilated else 1
            at, dilation = f"stage_{stage}_{unit}", 2 if is_dilated and unit else 1
            y = layer(layer(x, f"{at}/reduce"), f"{at}/inner", step, dilation)
            y = layer(y, f"{at}/expand", rectified=False)
            if f"{at}/shortcut/convolution/kernel" in held:
                x = layer(x, f"{at}/shortcut", step, rectified=False)
            x = (x + y).clamp(min=0)
    kernel = held["projection/kernel"].permute(3, 2, 0, 1)
    x = conv2d(x, kernel, held["projection/bias"]).flatten(2).transpose(1, 2)
    assert distance(model({"images": images}), x) < TOLERANCE


THINGS = [
    [{"label": LABELS[1], "box": [5, 6, 30, 60]}, {"label": LABELS[0], "box": [0, 0, 70, 100]}],
    [],
    [{"label": LABELS[0], "box": [10, 10, 20, 30]}],
]


def test_the_loss_of_a_step_is_that_of_transformers(tmp_path):
    theirs = reference()
    theirs.save_pretrained(tmp_path)
    task = kzoo.from_huggingface(tmp_path)
    here, there = both()
    pictures = [np.zeros((100, 70, 3), "uint8")] * 3
    targets = task.encode_targets(THINGS, pictures)
    labels = [
        {
            "class_labels": torch.tensor([int(n) for n in row[row[:, 0] >= 0][:, 0]]).long(),
            "boxes": torch.from_numpy(row[row[:, 0] >= 0][:, 1:].copy()),
        }
        for row in targets
    ]
    with torch.no_grad():
        expected = theirs(**there, labels=labels)
    actual = task(here)
    loss = SetLoss().of_batch(
        targets, np.asarray(actual["logits"])[:, None], np.asarray(actual["boxes"])[:, None]
    )
    assert abs(float(loss) - float(expected["loss"])) < 1e-4 * float(expected["loss"])


def test_pictures_are_made_as_transformers_makes_them():
    from transformers.models.detr.image_processing_pil_detr import DetrImageProcessorPil

    draw = np.random.default_rng(0)
    given = [draw.integers(0, 256, (*sides, 3)).astype("uint8") for sides in
             ((60, 90), (90, 61), (40, 40), (20, 100))]  # fmt: skip
    size = {"shortest_edge": 48, "longest_edge": 80}
    theirs = DetrImageProcessorPil(size=size)
    ours = ImageProcessor.from_config(json.loads(theirs.to_json_string()))
    expected = theirs(given, return_tensors="np")
    images, mask = ours.filled([ours.resized(each) for each in given])
    np.testing.assert_array_equal(mask, expected["pixel_mask"])
    assert distance(images.transpose(0, 3, 1, 2), expected["pixel_values"]) < TOLERANCE


def test_answers_are_those_of_transformers():
    from types import SimpleNamespace

    from transformers.models.detr.image_processing_pil_detr import DetrImageProcessorPil

    draw = np.random.default_rng(0)
    logits, boxes = draw.normal(0, 2, (1, 9, 4)), draw.uniform(0.2, 0.6, (1, 9, 4))
    outputs = SimpleNamespace(logits=torch.from_numpy(logits), pred_boxes=torch.from_numpy(boxes))
    (expected,) = DetrImageProcessorPil().post_process_object_detection(
        outputs, threshold=0.4, target_sizes=[(100, 70)]
    )
    actual = detections(logits[0], boxes[0], ["a", "b", "c"], (100, 70), 0.4)
    assert 0 < len(actual) < 9 and len(actual) == len(expected["scores"])
    order = np.argsort(-expected["scores"].numpy())
    for each, place in zip(actual, order, strict=True):
        assert each["score"] == pytest.approx(float(expected["scores"][place]), abs=1e-6)
        assert each["label"] == "abc"[int(expected["labels"][place])]
        np.testing.assert_allclose(
            list(each["box"].values()), expected["boxes"][place].numpy(), atol=1e-4
        )


def test_the_hub_s_many_labels_without_a_name_are_told_apart(tmp_path):
    theirs = reference(id2label={0: "N/A", 1: "person", 2: "N/A"}, label2id={"N/A": 0, "person": 1})
    theirs.save_pretrained(tmp_path / "here")
    model = kzoo.from_huggingface(tmp_path / "here")
    assert model.labels == ["N/A 0", "person", "N/A 2"]
    kzoo.to_huggingface(model, tmp_path / "back")
    config = json.loads((tmp_path / "back" / "config.json").read_text())
    assert config["id2label"] == {"0": "N/A", "1": "person", "2": "N/A"}
    assert set(weights_by_path(model)) == set(weights_by_path(kzoo.load(tmp_path / "back")))
