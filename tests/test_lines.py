"""One rule of lines for every client: odd ones, and what each program reads of them."""

import json
from pathlib import Path

import pytest

from kzoo import KzooError
from kzoo.lines import as_pair, read_lines

CASES = json.loads((Path(__file__).parent / "golden" / "lines.json").read_text(encoding="utf-8"))


def read(case):
    data = bytes.fromhex(case.get("hex", "")) or case.get("text", "").encode()
    lines = read_lines(data * case.get("times", 1), "standard input")
    if not case["pairs"]:
        return lines
    named = ((line, f"Line {i} of standard input") for i, line in enumerate(lines, 1))
    return [list(as_pair(*each)) for each in named]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["about"])
def test_odd_lines_are_read_by_one_rule(case):
    if "lines" in case:
        assert read(case) == case["lines"]
        return
    with pytest.raises(KzooError) as refused:
        read(case)
    sentence = str(refused.value)
    assert sentence.startswith(f"Line {case['error_in_line']} of standard input")
    assert "\n" not in sentence and len(sentence) < 250
