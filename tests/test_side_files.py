"""Files beside a tokenizer mean what transformers makes of them, and travel in tokenizer.json."""

import json

import pytest
import tokenizers
from tokenizers import AddedToken, models, normalizers, pre_tokenizers

from kzoo import KzooError, Tokenizer
from kzoo.text import side_files

PIECES = (
    "[PAD] [UNK] [CLS] [SEP] [MASK] a b c d e the cat sat café É CAT Cat ##s ##e ##1 ##] [ ] 1 "
    "世 界 世界 , . ! <pad> <unk> <s> </s>"
)
TEXTS = [
    "The cat sat, CAT Café É 世界.",
    "a [E1] b[E1]c [e1] the[E2] cat <ent> x<ent>y",
    " cat  [MASK] the <mask> a",
    "",
    "the cat sat. a b c d e the cat sat! 1 a b c",
]
E1 = {"content": "[E1]", "lstrip": False, "normalized": False, "rstrip": False}
E1 |= {"single_word": False, "special": True}
STRIPPING_MASK = {**E1, "content": "<mask>", "lstrip": True, "__type": "AddedToken"}
BERT = {"tokenizer_class": "BertTokenizer"}


def write(folder, **files):
    """Files of a folder, by their stems; a string is text, anything else JSON."""
    for stem, content in files.items():
        if isinstance(content, str):
            (folder / f"{stem}.txt").write_text(content, "utf-8")
        else:
            text = json.dumps(content, ensure_ascii=False)
            (folder / f"{stem}.json").write_text(text, "utf-8")


def word_pieces(folder):
    write(folder, config={"model_type": "bert"}, vocab="\n".join(PIECES.split()) + "\n")


def mpnet(folder):
    """MPNet's: a WordPiece between the tokens of RoBERTa."""
    names = {"[PAD]": "<pad>", "[CLS]": "<s>", "[SEP]": "</s>", "[MASK]": "<mask>"}
    vocabulary = dict.fromkeys(names.get(piece, piece) for piece in PIECES.split())
    write(folder, config={"model_type": "mpnet"}, vocab="\n".join(vocabulary) + "\n")


def word_piece_json(folder):
    """A cased tokenizer.json: its class builds it anew, lower-cased unless told."""
    write(folder, config={"model_type": "bert"})
    vocabulary = {piece: number for number, piece in enumerate(PIECES.split())}
    backend = tokenizers.Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    backend.normalizer = normalizers.BertNormalizer(lowercase=False)
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.post_processor = tokenizers.processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    backend.add_special_tokens(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"])
    backend.save(str(folder / "tokenizer.json"))


def byte_pairs(folder, model_type="roberta"):
    write(folder, config={"model_type": model_type})
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=320,
        special_tokens=special,
        show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )
    backend = tokenizers.Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.train_from_iterator(TEXTS * 9, trainer)
    backend.model.save(str(folder))


def byte_pair_json(folder):
    byte_pairs(folder)
    backend = tokenizers.Tokenizer(
        models.BPE.from_file(str(folder / "vocab.json"), str(folder / "merges.txt"))
    )
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = tokenizers.decoders.ByteLevel()
    backend.post_processor = tokenizers.processors.RobertaProcessing(("</s>", 2), ("<s>", 0))
    backend.add_special_tokens(["<s>", "<pad>", "</s>", "<unk>"])
    backend.add_special_tokens([AddedToken("<mask>", lstrip=True)])
    backend.save(str(folder / "tokenizer.json"))
    (folder / "vocab.json").unlink()
    (folder / "merges.txt").unlink()


def pieces(folder, model_type, special):
    """A Unigram tokenizer.json that knows no spaces yet: its class brings them."""
    write(folder, config={"model_type": model_type})
    words = ["▁the", "▁cat", "▁CAT", "▁Café", "▁caf", "▁É", "é", "▁a", "▁"]
    letters = sorted({c for text in TEXTS for c in text + text.lower()} - {" "})
    scored = [(piece, 0.0) for piece in special]
    scored += [(w, -2.0) for w in words] + [(c, -5.0) for c in letters if c not in words]
    backend = tokenizers.Tokenizer(models.Unigram(scored, special.index("<unk>")))
    backend.pre_tokenizer = pre_tokenizers.Metaspace()
    backend.add_special_tokens(special)
    backend.save(str(folder / "tokenizer.json"))


def albert(folder):
    pieces(folder, "albert", ["<pad>", "<unk>", "[CLS]", "[SEP]", "[MASK]"])


def bigbird(folder):
    pieces(folder, "big_bird", ["<pad>", "</s>", "<s>", "<unk>", "[CLS]", "[SEP]", "[MASK]"])


def longformer(folder):
    byte_pairs(folder, "longformer")


def xlm_roberta(folder):
    pieces(folder, "xlm-roberta", ["<s>", "<pad>", "</s>", "<unk>", "<mask>"])


def as_it_is(folder):
    word_piece_json(folder)
    write(folder, tokenizer_config={"tokenizer_class": "PreTrainedTokenizerFast"})


CASES = [
    (word_pieces, {}),
    (word_pieces, {"tokenizer_config": {**BERT, "do_lower_case": False}}),
    (word_pieces, {"tokenizer_config": {**BERT, "do_lower_case": True, "strip_accents": False}}),
    (word_pieces, {"tokenizer_config": {"do_lower_case": False, "strip_accents": True}}),
    (word_pieces, {"tokenizer_config": {"tokenize_chinese_chars": False}}),
    (word_pieces, {"added_tokens": {"[E1]": 35, "<ent>": 36}}),
    (word_pieces, {"added_tokens": {"<ent>": 36, "[e1]": 35}}),
    (word_pieces, {"special_tokens_map": {"additional_special_tokens": ["[E1]", "[E2]"]}}),
    (word_pieces, {"tokenizer_config": {"additional_special_tokens": ["[E1]"]}}),
    (word_pieces, {"tokenizer_config": {"extra_special_tokens": ["[E1]", "<ent>"]}}),
    (word_pieces, {"tokenizer_config": {"entity_token": "<ent>"}}),
    (
        word_pieces,
        {"added_tokens": {"[E1]": 35}, "special_tokens_map": {"mask_token": "[E1]"}},
    ),
    (
        word_pieces,
        {"special_tokens_map": {"mask_token": {**E1, "content": "[MASK]", "lstrip": True}}},
    ),
    (word_pieces, {"tokenizer_config": {**BERT, "added_tokens_decoder": {"35": E1}}}),
    (
        word_pieces,
        {
            "tokenizer_config": {
                "added_tokens_decoder": {
                    "36": {**E1, "content": "[E2]", "lstrip": True, "rstrip": True},
                    "35": {**E1, "special": False, "normalized": True},
                    "37": {**E1, "content": "<ent>", "single_word": True, "special": False},
                }
            }
        },
    ),
    (
        word_pieces,
        {
            "tokenizer_config": {
                "unk_token": "<unk>",
                "pad_token": "<pad>",
                "cls_token": "<s>",
                "sep_token": "</s>",
            }
        },
    ),
    (word_piece_json, {}),
    (word_piece_json, {"tokenizer_config": {**BERT, "do_lower_case": False}}),
    (word_piece_json, {"tokenizer_config": {"tokenizer_class": "BertTokenizerFast"}}),
    (word_piece_json, {"tokenizer_config": {"added_tokens_decoder": {"35": E1}}}),
    (word_piece_json, {"added_tokens": {"[E1]": 35}}),
    (word_piece_json, {"special_tokens_map": {"additional_special_tokens": ["[E1]"]}}),
    (as_it_is, {}),
    (as_it_is, {"added_tokens": {"[E1]": 35}}),
    (
        as_it_is,
        {
            "tokenizer_config": {
                "tokenizer_class": "PreTrainedTokenizerFast",
                "do_lower_case": True,
                "added_tokens_decoder": {"35": {**E1, "lstrip": True}},
            }
        },
    ),
    (as_it_is, {"tokenizer_config": {"tokenizer_class": "SomebodysOwnTokenizerFast"}}),
    (as_it_is, {"tokenizer_config": {"tokenizer_class": "TokenizersBackend"}}),
    (as_it_is, {"tokenizer_config": {"tokenizer_class": "ConvBertTokenizer"}}),
    (byte_pairs, {}),
    (byte_pairs, {"tokenizer_config": {"add_prefix_space": True}}),
    (byte_pairs, {"tokenizer_config": {"mask_token": STRIPPING_MASK}}),
    (byte_pairs, {"added_tokens": {"<ent>": 320}}),
    (byte_pair_json, {"tokenizer_config": {"add_prefix_space": True}}),
    (byte_pair_json, {"tokenizer_config": {"tokenizer_class": "RobertaTokenizer"}}),
    (
        byte_pair_json,
        {"tokenizer_config": {"tokenizer_class": "LEDTokenizer", "add_prefix_space": True}},
    ),
    (
        byte_pair_json,
        {"tokenizer_config": {"tokenizer_class": "MvpTokenizerFast", "add_prefix_space": True}},
    ),
    (byte_pair_json, {"tokenizer_config": {"additional_special_tokens": ["<ent>"]}}),
    (albert, {}),
    (albert, {"tokenizer_config": {"do_lower_case": False}}),
    (albert, {"tokenizer_config": {"do_lower_case": False, "keep_accents": True}}),
    (albert, {"tokenizer_config": {"add_prefix_space": False, "keep_accents": True}}),
    (xlm_roberta, {}),
    (bigbird, {}),
    (bigbird, {"tokenizer_config": {"add_prefix_space": False}}),
    (longformer, {}),
    (mpnet, {}),
    (mpnet, {"tokenizer_config": {"tokenizer_class": "MPNetTokenizer", "do_lower_case": False}}),
    (xlm_roberta, {"tokenizer_config": {"add_prefix_space": False}}),
]


def case_name(value):
    return value.__name__ if callable(value) else json.dumps(value)[:60]


@pytest.mark.parity
@pytest.mark.parametrize(("make", "files"), CASES, ids=case_name)
def test_side_files_mean_what_transformers_makes_of_them(make, files, tmp_path):
    transformers = pytest.importorskip("transformers")
    make(tmp_path)
    write(tmp_path, **files)
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path)
    ours = Tokenizer.load(tmp_path)
    expected = theirs(TEXTS)["input_ids"]
    assert ours.encode(TEXTS)["token_ids"] == expected
    pairs = theirs(TEXTS, TEXTS[::-1])["input_ids"]
    assert ours.encode(TEXTS, TEXTS[::-1])["token_ids"] == pairs
    assert theirs.mask_token_id in (None, ours.mask_id)
    for row in expected:  # An added token is left out of a text only where it is a special one.
        plain = theirs.decode(row, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        assert ours.decode([row], skip_special=True) == [plain]
    # One file says it all, to every reader of the library's format.
    alone = tokenizers.Tokenizer.from_str(ours.to_json())
    assert [encoding.ids for encoding in alone.encode_batch(TEXTS)] == expected
    again = Tokenizer.load(ours.save(tmp_path / "again"))
    assert again == ours
    assert again.encode(TEXTS)["token_ids"] == expected


@pytest.mark.parity
def test_every_class_that_transformers_builds_anew_is_built_or_refused():
    transformers = pytest.importorskip("transformers")
    auto = transformers.models.auto.tokenization_auto
    names = {name.removesuffix("Fast") for name in auto.TOKENIZER_MAPPING_NAMES.values() if name}
    names |= {name for name in dir(transformers) if name.endswith("Tokenizer")}
    anew = set()
    for name in names - {"PreTrainedTokenizer", "TokenizersBackend"}:
        made = auto.tokenizer_class_from_name(name)
        is_fast = isinstance(made, type) and issubclass(made, transformers.TokenizersBackend)
        if is_fast and "__init__" in vars(made):  # Without one it takes its tokenizer.json.
            anew.add(name)
    known = set(side_files.ANEW.split()) | set(side_files.RECIPES)
    assert {"MPNetTokenizer", "BertTokenizer"} <= anew <= known
    assert not set(side_files.ANEW.split()) & set(side_files.RECIPES)


@pytest.mark.parametrize(
    ("make", "name", "match"),
    [
        (word_piece_json, "FunnelTokenizerFast", "FunnelTokenizer, which transformers builds"),
        (byte_pair_json, "HerbertTokenizer", "HerbertTokenizer, which transformers builds anew"),
        (word_piece_json, "RobertaTokenizer", "BPE, and a tokenizer.json with a WordPiece"),
        (byte_pair_json, "BertTokenizer", "WordPiece, and a tokenizer.json with a BPE"),
        (word_piece_json, "XLMRobertaTokenizer", "Unigram, and a tokenizer.json with a WordPiece"),
    ],
    ids=case_name,
)
@pytest.mark.parametrize("where", ["tokenizer_config", "config"])
def test_a_tokenizer_json_is_not_taken_for_a_class_that_makes_another(
    make, name, match, where, tmp_path
):
    make(tmp_path)
    text = (tmp_path / "tokenizer.json").read_text("utf-8")
    kind = json.loads((tmp_path / "config.json").read_text())
    write(tmp_path, **{where: {**kind, "tokenizer_class": name}})
    with pytest.raises(KzooError, match=match) as caught:
        Tokenizer.load(tmp_path)
    assert "write PreTrainedTokenizerFast in its place" in str(caught.value)
    write(tmp_path, **{where: {**kind, "tokenizer_class": "PreTrainedTokenizerFast"}})
    assert Tokenizer.load(tmp_path).encode(TEXTS) == Tokenizer.from_json(text).encode(TEXTS)


@pytest.mark.parametrize(
    ("make", "name"), [(xlm_roberta, "RemBertTokenizer"), (byte_pair_json, "CLIPTokenizer")]
)
def test_a_tokenizer_json_that_is_believed_is_said(make, name, tmp_path):
    """Of RemBERT and CLIP the file holds all that the class would build."""
    make(tmp_path)
    write(tmp_path, tokenizer_config={"tokenizer_class": name})
    with pytest.warns(UserWarning, match=f"{name}, which transformers builds anew: tokenizer.json"):
        found = Tokenizer.load(tmp_path)
    text = (tmp_path / "tokenizer.json").read_text("utf-8")
    assert found.encode(TEXTS) == Tokenizer.from_json(text).encode(TEXTS)


@pytest.mark.parametrize("kind", ["roberta", "xlm-roberta"])
def test_a_kind_of_model_alone_refuses_no_tokenizer_json(kind, tmp_path):
    word_piece_json(tmp_path)
    write(tmp_path, config={"model_type": kind})
    found = Tokenizer.load(tmp_path)
    text = (tmp_path / "tokenizer.json").read_text("utf-8")
    assert found.encode(TEXTS) == Tokenizer.from_json(text).encode(TEXTS)


@pytest.mark.parity
@pytest.mark.parametrize("make", [word_pieces, byte_pair_json], ids=case_name)
@pytest.mark.parametrize("where", ["tokenizer_config", "tokenizer"])
def test_a_text_is_cut_from_the_side_that_the_files_name(make, where, tmp_path):
    transformers = pytest.importorskip("transformers")
    make(tmp_path)
    if where == "tokenizer_config":
        write(tmp_path, tokenizer_config={"truncation_side": "left"})
    else:
        backend = tokenizers.Tokenizer.from_str(Tokenizer.load(tmp_path).to_json())
        backend.enable_truncation(9, direction="left")
        backend.save(str(tmp_path / "tokenizer.json"))
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path)
    ours = Tokenizer.load(tmp_path)
    again = Tokenizer.load(ours.save(tmp_path / "again"))
    assert again == ours and again.truncation_side == "left"
    texts, pairs = [TEXTS[-1], "the cat sat"], ["a b c d e", TEXTS[0]]
    for tokenizer in (ours, again):
        for second in (None, pairs):
            cut = theirs(texts, second, truncation=True, max_length=9)
            rows = tokenizer.encode(texts, second, max_length=9, offsets=True)
            assert rows["token_ids"] == cut["input_ids"]
            assert len(rows["offsets"][0]) == 9
        words = [text.split() for text in texts]
        rows = tokenizer.encode_words(words, max_length=6)["word_ids"]
        assert rows[0][-2] == len(words[0]) - 1


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"model_max_length": 12}, 12),
        ({"max_len": 12}, 12),
        ({"model_max_length": 1e30}, None),
        ({"model_max_length": 1000000000000000019884624838656}, None),
        ({"model_max_length": None}, None),
        ({}, None),
    ],
)
def test_the_longest_length_travels_with_a_tokenizer(settings, expected, tmp_path):
    word_pieces(tmp_path)
    write(tmp_path, tokenizer_config=settings)
    tokenizer = Tokenizer.load(tmp_path)
    assert tokenizer.max_length == expected
    assert Tokenizer.load(tokenizer.save(tmp_path / "again")).max_length == expected
    assert len(tokenizer.encode([TEXTS[-1]])["token_ids"][0]) > 12


def test_settings_of_another_tokenizer_are_not_left_beside_a_saved_one(tmp_path):
    byte_pair_json(tmp_path)
    saved = Tokenizer.load(tmp_path)
    (tmp_path / "there").mkdir()
    write(tmp_path / "there", tokenizer_config={**BERT, "truncation_side": "left"})
    assert Tokenizer.load(saved.save(tmp_path / "there")) == saved


@pytest.mark.parametrize(
    ("make", "files", "match"),
    [
        (word_pieces, {"tokenizer_config": {"tokenizer_class": "BertJapaneseTokenizer"}}, "Python"),
        (as_it_is, {"tokenizer_config": {"tokenizer_class": "BertweetTokenizer"}}, "Python"),
        (
            word_pieces,
            {"config": {"model_type": "bert", "tokenizer_class": "BertJapaneseTokenizer"}},
            "BertJapaneseTokenizer",
        ),
        (
            byte_pairs,
            {"tokenizer_config": {"tokenizer_class": "HerbertTokenizerFast"}},
            "HerbertTokenizer.*vocab.json",
        ),
        (word_pieces, {"config": {"model_type": "roberta"}}, "RobertaTokenizer.*vocab.txt"),
        (byte_pairs, {"tokenizer_config": BERT}, "BertTokenizer.*vocab.json"),
        (word_pieces, {"tokenizer_config": {"tokenizer_class": 3}}, "tokenizer_class 3"),
        (word_pieces, {"tokenizer_config": {"split_special_tokens": True}}, "split_special"),
        (word_pieces, {"tokenizer_config": {"do_lower_case": "yes"}}, "do_lower_case 'yes'"),
        (word_pieces, {"tokenizer_config": {"truncation_side": "up"}}, "truncation_side 'up'"),
        (word_pieces, {"tokenizer_config": {"model_max_length": "512"}}, "model_max_length '512'"),
        (word_pieces, {"tokenizer_config": {"added_tokens_decoder": []}}, "added_tokens_decoder"),
        (
            word_pieces,
            {"tokenizer_config": {"added_tokens_decoder": {"x": E1}}},
            "added_tokens_decoder",
        ),
        (
            word_pieces,
            {"tokenizer_config": {"added_tokens_decoder": {"3": {"content": 3}}}},
            "content",
        ),
        (word_pieces, {"tokenizer_config": {"additional_special_tokens": "[E1]"}}, "additional"),
        (word_pieces, {"added_tokens": {"[E1]": "35"}}, "added_tokens.json"),
        (word_pieces, {"tokenizer_config": {"sep_token": "<sep>"}}, "lacks <sep>"),
    ],
    ids=case_name,
)
def test_what_cannot_be_read_is_refused_in_a_sentence(make, files, match, tmp_path):
    make(tmp_path)
    write(tmp_path, **files)
    with pytest.raises(KzooError, match=match) as caught:
        Tokenizer.load(tmp_path)
    assert "\n" not in str(caught.value)
