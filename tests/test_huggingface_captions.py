"""Hugging Face folders of what is said of pictures, both ways; see `test_huggingface.py`."""

import numpy as np
import pytest
from families import add_noise
from test_huggingface import TOLERANCE, contents, distance, reload

import kzoo
from kzoo.images.image_processor import ImageProcessor

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
pytestmark = pytest.mark.parity

END, START = 7, 48
PICTURE = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "image_size": 12,
    "patch_size": 4,
}
GPT2 = {
    "vocab_size": 50,
    "n_embd": 32,
    "n_layer": 2,
    "n_head": 4,
    "n_positions": 24,
    "add_cross_attention": True,
    "is_decoder": True,
    "bos_token_id": START,
    "eos_token_id": END,
}
WORDS = {
    "vocab_size": 50,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 40,
    "max_position_embeddings": 24,
    "bos_token_id": START,
    "sep_token_id": END,
    "eos_token_id": END,
}
CASES = ("vit and gpt2", "deit and a wider gpt2", "captioning", "answering", "matching")
WRITES = CASES[:4]


def network(name):
    """A tiny model of transformers, its weights as they start."""
    if "gpt2" in name:
        kind = transformers.DeiTConfig if "deit" in name else transformers.ViTConfig
        width = 48 if "wider" in name else 32
        config = transformers.VisionEncoderDecoderConfig.from_encoder_decoder_configs(
            kind(**PICTURE), transformers.GPT2Config(**{**GPT2, "n_embd": width})
        )
        config.decoder_start_token_id, config.pad_token_id = START, START
        config.eos_token_id = END
        return transformers.VisionEncoderDecoderModel(config)
    # Where a picture is looked at its vectors may be of another width; a question's may not.
    picture = {**PICTURE, "hidden_size": 32 if name == "answering" else 48}
    config = transformers.BlipConfig(
        text_config=WORDS, vision_config=picture, image_text_hidden_size=20
    )
    kinds = {
        "captioning": transformers.BlipForConditionalGeneration,
        "answering": transformers.BlipForQuestionAnswering,
        "matching": transformers.BlipForImageTextRetrieval,
    }
    return kinds[name](config)


def reference(name):
    """The same with noise on every trainable number."""
    torch.manual_seed(len(name))
    model = network(name)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.2 * torch.randn_like(parameter)
    return model.eval()


def drawn(lengths, seed):
    """Ragged token ids and their mask."""
    mask = np.arange(max(lengths)) < np.array(lengths)[:, None]
    ids = np.where(mask, np.random.default_rng(seed).integers(8, 45, mask.shape), 0)
    return ids, mask.astype("int64")


def inputs_for(name):
    """Three pictures with ragged texts, for both libraries."""
    pictures = np.random.default_rng(3).standard_normal((3, 12, 12, 3)).astype("float32")
    there = {"pixel_values": torch.from_numpy(pictures.transpose(0, 3, 1, 2).copy())}
    here = {"images": pictures}
    reads = {"answering": "question_", "matching": ""}
    if name in reads:
        # Its decoder looks at what fills questions up, whatever mask it is given (5.23).
        ids, mask = drawn((9, 9, 9) if name == "answering" else (9, 6, 3), 4)
        here |= {f"{reads[name]}token_ids": ids, f"{reads[name]}padding_mask": mask}
        there |= {"input_ids": ids, "attention_mask": mask}
    if name != "matching":
        ids, mask = drawn((4, 7, 5), 5)
        here |= {"decoder_token_ids": ids, "decoder_padding_mask": mask}
        # A captioner of BLIP calls what it writes as others call what they read.
        prefix = "" if name == "captioning" else "decoder_"
        there |= {f"{prefix}input_ids": ids, f"{prefix}attention_mask": mask}
    here = {n: v if n == "images" else v.astype("int32") for n, v in here.items()}
    return here, {n: torch.as_tensor(v) for n, v in there.items()}


def scores_there(theirs, there):
    """The logits; a class of BLIP hides those of answers, and they are asked for by hand."""
    with torch.no_grad():
        if isinstance(theirs, transformers.BlipForImageTextRetrieval):
            return theirs(**there).itm_score.numpy()
        if not isinstance(theirs, transformers.BlipForQuestionAnswering):
            return theirs(**there).logits.numpy()
        seen = theirs.vision_model(there["pixel_values"]).last_hidden_state
        mask = there["attention_mask"]
        question = theirs.text_encoder(
            there["input_ids"], attention_mask=mask, encoder_hidden_states=seen
        ).last_hidden_state
        return theirs.text_decoder(
            there["decoder_input_ids"],
            attention_mask=there["decoder_attention_mask"],
            encoder_hidden_states=question,
            encoder_attention_mask=mask,
        ).logits.numpy()


def assert_same(model, theirs, name):
    here, there = inputs_for(name)
    actual, expected = np.asarray(model(here)["logits"]), scores_there(theirs, there)
    mask = None if name == "matching" else here["decoder_padding_mask"] == 1
    assert distance(actual, expected, mask) < TOLERANCE
    if name == "matching":
        with torch.no_grad():
            cosines = theirs(**there, use_itm_head=False).itm_score.numpy()
        image = model.predict_on_batch({"images": here["images"]})["image_embedding"]
        text = {n: here[n] for n in ("token_ids", "padding_mask")}
        actual = image @ model.predict_on_batch(text)["text_embedding"].T
        assert distance(actual, cosines, None) < TOLERANCE


@pytest.mark.parametrize("name", CASES)
def test_both_ways(name, tmp_path):
    theirs = reference(name)
    theirs.save_pretrained(tmp_path / "here")
    model = kzoo.from_huggingface(tmp_path / "here", strict=True)
    assert_same(model, theirs, name)
    kzoo.to_huggingface(model, tmp_path / "back")
    assert contents(tmp_path / "back") == contents(tmp_path / "here")
    add_noise(model, seed=5)
    del model.origin  # from here on a model that never saw transformers
    kzoo.to_huggingface(model, tmp_path / "there")
    assert_same(model, reload(theirs, tmp_path / "there"), name)


WAYS = {
    "greedy": {},
    "beams": {"num_beams": 3, "early_stopping": True, "length_penalty": 1.5},
    "without repeats": {"num_beams": 2, "no_repeat_ngram_size": 2},
}


@pytest.mark.parametrize("name", WRITES)
def test_they_write_the_references_tokens(name, tmp_path):
    theirs = reference(name)
    theirs.save_pretrained(tmp_path)
    model = kzoo.from_huggingface(tmp_path)
    model.image_processor = processor = ImageProcessor(size=12, mean=0.5, std=0.5)
    assert model.start_id == START
    assert model.task_options()["generation"]["end_token_ids"] == [END]
    pictures = np.random.default_rng(6).integers(0, 256, (3, 12, 12, 3)).astype("uint8")
    pixels = torch.from_numpy(processor(pictures).transpose(0, 3, 1, 2).copy())
    ids, _ = drawn((9, 6, 3), 4)
    for options in WAYS.values():
        # One by one: of several questions the reference looks at what fills them up, too.
        for picture, there, question in zip(pictures, pixels, ids, strict=True):
            source, read = picture, {"pixel_values": there[None]}
            if name == "answering":
                question = question[question > 0]
                source = picture, question.tolist()
                read["input_ids"] = torch.from_numpy(question[None])
                read["attention_mask"] = torch.ones_like(read["input_ids"])
            with torch.no_grad():
                (expected,) = theirs.generate(
                    **read, max_new_tokens=10, do_sample=False, **options
                ).tolist()
            expected = expected[1:]
            expected = expected[: expected.index(END) + 1] if END in expected else expected
            ((answer, *_),) = model.write([source], max_new_tokens=10, **options)
            assert answer.token_ids == expected, options
