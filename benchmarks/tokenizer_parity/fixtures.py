"""Writes the fixtures that core's tests hold the Kotlin tokenizers against.

    python benchmarks/tokenizer_parity/fixtures.py [--output FOLDER]

Small tokenizers, trained here on the repository's own texts, one for each kind and option of a
tokenizer.json, and two as Marian's that share a vocabulary; what the `tokenizers` library makes of
some hundred texts with each; and for each normalizer and splitter one digest of what it does to
every code point between two letters.
"""

import argparse
import hashlib
import json
import struct
import tempfile
from base64 import b64encode
from pathlib import Path

from tokenizers import (
    AddedToken,
    Regex,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)

from kzoo.text import sentencepiece, shared_vocabulary

ROOT = Path(__file__).resolve().parents[2]
OUTPUT = ROOT / "android_demo/core/src/test/resources/kzoo/core/tokenizer"
CLIP = (
    r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"
)
TEXTS = [
    "",
    " ",
    "Hello, world!",
    "The movie wasn't good, it's the best I've seen.",
    "  two  spaces   and\ttabs\n\nlines ",
    "naïve café Ünïcödé Straße ΟΔΥΣΣΕΥΣ İstanbul",
    "ﬁne ①② … ｈａｌｆ\u200bwidth x² ½ ™",
    "你好，世界。 日本語のテキスト 한국어 텍스트",
    "हिन्दी क्षत्रिय தமிழ் ภาษาไทย",
    "e\u0301\u0323 a\u0323\u0301 \u0301\u0323 \u1100\u1161\u11a8 \u0f73\u0f71 \ufb2c",
    "👩‍👩‍👧 👍🏽 🇩🇪🇫🇷 ❤️ 1️⃣ ©\u200d©",
    "\x00\x01\x7f\x85\xa0\u2028\ufeff\ufffd\U000e0001\U0010ffff",
    "a[MASK]b [MASK] [mask] x <mask>  y <|endoftext|>  z extra extras",
    "123 45,678.90 v1.2.3 a_b-c/d (e) $5 €6 100%",
    "x" * 120 + " " + "ab" * 60,
    "'' `` 's 'S we'll they'd ' s",
    "\ufb01\u0301 fi\u0301 \u00bd\u0300 A\u030a",
    "▁already ▁▁marked",
    "the quick brown fox jumps over the lazy dog " * 6,
]
PAIRS = [
    ("Who wrote it?", "It was written by an author of 12 books."),
    ("a", ""),
    ("", "b"),
    ("é " * 20, "long " * 15),
]


def charsmap(rules):
    """SentencePiece's map for a few rules: a double array filled from left to right."""
    blob = b"".join(to.encode() + b"\0" for to in rules.values())
    starts, at = {}, 0
    for source, to in rules.items():
        starts[source.encode()] = at
        at += len(to.encode()) + 1
    units = [0] * 4096
    taken = {0}

    def place(prefix, node):
        """Puts the children of a node where all of them find room, then theirs."""
        children = {key[len(prefix)] for key in starts if key.startswith(prefix) and key != prefix}
        leaf = prefix in starts
        labels = sorted(children | ({0} if leaf else set()))
        base = next(
            b for b in range(256, 4096 - 256) if all(b ^ label not in taken for label in labels)
        )
        taken.update(base ^ label for label in labels)
        units[node] |= (node ^ base) << 10 | leaf << 8
        if leaf:
            units[base] = starts[prefix]
        for label in sorted(children):
            units[base ^ label] = label
            place(prefix + bytes([label]), base ^ label)

    place(b"", 0)
    return struct.pack("<I", len(units) * 4) + struct.pack(f"<{len(units)}I", *units) + blob


RULES = {
    "ﬁ": "fi", "①": "1", "…": "...", "\t": " ", "\n": " ", "\u3000": " ", "\u200b": "", "ｈ": "h",
    "²": "2", "™": "TM", "½": "1/2", "\u0958": "\u0915\u093c", "é": "é", "\xa0": " ", "ｶﾞ": "ガ",
}  # fmt: skip


def corpus():
    """Text of the repository: its sentences, its own documentation and the texts above."""
    lines = (ROOT / "export/sentences.txt").read_text(encoding="utf-8").split("\n")
    lines += (ROOT / "LICENSE").read_text(encoding="utf-8").split("\n")
    return [*lines, *TEXTS]


def trained(model, trainer, **parts):
    tokenizer = Tokenizer(model)
    for name, part in parts.items():
        setattr(tokenizer, name, part)
    tokenizer.train_from_iterator(corpus(), trainer)
    return tokenizer


def byte_level(add_prefix_space, trim, use_regex=True, **parts):
    tokenizer = trained(
        models.BPE(),
        trainers.BpeTrainer(
            vocab_size=420,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            special_tokens=["<s>", "</s>", "<pad>", "<mask>"],
            show_progress=False,
        ),
        pre_tokenizer=pre_tokenizers.ByteLevel(add_prefix_space, use_regex=use_regex),
        decoder=decoders.ByteLevel(),
        **parts,
    )
    tokenizer.add_special_tokens([AddedToken("<mask>", lstrip=True, special=True)])
    tokenizer.post_processor = processors.RobertaProcessing(
        ("</s>", 1), ("<s>", 0), trim_offsets=trim, add_prefix_space=add_prefix_space
    )
    return tokenizer


def word_piece(normalizer, pre_tokenizer, vocab_size=300):
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    return trained(
        models.WordPiece(unk_token="[UNK]"),
        trainers.WordPieceTrainer(
            vocab_size=vocab_size, special_tokens=special, show_progress=False
        ),
        normalizer=normalizer,
        pre_tokenizer=pre_tokenizer,
        decoder=decoders.WordPiece(),
    )


def unigram(normalizer, pre_tokenizer, decoder=None):
    return trained(
        models.Unigram(),
        trainers.UnigramTrainer(
            vocab_size=300, special_tokens=["<s>", "</s>", "<unk>", "<mask>"], unk_token="<unk>",
            show_progress=False,
        ),
        normalizer=normalizer,
        pre_tokenizer=pre_tokenizer,
        decoder=decoder or decoders.Metaspace(),
    )  # fmt: skip


def small_tokenizers():
    bert = word_piece(normalizers.BertNormalizer(), pre_tokenizers.BertPreTokenizer())
    bert.post_processor = processors.TemplateProcessing(
        single="[CLS]:0 $A:0 [SEP]:0",
        pair="[CLS]:0 $A:0 [SEP]:0 $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )
    yield "bert_uncased", bert

    cased = word_piece(
        normalizers.BertNormalizer(lowercase=False), pre_tokenizers.BertPreTokenizer()
    )
    cased.add_tokens(
        [
            AddedToken("extra", single_word=True, rstrip=True),
            AddedToken("World", normalized=True, lstrip=True),
            AddedToken("[mask]", normalized=False, lstrip=True, rstrip=True, special=True),
        ]
    )
    cased.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    cased.enable_truncation(24, strategy="only_first")
    cased.enable_padding(length=28, pad_token="[PAD]")
    yield "bert_cased", cased

    words = word_piece(
        normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase(), normalizers.Strip()]),
        pre_tokenizers.Sequence(
            [pre_tokenizers.Whitespace(), pre_tokenizers.Digits(individual_digits=True)]
        ),
    )
    words.enable_truncation(10, direction="left")
    words.enable_padding(direction="left", pad_to_multiple_of=4, pad_token="[PAD]")
    yield "words_nfkc", words

    yield "gpt2", byte_level(False, False)
    yield "roberta", byte_level(True, True)
    yield "roberta_nfc", byte_level(False, True, normalizer=normalizers.NFC())
    plain = byte_level(True, True, use_regex=False)
    plain.post_processor = processors.Sequence(
        [
            processors.ByteLevel(trim_offsets=True),
            processors.TemplateProcessing(
                single="<s> $A", pair="<s> $A </s> $B:1", special_tokens=[("<s>", 0), ("</s>", 1)]
            ),
        ]
    )
    yield "byte_level_template", plain

    clip = trained(
        models.BPE(unk_token="<|endoftext|>", end_of_word_suffix="</w>"),
        trainers.BpeTrainer(
            vocab_size=420,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            end_of_word_suffix="</w>",
            special_tokens=["<|startoftext|>", "<|endoftext|>"],
            show_progress=False,
        ),
        normalizer=normalizers.Sequence(
            [normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()]
        ),
        pre_tokenizer=pre_tokenizers.Sequence(
            [
                pre_tokenizers.Split(Regex(CLIP), "removed", invert=True),
                pre_tokenizers.ByteLevel(add_prefix_space=False),
            ]
        ),
        decoder=decoders.ByteLevel(),
    )
    clip.post_processor = processors.RobertaProcessing(
        ("<|endoftext|>", 1), ("<|startoftext|>", 0), trim_offsets=False, add_prefix_space=False
    )
    yield "clip", clip

    bytes_too = [f"<0x{byte:02X}>" for byte in range(256)]
    llama = trained(
        models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True),
        trainers.BpeTrainer(
            vocab_size=480,
            special_tokens=["<unk>", "<s>", "</s>", *bytes_too],
            limit_alphabet=40,
            show_progress=False,
        ),
        normalizer=normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]),
        decoder=decoders.Sequence(
            [
                decoders.Replace("▁", " "),
                decoders.ByteFallback(),
                decoders.Fuse(),
                decoders.Strip(" ", 1, 0),
            ]
        ),
    )
    yield "llama", llama
    yield (
        "bpe_fused_unknown",
        trained(
            models.BPE(unk_token="<unk>", fuse_unk=True),
            trainers.BpeTrainer(
                vocab_size=200, special_tokens=["<unk>"], limit_alphabet=30, show_progress=False
            ),
            pre_tokenizer=pre_tokenizers.WhitespaceSplit(),
            decoder=decoders.BPEDecoder(),
        ),
    )
    yield (
        "bpe_prefix",
        trained(
            models.BPE(continuing_subword_prefix="##"),
            trainers.BpeTrainer(
                vocab_size=250,
                continuing_subword_prefix="##",
                limit_alphabet=40,
                show_progress=False,
            ),
            pre_tokenizer=pre_tokenizers.Split(" ", "merged_with_previous"),
        ),
    )

    t5 = unigram(
        normalizers.Sequence(
            [normalizers.Precompiled(charsmap(RULES)), normalizers.Replace(Regex(" {2,}"), " ")]
        ),
        pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()]),
    )
    t5.post_processor = processors.TemplateProcessing(
        single="$A </s>", pair="$A </s> $B </s>", special_tokens=[("</s>", 1)]
    )
    t5.enable_truncation(16, strategy="longest_first")
    yield "t5", t5
    xlnet = unigram(
        normalizers.Sequence(
            [
                normalizers.Replace("``", '"'), normalizers.Replace("''", '"'), normalizers.NFKD(),
                normalizers.StripAccents(), normalizers.Lowercase(),
            ]
        ),
        pre_tokenizers.Metaspace(prepend_scheme="first", split=False),
        decoders.Metaspace(prepend_scheme="first", split=False),
    )  # fmt: skip
    xlnet.post_processor = processors.TemplateProcessing(
        single="$A:0 </s>:0 <s>:2",
        pair="$A:0 </s>:0 $B:1 </s>:1 <s>:2",
        special_tokens=[("<s>", 0), ("</s>", 1)],
    )
    yield "xlnet", xlnet
    for behavior in (
        "removed",
        "isolated",
        "contiguous",
        "merged_with_previous",
        "merged_with_next",
    ):
        yield (
            f"unigram_{behavior}",
            unigram(
                normalizers.Nmt(),
                pre_tokenizers.Sequence(
                    [
                        pre_tokenizers.Punctuation(behavior),
                        pre_tokenizers.Metaspace(prepend_scheme="never"),
                    ]
                ),
            ),
        )


def two_models():
    """Two models that share a vocabulary which lacks a piece of each."""
    rows = json.loads(unigram(None, pre_tokenizers.Metaspace()).to_str())["model"]["vocab"][4:]
    written = [*rows[: len(rows) // 2], ["你", -5.0], ["好", -5.5], ["ﾊ", -6.0]]
    table = b64encode(charsmap(RULES)).decode()
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        for name, pieces in (("source", rows[10:]), ("target", written)):
            model = sentencepiece.written(pieces, table, "<unk>")
            (folder / f"{name}.spm").write_bytes(model)
        pieces = dict.fromkeys(piece for piece, _ in [*written, *rows])
        kept = ["</s>", "<unk>", *[p for p in pieces if p not in ("好", rows[20][0])], "<pad>"]
        vocabulary = {piece: number for number, piece in enumerate(kept)}
        (folder / shared_vocabulary.VOCABULARY).write_text(json.dumps(vocabulary))
        for name in ("source", "target"):
            yield f"shared_{name}", shared_vocabulary.read(folder / f"{name}.spm")


def cases(tokenizer):
    numbers = shared_vocabulary.Numbers.of(tokenizer)

    def case(text, pair, special):
        given = {"text": text, "pair": pair, "special": special}
        try:
            encoding = tokenizer.encode(text, pair, add_special_tokens=special)
        except Exception as error:  # The library raises bare Exception.
            return {**given, "error": str(error)}
        ids = encoding.ids if numbers is None else numbers.ids(encoding)
        return {
            **given,
            "ids": ids,
            "tokens": encoding.tokens,
            "offsets": encoding.offsets,
            "type_ids": encoding.type_ids,
            "attention_mask": encoding.attention_mask,
            "special_tokens_mask": encoding.special_tokens_mask,
            "decoded": tokenizer.decode(ids, skip_special_tokens=True),
            "decoded_all": tokenizer.decode(ids, skip_special_tokens=False),
        }

    for text in TEXTS:
        yield case(text, None, True)
    for number, (text, pair) in enumerate(PAIRS):
        yield case(text, pair, number % 2 == 0)


NORMALIZERS = {
    "BertNormalizer": normalizers.BertNormalizer(),
    "NFD": normalizers.NFD(),
    "NFC": normalizers.NFC(),
    "NFKD": normalizers.NFKD(),
    "NFKC": normalizers.NFKC(),
    "Lowercase": normalizers.Lowercase(),
    "StripAccents": normalizers.StripAccents(),
    "Nmt": normalizers.Nmt(),
    "Precompiled": normalizers.Precompiled(charsmap(RULES)),
}
SPLITTERS = {
    "BertPreTokenizer": pre_tokenizers.BertPreTokenizer(),
    "Whitespace": pre_tokenizers.Whitespace(),
    "Punctuation": pre_tokenizers.Punctuation(),
    "Digits": pre_tokenizers.Digits(individual_digits=True),
    "ByteLevel": pre_tokenizers.ByteLevel(add_prefix_space=False),
    "Split": pre_tokenizers.Split(Regex(CLIP), "removed", invert=True),
}
# Assigned characters and tags, each; of the wide rest each 97th.
POINTS = [c for c in range(0x110000) if not 0xD800 <= c < 0xE000]
POINTS = [c for c in POINTS if c < 0x32400 or 0xE0000 <= c < 0xE0200 or c % 97 == 0]


def lines():
    """Each code point between letters, before marks, behind a joiner, and before Hangul letters."""
    for c in map(chr, POINTS):
        yield f"a{c}b{c}\u0300\u0323\u00a9\u200d{c}\u0301{c}\u1161\u11a8 {c}"


def digests():
    found = {}
    for name, normalizer in NORMALIZERS.items():
        digest = hashlib.sha256()
        for text in lines():
            digest.update((normalizer.normalize_str(text) + "\n").encode())
        found[name] = {"piece": json.loads(normalizer.__getstate__()), "digest": digest.hexdigest()}
    for name, splitter in SPLITTERS.items():
        digest = hashlib.sha256()
        for text in lines():
            parts = splitter.pre_tokenize_str(text)
            line = " ".join(f"{start}-{end}" for _, (start, end) in parts)
            digest.update((line + "\n").encode())
        found[name] = {"piece": json.loads(splitter.__getstate__()), "digest": digest.hexdigest()}
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=OUTPUT)
    output = parser.parse_args().output
    output.mkdir(parents=True, exist_ok=True)
    for name, tokenizer in [*small_tokenizers(), *two_models()]:
        tokenizer.save(str(output / f"{name}.json"), pretty=False)
        # What a file holds is what counts: scores go through its decimals.
        tokenizer = Tokenizer.from_file(str(output / f"{name}.json"))
        with (output / f"{name}.cases.jsonl").open("w", encoding="utf-8") as out:
            out.writelines(json.dumps(case) + "\n" for case in cases(tokenizer))
    (output / "digests.json").write_text(json.dumps(digests(), indent=1) + "\n", encoding="utf-8")
    size = sum(path.stat().st_size for path in output.iterdir())
    print(f"{output}: {len(list(output.iterdir()))} files, {size} bytes")


if __name__ == "__main__":
    main()
