"""The published presets: their parameter counts to the digit, without allocating a weight."""

import json
import math
from pathlib import Path

import pytest

from kzoo import presets
from kzoo.models import build, count_parameters, describe
from kzoo.network import weights_by_path

PUBLISHED = [name for name in presets.names() if not presets.card(name)["weights"]]
REFERENCE = Path(__file__).parents[2] / "shared" / "reference" / "param_counts.json"
SIZES = """
    bert_tiny_en_uncased bert_mini_en_uncased bert_small_en_uncased bert_medium_en_uncased
    bert_base_en_uncased bert_base_en_cased bert_large_en_uncased bert_large_en_cased
    bert_base_multi_cased bert_base_multi_uncased bert_base_zh bert_minilm_l6_en_uncased
    bert_minilm_l12_en_uncased roberta_base_en roberta_large_en roberta_distil_en
    roberta_base_multi roberta_large_multi distilbert_base_en_uncased distilbert_base_en_cased
    distilbert_base_multi_cased albert_base_en_v2 albert_large_en_v2 albert_xlarge_en_v2
    albert_xxlarge_en_v2
"""


def test_every_published_size_is_there():
    assert set(SIZES.split()) <= set(PUBLISHED)


@pytest.mark.parametrize("name", PUBLISHED)
def test_parameter_count(name):
    card, spec = presets.card(name), presets.read_spec(name)
    assert count_parameters(spec) == card["parameters"]
    assert card["family"] == spec.family
    assert all(card[field] for field in ("summary", "paper", "source", "license"))
    assert "weights" in card


@pytest.mark.skipif(not REFERENCE.is_file(), reason="the reference counts are not on this machine")
def test_cards_hold_the_reference_counts():
    counts = {
        entry["hf_id"]: entry["params_exact"]
        for entry in json.loads(REFERENCE.read_text()).values()
    }
    cards = {name: presets.card(name) for name in SIZES.split()}
    assert {n: c["parameters"] for n, c in cards.items()} == {
        n: counts[c["source"]] for n, c in cards.items()
    }


def test_counting_describes_what_is_built():
    spec = presets.read_spec("bert_tiny_en_uncased")
    built = weights_by_path(build(spec))
    assert describe(spec) == [(path, tuple(weight.shape)) for path, weight in built.items()]
    assert sum(math.prod(weight.shape) for weight in built.values()) == count_parameters(spec)
