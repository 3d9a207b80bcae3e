"""Tokenization: the ids, frames and offsets that models were trained with, and clear errors."""

import base64
import gzip
import json
import random
import shutil
import struct
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import tokenizers
from tokenizers import models, normalizers
from tokenizers.pre_tokenizers import (
    ByteLevel,
    Digits,
    Metaspace,
    Sequence,
    Split,
    WhitespaceSplit,
)

from kzoo.errors import KzooError
from kzoo.text import Tokenizer

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason="the shared data is not here")

# The tokenizers library would end the process over this one.
MERGED_WITHOUT_PREFIX = b"""{"version": "1.0", "added_tokens": [], "model": {"type": "BPE",
 "continuing_subword_prefix": "##", "vocab": {"a": 0, "b": 1, "ab": 2}, "merges": [["a", "b"]]}}"""
VOCABULARY = """
    [PAD] [UNK] [CLS] [SEP] [MASK] a b the cat sat on mat s ##s ##at c ##c cafe , . ! ' 中 文
    un ##want ##ed 2 ##0 ##2 hello world
"""


@pytest.fixture
def bert(tmp_path):
    folder = tmp_path / "bert"
    folder.mkdir()
    (folder / "vocab.txt").write_text("\n".join(VOCABULARY.split()) + "\n", encoding="utf-8")
    return Tokenizer.load(folder)


@pytest.fixture
def roberta(tmp_path):
    """Byte-level BPE with RoBERTa's frame: every byte a piece, and a few merges."""
    folder = tmp_path / "roberta"
    folder.mkdir()
    alphabet = sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet())
    merges = ["h e", "l l", "he ll", "hell o", "Ġ hello", "c a", "ca t", "Ġ cat"]
    words = ["<s>", "<pad>", "</s>", "<unk>", *alphabet]
    words += [merge.replace(" ", "") for merge in merges] + ["<mask>"]
    (folder / "vocab.json").write_text(json.dumps({w: i for i, w in enumerate(words)}))
    (folder / "merges.txt").write_text("#version: 0.2\n" + "\n".join(merges) + "\n")
    return Tokenizer.load(folder)


@pytest.fixture(params=["bert", "roberta"])
def either(request):
    return request.getfixturevalue(request.param)


def library(tokenizer):
    """A fresh copy of the library's own tokenizer, to compare with."""
    return tokenizers.Tokenizer.from_str(tokenizer.to_json())


# -- ids -------------------------------------------------------------------------------------


@needs_data
def test_squad_questions_give_the_published_ids():
    tokenizer = Tokenizer.load(DATA / "tokenizers" / "bert-base-uncased" / "vocab.txt")
    vectors = DATA / "tokenizer_vectors"
    with gzip.open(vectors / "bert_uncased_question_ids.json.gz") as file:
        ids = json.load(file)
    with gzip.open(vectors / "bert_uncased_question_tokens.json.gz") as file:
        tokens = json.load(file)
    with gzip.open(DATA / "squad_v1" / "dev-v1.1.json.gz") as file:
        paragraphs = [p for article in json.load(file)["data"] for p in article["paragraphs"]]
    questions = [question["question"] for p in paragraphs for question in p["qas"]]
    assert len(questions) == len(ids) == len(tokens) == 10570
    assert questions == [entry["original"] for entry in tokens]
    rows = tokenizer.encode(questions)["token_ids"]
    assert [row[1:-1] for row in rows] == ids
    pieces = [[tokenizer.id_to_token(number) for number in row[1:-1]] for row in rows]
    assert pieces == [entry["wordpiece"] for entry in tokens]
    assert {(row[0], row[-1]) for row in rows} == {(101, 102)}


@needs_data
def test_gpt2_text_gives_the_published_pieces(tmp_path):
    shutil.copy(DATA / "tokenizers" / "gpt2" / "merges.txt", tmp_path)
    with gzip.open(DATA / "tokenizers" / "gpt2" / "vocab.json.gz") as file:
        (tmp_path / "vocab.json").write_bytes(file.read())
    tokenizer = Tokenizer.load(tmp_path)
    vector = json.loads((DATA / "tokenizer_vectors" / "gpt2_encoded.json").read_text("utf-8"))
    assert tokenizer.encode([vector["text"]])["token_ids"] == [vector["token_ids"]]
    assert tokenizer.tokens(vector["text"]) == vector["bpe_tokens"]
    assert tokenizer.decode(vector["token_ids"]) == vector["text"]


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("The cat sat.", "the cat s ##at ."),
        ("Café", "cafe"),
        ("Cafe\u0301\u200b!", "cafe !"),
        ("中文cat", "中 文 cat"),
        ("unwanted 2020", "un ##want ##ed 2 ##0 ##2 ##0"),
        ("cat's mat \U0001f600", "cat ' s mat [UNK]"),
        ("a[MASK]b", "a [MASK] b"),
        ("a" * 101, "[UNK]"),
        ("", ""),
        (" \t\n\x00\u00ad", ""),
    ],
)
def test_wordpiece_of_a_vocab_file(bert, text, tokens):
    assert bert.tokens(text) == ["[CLS]", *tokens.replace("s ##at", "sat").split(), "[SEP]"]


def test_byte_level_of_vocab_and_merges(roberta):
    assert roberta.tokens("hello cat") == ["<s>", "hello", "Ġcat", "</s>"]
    assert roberta.tokens("cat <mask>") == ["<s>", "cat", "<mask>", "</s>"]
    row = roberta.encode(["hello"], [" cat"])
    assert roberta.tokens("hello", " cat") == ["<s>", "hello", "</s>", "</s>", "Ġcat", "</s>"]
    assert row["segment_ids"] == [[0] * 6]
    assert not roberta.has_segments
    assert (roberta.start_id, roberta.padding_id, roberta.separator_id) == (0, 1, 2)
    assert roberta.decode(roberta.encode(["hello é\n"])["token_ids"][0]) == "hello é\n"


@pytest.mark.parametrize(
    ("pieces", "config", "tokens"),
    [
        (["a", "É", "e", "é"], None, ["[UNK]", "É", "é"]),
        (["a", "É", "e", "é"], {"do_lower_case": True}, ["a", "e", "e"]),
        (["a", "É", "e", "é"], {"do_lower_case": True, "strip_accents": False}, ["a", "é", "é"]),
        (["a", "e", "é", "[Q]", "<S>"], None, ["a", "e", "e"]),
        (["a", "e", "é"], {"do_lower_case": False}, ["[UNK]", "[UNK]", "é"]),
    ],
)
def test_case_follows_the_config_or_else_the_vocabulary(tmp_path, pieces, config, tokens):
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    (tmp_path / "vocab.txt").write_text("\r\n".join([*special, *pieces]), encoding="utf-8")
    if config is not None:
        (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
    tokenizer = Tokenizer.load(tmp_path / "vocab.txt")
    assert tokenizer.tokens("A É é")[1:-1] == tokens
    assert tokenizer.mask_id is None


# -- frames, truncation, padding -------------------------------------------------------------


def test_pairs_are_cut_as_the_library_cuts_them(either):
    chance = random.Random(3)
    words = ["hello", "cat", "a", "sat", "mat", "unwanted"]
    texts = [" ".join(chance.choices(words, k=chance.randrange(9))) for _ in range(60)]
    pairs = [" ".join(chance.choices(words, k=chance.randrange(9))) for _ in range(60)]
    other = library(either)
    for length in (6, 7, 8, 11, 64):
        other.enable_truncation(length)
        single = other.encode_batch(texts)
        double = other.encode_batch(list(zip(texts, pairs, strict=True)))
        for given, expected in (
            (either.encode(texts, None, length, offsets=True), single),
            (either.encode(texts, pairs, length, offsets=True), double),
        ):
            assert given["token_ids"] == [e.ids for e in expected]
            assert given["segment_ids"] == [e.type_ids for e in expected]
            assert given["padding_mask"] == [[1] * len(e.ids) for e in expected]
            for row, encoding in zip(given["offsets"], expected, strict=True):
                special = encoding.special_tokens_mask
                want = zip(encoding.offsets, special, strict=True)
                assert row == [(-1, -1) if skip else span for span, skip in want]


@pytest.mark.parametrize(
    ("padding", "multiple", "length"), [("longest", 1, 5), ("longest", 4, 8), (7, 1, 7), (9, 8, 16)]
)
def test_padding(either, padding, multiple, length):
    texts = ["hello hello cat", "", "cat"]
    ragged = either.encode(texts, max_length=5)
    assert [len(row) for row in ragged["token_ids"]][1] == 2
    batch = either.encode(texts, None, 5, padding, multiple, offsets=True)
    pads = {"token_ids": either.padding_id, "padding_mask": 0, "segment_ids": 0}
    for name, pad in pads.items():
        assert batch[name].shape == (3, length)
        assert batch[name].dtype == np.int32
        for row, filled in zip(ragged[name], batch[name].tolist(), strict=True):
            assert filled == row + [pad] * (length - len(row))
    assert (batch["offsets"][batch["padding_mask"] == 0] == -1).all()


def test_offsets_are_characters_of_the_text(either):
    text = "  hello\u0301 中 cat\U0001f600 cat"
    spans = either.offsets(text)
    assert spans[0] == spans[-1] == (-1, -1)
    assert spans == either.encode([text], offsets=True)["offsets"][0]
    assert text[slice(*spans[-2])] == "cat"
    assert all(0 <= start <= end <= len(text) for start, end in spans[1:-1])
    assert either.offsets("cat", "hello", max_length=64)[-2] == (0, 5)


def test_windows_are_the_librarys_overflow(either):
    chance = random.Random(5)
    words = ["hello", "cat", "a", "sat", "mat", "unwanted"]
    contexts = [" ".join(chance.choices(words, k=k)) for k in (0, 1, 9, 30, 31, 90)]
    questions = ["hello cat", "a", "", "cat cat", "hello", "a cat"]
    other = library(either)
    for max_length, stride in ((16, 4), (20, 0), (24, 9)):
        batch = either.windows(questions, contexts, max_length, stride)
        rows, samples, spans = [], [], []
        for sample, pair in enumerate(zip(questions, contexts, strict=True)):
            other.enable_truncation(max_length, stride=stride, strategy="only_second")
            first = other.encode(*pair)
            for encoding in (first, *first.overflowing):
                rows.append(encoding.ids)
                samples.append(sample)
                where = zip(encoding.offsets, encoding.sequence_ids, strict=True)
                spans.append([span if part == 1 else (-1, -1) for span, part in where])
        assert batch["token_ids"] == rows
        assert batch["sample_ids"] == samples
        assert batch["offsets"] == spans
    long = either.windows(["cat " * 50], ["hello " * 50], 20, 2, "longest")
    assert long["token_ids"].shape[1] == 20  # A question that would fill the row is cut.
    assert long["sample_ids"].dtype == np.int32
    question = len(either.tokens("cat")) - either.count_special_tokens()
    step = 20 - either.count_special_tokens(True) - question - 2
    starts = either.windows(["cat"], [contexts[-1]], 20, 2)["starts"]
    assert len(starts) > 3 and starts == [step * row for row in range(len(starts))]
    alone = either.windows([contexts[-1]], None, 16, 4)
    covered = {span for row in alone["offsets"] for span in row} - {(-1, -1)}
    assert covered == set(either.offsets(contexts[-1])[1:-1])


def test_words_keep_their_numbers(either):
    words = [["hello", "unwanted", "\u200b" if either.has_segments else "a", "cat"], []]
    batch = either.encode_words(words, padding="longest")
    row = batch["token_ids"][0].tolist()
    # A byte-level tokenizer sees each word as it stands within a sentence.
    joined = " ".join(words[0]) if either.has_segments else " " + " ".join(words[0])
    count = len(either.tokens(joined))
    assert row[:count] == either.encode([joined])["token_ids"][0]
    known = batch["word_ids"][0].tolist()
    assert known[0] == known[count - 1] == -1
    assert known[1 : count - 1] == sorted(known[1 : count - 1])
    assert set(known) - {-1} == ({0, 1, 3} if either.has_segments else {0, 1, 2, 3})
    assert batch["padding_mask"].sum(-1).tolist() == [count, 2]
    cut = either.encode_words(words, max_length=4)
    assert cut["token_ids"][0] == [*row[:3], either.separator_id]
    assert cut["word_ids"][0] == [*known[:3], -1]


ISOLATED = tokenizers.Regex(r"[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+|\s+")


def byte_level(*before, prefix=False, regex=True):
    last = ByteLevel(add_prefix_space=prefix, use_regex=regex)
    return Sequence([*before, last]) if before else last


@pytest.mark.parametrize(
    ("pre_tokenizer", "normalizer"),
    [
        (byte_level(), None),
        (byte_level(prefix=True), None),
        (byte_level(Digits(individual_digits=True)), None),
        (byte_level(Digits(individual_digits=True), prefix=True), None),
        (byte_level(Split(ISOLATED, "isolated"), regex=False), None),
        (byte_level(Split(ISOLATED, "isolated"), prefix=True, regex=False), None),
        (byte_level(), normalizers.NFC()),
        (byte_level(), normalizers.Strip()),
        (Metaspace(), None),
        (Metaspace(prepend_scheme="first"), None),
        (Metaspace(prepend_scheme="never"), None),
        (Metaspace(prepend_scheme="always", split=False), None),
        (Sequence([WhitespaceSplit(), Metaspace()]), None),
        (None, normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])),
        (Split(" ", "merged_with_previous"), normalizers.Replace(" ", "▁")),
    ],
)
def test_words_have_the_space_that_a_sentence_has_before_them(pre_tokenizer, normalizer):
    pieces = ["c", "a", "t", "i", "n", "Ġ", "▁", "ca", "cat", "in", "Ġcat", "Ġin", "▁cat", "▁in"]
    merges = ["c a", "ca t", "i n", "Ġ cat", "Ġ in", "▁ cat", "▁ in"]
    model = tokenizers.models.BPE(
        {piece: i for i, piece in enumerate(pieces)}, [tuple(merge.split()) for merge in merges]
    )
    backend = tokenizers.Tokenizer(model)
    if pre_tokenizer:
        backend.pre_tokenizer = pre_tokenizer
    if normalizer:
        backend.normalizer = normalizer
    tokenizer = Tokenizer(backend)
    batch = tokenizer.encode_words([["cat", " in ", "", "cat"]])
    tokens = [tokenizer.id_to_token(number)[1:] for number in batch["token_ids"][0]]
    marks = {tokenizer.id_to_token(number)[0] for number in batch["token_ids"][0]}
    assert tokens == ["cat", "in", "cat"] and marks in ({"Ġ"}, {"▁"})
    assert batch["word_ids"][0] == [0, 1, 3]
    sentence = tokenizer.encode(["in cat in cat"])["token_ids"][0]
    assert sentence[1:] == batch["token_ids"][0]


def test_decode(bert):
    batch = bert.encode(["The cat sat, unwanted!", "a"], padding="longest")["token_ids"]
    assert bert.decode(batch) == ["the cat sat, unwanted!", "a"]
    assert bert.decode(batch[1], skip_special=False).startswith("[CLS] a [SEP] [PAD]")
    assert bert.decode([]) == ""


# -- files -----------------------------------------------------------------------------------


def test_save_and_load(either, tmp_path):
    saved = either.save(tmp_path / "preset")
    assert [path.name for path in saved.iterdir()] == ["tokenizer.json"]
    again = Tokenizer.load(saved)
    assert again == either
    assert again == Tokenizer.load(saved / "tokenizer.json")
    assert again.encode(["hello cat"]) == either.encode(["hello cat"])
    assert again.vocabulary == either.vocabulary
    assert again.vocabulary_size == max(either.vocabulary.values()) + 1


def test_stored_truncation_and_padding_are_off(bert, tmp_path):
    other = library(bert)
    other.enable_truncation(4)
    other.enable_padding(length=12)
    other.save(str(tmp_path / "tokenizer.json"))
    tokenizer = Tokenizer.load(tmp_path)
    assert tokenizer == bert
    assert len(tokenizer.encode(["cat cat cat cat"])["token_ids"][0]) == 6


def test_special_tokens_of_unusual_names_survive(tmp_path):
    words = {"_": 0, "?": 1, "hello": 2, "#": 3}
    backend = tokenizers.Tokenizer(tokenizers.models.WordLevel(words, unk_token="?"))
    backend.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    backend.save(str(tmp_path / "tokenizer.json"))
    names = {"pad_token": "_", "unk_token": {"content": "?"}, "mask_token": "#"}
    (tmp_path / "special_tokens_map.json").write_text(json.dumps(names))
    tokenizer = Tokenizer.load(tmp_path)
    again = Tokenizer.load(tokenizer.save(tmp_path / "again"))
    assert again == tokenizer
    for one in (tokenizer, again):
        assert (one.padding_id, one.unknown_id, one.mask_id, one.start_id) == (0, 1, 3, None)


def test_no_tensorflow_or_keras_is_imported():
    script = "import sys, kzoo.text; sys.exit(bool({'tensorflow', 'keras'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", script]).returncode == 0


# -- bad input -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda t: t.encode("hello"), ["texts is str 'hello'", "list of strings"]),
        (lambda t: t.encode([]), ["texts is an empty list"]),
        (lambda t: t.encode(["a", 3]), ["texts[1] is int 3"]),
        (lambda t: t.encode(["a", None]), ["texts[1] is NoneType None"]),
        (lambda t: t.encode(["a", b"b"]), ["texts[1] is bytes", "UTF-8"]),
        (lambda t: t.encode(["a"], [["b"]]), ["pairs[0] is list"]),
        (lambda t: t.encode(["a", "b"], ["c"]), ["2 texts", "1 pairs"]),
        (lambda t: t.encode(["a", "b\ud800"]), ["texts[1]", "surrogate at character 1"]),
        (lambda t: t.encode(["a"], None, 2), ["max_length is 2", "at least 3"]),
        (lambda t: t.encode(["a"], None, 8.0), ["max_length is 8.0"]),
        (lambda t: t.encode(["a"], padding="max"), ["padding is 'max'"]),
        (lambda t: t.encode(["a"], padding=True), ["padding is True"]),
        (lambda t: t.encode(["a", "a b cat"], padding=4), ["Row 1 has 5", "max_length=4"]),
        (lambda t: t.encode(["a"], pad_to_multiple=0), ["pad_to_multiple is 0"]),
        (lambda t: t.encode_words(["a b"]), ["words[0] is str"]),
        (lambda t: t.encode_words([]), ["words is an empty list"]),
        (lambda t: t.windows(["a"], None, 8, 6), ["stride 6", "0 to 5"]),
        (lambda t: t.windows(["a"], ["b", "c"]), ["1 texts", "2 pairs"]),
        (lambda t: t.decode([1, 9999]), ["9999", "0 to"]),
        (lambda t: t.decode([[1.5]]), ["1.5"]),
        (lambda t: t.token_to_id("zebra"), ["'zebra'"]),
    ],
)
def test_bad_calls_say_what_came(bert, call, words):
    with pytest.raises(KzooError) as caught:
        call(bert)
    assert all(word in str(caught.value) for word in words), caught.value


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("vocab.txt", b"", ["empty"]),
        ("vocab.txt", b"[PAD]\n[UNK]\n[CLS]\n[SEP]\na\nb\na\n", ["Line 7", "'a' of line 5"]),
        ("vocab.txt", b"[PAD]\n[UNK]\n[CLS]\n[SEP]\n\na\n", ["Line 5", "is empty"]),
        ("vocab.txt", b"[PAD]\n[UNK]\na\n", ["lacks [CLS], [SEP]"]),
        ("vocab.txt", b"[PAD]\n\xff\xfe\n", ["not UTF-8"]),
        ("vocab.json", b"{}", ["merges.txt is missing"]),
        ("tokenizer.json", b'{"model": ', ["not a readable tokenizer.json"]),
        ("tokenizer.json", b'{"version": "1.0"}', ["not a readable tokenizer.json"]),
        ("tokenizer.json", MERGED_WITHOUT_PREFIX, ["merge 'a b'", "without the prefix '##'"]),
        ("tokenizer.json", b"\xff\xfe", ["not UTF-8"]),
        ("spec.json", b"{}", ["no tokenizer"]),
    ],
)
def test_damaged_files_are_named(tmp_path, name, content, words):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(KzooError) as caught:
        Tokenizer.load(tmp_path)
    assert all(word in str(caught.value) for word in [str(tmp_path), *words]), caught.value


def charsmap(units=(), replacements=b"b\0"):
    """A table of replaced characters, in base64."""
    trie = struct.pack(f"<{len(units)}I", *units)
    return base64.b64encode(struct.pack("<I", len(trie)) + trie + replacements).decode()


def trie(onward=511, leaf=0):
    """A trie that replaces "a" by what stands at the place `leaf`; its leaf lies at `onward`."""
    units = [0] * 512
    units[0] = 256 << 10
    units[256 ^ ord("a")] = ((256 ^ ord("a") ^ onward) << 10) | 1 << 8 | ord("a")
    units[511] = leaf
    return units


def replacing(normalizer):
    parts = json.loads(tokenizers.Tokenizer(models.WordLevel({"a": 0, "b": 1}, "b")).to_str())
    return Tokenizer.from_json(json.dumps({**parts, "normalizer": normalizer}))


def test_a_sound_charsmap_is_read():
    tokenizer = replacing({"type": "Precompiled", "precompiled_charsmap": charsmap(trie())})
    assert tokenizer.encode(["a"])["token_ids"] == [[1]]


@pytest.mark.parametrize(
    "table",
    [
        "", "AA==", "!", charsmap(), charsmap([0]), charsmap(trie()[:256]),
        charsmap(trie(onward=600)), charsmap(trie(leaf=3)), charsmap(trie(), b"\xff\0"),
        charsmap(trie(leaf=1), "é\0".encode()),
    ],
)  # fmt: skip
def test_a_damaged_charsmap_is_one_sentence(table, capfd):
    with pytest.raises(KzooError, match="precompiled_charsmap"):
        replacing({"type": "Precompiled", "precompiled_charsmap": table})
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("pattern", ["(a+)+$", "(?:a|aa)+$", "(a*a*)*$"])
def test_a_pattern_that_never_ends_is_one_sentence(pattern, capfd):
    tokenizer = replacing({"type": "Replace", "pattern": {"Regex": pattern}, "content": "x"})
    text = "a" * 60 + "c"
    calls = [
        lambda: tokenizer.encode([text]),
        lambda: tokenizer.encode([text], offsets=True),
        lambda: tokenizer.encode_words([[text]]),
    ]
    for call in calls:
        with pytest.raises(KzooError, match="could not encode the text"):
            call()
    assert capfd.readouterr() == ("", "")
    print("heard", file=sys.__stderr__, flush=True)
    assert capfd.readouterr().err == "heard\n"


@pytest.mark.parametrize("unit", ["cat ", "x", "[MASK]", " ", "中", "\u0301", "é"])
def test_a_long_text_is_cut_in_time(either, unit):
    text = (unit * 100_000)[:100_000]
    start = time.process_time()
    rows = either.encode([text], [text], 32, "longest")["token_ids"]
    assert rows.shape[1] <= 32
    assert time.process_time() - start < 5  # Quadratic work would take minutes.


# -- what no text shows ----------------------------------------------------------------------


def letters(post_processor):
    """A tokenizer whose vocabulary has no letter but b, and no token for what it lacks."""
    backend = tokenizers.Tokenizer(tokenizers.models.BPE({"<s>": 0, "</s>": 1, "b": 2}, []))
    if post_processor is not None:
        backend.post_processor = post_processor
    return Tokenizer(backend)


def test_special_tokens_are_read_off_the_template_and_not_off_a_letter():
    template = tokenizers.processors.TemplateProcessing(
        single="<s> $A </s>",
        pair="<s> $A </s> $B:1 </s>:1",
        special_tokens=[("<s>", 0), ("</s>", 1)],
    )
    framed, plain = letters(template), letters(None)
    assert framed.encode(["bb"])["token_ids"] == [[0, 2, 2, 1]]
    assert framed.encode(["b"], ["b"])["segment_ids"] == [[0, 0, 0, 1, 1]]
    assert (framed.count_special_tokens(), framed.count_special_tokens(pair=True)) == (2, 3)
    assert plain.encode(["b"], ["bb"])["segment_ids"] == [[0, 1, 1]]  # as the library has it
    assert framed.has_segments and plain.count_special_tokens() == 0


def test_a_text_without_a_token_is_a_sentence_where_a_model_would_run():
    tokenizer = letters(None)
    assert tokenizer.encode(["", "b"])["token_ids"] == [[], [2]]  # Nothing runs on this yet.
    for texts, padding in ((["b", "xyz"], "longest"), (["b", ""], 8)):
        with pytest.raises(KzooError, match="^Text 1 has no token that the model could read: give"):
            tokenizer.encode(texts, padding=padding)
