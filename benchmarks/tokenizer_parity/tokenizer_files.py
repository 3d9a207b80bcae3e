"""A tokenizer.json for each tokenizer of the shared data, whatever form its vocabulary has there.

Those that come as tokenizer.json stay as they are; BERT's, GPT-2's and RoBERTa's are built by kzoo
from their vocabularies, SentencePiece's as the models' authors use them, and Marian's with the ids
of its vocab.json.
"""

import gzip
import json
import shutil
import zipfile

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
CONTROL = 3  # The type of a piece that is no text, in a SentencePiece file.


def make_all(data, folder):
    """Writes the files into `folder`; {name: path}."""
    source = data / "tokenizers"
    folder.mkdir(parents=True, exist_ok=True)
    made = {}

    def keep(name, tokenizer):
        made[name] = folder / f"{name}.json"
        tokenizer.save(str(made[name]), pretty=False)

    for path in sorted(source.glob("bert-base-*")):
        keep(path.name, KzooTokenizer.load(path)._backend)
    for name in ("gpt2", "roberta-base"):
        place = folder / name
        place.mkdir(exist_ok=True)
        (place / "vocab.json").write_bytes(unpacked(source / name / "vocab.json.gz"))
        shutil.copy(source / "gpt2" / "merges.txt", place / "merges.txt")
        keep(name, KzooTokenizer.load(place)._backend)
        shutil.rmtree(place)
    for name in ("clip", "t5-small"):
        made[name] = folder / f"{name}.json"
        made[name].write_bytes(unpacked(source / name / "tokenizer.json.gz"))
    hub = source / "keras_hub_test"
    keep("xlnet", xlnet(read(source / "xlnet" / "spiece.model")))
    keep(
        "xlm-roberta-base",
        xlm_roberta(large_vocabulary(source), read(hub / "xlm_roberta_test_vocab.spm")),
    )
    keep("opus-mt-en-mg", marian(source / "opus-mt-en-mg"))
    keep("tiny_spm_4000", plain(read(source / "tiny_spm_4000" / "sentencepiece.model")))
    keep("albert_test", albert(read(hub / "albert_test_vocab.spm")))
    keep("t5_test", plain(read(hub / "t5_test_vocab.spm")))
    keep("llama_test", plain(read(hub / "llama_test_vocab.spm")))
    test = read(hub / "xlm_roberta_test_vocab.spm")
    keep(
        "xlm_roberta_test",
        xlm_roberta([(p.piece, p.score) for p in test.pieces if p.type == 1], test),
    )
    return made


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
