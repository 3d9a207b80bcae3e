"""Hugging Face folders of encoder-decoders, both ways; see `test_huggingface.py`."""

import copy

import numpy as np
import pytest
from families import SPECS, inputs_of
from families import add_noise as add_own_noise
from test_huggingface import TOLERANCE, contents, distance, reload

import kzoo
from kzoo.models import build
from kzoo.network import weights_by_path

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
pytestmark = pytest.mark.parity

END = 2
LENGTHS = {"encoder": (9, 6, 3), "decoder": (4, 7, 5)}
T5 = {
    "vocab_size": 50,
    "d_model": 16,  # Scores that aren't scaled grow with the width.
    "d_kv": 6,
    "d_ff": 24,
    "num_layers": 3,
    "num_decoder_layers": 2,
    "num_heads": 4,
    "relative_attention_num_buckets": 8,
    "relative_attention_max_distance": 12,
    "decoder_start_token_id": 0,
}
BART = {
    "vocab_size": 50,
    "d_model": 32,
    "encoder_layers": 3,
    "decoder_layers": 2,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 2,
    "encoder_ffn_dim": 48,
    "decoder_ffn_dim": 40,
    "max_position_embeddings": 24,
    "forced_eos_token_id": None,
}
MARIAN = {**BART, "pad_token_id": 49, "decoder_start_token_id": 49, "scale_embedding": True}
CASES = {
    "t5": ("T5", T5),
    "t5 1.1": ("T5", {**T5, "feed_forward_proj": "gated-gelu", "tie_word_embeddings": False}),
    "t5, its own scale": (
        "T5",
        {**T5, "tie_word_embeddings": False, "scale_decoder_outputs": True},
    ),
    "mt5": ("MT5", {**T5, "feed_forward_proj": "gated-gelu", "tie_word_embeddings": False}),
    "bart": ("Bart", BART),
    "mbart": ("MBart", {**BART, "scale_embedding": True, "decoder_start_token_id": 5}),
    "marian": ("Marian", {**MARIAN, "activation_function": "swish"}),
    "marian of 2017": ("Marian", {**MARIAN, "activation_function": "relu"}),
}
WRITES, USUAL = {"Marian": "MTModel"}, "ForConditionalGeneration"
CLASSES = {
    **{name: (stem, WRITES.get(stem, USUAL)) for name, (stem, _) in CASES.items()},
    # MarianModel calls the waves missing that it makes itself, as MarianMTModel does.
    **{f"{name}, bare": (CASES[name][0], "Model") for name in ("t5", "bart", "mbart")},
    "t5, encoder": ("T5", "EncoderModel"),
    "mt5, encoder": ("MT5", "EncoderModel"),
}  # fmt: skip


def reference(name):
    """A tiny model of transformers with noise on all that is learned, and on the logits' bias."""
    torch.manual_seed(len(name))
    stem, suffix = CLASSES[name]
    sizes = CASES[name.partition(",")[0]][1]
    config = getattr(transformers, f"{stem}Config")(**sizes, attn_implementation="eager")
    model = getattr(transformers, stem + suffix)(config)
    if sizes.get("tie_word_embeddings") is False and hasattr(model, "lm_head"):
        own = torch.zeros_like(model.lm_head.weight)  # 5.23 ties them whatever the config says.
        model.lm_head.weight = torch.nn.Parameter(own)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:  # Marian's sinusoids are none to learn.
                parameter += 0.2 * torch.randn_like(parameter)
        if hasattr(model, "final_logits_bias"):
            model.final_logits_bias += 0.2 * torch.randn_like(model.final_logits_bias)
    return model.eval()


def inputs_for(theirs):
    """Ragged tokens on both sides, for both libraries."""
    draw, here, there = np.random.default_rng(3), {}, {}
    padding = theirs.config.pad_token_id
    for tower, lengths in LENGTHS.items():
        mask = np.arange(max(lengths)) < np.array(lengths)[:, None]
        ids = np.where(mask, draw.integers(5, 45, mask.shape), padding)
        prefix = "decoder_" if tower == "decoder" else ""
        here |= {f"{tower}_token_ids": ids.astype("int32")}
        here |= {f"{tower}_padding_mask": mask.astype("int32")}
        there |= {f"{prefix}input_ids": torch.from_numpy(ids)}
        there |= {f"{prefix}attention_mask": torch.from_numpy(mask.astype("int64"))}
    return here, there


def outputs_of(theirs, there):
    """What a class there gives: scores of tokens, or vectors; those of an encoder by itself."""
    if type(theirs).__name__.endswith("EncoderModel"):
        there = {name: there[name] for name in ("input_ids", "attention_mask")}
    with torch.no_grad():
        outputs = theirs(**there)
    return (outputs.logits if "logits" in outputs else outputs.last_hidden_state).numpy()


def assert_same(model, theirs):
    """Within the tolerance, or as near to exact numbers as torch's float32 is on this processor."""
    here, there = inputs_for(theirs)
    tower = "encoder" if type(theirs).__name__.endswith("EncoderModel") else "decoder"
    mask = here[f"{tower}_padding_mask"] == 1
    if tower == "encoder":
        here = {n.removeprefix("encoder_"): v for n, v in here.items() if n.startswith("enc")}
    actual = model(here)
    actual = actual["logits" if "logits" in actual else "sequence_output"]
    expected = outputs_of(theirs, there)
    if distance(actual, expected, mask) >= TOLERANCE:
        exact = outputs_of(copy.deepcopy(theirs).double(), there)
        assert distance(actual, exact, mask) < 1.5 * distance(expected, exact, mask)


@pytest.mark.parametrize("name", CLASSES)
def test_both_ways(name, tmp_path):
    theirs = reference(name)
    theirs.save_pretrained(tmp_path / "here")
    model = kzoo.from_huggingface(tmp_path / "here", strict=True)
    assert_same(model, theirs)
    kzoo.to_huggingface(model, tmp_path / "back")
    assert contents(tmp_path / "back") == contents(tmp_path / "here")
    add_own_noise(model, seed=5)
    del model.origin  # from here on a model that never saw transformers
    kzoo.to_huggingface(model, tmp_path / "there")
    assert_same(model, reload(theirs, tmp_path / "there"))


def text_of(theirs):
    """A ragged text that both towers read, each with one end, for both libraries."""
    lengths = np.array([9, 6, 3])
    mask = np.arange(9) < lengths[:, None]
    ids = np.where(mask, np.random.default_rng(4).integers(5, 45, mask.shape), 1)
    ids[np.arange(3), lengths - 1] = END
    there = {"input_ids": torch.from_numpy(ids), "attention_mask": torch.from_numpy(mask * 1)}
    return {"token_ids": ids.astype("int32"), "padding_mask": mask.astype("int32")}, there


@pytest.mark.parametrize("suffix", ["ForSequenceClassification", "ForQuestionAnswering"])
def test_both_towers_read_a_text(suffix, tmp_path):
    torch.manual_seed(1)
    config = transformers.BartConfig(**BART, num_labels=4 if "Sequence" in suffix else 2)
    theirs = getattr(transformers, f"Bart{suffix}")(config).eval()
    with torch.no_grad():
        for parameter in theirs.parameters():
            parameter += 0.2 * torch.randn_like(parameter)
    theirs.save_pretrained(tmp_path / "here")

    def assert_alike(model, theirs):
        here, there = text_of(theirs)
        actual = model(here)
        with torch.no_grad():
            expected = theirs(**there)
        for name, value in actual.items():
            kept = here["padding_mask"] == 1 if "start" in name or "end" in name else slice(None)
            assert distance(value, expected[name].numpy(), kept) < TOLERANCE

    model = kzoo.from_huggingface(tmp_path / "here", strict=True)
    assert_alike(model, theirs)
    kzoo.to_huggingface(model, tmp_path / "back")
    assert contents(tmp_path / "back") == contents(tmp_path / "here")
    add_own_noise(model, seed=5)
    del model.origin
    kzoo.to_huggingface(model, tmp_path / "there")
    assert_alike(model, reload(theirs, tmp_path / "there"))


WAYS = {
    "greedy": ({}, {}),
    "greedy without repeats": ({"no_repeat_ngram_size": 2, "repetition_penalty": 1.3},) * 2,
    "beams": ({"num_beams": 3},) * 2,
    "beams that stop early": (
        {"num_beams": 4, "early_stopping": True, "length_penalty": 1.5, "num_return_sequences": 2},
    )
    * 2,
    "beams that never do": ({"num_beams": 3, "early_stopping": "never", "length_penalty": 2.0},)
    * 2,
    "beams from a language to the end": (
        {"num_beams": 3, "forced_token_ids": 7, "ends_at_last": True, "forbidden_token_ids": [9]},
        {
            "num_beams": 3,
            "forced_bos_token_id": 7,
            "forced_eos_token_id": END,
            "bad_words_ids": [[9]],
        },
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_they_write_the_references_tokens(name, tmp_path):
    theirs = reference(name)
    theirs.save_pretrained(tmp_path)
    model = kzoo.from_huggingface(tmp_path)
    here, there = inputs_for(theirs)
    lengths = LENGTHS["encoder"]
    sources = [row[:n].tolist() for row, n in zip(here["encoder_token_ids"], lengths, strict=True)]
    read = {key: there[key] for key in ("input_ids", "attention_mask")}
    for options, their_options in WAYS.values():
        common = {"max_new_tokens": 12, "do_sample": False, "eos_token_id": END}
        with torch.no_grad():
            expected = theirs.generate(**read, **common, **their_options)[:, 1:].tolist()
        expected = [row[: row.index(END) + 1] if END in row else row for row in expected]
        actual = model.generate(sources, max_new_tokens=12, end_token_ids=END, **options)
        if options.get("num_return_sequences"):
            actual = [row for rows in actual for row in rows]
        assert actual == expected, options


def test_a_folder_says_how_it_writes(tmp_path):
    theirs = reference("bart")
    usual = {"num_beams": 3, "early_stopping": True, "max_length": 12, "length_penalty": 2.0}
    theirs.generation_config.update(
        **usual,
        forced_eos_token_id=END,
        bad_words_ids=[[9]],
        suppress_tokens=[8],
        forced_bos_token_id=7,
        min_length=4,
        decoder_start_token_id=6,
    )
    theirs.save_pretrained(tmp_path / "here")
    model = kzoo.from_huggingface(tmp_path / "here")
    kzoo.to_huggingface(model, tmp_path / "back")
    here, there = inputs_for(theirs)
    lengths = LENGTHS["encoder"]
    sources = [row[:n].tolist() for row, n in zip(here["encoder_token_ids"], lengths, strict=True)]
    read = {key: there[key] for key in ("input_ids", "attention_mask")}
    back = type(theirs).from_pretrained(tmp_path / "back").eval()
    for each in (theirs, back):
        with torch.no_grad():
            expected = each.generate(**read, do_sample=False)[:, 1:].tolist()
        expected = [row[: row.index(END) + 1] for row in expected]
        assert model.generate(sources) == expected


def test_what_kzoo_does_not_do_while_it_writes_is_said(tmp_path):
    theirs = reference("bart")
    theirs.generation_config.update(encoder_no_repeat_ngram_size=2, bad_words_ids=[[9, 8]])
    theirs.save_pretrained(tmp_path)
    with pytest.warns(UserWarning, match="bad_words_ids = .*, encoder_no_repeat_ngram_size = 2"):
        kzoo.from_huggingface(tmp_path)


def test_a_folder_with_a_tokenizer_goes_there_and_comes_back(tmp_path):
    from test_causal_lm import byte_tokenizer
    from test_seq2seq import one_block

    task = kzoo.Seq2SeqLM(add_own_noise(build(one_block("t5"))), tokenizer=byte_tokenizer())
    kzoo.to_huggingface(task, tmp_path / "there")
    theirs = transformers.T5ForConditionalGeneration.from_pretrained(tmp_path / "there").eval()
    assert theirs.generation_config.eos_token_id == task.tokenizer.end_id
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / "there")
    ids = task.prompt_ids(["the film"])
    assert tokenizer(["the film"])["input_ids"] == ids
    with torch.no_grad():
        expected = theirs.generate(torch.tensor(ids), max_new_tokens=6, do_sample=False)
    again = kzoo.from_huggingface(tmp_path / "there")
    assert again.generate(ids, max_new_tokens=6) == [expected[0, 1:].tolist()]
    assert again.generate("the film", max_new_tokens=6) == task.generate(
        "the film", max_new_tokens=6
    )


def test_the_transformer_is_torchs_own_layers():
    """No class there has the paper's waves: torch's encoder and decoder layers stand for it."""
    model = add_own_noise(build(SPECS["transformer"]))
    here = inputs_of(SPECS["transformer"])
    weights = {path: torch.tensor(np.asarray(w)) for path, w in weights_by_path(model).items()}
    table, width, heads = weights["token_embedding/embeddings"], 32, 4
    places = np.arange(40)[:, None] / 10000.0 ** (2 * (np.arange(width) // 2)[None] / width)
    even = np.arange(width) % 2 == 0
    waves = torch.tensor(np.where(even, np.sin(places), np.cos(places)).astype("float32"))

    def attend(module, path):
        parts = [weights[f"{path}/{name}/kernel"].T for name in ("query", "key", "value")]
        module.in_proj_weight.copy_(torch.cat(parts))
        names = ("query", "key", "value")
        module.in_proj_bias.copy_(torch.cat([weights[f"{path}/{name}/bias"] for name in names]))
        module.out_proj.weight.copy_(weights[f"{path}/output/kernel"].T)
        module.out_proj.bias.copy_(weights[f"{path}/output/bias"])

    def fill(layer, path, norms):
        for module, name in ((layer.linear1, "up"), (layer.linear2, "down")):
            module.weight.copy_(weights[f"{path}/feedforward/{name}/kernel"].T)
            module.bias.copy_(weights[f"{path}/feedforward/{name}/bias"])
        attend(layer.self_attn, f"{path}/attention")
        for number, name in enumerate(norms, 1):
            norm = getattr(layer, f"norm{number}")
            norm.weight.copy_(weights[f"{path}/{name}_norm/gamma"])
            norm.bias.copy_(weights[f"{path}/{name}_norm/beta"])

    epsilon = SPECS["transformer"].towers["encoder"].norm["epsilon"]
    common = {"dropout": 0.0, "layer_norm_eps": epsilon, "batch_first": True}

    def embedded(tower):
        ids = torch.tensor(here[f"{tower}_token_ids"]).long()
        return table[ids] * width**0.5 + waves[: ids.shape[1]]

    with torch.no_grad():
        gone = torch.tensor(here["encoder_padding_mask"] == 0)
        memory = embedded("encoder")
        for block in range(3):
            layer = torch.nn.TransformerEncoderLayer(width, heads, 48, **common).train()
            fill(layer, f"encoder/block_{block}", ("attention", "feedforward"))
            memory = layer(memory, src_key_padding_mask=gone)
        x, absent = embedded("decoder"), torch.tensor(here["decoder_padding_mask"] == 0)
        ahead = torch.triu(torch.ones(x.shape[1], x.shape[1], dtype=torch.bool), 1)
        for block in range(2):
            layer = torch.nn.TransformerDecoderLayer(width, heads, 48, **common).train()
            fill(layer, f"decoder/block_{block}", ("attention", "cross_attention", "feedforward"))
            attend(layer.multihead_attn, f"decoder/block_{block}/cross_attention")
            x = layer(x, memory, tgt_mask=ahead, tgt_key_padding_mask=absent,
                      memory_key_padding_mask=gone)  # fmt: skip
    mask = here["decoder_padding_mask"] == 1
    assert distance(model(here)["sequence_output"], x.numpy(), mask) < TOLERANCE
