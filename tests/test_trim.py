"""A vocabulary of fewer tokens: texts over those that stay are read, and answered, as before."""

import gzip
import math
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import tokenizers
from families import SPECS, add_noise, noisy
from test_sentencepiece import marian
from tokenizers import models, normalizers, pre_tokenizers, processors, trainers

import kzoo
from kzoo.compression import trim
from kzoo.generation import Generation
from kzoo.models import build
from kzoo.network import weights_by_path
from kzoo.text.trimming import BYTES

ROOT = Path(__file__).parent.parent
DATA = ROOT.parent / "shared" / "data"
# A text that nobody changes: what is learnt from it stays the same.
LINES = [line for line in (ROOT / "LICENSE").read_text("utf-8").split("\n") if line.strip()]
SPECIAL = ["<pad>", "<s>", "</s>", "<unk>", "<mask>"]


@cache
def trained(kind):
    """A tokenizer of some hundred pieces, learnt from half of the lines."""
    options = {"vocab_size": 700, "special_tokens": SPECIAL, "show_progress": False}
    model = {
        "WordPiece": lambda: models.WordPiece(unk_token="<unk>"),
        "bytes": models.BPE,
        "word ends": lambda: models.BPE(unk_token="<unk>", end_of_word_suffix="</w>"),
        "Unigram": models.Unigram,
    }[kind]()
    backend = tokenizers.Tokenizer(model)
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    trainer = trainers.BpeTrainer(**options, end_of_word_suffix="</w>")
    if kind == "WordPiece":
        backend.normalizer, trainer = normalizers.Lowercase(), trainers.WordPieceTrainer(**options)
    elif kind == "bytes":
        backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        alphabet = pre_tokenizers.ByteLevel.alphabet()
        trainer = trainers.BpeTrainer(**options, initial_alphabet=alphabet)
    elif kind == "Unigram":
        backend.pre_tokenizer = pre_tokenizers.Metaspace()
        trainer = trainers.UnigramTrainer(**options, unk_token="<unk>")
    backend.train_from_iterator(LINES[::2], trainer)
    backend.add_special_tokens(["<extra_id_1>", "<extra_id_0>"])  # behind the vocabulary
    ends = [("<s>", 1), ("</s>", 2)]
    backend.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> $B:1 </s>:1", special_tokens=ends
    )
    return kzoo.Tokenizer(backend)


def of_files(name):
    """A published tokenizer, where it is at hand."""
    folder = DATA / "tokenizers" / name
    if not folder.is_dir():
        pytest.skip("the shared data is not here")
    packed = folder / "tokenizer.json.gz"
    if packed.is_file():
        return kzoo.Tokenizer.from_json(gzip.decompress(packed.read_bytes()).decode())
    return kzoo.Tokenizer.load(folder)


@cache
def shipped():
    return kzoo.Tokenizer.load(ROOT / "presets" / "bert_minilm_l6_en_uncased.sst2")


def network(tokenizer, family="bert"):
    """A tiny network for a tokenizer, with a few rows that no token has."""
    size = tokenizer.vocabulary_size + 3
    slot = {"vocabulary_size": size, "padding_id": tokenizer.padding_id or 0}
    spec = SPECS[family]
    spec = spec.replace(schedule=(0,), embedding={**spec.embedding, **slot})
    backbone = add_noise(build(spec))
    backbone.tokenizer = tokenizer
    return backbone


def over_kept(before, after, texts):
    """Those of some texts whose tokens have all stayed."""
    kept = after.vocabulary.keys()
    names = [[before.id_to_token(n) for n in ids] for ids in before.bare_ids(texts)]
    return [text for text, tokens in zip(texts, names, strict=True) if kept >= set(tokens)]


def pieces(tokenizer, texts):
    return [[tokenizer.id_to_token(n) for n in ids] for ids in tokenizer.bare_ids(texts)]


KINDS = ["WordPiece", "bytes", "word ends", "Unigram"]
MADE = {
    **{kind: lambda kind=kind: trained(kind) for kind in KINDS},
    "shipped": shipped,
    **{name: lambda name=name: of_files(name) for name in ("t5-small", "clip")},
}


@pytest.mark.parametrize("name", MADE)
def test_text_over_kept_tokens_is_cut_as_before(name):
    before = MADE[name]()
    made, report = trim(network(before), LINES[:60], held_out=LINES, alphabet="corpus")
    after = made.tokenizer
    words = sorted({word for line in LINES for word in line.split()})
    same = over_kept(before, after, [*LINES, *words])
    assert len(same) > 150 and after.vocabulary_size < 0.9 * before.vocabulary_size
    assert pieces(after, same) == pieces(before, same)
    assert report["texts"]["cut_as_before"] == report["texts"]["texts"] == 60
    assert report["held_out"]["cut_as_before"] == len(over_kept(before, after, LINES))
    assert after.special_ids == [
        after.token_to_id(before.id_to_token(n)) for n in before.special_ids
    ]
    again = kzoo.Tokenizer.from_json(after.to_json())
    assert again.encode(LINES[:20], LINES[:20]) == after.encode(LINES[:20], LINES[:20])
    assert all(
        after.decode(ids) == before.decode(old)
        for ids, old in zip(after.bare_ids(same), before.bare_ids(same), strict=True)
    )


# -- what stays ----------------------------------------------------------------------------------


def test_what_does_not_stay_is_cut_into_pieces_and_is_not_unknown():
    before, held_out = shipped(), ["unforgettable, überlong 日本"]
    made, report = trim(network(before), ["a dull film"], held_out=held_out)
    after = made.tokenizer
    letters = ["u", *(f"##{letter}" for letter in "nforgettable")]
    assert after.tokens("unforgettable")[1:-1] == letters
    assert report["held_out"] == {
        "texts": 1,
        "cut_as_before": 0,
        "tokens_per_text": {"before": 10, "after": len(after.bare_ids(held_out)[0])},
        "unknown_tokens": {"before": 0, "after": 0},
    }
    small, report = trim(network(before), ["a dull film"], alphabet="corpus", held_out=held_out)
    assert report["held_out"]["unknown_tokens"]["after"] == 5
    assert small.vocabulary_size < after.vocabulary_size / 20
    letters = ["m", "##i", "##l", "##d", "f", "##l", "##u", "##i", "##d"]
    assert small.tokenizer.tokens("mild fluid")[1:-1] == letters
    small, _ = trim(network(trained("bytes")), ["a"], alphabet="corpus")
    assert len(small.tokenizer.bare_ids(["Ω 日本"])[0]) == len("Ω 日本".encode())


def test_the_most_frequent_tokens_that_fit_stay():
    before = trained("bytes")
    texts = [" the the the the copyright copyright purpose"]
    every, _ = trim(network(before), texts)
    assert {"Ġthe", "ĠLicense", "Ġpurpose"} - every.tokenizer.vocabulary.keys() == {"ĠLicense"}
    size = every.vocabulary_size - 1
    made, report = trim(network(before), texts, size=size)
    assert report["tokens"]["after"] == made.vocabulary_size <= size
    assert pieces(made.tokenizer, [" the"]) == pieces(before, [" the"])
    assert pieces(made.tokenizer, texts) != pieces(before, texts)
    frequent, _ = trim(network(before), texts, least=4)
    assert "Ġthe" in frequent.tokenizer.vocabulary
    assert "Ġpurpose" not in frequent.tokenizer.vocabulary
    size = every.vocabulary_size + 50
    full, report = trim(network(before), texts, size=size, least=0)
    assert report["tokens"]["after"] == size
    assert every.tokenizer.vocabulary.keys() < full.tokenizer.vocabulary.keys()
    others = sorted(
        set(before.vocabulary.values()) - {before.vocabulary[t] for t in every.tokenizer.vocabulary}
    )
    assert all(before.id_to_token(i) in full.tokenizer.vocabulary for i in others[:10])


def test_what_fills_up_is_no_name_in_brackets():
    full, report = trim(network(of_files("bert-base-uncased")), LINES, size=4000, least=0)
    assert report["tokens"]["after"] == 4000
    assert not any(token.startswith("[unused") for token in full.tokenizer.vocabulary)


def test_the_worst_piece_of_a_unigram_stays_since_unknown_characters_cost_what_it_does():
    # An unknown character costs 10 more than the worst piece: without "zz" less than "ab", "cd".
    scored = {"▁": -1.0, "yy": -9.0, "<unk>": 0.0, "ab": -95.0, "cd": -95.0, "bcd": -1.0}
    backend = tokenizers.Tokenizer(models.Unigram([*scored.items(), ("zz", -200.0)], 2))
    backend.pre_tokenizer = pre_tokenizers.Metaspace()
    before = kzoo.Tokenizer(backend)
    made, _ = trim(network(before), ["abcd", "bcd"])
    expected = [["▁", "ab", "cd"], ["▁", "<unk>"]]
    assert pieces(made.tokenizer, ["abcd", "x"]) == pieces(before, ["abcd", "x"]) == expected


def test_what_unknown_characters_become_stays():
    names = ["a", "b", "c", "ab", "bc", *BYTES, "<s>", "<unk>"]
    backend = tokenizers.Tokenizer(
        models.BPE(
            {name: number for number, name in enumerate(names)},
            [("a", "b"), ("b", "c")],
            unk_token="<unk>",
            byte_fallback=True,
        )
    )
    before = kzoo.Tokenizer(backend)
    made, _ = trim(network(before), ["ab"], alphabet="corpus")
    assert pieces(made.tokenizer, ["abcé"]) == [["ab", "<0x63>", "<0xC3>", "<0xA9>"]]
    assert made.tokenizer.vocabulary.keys() == set(names) - {"c", "bc"}


# -- whole models --------------------------------------------------------------------------------


@cache
def special_last():
    """A byte-level tokenizer whose special tokens stand behind all others."""
    backend = tokenizers.Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=500,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    backend.train_from_iterator(LINES[::2], trainer)
    backend.add_special_tokens(SPECIAL)
    backend.post_processor = processors.RobertaProcessing(("</s>", 502), ("<s>", 501))
    return kzoo.Tokenizer(backend)


def pair(family):
    """An encoder-decoder on that, which writes with ids of its own."""
    generation = {
        "end_token_ids": 502,
        "forced_token_ids": [499],
        "forbidden_token_ids": list(range(400, 499)),
        "num_beams": 2,
    }
    options = {"tokenizer": special_last(), "generation": generation}
    return of_two(family, special_last(), 502), options


def of_two(family, tokenizer, start):
    """An encoder-decoder of one block a tower for a tokenizer."""
    spec = SPECS[family]
    towers = {name: tower.replace(schedule=(0,)) for name, tower in spec.towers.items()}
    ids = {"vocabulary_size": tokenizer.vocabulary_size, "padding_id": tokenizer.padding_id}
    slot = {**spec.options["embedding"], **ids}
    return build(spec.replace(towers=towers, options={"embedding": slot, "start_id": start}))


def on(family, kind="bytes", **options):
    return lambda: (network(trained(kind), family), options)


LABELS = {"labels": ["O", "B-x"]}
TASKS = {
    "TextClassifier": on("albert", "WordPiece", **LABELS),
    "TokenClassifier": on("distilbert", "Unigram", **LABELS),
    "QuestionAnswering": on("roberta"),
    "TextEmbedder": on("bert", prompts={"q": "Ωmega: "}, default_prompt="q"),
    "MaskedLM": on("bert", "WordPiece"),
    "CausalLM": on("gpt2", head={"kind": "tied_lm", "bias": True}),
    "CausalLM untied": on("gpt2", head={"kind": "lm", "bias": True}),
    "Seq2SeqLM": lambda: pair("bart"),
}

CORPORA = {
    "TokenClassifier": [line.split() for line in LINES[:40]],
    "QuestionAnswering": list(zip(LINES[:20], LINES[20:40], strict=True)),
}


def task_of(name):
    backbone, options = TASKS[name]()
    return add_noise(getattr(kzoo, name.split()[0])(backbone, **options))


def read(model, texts):
    """What a task's network reads of texts."""
    columns = model.tokenizer.encode(texts, max_length=40, padding="longest")
    names = model.backbone.input_names
    if "encoder_token_ids" not in names:
        return {name: columns[name] for name in names}
    return {name: columns[name.partition("_")[2]] for name in names}


@pytest.mark.parametrize("name", TASKS)
def test_a_task_answers_as_before_on_texts_over_kept_tokens(name, tmp_path):
    before, texts = task_of(name), LINES[:12]
    made, report = trim(before, CORPORA.get(name, LINES[:40]))
    assert report["texts"]["cut_as_before"] == report["texts"]["texts"]
    after, size = made.tokenizer, made.backbone.vocabulary_size
    assert size == report["tokens"]["after"] < report["tokens"]["before"]
    old = [before.tokenizer.token_to_id(after.id_to_token(n)) for n in range(size)]
    assert old == sorted(old)  # dense, in their old order

    expected, given = before(read(before, texts)), made(read(made, texts))
    for output, value in expected.items():
        value = np.asarray(value)
        value = value[..., old] if value.shape[-1] == report["tokens"]["before"] else value
        np.testing.assert_allclose(np.asarray(given[output]), value, atol=1e-6, rtol=1e-6)

    changed = {
        path: weight.shape
        for path, weight in weights_by_path(made).items()
        if weight.shape != weights_by_path(before)[path].shape
    }
    assert report["table_bytes"]["float32"]["after"] == 4 * sum(map(math.prod, changed.values()))
    assert ("head" in str(changed)) == (name.split()[0] in ("MaskedLM", "CausalLM", "Seq2SeqLM"))

    made.save_preset(tmp_path / "preset")
    folders = [tmp_path / "preset"]
    if name in ("MaskedLM", "Seq2SeqLM"):
        kzoo.to_huggingface(made, tmp_path / "there")
        folders.append(tmp_path / "there")
    for folder in folders:
        again = kzoo.load(folder)
        assert again.tokenizer.bare_ids(LINES) == after.bare_ids(LINES)
        outputs = again(read(again, texts))
        for output, value in given.items():
            np.testing.assert_allclose(np.asarray(outputs[output]), np.asarray(value), atol=1e-6)
        if name == "Seq2SeqLM":
            keys = ("end_token_ids", "forced_token_ids", "forbidden_token_ids")
            assert all(again.generation[key] == made.generation[key] for key in keys)
            assert again.start_id == made.start_id


def test_ids_that_a_model_names_move_with_their_tokens():
    before = task_of("Seq2SeqLM")
    made, _ = trim(before, [(line, "Ωmega") for line in LINES[:40]])
    after = made.tokenizer
    *never, forced = [before.tokenizer.id_to_token(n) for n in range(400, 500)]
    kept = [after.token_to_id(token) for token in never if token in after.vocabulary]
    assert made.spec.options["embedding"]["padding_id"] == after.padding_id < 500
    assert made.start_id == after.token_to_id("</s>")
    assert made.generation == {
        "end_token_ids": [after.token_to_id("</s>")],
        "forced_token_ids": [after.token_to_id(forced)],
        "forbidden_token_ids": kept,
        "num_beams": 2,
    }
    assert before.generation["end_token_ids"] == 502 and 0 < len(kept) < len(never)
    assert Generation(**made.generation).num_beams == 2


def test_what_stands_before_every_text_is_cut_as_before():
    embedder, _ = trim(task_of("TextEmbedder"), ["a"])
    assert pieces(embedder.tokenizer, ["Ωmega: "]) == pieces(trained("bytes"), ["Ωmega: "])


def test_the_tower_of_texts_of_a_pair_is_trimmed():
    tokenizer = trained("WordPiece")
    spec, size = SPECS["clip"], tokenizer.vocabulary_size
    towers = {name: tower.replace(schedule=(0,)) for name, tower in spec.towers.items()}
    slot = {**towers["text"].embedding, "vocabulary_size": size, "padding_id": 0}
    pooler = {**towers["text"].pooler, "token": tokenizer.token_to_id("<extra_id_0>")}
    towers["text"] = towers["text"].replace(embedding=slot, pooler=pooler)
    spec = spec.replace(towers=towers)
    before = kzoo.ImageTextEmbedder(add_noise(build(spec)), tokenizer=tokenizer)
    made, report = trim(before, LINES[:40])
    assert made.spec.towers["text"].pooler["token"] == made.tokenizer.token_to_id("<extra_id_0>")
    texts = [" ".join([*line.split()[:2], "<extra_id_0>"]) for line in LINES[:12]]
    expected = before.predict_texts(texts)
    np.testing.assert_allclose(made.predict_texts(texts), expected, atol=1e-6)
    assert report["share_saved"] > 0.2


def test_two_tokenizers_of_one_vocabulary_are_trimmed_together(tmp_path):
    folder = marian(tmp_path)
    kinds = {"tokenizer": kzoo.Tokenizer, "target_tokenizer": kzoo.TargetTokenizer}
    processors = {kind: cls.load(folder) for kind, cls in kinds.items()}
    source = processors["tokenizer"]
    before = kzoo.Seq2SeqLM(of_two("marian", source, source.padding_id), **processors)
    text, target = "the sat 猫 猫犬", "le s"  # ▁sat is a piece, and none of the vocabulary.
    made, report = trim(before, [(text, target)], alphabet="corpus")
    after = made.processors
    assert source.vocabulary.keys() - after["tokenizer"].vocabulary.keys() == {"▁cat", "▁chat", "a"}
    assert after["tokenizer"].vocabulary == after["target_tokenizer"].vocabulary
    assert report["texts"]["cut_as_before"] == 1
    assert pieces(after["tokenizer"], [text]) == pieces(source, [text])
    after["tokenizer"].save_two(tmp_path, after["target_tokenizer"])
    for kind, cls in kinds.items():
        texts = [text, target, "le chat"]
        assert cls.load(tmp_path).bare_ids(texts) == after[kind].bare_ids(texts)
    with pytest.raises(kzoo.KzooError, match="pairs of a source and a target"):
        trim(before, ["the"])


# -- errors --------------------------------------------------------------------------------------


def of_bytes(texts=("a",), **options):
    return lambda: trim(network(trained("bytes")), list(texts), **options)


def gap():
    """A token of the model's stands behind an added one."""
    backend = tokenizers.Tokenizer(models.WordLevel({"<unk>": 0, "a": 1, "b": 9}, "<unk>"))
    backend.add_special_tokens(["<pad>"])
    return trim(network(kzoo.Tokenizer(backend)), ["b"])


ERRORS = {
    "no text": (of_bytes([]), "An empty list came"),
    "empty texts": (of_bytes(["", ""]), "2 texts of which the tokenizer makes no token"),
    "no strings": (of_bytes([1]), "a string was expected"),
    "no tokenizer": (lambda: trim(noisy("bert"), ["a"]), "without a tokenizer"),
    "too small": (of_bytes(size=200), "size=200 .* of which 26[0-9] tokens always stay"),
    "no count": (of_bytes(least=0), "least=0; expected"),
    "no size": (of_bytes(size=0.5), "size=0.5; expected"),
    "another alphabet": (of_bytes(alphabet="all"), "expected vocabulary or corpus"),
    "pictures": (lambda: trim(noisy("vit"), ["a"]), "a Vit, which reads no tokens"),
    "no model": (lambda: trim("bert", ["a"]), "Got a str to trim; expected a task or a network"),
    "padding that moves": (
        lambda: trim(network(special_last(), "roberta"), LINES[:9]),
        "position/embeddings of .* rows .* which moves; expected padding to stand",
    ),
    "a gap": (gap, "leave no gaps"),
}


@pytest.mark.parametrize("case", ERRORS)
def test_what_cannot_be_trimmed_is_one_sentence(case):
    run, message = ERRORS[case]
    with pytest.raises(kzoo.KzooError, match=message):
        run()
