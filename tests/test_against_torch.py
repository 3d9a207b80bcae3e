"""A part of `benchmarks/against_torch`: kzoo learns what transformers and torch learn."""

import sys
from pathlib import Path

import pytest

from kzoo.models import FAMILIES
from kzoo.tasks import TASKS
from kzoo.tasks.text_task import TextTask

FOLDER = Path(__file__).resolve().parent.parent / "benchmarks" / "against_torch"
sys.path.insert(0, str(FOLDER))
import cases  # noqa: E402

FULL = "AdamW, clipping, warm-up, linear decay"
NAMES = (
    "bert, sequence classification, accumulation, clipping, averages",
    f"roberta, token classification, {FULL}",
    f"distilbert, question answering, {FULL}",
    f"gpt2, causal language model, {FULL}",
    f"palm, causal language model, {FULL}",
    f"t5, sequence to sequence, {FULL}",
)


def test_every_family_and_task_of_texts_is_held_against_torch():
    """A new one is a line in `cases.py`.

    Those of pictures and sounds have no such cases yet; one family of a source and a target stands
    for all, whose towers are made of the same layers.
    """
    tasks = {name for name, cls in TASKS.items() if issubclass(cls, TextTask)}
    families = {n for n, cls in FAMILIES.items() if cls.MODEL_TYPES and not cls.TOWERS}
    of_texts = {name for name in families if tasks & {*FAMILIES[name].CLASSES.values()}}
    assert {*cases.FAMILIES, *cases.APART} == of_texts | set(cases.PAIRS)
    assert {*(task.kzoo for task in cases.TASKS.values()), *cases.TASKS_APART} == tasks
    common = {(case.family, case.task) for case in cases.cases() if case.where == "tensorflow"}
    expected = {(family, task) for family in cases.READERS for task in cases.READ}
    for family, (_, tasks) in cases.WRITERS.items():
        expected |= {(family, task) for task in (cases.WRITING, *tasks)}
    expected |= {(family, cases.REWRITING) for family in cases.PAIRS}
    assert common == expected
    assert {*cases.READ, cases.WRITING, cases.REWRITING} == set(cases.TASKS)


@pytest.mark.parity
@pytest.mark.parametrize("name", NAMES)
def test_losses_and_weights_are_those_of_torch(name, tmp_path):
    """At each of nine batches, and where all weights end."""
    pytest.importorskip("torch")
    pytest.importorskip("transformers")
    import kzoo_side
    import torch_side

    case = next(case for case in cases.cases() if case.name == name)
    expected = torch_side.train(case, tmp_path)
    actual = kzoo_side.train(case, tmp_path)
    setting = cases.SETTINGS[case.setting]
    assert actual["losses"] == pytest.approx(expected, abs=setting.limit)
    assert actual["weights"] <= setting.weight_limit, actual["worst"]
