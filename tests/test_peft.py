"""PEFT's folders both ways: the same numbers as PEFT, with noise on all that an adapter holds."""

import json

import numpy as np
import pytest
import test_huggingface
import test_huggingface_pairs
import test_huggingface_pictures

import kzoo
from kzoo.network import frozen, weights_by_path

torch = pytest.importorskip("torch")
peft = pytest.importorskip("peft")
pytestmark = pytest.mark.parity

SEQUENCE = "ForSequenceClassification"
# By case what is adapted there and here, the kind of task, and further options there.
CASES = {
    ("bert", SEQUENCE): (["query", "value"], ["query", "value"], "SEQ_CLS", {}),
    ("bert", "Model"): (["query", "dense"], None, None, {"exclude_modules": ["pooler.dense"]}),
    ("roberta", SEQUENCE): (["key"], ["key"], "SEQ_CLS", {"use_rslora": True}),
    ("distilbert", "ForTokenClassification"): (["q_lin", "lin1"], ["query", "up"], "TOKEN_CLS", {}),
    ("albert", "ForQuestionAnswering"): (["ffn_output"], ["down"], "QUESTION_ANS", {}),
    ("gpt2", "LMHeadModel"): (
        ["c_attn", "c_fc"],
        ["query", "value", "up"],  # Of three maps in one there two are adapted.
        "CAUSAL_LM",
        {"fan_in_fan_out": True, "rank_pattern": {"c_fc": 2}, "alpha_pattern": {"c_fc": 7}},
    ),
    ("gpt2", SEQUENCE): (
        ["attn.c_proj"],
        ["attention/output"],
        "SEQ_CLS",
        {"fan_in_fan_out": True},
    ),
    ("bloom", "ForCausalLM"): (["query_key_value"], ["attention"], "CAUSAL_LM", {}),
    ("t5", ""): (["q", "v", "wo"], ["query", "feedforward"], "SEQ_2_SEQ_LM", {}),
    ("vit", "ForImageClassification"): (["q_proj", "v_proj"], ["attention"], None, {}),
}  # fmt: skip
OF = {"t5": test_huggingface_pairs, "vit": test_huggingface_pictures}


def reference(family, suffix):
    module = OF.get(family, test_huggingface)
    return module.reference(*([family, suffix] if suffix else [family]))


def assert_same(model, theirs, family, suffix):
    module = OF.get(family, test_huggingface)
    module.assert_same(model, theirs, *([suffix] if suffix else []))


def add_noise(parameters):
    torch.manual_seed(4)
    with torch.no_grad():
        for parameter in parameters:
            parameter += 0.2 * torch.randn_like(parameter)


@pytest.mark.parametrize("dora", [False, True])
@pytest.mark.parametrize(("family", "suffix"), CASES)
def test_adapters_of_peft_give_the_same_outputs_here(family, suffix, dora, tmp_path):
    there, _, kind, options = CASES[family, suffix]
    base = reference(family, suffix)
    base.save_pretrained(tmp_path / "base")
    saved = ["classifier"] if suffix == "ForImageClassification" else None
    config = peft.LoraConfig(
        r=3, lora_alpha=5, lora_dropout=0.1, target_modules=there, task_type=kind, use_dora=dora,
        modules_to_save=saved, **options,
    )  # fmt: skip
    adapted = peft.get_peft_model(base, config).eval()
    add_noise(p for p in adapted.parameters() if p.requires_grad)
    adapted.save_pretrained(tmp_path / "adapter")
    model = kzoo.from_huggingface(tmp_path / "base")
    model = kzoo.from_peft(model, tmp_path / "adapter")
    assert_same(model, adapted.get_base_model(), family, suffix)
    assert_same(kzoo.merged(model), adapted.get_base_model(), family, suffix)


@pytest.mark.parametrize("dora", [False, True])
@pytest.mark.parametrize(("family", "suffix"), [case for case in CASES if CASES[case][1]])
def test_adapters_of_kzoo_give_the_same_outputs_there(family, suffix, dora, tmp_path):
    _, here, _, _ = CASES[family, suffix]
    base = reference(family, suffix)
    base.save_pretrained(tmp_path / "base")
    plain = kzoo.from_huggingface(tmp_path / "base")
    model = kzoo.lora(plain, rank=3, alpha=5, targets=here, dora=dora)
    draw, still = np.random.default_rng(2), set(frozen(model))
    for path, weight in weights_by_path(model).items():
        if path not in still:
            weight.assign_add(draw.normal(0, 0.2, weight.shape).astype("float32"))
    kzoo.to_peft(model, tmp_path / "adapter")
    adapted = peft.PeftModel.from_pretrained(base, tmp_path / "adapter").eval()
    assert_same(model, adapted.get_base_model(), family, suffix)
    again = kzoo.from_peft(plain, tmp_path / "adapter")
    assert_same(again, adapted.get_base_model(), family, suffix)
    if not dora:  # Of DoRA what lies beside an adapted map has lengths of its own there.
        assert again.spec == model.spec
    config = json.loads((tmp_path / "adapter" / "adapter_config.json").read_text())
    assert config["peft_type"] == "LORA" and config["use_dora"] is dora
