"""Hugging Face folders of two towers, both ways; see `test_huggingface.py`."""

import json

import numpy as np
import pytest
from families import add_noise
from PIL import Image
from test_huggingface import TOLERANCE, contents, distance, reload

import kzoo
from kzoo.checkpoints.safetensors import read_tensors

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
pytestmark = pytest.mark.parity

LENGTHS = (11, 7, 3)
END = 49
TEXT = {
    "vocab_size": 50,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "max_position_embeddings": 24,
    "bos_token_id": 48,
}
PICTURE = {
    "hidden_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 56,
    "image_size": 12,
    "patch_size": 4,
}
CLASSES = ("CLIPModel", "CLIPTextModelWithProjection", "CLIPVisionModelWithProjection")
# The first of these tokens ends a text, or the largest id does where the config says 2 as OpenAI's
# do; LAION's have the GELU that is made of erf.
VARIANTS = {"openai": (2, "quick_gelu"), "laion": (END, "gelu")}


def config_of(name, variant, **changes):
    end, activation = VARIANTS[variant]
    text = {**TEXT, "hidden_act": activation, "eos_token_id": end}
    picture = {**PICTURE, "hidden_act": activation}
    if name == "CLIPModel":
        return transformers.CLIPConfig(
            text_config=text, vision_config=picture, projection_dim=20, **changes
        )
    if "Text" in name:
        return transformers.CLIPTextConfig(**text, projection_dim=20, **changes)
    return transformers.CLIPVisionConfig(**picture, projection_dim=20, **changes)


def reference(name, variant, **changes):
    """A tiny model of transformers with noise on every trainable number."""
    torch.manual_seed(len(name))
    model = getattr(transformers, name)(config_of(name, variant, **changes))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.2 * torch.randn_like(parameter)
    return model.eval()


def inputs_for(model, theirs):
    """Two pictures and three ragged texts, filled up with their end token, for both libraries."""
    draw = np.random.default_rng(3)
    ids = draw.integers(3, END, (len(LENGTHS), max(LENGTHS)))
    mask = np.arange(max(LENGTHS)) < np.array(LENGTHS)[:, None]
    ids = np.where(np.arange(max(LENGTHS)) < np.array(LENGTHS)[:, None] - 1, ids, END)
    pictures = draw.standard_normal((2, 12, 12, 3)).astype("float32")
    here = {"images": pictures, "token_ids": ids.astype("int32")}
    here["padding_mask"] = mask.astype("int32")
    there = {
        "pixel_values": torch.from_numpy(pictures.transpose(0, 3, 1, 2).copy()),
        "input_ids": torch.from_numpy(ids),
        "attention_mask": torch.from_numpy(mask.astype("int64")),
    }
    return (
        {name: here[name] for name in model.input_names},
        {name: there[name] for name in _names(theirs)},
    )


def _names(theirs):
    pictures, texts = ["pixel_values"], ["input_ids", "attention_mask"]
    name = type(theirs).__name__
    return texts if "Text" in name else pictures if "Vision" in name else pictures + texts


def assert_same(model, theirs):
    here, there = inputs_for(model, theirs)
    outputs = model(here)
    with torch.no_grad():
        expected = theirs(**there)
    if isinstance(model, kzoo.Clip):
        names = {"image_embedding": "image_embeds", "text_embedding": "text_embeds"}
        names["logits_per_image"] = "logits_per_image"
    else:
        embeds = "text_embeds" if "token_ids" in here else "image_embeds"
        names = {"sequence_output": "last_hidden_state", "pooled_output": embeds}
    assert set(outputs) == set(names)
    for ours, other in names.items():
        actual, other = np.asarray(outputs[ours]), expected[other].numpy()
        assert actual.shape == other.shape
        mask = here["padding_mask"] == 1 if ours == "sequence_output" and len(here) > 1 else None
        assert distance(actual, other, mask) < TOLERANCE, ours


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("name", CLASSES)
def test_both_ways(name, variant, tmp_path):
    theirs = reference(name, variant)
    theirs.save_pretrained(tmp_path / "here")
    model = kzoo.from_huggingface(tmp_path / "here", strict=True)
    assert_same(model, theirs)
    kzoo.to_huggingface(model, tmp_path / "back")
    assert contents(tmp_path / "back") == contents(tmp_path / "here")
    add_noise(model, seed=5)
    del model.origin  # from here on a model that never saw transformers
    kzoo.to_huggingface(model, tmp_path / "there")
    assert_same(model, reload(theirs, tmp_path / "there"))


def test_a_folder_with_processors_answers_as_the_references_pipeline_does(tmp_path):
    from test_tasks import tokenizer

    folder, sep = tmp_path / "here", 3
    config = config_of("CLIPModel", "laion")
    config.text_config.vocab_size, config.text_config.eos_token_id = 120, sep
    torch.manual_seed(1)
    theirs = transformers.CLIPModel(config).eval()
    with torch.no_grad():
        for parameter in theirs.parameters():
            parameter += 0.2 * torch.randn_like(parameter)
    theirs.save_pretrained(folder)
    size = {"height": 12, "width": 12}
    processor = transformers.CLIPImageProcessorPil(size={"shortest_edge": 14}, crop_size=size)
    processor.save_pretrained(folder)
    tokenizer().save(folder)
    special = {"pad_token": "[PAD]", "unk_token": "[UNK]"}
    words = transformers.PreTrainedTokenizerFast(
        tokenizer_file=str(folder / "tokenizer.json"), **special
    )
    draw = np.random.default_rng(0)
    picture = draw.integers(0, 256, (40, 30, 3)).astype("uint8")
    asked = {"candidate_labels": ["film", "good dog", "paris"], "hypothesis_template": "a {} ."}
    reference = transformers.pipeline(
        "zero-shot-image-classification", theirs, tokenizer=words, image_processor=processor
    )
    expected = reference(Image.fromarray(picture), **asked)
    task = kzoo.ImageTextEmbedder(folder)
    kzoo.to_huggingface(task, tmp_path / "back")
    assert contents(tmp_path / "back") == contents(folder)
    for model in (task, folder, tmp_path / "back"):
        actual = kzoo.pipeline("zero-shot-image-classification", model)(picture, **asked)
        assert [set(answer) for answer in actual] == [set(answer) for answer in expected]
        assert [answer["label"] for answer in actual] == [answer["label"] for answer in expected]
        scores = [[answer["score"] for answer in answers] for answers in (actual, expected)]
        np.testing.assert_allclose(*scores, atol=1e-3)


def test_a_number_without_axes_stays_one(tmp_path):
    theirs = reference("CLIPModel", "openai")
    theirs.save_pretrained(tmp_path / "here")
    kzoo.to_huggingface(kzoo.from_huggingface(tmp_path / "here"), tmp_path / "back")
    assert read_tensors(tmp_path / "back" / "model.safetensors")["logit_scale"].shape == ()


def test_keys_that_a_config_has_twice_count_as_they_do_there(tmp_path):
    """OpenAI's configs say some of a tower's keys once more: all others have their defaults."""
    theirs = reference("CLIPModel", "openai")
    theirs.save_pretrained(tmp_path)
    path = tmp_path / "config.json"
    config = json.loads(path.read_text())
    again = {**TEXT, "eos_token_id": END, "hidden_act": "gelu"}
    path.write_text(json.dumps({**config, "text_config_dict": again, "vision_config_dict": None}))
    theirs = transformers.CLIPModel.from_pretrained(tmp_path).eval()
    assert theirs.config.text_config.hidden_act == "gelu"
    model = kzoo.from_huggingface(tmp_path)
    assert_same(model, theirs)
    kzoo.to_huggingface(model, tmp_path / "back")
    assert_same(model, transformers.CLIPModel.from_pretrained(tmp_path / "back").eval())
