"""What Transformer-XL of transformers 4 answers, as cases for the tests; and whether it reads ours.

    python benchmarks/on_disk/record_transformer_xl.py              records the cases
    python benchmarks/on_disk/record_transformer_xl.py FOLDER       prints what it makes of a folder

runs where transformers 4.57 is installed with torch, without kzoo: later ones lack the class. It
writes tests/golden/on_disk/transformer_xl.json. All weights are noise that follows from their
names, so that the tests can write the same files. With a folder, the scores of all tokens for the
ids of the first case are printed as JSON.
"""

import json
import os
import sys
from pathlib import Path

os.environ |= {"USE_TF": "0"}

import numpy as np
import torch

TESTS = Path(__file__).resolve().parents[2] / "tests"
sys.path.insert(0, str(TESTS))
from on_disk import noise  # noqa: E402

TINY = {
    "vocab_size": 16, "cutoffs": [4, 9], "d_model": 8, "d_embed": 8, "n_head": 2, "d_head": 5,
    "d_inner": 12, "n_layer": 2, "mem_len": 4, "clamp_len": 3, "div_val": 2, "pad_token_id": 0,
}  # fmt: skip
CASES = {
    "usual": {},
    "shared": {"untie_r": False, "clamp_len": -1, "same_length": False},
    "norm_in_front": {"pre_lnorm": True},
    "one_table": {"div_val": 1},
    "one_narrow_table": {"div_val": 1, "d_embed": 4},
    "no_clusters": {"div_val": 1, "cutoffs": []},
}
IDS = [[3, 0, 7, 15, 9, 4, 1], [8, 12, 2, 2, 5, 10, 14]]


def patch():
    """Mend a call of the class that torch 2 refuses."""
    usual = torch.Tensor.type_as

    def type_as(self, other=None, dtype=None):
        return usual(self, other) if dtype is None else self.to(dtype)

    torch.Tensor.type_as = type_as


def rounded(tensor):
    """Nested lists of six decimals."""
    return np.round(tensor.detach().double().numpy(), 6).tolist()


def answers(model):
    """Scores behind zeros, behind nothing, and of a second segment; the memory before that."""
    ids = torch.tensor(IDS)
    none = [torch.zeros(0, len(IDS), model.config.d_model)] * model.config.n_layer
    with torch.no_grad():
        usual = model(ids)
        empty = model(ids, mems=none)
        second = model(ids.flip(1), mems=usual.mems)
    return {
        "logits": rounded(usual.prediction_scores),
        "empty": rounded(empty.prediction_scores),
        "second": rounded(second.prediction_scores),
        "memory_1": rounded(usual.mems[1].transpose(0, 1)),
    }


def main(folder=None):
    """Record, or answer for a folder."""
    from transformers.models.deprecated.transfo_xl import TransfoXLConfig, TransfoXLLMHeadModel

    patch()
    if folder is not None:
        model = TransfoXLLMHeadModel.from_pretrained(folder).eval()
        print(json.dumps(answers(model)))
        return
    cases = []
    for name, changes in CASES.items():
        config = TransfoXLConfig(**{**TINY, **changes})
        model = TransfoXLLMHeadModel(config).eval()
        # Of tensors that are one, the first name is that of the file.
        tensors = dict(model.named_parameters())
        with torch.no_grad():
            for path, tensor in tensors.items():
                tensor.copy_(torch.from_numpy(noise(path, tuple(tensor.shape))))
        written = json.loads(config.to_json_string(use_diff=False))
        written = {
            key: written[key] for key in (*TINY, *changes, "model_type", "untie_r", "tie_projs")
        }
        cases.append(
            {
                "case": name,
                "config": {**written, "architectures": ["TransfoXLLMHeadModel"]},
                "tensors": {path: list(tensor.shape) for path, tensor in tensors.items()},
                "token_ids": IDS,
                "outputs": answers(model),
            }
        )
    path = TESTS / "golden" / "on_disk" / "transformer_xl.json"
    path.write_text("[\n" + ",\n".join(json.dumps(case) for case in cases) + "\n]\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
