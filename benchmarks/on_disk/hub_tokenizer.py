"""On what share of lines TF Hub's preprocessors cut words otherwise than Hugging Face and kzoo.

    python benchmarks/on_disk/hub_tokenizer.py SHARED_DATA

The preprocessors that stand beside BERT on TF Hub are `tensorflow_text.BertTokenizer` in a graph;
it takes the same vocabulary here, on the lines of the Declaration of Human Rights. Writes
`result_hub_tokenizer.json`. Needs tensorflow-text.
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path

import tensorflow_text

from kzoo.text import Tokenizer

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE.parent / "tokenizer_parity")]
from provenance import provenance  # noqa: E402
from texts import declaration  # noqa: E402
from tokenizer_files import make  # noqa: E402

VOCABULARIES = {"bert-base-uncased": True, "bert-base-cased": False}  # and whether it lower-cases
SOURCES = ["benchmarks/on_disk/hub_tokenizer.py", "kzoo/text"]


def compared(name, lower, data, lines):
    """How many lines have other ids in tensorflow_text."""
    with tempfile.TemporaryDirectory() as place:
        tokenizer = Tokenizer.load(make(name, data, Path(place)))
        held = json.loads(tokenizer.to_json())["model"]["vocab"]
        vocabulary = Path(place, "vocab.txt")
        vocabulary.write_text("\n".join(sorted(held, key=held.get)) + "\n", encoding="utf-8")
        there = tensorflow_text.BertTokenizer(str(vocabulary), lower_case=lower)
        rows = there.tokenize(lines).merge_dims(-2, -1).to_list()
    here = tokenizer.bare_ids(lines)
    differing = sum(list(one) != other for one, other in zip(here, rows, strict=True))
    return {"lines": differing, "percent": round(100 * differing / len(lines), 2)}


def main():
    """Compare, and write what came of it."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("data", type=Path)
    data = parser.parse_args().data
    lines = [line for line in declaration(data) if line.strip()]
    result = {
        "lines": len(lines),
        "tokenizers": {n: compared(n, lower, data, lines) for n, lower in VOCABULARIES.items()},
        "provenance": provenance(SOURCES, ["kzoo", "tensorflow-text", "tokenizers"]),
    }
    (HERE / "result_hub_tokenizer.json").write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
