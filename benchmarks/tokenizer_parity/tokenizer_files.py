"""A tokenizer.json for each tokenizer of the shared data, whatever form its vocabulary has there.

Those that come as tokenizer.json stay as they are; BERT's, GPT-2's and RoBERTa's are built by kzoo
from their vocabularies, SentencePiece's as the models' authors use them, and Marian's with the ids
of its vocab.json.
"""

import gzip
import json
import shutil
import tempfile
import zipfile
from pathlib import Path

from sentencepiece import sentencepiece_model_pb2
from tokenizers import (
    AddedToken,
    Regex,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
)

from kzoo.text import Tokenizer as KzooTokenizer

UNREACHED = -100.0  # The score of a piece that only Marian's other language has.


def make(name, data, folder):
    """Writes a tokenizer's file into `folder`; its path."""
    path = folder / f"{name}.json"
    tokenizer = MAKERS[name](data / "tokenizers")
    if isinstance(tokenizer, bytes):
        path.write_bytes(tokenizer)
    else:
        tokenizer.save(str(path), pretty=False)
    return path


def kzoo_made(folder):
    return KzooTokenizer.load(folder)._backend


def byte_level(folder, merges):
    with tempfile.TemporaryDirectory() as place:
        place = Path(place)
        (place / "vocab.json").write_bytes(unpacked(folder / "vocab.json.gz"))
        shutil.copy(merges, place / "merges.txt")
        return kzoo_made(place)


def unpacked(path):
    return gzip.decompress(path.read_bytes())


def read(path):
    model = sentencepiece_model_pb2.ModelProto()
    model.ParseFromString(path.read_bytes())
    return model


def large_vocabulary(source):
    """XLM-R's 250,001 pieces with their scores; the file has them in order, special ones too."""
    with zipfile.ZipFile(source / "xlm-roberta-base" / "pos.dict.utf8.zip") as archive:
        lines = archive.read("pos.dict.utf8").decode().removesuffix("\n").split("\n")
    rows = [line.split("\t") for line in lines]
    special = {"<pad>", "</s>", "<unk>", "<mask>"}
    return [(piece, float(score)) for piece, _, score in rows if piece not in special]


def precompiled(model):
    return normalizers.Precompiled(model.normalizer_spec.precompiled_charsmap)


def unigram(pieces, unknown, normalizer, add_special):
    """Pieces and scores as a tokenizer that splits at SentencePiece's visible spaces."""
    tokenizer = Tokenizer(models.Unigram(pieces, unk_id=unknown, byte_fallback=False))
    tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    tokenizer.add_special_tokens(add_special)
    return tokenizer


def plain(model):
    """As T5 does, an end mark behind each text."""
    pieces = [(p.piece, p.score) for p in model.pieces]
    special = [p.piece for p in model.pieces if p.type != 1]
    spaces = normalizers.Replace(Regex(" {2,}"), "▁")
    tokenizer = unigram(
        pieces,
        model.trainer_spec.unk_id,
        normalizers.Sequence([precompiled(model), normalizers.Strip(left=False), spaces]),
        special,
    )
    end = ("</s>", tokenizer.token_to_id("</s>"))
    tokenizer.post_processor = processors.TemplateProcessing(
        single="$A </s>", pair="$A </s> $B </s>", special_tokens=[end]
    )
    return tokenizer


def accents_away(model, lower):
    steps = [normalizers.Replace("``", '"'), normalizers.Replace("''", '"')]
    steps += [normalizers.NFKD(), normalizers.StripAccents()]
    steps += [normalizers.Lowercase()] if lower else []
    return normalizers.Sequence(
        [*steps, precompiled(model), normalizers.Replace(Regex(" {2,}"), " ")]
    )


def albert(model):
    pieces = [(p.piece, p.score) for p in model.pieces]
    special = [p.piece for p in model.pieces if p.type != 1 and p.piece != "[MASK]"]
    mask = AddedToken("[MASK]", lstrip=True, special=True)
    normalizer = accents_away(model, lower=True)
    tokenizer = unigram(pieces, model.trainer_spec.unk_id, normalizer, [*special, mask])
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS]:0 $A:0 [SEP]:0",
        pair="[CLS]:0 $A:0 [SEP]:0 $B:1 [SEP]:1",
        special_tokens=[(t, tokenizer.token_to_id(t)) for t in ("[CLS]", "[SEP]")],
    )
    return tokenizer


def xlnet(model):
    pieces = [(p.piece, p.score) for p in model.pieces]
    special = [p.piece for p in model.pieces if p.type != 1 and p.piece != "<mask>"]
    mask = AddedToken("<mask>", lstrip=True, special=True)
    normalizer = accents_away(model, lower=False)
    tokenizer = unigram(pieces, model.trainer_spec.unk_id, normalizer, [*special, mask])
    tokenizer.post_processor = processors.TemplateProcessing(
        single="$A:0 <sep>:0 <cls>:2",
        pair="$A:0 <sep>:0 $B:1 <sep>:1 <cls>:2",
        special_tokens=[(t, tokenizer.token_to_id(t)) for t in ("<sep>", "<cls>")],
    )
    return tokenizer


def xlm_roberta(pieces, model):
    special = ["<s>", "<pad>", "</s>", "<unk>"]
    pieces = [*((piece, 0.0) for piece in special), *pieces, ("<mask>", 0.0)]
    mask = AddedToken("<mask>", lstrip=True, special=True)
    tokenizer = unigram(pieces, 3, precompiled(model), [*special, mask])
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()]
    )
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>",
        pair="<s> $A </s> </s> $B </s>",
        special_tokens=[(token, tokenizer.token_to_id(token)) for token in ("<s>", "</s>")],
    )
    return tokenizer


def marian(folder):
    """The source language's pieces under the ids that both languages share."""
    model = read(folder / "source.spm")
    ids = json.loads(unpacked(folder / "vocab.json.gz"))
    scores = {p.piece: p.score for p in model.pieces if p.type == 1}
    pieces = [
        (piece, scores.get(piece, UNREACHED))
        for piece, _ in sorted(ids.items(), key=lambda i: i[1])
    ]
    assert sorted(ids.values()) == list(range(len(ids)))
    tokenizer = unigram(pieces, ids["<unk>"], precompiled(model), ["</s>", "<unk>", "<pad>"])
    tokenizer.post_processor = processors.TemplateProcessing(
        single="$A </s>", pair="$A $B </s>", special_tokens=[("</s>", ids["</s>"])]
    )
    return tokenizer


def test_pieces(model):
    return [(p.piece, p.score) for p in model.pieces if p.type == 1]


HUB = "keras_hub_test"
MAKERS = {  # From the folder of tokenizers.
    "bert-base-uncased": lambda at: kzoo_made(at / "bert-base-uncased"),
    "gpt2": lambda at: byte_level(at / "gpt2", at / "gpt2" / "merges.txt"),
    "clip": lambda at: unpacked(at / "clip" / "tokenizer.json.gz"),
    "t5-small": lambda at: unpacked(at / "t5-small" / "tokenizer.json.gz"),
    "xlnet": lambda at: xlnet(read(at / "xlnet" / "spiece.model")),
    "xlm-roberta-base": lambda at: xlm_roberta(
        large_vocabulary(at), read(at / HUB / "xlm_roberta_test_vocab.spm")
    ),
    "bert-base-cased": lambda at: kzoo_made(at / "bert-base-cased"),
    "bert-base-chinese": lambda at: kzoo_made(at / "bert-base-chinese"),
    "bert-base-multilingual-cased": lambda at: kzoo_made(at / "bert-base-multilingual-cased"),
    "roberta-base": lambda at: byte_level(at / "roberta-base", at / "gpt2" / "merges.txt"),
    "opus-mt-en-mg": lambda at: marian(at / "opus-mt-en-mg"),
    "tiny_spm_4000": lambda at: plain(read(at / "tiny_spm_4000" / "sentencepiece.model")),
    "albert_test": lambda at: albert(read(at / HUB / "albert_test_vocab.spm")),
    "t5_test": lambda at: plain(read(at / HUB / "t5_test_vocab.spm")),
    "llama_test": lambda at: plain(read(at / HUB / "llama_test_vocab.spm")),
    "xlm_roberta_test": lambda at: xlm_roberta(
        test_pieces(read(at / HUB / "xlm_roberta_test_vocab.spm")),
        read(at / HUB / "xlm_roberta_test_vocab.spm"),
    ),
}
