"""Models of SentencePiece, read as the classes of transformers that are named beside them read."""

import json
import shutil
from pathlib import Path

import pytest

from kzoo import KzooError, TargetTokenizer, Tokenizer
from kzoo.generation.rewriter import source_ids
from kzoo.text import sentencepiece

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
PIECES = {"▁": -2.0, "▁the": -3.0, "▁cat": -3.5, "a": -4.0, "t": -4.1, "s": -4.2, "▁sat": -4.5}
TEXTS = ["the cat sat", " the  cats ", "", "猫 the 猫犬", "x▁cat", "tat</s> sat"]
NORMAL, UNKNOWN, CONTROL = sentencepiece.NORMAL, sentencepiece.UNKNOWN, sentencepiece.CONTROL


def write_model(path, special, pieces=PIECES, **trainer):
    """A model with special pieces {piece: type} in front."""
    model = sentencepiece._message()()
    for piece, kind in special.items():
        model.pieces.add(piece=piece, type=kind)
    for piece, score in pieces.items():
        model.pieces.add(piece=piece, score=score, type=NORMAL)
    model.trainer_spec.model_type = 1
    for name, value in trainer.items():
        setattr(model.trainer_spec, name, value)
    model.normalizer_spec.name = "identity"
    path.write_bytes(model.SerializeToString())


def write_class(folder, name, **settings):
    settings = {"tokenizer_class": name, **settings}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))


def t5(folder):
    special = {"<pad>": CONTROL, "</s>": CONTROL, "<unk>": UNKNOWN}
    ids = {"pad_id": 0, "eos_id": 1, "unk_id": 2, "bos_id": -1}
    write_model(folder / "spiece.model", special, **ids)
    return folder


def mbart(folder, name):
    special = {"<unk>": UNKNOWN, "<s>": CONTROL, "</s>": CONTROL}
    write_model(folder / "sentencepiece.bpe.model", special)
    write_class(folder, name, src_lang="de_DE")
    return folder


def marian(folder, languages=()):
    """The target's model has 猫, which the vocabulary has too; it lacks the source's ▁sat."""
    target = {"▁": -2.0, "▁le": -3.0, "▁chat": -3.5, "a": -4.0, "猫": -4.1, "s": -5.0}
    for name, pieces in (("source", PIECES), ("target", target)):
        file = sentencepiece.written(pieces.items(), "", "<unk>")
        (folder / f"{name}.spm").write_bytes(file)
    names = ["</s>", "<unk>", *dict.fromkeys([*target, *PIECES])]
    names = [name for name in names if name != "▁sat"] + [*languages, "<pad>"]
    ids = {name: number for number, name in enumerate(names)}
    (folder / "vocab.json").write_text(json.dumps(ids))
    write_class(folder, "MarianTokenizer")
    return folder


def test_t5s_has_sentinels_behind_its_pieces(tmp_path):
    tokenizer = Tokenizer.load(t5(tmp_path))  # by the ids of its special tokens alone
    assert tokenizer.vocabulary_size == 3 + len(PIECES) + 100
    assert tokenizer.token_to_id("<extra_id_0>") == tokenizer.vocabulary_size - 1
    (row,) = tokenizer.encode(["the <extra_id_0> cat"])["token_ids"]
    assert row == [4, tokenizer.vocabulary_size - 1, 5, 1]
    assert (tokenizer.padding_id, tokenizer.end_id, tokenizer.unknown_id) == (0, 1, 2)
    assert tokenizer.decode(row) == "the cat"
    write_class(tmp_path, "T5Tokenizer", extra_ids=2)
    assert Tokenizer.load(tmp_path).vocabulary_size == 3 + len(PIECES) + 2


@pytest.mark.parametrize(
    ("name", "languages", "frame"),
    [
        ("MBartTokenizer", 25, lambda ids, end, code: [*ids, end, code]),
        ("MBart50Tokenizer", 52, lambda ids, end, code: [code, *ids, end]),
    ],
)
def test_mbarts_is_numbered_as_fairseq_does(name, languages, frame, tmp_path):
    tokenizer = Tokenizer.load(mbart(tmp_path, name))
    first = 4 + len(PIECES)
    assert tokenizer.token_to_id("ar_AR") == first
    assert tokenizer.token_to_id("<mask>") == first + languages
    assert tokenizer.vocabulary_size == first + languages + 1
    assert [tokenizer.token_to_id(t) for t in ("<s>", "<pad>", "</s>", "<unk>")] == [0, 1, 2, 3]
    (row,) = tokenizer.encode(["the cat猫"])["token_ids"]
    assert row == frame([5, 6, 3], 2, tokenizer.token_to_id("de_DE"))


def test_two_models_number_their_pieces_by_one_vocabulary(tmp_path):
    source, target = (kind.load(marian(tmp_path)) for kind in (Tokenizer, TargetTokenizer))
    ids = json.loads((tmp_path / "vocab.json").read_text())
    assert source.vocabulary == target.vocabulary == ids
    assert source.vocabulary_size == len(ids)
    # ▁sat is a piece, and none of the vocabulary; 猫 is none of the source's, and has an id.
    expected = ["▁the", "<unk>", "▁", "猫", "▁", "<unk>", "</s>"]
    (row,) = source.encode(["the sat 猫 猫犬"])["token_ids"]
    assert row == [ids[piece] for piece in expected]
    (row,) = target.encode(["le chats the"])["token_ids"]
    assert row[:3] == [ids[piece] for piece in ("▁le", "▁chat", "s")]
    assert target.decode([ids[p] for p in ("▁", "▁the", "▁chat", "<unk>", "s")]) == "the chats"
    again = Tokenizer.from_json(source.to_json())
    assert again.bare_ids(TEXTS) == source.bare_ids(TEXTS)
    (tmp_path / "other").mkdir()
    source.save_two(tmp_path / "other", target)
    for kind, before in ((Tokenizer, source), (TargetTokenizer, target)):
        assert kind.load(tmp_path / "other").bare_ids(TEXTS) == before.bare_ids(TEXTS)


def test_a_source_asks_for_a_language_that_there_is(tmp_path):
    tokenizer = Tokenizer.load(marian(tmp_path, [">>deu<<", ">>fra<<"]))
    ids = tokenizer.vocabulary
    rows = source_ids(tokenizer, [">>fra<< the cat", ">>deu<<the"])
    assert rows[0] == [ids[piece] for piece in (">>fra<<", "▁the", "▁cat", "</s>")]
    assert rows[1] == [ids[piece] for piece in (">>deu<<", "▁the", "</s>")]
    with pytest.raises(KzooError, match="Got >>xyz<< before source 1; .*: >>deu<<, >>fra<<"):
        source_ids(tokenizer, ["the", ">>xyz<< the"])


@pytest.mark.parametrize(
    ("spoil", "match"),
    [
        (lambda at: (at / "target.spm").unlink(), r"target\.spm is missing: a tokenizer of Marian"),
        (lambda at: (at / "source.spm").unlink(), r"source\.spm is missing"),
        (lambda at: (at / "vocab.json").write_text('{"a": 1}'), "doesn't number its pieces from 0"),
        (lambda at: (at / "vocab.json").write_text('{"a": 0}'), "lacks </s>, <unk>, <pad>"),
        (lambda at: (at / "source.spm").write_bytes(b"none"), "not a model of SentencePiece"),
        (lambda at: write_model(at / "source.spm", {}, model_type=2), "a model of BPE; a Unigram"),
        (
            lambda at: write_model(at / "source.spm", {}, {"x": -1.0, "y": -2.0, "s": -3.0}),
            "lacks 2 of the 3 pieces of source.spm: take the files of one model",
        ),
        (lambda at: write_class(at, "MarianTokenizer", separate_vocabs=True), "separate_vocabs"),
    ],
)
def test_files_that_are_no_two_models_are_one_sentence(spoil, match, tmp_path):
    spoil(marian(tmp_path))
    with pytest.raises(KzooError, match=match):
        Tokenizer.load(tmp_path)


def xlnet(folder):
    special = {
        "<unk>": UNKNOWN,
        **dict.fromkeys(["<s>", "</s>", "<cls>", "<sep>", "<pad>"], CONTROL),
    }
    special |= dict.fromkeys(["<mask>", "<eod>", "<eop>"], CONTROL)
    write_model(folder / "spiece.model", special)
    (folder / "config.json").write_text(json.dumps({"model_type": "xlnet"}))
    return folder


def test_xlnets_has_its_class_token_last_and_a_segment_for_it(tmp_path):
    tokenizer = Tokenizer.load(xlnet(tmp_path))
    ids = tokenizer.vocabulary
    pair = tokenizer.encode(["the cät"], ["``sat''"])
    first, second = [ids["▁the"], ids["▁cat"]], tokenizer.bare_ids(['"sat"'])[0]
    sep, cls = ids["<sep>"], ids["<cls>"]
    assert pair["token_ids"] == [[*first, sep, *second, sep, cls]]
    assert pair["segment_ids"] == [[0, 0, 0, *[1] * len(second), 1, 2]]
    assert tokenizer.encode(["the [MASK]<mask>"])["token_ids"][0][-3:] == [ids["<mask>"], sep, cls]
    assert (tokenizer.padding_id, tokenizer.mask_id) == (ids["<pad>"], ids["<mask>"]) == (6 - 1, 6)
    assert ids["▁the"] != tokenizer.encode(["THE"])["token_ids"][0][0]  # Case is kept,
    write_class(tmp_path, "XLNetTokenizer", do_lower_case=True)
    assert Tokenizer.load(tmp_path).encode(["THE"])["token_ids"][0][0] == ids["▁the"]  # or not.


@pytest.mark.parity
def test_xlnets_ids_are_those_of_transformers(tmp_path):
    """Of the published model as well, where it is here."""
    transformers = pytest.importorskip("transformers")
    published = DATA / "tokenizers" / "xlnet" / "spiece.model"
    firsts = ["Ünïted  Kingdom, ``no'' more", "the <mask> cat.", "1,234 中文 Ａ ﬁ"]
    given = firsts, ["x", "the mäsk", "so"]
    for model in (xlnet(tmp_path) / "spiece.model", published):
        if not model.is_file():
            continue
        folder = tmp_path / f"of_{model.stat().st_size}"
        folder.mkdir()
        shutil.copy(model, folder / "spiece.model")
        write_class(folder, "XLNetTokenizer")
        theirs = transformers.XLNetTokenizer.from_pretrained(folder)
        for texts in (given, given[:1]):
            expected = theirs(*texts, return_token_type_ids=True)
            found = Tokenizer.load(folder).encode(*texts)
            assert found["token_ids"] == expected.input_ids
            assert found["segment_ids"] == expected.token_type_ids


def test_a_model_that_nothing_is_said_of_is_one_sentence(tmp_path):
    write_model(tmp_path / "spiece.model", {"<unk>": UNKNOWN})
    with pytest.raises(KzooError, match="a model without a class; .*T5Tokenizer"):
        Tokenizer.load(tmp_path)
    write_class(tmp_path, "CamembertTokenizer")
    with pytest.raises(KzooError, match="a model of a CamembertTokenizer"):
        Tokenizer.load(tmp_path)


@pytest.mark.parity
def test_ids_and_texts_are_those_of_transformers(tmp_path):
    transformers = pytest.importorskip("transformers")
    pytest.importorskip("sentencepiece")
    folders = [tmp_path / name for name in ("t5", "marian")]
    for folder in folders:
        folder.mkdir()
    theirs = transformers.T5Tokenizer.from_pretrained(t5(folders[0]))
    texts = [text for text in TEXTS if text]
    assert Tokenizer.load(folders[0]).encode(texts)["token_ids"] == theirs(texts).input_ids
    theirs = transformers.MarianTokenizer.from_pretrained(marian(folders[1], [">>fra<<"]))
    texts = [
        *texts[:-1],
        ">>fra<< the cat",
    ]  # transformers takes a </s> in a text for the special token, as kzoo does,
    assert Tokenizer.load(folders[1]).encode(texts)["token_ids"] == theirs(texts).input_ids
    written = theirs(text_target=texts).input_ids
    target = TargetTokenizer.load(folders[1])
    assert target.encode(texts)["token_ids"] == written
    for row in written:
        assert target.decode(row).rstrip(" ") == theirs.decode(row, skip_special_tokens=True)
