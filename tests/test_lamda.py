"""LaMDA beside T5's own stack, which has all of its parts: transformers has no class for it."""

import numpy as np
import pytest
from families import SPECS, noisy, tokens

import kzoo
from kzoo.network import weights_by_path
from kzoo.nn.position import buckets_from


def test_to_huggingface_says_that_there_is_no_such_class(tmp_path):
    for model in (noisy("lamda"), kzoo.CausalLM(noisy("lamda"))):
        with pytest.raises(kzoo.KzooError, match="no class that computes what Lamda does"):
            kzoo.to_huggingface(model, tmp_path / "there")
    assert not (tmp_path / "there").exists()


def test_buckets_are_those_of_the_paper():
    """arXiv:1910.10683, section 2.1: 32 of them, wider with the logarithm, up to 128."""
    first, last = buckets_from(32, 128)
    edges = np.ceil(16 * (128 / 16) ** (np.arange(16) / 16))
    assert first.tolist() == [*range(16), *edges]
    assert last.tolist() == [*(first[1:] - 1), 128]


# What a weight here is called there, in front and behind.
THERE = {
    "token_embedding": "embed_tokens",
    "position": "block.0.layer.0.SelfAttention.relative_attention_bias",
    "final_norm": "final_layer_norm",
    "attention/query": "layer.0.SelfAttention.q",
    "attention/key": "layer.0.SelfAttention.k",
    "attention/value": "layer.0.SelfAttention.v",
    "attention/output": "layer.0.SelfAttention.o",
    "attention_norm": "layer.0.layer_norm",
    "feedforward/gate": "layer.{last}.DenseReluDense.wi_0",
    "feedforward/up": "layer.{last}.DenseReluDense.wi_1",
    "feedforward/down": "layer.{last}.DenseReluDense.wo",
    "feedforward_norm": "layer.{last}.layer_norm",
}


def t5_stack(model, is_decoder):
    """T5's stack with the weights of a model; what looks at an encoder is never asked."""
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    from transformers.models.t5.modeling_t5 import T5Stack

    spec = model.spec
    config = transformers.T5Config(
        vocab_size=model.vocabulary_size,
        d_model=spec.hidden_dim,
        d_kv=spec.head_dim,
        d_ff=spec.intermediate_dim,
        num_layers=spec.num_layers,
        num_heads=spec.num_heads,
        relative_attention_num_buckets=spec.position["buckets"],
        relative_attention_max_distance=spec.position["longest"],
        layer_norm_epsilon=spec.norm["epsilon"],
        feed_forward_proj="gated-gelu",
        is_decoder=is_decoder,
        use_cache=False,
    )
    stack = T5Stack(config).eval().double()
    missing = dict(stack.named_parameters())
    for path, weight in weights_by_path(model).items():
        block, _, rest = path.rpartition("/")[0].partition("/")
        inside = f"block.{block.removeprefix('block_')}." if rest else ""
        name = inside + THERE[rest or block].format(last=2 if is_decoder else 1)
        value = np.asarray(weight)
        value = value.T if path.endswith("kernel") else value
        parameter = missing.pop(f"{name}.weight")
        assert tuple(parameter.shape) == value.shape
        parameter.data = torch.from_numpy(value.astype("float64"))
    assert all("EncDecAttention" in name or ".layer.1.layer_norm" in name for name in missing)
    return stack


@pytest.mark.parity
@pytest.mark.parametrize("attention", ["causal", "full"])
@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("buckets", [{"buckets": 8, "longest": 8}, {"buckets": 32, "longest": 128}])
def test_vectors_are_those_of_t5s_stack(attention, side, buckets):
    torch = pytest.importorskip("torch")
    attention = {**SPECS["lamda"].attention, "kind": attention}
    model = noisy("lamda", attention=attention, position={"kind": "bucketed", **buckets})
    stack = t5_stack(model, is_decoder=attention["kind"] == "causal")
    inputs = tokens(model.spec, length=20)
    inputs = {name: value[:, ::-1] if side == "left" else value for name, value in inputs.items()}
    with torch.no_grad():
        expected = stack(
            input_ids=torch.from_numpy(inputs["token_ids"].copy()).long(),
            attention_mask=torch.from_numpy(inputs["padding_mask"].copy()).long(),
        ).last_hidden_state.numpy()
    actual = np.asarray(model(inputs)["sequence_output"])
    real = inputs["padding_mask"] > 0
    assert np.abs(actual - expected)[real].max() < 1e-5


@pytest.mark.parity
@pytest.mark.parametrize(("buckets", "longest"), [(32, 128), (8, 8), (8, 64), (16, 20), (64, 999)])
def test_a_distance_has_the_bucket_that_it_has_in_t5(buckets, longest):
    torch = pytest.importorskip("torch")
    pytest.importorskip("transformers")
    from transformers.models.t5.modeling_t5 import T5Attention

    gaps = np.arange(-2 * longest, 2 * longest)
    spec = SPECS["lamda"].replace(
        position={"kind": "bucketed", "buckets": buckets, "longest": longest}
    )
    position = noisy("lamda", position=spec.position).position
    for ahead, (first, last) in position.bounds.items():
        near = np.clip(gaps, -longest, longest) if ahead else np.clip(gaps, 0, longest)
        within = (near[:, None] >= first) & (near[:, None] <= last)
        assert (within.sum(-1) == 1).all()
        expected = T5Attention._relative_position_bucket(
            torch.from_numpy(-gaps), bidirectional=ahead, num_buckets=buckets, max_distance=longest
        )
        np.testing.assert_array_equal(within.argmax(-1), expected.numpy())
