"""How often ids of SentencePiece's model files differ from the reference's, in Python and Kotlin.

    python benchmarks/tokenizer_parity/models.py SHARED_DATA [--every N] [--output models.json]

SHARED_DATA is the folder with tokenizers, nltk_udhr and tatoeba_laser. Needs `mvn package` in
android_demo first, sentencepiece and transformers. Marian's files are OPUS-MT's own; T5's and
mBART's are written here, as files of SentencePiece, from the published pieces and scores. Each
line of real text goes, special tokens included, to kzoo's tokenizer of the files; to the reference,
which is transformers' own class, and for mBART SentencePiece with fairseq's numbers (transformers
5.23 builds an MBartTokenizer without the model's normalisation); and, of every KOTLIN-th line, to
`java -jar kzoo-desktop.jar encode --json` with the tokenizer.json that kzoo writes. What Marian's
target writes of its ids is held against transformers' `decode` too, but for blanks at the end.
"""

import argparse
import base64
import gzip
import json
import os
import shutil
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

os.environ["TOKENIZERS_PARALLELISM"] = "false"

import sentencepiece
import transformers
from measure import JAR, SOURCES
from texts import declaration, tatoeba
from tokenizer_files import large_vocabulary, read

from kzoo.text import TargetTokenizer, Tokenizer

sys.path.insert(0, str(Path(__file__).parent.parent))
from provenance import provenance  # noqa: E402

KOTLIN = 10
CODE = ["kzoo/text", *SOURCES]


def write_model(path, rows, charsmap, **trainer):
    """A model of rows (piece, score, type)."""
    model = read(path.parent.parent / "empty.model")
    del model.pieces[:]
    for piece, score, kind in rows:
        model.pieces.add(piece=piece, score=score, type=kind)
    for name, value in trainer.items():
        setattr(model.trainer_spec, name, value)
    model.normalizer_spec.precompiled_charsmap = charsmap
    path.write_bytes(model.SerializeToString())


def write_folders(data, folder):
    """The folders of T5, mBART, mBART-50 and Marian, as their checkpoints have them."""
    source = data / "tokenizers"
    shutil.copy(source / "tiny_spm_4000" / "sentencepiece.model", folder / "empty.model")
    nmt_nfkc = read(folder / "empty.model").normalizer_spec.precompiled_charsmap
    for name, kind in (("t5", "T5"), ("mbart", "MBart"), ("mbart50", "MBart50")):
        (folder / name).mkdir()
        settings = {"tokenizer_class": f"{kind}Tokenizer"}
        (folder / name / "tokenizer_config.json").write_text(json.dumps(settings))
    parts = json.loads(gzip.decompress((source / "t5-small" / "tokenizer.json.gz").read_bytes()))
    kinds = {"<pad>": 3, "</s>": 3, "<unk>": 2}
    rows = [(p, s, kinds.get(p, 1)) for p, s in parts["model"]["vocab"] if "<extra_id" not in p]
    charsmap = base64.b64decode(parts["normalizer"]["precompiled_charsmap"])
    ids = {"pad_id": 0, "eos_id": 1, "unk_id": 2, "bos_id": -1}
    write_model(folder / "t5" / "spiece.model", rows, charsmap, **ids)
    rows = [("<unk>", 0.0, 2), ("<s>", 0.0, 3), ("</s>", 0.0, 3)]
    rows += [(piece, score, 1) for piece, score in large_vocabulary(source) if piece != "<s>"]
    for name in ("mbart", "mbart50"):
        write_model(folder / name / "sentencepiece.bpe.model", rows, nmt_nfkc)
    marian = source / "opus-mt-en-mg"
    (folder / "marian").mkdir()
    for name in ("source.spm", "target.spm", "tokenizer_config.json", "config.json"):
        shutil.copy(marian / name, folder / "marian" / name)
    vocabulary = gzip.decompress((marian / "vocab.json.gz").read_bytes())
    (folder / "marian" / "vocab.json").write_bytes(vocabulary)


def fairseq(folder, before, after, lines):
    """mBART's ids of SentencePiece's: one on, 3 for the unknown piece, in their frame."""
    model = sentencepiece.SentencePieceProcessor()
    model.Load(str(folder / "sentencepiece.bpe.model"))
    rows = model.encode(lines)
    return [[*before, *(n + 1 if n else 3 for n in row), *after] for row in rows]


def kotlin(java, tokenizer, lines, folder):
    """The ids of lines by the tokenizer.json that kzoo writes."""
    path, given = folder / "kotlin.json", folder / "lines.jsonl"
    path.write_text(tokenizer.to_json(), encoding="utf-8")
    given.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    with given.open("rb") as stdin:
        run = [*java, "encode", str(path), "--json"]
        done = subprocess.run(run, stdin=stdin, stdout=subprocess.PIPE, check=True)
    return [json.loads(line)["ids"] for line in done.stdout.splitlines()]


def differing(name, lines, one, other):
    """How many rows differ; the first few are shown."""
    wrong = [i for i, (a, b) in enumerate(zip(one, other, strict=True)) if list(a) != list(b)]
    for i in wrong[:2]:
        print(f"  {name} {ascii(lines[i])[:90]}\n    {one[i]}\n    {other[i]}", flush=True)
    return len(wrong)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--every", type=int, default=1, help="take each so many-th line")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "models.json")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    transformers.logging.set_verbosity_error()
    lines = dict.fromkeys([*declaration(arguments.data), *tatoeba(arguments.data)])
    lines = list(lines)[:: arguments.every]
    some = lines[::KOTLIN]
    java = ["java", "-XX:+UseSerialGC", "-jar", str(JAR)]
    found = {}
    with tempfile.TemporaryDirectory() as place:
        place = Path(place)
        write_folders(arguments.data, place)
        marian = transformers.MarianTokenizer.from_pretrained(place / "marian")
        t5 = transformers.T5Tokenizer.from_pretrained(place / "t5")
        arms = {
            "t5": (Tokenizer, "t5", lambda: t5(lines).input_ids),
            "mbart": (
                Tokenizer, "mbart", lambda: fairseq(place / "mbart", [], [2, 250004], lines)
            ),
            "mbart-50": (
                Tokenizer, "mbart50", lambda: fairseq(place / "mbart50", [250004], [2], lines)
            ),
            "marian, source": (Tokenizer, "marian", lambda: marian(lines).input_ids),
            "marian, target": (
                TargetTokenizer, "marian", lambda: marian(text_target=lines).input_ids
            ),
        }  # fmt: skip
        for name, (kind, folder, reference) in arms.items():
            tokenizer = kind.load(place / folder)
            mine, theirs = tokenizer.encode(lines)["token_ids"], reference()
            entry = {"lines": len(lines), "differing": differing(name, lines, mine, theirs)}
            if kind is TargetTokenizer:
                texts = [marian.decode(row, skip_special_tokens=True) for row in theirs]
                own = [tokenizer.decode(row).rstrip(" ") for row in theirs]
                entry["decoded_differing"] = differing(f"{name} decoded", lines, own, texts)
            ids = kotlin(java, tokenizer, some, place)
            entry["kotlin_lines"] = len(some)
            entry["kotlin_differing"] = differing(f"{name} kotlin", some, ids, mine[::KOTLIN])
            found[name] = entry
            print(name, entry, flush=True)
    versions = ["tokenizers", "sentencepiece", "transformers"]
    result = {"provenance": provenance(CODE, versions), "tokenizers": found}
    arguments.output.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
