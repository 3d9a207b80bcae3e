"""DeBERTa in all its variants beside transformers: distances, heads, files, tokenizers."""

import json

import numpy as np
import pytest
from families import SPECS, noisy, tokens
from test_huggingface import (
    DISENTANGLED,
    SIZES,
    add_noise,
    assert_same,
    contents,
    reference,
    reload,
)
from test_sentencepiece import CONTROL, UNKNOWN, write_model

import kzoo
from kzoo.checkpoints.safetensors import read_tensors, write_tensors
from kzoo.models import build, describe
from kzoo.network import weights_by_path
from kzoo.nn.disentangled import DisentangledPosition

tf = pytest.importorskip("tensorflow")
torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
pytestmark = pytest.mark.parity

# Of version 2 as its class is where nothing more is said: maps of their own for distances, each of
# which has a row; then with segments, with buckets, as version 3 is, with the other convolution.
PLAIN = {"share_att_key": False, "position_buckets": -1, "norm_rel_ebd": "none"}
PLAIN |= {"conv_kernel_size": 0}
VARIANTS = {
    "its own maps": PLAIN,
    "segments": {**PLAIN, "type_vocab_size": 2, "max_relative_positions": 5},
    "one segment and buckets": {
        **PLAIN, "type_vocab_size": 1, "position_buckets": 6, "max_relative_positions": 9,
    },
    "version 3": {"conv_kernel_size": 0, "position_buckets": 8},
    "a wide convolution": {"conv_kernel_size": 5, "conv_act": "tanh", "hidden_act": "gelu_new"},
}  # fmt: skip


@pytest.mark.parametrize("suffix", ["Model", "ForMaskedLM"])
@pytest.mark.parametrize("variant", VARIANTS)
def test_variants_of_version_2_both_ways(variant, suffix, tmp_path):
    theirs = reference("deberta_v2", suffix, **VARIANTS[variant])
    theirs.save_pretrained(tmp_path / "here")
    model = kzoo.from_huggingface(tmp_path / "here", strict=True)
    assert_same(model, theirs, suffix)
    kzoo.to_huggingface(model, tmp_path / "back")
    assert contents(tmp_path / "back") == contents(tmp_path / "here")
    add_noise(model)
    del model.origin
    kzoo.to_huggingface(model, tmp_path / "there")
    assert_same(model, reload(theirs, tmp_path / "there"), suffix)


@pytest.mark.parametrize("family", ["deberta", "deberta_v2"])
def test_the_head_of_released_files_is_read_under_either_flag(family, tmp_path):
    """They hold `lm_predictions`, and config.json doesn't say so: the class draws a head then."""
    theirs = reference(family, "ForMaskedLM", legacy=False)
    theirs.save_pretrained(tmp_path / "here")
    path = tmp_path / "here" / "config.json"
    for legacy in (False, True):
        path.write_text(json.dumps({**json.loads(path.read_text()), "legacy": legacy}))
        model = kzoo.from_huggingface(tmp_path / "here")
        assert_same(model, theirs, "ForMaskedLM")
        kzoo.to_huggingface(model, tmp_path / str(legacy))
        assert contents(tmp_path / str(legacy)) == contents(tmp_path / "here")
    del model.origin
    kzoo.to_huggingface(model, tmp_path / "anew")
    legacy = transformers.AutoModelForMaskedLM.from_pretrained(tmp_path / "anew").eval()
    assert legacy.config.legacy
    assert_same(model, legacy, "ForMaskedLM")


def test_what_a_released_file_has_beside_the_model_is_kept(tmp_path):
    """Places of the decoder that hid tokens, and the head that finds replaced ones."""
    reference("deberta_v2", "ForMaskedLM", legacy=False).save_pretrained(tmp_path / "here")
    file, path = tmp_path / "here" / "model.safetensors", tmp_path / "here" / "config.json"
    more = {"deberta.embeddings.position_embeddings.weight": (24, 32)}
    more |= {"mask_predictions.dense.weight": (32, 32), "mask_predictions.classifier.bias": (1,)}
    held = {name: lazy.read() for name, lazy in read_tensors(file).items()}
    held |= {name: np.ones(shape, "float32") for name, shape in more.items()}
    write_tensors(file, held)
    config = json.loads(path.read_text())
    path.write_text(json.dumps({**config, "architectures": None}))
    with pytest.warns(UserWarning, match="names no architectures"):
        model = kzoo.from_huggingface(tmp_path / "here")
    assert type(model) is kzoo.DebertaV2
    kzoo.to_huggingface(model, tmp_path / "back")
    assert contents(tmp_path / "back") == contents(tmp_path / "here")


@pytest.mark.parametrize(
    ("buckets", "longest", "most"), [(256, 512, 700), (4, 12, 40), (32, 128, 200), (0, 6, 20)]
)
def test_distances_have_the_rows_that_the_reference_looks_up(buckets, longest, most):
    """Up to beyond the longest, and at every edge of a bucket."""
    from transformers.models.deberta_v2 import modeling_deberta_v2 as there

    spec = SPECS["deberta_v2"].replace(max_sequence_length=most)
    position = DisentangledPosition(spec, "position", buckets=buckets, longest=longest)
    gaps, span = torch.arange(-most, most), buckets or longest
    rows = there.make_log_bucket_position(gaps, buckets, longest) if buckets else gaps
    expected = torch.clamp(rows.long() + span, 0, 2 * span - 1).numpy()
    np.testing.assert_array_equal(position.row_of(gaps.numpy()), expected)


@pytest.mark.parametrize("family", ["deberta", "deberta_v2"])
def test_gradients_are_those_of_torch(family, tmp_path):
    theirs = reference(
        family, "ForSequenceClassification", hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )  # fmt: skip
    theirs.save_pretrained(tmp_path / "here")
    task = kzoo.from_huggingface(tmp_path / "here")
    columns = tokens(task.spec, length=9)
    logits = theirs(
        *(torch.tensor(columns[n]).long() for n in ("token_ids", "padding_mask"))
    ).logits
    logits.pow(2).sum().backward()
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(task(columns)["logits"] ** 2)
    weights = weights_by_path(task)
    made = tape.gradient(loss, [weight.value for weight in weights.values()])
    found = dict(theirs.named_parameters())
    for weight, gradient in zip(weights.values(), made, strict=True):
        # Each weight takes its gradient's place, so that the exported file has them by name there.
        gradient = tf.convert_to_tensor(gradient).numpy()
        weight.assign(gradient)
    del task.origin
    kzoo.to_huggingface(task, tmp_path / "there")
    for name, lazy in read_tensors(tmp_path / "there" / "model.safetensors").items():
        expected = found[name].grad.numpy()
        bound = 1e-4 * max(1.0, np.abs(expected).max())
        assert np.abs(lazy.read() - expected).max() < bound, name


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"relative_attention": False}, "relative_attention = False; kzoo computes only True"),
        ({"position_biased_input": True}, "position_biased_input = True"),
        ({"pos_att_type": ["c2p"]}, "pos_att_type"),
        (
            {"conv_kernel_size": 3, "conv_act": "selu"},
            "conv_act = 'selu'; kzoo doesn't compute that",
        ),
        ({"conv_kernel_size": 3, "conv_groups": 2}, "conv_groups = 2"),
        ({"embedding_size": 16}, "embedding_size = 16; kzoo doesn't compute that"),
        ({"attention_head_size": 4}, "attention_head_size = 4"),
        ({"norm_rel_ebd": "batch_norm"}, "norm_rel_ebd = 'batch_norm'; kzoo knows none"),
        ({"position_buckets": 2}, "buckets = 2 for distances; expected 4 or more"),
        ({"conv_kernel_size": 4}, "kernel = 4 for a block's convolution; expected an odd number"),
    ],
    ids=str,
)
def test_what_the_class_can_and_kzoo_cannot_is_said(changes, match, tmp_path):
    config = {**SIZES, **DISENTANGLED, "model_type": "deberta-v2", **changes}
    (tmp_path / "config.json").write_text(json.dumps(config))
    write_tensors(tmp_path / "model.safetensors", {"a": np.zeros((200_000,), "float32")})
    with pytest.raises(kzoo.KzooError, match=match):
        kzoo.from_huggingface(tmp_path)


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"attention": "full"}, "disentangled positions with 'full' as attention"),
        ({"position": "learned"}, "disentangled attention with learned positions"),
        ({"num_key_value_heads": 2}, "num_key_value_heads = 2 with disentangled attention"),
        ({"position": {"kind": "disentangled", "longest": 0}}, "longest = 0 with 0 buckets"),
        ({"position": {"kind": "disentangled", "norm": 1}}, "norm = 1 for distances"),
        ({"schedule": (1, 0)}, r"schedule \[1, 0\] with convolved blocks"),
        ({"schedule": (0, 0)}, r"schedule \[0, 0\] with convolved blocks"),
    ],
    ids=str,
)
def test_parts_that_do_not_go_together_are_said(changes, match):
    with pytest.raises(kzoo.KzooError, match=match):
        build(SPECS["deberta_v2"].replace(**changes))


def test_a_deeper_one_is_counted_by_two_of_its_blocks():
    """Block 0 has the convolution."""
    shapes = dict(describe(SPECS["deberta_v2"].replace(schedule=tuple(range(5)))))
    assert [path for path in shapes if "convolution" in path] == [
        f"block_0/{path}"
        for path in ("convolution/kernel", "convolution/bias", "convolution_norm/gamma",
                     "convolution_norm/beta")
    ]  # fmt: skip
    assert shapes["block_4/feedforward/up/kernel"] == (32, 48)


def test_what_reads_the_first_place_alone_computes_no_others():
    """The last step asks for one place, of a table as long as the text."""
    for family in ("deberta", "deberta_v2"):
        model = noisy(family)
        columns = tokens(model.spec)
        whole = np.asarray(model(columns)["sequence_output"])
        for first in (1, 3, 20):
            part = np.asarray(model.run_for(columns, first)["sequence_output"])
            np.testing.assert_allclose(
                part[:, :first], whole[:, :first][:, : part.shape[1]], atol=1e-5
            )


# -- tokenizers ----------------------------------------------------------------------------------

TEXTS = ["the cat sat", "  The  cats\n\nsat ", "", "cat[MASK]sat [MASK]", "caté the猫", "t, a!"]


def pieces_of_version_2(folder, **settings):
    """A model of SentencePiece alone, whose pieces are numbered as the released ones are."""
    special = {"[PAD]": CONTROL, "[CLS]": CONTROL, "[SEP]": CONTROL, "[UNK]": UNKNOWN}
    ids = {"pad_id": 0, "bos_id": 1, "eos_id": 2, "unk_id": 3}
    write_model(folder / "spm.model", special, **ids)
    (folder / "config.json").write_text(json.dumps({"model_type": "deberta-v2"}))
    settings = {"vocab_type": "spm", **settings}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))


def pairs_of_version_1(folder, **settings):
    """GPT-2's bytes and merges, with the special tokens of DeBERTa round them."""
    letters = "abcdefghijklmnopqrstuvwxyz" + "ABCDEFGHIJKLMNOPQRSTUVWXYZ" + "!,." + "ĠĊ"
    tokens = ["[PAD]", "[CLS]", "[SEP]", "[UNK]", *letters, "th", "the", "Ġthe", "at", "[MASK]"]
    vocabulary = {token: number for number, token in enumerate(tokens)}
    (folder / "vocab.json").write_text(json.dumps(vocabulary))
    (folder / "merges.txt").write_text("#version: 0.2\nt h\nth e\nĠ the\na t\n")
    (folder / "config.json").write_text(json.dumps({"model_type": "deberta"}))
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))


@pytest.mark.parametrize(
    ("make", "settings"),
    [
        (pieces_of_version_2, {"do_lower_case": False}),
        (pieces_of_version_2, {"do_lower_case": True, "split_by_punct": True}),
        (pairs_of_version_1, {"do_lower_case": False}),
        (pairs_of_version_1, {"add_prefix_space": True}),
    ],
)
def test_tokenizers_of_released_files_give_the_ids_of_the_reference(make, settings, tmp_path):
    pytest.importorskip("sentencepiece")
    make(tmp_path, **settings)
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path)
    ours = kzoo.Tokenizer.load(tmp_path)
    second = TEXTS[::-1]
    assert ours.encode(TEXTS)["token_ids"] == theirs(TEXTS)["input_ids"]
    assert ours.encode(TEXTS, second)["token_ids"] == theirs(TEXTS, second)["input_ids"]
    names = ("padding", "start", "separator", "unknown", "mask")
    expected = [getattr(theirs, f"{n}_token_id") for n in ("pad", "cls", "sep", "unk", "mask")]
    assert [getattr(ours, f"{name}_id") for name in names] == expected
    assert ours.vocabulary_size == len(theirs) == ours.mask_id + 1
    ours.save(tmp_path / "again")
    assert kzoo.Tokenizer.load(tmp_path / "again").encode(TEXTS) == ours.encode(TEXTS)
